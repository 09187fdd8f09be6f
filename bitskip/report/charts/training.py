"""Exits, learning curves, and where training failed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from bitskip.analysis.metrics import METRICS, Row
from bitskip.report.charts import style
from bitskip.report.charts.registry import Content, Rows, Topic, grouped
from bitskip.report.format import metric_name
from bitskip.report.summary import Sheet
from bitskip.store.schema import Status

EXITS = Topic("exits", "Exits", order=30)
CURVES = Topic("curves", "Training", order=40)
FAILURES = Topic("failures", "Failures", order=50)
MOST_PROFILES, MOST_FAILED = 6, 40
STATUSES = {
    Status.OK: ("ok", style.BLUE, "o"), Status.DIVERGED: ("diverged", style.VERMILLION, "X"),
    Status.STALLED: ("stalled", style.ORANGE, "s"), Status.ERROR: ("error", style.PURPLE, "P"),
    Status.TIMEOUT: ("timeout", style.SKY, "v"),
}  # fmt: skip


@EXITS.chart("exits", "Perplexity and speed by exit layer")
def exit_profiles(sheet: Sheet) -> Content:
    """Means over seeds. Ringed: the fastest exit within {within:g} % of the full model's perplexity."""
    profiles = sheet.section.exits[:MOST_PROFILES]
    rows: Rows = [
        {"configuration": profile.name}
        | {name: getattr(each, name) for name in ("exit_layer", "ppl", "speed_gain", "seeds")}
        | {"best": each.exit_layer == profile.best_exit}
        for profile in profiles
        for each in profile.exits
    ]

    def draw(panels: Any) -> None:
        names = [profile.name for profile in profiles]
        shown = [{**row, "gain": None if (gain := row["speed_gain"]) is None else 100 * gain} for row in rows]
        tip = "{configuration}, exit {exit_layer}: perplexity {ppl:.4g}".format_map
        for axes, y in zip(panels, ("ppl", "gain"), strict=True):
            style.lines(axes, shown, names, "exit_layer", y, tip)
            for row in (row for row in shown if row["best"] and row[y] is not None):
                colour = style.look(row["configuration"], names.index(row["configuration"]))["color"]
                axes.scatter([row["exit_layer"]], [row[y]], s=110, facecolors="none", edgecolors=colour, linewidths=1.6)
        style.label(panels[0], "exit layer", "perplexity", log="y", whole=True)
        style.label(panels[1], "exit layer", "decoding speed over all layers, %", whole=True)
        panels[0].legend()

    within = 100 * profiles[0].within if profiles else 0.0
    return Content(rows, draw, 3.2, {"ncols": 2}, {"within": within})


@CURVES.chart("learning-curves", "Learning curves", lines=True)
def learning_curves(sheet: Sheet) -> Content:
    """Held-out {name} while training, mean over seeds; a line per configuration, the named ones in colour."""
    rows: Rows = []
    metric, name = METRICS[sheet.section.ranked], metric_name(sheet.section.ranked)
    value = "measured" if metric.foreign else "val_loss"
    everything = [point for cell in sheet.stratum.cells for row in cell.rows for point in _points(sheet, row)]
    place = "tokens" if all(point["tokens"] is not None for point in everything) else "step"
    for cell in sheet.stratum.cells:
        points = [point for row in cell.rows for point in _points(sheet, row)]
        steps = grouped((point[place], point[value]) for point in points if point.get(value) is not None)
        rows += [
            {"configuration": sheet.name(cell), place: at, value: statistics.fmean(of), "seeds": len(of)}
            for at, of in sorted(steps.items())
        ]

    def draw(axes: Any) -> None:
        named = {profile.name for profile in sheet.section.exits}
        by_name = grouped((row["configuration"], row) for row in rows)
        for at, (label, points) in enumerate(sorted(by_name.items(), key=lambda item: item[0] in named)):
            heights = [point[value] if metric.foreign else math.exp(point[value]) for point in points]
            look = {"color": style.ink(), "alpha": 0.35, "linewidth": 0.9, "zorder": 2}
            if label in named:
                look = {"color": style.look(label, at)["color"], "linewidth": 1.8, "label": label, "zorder": 3}
            (line,) = axes.plot([point[place] for point in points], heights, **look)
            style.tips(line, [f"{label}: {name} {heights[-1]:.4g} at the last point"])
        if lines := sheet.section.counting:
            for label, perplexity in (("bigrams", lines.bigram_ppl), ("5-grams", lines.fivegram_ppl)):
                axes.axhline(perplexity, color=style.ink(), linewidth=0.9, linestyle=":", zorder=1)
                axes.annotate(label, (1.0, perplexity), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        x = "training tokens" if place == "tokens" else "step"
        style.label(axes, x, f"held-out {name}", log="" if metric.foreign else "y")
        axes.xaxis.set_major_formatter(style.count)
        style.legend(axes)

    return Content(rows, draw, 3.8, facts={"name": name})


def _points(sheet: Sheet, row: Row) -> Sequence[Row]:
    return sheet.curves.get(row["trial_id"], ())


@FAILURES.chart("failures", "Where trials diverged, stalled or failed")
def failure_map(sheet: Sheet) -> Content:
    """Configurations with at least one trial without a comparable loss; failures are counted, never averaged in."""
    seeds = sorted({row["seed"] for cell in sheet.stratum.cells for row in cell.rows})
    rows = [
        {"configuration": sheet.name(cell), **{name: row[name] for name in ("seed", "status", "trial_id")}}
        for cell in sheet.stratum.cells
        if cell.count("ok") < len(cell.rows)
        for row in cell.rows
    ]
    names = list(dict.fromkeys(row["configuration"] for row in rows))[:MOST_FAILED]

    def draw(axes: Any) -> None:
        shown = [row for row in rows if row["configuration"] in names]
        places = [{**row, "x": seeds.index(row["seed"]), "y": names.index(row["configuration"])} for row in shown]
        tip = "{configuration}, seed {seed}: {status}".format_map
        style.scatter(axes, places, ("x", "y"), tip, lambda row: row["status"], STATUSES, s=34)
        style.list_down(axes, names)
        axes.set_xticks(range(len(seeds)), list(map(str, seeds)))
        style.label(axes, "seed", xlim=(-0.5, len(seeds) - 0.5))
        axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))

    return Content(rows, draw, 1.2 + 0.24 * len(names))
