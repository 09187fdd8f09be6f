"""Ladders through the public API: rows that are saved, loaded, and asked at another scale."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scaled_ladders import BUDGETS, NEXT, SHAPES, Truth, constant, crossed, fading, flipping, growing, parameters, rows

import bitskip
from bitskip.store.tables import Results

PAIR = (("bits", 4), ("hadamard", "bitnet-v2"))


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Results]:
    def save(found: list[dict[str, Any]]) -> Results:
        bitskip.save_results(found, tmp_path / "ladder")
        return bitskip.load_results(tmp_path / "ladder")

    return save


@pytest.mark.parametrize(
    ("truth", "expected", "law"),
    [
        (constant, "holds", "constant"),
        (growing, "grows", "power"),
        (fading, "fades", "power"),
        (flipping, "flips", "linear"),
    ],
)
def test_what_becomes_of_an_effect(load: Callable[..., Results], truth: Truth, expected: str, law: str) -> None:
    found = bitskip.fit_scaling(load(rows(truth, crossed(), sigma=0.004))).contrast(*PAIR, **NEXT)
    true = truth(NEXT["parameters"], NEXT["tokens"])
    assert found.low <= true <= found.high
    assert found.mean == pytest.approx(true, abs=0.02)
    assert found.verdict == expected
    assert max(found.weights, key=lambda name: found.weights[name]) == law
    assert sum(found.weights.values()) == pytest.approx(1)


def test_rungs_are_the_mean_of_paired_differences(load: Callable[..., Results]) -> None:
    """Against sums over the rows, at a rung whose depth knows the bystander's setting under another name."""
    made = rows(constant, crossed(), sigma=0.02)
    scaling = bitskip.fit_scaling(load(made))
    for rung in scaling.contrast(*PAIR, **NEXT).rungs:
        own = [row for row in made if parameters(row["model"]["layers"], row["model"]["width"]) == rung.parameters]
        signs = [(-1) ** ((row["bits"] == 16) + (row["hadamard"] == "none")) for row in own]
        here = [sign * row["loss"] for sign, row in zip(signs, own, strict=True) if row["tokens"] == rung.tokens]
        assert rung.value == pytest.approx(sum(here) / 4)  # two settings, two seeds
        assert (rung.settings, rung.seeds) == (2, 2)
    assert len(scaling.scales) == 9


def test_recipes_that_go_with_the_rung_do_not_split_the_ladder_and_texts_do(load: Callable[..., Results]) -> None:
    results = load(
        rows(constant, crossed(), sigma=0.01) + rows(flipping, crossed(2, 2), sigma=0.01, data={"corpus": "other"})
    )
    scaling = bitskip.fit_scaling(results)
    assert len(scaling.scales) == 9
    assert "2 ladders" in scaling.contrast(*PAIR, **NEXT).notes[0]
    assert len(bitskip.fit_scaling(results, **{"data.corpus": "other"}).scales) == 4


def test_the_largest_rung_is_held_out(load: Callable[..., Results]) -> None:
    def odd(n: float, d: float) -> float:
        return 0.3 if (n, d) == (parameters(*SHAPES[2]), BUDGETS[2]) else 0.08

    found = bitskip.fit_scaling(load(rows(odd, crossed(), sigma=0.001))).contrast(*PAIR, **NEXT)
    assert found.held_out is not None
    assert (found.held_out.rung.parameters, found.held_out.rung.tokens) == (parameters(*SHAPES[2]), BUDGETS[2])
    assert found.held_out.error == pytest.approx(0.22, abs=0.01)
    assert not found.held_out.inside
    assert any("outside" in note for note in found.notes)


def test_one_technique_alone_and_all_together(load: Callable[..., Results]) -> None:
    scaling = bitskip.fit_scaling(load(rows(constant, crossed(), sigma=0.001, bystander=False)))
    single = scaling.contrast(("hadamard", True), parameters=parameters(*SHAPES[2]), tokens=BUDGETS[2])
    whole = scaling.difference(*PAIR, parameters=parameters(*SHAPES[1]), tokens=BUDGETS[1])
    assert single.mean == pytest.approx(0.02, abs=0.002)  # -0.02 with 16 bits, 0.06 with 4: averaged
    assert whole.mean == pytest.approx(0.1 - 0.02 + 0.08, abs=0.01)


