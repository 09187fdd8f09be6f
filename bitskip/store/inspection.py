"""Every file of a sweep's folder looked at, for `bitskip doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitskip.store import filesystem
from bitskip.store.folder import SweepFolder
from bitskip.store.parquet_files import COMPACT_PREFIX, Wanted, read_files, table_files
from bitskip.store.schema import COMMIT_TABLE, TABLES
from bitskip.store.tables import commits, counted, unreadable_files


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
        problems=unreadable_files([file for found in files.values() for file in found]),
        strays=[path for path in found if path.suffix != ".parquet"],
        orphans=held - set(counts),
        loose=sum(not file.path.name.startswith(COMPACT_PREFIX) for file in trials),
    )
