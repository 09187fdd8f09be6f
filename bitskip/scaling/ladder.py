"""Ladders: strata that differ in size, tokens and recipe only, as rungs of (parameters, tokens) (docs/scaling.md)."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bitskip.analysis.contrasts import Treatment, Values, Weights, estimate, moebius, shared_seeds, treated
from bitskip.analysis.design_matrix import Array
from bitskip.analysis.factorial import Stratum, strata
from bitskip.analysis.levels import INDEX, TECHNIQUES, Level, Levels, axes_of, inert, level_label, levels_of
from bitskip.analysis.metrics import Metric
from bitskip.errors import UserError, nearest
from bitskip.trial.config import AXES, PLACES, ModelConfig, make_trial, model_label
from bitskip.trial.cost import non_embedding_parameters

if TYPE_CHECKING:
    from bitskip.store.tables import Results

PRIOR_DF = 8.0
"""Degrees of freedom that all rungs' seed noise together counts beside a rung's own: a rung has few seeds, and the
noise of one contrast, with one text, is of one order all along a ladder."""

Context = tuple[Level, ...]
"""Levels of the techniques that stay as they are in a contrast; the sizes are the rung's."""


@dataclass(frozen=True)
class Rung:
    """An effect as measured at one scale, in nats per token.

    `se` is its own error, drawn towards that of all rungs, and the only one of a single seed. `settings` counts those
    of the other techniques that were averaged over. `below_counting`: some model of it is not below bigrams counted on
    its tokens. `scale` is the label of its stratum.
    """

    scale: str
    model: str
    parameters: int
    tokens: int
    value: float
    se: float
    seeds: int
    settings: int
    below_counting: bool


@dataclass(frozen=True)
class Effects:
    """One effect along a ladder: its rungs, the covariance [rungs, rungs] of their errors, and degrees of freedom."""

    rungs: tuple[Rung, ...]
    covariance: Array
    df: float

    @property
    def values(self) -> Array:
        return np.array([rung.value for rung in self.rungs])

    @property
    def places(self) -> Array:
        """[rungs, 2]: logarithms of parameters and tokens."""
        return np.log([[rung.parameters, rung.tokens] for rung in self.rungs])

    def without(self, index: int) -> Effects:
        kept = [i for i in range(len(self.rungs)) if i != index]
        return Effects(tuple(self.rungs[i] for i in kept), self.covariance[np.ix_(kept, kept)], self.df)


def ladders(results: Results, **scale: Any) -> list[list[Stratum]]:
    """Strata of one text that may differ in model, tokens and recipe; the ladder with most rungs first.

    `scale` names axes and values that all of its trials shall have, such as `seq_len=128`. Raises UserError for an axis
    that is none, or where no trial has them.
    """
    for name in scale:
        if name not in AXES or AXES[name].technique is not None:
            raise UserError(f"'{name}' is no axis of a scale{nearest(name, AXES)}")
    wanted = {name: AXES[name].check(value) for name, value in scale.items()}
    found = by_text(
        [stratum for stratum in strata(results) if all(stratum.scale[name] == value for name, value in wanted.items())]
    )
    if not found:
        told = " with " + ", ".join(f"{name} {value}" for name, value in wanted.items()) if wanted else ""
        raise UserError(f"no finished trials{told}: run a sweep with `ladder:` first")
    return found


def by_text(found: Iterable[Stratum]) -> list[list[Stratum]]:
    """Strata with finished trials that may be rungs of one ladder together; the ladder with most rungs first."""
    grouped: dict[tuple[Any, ...], list[Stratum]] = {}
    for stratum in found:
        if stratum.finished:
            grouped.setdefault(_text(stratum.scale), []).append(stratum)
    return sorted(grouped.values(), key=lambda own: -len({scale_of(stratum) for stratum in own}))


def _text(scale: Mapping[str, Any]) -> tuple[Any, ...]:
    """What losses must share to be of one ladder: text, tokenizer, sequence length. The recipe goes with the size."""
    placed = {place for digest, place in PLACES.items() if scale[digest]}
    names = [name for name in scale if AXES[name].group == "data"] + ["seq_len", "documents"]
    return tuple(scale[name] for name in names if name not in placed)


def scale_of(stratum: Stratum) -> tuple[int, int]:
    """(non-embedding parameters, tokens)."""
    sizes = {name: stratum.scale[f"model.{name}"] for name in vars(ModelConfig())}
    return non_embedding_parameters(ModelConfig(**sizes)), int(stratum.scale["tokens"])


def treatments_of(ladder: Sequence[Stratum], asked: Sequence[Any]) -> tuple[Treatment, ...]:
    """`("bits", 4)`, or a mapping of several axes of one technique, as levels that were measured in the ladder.

    Raises UserError for what is no technique, was never measured, is the baseline, or is told in too few words.
    """
    if not asked:
        raise UserError('name at least one technique, as in contrast(("bits", 4), …)')
    found = tuple(_treatment(ladder, each) for each in asked)
    factors = [factor for factor, _ in found]
    for factor in factors:
        if factors.count(factor) > 1:
            raise UserError(f"{factor}: named twice; a contrast is of different techniques")
    return found


