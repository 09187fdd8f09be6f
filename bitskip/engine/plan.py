"""What there is to run of a design now: its trials minus those that the results folder holds a result of."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bitskip import progress
from bitskip.errors import UserError
from bitskip.store.folder import SweepFolder
from bitskip.store.parquet_files import File
from bitskip.store.schema import FAILED, FINISHED
from bitskip.store.tables import Failure, ledger_of, read_failure
from bitskip.sweep.adaptive import Chooser
from bitskip.sweep.designs import DESIGNS
from bitskip.sweep.resources import check_devices, local_slots
from bitskip.sweep.sweep_file import Sweep, no_ladder
from bitskip.training.shared_prefix import Paths, family_order, shared_prefixes
from bitskip.trial.config import TrialConfig, refuse_elsewhere

FAILURES_ALIKE = 2
"""A trial that has failed so often in the same way is run again only when asked to."""


@dataclass(frozen=True)
class Limits:
    """What to run of a design now. `deadline` in seconds of `time.monotonic`; `retry` are statuses (`plan_sweep`).

    With `ignore_damaged`, trials that a damaged file of results may hold are run again; with `max_rung`, only those of
    so many rungs of the ladder, the cheapest ones.
    """

    max_trials: int | None = None
    deadline: float | None = None
    retry: frozenset[str] | None = None
    ignore_damaged: bool = False
    max_rung: int | None = None

    @classmethod
    def parse(
        cls,
        max_trials: int | None,
        time_budget: str | None,
        retry: str | None,
        ignore_damaged: bool = False,
        max_rung: int | None = None,
    ) -> Limits:
        """What the command's options say. Raises UserError for a duration or a status that does not exist."""
        deadline = None if time_budget is None else time.monotonic() + _duration_seconds(time_budget)
        return cls(max_trials, deadline, None if retry is None else _statuses(retry), ignore_damaged, max_rung)


