"""muP: one learning rate for models of every width (Yang et al. 2022, Tensor Programs V, arXiv 2203.03466, Table 8).

With b = `mup_base` / D, and Adam: matrices of blocks train at b times the rate, since D inputs that agree add up; the
logits are multiplied by b; embedding and head start as large as at the base width and train at the rate itself.
Adam moves a weight by its rate whatever its gradient's scale, so that logits times b are the same as an output norm
whose gain begins at b and trains at b times the rate (appendix J of the paper): models keep their form and are exported
as they are. Attention keeps 1 / sqrt(head width), which differs from muP's 1 / head width by a constant along a ladder
whose heads are equally wide. Nothing is transferred over depth.
"""

from __future__ import annotations

import math

from bitskip.trial.config import ModelConfig

OUTPUT_NORMS = ("norm.", "exit_norms.")


def width_share(sizes: ModelConfig) -> float:
    """Base width over width; 1 without transfer."""
    return sizes.mup_base / sizes.width if sizes.mup_base else 1.0


def rate_share(sizes: ModelConfig, name: str, dimensions: int) -> float:
    """What a parameter's rate is of the trial's."""
    narrowed = name.startswith("blocks.") if dimensions >= 2 else name.startswith(OUTPUT_NORMS)
    return width_share(sizes) if narrowed else 1.0


def initial_std(sizes: ModelConfig, name: str, inputs: int) -> float:
    """Standard deviation of a matrix's initial weights, the scale of residual branches left aside.

    `fan-in` is c / sqrt(inputs), which keeps outputs as large at every width (LeCun et al. 1998, Efficient BackProp,
    §4.6), and c / sqrt(D) for the embedding [V, D]. With muP `normal` falls with the width, too.
    """
    hidden, share = name.startswith("blocks."), width_share(sizes)
    if sizes.init == "normal":
        return sizes.init_std * (math.sqrt(share) if hidden else 1.0)
    return sizes.init_gain / math.sqrt(inputs * (1.0 if hidden else share))
