"""What techniques do alone and together: main effects, composition effects, and two techniques at a time."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Mapping
from typing import Any

from bitskip.analysis.effects import JOINT_VERDICTS, NOT_ESTIMABLE, Effect
from bitskip.analysis.levels import INDEX, Levels, level_label
from bitskip.analysis.metrics import METRICS
from bitskip.report.charts import style
from bitskip.report.charts.registry import Content, Rows, Topic, mean_and_half
from bitskip.report.format import difference_text, effect_name, interval_text, metric_name, range_text, share_text
from bitskip.report.summary import Sheet

EFFECTS = Topic("effects", "Effects", order=20)
MOST_PAIRS = 6
CONTEXTS = {"averaged": "the mean over settings of the others", "anchored": "all others at the baseline"}


def _pairs(sheet: Sheet) -> tuple[str, list[Effect]]:
    """The estimand with more estimated pairs (averaged if equal), and its effects."""
    found = {
        estimand: [effect for effect in sheet.section.composition_effects if effect.estimand == estimand]
        for estimand in ("averaged", "anchored")
    }
    chosen = max(found, key=lambda estimand: sum(effect.value is not None for effect in found[estimand]))
    return chosen, found[chosen]


def _column(metric: str) -> str:
    """What an effect's value is called in the data of a chart."""
    return "log_ratio" if METRICS[metric].logarithmic else "difference"


def _row(effect: Effect) -> dict[str, Any]:
    same = ("low", "high", "seeds", "contexts", "verdict", "p_adjusted", "detectable")
    techniques = " x ".join(effect.techniques)
    found = {"techniques": techniques, "estimand": effect.estimand, _column(effect.metric): effect.value}
    return found | {name: getattr(effect, name) for name in same}


def _tip(row: Mapping[str, Any], metric: str) -> str:
    value, low, high = (row[name] for name in (_column(metric), "low", "high"))
    change = interval_text(value, low, high, lambda each: difference_text(each, metric))
    return f"{row['techniques']}: {change}, {row['verdict']}, n {row['seeds']}"


def _folded(name: str) -> str:
    return name.replace(" ", "\n", 1)


@EFFECTS.chart("composition-matrix", "Composition effects on {metric}")
def composition_matrix(sheet: Sheet) -> Content | None:
    """What two techniques do together beyond the product of what each does alone, with 95 % interval, seeds and
    settings ({estimand}: {context}). Blue: better together than their single effects promise; vermillion: worse. Bold:
    resolved after correction for all comparisons.
    """
    estimand, effects = _pairs(sheet)
    if not any(effect.value is not None for effect in effects):
        return None
    names = list(dict.fromkeys(name for effect in effects for name in effect.techniques))
    rows, last = [_row(effect) for effect in effects], len(names) - 1
    metric = sheet.section.metric

    def show(value: float) -> str:
        return difference_text(value, metric)

    def draw(axes: Any) -> None:
        from matplotlib.colors import LinearSegmentedColormap, Normalize
        from matplotlib.patches import Rectangle

        colours = LinearSegmentedColormap.from_list("effects", style.DIVERGING)
        largest = max(abs(e.value) for e in effects if e.value is not None)
        scale, worse = Normalize(-largest or -1, largest or 1), -METRICS[metric].better
        axes.grid(False)
        for effect, row in zip(effects, rows, strict=True):
            x, y = sorted(names.index(name) for name in effect.techniques)
            centred = {"ha": "center", "va": "center", "fontsize": 7}
            if effect.value is None:
                axes.text(x, y - 1, "not\nestimable", color=style.ink(), **centred)
                continue
            colour = colours(scale(worse * effect.value))
            square = Rectangle((x - 0.48, y - 1.46), 0.96, 0.92, facecolor=colour, edgecolor="none")
            style.tips(axes.add_patch(square), [_tip(row, metric)])
            within = range_text(effect.low, effect.high, show)
            lines = [show(effect.value), within, f"n {effect.seeds} × {effect.contexts}"]
            text = "\n".join(filter(None, lines))
            weight = "bold" if effect.verdict in JOINT_VERDICTS[:2] else "normal"
            axes.text(x, y - 1, text, fontweight=weight, color=style.readable_on(*colour[:3]), **centred)
        axes.set(xlim=(-0.5, last - 0.5), ylim=(last - 0.5, -0.5))
        axes.set_xticks(range(last), [_folded(name) for name in names[:-1]])
        axes.set_yticks(range(last), [_folded(name) for name in names[1:]])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    return Content(
        rows,
        draw,
        0.9 + 0.62 * last,
        facts={"estimand": estimand, "context": CONTEXTS[estimand], "metric": effect_name(metric)},
    )


