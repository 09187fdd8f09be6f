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
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TextIO

FOLDER, LOGS = "running", "logs"
EVERY_SECONDS = 1.0
"""The file is renewed at most so often while a trial trains."""

MOST_LOSSES = 60
STAGES = ("preparing", "training", "evaluating")


@dataclass(frozen=True)
class Running:
    """A trial in the hands of a worker. Times are unix seconds; `losses` are its training losses so far, thinned.

    `tokens_per_second` is that since the file was written before; `log` is relative to the sweep's folder.
    """

    trial_id: str
    sweep: str
    point: str | None
    host: str
    pid: int
    attempt: int
    started_at: float
    updated_at: float
    stage: str
    step: int
    steps: int
    tokens: int
    tokens_per_second: float | None
    phase: str | None
    train_loss: float | None
    losses: tuple[float, ...]
    resumed_at_step: int | None
    log: str

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


def running_path(folder: Path, trial_id: str) -> Path:
    return folder / FOLDER / f"{trial_id}.json"


def log_path(folder: Path, trial_id: str) -> Path:
    return folder / LOGS / f"{trial_id}.log"


def running_trials(folder: Path) -> list[Running]:
    """The trials that run in a sweep's folder, those that a killed worker has left included, oldest first."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder / FOLDER) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                found.append(running_trial(folder, entry.name.removesuffix(".json")))
    return sorted(filter(None, found), key=lambda each: (each.started_at, each.trial_id))


def running_trial(folder: Path, trial_id: str) -> Running | None:
    """What the worker of a trial last said of it; None if there is nothing to read."""
    try:
        return _parsed(running_path(folder, trial_id).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parsed(text: str) -> Running:
    stored = json.loads(text)
    content = {each.name: stored[each.name] for each in fields(Running)}
    return Running(**content | {"losses": tuple(map(float, content["losses"]))})


def remove_running(folder: Path, trial_id: str) -> None:
    """Take away what a worker that is gone has left of a trial."""
    with contextlib.suppress(OSError):
        running_path(folder, trial_id).unlink()


class Report:
    """A worker's side: what `train.run_trial` tells of a trial, kept in its file and its log."""

    def __init__(self, folder: Path, state: Running, tokens_per_step: int, log: TextIO | None) -> None:
        self.path, self.state, self.log = running_path(folder, state.trial_id), state, log
        self.tokens_per_step = tokens_per_step
        self.losses: list[float] = []
        self.stride = 1
        self.written = time.monotonic()
        self._write()

    def training(self, step: int, resumed_at: int | None) -> None:
        """Training begins, or goes on, after `step` steps."""
        tokens = step * self.tokens_per_step
        self.written = time.monotonic()
        self.state = replace(self.state, stage="training", step=step, tokens=tokens, resumed_at_step=resumed_at)
        self._write()

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
        self.state = replace(
            self.state,
            step=step,
            tokens=tokens,
            tokens_per_second=rate,
            phase=phase,
            train_loss=loss if math.isfinite(loss) else None,
        )
        self._write()

    def evaluating(self) -> None:
        """Training is over."""
        self.state = replace(self.state, stage="evaluating")
        self._write()

    def note(self, text: str) -> None:
        """A line in the log, with the time of day."""
        if self.log is not None:
            with contextlib.suppress(OSError):
                self.log.write(f"{_clock('%H:%M:%S')} {text}\n")
                self.log.flush()

    def _write(self) -> None:
        self.state = replace(self.state, updated_at=time.time(), losses=tuple(self.losses))
        temporary = self.path.with_name(f".{self.path.name}-{os.getpid()}")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(asdict(self.state), allow_nan=False), encoding="utf-8")
            os.replace(temporary, self.path)

    def close(self) -> None:
        for path in (self.path, self.path.with_name(f".{self.path.name}-{os.getpid()}")):
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def reporting(
    folder: Path, trial_id: str, sweep: str, point: str | None, steps: int, tokens_per_step: int, device: str
) -> Iterator[Report]:
    """While inside, the trial is seen to run; afterwards it is not. Warnings go to its log, and on to where they went.

    The number of the attempt is one more than the log has.
    """
    path = log_path(folder, trial_id)
    with contextlib.ExitStack() as stack:
        log, attempt = None, 1
        with contextlib.suppress(OSError):
            for each in (path.parent, folder / FOLDER):
                each.mkdir(parents=True, exist_ok=True)
            attempt += _attempts(path)
            log = stack.enter_context(path.open("a", encoding="utf-8"))
            log.write(f"{_clock('%Y-%m-%d %H:%M:%S')} attempt {attempt} on {platform.node()}, ")
            log.write(f"process {os.getpid()}, {device}\n")
            log.flush()
        now = time.time()
        state = Running(
            trial_id=trial_id,
            sweep=sweep,
            point=point,
            host=platform.node(),
            pid=os.getpid(),
            attempt=attempt,
            started_at=now,
            updated_at=now,
            stage="preparing",
            step=0,
            steps=steps,
            tokens=0,
            tokens_per_second=None,
            phase=None,
            train_loss=None,
            losses=(),
            resumed_at_step=None,
            log=str(path.relative_to(folder)),
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


def _clock(form: str) -> str:
    return time.strftime(form)
