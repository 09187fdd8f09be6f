"""Writing and reading the Parquet tables of a sweep: the ledger of what has run (DESIGN 5).

A trial is one immutable part file per table, named by its id. Its part in `trials` is renamed into place last and is
the commit record: parts of other tables without it do not count. `compact` merges the parts of finished trials into one
file per table, `compact-<generation>-<hash>.parquet`. Where a trial is in several files of a table, the last one
counts: compact files by generation, then parts. Columns that this version does not know, of a plug-in or a newer
bitskip, are read and kept behind the others.

What cannot be read, or says what cannot be, is left out and named, and nobody takes its trials for not run: a file that
another tool has rewritten is read where its rows are what their ids say, a row without a status is none.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from bitskip.errors import UserError
from bitskip.extras import require
from bitskip.store import filesystem
from bitskip.store.folder import SweepFolder
from bitskip.store.parquet_files import (
    COMPACT_PREFIX,
    File,
    Wanted,
    columns_digest,
    read_file,
    read_table,
    table_files,
)
from bitskip.store.plug_ins import check_plug_ins
from bitskip.store.schema import (
    COLUMNS_KEY,
    COMMIT_TABLE,
    FINISHED,
    SPEEDS,
    TABLES,
    arrow_schema,
)

if TYPE_CHECKING:
    from pandas import DataFrame

ROWS_OF_A_PART = 1000

LEDGER_COLUMNS = ("trial_id", "status", "started_at")
"""What tells which row of a trial counts, and what it says."""


@dataclass(frozen=True)
class Failure:
    """A failed attempt, and how many in a row, this one included, failed alike: same status, reason but for numbers."""

    status: str
    reason: str
    count: int

    @property
    def signature(self) -> tuple[str, str]:
        return self.status, re.sub(r"\d+", "#", self.reason)

    @staticmethod
    def count_of(earlier: Failure | None, status: str, reason: str) -> int:
        """The count of an attempt that comes after another."""
        alike = earlier is not None and Failure(status, reason, 1).signature == earlier.signature
        return earlier.count + 1 if earlier is not None and alike else 1


@dataclass(frozen=True)
class Results:
    """The tables of one or several sweeps; `problems` names files left out.

    `trials` has one row per committed trial, `speeds` one per measurement.
    """

    trials: pa.Table
    exits: pa.Table
    curves: pa.Table
    layers: pa.Table
    speeds: pa.Table = field(default_factory=lambda: arrow_schema(SPEEDS).empty_table())
    evaluations: pa.Table = field(default_factory=lambda: arrow_schema("evaluations").empty_table())
    problems: list[str] = field(default_factory=list)

    def to_pandas(self) -> DataFrame:
        """The trials, a row each. Raises UserError without pandas."""
        require("pandas")
        return self.trials.to_pandas()


def table_of(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A missing number is NULL in Parquet, never NaN. Raises KeyError for a column that the schema does not know."""
    schema = arrow_schema(name)
    unknown = {key for row in rows for key in row} - set(schema.names)
    if unknown:
        raise KeyError(f"no column in {name} for {sorted(unknown)}")
    return pa.Table.from_pylist(
        [{key: None if _missing(value) else value for key, value in row.items()} for row in rows], schema=schema
    )


def _missing(value: Any) -> bool:
    # numpy's float32 is a Real, but no float.
    return isinstance(value, numbers.Real) and not math.isfinite(value)


