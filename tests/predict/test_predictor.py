"""Predictions against brute-force refits, an independent ridge and simulated truths."""

import itertools
import json
import math
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_results import (
    FULL_GRID,
    exit_rows,
    grid,
    results_from,
    simulate,
    single_effects,
    trial_row,
    with_interactions,
)

from bitskip.analysis.effects import composition_effects
from bitskip.analysis.factorial import strata
from bitskip.analysis.levels import axes_of, levels_of
from bitskip.analysis.metrics import OWN, Metric
from bitskip.errors import UserError
from bitskip.predict.dataset import measurements_from, plain_measurements
from bitskip.predict.predictor import Predictor, fit_predictor
from bitskip.trial.config import POINTS, make_trial
from bitskip.trial.cost import non_embedding_parameters

EARLIER, LATER = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))

CONTRACT = (
    "metric", "mean", "low", "high", "level", "exit_layer", "speed_gain", "divergence_risk", "configuration", "assumed",
    "baseline", "main_effects", "composition_effects", "nearest", "extrapolation", "model",
)  # fmt: skip
MODEL_KEYS = ("kind", "loco_r2", "loco_mae_percent", "coverage", "trials", "configurations", "scale")


@pytest.fixture(scope="module")
def full():
    return fit_predictor(simulate(grid(**FULL_GRID), with_interactions, seeds=3))


def test_recovers_interactions_of_a_full_grid(full):
    prediction = full.predict(bits=4, hadamard=True)
    (composition,) = prediction.composition_effects
    assert composition.techniques == ("bits 4", "hadamard bitnet-v2")
    assert composition.value == pytest.approx(-0.15, abs=0.03)
    assert composition.low < composition.value < composition.high < 0
    assert "interactions" in full.model.kind
    assert full.model.loco_r2 > 0.95
    assert full.model.loco_mae_percent < 3


# Three seeds say little about how far a seed can shift all configurations together: the second bound is lower.
@pytest.mark.parametrize(("shift", "lowest"), [(0.0, 0.8), (0.03, 0.75)])
def test_intervals_cover_new_seeds_of_configurations_that_were_not_run(shift, lowest):
    configurations = grid(**FULL_GRID)
    hits = []
    for random in range(8):
        source = np.random.default_rng(random)
        trained = set(source.choice(len(configurations), 60, replace=False).tolist())
        sample = [c for i, c in enumerate(configurations) if i in trained]
        predictor = fit_predictor(simulate(sample, with_interactions, 3, shift=shift, random=random))
        held_out = [c for i, c in enumerate(configurations) if i not in trained]
        for configuration in held_out[::4]:
            prediction = predictor.predict(**axes_of(levels_of(configuration.axes())))
            noise = source.normal(0, shift) + source.normal(0, 0.02)
            new_seed = math.exp(with_interactions(configuration) + noise)
            hits.append(prediction.low <= new_seed <= prediction.high)
    assert lowest <= np.mean(hits) <= 1.0


@pytest.mark.parametrize("random", range(3))
def test_no_skill_is_claimed_when_the_truth_is_additive(random):
    predictor = fit_predictor(simulate(grid(**FULL_GRID), single_effects, random=random))
    prediction = predictor.predict(bits=4, hadamard=True)
    assert [term.value for term in prediction.composition_effects] == pytest.approx([0.0], abs=0.01)
    assert all(term.low <= 0 <= term.high for term in prediction.composition_effects)
    assert predictor.model.skill_low <= 0
    assert "additive suffices" in predictor.model.verdicts[0]


def test_few_configurations_are_additive_with_intervals():
    results = simulate(grid(bits=(16, 8, 4), exit_weight=(0.0, 0.3)), single_effects)
    prediction = fit_predictor(results).predict(bits=4, exit_weight=0.3)
    assert prediction.model.kind == "additive (fewer than 12 configurations)"
    assert prediction.composition_effects == ()
    assert prediction.low < prediction.mean < prediction.high


