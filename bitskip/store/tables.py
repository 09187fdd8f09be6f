"""Parquet tables of a sweep: the ledger of what has run (DESIGN 5). The only module that imports pyarrow.

A trial is one immutable part file per table, named by its id. Its part in `trials` is renamed into place last and is
the commit record: parts of other tables without it do not count. `compact` merges the parts of finished trials into one
file per table, `compact-<generation>-<hash>.parquet`. Where a trial is in several files of a table, the last one
counts: compact files by generation, then parts. Why parts are merged while a sweep still runs: opening and decoding a
part takes a millisecond or two, most of it spent on columns of one value, so that thousands take seconds.
"""

from __future__ import annotations

import hashlib
import math
import numbers
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from bitskip.errors import UserError
from bitskip.store import filesystem
from bitskip.trial.config import AXES

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
        | {"tuned": _TEXT}
        | {column_name(name): _KINDS[entry.kind] for name, entry in AXES.items()}
        | {"artefact": _FLAG, "status": _TEXT, "reason": _TEXT, "diverged_at_step": _INT, "params": _INT}
        | {"skipped_guards": _TEXT, "resumed_at_step": _INT}
        | {"failures": _INT}
        | {"forked_from": _TEXT, "forked_at_step": _INT, "shared_seconds": _REAL}
        | {"tokens_trained": _INT, "loss": _REAL, "last_finite_loss": _REAL, "ppl": _REAL, "bpb": _REAL}
        | {"unigram_entropy": _REAL, "best_exit": _INT, "best_exit_speed_gain": _REAL, "best_exit_ppl": _REAL}
        | {"weight_bytes": _INT, "train_seconds": _REAL, "eval_seconds": _REAL, "tokens_per_second": _REAL}
        | {"diagnostic_seconds": _REAL}
        | {"peak_memory_bytes": _INT, "started_at": pa.timestamp("us", tz="UTC"), "host": _TEXT, "device": _TEXT}
        | {"threads": _INT, "niceness": _INT, "packed": _INT, "versions": _TEXT, "git_sha": _TEXT}
    ),
    "exits": _schema(
        {"trial_id": _TEXT, "exit_layer": _INT, "depth": _INT, "loss": _REAL, "ppl": _REAL, "bpb": _REAL}
        | {"agreement": _REAL, "prefill_tokens_per_second": _REAL, "decode_tokens_per_second": _REAL}
        | {"speed_gain": _REAL, "speed_gain_spread": _REAL, "speed_gain_limit": _REAL, "speed_rounds": _INT}
        | {"batch": _INT, "batch_prefill_tokens_per_second": _REAL, "batch_decode_tokens_per_second": _REAL}
        | {"batch_speed_gain": _REAL, "batch_speed_gain_spread": _REAL, "batch_speed_gain_limit": _REAL}
        | {"batch_speed_rounds": _INT}
    ),
    "curves": _schema(
        {"trial_id": _TEXT, "step": _INT, "tokens": _INT, "phase": _TEXT, "train_loss": _REAL, "val_loss": _REAL}
        | {"lr": _REAL, "grad_norm": _REAL}
    ),
    "layers": _schema(
        {"trial_id": _TEXT, "step": _INT, "layer": _INT, "site": _TEXT, "input_kurtosis": _REAL}
        | {"input_crest_factor": _REAL, "kurtosis": _REAL, "crest_factor": _REAL, "snr_db": _REAL}
        | {"weight_snr_db": _REAL, "zero_share": _REAL, "weight_flips": _INT, "weight_flip_share": _REAL}
        | {"grad_norm": _REAL, "exit_main_cosine": _REAL}
    ),
}
COMMIT_TABLE = "trials"
COMPACT_PREFIX = "compact-"
ROWS_OF_A_PART = 1000
COMPACT_EVERY = 250
"""Loose parts of `trials` that are merged while a sweep runs."""

COMPACT_ROWS = 200_000
"""Compact files up to so many rows together are merged anew with the parts; what is larger is left alone."""

_DEFAULTS = {column_name(name): entry.default for name, entry in AXES.items()}
"""What files older than an axis mean by its absence; any other missing column is NULL."""


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


