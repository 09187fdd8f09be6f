"""Seeds that were added after a look at the results: what a verdict pays for (docs/effects.md, Verdicts).

Whoever adds seeds until a verdict is there finds one in the end. A design gives all cells the same seeds and runs them
side by side, so that a seed of a few cells, or one that began when all others had begun, was added later.
"""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from collections.abc import Sequence

from bitskip.analysis.factorial import Cell
from bitskip.analysis.metrics import Row

MOST_CELLS = 0.8
"""A seed that fewer of the cells were tried with was added for these."""

FIRST_LOOK = 0.8
"""Share of the error rate that the first look spends."""


def price(looks: int) -> float:
    """What a p-value is multiplied by after so many seeds were added: every further look spends less."""
    return (1 + 2 * looks) / FIRST_LOOK


def added_seeds(cells: Sequence[Cell]) -> set[int]:
    """The seeds of a stratum's cells that its first design did not have."""
    held = Counter(row["seed"] for cell in cells for row in cell.rows)
    return {seed for seed, count in held.items() if count < MOST_CELLS * len(cells)} | _later(cells)


def _later(cells: Sequence[Cell]) -> set[int]:
    """Seeds that began when all trials of the first ones had begun, in the sweep with most trials or after it."""
    by_sweep: dict[str, list[Row]] = {}
    for row in itertools.chain.from_iterable(cell.rows for cell in cells):
        if row.get("started_at") is not None:
            by_sweep.setdefault(str(row.get("sweep")), []).append(row)
    if not by_sweep:
        return set()
    first = max(by_sweep.values(), key=len)
    known = {row["seed"] for row in first}
    others = itertools.chain.from_iterable(rows for rows in by_sweep.values() if rows is not first)
    begun: dict[int, list[datetime.datetime]] = {}
    for row in (*first, *(row for row in others if row["seed"] not in known)):
        begun.setdefault(row["seed"], []).append(row["started_at"])
    order = sorted(begun, key=lambda seed: min(begun[seed]))
    last = max(begun[order[0]])
    for place, seed in enumerate(order[1:], start=1):
        if min(begun[seed]) > last:
            return set(order[place:])
        last = max(last, *begun[seed])
    return set()
