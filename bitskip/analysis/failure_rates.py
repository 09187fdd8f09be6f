"""How often trials stall or diverge, by technique and pair of techniques (docs/effects.md, Effects).

Errors and timeouts of the machine say nothing about the method and do not count.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bitskip.analysis.factorial import Cell, Stratum
from bitskip.analysis.levels import TECHNIQUES, level_label
from bitskip.store.schema import NO_LOSS


class Risk(NamedTuple):
    """Probability of failing, with its 90 % interval."""

    probability: float
    low: float
    high: float


def jeffreys(failures: float, trials: float) -> Risk:
    """A rate and its 90 % interval from Beta(failures + 1/2, successes + 1/2); the rate is the posterior mean."""
    from scipy.special import betaincinv

    first, second = failures + 0.5, trials - failures + 0.5
    low = 0.0 if failures == 0 else float(betaincinv(first, second, 0.05))
    high = 1.0 if failures == trials else float(betaincinv(first, second, 0.95))
    return Risk(first / (first + second), low, high)


def tried(cells: Sequence[Cell]) -> tuple[int, int]:
    """(failures, failures and successes) over cells."""
    failed = sum(cell.count(*NO_LOSS) for cell in cells)
    return failed, failed + sum(cell.count("ok") for cell in cells)


@dataclass(frozen=True)
class FailureComposition:
    """Failure rates without, with either and with both techniques, and the excess over independent risks (Bliss).

    Rates pool all cells of the stratum with these techniques, 90 % intervals are Jeffreys'. The excess is
    p_AB - (1 - (1 - p_A)(1 - p_B)); above 0, together they fail more often than two independent causes would.
    """

    techniques: tuple[str, str]
    first: Risk
    second: Risk
    both: Risk
    excess: float
    trials: int


def failure_compositions(stratum: Stratum) -> list[FailureComposition]:
    """For every pair of levels off the baseline that was run together, where any of the three has failed."""
    found = []
    for (i, factor), (j, other) in itertools.combinations(enumerate(TECHNIQUES), 2):
        pairs = {(cell.levels[i], cell.levels[j]) for cell in stratum.cells}
        for level, partner in sorted(pairs, key=repr):
            base, reference = stratum.baseline[i], stratum.baseline[j]
            if level == base or partner == reference:
                continue
            totals = [
                tried([cell for cell in stratum.cells if (cell.levels[i], cell.levels[j]) == wanted])
                for wanted in ((level, reference), (base, partner), (level, partner))
            ]
            if not any(failed for failed, _ in totals) or not all(trials for _, trials in totals):
                continue
            first, second, both = (jeffreys(*total) for total in totals)
            shares = [failed / trials for failed, trials in totals]
            excess = shares[2] - (1 - (1 - shares[0]) * (1 - shares[1]))
            names = (level_label(factor, level), level_label(other, partner))
            found.append(FailureComposition(names, first, second, both, excess, totals[2][1]))
    return found
