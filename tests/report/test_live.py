"""What a sweep's folder shows of a sweep, while it runs, after a crash, and when it is over."""

import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from simulated_results import trial_row

from bitskip.engine.status import Active, Configuration, Ended, Lookout, Snapshot, snapshot
from bitskip.errors import UserError
from bitskip.report import live
from bitskip.report.live import picture_lines, sparkline, summary_line, watch
from bitskip.store.compaction import compact
from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import Running, reporting
from bitskip.store.tables import write_trial
from bitskip.sweep.sweep_file import Sweep, load_sweep

BITSKIP = Path(sys.executable).with_name("bitskip")
DESIGN = """
name: tiny
space:
  bits: [16, 8, 4]
  exit_weight: [0.0, 0.3]
points: {V1: {bits: 8, exit_weight: 0.3}}
seeds: 3
"""


def begin(folder: Path, text: str = DESIGN) -> Sweep:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text(text)
    return load_sweep(folder / "sweep.yaml")


def end(folder: Path, design: Sweep, at: int, status: str = "ok", **extra: Any) -> str:
    trial = design.trials[at]
    loss = 3.0 + at / 10 if status == "ok" else None
    times = {"started_at": datetime.now(UTC), "train_seconds": 30.0, "eval_seconds": 2.0} | extra
    write_trial(folder, trial_row(trial, loss, status=status, point=design.point_of(trial), **times))
    return trial.trial_id


def run(folder: Path, design: Sweep, at: int, **changes: Any) -> str:
    """A trial in the hands of a worker elsewhere."""
    key = design.trials[at].trial_id
    with reporting(folder, key, design.name, None, 100, 8, "cpu") as told:
        state = replace(told.state, host="elsewhere", **changes)
    SweepFolder(folder).heartbeat(key).write_text(json.dumps(vars(state)))
    return key


def text_of(found: Snapshot, width: int = 80, height: int | None = None, ascii_only: bool = False) -> str:
    return "\n".join(line.plain for line in picture_lines(found, width, height, ascii_only))


