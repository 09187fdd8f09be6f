"""Numbers that the field gives a meaning of their own, for modules that must not import torch."""

from __future__ import annotations

IGNORED_TARGET = -100
"""Target of a position that counts in no loss (torch's convention)."""

UNQUANTIZED_BITS = 16
"""The field's name for a tensor that is not quantized."""

ABSMEAN_UP_TO_BITS = 4
"""BitNet v2 scales 4-bit activations by their mean and wider ones by their maximum (arXiv 2504.18415)."""


def scale_rule(bits: int) -> str | None:
    """The scale that activations of so many bits use when none is asked for; None where nothing is quantized."""
    if bits in (0, UNQUANTIZED_BITS):
        return None
    return "absmean" if bits <= ABSMEAN_UP_TO_BITS else "absmax"
