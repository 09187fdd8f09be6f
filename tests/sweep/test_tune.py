"""Searches of a rate: known lowest points, edges, divergence, laws over rungs; and a sweep that begins with one."""

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bitskip.cli import app
from bitskip.errors import UserError
from bitskip.report.live import LinesView
from bitskip.store.tables import load_results
from bitskip.sweep.search import Loss, Search, stored_losses
from bitskip.sweep.sweep_file import load_sweep
from bitskip.sweep.tune import MOST_WIDENINGS, Measured, follow, optimum, predicted

TINY = """
name: tiny
base:
  model: {layers: 1, width: 16, heads: 2, kv_heads: 1, ffn_width: 32}
  data: stories
  data.vocab_size: 300
  seq_len: 32
  batch_size: 4
  tokens: 2048
  eval_tokens: 1024
  curve_tokens: 512
  curve_points: 1
  diagnostic_points: 0
  phase: 1
  lr: 3.2e-2
space: {bits: [16, 4]}
seeds: 2
resources: {cpus: 1}
"""

ONE_ARM = TINY.replace("[16, 4]", "[16]").replace("seeds: 2", "seeds: 1")


def bowl(lowest: float, bend: float = 0.1) -> Callable[[float], Measured]:
    return lambda value: Measured({100: 3.0 + bend * math.log2(value / lowest) ** 2})


@given(st.floats(-3.9, 3.9), st.floats(0.001, 2.0))
def test_the_lowest_point_of_a_parabola_is_found_wherever_it_lies(away: float, bend: float) -> None:
    lowest = 4e-3 * 2**away
    tried, asked = follow(4e-3, bowl(lowest, bend))
    found = optimum(tried)
    assert not asked
    assert not found.open
    assert math.isclose(found.exact, lowest, rel_tol=1e-6)


def test_beyond_the_widenings_it_is_open() -> None:
    tried, asked = follow(4e-3, bowl(10.0))
    assert not asked
    assert len(tried) == 3 + MOST_WIDENINGS
    assert optimum(tried).open
    assert optimum(tried).exact == max(tried)


def test_a_rate_that_diverges_is_worse_than_all_others() -> None:
    def measured(value: float) -> Measured:
        return Measured({100: math.inf}) if value > 3e-3 else bowl(2e-3)(value)

    tried, _ = follow(4e-3, measured)
    assert optimum(tried).exact == 2e-3
    everywhere, _ = follow(4e-3, lambda value: Measured({100: math.inf}))
    assert optimum(everywhere).open
    assert min(everywhere) < 4e-3 / 2  # it has looked for lower ones


def test_what_is_not_measured_is_asked_for_and_nothing_else() -> None:
    known = {4e-3: 3.0, 8e-3: 2.9}
    tried, asked = follow(4e-3, lambda value: Measured({100: known[value]}) if value in known else None)
    assert set(tried) == set(known)
    assert asked == [2e-3]


def test_the_error_is_that_of_seeds_and_of_the_measured_text() -> None:
    tried = {2.0**k: Measured({100: 3 + 0.1 * k * k, 101: 3 + 0.1 * (k - 0.5) ** 2}) for k in (-1, 0, 1)}
    found = optimum(tried)
    # Lowest points of the two seeds are half a step apart, so that their mean has a standard error of a quarter.
    assert found.error == pytest.approx(0.25, rel=1e-6)
    assert optimum({k: Measured({100: v.losses[100]}) for k, v in tried.items()}).error is None


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_law_over_size_and_budget_tells_the_next_rung(p: float, q: float) -> None:
    def law(size: float, tokens: float) -> float:
        return float(0.01 * size**p * tokens**q)

    known = [(n, d, law(n, d)) for n in (1e4, 1e5) for d in (1e5, 1e6)]
    expected = math.log2(law(1e6, 1e7))
    assert abs(math.log2(predicted(known, 1e6, 1e7, 4e-3)) - expected) <= 0.5 + 1e-6
    assert predicted([], 1e6, 1e7, 4e-3) == 4e-3
    assert predicted(known[:1], 1e6, 1e7, known[0][2]) == pytest.approx(known[0][2])


