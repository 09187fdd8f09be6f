"""Parquet tables of a sweep: the ledger of what has run (DESIGN 5). The only module that imports pyarrow.

A trial is one immutable part file per table, named by its id. Its part in `trials` is renamed into place last and is
the commit record: parts of other tables without it do not count.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from bitskip.config import AXES
from bitskip.errors import UserError

SCHEMA_VERSION = 1
VERSION_KEY = b"bitskip.schema_version"
DONE = ("ok", "stalled", "diverged")
"""Statuses that are results; the others are attempts that the next run repeats."""

_KINDS = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string(), tuple: pa.list_(pa.string())}


def column_name(axis: str) -> str:
    """The Parquet column of an axis: dots become underscores."""
    return axis.replace(".", "_")


def _schema(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    return pa.schema(list(columns.items()), metadata={VERSION_KEY: str(SCHEMA_VERSION)})


_TEXT, _INT, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
SCHEMAS: dict[str, pa.Schema] = {
    "trials": _schema(
        {"trial_id": _TEXT, "configuration_id": _TEXT, "sweep": _TEXT, "point": _TEXT, "model": _TEXT, "data": _TEXT}
        | {column_name(name): _KINDS[entry.kind] for name, entry in AXES.items()}
        | {"artefact": _FLAG, "status": _TEXT, "reason": _TEXT, "diverged_at_step": _INT, "params": _INT}
        | {"tokens_trained": _INT, "loss": _REAL, "last_finite_loss": _REAL, "ppl": _REAL, "bpb": _REAL}
        | {"unigram_entropy": _REAL, "best_exit": _INT, "best_exit_speed_gain": _REAL, "best_exit_ppl": _REAL}
        | {"weight_bytes": _INT, "train_seconds": _REAL, "eval_seconds": _REAL, "tokens_per_second": _REAL}
        | {"peak_memory_bytes": _INT, "started_at": pa.timestamp("us", tz="UTC"), "host": _TEXT, "device": _TEXT}
        | {"threads": _INT, "versions": _TEXT, "git_sha": _TEXT}
    ),
    "exits": _schema(
        {"trial_id": _TEXT, "exit_layer": _INT, "depth": _INT, "loss": _REAL, "ppl": _REAL, "bpb": _REAL}
        | {"agreement": _REAL, "prefill_tokens_per_second": _REAL, "decode_tokens_per_second": _REAL}
        | {"speed_gain": _REAL, "speed_gain_spread": _REAL}
    ),
    "curves": _schema(
        {"trial_id": _TEXT, "step": _INT, "tokens": _INT, "phase": _TEXT, "train_loss": _REAL, "val_loss": _REAL}
        | {"lr": _REAL, "grad_norm": _REAL}
    ),
    "layers": _schema(
        {"trial_id": _TEXT, "step": _INT, "layer": _INT, "site": _TEXT, "kurtosis": _REAL, "crest_factor": _REAL}
        | {"snr_db": _REAL, "zero_share": _REAL, "weight_flips": _INT, "grad_norm": _REAL}
        | {"exit_main_cosine": _REAL}
    ),
}
COMMIT_TABLE = "trials"


@dataclass(frozen=True)
class Results:
    """The tables of one or several sweeps, one row per committed trial in `trials`; `problems` names files left out."""

    trials: pa.Table
    exits: pa.Table
    curves: pa.Table
    layers: pa.Table
    problems: list[str] = field(default_factory=list)


def missing_as_null(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with every non-finite number as None: a missing number is NULL in Parquet, never NaN."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    schema = SCHEMAS[name]
    for row in rows:
        unknown = set(row) - set(schema.names)
        if unknown:
            raise KeyError(f"no column in {name} for {sorted(unknown)}")
    return pa.Table.from_pylist([missing_as_null(row) for row in rows], schema=schema)


def write_trial(
    folder: Path,
    row: Mapping[str, Any],
    exits: Sequence[Mapping[str, Any]] = (),
    curves: Sequence[Mapping[str, Any]] = (),
    layers: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Store one trial durably below a sweep's folder; a part of the same trial is replaced whole.

    Raises KeyError for a column that the schema does not know and OSError when the folder cannot be written.
    """
    trial_id = str(row["trial_id"])
    tables = {"exits": exits, "curves": curves, "layers": layers, COMMIT_TABLE: [row]}
    for name, rows in tables.items():
        stamped = [{"trial_id": trial_id, **entry} for entry in rows]
        _write_part(_table(name, stamped), folder, name, f"{trial_id}.parquet")


