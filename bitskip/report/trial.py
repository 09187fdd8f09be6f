"""Everything that is known of one trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from bitskip.errors import UserError
from bitskip.report.rerun import rerun_command
from bitskip.store.folder import SweepFolder
from bitskip.store.tables import Results, committed_anywhere

SUMMARIES: dict[str, Callable[[Sequence[float]], float]] = {
    "crest_factor": max,
    "snr_db": min,
    "zero_share": mean,
    "weight_flip_share": mean,
}
"""Columns of `layers` that differ between the sites of a block, and what stands for all of them."""


def trial_object(results: Results, trial_id: str, root: Path) -> dict[str, Any]:
    """The trial's row with its exits, curve and layers, the command that runs it again, and its files below `root`.

    Raises UserError unless the id's beginning names exactly one trial.
    """
    if not trial_id:
        raise UserError("the trial id is empty; `bitskip report` lists the trials")
    rows = [row for row in results.trials.to_pylist() if row["trial_id"].startswith(trial_id)]
    if len(rows) != 1:
        found = ", ".join(row["trial_id"] for row in rows[:5])
        raise UserError(
            f"{trial_id}: {'several trials begin so: ' + found if rows else 'no such trial in these results'}"
        )
    row = rows[0]

    def of_trial(table: Any) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in entry.items() if key != "trial_id"}
            for entry in table.to_pylist()
            if entry["trial_id"] == row["trial_id"]
        ]

    tables = {name: of_trial(getattr(results, name)) for name in ("exits", "curves", "layers", "speeds")}
    beside = {"rerun": rerun_command(row), "files": _files(root, row["trial_id"])}
    return {**row, **beside, **tables}


def _files(root: Path, trial_id: str) -> dict[str, str]:
    """What lies beside the tables of a trial, by what it is."""
    _, folder = committed_anywhere(root)[trial_id]
    place = SweepFolder(folder)
    places = {"log": place.log(trial_id), "checkpoint": place.checkpoint(trial_id), "weights": place.weights(trial_id)}
    return {name: str(path) for name, path in places.items() if path.exists()}


def print_trial(found: dict[str, Any]) -> None:
    """Aligned names and values, then the exits, the curve and the last sample of the layers as rows."""
    width = max(len(name) for name in found)
    for name, value in found.items():
        if name not in ("rerun", "files") and (not isinstance(value, list) or name == "data_files"):
            print(f"{name:<{width}}  {_short(value)}")
    tables = {name: found[name] for name in ("exits", "curves", "speeds") if found[name] or name != "speeds"}
    if found["layers"]:
        step = max(row["step"] for row in found["layers"])
        tables[f"layers at step {step}"] = layer_summary([row for row in found["layers"] if row["step"] == step])
    for name, entries in tables.items():
        print(f"\n{name}")
        for entry in entries:
            print("  " + "  ".join(f"{key}={_short(value)}" for key, value in entry.items()))
    print()
    for name, path in found["files"].items():
        print(f"{name}: {path}")
    print(f"run again: {found['rerun'] or 'not possible: the same settings make another trial now'}")


def layer_summary(sample: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One sample of `layers`, a line for each block and shared part, without what does not apply.

    The crest factor is the largest and the signal-to-noise ratio the lowest of a block's quantizers; the shares of
    zeros and of flips are means over its sites.
    """
    lines = []
    for row in sample:
        if row["layer"] is not None and row["site"] != "block":
            continue
        line = {"site": row["site"] if row["layer"] is None else f"block {row['layer']}"}
        for column, summary in SUMMARIES.items():
            values = [part[column] for part in sample if part["layer"] == row["layer"] and part[column] is not None]
            line[column] = summary(values) if values else None
        line |= {"grad_norm": row["grad_norm"], "exit_main_cosine": row["exit_main_cosine"]}
        lines.append({key: value for key, value in line.items() if value is not None})
    return lines


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "–" if value is None else str(value)
