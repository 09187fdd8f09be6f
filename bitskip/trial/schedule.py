"""What a trial does at which optimizer step: how many there are, learning rate, phase, bits, measurements. Pure."""

from __future__ import annotations

import math

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


def hand_over_step(trial: TrialConfig, steps: int) -> int:
    """Steps that a `1+2` trial spends in phase 1."""
    return round(trial.method.phase1_share * steps)


def phase_at(trial: TrialConfig, step: int, steps: int) -> str:
    """`1` (plain) or `2` (layer dropout and exit loss) at a step; both phases share one schedule and optimizer."""
    method = trial.method
    if method.phase != "1+2":
        return method.phase
    return "1" if step < hand_over_step(trial, steps) else "2"


def first_stage_steps(trial: TrialConfig, steps: int) -> int:
    """Steps that a trial with `first_bits` spends with them."""
    return round(trial.method.first_bits_share * steps)


def bits_at(trial: TrialConfig, step: int, steps: int) -> int:
    """Activation bits at a step: those of the first stage, then `bits` (two-stage training, BitNet v2)."""
    method = trial.method
    first = method.first_bits and step < first_stage_steps(trial, steps)
    return method.first_bits if first else method.bits


def phase_progress(trial: TrialConfig, step: int, steps: int) -> tuple[int, int]:
    """(step, steps) of phase 2 by itself, which is what curricula count."""
    start = hand_over_step(trial, steps) if trial.method.phase == "1+2" else 0
    return step - start, steps - start


def measured_steps(trial: TrialConfig, steps: int) -> set[int]:
    """After how many steps the held-out loss is measured: evenly spread, and where phase 1 hands over to phase 2."""
    points = trial.training.curve_points
    spread = {round(point * steps / points) for point in range(1, points + 1)}
    return spread | {hand_over_step(trial, steps)} if trial.method.phase == "1+2" else spread


def sampled_steps(training: TrainingConfig, steps: int) -> frozenset[int]:
    """After which of the steps 1 … `steps` to sample: evenly spread, the last one included."""
    points = training.diagnostic_points
    return frozenset(max(1, round(point * steps / points)) for point in range(1, points + 1))
