"""What the per-layer diagnostics cost: training time with over without them, runs interleaved, median and quartiles.

Run: python benchmarks/diagnostics.py [ROUNDS] [STEPS]    (default: 7 rounds of 100 steps, the nano model, one thread)
"""

from __future__ import annotations

import dataclasses
import statistics
import sys

import torch

from bitskip import make_trial, run_trial
from bitskip.data import load_data
from bitskip.trial.config import POINTS, TrialConfig


def spread(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{100 * middle:.1f} %  (quartiles {100 * low:.1f} to {100 * high:.1f}, n={len(values)})"


def with_samples(trial: TrialConfig, points: int) -> TrialConfig:
    return dataclasses.replace(trial, training=dataclasses.replace(trial.training, diagnostic_points=points))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    torch.set_num_threads(1)
    # A single, short look at held-out text: the diagnostics are measured against the steps alone.
    budget = {"tokens": steps * 8 * 128, "curve_points": 1, "curve_tokens": 128, "eval_tokens": 128}
    trials = {
        "full precision": make_trial(phase="1", **budget),
        **{name: make_trial(**(POINTS[name] | budget)) for name in ("baseline", "V2")},
    }
    data = load_data(make_trial().data, steps * 8 * 128, 128)
    samples = make_trial().training.diagnostic_points
    print(f"{samples} samples in {steps} steps")
    for name, trial in trials.items():
        added, measured = [], []
        run_trial(with_samples(trial, samples), data=data)  # warm-up
        for turn in range(rounds):
            # Each goes first in turn, so that a machine that slows down or speeds up favours neither.
            order = (samples, 0) if turn % 2 else (0, samples)
            found = {points: run_trial(with_samples(trial, points), data=data) for points in order}
            added.append(found[samples].train_seconds / found[0].train_seconds - 1)
            spent = found[samples].diagnostic_seconds
            measured.append(spent / (found[samples].train_seconds - spent))
        print(f"{name:<14}  with / without - 1: {spread(added)}")
        print(f"{'':<14}  diagnostic_seconds / the rest: {spread(measured)}", flush=True)


if __name__ == "__main__":
    main()
