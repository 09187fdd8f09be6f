"""Post-training quantization as a control beside training with it (docs/method.md, controls).

Scales are those of the quantizers, without calibration; a rotation is folded into the weights that read its output
(QuaRot, arXiv 2404.00456), so that it changes nothing until something is quantized.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from bitskip.errors import UserError
from bitskip.techniques.axis import axis
from bitskip.techniques.base import Technique
from bitskip.techniques.rotation import Rotation


@dataclass(frozen=True)
class PostTraining(Technique):
    """When the techniques that are `post_training` act: from the first step on, or on the trained model only."""

    quantize: str = axis(
        "training",
        "when quantization and rotation act: training = from the first step; after = on the trained model only",
        choices=("training", "after"),
        since="0.2",
    )

    @classmethod
    def factors(cls) -> dict[str, tuple[str, ...]]:
        """Quantizing afterwards is another arm of quantization, beside training with it."""
        return {"bits": ("quantize",)}

    @property
    def after(self) -> bool:
        return self.quantize == "after"

    def check(self, trial: Any) -> None:
        if self.after and (trial.of(Rotation).variant.after_quantizer or trial["hadamard_scale"] != "ortho"):
            raise UserError(
                "quantize: after folds the rotation into the weights, which hadamard: as-published and hadamard_scale: "
                "none do not allow; take another hadamard, or quantize: training"
            )

    def canonical(self, trial: Any) -> Self:
        """A rotation alone is trained with: folded, it would change nothing. Untrained weights know no before."""
        if trial.training.training == "none":
            return self.neutral()
        quantized = (t for t in trial.techniques if t.post_training and not t.off and not isinstance(t, Rotation))
        return self if any(quantized) else self.neutral()
