"""Results from a notebook or another trainer: rows of axes and losses become a folder like that of a sweep."""

from __future__ import annotations

import dataclasses
import datetime
import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bitskip.errors import UserError, nearest
from bitskip.store.compaction import compact, write_merged
from bitskip.store.schema import COMMIT_TABLE, FINISHED, NO_LOSS, Status, columns
from bitskip.store.tables import stored_results, write_trial
from bitskip.store.trial_columns import attempt_columns
from bitskip.trial.config import TrialConfig, axis_names, make_trial


def save_results(rows: Iterable[Mapping[str, Any]], folder: str | Path) -> Path:
    """Store one trial per row as a sweep named after the folder, which `load_results`, `report` and `predict` read.

    A row has axes by their names (what is left out is at its default), `seed`, and `loss` in nats per token; None, with
    a `status`, where the trial failed. Any other column of `trials` may stand in it; perplexity follows from the loss.
    Returns the folder. Raises UserError, naming the row, for what is neither axis nor column, for a value out of range,
    and for a trial that is there twice; nothing is stored then. Warns
    where another result of a trial is in the folder, which is replaced.
    """
    folder = Path(folder)
    known = {each.name for each in columns(COMMIT_TABLE)} - {"model", "data"}
    stored: dict[str, dict[str, Any]] = {}
    together = {"started_at": datetime.datetime.now(datetime.UTC)}  # rows of one call are one design
    for number, row in enumerate(rows, start=1):
        try:
            trial, found = _row(row, known, folder.name)
        except UserError as error:
            raise UserError(f"row {number}: {error}") from None
        if trial.trial_id in stored:
            raise UserError(f"row {number}: this configuration and seed are there already; give each its own seed")
        stored[trial.trial_id] = found | {key: row.get(key) or value for key, value in together.items()}
    earlier = stored_results(folder)
    changed = [key for key, row in stored.items() if key in earlier and _result(earlier[key]) != _result(row)]
    if changed:
        told = f"the results of {len(changed)} trials in {folder} are replaced by others: {', '.join(changed[:3])}"
        warnings.warn(told, stacklevel=2)
    alone = [] if earlier else [row for row in stored.values() if row["status"] in FINISHED]
    if alone:
        write_merged(folder, alone)
    for found in stored.values():
        if not alone or found["status"] not in FINISHED:
            write_trial(folder, found)
    compact(folder)
    return folder


def _result(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["status"], row["loss"], row.get("measured")


def _row(row: Mapping[str, Any], known: set[str], sweep: str) -> tuple[TrialConfig, dict[str, Any]]:
    names = axis_names()
    settings = {name: value for name, value in row.items() if name in names}
    measures = {name: value for name, value in row.items() if name not in names}
    for name in measures:
        if name not in known:
            raise UserError(f"'{name}' is neither an axis nor a column of trials{nearest(name, (*names, *known))}")
    if "seed" not in row or "loss" not in row:
        raise UserError("a row needs `seed` and `loss` (None, with a `status`, for a trial that failed)")
    digest = settings.pop("data.digest", "")
    trial = make_trial(**settings)
    trial = dataclasses.replace(trial, data=dataclasses.replace(trial.data, digest=digest))
    loss = measures["loss"]
    status = str(measures.get("status") or (Status.OK if loss is not None else ""))
    has_result = loss is not None or measures.get("measured") is not None
    if status not in list(Status) or has_result != (status in (Status.OK, Status.STALLED)):
        failed = ", ".join([*NO_LOSS, Status.ERROR, Status.TIMEOUT])
        raise UserError(
            f"status '{status}' does not go with loss {loss}: ok with a loss, else one of {failed} and None"
        )
    if loss is not None and not (isinstance(loss, int | float) and math.isfinite(loss)):
        raise UserError(f"loss: expected a finite number of nats per token, got {loss!r}")
    ppl = math.exp(loss) if loss is not None and loss < 700 else None
    own = attempt_columns(trial, sweep, None, ())
    return trial, own | {"ppl": ppl} | measures | {"status": status}
