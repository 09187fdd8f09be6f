"""Layer dropout: rates over depth, their growth over training, who is skipped (docs/method.md; LayerSkip, 2404.16710).

Layers are counted l = 0 … L-1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bitskip.techniques.axis import axis
from bitskip.techniques.base import Moment, Technique

if TYPE_CHECKING:
    from torch import Tensor

DROPOUT_NORMS = ("none", "sum1", "sum1-all")

DEPTH_SCALES: dict[str, Callable[[int, int], float]] = {
    "none": lambda layer, deepest: 0.0,
    "constant": lambda layer, deepest: 1.0,
    "linear": lambda layer, deepest: layer / deepest,
    "quadratic": lambda layer, deepest: (layer / deepest) ** 2,
    "exponential": lambda layer, deepest: 2.0 ** (layer / deepest) - 1.0,
    "log": lambda layer, deepest: math.log(layer + 1) / math.log(deepest + 1),
    "sin": lambda layer, deepest: math.sin(math.pi / 2 * layer / deepest),
    "sigmoid": lambda layer, deepest: 1 / (1 + math.exp(-10 * (layer / deepest - 0.5))),
}
"""Rate of a layer as a share of the largest one. Quadratic is BitSkip's, exponential LayerSkip's, the last three are
torchtune's."""


def dropout_rates(
    schedule: str, num_layers: int, p_max: float, norm: str = "none", last: bool = False
) -> tuple[float, ...]:
    """Probability of skipping each block, length L; the last block is spared (BitSkip) unless `last` (LayerSkip).

    `norm="sum1"` divides by the sum of the rates that count, `"sum1-all"` by the sum with the last block's, as if that
    were spared afterwards. Either way p_max cancels, and rates are clamped below 1. Raises ValueError for an unknown
    schedule or norm and for p_max outside [0, 1).
    """
    if schedule not in DEPTH_SCALES:
        raise ValueError(f"unknown dropout schedule '{schedule}': one of {', '.join(DEPTH_SCALES)}")
    if norm not in DROPOUT_NORMS:
        raise ValueError(f"unknown dropout normalisation '{norm}': one of {', '.join(DROPOUT_NORMS)}")
    if not 0.0 <= p_max < 1.0:
        raise ValueError(f"p_max must lie in [0, 1), got {p_max}")
    deepest = max(num_layers - 1, 1)
    rates = [p_max * DEPTH_SCALES[schedule](layer, deepest) for layer in range(num_layers)]
    kept = rates if last else [*rates[:-1], 0.0]
    total = sum(rates if norm == "sum1-all" else kept)
    if norm != "none" and total > 0.0:
        # L = 3 would skip block 1 always: leave every block some training.
        kept = [min(rate / total, 0.95) for rate in kept]
    return tuple(kept)


def dropout_progress(curriculum: str, step: int, steps: int) -> float:
    """S(t), the factor on all rates: 1, or LayerSkip's 2^(t/(T-1)) - 1 for training from scratch."""
    if curriculum == "none" or steps <= 1:
        return 1.0
    return float(2.0 ** (step / (steps - 1)) - 1.0)


@dataclass(frozen=True)
class LayerDropout(Technique):
    """Whole sequences skip a block while training, deeper blocks more often."""

    trained_in_phase_2: ClassVar[bool] = True

    dropout: str = axis("none", "layer-dropout schedule over depth", choices=tuple(DEPTH_SCALES))
    dropout_max: float = axis(0.1, "largest layer-dropout rate", low=0.0, below=1.0)
    dropout_norm: str = axis("none", "normalisation of the rates", choices=DROPOUT_NORMS)
    dropout_last: bool = axis(False, "the last block is dropped, too, as in LayerSkip")
    dropout_curriculum: str = axis("none", "growth of the rates over training", choices=("none", "exponential"))

    def rates(self, layers: int) -> tuple[float, ...]:
        """Probability of skipping each block once the rates have grown, length L."""
        return dropout_rates(self.dropout, layers, self.dropout_max, self.dropout_norm, self.dropout_last)

    def canonical(self, trial: Any) -> Self:
        layers = trial.model.layers
        if not any(self.rates(layers)):
            return self.neutral()
        found = self
        if self.dropout_last and self.dropout_norm == "sum1-all":  # there is no block that would be spared afterwards
            found = dataclasses.replace(found, dropout_norm="sum1")
        if self.dropout_norm != "none":  # the sum takes the largest rate out again
            found = found.reset("dropout_max")
        if trial.phase_steps <= 1:  # nothing can grow
            found = found.reset("dropout_curriculum")
        rates = found.rates(layers)  # a normalised sum keeps the last digit of the largest rate, which is gone by now
        # In few layers schedules coincide: with three, a normalised one skips block 2 and no other, whatever its shape.
        alike = [dataclasses.replace(found, dropout=schedule) for schedule in DEPTH_SCALES]
        if sum(rate > 0.0 for rate in rates) == 1:  # then the largest rate and the shape say one thing
            rate, at = max(rates), rates.index(max(rates))
            scales = {name: scale(at, max(layers - 1, 1)) for name, scale in DEPTH_SCALES.items()}
            shapes = [(name, rate / scale) for name, scale in scales.items() if scale and rate / scale < 1.0]
            plain = dataclasses.replace(found, dropout_norm="none")
            alike = [dataclasses.replace(plain, dropout=name, dropout_max=largest) for name, largest in shapes] + alike
        return next(each for each in alike if each.rates(layers) == rates)

    @property
    def depends_on_length(self) -> bool:
        return self.dropout_curriculum != "none"

    def kept_blocks(self, layers: int, batch: int, seed: int, moment: Moment) -> Tensor | None:
        """Which block each sequence runs, bool [L, B]: uniforms of (seed, step) alone, so that trials share them."""
        if self.dropout == "none":
            return None
        import torch

        from bitskip.ops.random_streams import generator

        uniform = torch.rand(layers, batch, generator=generator(seed, "dropout", moment.step))
        growth = dropout_progress(self.dropout_curriculum, moment.phase_step, moment.phase_steps)
        return uniform >= torch.tensor(self.rates(layers))[:, None] * growth

    @classmethod
    def features(cls, settings: Mapping[str, Any], layers: int) -> dict[str, float]:
        """The mean rate and its root; the shape only says something in proportion to the rate, and is nested in it."""
        rate = sum(cls(**settings).rates(layers)) / layers
        nested = {f"{name} {value}": rate for name, value in settings.items() if name != "dropout_max"}
        return nested | {"rate": rate, "root rate": math.sqrt(rate)}

    @classmethod
    def unspoken(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"dropout_max": None} if settings["dropout"] != "none" else {}

    @classmethod
    def words(cls, settings: Mapping[str, Any]) -> list[str]:
        return [f"dropout {settings['dropout']}"] * (settings["dropout"] != "none")
