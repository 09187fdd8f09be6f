"""Integer weights of 2 to 8 bits, with a scale per matrix, output channel or group of inputs (docs/method.md).

From 3 bits on the grid is symmetric with a zero, codes -q … q with q = 2^(bits-1) - 1. With 2 bits it is the four
levels without a zero of ParetoQ's stretched elastic quantization (arXiv 2502.02631, section 3.2), in half steps -3, -1,
1, 3. Scales are computed from the weights at every step, where ParetoQ learns them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bitskip.errors import UserError
from bitskip.ops.conventions import UNQUANTIZED_BITS
from bitskip.techniques.axis import axis, bit_widths
from bitskip.techniques.base import LinearLayer, LinearOps, Technique

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (2, 3, 4, 8)
GROUPS = ("tensor", "channel", "32", "64", "128")
SCALE_BYTES = 4
DAMAGE_BITS = 1.0
"""The error of b-bit rounding falls as 2^-b in amplitude and 4^-b in power; exp(-b) lies between (predictor only)."""

EPSILON = 1e-8
"""Floor of a scale: a group of zeros quantizes to finite values with finite gradients."""


@dataclass(frozen=True)
class IntegerQuantizer:
    """Fake quantization of a weight [out, in]: step times an integer code; straight-through, in fp32."""

    bits: int
    group: str
    scale: str

    def _rows(self, weight: Tensor) -> Tensor:
        """The weight as [groups, members]: each row has one scale."""
        if self.group == "tensor":
            return weight.reshape(1, -1)
        return weight if self.group == "channel" else weight.reshape(-1, int(self.group))

    @property
    def _top(self) -> int:
        return 3 if self.bits == 2 else 2 ** (self.bits - 1) - 1

    def _step(self, rows: Tensor) -> Tensor:
        """[groups, 1] of rows [groups, members]."""
        top = self._top
        if self.scale == "absmax":
            # ParetoQ's outermost of four levels lies at 3/4 of the range, so that each level has a quarter of it.
            step = rows.abs().amax(1, keepdim=True) / (4 if self.bits == 2 else top)
        else:
            # With 2 bits the inner levels lie at half a mean and the outer ones at three halves; else BitNet v2's rule.
            mean = rows.abs().mean(1, keepdim=True)
            step = mean / 2 if self.bits == 2 else mean / math.sqrt(top)
        return step.clamp(min=EPSILON)

    def _codes(self, values: Tensor, step: Tensor) -> Tensor:
        codes = (values / step / 2 - 0.5).round() * 2 + 1 if self.bits == 2 else (values / step).round()
        return codes.clamp(-self._top, self._top)

    def _coded(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(integer codes [groups, members], step [groups, 1]), both fp32: their product is the quantized weight."""
        rows = self._rows(weight.float())
        step = self._step(rows)
        return self._codes(rows, step), step

    def by_column(self, weight: Tensor) -> Callable[[Tensor, int], Tensor]:
        """The rounding of a column [out] of this weight, by its index, between the weight's own scales."""
        rows = self._rows(weight.float())
        steps = self._step(rows).expand_as(rows).reshape(weight.shape)

        def rounded(column: Tensor, index: int) -> Tensor:
            step = steps[:, index].to(column)
            return self._codes(column, step) * step

        return rounded

    def _rounding(self, weight: Tensor) -> Tensor:
        codes, step = self._coded(weight)
        return (codes * step).reshape(weight.shape)

    def __call__(self, weight: Tensor) -> Tensor:
        from bitskip.ops.quantizers import straight_through

        return straight_through(weight, self._rounding)

    def codes(self, weight: Tensor) -> Tensor:
        """The integers [out, in] behind the quantized weight, fp32."""
        return self._coded(weight)[0].reshape(weight.shape)


@dataclass(frozen=True)
class IntegerWeights(Technique):
    """Weights of the blocks' linear layers are integers times a scale."""

    post_training: ClassVar[bool] = True
    irregular_below: ClassVar[float | None] = 4  # as of activations

    weight_bits: int = axis(
        UNQUANTIZED_BITS,
        "bits of integer weights; 16 = not quantized to integers",
        allowed=bit_widths(*WIDTHS),
        since="0.2",
    )
    weight_group: str = axis(
        "channel", "weights that share a scale: all, a row, or so many of it", choices=GROUPS, since="0.2"
    )
    weight_scale: str = axis("absmax", "scale of integer weights", choices=("absmax", "absmean"), since="0.2")
    weight_rounding: str = axis(
        "nearest",
        "rounding of integer weights: nearest, or gptq = the errors of a trained model's outputs are made small "
        "(arXiv 2210.17323)",
        choices=("nearest", "gptq"),
        since="0.2",
    )

    def check(self, trial: Any) -> None:
        if self.weight_bits == UNQUANTIZED_BITS:
            return
        if trial["weights"] == "ternary":
            raise UserError(f"weight_bits: {self.weight_bits} and weights: ternary exclude each other; leave one out")
        if self.weight_rounding == "gptq" and trial["training"] != "none" and trial["quantize"] != "after":
            raise UserError("weight_rounding: gptq rounds a trained model once: set quantize: after, or training: none")
        if self.weight_group.isdigit():
            for name, width in (("width", trial.model.width), ("ffn_width", trial.model.ffn_width)):
                if width % int(self.weight_group):
                    raise UserError(
                        f"weight_group: {self.weight_group} does not divide model.{name} {width}; "
                        "take a smaller group, or channel"
                    )

    def canonical(self, trial: Any) -> Self:
        if self.weight_bits == UNQUANTIZED_BITS:
            return self.neutral()
        widths = trial.model.width, trial.model.ffn_width
        whole = self.weight_group.isdigit() and all(width == int(self.weight_group) for width in widths)
        return self.reset("weight_group") if whole else self  # a group that is a row is a channel

    def linear(self, layer: LinearLayer) -> LinearOps:
        if self.weight_bits == UNQUANTIZED_BITS:
            return LinearOps()
        nearest = IntegerQuantizer(self.weight_bits, self.weight_group, self.weight_scale)
        if self.weight_rounding == "nearest":
            return LinearOps(weight=(nearest,))
        from bitskip.ops.calibrated import RoundedOnce

        return LinearOps(weight=(RoundedOnce(nearest),))

    def weight_bytes(self, outputs: int, inputs: int) -> int | None:
        if self.weight_bits == UNQUANTIZED_BITS:
            return None
        per_row = {"tensor": 1 / outputs, "channel": 1}.get(self.weight_group)
        scales = round(outputs * (inputs / int(self.weight_group) if per_row is None else per_row))
        return -(-outputs * inputs * self.weight_bits // 8) + scales * SCALE_BYTES

    @classmethod
    def off_at(cls) -> float | None:
        return None  # unquantized is no bit width: neither comparable to one nor a zero

    @classmethod
    def features(cls, settings: Mapping[str, Any], layers: int) -> dict[str, float]:
        """Being quantized, and the damage of few bits; group and scale count in proportion to the damage."""
        quantized = settings["weight_bits"] < UNQUANTIZED_BITS
        damage = math.exp(-settings["weight_bits"] / DAMAGE_BITS) if quantized else 0.0
        told = {name: value for name, value in settings.items() if (name, value) != ("weight_rounding", "nearest")}
        nested = {f"{name} {value}": damage for name, value in told.items() if name != "weight_bits"}
        return nested | {"quantized": float(quantized), "damage": damage}
