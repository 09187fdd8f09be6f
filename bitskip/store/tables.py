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
import datetime
import hashlib
import math
import numbers
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from bitskip.errors import UserError
from bitskip.store import filesystem
from bitskip.store.folder import SweepFolder
from bitskip.store.plug_ins import check_plug_ins, rebuilt_id
from bitskip.store.schema import (
    COMMIT_TABLE,
    FINISHED,
    SCHEMA_VERSION,
    TABLES,
    VERSION_KEY,
    Status,
    arrow_schema,
    column_name,
    columns,
)
from bitskip.trial.config import AXES

COMPACT_PREFIX = "compact-"
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
    """The tables of one or several sweeps, one row per committed trial in `trials`; `problems` names files left out."""

    trials: pa.Table
    exits: pa.Table
    curves: pa.Table
    layers: pa.Table
    problems: list[str] = field(default_factory=list)


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
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
) -> None:
    """Store one trial durably below a sweep's folder; a part of the same trial is replaced whole.

    A failed attempt does not take the place of a result.
    Raises KeyError for a column that the schema does not know and OSError when the folder cannot be written.
    """
    trial_id = str(row["trial_id"])
    rows = {"exits": exits, "curves": curves, "layers": layers, COMMIT_TABLE: [row]}
    # All are built before the first is written: a wrong row leaves nothing behind.
    tables = {
        name: _table(name, [{**entry, "trial_id": trial_id} for entry in entries]) for name, entries in rows.items()
    }
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
    pq.write_table(table, buffer, compression="zstd", use_dictionary=large, write_statistics=large)
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
        raise UserError(
            f"{filesystem.shown(path)}: not a results folder, there is no trials/*.parquet in it or one level below; "
            "run `bitskip sweep` first or pass --results DIR"
        )
    return found


@dataclass(frozen=True)
class File:
    """One Parquet file of a table, read: its rows, or why it or some of them are left out.

    `may_hold` are the trials that what is left out may be of; None where that is not known.
    """

    path: Path
    table: pa.Table
    problem: str | None = None
    may_hold: frozenset[str] | None = frozenset()

    @property
    def folder(self) -> Path:
        return self.path.parent.parent


@dataclass(frozen=True)
class Wanted:
    """What to read of a table's files: a schema, what missing columns stand for, whether unknown ones are kept."""

    name: str
    schema: pa.Schema
    absent: Mapping[str, Any]
    unknown_too: bool

    @classmethod
    def of(cls, table: str, names: Sequence[str] | None = None) -> Wanted:
        """A whole table, or some of its columns."""
        absent = {each.name: each.absent for each in columns(table)}
        return cls(table, arrow_schema(table, names), absent, names is None)


def table_files(folder: Path, name: str) -> list[Path]:
    """The files of a table; where two hold a trial, the later one counts."""
    place = SweepFolder(folder).table(name)
    found = [file for file in filesystem.files_in(place) if file.endswith(".parquet")]
    return [place / file for file in sorted(found, key=reading_order)]


def reading_order(file: str) -> tuple[bool, str]:
    """Compact files by generation, then parts."""
    return not file.startswith(COMPACT_PREFIX), file


def read_file(path: Path, wanted: Wanted) -> File:
    """The rows in the current schema. Raises FileNotFoundError if a compaction has just removed the file."""
    try:
        handle = pq.ParquetFile(filesystem.source(path))
        stored = handle.schema_arrow
        version = int((stored.metadata or {}).get(VERSION_KEY, b"0"))
        if version > SCHEMA_VERSION:
            return _left_out(
                path, wanted, f"schema version {version} is newer than this bitskip reads ({SCHEMA_VERSION})"
            )
        if version == 0:
            return _rewritten(path, handle, wanted)
        if stored.equals(wanted.schema):
            table = handle.read(use_threads=False).replace_schema_metadata(wanted.schema.metadata)
        else:
            table = _in_schema(handle, wanted)
        return _sound(path, table, wanted)
    except (FileNotFoundError, UserError):
        raise
    except Exception as error:  # of a damaged file, Arrow and Python raise whatever they come upon
        reason = str(error).partition(chr(10))[0][:80] or type(error).__name__
        return _left_out(path, wanted, f"unreadable ({reason})")


def _left_out(path: Path, wanted: Wanted, reason: str, *, foreign: bool = False) -> File:
    held = frozenset[str]() if foreign or wanted.name != COMMIT_TABLE else _may_hold(path)
    return File(path, wanted.schema.empty_table(), f"{filesystem.shown(path)}: {reason}; left out", held)


