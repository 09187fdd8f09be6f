"""Linear layers by themselves, as a trial's techniques make them."""

import dataclasses

from torch import Tensor

from bitskip.model.bitlinear import BitLinear
from bitskip.ops.hadamard import RandomSigns
from bitskip.ops.quantizers import ActivationQuantizer
from bitskip.techniques.base import LinearLayer
from bitskip.trial.config import TrialConfig


def bit_linear(trial: TrialConfig, site: str, inputs: int, outputs: int, seed: int = 5) -> BitLinear:
    """The layer at a site of the first block; its weight is not initialised."""
    at = LinearLayer(site, inputs, outputs, 0, seed, trial.techniques)
    layer = BitLinear(inputs, outputs, site)
    layer.use({"all": trial.techniques.linear(at)})
    return layer


def signs_of(layer: BitLinear) -> Tensor | None:
    """The sign diagonal [in] of a layer that has one."""
    return next((op.signs for op in layer.ops.before if isinstance(op, RandomSigns)), None)


def quantize_inputs(layer: BitLinear, bits: int, scale: str = "absmax") -> None:
    """Let a layer quantize its input with so many bits, also with more than an axis allows."""
    layer.use({"all": dataclasses.replace(layer.ops, quantize=(ActivationQuantizer(bits, scale),))})
