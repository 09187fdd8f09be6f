"""Grids with known truths for benchmarks of the predictor and of designs: spaces, surfaces over them, what is left out.

A space crosses levels of techniques (and sizes). A truth draws log perplexities of all its cells from a generator. A
scenario joins both with a way to leave cells out and with the noise of seeds.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitskip import make_trial
from bitskip.sweep.d_optimal import d_optimal
from bitskip.trial.config import TrialConfig

Array = np.ndarray
Source = np.random.Generator

BITS: Mapping[int, Mapping[str, Any]] = {b: {"bits": b} for b in (16, 8, 6, 5, 4, 3, 2)}
ROTATION = [{"hadamard": "none"}, {"hadamard": "bitnet-v2"}]


def dropout(*rates: float) -> list[dict[str, Any]]:
    return [{"dropout": "quadratic", "dropout_max": rate} if rate else {"dropout": "none"} for rate in rates]


def axis(name: str, *values: Any) -> list[dict[str, Any]]:
    return [{name: value} for value in values]


@dataclass(frozen=True)
class Space:
    """A full crossing: `factors` by name with their levels in order of strength, the neutral one first."""

    factors: Mapping[str, Sequence[Mapping[str, Any]]]

    @functools.cached_property
    def place(self) -> Array:
        """[cells, factors], the position of each cell's levels."""
        return np.array(list(itertools.product(*(range(len(levels)) for levels in self.factors.values()))))

    @functools.cached_property
    def trials(self) -> list[TrialConfig]:
        names = list(self.factors)
        return [
            make_trial(
                **{k: v for name, at in zip(names, cell, strict=True) for k, v in self.factors[name][at].items()}
            )
            for cell in self.place.tolist()
        ]

    def at(self, factor: str) -> Array:
        return self.place[:, list(self.factors).index(factor)]

    def has(self, factor: str, **settings: Any) -> Array:
        """Whether each cell is at a level with these settings."""
        levels = [all(level.get(k) == v for k, v in settings.items()) for level in self.factors[factor]]
        return np.array(levels)[self.at(factor)]

    @functools.cached_property
    def low_bits(self) -> Array:
        return np.array([level["bits"] <= 4 for level in self.factors["bits"]])[self.at("bits")]


SPACES = {
    "wide": Space(
        {
            "bits": [BITS[b] for b in (16, 8, 6, 4)],
            "hadamard": ROTATION,
            "dropout": dropout(0, 0.2, 0.5),
            "exits": axis("exit_weight", 0.0, 0.1, 0.3),
            "cache": axis("kv_bits", 16, 4),
        }
    ),
    "long": Space(
        {
            "bits": [BITS[b] for b in (16, 8, 6, 5, 4, 3)],
            "hadamard": ROTATION,
            "dropout": dropout(0, 0.1, 0.2, 0.35, 0.5),
            "exits": axis("exit_weight", 0.0, 0.3),
        }
    ),
    "exits": Space(
        {
            "bits": [BITS[b] for b in (16, 8, 4)],
            "hadamard": ROTATION,
            "exits": axis("exit_weight", 0.0, 0.05, 0.1, 0.2, 0.3),
            "dropout": dropout(0, 0.2, 0.5),
        }
    ),
    "low": Space(
        {
            "bits": [BITS[b] for b in (16, 8, 6, 4, 3, 2)],
            "hadamard": ROTATION,
            "exits": axis("exit_weight", 0.0, 0.1, 0.3),
            "cache": axis("kv_bits", 16, 4),
        }
    ),
    "many": Space(
        {
            "bits": [BITS[b] for b in (16, 8, 4)],
            "hadamard": ROTATION,
            "dropout": dropout(0, 0.3),
            "exits": axis("exit_weight", 0.0, 0.3),
            "cache": axis("kv_bits", 16, 4),
            "model": axis("model", "nano", "micro"),
        }
    ),
    "phases": Space(
        {
            "bits": [BITS[b] for b in (16, 8, 4)],
            "hadamard": ROTATION,
            "dropout": dropout(0.2, 0.5),
            "exits": axis("exit_weight", 0.0, 0.1, 0.3),
            "phase": axis("phase", "2", "1+2"),
        }
    ),
}