def _may_hold(path: Path) -> frozenset[str] | None:
    """The trials of a file of `trials` that cannot be read, None for any.

    A part is named by its trial. A compact file is named by a hash of its trials, and those of other tables that were
    merged with it hold the same.
    """
    if re.fullmatch(r"[0-9a-f]{16}", path.stem):
        return frozenset([path.stem])
    for name in TABLES:
        if name != COMMIT_TABLE:
            file = path.parent.parent / name / path.name
            try:
                ids = set(pq.read_table(filesystem.source(file), columns=["trial_id"])["trial_id"].to_pylist())
            except Exception:  # is not there, or is damaged, too
                continue
            if path.stem.endswith(f"-{digest_of(ids)}"):
                return frozenset(ids)
    return None


def digest_of(ids: Iterable[str]) -> str:
    """What a compact file is named by."""
    return hashlib.sha256("".join(sorted(set(ids))).encode()).hexdigest()[:12]


def _in_schema(handle: pq.ParquetFile, wanted: Wanted, *, foreign: bool = False) -> pa.Table:
    """The rows with the columns that are wanted, others behind them where these are kept."""
    schema, stored = wanted.schema, handle.schema_arrow
    # pandas keeps its index in a column whose name begins like this.
    others = [
        entry for entry in stored
        if wanted.unknown_too and entry.name not in schema.names and not entry.name.startswith("__")
    ]  # fmt: skip
    there = set(stored.names)
    table = handle.read([entry.name for entry in (*schema, *others) if entry.name in there], use_threads=False)
    found = [
        _in_type(table[entry.name], entry.type, foreign)
        if entry.name in there
        else pa.array([wanted.absent[entry.name]] * len(table), entry.type)
        for entry in (*schema, *others)
    ]
    return pa.table(found, schema=pa.schema([*schema, *others], metadata=schema.metadata))


def _in_type(column: pa.ChunkedArray, wanted: pa.DataType, foreign: bool) -> pa.ChunkedArray:
    if foreign and pa.types.is_floating(column.type):  # where pandas had a missing number
        column = pa.compute.if_else(pa.compute.is_nan(column), pa.scalar(None, column.type), column)
    return column if column.type == wanted else column.cast(wanted)


def _rewritten(path: Path, handle: pq.ParquetFile, wanted: Wanted) -> File:
    """A file without bitskip's metadata, as pandas leaves it: read if its rows are what they say.

    In `trials` every configuration must hash to its id; other tables must have all columns.
    """
    there = set(handle.schema_arrow.names)
    if "trial_id" not in there:
        return _left_out(path, wanted, "not written by bitskip", foreign=True)
    whole = Wanted.of(wanted.name)
    lacking = [name for name in whole.schema.names if name not in there and wanted.name != COMMIT_TABLE]
    if lacking:
        return _left_out(path, wanted, f"rewritten by another tool, without the column {lacking[0]}")
    file = _sound(path, _in_schema(handle, whole, foreign=True), whole)
    if wanted.name == COMMIT_TABLE:
        wrong = [row["trial_id"] for row in file.table.to_pylist() if rebuilt_id(row) != row["trial_id"]]
        if wrong:
            return _left_out(path, wanted, f"rewritten by another tool, and {wrong[0]} is not the id of its row")
    table = file.table if wanted.unknown_too else file.table.select(wanted.schema.names)
    return File(path, table.replace_schema_metadata(wanted.schema.metadata), file.problem, file.may_hold)


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
TIMES = tuple((datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) - EPOCH) // MICROSECOND for year in (1, 9999))
"""What Python can say of a time, in microseconds."""


def _sound(path: Path, table: pa.Table, wanted: Wanted) -> File:
    """The rows that say of which trial they are, how it ended, its axes. Raises ArrowInvalid for text that is none."""
    for column in table.columns:
        if not pa.types.is_primitive(column.type):
            column.validate(full=True)  # UTF-8
    compute = pa.compute
    axes = (column_name(name) for name, entry in AXES.items() if entry.since is None)
    words = ("trial_id", "configuration_id", *axes) if wanted.name == COMMIT_TABLE else ("trial_id",)
    good = {name: compute.is_valid(table[name]) for name in words if name in table.column_names}
    good = {name: flags for name, flags in good.items() if table[name].null_count}
    if wanted.name == COMMIT_TABLE:
        known = pa.array(list(Status), pa.string())
        good |= {"status": compute.is_in(table["status"], known)} if "status" in table.column_names else {}
        good |= {"started_at": _in_time(table["started_at"])} if "started_at" in table.column_names else {}
    good = {name: flags for name, flags in good.items() if not compute.all(flags, min_count=0).as_py()}
    if not good:
        return File(path, table)
    kept = good[first := next(iter(good))]
    for flags in good.values():
        kept = compute.and_(kept, flags)
    bad = table.filter(compute.invert(kept))
    ids = set(bad["trial_id"].to_pylist())
    held = _may_hold(path) if None in ids else frozenset(ids)
    value = next(
        value for value, fine in zip(table[first].to_pylist(), good[first].to_pylist(), strict=True) if not fine
    )
    shown = "no" if value is None else f"an unknown ({value!r})"
    problem = f"{filesystem.shown(path)}: {len(bad)} of {len(table)} rows have {shown} {first}; left out"
    return File(path, table.filter(kept), problem, held if wanted.name == COMMIT_TABLE else frozenset())


