"""Which configurations of a grid to run (docs/designs.md): the table of designs.

A static design follows from the sweep file, but for configurations that have run already, which take the place of
others. An adaptive one is asked again, batch after batch, with what the results say so far.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitskip.sweep.adaptive import Chooser, choose_guided, choose_optuna
from bitskip.sweep.d_optimal import augmented, d_optimal
from bitskip.sweep.grid import Grid

Settings = Mapping[str, Any]


def crossed(axes: Sequence[Sequence[Settings]], centre: Settings) -> Iterable[tuple[Settings, ...]]:
    """Every combination of levels."""
    return itertools.product(*axes) if axes else ()


def one_at_a_time(axes: Sequence[Sequence[Settings]], centre: Settings) -> Iterable[tuple[Settings, ...]]:
    """The centre, and the centre with one axis at each of its other levels."""
    if not axes:
        return
    yield (centre,)
    for level in itertools.chain.from_iterable(axes):
        if any(name not in centre or centre[name] != value for name, value in level.items()):
            yield centre, level


def _all(grid: Grid, count: int, points: Sequence[int], ran: Sequence[int]) -> list[int]:
    return list(range(len(grid.configurations)))


def _random_subset(grid: Grid, count: int, points: Sequence[int], ran: Sequence[int]) -> list[int]:
    # A fixed seed: the same file always means the same trials.
    size = len(grid.configurations)
    return sorted(random.Random(0).sample(range(size), min(count, size)))


def _fractional(grid: Grid, count: int, points: Sequence[int], ran: Sequence[int]) -> list[int]:
    return augmented(grid.levels, d_optimal(grid.levels, count, points), points, ran)


def _nothing_yet(grid: Grid, count: int, points: Sequence[int], ran: Sequence[int]) -> list[int]:
    return []


@dataclass(frozen=True)
class Design:
    """What a design runs, in words, and how it gets there.

    `expand` makes cells, as layers of settings of which later ones prevail, from the levels of all axes.
    `choose(grid, count, points, ran)` takes `count` configurations, by their positions; the named points among them
    count, and what has run may stand in for others. An adaptive design takes none: it has a `next_batch`.
    """

    runs: str
    choose: Callable[[Grid, int, Sequence[int], Sequence[int]], list[int]] = _nothing_yet
    takes_count: bool = True
    expand: Callable[[Sequence[Sequence[Settings]], Settings], Iterable[tuple[Settings, ...]]] = crossed
    next_batch: Chooser | None = None
    note: str | None = None


DESIGNS: dict[str, Design] = {
    "full": Design("every configuration", _all, takes_count=False),
    "random": Design("n drawn at random, the same for the same file", _random_subset),
    "ofat": Design(
        "the baseline, and the baseline with one axis changed",
        _all,
        takes_count=False,
        expand=one_at_a_time,
        note="one factor at a time: no composition effect can be estimated from these points",
    ),
    "fractional": Design("the n that determine main and pair effects best", _fractional),
    "guided": Design("batches that determine main and pair effects best around what has run", next_batch=choose_guided),
    "optuna": Design("batches that Optuna proposes for the lowest loss", next_batch=choose_optuna),
}
"""By name; a design that takes a count is written `{name: n}` in a sweep file, any other `name`."""
