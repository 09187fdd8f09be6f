"""Effects against hand computation, closed forms and brute-force least squares."""

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_results import FULL_GRID, grid, results_from, simulate, trial_row, with_interactions

from bitskip.cells import strata
from bitskip.config import make_trial
from bitskip.effects import (
    NOT_ESTIMABLE,
    composition_effects,
    main_effects,
    student_t_quantile,
)
from bitskip.errors import UserError
from bitskip.noise import two_way_fit

A = {"hadamard": "bitnet-v2"}
B = {"exit_weight": 0.3}
CORNERS = ({}, A, B, A | B)


def two_by_two(values, **common):
    """Results of a 2 x 2 from {seed: (base, A, B, AB)} of losses."""
    return results_from(
        [
            trial_row(make_trial(**common, **corner, seed=seed), loss)
            for seed, losses in values.items()
            for corner, loss in zip(CORNERS, losses, strict=True)
            if loss is not None
        ]
    )


def only(effects, estimand="anchored"):
    (effect,) = [each for each in effects if each.estimand == estimand]
    return effect


def test_published_two_by_two_is_unresolved_at_one_seed():
    # EFFECTS 0.3: 228.77, 185.46, 252.37, 216.06 at one seed.
    published = two_by_two({0: [math.log(ppl) for ppl in (228.77, 185.46, 252.37, 216.06)]})
    effect = only(composition_effects(published))
    assert effect.value == pytest.approx(0.0545, abs=5e-5)
    assert effect.percent == pytest.approx(5.6, abs=0.05)
    assert (effect.seeds, effect.df) == (1, 0)
    assert effect.se is effect.low is effect.high is None
    assert effect.verdict == "unresolved"


def test_paired_interaction_equals_the_t_test_of_per_seed_differences_on_balanced_data():
    random = np.random.default_rng(3)
    losses = 4 + random.normal(0, 0.05, (5, 4)) + random.normal(0, 0.2, (5, 1))
    effect = only(composition_effects(two_by_two(dict(enumerate(losses.tolist())))))
    per_seed = losses @ np.array([1, -1, -1, 1])
    assert effect.value == pytest.approx(per_seed.mean(), abs=1e-12)
    # Balanced two-way layout: residual = value - row mean - column mean + grand mean, df = (4 - 1)(5 - 1).
    residual = losses - losses.mean(0) - losses.mean(1, keepdims=True) + losses.mean()
    se = math.sqrt((residual**2).sum() / 12 * 4 / 5)
    assert effect.df == 12
    assert effect.se == pytest.approx(se, rel=1e-10)
    half = scipy.special.stdtrit(12, 0.975) * se
    assert (effect.low, effect.high) == pytest.approx((per_seed.mean() - half, per_seed.mean() + half))


def test_a_common_seed_shift_does_not_widen_the_interval():
    noise = np.random.default_rng(0).normal(0, 0.01, (3, 4))
    shifted = noise + np.array([[0.0], [5.0], [-3.0]])
    plain, moved = (only(composition_effects(two_by_two(dict(enumerate(x.tolist()))))) for x in (noise, shifted))
    assert moved.se == pytest.approx(plain.se)
    assert moved.value == pytest.approx(plain.value)


@pytest.mark.parametrize(
    ("interaction", "spread", "verdict"),
    [(0.3, 0.01, "super-additive"), (-0.3, 0.01, "sub-additive"), (0.0, 0.001, "additive"), (0.0, 0.2, "unresolved")],
)
def test_verdicts(interaction, spread, verdict):
    # Residuals orthogonal to cells and seeds, so that the estimate is the interaction exactly.
    pattern = spread * np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1]])
    losses = 4 + np.array([0, 0.1, 0.2, 0.3 + interaction]) + pattern
    assert only(composition_effects(two_by_two(dict(enumerate(losses.tolist()))))).verdict == verdict


def test_missing_or_failed_cell_is_not_estimable_and_named():
    missing = only(composition_effects(results_from(
        [trial_row(make_trial(**corner), 4.0) for corner in ({}, A, A | B)]
    )))  # fmt: skip
    assert missing.verdict == NOT_ESTIMABLE
    assert missing.value is None
    assert missing.reason == "exit_weight 0.3 (not run)"
    rows = [trial_row(make_trial(**corner), 4.0) for corner in CORNERS]
    rows[2] |= {"status": "diverged", "loss": None, "ppl": None}
    failed = only(composition_effects(results_from(rows)))
    assert failed.verdict == NOT_ESTIMABLE
    assert "no trial finished" in failed.reason


def test_failed_trials_are_never_averaged():
    rows = [trial_row(make_trial(**corner, seed=s), 4.0 + s) for corner in CORNERS for s in range(2)]
    rows.append(trial_row(make_trial(**A, seed=2), 50.0, status="stalled"))
    effect = only(composition_effects(results_from(rows)))
    assert effect.value == pytest.approx(0)
    assert effect.seeds == 2


def test_only_shared_seeds_enter_a_difference():
    rows = [trial_row(make_trial(seed=s), 4.0 + s) for s in range(3)]
    rows += [trial_row(make_trial(**A, seed=s), 4.1 + s) for s in (1, 2, 7)]
    effect = only(main_effects(results_from(rows)))
    assert (effect.value, effect.seeds) == (pytest.approx(0.1), 2)


def test_unshared_seeds_are_not_estimable():
    rows = [trial_row(make_trial(seed=0), 4.0), trial_row(make_trial(**A, seed=1), 4.1)]
    assert only(main_effects(results_from(rows))).reason == "the cells share no seed"


