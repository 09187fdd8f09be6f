"""Quantizers that are fitted to a text once: static activation scales, and weights rounded by GPTQ."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bitskip.ops.quantizers import EPSILON, straight_through

DAMPING = 0.01
"""Share of the mean of the Hessian's diagonal that is added to it (Frantar et al., arXiv 2210.17323, section 4)."""

COLUMNS = 128
"""Columns whose errors the later ones are corrected for at once: the same result, in fewer passes over memory."""


class Calibrated(nn.Module):
    """An op that is fitted to a text; until then it is what its class says."""

    fitted = False


class StaticQuantizer(Calibrated):
    """Activations rounded between -s and s, one s for all tokens; straight-through. Until it is fitted, as they are.

    s is the largest entry that calibration saw; larger ones are clipped.
    """

    scale: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.levels = float(2 ** (bits - 1) - 1)
        self.register_buffer("scale", torch.full((), EPSILON))

    def observe(self, x: Tensor) -> None:
        """Take in what will be rounded."""
        self.scale.copy_(torch.maximum(self.scale, x.detach().abs().max()))

    def _rounding(self, x: Tensor) -> Tensor:
        step = self.scale / self.levels
        return (x / step).round().clamp(-self.levels, self.levels) * step

    def forward(self, x: Tensor) -> Tensor:
        return straight_through(x, self._rounding) if self.fitted else x


class RoundedOnce(Calibrated):
    """A weight that holds its rounded values once it is fitted; until then it is rounded by `nearest` at each call."""

    def __init__(self, nearest: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.nearest = nearest

    def forward(self, weight: Tensor) -> Tensor:
        return weight if self.fitted else self.nearest(weight)


def gptq(
    weight: Float[Tensor, "outputs inputs"],
    hessian: Float[Tensor, "inputs inputs"],
    rounded: Callable[[Tensor, int], Tensor],
) -> Float[Tensor, "outputs inputs"]:
    """The weight rounded column by column, each one's error spread over those not rounded yet (arXiv 2210.17323).

    `hessian` is the sum of x x^T over inputs x, `rounded(column [out], index)` the grid. Columns go in their order;
    what is minimised is the error of the outputs on these inputs.
    """
    rest, result = weight.double().clone(), torch.empty_like(weight, dtype=torch.float64)
    damped = hessian.double().clone()
    damped.diagonal().add_(DAMPING * damped.diagonal().mean().clamp(min=EPSILON))
    # Row i of the upper Cholesky factor of the inverse is what H^-1 of the columns from i on says of column i.
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    for start in range(0, weight.shape[1], COLUMNS):
        stop = min(start + COLUMNS, weight.shape[1])
        errors = torch.empty(len(weight), stop - start, dtype=torch.float64, device=weight.device)
        for column in range(start, stop):
            result[:, column] = rounded(rest[:, column], column)
            error = (rest[:, column] - result[:, column]) / inverse[column, column]
            rest[:, column:stop] -= error[:, None] * inverse[column, column:stop]
            errors[:, column - start] = error
        rest[:, stop:] -= errors @ inverse[start:stop, stop:]
    return result.to(weight.dtype)
