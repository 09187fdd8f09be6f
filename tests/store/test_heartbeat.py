"""What a worker tells of a trial while it runs, and what others read of it."""

import itertools
import json
import os
import subprocess
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitskip.engine.job import Job
from bitskip.engine.worker import run_job
from bitskip.store import heartbeat
from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import Running, remove_running, reporting, running_trials
from bitskip.trial.config import make_trial

SMALL = {
    "model": {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64},
    "data": {"tokenizer": "bytes"}, "tokens": 5_000, "seq_len": 32, "batch_size": 8, "eval_tokens": 500,
    "curve_tokens": 256, "curve_points": 2, "diagnostic_points": 0,
}  # fmt: skip
CONTRACT = {
    "trial_id", "sweep", "point", "host", "pid", "attempt", "started_at", "updated_at", "stage", "step", "steps",
    "tokens", "tokens_per_second", "phase", "train_loss", "losses", "resumed_at_step", "log",
}  # fmt: skip


def report(folder: Path, trial_id: str = "abc", steps: int = 100) -> Any:
    return reporting(folder, trial_id, "s", "V1", steps, 8, "cpu")


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(heartbeat.time, "monotonic", lambda: self.now)


def test_a_trial_is_seen_from_its_first_moment_until_it_is_over(tmp_path: Path) -> None:
    with report(tmp_path) as told:
        (seen,) = running_trials(tmp_path)
        assert set(json.loads(SweepFolder(tmp_path).heartbeat("abc").read_text())) == CONTRACT
        assert (seen.trial_id, seen.sweep, seen.point, seen.stage, seen.step, seen.steps) == (
            "abc", "s", "V1", "preparing", 0, 100,
        )  # fmt: skip
        assert (seen.pid, seen.attempt, seen.log, seen.lost()) == (os.getpid(), 1, "logs/abc.log", False)
        told.training(40, resumed_at=40)
        (seen,) = running_trials(tmp_path)
        assert (seen.stage, seen.step, seen.tokens, seen.resumed_at_step) == ("training", 40, 320, 40)
        told.evaluating()
        assert running_trials(tmp_path)[0].stage == "evaluating"
    assert running_trials(tmp_path) == []
    assert list((tmp_path / "running").iterdir()) == []


def test_it_is_written_once_a_second_with_the_speed_since_the_last_time(tmp_path: Path, monkeypatch: Any) -> None:
    clock = Clock(monkeypatch)
    with report(tmp_path) as told:
        told.training(0, None)
        seen = []
        for step in range(1, 41):
            clock.now += 0.125 if step <= 16 else 0.0625
            told.step(step, "2", 5.0 - step / 100)
            (now,) = running_trials(tmp_path)
            seen.append((now.step, now.tokens_per_second))
        rates = {step: rate for step, rate in seen if rate}
        assert [step for step, _ in itertools.groupby(step for step, _ in seen)] == [0, 8, 16, 32]
        assert rates == pytest.approx({8: 64, 16: 64, 32: 128})
        assert (now.train_loss, now.phase, now.tokens) == (4.68, "2", 256)


@given(st.integers(1, 2_000))
def test_losses_are_thinned_evenly(steps: int) -> None:
    state = Running(trial_id="a", sweep="s", point=None, attempt=1, stage="training", steps=steps, log="l")
    told = heartbeat.Report(Path("/nowhere"), state, 8, None)
    for step in range(1, steps + 1):
        told.step(step, "1", float(step))
    assert 1 <= len(told.losses) <= 60
    assert len(told.losses) >= min(steps, 30)
    assert len({after - before for before, after in itertools.pairwise(told.losses)}) <= 1
    assert steps - told.losses[-1] < told.stride


def test_a_loss_that_is_not_finite_is_null(tmp_path: Path, monkeypatch: Any) -> None:
    clock = Clock(monkeypatch)
    with report(tmp_path) as told:
        clock.now = 5.0
        told.step(1, "1", float("inf"))
        (seen,) = running_trials(tmp_path)
        assert (seen.step, seen.train_loss, seen.losses) == (1, None, ())


def test_what_a_killed_worker_left_is_known_to_be_lost(tmp_path: Path) -> None:
    with report(tmp_path) as told:
        state = asdict(told.state)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    SweepFolder(tmp_path).heartbeat("abc").write_text(json.dumps(state | {"pid": gone.pid}))
    assert running_trials(tmp_path)[0].lost()
    SweepFolder(tmp_path).heartbeat("abc").write_text(json.dumps(state | {"pid": gone.pid, "host": "elsewhere"}))
    assert not running_trials(tmp_path)[0].lost()
    remove_running(tmp_path, "abc")
    remove_running(tmp_path, "abc")
    assert running_trials(tmp_path) == []


def test_files_that_are_not_of_a_trial_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "running").mkdir()
    for name, text in (("a.json", "{"), ("b.json", "{}"), ("c.txt", "x"), (".d.json-1", "{}"), ("e.json", "[1]")):
        (tmp_path / "running" / name).write_text(text)
    assert running_trials(tmp_path) == []
    assert running_trials(tmp_path / "nowhere") == []


def test_a_folder_that_cannot_be_written_costs_no_trial(tmp_path: Path) -> None:
    (tmp_path / "running").write_text("in the way")
    (tmp_path / "logs").write_text("in the way")
    with report(tmp_path) as told:
        told.training(0, None)
        told.note("hello")
    assert running_trials(tmp_path) == []


def test_warnings_go_to_the_log_once_and_on_to_where_they_went(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with report(tmp_path):
            for _ in range(3):
                warnings.warn("odd numbers", UserWarning, stacklevel=1)
    assert len(caught) == 3
    assert SweepFolder(tmp_path).log("abc").read_text().count("UserWarning: odd numbers (") == 1


def test_a_run_logs_its_attempts_points_and_end(tmp_path: Path) -> None:
    trial = make_trial(**SMALL)
    during: list[Running] = []
    job = Job(trial, tmp_path, "s", point="p", checkpoint_seconds=0)
    row = run_job(job, lambda point, steps: during.extend(running_trials(tmp_path)))
    assert row["status"] in ("ok", "stalled")
    assert row["niceness"] == os.nice(0)
    assert {(each.trial_id, each.stage, each.steps) for each in during} == {(trial.trial_id, "training", 19)}
    assert running_trials(tmp_path) == []
    run_job(job)
    lines = SweepFolder(tmp_path).log(trial.trial_id).read_text().splitlines()
    assert [line.split()[3] for line in lines if " attempt " in line] == ["1", "2"]
    assert [line.split()[2] for line in lines if "held-out loss" in line] == ["10/19,", "19/19,"] * 2
    assert sum(f" {row['status']} after " in line for line in lines) == 2


def test_an_error_is_logged_with_its_traceback_and_the_next_attempt_below(tmp_path: Path) -> None:
    trial = make_trial(**SMALL | {"data": {"files": ["none.txt"], "tokenizer": "bytes"}})
    for _ in range(2):
        assert run_job(Job(trial, tmp_path, "s"))["status"] == "error"
    text = SweepFolder(tmp_path).log(trial.trial_id).read_text()
    assert text.count("Traceback (most recent call last)") == 2
    assert text.index("attempt 1") < text.index("Traceback") < text.index("attempt 2")
