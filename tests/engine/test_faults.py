"""What can go wrong under a sweep (docs/engine.md), each with the real command; quick ones run without Ray."""

import contextlib
import json
import os
import platform
import re
import signal
import time
from pathlib import Path

import cloudpickle
import psutil
import pytest
from sweeping import by_seed, left_over, rows, start, sweep

from bitskip.engine.job import Job, Setting
from bitskip.engine.plan import plan_sweep
from bitskip.engine.scheduler import Scheduler, stall_limit
from bitskip.errors import UserError
from bitskip.store.heartbeat import reporting
from bitskip.store.schema import FINISHED
from bitskip.store.tables import Failure, load_results, write_trial
from bitskip.sweep.resources import Resources, slots_on
from bitskip.sweep.sweep_file import load_sweep
from bitskip.training.shared_prefix import PrefixQueue
from bitskip.trial.config import make_trial

INLINE = ("--executor", "inline")
TINY = {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1, "ffn_width": 32}


# The policy alone


class Heard:
    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def preparing(self, what: str) -> None: ...

    def started(self, trial_id: str) -> None: ...

    def finished(self, row: dict[str, object]) -> None:
        self.rows.append(row)


def scheduling(folder: Path, seeds: int = 3, **resources: float) -> tuple[Scheduler, Heard]:
    trials = [make_trial(model=TINY, seed=seed) for seed in range(seeds)]
    heard = Heard()
    queue = PrefixQueue(trials, trials, {}, folder / "prefixes")
    return Scheduler(Setting(folder, "s", Resources(**resources), False), queue, heard), heard


def commit(folder: Path, trial_id: str, status: str = "ok", reason: str | None = None) -> dict[str, object]:
    row = {"trial_id": trial_id, "status": status, "reason": reason}
    write_trial(folder, row)
    return row


def test_a_lost_worker_is_replaced_once_and_then_stored_as_an_error(tmp_path: Path) -> None:
    scheduler, heard = scheduling(tmp_path, 2)
    first = scheduler.next().trial.trial_id
    scheduler.started(first)
    scheduler.lost(first)
    second = scheduler.next().trial.trial_id
    assert second != first  # what kills its worker may do so again: the others go first
    assert scheduler.next().trial.trial_id == first
    scheduler.lost(first)
    assert heard.rows[0]["reason"] == "its worker process died, twice"
    (row,) = load_results(tmp_path).trials.to_pylist()
    assert (row["trial_id"], row["status"], row["failures"], row["loss"]) == (first, "error", 1, None)
    assert not scheduler.over
    scheduler.ended(second, {"row": commit(tmp_path, second)})
    assert scheduler.over


def test_a_worker_that_died_after_its_commit_has_a_result(tmp_path: Path) -> None:
    scheduler, heard = scheduling(tmp_path, 1)
    trial_id = scheduler.next().trial.trial_id
    commit(tmp_path, trial_id)
    scheduler.lost(trial_id)
    assert scheduler.over
    assert heard.rows[0]["status"] == "ok"


def test_what_a_killed_sweep_still_finished_is_not_run_again(tmp_path: Path) -> None:
    """A worker commits after the next sweep has read the ledger."""
    scheduler, heard = scheduling(tmp_path, 3)
    ran, failed, new = (trial.trial_id for trial in scheduler.queue.waiting)
    commit(tmp_path, ran)
    commit(tmp_path, failed, "error", "earlier")
    scheduler.recognise()
    assert [row["trial_id"] for row in heard.rows] == [ran]
    assert [scheduler.next().trial.trial_id for _ in range(2)] == [failed, new]


def test_a_row_that_is_not_in_the_ledger_does_not_count(tmp_path: Path) -> None:
    scheduler, heard = scheduling(tmp_path, 1)
    for _ in range(2):
        trial_id = scheduler.next().trial.trial_id
        scheduler.ended(trial_id, {"row": {"trial_id": trial_id, "status": "ok"}})
    assert heard.rows[0]["reason"] == "its worker returned without a row, twice"


