"""A design space's trials through an executor into the results.

The results folder is the ledger, written by the workers; a resumed sweep is the design minus what the ledger holds.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import shutil
import signal
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bitskip.atomic_file import write_atomically
from bitskip.data import load_data
from bitskip.engine.executors import Executor, open_executor
from bitskip.engine.scheduler import Dispatch, Listener, Setting
from bitskip.errors import Terminated, UserError
from bitskip.store.compaction import compact, compact_if_due
from bitskip.store.filesystem import publish_design
from bitskip.store.folder import SweepFolder
from bitskip.store.folder_lock import only_writer
from bitskip.store.heartbeat import Running, running_trials
from bitskip.store.tables import DONE, Failure, committed_anywhere, read_failure
from bitskip.sweep.adaptive import Chooser
from bitskip.sweep.resources import local_slots
from bitskip.sweep.sweep_file import Sweep
from bitskip.training.shared_prefix import Paths, PrefixQueue, family_order, shared_prefixes
from bitskip.trial.config import TrialConfig

COMPACT_ABOVE = 200
"""Trials from which a finished sweep's part files are merged: reading thousands of them takes seconds."""

FAILED = ("error", "timeout")
FAILURES_ALIKE = 2
"""A trial that has failed so often in the same way is run again only when asked to."""

ORPHAN_SECONDS = 10.0
"""So long may a worker outlive its sweep: Ray ends it, if it does not end by itself."""

BARREN_LAUNCHES = 3
"""So often in a row may an executor break down without any trial having ended."""


