"""The linear layer of a block: what the techniques in force do to its input, weight and output (docs/method.md)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitskip.techniques.base import LinearOps, Op


class BitLinear(nn.Module):
    """A linear layer; weight [out, in]. Without ops it is `nn.Linear`. A bias is never quantized or rotated."""

    def __init__(self, inputs: int, outputs: int, site: str, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.site = site
        self._frozen: Tensor | None = None
        self.use({})

    def use(self, ops: Mapping[Any, LinearOps], kept: Container[Any] = ()) -> None:
        """Do this around the product from now on: ops by whose they are, in the order in which they act.

        Modules of those in `kept` stay the ones that are there: they may have learned.
        """
        before = getattr(self, "_by_owner", {})
        self._by_owner = {
            owner: before[owner] if owner in kept and _modules(found) and owner in before else found
            for owner, found in ops.items()
        }
        joined = sum(self._by_owner.values(), LinearOps())
        if joined == getattr(self, "ops", None):  # a compiled block is compiled anew for other ops
            return
        self.ops = joined
        self.op_modules = nn.ModuleList(_modules(joined))  # what holds tensors follows the layer to its device

    @property
    def quantized_weight(self) -> bool:
        return bool(self.ops.weight)

    def forward(self, x: Tensor, quantized: Tensor | None = None) -> Tensor:
        """Output for the input x, whose `quantized_input` may be given where it is known (see `shared_input`)."""
        y = F.linear(self.quantized_input(x) if quantized is None else quantized, self.effective_weight())
        y = _through(self.ops.output, y)
        return y if self.bias is None else y + self.bias

    def rotated_input(self, x: Tensor) -> Tensor:
        """What the activation quantizer sees: shape as `x`."""
        return _through(self.ops.before, x)

    def quantized(self, rotated: Tensor) -> Tensor:
        """What the activation quantizer makes of its input: shape as that."""
        return _through(self.ops.quantize, rotated)

    def quantized_input(self, x: Tensor) -> Tensor:
        """What the matmul sees: shape as `x`."""
        return _through(self.ops.after, self.quantized(self.rotated_input(x)))

    def freeze(self, weight: Tensor | None) -> None:
        """Multiply with this weight from now on, or with the quantized parameter again."""
        self._frozen = weight

    def effective_weight(self) -> Tensor:
        """What the input is multiplied with, [out, in]."""
        return _through(self.ops.weight, self.weight) if self._frozen is None else self._frozen


def _modules(ops: LinearOps) -> list[nn.Module]:
    found = (*ops.before, *ops.quantize, *ops.after, *ops.weight, *ops.output)
    return [op for op in found if isinstance(op, nn.Module)]


def _through(ops: Sequence[Op], x: Tensor) -> Tensor:
    return functools.reduce(lambda value, op: op(value), ops, x)


def shared_input(x: Tensor, *layers: BitLinear) -> list[Tensor]:
    """Outputs of layers that read the same x, which is rotated and quantized once if all do the same to it."""

    def of_input(layer: BitLinear) -> tuple[tuple[Op, ...], ...]:
        return layer.ops.before, layer.ops.quantize, layer.ops.after

    alike = all(of_input(layer) == of_input(layers[0]) for layer in layers)
    quantized = layers[0].quantized_input(x) if alike else None
    return [layer(x, quantized) for layer in layers]


@contextlib.contextmanager
def quantized_once(model: nn.Module) -> Iterator[None]:
    """Inside, all passes of training share one quantized copy of each weight, for gradients of several micro-batches.

    On leaving, the gradient of each copy goes through the quantizer to its weight.
    """
    layers = [m for m in model.modules() if isinstance(m, BitLinear) and m.quantized_weight and m._frozen is None]
    quantized = [layer.effective_weight() for layer in layers]
    copies = [weight.detach().requires_grad_() for weight in quantized]
    for layer, copy in zip(layers, copies, strict=True):
        layer.freeze(copy)
    try:
        yield
    finally:
        for layer, weight, copy in zip(layers, quantized, copies, strict=True):
            layer.freeze(None)
            if copy.grad is not None:
                weight.backward(copy.grad)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def frozen_weights(model: nn.Module) -> Iterator[None]:
    """Inside, every BitLinear quantizes its weight once and not at each call: for evaluation and decoding.

    In autocast the weight is cast once, too: autocast itself does so at each call for all but parameters.
    """
    thawed = [module for module in model.modules() if isinstance(module, BitLinear) and module._frozen is None]
    try:
        with torch.no_grad():
            for layer in thawed:
                weight = layer.effective_weight().detach()
                kind = weight.device.type
                cast_to = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
                layer.freeze(weight.to(cast_to))
        yield
    finally:
        for layer in thawed:
            layer.freeze(None)