def test_a_hung_worker_is_ended_and_its_trial_is_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, heard = scheduling(tmp_path, 1, stall_limit=0.2)
    monkeypatch.setattr("bitskip.engine.scheduler.TICK_SECONDS", 0.0)
    ended = []
    scheduler.end_worker = lambda *who: ended.append(who)
    trial_id = scheduler.next().trial.trial_id
    scheduler.started(trial_id)
    with reporting(tmp_path, trial_id, "tiny", None, 10, 64, "cpu") as report:
        for step in range(4):  # progress in steps shorter than the limit
            report.training(step, None)
            time.sleep(0.1)
            scheduler.tick()
        assert ended == []
        time.sleep(0.25)
        scheduler.tick()
        scheduler.tick()
        assert ended == [(trial_id, platform.node(), os.getpid())]
    scheduler.lost(trial_id)
    assert (heard.rows[0]["status"], scheduler.over) == ("timeout", True)
    assert heard.rows[0]["reason"] == "hung: no progress for 0.2 s while training; its process was ended"
    assert list((tmp_path / "running").iterdir()) == []


def test_the_limit_of_a_hung_trial_grows_with_it() -> None:
    assert stall_limit(make_trial(), Resources()) == 600
    assert stall_limit(make_trial(model="paper", tokens=10**9), Resources()) > 86_400
    assert stall_limit(make_trial(), Resources(stall_limit=5)) == 5


@pytest.mark.parametrize(("reasons", "stops"), [("abc", False), ("aaa", True), ("111", True), ("Daa", False)])
def test_the_first_trials_failing_alike_stop_the_sweep(reasons: str, stops: bool, tmp_path: Path) -> None:
    scheduler, _ = scheduling(tmp_path, 4)
    for at, reason in enumerate(reasons):
        trial_id = scheduler.next().trial.trial_id
        status = "diverged" if reason == "D" else "error"
        text = f"ValueError: size {at}" if reason == "1" else f"ValueError: {reason}"
        scheduler.ended(trial_id, {"row": commit(tmp_path, trial_id, status, text)})
    assert (scheduler.stopped is not None) == scheduler.over == stops
    if stops:
        assert re.match(r"the first 3 trials failed alike: ValueError: .* \(traceback: .*\.log\)", scheduler.stopped)


@pytest.mark.parametrize("reason", ["OSError: [Errno 28] No space left", "SafetensorError: x (os error 28)"])
def test_a_disk_that_fills_during_training_stops_the_sweep(reason: str, tmp_path: Path) -> None:
    scheduler, _ = scheduling(tmp_path)
    trial_id = scheduler.next().trial.trial_id
    scheduler.ended(trial_id, {"row": commit(tmp_path, trial_id, "error", reason)})
    assert "free some space" in scheduler.stopped


def test_a_hook_that_fails_never_raises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scheduler, heard = scheduling(tmp_path, 1)
    heard.finished = lambda row: 1 / 0
    trial_id = scheduler.next().trial.trial_id
    scheduler.ended(trial_id, {"row": commit(tmp_path, trial_id)})
    assert scheduler.over
    assert "the display failed (ZeroDivisionError: division by zero); the sweep goes on" in capsys.readouterr().err
    assert scheduler.guarded(lambda: [][0], otherwise="end") == "end"
    assert "internal error (IndexError" in scheduler.stopped


def test_what_a_worker_is_given_is_small(tmp_path: Path) -> None:
    """A trial sent to a worker holds no data: text is mapped there by name."""
    from bitskip.engine.executors.ray_tune import _worker_class

    job = Job(make_trial(), tmp_path, "s", earlier=Failure("error", "x", 1))
    assert len(cloudpickle.dumps({"job": job, "key": job.trial.trial_id})) < 5_000
    assert len(cloudpickle.dumps(_worker_class())) < 10_000


