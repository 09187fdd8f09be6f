"""The search of a setting, round after round, and a sweep that begins with one: one executor and one ledger for all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from bitskip.atomic_file import write_atomically
from bitskip.engine.executors import Executor
from bitskip.engine.plan import Limits, Plan
from bitskip.engine.runner import SPENT, Outcome, run_batches
from bitskip.engine.scheduler import Listener
from bitskip.sweep.search import Found, Search, stored_losses
from bitskip.sweep.sweep_file import Sweep

TUNED_FILE = "tuned.yaml"


@dataclass(frozen=True)
class Run:
    """How trials are run, and who is told: as the arguments of `run_batches`."""

    results: Path
    limits: Limits
    executor: Executor
    announce: Callable[[Plan], None]
    opened: Callable[[Plan], AbstractContextManager[Listener]]

    def batches(self, design: Sweep, limits: Limits) -> Outcome:
        return run_batches(design, self.results, limits, self.executor, self.announce, self.opened)

    def after(self, ran: int) -> Limits:
        """What is left of the limits after so many trials."""
        most = self.limits.max_trials
        return self.limits if most is None else replace(self.limits, max_trials=max(0, most - ran))


def run_design(design: Sweep, run: Run) -> Outcome:
    """Search what the design leaves to a search, then run its trials; raises as `run_batches`."""
    with contextlib.closing(run.executor):
        limits = run.limits
        if design.search and not design.known:
            end, ran = _rounds(design.search, run)
            write_rules(design.search, run.results)
            if end:
                return end
            design, limits = design.search.stored(run.results), run.after(ran)
        end = run.batches(design, limits)
    return replace(end, why=SPENT) if limits.max_trials == 0 and end.plan.unfinished else end


def run_search(search: Search, run: Run) -> Outcome | None:
    """Run a search only: None once it is over. The rules that it has found are written beside its results."""
    with contextlib.closing(run.executor):
        end, _ = _rounds(search, run)
    write_rules(search, run.results)
    return end


def _rounds(search: Search, run: Run) -> tuple[Outcome | None, int]:
    """Rounds until every arm has its optimum, or the one that could not go on; and how many trials were run."""
    ran = 0
    while True:
        found = search.survey(stored_losses(run.results), run.limits.max_rung)
        if not any(each.wanted for each in found):
            return None, ran
        limits = run.after(ran)
        end = run.batches(search.tuning(found), replace(limits, max_rung=None))
        ran += len(end.plan.to_run)
        if end.failed or end.why or end.stopped or not end.plan.to_run:
            why = SPENT if limits.max_trials == 0 else end.why
            return replace(end, plan=replace(end.plan, more=True), why=why), ran


def write_rules(search: Search, results: Path) -> list[Found]:
    """Write the rules that the results know beside those of the search; returns all that it has found."""
    found = search.survey(stored_losses(results, sequences=True))
    if search.rules(found):
        write_atomically(results / search.name / TUNED_FILE, search.text(found))
    return found
