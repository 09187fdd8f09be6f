"""What runs the trials of a sweep: Ray Tune on this machine or a cluster, or this process, one after another."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from bitskip.engine.scheduler import SHOWN, Dispatch, Setting, Task
from bitskip.errors import UserError, nearest
from bitskip.sweep.resources import Resources

if TYPE_CHECKING:
    from bitskip.engine.worker import Job

NO_ROOM = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES)


class Executor(Protocol):
    """Runs trials until `dispatch.over`; kept over the batches of a sweep, so that starting it is paid for once."""

    def check(self, resources: Resources) -> None:
        """Before anything starts: raises UserError if it is known already that a trial cannot be run."""
        ...

    def run(self, dispatch: Dispatch, setting: Setting) -> None:
        """May raise anything but loses nothing: what is still marked as running was not finished."""
        ...

    def close(self) -> None: ...


def _ray(address: str | None) -> Executor:
    from bitskip.engine.executors.ray_tune import RayTune

    return RayTune(address)


def _inline(address: str | None) -> Executor:
    from bitskip.engine.executors.inline import Inline

    if address is not None:
        raise UserError(f"--executor inline runs in this process: leave --address {address} out, or use ray")
    return Inline()


EXECUTORS: dict[str, Callable[[str | None], Executor]] = {"ray": _ray, "inline": _inline}


def open_executor(name: str, address: str | None = None) -> Executor:
    """The executor of that name; starts nothing yet. Raises UserError for one that does not exist."""
    if name not in EXECUTORS:
        raise UserError(f"--executor: '{name}' is not one of {', '.join(EXECUTORS)}{nearest(name, EXECUTORS)}")
    return EXECUTORS[name](address)


def work(setting: Setting, task: Task) -> dict[str, Any]:
    """A worker's part: run a task's trials in a process as good as new; what `Dispatch.ended` is told.

    Raises no Exception: a trial without a row was lost.
    """
    from bitskip.engine.hygiene import reset_process
    from bitskip.engine.worker import run_job, run_packed

    jobs = [_job(setting, each) for each in task.pack]
    found: dict[str, Any] = {}
    try:
        if len(jobs) > 1:
            reset_process(jobs[0].threads)  # for the probe, too, whose programs then serve the pack
        if len(jobs) > 1 and _packs(setting.resources, jobs):
            for trial_id, row in run_packed(jobs):
                found[trial_id] = {"row": {key: row.get(key) for key in SHOWN}}
        else:
            for job in jobs:
                reset_process(job.threads)
                row = run_job(job)
                found[job.trial.trial_id] = {"row": {key: row.get(key) for key in SHOWN}}
    except Exception as error:  # what a trial raises is stored: this one was raised by storing it, or by a pack
        full = isinstance(error, OSError) and error.errno in NO_ROOM
        first = (str(error).splitlines() or [""])[0]
        why = {"unwritable": str(error)} if full else {"reason": f"{type(error).__name__}: {first}"}
        found = {job.trial.trial_id: why for job in jobs} | found
    return found


def _job(setting: Setting, task: Task) -> Job:
    from bitskip.engine.worker import Job

    resources = setting.resources
    return Job(
        task.trial,
        setting.folder,
        setting.sweep,
        task.point,
        setting.tuned,
        device="cuda" if resources.gpus else "cpu",
        threads=max(1, int(resources.cpus)),
        time_limit=resources.time_limit,
        checkpoint_seconds=resources.checkpoint_seconds,
        save_weights=setting.save_weights,
        prefixes=task.prefixes,
        earlier=task.earlier,
    )


def _packs(resources: Resources, jobs: list[Job]) -> bool:
    """Whether jobs that could be packed are: as the sweep says, or where a probe shows that it pays."""
    from bitskip.training.packing.trainer import packing_pays

    return resources.pack != "auto" or packing_pays([job.trial for job in jobs], jobs[0].device)