def test_artefacts_are_left_out_unless_asked_for():
    rows = [trial_row(make_trial(**corner), 4.0, artefact=corner == A) for corner in CORNERS]
    assert only(composition_effects(results_from(rows))).verdict == NOT_ESTIMABLE
    assert only(composition_effects(results_from(rows), include_artefacts=True)).value == pytest.approx(0)


def test_scales_are_never_mixed():
    small = two_by_two({0: [4.0, 4.1, 4.2, 4.3]}, tokens=1000).trials.to_pylist()
    large = two_by_two({0: [3.0, 3.1, 3.2, 3.8]}, tokens=2000).trials.to_pylist()
    effects = composition_effects(results_from(small + large), estimands=("anchored",))
    by_scale = {effect.stratum: effect.value for effect in effects}
    expected = {"nano, stories, 1 000 tokens": 0.0, "nano, stories, 2 000 tokens": 0.5}
    assert by_scale == {name: pytest.approx(value) for name, value in expected.items()}
    lr = [trial_row(make_trial(lr=lr), 4.0) for lr in (1e-3, 1e-2)]
    assert [s.label for s in strata(results_from(lr))] == [
        "nano, stories, 400 000 tokens, lr 0.001",
        "nano, stories, 400 000 tokens, lr 0.01",
    ]


def test_averaged_effect_is_the_mean_over_matched_pairs_with_its_own_error():
    results = simulate(grid(bits=(16, 8), hadamard=("none", "bitnet-v2")), with_interactions, seeds=3)
    table = {(row["bits"], row["hadamard"], row["seed"]): row["loss"] for row in results.trials.to_pylist()}
    expected = np.mean([table[b, "bitnet-v2", s] - table[b, "none", s] for b in (16, 8) for s in range(3)])
    found = [e for e in main_effects(results) if e.techniques == ("hadamard bitnet-v2",)]
    averaged, anchored = only(found, "averaged"), only(found)
    assert (averaged.contexts, averaged.seeds) == (2, 3)
    assert averaged.value == pytest.approx(expected)
    # Twice the independent differences: the standard error falls by the root of two.
    assert averaged.se == pytest.approx(anchored.se / math.sqrt(2))


def test_where_a_technique_is_always_on_it_is_part_of_the_baseline():
    values = {0: [4.0, 4.1, 4.2, 4.3], 1: [4.1, 4.2, 4.3, 4.4]}
    results = two_by_two(values, dropout="quadratic", dropout_max=0.5)
    assert only(composition_effects(results)).value == pytest.approx(0)


def test_other_metrics_use_their_own_scale():
    results = two_by_two({0: [4.0, 4.1, 4.2, 4.5]})
    bits_per_byte = only(composition_effects(results, "bpb"))
    assert bits_per_byte.value == pytest.approx(0.2 / math.log(2) / 4)
    assert bits_per_byte.percent is None
    with pytest.raises(UserError, match="did you mean 'ppl'"):
        composition_effects(results, "pplx")


def test_empty_results_have_no_effects():
    assert composition_effects(results_from([])) == main_effects(results_from([])) == []


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(random):
    rows = simulate(grid(bits=(16, 4), exit_weight=(0.0, 0.3)), with_interactions).trials.to_pylist()
    reference = composition_effects(results_from(rows))
    random.shuffle(rows)
    assert composition_effects(results_from(rows)) == reference


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_pooled_variance_equals_dummy_least_squares(data):
    cells = data.draw(
        st.lists(st.dictionaries(st.integers(0, 4), st.floats(-5, 5), min_size=1, max_size=4), min_size=1, max_size=6)
    )
    rows = [(i, seed, value) for i, cell in enumerate(cells) for seed, value in cell.items()]
    design = np.array([[*(i == c for c in range(len(cells))), *(s == t for t in range(5))] for i, s, _ in rows], float)
    target = np.array([value for *_, value in rows])
    df = len(rows) - np.linalg.matrix_rank(design)
    fitted = two_way_fit(cells)
    variance, found_df = fitted.variance, fitted.df
    assert found_df == df
    if df:
        residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
        assert variance == pytest.approx(residual @ residual / df, abs=1e-9)
    else:
        assert variance is None


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 30, 101, 400])
@pytest.mark.parametrize("probability", [0.6, 0.95, 0.975, 0.999])
def test_student_quantile_equals_scipy(df, probability):
    expected = scipy.special.stdtrit(df, probability)
    assert student_t_quantile(probability, df) == pytest.approx(expected, rel=1e-9)


def test_intervals_cover_the_true_interaction():
    # 95 % intervals of 60 independent grids; fewer than 52 hits has probability below 0.01.
    hits = 0
    configurations = grid(bits=(16, 4), hadamard=("none", "bitnet-v2"), exit_weight=(0.0, 0.3))
    for seed in range(60):
        effects = composition_effects(simulate(configurations, with_interactions, seeds=3, random=seed))
        effect = next(e for e in effects if e.techniques == ("bits 4", "hadamard bitnet-v2"))
        hits += effect.low <= -0.15 <= effect.high
    assert hits >= 52


def test_full_grid_has_every_pair_of_levels():
    anchored = composition_effects(simulate(grid(**FULL_GRID), with_interactions), estimands=("anchored",))
    # Levels off the baseline: bits 2, hadamard 1, dropout 4, exit weight 2.
    assert len(anchored) == 2 * 1 + 2 * 4 + 2 * 2 + 1 * 4 + 1 * 2 + 4 * 2
    assert all(effect.verdict != NOT_ESTIMABLE for effect in anchored)
