"""The rows of a sweep's `trials` for whoever looks again and again: only files that are new are read."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bitskip.store import filesystem
from bitskip.store.folder import SweepFolder
from bitskip.store.parquet_files import File, Wanted, read_file, reading_order
from bitskip.store.schema import COMMIT_TABLE
from bitskip.store.tables import LEDGER_COLUMNS, counting

SETTLED_NANOSECONDS = 2_000_000_000
"""A change within the clock's tick of a listing does not show in the folder's time: so long it is listed again."""


class Ledger:
    """The rows that count, by trial id.

    `columns` are what is kept of a row, besides trial_id, status and started_at. `opened` counts the files read so far.
    """

    def __init__(self, folder: Path, columns: Sequence[str] = ()) -> None:
        self.opened = 0
        self.rows: dict[str, dict[str, Any]] = {}
        self.problems: list[str] = []
        self._place = SweepFolder(folder).table(COMMIT_TABLE)
        self._wanted = Wanted.of(COMMIT_TABLE, tuple(dict.fromkeys((*LEDGER_COLUMNS, *columns))))
        self._files: dict[str, tuple[filesystem.Identity, list[dict[str, Any]], str | None]] = {}
        self._listed: int | None = None

    def refresh(self) -> bool:
        """Read what has been written since the last time; returns whether anything has changed."""
        now = None
        if filesystem.key_of(self._place) is None:
            if not self._place.is_dir():
                return False
            now = self._place.stat().st_mtime_ns
            if self._listed == now:
                return False
        found = {name: known for name, known in filesystem.files_in(self._place).items() if name.endswith(".parquet")}
        fresh = [name for name, identity in found.items() if self._files.get(name, (None,))[0] != identity]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            read = dict(zip(fresh, pool.map(self._read, fresh), strict=True))
        self.opened += len(fresh)
        gone = self._files.keys() - found.keys()
        for name in gone:
            del self._files[name]
        for name, file in read.items():
            if file is not None:
                self._files[name] = (found[name], file.table.to_pylist(), file.problem)
        settled = now is not None and None not in read.values() and time.time_ns() - now > SETTLED_NANOSECONDS
        self._listed = now if settled else None
        if fresh or gone:
            self._merge()
        return bool(fresh or gone)

    def _read(self, name: str) -> File | None:
        try:
            return read_file(self._place / name, self._wanted)
        except FileNotFoundError:
            return None

    def _merge(self) -> None:
        names = sorted(self._files, key=reading_order)
        self.rows = counting(row for name in names for row in self._files[name][1])
        self.problems = [problem for _, _, problem in self._files.values() if problem]
