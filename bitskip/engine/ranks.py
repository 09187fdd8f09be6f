"""One trial in several processes of this machine, a device each: started, watched and ended together.

The worker of a trial with a `strategy` starts them and waits; it needs no torch itself. The first one runs the trial,
stores its row and says what `Scheduler.ended` is told. One that dies ends the others, and the trial is lost: the
scheduler starts it once more.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bitskip.engine.job import Job

LOOK_SECONDS = 0.05


def work(job: Job) -> dict[str, Any]:
    """Run the job in `job.devices` processes; what `Scheduler.ended` is told."""
    with tempfile.TemporaryDirectory(prefix="bitskip-") as name:
        folder = Path(name)
        with _started(job, folder) as processes:
            return _awaited(processes, folder)


@contextlib.contextmanager
def _started(job: Job, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes, which end with this block, and with this process if that is killed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    _job(folder).write_bytes(pickle.dumps(job))
    command = [sys.executable, "-m", "bitskip.engine.ranks", str(folder)]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(job.devices):
            # In a session of their own: Ctrl-C is for who started the sweep.
            process = subprocess.Popen(
                [*command, str(rank)], stdin=subprocess.PIPE, env=environment, start_new_session=True
            )
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()


def _awaited(processes: Sequence[subprocess.Popen[bytes]], folder: Path) -> dict[str, Any]:
    while True:
        for rank, process in enumerate(processes):
            code = process.poll()
            if code:
                how = f"killed by signal {-code}" if code < 0 else _told(folder, rank) or f"exit status {code}"
                return {"reason": f"process {rank + 1} of {len(processes)} died: {how}"}
        if processes[0].poll() == 0:
            found: dict[str, Any] = pickle.loads(_found(folder).read_bytes())
            return found
        time.sleep(LOOK_SECONDS)


def _job(folder: Path) -> Path:
    return folder / "job"


def _found(folder: Path) -> Path:
    return folder / "found"


def _failed(folder: Path, rank: int) -> Path:
    return folder / f"failed-{rank}"


def _told(folder: Path, rank: int) -> str:
    with contextlib.suppress(OSError):
        return _failed(folder, rank).read_text(encoding="utf-8")
    return ""


def main(folder: Path, rank: int) -> None:
    """One of the processes; standard input ends when its worker is gone."""
    threading.Thread(target=_end_with_worker, daemon=True).start()
    job: Job = pickle.loads(_job(folder).read_bytes())
    from bitskip.techniques.registry import load_plugins
    from bitskip.training.devices import Team

    load_plugins(job.plugins)
    try:
        team = Team.join(rank, job.devices, job.strategy, job.device, folder / "meeting")
        if rank == 0:
            _lead(job, team, folder)
        else:
            from bitskip.engine.worker import reset_process
            from bitskip.training.step import follow

            reset_process(job.threads)
            follow(job.trial, team)
    except Exception as error:
        _failed(folder, rank).write_text(f"{type(error).__name__}: {error}".splitlines()[0], encoding="utf-8")
        raise
    sys.stderr.flush()
    os._exit(0)  # without taking leave of the others, who may be gone already


def _lead(job: Job, team: Any, folder: Path) -> None:
    from bitskip.engine.attempt import attempted
    from bitskip.engine.worker import reset_process, run_job

    def run(job: Job) -> dict[str, Any]:
        reset_process(job.threads)
        return run_job(replace(job, device=str(team.device)), team=team)

    _found(folder).write_bytes(pickle.dumps(attempted(job, run)))


def _end_with_worker() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