@pytest.mark.parametrize(
    "axes",
    [{}, {"bits": 4, "hadamard": True, "dropout": "quadratic", "exit_weight": 0.3}, {"bits": 3}, {"exit_weight": 0.2}],
)
@pytest.mark.parametrize("exit_layer", [None, 2])
def test_waterfall_sums_to_the_prediction(full, axes, exit_layer):
    prediction = full.predict(exit_layer=exit_layer, **axes)
    terms = [*prediction.main_effects, *prediction.composition_effects]
    total = prediction.baseline["value"] + sum(term.value for term in terms)
    assert math.exp(total) == pytest.approx(prediction.mean, rel=1e-9)
    assert prediction.baseline["mean"] == pytest.approx(math.exp(prediction.baseline["value"]))


@pytest.mark.parametrize(
    ("axes", "tier", "reason"),
    [
        ({"bits": 4, "hadamard": True}, "interior", ""),
        ({"bits": 6}, "between levels", "bits 6 was never run: interpolated between bits 4 and 8"),
        ({"bits": 3}, "outside", "bits 3 is outside the measured range of bits (4 to 8)"),
        ({"exit_weight": 0.2}, "between levels", "interpolated between exit_weight 0.1 and 0.3"),
        ({"exit_weight": 2.0}, "outside", "outside the measured range of exit_weight (0 to 0.3)"),
        ({"hadamard": "random-sign"}, "outside", "hadamard random-sign was never run"),
        ({"dropout": "constant"}, "outside", "dropout constant"),
        ({"weights": "ternary", "bits": 16}, "outside", "bits 16 ternary was never run"),
        ({"tokens": 800_000}, "outside", "tokens 800000 is outside the measured range of tokens (400000)"),
        ({"model": "micro"}, "outside", "model micro is outside the measured range of non-embedding parameters"),
        ({"lr": 0.1}, "outside", "lr 0.1 was not measured, only 0.003"),
    ],
)
def test_extrapolation_is_named(full, axes, tier, reason):
    prediction = full.predict(**axes)
    assert prediction.tier == tier
    assert any(reason in each for each in prediction.extrapolation) if reason else not prediction.extrapolation
    assert 0 < prediction.low < prediction.mean < prediction.high < math.inf


def test_pair_never_run_together_is_flagged_and_wider():
    configurations = grid(**FULL_GRID)
    apart = [c for c in configurations if c["bits"] != 4 or c["exit_weight"] != 0.3]
    whole, partial = (fit_predictor(simulate(c, with_interactions)) for c in (configurations, apart))
    prediction = partial.predict(bits=4, exit_weight=0.3)
    assert prediction.tier == "new pair"
    assert prediction.extrapolation == ("bits 4 and exit_weight 0.3 were never run together",)
    inside = whole.predict(bits=4, exit_weight=0.3)
    assert math.log(prediction.high / prediction.low) > 1.15 * math.log(inside.high / inside.low)


def test_a_pair_that_one_technique_is_made_for_is_not_told_from_others():
    apart = [c for c in grid(**FULL_GRID) if c["bits"] != 4 or c["hadamard"] == "none"]
    prediction = fit_predictor(simulate(apart, with_interactions)).predict(bits=4, hadamard=True)
    assert prediction.tier == "outside"
    (reason,) = prediction.extrapolation
    assert reason.startswith("bits 4 and hadamard bitnet-v2 were never run together")
    # Whoever forces an answer is told how far it may be off: rotation may undo what 4 bits do.
    truth = math.exp(with_interactions(prediction.trial))
    assert prediction.low < truth < prediction.high
    assert prediction.mean - prediction.low > 0.1 * prediction.mean


def test_few_bits_between_others_are_not_interpolated():
    trials = grid(bits=(16, 8, 4, 2), hadamard=("none", "bitnet-v2"), exit_weight=(0.0, 0.3))
    predictor = fit_predictor(simulate(trials, lambda t: 4 + 0.5 * (t["bits"] < 4)))
    assert predictor.predict(bits=3).tier == "outside"
    assert "below bits 4 nothing can be told between bits 2 and 4" in predictor.predict(bits=3).extrapolation[0]
    assert predictor.predict(bits=6).tier == "between levels"