def _write_part(table: pa.Table, folder: Path, name: str, filename: str) -> Path:
    """Temporary file beside, fsync, rename, fsync of the directory: a reader sees the whole part or none."""
    target = folder / name / filename
    temporary = folder / ".tmp" / f"{name}-{filename}-{os.getpid()}-{secrets.token_hex(4)}"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as sink:
            pq.write_table(table, sink, compression="zstd")
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return target


def sweep_folders(path: Path) -> list[Path]:
    """The sweep folders at or right below a results path. Raises UserError if it is no results folder."""
    if not path.exists():
        raise UserError(f"{path}: no such folder; run `bitskip sweep` first or pass --results DIR")
    if not path.is_dir():
        raise UserError(f"{path}: is a file, not a results folder")
    if (path / COMMIT_TABLE).is_dir():
        return [path]
    found = sorted(child for child in path.iterdir() if (child / COMMIT_TABLE).is_dir())
    if not found:
        raise UserError(
            f"{path}: not a results folder, there is no trials/*.parquet in it or one level below; "
            "run `bitskip sweep` first or pass --results DIR"
        )
    return found


def _read_part(path: Path, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table | str:
    """The part in the current schema, or the reason why it can't be read."""
    try:
        handle = pq.ParquetFile(path)
        stored = handle.schema_arrow
        version = int((stored.metadata or {}).get(VERSION_KEY, b"0"))
        if version == 0:
            return f"{path}: not written by bitskip; left out"
        if version > SCHEMA_VERSION:
            return f"{path}: schema version {version} is newer than this bitskip reads ({SCHEMA_VERSION}); left out"
        wanted = [entry for entry in schema if columns is None or entry.name in columns]
        table = handle.read([entry.name for entry in wanted if entry.name in stored.names])
        arrays = [
            table[entry.name].cast(entry.type) if entry.name in stored.names else pa.nulls(len(table), entry.type)
            for entry in wanted
        ]
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"{path}: unreadable ({str(error).splitlines()[0][:80]}); left out"
    return pa.table(arrays, schema=pa.schema(wanted))


def _read_table(
    folders: Sequence[Path], name: str, columns: Sequence[str] | None = None
) -> tuple[pa.Table, list[str]]:
    paths = [path for folder in folders for path in sorted((folder / name).glob("*.parquet"))]
    schema = SCHEMAS[name] if columns is None else pa.schema([SCHEMAS[name].field(c) for c in columns])
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(lambda path: _read_part(path, schema, columns), paths))
    problems = [part for part in read if isinstance(part, str)]
    parts = [part for part in read if isinstance(part, pa.Table)]
    return (pa.concat_tables(parts) if parts else schema.empty_table()), problems


def _committed_rows(trials: pa.Table) -> pa.Table:
    """One row per trial: a result rather than a failed attempt, then the newest."""
    best: dict[str, tuple[bool, float, int]] = {}
    statuses, starts = trials["status"].to_pylist(), trials["started_at"].to_pylist()
    for index, trial_id in enumerate(trials["trial_id"].to_pylist()):
        started = starts[index].timestamp() if starts[index] else 0.0
        rank = (statuses[index] in DONE, started, index)
        best[trial_id] = max(best.get(trial_id, rank), rank)
    return trials.take(sorted(rank[2] for rank in best.values()))


def load_results(path: str | Path) -> Results:
    """All tables of a sweep's folder or of a folder of sweeps, merged by trial id.

    Files that can't be read are named in `problems` and left out. Raises UserError if the path is no results folder.
    """
    folders = sweep_folders(Path(path))
    trials, problems = _read_table(folders, COMMIT_TABLE)
    trials = _committed_rows(trials)
    committed = pa.array(trials["trial_id"].to_pylist(), _TEXT)
    others = {}
    for name in ("exits", "curves", "layers"):
        table, found = _read_table(folders, name)
        problems += found
        table = table.filter(pa.compute.is_in(table["trial_id"], committed))
        keys = [key for key in ("trial_id", "exit_layer", "step", "layer", "site") if key in table.column_names]
        # Two sweeps may hold the same trial: its rows count once.
        position = table.append_column("position", pa.array(range(len(table)), _INT))
        first = position.group_by(keys).aggregate([("position", "min")])["position_min"]
        others[name] = table.take(first.combine_chunks().sort())
    return Results(trials, others["exits"], others["curves"], others["layers"], problems)


def committed(folder: Path) -> dict[str, str]:
    """trial_id to status of what a results folder holds, over all sweeps in it; empty if there is none yet."""
    if not folder.is_dir():
        return {}
    try:
        folders = sweep_folders(folder)
    except UserError:
        return {}
    table, _ = _read_table(folders, COMMIT_TABLE, ["trial_id", "status", "started_at"])
    table = _committed_rows(table)
    return dict(zip(table["trial_id"].to_pylist(), table["status"].to_pylist(), strict=True))
