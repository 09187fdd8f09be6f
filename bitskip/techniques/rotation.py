"""Hadamard rotation: which linear layers' inputs are rotated, and in which order (BitNet v2, arXiv 2504.18415).

docs/method.md, rotation, has the formulas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bitskip.errors import UserError
from bitskip.techniques.axis import axis
from bitskip.techniques.base import LinearLayer, LinearOps, Op, Technique
from bitskip.techniques.published_defects import PublishedDefects

if TYPE_CHECKING:
    from torch import Tensor

ALL_SITES = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class Variant:
    """What a Hadamard variant does, and the linear layers of a block that it touches."""

    sites: tuple[str, ...] = ()
    signs: bool = False
    after_quantizer: bool = False
    output: bool = False


VARIANTS: dict[str, Variant] = {
    "none": Variant(),
    "bitnet-v2": Variant(("o", "down")),
    "bitnet-v2-all": Variant(ALL_SITES),
    "o-only": Variant(("o",)),
    "down-only": Variant(("down",)),
    "random-sign": Variant(("o", "down"), signs=True),
    "as-published": Variant(ALL_SITES, after_quantizer=True, output=True),
}
"""BitNet v2 chose the two sites that carry the outliers (arXiv 2504.18415)."""

_SPELT_AS_BOOLEAN = {"true": "bitnet-v2", "false": "none"}


@dataclass(frozen=True)
class Rotation(Technique):
    """The input of a linear layer is multiplied with a Hadamard matrix before it is quantized."""

    post_training: ClassVar[bool] = True
    made_for: ClassVar[tuple[str, ...]] = ("bits",)

    hadamard: str = axis(
        "none",
        "Hadamard variant",
        choices=tuple(VARIANTS),
        spelling=lambda value: _SPELT_AS_BOOLEAN.get(str(value).lower(), value),
    )
    hadamard_blocks: bool = axis(False, "transform in blocks where a width is no power of two")

    @property
    def variant(self) -> Variant:
        return VARIANTS[self.hadamard]

    def widths(self, sizes: Any) -> dict[str, int]:
        """Widths that may be transformed, by the name of the axis that sets them."""
        found = {}
        if set(self.variant.sites) - {"o", "down"}:
            found["width"] = sizes.width
        if "o" in self.variant.sites:
            found["head_dim" if sizes.head_dim else "width"] = sizes.attention_width
        if "down" in self.variant.sites:
            found["ffn_width"] = sizes.ffn_width
        if self.variant.output:  # it rotates outputs too, keys and values among them
            found["kv_heads"] = sizes.kv_heads * sizes.head_width
        return found

    def block_notes(self, sizes: Any) -> list[str]:
        """Which widths are transformed in blocks, and of what size: a transform of the whole spreads outliers wider."""
        widths = dict.fromkeys(width for width in self.widths(sizes).values() if width & (width - 1))
        blocks = {width: width & -width for width in widths}  # the largest power of two that divides it
        return [f"widths of {width} rotate in {width // block} blocks of {block}" for width, block in blocks.items()]

    def check(self, trial: Any) -> None:
        for name, width in self.widths(trial.model).items():
            if width % 2:
                raise UserError(f"model.{name}: {width} is odd; a Hadamard transform needs an even width")
            if width & (width - 1) and not self.hadamard_blocks:
                raise UserError(
                    f"model.{name}: {width} must be a power of two for a Hadamard transform, "
                    "or set hadamard_blocks: true"
                )

    def canonical(self, trial: Any) -> Self:
        in_blocks = any(width & (width - 1) for width in self.widths(trial.model).values())
        return self if in_blocks else self.reset("hadamard_blocks")

    def linear(self, layer: LinearLayer) -> LinearOps:
        if layer.site not in self.variant.sites:
            return LinearOps()
        from bitskip.ops.hadamard import RandomSigns
        from bitskip.ops.random_streams import derive_seed

        defects = layer.techniques.of(PublishedDefects)
        transform = defects.transform(layer.inputs)
        if self.variant.after_quantizer:
            return LinearOps(after=(transform,), output=(defects.transform(layer.outputs),))
        signs: tuple[Op, ...] = ()
        if self.variant.signs:
            signs = (RandomSigns(layer.inputs, derive_seed(layer.seed, "signs", layer.block, layer.site)),)
        return LinearOps(before=(*signs, transform))

    def folded(self, layer: LinearLayer, weight: Tensor) -> Tensor:
        """W R for the rotation R of the input x: (W R)(x R)^T = W x^T, so its rows are rotated as x is."""
        rows = weight.detach().float().cpu()
        for op in self.linear(layer).before:
            rows = op(rows)
        return rows.to(weight)

    @classmethod
    def words(cls, settings: Mapping[str, Any]) -> list[str]:
        return [settings["hadamard"]] * (settings["hadamard"] != "none")
