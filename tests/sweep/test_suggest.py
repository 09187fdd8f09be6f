"""Suggested trials: what they cover, how much they teach, and that `bitskip sweep` takes them as they are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from simulated_results import grid, results_from, simulate, trial_row, with_interactions
from typer.testing import CliRunner

import bitskip
from bitskip.analysis.levels import NEUTRAL, levels_of
from bitskip.cli.app import app
from bitskip.sweep.d_optimal import model_matrix
from bitskip.sweep.suggest import measured_space, suggest, sweep_documents, without_searches
from bitskip.sweep.sweep_file import load_sweep
from bitskip.trial.config import make_trial
from bitskip.trial.cost import non_embedding_parameters

SPACE = grid(
    bits=(16, 8, 4), hadamard=("none", "bitnet-v2"), dropout=("none", "quadratic"), exit_weight=(0.0, 0.1, 0.3)
)


def suggest_trials(*arguments, **options):
    return [each.trial for each in suggest(*arguments, **options)]


def pairs_of(trials):
    covered = set()
    for trial in trials:
        levels = levels_of(trial.axes())
        off = tuple(NEUTRAL.values())
        moved = [(index, level) for index, level in enumerate(levels) if level != off[index]]
        covered |= set(itertools.combinations(moved, 2))
    return covered


def information(trials):
    """ln det(X'X + K) of main and pair effects, those of docs/designs.md."""
    rows, precision = model_matrix([levels_of(trial.axes()) for trial in SPACE])
    picked = rows[[SPACE.index(trial) for trial in trials]]
    return np.linalg.slogdet(picked.T @ picked + np.diag(precision))[1]


def test_a_design_from_nothing_covers_every_pair_of_levels():
    chosen = suggest_trials(None, SPACE, 16)
    assert len(set(chosen)) == 16
    assert pairs_of(chosen) == pairs_of(SPACE)
    assert make_trial() in chosen
    assert {trial.seed for trial in chosen} == {0}


def test_the_design_teaches_more_than_random_ones():
    ours = information(suggest_trials(None, SPACE, 18, by_cost=False))
    source = np.random.default_rng(0)
    random = [information([SPACE[i] for i in source.choice(len(SPACE), 18, replace=False)]) for _ in range(30)]
    assert ours > np.mean(random) + 2 * np.std(random)


def test_one_more_is_the_one_that_tells_most():
    run = suggest_trials(None, SPACE, 20)
    results = simulate(run, with_interactions, seeds=1)
    (found,) = suggest_trials(results, SPACE, 1, by_cost=False)
    left = [trial for trial in SPACE if trial not in run]
    best = max(information([*run, trial]) for trial in left)
    assert information([*run, found]) == pytest.approx(best, abs=1e-6)


def test_a_pair_never_run_together_comes_first():
    apart = [t for t in SPACE if not (t["bits"] == 4 and t["dropout"] != "none")]
    (first, *_) = suggest(simulate(apart, with_interactions), SPACE, 3)
    assert (first.trial["bits"], first.trial["dropout"]) == (4, "quadratic")
    assert first.reason == "bits 4 and dropout quadratic 0.1 were never run together"


def test_seeds_come_once_every_configuration_was_run():
    results = simulate(SPACE[1:], with_interactions, seeds=2, sigma=0.03)
    chosen = suggest(results, SPACE, 5)
    assert (chosen[0].trial.configuration_id, chosen[0].trial.seed) == (SPACE[0].configuration_id, 0)
    assert "fewest seeds" in chosen[1].reason
    known = {row["trial_id"] for row in results.trials.to_pylist()}
    assert not known & {each.trial.trial_id for each in chosen}


def test_cost_is_weighed_unless_ignored():
    sizes = grid(bits=(16, 8, 4), hadamard=("none", "bitnet-v2"), exit_weight=(0.0, 0.3), model=("nano", "micro"))
    seconds = [sum(each.seconds for each in suggest(None, sizes, 14, by_cost=by_cost)) for by_cost in (True, False)]
    assert seconds[0] < 0.8 * seconds[1]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_never_suggests_what_was_run_and_always_as_many_as_asked(data):
    run = data.draw(st.lists(st.sampled_from(SPACE), max_size=20, unique=True))
    count = data.draw(st.integers(1, 30))
    results = simulate(run, with_interactions, seeds=data.draw(st.integers(1, 2))) if run else results_from([])
    chosen = suggest_trials(results, SPACE, count)
    assert len(set(chosen)) == len(chosen) == count
    assert not {trial.trial_id for trial in chosen} & {row["trial_id"] for row in results.trials.to_pylist()}


def test_sweep_files_hold_exactly_the_suggested_trials(tmp_path):
    big = grid(bits=(16, 4), hadamard=("none", "random-sign"), dropout=("none", "linear"), phase=("2", "1+2"),
               model=("micro",), tokens=(5000,), lr=(0.01,), weights=("ternary",))  # fmt: skip
    mixed = [*suggest_trials(None, big, 6), *(make_trial(bits=8, seed=seed) for seed in (0, 3))]
    loaded = set()
    for number, document in enumerate(sweep_documents(mixed)):
        path = tmp_path / f"{number}.yaml"
        with path.open("w") as sink:
            YAML().dump(document, sink)
        loaded |= {trial.trial_id for trial in load_sweep(path).trials}
    assert loaded == {trial.trial_id for trial in mixed}


def test_the_measured_space_is_the_crossing_of_what_was_measured():
    run = [make_trial(bits=b, exit_weight=w) for b, w in ((16, 0.0), (4, 0.0), (16, 0.3))]
    expected = {make_trial(bits=b, exit_weight=w) for b in (16, 4) for w in (0.0, 0.3)}
    assert set(measured_space(simulate(run, with_interactions))) == expected
    assert measured_space(results_from([])) == {}


def test_suggestions_keep_what_was_tuned(tmp_path):
    """A configuration that was not run takes the rate of its precision, and stays comparable."""
    rates = {16: 4e-3, 8: 8e-3, 4: 2e-3}
    run = [
        make_trial(bits=bits, hadamard=h, exit_weight=w, lr=rates[bits], seed=seed)
        for bits, h, w, seed in itertools.product(rates, (False, True), (0.0, 0.3), (0, 1))
        if (bits, w) != (4, 0.3)
    ]
    results = results_from([trial_row(trial, with_interactions(trial), tuned="lr") for trial in run])
    space = measured_space(results)
    assert {(trial["bits"], trial.training.lr) for trial in space} == set(rates.items())
    chosen = suggest(results, space, 2)
    assert {(each.trial["bits"], each.trial["exit_weight"]) for each in chosen} == {(4, 0.3)}
    assert set(space.values()) == {("lr",)}
    tuned = {trial.configuration_id: axes for trial, axes in space.items()}
    others = [make_trial(bits=8, lr=1e-3)]
    document, plain = sweep_documents([*(each.trial for each in chosen), *others], tuned=tuned)
    assert "tuned" not in plain
    with (tmp_path / "more.yaml").open("w") as sink:
        YAML().dump(document, sink)
    assert load_sweep(tmp_path / "more.yaml").tuned == ("lr",)


def test_a_suggestion_says_the_regime_of_its_scale():
    results = simulate(grid(bits=(16, 8)), with_interactions)
    (each,) = suggest(results, [make_trial(bits=4)], 1)
    parameters = non_embedding_parameters(each.trial.model)
    assert (each.regime.parameters, each.regime.tokens) == (parameters, each.trial.training.tokens)
    assert each.regime.mark == "undertrained"


def test_what_a_search_ran_is_no_point_of_a_design():
    design = grid(bits=(16, 8), lr=(3e-3,), tokens=(800_000,))
    search = grid(bits=(16, 8), lr=(1e-3, 2e-3, 4e-3))
    assert without_searches([*design, *search]) == design
    assert without_searches(grid(bits=(16, 8, 4), lr=(1e-3, 2e-3), seed=(0, 1, 2))) != []


def test_suggestions_for_a_ladder_are_its_points_and_say_their_rung(tmp_path):
    ladder = "ladder: {models: [femto, pico], tokens: [100_000]}\nspace: {bits: [16, 4], hadamard: [none, bitnet-v2]"
    for name, rates in (("ladder", ""), ("rates", ", lr: [1e-3, 2e-3, 4e-3]")):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n{ladder}{rates}}}\n")
        trials = load_sweep(tmp_path / f"{name}.yaml").trials
        rows = [trial_row(trial, 3.0, sweep=name) for trial in trials]
        bitskip.save_results(rows, tmp_path / "results" / name)
        (tmp_path / "results" / name / "sweep.yaml").write_text((tmp_path / f"{name}.yaml").read_text())
    words = ["suggest", "--results", str(tmp_path / "results"), "-n", "4", "-o", str(tmp_path / "next.yaml")]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "femto, 100 k" in told.output
    assert {trial.training.lr for trial in load_sweep(tmp_path / "next.yaml").trials} == {3e-3}
