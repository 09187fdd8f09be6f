"""One `bitskip sweep` per folder: a lock that dies with its process, and a file that says whose it is.

The kernel's lock tells machines apart only where the file system does. The file beside it names host and process and
is touched while the sweep runs, so that a sweep on another machine is seen on any shared folder; one that has not been
touched for `STALE_SECONDS`, or whose lock on this machine is free, belongs to a sweep that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bitskip.atomic_file import write_atomically
from bitskip.errors import UserError
from bitskip.store.folder import SweepFolder

STALE_SECONDS = 120.0
WAIT_SECONDS = 1.0
"""Somebody who only asks whether a sweep is running holds the lock for an instant."""


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[Callable[[], None]]:
    """While inside, no other sweep writes to the folder; yields what to call now and then to be seen alive.

    Raises UserError if another one is running there or the folder cannot be written.
    """
    lock, owner = FileLock(SweepFolder(folder).lock), SweepFolder(folder).owner
    try:
        lock.acquire(timeout=WAIT_SECONDS)
    except Timeout:
        raise _in_use(folder, owner) from None
    except OSError as error:
        raise UserError(f"{folder}: cannot write here: {error.strerror}") from None
    try:
        if alive_elsewhere(folder):
            raise _in_use(folder, owner)
        content = {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        try:
            write_atomically(owner, json.dumps(content))
        except OSError as error:
            raise UserError(f"{folder}: cannot write here: {error.strerror}") from None

        def touch() -> None:
            with contextlib.suppress(OSError):
                os.utime(owner)

        try:
            yield touch
        finally:
            with contextlib.suppress(OSError):
                owner.unlink()
    finally:
        lock.release()


def alive_elsewhere(folder: Path) -> bool:
    """Whether the owner is on another machine and was heard of lately: on this one, the lock tells."""
    owner = SweepFolder(folder).owner
    try:
        age = time.time() - owner.stat().st_mtime
        return json.loads(owner.read_text(encoding="utf-8"))["host"] != platform.node() and age < STALE_SECONDS
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock, as far as this machine's kernel knows; takes nothing away from it."""
    try:
        with SweepFolder(folder).lock.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(handle, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _in_use(folder: Path, owner: Path) -> UserError:
    who = ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(owner.read_text(encoding="utf-8"))
        who = f" (host {found['host']}, process {found['pid']}, since {found['since']})"
    return UserError(f"{folder}: another `bitskip sweep` is writing here{who}; wait for it or change the sweep's name")
