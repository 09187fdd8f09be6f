"""What a perplexity costs: every exit against its speed and its bytes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from bitskip.analysis.metrics import Row
from bitskip.report.charts import style
from bitskip.report.charts.registry import Content, Rows, Topic, grouped
from bitskip.report.summary import Sheet
from bitskip.store.schema import Status
from bitskip.trial.config import TrialConfig, stored_trial
from bitskip.trial.cost import exit_weight_bytes

PARETO = Topic("pareto", "What a perplexity costs", order=10)
MOST_POINTS = 4000
"""More marks than this in one figure are averaged over seeds: nobody reads them one by one."""

NOTE = (
    "Colour is the precision of activations, a diamond a Hadamard transform. Single trials carry the noise of their "
    "seed: a point on the line need not be better than its neighbours."
)


@PARETO.chart("pareto-speed", "Perplexity against speed")
def pareto_speed(sheet: Sheet) -> Content:
    """{what}; lower and further right is better. {note}"""
    column = "decode_tokens_per_second"
    return _pareto(sheet, column, "decoded tokens/s, batch 1", "tokens/s", lambda row, at: at.get(column), largest=True)


@PARETO.chart("pareto-bytes", "Perplexity against weight bytes")
def pareto_bytes(sheet: Sheet) -> Content:
    """{what}; lower and further left is better. {note}"""
    trials: dict[str, TrialConfig] = {}
    found: dict[tuple[str, int], float] = {}

    def bytes_at(row: Row, at: Row) -> float:
        """The same for every seed of a configuration."""
        key = row["configuration_id"], at["exit_layer"]
        if key not in found:
            trial = trials.get(key[0]) or trials.setdefault(key[0], stored_trial(row))
            found[key] = exit_weight_bytes(trial, at["exit_layer"])
        return found[key]

    return _pareto(sheet, "weight_bytes", "bytes to store the weights in use", "bytes", bytes_at, largest=False)


def _pareto(
    sheet: Sheet, column: str, label: str, unit: str, read: Callable[[Row, Row], float | None], *, largest: bool
) -> Content:
    rows = _every_exit(sheet, read, column)
    best = front([(row[column] if largest else -row[column], row["ppl"]) for row in rows])
    on_front = set(best)
    for at, row in enumerate(rows):
        row["on_front"] = at in on_front

    def tip(row: Row) -> str:
        seed = "" if row["seed"] is None else f", seed {row['seed']}"
        value = f"{row[column]:,.0f}".replace(",", " ")
        where = f"exit {row['exit_layer']} of {row['depth']}"
        return f"{row['configuration']}{seed}, {where}: perplexity {row['ppl']:.4g}, {value} {unit}"

    def draw(axes: Any) -> None:
        looks = {
            (bits, rotated): (
                f"{bits} bit" + rotated * ", rotated",
                style.COLOUR_OF_BITS[bits],
                "oD"[rotated],
            )
            for bits in sorted({row["bits"] for row in rows}, reverse=True)
            for rotated in (False, True)
        }
        marks = {"s": 20, "alpha": 0.75, "linewidths": 0}
        kind = lambda row: (row["bits"], row["hadamard"] != "none")  # noqa: E731
        style.scatter(axes, rows, (column, "ppl"), tip, kind, looks, **marks)
        x, y = ([rows[at][name] for at in best] for name in (column, "ppl"))
        line = {"color": style.ink(), "linewidth": 1.2, "label": "not beaten by any other"}
        axes.step(x, y, where="pre" if largest else "post", **line)
        style.label(axes, label, "perplexity", log="xy")
        axes.legend(ncols=2)

    averaged = bool(rows) and rows[0]["seed"] is None
    what = "Every exit of every configuration, averaged over seeds" if averaged else "Every exit of every trial"
    return Content(rows, draw, 4.2, facts={"what": what, "note": NOTE})


def _every_exit(sheet: Sheet, read: Callable[[Row, Row], float | None], column: str) -> Rows:
    """A row per exit of every finished trial, or, where these are too many, of every configuration."""
    found = [
        {"configuration": sheet.name(cell)}
        | {name: row[name] for name in ("bits", "hadamard", "seed")}
        | {name: at[name] for name in ("exit_layer", "depth", "ppl")}
        | {column: value, "trial_id": row["trial_id"]}
        for cell in sheet.stratum.cells
        for row in cell.rows
        if row["status"] == Status.OK
        for at in sheet.exits.get(row["trial_id"], ())
        if at["ppl"] and (value := read(row, at))
    ]
    if len(found) <= MOST_POINTS:
        return found
    places = ("configuration", "bits", "hadamard", "exit_layer")
    means: Rows = [
        {**same[0], "seed": None, "trial_id": "", "seeds": len(same)}
        | {"ppl": math.exp(statistics.fmean(math.log(each["ppl"]) for each in same))}
        | {column: statistics.fmean(each[column] for each in same)}
        for same in grouped((tuple(point[name] for name in places), point) for point in found).values()
    ]
    return sorted(means, key=lambda point: point["ppl"])[:MOST_POINTS]


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points, by the first value, that no other beats: with as much of the first and less of the second."""
    best, kept = math.inf, []
    for at in sorted(range(len(points)), key=lambda i: (-points[i][0], points[i][1])):
        if points[at][1] < best:
            best = points[at][1]
            kept.append(at)
    return kept[::-1]
