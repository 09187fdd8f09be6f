"""What a sweep looks like at a moment, from its folder alone: the ledger, the files of running trials, the design.

The command that runs the sweep and `bitskip watch` in another shell, or after a crash, so see the same. A `Lookout`
looks again and again and reads only what has changed.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from bitskip.engine.labels import configuration_label, glance_axes, technique_words
from bitskip.errors import UserError
from bitskip.store import filesystem
from bitskip.store.folder import SweepFolder
from bitskip.store.folder_lock import alive_elsewhere, is_locked
from bitskip.store.heartbeat import Running, running_trials
from bitskip.store.ledger import Ledger
from bitskip.store.schema import FINISHED, Status
from bitskip.store.tables import holds_rows
from bitskip.sweep.sweep_file import Sweep, load_sweep, with_seeds
from bitskip.trial.config import model_label

STATES = ("done", "running", "waiting", "stalled", "diverged", "failed")
_STATE_OF = {Status.OK: "done", Status.STALLED: "stalled", Status.DIVERGED: "diverged"}
RESULTS = tuple(_STATE_OF.values())
"""States of trials that have a result."""

FRESH_SECONDS = 30.0
"""A running trial that has told of itself so recently is being run by somebody."""

SIBLINGS_SECONDS = 10.0
"""How often the folders beside a sweep's are listed anew."""

_COLUMNS = (
    "configuration_id", "point", "seed", "model", "tokens", "reason", "ppl", "metric", "measured", "train_seconds",
    "eval_seconds", "shared_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Configuration:
    """A row of the grid: the state of each of the snapshot's seeds, None for one that is not part of the design."""

    label: str
    states: tuple[str | None, ...]


@dataclass(frozen=True)
class Active:
    """A running trial; `seed` is None if the design does not know it; nothing was heard of it for `silent_seconds`."""

    label: str
    seed: int | None
    running: Running
    silent_seconds: float
    lost: bool


@dataclass(frozen=True)
class Ended:
    """A trial with a row in the ledger."""

    trial_id: str
    what: str
    status: str
    reason: str | None
    ppl: float | None
    seconds: float
    metric: str | None = None
    measured: float | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any], what: str) -> Ended:
        """From the columns of its row, which may lack some."""
        known = {name: row.get(name) for name in ("reason", "ppl", "metric", "measured")}
        return cls(trial_id=row["trial_id"], what=what, status=row["status"], seconds=_seconds(row), **known)

    @property
    def result(self) -> str:
        """What it came to, with its name and without; empty for none."""
        if self.metric:
            return f"{self.metric} {self.measured:.4g}"
        return "" if self.ppl is None else f"perplexity {self.ppl:.2f}"


@dataclass(frozen=True)
class Snapshot:
    """A sweep at a moment.

    `counts` are of trials by state; `total` is how many there will be, which an adaptive design knows before it knows
    its trials. `kept` are rows of trials that the design no longer has. `remaining_seconds` is None where nothing runs
    or nothing can be timed yet. `alive` says whether somebody is running the sweep.
    """

    name: str
    folder: str
    seeds: tuple[int, ...]
    configurations: tuple[Configuration, ...]
    counts: Mapping[str, int]
    total: int
    kept: int
    running: tuple[Active, ...]
    finished: tuple[Ended, ...]
    best: Ended | None
    last_error: Ended | None
    remaining_seconds: float | None
    alive: bool
    complete: bool
    problems: tuple[str, ...]

    @property
    def ended(self) -> int:
        """Trials that have a result."""
        return sum(self.counts[state] for state in RESULTS)


def snapshot(folder: Path, design: Sweep | None = None) -> Snapshot:
    """One look at a sweep's folder; without a design, at the one that its `sweep.yaml` holds."""
    return Lookout(folder, design).look()


