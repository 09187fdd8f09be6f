"""A metric as a function of techniques and size inside one family, with intervals and scores (docs/effects.md, Model).

The model is the mean of a graded ridge and an ANOVA kernel. It is used where it predicts left-out configurations better
than the additive model, beyond chance; otherwise the additive model is, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitskip.analysis.factorial import Family
from bitskip.analysis.levels import INDEX, Levels
from bitskip.analysis.metrics import Metric
from bitskip.analysis.seed_noise import SeedNoise, seed_noise
from bitskip.errors import UserError
from bitskip.ops.conventions import UNQUANTIZED_BITS
from bitskip.predict.cross_validation import (
    Scores,
    ceiling,
    mean_error,
    permutations,
    r_squared,
    rank_correlation,
    skill_over,
)
from bitskip.predict.dataset import levels_from, tupled
from bitskip.predict.features import Array, Encoding, encode
from bitskip.predict.jackknife import (
    LEVEL,
    Residuals,
    coverage,
    jackknife_plus,
    pair_blocks,
    pair_half_width,
    student_half,
    widened,
)
from bitskip.predict.kernel_ridge import ADDITIVE_GRID, Blend, fit_graded, fit_product, plain_smoother, smoother_from

FEWEST_CONFIGURATIONS = 3
FEWEST_FOR_INTERACTIONS = 12


@dataclass(frozen=True)
class Seeds:
    """What the seeds say. `shift_half` is the 90 % half-width of what a new seed does to all cells at once."""

    count: int
    sd: float | None
    unpaired_sd: float | None
    shift_half: float | None


@dataclass(frozen=True)
class Surface:
    """The fitted model of one family. `values` are means of finished trials without the shifts of shared seeds.

    `blend` is None where interactions were not fitted; `composes` says whether predictions come from it. `trials` are
    the single trials behind the values, `precision` how many trials of average noise each value is worth.
    """

    levels: tuple[Levels, ...]
    trials: tuple[Array, ...]
    values: Array
    precision: Array
    encoding: Encoding
    additive: Blend
    blend: Blend | None
    composes: bool
    kind: str
    scores: Scores
    seeds: Seeds
    pair_half: float | None
    baseline: Levels

    @property
    def centre(self) -> float:
        return float(self.values.mean())

    @property
    def spread(self) -> float:
        deviation = float(self.values.std())
        return deviation if deviation > 1e-12 * max(1.0, abs(self.centre)) else 1.0

    @property
    def model(self) -> Blend:
        return self.blend if self.composes and self.blend is not None else self.additive

    def mean(self, levels: Levels, model: Blend | None = None) -> float:
        """Expected value on the additive scale."""
        return self.means([levels], model)[0]

    def means(self, cells: Sequence[Levels], model: Blend | None = None) -> list[float]:
        predicted = (model or self.model).predict(self.encoding.codes(cells))
        return [self.centre + self.spread * float(value) for value in predicted]

    def contrast(self, terms: Sequence[tuple[Levels, float]], model: Blend | None = None) -> tuple[float, float]:
        """(mean, posterior standard deviation) of a weighted sum of the surface."""
        codes = self.encoding.codes([levels for levels, _ in terms])
        weights = np.array([weight for _, weight in terms])
        mean, deviation = (model or self.model).contrast(codes, weights)
        return self.centre * float(weights.sum()) + self.spread * mean, self.spread * deviation

    def residuals(self, model: Blend | None = None) -> Residuals:
        return Residuals(self.trials, self.values, self.spread * (model or self.model).left_out)

    def interval(self, levels: Levels, *, trial: bool, model: Blend | None = None) -> tuple[float, float]:
        """90 % interval of a configuration that was not run: of one new seed, or of the mean over the seeds run."""
        chosen = model or self.model
        middle = self.mean(levels, chosen)
        without = self.centre + self.spread * chosen.predict_left_out(self.encoding.codes([levels]))[0]
        found = jackknife_plus(without, self.residuals(chosen), middle, trial=trial)
        # Leaving configurations out shows no more than the shifts of the seeds that all of them share.
        return widened(found, middle, self.seeds.shift_half or 0.0) if trial else found

    def widest(self) -> float:
        """The largest residual of any trial whose configuration was left out, or the half-width for new pairs."""
        magnitudes, _, weights = self.residuals().of_trials()
        return max(float(magnitudes.max()), self.pair_half or 0.0, student_half(magnitudes, weights, len(self.values)))

    def plain(self) -> dict[str, Any]:
        """Everything that takes time to find, JSON-ready; `surface_from` rebuilds the rest."""
        return {
            "levels": self.levels,
            "trials": [own.tolist() for own in self.trials],
            "values": self.values.tolist(),
            "precision": self.precision.tolist(),
            "layers": self.encoding.layers,
            "additive": _plain_blend(self.additive),
            "blend": _plain_blend(self.blend) if self.blend else None,
            "composes": self.composes,
            "kind": self.kind,
            "scores": asdict(self.scores),
            "seeds": asdict(self.seeds),
            "pair_half": self.pair_half,
            "baseline": self.baseline,
        }


def _plain_blend(blend: Blend) -> dict[str, Any]:
    return {"parts": [plain_smoother(part) for part in blend.parts], "left_out": blend.left_out.tolist()}


def surface_from(plain: Mapping[str, Any]) -> Surface:
    """Inverse of `Surface.plain`. Raises KeyError, TypeError or ValueError if the data is something else."""
    levels = tuple(map(levels_from, plain["levels"]))
    encoding = encode(levels, int(plain["layers"]))
    codes = encoding.codes(levels)
    values, precision = np.array(plain["values"], dtype=float), np.array(plain["precision"], dtype=float)
    spread = float(values.std())
    scaled = (values - values.mean()) / (spread if spread > 1e-12 * max(1.0, abs(float(values.mean()))) else 1.0)

    def blend(stored: Mapping[str, Any]) -> Blend:
        parts = tuple(smoother_from(part, codes, scaled, precision) for part in stored["parts"])
        return Blend(parts, np.array(stored["left_out"], dtype=float))

    return Surface(
        levels=levels,
        trials=tuple(np.array(own, dtype=float) for own in plain["trials"]),
        values=values,
        precision=precision,
        encoding=encoding,
        additive=blend(plain["additive"]),
        blend=blend(plain["blend"]) if plain["blend"] else None,
        composes=bool(plain["composes"]),
        kind=str(plain["kind"]),
        scores=Scores(**plain["scores"]),
        seeds=Seeds(**plain["seeds"]),
        pair_half=plain["pair_half"],
        baseline=tupled(plain["baseline"]),
    )


@dataclass(frozen=True)
class _Data:
    """A family's finished trials, stratum by stratum without the shifts of its seeds."""

    levels: tuple[Levels, ...]
    trials: tuple[Array, ...]
    values: Array
    precision: Array
    noise: Array | None
    seeds: Seeds


