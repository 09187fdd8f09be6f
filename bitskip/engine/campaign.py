"""A sweep from its first plan to its last trial, batch after batch where the design learns from its results."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bitskip.engine.executors import Executor
from bitskip.engine.runner import FAILED, Plan, failed_rows, plan_sweep, run_sweep
from bitskip.engine.scheduler import Listener
from bitskip.errors import UserError
from bitskip.sweep.designs import DESIGNS
from bitskip.sweep.sweep_file import Sweep


@dataclass(frozen=True)
class Limits:
    """What to run of a design now. `deadline` in seconds of `time.monotonic`; `retry` are statuses (`plan_sweep`)."""

    max_trials: int | None = None
    deadline: float | None = None
    retry: frozenset[str] | None = None


@dataclass(frozen=True)
class Ending:
    """How a run ended. `plan` is the last batch's; `unfinished` trials were not started, for the reason `why`.

    `failed` were and have no result; `held` have failed before and were not asked for; `stopped` says why the sweep
    ended early, where something was wrong.
    """

    plan: Plan
    failed: int
    unfinished: int
    why: str | None
    stopped: str | None


def next_plan(design: Sweep, results: Path, limits: Limits, started: int = 0) -> Plan:
    """What there is to run now, after so many trials of this run."""
    left = None if limits.max_trials is None else limits.max_trials - started
    return plan_sweep(design, results, DESIGNS[design.design_name].next_batch, left, limits.retry)


def run_campaign(
    design: Sweep,
    results: Path,
    limits: Limits,
    executor: Executor,
    announce: Callable[[Plan], None],
    opened: Callable[[Plan], AbstractContextManager[Listener]],
) -> Ending:
    """Plan, announce and run until nothing is left to run or a limit is reached; one executor runs all batches."""
    started: set[str] = set()
    with contextlib.closing(executor):
        while True:
            plan = next_plan(design, results, limits, len(started))
            announce(plan)
            if not plan.to_run:
                return Ending(plan, 0, 0, None, None)
            with opened(plan) as listener:
                left, stopped = run_sweep(plan, listener, executor, limits.deadline)
            late = {trial.trial_id for trial in left}
            started |= {trial.trial_id for trial in plan.to_run} - late
            failed = len(failed_rows(plan).keys() - late)
            unfinished = len(plan.unfinished) - plan.held - len(plan.to_run) + len(left)
            spent = limits.max_trials is not None and len(started) >= limits.max_trials
            if stopped or failed or late or spent or not plan.more:
                ends = bool(unfinished or plan.more) and not stopped
                why = ("the time budget is spent" if late else "--max-trials is reached") if ends else None
                return Ending(plan, failed, unfinished, why, stopped)


def duration_seconds(text: str) -> float:
    """A duration such as 90s, 15m, 8h, 2d, or seconds; raises UserError for anything else."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        value = float(number) * units[unit]
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UserError(f"--time-budget: '{text}' is no duration; write 90s, 15m, 8h or 2d")
    return value


def limits_from(max_trials: int | None, time_budget: str | None, retry: str | None) -> Limits:
    """What the command's options say. Raises UserError for a duration or a status that does not exist."""
    deadline = None if time_budget is None else time.monotonic() + duration_seconds(time_budget)
    return Limits(max_trials, deadline, None if retry is None else statuses(retry))


def statuses(text: str) -> frozenset[str]:
    """`error,timeout`, one of them, or `none`."""
    chosen: Collection[str] = () if text == "none" else [part.strip() for part in text.split(",")]
    for status in chosen:
        if status not in FAILED:
            raise UserError(f"--retry: '{status}' is not one of {', '.join(FAILED)}, none")
    return frozenset(chosen)
