"""What was imported, in lines and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bitskip.analysis.metrics import METRICS
from bitskip.interop.import_results import Imported
from bitskip.store.filesystem import shown
from bitskip.store.foreign_metric import Measure
from bitskip.techniques.base import plain

MOST_LEVELS = 8


def imported_lines(found: Imported) -> list[str]:
    """What was measured, factors with their levels, what was left out and why."""
    failed = f", {found.failed} without a result" if found.failed else ""
    lines = [f"{found.rows} trials with {found.seeds} seeds{failed} in {shown(found.folder)}"]
    lines.append(f"metric {found.measure.name}: {_scale_words(found.measure)}")
    for factor, levels in found.factors.items():
        unit = f" {factor.unit}" if factor.unit else ""
        lines.append(f"factor {factor.name}: {_listed(levels)}{unit}; baseline {plain(factor.baseline)}")
    lines += [f"axis {axis}: {_listed(values)}" for axis, values in found.axes.items()]
    for why in dict.fromkeys(found.left_out.values()):
        lines.append(f"left out, {why}: {', '.join(name for name, own in found.left_out.items() if own == why)}")
    return lines


def _scale_words(measure: Measure) -> str:
    """Its unit, its direction, and on which scale effects on it add up."""
    if measure.is_loss:
        return f"{measure.unit} per token, lower is better" if measure.unit != "perplexity" else "lower is better"
    metric = METRICS[measure.name]
    scale = "log odds" if metric.odds else "logarithms" if metric.logarithmic else "differences"
    return f"{measure.unit}, {'higher' if measure.higher_is_better else 'lower'} is better; effects in {scale}"


def _listed(levels: Sequence[Any]) -> str:
    more = f" … ({len(levels)})" if len(levels) > MOST_LEVELS else ""
    return ", ".join(map(plain, levels[:MOST_LEVELS])) + more


def imported_object(found: Imported) -> dict[str, Any]:
    """The object of `import --json`."""
    return {
        "folder": shown(found.folder),
        "trials": found.rows,
        "failed": found.failed,
        "seeds": found.seeds,
        "metric": found.measure.declared(),
        "factors": {
            factor.name: {"levels": list(levels), "baseline": factor.baseline, "unit": factor.unit}
            for factor, levels in found.factors.items()
        },
        "axes": {axis: list(values) for axis, values in found.axes.items()},
        "left_out": dict(found.left_out),
    }
