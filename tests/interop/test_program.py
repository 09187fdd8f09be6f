"""Trainers of one's own: a script or a function, with the ledger, faults and designs of bitskip's own trials."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import bitskip
from bitskip.errors import UserError

SCRIPT = """#!/bin/sh
# rank, optimizer, seed
echo "warming up" >&2
sleep ${PAUSE:-0}
awk "BEGIN { print \\"{\\\\\\"loss\\\\\\": \\" 3 - 0.01 * $1 + 0.1 * (\\"$2\\" == \\"lion\\") + 0.01 * $3 \\"}\\" }"
"""
SWEEP = """
name: mine
factors: {rank: 0, optimizer: adamw}
command: ./train.sh {rank} {optimizer} {seed}
space: {rank: [0, 4, 16], optimizer: [adamw, lion]}
seeds: 2
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "train.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    (tmp_path / "mine.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(*words: str, pause: float = 0, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bitskip", *words]
    environment = os.environ | {"PAUSE": str(pause)}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def ran(*words: str) -> tuple[int, str, str]:
    process = started(*words)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def sweep(*options: str) -> tuple[int, str, str]:
    return ran("sweep", "mine.yaml", "--executor", "inline", *options)


def edit(place: Path, old: str, new: str) -> None:
    text = (place / "mine.yaml").read_text()
    assert old in text
    (place / "mine.yaml").write_text(text.replace(old, new))


def rows(place: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bitskip.load_results(place / "results").trials.to_pylist()
    return found


def test_a_script_is_swept_reported_and_suggested_to(place: Path) -> None:
    status, out, _ = sweep()
    assert (status, "12 to run" in out) == (0, True)
    found = {(row["rank"], row["optimizer"], row["seed"]): row["loss"] for row in rows(place)}
    assert len(found) == 12
    assert found[16, "lion", 1] == pytest.approx(2.95)
    (log,) = (place / "results/mine/logs").glob(f"{rows(place)[0]['trial_id']}.log")
    assert "warming up" in log.read_text()
    effects = bitskip.composition_effects(bitskip.load_results(place / "results"))
    assert all(abs(effect.value) < 1e-9 for effect in effects)
    assert "0 to run" in sweep()[1]
    assert ran("suggest", "-n", "1")[0] == 0
    status, out, err = ran("sweep", "suggested.yaml", "--executor", "inline")
    assert status == 0, err
    assert len(rows(place)) == 13
    assert "phase 1" not in out


def test_a_killed_sweep_goes_on_and_leaves_no_process(place: Path) -> None:
    process = started("sweep", "mine.yaml", "--executor", "inline", pause=1, start_new_session=True)
    until = time.monotonic() + 60
    while not list(place.glob("results/mine/trials/*.parquet")) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = {row["trial_id"]: row["started_at"] for row in rows(place)}
    assert 0 < len(kept) < 12
    assert sweep()[0] == 0
    found = {row["trial_id"]: row["started_at"] for row in rows(place)}
    assert len(found) == 12
    assert kept.items() <= found.items()


def test_an_interrupted_sweep_ends_its_script(place: Path) -> None:
    process = started("sweep", "mine.yaml", "--executor", "inline", pause=30, start_new_session=True)
    until = time.monotonic() + 60
    while not list(place.glob("results/mine/running/*.json")) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(place) not in listed
    assert "./train.sh 0 adamw 0" not in listed


def test_a_failing_script_is_a_row_and_three_alike_end_the_sweep(place: Path) -> None:
    (place / "train.sh").write_text("#!/bin/sh\necho no room left\nexit 3\n")
    status, _, err = sweep()
    assert status == 1
    assert "the first 3 trials failed alike: its command ended with status 3: no room left" in err
    assert [row["status"] for row in rows(place)] == ["error"] * 3


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("training", "its command printed no JSON object"),
        ('{"los": 1}', "its metrics have no 'loss'; did you mean 'los'?"),
        ('{"loss": "low"}', "loss is no number but 'low'"),
    ],
)
def test_what_gives_no_metric_says_so(place: Path, printed: str, reason: str) -> None:
    (place / "train.sh").write_text(f"#!/bin/sh\necho '{printed}'\n")
    sweep("--max-trials", "1")
    (row,) = rows(place)
    assert row["status"] == "error"
    assert row["reason"].startswith(reason)


def test_a_loss_that_is_not_finite_is_a_divergence(place: Path) -> None:
    (place / "train.sh").write_text("#!/bin/sh\necho '{\"loss\": NaN}'\n")
    assert sweep("--max-trials", "1")[0] == 0
    assert [row["status"] for row in rows(place)] == ["diverged"]


def test_a_time_limit_ends_the_script_and_all_that_it_started(place: Path) -> None:
    (place / "train.sh").write_text("#!/bin/sh\nsleep 54.321\n")
    sweep("--max-trials", "1", "--set", "resources.time_limit=0.5")
    (row,) = rows(place)
    assert (row["status"], row["reason"]) == ("timeout", "longer than the limit of 0.5 s")
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 54.321" not in listed


def test_metrics_come_from_a_file_in_their_own_unit(place: Path) -> None:
    """With a checkpoint that outlives an attempt, and what else is a column of results."""
    (place / "train.py").write_text(
        "import json, pathlib, sys\n"
        "result, kept = map(pathlib.Path, sys.argv[1:3])\n"
        "if not (kept / 'half').exists():\n"
        "    (kept / 'half').touch(); sys.exit('interrupted')\n"
        "result.write_text(json.dumps({'ppl': 20.0, 'params': 7, 'colour': 'red'}))\n"
    )
    (place / "mine.yaml").write_text(
        "name: mine\nfactors: {rank: 0}\nspace: {rank: [4]}\ncommand:\n"
        f"  run: {sys.executable} train.py {{result}} {{checkpoint}} {{rank}}\n  metric: ppl\n  unit: perplexity\n"
    )
    assert sweep()[0] == 1
    assert sweep()[0] == 0
    (row,) = rows(place)
    assert (row["status"], row["ppl"], row["params"]) == ("ok", pytest.approx(20.0), 7)
    assert not list(place.glob("results/mine/checkpoints/*"))


