"""The sweeps at or below a path, and looks at all of them."""

from __future__ import annotations

from pathlib import Path

from bitskip.engine.status import Lookout, Snapshot
from bitskip.errors import UserError
from bitskip.store import filesystem
from bitskip.store.folder import SweepFolder
from bitskip.store.tables import holds_rows


def watched_folders(path: Path) -> list[Path]:
    """The sweep folders at or right below a path, those that have no result yet included.

    Raises UserError if there is none.
    """

    def holds_a_sweep(folder: Path) -> bool:
        here = SweepFolder(folder).design.exists() or SweepFolder(folder).heartbeats.exists()
        return here or holds_rows(folder)

    filesystem.fetch_designs(path)
    if path.is_file():
        raise UserError(f"{path}: is a file, not a results folder")
    if not path.is_dir() and not filesystem.is_folder(path):
        message = "no such folder; run `bitskip sweep` first or name a results folder"
        raise UserError(f"{filesystem.shown(path)}: {message}")
    inside = {*filesystem.folders_in(path), *(path.iterdir() if path.is_dir() else ())}
    found = [path] if holds_a_sweep(path) else sorted(child for child in inside if holds_a_sweep(child))
    if not found:
        raise UserError(f"{filesystem.shown(path)}: no sweep in it or one level below; run `bitskip sweep` first")
    return found


class Lookouts:
    """Looks at every sweep at or right below a path, those that come later included.

    Raises UserError where there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lookouts = path, dict[Path, Lookout]()
        watched_folders(path)

    def look(self) -> list[Snapshot]:
        """The sweeps as their files show them now."""
        for folder in watched_folders(self.path):
            self._lookouts.setdefault(folder, Lookout(folder))
        return [lookout.look() for lookout in self._lookouts.values()]