LARGEST = {"bits": 0.25, "hadamard": 0.08, "dropout": 0.15, "exits": 0.12, "cache": 0.1, "model": 0.2, "phase": 0.04}
"""Typical effect of a factor's last level on log perplexity."""


def strengths(levels: Sequence[Mapping[str, Any]]) -> Array:
    """The number that orders a factor's levels; of two levels 0 and 1."""
    if len(levels) == 2:
        return np.arange(2.0)
    return np.array([next((float(v) for v in level.values() if isinstance(v, float)), 0.0) for level in levels])


def single(space: Space, source: Source) -> list[Array]:
    """Of every factor, the effect of each level: growing towards the last one, small at first."""
    found = []
    for name, levels in space.factors.items():
        last = LARGEST[name] * source.uniform(0.4, 1.6) * (-1 if name in ("model", "phase") else 1)
        last *= -1 if name == "hadamard" and source.random() < 0.3 else 1
        if name == "bits":
            damage = np.exp(-np.array([level["bits"] for level in levels]) / source.uniform(1.5, 5.0))
            shares = (damage - damage[0]) / (damage[-1] - damage[0])
        else:
            numbers = strengths(levels)
            shares = (numbers / numbers[-1]) ** source.uniform(0.6, 2.0)
        found.append(last * shares)
    return found


def spread(space: Space, effects: Sequence[Array]) -> list[Array]:
    """Each factor's effect in every cell."""
    return [effect[space.place[:, at]] for at, effect in enumerate(effects)]


def additive(space: Space, source: Source) -> Array:
    return 1.5 + sum(spread(space, single(space, source)))


def pairs(strength: float, space: Space, source: Source) -> Array:
    """Pairs in proportion to their parents."""
    effects = single(space, source)
    parts = spread(space, effects)
    y = 1.5 + sum(parts)
    for i, j in itertools.combinations(range(len(parts)), 2):
        largest = [float(np.abs(effects[k]).max()) for k in (i, j)]
        y = y + strength * source.normal() * min(largest) * (parts[i] / largest[0]) * (parts[j] / largest[1])
    return y


def threshold(space: Space, source: Source) -> Array:
    """Nothing happens down to 5 bits, a jump below, which rotation softens; exits jump at their second level, too."""
    parts = dict(zip(space.factors, spread(space, single(space, source)), strict=True))
    jump = source.uniform(0.15, 0.5) * space.low_bits
    y = 1.5 + sum(part for name, part in parts.items() if name != "bits") + jump
    return y - source.uniform(0, 0.6) * jump * (space.at("hadamard") > 0)


def worst(space: Space, source: Source) -> Array:
    """The worst technique dominates."""
    return 1.5 + np.max(np.abs(spread(space, single(space, source))), axis=0)


def saturating(space: Space, source: Source) -> Array:
    ceiling = source.uniform(0.15, 0.4)
    return 1.5 + ceiling * (1 - np.exp(-sum(np.abs(spread(space, single(space, source)))) / ceiling))


def multiplicative(space: Space, source: Source) -> Array:
    """A floor, and an excess that every technique multiplies."""
    excess = source.uniform(0.3, 0.8) * np.ones(len(space.place))
    for part in spread(space, single(space, source)):
        excess = excess * (1 + 3 * part) if part.min() >= 0 else excess * np.exp(3 * part)
    return 1.0 + excess


def special(space: Space, source: Source) -> Array:
    """Additive but for one pair: the last level of 4 bits (and fewer) with rotation."""
    size = source.uniform(0.08, 0.25) * source.choice([-1, 1])
    return additive(space, source) + size * space.low_bits * (space.at("hadamard") > 0)


def wavy(space: Space, source: Source) -> Array:
    """Not monotone: every level its own effect, whatever its neighbours'."""
    y = np.full(len(space.place), 1.5)
    for at, (name, levels) in enumerate(space.factors.items()):
        y = y + source.normal(0, 0.7 * LARGEST[name], len(levels))[space.place[:, at]]
    return y


