"""Effects and losses along a ladder of sizes and budgets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bitskip.analysis.levels import cell_label
from bitskip.analysis.metrics import METRICS
from bitskip.report.charts import style
from bitskip.report.charts.registry import Content, Rows, Topic, grouped
from bitskip.report.format import count_text, effect_name
from bitskip.report.summary import EVERYTHING_OFF, Analysis
from bitskip.report.topics.ladder import name_of
from bitskip.scaling.along import EffectAlong, band
from bitskip.scaling.contrast_laws import Scaling
from bitskip.scaling.ladder import Effects, scale_of
from bitskip.trial.config import stored_trial
from bitskip.trial.cost import estimate

LADDER = Topic("ladder", "Along the ladder", order=5, across=True)
MOST_EFFECTS, MOST_CONFIGURATIONS = 5, 7
POINTS = 25
MEASURED, LAW, HELD_OUT = "measured", "law", "held out"


@LADDER.chart("effect-by-scale", "Effects by size and tokens")
def effect_by_scale(analysis: Analysis) -> Content | None:
    """Measured effects with 90 % intervals, and the band of the laws that fit them: against tokens, a colour for each
    size, and against parameters, a colour for each budget. Open square: the largest rung as all others foretell it.
    Hollow: {hollow}. Effects of {ladder} in {unit}.
    """
    if not analysis.scalings or not analysis.report.ladders[0].effects:
        return None
    scaling, ladder = analysis.scalings[0], analysis.report.ladders[0]
    shown = sorted(ladder.effects, key=lambda each: (len(each.techniques), -abs(each.rungs[-1].value)))[:MOST_EFFECTS]
    rows = [row for effect in shown for row in _rows(effect, scaling)]
    metric = METRICS[ladder.metric]

    def scaled(value: float) -> float:
        return 100 * math.expm1(value) if metric.logarithmic else value

    def draw(panels: Any) -> None:
        for (left, right), effect in zip(panels, shown, strict=True):
            own = [row for row in rows if row["effect"] == name_of(effect)]
            _draw(left, [row for row in own if row["along"] != "parameters"], "tokens_per_parameter", scaled)
            _draw(right, [row for row in own if row["along"] != "tokens"], "parameters", scaled)
            left.set_title(f"{name_of(effect)}: {effect.verdict}", loc="left")
            left.set_ylabel("effect, %" if metric.logarithmic else f"effect, {metric.unit}")
        style.label(panels[-1][0], "tokens a parameter", panels[-1][0].get_ylabel())
        style.label(panels[-1][1], "parameters")

    facts = {
        "ladder": ladder.label,
        "hollow": "undertrained, rate open or below counting",
        "unit": f"% of {effect_name(ladder.metric)}" if metric.logarithmic else metric.unit,
    }
    return Content(rows, draw, 2.5 * len(shown), {"nrows": len(shown), "ncols": 2, "squeeze": False}, facts)


def _rows(effect: EffectAlong, scaling: Scaling) -> Iterator[dict[str, Any]]:
    """Measured rungs, laws along tokens and along parameters, and the largest rung held out."""
    effects, name = scaling.effect_named(effect.techniques), name_of(effect)
    by_tokens = len({rung.tokens for rung in effect.rungs}) <= len({_rounded(rung) for rung in effect.rungs})

    def row(kind: str, along: str, scale: tuple[float, float], values: Sequence[float], mark: str) -> dict[str, Any]:
        parameters, tokens = scale
        group = count_text(parameters)
        budget = f"{count_text(tokens)} tokens" if by_tokens else f"{tokens / parameters:.2g} a parameter"
        found: dict[str, Any] = {
            "effect": name,
            "kind": kind,
            "along": along,
            "size": group,
            "budget": budget,
            "mark": mark,
        }
        found |= {"parameters": parameters, "tokens": tokens, "tokens_per_parameter": tokens / parameters}
        return found | dict(zip(("value", "low", "high"), map(float, values), strict=True))

    for rung in effect.rungs:
        yield row(MEASURED, "", (rung.parameters, rung.tokens), (rung.value, rung.low, rung.high), rung.mark)
    if held := effect.held_out:
        where = (held.rung.parameters, held.rung.tokens)
        yield row(HELD_OUT, "", where, (held.mean, held.low, held.high), "")
    for along, scales in _grids(effects, by_tokens):
        for scale, *values in zip(scales, *band(effects, scales), strict=True):
            yield row(LAW, along, (float(scale[0]), float(scale[1])), values, "")


def _rounded(rung: Any) -> str:
    return f"{rung.tokens / rung.parameters:.2g}"


def _grids(effects: Effects, by_tokens: bool) -> Iterator[tuple[str, Any]]:
    """Scales between the measured budgets of a size, and between the measured sizes of a budget."""
    for size, members in grouped((rung.parameters, rung) for rung in effects.rungs).items():
        ends = [rung.tokens for rung in members]
        if len(ends) > 1:
            yield "tokens", np.array([[size, tokens] for tokens in np.geomspace(min(ends), max(ends), POINTS)])
    budgets = grouped((str(rung.tokens) if by_tokens else _rounded(rung), rung) for rung in effects.rungs)
    for members in budgets.values():
        sizes = [rung.parameters for rung in members]
        if len(sizes) > 1:
            budget = statistics.fmean(rung.tokens / (1 if by_tokens else rung.parameters) for rung in members)
            grid = np.geomspace(min(sizes), max(sizes), POINTS)
            yield "parameters", np.array([[n, budget * (1 if by_tokens else n)] for n in grid])


def _draw(axes: Any, rows: Rows, x: str, scaled: Any) -> None:
    """Points with intervals and bands, a colour for each size (against tokens) or budget (against parameters)."""
    key = "size" if x == "tokens_per_parameter" else "budget"
    names = list(dict.fromkeys(row[key] for row in rows if row["kind"] == MEASURED))
    for at, name in enumerate(names):
        look = style.look(name, at, style.MANY[(at + 1) % len(style.MANY)])
        own = [row for row in rows if row[key] == name]
        law = sorted((row for row in own if row["kind"] == LAW), key=lambda row: row[x])
        if law:
            xs = [row[x] for row in law]
            low, mean, high = ([scaled(row[end]) for row in law] for end in ("low", "value", "high"))
            told = f"{law[0]['effect']}, {'size ' * (key == 'size')}{name}: the law that fits"
            style.tips(axes.fill_between(xs, low, high, color=look["color"], alpha=0.15, linewidth=0), [told])
            (fitted,) = axes.plot(xs, mean, color=look["color"], linestyle=look["linestyle"], linewidth=1)
            style.tips(fitted, [told])
        for kind, marker, size, width in ((MEASURED, look["marker"], 16, 1.2), (HELD_OUT, "s", 49, 0.7)):
            points = [row for row in own if row["kind"] == kind]
            if not points:
                continue
            xs, texts = [row[x] for row in points], [_tip(row, scaled) for row in points]
            values, low, high = ([scaled(row[end]) for row in points] for end in ("value", "low", "high"))
            filled = [look["color"] if kind == MEASURED and not row["mark"] else "none" for row in points]
            style.tips(axes.vlines(xs, low, high, colors=look["color"], linewidths=width), texts)
            marks = axes.scatter(xs, values, s=size, marker=marker, facecolors=filled, edgecolors=look["color"])
            style.tips(marks, texts)
            if kind == MEASURED:
                axes.plot([], [], color=look["color"], marker=marker, ms=4, linestyle=look["linestyle"], label=name)
    axes.axhline(0.0, color=style.ink(), linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(style.count)
    style.legend(axes, title=None)


def _tip(row: Mapping[str, Any], scaled: Callable[[float], float]) -> str:
    value, low, high = (scaled(row[end]) for end in ("value", "low", "high"))
    place = f"{row['effect']}, size {row['size']}, {row['tokens_per_parameter']:.3g} tokens a parameter"
    return f"{place}: {value:+.1f} ({low:+.1f} to {high:+.1f}), {row['kind']}{', ' * bool(row['mark'])}{row['mark']}"


@LADDER.chart("loss-by-compute", "Loss against training compute")
def loss_by_compute(analysis: Analysis) -> Content | None:
    """Mean loss over seeds of every configuration at every rung of {ladder}, against the FLOPs of its training; where
    several rates were run, at that with most seeds, then with the lowest loss. Line: the frontier, below which nothing
    was reached with as little compute.
    """
    if not analysis.scalings:
        return None
    rows = list(_compute_rows(analysis.scalings[0]))
    for row in rows:
        row["frontier"] = not any(
            other["loss"] < row["loss"] and other["flops"] <= row["flops"] for other in rows if other is not row
        )
    names = list(dict.fromkeys(row["configuration"] for row in rows))

    def draw(axes: Any) -> None:
        for at, name in enumerate(names):
            own = sorted((row for row in rows if row["configuration"] == name), key=lambda row: row["flops"])
            look = {"color": style.GREY, "marker": "."}
            if at < MOST_CONFIGURATIONS:
                own_look = style.look(name, at, style.MANY[at % len(style.MANY)])
                look = {"color": own_look["color"], "marker": own_look["marker"], "label": name}
            points = axes.scatter([row["flops"] for row in own], [row["loss"] for row in own], s=16, **look)
            texts = [
                f"{name}, size {count_text(row['parameters'])}, {row['tokens'] / row['parameters']:.3g} tokens a "
                f"parameter: loss {row['loss']:.4g}"
                for row in own
            ]
            style.tips(points, texts)
        best = sorted((row for row in rows if row["frontier"]), key=lambda row: row["flops"])
        axes.plot([row["flops"] for row in best], [row["loss"] for row in best], color=style.ink(), linewidth=1)
        style.label(axes, "training compute, FLOPs", "loss, nats a token", log="x")
        axes.xaxis.set_major_formatter("{x:.0e}")
        style.legend(axes, fontsize=7)

    return Content(rows, draw, 3.8, facts={"ladder": analysis.report.ladders[0].label})


def _compute_rows(scaling: Scaling) -> Iterator[dict[str, Any]]:
    """A row for every configuration at every size and budget: that with most seeds, then the lowest loss."""
    found = grouped(((row["configuration"], row["parameters"], row["tokens"]), row) for row in _all_rows(scaling))
    for rows in found.values():
        yield min(rows, key=lambda row: (-row["seeds"], row["loss"]))


def _all_rows(scaling: Scaling) -> Iterable[dict[str, Any]]:
    for stratum in scaling.ladder:
        parameters, tokens = scale_of(stratum)
        for cell in stratum.cells:
            if values := cell.values(METRICS["ppl"]):
                label = cell_label(cell.levels, stratum.baseline)
                yield {
                    "configuration": EVERYTHING_OFF if label == "baseline" else label,
                    "parameters": parameters,
                    "tokens": tokens,
                    "flops": estimate(stored_trial(cell.rows[0])).flops,
                    "loss": statistics.fmean(values.values()),
                    "seeds": len(values),
                    "mark": scaling.regimes[stratum.label].mark,
                }
