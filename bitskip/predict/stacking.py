"""Several models of one surface, weighted by how they predict configurations that are left out (docs/prediction.md).

Weights are not negative, sum to one, and minimise the squared error of the weighted prediction on left-out
configurations (Wolpert 1992; Breiman 1996). A model that has sought interactions or a transform pays for it: what it
gains must exceed what its search finds in noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bitskip.predict.features import Array, Inputs
from bitskip.predict.gaussian_process import Blocks, GaussianProcess
from bitskip.predict.kernels import Kernel

MODELS: Mapping[str, tuple[Kernel, float]] = {
    "additive": (Kernel(mains=True), 0.0),
    "warped additive": (Kernel(mains=True, warped=True), 10.0),
    "smooth process": (Kernel(smooth=True, warped=True), 25.0),
    "rough process": (Kernel(rough=True, warped=True), 25.0),
    "interactions": (Kernel(mains=True, interactions=True, rough=True, warped=True), 25.0),
}
"""Kernel by name, and its price at full weight in mean squared errors of the best model; the first is the null."""


def stacking_weights(left_out: Sequence[Array], prices: Sequence[float]) -> Array:
    """The weights of models with these residuals on left-out configurations.

    The quadratic program is solved exactly, support by support: there are few models.
    """
    residuals = np.array(left_out)
    gram = residuals @ residuals.T
    count = len(gram)
    price = np.array(prices) * float(np.diag(gram).min()) / residuals.shape[1]
    steady = gram + 1e-9 * max(float(np.trace(gram)), 1e-300) * np.eye(count)
    best, found = math.inf, np.eye(count)[0]
    for size in range(1, count + 1):
        for support in map(list, itertools.combinations(range(count), size)):
            ones = np.ones((size, 1))
            system = np.block([[2 * steady[np.ix_(support, support)], ones], [ones.T, np.zeros((1, 1))]])
            solved = np.linalg.lstsq(system, np.append(-price[support], 1.0), rcond=None)[0][:size]
            weights = np.zeros(count)
            weights[support] = solved
            loss = float(weights @ steady @ weights + price @ weights)
            if solved.min() >= 0 and loss < best:
                best, found = loss, weights
    total: Array = found / found.sum()
    return total


@dataclass(frozen=True)
class Stack:
    """Processes with their weights; it answers as each of them does."""

    processes: tuple[GaussianProcess, ...]
    weights: tuple[float, ...]

    @property
    def _used(self) -> list[tuple[float, GaussianProcess]]:
        return [(weight, each) for weight, each in zip(self.weights, self.processes, strict=True) if weight > 0]

    def predict(self, inputs: Sequence[Inputs]) -> Array:
        """Expected values of cells."""
        expected: Array = sum((weight * each.predict(inputs) for weight, each in self._used), np.zeros(1))
        return expected

    def residuals(self, block: Sequence[int]) -> Array:
        """Value minus prediction for configurations that are left out together."""
        missed: Array = sum((weight * each.residuals(block) for weight, each in self._used), np.zeros(1))
        return missed

    def predict_without(self, inputs: Sequence[Inputs], blocks: Blocks) -> Array:
        """Predictions of cells without each block in turn, [cells, blocks]."""
        expected: Array = sum(
            (weight * each.predict_without(inputs, blocks) for weight, each in self._used), np.zeros((1, 1))
        )
        return expected

    def contrast(self, inputs: Sequence[Inputs], weights: Array) -> tuple[float, float]:
        """(mean, standard deviation) of sum(weights * surface) over cells, the disagreement of the models included."""
        parts = [(share, *each.contrast(inputs, weights)) for share, each in self._used]
        mean = math.fsum(share * value for share, value, _ in parts)
        return mean, math.sqrt(math.fsum(share * (sd**2 + (value - mean) ** 2) for share, value, sd in parts))


FOLDS = 5


def optimism(model: Stack, prices: Sequence[float], blocks: Blocks) -> float:
    """By what factor residuals of left-out configurations are too small because all chose hyper-parameters and weights.

    Fifths of the blocks are left out, hyper-parameters and weights chosen by the rest; against the same fifths left out
    at those of all. 1 with fewer blocks than that.
    """
    if len(blocks) < FOLDS:
        return 1.0
    count = len(model.processes[0].values)
    order = np.random.default_rng(0).permutation(len(blocks))
    chosen_by_all = chosen_by_rest = 0.0
    for fold in range(FOLDS):
        out = sorted(row for at in order[fold::FOLDS] for row in blocks[at])
        rest = np.setdiff1d(np.arange(count), out)
        inner = [np.searchsorted(rest, block).tolist() for block in blocks if block[0] not in out]
        again = tuple(each.refitted(rest) for each in model.processes)
        weights = stacking_weights([left_out_residuals(each, inner) for each in again], prices)
        first = model.processes[0]
        asked = [each.rows(np.array(out)) for each in first.inputs]
        missed = first.values[out] - Stack(again, tuple(weights.tolist())).predict(asked)
        chosen_by_rest += float(missed @ missed)
        chosen_by_all += float(np.sum(model.residuals(out) ** 2))
    return max(1.0, math.sqrt(chosen_by_rest / chosen_by_all)) if chosen_by_all > 0 else 1.0


def left_out_residuals(process: GaussianProcess, blocks: Blocks) -> Array:
    """Of every configuration, its residual when its block is left out."""
    found = np.empty(len(process.values))
    for block in blocks:
        found[list(block)] = process.residuals(block)
    return found
