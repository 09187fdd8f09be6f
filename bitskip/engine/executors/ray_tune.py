"""Ray Tune, on this machine or a cluster. The only module that imports ray.

Settings follow measurements on Ray 2.60; each says what goes wrong without it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shutil
import signal
import time
from typing import Any

from bitskip.engine.executors import knock
from bitskip.engine.scheduler import Scheduler
from bitskip.errors import UserError
from bitskip.store.folder import SweepFolder
from bitskip.sweep.resources import Resources, local_cores, slots_on

os.environ.update(
    RAY_AIR_NEW_OUTPUT="0",  # together with verbose=0: no tables of Tune's own
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # no CSV, JSON and TensorBoard copies of what Parquet holds
    RAY_CHDIR_TO_TRIAL_DIR="0",  # relative paths keep their meaning in workers
    RAY_USAGE_STATS_ENABLED="0",
    RAY_memory_monitor_refresh_ms="0",  # one kill by Ray's monitor would abort the whole sweep
    RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS="0",
    TUNE_DISABLE_SIGINT_HANDLER="1",  # Ctrl-C reaches us as KeyboardInterrupt
)

OBJECT_STORE_BYTES = 100 << 20
NODE_CHECK_SECONDS = 5.0


class RayTune:
    """Workers of Ray that stay warm from trial to trial; `address` is that of a running cluster."""

    def __init__(self, address: str | None = None) -> None:
        self.address = None if address == "local" else address
        self.up = False

    def check(self, resources: Resources) -> None:
        if self.address is None:
            _check_sockets()
            slots_on([{"CPU": local_cores(), "GPU": resources.gpus}], resources)  # GPUs are counted by Ray

    def _start(self) -> None:
        if self.up:
            return
        import ray

        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        terminate = signal.getsignal(signal.SIGTERM)  # Ray puts its own there, which prints a stack trace
        self.up = True  # half a start is to be shut down, too
        if self.address is None:
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
            _probe(self.address)
            try:
                ray.init(address=self.address, **quiet)
            except (ConnectionError, ValueError, SystemExit) as error:
                raise UserError(f"--address {self.address}: no Ray cluster answers there ({error})") from None
            except ray.exceptions.AuthenticationError:
                raise UserError(
                    f"--address {self.address}: the cluster asks for a token; set RAY_AUTH_MODE=token here and give "
                    "the head's token as RAY_AUTH_TOKEN or in ~/.ray/auth_token"
                ) from None
        signal.signal(signal.SIGTERM, terminate)

    def run(self, scheduler: Scheduler) -> None:
        self._start()
        slots = slots_on(_alive(), scheduler.setting.resources)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots + 1)  # else short trials run one at a time
        scratch = SweepFolder(scheduler.setting.folder).ray
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            _fit(scheduler, slots, str(scratch), alone=self.address is None)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def close(self) -> None:
        if self.up:
            import ray

            self.up = False
            with contextlib.suppress(Exception):  # of a runtime that is broken already
                ray.shutdown()


SOCKET_BYTES = 107
SOCKET_TAIL = "/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
"""What Ray puts behind the temporary folder, and how long a path to a socket may be in all."""


def _check_sockets() -> None:
    """Raises UserError for a temporary folder in which Ray cannot make its sockets."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if len(os.fsencode(folder + SOCKET_TAIL)) > SOCKET_BYTES:
        raise UserError(f"{folder}: too long for Ray's sockets; set RAY_TMPDIR=/tmp, or use --executor inline")


def _probe(address: str) -> None:
    """A closed port is known at once; Ray itself would wait for minutes."""
    try:
        knock(address)
    except ValueError:
        return  # `auto` and others that are for Ray to resolve
    except OSError as error:
        raise UserError(f"--address {address}: nothing answers there ({error}); is the cluster up?") from None


