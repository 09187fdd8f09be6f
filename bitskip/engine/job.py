"""What a worker is given: a trial, where its rows go, and what it may use. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitskip.store.schema import Status
from bitskip.store.tables import Failure
from bitskip.store.trial_columns import attempt_columns
from bitskip.sweep.program import Program
from bitskip.sweep.resources import Resources
from bitskip.techniques.registry import named_modules
from bitskip.training.shared_prefix import Prefixes
from bitskip.trial.config import TrialConfig


@dataclass(frozen=True)
class Job:
    """A trial to run, where its rows go, and what it may use. `time_limit` in seconds; None = no limit.

    An interrupted trial leaves a checkpoint, renewed every `checkpoint_seconds`, with which the next attempt goes on.
    `prefixes` are what it takes over from other trials and leaves for them, `earlier` is how the attempt before this
    one failed, `tuned` the axes that its sweep chooses by configuration, `plugins` the modules of techniques that a
    worker has to import, `program` what trains it in bitskip's place. With a `strategy` other than `single` it has as
    many `devices` of this kind, with `threads` each; `fit_memory` = its forward passes take what fits a device.
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
    plugins: tuple[str, ...] = ()
    program: Program | None = None
    strategy: str = "single"
    devices: int = 1
    fit_memory: bool = False

    def columns(self) -> dict[str, Any]:
        """What `trials` says of an attempt that begins now."""
        return attempt_columns(self.trial, self.sweep, self.point, self.tuned)

    def failed(self, status: Status, reason: str) -> dict[str, Any]:
        """What `trials` says beside that of an attempt without a result."""
        return {"status": status, "reason": reason, "failures": Failure.count_of(self.earlier, status, reason)}


@dataclass(frozen=True)
class Setting:
    """What all trials of a sweep have in common: where their rows go and what each may use."""

    folder: Path
    sweep: str
    resources: Resources
    save_weights: bool
    tuned: tuple[str, ...] = ()
    program: Program | None = None

    def job(
        self, trial: TrialConfig, point: str | None, prefixes: Prefixes | None = None, earlier: Failure | None = None
    ) -> Job:
        """A trial of the sweep for a worker."""
        resources = self.resources
        return Job(
            trial,
            self.folder,
            self.sweep,
            point,
            self.tuned,
            device="cuda" if resources.gpus else "cpu",
            threads=max(1, int(resources.cpus / resources.devices)),
            time_limit=resources.time_limit,
            checkpoint_seconds=resources.checkpoint_seconds,
            save_weights=self.save_weights,
            prefixes=prefixes,
            earlier=earlier,
            plugins=named_modules(),
            program=self.program,
            strategy=resources.strategy,
            devices=resources.devices,
            fit_memory=resources.micro_batch == "auto",
        )


def work(job: Job) -> dict[str, Any]:
    """A worker's part: run a trial and store its row; what `Scheduler.ended` is told."""
    if job.program is not None:
        from bitskip.engine import program_worker

        return program_worker.work(job)
    if job.devices > 1:
        from bitskip.engine import ranks

        return ranks.work(job)
    from bitskip.engine import worker  # with torch

    return worker.work(job)
