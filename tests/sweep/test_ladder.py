"""Ladders: every point at every rung, by hand counts and a brute-force twin; the plan; every message."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from test_cli import bitskip, ok

from bitskip.errors import UserError
from bitskip.model.decoder import build_model
from bitskip.sweep.sweep_file import Sweep, load_sweep
from bitskip.trial.config import PRESETS, make_trial
from bitskip.trial.cost import estimate, non_embedding_parameters

BASE = {"batch_size": 4, "data": {"tokenizer": "bytes"}}
LADDER = {"models": ["femto", "pico", "nano"], "tokens_per_parameter": [5, 20]}


@pytest.fixture
def load(tmp_path):
    def loaded(content: Any, *overrides: str) -> Sweep:
        path = tmp_path / "x.yaml"
        if isinstance(content, str):
            path.write_text(content)
        else:
            with path.open("w") as sink:
                YAML(typ="safe").dump(content, sink)
        return load_sweep(path, None, overrides)

    return loaded


def test_presets_grow_in_width_and_depth_and_their_blocks_are_counted_without_building_them():
    sizes = list(PRESETS.values())
    assert [size.width for size in sizes] == [16, 32, 64, 128, 256, 512, 1024, 2048]
    assert [size.layers for size in sizes] == sorted(size.layers for size in sizes)
    for size, expected in (("pico", 0.05e6), ("mini", 2e6)):
        assert non_embedding_parameters(PRESETS[size]) == pytest.approx(expected, rel=0.1)
    for name in ("femto", "pico", "nano"):
        model = build_model(make_trial(model=name))
        blocks = sum(p.numel() for part, p in model.named_parameters() if "embed" not in part and "head" not in part)
        assert non_embedding_parameters(PRESETS[name]) == blocks


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    models=st.lists(st.sampled_from(["femto", "pico", "nano", "mini"]), min_size=1, max_size=3, unique=True),
    budgets=st.lists(st.sampled_from([1, 2.5, 5, 20]), min_size=1, max_size=3, unique=True),
    bits=st.lists(st.sampled_from([16, 8, 4]), min_size=1, unique=True),
    rates=st.lists(st.sampled_from([1e-3, 2e-3]), min_size=1, unique=True),
)
def test_every_point_at_every_rung(load, models, budgets, bits, rates):
    sweep = load({
        "base": BASE, "ladder": {"models": models, "tokens_per_parameter": budgets},
        "space": {"bits": bits, "lr": rates}, "points": {"plain": {"phase": 1}}, "seeds": 2,
    })  # fmt: skip
    expected, rungs = set(), {}
    for model, budget in itertools.product(models, budgets):
        tokens = math.ceil(budget * non_embedding_parameters(PRESETS[model]) / 512) * 512
        rungs[model, tokens] = estimate(make_trial(**BASE, model=model, tokens=tokens)).flops
        for cell in [{"phase": 1}, *({"bits": b, "lr": lr} for b in bits for lr in rates)]:
            expected |= {make_trial(**BASE, model=model, tokens=tokens, seed=s, **cell).trial_id for s in (0, 1)}
    assert {trial.trial_id for trial in sweep.trials} == expected
    assert [(rung.model, rung.trial.training.tokens) for rung in sweep.ladder.rungs] == sorted(rungs, key=rungs.get)
    assert len(sweep.ladder.first(1, sweep.trials)) == len(expected) // len(rungs)
    assert sum(sweep.point_of(trial) == "plain" for trial in sweep.trials) == 2 * len(rungs)
    again = load(dict(sweep.resolved))
    assert {trial.trial_id for trial in again.trials} == expected
    assert again.ladder == sweep.ladder


def test_budgets_in_tokens_are_taken_as_they_are_written(load):
    sweep = load({"ladder": {"models": ["pico", "nano"], "tokens": [10_000, 100_001]}, "space": {"bits": [16]}})
    assert {(t.model.width, t.training.tokens) for t in sweep.trials} == {
        (32, 10_000), (32, 100_001), (64, 10_000), (64, 100_001),
    }  # fmt: skip


def test_budgets_are_whole_batches_of_every_batch_size_in_the_space(load):
    sweep = load({
        "base": {"seq_len": 96}, "ladder": {"models": ["pico"], "tokens_per_parameter": [5]},
        "space": {"batch_size": [4, 6]},
    })  # fmt: skip
    assert {trial.training.tokens % (12 * 96) for trial in sweep.trials} == {0}
    assert len({trial.training.tokens for trial in sweep.trials}) == 1


def test_a_preset_gives_the_sizes_and_leaves_the_recipe(load):
    content = {"base": {"model": {"preset": "nano", "init_std": 0.06}}, "ladder": LADDER, "space": {"bits": [16, 8]}}
    sweep = load(content)
    assert {trial.model.init_std for trial in sweep.trials} == {0.06}
    assert {rung.model for rung in sweep.ladder.rungs} == {"femto", "pico", "nano"}
    content["ladder"] = {**LADDER, "models": [{"preset": "pico", "init_std": 0.1}, {"layers": 1, "width": 16}]}
    assert {trial.model.init_std for trial in load(content).trials} == {0.1, 0.06}


def test_a_design_that_chooses_chooses_points_and_runs_them_at_every_rung(load):
    space = {"bits": [16, 8, 4], "hadamard": ["none", "bitnet-v2"], "exit_weight": [0.0, 0.3], "phase": [2]}
    counts = []
    for design in ({"fractional": 8}, {"random": 5}, "ofat"):
        sweep = load({"ladder": LADDER, "space": space, "design": design, "points": {"a": {"bits": 8}}, "seeds": 2})
        at_rungs = [
            {(t["bits"], t["hadamard"], t["exit_weight"], t["phase"]) for t in sweep.trials if rung.holds(t)}
            for rung in sweep.ladder.rungs
        ]
        assert at_rungs == [at_rungs[0]] * 6
        assert len(sweep.trials) == len(at_rungs[0]) * 6 * 2
        counts.append(len(at_rungs[0]))
    assert counts[0] in (8, 9)  # the point may be one of the design's
    assert counts[1] in (5, 6)
    assert counts[2] == 1 + 2 + 1 + 1  # the baseline, bits (the point among them), rotation, exit loss


def test_a_rule_can_exclude_at_one_rung(load):
    content = {"ladder": LADDER, "space": {"bits": [16, 8]}, "exclude": [{"model": "femto", "bits": 8}]}
    assert [(t.model.width, t["bits"]) for t in load(content).trials if t.model.width == 16] == [(16, 16)] * 2


@pytest.mark.parametrize(
    ("ladder", "more", "message"),
    [
        ("ladder: 3\n", "", ":1: ladder: expected a mapping, got 3"),
        ("ladder:\n  model: [pico]\n", "", ":2: unknown key of ladder 'model'; did you mean 'models'?"),
        ("ladder:\n  tokens: [9]\n", "", ":1: models: expected a list, such as [pico, nano, mini], got None"),
        ("ladder:\n  models: pico\n  tokens: [9]\n", "", ":2: models: expected a list"),
        ("ladder:\n  models:\n  - pico\n  - picko\n  tokens: [9]\n", "", ":4: model: unknown preset 'picko'"),
        ("ladder:\n  models: [pico]\n", "", ":1: ladder: it has no budgets; write one of tokens and tokens_per"),
        ("ladder:\n  models: [pico]\n  tokens: [9]\n  tokens_per_parameter: [5]\n", "", ":1: ladder: it has both"),
        ("ladder:\n  models: [pico]\n  tokens:\n  - 9000\n  - 0\n", "", ":5: tokens: 0 is out of range"),
        ("ladder:\n  models: [pico]\n  tokens_per_parameter: [5, -1]\n", "", ":3: tokens_per_parameter: expected a n"),
        ("ladder:\n  models: [pico]\n  tokens_per_parameter: [5, true]\n", "", ":3: tokens_per_parameter: expected a"),
        ("ladder:\n  models: [pico, pico]\n  tokens: [9]\n", "", ":3: ladder: pico has the budget of 9 tokens twice"),
        ("ladder:\n  models: [pico]\n  tokens: [9]\n  hold_out: pico\n", "", ":4: hold_out: expected largest"),
        ("ladder: {models: [{width: 33}], tokens: [9]}\n", "", ":1: model: width 33 must be heads"),
        ("ladder: {models: [pico], tokens: [9]}\n", "  model: [nano]\n", ":4: space: 'model' is set by the ladder"),
        ("ladder: {models: [pico], tokens: [9]}\n", "  tokens: [8]\n", ":4: space: 'tokens' is set by the ladder"),
        ("ladder: {models: [pico], tokens: [9]}\n", "  model.width: [8]\n", ":4: space: 'model.width' is set by the"),
        ("ladder: {models: [pico], tokens: [9]}\n", "points: {a: {tokens: 8}}\n", ":4: points: 'tokens' is set by"),
        ("ladder: {models: [pico], tokens: [9]}\n", "design: {guided: 4}\n", ":4: design: guided chooses"),
    ],
)  # fmt: skip
def test_mistakes_are_named_at_their_line(load, tmp_path, ladder, more, message):
    with pytest.raises(UserError) as caught:
        load(f"{ladder}space:\n  bits: [16]\n{more}")
    assert str(caught.value).startswith(f"{tmp_path / 'x.yaml'}{message}")


def test_the_plan_has_a_line_for_each_rung_and_max_rung_takes_the_cheapest(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    content = {"base": BASE, "ladder": LADDER, "space": {"bits": [16, 8]}, "seeds": 2}
    with file.open("w") as sink:
        YAML(typ="safe").dump(content, sink)
    options = ("sweep", file, "--dry-run", "--no-calibrate", "--results", tmp_path / "results")
    found = json.loads(ok(*options, "--json"))
    rungs = found["rungs"]
    assert [(rung["trials"], rung["to_run"]) for rung in rungs] == [(4, 4)] * 6
    assert sum(rung["hours"] for rung in rungs) == pytest.approx(sum(trial["hours"] for trial in found["trials"]))
    assert [rung["tokens_per_parameter"] for rung in rungs] == pytest.approx([5, 20] * 3, rel=0.02)
    assert [rung["tokens"] for rung in rungs] == [rung["steps"] * 512 for rung in rungs]
    some = json.loads(ok(*options, "--json", "--max-rung", "2"))
    assert (some["to_run"], some["left"], some["distinct"]) == (8, 16, 24)
    assert [rung["to_run"] for rung in some["rungs"]] == [4, 4, 0, 0, 0, 0]
    printed = ok(*options)
    assert all(word in printed for word in ("femto", "pico", "nano", "46.3 k", "369 k", "tokens a"))
    content.pop("ladder")
    with file.open("w") as sink:
        YAML(typ="safe").dump(content, sink)
    refused = bitskip(*options, "--max-rung", "1")
    assert refused.returncode == 2
    assert "has no ladder" in refused.stderr


@pytest.mark.slow
def test_max_rung_stops_and_the_next_run_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    base = {**BASE, "seq_len": 16, "eval_tokens": 200, "curve_tokens": 100, "curve_points": 1, "diagnostic_points": 0}
    with file.open("w") as sink:
        YAML(typ="safe").dump(
            {"base": base, "ladder": {"models": ["femto", "pico"], "tokens": [640]}, "space": {"bits": [16, 8]}}, sink
        )
    options = ("sweep", file, "--results", tmp_path / "results", "--executor", "inline")
    ended = bitskip(*options, "--max-rung", "1")
    assert ended.returncode == 0
    assert "--max-rung is reached; 2 trials are left" in ended.stderr
    assert "2 already in results → 2 to run" in ok(*options)
    assert "0 to run" in ok(*options)