def sparse(space: Space, source: Source) -> Array:
    """Additive but for one corner where every technique is on at full strength, or nearly so."""
    strong = space.place >= space.place.max(axis=0) - (space.place.max(axis=0) > 2)
    return additive(space, source) + source.uniform(0.15, 0.3) * strong.all(axis=1)


def regimes(space: Space, source: Source) -> Array:
    """At few bits all other techniques act otherwise, in size and some in sign."""
    effects = single(space, source)
    parts = spread(space, effects)
    factors = source.uniform(-0.5, 2.5, len(parts))
    factors[list(space.factors).index("bits")] = 1.0
    return 1.5 + sum(part * np.where(space.low_bits, f, 1.0) for part, f in zip(parts, factors, strict=True))


def unrelated(space: Space, source: Source) -> Array:
    """Pairs of random size whatever their parents, a fifth of the variance."""
    y = additive(space, source)
    mixed = np.zeros(len(y))
    for i, j in itertools.combinations(range(space.place.shape[1]), 2):
        shape = [int(space.place[:, k].max()) + 1 for k in (i, j)]
        table = source.normal(size=shape)
        table = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
        mixed += table[space.place[:, i], space.place[:, j]]
    return y + mixed / mixed.std() * y.std() * 0.5


TRUTHS: dict[str, Callable[[Space, Source], Array]] = {
    "additive": additive,
    "weak pairs": functools.partial(pairs, 0.3),
    "pairs": functools.partial(pairs, 0.8),
    "threshold": threshold,
    "worst dominates": worst,
    "saturating": saturating,
    "multiplicative": multiplicative,
    "special pair": special,
    "wavy": wavy,
    "sparse corner": sparse,
    "regimes": regimes,
    "unrelated pairs": unrelated,
}

LeftOut = Callable[[Space, Source], Array]
"""Which cells are left out, bool [cells]."""


def cells(trained: float) -> LeftOut:
    """All but a random share, of which every level is in at least one."""

    def leave(space: Space, source: Source) -> Array:
        count = round(trained * len(space.place))
        while True:
            kept = source.choice(len(space.place), count, replace=False)
            if all(
                len(set(space.place[kept, at])) == len(set(space.place[:, at])) for at in range(space.place.shape[1])
            ):
                return np.isin(np.arange(len(space.place)), kept, invert=True)

    return leave


def fraction(share: float) -> LeftOut:
    """All but a D-optimal fraction."""

    def leave(space: Space, source: Source) -> Array:
        # Rows in another order give another of the good fractions.
        order = source.permutation(len(space.place))
        chosen = d_optimal([tuple(map(int, space.place[at])) for at in order], round(share * len(order)))
        return np.isin(np.arange(len(order)), order[chosen], invert=True)

    return leave


def pair(space: Space, source: Source) -> Array:
    """All cells of a pair of levels off the baseline; never one of few bits with rotation."""
    while True:
        i, j = sorted(source.choice(space.place.shape[1], 2, replace=False))
        names = [list(space.factors)[k] for k in (i, j)]
        if {"model", "phase"} & set(names) or names == ["bits", "hadamard"]:
            continue
        one, other = (int(source.integers(1, len(space.factors[name]))) for name in names)
        return (space.place[:, i] == one) & (space.place[:, j] == other)


def rotated_four_bits(space: Space, source: Source) -> Array:
    return space.has("bits", bits=4) & (space.at("hadamard") > 0)


def level(factor: str, **settings: Any) -> LeftOut:
    """All cells of a level."""
    return lambda space, source: space.has(factor, **settings)


@dataclass(frozen=True)
class Scenario:
    """A truth over a space, what is left out, and the noise: `sigma` of a trial, `shift` of a seed.

    With `noisy`, quantized cells are three times as noisy as the others.
    """

    truth: str
    space: str
    left_out: LeftOut
    what: str
    sigma: float = 0.015
    shift: float = 0.015
    seeds: int = 2
    noisy: bool = False

    @property
    def name(self) -> str:
        return f"{self.truth}, {self.space}, {self.what}"


