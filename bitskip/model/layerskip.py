"""Layer-dropout rates, exit-loss weights and their curricula (docs/method.md; LayerSkip, arXiv 2404.16710).

Layers are counted l = 0 … L-1. Exit E of the field (blocks executed) is l = E - 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bitskip.trial.config import DROPOUT_NORMS

ROTATION_INTERVAL = 3
"""R of LayerSkip's rotational curriculum: every R-th exit is trained, shifted by one each step."""

DEPTH_SCALES: dict[str, Callable[[int, int], float]] = {
    "none": lambda layer, deepest: 0.0,
    "constant": lambda layer, deepest: 1.0,
    "linear": lambda layer, deepest: layer / deepest,
    "quadratic": lambda layer, deepest: (layer / deepest) ** 2,
    "exponential": lambda layer, deepest: 2.0 ** (layer / deepest) - 1.0,
    "log": lambda layer, deepest: math.log(layer + 1) / math.log(deepest + 1),
    "sin": lambda layer, deepest: math.sin(math.pi / 2 * layer / deepest),
    "sigmoid": lambda layer, deepest: 1 / (1 + math.exp(-10 * (layer / deepest - 0.5))),
}
"""Rate of a layer as a share of the largest one. Quadratic is BitSkip's, exponential LayerSkip's, the last three are
torchtune's."""


def dropout_rates(
    schedule: str, num_layers: int, p_max: float, norm: str = "none", last: bool = False
) -> tuple[float, ...]:
    """Probability of skipping each block, length L; the last block is spared (BitSkip) unless `last` (LayerSkip).

    `norm="sum1"` divides by the sum of the rates that count, `"sum1-all"` by the sum with the last block's, as if that
    were spared afterwards. Either way p_max cancels, and rates are clamped below 1. Raises ValueError for an unknown
    schedule or norm and for p_max outside [0, 1).
    """
    if schedule not in DEPTH_SCALES:
        raise ValueError(f"unknown dropout schedule '{schedule}': one of {', '.join(DEPTH_SCALES)}")
    if norm not in DROPOUT_NORMS:
        raise ValueError(f"unknown dropout normalisation '{norm}': one of {', '.join(DROPOUT_NORMS)}")
    if not 0.0 <= p_max < 1.0:
        raise ValueError(f"p_max must lie in [0, 1), got {p_max}")
    deepest = max(num_layers - 1, 1)
    rates = [p_max * DEPTH_SCALES[schedule](layer, deepest) for layer in range(num_layers)]
    kept = rates if last else [*rates[:-1], 0.0]
    total = sum(rates if norm == "sum1-all" else kept)
    if norm != "none" and total > 0.0:
        # L = 3 would skip block 1 always: leave every block some training.
        kept = [min(rate / total, 0.95) for rate in kept]
    return tuple(kept)


def dropout_progress(curriculum: str, step: int, steps: int) -> float:
    """S(t), the factor on all rates: 1, or LayerSkip's 2^(t/(T-1)) - 1 for training from scratch."""
    if curriculum == "none" or steps <= 1:
        return 1.0
    return float(2.0 ** (step / (steps - 1)) - 1.0)


@dataclass(frozen=True)
class ExitScale:
    """How the exit loss is shared out: weights of the layers that are on, as a function of (layers, L, e_scale).

    `final`: whether the full model's loss is one of them; `normalised`: whether they are divided by their sum;
    `alone`: whether they are the whole training loss, with e_scale for lambda and no separate main loss.
    """

    weights: Callable[[Sequence[int], int, float], list[float]]
    final: bool = True
    normalised: bool = True
    alone: bool = False


def _proportional(layers: Sequence[int], num_layers: int, _: float) -> list[float]:
    return [(layer + 1) / num_layers for layer in layers]


def _layerskip(layers: Sequence[int], num_layers: int, e_scale: float) -> list[float]:
    final = num_layers - 1
    whole = final + e_scale * sum(range(final))
    return [e_scale * layer * (layer + 1) / 2 if layer < final else whole for layer in layers]


