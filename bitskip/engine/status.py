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
from typing import Any

from bitskip.errors import UserError
from bitskip.store import filesystem
from bitskip.store.folder import SweepFolder
from bitskip.store.folder_lock import alive_elsewhere, is_locked
from bitskip.store.heartbeat import Running, running_trials
from bitskip.store.ledger import Ledger
from bitskip.store.tables import DONE, holds_rows
from bitskip.sweep.sweep_file import Sweep, load_sweep, with_seeds
from bitskip.trial.config import AXES, TrialConfig, data_label, model_label

STATES = ("done", "running", "waiting", "stalled", "diverged", "failed")
_STATE_OF = {"ok": "done", "stalled": "stalled", "diverged": "diverged"}
FRESH_SECONDS = 30.0
"""A running trial that has told of itself so recently is being run by somebody."""

_TECHNIQUES = ("bits", "first_bits", "hadamard", "dropout", "exit_weight", "phase")
_COLUMNS = (
    "configuration_id", "point", "seed", "model", "tokens", "reason", "ppl", "train_seconds", "eval_seconds",
    "shared_seconds", *_TECHNIQUES,
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
        return sum(self.counts[state] for state in ("done", "stalled", "diverged"))


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
        self.folder, self.given, self.slots, self.planned = folder, design, slots, planned
        self.ledger = Ledger(folder, _COLUMNS)
        self.others: dict[Path, Ledger] = {}
        self.design: Sweep | None = None
        self.trials: tuple[TrialConfig, ...] = ()
        self.labels: dict[str, str] = {}
        self.seed_of: dict[str, int] = {}
        self.positions: dict[str, int] = {}
        self.problem: str | None = None
        self._design_time: int | None = None
        self._siblings_due = 0.0
        self._chosen: frozenset[int] = frozenset()

    def look(self) -> Snapshot:
        """The sweep as its files show it now."""
        self.ledger.refresh()
        running = {each.trial_id: each for each in running_trials(self.folder)}
        alive = is_alive(self.folder, running.values())
        self._follow_design()
        own = self.ledger.rows
        self._follow_choices({*own, *running})
        rows = self._rows_elsewhere({trial.trial_id for trial in self.trials} - own.keys()) | own
        begun = self._begun() if alive else None
        states = {key: _state(row, begun) for key, row in rows.items()}
        # A trial that is there and in its file has been committed a moment ago, or is tried again.
        states |= {key: "running" for key in running if states.get(key) not in ("done", "stalled", "diverged")}
        active = tuple(self._active(running[key], states) for key in running if states[key] == "running")
        configurations, seeds = self._grid(states)
        known = {trial.trial_id for trial in self.trials} or states.keys()
        counts = Counter(states.get(key, "waiting") for key in known)
        total = max(len(known), self._promised())
        ended = [self._ended(row) for key, row in rows.items() if key in known]
        results = [each for each in ended if each.status == "ok" and each.ppl is not None]
        errors = [row for key, row in rows.items() if key in known and row["status"] not in DONE]
        newest = max(errors, key=lambda row: row["started_at"].timestamp() if row["started_at"] else 0.0, default=None)
        done = sum(counts[state] for state in ("done", "stalled", "diverged"))
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
            best=min(results, key=lambda each: each.ppl or 0.0, default=None),
            last_error=self._ended(newest) if newest else None,
            remaining_seconds=self._remaining(rows, states, active, total - len(known)) if alive else None,
            alive=alive,
            complete=done >= total > 0,
            problems=(*([self.problem] if self.problem else []), *self.ledger.problems),
        )

    def _follow_design(self) -> None:
        if self.given is not None:
            if self.design is None:
                self._use(self.given)
            return
        file = SweepFolder(self.folder).design
        changed = file.stat().st_mtime_ns if file.exists() else None
        if changed == self._design_time:
            return
        self._design_time = changed
        try:
            design = load_sweep(file)
            ran = design.ran(self.ledger.rows.keys()) if design.count and not design.adaptive else []
            self._use(design.given(ran) if ran else design)
            self.problem = None
        except UserError as error:
            self.design, self.trials, self.problem = None, (), f"{error}; shown without the design"

    def _use(self, design: Sweep) -> None:
        self.design, self._chosen = design, frozenset()
        self.positions = {}
        if design.adaptive:
            for at, configuration in enumerate(design.grid.configurations):
                for trial in with_seeds([configuration], design.seeds):
                    self.positions[trial.trial_id] = at
        self._show(design.trials)

    def _show(self, trials: tuple[TrialConfig, ...]) -> None:
        assert self.design is not None
        self.trials = trials
        self.labels = {trial.trial_id: configuration_label(trial, self.design) for trial in trials}
        self.seed_of = {trial.trial_id: trial.seed for trial in trials}

    def _follow_choices(self, seen: Collection[str]) -> None:
        """An adaptive design has the trials that it has begun."""
        if self.design is None or not self.design.adaptive:
            return
        chosen = frozenset(self.positions[key] for key in seen if key in self.positions)
        if chosen - self._chosen:
            self._chosen |= chosen
            self._show(self.design.with_chosen(sorted(self._chosen)).trials)

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
            self._siblings_due = time.monotonic() + 10.0
            for folder in filesystem.folders_in(here.parent):
                if folder != here and folder not in self.others and holds_rows(folder):
                    self.others[folder] = Ledger(folder, _COLUMNS)
        found: dict[str, dict[str, Any]] = {}
        for ledger in self.others.values():
            ledger.refresh()
            found |= {key: row for key in wanted if (row := ledger.rows.get(key)) and row["status"] in DONE}
        return found

    def _begun(self) -> float:
        """When the command that runs now began: it writes the design first."""
        file = SweepFolder(self.folder).design
        return file.stat().st_mtime if file.exists() else 0.0

    def _active(self, running: Running, states: Mapping[str, str]) -> Active:
        label = self.labels.get(running.trial_id) or running.point or running.trial_id[:8]
        silent = max(0.0, time.time() - running.updated_at)
        return Active(label, self.seed_of.get(running.trial_id), running, silent, running.lost())

    def _ended(self, row: Mapping[str, Any]) -> Ended:
        what = f"{self.labels.get(row['trial_id']) or _row_label(row)}, seed {row['seed']}"
        return Ended(row["trial_id"], what, row["status"], row["reason"], row["ppl"], _seconds(row))

    def _grid(self, states: Mapping[str, str]) -> tuple[tuple[Configuration, ...], tuple[int, ...]]:
        """Configurations in the design's order, or as the ledger has them where there is no design."""
        cells: dict[str, dict[int, str]] = {}
        labels: dict[str, str] = {}
        for trial in self.trials:
            key = trial.configuration_id
            labels.setdefault(key, self.labels[trial.trial_id])
            cells.setdefault(key, {})[trial.seed] = states.get(trial.trial_id, "waiting")
        if not self.trials:
            for row in self.ledger.rows.values():
                labels.setdefault(row["configuration_id"], _row_label(row))
                cells.setdefault(row["configuration_id"], {})[row["seed"]] = states[row["trial_id"]]
        seeds = tuple(sorted({seed for states_of in cells.values() for seed in states_of}))
        rows = tuple(Configuration(labels[key], tuple(map(found.get, seeds))) for key, found in cells.items())
        return rows, seeds

    def _remaining(
        self,
        rows: Mapping[str, Mapping[str, Any]],
        states: Mapping[str, str],
        active: Sequence[Active],
        unchosen: int,
    ) -> float | None:
        """Seconds until all trials have ended: what trials of the same model and budget took, over the slots."""
        took: dict[tuple[str, int], list[float]] = defaultdict(list)
        for row in rows.values():
            if row["status"] in DONE and row["train_seconds"] is not None:
                took[row["model"], row["tokens"]].append(_seconds(row))
        # Trials of a pack train together: their worker is free when the last of them has ended.
        workers: dict[tuple[str, int], list[Running]] = defaultdict(list)
        for each in active:
            workers[each.running.host, each.running.pid].append(each.running)
        running = [
            max(left) for of in workers.values() if (left := [s for each in of if (s := _left(each)) is not None])
        ]
        per_token = [fmean(times) / tokens for (_, tokens), times in took.items()]
        if not per_token:
            per_token = [
                1 / rate for of in workers.values() if (rate := sum(each.tokens_per_second or 0 for each in of))
            ]
        if not per_token:
            return None
        waiting = [
            trial
            for trial in self.trials
            if states.get(trial.trial_id, "waiting") == "waiting"
            and (self.planned is None or trial.trial_id in self.planned)
        ]
        known = {key: fmean(times) for key, times in took.items()}
        needed = [
            known.get((model_label(trial.model), trial.training.tokens)) or fmean(per_token) * trial.training.tokens
            for trial in waiting
        ]
        if self.planned is None:
            needed += [fmean(needed or [fmean(times) for times in took.values()] or [0.0])] * unchosen
        slots = self.slots or max(1, len(workers))
        return max([(sum(needed) + sum(running)) / slots, *running])