def ran(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_search_goes_on_where_it_was_stopped_and_its_rules_are_those_of_the_sweep(tmp_path: Path) -> None:
    file, results = tmp_path / "tiny.yaml", tmp_path / "results"
    file.write_text(TINY + "tuned: {lr: search}\n")
    inline = ("--results", str(results), "--executor", "inline")
    ran("tune", str(file), *inline, "--max-trials", "3")
    assert len(stored_losses(results)) == 3
    ran("sweep", str(file), *inline, "--no-calibrate")
    sweep = load_sweep(file, results=results)
    assert sweep.known
    assert all(trial.trial_id in stored_losses(results) for trial in sweep.trials)
    rates = {trial["bits"]: trial["lr"] for trial in sweep.trials}
    rules = (results / "tiny_tuning" / "tuned.yaml").read_text()
    told = tmp_path / "told.yaml"
    told.write_text(TINY + rules)
    assert {trial["bits"]: trial["lr"] for trial in load_sweep(told).trials} == rates
    assert {trial.trial_id for trial in load_sweep(told).trials} == {trial.trial_id for trial in sweep.trials}
    # Nothing of the search is a replicate of the sweep, and nothing is left to run.
    assert sweep.search is not None
    assert not {trial.seed for trial in sweep.trials} & set(sweep.search.seeds)
    plan = json.loads(ran("sweep", str(file), "--results", str(results), "--dry-run", "--no-calibrate", "--json"))
    assert plan["to_run"] == 0
    told_json = json.loads(ran("tune", str(file), "--results", str(results), "--dry-run", "--json"))
    assert [arm["use"] for arm in told_json["arms"]] == [rates[16], rates[4]]


def test_along_a_ladder_a_rung_begins_where_those_below_lead(tmp_path: Path) -> None:
    file, results = tmp_path / "tiny.yaml", tmp_path / "results"
    sizes = "{layers: 1, width: 16, heads: 2, kv_heads: 1, ffn_width: 32}"
    one_rung = f"  model: {sizes}\n", "  tokens: 2048\n"
    file.write_text(
        functools.reduce(lambda text, line: text.replace(line, ""), one_rung, ONE_ARM)
        + f"ladder: {{models: [{sizes}], tokens: [1024, 2048]}}\ntuned: {{lr: search}}\n"
    )
    inline = ("--results", str(results), "--executor", "inline")
    plan = json.loads(ran("sweep", str(file), *inline, "--dry-run", "--no-calibrate", "--json"))
    assert "0 of 2 arms at 2 rungs, searched for the others: at least 6 trials" in plan["notes"][0]
    ran("sweep", str(file), *inline, "--no-calibrate", "--max-rung", "1")
    part = load_sweep(file, results=results)
    assert not part.known
    rows = load_results(results).trials.to_pylist()
    assert {(row["tokens"], row["seed"]) for row in rows if row["sweep"] == "tiny"} == {(1024, 0)}
    # What lies beside the results knows of the search, too, also when it is read by itself.
    beside = load_sweep(results / "tiny" / "sweep.yaml", results=results / "tiny")
    assert not beside.known
    assert [trial.trial_id for trial in beside.trials] == [trial.trial_id for trial in part.trials]
    # At the second rung the three rates are those around the optimum of the first, on the same grid.
    assert part.search is not None
    below, above = part.search.survey(stored_losses(results))
    assert below.optimum is not None
    wanted = sorted(trial["lr"] for trial in above.wanted)
    assert abs(math.log2(wanted[1] / below.optimum.exact)) <= 0.5
    assert wanted == [wanted[1] / 2, wanted[1], wanted[1] * 2]
    assert wanted[1] in below.tried
    ran("sweep", str(file), *inline, "--no-calibrate")
    whole = load_sweep(file, results=results)
    assert whole.known
    assert {t.trial_id for t in whole.trials} >= {row["trial_id"] for row in rows if row["sweep"] == "tiny"}


def test_an_interrupted_search_says_what_it_keeps_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, results = tmp_path / "tiny.yaml", tmp_path / "results"
    file.write_text(ONE_ARM + "tuned: {lr: search}\n")
    command = ["sweep", str(file), "--results", str(results), "--executor", "inline", "--no-calibrate"]

    def interrupted(view: LinesView, row: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LinesView, "finished", interrupted)
        result = CliRunner().invoke(app, command)
    assert result.exit_code == 130
    assert "1 trials of" in result.output
    assert "tiny_tuning have finished" in " ".join(result.output.split())
    before = load_results(results).trials.to_pylist()
    ran(*command)
    after = {row["trial_id"]: row["started_at"] for row in load_results(results).trials.to_pylist()}
    assert [after[row["trial_id"]] for row in before] == [row["started_at"] for row in before]
    assert len(after) > 3


def test_rungs_are_for_sweeps_with_a_ladder(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY + "tuned: {lr: search}\n")
    for command in ("tune", "sweep"):
        result = CliRunner().invoke(app, [command, str(file), "--results", str(tmp_path), "--max-rung", "1"])
        assert "has no ladder; leave it out" in str(result.exception)
    assert not (tmp_path / "tiny_tuning").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tuned: {lr: {search: [0]}}", "seed 0"),
        ("tuned: {weight_decay: search}", "cannot be searched"),
        ("tuned: {lr: {search: []}}", "distinct seeds"),
    ],
)
def test_what_cannot_be_searched_is_refused(line: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY + line + "\n")
    result = CliRunner().invoke(app, ["sweep", str(file), "--results", str(tmp_path), "--dry-run", "--no-calibrate"])
    assert isinstance(result.exception, UserError)  # which the command turns into exit status 2
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("lowest", "batch", "tried", "open_"),
    [
        (3.1, 4, {2, 4, 8}, False),
        (0.1, 4, {1, 2, 4, 8}, True),  # half a sequence is none
        (100.0, 4, {2, 4, 8, 16, 32, 64}, True),  # 2048 tokens are one step of 64 sequences
        (3.1, 6, {3, 6, 12}, True),
    ],
)
def test_batch_sizes_are_whole_and_fit_the_budget(
    lowest: float, batch: int, tried: set[int], open_: bool, tmp_path: Path
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(ONE_ARM.replace("batch_size: 4", f"batch_size: {batch}"))
    search = Search.of(load_sweep(file), "batch_size", (100,))
    losses: dict[str, Loss] = {}
    while wanted := search.survey(losses)[0].wanted:
        losses |= {trial.trial_id: Loss(abs(math.log2(trial["batch_size"] / lowest))) for trial in wanted}
    (found,) = search.survey(losses)
    assert set(found.tried) == tried
    assert found.optimum is not None
    assert found.optimum.open is open_
    best = min(tried, key=lambda value: abs(math.log2(value / lowest)))
    assert search.rules([found]) == [{"bits": 16, "use": best}]


def test_a_batch_size_is_not_rounded(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(ONE_ARM.replace("batch_size: 4", "batch_size: 128").replace("tokens: 2048", "tokens: 204800"))
    search = Search.of(load_sweep(file), "batch_size", (100,))
    losses = {trial.trial_id: Loss(abs(math.log2(trial["batch_size"] / 128))) for trial in search.survey({})[0].wanted}
    assert search.rules(search.survey(losses)) == [{"bits": 16, "use": 128}]