def test_a_function_is_called_with_what_it_has_parameters_for(place: Path) -> None:
    (place / "own_trainer.py").write_text(
        "def run(rank, optimizer, seed):\n    return {'loss': 3 - 0.01 * rank + (optimizer == 'lion') + 0.01 * seed}\n"
    )
    edit(place, "command: ./train.sh {rank} {optimizer} {seed}", "trainer: own_trainer:run")
    status, _, err = sweep()
    assert status == 0, err
    assert {round(row["loss"], 6) for row in rows(place) if row["rank"] == 4} == {2.96, 2.97, 3.96, 3.97}
    (place / "own_trainer.py").write_text("def run(rank):\n    return {'loss': 3.0}\n")
    status, _, err = sweep("--set", "name=other")
    assert (status, "has no parameter 'optimizer'" in err) == (2, True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{rank}", "{rnk}", r"mine.yaml:4: command: \{rnk\} is no axis; did you mean 'rank'"),
        ("{optimizer} ", "", r"mine.yaml:4: command: \{optimizer\} is nowhere in it"),
        ("{seed}", "'", "mine.yaml:4: command: No closing quotation"),
        ("command: ./train.sh {rank} {optimizer} {seed}", "trainer: f", "mine.yaml:4: trainer: 'f' is no function"),
        ("seeds: 2", "trainer: a:b", "mine.yaml:4: a sweep has a `command:` or a `trainer:`, not both"),
        ("rank: 0", "bits: 16", "mine.yaml:3: factors: 'bits' is an axis of bitskip"),
        ("rank: 0", "rank: [0]", "mine.yaml:3: factors: rank needs its baseline"),
        ("rank: 0", "a-b: 0", "mine.yaml:3: factors: 'a-b' is no name of a factor"),
        ("adamw, lion]", "adamw, 3]", "mine.yaml:5: optimizer: expected a name, got 3"),
    ],
)
def test_mistakes_are_named_at_their_line(place: Path, old: str, new: str, message: str) -> None:
    edit(place, old, new)
    with pytest.raises(UserError, match=message):
        bitskip.load_sweep("mine.yaml")


def test_a_program_that_is_not_there_is_known_before_a_trial_starts(place: Path) -> None:
    (place / "train.sh").unlink()
    status, _, err = sweep()
    assert (status, "./train.sh: no such program" in err) == (2, True)


def test_printed_steps_are_the_curve_of_a_trial(place: Path) -> None:
    """Interleaved with other lines; the last object without a step has the metric. The plan knows the hours then."""
    (place / "train.py").write_text(
        "import json, sys\n"
        "for step in range(0, 3000, 2):\n"
        "    print(json.dumps({'step': step, 'loss': 4 - step / 3000, 'lr': 0.1, 'note': 'x'}))\n"
        "print('step 5'); print(json.dumps({'step': 2998, 'train_loss': 1.5, 'tokens': 77}))\n"
        "print(json.dumps({'loss': 2.5}))\n"
    )
    edit(place, "./train.sh {rank} {optimizer} {seed}", f"{sys.executable} train.py {{rank}} {{optimizer}}")
    status, out, err = sweep("--dry-run")
    assert (status, "how long that takes is not known" in out) == (0, True), err
    assert sweep("--max-trials", "1")[0] == 0
    (row,), curve = rows(place), bitskip.load_results(place / "results").curves.to_pylist()
    assert row["loss"] == 2.5
    assert 500 <= len(curve) <= 1000
    assert [point["val_loss"] for point in curve] == pytest.approx([4 - point["step"] / 3000 for point in curve])
    assert {point["lr"] for point in curve} == {0.1}
    last = curve[-1]
    assert (last["step"], last["train_loss"], last["tokens"]) == (2998, 1.5, 77)
    out = sweep("--dry-run")[1]
    assert "by the trials that have run" in out
    plan = json.loads(sweep("--dry-run", "--json")[1])
    assert plan["estimated_hours"] == pytest.approx(11 * row["train_seconds"] / plan["slots"] / 3600)


def test_a_function_gives_its_curve_back(place: Path) -> None:
    (place / "own_trainer.py").write_text(
        "def run(rank, optimizer, seed):\n"
        "    return {'acc': 0.5, 'curve': [{'step': at, 'acc': at / 10, 'phase': 3} for at in range(4)]}\n"
    )
    told = "trainer: {run: 'own_trainer:run', metric: acc, unit: share, higher_is_better: true}"
    edit(place, "command: ./train.sh {rank} {optimizer} {seed}", told)
    assert sweep("--max-trials", "1")[0] == 0
    curve = bitskip.load_results(place / "results").curves.to_pylist()
    assert [(point["step"], point["measured"]) for point in curve] == [(0, None), (1, 0.1), (2, 0.2), (3, 0.3)]
    (place / "own_trainer.py").write_text("def run(rank, optimizer, seed):\n    return {'acc': 0.5, 'curve': 3}\n")
    sweep("--max-trials", "1")
    assert "its `curve` is no list of objects with a `step`" in [row["reason"] for row in rows(place)]