def test_a_trial_must_fit_on_one_machine() -> None:
    two = [{"CPU": 4.0}, {"CPU": 4.0, "GPU": 1.0}]
    assert slots_on(two, Resources(cpus=1)) == 8
    assert slots_on(two, Resources(cpus=3)) == 2
    assert slots_on(two, Resources(cpus=1, gpus=0.1)) == 4
    with pytest.raises(UserError, match=r"asks for 8 CPU, but only 4 are there on one machine; set resources\.cpus=4"):
        slots_on(two, Resources(cpus=8))
    with pytest.raises(UserError, match="no machine of the cluster has 4 CPU and 1 GPU"):
        slots_on([{"CPU": 4.0}, {"CPU": 2.0, "GPU": 1.0}], Resources(cpus=4, gpus=1))


# The command without Ray


def test_an_edited_sweep_runs_the_difference_and_says_so(tmp_path: Path) -> None:
    failing = {"kind": "raise", "seeds": [1]}
    first = sweep(tmp_path, *INLINE, fault=failing)
    assert first.returncode == 1
    assert "1 of 4 trials have no result" in first.stderr
    edited = ("--set", "seeds=[1,2,3,4,5]")
    again = sweep(tmp_path, *INLINE, *edited, "--max-trials", "2")
    assert "+2 new, 2 done, 1 failed, 1 no longer in the design (kept)" in again.stdout
    second = sweep(tmp_path, *INLINE, *edited, fault=failing)  # seed 1 fails alike a second time
    assert "5 points → 5 distinct → 4 already in results → 1 to run (1 of them failed before)" in second.stdout
    assert by_seed(tmp_path)[1]["failures"] == 2
    held = sweep(tmp_path, *INLINE, *edited)
    assert held.returncode == 1
    line = "+0 new, 4 done, 1 failed (1 not run again: retry with --retry error), 1 no longer in the design (kept)"
    assert line in held.stdout
    assert "0 to run" in held.stdout
    assert "add --retry error,timeout" in held.stderr
    assert sweep(tmp_path, *INLINE, *edited, "--retry", "timeout").returncode == 1
    forced = sweep(tmp_path, *INLINE, *edited, "--retry", "error")
    assert forced.returncode == 0, forced.stderr
    assert len(rows(tmp_path)) == 6
    assert left_over(tmp_path) == []


def test_statuses_to_retry_are_checked(tmp_path: Path) -> None:
    done = sweep(tmp_path, "--retry", "ok")
    assert (done.returncode, done.stderr.strip()) == (2, "bitskip: --retry: 'ok' is not one of error, timeout, none")
    assert sweep(tmp_path, "--executor", "rya", "--dry-run").returncode == 0
    assert "did you mean 'ray'" in sweep(tmp_path, "--executor", "rya").stderr


def test_a_full_disk_stops_the_sweep_and_the_next_run_goes_on(tmp_path: Path) -> None:
    room = tmp_path / "room"
    full = sweep(tmp_path, *INLINE, fault={"kind": "disk full", "room": str(room)})
    assert full.returncode == 1
    assert "stopped: cannot write results: [Errno 28] No space left on device" in full.stderr
    assert "run the command again to go on" in full.stderr
    room.touch()
    assert sweep(tmp_path, *INLINE, fault={"kind": "disk full", "room": str(room)}).returncode == 0
    assert {row["status"] for row in rows(tmp_path)} <= set(FINISHED)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """/proc refuses everybody, root too."""
    (tmp_path / "results").symlink_to("/proc/self")
    done = sweep(tmp_path, *INLINE)
    assert done.returncode == 2
    assert "cannot create the results folder" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_two_sweeps_on_one_folder_the_second_refuses(tmp_path: Path) -> None:
    first = start(tmp_path, *INLINE, fault={"kind": "sleep", "seconds": 60})
    owner = tmp_path / "results" / "tiny" / ".owner.json"
    while not owner.exists():
        assert first.poll() is None
        time.sleep(0.05)
    second = sweep(tmp_path, *INLINE)
    assert second.returncode == 2
    assert f"another `bitskip sweep` is writing here (host {platform.node()}, process {first.pid}" in second.stderr
    first.kill()
    first.communicate()
    assert owner.exists()  # of a sweep that was killed: its lock is free, and it is taken over
    assert sweep(tmp_path, *INLINE, "--max-trials", "1").returncode == 0
    assert not owner.exists()


