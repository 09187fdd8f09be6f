"""The plan of a sweep and the switches that run a part of it; prefix sharing through the command."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from test_cli import bitskip, ok

from bitskip.engine.calibrate import calibrate
from bitskip.engine.plan import plan_sweep
from bitskip.errors import UserError
from bitskip.model.decoder import build_model
from bitskip.store.tables import load_results
from bitskip.sweep.resources import Resources, local_gpus, local_slots
from bitskip.sweep.sweep_file import load_sweep
from bitskip.training.checkpoint import packed_state, stored_bytes
from bitskip.training.trainer import run_trial
from bitskip.trial.config import make_trial
from bitskip.trial.cost import (
    Speed,
    assumed_speed,
    estimate,
    flops_per_step,
    non_embedding_parameters,
    total_seconds,
    trial_seconds,
    weights_bytes,
)

SWEEP = """
name: tiny
base:
  model: {layers: 2, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}
  data: {tokenizer: bytes}
  tokens: 8_000
  seq_len: 32
  batch_size: 8
  eval_tokens: 1_000
  curve_tokens: 500
  curve_points: 2
space:
  bits: [16, 8]
  exit_weight: [0.0, 0.3]
  phase: [1, 2, 1+2]
exclude: [{bits: 16, exit_weight: 0.3, phase: 2}]
"""
STEPS = 31


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SWEEP)
    return path


def plan(file: Path, *options: str) -> dict[str, Any]:
    return json.loads(ok("sweep", file, "--results", file.parent / "results", "--dry-run", "--json", *options))


def test_the_plan_has_counts_costs_and_what_is_missing(file: Path) -> None:
    found = plan(file, "--set", "resources.price_per_hour=2", "--no-calibrate", "--max-trials", "2")
    assert (found["points"], found["distinct"], found["done"]) == (12, 5, 0)
    assert (found["to_run"], found["left"]) == (2, 3)
    assert found["excluded"] == {"{bits: 16, exit_weight: 0.3, phase: 2}": 1}
    # Of 11 points, 5 are distinct; both 1+2 start where phase 1 is half way.
    half = STEPS - round(STEPS / 2)
    assert found["steps"] == {
        "points": 11 * STEPS,
        "distinct": 5 * STEPS,
        "trained": 3 * STEPS + 2 * half,
        "to_run": STEPS + half,
    }
    (gap,) = found["not_estimable"]
    assert gap["axes"] == ["bits", "phase"]
    assert gap["never"] == [{"levels": "bits 16 with phase 2", "excluded_by": "{bits: 16, exit_weight: 0.3, phase: 2}"}]
    assert found["price"] == pytest.approx(2 * found["device_hours"])
    assert found["calibration"] is None
    assert found["problems"] == []
    assert set(found["disk_bytes"]) == {"results", "weights", "checkpoints", "prefixes"}
    assert {"tokens", "flops", "memory_bytes_per_trial", "slots", "estimated_hours", "finish", "trials"} <= set(found)


def test_the_plan_says_what_the_machine_lacks(file: Path) -> None:
    found = plan(file, "--set", "resources={cpus: 4096, gpus: 8, strategy: ddp}", "--no-calibrate")
    assert found["problems"][0].startswith("a trial asks for 4096 CPU, here are ")
    printed = ok("sweep", file, "--dry-run", "--set", "resources.cpus=4096", "--no-calibrate")
    assert "problem: a trial asks for 4096 CPU" in printed
    refused = bitskip("sweep", file, "--results", file.parent / "r", "--set", "resources.cpus=4096")
    assert refused.returncode == 2
    assert "asks for 4096 CPU" in refused.stderr
    assert list((file.parent / "r").glob("*")) == []  # before anything starts


def test_sharing_can_be_switched_off(file: Path) -> None:
    found = plan(file, "--set", "share_prefixes=false", "--no-calibrate")
    assert found["steps"]["trained"] == found["steps"]["distinct"] == 5 * STEPS
    assert (found["prefixes"], found["disk_bytes"]["prefixes"]) == (0, 0)


@pytest.mark.parametrize("budget", ["soon", "-1s", "1w", "inf", ""])
def test_a_time_budget_that_is_none_is_refused(file: Path, budget: str) -> None:
    done = bitskip("sweep", file, "--time-budget", budget)
    assert done.returncode == 2
    assert f"--time-budget: '{budget}' is no duration; write 90s, 15m, 8h or 2d" in done.stderr


@pytest.mark.slow
def test_a_sweep_in_parts_trains_each_shared_step_once(file: Path) -> None:
    """Through Ray: --max-trials and --time-budget stop early with exit status 0, and the rest follows."""
    results = file.parent / "results"
    options = ("--results", str(results))
    spent = bitskip("sweep", file, *options, "--time-budget", "0")
    assert spent.returncode == 0, spent.stderr
    assert "the time budget is spent; 5 trials are left" in spent.stderr
    first = bitskip("sweep", file, *options, "--max-trials", "1")
    assert first.returncode == 0, first.stderr
    assert "--max-trials is reached; 4 trials are left" in first.stderr
    assert len(list((results / "tiny" / "prefixes").iterdir())) == 1  # for the 1+2 that is still to run
    planned = plan(file, "--no-calibrate")
    assert planned["trials"][0]["starts_at_step"] == round(STEPS / 2)
    ok("sweep", file, *options)
    assert list((results / "tiny" / "prefixes").iterdir()) == []
    found = load_results(results)
    rows = {row["trial_id"]: row for row in found.trials.to_pylist()}
    trained = sum(row["tokens_trained"] // 256 - (row["forked_at_step"] or 0) for row in rows.values())
    assert trained == planned["steps"]["trained"] < planned["steps"]["distinct"]
    forked = [trial for trial in load_sweep(file).trials if trial["phase"] == "1+2"]
    assert [rows[trial.trial_id]["forked_at_step"] for trial in forked] == [round(STEPS / 2)] * 2
    for trial in forked:
        alone, row = run_trial(trial), rows[trial.trial_id]
        assert (row["loss"], row["last_finite_loss"]) == (alone.loss, alone.last_finite_loss)
        curve = [row for row in found.curves.to_pylist() if row.pop("trial_id") == trial.trial_id]
        assert curve == [vars(point) for point in alone.curve]
        assert 0 < row["shared_seconds"] < row["train_seconds"]


@pytest.mark.slow
def test_an_adaptive_sweep_runs_batch_after_batch(file: Path) -> None:
    options = ("--results", str(file.parent / "results"), "--set", "design.optuna=2", "--set", "resources.cpus=2")
    printed = ok("sweep", file, *options)
    assert "design optuna: 2, chosen batch by batch" in printed
    assert len(load_results(file.parent / "results").trials) == 2
    assert "0 to run" in ok("sweep", file, *options)


def test_a_finished_configuration_takes_the_place_of_another_in_a_fraction(tmp_path: Path) -> None:
    from sweep.test_designs import store

    sweep = load_sweep(Path(__file__).parents[2] / "sweeps" / "full_grid.yaml", overrides=("design.fractional=16",))
    plan = plan_sweep(sweep, tmp_path)
    inside = {trial.configuration_id for trial in plan.to_run}
    outside = [c for c in sweep.grid.configurations if c.configuration_id not in inside][:3]
    for configuration in outside:
        store(configuration, tmp_path / "other")
    changed = plan_sweep(sweep, tmp_path)
    assert len(changed.sweep.trials) == len(sweep.trials)
    assert {c.configuration_id for c in outside} < {trial.configuration_id for trial in changed.sweep.trials}
    assert changed.done == 3  # seed 0 of each; seed 1 is to run
    assert {t.configuration_id for t in changed.to_run} - inside == {c.configuration_id for c in outside}


def test_the_plan_warns_of_trials_with_fewer_than_five_tokens_a_parameter(file: Path) -> None:
    parameters = non_embedding_parameters(load_sweep(file).trials[0].model)
    options = ("--results", file.parent / "results", "--dry-run", "--no-calibrate", "--set")
    enough = f"space.tokens=[{4 * parameters}, {5 * parameters}]"
    found = json.loads(ok("sweep", file, *options, enough, "--json"))
    assert (found["undertrained"], found["to_run"]) == (5, 10)
    printed = " ".join(ok("sweep", file, *options, enough).split())
    assert "5 of 10 trials train on fewer than 5 tokens a parameter" in printed
    assert "a parameter:" not in ok("sweep", file, *options, f"base.tokens={5 * parameters}")


# Cost and calibration


def test_speed_is_interpolated_between_what_was_measured() -> None:
    speed = Speed(((1e6, 1e9), (1e8, 4e9)))
    assert [speed.at(flops) for flops in (1e5, 1e6, 1e8, 1e9)] == pytest.approx([1e9, 1e9, 4e9, 4e9])
    assert speed.at(1e7) == pytest.approx(2e9)
    assert assumed_speed(2, 0).at(1.0) == 2 * assumed_speed(1, 0).at(1.0)


def test_a_forked_trial_costs_what_it_trains_itself() -> None:
    trial = make_trial(curve_points=1, curve_tokens=2, eval_tokens=2, tokens=1_000_000)
    speed = assumed_speed(1, 0)
    whole, half = trial_seconds(trial, speed), trial_seconds(trial, speed, start=488)
    assert half / whole == pytest.approx(0.5, rel=1e-2)
    assert whole == pytest.approx(estimate(trial).seconds, rel=1e-2)
    assert total_seconds([trial] * 4, speed, 2) == pytest.approx((4 * whole, 2 * whole))
    assert total_seconds([trial], speed, 8)[1] == whole
    assert total_seconds([trial], speed, 1, {trial.trial_id: 488})[0] == half


@pytest.mark.parametrize("axes", [{}, {"bits": 4, "hadamard": True}, {"weights": "ternary"}], ids=str)
def test_stored_weights_are_as_large_as_planned(axes: dict[str, Any]) -> None:
    trial = make_trial(**axes)
    assert weights_bytes(trial) == pytest.approx(stored_bytes(packed_state(build_model(trial))), rel=0.01)


def test_calibration_is_measured_once_and_needs_no_data(tmp_path: Path) -> None:
    small, large = (
        make_trial(seq_len=16, tokens=10**6),
        make_trial(seq_len=64, bits=4, exit_weight=0.3, dropout="linear"),
    )
    assert calibrate([small, large], Resources(), wanted=False, cache=tmp_path) is None
    assert calibrate([], Resources(), cache=tmp_path) is None
    first = calibrate([large, small], Resources(), cache=tmp_path)
    assert first is not None
    assert not first.cached
    assert {flops for flops, _ in first.speed.measured} == {flops_per_step(small), flops_per_step(large)}
    assert all(0 < speed < 1e15 and math.isfinite(speed) for _, speed in first.speed.measured)
    again = calibrate([small, large, make_trial(seq_len=32)], Resources(), wanted=False, cache=tmp_path)
    assert again is not None
    assert again.cached
    assert sorted(again.step_seconds) == sorted(first.step_seconds)
    assert [path.name for path in tmp_path.iterdir()] == ["calibration"]
    own_text = make_trial(seq_len=16, data={"files": ["a.txt"]})
    own_text = dataclasses.replace(own_text, data=dataclasses.replace(own_text.data, digest="of the text"))
    assert calibrate([own_text], Resources(), wanted=False, cache=tmp_path) is not None
    # Other seeds and budgets take as long a step; other threads do not.
    assert calibrate([make_trial(seq_len=16, seed=3, lr=1.0)], Resources(), wanted=False, cache=tmp_path) is not None
    assert calibrate([small], Resources(cpus=2), wanted=False, cache=tmp_path) is None
    for path in (tmp_path / "calibration").iterdir():
        path.write_text("torn")
    assert calibrate([small], Resources(), wanted=False, cache=tmp_path) is None


def test_a_trial_that_does_not_fit_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr("bitskip.training.trainer.steps_on_random_tokens", fail)
    with pytest.raises(UserError, match=r"--calibrate: trial \w{8} cannot be trained here: CUDA out of memory\.$"):
        calibrate([make_trial()], Resources(), cache=tmp_path)


@pytest.mark.parametrize(("visible", "count"), [("0,1", 2), ("", 0), ("-1", 0), ("GPU-8f2a", 1)])
def test_visible_gpus_are_counted(visible: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local_gpus() == count
    assert local_slots(Resources(gpus=0.5)) <= max(1, 2 * count)


def test_what_takes_long_is_not_measured_unasked(tmp_path: Path) -> None:
    assert calibrate([make_trial(model="paper", seq_len=512, batch_size=64)], Resources(), cache=tmp_path) is None


def test_the_plan_shows_defects_and_names_as_they_are_and_long_rules_in_short(tmp_path: Path) -> None:
    """Square brackets are markup to the terminal library; a rule over artefacts is as long as its levels."""
    path = tmp_path / "tiny.yaml"
    levels = [{"causal_mask": False}, {"causal_mask": False, "tiny_init": True}, {"tiny_init": True}]
    grid = {"bits": [16, 8], "artefacts": [{}, *levels]}
    rule = {"bits": 8, "artefacts": levels}
    path.write_text(
        f"name: tiny\npoints: {{'[red]V9': {{bits: 4}}}}\nspace: {json.dumps(grid)}\nexclude: [{json.dumps(rule)}]\n"
    )
    shown = ok("sweep", path, "--results", tmp_path / "results", "--dry-run", "--no-calibrate")
    assert "[red]V9" in shown
    assert "[artefact" in shown
    (excluded,) = (line for line in shown.splitlines() if "excluded by" in line and line.startswith("  3"))
    assert excluded.endswith("…")
    assert len(excluded) < 130


def test_the_plan_says_how_text_is_cut_into_documents(tmp_path: Path) -> None:
    text, path = tmp_path / "stories.txt", tmp_path / "s.yaml"
    text.write_text("\n \n".join(f"Story {i} is short." for i in range(60)))
    path.write_text(
        f"name: s\nbase: {{model: nano, tokens: 8000, data: {{files: [{text}]}}}}\nspace: {{bits: [16, 8]}}"
    )
    (told,) = plan(path, "--no-calibrate")["text"]
    assert (told["found"], told["kept"], told["cut"]) == (60, 60, "cut at empty lines")
    shown = ok("sweep", path, "--results", tmp_path / "results", "--dry-run", "--no-calibrate")
    assert "60 documents in 1 file (cut at empty lines)" in shown
    text.write_text(text.read_text() + "\n<|endoftext|>\n")
    refused = bitskip("sweep", path, "--results", tmp_path / "results", "--dry-run", "--no-calibrate")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"bitskip: {path}:2: data.files: {text}:")
    assert refused.stderr.count("\n") == 1


def test_a_scale_rule_that_changes_with_the_bits_is_told(file: Path) -> None:
    crossed = "space={bits: [16, 8, 4], hadamard: [none, bitnet-v2]}"
    options = ("--set", "exclude=[]", "--set", crossed, "--no-calibrate")
    assert plan(file, *options)["scales_by_bits"] == {"8": "absmax", "4": "absmean"}
    assert plan(file, *options, "--set", "base.activation_scale=bitnet-v2")["scales_by_bits"]
    told = " ".join(ok("sweep", file, "--dry-run", *options).split())
    assert "absmax at 8 bits, absmean at 4 bits" in told
    assert "activation_scale: absmax" in told
    assert plan(file, *options, "--set", "base.activation_scale=absmax")["scales_by_bits"] == {}
    both = "space={bits: [8, 4], hadamard: [none, bitnet-v2], activation_scale: [absmax, absmean]}"
    assert plan(file, *options[:2], "--set", both, "--no-calibrate")["scales_by_bits"] == {}
    assert plan(file, *options[:2], "--set", "space={bits: [8, 4]}", "--no-calibrate")["scales_by_bits"] == {}