@dataclass(frozen=True)
class Draw:
    """One draw of a scenario: losses [cells, seeds], and which cells are left out.

    `truth` is what the mean over the seeds tends to: with the mean of their shifts, without other noise. A new seed's
    losses are normal, with mean and standard deviation `new_seed`.
    """

    space: Space
    truth: Array
    losses: Array
    new_seed: tuple[Array, Array]
    left_out: Array


def draw(scenario: Scenario, number: int) -> Draw:
    """Always the same for a scenario and number."""
    source = np.random.default_rng([number, *scenario.name.encode()])
    space = SPACES[scenario.space]
    truth = TRUTHS[scenario.truth](space, source)
    sd = np.full(len(truth), scenario.sigma)
    if scenario.noisy:
        sd = np.where(space.at("bits") > 0, 3.0, 1.0) * sd / 2
    shifts = source.normal(0, scenario.shift, scenario.seeds + 1)
    losses = truth[:, None] + shifts + sd[:, None] * source.normal(size=(len(truth), len(shifts)))
    new_seed = truth, np.hypot(sd, scenario.shift)
    return Draw(space, truth + shifts[:-1].mean(), losses[:, :-1], new_seed, scenario.left_out(space, source))


def _scenarios() -> list[Scenario]:
    half, third, fifth = (
        (cells(1 / 2), "half left out"),
        (cells(1 / 3), "two thirds left out"),
        (fraction(1 / 5), "a fifth run"),
    )
    new_pair, special_pair = (pair, "a pair left out"), (rotated_four_bits, "4 bits with rotation left out")
    six = (level("bits", bits=6), "6 bits left out")
    three = (level("bits", bits=3), "3 bits left out")
    two = (level("bits", bits=2), "2 bits left out")
    tenth = (level("exits", exit_weight=0.1), "exit weight 0.1 left out")
    rate = (level("dropout", dropout="quadratic", dropout_max=0.2), "dropout 0.2 left out")
    return [
        Scenario("additive", "wide", *half),
        Scenario("additive", "many", *third),
        Scenario("weak pairs", "wide", *third),
        Scenario("weak pairs", "wide", *six),
        Scenario("weak pairs", "exits", *new_pair),
        Scenario("pairs", "wide", *half, seeds=3),
        Scenario("pairs", "wide", *fifth),
        Scenario("pairs", "wide", *new_pair),
        Scenario("pairs", "exits", *tenth),
        Scenario("pairs", "wide", *third, noisy=True, seeds=3),
        Scenario("pairs", "phases", *half, seeds=3),
        Scenario("threshold", "long", *half),
        Scenario("threshold", "long", *third),
        Scenario("threshold", "wide", *new_pair),
        Scenario("threshold", "low", *three),
        Scenario("worst dominates", "wide", *half),
        Scenario("worst dominates", "wide", *fifth),
        Scenario("worst dominates", "long", *third),
        Scenario("worst dominates", "wide", *new_pair),
        Scenario("saturating", "wide", *third),
        Scenario("saturating", "exits", *new_pair),
        Scenario("multiplicative", "wide", *half),
        Scenario("multiplicative", "many", *third),
        Scenario("multiplicative", "exits", *new_pair),
        Scenario("multiplicative", "exits", *tenth),
        Scenario("special pair", "wide", *half),
        Scenario("special pair", "wide", *special_pair),
        Scenario("special pair", "many", *third, seeds=3),
        Scenario("wavy", "long", *half),
        Scenario("wavy", "wide", *third, seeds=1, shift=0.0),
        Scenario("sparse corner", "wide", *half),
        Scenario("regimes", "wide", *third),
        Scenario("regimes", "long", *rate),
        Scenario("regimes", "low", *two),
        Scenario("unrelated pairs", "wide", *half),
        Scenario("unrelated pairs", "wide", *new_pair),
    ]  # fmt: skip


SCENARIOS = _scenarios()
