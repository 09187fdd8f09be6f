"""Run one trial and commit what it showed, whatever happens: a failure is a row, never a lost result."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import platform
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bitskip
from bitskip.errors import UserError
from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import Report, reporting, traceback_lines
from bitskip.store.schema import CurvePoint, Status, as_row, attempt_columns
from bitskip.store.tables import DONE, Failure, write_trial
from bitskip.training.checkpoint import CheckpointPlace
from bitskip.training.shared_prefix import Prefixes
from bitskip.training.trainer import TrialResult, run_trial
from bitskip.trial.config import TrialConfig
from bitskip.trial.schedule import step_count


class TimeLimitError(Exception):
    """The trial ran past its wall-clock limit."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A trial to run, where its rows go, and what it may use. `time_limit` in seconds; None = no limit.

    An interrupted trial leaves a checkpoint, renewed every `checkpoint_seconds`, with which the next attempt goes on.
    `earlier` is how the attempt before this one failed, `tuned` the axes that its sweep chooses by configuration.
    """

    trial: TrialConfig
    folder: Path
    sweep: str
    point: str | None = None
    tuned: tuple[str, ...] = ()
    device: str = "cpu"
    threads: int = 1
    time_limit: float | None = None
    checkpoint_seconds: float = 300.0
    save_weights: bool = False
    prefixes: Prefixes | None = None
    earlier: Failure | None = None

    @property
    def checkpoint(self) -> Path:
        return SweepFolder(self.folder).checkpoint(self.trial.trial_id)

    @property
    def checkpoint_place(self) -> CheckpointPlace:
        return CheckpointPlace(self.checkpoint, self.checkpoint_seconds)

    @property
    def weights_path(self) -> Path | None:
        """Where its weights go, if they are kept."""
        return SweepFolder(self.folder).weights(self.trial.trial_id) if self.save_weights else None


def run_job(job: Job, on_point: Callable[[CurvePoint, int], None] | None = None) -> dict[str, Any]:
    """Train, evaluate and store one trial; returns its row of `trials`.

    While it runs, `running/<trial_id>.json` says how far it is. An exception becomes status `error` (`timeout` past the
    limit) with its traceback in `logs/<trial_id>.log`.
    """
    with _opened(job) as attempt:

        def measured(point: CurvePoint, steps: int) -> None:
            attempt.measured(point, steps)
            if on_point:
                on_point(point, steps)

        try:
            check_device(job.device)
            with _time_limit(job.time_limit):
                found: TrialResult | Exception = run_trial(
                    job.trial,
                    job.device,
                    on_point=measured,
                    checkpoint=job.checkpoint_place,
                    save_weights_to=job.weights_path,
                    prefixes=job.prefixes,
                    report=attempt.report,
                )
        except Exception as error:
            found = error
        return attempt.commit(found)


def run_packed(jobs: Sequence[Job]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Train, evaluate and store trials of one shape as one program; yields (trial_id, row of `trials`) as they end.

    The pack has the time that its trials may take one after another. What goes wrong with one trial is its row; what
    goes wrong with the program stands in the logs of the trials that have not been yielded, which have no row, and is
    raised.
    """
    from bitskip.training.packing.trainer import Member, run_pack

    limit, began = jobs[0].time_limit, time.perf_counter()
    check_device(jobs[0].device)
    with contextlib.ExitStack() as stack:
        attempts = {job.trial.trial_id: stack.enter_context(_opened(job, packed=len(jobs))) for job in jobs}
        members = [
            Member(
                job.trial,
                attempt.measured,
                job.checkpoint_place,
                job.weights_path,
                job.prefixes,
                attempt.report,
            )
            for job, attempt in zip(jobs, attempts.values(), strict=True)
        ]
        results = run_pack(members, jobs[0].device)
        while attempts:
            left = None if limit is None else max(1e-3, limit * len(jobs) - (time.perf_counter() - began))
            try:
                with _time_limit(left):
                    member, found = next(results)
            except TimeLimitError as error:
                for trial_id, attempt in attempts.items():
                    yield trial_id, attempt.commit(error)
                return
            except Exception as error:
                for attempt in attempts.values():
                    attempt.report.note(f"the pack failed: {traceback_lines(error)}")
                raise
            trial_id = member.trial.trial_id
            yield trial_id, attempts.pop(trial_id).commit(found)


