"""What a trial does at which optimizer step: how many there are, learning rate, phase, bits, measurements. Pure."""

from __future__ import annotations

import math

from bitskip.techniques.base import Moment, Techniques
from bitskip.techniques.phases import Phases
from bitskip.trial.config import TrainingConfig, TrialConfig


def step_count(training: TrainingConfig) -> int:
    """Optimizer steps of a token budget, at least one."""
    return max(1, training.tokens // (training.batch_size * training.seq_len))


def warm_up_steps(training: TrainingConfig, steps: int) -> int:
    """Steps of the linear warm-up."""
    return round(training.warmup * steps)


def learning_rate(training: TrainingConfig, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine from the peak to `min_lr` times the peak; the first step is already above zero."""
    warm = warm_up_steps(training, steps)
    if step < warm:
        return training.lr * (step + 1) / warm
    share = (step - warm) / max(1, steps - 1 - warm)
    return training.lr * (training.min_lr + (1 - training.min_lr) * 0.5 * (1 + math.cos(math.pi * share)))


def acting(trial: TrialConfig, step: int, steps: int) -> tuple[Techniques, Moment]:
    """The techniques in force at a step, and the step as curricula count it; step `steps` is the evaluation."""
    phases = trial.of(Phases)
    moment, plain = phases.moment(step, steps), phases.phase_at(step, steps) == "1"
    in_force = (t.neutral() if plain and t.trained_in_phase_2 else t.at(moment) for t in trial.techniques)
    return Techniques(in_force), moment


def measured_steps(trial: TrialConfig, steps: int) -> set[int]:
    """After how many steps the held-out loss is measured: evenly spread, and where phase 1 hands over to phase 2."""
    points = trial.training.curve_points
    return {round(point * steps / points) for point in range(1, points + 1)} | trial.of(Phases).partings(steps)


def sampled_steps(training: TrainingConfig, steps: int) -> frozenset[int]:
    """After which of the steps 1 … `steps` to sample: evenly spread, the last one included."""
    points = training.diagnostic_points
    return frozenset(max(1, round(point * steps / points)) for point in range(1, points + 1))