@EFFECTS.chart("main-effects", "Main effects on {metric}")
def main_effects(sheet: Sheet) -> Content:
    """Each technique against its level in the baseline, with 95 % interval: averaged over the settings of the others,
    and anchored, all others at the baseline.
    """
    looks = {"averaged": ("averaged", style.BLUE, "o"), "anchored": ("anchored", style.VERMILLION, "s")}
    rows = [_row(e) for e in sheet.section.main_effects if e.value is not None and e.estimand in looks]
    metric, column = sheet.section.metric, _column(sheet.section.metric)
    names = list(dict.fromkeys(row["techniques"] for row in rows))

    def draw(axes: Any) -> None:
        shift = {"averaged": -0.13, "anchored": 0.13}
        places = [{**row, "y": names.index(row["techniques"]) + shift[row["estimand"]]} for row in rows]
        tip = functools.partial(_tip, metric=metric)
        known = [row for row in places if row["low"] is not None]
        y, low, high = ([row[name] for row in known] for name in ("y", "low", "high"))
        colours = [looks[row["estimand"]][1] for row in known]
        style.tips(axes.hlines(y, low, high, colors=colours, linewidths=1.6), map(tip, known))
        style.scatter(axes, places, (column, "y"), tip, lambda row: row["estimand"], looks, s=26)
        axes.axvline(0, color=style.ink(), linewidth=0.8)
        style.list_down(axes, names)
        style.label(axes, f"change of {effect_name(metric)}")
        if METRICS[metric].logarithmic:
            axes.xaxis.set_major_formatter(lambda value, _: share_text(math.expm1(value), 0))
        axes.legend()

    return Content(rows, draw, 0.9 + 0.42 * len(names), facts={"metric": effect_name(metric)})


@EFFECTS.chart("interactions", "Two techniques at a time")
def interactions(sheet: Sheet) -> Content:
    """{mean} over the settings of all other techniques that were run with every combination,
    with 95 % interval over seeds (seeds' common shift removed). Parallel lines on {scale} mean that {alone}.
    """
    strongest = sorted(
        (e for e in _pairs(sheet)[1] if e.value is not None and e.verdict != NOT_ESTIMABLE),
        key=lambda e: -abs((e.value or 0.0) / (e.se or 1.0)),
    )
    factors = list(dict.fromkeys(tuple(t.split(" ", 1)[0] for t in effect.techniques) for effect in strongest))
    panels = [(pair, rows) for pair in factors[:MOST_PAIRS] if (rows := _panel(sheet, pair[0], pair[1]))]

    columns, mean_of, name = min(3, len(panels)), _mean_column(sheet), metric_name(sheet.section.ranked)

    def draw(grid: Any) -> None:
        for spare in grid.flat[len(panels) :]:
            spare.set_visible(False)
        colours = (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE)
        for axes, (pair, rows) in zip(grid.flat, panels, strict=False):
            first = list(dict.fromkeys(row["first"] for row in rows))
            for at, second in enumerate(dict.fromkeys(row["second"] for row in rows)):
                chosen = [row for row in rows if row["second"] == second]
                x = [first.index(row["first"]) + 0.04 * at for row in chosen]
                look = style.look(second, at, colours[at % 4])
                heights = [row[mean_of] for row in chosen]
                texts = [f"{pair[0]} {row['first']} + {second}: {name} {row[mean_of]:.4g}" for row in chosen]
                style.line(axes, x, heights, second, texts, look)
                if chosen[0]["low"] is not None:
                    low, high = ([row[end] for row in chosen] for end in ("low", "high"))
                    style.tips(axes.vlines(x, low, high, colors=look["color"], linewidths=1), texts)
            axes.set_xticks(range(len(first)), [_folded(name) for name in first])
            axes.set(xlim=(-0.3, len(first) - 0.6), title=f"{pair[0]} x {pair[1]}", ylabel=name)
            axes.legend(fontsize=7)

    rows = [{"techniques": f"{a} x {b}", **row} for (a, b), rows in panels for row in rows]
    lines = math.ceil(len(panels) / max(1, columns))
    return Content(rows, draw, 2.5 * lines, {"nrows": lines, "ncols": columns, "squeeze": False}, _scale_facts(sheet))


