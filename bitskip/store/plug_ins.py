"""Results that were made with techniques from elsewhere: these are found, or named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from bitskip.errors import UserError
from bitskip.store import filesystem
from bitskip.store.folder import SweepFolder
from bitskip.store.foreign_metric import MEASURES
from bitskip.store.stored_design import load_named_in
from bitskip.techniques.registry import plug_ins
from bitskip.trial.config import stored_trial


def check_plug_ins(trials: pa.Table, path: Path, folders: Iterable[Path]) -> None:
    """Import and declare what the designs of results name, where their rows ask for a technique or a measure.

    Raises UserError where a technique acted that is not here, or is here in another version: its trials would be taken
    for others; and where nothing says what a measure is.
    """
    recorded = {
        entry for row in pyarrow.compute.unique(trials["plugins"]).to_pylist() for entry in (row or "").split(", ")
    }
    recorded.discard("")
    measures = set(pyarrow.compute.unique(trials["metric"].drop_null()).to_pylist())
    if recorded <= _here() and not measures:
        return
    for folder in folders:
        load_named_in(SweepFolder(folder).design)
    if lacking := measures - MEASURES.keys():
        raise UserError(
            f"{filesystem.shown(path)}: no design says what {min(lacking)} is; put sweep.yaml back beside the results"
        )
    absent = recorded - _here()
    if not absent:
        return
    rows = trials.filter(pyarrow.compute.is_valid(trials["plugins"])).to_pylist()
    unknown = sum(rebuilt_id(row) != row["trial_id"] for row in rows)
    if unknown:
        raise UserError(
            f"{filesystem.shown(path)}: {unknown} trials have techniques of {', '.join(sorted(absent))}, which is not "
            f"here{_instead(absent)}; install it (a module under `plugins:` must be importable, a factor stand under "
            "`factors:` in the design beside the results)"
        )


def _here() -> set[str]:
    return {plug_in.name for plug_in in plug_ins()}


def _instead(absent: Iterable[str]) -> str:
    packages = {entry.rpartition(" ")[0] for entry in absent}
    others = sorted(name for name in _here() if name.rpartition(" ")[0] in packages)
    return f" ({', '.join(others)} is)" if others else ""


def rebuilt_id(row: Mapping[str, Any]) -> str | None:
    """The id of a trial with the axes that are known here; None for values that no trial has."""
    try:
        return stored_trial(row).trial_id
    except UserError:
        return None
