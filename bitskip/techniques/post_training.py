"""When quantization begins: with the training, after a warm start, or on the trained model (docs/method.md, controls).

Static scales and weights rounded by GPTQ are fitted to training text; other scales need none. A rotation is folded
into the weights that read its output (QuaRot, arXiv 2404.00456), so that it changes nothing until something is
quantized.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from bitskip.errors import UserError
from bitskip.techniques.axis import axis
from bitskip.techniques.base import Technique
from bitskip.techniques.phases import same_share
from bitskip.techniques.rotation import Rotation


@dataclass(frozen=True)
class PostTraining(Technique):
    """When the techniques that are `post_training` act: from the first step on, later, or on the trained model only."""

    told_in_steps: ClassVar[tuple[str, ...]] = ("warm_start",)

    quantize: str = axis(
        "training",
        "when quantization and rotation act: training = from the first step; after = on the trained model only",
        choices=("training", "after"),
        since="0.2",
    )
    warm_start: float = axis(
        0.0,
        "share of the tokens trained in full precision before quantization begins (arXiv 2502.11895)",
        low=0.0,
        below=1.0,
        since="0.2",
    )

    calibration_tokens: int = axis(
        8_192,
        "tokens of the training text that static scales and weights rounded by GPTQ are fitted to",
        low=1,
        since="0.2",
    )

    @classmethod
    def factors(cls) -> dict[str, tuple[str, ...]]:
        """Quantizing later is another arm of quantization, beside training with it from the start."""
        return {"bits": ("quantize", "warm_start", "calibration_tokens")}

    @property
    def after(self) -> bool:
        return self.quantize == "after"

    def warm_start_steps(self, steps: int) -> int:
        """Steps before quantization begins."""
        return round(self.warm_start * steps)

    def puts_off(self, technique: Technique) -> bool:
        """Whether a technique acts only later; not a rotation in a warm start, where it changes nothing."""
        if isinstance(technique, PostTraining):
            return True
        return technique.post_training and (self.after or not isinstance(technique, Rotation))

    def partings(self, steps: int) -> set[int]:
        return {self.warm_start_steps(steps)} if self.warm_start else set()

    def before(self, step: int, steps: int) -> tuple[Self, dict[str, Any]]:
        return self, {"warm_start": self.warm_start_steps(steps)} if self.warm_start else {}

    def check(self, trial: Any) -> None:
        not_foldable = trial.of(Rotation).variant.after_quantizer or trial["hadamard_scale"] != "ortho"
        if self.after and not_foldable and _quantizes(trial):
            raise UserError(
                "quantize: after folds the rotation into the weights, which hadamard: as-published and hadamard_scale: "
                "none do not allow; take another hadamard, or quantize: training"
            )

    def canonical(self, trial: Any) -> Self:
        """A rotation alone is trained with: folded, it would change nothing. Untrained weights know no before."""
        if trial["activation_scale"] != "static" and trial["weight_rounding"] != "gptq":
            self = self.reset("calibration_tokens")
        if trial.training.training == "none":
            return self.reset("quantize", "warm_start")
        if not _quantizes(trial):
            return self.neutral()
        first = self.warm_start_steps(trial.steps)
        if self.after or not first:
            return self.reset("warm_start")
        return replace(self, warm_start=same_share(first, trial.steps, 0.2))


def _quantizes(trial: Any) -> bool:
    """Whether a technique is on that can act later, a rotation aside."""
    return any(t.post_training and not t.off and not isinstance(t, Rotation) for t in trial.techniques)