def _in_time(column: pa.ChunkedArray) -> pa.ChunkedArray:
    ticks = column.cast(pa.int64())
    inside = pa.compute.and_(pa.compute.greater_equal(ticks, TIMES[0]), pa.compute.less(ticks, TIMES[1]))
    return pa.compute.fill_null(inside, True)  # that it is missing only means that nobody knows


def read_files(paths: Sequence[Path], wanted: Wanted) -> list[File]:
    """Several files at once."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda path: read_file(path, wanted), paths))


def read_table(folders: Sequence[Path], name: str, names: Sequence[str] | None = None) -> list[File]:
    """The files of a table in several sweeps, whole or some columns of them."""
    wanted = Wanted.of(name, names)
    for _ in range(10):
        paths = [path for folder in folders for path in table_files(folder, name)]
        try:
            return read_files(paths, wanted)
        except FileNotFoundError:
            continue  # compacted between listing and reading: its rows are in a newer file
    raise UserError(f"{folders[0]}: files in {name}/ keep vanishing while they are read")


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
    problems = [*_problems([file for found in files.values() for file in found]), *told]
    return Results(trials=trials, **others, problems=problems)


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


def _problems(files: Sequence[File]) -> list[str]:
    return sorted(file.problem for file in files if file.problem)


def committed(folder: Path) -> dict[str, str]:
    """trial_id to status of what a results folder holds, over all sweeps in it; empty if there is none yet."""
    return {trial_id: status for trial_id, (status, _) in committed_anywhere(folder).items()}


def committed_anywhere(root: Path) -> dict[str, tuple[str, Path]]:
    """trial_id to status and the sweep folder that holds the row that counts; empty if there is none yet."""
    return ledger_of(root)[0]


def ledger_of(root: Path) -> tuple[dict[str, tuple[str, Path]], list[File]]:
    """`committed_anywhere`, and the files of `trials` of which something cannot be read."""
    try:
        folders = sweep_folders(root)
    except UserError:
        return {}, []
    files = read_table(folders, COMMIT_TABLE, LEDGER_COLUMNS)
    found = {trial_id: (row["status"], row["folder"]) for trial_id, row in commits(files).items()}
    return found, [file for file in files if file.problem]


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


def set_aside(files: Iterable[File]) -> list[Path]:
    """Move files of a local folder out of the readers' way, to `damaged/`; returns where they are."""
    moved = []
    for file in files:
        target = file.folder / "damaged" / file.path.parent.name / file.path.name
        if filesystem.key_of(file.path) is None and file.path.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            moved.append(file.path.replace(target))
    return moved


def read_failure(folder: Path, trial_id: str) -> Failure | None:
    """How the last attempt of a trial failed, from its part in a sweep's folder; None if there is none to read."""
    wanted = Wanted.of(COMMIT_TABLE, ("status", "reason", "failures"))
    try:
        rows = read_file(SweepFolder(folder).part(COMMIT_TABLE, trial_id), wanted).table.to_pylist()
    except FileNotFoundError:
        return None
    return Failure(rows[-1]["status"], rows[-1]["reason"] or "", rows[-1]["failures"] or 1) if rows else None


@dataclass(frozen=True)
class Inspection:
    """What lies in a sweep's folder. `rows` are those of `trials` that count.

    `problems` are files that cannot be read, `strays` others among the parts, `orphans` trials with parts but without a
    row; `loose` counts the parts of `trials` that are not merged.
    """

    rows: list[dict[str, Any]]
    problems: list[str]
    strays: list[Path]
    orphans: set[str]
    loose: int


def inspect_folder(folder: Path) -> Inspection:
    """Look at every file of a sweep's folder; its parts are opened, and their rows read where they count."""
    files = {
        name: read_files(table_files(folder, name), Wanted.of(name, None if name == COMMIT_TABLE else ("trial_id",)))
        for name in TABLES
    }
    trials = files[COMMIT_TABLE]
    counts = commits(trials)
    held = {key for found in files.values() for file in found for key in file.table["trial_id"].to_pylist()}
    places = [SweepFolder(folder).table(name) for name in TABLES]
    found = [place / file for place in places for file in sorted(filesystem.files_in(place))]
    return Inspection(
        rows=counted(trials, counts).to_pylist(),
        problems=_problems([file for found in files.values() for file in found]),
        strays=[path for path in found if path.suffix != ".parquet"],
        orphans=held - set(counts),
        loose=sum(not file.path.name.startswith(COMPACT_PREFIX) for file in trials),
    )
