"""Student's t: estimates with their intervals, tests and detectable effects (docs/effects.md, Uncertainty)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
POWER = 0.8

NORMAL_95 = 1.6448536269514722
"""95 % quantile of the standard normal, for two-sided 90 % intervals."""

STUDENT_95 = (math.inf, 6.3138, 2.9200, 2.3534, 2.1318, 2.0150, 1.9432, 1.8946, 1.8595, 1.8331, 1.8125)
"""95 % quantile of Student's t with 0 … 10 degrees of freedom: a warm answer of the predictor imports no scipy."""


@dataclass(frozen=True)
class Estimate:
    """A contrast's value on the metric's additive scale; `se` is None without a variance estimate.

    `text_se` is the part of it that another held-out text would bring; None where losses by sequence are not known.
    `parts` are the (variance, degrees of freedom) that it consists of, where these are several: the half-width is then
    the root of the sum of their squared half-widths, which covers at least as often as it says (Banerjee 1960, Sankhya
    22: 351). Satterthwaite's approximation would not, where a part of few degrees of freedom is small by chance.
    `shift` is how far the value may be off to one side for a reason that is no chance: intervals and tests hold it.
    """

    value: float
    se: float | None
    df: float
    seeds: int
    text_se: float | None = None
    parts: tuple[tuple[float, float], ...] = ()
    shift: float = 0.0

    @property
    def nearest(self) -> float:
        """Distance to zero of the value, or of what the shift makes of it if that is less."""
        shifted = self.value + self.shift
        return 0.0 if self.value * shifted < 0 else min(abs(self.value), abs(shifted))

    def _half(self, probability: float) -> float:
        """What the value exceeds by chance with one minus this probability."""
        parts = self.parts or (((self.se or 0.0) ** 2, self.df),)
        return math.sqrt(math.fsum(student_t_quantile(probability, df) ** 2 * variance for variance, df in parts))

    def interval(self, level: float = CONFIDENCE) -> tuple[float, float] | None:
        """Two-sided Student interval."""
        if self.se is None:
            return None
        half = self._half((1 + level) / 2)
        return self.value - half + min(0.0, self.shift), self.value + half + max(0.0, self.shift)

    @property
    def p_value(self) -> float | None:
        """Two-sided Student test of no effect; 0 or 1 where there is no noise."""
        if self.se is None:
            return None
        if self.se == 0:
            return float(self.nearest == 0)
        if not self.parts:
            return 2 * student_t_tail(self.nearest / self.se, self.df)
        from scipy.optimize import brentq

        def beyond(log_tail: float) -> float:
            return self._half(1 - math.exp(log_tail)) - self.nearest

        least = math.log(1e-12)
        return 1e-12 if beyond(least) < 0 else 2 * math.exp(brentq(beyond, least, math.log(0.5)))

    @property
    def detectable(self) -> float | None:
        """The effect that a two-sided 5 % test finds with 80 % power: (t_0.975 + t_0.8) standard errors."""
        if self.se is None:
            return None
        return self._half((1 + CONFIDENCE) / 2) + self._half(POWER)


def of_parts(value: float, parts: Sequence[tuple[float, float]], seeds: int, text_se: float | None = None) -> Estimate:
    """An estimate whose error has independent parts (variance, degrees of freedom), those of nothing left out."""
    variance, df = satterthwaite(parts)
    several = tuple(part for part in parts if part[0] > 0)
    return Estimate(value, math.sqrt(variance), df, seeds, text_se, several if len(several) > 1 else ())


def satterthwaite(parts: Collection[tuple[float, float]]) -> tuple[float, float]:
    """(variance, degrees of freedom) of a sum of independent parts (Biometrics Bulletin 2, 1946)."""
    total = math.fsum(variance for variance, _ in parts)
    spread = math.fsum(variance**2 / df for variance, df in parts)
    return total, total**2 / spread if spread > 0 else min(df for _, df in parts)


def mean_estimate(values: Collection[float]) -> Estimate:
    """Mean of independent values, with the standard error that they show; none of a single one."""
    n = len(values)
    se = statistics.stdev(values) / math.sqrt(n) if n > 1 else None
    return Estimate(statistics.fmean(values), se, n - 1, n)


def student_t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t; of the standard normal with infinite degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(probability) if math.isinf(df) else stdtrit(df, probability))


def student_t_tail(t: float, df: float) -> float:
    """Probability of exceeding t."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-t) if math.isinf(df) else stdtr(df, -t))