def _state(row: Mapping[str, Any], begun: float | None) -> str:
    if row["status"] in _STATE_OF:
        return _STATE_OF[row["status"]]
    before = begun is not None and (not row["started_at"] or row["started_at"].timestamp() < begun)
    return "waiting" if before else "failed"  # what failed in an earlier run is tried again in this one


def _seconds(row: Mapping[str, Any]) -> float:
    """What a trial took by itself: without the steps that it took over from another."""
    return (row["train_seconds"] or 0.0) + (row["eval_seconds"] or 0.0) - (row["shared_seconds"] or 0.0)


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


def watched_folders(path: Path) -> list[Path]:
    """The sweep folders at or right below a path, those that have no result yet included.

    Raises UserError if there is none.
    """

    def holds_a_sweep(folder: Path) -> bool:
        here = SweepFolder(folder).design.exists() or SweepFolder(folder).heartbeats.exists()
        return here or holds_rows(folder)

    filesystem.fetch_designs(path)
    if path.is_file():
        raise UserError(f"{path}: is a file, not a results folder")
    if not path.is_dir() and not filesystem.is_folder(path):
        message = "no such folder; run `bitskip sweep` first or name a results folder"
        raise UserError(f"{filesystem.shown(path)}: {message}")
    inside = {*filesystem.folders_in(path), *(path.iterdir() if path.is_dir() else ())}
    found = [path] if holds_a_sweep(path) else sorted(child for child in inside if holds_a_sweep(child))
    if not found:
        raise UserError(f"{filesystem.shown(path)}: no sweep in it or one level below; run `bitskip sweep` first")
    return found


