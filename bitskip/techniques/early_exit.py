"""Early exit: how the exit loss is shared out, when which exit is trained, and the exits' heads (docs/method.md).

Layers are counted l = 0 … L-1; exit E of the field (blocks executed) is l = E - 1. Sources: BitSkip (2510.23766),
LayerSkip (2404.16710), torchtune.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from bitskip.techniques.axis import axis
from bitskip.techniques.base import Moment, Technique

ROTATION_INTERVAL = 3
"""R of LayerSkip's rotational curriculum: every R-th exit is trained, shifted by one each step."""


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


EXIT_CURRICULA = ("all", "rotational", "gradual")
EXIT_HEADS = ("shared", "own-norm", "own-head")


@dataclass(frozen=True)
class EarlyExit(Technique):
    """Every block may be the last one: exits are trained with a loss of their own."""

    trained_in_phase_2: ClassVar[bool] = True

    exit_weight: float = axis(0.0, "weight of the early-exit loss, lambda", low=0.0)
    exit_scale: str = axis("proportional", "share of each exit in the exit loss", choices=tuple(EXIT_SCALES))
    exit_curriculum: str = axis("all", "which exits are trained at which step", choices=EXIT_CURRICULA)
    exit_head: str = axis("shared", "head of the early exits", choices=EXIT_HEADS)

    def canonical(self, trial: Any) -> Self:
        layers, steps = trial.model.layers, trial.phase_steps
        if layers == 1:
            return self.neutral()
        telling = sorted({step for name in EXIT_CURRICULA for step in _telling_steps(name, layers, steps)})
        moments = [Moment(step, steps, step, steps) for step in telling]

        def weights(exits: EarlyExit) -> list[tuple[float, ...] | None]:
            return [exits.loss_weights(layers, moment) for moment in moments]

        own = weights(self)
        if all(found is None or (not any(found[:-1]) and found[-1] == 1.0) for found in own):
            return self.neutral()
        # Shares coincide where few exits are on: with one early exit, a proportional share is a uniform one.
        alike = (
            dataclasses.replace(self, exit_scale=scale, exit_curriculum=curriculum)
            for curriculum in EXIT_CURRICULA
            for scale in EXIT_SCALES
        )
        return next(each for each in alike if weights(each) == own)

    @property
    def depends_on_length(self) -> bool:
        return self.exit_curriculum == "gradual"

    def loss_weights(self, layers: int, moment: Moment) -> tuple[float, ...] | None:
        if self.exit_weight == 0.0:
            return None
        progress = moment.phase_step, moment.phase_steps
        return loss_weights(self.exit_scale, self.exit_curriculum, layers, self.exit_weight, *progress)

    def extra_parameters(self, sizes: Any, vocab: int) -> int:
        norm, head = self.exit_head != "shared", self.exit_head == "own-head"
        return int((sizes.layers - 1) * (norm * sizes.width + head * vocab * sizes.width))

    def trained_heads(self, layers: int) -> int:
        return layers if self.exit_weight > 0 else 1

    @classmethod
    def features(cls, settings: Mapping[str, Any], layers: int) -> dict[str, float]:
        """The weight and its root; shares, curriculum and heads count in proportion to it."""
        weight, *shape = settings.values()
        nested = {f"{position} {value}": float(weight) for position, value in enumerate(shape)}
        return nested | {"weight": float(weight), "root weight": math.sqrt(weight)}

    @classmethod
    def words(cls, settings: Mapping[str, Any]) -> list[str]:
        return [f"exits {settings['exit_weight']:g}"] * (settings["exit_weight"] > 0)


def _telling_steps(curriculum: str, layers: int, steps: int) -> list[int]:
    """Steps of phase 2 that show all sets of exits a curriculum trains."""
    if curriculum == "rotational":
        return list(range(min(ROTATION_INTERVAL, steps)))
    if curriculum == "gradual":
        changes = {-(-reached * steps // (2 * layers)) for reached in range(2 * layers + 1)}
        return sorted(step for step in changes if step < steps)
    return [0]
