"""Speed gain of every exit beside its limit, and the cost of evaluating all exits; runs on a GPU where there is one.

Each measurement is repeated, variants in turn: median, and lowest to highest. `blocks` is the time of the exit's blocks
in its own decoding over the time of the same blocks in the full model's: 1 unless caches or the exit's code differ.

Run: python benchmarks/exits.py [PRESET ...]    (default: nano micro; one CPU thread, as in a sweep)
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from bitskip import build_model, make_trial
from bitskip.data.sequences import Sequences, packed
from bitskip.model.bitlinear import frozen_weights
from bitskip.model.decoder import Decoder
from bitskip.training.decode_speed import StepTimes, step_times, throughput_batch
from bitskip.training.evaluate import exit_quality, held_out_batches
from bitskip.training.loop import precision_context
from bitskip.trial.config import POINTS, TrialConfig

RUNS = 5
VARIANTS = ("baseline", "V1", "V2")
EVALUATED_TOKENS = 2048

Row = tuple[float, float, float, float]
"""Gain, limit, gain / limit, blocks."""


def rows(times: Sequence[StepTimes]) -> list[Row]:
    """One per early exit; the full model's gain and limit are 0."""
    full = times[-1]
    found = []
    for exit_layer, own in enumerate(times[:-1], start=1):
        gain = full.typical_step() / own.typical_step() - 1
        limit = full.blocks_and_head() / own.blocks_and_head() - 1
        blocks = slice(1, exit_layer + 1)
        same = sum(own.typical_parts()[blocks]) / sum(full.typical_parts()[blocks])
        found.append((gain, limit, gain / limit, same))
    return found


@torch.no_grad()
def pass_per_exit(model: Decoder, sequences: Sequences, trial: TrialConfig) -> None:
    """What `exit_quality` does in one pass: every exit's loss, in a pass of its own."""
    with frozen_weights(model):
        for exit_layer in range(1, model.sizes.layers + 1):
            for inputs, targets in held_out_batches(sequences, EVALUATED_TOKENS, trial, model.head.weight.device):
                logits = model(inputs, exit_layer).float().flatten(0, 1)
                F.cross_entropy(logits, targets.flatten(), reduction="none").double().sum().item()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spread(values: Sequence[float], form: str = ".3f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def measure(preset: str, device: torch.device) -> None:
    trials = {name: make_trial(**POINTS[name], model=preset) for name in VARIANTS}
    models = {name: build_model(trial).eval().to(device) for name, trial in trials.items()}
    stream = np.random.default_rng(0).integers(0, 1024, EVALUATED_TOKENS + 1)
    prompt = torch.from_numpy(stream[None, :32]).to(device)
    speeds: dict[tuple[str, int], list[list[Row]]] = {}
    ratios: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(RUNS):
        for name, model in models.items():
            trial = trials[name]
            sequences = packed(stream, trial.training.seq_len)
            with precision_context(trial.training, device):
                for batch in (1, throughput_batch(device)):
                    speeds.setdefault((name, batch), []).append(rows(step_times(model, prompt, batch)))
                apart = seconds(lambda: pass_per_exit(model, sequences, trial))  # noqa: B023 (called at once)
                at_once = seconds(lambda: exit_quality(model, sequences, EVALUATED_TOKENS, trial))  # noqa: B023
                ratios[name].append(apart / at_once)
    print(f"\n{preset} on {device.type}, n={RUNS}")
    print(f"{'variant':<9} {'batch':>5} {'exit':>4}  {'gain':<24} {'limit':<24} {'gain / limit':<24} blocks")
    for (name, batch), runs in speeds.items():
        for exit_layer, of_runs in enumerate(zip(*runs, strict=True), start=1):
            cells = " ".join(f"{spread(values):<24}" for values in zip(*of_runs, strict=True))
            print(f"{name:<9} {batch:>5} {exit_layer:>4}  {cells}".rstrip())
    for name, values in ratios.items():
        print(f"{name:<9} evaluating an exit per pass takes {spread(values, '.2f')} × the time of one pass for all")


def main() -> None:
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for preset in sys.argv[1:] or ("nano", "micro"):
        measure(preset, device)


if __name__ == "__main__":
    main()
