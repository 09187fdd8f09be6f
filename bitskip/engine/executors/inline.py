"""Trials one after another in this process: no start-up, a debugger works; a crash ends the sweep, not its results."""

from __future__ import annotations

from bitskip.engine.executors import work
from bitskip.engine.scheduler import Dispatch, Setting
from bitskip.sweep.resources import Resources, local_cores, local_gpus, slots_on


class Inline:
    def check(self, resources: Resources) -> None:
        slots_on([{"CPU": local_cores(), "GPU": local_gpus()}], resources)

    def run(self, dispatch: Dispatch, setting: Setting) -> None:
        while (task := dispatch.next()) is not None:
            trial_id = task.trial.trial_id
            dispatch.started(trial_id)
            dispatch.ended(trial_id, work(setting, task))
            dispatch.tick()

    def close(self) -> None: ...