def _alive() -> list[dict[str, float]]:
    """What each living machine of the cluster has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _fit(scheduler: Scheduler, slots: int, scratch: str, *, alone: bool) -> None:
    from ray import tune
    from ray.tune.search import Searcher

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    attempts = iter(range(1 << 62))

    class NotRestored:
        """Tune pickles its parts for a restore that never happens here; a listener need not be picklable for it."""

        def __reduce__(self) -> tuple[type, tuple[()]]:
            return object, ()

    class Queue(NotRestored, Searcher):  # type: ignore[misc]
        """The trials in order; open until the last one has ended, whose worker may die."""

        def __init__(self) -> None:
            super().__init__(metric="done", mode="max")

        def suggest(self, trial_id: str) -> Any:
            def ask() -> Any:
                job = scheduler.next()
                if job is not None:
                    return {"job": job, "key": job.trial.trial_id}
                return Searcher.FINISHED if scheduler.over else None  # None: asked again later

            return scheduler.guarded(ask, otherwise=Searcher.FINISHED)

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None: ...

        def save(self, checkpoint_path: str) -> None: ...

        def restore(self, checkpoint_path: str) -> None: ...

    class Reporter(NotRestored, tune.Callback):  # type: ignore[misc]
        """Any exception in here ends this launch."""

        checked = time.monotonic()

        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            scheduler.guarded(lambda: scheduler.started(trial.config["key"]))

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            found = (trial.last_result or {}).get("found") or {}
            scheduler.guarded(lambda: scheduler.ended(trial.config["key"], found))

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            scheduler.guarded(lambda: scheduler.lost(trial.config["key"], _why(trial)))

        def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
            scheduler.guarded(scheduler.tick)
            if time.monotonic() - self.checked > NODE_CHECK_SECONDS:
                self.checked = time.monotonic()
                self.check_nodes()

        def check_nodes(self) -> None:
            """Tune waits for ever for a machine that has gone; a cluster's may come back, our own does not."""
            if _alive():
                return
            if alone:
                raise RuntimeError("Ray's node on this machine has gone")
            scheduler.note("no machine of the cluster is left; waiting for one")

    scheduler.end_worker = _end_worker
    resources = scheduler.setting.resources
    worker = tune.with_resources(_worker_class(), {"cpu": resources.cpus, "gpu": resources.gpus})
    tune.Tuner(
        worker,
        param_space={},
        tune_config=tune.TuneConfig(
            search_alg=Queue(),
            num_samples=-1,
            max_concurrent_trials=slots,
            reuse_actors=True,  # a fresh process per trial costs seconds
            trial_dirname_creator=lambda trial: f"{trial.config['key']}-{next(attempts)}",
        ),
        run_config=tune.RunConfig(name="sweep", storage_path=scratch, verbose=0, callbacks=[Reporter()]),
    ).fit()


def _why(trial: Any) -> str:
    """What Tune knows of a trial that has returned nothing: a dead worker, or one that could not begin."""
    error = None
    with contextlib.suppress(Exception):
        error = trial.get_pickled_error()
    cause = getattr(error, "cause", None)
    return f"its worker failed: {type(cause).__name__}: {cause}" if cause else "its worker process died"


def _end_worker(trial_id: str, host: str, pid: int) -> None:
    """SIGKILL to a worker that hangs, on whichever machine; Tune then reports it as dead."""
    import ray

    if host == platform.node():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeManagerHostname"] == host]
    if nodes:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(nodes[0], soft=False)
        ray.remote(num_cpus=0)(os.kill).options(scheduling_strategy=there).remote(pid, signal.SIGKILL)


def _worker_class() -> type:
    """A Trainable class, not a function: its step runs in the main thread, where a time limit can interrupt."""
    from ray import tune

    class Worker(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.given = new_config
            return True

        def step(self) -> dict[str, Any]:
            from bitskip.engine.job import work

            return {"done": True, "found": work(self.given["job"])}

        def save_checkpoint(self, checkpoint_dir: str) -> None: ...

        def load_checkpoint(self, checkpoint: Any) -> None: ...

    return Worker
