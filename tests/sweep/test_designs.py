"""Designs: valid, distinct, deterministic; fractions against known ones and brute force; adaptive ones from results."""

import functools
import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from bitskip.analysis.regime import regime_of
from bitskip.engine.plan import plan_sweep
from bitskip.errors import UserError
from bitskip.store.tables import write_trial
from bitskip.sweep.adaptive import choose_guided, choose_optuna
from bitskip.sweep.d_optimal import augmented, d_optimal, level_pairs, model_matrix
from bitskip.sweep.designs import DESIGNS
from bitskip.sweep.estimability import gaps
from bitskip.sweep.grid import Grid, Levels
from bitskip.sweep.resources import local_slots
from bitskip.sweep.suggest import Suggestion
from bitskip.sweep.sweep_file import Sweep, load_sweep
from bitskip.trial.config import TrialConfig

SWEEPS = Path(__file__).parents[2] / "sweeps"
Load = Callable[[dict[str, Any]], Sweep]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(content: dict[str, Any]) -> Sweep:
        file = tmp_path / "x.yaml"
        with file.open("w") as sink:
            YAML().dump(content, sink)
        return load_sweep(file)

    return loaded


def cube(*sizes: int) -> list[Levels]:
    return [tuple((level,) for level in cell) for cell in itertools.product(*map(range, sizes))]


def signs(cells: Sequence[Levels], chosen: Sequence[int]) -> np.ndarray:
    """Mean, main effects and pair effects of two-level axes in the textbook's -1 and 1."""
    main = np.array([[2 * level[0] - 1 for level in cells[at]] for at in chosen])
    pairs = [main[:, a] * main[:, b] for a, b in itertools.combinations(range(main.shape[1]), 2)]
    return np.column_stack([np.ones(len(main)), main, *pairs])


def information(cells: Sequence[Levels], chosen: Sequence[int]) -> float:
    """ln det(X'X + prior precision): what a D-optimal design maximises."""
    rows, precision = model_matrix(cells)
    return float(np.linalg.slogdet(rows[list(chosen)].T @ rows[list(chosen)] + np.diag(precision))[1])


# Every design, on any space

SPACES = {
    "bits": [16, 8, 4],
    "hadamard": ["none", "bitnet-v2", "random-sign"],
    "dropout": ["none", "linear"],
    "dropout_max": [0.1, 0.5],
    "exit_weight": [0.0, 0.3, 1.0],
    "phase": ["1", "2", "1+2"],
    "model": ["nano", "micro"],
}
CHOICES = st.fixed_dictionaries(
    {}, optional={axis: st.permutations(levels).map(lambda p: p[:2]) for axis, levels in SPACES.items()}
).filter(lambda space: len(space) > 1)
DESIGN = st.one_of(
    st.sampled_from(["full", "ofat"]),
    st.builds(lambda name, count: {name: count}, st.sampled_from(["random", "fractional"]), st.integers(1, 12)),
)