def fit_surface(family: Family, metric: Metric) -> Surface:
    """Fit the additive model and, with enough configurations, the blend; choose by left-out configurations.

    Raises UserError with fewer than three configurations that hold a finished trial.
    """
    data = _collect(family, metric)
    count = len(data.levels)
    if count < FEWEST_CONFIGURATIONS:
        raise UserError(
            f"{count} configuration(s) with a finished trial at {family.label}: prediction needs at least "
            f"{FEWEST_CONFIGURATIONS}; run a sweep with more levels"
        )
    encoding = encode(data.levels, int(family.strata[0].scale["model.layers"]))
    codes = encoding.codes(data.levels)
    centre, spread = float(data.values.mean()), float(data.values.std())
    spread = spread if spread > 1e-12 * max(1.0, abs(centre)) else 1.0
    scaled = (data.values - centre) / spread
    null = fit_graded(codes, scaled, data.precision, ADDITIVE_GRID)
    additive = Blend((null.smoother,), null.left_out)
    blend, skill, control = None, None, None
    if count >= FEWEST_FOR_INTERACTIONS and len(codes) > 1:
        graded = fit_graded(codes, scaled, data.precision, others=permutations(scaled))
        product, left_out = fit_product(codes, scaled, data.precision)
        blend = Blend((graded.smoother, product), (graded.left_out + left_out) / 2)
        skill = skill_over(blend.left_out, additive.left_out)
        control = float(np.mean([r_squared(scaled, own) or 0.0 for own in graded.others]))
    composes = skill is not None and skill[1] > 0
    model = blend if composes and blend is not None else additive
    residuals = Residuals(data.trials, data.values, spread * model.left_out)
    baseline = family.strata[0].baseline
    return Surface(
        levels=data.levels,
        trials=data.trials,
        values=data.values,
        precision=data.precision,
        encoding=encoding,
        additive=additive,
        blend=blend,
        composes=composes,
        kind=_kind(count, len(codes), skill),
        scores=_scores(data, residuals, spread * additive.left_out, skill, control, metric),
        seeds=data.seeds,
        pair_half=pair_half_width(model, residuals, pair_blocks(data.levels, baseline), spread),
        baseline=baseline,
    )