class Lookout:
    """Looks at a sweep's folder again and again.

    `design` is read from the folder if it is not given. Results in the folders beside it count, as they do for a sweep.
    `slots` is how many trials run at once; without, as many as do. `planned` are those that will run now, if not all.
    """

    def __init__(
        self,
        folder: Path,
        design: Sweep | None = None,
        slots: int | None = None,
        planned: Collection[str] | None = None,
    ) -> None:
        self.folder, self.slots, self.planned = folder, slots, planned
        self.ledger = Ledger(folder, (*_COLUMNS, *glance_axes()))
        self.others: dict[Path, Ledger] = {}
        self.design: Sweep | None = None
        self.trials: dict[str, _Trial] = {}
        self.problem: str | None = None
        self._reads_design = design is None
        self._design_time: int | None = None
        self._siblings_due = 0.0
        self._positions: dict[str, int] = {}
        self._chosen: frozenset[int] = frozenset()
        if design is not None:
            self._use(design)

    def look(self) -> Snapshot:
        """The sweep as its files show it now."""
        self.ledger.refresh()
        own = self.ledger.rows
        running = {each.trial_id: each for each in running_trials(self.folder)}
        alive = is_alive(self.folder, running.values())
        if self._reads_design:
            self._follow_design()
        self._follow_choices({*own, *running})
        rows = self._rows_elsewhere(self.trials.keys() - own.keys()) | own
        begun = _changed(SweepFolder(self.folder).design) if alive else None
        states = {key: _state(row, begun) for key, row in rows.items()}
        # A trial that is there and in its file has been committed a moment ago, or is tried again.
        states |= {key: "running" for key in running if states.get(key) not in RESULTS}
        active = tuple(self._active(running[key]) for key in running if states[key] == "running")
        known = self.trials.keys() or states.keys()
        counts = Counter(states.get(key, "waiting") for key in known)
        total = max(len(known), self._promised())
        ended = [self._ended(row) for key, row in rows.items() if key in known]
        program = self.design.program if self.design else None
        sign = -1 if program and program.measure.higher_is_better else 1
        results = {
            each: sign * value
            for each in ended
            if each.status == Status.OK and (value := each.measured if each.metric else each.ppl) is not None
        }
        errors = [row for key, row in rows.items() if key in known and row["status"] not in FINISHED]
        newest = max(errors, key=lambda row: row["started_at"].timestamp() if row["started_at"] else 0.0, default=None)
        configurations, seeds = _grid(self.trials or {key: _Trial.of_row(row) for key, row in own.items()}, states)
        return Snapshot(
            name=self.design.name if self.design else self.folder.resolve().name,
            folder=filesystem.shown(self.folder),
            seeds=seeds,
            configurations=configurations,
            counts={state: counts[state] for state in STATES},
            total=total,
            kept=len(own.keys() - known),
            running=active,
            finished=tuple(each for each in ended if each.trial_id in own),
            best=min(results, key=results.__getitem__, default=None),
            last_error=self._ended(newest) if newest else None,
            remaining_seconds=self._remaining(rows, states, active, total - len(known)) if alive else None,
            alive=alive,
            complete=sum(counts[state] for state in RESULTS) >= total > 0,
            problems=(*([self.problem] if self.problem else []), *self.ledger.problems),
        )

    def _follow_design(self) -> None:
        """Read the folder's design where it has changed."""
        file = SweepFolder(self.folder).design
        changed = file.stat().st_mtime_ns if file.exists() else None
        if changed == self._design_time:
            return
        self._design_time = changed
        try:
            design = load_sweep(file, results=self.folder)
            ran = design.ran(self.ledger.rows.keys()) if design.count and not design.adaptive else []
            self._use(design.given(ran) if ran else design)
            self.problem = None
        except UserError as error:
            self.design, self.trials, self.problem = None, {}, f"{error}; shown without the design"

    def _use(self, design: Sweep) -> None:
        self.design, self._chosen, self._positions = design, frozenset(), {}
        self.trials = _described(design)
        if design.adaptive:
            cells = enumerate(design.grid.configurations)
            self._positions = {t.trial_id: at for at, each in cells for t in with_seeds([each], design.seeds)}

    def _follow_choices(self, seen: Collection[str]) -> None:
        """An adaptive design has the trials that it has begun."""
        chosen = frozenset(self._positions[key] for key in seen if key in self._positions)
        if self.design is not None and chosen - self._chosen:
            self._chosen |= chosen
            self.trials = _described(self.design.with_chosen(sorted(self._chosen)))

    def _promised(self) -> int:
        """Trials that an adaptive design will have in the end."""
        if self.design is None or not self.design.adaptive:
            return 0
        return min(self.design.count, len(self.design.grid.configurations)) * len(self.design.seeds)

    def _rows_elsewhere(self, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
        """Rows of the design's trials that another sweep of the same results folder has a result of."""
        if not wanted:
            return {}
        here = self.folder.resolve()
        if time.monotonic() >= self._siblings_due:
            self._siblings_due = time.monotonic() + SIBLINGS_SECONDS
            for folder in filesystem.folders_in(here.parent):
                if folder != here and folder not in self.others and holds_rows(folder):
                    self.others[folder] = Ledger(folder, (*_COLUMNS, *glance_axes()))
        found: dict[str, dict[str, Any]] = {}
        for ledger in self.others.values():
            ledger.refresh()
            found |= {key: row for key in wanted if (row := ledger.rows.get(key)) and row["status"] in FINISHED}
        return found

    def _active(self, running: Running) -> Active:
        known = self.trials.get(running.trial_id)
        label = known.label if known else running.point or running.trial_id[:8]
        silent = max(0.0, time.time() - running.updated_at)
        return Active(label, known.seed if known else None, running, silent, running.lost())

    def _ended(self, row: Mapping[str, Any]) -> Ended:
        known = self.trials.get(row["trial_id"]) or _Trial.of_row(row)
        what = f"{known.label}, seed {row['seed']}"
        return Ended.of(row, what)

    def _remaining(
        self,
        rows: Mapping[str, Mapping[str, Any]],
        states: Mapping[str, str],
        active: Sequence[Active],
        unchosen: int,
    ) -> float | None:
        """Seconds until all trials have ended: what trials of the same model and budget took, over the slots."""
        times: dict[tuple[str, int], list[float]] = defaultdict(list)
        for row in rows.values():
            if row["status"] in FINISHED and row["train_seconds"] is not None:
                times[row["model"], row["tokens"]].append(_seconds(row))
        took = {key: fmean(seconds) for key, seconds in times.items()}
        per_token = [seconds / tokens for (_, tokens), seconds in took.items()]
        per_token = per_token or [1 / rate for each in active if (rate := each.running.tokens_per_second)]
        if not per_token:
            return None
        running = [left for each in active if (left := _left(each.running)) is not None]
        needed = [
            took.get((trial.model, trial.tokens)) or fmean(per_token) * trial.tokens
            for key, trial in self.trials.items()
            if states.get(key, "waiting") == "waiting" and (self.planned is None or key in self.planned)
        ]
        if self.planned is None:
            needed += [fmean(needed or took.values() or [0.0])] * unchosen
        slots = self.slots or max(1, len(active))
        return max([(sum(needed) + sum(running)) / slots, *running])


class _Trial(NamedTuple):
    """What a view needs of a trial, from the design or from a row of the ledger."""

    configuration: str
    label: str
    seed: int
    model: str
    tokens: int

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> _Trial:
        label = row["point"] or ", ".join(technique_words(row))
        return cls(row["configuration_id"], label, row["seed"], row["model"], row["tokens"])


def _described(design: Sweep) -> dict[str, _Trial]:
    """The design's trials by id."""
    return {
        trial.trial_id: _Trial(
            trial.configuration_id,
            configuration_label(trial, design),
            trial.seed,
            model_label(trial.model),
            trial.training.tokens,
        )
        for trial in design.trials
    }


def _grid(trials: Mapping[str, _Trial], states: Mapping[str, str]) -> tuple[tuple[Configuration, ...], tuple[int, ...]]:
    """Configurations in the order of their first trials, and the seeds."""
    labels: dict[str, str] = {}
    cells: dict[str, dict[int, str]] = defaultdict(dict)
    for key, trial in trials.items():
        labels.setdefault(trial.configuration, trial.label)
        cells[trial.configuration][trial.seed] = states.get(key, "waiting")
    seeds = tuple(sorted({trial.seed for trial in trials.values()}))
    return tuple(Configuration(labels[key], tuple(map(cells[key].get, seeds))) for key in cells), seeds


def _changed(file: Path) -> float:
    """When a sweep's design was written: the command that runs now has done that first."""
    return file.stat().st_mtime if file.exists() else 0.0


def _state(row: Mapping[str, Any], begun: float | None) -> str:
    """The state of a trial with this row; `begun` is when the command began that runs now, if one does."""
    if row["status"] in _STATE_OF:
        return _STATE_OF[row["status"]]
    before = begun is not None and (not row["started_at"] or row["started_at"].timestamp() < begun)
    return "waiting" if before else "failed"  # what failed in an earlier run is tried again in this one


def _seconds(row: Mapping[str, Any]) -> float:
    """What a trial took by itself: without the steps that it took over from another."""
    return (row.get("train_seconds") or 0.0) + (row.get("eval_seconds") or 0.0) - (row.get("shared_seconds") or 0.0)


def _left(running: Running) -> float | None:
    """Seconds of training that a trial has before it."""
    if not running.tokens_per_second or not running.step:
        return None
    return (running.steps - running.step) * running.tokens / running.step / running.tokens_per_second


def is_alive(folder: Path, running: Iterable[Running]) -> bool:
    """Whether somebody runs trials in a sweep's folder: one has been heard of just now, or the folder's lock is held.

    The lock tells of this machine, and of others where the file system does; of those, the owner's file tells.
    """
    if alive_elsewhere(folder):
        return True
    if any(time.time() - each.updated_at < FRESH_SECONDS and not each.lost() for each in running):
        return True
    return is_locked(folder)
