"""Verdicts from intervals."""

import pytest

from bitskip.scaling.verdict import verdict

UP, DOWN, NONE, SMALL = (0.05, 0.1), (-0.1, -0.05), (-0.05, 0.05), (-0.01, 0.01)


@pytest.mark.parametrize(
    ("rungs", "target", "change", "expected"),
    [
        ([UP, UP], UP, NONE, "holds"),
        ([DOWN, DOWN], DOWN, NONE, "holds"),
        ([UP, UP], UP, UP, "grows"),
        ([DOWN, DOWN], DOWN, DOWN, "grows"),
        ([NONE, UP], UP, UP, "grows"),
        ([UP, UP], UP, DOWN, "fades"),
        ([UP, NONE], NONE, DOWN, "fades"),
        ([DOWN, UP], UP, UP, "flips"),
        ([NONE, DOWN], UP, UP, "flips"),
        ([DOWN, UP], NONE, UP, "flips"),
        ([UP, DOWN], NONE, DOWN, "open"),
        ([UP, UP], NONE, NONE, "open"),
        ([NONE, NONE], NONE, NONE, "open"),
        ([SMALL, SMALL], SMALL, SMALL, "holds"),
    ],
)
def test_verdict(rungs: list, target: tuple, change: tuple, expected: str) -> None:
    above = {UP: 0.99, DOWN: 0.01}.get(target, 0.6)
    assert verdict(rungs, target, above, change, margin=0.02) == expected
