"""Effects on domains and tasks: their values and errors against the textbook's, over items."""

import math

import numpy as np
import pyarrow as pa
import pytest
from simulated_results import results_from, trial_row

from bitskip.analysis.effects import main_effects
from bitskip.store.schema import arrow_schema
from bitskip.store.tables import Results
from bitskip.trial.config import make_trial

UNTRAINED = {"model.pretrained": "m", "training": "none", "data.vocab_size": 300, "weights": "full"}
ITEMS = 60


def judged(training: bool = False) -> tuple[Results, np.ndarray]:
    """Two configurations of one seed, and bits per byte of their items [configuration, item]."""
    source = np.random.default_rng(0)
    easy = source.normal(2.0, 1.0, ITEMS)  # what an item costs any model is no error of a difference
    bits = np.stack([easy, easy + 0.3 + source.normal(0, 0.2, ITEMS)])
    common = {} if training else UNTRAINED
    trials = [make_trial(bits=width, **common | {"weights": "full"}) for width in (16, 4)]
    rows = [
        {
            "trial_id": trial.trial_id,
            "kind": kind,
            "name": name,
            "item": item,
            "exit_layer": 6,
            "bits_per_byte": value,
            "loss": value * math.log(2) * size,
            "bytes": size,
            "tokens": 3,
            "choices": 2 if kind == "task" else None,
            "correct": value < 2 if kind == "task" else None,
            "correct_per_byte": value < 2 if kind == "task" else None,
        }
        for trial, own in zip(trials, bits, strict=True)
        for kind, name, size, values in (
            ("task", "one", 5, own[: ITEMS // 2]),
            ("task", "two", 9, own[ITEMS // 2 :]),
            ("domain", "prose", 100, own[:10]),
            ("domain", "code", 200, own[10:40]),
        )
        for item, value in enumerate(values)
    ]
    found = results_from([trial_row(trial, 3.0 + at) for at, trial in enumerate(trials)])
    table = pa.Table.from_pylist(rows, schema=arrow_schema("evaluations"))
    return Results(found.trials, found.exits, found.curves, found.layers, evaluations=table), bits


def effect_of(results: Results, metric: str):
    return next(each for each in main_effects(results, metric) if each.estimand == "anchored")


def test_an_effect_on_gold_answers_has_the_error_of_a_paired_mean_over_items() -> None:
    results, bits = judged()
    found, difference = effect_of(results, "gold_bpb"), bits[1] - bits[0]
    assert found.value == pytest.approx(difference.mean())
    assert found.se == pytest.approx(difference.std(ddof=1) / math.sqrt(ITEMS))
    assert found.df == pytest.approx(ITEMS - 1)
    resampled = np.random.default_rng(1).choice(difference, (4000, ITEMS)).mean(1)
    assert found.se == pytest.approx(resampled.std(), rel=0.05)
    assert found.verdict == "raises"


def test_accuracy_is_a_share_of_items() -> None:
    results, bits = judged()
    assert effect_of(results, "task_accuracy").value == pytest.approx((bits[1] < 2).mean() - (bits[0] < 2).mean())


def test_domains_count_alike_however_long_they_are() -> None:
    results, bits = judged()
    means = [(own[:10].mean() + own[10:40].mean()) / 2 for own in bits]
    found = effect_of(results, "domain_bpb")
    assert found.value == pytest.approx(means[1] - means[0])
    assert found.se is not None


def test_one_seed_of_a_training_tells_no_error() -> None:
    results, _ = judged(training=True)
    assert effect_of(results, "gold_bpb").se is None
