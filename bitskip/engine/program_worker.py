"""Run a trial that a command or a function trains, and commit what it gave back: a failure is a row, as of any trial.

A command is a process group of its own, which ends with its worker; what it prints is in the trial's log. The last line
that is a JSON object has its metrics, or the file that it was asked to write as `{result}`; those with a `step` are
points of its curve.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import inspect
import json
import math
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bitskip.engine.attempt import attempted, failure, provenance, time_limit
from bitskip.engine.job import Job
from bitskip.engine.script_curve import ScriptCurve
from bitskip.errors import UserError, nearest
from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import Report, reporting, traceback_lines
from bitskip.store.schema import FINISHED, Outcome, columns_of
from bitskip.store.tables import write_trial
from bitskip.sweep.program import Program, settings_of

END_SECONDS = 10.0
"""So long may a command take to end after SIGTERM."""

PR_SET_PDEATHSIG = 1


def work(job: Job) -> dict[str, Any]:
    """A worker's part, as `bitskip.engine.worker.work`."""
    return attempted(job, run_job)


def run_job(job: Job) -> dict[str, Any]:
    """Train and store one trial; returns its row of `trials`."""
    trial, place, program = job.trial, SweepFolder(job.folder), job.program
    assert program is not None
    device = f"{job.device} ({platform.machine()}, {os.cpu_count()} cores)"
    checkpoint = place.checkpoints / trial.trial_id
    with reporting(job.folder, trial.trial_id, job.sweep, job.point, 0, 0, device) as report:
        row = job.columns() | provenance(job, device)
        began, curve = time.perf_counter(), ScriptCurve(program.measure)
        try:
            checkpoint.mkdir(parents=True, exist_ok=True)
            report.training(0, None)
            with time_limit(job.time_limit), tempfile.TemporaryDirectory() as scratch:
                given = {"trial_id": trial.trial_id, "checkpoint": checkpoint, "result": Path(scratch, "result.json")}
                values = settings_of(trial) | {name: str(path) for name, path in given.items()}
                found = _ran(program, values, report, curve) if program.command else _called(program, values)
            row |= _outcome(program, found, report)
            curve.take(found.get("curve") or ())
        except Exception as error:
            row |= job.failed(*failure(job, error))
            report.note(traceback_lines(error))
        row["train_seconds"] = time.perf_counter() - began
        row["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        write_trial(job.folder, row, curves=curve.rows())
        if row["status"] in FINISHED:
            shutil.rmtree(checkpoint, ignore_errors=True)
        report.note(f"{row['status']} after {row['train_seconds']:.1f} s: {_result(row, program)}")
    return row


def _result(row: Mapping[str, Any], program: Program) -> str:
    value = row.get("loss") if program.measure.is_loss else row.get("measured")
    return str(row.get("reason") or f"{program.measure.name} {value}")


def check_program(program: Program) -> None:
    """Before a sweep starts. Raises UserError for a program or function that is not there, or lacks a parameter."""
    if program.command:
        if shutil.which(program.command[0]) is None:
            raise UserError(f"command: {program.command[0]}: no such program; is it executable, and on the PATH?")
        return
    _function(program)


def _outcome(program: Program, found: Any, report: Report) -> dict[str, Any]:
    """Loss and status, and what else is a column of results; the rest is in the log."""
    if not isinstance(found, Mapping):
        raise UserError(f"what it gave back is no object of metrics but {found!r}"[:200])
    name = program.measure.name
    if name not in found:
        raise UserError(f"its metrics have no '{name}'{nearest(name, found)} ({', '.join(found)})")
    value = float("nan") if found[name] is None else found[name]
    kinds = {each.name: each.kind for each in columns_of(Outcome)}
    taken = {
        name: kinds[name](number) for name, number in found.items()
        if kinds.get(name) in (int, float) and isinstance(number, int | float) and not isinstance(number, bool)
    }  # fmt: skip
    told = {name: value for name, value in found.items() if name != "curve"}
    report.note(f"metrics {json.dumps(told, default=str)}")
    return taken | program.measure.measured(value)


def _ran(program: Program, values: Mapping[str, Any], report: Report, curve: ScriptCurve) -> Any:
    """The metrics of a command. Raises UserError, with its last line, where it failed or gave back none."""
    words = program.words(values)
    report.note(f"command {words}")
    last, metrics, newest = "", None, None
    with _process(words) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if text := line.strip():
                last, found = text, _object(text)
                report.note(text)
                newest = found or newest
                if found and (point := curve.add(found)):
                    report.step(point["step"], "", point["train_loss"] or point["val_loss"] or math.nan)
                elif found:
                    metrics = found
            report.alive()
        status = process.wait()
    if status:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise UserError(f"its command {how}: {last}"[:500])
    if "result" in program.asks_for():
        try:
            return json.loads(Path(values["result"]).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"its command wrote no JSON to {{result}}: {error}") from None
    metrics = metrics or newest
    if metrics is None:
        raise UserError('its command printed no JSON object, such as {"loss": 3.1}; its last line: ' + repr(last[:200]))
    return metrics


def _object(text: str) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text) if text.startswith("{") else None
        return found if isinstance(found, dict) else None
    return None


@contextlib.contextmanager
def _process(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A command in a process group of its own, all of which is gone afterwards."""
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_die_with_worker if sys.platform == "linux" else None,
        )
    except OSError as error:
        raise UserError(f"{words[0]}: cannot be run: {error.strerror}") from None
    try:
        yield process
    finally:
        _end(process)


def _die_with_worker() -> None:
    """In the new process: a worker that is killed can end nothing any more."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen[str]) -> None:
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
            if ending == signal.SIGKILL:
                break


def _called(program: Program, values: Mapping[str, Any]) -> Any:
    """What the function gives back for those of the values that it has parameters for."""
    function, wanted = _function(program)
    return function(**{name: value for name, value in values.items() if wanted is None or name in wanted})


def _function(program: Program) -> tuple[Any, set[str] | None]:
    """The function, and the names of its parameters, None for one that takes any. Raises UserError without it."""
    from bitskip.techniques.registry import free_factors

    module, _, name = program.trainer.partition(":")
    if str(Path.cwd()) not in sys.path:  # as of `python -m`; an installed script has its own folder there
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"trainer: {program.trainer} cannot be imported ({error})") from None
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return function, None
    wanted = {each.name for each in parameters}
    if lacking := free_factors().keys() - wanted:
        raise UserError(f"trainer: {program.trainer} has no parameter '{min(lacking)}': all its levels would be alike")
    return function, wanted
