"""Trials one after another in this process: no start-up, a debugger works; a crash ends the sweep, not its results."""

from __future__ import annotations

from bitskip.dispatch import Dispatch, Setting
from bitskip.executors import work
from bitskip.machine import local_cores, local_gpus, slots_on
from bitskip.space import Resources


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
