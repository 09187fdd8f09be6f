"""Where results lie: in a folder, or, as `s3://bucket/prefix`, in an object store with a local work folder.

The work folder `<cache>/results/s3:/bucket/prefix` stands for the store wherever a path is asked for. The tables and
`sweep.yaml` of a sweep lie in the store, under the key that follows `s3:` in the path; what only the machine that runs
a sweep needs lies in the work folder: lock, checkpoints, prefixes, running trials, logs, weights. Putting one object is
atomic there, as renaming a file is here.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bitskip.atomic_file import write_atomically
from bitskip.errors import UserError
from bitskip.store.folder import SweepFolder

MARK = "s3:"

Identity = tuple[int, int, int]
"""Changes when a file does: inode, time of change in ns, size."""


def place(given: str | Path) -> Path:
    """The path of a results folder that a user names; of an object store, its work folder."""
    path = Path(given)
    if path.parts[:1] and path.parts[0].startswith("~"):  # of `--results=~/x`, which a shell leaves as it is
        with contextlib.suppress(RuntimeError):  # nobody of that name
            path = path.expanduser()
    if path.parts[:1] != (MARK,):
        return path
    if len(path.parts) < 2:
        raise UserError(f"{given}: write s3://bucket/prefix")
    from bitskip.data.cache import cache_folder

    return cache_folder().absolute() / "results" / path


def key_of(path: Path) -> str | None:
    """`bucket/prefix/…` of what lies in an object store, None for a local path."""
    return "/".join(path.parts[path.parts.index(MARK) + 1 :]) if MARK in path.parts else None


def shown(path: Path) -> str:
    """The path as its user named it."""
    key = key_of(path)
    return str(path) if key is None else f"s3://{key}"


@functools.cache
def _store() -> Any:
    """Credentials, region and AWS_ENDPOINT_URL are those of the environment, as for any tool of AWS."""
    from pyarrow.fs import S3FileSystem

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return S3FileSystem(endpoint_override=endpoint, allow_delayed_open=True)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """A store that does not answer is a user's matter: address, credentials, bucket."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{shown(path)}: {str(error).splitlines()[0][:200]}") from None


def _listing(folder: Path) -> list[Any]:
    """What lies in a folder of the store, none if there is no such folder."""
    from pyarrow.fs import FileSelector

    with _told(folder):
        try:
            return list(_store().get_file_info(FileSelector(key_of(folder))))
        except FileNotFoundError:  # not `allow_not_found`, with which a bucket may be missing, too
            return []


def files_in(folder: Path) -> dict[str, Identity]:
    """Names of the files in a folder with what changes when they do; none if there is no such folder."""
    if key_of(folder) is not None:
        found = [info for info in _listing(folder) if info.is_file]
        return {info.base_name: (0, info.mtime_ns or 0, info.size) for info in found}
    files: dict[str, Identity] = {}
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file():
                    files[entry.name] = _identity(entry.stat())
    return files


def folders_in(path: Path) -> list[Path]:
    """The folders in a folder, by name; none if there is no such folder."""
    if key_of(path) is not None:
        return sorted(path / info.base_name for info in _listing(path) if not info.is_file)
    return sorted(child for child in path.iterdir() if child.is_dir()) if path.is_dir() else []


def is_folder(path: Path) -> bool:
    """Whether something lies at or below a path."""
    return path.is_dir() if key_of(path) is None else bool(_listing(path))


def identity(path: Path) -> Identity:
    """Raises FileNotFoundError if there is no such file."""
    key = key_of(path)
    if key is None:
        return _identity(path.stat())
    with _told(path):
        info = _store().get_file_info(key)
    if not info.is_file:
        raise FileNotFoundError(path)
    return 0, info.mtime_ns or 0, info.size


def _identity(status: os.stat_result) -> Identity:
    return status.st_ino, status.st_mtime_ns, status.st_size


def source(path: Path) -> Any:
    """What pyarrow reads a table from. Raises FileNotFoundError if it is not there."""
    key = key_of(path)
    if key is None:
        return path
    import pyarrow

    with _told(path), _store().open_input_file(key) as stored:
        return pyarrow.BufferReader(stored.read())


def write(path: Path, content: bytes, scratch: Path | None = None) -> None:
    """Write a file that outlasts a power cut whole, on this machine by way of `scratch`. Raises OSError."""
    key = key_of(path)
    if key is None:
        write_atomically(path, content, sync=True, scratch=scratch)
        return
    with _store().open_output_stream(key) as sink:
        sink.write(content)


def remove(path: Path) -> None:
    """Remove a file."""
    key = key_of(path)
    if key is None:
        path.unlink()
    else:
        _store().delete_file(key)


def publish_design(folder: Path) -> None:
    """Put a sweep's design beside its tables, once it is in the work folder."""
    if key_of(folder) is not None:
        design = SweepFolder(folder).design
        write(design, design.read_bytes())


def fetch_designs(path: Path) -> None:
    """Bring the designs at and right below a path into the work folder, where those of another machine have changed."""
    if key_of(path) is None:
        return
    for folder in (path, *folders_in(path)):
        design = SweepFolder(folder).design
        with contextlib.suppress(FileNotFoundError):
            content = source(design).read()
            if not design.exists() or design.read_bytes() != content:
                write_atomically(design, content)
