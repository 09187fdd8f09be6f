"""Which trial is next, and what becomes of one that ends in whatever way: the policy that all executors share.

An executor asks for the next trial, says when it has started and how it ended, and calls `tick` now and then:

| how a trial ends | what happens |
| --- | --- |
| its worker returns a row that is in the ledger | that is its result, or a failed attempt with its reason |
| its worker returns and the ledger has no row | the same as a worker that died |
| its worker dies | it is run once more; if that worker dies too, the attempt is stored as `error` |
| it makes no progress for too long | its worker is ended, the attempt stored as `timeout` |
| its row cannot be written (disk full, read-only) | no other trial is started, the sweep ends with that reason |

The first trials that fail all alike end the sweep, too: what is wrong with them is wrong with the others.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bitskip.engine.job import Job, Setting
from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import remove_running, running_trial
from bitskip.store.ledger import Ledger
from bitskip.store.schema import COMMIT_TABLE, FINISHED, Status
from bitskip.store.tables import Failure, write_trial
from bitskip.sweep.resources import Resources
from bitskip.training.shared_prefix import PrefixQueue
from bitskip.trial.config import TrialConfig
from bitskip.trial.cost import assumed_speed, trial_seconds

STARTS_AFTER_A_CRASH = 1
"""How often a trial is started again in one run after its worker died."""

FIRST_ALIKE = 3
"""So many first trials that fail alike, and none that did not, end the sweep."""

STALL_FLOOR, STALL_SHARE = 600.0, 0.1
"""A trial is hung after ten minutes without progress, or a tenth of the time it should take, whichever is longer."""

TICK_SECONDS, BEAT_SECONDS = 1.0, 10.0
NO_ROOM = re.compile(r"(?:\[Errno|os error) (?:28|30|122)\b")
"""Disk full, read-only file system, quota exceeded: as Python and as safetensors write them."""

ROOM = "free some space or mend the folder"
SHOWN = ("trial_id", "status", "reason", "loss", "ppl", "metric", "measured", "train_seconds", "eval_seconds")


class Listener(Protocol):
    """What a sweep reports while it runs; calls come from the driver's thread."""

    def preparing(self, what: str) -> None: ...

    def started(self, trial_id: str) -> None: ...

    def finished(self, row: dict[str, Any]) -> None: ...


@dataclass
class _Begun:
    """A trial in a worker's hands."""

    job: Job
    started: bool = False
    updated_at: float | None = None
    seen: float = field(default_factory=time.monotonic)
    stalled: str | None = None