def test_five_rungs_on_a_diagonal_are_enough(load: Callable[..., Results]) -> None:
    shapes = [(3, 32), (3, 64), (4, 64), (4, 128), (6, 128)]
    rungs = [(each, 20 * parameters(*each)) for each in shapes]
    scaling = bitskip.fit_scaling(load(rows(constant, rungs, sigma=0.01)))
    found = scaling.contrast(*PAIR, parameters=NEXT["parameters"], tokens=20 * NEXT["parameters"])
    assert found.low <= 0.08 <= found.high


@pytest.mark.parametrize(
    ("rungs", "asked", "told"),
    [
        (crossed(2, 2), NEXT | {"parameters": 1e6}, "beyond the 2 sizes measured; going beyond needs 3"),
        (crossed(3, 2), NEXT, "beyond the 2 budgets measured; going beyond needs 3"),
        ([(SHAPES[i], BUDGETS[i]) for i in range(3)], NEXT, "3 rungs have this effect, 5 are needed"),
        (crossed(), NEXT | {"parameters": 1e9}, "more than 8 times from the largest measured"),
    ],
)
def test_what_a_ladder_cannot_carry_is_refused(
    load: Callable[..., Results], rungs: list, asked: dict[str, Any], told: str
) -> None:
    scaling = bitskip.fit_scaling(load(rows(flipping, rungs, sigma=0.01)))
    with pytest.raises(bitskip.UserError, match=told):
        scaling.contrast(*PAIR, **asked)
    forced = scaling.contrast(*PAIR, **asked, force=True)
    assert any(told in note for note in forced.notes)
    assert forced.low < forced.mean < forced.high


def test_two_sizes_answer_between_them(load: Callable[..., Results]) -> None:
    scaling = bitskip.fit_scaling(load(rows(flipping, crossed(2, 3), sigma=0.005)))
    found = scaling.contrast(*PAIR, parameters=parameters(*SHAPES[1]), tokens=BUDGETS[3])
    assert found.verdict == "flips"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ((), "name at least one technique"),
        ((("bit", 4),), "did you mean 'bits'"),
        ((("bits", 8),), "was not measured"),
        ((("bits", 16),), "was not measured"),
        ((("bits", 99),), "bits"),
        ((("bits", 4), ("weights", "ternary")), "named twice"),
        (("bits",), "expected a technique and its value"),
    ],
)
def test_mistakes_are_told(load: Callable[..., Results], asked: tuple, told: str) -> None:
    scaling = bitskip.fit_scaling(load(rows(constant, crossed(1, 1))))
    with pytest.raises(bitskip.UserError, match=told):
        scaling.contrast(*asked, **NEXT)


def test_more_mistakes_are_told(load: Callable[..., Results]) -> None:
    results = load(rows(constant, crossed(), seeds=1))
    with pytest.raises(bitskip.UserError, match="run a second seed"):
        bitskip.fit_scaling(results).contrast(*PAIR, **NEXT)
    with pytest.raises(bitskip.UserError, match="expected a positive number"):
        bitskip.fit_scaling(results).contrast(*PAIR, parameters=0, tokens=1)
    with pytest.raises(bitskip.UserError, match="no axis of a scale"):
        bitskip.fit_scaling(results, bits=4)
    with pytest.raises(bitskip.UserError, match="no finished trials with seq_len 7"):
        bitskip.fit_scaling(results, seq_len=7)
    with pytest.raises(bitskip.UserError, match="unknown metric"):
        bitskip.fit_scaling(results, "pp")


def test_one_seed_at_the_largest_rung_borrows_the_noise_of_the_others(load: Callable[..., Results]) -> None:
    made = [
        row
        for row in rows(constant, crossed(), sigma=0.01)
        if not (row["seed"] == 1 and row["model"]["width"] == 128 and row["tokens"] == BUDGETS[2])
    ]
    found = bitskip.fit_scaling(load(made)).contrast(*PAIR, **NEXT)
    assert found.rungs[-1].seeds == 1
    assert found.rungs[-1].se > max(rung.se for rung in found.rungs[:-1])
    assert found.low <= 0.08 <= found.high
