"""One Parquet file of a table: what is wanted of it, what is wrong with it, and what it may hold."""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from bitskip.errors import UserError
from bitskip.store import filesystem
from bitskip.store.folder import SweepFolder
from bitskip.store.plug_ins import rebuilt_id
from bitskip.store.schema import (
    COLUMNS_KEY,
    COMMIT_TABLE,
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


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
TIMES = tuple((datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) - EPOCH) // MICROSECOND for year in (1, 9999))
"""What Python can say of a time, in microseconds."""


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
        handle = pq.ParquetFile(filesystem.source(path), page_checksum_verification=True)
        stored = handle.schema_arrow
        meta = stored.metadata or {}
        version = int(meta.get(VERSION_KEY, b"0"))
        if version > SCHEMA_VERSION:
            return _left_out(
                path, wanted, f"schema version {version} is newer than this bitskip reads ({SCHEMA_VERSION})"
            )
        if version == 0:
            return _complete(_rewritten(path, handle, wanted), wanted)
        if meta.get(COLUMNS_KEY, told := columns_digest(stored)) != told:
            return _left_out(path, wanted, "unreadable (its columns are not those that were stored)")
        if stored.equals(wanted.schema):
            table = handle.read(use_threads=False).replace_schema_metadata(wanted.schema.metadata)
        else:
            table = _in_schema(handle, wanted)
        return _complete(_sound(path, table, wanted), wanted)
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


def columns_digest(schema: pa.Schema) -> bytes:
    """Of the names and types of a file's columns: pages have checksums, what says where and what they are has none."""
    told = [(entry.name, str(entry.type).replace("<element:", "<item:")) for entry in schema]  # Parquet renames these
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12].encode()


def _complete(file: File, wanted: Wanted) -> File:
    """The file, which has a problem if its trials are not those that its name says."""
    if file.problem or "trial_id" not in file.table.column_names:
        return file
    stem, ids = file.path.stem, frozenset(file.table["trial_id"].to_pylist())
    if re.fullmatch(r"[0-9a-f]{16}", stem):
        whole = ids == {stem} or (not ids and wanted.name != COMMIT_TABLE)
    else:
        whole = not stem.startswith(COMPACT_PREFIX) or stem.endswith(f"-{digest_of(ids)}")
    if whole:
        return file
    held = _may_hold(file.path) if wanted.name == COMMIT_TABLE else frozenset[str]()
    problem = f"{filesystem.shown(file.path)}: its trials are not all of those, or not those, that its name stands for"
    return File(file.path, file.table, problem, held if held is None else held - ids)


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


def set_aside(files: Iterable[File]) -> list[Path]:
    """Move files of a local folder out of the readers' way, to `damaged/`; returns where they are."""
    moved = []
    for file in files:
        target = file.folder / "damaged" / file.path.parent.name / file.path.name
        if filesystem.key_of(file.path) is None and file.path.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            moved.append(file.path.replace(target))
    return moved