def _treatment(ladder: Sequence[Stratum], asked: Any) -> Treatment:
    if not isinstance(asked, Mapping) and not (isinstance(asked, tuple | list) and len(asked) == 2):
        raise UserError(f'expected a technique and its value, as in ("bits", 4), got {asked!r}')
    given = dict(asked) if isinstance(asked, Mapping) else {asked[0]: asked[1]}
    factors = {factor: members for factor, members in TECHNIQUES.items() if set(given) & set(members)}
    unknown = [str(name) for name in given if not any(name in members for members in factors.values())]
    if unknown or len(factors) != 1:
        known = [name for members in TECHNIQUES.values() for name in members]
        raise UserError(
            f"'{unknown[0]}' is no axis of a technique{nearest(unknown[0], known)}"
            if unknown
            else f"{', '.join(map(str, given))}: expected axes of one technique"
        )
    ((factor, members),) = factors.items()
    wanted = {name: AXES[name].check(value) for name, value in given.items()}
    index = INDEX[factor]
    held = Counter(level for s in ladder for level in {cell.levels[index] for cell in s.cells} - {s.baseline[index]})
    fitting = {
        level: count
        for level, count in held.items()
        if all(dict(zip(members, level, strict=True))[name] == value for name, value in wanted.items())
    }
    told = ", ".join(f"{name} {value}" for name, value in wanted.items())
    if not fitting:
        measured = ", ".join(level_label(factor, level) for level in sorted(held, key=repr)) or "none"
        raise UserError(f"{told} was not measured against the baseline in this ladder (measured: {measured})")
    # What is not named is as usual: the level that was measured on most rungs, then the one that takes fewest words.
    labels = {level: level_label(factor, level) for level, count in fitting.items() if count == max(fitting.values())}
    fewest = min(len(label.split()) for label in labels.values())
    chosen = [level for level, label in labels.items() if len(label.split()) == fewest]
    if len(chosen) > 1:
        raise UserError(f"{told} may be {' or '.join(sorted(labels.values()))}: name more of its axes, in a mapping")
    return factor, chosen[0]


def effects_along(
    ladder: Sequence[Stratum], treatments: Sequence[Treatment], metric: Metric, *, whole: bool = False
) -> Effects:
    """The effect of the treatments at every rung where it was measured, over the same settings of other techniques.

    With `whole`, all treatments together against none of them. Where several strata are of one size and budget, as in
    a search of rates, the one with most settings, then most seeds, then with tuned rates, then the lowest baseline is
    taken. Raises UserError where nothing of it was measured, or no rung has two seeds.
    """
    contexts = dict.fromkeys(
        treated(cell.levels, [(factor, stratum.baseline[INDEX[factor]]) for factor, _ in treatments])[: len(TECHNIQUES)]
        for stratum in ladder
        for cell in stratum.cells
    )
    candidates = [_Measured.of(stratum, treatments, contexts, metric, whole) for stratum in ladder]
    known = [own for own in candidates if own.contexts]
    by_scale: dict[tuple[int, int], _Measured] = {}
    for own in sorted(known, key=lambda o: (-len(o.contexts), -o.seeds, not o.stratum.tuned, o.reference)):
        by_scale.setdefault(scale_of(own.stratum), own)
    if not by_scale:
        labels = " × ".join(level_label(*each) for each in treatments)
        raise UserError(f"{labels}: no rung has all cells of this contrast with a seed in common; run them together")
    measured = [by_scale[scale] for scale in sorted(by_scale)]
    shared = set.intersection(*(set(own.contexts) for own in measured))
    if not shared:  # the setting that most rungs have
        counts = Counter(context for own in measured for context in own.contexts)
        shared = {max(counts, key=lambda context: (counts[context], repr(context)))}
        measured = [own for own in measured if shared <= set(own.contexts)]
    return _joined([own.at(shared) for own in measured])


