"""Merging the parts of finished trials while a sweep runs and when it ends.

Why parts are merged: opening and decoding a part takes a millisecond or two, most of it spent on columns of one value,
so that thousands take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bitskip.atomic_file import sync_file
from bitskip.store import filesystem, parquet_files, tables
from bitskip.store.folder import SweepFolder
from bitskip.store.parquet_files import COMPACT_PREFIX, Wanted
from bitskip.store.schema import COMMIT_TABLE, FINISHED, TABLES
from bitskip.store.tables import LEDGER_COLUMNS

COMPACT_EVERY = 250
"""Loose parts of `trials` that are merged while a sweep runs."""

COMPACT_ROWS = 200_000
"""Compact files up to so many rows together are merged anew with the parts; what is larger is left alone."""


def compact_if_due(folder: Path, every: int = COMPACT_EVERY) -> int:
    """`compact`, once so many parts have come since the last time; returns how many were merged.

    Workers may write meanwhile: what is not committed yet, or is replaced, is left as it is. The caller holds the
    sweep's lock.
    """
    files = filesystem.files_in(SweepFolder(folder).table(COMMIT_TABLE)).items()
    found = [(name.startswith(COMPACT_PREFIX), changed) for name, (_, changed, _) in files if name.endswith(".parquet")]
    newest = max((changed for merged, changed in found if merged), default=0)
    # Failed attempts are not merged: the parts that a compaction has left do not make the next one due.
    return compact(folder) if sum(not merged and changed >= newest for merged, changed in found) >= every else 0


def compact(folder: Path) -> int:
    """Merge the parts of a sweep's finished trials into a file per table; returns how many parts were merged.

    Earlier compact files are merged anew while they are small, so that time and memory do not grow with the sweep.

    Safe against a crash at any point: the merged file is renamed into place and read back before a part is deleted, and
    readers count a trial once. Failed attempts, orphans and unreadable files are left as they are. The caller holds the
    sweep's lock: two compactions of one folder at once are not provided for.
    """
    commits = tables.commits(parquet_files.read_table([folder], COMMIT_TABLE, LEDGER_COLUMNS))
    finished = {trial_id: folder for trial_id, row in commits.items() if row["status"] in FINISHED}
    return sum(_compact_table(folder, name, finished) for name in sorted(TABLES, key=lambda n: n == COMMIT_TABLE))


def write_merged(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store finished trials in a folder that holds none, as `compact` would leave them: one file, not one a trial."""
    table = tables.table_of(COMMIT_TABLE, rows)
    tables.write_file(table, _merged_file(folder, COMMIT_TABLE, 1, table))


def _merged_file(folder: Path, name: str, generation: int, table: pa.Table) -> Path:
    digest = parquet_files.digest_of(table["trial_id"].to_pylist())
    return SweepFolder(folder).table(name) / f"{COMPACT_PREFIX}{generation:06d}-{digest}.parquet"


def _compact_table(folder: Path, name: str, finished: Mapping[str, Path]) -> int:
    paths = parquet_files.table_files(folder, name)
    parts = [path for path in paths if path.stem in finished]
    if not parts:
        return 0
    earlier = [path for path in paths if path.name.startswith(COMPACT_PREFIX)]
    merged = [*_small(earlier), *parts]
    identities = {path: filesystem.identity(path) for path in merged}
    wanted = Wanted.of(name)
    files = [file for file in parquet_files.read_files(merged, wanted) if not file.problem]
    if name == COMMIT_TABLE:  # a result, even where a failed attempt came later
        counts = tables.commits(files)
        table = tables.counted(files, {trial_id: row for trial_id, row in counts.items() if trial_id in finished})
    else:
        table = tables.last_rows(files, finished, name)
    target = _merged_file(folder, name, 1 + max((_generation(path) for path in earlier), default=0), table)
    tables.write_file(table, target)
    written = parquet_files.read_file(target, wanted)
    if written.problem or not written.table.equals(table):
        filesystem.remove(target)
        raise OSError(f"{target}: does not read back as written; the parts are kept")
    for file in files:
        if filesystem.identity(file.path) == identities[file.path]:  # else a newer attempt has replaced it meanwhile
            filesystem.remove(file.path)
    if filesystem.key_of(target) is None:
        sync_file(target.parent)
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
    except Exception:
        return COMPACT_ROWS + 1  # what cannot be read is left alone


def _generation(path: Path) -> int:
    number = path.name.removeprefix(COMPACT_PREFIX).partition("-")[0]
    return int(number) if path.name.startswith(COMPACT_PREFIX) and number.isdigit() else 0
