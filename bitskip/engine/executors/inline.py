"""Trials one after another in this process: no start-up, a debugger works; a crash ends the sweep, not its results."""

from __future__ import annotations

from bitskip.engine.scheduler import Scheduler
from bitskip.sweep.resources import Resources, local_cores, local_gpus, slots_on


class Inline:
    """Needs no runtime; a hung trial is nobody's to end."""

    def check(self, resources: Resources) -> None:
        slots_on([{"CPU": local_cores(), "GPU": local_gpus()}], resources)

    def run(self, scheduler: Scheduler) -> None:
        from bitskip.engine.job import work

        while (job := scheduler.next()) is not None:
            trial_id = job.trial.trial_id
            scheduler.started(trial_id)
            scheduler.ended(trial_id, work(job))
            scheduler.tick()

    def close(self) -> None: ...
