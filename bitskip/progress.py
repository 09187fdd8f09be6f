"""What takes more than two seconds before anything is trained, and how far it is: on a terminal a bar, else lines.

Who works says so with `stage` and `advance`; nothing is shown until a command has said where, with `shown`.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PATIENCE_SECONDS = 2.0
SECONDS_PER_LINE, SECONDS_PER_FRAME = 10.0, 0.25

Say = Callable[[str], object]


@dataclass
class Stage:
    """Work that goes on; `total` in the unit of `done`, None where it is not known."""

    what: str
    total: float | None
    done: float = 0.0

    def line(self) -> str:
        """What it is, and how much of it is done."""
        return f"{self.what}: {min(1.0, self.done / self.total):.0%}" if self.total else f"{self.what} …"


_say: Say | None = None
_bar = False
_stages: list[Stage] = []


@contextlib.contextmanager
def shown(say: Say | None, bar: bool = False) -> Iterator[None]:
    """Inside, stages are told: as a bar on standard error, else line by line to `say`, or not at all."""
    global _say, _bar
    before, (_say, _bar) = (_say, _bar), (say, bar)
    try:
        yield
    finally:
        _say, _bar = before


def show_on_stderr() -> None:
    """From now on stages are told on standard error."""
    global _say, _bar
    _say, _bar = lambda line: print(f"bitskip: {line}", file=sys.stderr, flush=True), sys.stderr.isatty()


@contextlib.contextmanager
def stage(what: str, total: float | None = None) -> Iterator[Stage]:
    """Inside, this is what is worked on; a stage within another is told in its place."""
    mine = Stage(what, total)
    over = threading.Event()
    teller = None
    if _say is not None and not _stages:
        teller = threading.Thread(target=_tell_bar if _bar else _tell_lines, args=(over, _say), daemon=True)
        teller.start()
    _stages.append(mine)
    try:
        yield mine
    finally:
        _stages.remove(mine)
        over.set()
        if teller:
            teller.join()


def advance(amount: float) -> None:
    """So much more of the innermost stage is done."""
    if _stages:
        _stages[-1].done += amount


def _tell_lines(over: threading.Event, say: Say) -> None:
    wait = PATIENCE_SECONDS
    while not over.wait(wait):
        if _stages:
            say(_stages[-1].line())
        wait = SECONDS_PER_LINE


def _tell_bar(over: threading.Event, _: Say) -> None:
    if over.wait(PATIENCE_SECONDS):
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        while not over.wait(SECONDS_PER_FRAME):
            if _stages:
                now = _stages[-1]
                bar.update(task, description=now.what, total=now.total, completed=now.done)
