"""What a prediction says, and its JSON form (`predict --json`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitskip.analysis.factorial import as_plain
from bitskip.analysis.notebook import change_text, range_text, table_html
from bitskip.analysis.regime import Regime
from bitskip.predict.cross_validation import Scores
from bitskip.trial.config import TrialConfig

JSON_KEYS = (
    "metric", "mean", "low", "high", "level", "mean_low", "mean_high", "exit_layer", "speed_gain", "divergence_risk",
    "divergence_risk_low", "divergence_risk_high", "additive_mean", "configuration", "assumed", "baseline",
    "main_effects", "composition_effects", "nearest", "extrapolation", "tier", "notes", "model", "scale",
)  # fmt: skip


@dataclass(frozen=True)
class Term:
    """A part of the prediction on the additive scale (nats for perplexity), with its 90 % posterior interval.

    Of more than two techniques it is everything that is in all of them together beyond single effects and pairs.
    """

    techniques: tuple[str, ...]
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Neighbour:
    """A measured configuration, what it does differently, and the mean of its finished seeds."""

    configuration: str
    differs: tuple[str, ...]
    mean: float
    seeds: int
    trial_ids: tuple[str, ...]


@dataclass(frozen=True)
class ModelSummary(Scores):
    """What the prediction rests on, beside the model's record on left-out configurations."""

    kind: str
    trials: int
    configurations: int
    scale: str
    seeds: int
    seed_sd: float | None
    verdicts: tuple[str, ...]


@dataclass(frozen=True)
class Prediction:
    """A metric at one configuration and exit, in the metric's own unit.

    `low` and `high` bound one new seed, `mean_low` and `mean_high` the mean over the seeds that were run; `mean` is the
    exponential of the expected log-perplexity, `additive_mean` what single effects alone would give. `baseline`,
    `main_effects` and `composition_effects` are on the additive scale and sum to it exactly. The metric is conditional
    on not failing, whose probability is `divergence_risk`. `assumed` names every axis that was not asked for. `tier` is
    `interior`, `new pair` (never run together), `between levels` (a value between measured ones) or `outside` (refuse
    unless forced); `extrapolation` gives the reasons, `notes` what else a reader must know. `scale` says how large the
    models are that it is about, how long they are trained, and what that leaves open.
    """

    metric: str
    mean: float
    low: float
    high: float
    level: float
    mean_low: float
    mean_high: float
    exit_layer: int
    speed_gain: float | None
    speed_gain_trials: int
    divergence_risk: float
    divergence_risk_low: float
    divergence_risk_high: float
    additive_mean: float
    trial: TrialConfig
    assumed: tuple[str, ...]
    baseline: Mapping[str, Any]
    main_effects: tuple[Term, ...]
    composition_effects: tuple[Term, ...]
    nearest: tuple[Neighbour, ...]
    extrapolation: tuple[str, ...]
    tier: str
    notes: tuple[str, ...]
    model: ModelSummary
    scale: Regime

    @property
    def configuration(self) -> dict[str, Any]:
        """Every axis but the seed, in canonical form."""
        return {name: value for name, value in self.trial.axes().items() if name != "seed"}

    def _repr_html_(self) -> str:
        """The parts that it is made of, under the number and its interval."""
        metric, within = self.metric, f"{self.level:.0%} interval {self.low:.4g} to {self.high:.4g}"
        told = f"{metric} {self.mean:.4g} ({within}, one new seed)"
        terms = [
            (" × ".join(each.techniques), change_text(each.value, metric), range_text(each.low, each.high, metric))
            for each in (*self.main_effects, *self.composition_effects)
        ]
        rows = [("baseline", f"{metric} {self.baseline['mean']:.4g}", ""), *terms]
        return table_html("; ".join([told, self.tier, *self.extrapolation]), ("part", "effect", "90 % interval"), rows)

    def to_json_object(self) -> dict[str, Any]:
        """The object of `predict --json`."""
        plain: dict[str, Any] = as_plain({key: getattr(self, key) for key in JSON_KEYS})
        return plain