@dataclass(frozen=True)
class _Measured:
    """Contrasts of one stratum by the levels of the other techniques."""

    stratum: Stratum
    values: Values
    metric: Metric
    contexts: Mapping[Context, Weights]

    @classmethod
    def of(
        cls,
        stratum: Stratum,
        treatments: Sequence[Treatment],
        contexts: Iterable[Context],
        metric: Metric,
        whole: bool,
    ) -> _Measured:
        values = {cell.levels: cell.values(metric) for cell in stratum.cells}
        sizes = stratum.baseline[len(TECHNIQUES) :]
        found = {}
        for context in contexts:
            weights: dict[Levels, float] = {}
            at = (*context, *sizes)
            asked = {inert(treated(at, treatments)): 1.0, inert(at): -1.0} if whole else moebius(at, treatments)
            for levels, weight in asked.items():
                here = levels if levels in values else _as_known_at_its_size(levels)
                weights[here] = weights.get(here, 0.0) + weight
            weights = {levels: weight for levels, weight in weights.items() if weight}
            if shared_seeds(weights, values):
                found[context] = weights
        return cls(stratum, values, metric, found)

    @property
    def seeds(self) -> int:
        """Those that all cells of some setting share, at most."""
        return max(len(shared_seeds(weights, self.values)) for weights in self.contexts.values())

    @property
    def reference(self) -> float:
        """The loss of the baseline, or of what was run."""
        found = self.values.get(self.stratum.baseline) or {0: np.inf}
        return float(np.mean(list(found.values())))

    def at(self, shared: set[Context]) -> _AtRung:
        contrasts = [self.contexts[context] for context in sorted(shared, key=repr)]
        cells = {cell.levels: cell for cell in self.stratum.cells}
        used = {levels for weights in contrasts for levels in weights}
        text = {levels: cells[levels].sequences(self.metric) for levels in used}
        found = estimate(contrasts, self.values, text=text)
        assert found is not None  # every context has a seed that all of its cells share
        by_seed = [
            {
                s: sum(w * self.values[levels][s] for levels, w in weights.items())
                for s in shared_seeds(weights, self.values)
            }
            for weights in contrasts
        ]
        common = set.intersection(*(set(own) for own in by_seed))
        text_se = found.text_se or 0.0
        own = None if found.se is None else found.se**2 - text_se**2
        parameters, tokens = scale_of(self.stratum)
        sizes = {name: self.stratum.scale[f"model.{name}"] for name in vars(ModelConfig())}
        return _AtRung(
            Rung(
                self.stratum.label,
                model_label(ModelConfig(**sizes)),
                parameters,
                tokens,
                found.value,
                math.nan,
                found.seeds,
                len(contrasts),
                any(cells[levels].below_counting for levels in used),
            ),
            own,
            found.df,
            text_se,
            {seed: float(np.mean([each[seed] for each in by_seed])) for seed in common},
        )


@functools.lru_cache(maxsize=4096)
def _as_known_at_its_size(levels: Levels) -> Levels:
    """Canonical form depends on depth: in three layers, quadratic dropout of 0.5 is linear dropout of 0.25."""
    try:
        return inert(levels_of(make_trial(**axes_of(levels)).axes()))
    except UserError:  # not possible at this size
        return levels


@dataclass(frozen=True)
class _AtRung:
    """A rung with the variance of its seeds alone, their degrees of freedom, the text's error, and values by seed."""

    rung: Rung
    variance: float | None
    df: float
    text_se: float
    by_seed: Mapping[int, float]


def _joined(found: Sequence[_AtRung]) -> Effects:
    """All rungs with the covariance of their errors.

    A rung's own variance is drawn towards that of all, per seed. What a seed does to all rungs, or to those of one
    size, whose budgets may share a trunk, is told by products of its deviations over pairs of rungs. The text is one.
    """
    known = [own for own in found if own.variance is not None and own.df > 0]
    if not known:
        raise UserError("no rung has two seeds of this contrast: the error is not known; run a second seed")
    df = sum(own.df for own in known)
    pooled = sum(own.df * (own.variance or 0.0) * own.rung.seeds for own in known) / df

    def variance(own: _AtRung) -> float:
        if own.variance is None:
            return pooled / own.rung.seeds
        return (PRIOR_DF * pooled / own.rung.seeds + own.df * own.variance) / (PRIOR_DF + own.df)

    diagonal = np.array([variance(own) for own in found])
    within, across = _shared_by_seed(found)
    sizes = np.array([own.rung.parameters for own in found])
    alike = sizes[:, None] == sizes[None, :]
    shares = np.array([[_overlap(one, other) for other in found] for one in found])
    shared = np.where(alike, max(within, across), across) * shares
    np.fill_diagonal(shared, 0.0)
    text = np.array([own.text_se for own in found])
    covariance = shared + np.diag(np.maximum(diagonal, np.abs(shared).max(axis=1, initial=0.0))) + np.outer(text, text)
    covariance = _positive(covariance)
    rungs = (replace(own.rung, se=math.sqrt(covariance[i, i])) for i, own in enumerate(found))
    return Effects(tuple(rungs), covariance, df)


def _overlap(one: _AtRung, other: _AtRung) -> float:
    """By what a shared variance per seed is divided, inverted: both means hold the seeds that they have in common."""
    both = len(set(one.by_seed) & set(other.by_seed))
    return both / max(1, len(one.by_seed)) / max(1, len(other.by_seed))


def _shared_by_seed(found: Sequence[_AtRung]) -> tuple[float, float]:
    """Covariance, per seed, of two rungs of one size, and of different sizes; never below zero."""
    products: dict[bool, list[float]] = {True: [], False: []}
    for i, one in enumerate(found):
        for other in found[:i]:
            seeds = sorted(set(one.by_seed) & set(other.by_seed))
            if len(seeds) > 1:
                pair = np.array([[own.by_seed[seed] for seed in seeds] for own in (one, other)])
                products[one.rung.parameters == other.rung.parameters].append(float(np.cov(pair)[0, 1]))
    within, across = (max(0.0, float(np.mean(own))) if own else 0.0 for own in (products[True], products[False]))
    return within, across


def _positive(covariance: Array) -> Array:
    """The nearest covariance that is one: few seeds may tell of more in common than there is."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)
