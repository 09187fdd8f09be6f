"""What a trial does at which optimizer step: how many there are, learning rate, phase, bits, measurements. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bitskip.techniques.base import Moment, Techniques
from bitskip.techniques.phases import Phases
from bitskip.techniques.post_training import PostTraining

if TYPE_CHECKING:
    from bitskip.trial.config import TrainingConfig, TrialConfig


def step_count(training: TrainingConfig) -> int:
    """Optimizer steps of a token budget, at least one; none where nothing is trained."""
    if training.training == "none":
        return 0
    return max(1, training.tokens // (training.batch_size * training.seq_len))


def warm_up_steps(training: TrainingConfig, steps: int) -> int:
    """Steps of the linear warm-up; one in steps may be longer than the training."""
    return training.warmup_steps or round(training.warmup * steps)


def cooldown_steps(training: TrainingConfig, steps: int) -> int:
    """Steps in which `wsd` leaves its constant rate, at least one; 0 for schedules without such a stage."""
    return max(1, round(training.cooldown * steps)) if training.schedule == "wsd" else 0


SECOND_STAGE = 2 / 3
"""By which the rate of ternary training drops half-way."""


def in_second_stage(training: TrainingConfig, step: int, steps: int) -> bool:
    """Whether `two-stage` has come to its second half."""
    return training.schedule == "two-stage" and 2 * step >= steps


def weight_decay(training: TrainingConfig, step: int, steps: int) -> float:
    """AdamW's decay at a step: none in a second stage, where ternary weights have to settle on a side of zero."""
    return 0.0 if in_second_stage(training, step, steps) else training.weight_decay


def learning_rate(training: TrainingConfig, step: int, steps: int) -> float:
    """Linear warm-up, then down from the peak; the first step is already above zero.

    `cosine` and `linear` end at `min_lr` times the peak. `wsd` (warm-up, stable, decay: Hägele et al., arXiv
    2405.18392) stays at the peak and falls in equal steps in its cooldown, each of which is below the peak and above
    zero: the step after the last one would have rate zero. Before its cooldown it does not know how long it trains.
    `two-stage` is a line to zero whose second half is a third lower (BitNet b1.58's training tips: peak 1.5e-3, then
    1e-3; arXiv 2504.12285: 1.5e-3 to 8e-4, then 5e-4 to zero).
    """
    warm = warm_up_steps(training, steps)
    if training.schedule == "wsd":
        cooling = (steps - step) / (cooldown_steps(training, steps) + 1)
        return training.lr * min(1.0, (step + 1) / max(1, warm), cooling)
    if step < warm:
        return training.lr * (step + 1) / warm
    if training.schedule == "two-stage":
        line = (steps - step) / max(1, steps - warm)  # above zero at the last step, as with wsd
        return training.lr * line * (SECOND_STAGE if in_second_stage(training, step, steps) else 1.0)
    share = (step - warm) / max(1, steps - 1 - warm)
    left = 1 - share if training.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share))
    return training.lr * (training.min_lr + (1 - training.min_lr) * left)


def trained_with(trial: TrialConfig, step: int) -> Techniques:
    """The techniques of a trial without those that act only later: on the trained model, or after a warm start."""
    how = trial.of(PostTraining)
    if not how.after and step >= how.warm_start_steps(trial.steps):
        return trial.techniques
    return Techniques(t.neutral() if how.puts_off(t) else t for t in trial.techniques)


def acting(trial: TrialConfig, step: int, steps: int) -> tuple[Techniques, Moment]:
    """The techniques in force at a step, and the step as curricula count it; step `steps` is the evaluation."""
    phases, techniques = trial.of(Phases), trained_with(trial, step) if step < steps else trial.techniques
    moment, plain = phases.moment(step, steps), phases.phase_at(step, steps) == "1"
    in_force = (t.neutral() if plain and t.trained_in_phase_2 else t.at(moment) for t in techniques)
    return Techniques(in_force), moment


def measured_steps(trial: TrialConfig, steps: int) -> set[int]:
    """After how many steps the held-out loss is measured: evenly spread, and where phase 1 hands over to phase 2."""
    points = trial.training.curve_points
    return {round(point * steps / points) for point in range(1, points + 1)} | trial.of(Phases).partings(steps)


def sampled_steps(training: TrainingConfig, steps: int) -> frozenset[int]:
    """After which of the steps 1 … `steps` to sample: evenly spread, the last one included.

    With `wsd` they lie in the cooldown: what comes before it does not depend on how long a trial trains.
    """
    points, length = training.diagnostic_points, cooldown_steps(training, steps) or steps
    return frozenset(steps - length + max(1, round(point * length / points)) for point in range(1, points + 1))