def _mean_column(sheet: Sheet) -> str:
    return "measured" if METRICS[sheet.section.ranked].foreign else "ppl"


def _scale_facts(sheet: Sheet) -> dict[str, str]:
    """How the means of a scale's metric are taken, and what parallel lines say there."""
    metric, name = METRICS[sheet.section.ranked], metric_name(sheet.section.ranked)
    if metric.odds:
        return {"mean": f"{name[:1].upper()}{name[1:]} by the mean of its log odds", "scale": "the scale of log odds",
                "alone": "effects on the odds multiply"}  # fmt: skip
    if metric.logarithmic:
        return {"mean": f"Geometric mean of {name}", "scale": "a logarithmic scale", "alone": "effects multiply"}
    return {"mean": f"Mean of {name}", "scale": "this scale", "alone": "effects add up"}


def _panel(sheet: Sheet, first: str, second: str) -> Rows:
    """Means of every combination of two techniques' levels over the settings of the others that have all of them."""
    at, metric = (INDEX[first], INDEX[second]), METRICS[sheet.section.ranked]
    contexts: dict[Levels, dict[tuple[Any, ...], dict[int, float]]] = {}
    for cell in sheet.stratum.cells:
        if values := cell.values(metric):
            rest = tuple(level for position, level in enumerate(cell.levels) if position not in at)
            contexts.setdefault(rest, {})[tuple(cell.levels[position] for position in at)] = values
    levels = {key for cells in contexts.values() for key in cells}
    complete = [cells for cells in contexts.values() if cells.keys() == levels]
    if not complete or any(len(set(of_one)) < 2 for of_one in zip(*levels, strict=True)):
        return []
    seeds = set.intersection(*(set(values) for cells in complete for values in cells.values()))
    if not seeds:
        return []
    shift = {seed: statistics.fmean(values[seed] for cells in complete for values in cells.values()) for seed in seeds}
    overall, found = statistics.fmean(shift.values()), []
    for key in sorted(levels, key=lambda each: tuple(map(_rank, each))):
        own = [statistics.fmean(cells[key][seed] for cells in complete) - shift[seed] + overall for seed in seeds]
        mean, half = mean_and_half(own)
        found.append(
            {
                "first": level_label(first, key[0]).removeprefix(f"{first} "),
                "second": level_label(second, key[1]),
                _mean_column(sheet): metric.show(mean),
                "low": None if half is None else metric.show(mean - half),
                "high": None if half is None else metric.show(mean + half),
                "seeds": len(seeds),
                "contexts": len(complete),
            }
        )
    return found


def _rank(level: Any) -> tuple[float, str]:
    """Precision falls, everything else rises."""
    first = level[0]
    return (-first if isinstance(first, int) else 0.0, repr(level))