def test_a_sweep_on_another_machine_is_seen_on_a_shared_folder(tmp_path: Path) -> None:
    owner = tmp_path / "results" / "tiny" / ".owner.json"
    owner.parent.mkdir(parents=True)
    owner.write_text(json.dumps({"host": "elsewhere", "pid": 7, "since": "now"}))
    refused = sweep(tmp_path, *INLINE, "--max-trials", "1")
    assert "host elsewhere, process 7" in refused.stderr
    long_ago = time.time() - 300
    os.utime(owner, (long_ago, long_ago))
    assert sweep(tmp_path, *INLINE, "--max-trials", "1").returncode == 0


def test_what_killed_processes_left_is_cleaned_at_the_start(tmp_path: Path) -> None:
    place = tmp_path / "results" / "tiny"
    halves = [".tmp/trials-x.parquet-1-ff", "running/x.json", "checkpoints/.x.safetensors-1", "prefixes/.y-1", ".ray/z"]
    for half in halves:
        (place / half).parent.mkdir(parents=True, exist_ok=True)
        (place / half).write_text("half")
    assert sweep(tmp_path, *INLINE, "--max-trials", "1").returncode == 0
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_sweep_keeps_its_results_without_ray(ending: int, status: int, tmp_path: Path) -> None:
    process = start(tmp_path, *INLINE, fault={"kind": "sleep", "seconds": 60, "seeds": [2]})
    assert process.stdout is not None
    while "[2/4]" not in process.stdout.readline():
        assert process.poll() is None
    os.killpg(process.pid, ending)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (status, False), err
    assert "2 trials" in err
    assert len(rows(tmp_path)) == 2
    assert left_over(tmp_path) == []


def test_a_time_limit_interrupts_python_code_without_ray(tmp_path: Path) -> None:
    slow = {"kind": "sleep", "seconds": 60, "seeds": [0]}
    done = sweep(tmp_path, *INLINE, "--set", "resources.time_limit=5", fault=slow)
    assert done.returncode == 1
    assert by_seed(tmp_path)[0]["status"] == "timeout"
    assert by_seed(tmp_path)[1]["status"] in FINISHED


def test_a_failed_trial_comes_after_those_not_tried_yet(tmp_path: Path) -> None:
    sweep(tmp_path, *INLINE, "--max-trials", "1", fault={"kind": "raise"})
    design = load_sweep(tmp_path / "tiny.yaml")
    plan = plan_sweep(design, tmp_path / "results")
    assert [trial.seed for trial in plan.to_run] == [1, 2, 3, 0]
    assert (plan.new, plan.retried, plan.held, plan.done) == (3, 1, 0, 0)
    assert [trial.seed for trial in plan_sweep(design, tmp_path / "results", retry=()).to_run] == [1, 2, 3]


# The command with Ray


@pytest.mark.slow
def test_workers_that_are_killed_or_crash_cost_one_start_each(tmp_path: Path) -> None:
    """SIGKILL as by the kernel's out-of-memory killer, once; a segmentation fault each time; the rest goes on."""
    killed = sweep(tmp_path, fault={"kind": "kill", "seeds": [1], "once": str(tmp_path / "once")})
    assert killed.returncode == 0, killed.stderr
    assert "its worker process died; it is run once more" in killed.stderr
    assert {row["status"] for row in rows(tmp_path)} <= set(FINISHED)
    crashed = sweep(tmp_path, "--set", "seeds=6", fault={"kind": "segfault", "seeds": [4]})
    assert crashed.returncode == 1
    assert by_seed(tmp_path)[4]["reason"] == "its worker process died, twice"
    assert by_seed(tmp_path)[5]["status"] in FINISHED
    assert left_over(tmp_path) == []