def configuration_label(trial: TrialConfig, sweep: Sweep) -> str:
    """The point's name, or the techniques that are on and what else the sweep varies."""
    named = sweep.point_of(trial)
    if named:
        return named
    words = technique_words({name: AXES[name].read(trial) for name in _TECHNIQUES})
    labels = {"model": model_label(trial.model), "data": data_label(trial.data)}
    for axis in sweep.grid.axes:
        if axis in labels or (axis in AXES and axis not in _TECHNIQUES and AXES[axis].group != "artefacts"):
            value = labels[axis] if axis in labels else AXES[axis].read(trial)
            words.append(f"{axis} {value:g}" if isinstance(value, float) else f"{axis} {value}")
    return ", ".join(words)


def technique_words(values: Mapping[str, Any]) -> list[str]:
    """What is on, of the axes by which a configuration is known at a glance."""
    bits, first = values["bits"], values["first_bits"]
    words = [f"{first} then {bits} bit" if first else f"{bits} bit"]
    words += [values["hadamard"]] * (values["hadamard"] != "none")
    words += [f"dropout {values['dropout']}"] * (values["dropout"] != "none")
    words += [f"exits {values['exit_weight']:g}"] * (values["exit_weight"] > 0)
    return [*words, f"phase {values['phase']}"]


def _row_label(row: Mapping[str, Any]) -> str:
    return row["point"] or ", ".join(technique_words(row))
