"""Put on PYTHONPATH by tests: makes trials of a real `bitskip sweep` fail as BITSKIP_FAULT says, in every process.

The value is JSON: kind, and which trials by seed (all without). `once` is a file whose existence ends the fault.
"""

import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import time

FAULT = json.loads(os.environ.get("BITSKIP_FAULT", "{}"))


def struck(trial):
    if "seeds" in FAULT and trial.seed not in FAULT["seeds"]:
        return False
    once = FAULT.get("once")
    if once:
        if os.path.exists(once):
            return False
        open(once, "w").close()
    return True


def kill(job):
    os.kill(os.getpid(), signal.SIGKILL)


def segfault(job):
    import ctypes

    ctypes.string_at(0)


def hang(job):
    """As code in C hangs that never looks for signals; the heartbeat is written once, as a worker does."""
    import platform

    running = job.folder / "running"
    running.mkdir(exist_ok=True)
    told = {"host": platform.node(), "pid": os.getpid(), "stage": "training", "updated_at": time.time()}
    path = running / f"{job.trial.trial_id}.json"
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError):
        stored = {}
    path.write_text(json.dumps(stored | told))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM, signal.SIGINT})
    time.sleep(600)


def raise_alike(job):
    raise RuntimeError(f"shape {job.trial.seed} x 3 does not fit")


def sleep(job):
    time.sleep(float(FAULT["seconds"]))


FAULTS = {"kill": kill, "segfault": segfault, "hang": hang, "raise": raise_alike, "sleep": sleep}


def patch_record(record):
    run_job, run_trial = record.run_job, record.run_trial

    def job_run(job, *args, **more):
        if FAULT["kind"] == "no row" and struck(job.trial):
            return {"trial_id": job.trial.trial_id, "status": "ok", "loss": 1.0}
        if FAULT["kind"] not in FAULTS:
            return run_job(job, *args, **more)

        def trial_run(trial, *rest, **options):
            if struck(trial):
                FAULTS[FAULT["kind"]](job)
            return run_trial(trial, *rest, **options)

        record.run_trial = trial_run
        return run_job(job, *args, **more)

    record.run_job = job_run


def patch_results(results):
    write = results.write_file

    def full(table, target):
        if FAULT["kind"] == "disk full" and not os.path.exists(FAULT["room"]):
            raise OSError(28, "No space left on device", str(target))
        return write(table, target)

    results.write_file = full


def patch_view(live):
    def broken(self, row):
        raise ValueError("no such colour")

    if FAULT["kind"] == "view":
        live.LinesView.finished = broken


def patch_tune(module):
    """What runs the trials breaks down after some trials, as when a memory monitor ends something it should not."""
    fit = module._fit

    def breaks(scheduler, *rest, **more):
        if FAULT["kind"] == "fit" and struck_fit():
            tick = scheduler.tick

            def tick_and_break():
                tick()
                if scheduler.endings:
                    raise KeyError("Caught unexpected exception")

            scheduler.tick = tick_and_break
            scheduler.guarded = lambda hook, otherwise=None: hook()
            try:
                return fit(scheduler, *rest, **more)
            finally:
                del scheduler.tick, scheduler.guarded
        if FAULT["kind"] == "sigterm":
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except KeyboardInterrupt:
                raise KeyboardInterrupt from None  # as Ray's core does when a handler raises while it waits
        if FAULT["kind"] == "never fits":
            raise RuntimeError("no")
        return fit(scheduler, *rest, **more)

    def struck_fit():
        if os.path.exists(FAULT["once"]):
            return False
        open(FAULT["once"], "w").close()
        return True

    module._fit = breaks


PATCHES = {
    "bitskip.engine.worker": patch_record,
    "bitskip.store.tables": patch_results,
    "bitskip.report.live": patch_view,
    "bitskip.engine.executors.ray_tune": patch_tune,
}


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in PATCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            PATCHES[name](module)

        spec.loader.exec_module = exec_module
        return spec


if FAULT:
    sys.meta_path.insert(0, Finder())
