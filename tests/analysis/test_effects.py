"""Effects against hand computation, closed forms and brute-force least squares."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_results import (
    FULL_GRID,
    grid,
    results_from,
    simulate,
    single_effects,
    trial_row,
    with_interactions,
)

from bitskip.analysis.effects import (
    NOT_ESTIMABLE,
    composition_effects,
    main_effects,
)
from bitskip.analysis.factorial import strata
from bitskip.analysis.multiple_testing import benjamini_hochberg, holm
from bitskip.analysis.seed_noise import two_way_fit
from bitskip.errors import UserError
from bitskip.trial.config import make_trial

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
    # Four runs of one seed each, from the authors' benchmark notes.
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
    found = scipy.stats.ttest_1samp(losses @ np.array([1, -1, -1, 1]), 0)
    assert effect.value == pytest.approx((losses @ np.array([1, -1, -1, 1])).mean(), abs=1e-12)
    assert effect.df == pytest.approx(4)
    assert effect.p_value == pytest.approx(found.pvalue)
    assert (effect.low, effect.high) == pytest.approx(tuple(found.confidence_interval()))


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
    # The contrast's own values by seed scatter around the interaction by 2 spreads.
    pattern = spread * np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1]])
    losses = 4 + np.array([0, 0.1, 0.2, 0.3 + interaction]) + pattern
    assert only(composition_effects(two_by_two(dict(enumerate(losses.tolist()))))).verdict == verdict


def test_missing_or_failed_cell_is_not_estimable_and_named():
    missing = only(composition_effects(results_from(
        [trial_row(make_trial(**corner), 4.0) for corner in ({}, A, A | B)]
    )))  # fmt: skip
    assert missing.verdict == NOT_ESTIMABLE
    assert missing.value is None
    assert missing.reason == "exit_weight 0.3 (not run); nor does a model of pairs determine it"
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
    assert only(main_effects(results_from(rows))).reason.startswith("the cells share no seed")


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


def test_a_tokenizer_is_known_by_its_content():
    """The same file under two names is one scale, another content under the same name a second one."""

    def row(bits, name, digest):
        data = {"tokenizer": name, "tokenizer_digest": digest * 64, "vocab_size": 300}
        return trial_row(make_trial(bits=bits, data=data), 3.0)

    found = strata(results_from([row(16, "a.json", "0"), row(8, "b.json", "0"), row(4, "a.json", "1")]))
    assert sorted(stratum.trials for stratum in found) == [1, 2]


def test_averaged_effect_is_the_mean_over_matched_pairs_with_its_own_error():
    results = simulate(grid(bits=(16, 8), hadamard=("none", "bitnet-v2")), with_interactions, seeds=3)
    table = {(row["bits"], row["hadamard"], row["seed"]): row["loss"] for row in results.trials.to_pylist()}
    by_seed = [np.mean([table[b, "bitnet-v2", s] - table[b, "none", s] for b in (16, 8)]) for s in range(3)]
    found = [e for e in main_effects(results) if e.techniques == ("hadamard bitnet-v2",)]
    averaged, anchored = only(found, "averaged"), only(found)
    assert (averaged.contexts, averaged.seeds) == (2, 3)
    assert averaged.value == pytest.approx(np.mean(by_seed))
    assert averaged.se == pytest.approx(scipy.stats.sem(by_seed))
    alone = [table[16, "bitnet-v2", s] - table[16, "none", s] for s in range(3)]
    assert (anchored.value, anchored.se) == pytest.approx((np.mean(alone), scipy.stats.sem(alone)))


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


PAIRS = {"bits": (16, 8, 4), "hadamard": ("none", "bitnet-v2"), "exit_weight": (0.0, 0.3)}


def frame(results, *factors):
    """Rows for statsmodels, levels as text."""
    import pandas

    rows = [{name: str(row[name]) for name in factors} | {"seed": str(row["seed"]), "y": row["loss"]}
            for row in results.trials.to_pylist()]  # fmt: skip
    return pandas.DataFrame(rows)


def test_effects_equal_statsmodels_contrasts_on_a_balanced_grid():
    import statsmodels.formula.api as smf

    results = simulate(grid(**PAIRS), with_interactions, seeds=3)
    # Cell means and seeds: anchored effects are treatment contrasts of the saturated model.
    baseline = "C(bits, Treatment('16')) * C(hadamard, Treatment('none')) * C(exit_weight, Treatment('0.0'))"
    fitted = smf.ols(f"y ~ {baseline} + C(seed)", frame(results, *PAIRS)).fit()
    names = {"bits 4": "C(bits, Treatment('16'))[T.4]", "bits 8": "C(bits, Treatment('16'))[T.8]",
             "hadamard bitnet-v2": "C(hadamard, Treatment('none'))[T.bitnet-v2]",
             "exit_weight 0.3": "C(exit_weight, Treatment('0.0'))[T.0.3]"}  # fmt: skip
    intervals = fitted.conf_int()
    for order in (1, 2, 3):
        effects = composition_effects(results, order=order, estimands=("anchored",), variance="pooled")
        assert len(effects) == {1: 4, 2: 5, 3: 2}[order]
        for effect in effects:
            name = ":".join(names[technique] for technique in effect.techniques)
            assert effect.value == pytest.approx(fitted.params[name], abs=1e-10)
            assert effect.se == pytest.approx(fitted.bse[name], rel=1e-8)
            assert effect.p_value == pytest.approx(fitted.pvalues[name], abs=1e-9)
            assert (effect.low, effect.high) == pytest.approx(tuple(intervals.loc[name]), abs=1e-9)


def test_averaged_effects_equal_statsmodels_contrasts_of_the_additive_rest():
    import statsmodels.formula.api as smf

    results = simulate(grid(**PAIRS), with_interactions, seeds=2)
    formula = "C(bits, Treatment('16')) * C(hadamard, Treatment('none')) + C(exit_weight) + C(seed)"
    fitted = smf.ols(f"y ~ {formula}", frame(results, *PAIRS)).fit()
    averaged = [e for e in composition_effects(results, estimands=("averaged",))
                if e.techniques == ("bits 4", "hadamard bitnet-v2")]  # fmt: skip
    expected = fitted.params["C(bits, Treatment('16'))[T.4]:C(hadamard, Treatment('none'))[T.bitnet-v2]"]
    assert only(averaged, "averaged").value == pytest.approx(expected, abs=1e-10)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrections_equal_statsmodels(p_values):
    from statsmodels.stats.multitest import multipletests

    for own, name in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        assert own(p_values) == pytest.approx(multipletests(p_values, method=name)[1], abs=1e-12)


def test_headlines_are_few_and_declared_by_what_they_are():
    effects = composition_effects(simulate(grid(**FULL_GRID), with_interactions), estimands=("anchored",))
    assert {effect.techniques for effect in effects if effect.family == "headline"} == {
        ("bits 4", "hadamard bitnet-v2"), ("bits 8", "hadamard bitnet-v2"),
        ("hadamard bitnet-v2", "exit_weight 0.3"), ("bits 4", "exit_weight 0.3"),
    }  # fmt: skip
    assert {effect.family for effect in effects} == {"headline", "pairs"}


def test_many_comparisons_of_nothing_find_nothing():
    # 30 additive grids of 28 pairs; without correction 1.4 pairs a grid would be declared, with it 5 % of the grids.
    declared = 0
    for seed in range(30):
        effects = composition_effects(simulate(grid(**PAIRS), single_effects, seeds=3, random=seed))
        declared += any(effect.verdict in ("super-additive", "sub-additive") for effect in effects)
    assert declared <= 5


def test_an_excluded_combination_has_a_nested_effect():
    configurations = [c for c in grid(**PAIRS) if c["bits"] < 16 or c["hadamard"] == "none"]
    results = simulate(configurations, with_interactions, seeds=2)
    effects = {e.estimand: e for e in composition_effects(results) if e.techniques == ("bits 4", "hadamard bitnet-v2")}
    assert effects["anchored"].verdict == NOT_ESTIMABLE
    assert effects["anchored"].reason.startswith("hadamard bitnet-v2 (not run)")
    table = {(r["bits"], r["hadamard"], r["exit_weight"], r["seed"]): r["loss"] for r in results.trials.to_pylist()}
    expected = np.mean([table[4, "bitnet-v2", 0.0, s] - table[4, "none", 0.0, s]
                        - table[8, "bitnet-v2", 0.0, s] + table[8, "none", 0.0, s] for s in range(2)])  # fmt: skip
    assert effects["nested"].reference == "bits 8"
    assert effects["nested"].value == pytest.approx(expected)
    (main,) = [e for e in main_effects(results, estimands=("nested",)) if e.techniques == ("hadamard bitnet-v2",)]
    assert main.reference in ("bits 4", "bits 8")


def test_crossover_is_marked_where_an_effect_changes_sign():
    pattern = 0.01 * np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1]])
    crossing = 4 + np.array([0, 0.2, 0.1, -0.2]) + pattern
    parallel = 4 + np.array([0, 0.2, 0.1, 0.9]) + pattern
    assert only(composition_effects(two_by_two(dict(enumerate(crossing.tolist()))))).crossover
    assert not only(composition_effects(two_by_two(dict(enumerate(parallel.tolist()))))).crossover


def test_the_published_two_by_two_stays_unresolved_with_the_noise_of_its_repeats():
    published = two_by_two({0: [math.log(ppl) for ppl in (228.77, 185.46, 252.37, 216.06)]})
    effect = only(composition_effects(published, seed_sd=0.055))
    assert effect.se == pytest.approx(0.11)
    assert effect.verdict == "unresolved"
    # z quantiles 1.960 + 0.842 times 0.11; seeds until the quantile that pays for k looks falls below the estimate.
    assert effect.detectable == pytest.approx(0.308, abs=1e-3)
    normal = scipy.stats.norm
    more = next(k for k in range(1, 99) if normal.isf(0.02 / (1 + 2 * k)) * 0.11 / math.sqrt(1 + k) < effect.value)
    assert effect.more_seeds == more


def test_more_seeds_settle_the_verdict_when_they_come():
    random = np.random.default_rng(1)
    noise = random.normal(0, 0.03, (200, 4))
    losses = 4 + np.array([0, 0.1, 0.2, 0.35]) + noise
    effect = only(composition_effects(two_by_two(dict(enumerate(losses[:2].tolist())))))
    assert effect.verdict == "unresolved"
    assert 1 <= effect.more_seeds < 200


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.integers(0, 5))
def test_a_constant_in_log_perplexity_changes_no_effect(constant, random):
    shifted = simulate(grid(**PAIRS), lambda trial: with_interactions(trial) + constant, random=random)
    plain = simulate(grid(**PAIRS), with_interactions, random=random)
    for one, other in zip(composition_effects(shifted), composition_effects(plain), strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-9)
        assert one.verdict == other.verdict


def test_k_way_effects_sum_to_the_cell():
    results = simulate(grid(**PAIRS), with_interactions, seeds=1)
    loss = {(r["bits"], r["hadamard"], r["exit_weight"]): r["loss"] for r in results.trials.to_pylist()}
    chosen = {"bits 4", "hadamard bitnet-v2", "exit_weight 0.3"}
    total = sum(
        effect.value
        for order in (1, 2, 3)
        for effect in composition_effects(results, order=order, estimands=("anchored",))
        if set(effect.techniques) <= chosen
    )
    assert loss[16, "none", 0.0] + total == pytest.approx(loss[4, "bitnet-v2", 0.3], abs=1e-12)
