"""Run one trial and commit what it showed, whatever happens: a failure is a row, never a lost result."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch

from bitskip.engine.attempt import attempted, failure, provenance, time_limit
from bitskip.engine.job import Job
from bitskip.errors import UserError
from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import reporting, traceback_lines
from bitskip.store.schema import FINISHED, CurvePoint, as_row
from bitskip.store.tables import write_trial
from bitskip.training.checkpoint import CheckpointPlace
from bitskip.training.devices import Team
from bitskip.training.trainer import run_trial
from bitskip.trial.cost import fitting_micro_batch
from bitskip.trial.schedule import step_count

FAULT_SECONDS = 3.0
"""So long a failure of a team's first process waits before it is stored: that of another may be its reason."""


def work(job: Job) -> dict[str, Any]:
    """A worker's part: run a trial in a process as good as new; what `Scheduler.ended` is told.

    Raises no Exception: a trial without a row was lost.
    """

    def run(job: Job) -> dict[str, Any]:
        reset_process(job.threads)
        return run_job(job)

    return attempted(job, run)


def run_job(
    job: Job, on_point: Callable[[CurvePoint, int], None] | None = None, team: Team | None = None
) -> dict[str, Any]:
    """Train, evaluate and store one trial; returns its row of `trials`. With a `team`, this is its first process.

    While it runs, `running/<trial_id>.json` says how far it is. An exception becomes status `error` (`timeout` past the
    limit) with its traceback in `logs/<trial_id>.log`.
    """
    trial, training = job.trial, job.trial.training
    steps, tokens = step_count(training), training.batch_size * training.seq_len
    place = SweepFolder(job.folder)
    checkpoint = place.checkpoint(trial.trial_id)
    device = device_name(job.device)
    if team:
        device = f"{team.size} x {device}, {team.strategy}"
    with reporting(job.folder, trial.trial_id, job.sweep, job.point, steps, tokens, device) as report:
        torch.set_num_threads(job.threads)
        _reset_peak_memory(job.device)
        began = time.perf_counter()
        row = job.columns() | provenance(job, device, torch=torch.__version__, numpy=numpy.__version__)

        def measured(point: CurvePoint, steps: int) -> None:
            report.note(_point_line(point, steps))
            if on_point:
                on_point(point, steps)

        parts: tuple[Any, ...] = ()
        try:
            check_device(job.device)
            with time_limit(job.time_limit):
                result = run_trial(
                    trial,
                    job.device,
                    on_point=measured,
                    checkpoint=CheckpointPlace(checkpoint, job.checkpoint_seconds),
                    save_weights_to=place.weights(trial.trial_id) if job.save_weights else None,
                    prefixes=job.prefixes,
                    report=report,
                    team=team,
                    micro_batch=_micro_batch(job) if job.fit_memory else 0,
                )
        except Exception as error:
            if team:
                time.sleep(FAULT_SECONDS)  # where another process has died, whoever started both ends this one
            row |= job.failed(*failure(job, error))
            report.note(traceback_lines(error))
        else:
            row |= as_row(result)
            parts = result.exits, result.curve, result.layers, result.evaluations
        row["peak_memory_bytes"] = _peak_memory(job.device)
        write_trial(job.folder, row, *([as_row(entry) for entry in part] for part in parts))
        if row["status"] in FINISHED:
            checkpoint.unlink(missing_ok=True)
        shown = f"perplexity {row['ppl']:.4g}" if row.get("ppl") else row.get("reason") or "no perplexity"
        report.note(f"{row['status']} after {time.perf_counter() - began:.1f} s: {shown}")
    return row


def _micro_batch(job: Job) -> int:
    """Sequences of a forward pass that fit the device, or this worker's share of the machine's memory."""
    gpu = job.device.startswith("cuda")
    if gpu:
        memory = float(torch.cuda.get_device_properties(job.device).total_memory)
    else:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        memory = total * min(1.0, job.threads / (os.cpu_count() or 1))
    return fitting_micro_batch(job.trial, memory, gpu, job.strategy, job.devices)


def check_device(device: str) -> None:
    """Raises UserError for anything but `cpu` and a GPU that torch sees."""
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


def _reset_peak_memory(device: str) -> None:
    if device.startswith("cuda") and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        # Linux keeps a resettable high-water mark; a worker that runs trial after trial needs it.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _peak_memory(device: str) -> int:
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: str) -> str:
    """The GPU's name, or the kind and number of the CPU's cores."""
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return f"{device} ({platform.machine()}, {os.cpu_count()} cores)"


def reset_process(threads: int, seed: int = 0) -> None:
    """Undo what a trial can have left in this process: generators, threads, dtypes, flags, gradient mode, caches.

    A worker runs trial after trial in one process, and each has to find it as a fresh process would be.
    Trials draw from generators of their own; a global one is seeded so that code which uses it is at least repeatable.
    """
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_flush_denormal(False)
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    torch.autograd.set_detect_anomaly(False)
    torch.clear_autocast_cache()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = False
    torch.backends.mkldnn.enabled = True  # type: ignore[assignment]
    for device in ("cpu", "cuda"):
        torch.set_autocast_enabled(device, False)
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
    signal.setitimer(signal.ITIMER_REAL, 0)  # of a trial with a time limit
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
