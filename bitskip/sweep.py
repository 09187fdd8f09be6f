"""A design space's trials through Ray Tune into the results. The only module that imports ray.

Ray only dispatches: the results folder is the ledger, written by the workers, and a resumed sweep is the design minus
what the ledger holds. Settings follow measurements on Ray 2.60; each says what goes wrong without it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from bitskip.adaptive import Chooser
from bitskip.config import TrialConfig
from bitskip.data import load_data
from bitskip.errors import UserError
from bitskip.prefix import Paths, PrefixQueue, family_order, shared_prefixes
from bitskip.results import DONE, committed, compact
from bitskip.space import Resources, Sweep
from bitskip.storage import publish_design

os.environ.update(
    RAY_AIR_NEW_OUTPUT="0",  # together with verbose=0: no tables of Tune's own
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # no CSV, JSON and TensorBoard copies of what Parquet holds
    RAY_CHDIR_TO_TRIAL_DIR="0",  # relative paths keep their meaning in workers
    RAY_USAGE_STATS_ENABLED="0",
    RAY_memory_monitor_refresh_ms="0",  # one kill by Ray's monitor would abort the whole sweep
    RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS="0",
    TUNE_DISABLE_SIGINT_HANDLER="1",  # Ctrl-C reaches us as KeyboardInterrupt
)
COMPACT_ABOVE = 200
"""Trials from which a finished sweep's part files are merged: reading thousands of them takes seconds."""

OBJECT_STORE_BYTES = 100 << 20
ADDRESS_PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class Plan:
    """What a sweep will run: `to_run` is the design minus the results already there, failed attempts included again.

    `unfinished` are all trials of the design without a result, of which `to_run` may be a part; `prefixes` says what
    they share with others. `more` says that an adaptive design chooses further trials once these have results.
    """

    sweep: Sweep
    folder: Path
    to_run: tuple[TrialConfig, ...]
    done: int
    retried: int
    unfinished: tuple[TrialConfig, ...] = ()
    prefixes: Paths = field(default_factory=dict)
    more: bool = False

    @property
    def prefix_folder(self) -> Path:
        return self.folder / "prefixes"

    def queue(self) -> PrefixQueue:
        """The trials to run in order, each once the prefix that it starts from is there."""
        return PrefixQueue(self.to_run, self.unfinished, self.prefixes, self.prefix_folder)


class Listener(Protocol):
    """What a sweep reports while it runs; calls come from the driver's thread."""

    def preparing(self, what: str) -> None: ...

    def started(self, trial_id: str) -> None: ...

    def finished(self, row: dict[str, Any]) -> None: ...


def plan_sweep(sweep: Sweep, results: Path, choose: Chooser | None = None, max_trials: int | None = None) -> Plan:
    """Compare the design with the ledger: trials with a result anywhere below `results` are not run again.

    `choose` picks the next configurations of an adaptive design, `max_trials` is how many trials to run at most. Raises
    UserError if the design needs a `choose` and has none.
    """
    ledger = committed(results)
    finished = {trial_id for trial_id, status in ledger.items() if status in DONE}
    more = False
    if sweep.count:
        ran = sweep.ran(finished)
        if sweep.adaptive:
            sweep, more = _next_batch(sweep, results, ran, choose)
        elif ran:
            sweep = sweep.given(ran)
    prefixes = shared_prefixes(sweep.trials) if sweep.share_prefixes else {}
    unfinished = tuple(family_order([t for t in sweep.trials if t.trial_id not in finished], prefixes))
    to_run = unfinished[:max_trials]
    retried = sum(trial.trial_id in ledger for trial in to_run)
    done = len(sweep.trials) - len(unfinished)
    return Plan(sweep, results / sweep.name, to_run, done, retried, unfinished, prefixes, more)


