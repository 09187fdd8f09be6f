"""A design space's trials through an executor into the results, batch after batch where the design learns from them.

The results folder is the ledger, written by the workers; a resumed sweep is the design minus what the ledger holds.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from bitskip import progress
from bitskip.atomic_file import write_atomically
from bitskip.data import load_data, training_tokens
from bitskip.engine.executors import Executor
from bitskip.engine.executors.inline import Inline
from bitskip.engine.job import Setting
from bitskip.engine.plan import Limits, Plan, next_plan
from bitskip.engine.program_worker import check_program
from bitskip.engine.scheduler import Listener, Scheduler
from bitskip.errors import Terminated, UserError
from bitskip.store.compaction import compact, compact_if_due
from bitskip.store.filesystem import publish_design
from bitskip.store.folder import SweepFolder
from bitskip.store.folder_lock import only_writer
from bitskip.store.heartbeat import Running, running_trials
from bitskip.store.parquet_files import set_aside
from bitskip.store.schema import FINISHED
from bitskip.store.tables import committed_anywhere
from bitskip.sweep.sweep_file import Sweep
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.training.shared_prefix import PrefixQueue
from bitskip.trial.config import DataConfig, TrialConfig

COMPACT_ABOVE = 200
"""Trials from which a finished sweep's part files are merged: reading thousands of them takes seconds."""

ORPHAN_SECONDS = 10.0
"""So long may a worker outlive its sweep: Ray ends it, if it does not end by itself."""

SPENT = "--max-trials is reached"

BARREN_LAUNCHES = 3
"""So often in a row may an executor break down without any trial having ended."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `plan` is the last batch's; `unfinished` trials were not started, for the reason `why`.

    `failed` were and have no result; `stopped` says why the sweep ended early, where something was wrong.
    """

    plan: Plan
    failed: int = 0
    unfinished: int = 0
    why: str | None = None
    stopped: str | None = None


def run_batches(
    design: Sweep,
    results: Path,
    limits: Limits,
    executor: Executor,
    announce: Callable[[Plan], None],
    opened: Callable[[Plan], AbstractContextManager[Listener]],
) -> Outcome:
    """Plan, announce and run until nothing is left to run or a limit is reached; the executor stays open.

    Raises UserError if the folder is in use, the executor's address does not answer or the resources are not there,
    and Terminated on SIGTERM.
    """
    started: set[str] = set()
    while True:
        plan = next_plan(design, results, limits, len(started))
        announce(plan)
        if not plan.to_run:
            return Outcome(plan)
        with opened(plan) as listener:
            left, stopped = _run_batch(plan, listener, executor, limits.deadline)
        begun = {trial.trial_id for trial in plan.to_run} - {trial.trial_id for trial in left}
        started |= begun
        ledger = committed_anywhere(results)
        failed = sum(key not in ledger or ledger[key][0] not in FINISHED for key in begun)
        unfinished = len(plan.unfinished) - plan.held - len(plan.to_run) + len(left)
        spent = limits.max_trials is not None and len(started) >= limits.max_trials
        if stopped or failed or left or spent or not plan.more:
            ends = bool(unfinished or plan.more) and not stopped
            reached = SPENT if spent else "--max-rung is reached"
            why = ("the time budget is spent" if left else reached) if ends else None
            return Outcome(plan, failed, unfinished, why, stopped)


def _run_batch(
    plan: Plan, listener: Listener, executor: Executor, deadline: float | None
) -> tuple[list[TrialConfig], str | None]:
    """Run the plan's trials; every finished trial is committed by its worker, whatever happens to this process.

    From `deadline` on no trial is started; returns those that were not, and why the sweep was stopped before all had
    their turn, or None.
    """
    sweep, folder = plan.sweep, plan.folder
    if deadline is not None and time.monotonic() >= deadline:
        return list(plan.to_run), None
    with _terminable():
        executor.check(sweep.resources)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot create the results folder: {error.strerror}") from None
        with only_writer(folder) as touch:

            def beat() -> None:
                touch()
                compact_if_due(folder)

            _wait_for_orphans(folder)
            _sweep_up(folder)
            for path in set_aside(plan.given_up):
                print(f"bitskip: {path}: kept here, cannot be read; what it held is run again", file=sys.stderr)
            _store_design(plan)
            if sweep.program is not None:
                check_program(sweep.program)
            else:
                _prepare_data(plan, listener)
            queue = PrefixQueue(plan.to_run, plan.unfinished, plan.prefixes, plan.prefix_folder)
            setting = Setting(
                folder.absolute(), sweep.name, sweep.resources, sweep.save_weights, sweep.tuned, sweep.program
            )
            scheduler = Scheduler(setting, queue, listener, sweep.point_of, plan.failures, deadline, beat)
            scheduler.recognise()
            _run_all(scheduler, executor)
            if len(sweep.trials) > COMPACT_ABOVE:
                compact(folder)
    return queue.waiting, scheduler.stopped