def write_trial(
    folder: Path,
    row: Mapping[str, Any],
    exits: Sequence[Mapping[str, Any]] = (),
    curves: Sequence[Mapping[str, Any]] = (),
    layers: Sequence[Mapping[str, Any]] = (),
    evaluations: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Store one trial durably below a sweep's folder; a part of the same trial is replaced whole.

    A failed attempt does not take the place of a result.
    Raises KeyError for a column that the schema does not know and OSError when the folder cannot be written.
    """
    trial_id = str(row["trial_id"])
    rows = {"exits": exits, "curves": curves, "layers": layers}
    rows |= {"evaluations": evaluations} if evaluations else {}  # of most trials there are none: no file for these
    rows |= {COMMIT_TABLE: [row]}
    rows = {name: [{**entry, "trial_id": trial_id} for entry in entries] for name, entries in rows.items()}
    # All are built before the first is written: a wrong row leaves nothing behind.
    tables = {name: table_of(name, entries) for name, entries in rows.items()}
    if row["status"] not in FINISHED:
        with contextlib.suppress(UserError):  # nothing is known of a part that cannot be read
            if stored_result(folder, trial_id):
                return
    for name, table in tables.items():
        write_file(table, SweepFolder(folder).part(name, trial_id))


def write_file(table: pa.Table, target: Path) -> None:
    """Write a file of a table durably: a reader sees the whole file or none. Raises OSError."""
    # In a part of a few rows, dictionaries and statistics cost a third of the time to read it.
    large = len(table) > ROWS_OF_A_PART
    buffer = pa.BufferOutputStream()
    told = {**(table.schema.metadata or {}), COLUMNS_KEY: columns_digest(table.schema)}
    table = table.replace_schema_metadata(told)
    shape = {"use_dictionary": large, "write_statistics": large}
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True, **shape)
    # Not beside the target: other tools read every file in the folder of a table.
    scratch = SweepFolder(target.parent.parent).scratch
    filesystem.write(target, buffer.getvalue().to_pybytes(), scratch)


def holds_rows(folder: Path) -> bool:
    """Whether it is the folder of a sweep that has a row."""
    return filesystem.is_folder(SweepFolder(folder).table(COMMIT_TABLE))


def sweep_folders(path: Path) -> list[Path]:
    """The sweep folders at or right below a results path. Raises UserError if it is no results folder."""
    filesystem.fetch_designs(path)
    if holds_rows(path):
        return [path]
    if path.is_file():
        raise UserError(f"{path}: is a file, not a results folder")
    if not filesystem.is_folder(path):
        raise UserError(f"{filesystem.shown(path)}: no such folder; run `bitskip sweep` first or pass --results DIR")
    found = [child for child in filesystem.folders_in(path) if holds_rows(child)]
    if not found:
        told = "not a results folder, there is no trials/*.parquet in it or one level below"
        raise UserError(f"{filesystem.shown(path)}: {told}; run `bitskip sweep` first or pass --results DIR")
    return found


def counting(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each trial the row that counts: a result before a failed attempt, then the newest, then the last."""

    def standing(row: dict[str, Any]) -> tuple[bool, float]:
        return row["status"] in FINISHED, row["started_at"].timestamp() if row["started_at"] else 0.0

    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = best.get(row["trial_id"])
        if known is None or standing(known) <= standing(row):
            best[row["trial_id"]] = row
    return best


def commits(files: Sequence[File]) -> dict[str, dict[str, Any]]:
    """By trial id LEDGER_COLUMNS of the row that counts, the sweep's `folder`, and the row's `at` over all files."""
    rows = ({**row, "folder": file.folder} for file in files for row in file.table.select(LEDGER_COLUMNS).to_pylist())
    return counting({**row, "at": at} for at, row in enumerate(rows))


def counted(files: Sequence[File], counts: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """The rows of `trials` that count, in the order of the files."""
    rows = joined([file.table for file in files], COMMIT_TABLE)
    return rows.take(pa.array(sorted(row["at"] for row in counts.values()), pa.int64()))


def last_rows(files: Sequence[File], folder_of: Mapping[str, Path], name: str) -> pa.Table:
    """Rows of the trials in `folder_of`, each from its folder and from the last file there that holds it."""
    seen: set[str] = set()
    found: list[pa.Table] = []
    for file in reversed(files):
        ids, part = file.table["trial_id"], file.path.stem
        # A part counts without rows, too: its trial has none in this table.
        held = {part} if part in folder_of else set(ids.unique().to_pylist())
        fresh = {trial_id for trial_id in held - seen if folder_of.get(trial_id) == file.folder}
        seen |= fresh
        if fresh:
            found.append(file.table if fresh == held else file.table.filter(pa.compute.is_in(ids, pa.array(fresh))))
    return joined(found[::-1], name)


def joined(tables: Sequence[pa.Table], name: str) -> pa.Table:
    """All rows of a table's files; columns that only some files have are NULL in the others' rows."""
    filled = [table for table in tables if len(table)] or [arrow_schema(name).empty_table()]
    if len(filled) == 1:
        return filled[0]
    if any(table.schema != filled[0].schema for table in filled):
        try:
            return pa.concat_tables(filled, promote_options="permissive").combine_chunks()
        except pa.ArrowTypeError:
            filled = [_unknown_as_text(table, name) for table in filled]
    return pa.concat_tables(filled, promote_options="default").combine_chunks()


def _unknown_as_text(table: pa.Table, name: str) -> pa.Table:
    """Unknown columns of one name and several types have no type in common but this."""
    known = set(arrow_schema(name).names)
    for at, entry in enumerate(table.schema):
        if entry.name not in known:
            text = [None if value is None else str(value) for value in table[entry.name].to_pylist()]
            table = table.set_column(at, entry.name, pa.array(text, pa.string()))
    return table


def load_results(path: str | Path) -> Results:
    """All tables of a sweep's folder or of a folder of sweeps, merged by trial id.

    Files that can't be read are named in `problems` and left out. Raises UserError if the path is no results folder.
    """
    folders = sweep_folders(Path(path))
    files = {name: read_table(folders, name) for name in TABLES}
    measured = read_table(folders, SPEEDS)
    counts = commits(files[COMMIT_TABLE])
    folder_of = {trial_id: row["folder"] for trial_id, row in counts.items()}
    trials = counted(files[COMMIT_TABLE], counts)
    others = {name: last_rows(found, folder_of, name) for name, found in files.items() if name != COMMIT_TABLE}
    check_plug_ins(trials, Path(path), folders)
    told = _several_results(files[COMMIT_TABLE])
    if torn := _torn(trials, others["exits"]):
        told.append(_listed(torn, "exits have another loss than trials: their exits, curves and layers are left out"))
        ids = pa.array(torn, pa.string())
        others = {
            name: table.filter(pa.compute.invert(pa.compute.is_in(table["trial_id"], ids)))
            for name, table in others.items()
        }
    speeds = joined([file.table for file in measured], SPEEDS)
    speeds = speeds.filter(pa.compute.is_in(speeds["trial_id"], trials["trial_id"].combine_chunks()))
    problems = [*unreadable_files([*measured, *(file for found in files.values() for file in found)]), *told]
    return Results(trials=trials, **others, speeds=speeds, problems=problems)


def _several_results(files: Sequence[File]) -> list[str]:
    """A line if there are trials with several results that differ: of another machine, or of another run."""
    ids = pa.chunked_array([chunk for file in files for chunk in file.table["trial_id"].chunks] or [[]], pa.string())
    counts = pa.compute.value_counts(ids)
    twice = (
        {entry["values"] for entry in counts.to_pylist() if entry["counts"] > 1} if len(counts) < len(ids) else set()
    )
    found: dict[str, set[Any]] = {}
    for file in files if twice else ():
        for row in file.table.select(["trial_id", "status", "loss"]).to_pylist():
            if row["trial_id"] in twice and row["status"] in FINISHED:
                found.setdefault(row["trial_id"], set()).add((row["status"], row["loss"]))
    differing = [trial_id for trial_id, results in found.items() if len(results) > 1]
    return [_listed(differing, "stored several times with results that differ: the newest counts")] if differing else []


def _torn(trials: pa.Table, exits: pa.Table) -> list[str]:
    """Trials whose loss is not that of their last exit: rows of two runs."""
    last = exits.filter(pa.compute.equal(exits["exit_layer"], exits["depth"]))
    at_exit = dict(zip(last["trial_id"].to_pylist(), last["loss"].to_pylist(), strict=True))
    found = zip(trials["trial_id"].to_pylist(), trials["loss"].to_pylist(), strict=True)
    return [
        trial_id
        for trial_id, loss in found
        if loss is not None
        and (other := at_exit.get(trial_id)) is not None
        and not math.isclose(loss, other, rel_tol=1e-9, abs_tol=1e-12)
    ]


def _listed(ids: Sequence[str], what: str) -> str:
    named = ", ".join(sorted(ids)[:3]) + (" …" if len(ids) > 3 else "")
    return f"{len(ids)} trial{'s' * (len(ids) > 1)} ({named}): {what}"


def unreadable_files(files: Sequence[File]) -> list[str]:
    return sorted(file.problem for file in files if file.problem)


def committed(folder: Path) -> dict[str, str]:
    """trial_id to status of what a results folder holds, over all sweeps in it; empty if there is none yet."""
    return {trial_id: status for trial_id, (status, _) in committed_anywhere(folder).items()}


def committed_anywhere(root: Path) -> dict[str, tuple[str, Path]]:
    """trial_id to status and the sweep folder that holds the row that counts; empty if there is none yet."""
    return ledger_of(root)[0]


def ledger_of(root: Path) -> tuple[dict[str, tuple[str, Path]], list[File]]:
    """`committed_anywhere`, and the files of `trials` of which something cannot be read."""
    files = _commit_files(root)
    found = {trial_id: (row["status"], row["folder"]) for trial_id, row in commits(files).items()}
    return found, [file for file in files if file.problem]


def ledger_rows(root: Path, *names: str) -> list[dict[str, Any]]:
    """LEDGER_COLUMNS and some others of the rows that count, over all sweeps; empty if there is none yet."""
    files = _commit_files(root, *names)
    rows: list[dict[str, Any]] = counted(files, commits(files)).to_pylist()
    return rows


def _commit_files(root: Path, *names: str) -> list[File]:
    try:
        folders = sweep_folders(root)
    except UserError:  # no results yet
        return []
    return read_table(folders, COMMIT_TABLE, (*LEDGER_COLUMNS, *names))


def stored_result(folder: Path, trial_id: str) -> dict[str, Any] | None:
    """LEDGER_COLUMNS and loss of a trial's result in a sweep's folder, None without one.

    Raises UserError if its part cannot be read.
    """
    names = (*LEDGER_COLUMNS, "loss")
    paths = [path for path in table_files(folder, COMMIT_TABLE) if path.name.startswith(COMPACT_PREFIX)]
    part = SweepFolder(folder).part(COMMIT_TABLE, trial_id)
    rows: list[dict[str, Any]] = []
    for path in (*paths, part):
        try:
            file = read_file(path, Wanted.of(COMMIT_TABLE, names))
        except FileNotFoundError:
            continue
        rows += file.table.filter(pa.compute.equal(file.table["trial_id"], trial_id)).to_pylist()
        if file.problem and path == part:
            raise UserError(f"{file.problem}; move it away to store this trial's result")
    return next((row for row in counting(rows).values() if row["status"] in FINISHED), None)


def stored_results(folder: Path) -> dict[str, dict[str, Any]]:
    """`stored_result` of all trials in a sweep's folder; empty if there is none yet."""
    files = read_table([folder], COMMIT_TABLE, (*LEDGER_COLUMNS, "loss"))
    rows = counting(row for file in files for row in file.table.to_pylist())
    return {trial_id: row for trial_id, row in rows.items() if row["status"] in FINISHED}


def read_failure(folder: Path, trial_id: str) -> Failure | None:
    """How the last attempt of a trial failed, from its part in a sweep's folder; None if there is none to read."""
    wanted = Wanted.of(COMMIT_TABLE, ("status", "reason", "failures"))
    try:
        rows = read_file(SweepFolder(folder).part(COMMIT_TABLE, trial_id), wanted).table.to_pylist()
    except FileNotFoundError:
        return None
    return Failure(rows[-1]["status"], rows[-1]["reason"] or "", rows[-1]["failures"] or 1) if rows else None