def _collect(family: Family, metric: Metric) -> _Data:
    levels: list[Levels] = []
    trials: list[Array] = []
    precision: list[float] = []
    variances: list[float | None] = []
    noises: list[SeedNoise] = []
    for stratum in family.strata:
        measured = {cell.levels: values for cell in stratum.cells if (values := cell.values(metric))}
        noise = seed_noise(measured)
        noises.append(noise)
        for own, values in measured.items():
            levels.append(own)
            # A cell that lacks a seed is compared as if it had run them all.
            trials.append(np.array([value - noise.seed_shifts.get(seed, 0.0) for seed, value in values.items()]))
            precision.append(noise.precision(own, len(values)))
            variances.append(_own_variance(noise, own) / len(values) if noise.variance is not None else None)
    known = [variance for variance in variances if variance is not None]
    return _Data(
        levels=tuple(levels),
        trials=tuple(trials),
        values=np.array([own.mean() for own in trials]),
        precision=np.array(precision),
        noise=np.array(known) if known and len(known) == len(variances) else None,
        seeds=_seeds(noises, family, metric),
    )


def _own_variance(noise: SeedNoise, levels: Levels) -> float:
    # What a seed does to a technique moves cells and prediction alike: it is no error of the model.
    return noise.of(levels)[0] if noise.by_technique is None else noise.by_technique.squares[-1]


def _seeds(noises: Sequence[SeedNoise], family: Family, metric: Metric) -> Seeds:
    """Pooled over strata by degrees of freedom; the shift's half-width is Student's for one more seed."""
    count = max((len(cell.values(metric)) for cell in family.cells), default=0)
    known = [noise for noise in noises if noise.variance is not None]
    if not known:
        return Seeds(count, None, None, None)
    variance = sum((noise.variance or 0.0) * noise.df for noise in known) / sum(noise.df for noise in known)
    unpaired = sum((noise.unpaired or 0.0) * noise.df for noise in known) / sum(noise.df for noise in known)
    shift_df = sum(noise.shift_df for noise in known)
    half = None
    if shift_df:
        from scipy.special import stdtrit

        shift = sum(noise.shift_variance * noise.shift_df for noise in known) / shift_df
        half = float(stdtrit(shift_df, (1 + LEVEL) / 2) * np.sqrt(shift * (1 + 1 / count)))
        # What a new seed does to the techniques is no more seen by leaving configurations out than its common shift.
        favours = [(max((n.variance or 0.0) - (n.own_variance or 0.0), 0.0), n.by_technique) for n in known]
        variance_by, df_by = max(((each, by.dfs[0]) for each, by in favours if by is not None), default=(0.0, 1.0))
        half = float(np.hypot(half, stdtrit(df_by, (1 + LEVEL) / 2) * np.sqrt(variance_by * (1 + 1 / count))))
    return Seeds(count, float(np.sqrt(variance)), float(np.sqrt(unpaired)), half)


def _scores(
    data: _Data,
    residuals: Residuals,
    additive: Array,
    skill: tuple[float, float, float] | None,
    control: float | None,
    metric: Metric,
) -> Scores:
    groups = [(own[0][0] < UNQUANTIZED_BITS, own[INDEX["model"]], own[INDEX["tokens"]]) for own in data.levels]
    left_out = residuals.left_out
    low_high = skill or (None, None, None)
    # The mean of |x| is 0.8 standard deviations of a normal x.
    floor = None if data.noise is None else np.sqrt(2 / np.pi * data.noise)
    return Scores(
        r2=r_squared(data.values, left_out),
        r2_ceiling=ceiling(data.values, data.noise),
        within_r2=r_squared(data.values, left_out, groups),
        within_ceiling=ceiling(data.values, data.noise, groups),
        additive_r2=r_squared(data.values, additive),
        additive_mae_percent=mean_error(additive, data.values, metric.logarithmic),
        skill=low_high[0],
        skill_low=low_high[1],
        skill_high=low_high[2],
        mae_percent=mean_error(left_out, data.values, metric.logarithmic),
        noise_percent=None if floor is None else mean_error(floor, data.values, metric.logarithmic),
        rank_correlation=rank_correlation(residuals.expected, data.values),
        coverage=coverage(residuals),
        permuted_r2=control,
    )


def _kind(configurations: int, factors: int, skill: tuple[float, float, float] | None) -> str:
    if skill is None:
        few = f"fewer than {FEWEST_FOR_INTERACTIONS} configurations"
        return f"additive ({few if factors > 1 else 'no two techniques vary'})"
    value, low, _ = skill
    if low <= 0:
        return f"additive (interactions do not predict left-out configurations better: skill {value:+.2f})"
    return "blend of graded ridge and ANOVA kernel"
