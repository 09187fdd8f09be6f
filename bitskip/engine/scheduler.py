"""Which trial is next, and what becomes of one that ends in whatever way: the policy that all executors share.

An executor asks for the next trial, says when it has started and how it ended, and calls `tick` now and then:

| how a trial ends | what happens |
| --- | --- |
| its worker returns a row that is in the ledger | that is its result, or a failed attempt with its reason |
| its worker returns and the ledger has no row | the same as a worker that died |
| its worker dies | it is run once more; if that worker dies too, the attempt is stored as `error` |
| its worker dies with a pack of trials | those that are not in the ledger are run once more, each alone |
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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import Running, remove_running, running_trial
from bitskip.store.schema import COMMIT_TABLE, attempt_columns
from bitskip.store.tables import DONE, Failure, committed, load_results, write_trial
from bitskip.sweep.sweep_file import Resources
from bitskip.training.packing.plan import fair_size, pack_key, pack_size
from bitskip.training.shared_prefix import Prefixes, PrefixQueue
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

SHOWN = ("trial_id", "status", "reason", "loss", "ppl", "train_seconds", "eval_seconds")


class Listener(Protocol):
    """What a sweep reports while it runs; calls come from the driver's thread."""

    def preparing(self, what: str) -> None: ...

    def started(self, trial_id: str) -> None: ...

    def finished(self, row: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Setting:
    """What all trials of a sweep have in common: where their rows go and what each may use."""

    folder: Path
    sweep: str
    resources: Resources
    save_weights: bool
    tuned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A trial for a worker: its point's name, the prefixes it takes over and leaves, how it failed before.

    Its companions are trained with it, as one program.
    """

    trial: TrialConfig
    point: str | None
    prefixes: Prefixes | None
    earlier: Failure | None
    companions: tuple[Task, ...] = ()

    @property
    def pack(self) -> tuple[Task, ...]:
        return (self, *self.companions)


@dataclass
class _Begun:
    """A trial in a worker's hands, one of `size` in the task that `first` names."""

    task: Task
    first: str
    size: int = 1
    started: bool = False
    updated_at: float | None = None
    seen: float = field(default_factory=time.monotonic)
    stalled: str | None = None


class Dispatch:
    """The trials of one run, from the queue to the ledger.

    `end_worker(trial_id, host, pid)` is set by an executor that can end a hung worker, `slots` by one that runs several
    tasks at once. `beat` is called every ten seconds. After the run, `stopped` is why it ended early.
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
        self.slots = 1
        self.stopped: str | None = None
        self.running: dict[str, _Begun] = {}
        self.crashes: Counter[str] = Counter()
        self.alone: set[str] = set()
        self.largest_pack = pack_size(setting.resources)
        self._keys: dict[str, str | None] = {}
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
        late = [trial for trial in self.queue.waiting if self._part(trial.trial_id).exists()]
        for trial in late:
            row = self._committed_row(trial.trial_id)
            if row is not None:
                self.queue.waiting.remove(trial)
                self.running[trial.trial_id] = _Begun(Task(trial, self.point_of(trial), None, None), trial.trial_id)
                self._settle(trial.trial_id, row)

    def next(self) -> Task | None:
        """The next trial with its companions, or None where there is none now: ask again unless `over`."""
        free = max(1, self.slots - len({begun.first for begun in self.running.values()}))
        size = min(self.largest_pack, fair_size(self.setting.resources, len(self.queue.waiting), free))
        ready = None if self.closed else self.queue.next()
        if ready is None:
            return None
        first, companions = self._task(*ready), list[Task]()
        key = self._pack_key(first.trial) if size > 1 else None
        while key and len(companions) + 1 < size:
            ready = self.queue.next(lambda trial: self._pack_key(trial) == key)
            if ready is None:
                break
            companions.append(self._task(*ready))
        task = replace(first, companions=tuple(companions))
        for each in task.pack:
            self.running[each.trial.trial_id] = _Begun(each, first.trial.trial_id, len(task.pack))
        self.running[first.trial.trial_id].task = task
        return task

    def _task(self, trial: TrialConfig, prefixes: Prefixes) -> Task:
        return Task(trial, self.point_of(trial), prefixes, self.failures.get(trial.trial_id))

    def _pack_key(self, trial: TrialConfig) -> str | None:
        """Of a trial that may be packed; counted once, as all that wait are asked whenever one starts."""
        if trial.trial_id in self.alone:
            return None
        if trial.trial_id not in self._keys:
            self._keys[trial.trial_id] = pack_key(trial)
        return self._keys[trial.trial_id]

    def _pack(self, trial_id: str) -> list[str]:
        """The trials that still run in the pack of its first one."""
        begun = self.running.get(trial_id)
        found = [task.trial.trial_id for task in begun.task.pack] if begun else []
        return [each for each in found if each in self.running]

    def started(self, trial_id: str) -> None:
        """A worker has a task in its hands, known by its first trial."""
        for each in self._pack(trial_id):
            self.running[each].started, self.running[each].seen = True, time.monotonic()
            self._tell(self.listener.started, each)

    def ended(self, trial_id: str, found: Mapping[str, Any]) -> None:
        """A worker has returned a task, known by its first trial.

        For each trial of it `found` has the `row` that was stored, why it is `unwritable`, or another `reason`.
        """
        for each in self._pack(trial_id):
            self._ended(each, found.get(each) or {})

    def _ended(self, trial_id: str, found: Mapping[str, Any]) -> None:
        row, unwritable = found.get("row"), found.get("unwritable")
        if unwritable:
            self._wait_again(trial_id)
            self.stop(f"cannot write results: {unwritable}; free some space or mend the folder")
        elif row is None or not self._in_ledger(trial_id):
            self._lost(trial_id, found.get("reason") or "its worker returned without a row")
        else:
            self._settle(trial_id, {key: row.get(key) for key in SHOWN})

    def lost(self, trial_id: str, reason: str = "its worker process died") -> None:
        """A worker is gone. What it has committed counts, all else of its task is run once more."""
        for each in self._pack(trial_id):
            self._lost(each, reason)

    def _lost(self, trial_id: str, reason: str) -> None:
        begun = self.running[trial_id]
        row = self._committed_row(trial_id)
        if row is not None:
            self._settle(trial_id, row)
        elif begun.size > 1:
            # Whose fault it was is not known: alone, each answers for itself.
            self.alone.add(trial_id)
            self._wait_again(trial_id)
            if "OutOfMemory" in reason:
                self.largest_pack = max(1, min(self.largest_pack, begun.size // 2))
            self.note(f"a pack of trials was lost ({reason}); those without a result are run alone")
        elif begun.stalled:
            self._fail(begun.task, "timeout", begun.stalled)
        elif self.crashes[trial_id] < STARTS_AFTER_A_CRASH:
            self.crashes[trial_id] += 1
            self._wait_again(trial_id)
            self.note(f"trial {trial_id[:8]}: {reason}; it is run once more")
        else:
            self._fail(begun.task, "error", f"{reason}, twice" if self.crashes[trial_id] else reason)

    def abandon(self) -> None:
        """What dispatched the running trials broke down: they wait again, unless they have been committed meanwhile."""
        for trial_id in list(self.running):
            row = self._committed_row(trial_id)
            if row is not None:
                self._settle(trial_id, row)
            else:
                self._wait_again(trial_id)

    def _wait_again(self, trial_id: str) -> None:
        begun = self.running.pop(trial_id)
        self._forget(trial_id)
        self.queue.again(begun.task.trial)

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
        watched = {key: begun for key, begun in self.running.items() if begun.started and not begun.stalled}
        told = {trial_id: self._heard(trial_id, begun, now) for trial_id, begun in watched.items()}
        begun_packs = {watched[trial_id].first for trial_id, running in told.items() if running is not None}
        for trial_id, begun in watched.items():
            if told[trial_id] is None and begun.first in begun_packs:
                continue  # it has ended before its companions, who are watched, too
            # Members of a pack train together, but are evaluated in turn: hung is one of which nobody moves.
            seen = max(each.seen for each in watched.values() if each.first == begun.first)
            self._judge(trial_id, begun, told[trial_id], now - seen)

    def _heard(self, trial_id: str, begun: _Begun, now: float) -> Running | None:
        told = running_trial(self.setting.folder, trial_id)
        if told is not None and told.updated_at != begun.updated_at:
            # Only that it changes counts: clocks of two machines may differ.
            begun.updated_at, begun.seen = told.updated_at, now
        return told

    def _judge(self, trial_id: str, begun: _Begun, told: Running | None, silent: float) -> None:
        """End the worker of a trial that has been silent for too long."""
        limit = stall_limit(begun.task.trial, self.setting.resources)
        if silent <= limit or self.end_worker is None:
            return
        if told is None:
            # Without its process there is nothing to end: a trial that is given up here would be waited for for ever.
            self.note(f"trial {trial_id[:8]} was given to a worker {limit:g} s ago and has not begun")
            return
        begun.stalled = f"hung: no progress for {limit:g} s while {told.stage}; its process was ended"
        self.note(f"trial {trial_id[:8]} {begun.stalled}")
        self.end_worker(trial_id, told.host, told.pid)

    def _settle(self, trial_id: str, row: dict[str, Any]) -> None:
        begun = self.running.pop(trial_id)
        done = row["status"] in DONE
        if not done:
            self._forget(trial_id)
        self.queue.finished(begun.task.trial.trial_id, done=done)
        self.endings.append((row["status"], row.get("reason") or ""))
        self._tell(self.listener.finished, row)
        if NO_ROOM.search(row.get("reason") or "") and row["status"] == "error":
            self.stop(f"cannot write: {row['reason']}; free some space or mend the folder")
        first = self.endings[:FIRST_ALIKE]
        if len(first) == len(self.endings) == FIRST_ALIKE and all(status == "error" for status, _ in first):
            signatures = {Failure(status, reason, 1).signature for status, reason in first}
            if len(signatures) == 1:
                self.stop(
                    f"the first {FIRST_ALIKE} trials failed alike: {row['reason']} "
                    f"(traceback: {SweepFolder(self.setting.folder).log(trial_id)}); mend that"
                )

    def _fail(self, task: Task, status: str, reason: str) -> None:
        """Store an attempt whose worker cannot do so any more."""
        trial = task.trial
        row = attempt_columns(trial, self.setting.sweep, task.point, self.setting.tuned) | {
            "status": status,
            "reason": reason,
            "failures": Failure.count_of(task.earlier, status, reason),
        }
        try:
            write_trial(self.setting.folder, row)
        except OSError as error:
            self.stop(f"cannot write results: {error}; free some space or mend the folder")
        self._log(trial.trial_id, f"{status}: {reason}")
        self._settle(trial.trial_id, {key: row.get(key) for key in SHOWN})

    def _in_ledger(self, trial_id: str) -> bool:
        return self._part(trial_id).exists() or trial_id in committed(self.setting.folder)

    def _part(self, trial_id: str) -> Path:
        return SweepFolder(self.setting.folder).part(COMMIT_TABLE, trial_id)

    def _committed_row(self, trial_id: str) -> dict[str, Any] | None:
        """The row of a result that a worker has committed before it was lost."""
        if committed(self.setting.folder).get(trial_id) not in DONE:
            return None
        rows = load_results(self.setting.folder).trials.to_pylist()
        return next({key: row[key] for key in SHOWN} for row in rows if row["trial_id"] == trial_id)

    def _forget(self, trial_id: str) -> None:
        """Nobody runs the trial any more."""
        remove_running(self.setting.folder, trial_id)

    def _log(self, trial_id: str, text: str) -> None:
        log = SweepFolder(self.setting.folder).log(trial_id)
        with contextlib.suppress(OSError):
            log.parent.mkdir(exist_ok=True)
            with log.open("a", encoding="utf-8") as sink:
                sink.write(f"{time.strftime('%H:%M:%S')} {text}\n")

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