def test_what_is_not_named_is_assumed_from_the_baseline(full):
    prediction = full.predict(bits=4, hadamard=True)
    assumed = [prediction.trial[name] for name in ("weights", "dropout", "exit_weight", "phase")]
    assert assumed == ["ternary", "none", 0.0, "1"]
    assert {"weights", "dropout", "exit_weight", "tokens"} <= set(prediction.assumed)
    assert not {"bits", "hadamard"} & set(prediction.assumed)
    assert full.predict(dropout="quadratic", dropout_max=0.2).trial["phase"] == "2"


def test_where_dropout_is_always_on_it_is_assumed():
    rows = simulate([make_trial(**axes) for axes in POINTS.values()], with_interactions)
    method = fit_predictor(rows).predict(bits=8).trial
    assert (method["dropout"], method["dropout_max"], method["exit_weight"]) == ("quadratic", 0.5, 0.3)


def test_the_scale_asked_for_is_used():
    sets = [grid(bits=(16, 8, 4), exit_weight=(0.0, 0.3), tokens=(tokens,)) for tokens in (1000, 2000)]
    small, large = simulate(sets[0], lambda trial: 5.0), simulate(sets[1], lambda trial: 3.0, seeds=3)
    predictor = fit_predictor(results_from(small.trials.to_pylist() + large.trials.to_pylist()))
    assert predictor.predict().mean == pytest.approx(math.exp(3), rel=0.1)
    assert predictor.predict(tokens=1000).mean == pytest.approx(math.exp(5), rel=0.1)


def test_exit_layers_have_their_own_surface_and_speed(full):
    shallow, deep = full.predict(exit_layer=2, bits=8), full.predict(bits=8)
    # Simulated exits lose 0.02 nats per layer skipped and gain L / E - 1.
    assert math.log(shallow.mean / deep.mean) == pytest.approx(0.08, abs=0.005)
    assert shallow.speed_gain == pytest.approx(2.0)
    assert shallow.speed_gain_trials == full.model.trials
    assert (deep.exit_layer, deep.speed_gain) == (6, 0.0)
    with pytest.raises(UserError, match="exit_layer: 7 is not one of 1…6"):
        full.predict(exit_layer=7)


def test_failures_raise_the_risk_and_are_not_averaged():
    rows = simulate(grid(bits=(16, 8, 4), exit_weight=(0.0, 0.1, 0.3)), single_effects).trials.to_pylist()
    for row in rows:
        if row["bits"] == 4 and row["exit_weight"] == 0.3:
            row |= {"status": "diverged", "loss": None, "ppl": None}
    predictor = fit_predictor(results_from(rows))
    risky, safe = predictor.predict(bits=4, exit_weight=0.3), predictor.predict(bits=16)
    assert safe.divergence_risk < 0.1 < 0.5 < risky.divergence_risk < risky.divergence_risk_high
    assert risky.extrapolation == ("bits 4 and exit_weight 0.3 never finished together",)
    assert predictor.model.configurations == 8


def test_artefacts_do_not_train_the_model():
    rows = simulate(grid(bits=(16, 8, 4), exit_weight=(0.0, 0.3)), single_effects).trials.to_pylist()
    reference = fit_predictor(results_from(rows)).predict(bits=8)
    rows.append(trial_row(make_trial(bits=8, seed=9), 40.0, artefact=True))
    assert fit_predictor(results_from(rows)).predict(bits=8) == reference