@pytest.mark.slow
def test_a_hung_worker_is_ended_by_the_watchdog(tmp_path: Path) -> None:
    hung = sweep(tmp_path, "--set", "resources.stall_limit=12", fault={"kind": "hang", "seeds": [0]})
    assert hung.returncode == 1
    assert re.search(r"hung: no progress for 12 s while training; its process was ended", hung.stderr), hung.stderr
    assert by_seed(tmp_path)[0]["status"] == "timeout"
    assert len(rows(tmp_path)) == 4


@pytest.mark.slow
def test_a_worker_without_a_row_does_not_count_and_a_broken_view_costs_nothing(tmp_path: Path) -> None:
    silent = sweep(tmp_path, "--set", "seeds=2", fault={"kind": "no row", "seeds": [0]})
    assert silent.returncode == 1
    assert by_seed(tmp_path)[0]["reason"] == "its worker returned without a row, twice"
    shown = sweep(tmp_path, fault={"kind": "view"})
    assert shown.returncode == 0, shown.stderr
    assert "the display failed (ValueError: no such colour); the sweep goes on" in shown.stderr
    assert len(rows(tmp_path)) == 4


@pytest.mark.slow
def test_a_runtime_that_breaks_down_is_started_again_from_the_ledger(tmp_path: Path) -> None:
    """As when Ray's memory monitor aborts the whole of Tune; and not for ever where it never works."""
    broken = sweep(tmp_path, fault={"kind": "fit", "once": str(tmp_path / "once")})
    assert broken.returncode == 0, broken.stderr
    assert "it is started again" in broken.stderr
    assert {row["status"] for row in rows(tmp_path)} <= set(FINISHED)
    never = sweep(tmp_path, "--set", "seeds=5", fault={"kind": "never fits"})
    assert never.returncode == 1
    assert "broke down 3 times in a row (RuntimeError: no); try --executor inline" in never.stderr


@pytest.mark.slow
def test_a_deterministic_error_stops_the_sweep_early_and_a_stale_address_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    done = sweep(tmp_path, "--set", "seeds=12", fault={"kind": "raise"})
    assert done.returncode == 1
    line = r"stopped: the first 3 trials failed alike: RuntimeError: shape \d x 3 does not fit \(traceback: .*\.log\)"
    assert re.search(line, done.stderr), done.stderr
    assert len(rows(tmp_path)) < 8
    refused = sweep(tmp_path, "--address", "127.0.0.1:1")
    assert refused.returncode == 2
    assert "nothing answers there" in refused.stderr


@pytest.mark.slow
def test_sigterm_ends_a_sweep_as_ctrl_c_does(tmp_path: Path) -> None:
    process = start(tmp_path, fault={"kind": "sleep", "seconds": 60, "seeds": [2, 3]})
    assert process.stdout is not None
    while "[2/4]" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert err.strip().splitlines()[-1].startswith("bitskip: ended by SIGTERM; 2 trials")
    assert "stack" not in err.lower()
    assert len(rows(tmp_path)) == 2
    waiting = sweep(tmp_path, "--set", "seeds=5", fault={"kind": "sigterm"})
    assert waiting.returncode == 143, waiting.stderr


@pytest.mark.slow
def test_ray_is_started_again_when_its_node_has_gone(tmp_path: Path) -> None:
    """An agent that dies takes its node with it in good order: Ray's driver then waits for a node for ever."""
    process = start(tmp_path, fault={"kind": "sleep", "seconds": 4})
    victim = None
    while victim is None:
        assert process.poll() is None
        time.sleep(0.1)
        with contextlib.suppress(psutil.Error):
            family = [
                (each, " ".join(each.cmdline()).strip())
                for each in psutil.Process(process.pid).children(recursive=True)
            ]
            busy = any("Trainable" in line for _, line in family)
            victim = next((each for each, line in family if busy and line == "ray::RuntimeEnvAgent"), None)
    victim.kill()
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "Ray's node on this machine has gone" in said
    assert [row["status"] in FINISHED for row in rows(tmp_path)] == [True] * 4
    assert left_over(tmp_path) == []
