"""A configuration as one level per factor: techniques first, then sizes (docs/effects.md, Words).

A *factor* is what a technique says it is: the axes that switch it and those that only matter once it is on; or a size:
the model, the tokens. A *level* has a value for each of the factor's axes. All tables follow the registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitskip.techniques import registry
from bitskip.techniques.axis import Axis
from bitskip.techniques.base import plain
from bitskip.trial.config import AXES, ModelConfig, model_label

Level = tuple[Any, ...]
Levels = tuple[Level, ...]

TECHNIQUES: Mapping[str, tuple[str, ...]] = registry.Table(registry.factors)
"""Factor to its axes, the one that switches it first."""


def _sizes() -> dict[str, tuple[str, ...]]:
    model = tuple(name for name, entry in AXES.items() if entry.group == "model")
    return {"model": model, "tokens": ("tokens",)}


SIZES: Mapping[str, tuple[str, ...]] = registry.Table(_sizes)
"""What a scaling law is about: factors of the predictor, constant inside a stratum."""

FACTORS: Mapping[str, tuple[str, ...]] = registry.Table(lambda: {**TECHNIQUES, **SIZES})
INDEX: Mapping[str, int] = registry.Table(lambda: {name: position for position, name in enumerate(FACTORS)})
"""Where a factor's level stands in `Levels`."""


def method_axes() -> tuple[str, ...]:
    """Axes of techniques."""
    return tuple(name for members in TECHNIQUES.values() for name in members)


def size_axes() -> tuple[str, ...]:
    """Axes of sizes."""
    return tuple(name for members in SIZES.values() for name in members)


def scale_axes() -> tuple[str, ...]:
    """Axes that are no technique: what trials must agree in to be compared, or differ in as rungs."""
    techniques = set(method_axes())
    return tuple(name for name in AXES if name not in techniques and name != "seed")


def levels_of(axes: Mapping[str, Any]) -> Levels:
    """A level per factor of a canonical configuration, by flat axis names or by the columns of a results row."""

    def value(name: str) -> Any:
        found = axes.get(name, axes.get(name.replace(".", "_")))
        found = AXES[name].neutral if found is None else found  # of a row from before there was such an axis
        # Phase 1 is what phase 2 becomes once dropout and exit loss are off: no choice of its own.
        return "2" if name == "phase" and found == "1" else tuple(found) if isinstance(found, list) else found

    return tuple(tuple(value(name) for name in members) for members in FACTORS.values())


def axes_of(levels: Levels) -> dict[str, Any]:
    """The axes behind the levels; `make_trial` turns them into canonical form."""
    pairs = zip(FACTORS.values(), levels, strict=True)
    return {name: value for members, level in pairs for name, value in zip(members, level, strict=True)}


def idle(levels: Levels) -> bool:
    """Whether the phase changes nothing here: with nothing to train in phase 2, phases 2 and 1+2 are phase 1."""
    resting = (factor for kind in registry.techniques() if kind.trained_in_phase_2 for factor in kind.factors())
    return all(levels[INDEX[factor]][0] == AXES[factor].neutral for factor in resting)


def inert(levels: Levels) -> Levels:
    """The levels with the phase reset where it is idle."""
    return with_level(levels, "phase", NEUTRAL["phase"]) if idle(levels) else levels


def with_level(levels: Levels, factor: str, level: Level) -> Levels:
    """The levels with one factor changed."""
    index = INDEX[factor]
    return (*levels[:index], level, *levels[index + 1 :])


NEUTRAL: Mapping[str, Level] = registry.Table(lambda: dict(zip(FACTORS, levels_of({}), strict=True)))
"""By factor, the level that is off; of a size, the default."""


def without_techniques(levels: Levels) -> Levels:
    """The same sizes with every technique off."""
    off = [NEUTRAL[factor] for factor in TECHNIQUES]
    return (*off, *levels[len(off) :])


def level_label(factor: str, level: Level) -> str:
    """Short name of a level: `bits 4`, `dropout quadratic 0.5`; nested axes only where they say something."""
    if factor == "model":
        return f"model {model_label(ModelConfig(*level))}"
    settings = dict(zip(FACTORS[factor], level, strict=True))
    expected = {name: AXES[name].neutral for name in settings}
    if factor in TECHNIQUES:
        expected |= registry.leader(factor).unspoken(settings)
    extras = [
        # A lone number would not say what it is of.
        f"{name} {plain(value)}" if isinstance(value, int | float) and expected[name] is not None else plain(value)
        for name, value in list(settings.items())[1:]
        if value != expected[name]
    ]
    return " ".join([factor, plain(level[0]), *extras])


def _alike(one: Axis, other: Axis) -> bool:
    """Whether a value of the one may be taken for one of the other where its name is not told."""
    numbers = (int, float)
    if one.kind in numbers or other.kind in numbers:
        return one.kind in numbers and other.kind in numbers
    choices = [set(entry.choices or ()) - {entry.neutral} for entry in (one, other)]
    return one.kind == other.kind and (not all(choices) or bool(choices[0] & choices[1]))


def cell_label(levels: Levels, baseline: Levels) -> str:
    """What a cell changes against the baseline."""
    changed = [
        level_label(factor, level)
        for factor, level, reference in zip(FACTORS, levels, baseline, strict=True)
        if level != reference
    ]
    return " + ".join(changed) or "baseline"
