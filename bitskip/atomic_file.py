"""Files that are replaced whole: whoever reads one sees the old content or the new, never a part."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_atomically(
    path: Path, content: str | bytes | Callable[[Path], object], *, sync: bool = False, scratch: Path | None = None
) -> None:
    """Write a temporary file and rename it to `path`, whose folder is made if need be.

    `content` is the text, the bytes, or a function that writes them to the path that it is given. With `sync`, the
    file outlasts a power cut from here on. The temporary file lies beside, its name beginning with a dot, or in the
    folder `scratch` of the same file system. Raises OSError; the old file then stays as it was.
    """
    folder = scratch or path.parent
    _make_folder(path.parent, sync)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{path.name.lstrip('.')}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        if sync:
            sync_file(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if sync:
        sync_file(path.parent)


def sync_file(path: Path) -> None:
    """Wait until a file's content, or a folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folder(folder: Path, sync: bool) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        if sync:
            sync_file(folder.parent)