def _cumulative(layers: Sequence[int], num_layers: int, e_scale: float) -> list[float]:
    sums = itertools.accumulate(layer + 1 for layer in layers)
    return [
        e_scale * value if layer < num_layers - 1 else float(value) for layer, value in zip(layers, sums, strict=True)
    ]


EXIT_SCALES: dict[str, ExitScale] = {
    "proportional": ExitScale(_proportional, final=False),
    "proportional-all": ExitScale(_proportional),
    "proportional-raw": ExitScale(_proportional, normalised=False),
    "uniform": ExitScale(lambda layers, *_: [1.0] * len(layers), final=False),
    "triangular": ExitScale(lambda layers, *_: [(layer + 1) * (layer + 2) / 2 for layer in layers]),
    "linspace": ExitScale(
        lambda layers, n, _: [(0.1 + 0.9 * layer / max(n - 1, 1)) / n for layer in layers], normalised=False
    ),
    "cumulative": ExitScale(_cumulative, alone=True),
    "layerskip": ExitScale(_layerskip, alone=True),
}
"""`proportional` is the paper's (i+1)/L over the non-final exits; -all and -raw are its readings with the final layer
and without normalisation; `triangular` and `linspace` stand in the published code; `cumulative` is torchtune's sum_l;
`layerskip` is e(l) of the LayerSkip paper."""


def exit_weights(
    scale: str, num_layers: int, e_scale: float = 0.2, enabled: Sequence[bool] | None = None
) -> tuple[float, ...]:
    """Share of each exit's cross-entropy in the exit loss, length L; all exits are on unless `enabled` says otherwise.

    The shares of a normalised scale sum to 1, or are 0 where no exit is left (L = 1). Raises ValueError for an unknown
    scale.
    """
    if scale not in EXIT_SCALES:
        raise ValueError(f"unknown exit scale '{scale}': one of {', '.join(EXIT_SCALES)}")
    rule = EXIT_SCALES[scale]
    count = num_layers if rule.final else num_layers - 1
    layers = [layer for layer in range(count) if enabled is None or enabled[layer]]
    weights = rule.weights(layers, num_layers, e_scale)
    total = sum(weights) if rule.normalised else 1.0
    if total == 0.0:  # LayerSkip's weight of a single layer is 0, but its loss is the training loss
        weights, total = [1.0] * len(layers), float(max(len(layers), 1))
    shares = dict(zip(layers, weights, strict=True))
    return tuple(shares.get(layer, 0.0) / total for layer in range(num_layers))


def enabled_exits(curriculum: str, num_layers: int, step: int, steps: int) -> tuple[bool, ...]:
    """Which layers' losses count at a step, length L; the final one always does (LayerSkip, section 3.2)."""
    final = num_layers - 1
    if curriculum == "rotational":
        on = [layer % ROTATION_INTERVAL == step % ROTATION_INTERVAL for layer in range(num_layers)]
    elif curriculum == "gradual":
        reached = int(step * 2 * num_layers / max(steps, 1))
        on = [layer >= final - reached for layer in range(num_layers)]
    else:
        on = [True] * num_layers
    return (*on[:final], True)


def loss_weights(
    scale: str, curriculum: str, num_layers: int, exit_weight: float, step: int, steps: int
) -> tuple[float, ...]:
    """Coefficient of every layer's cross-entropy in the training loss, length L.

    BitSkip: main + lambda * sum w_i CE_i, with w shared among the enabled exits. LayerSkip and torchtune have no
    separate main loss: lambda is their e_scale and the coefficients sum to 1.
    """
    main = (*([0.0] * (num_layers - 1)), 1.0)
    if exit_weight == 0.0:
        return main
    shares = exit_weights(scale, num_layers, exit_weight, enabled_exits(curriculum, num_layers, step, steps))
    if EXIT_SCALES[scale].alone:
        return shares
    return tuple(own + exit_weight * share for own, share in zip(main, shares, strict=True))