def _duration_seconds(text: str) -> float:
    """A duration such as 90s, 15m, 8h, 2d, or seconds."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(number) * units[unit]) < float("inf"):
            return value
    raise UserError(f"--time-budget: '{text}' is no duration; write 90s, 15m, 8h or 2d")


def _statuses(text: str) -> frozenset[str]:
    """`error,timeout`, one of them, or `none`."""
    chosen = [] if text == "none" else [part.strip() for part in text.split(",")]
    for status in chosen:
        if status not in FAILED:
            raise UserError(f"--retry: '{status}' is not one of {', '.join(FAILED)}, none")
    return frozenset(chosen)


@dataclass(frozen=True)
class Plan:
    """What a sweep will run: `to_run` is the design minus the results already there, failed attempts included again.

    `unfinished` are all trials of the design without a result, of which `to_run` may be a part; `prefixes` says what
    they share with others. `more` says that an adaptive design chooses further trials once these have results.
    `failures` are the last attempts of those that failed before; `held` counts the failed ones that are not to be run
    again unasked, `gone` the results of this sweep that its design has no longer. `damaged` are files of results that
    cannot be read, `withheld` counts the trials that they may hold, which are not run unasked, `given_up` are those
    files of this sweep whose trials are run all the same.
    """

    sweep: Sweep
    folder: Path
    to_run: tuple[TrialConfig, ...]
    done: int
    retried: int
    unfinished: tuple[TrialConfig, ...] = ()
    prefixes: Paths = field(default_factory=dict)
    more: bool = False
    failures: Mapping[str, Failure] = field(default_factory=dict)
    held: int = 0
    gone: int = 0
    damaged: tuple[File, ...] = ()
    withheld: int = 0
    given_up: tuple[File, ...] = ()

    @property
    def new(self) -> int:
        """Trials of the design that have never been tried."""
        return len(self.unfinished) - len(self.failures)

    @property
    def prefix_folder(self) -> Path:
        return SweepFolder(self.folder).prefixes


def plan_sweep(
    sweep: Sweep,
    results: Path,
    choose: Chooser | None = None,
    max_trials: int | None = None,
    retry: Collection[str] | None = None,
    ignore_damaged: bool = False,
    max_rung: int | None = None,
) -> Plan:
    """Compare the design with the ledger: trials with a result anywhere below `results` are not run again.

    `choose` picks the next configurations of an adaptive design, `max_trials` is how many trials to run at most,
    `max_rung` at how many rungs of the ladder.
    Failed trials come last; with `retry`, all with these statuses and no others, else those that have not failed alike
    `FAILURES_ALIKE` times. What a damaged file may hold is run only with `ignore_damaged`.
    Raises UserError if the design needs a `choose` and has none, or a ladder and has none.
    """
    if max_rung is not None and sweep.ladder is None:
        raise UserError(no_ladder(max_rung, sweep))
    ledger, damaged = ledger_of(results)
    finished = {trial_id for trial_id, (status, _) in ledger.items() if status in FINISHED}
    more = False
    if sweep.count:
        ran = sweep.ran(finished)
        if sweep.adaptive:
            sweep, more = _next_batch(sweep, results, ran, choose)
        elif ran:
            sweep = sweep.given(ran)
    prefixes = shared_prefixes(sweep.trials) if sweep.share_prefixes else {}
    open_trials = [trial for trial in sweep.trials if trial.trial_id not in finished]
    done = len(sweep.trials) - len(open_trials)
    doubtful = _doubtful([trial.trial_id for trial in open_trials if trial.trial_id not in ledger], damaged)
    if not ignore_damaged:
        open_trials = [trial for trial in open_trials if trial.trial_id not in doubtful]
    failures = {
        trial.trial_id: read_failure(row[1], trial.trial_id) or Failure(row[0], "", 1)
        for trial in open_trials
        if (row := ledger.get(trial.trial_id))
    }

    def again(failure: Failure) -> bool:
        return failure.count < FAILURES_ALIKE if retry is None else failure.status in retry

    fresh = family_order([trial for trial in open_trials if trial.trial_id not in failures], prefixes)
    failed = family_order([trial for trial in open_trials if trial.trial_id in failures], prefixes)
    retried = [trial for trial in failed if again(failures[trial.trial_id])]
    runnable = [*fresh, *retried]
    if sweep.ladder and max_rung is not None:
        runnable = sweep.ladder.first(max_rung, runnable)
    to_run = tuple(runnable[:max_trials])
    folder = results / sweep.name
    wanted = {trial.trial_id for trial in sweep.trials}
    return Plan(
        sweep=sweep,
        folder=folder,
        to_run=to_run,
        done=done,
        retried=sum(trial.trial_id in failures for trial in to_run),
        unfinished=(*fresh, *failed),
        prefixes=prefixes,
        more=more,
        failures=failures,
        held=len(failed) - len(retried),
        gone=sum(home == folder and trial_id not in wanted for trial_id, (_, home) in ledger.items()),
        damaged=tuple(damaged),
        withheld=0 if ignore_damaged else len(doubtful),
        given_up=tuple(file for file in damaged if ignore_damaged and doubtful and file.folder == folder),
    )


def _doubtful(trial_ids: Collection[str], damaged: Collection[File]) -> set[str]:
    """Which of the trials without a row the damaged files may hold a result of."""
    if any(file.may_hold is None for file in damaged):
        return set(trial_ids)
    return set(trial_ids) & {trial_id for file in damaged for trial_id in file.may_hold or ()}


def _next_batch(sweep: Sweep, results: Path, ran: list[int], choose: Chooser | None) -> tuple[Sweep, bool]:
    """The sweep with the trials of what has run and of the next batch, and whether others follow."""
    begun = [path.stem for path in SweepFolder(results / sweep.name).checkpoints.glob("[!.]*")]
    ran = [*ran, *(at for at in sweep.ran(begun) if at not in set(ran))]  # go on with what was interrupted
    wanted = min(sweep.count, len(sweep.grid.configurations)) - len(ran)
    size = min(max(0, wanted), -(-local_slots(sweep.resources) // len(sweep.seeds)))
    if size and choose is None:
        raise UserError(f"design: {sweep.design_name} has nothing here that chooses its next configurations")
    batch = choose(sweep, results, ran, size) if choose and size else []
    return sweep.with_chosen([*ran, *batch]), wanted > len(batch) > 0


def next_plan(design: Sweep, results: Path, limits: Limits, started: int = 0) -> Plan:
    """What there is to run now, after so many trials of this run."""
    left = None if limits.max_trials is None else limits.max_trials - started
    chooser = DESIGNS[design.design_name].next_batch
    with progress.stage(f"planning {design.name}"):
        plan = plan_sweep(design, results, chooser, left, limits.retry, limits.ignore_damaged, limits.max_rung)
        if design.program is None:
            refuse_elsewhere(plan.to_run)
            check_devices(design.resources, plan.to_run)
        return plan