def test_every_trial_is_in_the_state_that_its_files_say(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    design = begin(folder)
    for at, status in enumerate(("ok", "stalled", "diverged", "error", "timeout")):
        end(folder, design, at, status, reason=f"reason {at}")
    run(folder, design, 5, step=50, stage="training")
    found = snapshot(folder)
    assert found.counts == {"done": 1, "running": 1, "waiting": 12, "stalled": 1, "diverged": 1, "failed": 2}
    assert (found.total, found.ended, found.alive, found.complete) == (18, 3, True, False)
    assert found.seeds == (0, 1, 2)
    assert [row.label for row in found.configurations][:2] == ["V1", "16 bit, phase 1"]
    assert found.configurations[0].states == ("done", "stalled", "diverged")
    assert found.configurations[1].states == ("failed", "failed", "running")
    assert found.last_error is not None
    assert (found.last_error.what, found.last_error.reason) == ("16 bit, phase 1, seed 1", "reason 4")
    assert found.best is not None
    assert found.best.what == "V1, seed 0"
    assert "last timeout: 16 bit, phase 1, seed 1: reason 4" in text_of(found)


def test_a_crash_is_told_with_the_command_that_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "res ults" / "tiny"
    design = begin(folder)
    end(folder, design, 0)
    run(folder, design, 1, updated_at=time.time() - 3600)
    found = snapshot(folder)
    assert not found.alive
    assert found.remaining_seconds is None
    told = text_of(found, 600)
    assert "No sweep is running here. To go on:" in told
    assert f"bitskip sweep '{folder}/sweep.yaml' --results '{folder.parent}'" in told
    for at in range(len(design.trials)):
        end(folder, design, at)
    SweepFolder(folder).heartbeat(design.trials[1].trial_id).unlink()
    found = snapshot(folder)
    assert found.complete
    assert "No sweep is running" not in text_of(found)


def test_a_worker_that_is_gone_or_silent_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    design = begin(folder)
    run(folder, design, 0, stage="training", updated_at=time.time() - 300)
    assert "silent 5 min" in text_of(snapshot(folder))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path = SweepFolder(folder).heartbeat(design.trials[0].trial_id)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": os.uname().nodename, "pid": gone.pid}))
    assert "its worker is gone" in text_of(snapshot(folder))


def test_a_held_lock_is_a_sweep_that_runs(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    begin(folder)
    with FileLock(folder / ".lock"):
        assert snapshot(folder).alive
    assert not snapshot(folder).alive


def test_what_failed_before_this_run_waits_to_be_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    design = begin(folder)
    end(folder, design, 0, "error", started_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert snapshot(folder).counts["failed"] == 1
    with FileLock(folder / ".lock"):
        end(folder, design, 1, "error")
        assert snapshot(folder).counts["failed"] == 1
        assert snapshot(folder).counts["waiting"] == 17


def test_remaining_time_is_the_work_left_over_the_slots(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    design = begin(folder)
    assert snapshot(folder).remaining_seconds is None
    # 400,000 tokens at 4,000 a second: 100 s a trial, with a tenth of two behind them.
    for at, pid in enumerate((os.getpid(), os.getppid())):
        trained = {"step": 10, "steps": 100, "tokens": 40_000, "tokens_per_second": 4_000.0, "stage": "training"}
        run(folder, design, at, pid=pid, **trained)
    assert snapshot(folder).remaining_seconds == pytest.approx((16 * 100 + 2 * 90) / 2)
    for at in range(2, 10):
        end(folder, design, at)
    assert snapshot(folder).remaining_seconds == pytest.approx((8 * 32 + 2 * 90) / 2)
    planned = {trial.trial_id for trial in design.trials[10:12]}
    few = Lookout(folder, design, slots=4, planned=planned).look()
    assert few.remaining_seconds == pytest.approx(max((2 * 32 + 2 * 90) / 4, 90))


def test_results_of_other_sweeps_count_and_what_left_the_design_is_kept(tmp_path: Path) -> None:
    design = begin(tmp_path / "tiny")
    end(tmp_path / "other", design, 0)
    end(tmp_path / "tiny", design, 1)
    smaller = begin(tmp_path / "tiny", DESIGN.replace("seeds: 3", "seeds: 1"))
    found = snapshot(tmp_path / "tiny")
    assert len(smaller.trials) == 6
    assert (found.total, found.counts["done"], found.kept) == (6, 1, 1)
    assert "1 no longer in the design" in text_of(found)


def test_a_folder_without_its_design_is_shown_from_its_rows(tmp_path: Path) -> None:
    design = begin(tmp_path / "tiny")
    end(tmp_path / "tiny", design, 4)
    (tmp_path / "tiny" / "sweep.yaml").write_text("space: {bit: [4]}")
    found = snapshot(tmp_path / "tiny")
    assert found.configurations[0].label == "16 bit, phase 1"
    assert "unknown axis 'bit'" in found.problems[0]
    (tmp_path / "tiny" / "sweep.yaml").unlink()
    assert snapshot(tmp_path / "tiny").problems == ()


def test_an_adaptive_design_shows_what_it_has_begun_of_what_it_will_run(tmp_path: Path) -> None:
    text = DESIGN.replace("seeds: 3", "seeds: 2\ndesign: {guided: 4}")
    design = begin(tmp_path / "tiny", text)
    configuration = design.grid.configurations[4]
    write_trial(tmp_path / "tiny", trial_row(replace(configuration, seed=0), 3.0, started_at=datetime.now(UTC)))
    found = snapshot(tmp_path / "tiny")
    assert found.total == 8
    assert [row.states for row in found.configurations] == [("waiting", "waiting"), ("done", "waiting")]


def test_looking_again_reads_nothing_twice(tmp_path: Path) -> None:
    design = begin(tmp_path / "tiny")
    lookout = Lookout(tmp_path / "tiny")
    for at in range(12):
        end(tmp_path / "tiny", design, at)
        assert lookout.look().counts["done"] == at + 1
    assert lookout.ledger.opened == 12
    compact(tmp_path / "tiny")
    assert lookout.look().counts["done"] == 12
    assert lookout.ledger.opened == 13


def seen(configurations: int, seeds: int, running: int, label: str = "configuration") -> Snapshot:
    states = ("done", "waiting", "failed")
    rows = tuple(
        Configuration(f"{label} {at}", tuple(states[(at + seed) % 3] for seed in range(seeds)))
        for at in range(configurations)
    )
    state = Running(
        trial_id="a", sweep="s", point=None, host="h", pid=1, attempt=1, started_at=0.0, stage="training", step=5,
        steps=10, tokens_per_second=5e3, phase="2", train_loss=3.2, losses=(5.0, 4.0), log="l",
    )  # fmt: skip
    total = len(rows) * seeds
    counts = {"done": total - running, "running": running, "waiting": 0, "stalled": 0, "diverged": 0, "failed": 0}
    error = Ended("x", "that one, seed 0", "error", "out of memory " * 20, None, 0.0)
    active = tuple(Active(f"configuration {at}", at, state, 0.0, False) for at in range(running))
    return Snapshot("s", "results/s", tuple(range(seeds)), rows, counts, total, 0, active, (), None, error, 60.0,
                    True, False, ())  # fmt: skip


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 12), (200, 60)])
@pytest.mark.parametrize("configurations", [1, 5, 35, 500, 5_000])
@pytest.mark.parametrize("running", [0, 1, 64])
def test_a_picture_of_any_sweep_fits_the_terminal(width: int, height: int, configurations: int, running: int) -> None:
    found = seen(configurations, 2, running)
    lines = picture_lines(found, width, height)
    assert len(lines) <= height
    assert max(line.cell_len for line in lines) <= width
    assert ("!" in "".join(line.plain for line in lines[2:])) == (configurations > 1)
    if running > 16:
        assert f"… and {running - sum('3.200' in line.plain for line in lines)} more are running" in text_of(
            found, width, height
        )


def test_small_sweeps_name_each_configuration_and_large_ones_do_not() -> None:
    assert all(f"configuration {at} " in text_of(seen(9, 2, 0), 80, 24) for at in range(9))
    blocks = text_of(seen(75, 3, 0), 80, 24)
    assert "configuration" not in blocks
    assert blocks.count("●·!") + blocks.count("·!●") + blocks.count("!●·") == 75
    several = text_of(seen(5_000, 2, 0), 80, 24)
    assert "configurations with 2 seeds" in several


def test_one_symbol_for_several_shows_what_needs_attention() -> None:
    assert live._telling(["done", "waiting", "failed", None]) == "failed"
    assert live._telling(["done", "running", "failed"]) == "running"
    assert live._telling(["done", "done"]) == "done"


def test_names_from_files_neither_break_lines_nor_the_terminal() -> None:
    told = text_of(seen(2, 1, 1, label="[red]x[/]\n\x1b[31m" + "宽" * 100), 60, 20)
    assert "\x1b" not in told
    assert "[red]" in told
    assert all(len(line.encode()) <= 400 for line in told.splitlines())


def test_a_terminal_that_knows_ascii_only_gets_ascii() -> None:
    assert text_of(seen(3, 2, 2), ascii_only=True).replace("…", "").isascii()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=100), st.integers(1, 40))
