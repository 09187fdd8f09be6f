"""What leaving by confidence costs: mean exit layer against perplexity."""

from __future__ import annotations

from typing import Any

from bitskip.analysis.metrics import Row
from bitskip.report.charts import style
from bitskip.report.charts.registry import Content, Rows, Topic
from bitskip.report.summary import Sheet

CONFIDENCE = Topic("confidence", "Leaving by confidence, and drafts", order=35)
MOST = 8
"""Configurations drawn, the best ones."""


@CONFIDENCE.chart("confidence", "Mean exit layer against perplexity")
def confidence(sheet: Sheet) -> Content:
    """A point for each threshold of confidence, the full model last; the {most} best configurations, means over seeds.
    Dotted: the exit of every token is the same. Lower and further left is better.
    """
    profiles = [each for each in sheet.section.early_decoding if each.thresholds][:MOST]
    rows: Rows = [
        {"configuration": profile.configuration, "threshold": point.threshold, "depth": point.depth, "ppl": point.ppl}
        for profile in profiles
        for point in profile.thresholds
    ]
    rows += [
        {"configuration": profile.configuration, "threshold": None, "depth": float(layer), "ppl": ppl}
        for profile in profiles
        for layer, ppl in profile.exits.items()
    ]

    def tip(row: Row) -> str:
        return (
            f"{row['configuration']}, leaving at a probability of {row['threshold']:g}: perplexity {row['ppl']:.4g}, "
            f"{row['depth']:.3g} blocks on average"
        )

    def draw(axes: Any) -> None:
        names = [profile.configuration for profile in profiles]
        style.lines(axes, [row for row in rows if row["threshold"]], names, "depth", "ppl", tip)
        for at, name in enumerate(names):
            fixed = [row for row in rows if row["configuration"] == name and row["threshold"] is None]
            look = {"color": style.look(name, at)["color"], "linestyle": ":", "linewidth": 0.9}
            axes.plot([row["depth"] for row in fixed], [row["ppl"] for row in fixed], **look)
        style.label(axes, "mean exit layer", "perplexity", log="y")
        style.legend(axes)

    return Content(rows, draw, 3.4, facts={"most": MOST})