@settings(max_examples=60, deadline=None)
@given(CHOICES, DESIGN, st.booleans())
def test_every_design_runs_distinct_cells_of_the_grid(
    tmp_path_factory: pytest.TempPathFactory, space: dict[str, Any], design: Any, excluded: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    content: dict[str, Any] = {"space": space, "design": design, "seeds": 2, "points": {"own": {"lr": 1e-4}}}
    if excluded:
        axis = next(iter(space))
        content["exclude"] = [{axis: space[axis][1]}]

    def loaded(**changed: Any) -> Sweep:
        with file.open("w") as sink:
            YAML().dump({**content, **changed}, sink)
        return load_sweep(file)

    sweep, grid = loaded(), loaded(design="full")
    ids = [trial.trial_id for trial in sweep.trials]
    assert len(ids) == len(set(ids))
    assert {trial.trial_id for trial in loaded().trials} == set(ids)
    assert set(ids) <= {trial.trial_id for trial in grid.trials}
    count = next(iter(design.values())) if isinstance(design, dict) else None
    if count:
        assert len(ids) == 2 * (1 + min(count, len(grid.grid.configurations)))


# One factor at a time


def test_one_factor_at_a_time_is_the_first_levels_and_each_other_one_alone(load: Load) -> None:
    sweep = load({"space": {"bits": [16, 8, 4], "dropout": ["none", "linear"], "lr": [1e-3, 1e-2]}, "design": "ofat"})
    found = {(t["bits"], t["dropout"], t.training.lr) for t in sweep.trials}
    assert found == {(16, "none", 1e-3), (8, "none", 1e-3), (4, "none", 1e-3), (16, "linear", 1e-3), (16, "none", 1e-2)}
    assert sweep.cells == len(sweep.trials) == 1 + 2 + 1 + 1
    assert "no composition effect" in sweep.notes[0]


def test_one_factor_at_a_time_starts_from_a_point_named_baseline(load: Load) -> None:
    sweep = load(
        {
            "points": ["baseline"],
            "space": {"bits": [8, 16, 4], "hadamard": ["none", "bitnet-v2"], "exit_weight": [0.0, 0.3]},
            "exclude": [{"bits": 16, "hadamard": "bitnet-v2"}],
            "design": "ofat",
        }
    )
    found = {(t["bits"], t["hadamard"], t["dropout"], t["exit_weight"]) for t in sweep.trials}
    published = ("none", "quadratic", 0.3)
    assert found == {(16, *published), (8, *published), (4, *published), (16, "none", "quadratic", 0.0)}
    assert sweep.excluded == {"{bits: 16, hadamard: bitnet-v2}": 1}
    (gap,) = gaps(sweep.grid, sweep.grid.levels)
    assert gap.axes == ("hadamard",)
    assert gap.never == (("hadamard bitnet-v2", "{bits: 16, hadamard: bitnet-v2}"),)


# Fractions


@pytest.mark.parametrize(("axes", "count"), [(3, 4), (4, 8), (5, 16), (6, 8), (7, 8)])
def test_known_two_level_fractions_are_found(axes: int, count: int) -> None:
    """2^(k-p): all main effects orthogonal; with 16 of 2^5 (resolution V) all pair effects, too."""
    cells = cube(*[2] * axes)
    columns = signs(cells, d_optimal(cells, count))
    estimated = columns if (axes, count) == (5, 16) else columns[:, : axes + 1]
    np.testing.assert_array_equal(estimated.T @ estimated, count * np.eye(estimated.shape[1]))


def test_nine_of_twenty_seven_are_a_latin_square() -> None:
    """The orthogonal array OA(9, 3^3): every pair of levels exactly once."""
    cells = cube(3, 3, 3)
    np.testing.assert_array_equal(level_pairs(cells)[d_optimal(cells, 9)].sum(axis=0), 1)


@pytest.mark.parametrize("count", [5, 6, 7])
def test_no_subset_of_a_small_space_carries_more_information(count: int) -> None:
    """Brute force over all subsets of a constrained grid that cover all pairs of levels."""
    cells = [cell for cell in cube(2, 2, 3) if cell not in (((0,), (1,), (2,)), ((1,), (1,), (0,)))]
    pairs = level_pairs(cells)
    covering = [s for s in itertools.combinations(range(len(cells)), count) if pairs[list(s)].any(axis=0).all()]
    chosen = d_optimal(cells, count)
    if covering:
        best = max(information(cells, subset) for subset in covering)
        assert information(cells, chosen) == pytest.approx(best, abs=1e-6)
        assert pairs[chosen].any(axis=0).all()
    else:
        most = max(pairs[list(s)].any(axis=0).sum() for s in itertools.combinations(range(len(cells)), count))
        assert pairs[chosen].any(axis=0).sum() == most


@pytest.mark.parametrize("count", [14, 20, 28])
def test_a_fraction_of_the_full_grid_covers_all_pairs_and_beats_every_random_one(count: int) -> None:
    sweep = load_sweep(SWEEPS / "full_grid.yaml", overrides=(f"design.fractional={count}", "points=null"))
    levels = sweep.grid.levels
    ids = {trial.configuration_id for trial in sweep.trials}
    chosen = [at for at, trial in enumerate(sweep.grid.configurations) if trial.configuration_id in ids]
    assert len(chosen) == count
    assert level_pairs(levels)[chosen].any(axis=0).all()
    subsets = [random.Random(seed).sample(range(len(levels)), count) for seed in range(50)]
    assert information(levels, chosen) > max(information(levels, subset) for subset in subsets)


def test_fixed_cells_are_part_of_the_fraction() -> None:
    cells = cube(3, 3, 2, 2)
    fixed = [0, 1, 2, 35]
    chosen = d_optimal(cells, 14, fixed)
    assert set(fixed) <= set(chosen)
    assert len(chosen) == 14
    assert d_optimal(cells, 2, fixed) == fixed
    assert d_optimal(cells, 99) == list(range(36))


def test_what_has_run_takes_the_place_of_others_and_the_rest_stays() -> None:
    cells = cube(3, 3, 2, 2)
    design = d_optimal(cells, 16)
    assert augmented(cells, design, (), design[:5]) == design
    outside = [at for at in range(36) if at not in design][:4]
    found = augmented(cells, design, (), outside)
    assert len(found) == 16
    assert set(outside) <= set(found)
    for done in range(len(found)):  # while it is worked off, it is the same design
        assert augmented(cells, design, (), [*outside, *[at for at in found if at not in outside][:done]]) == found
    assert information(cells, found) > np.mean(
        [information(cells, [*outside, *random.Random(s).sample(design, 12)]) for s in range(30)]
    )


def test_a_large_space_is_chosen_from_a_part() -> None:
    cells = cube(4, 4, 4, 4, 3, 3, 3)  # 6912 cells, 1 + 21 + 180 terms
    chosen = d_optimal(cells, 20)
    assert len(set(chosen)) == 20
    assert level_pairs(cells)[chosen].any(axis=0).mean() > 0.9


# What cannot be estimated


def test_a_full_grid_estimates_everything_and_a_hole_is_named(load: Load) -> None:
    space = {"bits": [16, 8, 4], "hadamard": ["none", "bitnet-v2"], "lr": [1e-3, 1e-2]}
    whole = load({"space": space}).grid
    assert gaps(whole, whole.levels) == []
    holed = load({"space": space, "exclude": [{"bits": 16, "hadamard": "bitnet-v2"}]}).grid
    (gap,) = gaps(holed, holed.levels)
    assert (gap.axes, gap.missing, gap.contrasts) == (("bits", "hadamard"), 1, 2)
    assert gap.never == (("bits 16 with hadamard bitnet-v2", "{bits: 16, hadamard: bitnet-v2}"),)


def test_a_half_fraction_names_the_pairs_that_hide_behind_main_effects() -> None:
    cells = cube(2, 2, 2)
    grid = Grid(("a", "b", "c"), (), tuple(cells), cells[0])
    found = gaps(grid, [cells[at] for at in d_optimal(cells, 4)])
    assert [(gap.axes, gap.missing) for gap in found] == [(("a", "b"), 1), (("a", "c"), 1), (("b", "c"), 1)]
    assert all(gap.never == () for gap in found)  # all levels meet, but never apart from the third


def test_a_part_of_the_full_grid_estimates_all_that_the_whole_does() -> None:
    grid = load_sweep(SWEEPS / "full_grid.yaml").grid
    chosen = [grid.levels[at] for at in d_optimal(grid.levels, 25)]
    assert len(grid.levels) == 35
    assert [(gap.axes, gap.missing) for gap in gaps(grid, chosen)] == [(("bits", "hadamard"), 1)]
    assert [(gap.axes, gap.missing) for gap in gaps(grid, grid.levels)] == [(("bits", "hadamard"), 1)]


def test_inert_axes_are_no_gap(load: Load) -> None:
    """Phase 1 has neither dropout nor exits: nothing is missing there."""
    grid = load({"space": {"phase": [1, 2], "dropout": ["none", "linear"], "exit_weight": [0.0, 0.3]}}).grid
    assert gaps(grid, grid.levels) == []


# Adaptive designs

ADAPTIVE = {
    "base": {"model": {"layers": 3, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}},
    "space": {"bits": [16, 8, 4], "hadamard": ["none", "bitnet-v2"], "dropout": ["none", "linear"], "lr": [1e-3, 1e-2]},
    "exclude": [{"bits": 16, "hadamard": "bitnet-v2"}],
    "seeds": 2,
    "resources": {"cpus": 0.5},
}


def loss(trial: TrialConfig) -> float:
    return 3.0 + (trial["bits"] == 4) - 0.5 * (trial.training.lr == 1e-2) + 0.01 * trial.seed


def store(trial: TrialConfig, folder: Path) -> None:
    axes = {name.replace(".", "_"): value for name, value in trial.axes().items()}
    diverged = trial["dropout"] == "linear"
    measures = {"status": "diverged" if diverged else "ok", "loss": None if diverged else loss(trial)}
    write_trial(folder, {**axes, "trial_id": trial.trial_id, **measures})


def worked_off(sweep: Sweep, results: Path, choose: Any, before: int = 0) -> list[list[str]]:
    """Configurations by batch until the design has no more; each trial runs once. `before` have run."""
    batches: list[list[str]] = []
    while (plan := plan_sweep(sweep, results, choose)).to_run:
        for trial in plan.to_run:
            assert not (results / "x" / "trials" / f"{trial.trial_id}.parquet").exists()
            store(trial, results / "x")
        batches.append(list(dict.fromkeys(trial.configuration_id for trial in plan.to_run)))
        assert plan.more == (before + sum(map(len, batches)) < sweep.count)
    return batches


def test_optuna_goes_on_from_the_results_without_a_repeated_configuration(
    load: Load, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = load({**ADAPTIVE, "design": {"optuna": 12}})
    batches = worked_off(sweep, tmp_path / "results", choose_optuna)
    chosen = list(itertools.chain(*batches))
    assert len(chosen) == len(set(chosen)) == 12
    assert set(chosen) <= {trial.configuration_id for trial in sweep.grid.configurations}
    best = min(sweep.grid.configurations, key=lambda t: (t["dropout"] == "linear", loss(t)))
    assert best.configuration_id in chosen
    assert capfd.readouterr() == ("", "")
    # A level more: the study is rebuilt with it, what has run counts.
    larger = load({**ADAPTIVE, "space": {**ADAPTIVE["space"], "bits": [16, 8, 4, 6]}, "design": {"optuna": 14}})
    assert sum(map(len, worked_off(larger, tmp_path / "results", choose_optuna, before=12))) == 2


def test_optuna_ends_when_the_grid_is_exhausted(load: Load, tmp_path: Path) -> None:
    sweep = load({**ADAPTIVE, "design": {"optuna": 99}})
    first = plan_sweep(sweep, tmp_path, choose_optuna)
    assert [t.trial_id for t in first.to_run] == [t.trial_id for t in plan_sweep(sweep, tmp_path, choose_optuna).to_run]
    chosen: list[int] = []
    while new := choose_optuna(sweep, tmp_path, chosen, 7):
        chosen += new
    assert sorted(chosen) == list(range(len(sweep.grid.configurations)))


def test_an_adaptive_design_goes_on_with_what_was_interrupted(load: Load, tmp_path: Path) -> None:
    sweep = load({**ADAPTIVE, "design": {"optuna": 3}})
    begun = sweep.grid.configurations[-1]
    checkpoint = tmp_path / "x" / "checkpoints" / f"{begun.trial_id}.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()

    def first(sweep: Sweep, results: Path, ran: Sequence[int], count: int) -> list[int]:
        return [at for at in range(9) if at not in ran][:count]

    plan = plan_sweep(sweep, tmp_path, first)
    assert begun.configuration_id in {trial.configuration_id for trial in plan.to_run}
    assert len(plan.to_run) == 2 * (1 + min(2, -(-local_slots(sweep.resources) // 2)))


def test_a_guided_design_takes_new_configurations_of_what_is_suggested(load: Load, tmp_path: Path) -> None:
    sweep = load({**ADAPTIVE, "design": {"guided": 5}})
    asked: list[int] = []

    def suggest(results: Any, configurations: Any, count: int) -> list[Suggestion]:
        asked.append(count)  # what has run comes again: seeds for a verdict
        return [Suggestion(trial, "", 0.0, regime_of(trial)) for trial in list(configurations)[:count]]

    chosen = list(itertools.chain(*worked_off(sweep, tmp_path, functools.partial(choose_guided, suggest=suggest))))
    assert chosen == [trial.configuration_id for trial in sweep.grid.configurations[:5]]
    assert max(asked) > 1
    with pytest.raises(UserError, match="guided has nothing here that chooses"):
        plan_sweep(sweep, tmp_path / "empty")


# The table of designs


def test_the_documents_say_of_every_design_how_it_is_written_and_what_it_runs() -> None:
    text = (SWEEPS.parent / "docs" / "designs.md").read_text()
    for name, design in DESIGNS.items():
        written = f"{{{name}: n}}" if design.takes_count else name
        assert f"| `{written}` | {design.runs} |" in text
