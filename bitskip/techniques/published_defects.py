"""Defects of the published code as switches, so that their influence can be measured (docs/method.md, artefacts).

The defaults are the correct behaviour. A trial that departs from one is marked and kept out of effects. What a defect
does to attention, losses and text stands where these are (`Decoder`, `Sequences`, guards).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bitskip.errors import UserError
from bitskip.techniques.axis import axis
from bitskip.techniques.base import LinearLayer, LinearOps, Op, Technique

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class PublishedDefects(Technique):
    """What the published BitSkip code does otherwise than its paper and its sources."""

    group: ClassVar[str] = "artefacts"

    causal_mask: bool = axis(True, "false: every position sees the whole sequence")
    target_shift: int = axis(1, "0: the loss compares with the current token, in evaluation too", low=0, high=1)
    exit_target_shift: int = axis(1, "0: early exits are trained on the current token", low=0, high=1)
    exit_norm: str = axis("final", "none: early exits are trained without the norm", choices=("final", "none"))
    count_padding: bool = axis(False, "true: padding counts in the loss, in evaluation too")
    hadamard_scale: str = axis("ortho", "none: the transform lacks its 1/sqrt(n)", choices=("ortho", "none"))
    hadamard_grad: str = axis(
        "exact", "identity: gradients pass the transform unchanged", choices=("exact", "identity")
    )
    relu2_in_linear: bool = axis(False, "true: every quantizable linear layer ends in a squared ReLU")
    tiny_init: bool = axis(False, "true: embeddings of std 0.001, head 0.002, linear layers a tenth of Kaiming's")
    eval_on_train: bool = axis(False, "true: quality is measured on the training text")

    @classmethod
    def factors(cls) -> dict[str, tuple[str, ...]]:
        """Each defect acts by itself."""
        return {axis.name: (axis.name,) for axis in cls.axes()}

    def switched(self) -> dict[str, Any]:
        """The switches that depart from correct behaviour, with their values."""
        found = {axis.name: getattr(self, axis.field) for axis in self.axes()}
        return {name: value for name, value in found.items() if value != getattr(self.neutral(), name)}

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"documents": "padded"} if values.get("count_padding") else {}

    def check(self, trial: Any) -> None:
        if self.count_padding and trial.training.documents == "packed":
            raise UserError("count_padding: packed documents have no padding; leave documents out or set it to padded")

    def canonical(self, trial: Any) -> Self:
        found = self
        if trial["exit_weight"] == 0.0:
            found = found.reset("exit_target_shift", "exit_norm")
        return found.reset("hadamard_scale", "hadamard_grad") if trial["hadamard"] == "none" else found

    def transform(self, width: int) -> Op:
        """The Hadamard transform of a width, as correct as the switches leave it."""
        from bitskip.ops.hadamard import hadamard_of, largest_block
        from bitskip.ops.published_defects import PublishedHadamard

        scaled, exact = self.hadamard_scale == "ortho", self.hadamard_grad == "exact"
        whole = hadamard_of(width)
        return whole if scaled and exact else PublishedHadamard(whole, largest_block(width), scaled, exact)

    def linear(self, layer: LinearLayer) -> LinearOps:
        from bitskip.ops.published_defects import squared_relu

        return LinearOps(output=(squared_relu,) if self.relu2_in_linear else ())

    def initial(self, name: str, shape: torch.Size, draws: torch.Generator) -> Tensor | None:
        from bitskip.ops.published_defects import tiny_initial

        return tiny_initial(name, shape, draws) if self.tiny_init else None

    @classmethod
    def glance(cls) -> tuple[str, ...]:
        return tuple(axis.name for axis in cls.axes())

    @classmethod
    def words(cls, settings: Mapping[str, Any]) -> list[str]:
        return []  # told by the mark of an artefact