@dataclass(frozen=True)
class Plan:
    """What a sweep will run: `to_run` is the design minus the results already there, failed attempts included again.

    `unfinished` are all trials of the design without a result, of which `to_run` may be a part; `prefixes` says what
    they share with others. `more` says that an adaptive design chooses further trials once these have results.
    `failures` are the last attempts of those that failed before; `held` counts the failed ones that are not to be run
    again unasked, `gone` the results of this sweep that its design has no longer.
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

    @property
    def new(self) -> int:
        """Trials of the design that have never been tried."""
        return len(self.unfinished) - len(self.failures)

    @property
    def prefix_folder(self) -> Path:
        return SweepFolder(self.folder).prefixes

    def queue(self) -> PrefixQueue:
        """The trials to run in order, each once the prefix that it starts from is there."""
        return PrefixQueue(self.to_run, self.unfinished, self.prefixes, self.prefix_folder)


def plan_sweep(
    sweep: Sweep,
    results: Path,
    choose: Chooser | None = None,
    max_trials: int | None = None,
    retry: Collection[str] | None = None,
) -> Plan:
    """Compare the design with the ledger: trials with a result anywhere below `results` are not run again.

    `choose` picks the next configurations of an adaptive design, `max_trials` is how many trials to run at most.
    Failed trials come last; with `retry`, all with these statuses and no others, else those that have not failed alike
    `FAILURES_ALIKE` times. Raises UserError if the design needs a `choose` and has none.
    """
    ledger = committed_anywhere(results)
    finished = {trial_id for trial_id, (status, _) in ledger.items() if status in DONE}
    more = False
    if sweep.count:
        ran = sweep.ran(finished)
        if sweep.adaptive:
            sweep, more = _next_batch(sweep, results, ran, choose)
        elif ran:
            sweep = sweep.given(ran)
    prefixes = shared_prefixes(sweep.trials) if sweep.share_prefixes else {}
    open_trials = [trial for trial in sweep.trials if trial.trial_id not in finished]
    failures = {
        trial.trial_id: read_failure(ledger[trial.trial_id][1], trial.trial_id)
        or Failure(ledger[trial.trial_id][0], "", 1)
        for trial in open_trials
        if trial.trial_id in ledger
    }

    def again(failure: Failure) -> bool:
        return failure.count < FAILURES_ALIKE if retry is None else failure.status in retry

    fresh = family_order([trial for trial in open_trials if trial.trial_id not in failures], prefixes)
    failed = family_order([trial for trial in open_trials if trial.trial_id in failures], prefixes)
    retried = [trial for trial in failed if again(failures[trial.trial_id])]
    to_run = tuple([*fresh, *retried][:max_trials])
    folder = results / sweep.name
    wanted = {trial.trial_id for trial in sweep.trials}
    return Plan(
        sweep=sweep,
        folder=folder,
        to_run=to_run,
        done=len(sweep.trials) - len(open_trials),
        retried=sum(trial.trial_id in failures for trial in to_run),
        unfinished=(*fresh, *failed),
        prefixes=prefixes,
        more=more,
        failures=failures,
        held=len(failed) - len(retried),
        gone=sum(home == folder and trial_id not in wanted for trial_id, (_, home) in ledger.items()),
    )


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


def run_sweep(
    plan: Plan, listener: Listener, executor: Executor | None = None, deadline: float | None = None
) -> tuple[list[TrialConfig], str | None]:
    """Run the plan's trials; every finished trial is committed by its worker, whatever happens to this process.

    From `deadline` on, in seconds of `time.monotonic`, no trial is started; returns those that were not, and why the
    sweep was stopped before all had their turn, or None. Without an `executor`, one of Ray on this machine is started
    and closed. Raises UserError if the folder is in use, the address does not answer or the resources are not there,
    and Terminated on SIGTERM.
    """
    if not plan.to_run or (deadline is not None and time.monotonic() >= deadline):
        return list(plan.to_run), None
    if executor is None:
        with contextlib.closing(open_executor("ray", plan.sweep.resources.address)) as executor:
            return run_sweep(plan, listener, executor, deadline)
    with _terminable():
        executor.check(plan.sweep.resources)
        try:
            plan.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{plan.folder}: cannot create the results folder: {error.strerror}") from None
        with only_writer(plan.folder) as touch:

            def beat() -> None:
                touch()
                compact_if_due(plan.folder)

            _wait_for_orphans(plan.folder)
            _sweep_up(plan.folder)
            _store_design(plan)
            _prepare_data(plan, listener)
            queue = plan.queue()
            sweep = plan.sweep
            setting = Setting(plan.folder.absolute(), sweep.name, sweep.resources, sweep.save_weights, sweep.tuned)
            dispatch = Dispatch(setting, queue, listener, plan.sweep.point_of, plan.failures, deadline, beat)
            dispatch.recognise()
            _run_all(dispatch, setting, executor)
            if len(plan.sweep.trials) > COMPACT_ABOVE:
                compact(plan.folder)
    return queue.waiting, dispatch.stopped


def _run_all(dispatch: Dispatch, setting: Setting, executor: Executor) -> None:
    """Until all trials have ended, whatever happens to the executor: a new one goes on from the ledger."""
    barren = 0
    while not dispatch.over:
        before = len(dispatch.endings)
        why = "it came back before all trials had ended"
        try:
            executor.run(dispatch, setting)
        except UserError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1]}"
        dispatch.abandon()
        if dispatch.over:
            break
        barren = barren + 1 if len(dispatch.endings) == before else 0
        executor.close()
        if barren == BARREN_LAUNCHES:
            dispatch.stop(f"what runs the trials broke down {barren} times in a row ({why}); try --executor inline")
        else:
            dispatch.note(f"what runs the trials broke down ({why}); it is started again")


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
    """Token streams are built once, here, and only mapped by the workers."""
    needs: dict[Any, tuple[int, int]] = {}
    for trial in plan.to_run:
        train, held_out = needs.get(trial.data, (0, 0))
        wanted = max(trial.training.eval_tokens, trial.training.curve_tokens)
        needs[trial.data] = max(train, trial.training.tokens), max(held_out, wanted)
    for data, (train, held_out) in needs.items():
        load_data(data, train, held_out, report=listener.preparing)


def failed_rows(plan: Plan) -> dict[str, str]:
    """trial_id to status of the plan's trials that have no result after a run."""
    ledger = {trial_id: status for trial_id, (status, _) in committed_anywhere(plan.folder.parent).items()}
    wanted = [trial.trial_id for trial in plan.to_run]
    return {key: ledger.get(key, "not run") for key in wanted if ledger.get(key) not in DONE}
