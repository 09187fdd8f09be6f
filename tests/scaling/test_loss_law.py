"""The law of the baseline's loss against losses that follow one."""

import itertools

import numpy as np
import pytest

from bitskip.scaling.loss_law import loss_at_scale

SCALES = np.array(list(itertools.product((5e4, 2.5e5, 1.5e6), (1e6, 4e6, 16e6))))
ASKED = np.array([8e6, 64e6])


def loss(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    return 1.7 + 60 * n**-0.34 + 60 * d**-0.28


def test_the_next_rung_is_found() -> None:
    losses = loss(*SCALES.T) + np.random.default_rng(0).normal(0, 0.005, 9)
    found = loss_at_scale(np.log(SCALES), losses, np.log(ASKED))
    assert found is not None
    true = loss(*ASKED)
    assert found.mean == pytest.approx(true, abs=0.05)
    assert abs(found.mean - true) < 2 * found.se


def test_without_noise_it_is_nearly_exact() -> None:
    found = loss_at_scale(np.log(SCALES), loss(*SCALES.T), np.log(ASKED))
    assert found is not None
    assert found.mean == pytest.approx(loss(*ASKED), rel=2e-3)
    assert found.held_out_error == pytest.approx(0, abs=5e-3)


def test_too_few_rungs_have_no_law() -> None:
    assert loss_at_scale(np.log(SCALES[:5]), loss(*SCALES[:5].T), np.log(ASKED)) is None
    assert loss_at_scale(np.log(SCALES[:6]), loss(*SCALES[:6].T), np.log(ASKED)) is None
