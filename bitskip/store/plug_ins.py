"""Results that were made with techniques from elsewhere: these are found, or named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from bitskip.errors import UserError
from bitskip.store import filesystem
from bitskip.store.schema import column_name
from bitskip.techniques.registry import missing
from bitskip.trial.config import AXES, make_trial


def check_plug_ins(trials: pa.Table, path: Path) -> None:
    """Import the modules of the plug-ins that are recorded in `trials`.

    Raises UserError where one that acted is not to be had: its trials would be taken for others.
    """
    recorded = pyarrow.compute.unique(trials["plugins"]).to_pylist()
    absent = missing({entry for entries in recorded if entries for entry in entries.split(", ")})
    if not absent:
        return
    rows = trials.filter(pyarrow.compute.is_valid(trials["plugins"])).to_pylist()
    unknown = sum(rebuilt_id(row) != row["trial_id"] for row in rows)
    if unknown:
        raise UserError(
            f"{filesystem.shown(path)}: {unknown} trials have techniques of {', '.join(absent)}, which is not here; "
            "install it (a module under `plugins:` must be importable)"
        )


def rebuilt_id(row: Mapping[str, Any]) -> str | None:
    """The id of a trial with the axes that are known here; None for values that no trial has."""
    known = {name: row[column_name(name)] for name in AXES if name != "data.digest"}
    try:
        trial = make_trial(**{name: value for name, value in known.items() if value not in (None, [])})
    except UserError:
        return None
    return replace(trial, data=replace(trial.data, digest=row["data_digest"] or "")).trial_id