def _next_batch(sweep: Sweep, results: Path, ran: list[int], choose: Chooser | None) -> tuple[Sweep, bool]:
    """The sweep with the trials of what has run and of the next batch, and whether others follow."""
    begun = [path.stem for path in (results / sweep.name / "checkpoints").glob("*.safetensors")]
    ran = [*ran, *(at for at in sweep.ran(begun) if at not in set(ran))]  # go on with what was interrupted
    wanted = min(sweep.count, len(sweep.grid.configurations)) - len(ran)
    size = min(max(0, wanted), -(-local_slots(sweep.resources) // len(sweep.seeds)))
    if size and choose is None:
        raise UserError(f"design: {sweep.design_name} has nothing here that chooses its next configurations")
    batch = choose(sweep, results, ran, size) if choose and size else []
    return sweep.with_chosen([*ran, *batch]), wanted > len(batch) > 0


def local_slots(resources: Resources) -> int:
    """Trials that run at once on this machine: as many as its cores, and its GPUs if they use any, can take."""
    counts = [local_cores() / resources.cpus]
    if resources.gpus:
        counts.append(local_gpus() / resources.gpus)
    return max(1, int(min(counts)))


def local_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_gpus() -> int:
    """GPUs that this process may use, counted without torch, whose import takes seconds."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return sum(name.strip() not in ("", "-1") for name in visible.split(","))
    return _driver_gpus()


@functools.cache
def _driver_gpus() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def run_sweep(
    plan: Plan, listener: Listener, address: str | None = None, deadline: float | None = None
) -> list[TrialConfig]:
    """Run the plan's trials; every finished trial is committed by its worker, whatever happens to this process.

    From `deadline` on, in seconds of `time.monotonic`, no trial is started; returns those that were not. Raises
    UserError if the folder is in use, the address does not answer or the resources are not there.
    """
    if not plan.to_run or (deadline is not None and time.monotonic() >= deadline):
        return list(plan.to_run)
    if address is None and plan.sweep.resources.address is None:
        here = {"CPU": local_cores(), "GPU": plan.sweep.resources.gpus}  # GPUs are counted by Ray
        _slots(here, plan.sweep.resources)
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{plan.folder}: cannot create the results folder: {error.strerror}") from None
    with _only_writer(plan.folder):
        _store_design(plan)
        _prepare_data(plan, listener)
        with _ray(plan.sweep.resources, address or plan.sweep.resources.address) as slots:
            left = _fit(plan, listener, slots, deadline)
        if len(plan.sweep.trials) > COMPACT_ABOVE:
            compact(plan.folder)
    return left


@contextlib.contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder}: another `bitskip sweep` is writing here; wait for it or change the name") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot write here: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def _store_design(plan: Plan) -> None:
    """The merged sweep file beside its results, for whoever reads them later."""
    temporary = plan.folder / ".sweep.yaml"
    with temporary.open("w") as sink:
        YAML().dump(dict(plan.sweep.resolved), sink)
    os.replace(temporary, plan.folder / "sweep.yaml")
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


@contextlib.contextmanager
def _ray(resources: Resources, address: str | None) -> Iterator[int]:
    """A Ray runtime for the trials, local unless an address is given; yields how many trials run at once."""
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(local_slots(resources) + 1)  # else short trials run one at a time
    import ray

    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    if address is None or address == "local":
        # Without "local", a stale RAY_ADDRESS is waited for; workers would run at nice 15.
        ray.init(
            address="local",
            num_cpus=local_cores(),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _system_config={"worker_niceness": 0},
            **quiet,
        )
    else:
        _probe(address)
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, SystemExit) as error:
            raise UserError(f"--address {address}: no Ray cluster answers there ({error})") from None
    try:
        yield _slots(ray.cluster_resources(), resources)
    finally:
        ray.shutdown()


def _probe(address: str) -> None:
    """A closed port is known at once; Ray itself would wait for minutes."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit():
        return
    try:
        socket.create_connection((host.rpartition("/")[2], int(port)), ADDRESS_PROBE_SECONDS).close()
    except OSError as error:
        raise UserError(f"--address {address}: nothing answers there ({error}); is the cluster up?") from None


def _slots(available: dict[str, float], wanted: Resources) -> int:
    counts = []
    for name, amount in (("CPU", wanted.cpus), ("GPU", wanted.gpus)):
        there = available.get(name, 0.0)
        if amount > there:
            raise UserError(
                f"resources: a trial asks for {amount:g} {name}, but only {there:g} are there; "
                f"set resources.{name.lower()}s={there:g} or less"
            )
        if amount:
            counts.append(int(there / amount))
    return max(1, min(counts))


def _fit(plan: Plan, listener: Listener, slots: int, deadline: float | None) -> list[TrialConfig]:
    from ray import tune
    from ray.tune.search import Searcher

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    sweep, resources = plan.sweep, plan.sweep.resources
    queue = plan.queue()

    class NotRestored:
        """Tune pickles its parts for a restore that never happens here; a listener need not be picklable for it."""

        def __reduce__(self) -> tuple[type, tuple[()]]:
            return object, ()

    class Queue(NotRestored, Searcher):  # type: ignore[misc]
        """The plan's trials in order."""

        def __init__(self) -> None:
            super().__init__(metric="done", mode="max")

        def suggest(self, trial_id: str) -> Any:
            if not queue.waiting or (deadline is not None and time.monotonic() >= deadline):
                return Searcher.FINISHED
            ready = queue.next()
            if ready is None:
                return None  # asked again later
            trial, prefixes = ready
            return {"trial": trial, "key": trial.trial_id, "point": sweep.point_of(trial), "prefixes": prefixes}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None: ...

        def save(self, checkpoint_path: str) -> None: ...

        def restore(self, checkpoint_path: str) -> None: ...

    class Reporter(NotRestored, tune.Callback):  # type: ignore[misc]
        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            listener.started(trial.config["key"])

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            row = trial.last_result["row"]
            queue.finished(row["trial_id"], done=row["status"] in DONE)
            listener.finished(row)

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            queue.finished(trial.config["key"], done=False)
            lost = {"trial_id": trial.config["key"], "status": "error", "reason": "its worker process died"}
            listener.finished(lost)

    worker = tune.with_resources(_worker_class(plan), {"cpu": resources.cpus, "gpu": resources.gpus})
    scratch = tempfile.mkdtemp(prefix="bitskip-")
    try:
        tune.Tuner(
            worker,
            param_space={},
            tune_config=tune.TuneConfig(
                search_alg=Queue(),
                num_samples=-1,
                max_concurrent_trials=slots,
                reuse_actors=True,  # a fresh process per trial costs seconds
                trial_dirname_creator=lambda trial: trial.config["key"],
            ),
            run_config=tune.RunConfig(name="sweep", storage_path=scratch, verbose=0, callbacks=[Reporter()]),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return queue.waiting


def _worker_class(plan: Plan) -> type:
    """A Trainable class, not a function: its step runs in the main thread, where a time limit can interrupt."""
    from ray import tune

    folder, name, resources = plan.folder.absolute(), plan.sweep.name, plan.sweep.resources
    save_weights = plan.sweep.save_weights

    class Worker(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.given = new_config
            return True

        def step(self) -> dict[str, Any]:
            from bitskip.record import Job, run_job

            job = Job(
                self.given["trial"],
                folder,
                name,
                self.given["point"],
                device="cuda" if resources.gpus else "cpu",
                threads=max(1, int(resources.cpus)),
                time_limit=resources.time_limit,
                checkpoint_seconds=resources.checkpoint_seconds,
                save_weights=save_weights,
                prefixes=self.given["prefixes"],
            )
            row = run_job(job)
            shown = ("trial_id", "status", "reason", "loss", "ppl", "train_seconds", "eval_seconds")
            return {"done": True, "row": {key: row.get(key) for key in shown}}

        def save_checkpoint(self, checkpoint_dir: str) -> None: ...

        def load_checkpoint(self, checkpoint: Any) -> None: ...

    return Worker


def failed_rows(plan: Plan) -> dict[str, str]:
    """trial_id to status of the plan's trials that have no result after a run."""
    ledger = committed(plan.folder)
    wanted = [trial.trial_id for trial in plan.to_run]
    return {key: ledger.get(key, "not run") for key in wanted if ledger.get(key) not in DONE}
