"""What runs right now: a small file per trial, which its worker renews, and a log of all its attempts.

`running/<trial_id>.json` below a sweep's folder is replaced whole, so that a reader sees an old or a new one, and is
gone once the trial's rows are committed. Its `updated_at` moves only when the trial does: nothing renews it from a
thread of its own. `logs/<trial_id>.log` is appended to, attempt after attempt. Neither may cost a trial: what cannot be
written is left out.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TextIO

from bitskip.atomic_file import write_atomically
from bitskip.store.folder import SweepFolder

EVERY_SECONDS = 1.0
"""The file is renewed at most so often while a trial trains."""

MOST_LOSSES = 60


@dataclass(frozen=True, kw_only=True)
class Running:
    """A trial in the hands of a worker. Times are unix seconds; `losses` are its training losses so far, thinned.

    `tokens_per_second` is that since the file was written before; `log` is relative to the sweep's folder.
    """

    trial_id: str
    sweep: str
    point: str | None
    host: str = field(default_factory=platform.node)
    pid: int = field(default_factory=os.getpid)
    attempt: int
    started_at: float = field(default_factory=time.time)
    updated_at: float = 0.0
    stage: str = "preparing"
    step: int = 0
    steps: int
    tokens: int = 0
    tokens_per_second: float | None = None
    phase: str | None = None
    train_loss: float | None = None
    losses: tuple[float, ...] = ()
    resumed_at_step: int | None = None
    log: str

    @property
    def progress(self) -> str:
        """Its step, of how many where that is known."""
        return f"{self.step}/{self.steps}" if self.steps else f"step {self.step}"

    def lost(self) -> bool:
        """Whether its worker is known to be gone: a process of this machine that is no more."""
        if self.host != platform.node():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
        return False


def running_trials(folder: Path) -> list[Running]:
    """The trials that run in a sweep's folder, those that a killed worker has left included, oldest first."""
    files = SweepFolder(folder).heartbeats.glob("[!.]*.json")
    found = (running_trial(folder, path.stem) for path in files)
    return sorted(filter(None, found), key=lambda each: (each.started_at, each.trial_id))


def running_trial(folder: Path, trial_id: str) -> Running | None:
    """What the worker of a trial last said of it; None if there is nothing to read."""
    try:
        return _parsed(SweepFolder(folder).heartbeat(trial_id).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parsed(text: str) -> Running:
    stored = json.loads(text)
    content = {each.name: stored[each.name] for each in fields(Running)}
    return Running(**content | {"losses": tuple(map(float, content["losses"]))})


def remove_running(folder: Path, trial_id: str) -> None:
    """Take away what a worker that is gone has left of a trial."""
    with contextlib.suppress(OSError):
        SweepFolder(folder).heartbeat(trial_id).unlink()


class Report:
    """A worker's side: what `run_trial` tells of a trial, kept in its file and its log."""

    def __init__(self, folder: Path, state: Running, tokens_per_step: int, log: TextIO | None) -> None:
        self.path, self.state, self.log = SweepFolder(folder).heartbeat(state.trial_id), state, log
        self.tokens_per_step = tokens_per_step
        self.losses: list[float] = []
        self.stride = 1
        self.written = time.monotonic()
        self._write()

    def training(self, step: int, resumed_at: int | None) -> None:
        """Training begins, or goes on, after `step` steps."""
        tokens = step * self.tokens_per_step
        self.written = time.monotonic()
        self._write(stage="training", step=step, tokens=tokens, resumed_at_step=resumed_at)

    def step(self, step: int, phase: str, loss: float) -> None:
        """An optimizer step has been taken; costs next to nothing but once a second."""
        if step % self.stride == 0 and math.isfinite(loss):
            self.losses.append(round(loss, 4))
            if len(self.losses) > MOST_LOSSES:
                self.stride *= 2
                del self.losses[::2]
        now = time.monotonic()
        if now - self.written < EVERY_SECONDS:
            return
        tokens = step * self.tokens_per_step
        rate = (tokens - self.state.tokens) / (now - self.written)
        self.written = now
        finite = loss if math.isfinite(loss) else None
        self._write(step=step, tokens=tokens, tokens_per_second=rate, phase=phase, train_loss=finite)

    def alive(self) -> None:
        """Something was heard of a trial whose steps are not known."""
        if (now := time.monotonic()) - self.written >= EVERY_SECONDS:
            self.written = now
            self._write()

    def evaluating(self) -> None:
        """Training is over."""
        self._write(stage="evaluating")

    def note(self, text: str) -> None:
        """A line in the log, with the time of day."""
        if self.log is not None:
            with contextlib.suppress(OSError):
                self.log.write(f"{time.strftime('%H:%M:%S')} {text}\n")
                self.log.flush()

    def _write(self, **news: Any) -> None:
        self.state = replace(self.state, updated_at=time.time(), losses=tuple(self.losses), **news)
        with contextlib.suppress(OSError):
            if self.path.parent.is_dir():  # a sweep's folder that was deleted stays so
                write_atomically(self.path, json.dumps(asdict(self.state), allow_nan=False))

    def close(self) -> None:
        """The trial is over: nobody is told of it any more."""
        with contextlib.suppress(OSError):
            self.path.unlink()


@contextlib.contextmanager
def reporting(
    folder: Path, trial_id: str, sweep: str, point: str | None, steps: int, tokens_per_step: int, device: str
) -> Iterator[Report]:
    """While inside, the trial is seen to run; afterwards it is not. Warnings go to its log, and on to where they went.

    The number of the attempt is one more than the log has.
    """
    path = SweepFolder(folder).log(trial_id)
    with contextlib.ExitStack() as stack:
        log, attempt = None, 1
        with contextlib.suppress(OSError):
            for each in (path.parent, SweepFolder(folder).heartbeats):
                each.mkdir(parents=True, exist_ok=True)
            attempt += _attempts(path)
            log = stack.enter_context(path.open("a", encoding="utf-8"))
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} attempt {attempt} on {platform.node()}, ")
            log.write(f"process {os.getpid()}, {device}\n")
            log.flush()
        state = Running(
            trial_id=trial_id, sweep=sweep, point=point, attempt=attempt, steps=steps, log=str(path.relative_to(folder))
        )
        report = Report(folder, state, tokens_per_step, log)
        stack.callback(report.close)
        stack.enter_context(_warnings_noted(report))
        yield report


@contextlib.contextmanager
def _warnings_noted(report: Report) -> Iterator[None]:
    seen: set[tuple[str, str, int]] = set()
    with warnings.catch_warnings():
        pass_on = warnings.showwarning

        def show(message: Any, category: type[Warning], filename: str, lineno: int, *rest: Any, **more: Any) -> None:
            key = (str(message), filename, lineno)
            if key not in seen:
                seen.add(key)
                report.note(f"{category.__name__}: {message} ({filename}:{lineno})")
            pass_on(message, category, filename, lineno, *rest, **more)

        warnings.showwarning = show
        yield


def traceback_lines(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()


def _attempts(log: Path) -> int:
    """How many attempts a log tells of: their first lines have a date, the other ones a time only."""
    if not log.exists():
        return 0
    with log.open(encoding="utf-8", errors="replace") as lines:
        return sum(line[4:5] == "-" and line.split()[2:3] == ["attempt"] for line in lines)
