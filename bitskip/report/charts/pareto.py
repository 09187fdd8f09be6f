"""What a perplexity costs: every exit against its speed and its bytes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bitskip.analysis.metrics import Row
from bitskip.report.charts import style
from bitskip.report.charts.registry import Content, Rows, Topic, grouped
from bitskip.report.speeds import emulated
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
    """{what}, decoded by bitskip itself, and full models in the engines of `bitskip bench`; lower and further right is
    better. Faint: few bits emulated in floating point, whose speed is not theirs and stands on no line. {note}"""
    column = "decode_tokens_per_second"
    rounding = {sheet.name(cell): emulated(stored_trial(cell.rows[0])) for cell in sheet.stratum.cells}
    rows = _every_exit(sheet, lambda row, at: at.get(column), column)
    own = [{**row, "engine": "torch", "emulated": rounding[row["configuration"]]} for row in rows]
    return _pareto([*own, *_in_engines(sheet, column)], column, "decoded tokens/s, batch 1", "tokens/s", largest=True)


def _in_engines(sheet: Sheet, column: str) -> Iterator[dict[str, Any]]:
    """A row per measurement of `bitskip bench`."""
    for cell in sheet.stratum.cells:
        for row in (each for each in cell.rows if each["status"] == Status.OK and each["ppl"]):
            full = {"exit_layer": row["model_layers"], "depth": row["model_layers"]}
            for speed in sheet.speeds.get(row["trial_id"], ()):
                named = {"configuration": sheet.name(cell), "trial_id": row["trial_id"], **full}
                told = {name: row[name] for name in ("bits", "hadamard", "seed", "ppl")}
                yield named | told | {name: speed[name] for name in (column, "engine", "emulated")}


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

    rows = _every_exit(sheet, bytes_at, "weight_bytes")
    return _pareto(rows, "weight_bytes", "bytes to store the weights in use", "bytes", largest=False)


def _pareto(rows: Rows, column: str, label: str, unit: str, *, largest: bool) -> Content:
    """The rows as marks, and the front of those that are not `emulated`."""
    shown = [row for row in rows if not row.get("emulated")]
    best = [shown[at] for at in front([(row[column] if largest else -row[column], row["ppl"]) for row in shown])]
    on_front = set(map(id, best))
    for row in rows:
        row["on_front"] = id(row) in on_front

    def tip(row: Row) -> str:
        seed = "" if row["seed"] is None else f", seed {row['seed']}"
        value = f"{row[column]:,.0f}".replace(",", " ")
        where = f"exit {row['exit_layer']} of {row['depth']}"
        engine = f" in {row['engine']}{', emulated' * row['emulated']}" if "engine" in row else ""
        return f"{row['configuration']}{seed}, {where}{engine}: perplexity {row['ppl']:.4g}, {value} {unit}"

    def draw(axes: Any) -> None:
        kind = lambda row: (row["bits"], row["hadamard"] != "none")  # noqa: E731
        faint = [row for row in rows if row.get("emulated")]
        for own, note, alpha in ((shown, "", 0.75), (faint, ", emulated", 0.2)):
            looks = {
                (bits, rotated): (
                    f"{bits} bit" + rotated * ", rotated" + note,
                    style.COLOUR_OF_BITS[bits],
                    "oD"[rotated],
                )
                for bits in sorted({row["bits"] for row in own}, reverse=True)
                for rotated in (False, True)
            }
            style.scatter(axes, own, (column, "ppl"), tip, kind, looks, s=20, alpha=alpha, linewidths=0)
        if best:
            x, y = ([row[name] for row in best] for name in (column, "ppl"))
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
