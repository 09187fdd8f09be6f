"""What was asked of the predictor, completed to a whole configuration from what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitskip.analysis.factorial import Family, Stratum
from bitskip.analysis.levels import FACTORS, INDEX, NEUTRAL, Level, Levels, axes_of, levels_of
from bitskip.errors import UserError
from bitskip.techniques import registry
from bitskip.trial.config import AXES, TrialConfig, flatten_axes, make_trial


@dataclass(frozen=True)
class Completed:
    """A configuration with where it is predicted: its family, and the stratum nearest to its size.

    `named` are the axes that were asked for, `elsewhere` those of them that name a scale which was not measured.
    """

    trial: TrialConfig
    levels: Levels
    family: Family
    stratum: Stratum
    named: Mapping[str, Any]
    elsewhere: Mapping[str, Any]


def complete(families: Sequence[Family], axes: Mapping[str, Any]) -> Completed:
    """A value for every axis: as named, else as measured where most of the scale and size asked for was.

    Raises UserError for an unknown axis or an impossible combination.
    """
    given = flatten_axes({name: value for name, value in axes.items() if value is not None})
    if "seed" in given:
        raise UserError("seed: a prediction is for a new seed; leave it out")
    named = {name: AXES[name].check(value) for name, value in given.items()}

    def differing(scale: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in named.items() if name in scale and scale[name] != value}

    family = min(families, key=lambda each: len(differing(each.scale)))
    stratum = min(family.strata, key=lambda each: len(differing(each.scale)))
    elsewhere = differing(family.scale)
    asked = {**elsewhere, **_techniques(family, stratum, named)}
    levels = levels_of(make_trial(**{**stratum.settings(stratum.baseline), **asked}).axes())
    # A tuned recipe is that of the configuration, which is known only now.
    trial = make_trial(**{**stratum.settings(levels), **asked})
    return Completed(trial, levels, family, stratum, named, elsewhere)


def _techniques(family: Family, stratum: Stratum, named: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every factor's axes.

    A technique of which nothing is named is at the baseline. Of one that is named in part, the rest is taken from the
    measured level that agrees best, then from the most frequent one.
    """
    axes = axes_of(stratum.baseline)
    for factor, members in FACTORS.items():
        given = {name: named[name] for name in members if name in named}
        if not given:
            continue
        counts = Counter(cell.levels[INDEX[factor]] for cell in family.cells)
        template = dict(zip(members, _agreeing_level(factor, given, counts), strict=True))
        if template[members[0]] != given.get(members[0], template[members[0]]):
            for implied in _implied(given).keys() & set(members) - set(
                given
            ):  # a width that was not measured has its own
                template.pop(implied)
                axes.pop(implied, None)
        elsewhere = _implied(named).items() - _implied(given).items()  # integer weights are not ternary, too
        template |= {name: value for name, value in elsewhere if name in template}
        axes |= template | given
    return axes


def _implied(given: Mapping[str, Any]) -> dict[str, Any]:
    """What techniques derive from the axes that are given."""
    return {name: value for kind in registry.techniques() for name, value in kind.implied(given).items()}


def _agreeing_level(factor: str, given: Mapping[str, Any], counts: Mapping[Level, int]) -> Level:
    """The measured level that shares most values with those given, then is on if they are, then is most frequent."""
    off = NEUTRAL[factor]
    neutral = dict(zip(FACTORS[factor], off, strict=True))
    active = any(value != neutral[name] for name, value in given.items())

    def rank(level: Level) -> tuple[int, bool, int, str]:
        own = dict(zip(FACTORS[factor], level, strict=True))
        same = sum(own[name] == value for name, value in given.items())
        return same, (level != off) == active, counts[level], repr(level)

    return max(counts, key=rank)