def test_json_object_has_the_keys_of_the_contract(full):
    plain = full.predict(bits=4, hadamard=True, exit_layer=3).to_json_object()
    assert set(CONTRACT) <= set(plain)
    assert set(MODEL_KEYS) <= set(plain["model"])
    assert set(plain["configuration"]) == set(make_trial().axes()) - {"seed"}
    assert set(plain["assumed"]) < set(plain["configuration"])
    assert all(term["low"] <= term["value"] <= term["high"] for term in plain["main_effects"])
    assert plain["nearest"][0]["differs"] == []
    assert len(plain["nearest"][0]["trial_ids"]) == 3
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"no finished trials in the results \(they are empty\): run `bitskip sweep` first"),
        ([trial_row(make_trial(), None, status="diverged")], "1 diverged"),
        ([trial_row(make_trial(seed=s), 4.0) for s in range(3)], "1 configuration"),
    ],
)
def test_too_little_to_predict_from_is_a_user_error(rows, message):
    with pytest.raises(UserError, match=message):
        fit_predictor(results_from(rows)).predict(bits=8)


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("bits", [(16, 8, 4), (16, 8, 7, 6, 5, 4)])
def test_constant_metric_gives_finite_numbers(seeds, bits):
    results = simulate(grid(bits=bits, exit_weight=(0.0, 0.1, 0.3)), lambda t: 4.0, seeds=seeds, sigma=0.0, shift=0.0)
    prediction = fit_predictor(results).predict(bits=4)
    json.dumps(prediction.to_json_object(), allow_nan=False)
    assert prediction.mean == pytest.approx(math.exp(4), rel=1e-3)
    assert prediction.model.loco_r2 is None


def test_mistaken_asks_are_user_errors(full):
    with pytest.raises(UserError, match="did you mean 'bits'"):
        full.predict(bit=4)
    with pytest.raises(UserError, match="a prediction is for a new seed"):
        full.predict(seed=1)
    with pytest.raises(UserError, match="unknown metric"):
        fit_predictor(results_from([]), "perplexity")


def test_other_metrics_are_predicted_on_their_own_scale():
    results = simulate(grid(**FULL_GRID), with_interactions)
    prediction = fit_predictor(results, "bpb").predict(bits=4, hadamard=True)
    nats = fit_predictor(results).predict(bits=4, hadamard=True)
    assert prediction.mean == pytest.approx(math.log(nats.mean) / math.log(2) / 4, rel=1e-3)


def test_a_metric_is_predicted_once_it_is_in_the_table(monkeypatch):
    def gain(row):
        return None if row.get("unigram_entropy") is None else row["unigram_entropy"] - row["loss"]

    monkeypatch.setitem(OWN, "unigram_gain", Metric(gain, "nats", 0.02))
    simulated = simulate(grid(**FULL_GRID), with_interactions)
    rows = [row | {"unigram_entropy": 6.0} for row in simulated.trials.to_pylist()]
    predictor = fit_predictor(results_from(rows, simulated.exits.to_pylist()), "unigram_gain")
    kept = Predictor(measurements_from(json.loads(json.dumps(plain_measurements(predictor.measured)))))
    for each in (predictor, kept):
        prediction = each.predict(bits=4, hadamard=True)
        nats = fit_predictor(simulated).predict(bits=4, hadamard=True)
        assert prediction.metric == "unigram_gain"
        assert prediction.mean == pytest.approx(6 - math.log(nats.mean), abs=1e-3)
        assert prediction.composition_effects[0].value == pytest.approx(-nats.composition_effects[0].value, abs=1e-3)
        with pytest.raises(UserError, match="0 configuration"):  # exits do not say it
            each.predict(bits=4, exit_layer=2)


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(random):
    results = simulate(grid(bits=(16, 8, 4), hadamard=("none", "bitnet-v2"), exit_weight=(0.0, 0.3)), with_interactions)
    rows, exits = results.trials.to_pylist(), results.exits.to_pylist()
    asked = {"bits": 4, "hadamard": True, "exit_layer": 4}
    reference = fit_predictor(results).predict(**asked)
    random.shuffle(rows)
    random.shuffle(exits)
    assert fit_predictor(results_from(rows, exits)).predict(**asked) == reference