@settings(max_examples=50)
def test_a_sparkline_rises_with_what_it_shows(values: list[float], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == min(width, len(values))
    assert set(line) <= set(live.BARS)
    ordered = sparkline(sorted(values), width)
    assert list(ordered) == sorted(ordered)


def test_a_sparkline_of_nothing_is_nothing() -> None:
    assert sparkline([], 10) == ""
    assert sparkline([2.0], 10) == "▁"
    assert sparkline([3, 2, 1], 3) == "█▅▁"


# The command


def bitskip(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BITSKIP), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


def test_watch_shows_all_sweeps_of_a_folder_once(tmp_path: Path) -> None:
    over = begin(tmp_path / "over", DESIGN.replace("tiny", "over").replace("bits: [16, 8, 4]", "bits: [16]"))
    for at in range(len(over.trials)):
        end(tmp_path / "over", over, at)
    going = begin(tmp_path / "going", DESIGN.replace("tiny", "going"))
    end(tmp_path / "going", going, 0)
    done = bitskip("watch", tmp_path, "--once")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if "/" in line and "━" in line] == ["over", "going"]
    assert "9/9" in lines[0]
    assert "V1" in done.stdout
    objects = [json.loads(line) for line in bitskip("watch", tmp_path, "--once", "--json").stdout.splitlines()]
    assert [(each["event"], each["name"], each["complete"]) for each in objects] == [
        ("snapshot", "going", False),
        ("snapshot", "over", True),
    ]
    assert objects[0]["counts"]["done"] >= 1


@pytest.mark.parametrize(
    ("name", "message"), [("missing", "no such folder"), ("empty", "no sweep in it"), ("file", "is a file")]
)
def test_watching_nothing_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=message):
        watch(tmp_path / name, Console(file=io.StringIO()), once=True)


def test_watching_without_a_terminal_prints_a_line_per_change_and_ends(tmp_path: Path, monkeypatch: Any) -> None:
    design = begin(tmp_path / "tiny", DESIGN.replace("seeds: 3", "seeds: 1"))
    end(tmp_path / "tiny", design, 0)
    left = list(range(1, len(design.trials)))

    def another(_: float) -> None:
        if left:
            end(tmp_path / "tiny", design, left.pop(0))

    monkeypatch.setattr(live.time, "sleep", another)
    console = Console(file=io.StringIO(), width=80)
    watch(tmp_path, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert sum("perplexity" in line for line in lines) == 5
    assert lines[0].startswith("tiny: 1/6, 1 done, 5 waiting")
    assert lines[-1].startswith("tiny: 6/6, 6 done")
    assert summary_line(snapshot(tmp_path / "tiny")) == lines[-1]


def test_a_terminal_gets_the_picture(tmp_path: Path, monkeypatch: Any) -> None:
    design = begin(tmp_path / "tiny", DESIGN.replace("seeds: 3", "seeds: 1"))

    def all_done(_: float) -> None:
        for at in range(len(design.trials)):
            end(tmp_path / "tiny", design, at)

    monkeypatch.setattr(live.time, "sleep", all_done)
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    watch(tmp_path, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0/6" in printed
    assert "6/6" in printed
