"""An attempt at a trial, whatever trains it: its time limit, how it failed, what made it. No torch here."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import platform
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import bitskip
from bitskip.engine.job import Job
from bitskip.engine.scheduler import SHOWN
from bitskip.errors import UserError
from bitskip.store.schema import Status
from bitskip.techniques.registry import load_plugins

UNWRITABLE = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES)


class TimeLimitError(Exception):
    """The trial ran past its wall-clock limit."""


def attempted(job: Job, run: Callable[[Job], Mapping[str, Any]]) -> dict[str, Any]:
    """What `Scheduler.ended` is told of a trial that `run` runs and stores. Raises no Exception: it would be lost."""
    try:
        load_plugins(job.plugins)
        row = run(job)
        return {"row": {key: row.get(key) for key in SHOWN}}
    except Exception as error:  # what a trial raises is stored: this one was raised by storing it
        full = isinstance(error, OSError) and error.errno in UNWRITABLE
        return {"unwritable": str(error)} if full else {"reason": f"{type(error).__name__}: {first_line(error)}"}


def failure(job: Job, error: Exception) -> tuple[Status, str]:
    """Status and reason of a trial that raised."""
    if isinstance(error, TimeLimitError):
        return Status.TIMEOUT, f"longer than the limit of {job.time_limit:g} s"
    first = first_line(error)
    return Status.ERROR, first if isinstance(error, UserError) else f"{type(error).__name__}: {first}"


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def provenance(job: Job, device: str, **versions: str) -> dict[str, Any]:
    """The fields of a row that say what made it."""
    versions = {"bitskip": bitskip.__version__, "python": platform.python_version(), **versions}
    return {
        "device": device,
        "threads": job.threads,
        "niceness": os.nice(0),
        "versions": json.dumps(versions, sort_keys=True),
        "git_sha": _git_sha(),
    }


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises TimeLimitError inside after so many seconds; needs the main thread of a Unix process."""
    if seconds is None:
        yield
        return

    expired = False

    def expire(*_: object) -> None:
        nonlocal expired
        expired = True
        raise TimeLimitError

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Exception as error:
        if expired and not isinstance(error, TimeLimitError):  # the compiler wraps whatever is raised in it
            raise TimeLimitError from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@functools.cache
def _git_sha() -> str | None:
    """Commit of the checkout that bitskip runs from, `+` if it has changes; None outside a checkout."""

    def git(*command: str) -> str:
        here = Path(bitskip.__file__).parent
        return subprocess.run(["git", *command], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + "+" * bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None