@contextlib.contextmanager
def _opened(job: Job, packed: int = 1) -> Iterator[_Attempt]:
    """An attempt at a trial that is seen to run while inside."""
    import torch

    trial, training = job.trial, job.trial.training
    steps, tokens = step_count(training), training.batch_size * training.seq_len
    device = _device_name(job.device)
    with reporting(job.folder, trial.trial_id, job.sweep, job.point, steps, tokens, device) as report:
        torch.set_num_threads(job.threads)
        _reset_peak_memory(job.device)
        yield _Attempt(job, report, packed)


class _Attempt:
    """From the start of a trial to its row."""

    def __init__(self, job: Job, report: Report, packed: int) -> None:
        self.job, self.report, self.began = job, report, time.perf_counter()
        self.row = _description(job) | {"packed": packed}

    def measured(self, point: CurvePoint, steps: int) -> None:
        self.report.note(_point_line(point, steps))

    def commit(self, found: TrialResult | Exception) -> dict[str, Any]:
        """Store a result, or what was raised instead; returns the row of `trials`."""
        job, report, row = self.job, self.report, self.row
        tables: list[list[dict[str, Any]]] = [[], [], []]
        if isinstance(found, TrialResult):
            row |= as_row(found)
            parts = (found.exits, found.curve, found.layers)
            tables = [[as_row(entry) for entry in part] for part in parts]
        else:
            row |= self._failure(found)
            report.note(traceback_lines(found))
        row["peak_memory_bytes"] = _peak_memory(job.device)
        if row["status"] not in DONE:
            row["failures"] = Failure.count_of(job.earlier, row["status"], row["reason"])
        write_trial(job.folder, row, *tables)
        if row["status"] in DONE:
            job.checkpoint.unlink(missing_ok=True)
        shown = f"perplexity {row['ppl']:.4g}" if row.get("ppl") else row.get("reason") or "no perplexity"
        report.note(f"{row['status']} after {time.perf_counter() - self.began:.1f} s: {shown}")
        report.close()
        return row

    def _failure(self, error: Exception) -> dict[str, Any]:
        if isinstance(error, TimeLimitError):
            return {"status": Status.TIMEOUT, "reason": f"longer than the limit of {self.job.time_limit:g} s"}
        first = (str(error).splitlines() or [""])[0]
        reason = first if isinstance(error, UserError) else f"{type(error).__name__}: {first}"
        return {"status": Status.ERROR, "reason": reason}


def check_device(device: str) -> None:
    """Raises UserError for anything but `cpu` and a GPU that torch sees."""
    import torch

    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise UserError(f"device: '{device}' is not one of cpu, cuda, cuda:N")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise UserError("the trial asks for a GPU that torch does not see: run on the CPU or install torch for CUDA")


def _point_line(point: CurvePoint, steps: int) -> str:
    def shown(value: float | None) -> str:
        return "not finite" if value is None else f"{value:.4f}"

    losses = f"training loss {shown(point.train_loss)}, held-out loss {shown(point.val_loss)}"
    return f"step {point.step}/{steps}, phase {point.phase}: {losses}, learning rate {point.lr:.3g}"


def _description(job: Job) -> dict[str, Any]:
    return attempt_columns(job.trial, job.sweep, job.point, job.tuned) | {
        "device": _device_name(job.device),
        "threads": job.threads,
        "niceness": os.nice(0),
        "versions": json.dumps(_versions(), sort_keys=True),
        "git_sha": _git_sha(),
    }


@contextlib.contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
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


def _reset_peak_memory(device: str) -> None:
    import torch

    if device.startswith("cuda") and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        # Linux keeps a resettable high-water mark; a worker that runs trial after trial needs it.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _peak_memory(device: str) -> int:
    import torch

    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _device_name(device: str) -> str:
    import torch

    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return f"{device} ({platform.machine()}, {os.cpu_count()} cores)"


@functools.cache
def _versions() -> dict[str, str]:
    import numpy
    import torch

    return {
        "bitskip": bitskip.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


@functools.cache
def _git_sha() -> str | None:
    """Commit of the checkout that bitskip runs from, `+` if it has changes; None outside a checkout."""
    here = Path(bitskip.__file__).parent
    try:
        sha = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return sha.stdout.strip() + ("+" if changed.stdout.strip() else "")
