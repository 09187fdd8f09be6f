"""Multipliers of parameters and tokens, against a loss that is made of them."""

import math
from pathlib import Path

import pytest
from scaled_ladders import crossed, parameters, rows

import bitskip
from bitskip.scaling.multiplier_laws import LossLaw, loss_law

TRUE = {"bits 4": (0.5, 1.5), "hadamard bitnet-v2": (1.2, 0.9), "bits 4 × hadamard bitnet-v2": (1.3, 1.1)}
"""By how much they multiply parameters and tokens."""


def made(rungs, sigma: float) -> list[dict[str, object]]:
    found = rows(lambda n, d: 0.0, rungs, seeds=3, sigma=sigma, bystander=False)
    without = rows(lambda n, d: 0.0, rungs, seeds=3, bystander=False)
    for row, plain in zip(found, without, strict=True):
        on = ["bits 4"] * (row["bits"] == 4) + ["hadamard bitnet-v2"] * (row["hadamard"] != "none")
        on += ["bits 4 × hadamard bitnet-v2"] * (len(on) == 2)
        m, d = (math.prod(TRUE[name][which] for name in on) for which in (0, 1))
        size = parameters(row["model"]["layers"], row["model"]["width"])
        noise = row["loss"] - plain["loss"]
        row["loss"] = 1.7 + 60 * (m * size) ** -0.34 + 60 * (d * row["tokens"]) ** -0.28 + noise
    return found


def fitted(folder: Path, rungs=None, sigma: float = 0.003) -> LossLaw | None:
    bitskip.save_results(made(crossed() if rungs is None else rungs, sigma), folder / "ladder")
    return loss_law(bitskip.fit_scaling(bitskip.load_results(folder)))


def test_multipliers_are_those_of_the_truth(tmp_path: Path) -> None:
    law = fitted(tmp_path)
    assert {" × ".join(each.techniques) for each in law.multipliers} == set(TRUE)
    for each in law.multipliers:
        for (value, low, high), true in zip(
            (each.parameters, each.tokens), TRUE[" × ".join(each.techniques)], strict=True
        ):
            assert low < value < high
            assert value == pytest.approx(true, rel=0.25)


def test_the_largest_rung_is_foretold_by_the_others(tmp_path: Path) -> None:
    law = fitted(tmp_path)
    assert law.misfit < 0.02
    assert law.held_out < 0.05
    for each in law.multipliers:
        assert each.foretold == pytest.approx(each.measured, abs=0.03)


def test_too_few_rungs_have_no_law(tmp_path: Path) -> None:
    assert fitted(tmp_path, crossed(2, 3)) is None
