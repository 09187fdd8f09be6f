"""Techniques as numbers: orthonormal sum-to-zero contrasts over the levels that were measured (EFFECTS 3, encoding).

Each factor's levels become features that respect their meaning (a bit width is a damage, a dropout schedule a mean
rate), which are then centred and whitened over the measured levels. Whitening makes a ridge penalty independent of how
the features were scaled; features never exceed the rank that the measured levels support, so that two or three levels
are coded exactly and many levels of a numeric axis are smoothed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitskip.cells import FACTORS, Level, Levels
from bitskip.config import UNQUANTIZED_BITS
from bitskip.method.layerskip import dropout_rates

Array = npt.NDArray[np.float64]
Features = Callable[[Level, int], dict[str, float]]

DAMAGE_BITS = 2.2
"""gamma of Kumar et al. (arXiv 2411.04330): the damage of b activation bits falls as exp(-b / gamma)."""


def _bits(level: Level, layers: int) -> dict[str, float]:
    # Two features, not log2(bits): being on the quantized path (ternary weights, extra norm) is one thing,
    # the damage of few bits another. Full precision is (0, 0).
    bits, weights = level
    quantized = bits < UNQUANTIZED_BITS
    return {
        "ternary": float(weights == "ternary"),
        "damage": math.exp(-bits / DAMAGE_BITS) if quantized else 0.0,
        "activations only": float(quantized and weights == "full"),
    }


def _dropout(level: Level, layers: int) -> dict[str, float]:
    # The shape only says something in proportion to the rate: it is nested in it.
    schedule, p_max, norm, curriculum = level
    rate = float(np.mean(dropout_rates(schedule, layers, p_max, norm))) if schedule != "none" else 0.0
    return {
        "rate": rate,
        "root rate": math.sqrt(rate),
        f"schedule {schedule}": rate,
        f"norm {norm}": rate,
        f"curriculum {curriculum}": rate,
    }


def _exit_weight(level: Level, layers: int) -> dict[str, float]:
    weight, *shape = level
    nested = {f"{position} {value}": float(weight) for position, value in enumerate(shape)}
    return {"weight": float(weight), "root weight": math.sqrt(weight)} | nested


def _categorical(level: Level, layers: int) -> dict[str, float]:
    return {repr(level): 1.0}


FEATURES: dict[str, Features] = {"bits": _bits, "dropout": _dropout, "exit_weight": _exit_weight}
"""Features of a level by factor (level, layers of the model); factors without an entry are categorical."""


@dataclass(frozen=True)
class _FactorCode:
    """Whitening of one factor's features over its measured levels."""

    features: Features
    names: tuple[str, ...]
    centre: Array
    scale: Array
    projection: Array

    def code(self, level: Level, layers: int) -> Array:
        values = self.features(level, layers)
        row = np.array([values.get(name, 0.0) for name in self.names])
        coded: Array = ((row - self.centre) / self.scale) @ self.projection
        return coded


@dataclass(frozen=True)
class Encoding:
    """Contrast matrices of a design: main contrasts Z1 and their pairwise products Z2."""

    factors: tuple[_FactorCode, ...]
    layers: int

    def main(self, cells: Sequence[Levels]) -> Array:
        """Z1, [cells, p1]: unit mean square and zero mean over each factor's measured levels."""
        blocks = self._blocks(cells)
        return np.hstack(blocks) if blocks else np.zeros((len(cells), 0))

    def pairs(self, cells: Sequence[Levels]) -> Array:
        """Z2, [cells, p2]: products of contrasts of two different factors."""
        blocks = [block for block in self._blocks(cells) if block.shape[1]]
        products = [
            (first[:, :, None] * second[:, None, :]).reshape(len(cells), -1)
            for index, first in enumerate(blocks)
            for second in blocks[index + 1 :]
        ]
        return np.hstack(products) if products else np.zeros((len(cells), 0))

    def _blocks(self, cells: Sequence[Levels]) -> list[Array]:
        # One factor has few levels: each is coded once.
        blocks = []
        for index, factor in enumerate(self.factors):
            known = {cell[index]: factor.code(cell[index], self.layers) for cell in cells}
            blocks.append(np.array([known[cell[index]] for cell in cells]))
        return blocks


def encode(cells: Sequence[Levels], layers: int) -> Encoding:
    """The encoding fixed by the measured cells; a factor with one level takes no part."""
    return Encoding(
        tuple(
            _factor_code(name, sorted({cell[index] for cell in cells}, key=repr), layers)
            for index, name in enumerate(FACTORS)
        ),
        layers,
    )


def _factor_code(name: str, levels: Sequence[Level], layers: int) -> _FactorCode:
    features = FEATURES.get(name, _categorical)
    rows = [features(level, layers) for level in levels]
    names = tuple(sorted({key for row in rows for key in row}))
    matrix = np.array([[row.get(key, 0.0) for key in names] for row in rows])
    centre = matrix.mean(axis=0)
    spread = matrix.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    _, singular, rotation = np.linalg.svd((matrix - centre) / scale, full_matrices=False)
    kept = singular > 1e-8 * max(1.0, float(singular.max(initial=0.0)))
    projection = rotation[kept].T / singular[kept] * math.sqrt(len(levels))
    return _FactorCode(features, names, centre, scale, projection)