def test_seed_shift_is_removed_where_seeds_are_shared():
    # One configuration lacks the lucky seed: its mean must not look worse for it.
    rows = [trial_row(make_trial(bits=b, exit_weight=w, seed=s), 4.0 - s)
            for b in (16, 8, 4) for w in (0.0, 0.1, 0.3) for s in (0, 1) if (b, w, s) != (4, 0.3, 1)]  # fmt: skip
    predictor = fit_predictor(results_from(rows))
    surface = predictor.surface(predictor.families[0])
    assert np.ptp(surface.values) == pytest.approx(0, abs=1e-9)


def test_exit_without_measures_is_a_user_error():
    trial = make_trial()
    with pytest.raises(UserError, match="0 configuration"):
        fit_predictor(results_from([trial_row(trial, 4.0)], exit_rows(trial, 4.0)[-1:])).predict(exit_layer=1)


def test_import_of_the_predict_path_is_light():
    heavy = ("torch", "ray", "scipy", "pandas", "sklearn", "rich", "typer")
    code = (
        f"import sys, bitskip.predict.predictor, bitskip.store.tables; print([m for m in {heavy} if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_scaling_law_predicts_a_size_between_those_measured():
    def law(trial):
        params, tokens = non_embedding_parameters(trial.model), trial.training.tokens
        return single_effects(trial) - 2 + 9 * params**-0.34 + 30 * tokens**-0.28

    sizes = {"model": ("nano", "micro", "small"), "tokens": (10_000, 40_000, 160_000)}
    predictor = fit_predictor(simulate(grid(bits=(16, 4), exit_weight=(0.0, 0.3), **sizes), law, sigma=0.01))
    asked = {"bits": 4, "model": "micro", "tokens": 80_000}
    prediction = predictor.predict(**asked)
    assert prediction.tier == "between levels"
    assert prediction.extrapolation[0] == "tokens 80000 was never run: interpolated between tokens 40000 and 160000"
    assert math.log(prediction.mean) == pytest.approx(law(make_trial(**asked)), abs=0.03)
    assert predictor.predict(tokens=1_000_000).tier == "outside"
    # The baseline of the waterfall stands at the size that was asked for.
    assert math.log(prediction.baseline["mean"]) == pytest.approx(law(make_trial(**{**asked, "bits": 16})), abs=0.03)


def test_the_scale_taken_is_named_where_there_are_several():
    sets = [grid(bits=(16, 8, 4), exit_weight=(0.0, 0.3), lr=(lr,)) for lr in (1e-3, 3e-3)]
    rows = [row for each in sets for row in simulate(each, single_effects).trials.to_pylist()]
    predictor = fit_predictor(results_from(rows))
    (note,) = predictor.predict(bits=4).notes
    assert note.startswith("2 scales were measured; taken is the one with most trials, nano, stories, 400 000 tokens")
    assert predictor.predict(bits=4, lr=1e-3).notes == ()


def test_one_seed_is_said():
    prediction = fit_predictor(simulate(grid(**FULL_GRID), with_interactions, seeds=1)).predict(bits=4)
    (note,) = prediction.notes
    assert note == "one seed only: the intervals know nothing of how far a seed shifts all configurations"
    assert prediction.model.noise_percent is None
    assert prediction.low < prediction.mean < prediction.high


def test_the_phase_has_no_effect_of_its_own():
    def truth(trial):
        return single_effects(trial) - 0.1 * (trial["phase"] == "1+2")

    configurations = grid(bits=(16, 4), dropout=("none", "quadratic"), exit_weight=(0.0, 0.3), phase=("2", "1+2"))
    predictor = fit_predictor(simulate(configurations, truth, seeds=3))
    prediction = predictor.predict(dropout="quadratic", exit_weight=0.3, phase="1+2")
    assert [term.techniques[0].split()[0] for term in prediction.main_effects] == ["dropout", "exit_weight"]
    assert prediction.extrapolation == ()
    assert math.log(prediction.mean) == pytest.approx(truth(prediction.trial), abs=0.08)
    terms = [*prediction.main_effects, *prediction.composition_effects]
    total = prediction.baseline["value"] + sum(term.value for term in terms)
    assert math.exp(total) == pytest.approx(prediction.mean)
    assert predictor.predict(bits=4, phase="1+2").mean == predictor.predict(bits=4).mean


@settings(max_examples=6, deadline=None)
@given(st.floats(-2, 2))
def test_a_constant_in_log_perplexity_shifts_predictions_only(constant):
    configurations = grid(bits=(16, 8, 4), hadamard=("none", "bitnet-v2"), exit_weight=(0.0, 0.3))
    plain = fit_predictor(simulate(configurations, with_interactions)).predict(bits=4, hadamard=True)
    results = simulate(configurations, lambda trial: with_interactions(trial) + constant)
    moved = fit_predictor(results).predict(bits=4, hadamard=True)
    for name in ("mean", "low", "high", "additive_mean"):
        assert math.log(getattr(moved, name) / getattr(plain, name)) == pytest.approx(constant, abs=1e-4)
    assert moved.model.loco_r2 == pytest.approx(plain.model.loco_r2, abs=1e-4)


def test_scores_name_the_null_the_ceiling_and_the_control(full):
    model = full.model
    assert model.loco_r2 <= model.r2_ceiling + 0.02
    assert model.additive_r2 < model.loco_r2
    assert 0.5 < model.skill_low < model.skill < model.skill_high <= 1
    assert model.within_r2 > 0.9
    assert model.rank_correlation > 0.95
    assert 0.85 <= model.coverage <= 0.97
    assert 0.7 <= model.coverage_new_pair <= 1
    assert model.noise_percent < model.loco_mae_percent < 3


def tuned_results():
    """16 bits at one learning rate and 4 bits at another; a search of rates beside them."""
    rows = []
    for bits, h, weight, seed in itertools.product((16, 4), (False, True), (0.0, 0.1, 0.3), (0, 1)):
        trial = make_trial(bits=bits, hadamard=h, exit_weight=weight, lr={16: 4e-3, 4: 8e-3}[bits], seed=seed)
        rows.append(trial_row(trial, with_interactions(trial) + 0.01 * seed, tuned="lr", started_at=LATER))
    for lr, bits in itertools.product((4e-3, 8e-3), (16, 4)):
        trial = make_trial(bits=bits, lr=lr, seed=9)
        rows.append(trial_row(trial, with_interactions(trial)))
    return results_from(rows)


def test_configurations_at_rates_of_their_own_are_compared(tmp_path):
    results = tuned_results()
    scales = {stratum.label: stratum for stratum in strata(results)}
    assert [label.rpartition(", ")[2] for label in scales] == ["lr tuned", "lr 0.004", "lr 0.008"]
    assert next(iter(scales.values())).trials == 24
    (effect,) = [e for e in composition_effects(results, estimands=("anchored",)) if "exit" not in str(e.techniques)]
    assert effect.techniques == ("bits 4", "hadamard bitnet-v2")
    assert effect.value == pytest.approx(-0.15)
    predictor = fit_predictor(results)
    kept = Predictor(measurements_from(json.loads(json.dumps(plain_measurements(predictor.measured)))))
    for each in (predictor, kept):
        assert each.predict(bits=4, hadamard=True).trial.training.lr == 8e-3
        assert each.predict(bits=16, exit_weight=0.2).trial.training.lr == 4e-3
    outside = predictor.predict(bits=4, lr=1e-3)
    assert outside.tier == "outside"
    assert "lr 0.001 was not measured, only tuned" in outside.extrapolation


def test_another_rate_replaces_the_one_that_a_configuration_had_before():
    old, new = (make_trial(bits=4, lr=lr, seed=seed) for lr, seed in ((1e-3, 0), (2e-3, 1)))
    rows = [trial_row(old, 3.0, tuned="lr", started_at=EARLIER), trial_row(new, 2.0, tuned="lr", started_at=LATER)]
    ((cell,),) = [stratum.cells for stratum in strata(results_from(rows))]
    assert [row["trial_id"] for row in cell.rows] == [new.trial_id]
