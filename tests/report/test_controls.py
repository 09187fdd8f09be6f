"""Controls in the report: exits beside shallow models, and full precision of equal cost, against numbers by hand."""

import math

import pytest
from simulated_results import exit_rows, results_from, trial_row

from bitskip.report.summary import summarise
from bitskip.trial.config import make_trial
from bitskip.trial.cost import estimate

EXITS = {"exit_weight": 0.3, "dropout": "quadratic", "dropout_max": 0.5}


def model(layers: int) -> dict[str, object]:
    return {"model": {"preset": "nano", "layers": layers}}


def test_an_exit_stands_beside_the_model_of_its_depth_trained_alone() -> None:
    rows, exits = [], []
    for seed in range(2):
        for axes, loss in (({**model(6), **EXITS}, 4.0), (model(2), 4.2 + 0.01 * seed), (model(6), 3.9)):
            trial = make_trial(**axes, seed=seed)
            rows.append(trial_row(trial, loss))
            exits += exit_rows(trial, loss)
    sections = summarise(results_from(rows, exits)).sections
    (found,) = [each for section in sections for each in section.alone]
    assert (found.exit_layer, found.depth, found.seeds) == (2, 6, 2)
    assert found.ppl == pytest.approx(math.exp(4.08))  # 0.02 nats a layer
    assert found.ratio == pytest.approx(math.exp(4.08 - 4.205))
    assert found.low < found.ratio < found.high


@pytest.mark.parametrize("other", [{"tokens": 1000}, {"bits": 8}, {"lr": 1e-2}, {"model.width": 128}], ids=str)
def test_another_recipe_or_precision_is_no_control(other: dict[str, object]) -> None:
    deep, shallow = make_trial(**model(6), **EXITS), make_trial(**model(2), **other)
    results = results_from([trial_row(deep, 4.0), trial_row(shallow, 4.2)], exit_rows(deep, 4.0))
    assert [each for section in summarise(results).sections for each in section.alone] == []


def test_full_precision_of_equal_bytes_and_flops() -> None:
    cases = [(6, 16, 4.0, 600), (4, 16, 4.3, 400), (1, 16, 4.6, 100), (6, 4, 4.1, 110)]
    trials = {(layers, bits): make_trial(**model(layers), bits=bits) for layers, bits, _, _ in cases}
    rows = [trial_row(trials[layers, bits], loss, weight_bytes=size) for layers, bits, loss, size in cases]
    (found,) = [each for section in summarise(results_from(rows)).sections for each in section.equal_costs]
    assert found.configuration.startswith("bits 4")
    assert found.of_parameters == found.of_flops
    assert found.of_parameters.ppl == pytest.approx(math.exp(4.0))
    assert (found.of_bytes.weight_bytes, found.of_bytes.ppl) == (100, pytest.approx(math.exp(4.6)))
    assert found.of_bytes.flops == estimate(trials[1, 16]).flops


def test_of_one_size_there_is_no_equal_cost() -> None:
    rows = [trial_row(make_trial(bits=bits), 4.0) for bits in (16, 8)]
    (section,) = summarise(results_from(rows)).sections
    assert section.equal_costs == ()