def missing_as_null(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with every non-finite number as None: a missing number is NULL in Parquet, never NaN."""

    def missing(value: Any) -> bool:
        # numpy's float32 is a Real, but no float.
        real = isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral)
        return real and not math.isfinite(value)

    return {key: None if missing(value) else value for key, value in row.items()}


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
    rows = {"exits": exits, "curves": curves, "layers": layers, COMMIT_TABLE: [row]}
    # All are built before the first is written: a wrong row leaves nothing behind.
    tables = {
        name: _table(name, [{**entry, "trial_id": trial_id} for entry in entries]) for name, entries in rows.items()
    }
    for name, table in tables.items():
        _write_file(table, folder, name, f"{trial_id}.parquet")


def _write_file(table: pa.Table, folder: Path, name: str, filename: str) -> Path:
    """Temporary file beside, fsync, rename, fsync of the directory: a reader sees the whole file or none."""
    target = folder / name / filename
    # In a part of a few rows, dictionaries and statistics cost a third of the time to read it.
    large = len(table) > ROWS_OF_A_PART
    options = {"compression": "zstd", "use_dictionary": large, "write_statistics": large}
    if filesystem.key_of(target) is not None:
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, **options)
        filesystem.put(target, buffer.getvalue().to_pybytes())
        return target
    temporary = folder / ".tmp" / f"{name}-{filename}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.is_dir():
        target.parent.mkdir(exist_ok=True)
        _sync(folder)
    try:
        with temporary.open("wb") as sink:
            pq.write_table(table, sink, **options)
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(target.parent)
    return target


def _sync(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def sweep_folders(path: Path) -> list[Path]:
    """The sweep folders at or right below a results path. Raises UserError if it is no results folder."""
    filesystem.fetch_designs(path)
    if filesystem.is_folder(path / COMMIT_TABLE):
        return [path]
    if path.is_file():
        raise UserError(f"{path}: is a file, not a results folder")
    if not filesystem.is_folder(path):
        raise UserError(f"{filesystem.shown(path)}: no such folder; run `bitskip sweep` first or pass --results DIR")
    found = [child for child in filesystem.folders_in(path) if filesystem.is_folder(child / COMMIT_TABLE)]
    if not found:
        raise UserError(
            f"{filesystem.shown(path)}: not a results folder, there is no trials/*.parquet in it or one level below; "
            "run `bitskip sweep` first or pass --results DIR"
        )
    return found


@dataclass(frozen=True)
class _File:
    """One Parquet file of a table, read: its rows, or why it is left out."""

    path: Path
    table: pa.Table
    problem: str | None = None

    @property
    def folder(self) -> Path:
        return self.path.parent.parent


def _paths(folder: Path, name: str) -> list[Path]:
    """The files of a table; where two hold a trial, the later one counts."""
    found = [file for file in filesystem.files_in(folder / name) if file.endswith(".parquet")]
    return [folder / name / file for file in sorted(found, key=_order)]


def _order(file: str) -> tuple[bool, str]:
    return not file.startswith(COMPACT_PREFIX), file


def _read_file(path: Path, schema: pa.Schema) -> _File:
    """The rows in the current schema. Raises FileNotFoundError if a compaction has just removed the file."""

    def left_out(reason: str) -> _File:
        return _File(path, schema.empty_table(), f"{filesystem.shown(path)}: {reason}; left out")

    try:
        handle = pq.ParquetFile(filesystem.source(path))
        stored = handle.schema_arrow
        version = int((stored.metadata or {}).get(VERSION_KEY, b"0"))
        if version == 0:
            return left_out("not written by bitskip")
        if version > SCHEMA_VERSION:
            return left_out(f"schema version {version} is newer than this bitskip reads ({SCHEMA_VERSION})")
        if stored.equals(schema):
            return _File(path, handle.read(use_threads=False).replace_schema_metadata(schema.metadata))
        there = set(stored.names)
        table = handle.read([name for name in schema.names if name in there], use_threads=False)
        columns = [
            _in_type(table[entry.name], entry.type)
            if entry.name in there
            else pa.array([_DEFAULTS.get(entry.name)] * len(table), entry.type)
            for entry in schema
        ]
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        return left_out(f"unreadable ({str(error).partition(chr(10))[0][:80] or type(error).__name__})")
    return _File(path, pa.table(columns, schema=schema))


def _in_type(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    return column if column.type == wanted else column.cast(wanted)


def _read_files(paths: Sequence[Path], schema: pa.Schema) -> list[_File]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda path: _read_file(path, schema), paths))


def _read_table(folders: Sequence[Path], name: str, columns: Sequence[str] | None = None) -> list[_File]:
    schema = SCHEMAS[name] if columns is None else pa.schema([SCHEMAS[name].field(column) for column in columns])
    for _ in range(10):
        paths = [path for folder in folders for path in _paths(folder, name)]
        try:
            return _read_files(paths, schema)
        except FileNotFoundError:
            continue  # compacted between listing and reading: its rows are in a newer file
    raise UserError(f"{folders[0]}: files in {name}/ keep vanishing while they are read")


@dataclass(frozen=True)
class _Commit:
    """The row of a trial that counts: a result rather than a failed attempt, then the newest, then the last file's."""

    rank: tuple[bool, float, int]
    status: str
    folder: Path


def _commits(files: Sequence[_File]) -> dict[str, _Commit]:
    """By trial id; the last element of a rank is the row's position over all files."""
    best: dict[str, _Commit] = {}
    position = 0
    for file in files:
        folder = file.folder
        columns = (file.table[name].to_pylist() for name in ("trial_id", "status", "started_at"))
        for trial_id, status, started in zip(*columns, strict=True):
            rank = (status in DONE, started.timestamp() if started else 0.0, position)
            position += 1
            if trial_id not in best or best[trial_id].rank < rank:
                best[trial_id] = _Commit(rank, status, folder)
    return best


def _last_rows(files: Sequence[_File], folder_of: Mapping[str, Path]) -> Iterator[pa.Table]:
    """Rows of the trials in `folder_of`, each from its folder and from the last file there that holds it."""
    seen: set[str] = set()
    for file in reversed(files):
        part, folder = file.path.stem, file.folder
        if part in folder_of:
            if folder_of[part] == folder and part not in seen:
                seen.add(part)
                yield file.table
            continue
        held = set(file.table["trial_id"].unique().to_pylist())
        fresh = {trial_id for trial_id in held - seen if folder_of.get(trial_id) == folder}
        seen |= fresh
        if fresh == held:
            yield file.table
        elif fresh:
            yield file.table.filter(pa.compute.is_in(file.table["trial_id"], pa.array(fresh, _TEXT)))


def _joined(name: str, tables: Sequence[pa.Table]) -> pa.Table:
    filled = [table for table in tables if len(table)]
    return filled[0] if len(filled) == 1 else pa.concat_tables(filled or [SCHEMAS[name].empty_table()]).combine_chunks()


def load_results(path: str | Path) -> Results:
    """All tables of a sweep's folder or of a folder of sweeps, merged by trial id.

    Files that can't be read are named in `problems` and left out. Raises UserError if the path is no results folder.
    """
    folders = sweep_folders(Path(path))
    files = _read_table(folders, COMMIT_TABLE)
    problems = [file.problem for file in files if file.problem]
    commits = _commits(files)
    rows = _joined(COMMIT_TABLE, [file.table for file in files])
    tables = {COMMIT_TABLE: rows.take(pa.array(sorted(commit.rank[-1] for commit in commits.values()), _INT))}
    folder_of = {trial_id: commit.folder for trial_id, commit in commits.items()}
    for name in SCHEMAS.keys() - {COMMIT_TABLE}:
        files = _read_table(folders, name)
        problems += [file.problem for file in files if file.problem]
        tables[name] = _joined(name, [*_last_rows(files, folder_of)][::-1])
    return Results(**tables, problems=sorted(problems))


def committed(folder: Path) -> dict[str, str]:
    """trial_id to status of what a results folder holds, over all sweeps in it; empty if there is none yet."""
    return {trial_id: status for trial_id, (status, _) in committed_anywhere(folder).items()}


def committed_anywhere(root: Path) -> dict[str, tuple[str, Path]]:
    """trial_id to status and the sweep folder that holds the row that counts; empty if there is none yet."""
    try:
        folders = sweep_folders(root)
    except UserError:
        return {}
    commits = _commits(_read_table(folders, COMMIT_TABLE, ["trial_id", "status", "started_at"]))
    return {trial_id: (commit.status, commit.folder) for trial_id, commit in commits.items()}


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
    problems: list[str] = []
    known: set[str] = set()
    rows: list[dict[str, Any]] = []
    held: set[str] = set()
    for name, schema in SCHEMAS.items():
        narrow = schema if name == COMMIT_TABLE else pa.schema([schema.field("trial_id")])
        files = _read_files(_paths(folder, name), narrow)
        problems += [file.problem for file in files if file.problem]
        if name == COMMIT_TABLE:
            commits = _commits(files)
            table = _joined(name, [file.table for file in files])
            rows = table.take(pa.array(sorted(each.rank[-1] for each in commits.values()), _INT)).to_pylist()
            known = set(commits)
        else:
            held |= {trial_id for file in files for trial_id in file.table["trial_id"].to_pylist()}
    found = [folder / name / file for name in SCHEMAS for file in sorted(filesystem.files_in(folder / name))]
    strays = [path for path in found if path.suffix != ".parquet"]
    loose = sum(not path.name.startswith(COMPACT_PREFIX) for path in _paths(folder, COMMIT_TABLE))
    return Inspection(rows, sorted(problems), strays, held - known, loose)


class Ledger:
    """The rows of a sweep's `trials`, one per trial, for whoever looks again and again: only new files are read.

    `columns` are what is kept of a row, besides trial_id, status and started_at. `opened` counts the files read so far.
    """

    def __init__(self, folder: Path, columns: Sequence[str] = ()) -> None:
        self.folder, self.opened = folder, 0
        self.columns = list(dict.fromkeys(("trial_id", "status", "started_at", *columns)))
        self.rows: dict[str, dict[str, Any]] = {}
        self.problems: list[str] = []
        self._schema = pa.schema([SCHEMAS[COMMIT_TABLE].field(name) for name in self.columns])
        self._files: dict[str, tuple[tuple[int, int, int], list[dict[str, Any]], str | None]] = {}
        self._listed: int | None = None

    def refresh(self) -> bool:
        """Read what has been written since the last time; returns whether anything has changed."""
        place = self.folder / COMMIT_TABLE
        now = None
        if filesystem.key_of(place) is None:
            if not place.is_dir():
                return False
            now = place.stat().st_mtime_ns
            if self._listed == now:
                return False
        found = {name: known for name, known in filesystem.files_in(place).items() if name.endswith(".parquet")}
        fresh = [name for name, identity in found.items() if self._files.get(name, (None,))[0] != identity]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            read = dict(zip(fresh, pool.map(self._read, (place / name for name in fresh)), strict=True))
        self.opened += len(fresh)
        gone = self._files.keys() - found.keys()
        for name in gone:
            del self._files[name]
        for name, file in read.items():
            if file is not None:
                self._files[name] = (found[name], file.table.to_pylist(), file.problem)
        # A change within the clock's tick of this listing would not show in the folder's time: look again.
        settled = now is not None and None not in read.values() and time.time_ns() - now > 2e9
        self._listed = now if settled else None
        if fresh or gone:
            self._merge()
        return bool(fresh or gone)

    def _read(self, path: Path) -> _File | None:
        try:
            return _read_file(path, self._schema)
        except FileNotFoundError:
            return None

    def _merge(self) -> None:
        rows: dict[str, dict[str, Any]] = {}
        for name in sorted(self._files, key=_order):
            for row in self._files[name][1]:
                known = rows.get(row["trial_id"])
                if known is None or _standing(known) <= _standing(row):
                    rows[row["trial_id"]] = row
        self.rows = rows
        self.problems = [problem for _, _, problem in self._files.values() if problem]


def _standing(row: Mapping[str, Any]) -> tuple[bool, float]:
    """What makes a row of a trial count before another: a result before a failed attempt, then the newer one."""
    started = row["started_at"]
    return row["status"] in DONE, started.timestamp() if started else 0.0


def compact_if_due(folder: Path, every: int = COMPACT_EVERY) -> int:
    """`compact`, once so many parts have come since the last time; returns how many were merged.

    Workers may write meanwhile: what is not committed yet, or is replaced, is left as it is. The caller holds the
    sweep's lock.
    """
    found = {
        name: each for name, each in filesystem.files_in(folder / COMMIT_TABLE).items() if name.endswith(".parquet")
    }
    newest = max((changed for name, (_, changed, _) in found.items() if name.startswith(COMPACT_PREFIX)), default=0)
    parts = [changed for name, (_, changed, _) in found.items() if not name.startswith(COMPACT_PREFIX)]
    # Failed attempts are not merged: the parts that a compaction has left do not make the next one due.
    return compact(folder) if sum(changed >= newest for changed in parts) >= every else 0


def read_failure(folder: Path, trial_id: str) -> Failure | None:
    """How the last attempt of a trial failed, from its part in a sweep's folder; None if there is none to read."""
    schema = pa.schema([SCHEMAS[COMMIT_TABLE].field(name) for name in ("status", "reason", "failures")])
    try:
        rows = _read_file(folder / COMMIT_TABLE / f"{trial_id}.parquet", schema).table.to_pylist()
    except FileNotFoundError:
        return None
    return Failure(rows[-1]["status"], rows[-1]["reason"] or "", rows[-1]["failures"] or 1) if rows else None


def compact(folder: Path) -> int:
    """Merge the parts of a sweep's finished trials into a file per table; returns how many parts were merged.

    Earlier compact files are merged anew while they are small, so that time and memory do not grow with the sweep.

    Safe against a crash at any point: the merged file is renamed into place and read back before a part is deleted, and
    readers count a trial once. Failed attempts, orphans and unreadable files are left as they are. The caller holds the
    sweep's lock: two compactions of one folder at once are not provided for.
    """
    commits = _commits(_read_table([folder], COMMIT_TABLE, ["trial_id", "status", "started_at"]))
    finished = {trial_id: folder for trial_id, commit in commits.items() if commit.status in DONE}
    return sum(_compact_table(folder, name, finished) for name in sorted(SCHEMAS, key=lambda n: n == COMMIT_TABLE))


def _compact_table(folder: Path, name: str, finished: Mapping[str, Path]) -> int:
    paths = _paths(folder, name)
    parts = [path for path in paths if path.stem in finished]
    if not parts:
        return 0
    earlier = [path for path in paths if path.name.startswith(COMPACT_PREFIX)]
    merged = [*_small(earlier), *parts]
    identities = {path: filesystem.identity(path) for path in merged}
    files = [file for file in _read_files(merged, SCHEMAS[name]) if not file.problem]
    table = _joined(name, [*_last_rows(files, finished)][::-1])
    ids = table["trial_id"].to_pylist()
    generation = 1 + max((_generation(path) for path in earlier), default=0)
    digest = hashlib.sha256("".join(sorted(set(ids))).encode()).hexdigest()[:12]
    target = _write_file(table, folder, name, f"{COMPACT_PREFIX}{generation:06d}-{digest}.parquet")
    written = _read_file(target, SCHEMAS[name])
    if written.problem or not written.table.equals(table):
        filesystem.remove(target)
        raise OSError(f"{target}: does not read back as written; the parts are kept")
    for file in files:
        if filesystem.identity(file.path) == identities[file.path]:  # else a newer attempt has replaced it meanwhile
            filesystem.remove(file.path)
    if filesystem.key_of(target) is None:
        _sync(target.parent)
    return len(parts)


def _small(compacted: Sequence[Path]) -> list[Path]:
    """The last of the compact files that are small together: of two files with a trial, the later one must stay so."""
    room, kept = COMPACT_ROWS, len(compacted)
    while kept and (rows := _row_count(compacted[kept - 1])) <= room:
        room, kept = room - rows, kept - 1
    return list(compacted[kept:])


def _row_count(path: Path) -> int:
    try:
        return int(pq.read_metadata(filesystem.source(path)).num_rows)
    except (pa.ArrowException, OSError):
        return COMPACT_ROWS + 1  # what cannot be read is left alone


def _generation(path: Path) -> int:
    number = path.name.removeprefix(COMPACT_PREFIX).partition("-")[0]
    return int(number) if path.name.startswith(COMPACT_PREFIX) and number.isdigit() else 0
