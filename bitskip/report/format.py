"""Numbers as a report shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bitskip.analysis.metrics import METRICS
from bitskip.analysis.regime import RATE_NOT_SEARCHED, RATE_OPEN, UNDERTRAINED, UNTRAINED
from bitskip.trial.cost import FEWEST_TOKENS_PER_PARAMETER

if TYPE_CHECKING:
    from bitskip.analysis.regime import Regime
    from bitskip.paper.attribution import Change, Run
    from bitskip.report.numbers import CountingLines

Show = Callable[[float], str]
THREE_DIGITS: Show = "{:.3g}".format
THREE_DECIMALS: Show = "{:.3f}".format

SHORT = 8
"""Digits of a trial's id that are shown: `bitskip show` takes the beginning of one."""


def number_text(value: float | None) -> str:
    """Four significant digits, without exponent."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.4g}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"


def spread_text(value: float) -> str:
    """Two significant digits: a deviation over a few seeds has no more."""
    return f"{value:.2g}" if 0.001 <= value < 100 else number_text(value)


def difference_text(value: float, metric: str) -> str:
    """A difference on a metric's additive scale: a change in percent where that is a logarithm, else in its unit."""
    return share_text(math.expm1(value)) if METRICS[metric].logarithmic else f"{value:+.4f}"


def share_text(share: float, digits: int = 1) -> str:
    """A change as a share, in percent."""
    return f"{100 * share:+.{digits}f} %"


def size_text(value: float, metric: str) -> str:
    """A difference without its sign."""
    return difference_text(value, metric).lstrip("+")


def metric_name(metric: str) -> str:
    """A metric in words."""
    return METRICS[metric].label or metric.replace("_", " ")


def effect_name(metric: str) -> str:
    """What effects on a metric are changes of: of a share, its odds."""
    return f"the odds of {metric_name(metric)}" if METRICS[metric].odds else metric_name(metric)


def scale_name(metric: str) -> str:
    """The scale on which effects on a metric add up."""
    known = METRICS[metric]
    return f"log {'odds of ' if known.odds else ''}{metric_name(metric)}" if known.logarithmic else metric_name(metric)


def range_text(low: float | None, high: float | None, show: Show = THREE_DIGITS) -> str:
    """`0.98 to 1.14`; empty where an end is unknown."""
    return "" if low is None or high is None else f"{show(low)} to {show(high)}"


def interval_text(value: float | None, low: float | None, high: float | None, show: Show = THREE_DIGITS) -> str:
    """`1.06 (0.98 to 1.14)`; empty without a value, the value alone without an interval."""
    within = range_text(low, high, show)
    return "" if value is None else show(value) + (f" ({within})" if within else "")


def ratio_text(change: Change | None) -> str:
    """A ratio of perplexities with its interval; empty where there is none."""
    return interval_text(change.ratio, change.low, change.high) if change else ""


def counting_line(lines: CountingLines) -> str:
    """What a model has to beat, and how much of what is measured stands in the training text."""
    tokens = f"{lines.tokens:,}".replace(",", " ")
    told = (
        f"Counting reaches {number_text(lines.bigram_ppl)} with bigrams and {number_text(lines.fivegram_ppl)} with "
        f"5-grams of {tokens} training tokens (Kneser-Ney)."
    )
    leaked = lines.leaked_share
    return told + (
        f" {share_text(leaked).lstrip('+')} of the measured passages stand in the training text." if leaked else ""
    )


def regime_line(regime: Regime) -> str:
    """How large and how long a scale is, at which rate, and what that leaves open."""
    if not regime.known:
        return "Results from elsewhere: size, budget and recipe of their models are not known."
    if regime.mark == UNTRAINED:
        return (
            f"{count_text(regime.parameters)} parameters without embedding, {UNTRAINED}: techniques act on the "
            "model as it is; intervals are over pieces of the held-out text, which is all that chance chose."
        )
    rate = "learning rates by configuration" if regime.lr is None else f"learning rate {regime.lr:g}"
    steps = "batch sizes by configuration"
    if regime.steps is not None:
        steps = f"{number_text(regime.steps)} steps of {regime.batch_size} × {regime.seq_len} tokens"
    recipe = "from elsewhere, the recipe not known" if regime.elsewhere else f"{steps}, {rate} ({regime.rate})"
    told = (
        f"{count_text(regime.parameters)} parameters without embedding, {THREE_DIGITS(regime.tokens_per_parameter)} "
        f"tokens a parameter, {recipe}."
    )
    if UNDERTRAINED in regime.mark:
        told += (
            f" Undertrained, with fewer than {FEWEST_TOKENS_PER_PARAMETER} tokens a parameter: what does well here is "
            "what speeds up early training, and with more tokens the order can turn."
        )
    if RATE_OPEN in regime.mark:
        told += " Rate open: the first or last rate that was run is the best one of some configuration."
    if RATE_NOT_SEARCHED in regime.mark:
        told += (
            " Rate not searched: no search at this size and budget ended; at its own best rate an effect may differ."
        )
    return told


def count_text(number: float) -> str:
    """A count with its thousands shortened: 400 k, 1.06 B."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"


def run_text(run: Run | None) -> str:
    """Perplexity with the sd of its logarithm in percent, n and failures."""
    if run is None:
        return "not run"
    failed = f", {run.failed} failed" if run.failed else ""
    if run.ppl is None:
        return f"none finished{failed}"
    return f"{number_text(run.ppl)}{log_spread_text(run.sd)} (n={run.seeds}{failed})"


def log_spread_text(deviation: float | None) -> str:
    """The standard deviation of a logarithm in percent, to stand behind a mean; empty without repeats."""
    return "" if deviation is None else f" ± {100 * deviation:.1f} %"


def bytes_text(size: float) -> str:
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def duration_text(seconds: float) -> str:
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def ids_text(trials: Sequence[str]) -> str:
    return " ".join(trial[:SHORT] for trial in trials)


def scales_text(by_bits: Mapping[int, str]) -> str:
    """That the scale rule of activations changes with the bits (`scales_by_bits`), so that effects mix the two."""
    rules = ", ".join(f"{rule} at {bits} bits" for bits, rule in by_bits.items())
    return f"the scale of activations changes with the bits ({rules}): what rotation does at each mixes with it"
