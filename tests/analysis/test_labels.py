"""Two things that differ have two labels."""

from __future__ import annotations

import dataclasses
import itertools

from simulated_results import results_from, trial_row

from bitskip.analysis.factorial import strata
from bitskip.analysis.levels import cell_label, level_label, levels_of
from bitskip.trial.config import DataConfig, ModelConfig, make_trial, model_label


def test_rates_that_differ_in_the_last_digit_have_two_labels() -> None:
    trials = [make_trial(dropout="linear", dropout_max=rate) for rate in (0.3, 0.30000000000000004)]
    labels = {cell_label(levels_of(trial.axes()), levels_of({})) for trial in trials}
    assert labels == {"dropout linear 0.3", "dropout linear 0.30000000000000004"}


def test_a_setting_that_may_be_taken_for_another_is_named() -> None:
    found = [level_label("mod_capacity", (0.5, *level)) for level in itertools.product((1, 2), (0.01, 1.0))]
    assert found == [
        "mod_capacity 0.5 mod_every 1",
        "mod_capacity 0.5 mod_every 1 mod_router_weight 1",
        "mod_capacity 0.5",
        "mod_capacity 0.5 mod_router_weight 1",
    ]


def test_texts_of_one_name_have_labels_with_what_differs() -> None:
    rows = []
    for digest, separator in (("1234567890", "\n\n"), ("abcdefghij", "\n\n"), ("abcdefghij", "\n")):
        trial = make_trial(data={"files": ["a.txt"], "separator": separator})
        trial = dataclasses.replace(trial, data=dataclasses.replace(trial.data, digest=digest))
        rows.append(trial_row(trial, 3.0))
    labels = [stratum.label for stratum in strata(results_from(rows))]
    assert len(set(labels)) == 3
    assert "nano, a.txt, 400 000 tokens, data.digest abcdefgh, data.separator '\\n'" in labels


def test_models_of_one_size_are_told_apart() -> None:
    sizes = {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}
    assert model_label(ModelConfig(**sizes)) == "2x32h2kv1f64"
    assert model_label(ModelConfig(**sizes, rope_theta=500.0)) == "2x32h2kv1f64 rope_theta 500"
    assert DataConfig().separator == "\n\n"
