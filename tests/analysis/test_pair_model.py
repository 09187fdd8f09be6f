"""Effects of designs that lack corners: against least squares of statsmodels, exact truths and simulation."""

import itertools

import numpy as np
import pytest
from simulated_results import grid, results_from, trial_row

from bitskip.analysis.contrasts import moebius
from bitskip.analysis.effects import NOT_ESTIMABLE, composition_effects
from bitskip.analysis.factorial import baseline_of, strata
from bitskip.analysis.levels import INDEX, levels_of
from bitskip.analysis.metrics import METRICS
from bitskip.analysis.pair_model import PairModel
from bitskip.trial.config import make_trial

SPACE = {
    "bits": (16, 8, 4),
    "hadamard": ("none", "bitnet-v2"),
    "dropout": ("none", "quadratic"),
    "exit_weight": (0.0, 0.3),
}
PAIR = ("bits 4", "hadamard bitnet-v2")


def truth(trial):
    return (
        4.0
        + {16: 0.0, 8: 0.05, 4: 0.2}[trial["bits"]]
        + 0.1 * (trial["hadamard"] != "none")
        - 0.15 * (trial["hadamard"] != "none" and trial["bits"] == 4)
        + 0.3 * trial["exit_weight"]
        + 0.2 * trial["exit_weight"] * (trial["bits"] == 4)
    )


def without_anchor_of_the_pair():
    """No corner of 4 bits x rotation has all its cells in any setting."""
    return [
        trial for trial in grid(**SPACE)
        if not (trial["bits"] == 4 and trial["hadamard"] == "none" and trial["exit_weight"] == 0)
        and not (trial["bits"] == 16 and trial["hadamard"] != "none" and trial["exit_weight"] > 0)
    ]  # fmt: skip


def measured(trials, seeds=3, sigma=0.0, triple=0.0, random=0):
    source = np.random.default_rng(random)
    of_three = {}
    rows = []
    for trial in trials:
        key = tuple(trial[name] for name in ("bits", "dropout", "exit_weight"))
        beyond = of_three.setdefault(key, source.normal(0, triple)) if triple else 0.0
        for seed in range(seeds):
            axes = {name: trial[name] for name in SPACE}
            rows.append(
                trial_row(make_trial(**axes, seed=seed), truth(trial) + beyond + seed + source.normal(0, sigma))
            )
    return results_from(rows)


def effects(results):
    return {(e.techniques, e.estimand): e for e in composition_effects(results)}


def test_what_no_corner_tells_a_model_of_pairs_does():
    found = effects(measured(without_anchor_of_the_pair()))
    modelled = found[PAIR, "modelled"]
    assert modelled.value == pytest.approx(-0.15)
    assert modelled.low == pytest.approx(modelled.high)
    assert found[PAIR, "anchored"].verdict == NOT_ESTIMABLE
    assert "model of pairs" not in found[PAIR, "anchored"].reason
    assert (PAIR, "averaged") not in found
    assert (PAIR, "nested") not in found


def test_a_complete_design_needs_no_model():
    assert not [each for each in composition_effects(measured(grid(**SPACE))) if each.estimand == "modelled"]


def test_what_the_model_cannot_tell_is_named():
    trials = [trial for trial in grid(**SPACE) if trial["bits"] == 16 or trial["hadamard"] == "none"]
    found = effects(measured(trials))
    assert (PAIR, "modelled") not in found
    assert found[PAIR, "anchored"].reason.endswith("nor does a model of pairs determine it")


def test_values_equal_statsmodels_least_squares():
    import pandas
    import statsmodels.formula.api as smf

    results = measured(without_anchor_of_the_pair(), sigma=0.05)
    data = pandas.DataFrame(
        [{name: str(row[name]) for name in (*SPACE, "seed")} | {"y": row["loss"]} for row in results.trials.to_pylist()]
    )
    factors = ["C(bits, Treatment('16'))", "C(hadamard, Treatment('none'))", "C(dropout)", "C(exit_weight)"]
    fitted = smf.ols(f"y ~ ({' + '.join(factors)})**2 + C(seed)", data).fit()
    name = "C(bits, Treatment('16'))[T.4]:C(hadamard, Treatment('none'))[T.bitnet-v2]"
    assert effects(results)[PAIR, "modelled"].value == pytest.approx(fitted.params[name], abs=1e-9)


@pytest.mark.parametrize("triple", [0.0, 0.05])
def test_intervals_hold_the_pair_whether_three_techniques_compose_or_not(triple):
    inside = []
    trials = without_anchor_of_the_pair()
    for random in range(150):
        (stratum,) = strata(measured(trials, sigma=0.02, triple=triple, random=random))
        values = {cell.levels: cell.values(METRICS["ppl"]) for cell in stratum.cells}
        model = PairModel([cell.levels for cell in stratum.cells], values, stratum.baseline)
        treatments = [("bits", _level("bits", 4)), ("hadamard", _level("hadamard", "bitnet-v2"))]
        weights = moebius(baseline_of(stratum.cells), treatments)
        low, high = model.estimate(weights).interval()
        inside.append(low <= -0.15 <= high)
    assert 0.89 <= np.mean(inside) <= 1.0


def test_a_single_effect_is_covered_where_pairs_act_that_its_model_leaves_out():
    """Cells with both techniques share what the pair does: many of them make it no smaller."""
    trials = [trial for trial in grid(**SPACE) if (trial["bits"] == 4) + (trial["dropout"] != "none") != 1]
    inside = []
    for random in range(60):
        source = np.random.default_rng(random)
        moves = {}
        rows = []
        for trial in trials:
            on = [(n, trial[n]) for n in SPACE if trial[n] not in (16, "none", 0.0)]
            pairs = sum(moves.setdefault(some, source.normal(0, 0.05)) for some in itertools.combinations(on, 2))
            axes = {name: trial[name] for name in SPACE}
            rows += [trial_row(make_trial(**axes, seed=s), 3.0 + pairs + source.normal(0, 0.005)) for s in range(3)]
        (stratum,) = strata(results_from(rows))
        values = {cell.levels: cell.values(METRICS["ppl"]) for cell in stratum.cells}
        model = PairModel([cell.levels for cell in stratum.cells], values, stratum.baseline, frozenset({"hadamard"}))
        weights = moebius(baseline_of(stratum.cells), [("hadamard", _level("hadamard", "bitnet-v2"))])
        low, high = model.estimate(weights).interval()
        inside.append(low <= 0.0 <= high)
    assert np.mean(inside) >= 0.9


@pytest.mark.parametrize("anchored", [False, True])
def test_what_is_left_out_is_one_draw_for_each_combination_of_levels(anchored):
    (stratum,) = strata(measured(grid(**SPACE)))
    cells = [cell.levels for cell in stratum.cells]
    model = PairModel(cells, {}, stratum.baseline, frozenset({"bits", "hadamard"}))
    columns = []
    for order in (2, 3):
        for names in itertools.combinations(SPACE, order):
            for levels in itertools.product(*({own[INDEX[name]] for own in cells} for name in names)):
                off = any(level == stratum.baseline[INDEX[n]] for n, level in zip(names, levels, strict=True))
                if set(names) != model.pair and not (anchored and off):
                    columns.append([tuple(own[INDEX[name]] for name in names) == levels for own in cells])
    expected = np.array(columns, dtype=float)
    np.testing.assert_array_equal(model._left_out(cells, anchored, True), expected.T @ expected)


def _level(name, value):
    return levels_of(make_trial(**{name: value}).axes())[INDEX[name]]
