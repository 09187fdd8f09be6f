"""Activation quantization: bit width, scale, and a first stage with other bits (docs/method.md, quantizers).

Absmax is the scale of BitNet b1.58 (2402.17764), absmean that of BitNet v2 for 4 bits (2504.18415), two-stage training
of bits BitNet v2's.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from bitskip.errors import UserError
from bitskip.ops.conventions import UNQUANTIZED_BITS, scale_rule
from bitskip.techniques.axis import axis
from bitskip.techniques.base import LinearLayer, LinearOps, Moment, Technique
from bitskip.techniques.phases import same_share
from bitskip.techniques.post_training import PostTraining

DAMAGE_BITS = 2.2
"""gamma of Kumar et al. (arXiv 2411.04330): the damage of b activation bits falls as exp(-b / gamma)."""


def _width(bits: int) -> str | None:
    if bits == UNQUANTIZED_BITS or 2 <= bits <= 8:
        return None
    return f"{bits} is not one of 2…8 or {UNQUANTIZED_BITS} (not quantized)"


def _width_or_none(bits: int) -> str | None:
    complaint = _width(bits) if bits else None
    return f"{complaint} or 0 (one stage)" if complaint else None


@dataclass(frozen=True)
class ActivationQuantization(Technique):
    """The inputs of the blocks' linear layers are rounded to integers of `bits` bits, per token."""

    told_in_steps: ClassVar[tuple[str, ...]] = ("first_bits_share",)
    post_training: ClassVar[bool] = True
    # Between 3 and 2 bits weights stop being near their initial values (ParetoQ, arXiv 2502.02631).
    irregular_below: ClassVar[float | None] = 4

    bits: int = axis(UNQUANTIZED_BITS, "activation bits; 16 = not quantized", allowed=_width)
    first_bits: int = axis(0, "activation bits of a first stage, before `bits`; 0 = one stage", allowed=_width_or_none)
    first_bits_share: float = axis(0.95, "share of the tokens trained with first_bits", low=0.0, high=1.0)
    activation_scale: str = axis(
        "auto",
        "scale of the activations; auto (or bitnet-v2) = absmean up to 4 bits, else absmax: another rule at other "
        "bits; static = one for all tokens, the largest in a calibration text",
        choices=("auto", "absmax", "absmean", "static"),
        spelling=lambda value: "auto" if value == "bitnet-v2" else value,
    )

    def scale(self) -> str | None:
        """The rule in force with `bits`: absmax, absmean or static; None where nothing is quantized."""
        rule = scale_rule(self.bits)
        return rule if rule is None or self.activation_scale == "auto" else self.activation_scale

    def first_stage_steps(self, steps: int) -> int:
        """Steps that training spends with `first_bits`."""
        return round(self.first_bits_share * steps) if self.first_bits else 0

    def check(self, trial: Any) -> None:
        if self.activation_scale != "static" or self.bits == UNQUANTIZED_BITS:
            return
        how = trial.of(PostTraining)
        if not how.after and (trial["training"] == "scratch" or how.warm_start or self.first_bits):
            raise UserError(
                "activation_scale: static is fitted once to a trained model, with one width: set quantize: after, or "
                "start from one with training: none or heal, without warm_start and first_bits"
            )

    def canonical(self, trial: Any) -> Self:
        if trial.of(PostTraining).after:  # no step is trained with any bits
            self = self.reset("first_bits", "first_bits_share")
        found, first = self, self.first_stage_steps(trial.steps)
        if first == trial.steps > 0 and self.first_bits:
            found = dataclasses.replace(found, bits=self.first_bits)
        if found.first_bits == found.bits or first in (0, trial.steps):
            found = found.reset("first_bits", "first_bits_share")
        else:
            found = dataclasses.replace(found, first_bits_share=same_share(first, trial.steps, 0.95))
        if all(scale_rule(bits) in (None, found.activation_scale) for bits in (found.bits, found.first_bits)):
            found = found.reset("activation_scale")
        return found

    def at(self, moment: Moment) -> Self:
        if moment.step < self.first_stage_steps(moment.steps):
            return dataclasses.replace(self, bits=self.first_bits, first_bits=0)
        return dataclasses.replace(self, first_bits=0)

    def partings(self, steps: int) -> set[int]:
        return {self.first_stage_steps(steps)} if self.first_bits else set()

    def before(self, step: int, steps: int) -> tuple[Self, dict[str, Any]]:
        if not self.first_bits:
            return self, {}
        first = self.first_stage_steps(steps)
        if step <= first:
            return dataclasses.replace(self, bits=self.first_bits).reset("first_bits", "first_bits_share"), {}
        return self, {"first_stage": first}

    def linear(self, layer: LinearLayer) -> LinearOps:
        if self.bits == UNQUANTIZED_BITS:
            return LinearOps()
        if self.activation_scale == "static":
            from bitskip.ops.calibrated import StaticQuantizer

            return LinearOps(quantize=(StaticQuantizer(self.bits),))
        from bitskip.ops.quantizers import ActivationQuantizer

        return LinearOps(quantize=(ActivationQuantizer(self.bits, self.activation_scale),))

    @classmethod
    def off_at(cls) -> float | None:
        return None  # unquantized is no bit width: neither comparable to one nor a zero

    @classmethod
    def features(cls, settings: Mapping[str, Any], layers: int) -> dict[str, float]:
        """Two features, not log2(bits): being on the quantized path (ternary weights) and the damage of few bits.

        Full precision is (0, 0).
        """
        quantized = settings["bits"] < UNQUANTIZED_BITS
        others = {
            n: value for n, value in settings.items() if n not in ("bits", "weights", "quantize", "calibration_tokens")
        }
        nested = {f"{n} {value}": float(quantized) for n, value in others.items()}
        if settings.get("quantize") == "after":
            nested["quantized after"] = 1.0
        return nested | {
            "ternary": float(settings["weights"] == "ternary"),
            "damage": math.exp(-settings["bits"] / DAMAGE_BITS) if quantized else 0.0,
            "activations only": float(quantized and settings["weights"] == "full"),
        }

    @classmethod
    def reference(cls, levels: Iterable[tuple[Any, ...]]) -> tuple[Any, ...] | None:
        """The finest precision, where nothing is unquantized."""
        return max(levels, key=lambda level: (level[0], repr(level)))

    @classmethod
    def unspoken(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"weights": "ternary" if settings["bits"] < UNQUANTIZED_BITS else "full"}

    @classmethod
    def glance(cls) -> tuple[str, ...]:
        return ("bits", "first_bits")

    @classmethod
    def words(cls, settings: Mapping[str, Any]) -> list[str]:
        bits, first = settings["bits"], settings["first_bits"]
        return [f"{first} then {bits} bit" if first else f"{bits} bit"]


def scales_by_bits(found: Iterable[ActivationQuantization]) -> dict[int, str]:
    """Bit width to scale rule where the two go together: no rule is that of all quantized widths; else empty.

    A comparison over such widths compares rules, too.
    """
    rules: dict[int, set[str]] = {}
    for each in found:
        if (rule := each.scale()) is not None:
            rules.setdefault(each.bits, set()).add(rule)
    if not rules or set.intersection(*rules.values()):
        return {}
    return {bits: " or ".join(sorted(found)) for bits, found in sorted(rules.items(), reverse=True)}
