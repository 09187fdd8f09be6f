"""Results that no trainer of bitskip has made: rows in, effects out."""

import itertools
import math

import pytest

import bitskip
from bitskip.errors import UserError


def rows() -> list[dict[str, object]]:
    """2 x 2 x 2 with an interaction of 0.05 nats between 4 bits and rotation, two seeds that share their noise."""
    cells = itertools.product((16, 4), ("none", "bitnet-v2"), (0, 1))
    return [
        {"bits": bits, "hadamard": rotation, "weights": "full", "seed": seed,
         "loss": 3.0 + 0.1 * (bits == 4) - 0.02 * (rotation != "none") + 0.05 * (bits == 4) * (rotation != "none")
         + 0.01 * seed}
        for bits, rotation, seed in cells
    ]  # fmt: skip


def test_rows_become_results_with_their_effects(tmp_path) -> None:
    folder = bitskip.save_results(rows(), tmp_path / "mine")
    results = bitskip.load_results(tmp_path)
    assert results.trials.num_rows == 8
    assert set(results.trials["sweep"].to_pylist()) == {"mine"}
    effects = bitskip.composition_effects(bitskip.load_results(folder))
    assert {effect.techniques for effect in effects} == {("bits 4 full", "hadamard bitnet-v2")}
    assert all(effect.value == pytest.approx(0.05) for effect in effects)
    assert bitskip.fit_predictor(results) is not None
    found = {row["loss"]: row["ppl"] for row in results.trials.to_pylist()}
    assert all(ppl == pytest.approx(math.exp(loss)) for loss, ppl in found.items())


def test_saved_again_the_same_trial_is_replaced(tmp_path) -> None:
    first, *_ = rows()
    bitskip.save_results([first], tmp_path / "mine")
    bitskip.save_results([first], tmp_path / "mine")  # the same: nothing to say
    with pytest.warns(UserWarning, match="the results of 1 trials in .*mine are replaced by others"):
        bitskip.save_results([first | {"loss": 2.0}], tmp_path / "mine")
    assert bitskip.load_results(tmp_path).trials["loss"].to_pylist() == [2.0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"bit": 4, "seed": 0, "loss": 1.0},
            "row 1: 'bit' is neither an axis nor a column of trials; did you mean 'bits'",
        ),
        ({"bits": 9, "seed": 0, "loss": 1.0}, "row 1: bits: 9 is not one of"),
        ({"bits": 4, "loss": 1.0}, "row 1: a row needs `seed` and `loss`"),
        ({"bits": 4, "seed": 0, "loss": None}, "row 1: status '' does not go with loss None"),
        ({"bits": 4, "seed": 0, "loss": 1.0, "status": "diverged"}, "row 1: status 'diverged' does not go"),
        ({"bits": 4, "seed": 0, "loss": float("nan")}, "row 1: loss: expected a finite number"),
    ],
    ids=str,
)
def test_wrong_rows_are_named_and_nothing_is_stored(tmp_path, row: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        bitskip.save_results([row], tmp_path / "mine")
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "mine").exists()


def test_a_trial_twice_is_refused(tmp_path) -> None:
    first, *_ = rows()
    with pytest.raises(UserError, match="row 2: this configuration and seed are there already"):
        bitskip.save_results([first, first], tmp_path / "mine")
    failed = {"bits": 4, "seed": 3, "loss": None, "status": "diverged"}
    bitskip.save_results([first, failed], tmp_path / "mine")
    assert bitskip.load_results(tmp_path).trials["status"].to_pylist().count("diverged") == 1
