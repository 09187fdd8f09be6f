"""Files that are built once, under a name that determines their content, and shared by all processes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from bitskip.atomic_file import write_atomically
from bitskip.errors import UserError


def cache_folder(chosen: Path | None = None) -> Path:
    """The folder chosen, else $BITSKIP_CACHE, else bitskip below the user's cache folder."""
    if chosen is not None:
        return chosen
    if own := os.environ.get("BITSKIP_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bitskip"


def content_key(parts: Mapping[str, object]) -> str:
    """A file name that stands for everything that determines a file's content."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def publish(path: Path, build: Callable[[Path], None], valid: Callable[[Path], bool] = Path.exists) -> None:
    """Make sure that a valid file is at `path`; the first process builds it, others wait for it.

    `build` writes a temporary file beside, which is synced and renamed: a reader sees a whole file or none.
    Raises UserError where nothing can be written.
    """
    if valid(path):
        return
    _make_writable(path.parent)
    with FileLock(f"{path}.lock"):
        if valid(path):
            return
        write_atomically(path, build, sync=True)


def remembered(
    folder: Path, kind: str, parts: Mapping[str, object], find: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What `find` gives, found once and kept as JSON under what determines it. Raises UserError as `publish` does."""
    path = folder / f"{kind}-{content_key(parts)}.json"
    publish(path, lambda temporary: _write(temporary, find()), _is_json)
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text()), dict)
    except (OSError, ValueError):
        return False


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK) else "no permission"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise UserError(f"cannot write to the cache folder {folder}: {reason}; set BITSKIP_CACHE to another folder")