def _run_all(scheduler: Scheduler, executor: Executor) -> None:
    """Until all trials have ended, whatever happens to the executor: a new one goes on from the ledger."""
    barren = 0
    while not scheduler.over:
        before = len(scheduler.endings)
        why = "it came back before all trials had ended"
        try:
            executor.run(scheduler)
        except UserError:
            raise
        except OSError as error:
            # Of this machine: a full disk, a path too long for a socket. Trying again is no cure.
            scheduler.abandon()
            if not scheduler.over:
                where = f"; temporary files lie in {tempfile.gettempdir()}"
                scheduler.stop(f"{type(error).__name__}: {error}{where}; mend that and run again")
            break
        except Exception as error:
            why = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1]}"
        scheduler.abandon()
        if scheduler.over:
            break
        barren = barren + 1 if len(scheduler.endings) == before else 0
        executor.close()
        if barren == BARREN_LAUNCHES:
            advice = "" if isinstance(executor, Inline) else "; try --executor inline"
            scheduler.stop(f"what runs the trials broke down {barren} times in a row ({why}){advice}")
        else:
            scheduler.note(f"what runs the trials broke down ({why}); it is started again")


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the sweep as Ctrl-C does."""
    asked = False

    def terminate(*_: object) -> None:
        nonlocal asked
        asked = True
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        if asked:  # while Ray waits in C++, it raises one of its own for whatever a handler raised
            raise Terminated from None
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def _wait_for_orphans(folder: Path) -> None:
    """Workers of a sweep that was just killed live for some seconds more: what they finish need not be run again."""

    def works(each: Running) -> bool:
        return each.host == platform.node() and each.pid != os.getpid() and not each.lost()

    until = time.monotonic() + ORPHAN_SECONDS
    while time.monotonic() < until and any(map(works, running_trials(folder))):
        time.sleep(0.1)


def _sweep_up(folder: Path) -> None:
    """Remove what processes that were killed have left half done; the caller holds the folder's lock.

    A worker on another machine may live for some seconds more: it then fails to rename its file, or puts the same rows
    where the next attempt will put them.
    """
    place = SweepFolder(folder)
    for half in [*place.half_written(), *place.heartbeats.glob("*")]:
        with contextlib.suppress(OSError):
            half.unlink()
    shutil.rmtree(place.ray, ignore_errors=True)


def _store_design(plan: Plan) -> None:
    """The merged sweep file beside its results, for whoever reads them later."""
    text = io.StringIO()
    YAML().dump(dict(plan.sweep.resolved), text)
    try:
        write_atomically(SweepFolder(plan.folder).design, text.getvalue())
    except OSError as error:
        raise UserError(f"{plan.folder}: cannot write here: {error.strerror}") from None
    publish_design(plan.folder)


def _prepare_data(plan: Plan, listener: Listener) -> None:
    """Token streams are built once, here, and only mapped by the workers.

    Raises UserError for a trial that its text does not suit, before any is trained.
    """
    from bitskip.training.held_out import check_text  # with torch

    by_text: dict[DataConfig, list[TrialConfig]] = {}
    for trial in plan.to_run:
        by_text.setdefault(trial.data, []).append(trial)
    with progress.shown(listener.preparing):  # whoever watches the sweep has the terminal
        for data, trials in by_text.items():
            train = max(training_tokens(trial) for trial in trials)
            held_out = max(trial.training.held_out_tokens for trial in trials)
            text = load_data(data, train, held_out, report=listener.preparing)
            alike: dict[object, TrialConfig] = {}
            for trial in trials:
                training, defects = trial.training, trial.of(PublishedDefects)
                cut = training.seq_len, training.documents, training.batch_size, training.tokens, training.eval_tokens
                alike.setdefault((*cut, defects), trial)
            notes = [note for trial in alike.values() for note in check_text(trial, text, listener.preparing)]
            for note in dict.fromkeys(notes):
                listener.preparing(note)