class Scheduler:
    """The trials of one run, from the queue to the ledger.

    `end_worker(trial_id, host, pid)` is set by an executor that can end a hung worker. `beat` is called every ten
    seconds. After the run, `stopped` is why it ended early; `endings` are status and reason of what has ended.
    """

    def __init__(
        self,
        setting: Setting,
        queue: PrefixQueue,
        listener: Listener,
        point_of: Callable[[TrialConfig], str | None] = lambda trial: None,
        failures: Mapping[str, Failure] | None = None,
        deadline: float | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.setting, self.queue, self.listener = setting, queue, listener
        self.point_of, self.failures, self.deadline, self.beat = point_of, failures or {}, deadline, beat
        self.end_worker: Callable[[str, str, int], None] | None = None
        self.stopped: str | None = None
        self.running: dict[str, _Begun] = {}
        self.crashes: Counter[str] = Counter()
        self.endings: list[tuple[str, str]] = []
        self._told: set[str] = set()
        self._ticked = self._beaten = 0.0

    @property
    def closed(self) -> bool:
        """Whether no further trial is started: none waits, the time is up, or something has stopped the sweep."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return late or self.stopped is not None or not self.queue.waiting

    @property
    def over(self) -> bool:
        return self.closed and not self.running

    def recognise(self) -> None:
        """Trials that wait, but were finished by a worker of a killed sweep since the ledger was read, have ended."""
        results = self._results()
        for trial in [trial for trial in self.queue.waiting if trial.trial_id in results]:
            self.queue.waiting.remove(trial)
            self.running[trial.trial_id] = _Begun(self.setting.job(trial, self.point_of(trial)))
            self._settle(results[trial.trial_id])

    def next(self) -> Job | None:
        """The next trial, or None where there is none now: ask again unless `over`."""
        ready = None if self.closed else self.queue.next()
        if ready is None:
            return None
        trial, prefixes = ready
        job = self.setting.job(trial, self.point_of(trial), prefixes, self.failures.get(trial.trial_id))
        self.running[trial.trial_id] = _Begun(job)
        return job

    def started(self, trial_id: str) -> None:
        """A worker has the trial in its hands."""
        begun = self.running.get(trial_id)
        if begun is not None:
            begun.started, begun.seen = True, time.monotonic()
            self._tell(self.listener.started, trial_id)

    def ended(self, trial_id: str, found: Mapping[str, Any]) -> None:
        """A worker has returned: `found` has the `row` it stored, why it is `unwritable`, or another `reason`."""
        if trial_id not in self.running:
            return
        row = found.get("row")
        if found.get("unwritable"):
            self._wait_again(trial_id)
            self.stop(f"cannot write results: {found['unwritable']}; {ROOM}")
        elif row is None or not self._in_ledger(trial_id):
            self.lost(trial_id, found.get("reason") or "its worker returned without a row")
        else:
            self._settle(row)

    def lost(self, trial_id: str, reason: str = "its worker process died") -> None:
        """A worker is gone: what it has committed counts, else the trial is run once more or has failed."""
        begun = self.running.get(trial_id)
        if begun is None:
            return
        row = self._results().get(trial_id)
        if row is not None:
            self._settle(row)
        elif begun.stalled:
            self._fail(begun.job, Status.TIMEOUT, begun.stalled)
        elif self.crashes[trial_id] < STARTS_AFTER_A_CRASH:
            self.crashes[trial_id] += 1
            self._wait_again(trial_id)
            self.note(f"trial {trial_id[:8]}: {reason}; it is run once more")
        else:
            self._fail(begun.job, Status.ERROR, f"{reason}, twice" if self.crashes[trial_id] else reason)

    def abandon(self) -> None:
        """What dispatched the running trials broke down: they wait again, unless they have been committed meanwhile."""
        results = self._results() if self.running else {}
        for trial_id in list(self.running):
            if trial_id in results:
                self._settle(results[trial_id])
            else:
                self._wait_again(trial_id)

    def stop(self, reason: str) -> None:
        """Start no further trial; the first reason counts."""
        self.stopped = self.stopped or reason

    def tick(self) -> None:
        """Look after hung trials; cheap enough to be called many times a second."""
        now = time.monotonic()
        if now - self._ticked < TICK_SECONDS:
            return
        self._ticked = now
        if now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            self.beat()
        for trial_id, begun in list(self.running.items()):
            if begun.started and not begun.stalled:
                self._watch(trial_id, begun, now)

    def _watch(self, trial_id: str, begun: _Begun, now: float) -> None:
        """End the worker of a trial that has been silent for too long."""
        told = running_trial(self.setting.folder, trial_id)
        if told is not None and told.updated_at != begun.updated_at:
            # Only that it changes counts: clocks of two machines may differ.
            begun.updated_at, begun.seen = told.updated_at, now
        limit = stall_limit(begun.job.trial, self.setting.resources)
        if begun.job.program is not None and self.setting.resources.stall_limit is None:
            return  # a script may be silent for as long as it trains
        if now - begun.seen <= limit or self.end_worker is None:
            return
        if told is None:
            # Without its process there is nothing to end: a trial that is given up here would be waited for for ever.
            self.note(f"trial {trial_id[:8]} was given to a worker {limit:g} s ago and has not begun")
            return
        begun.stalled = f"hung: no progress for {limit:g} s while {told.stage}; its process was ended"
        self.note(f"trial {trial_id[:8]} {begun.stalled}")
        self.end_worker(trial_id, told.host, told.pid)

    def _settle(self, row: Mapping[str, Any]) -> None:
        """A running trial has ended with this row, which is in the ledger."""
        trial_id, status, reason = row["trial_id"], row["status"], row.get("reason") or ""
        done = status in FINISHED
        del self.running[trial_id]
        if not done:
            remove_running(self.setting.folder, trial_id)
        self.queue.finished(trial_id, done=done)
        self.endings.append((status, reason))
        self._tell(self.listener.finished, {key: row.get(key) for key in SHOWN})
        if status == Status.ERROR and NO_ROOM.search(reason):
            self.stop(f"cannot write: {reason}; {ROOM}")
        if len(self.endings) == FIRST_ALIKE and status == Status.ERROR and self._ended_alike():
            log = SweepFolder(self.setting.folder).log(trial_id)
            self.stop(f"the first {FIRST_ALIKE} trials failed alike: {row['reason']} (traceback: {log}); mend that")

    def _ended_alike(self) -> bool:
        return len({Failure(status, reason, 1).signature for status, reason in self.endings}) == 1

    def _fail(self, job: Job, status: Status, reason: str) -> None:
        """Store an attempt whose worker cannot do so any more."""
        row = job.columns() | job.failed(status, reason)
        try:
            write_trial(job.folder, row)
        except OSError as error:
            self.stop(f"cannot write results: {error}; {ROOM}")
        log = SweepFolder(job.folder).log(row["trial_id"])
        with contextlib.suppress(OSError):
            log.parent.mkdir(exist_ok=True)
            with log.open("a", encoding="utf-8") as sink:
                sink.write(f"{time.strftime('%H:%M:%S')} {status}: {reason}\n")
        self._settle(row)

    def _wait_again(self, trial_id: str) -> None:
        begun = self.running.pop(trial_id)
        remove_running(self.setting.folder, trial_id)
        self.queue.again(begun.job.trial)

    def _in_ledger(self, trial_id: str) -> bool:
        """Whether the trial has a row; its part may have been merged already, or lie in an object store."""
        part = SweepFolder(self.setting.folder).part(COMMIT_TABLE, trial_id)
        return part.exists() or trial_id in self._rows()

    def _rows(self) -> dict[str, dict[str, Any]]:
        """The ledger as it is now, by trial id."""
        ledger = Ledger(self.setting.folder, SHOWN)
        ledger.refresh()
        return ledger.rows

    def _results(self) -> dict[str, dict[str, Any]]:
        return {trial_id: row for trial_id, row in self._rows().items() if row["status"] in FINISHED}

    def _tell(self, say: Callable[[Any], None], what: Any) -> None:
        """A view that fails must not cost a trial."""
        try:
            say(what)
        except Exception as error:
            self.note(f"the display failed ({type(error).__name__}: {error}); the sweep goes on")

    def note(self, text: str) -> None:
        """A line on standard error, each text once."""
        if text not in self._told:
            self._told.add(text)
            print(f"bitskip: {text}", file=sys.stderr, flush=True)

    def guarded(self, hook: Callable[[], Any], otherwise: Any = None) -> Any:
        """What a hook gives; if it fails, the sweep starts nothing more and ends what runs: a hook must not raise."""
        try:
            return hook()
        except Exception as error:
            self.stop(f"internal error ({type(error).__name__}: {error}); please report it")
            return otherwise


def stall_limit(trial: TrialConfig, resources: Resources) -> float:
    """Seconds without progress after which a trial is hung: as configured, else generous for its size."""
    if resources.stall_limit is not None:
        return resources.stall_limit
    expected = trial_seconds(trial, assumed_speed(resources.cpus, resources.gpus))
    return max(STALL_FLOOR, STALL_SHARE * expected)
