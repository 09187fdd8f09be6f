"""Whether averaging the weights along the trunk lowers what seeds add to a loss (docs/method.md).

python benchmarks/ema.py [--seeds 0 2 4 6] [--model femto] [--tokens 155392]

Full precision and 4 bits with the schedule wsd. At the end of the trunk and after the cooldown: held-out loss
of the weights and of their exponential averages, over seeds, and of the difference that 4 bits make, seed by seed.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

import bitskip
from bitskip.model.decoder import Decoder
from bitskip.training.evaluate import held_out_loss
from bitskip.training.trainer import prepare, train
from bitskip.trial.config import TrialConfig
from bitskip.trial.schedule import cooldown_steps

DECAYS = (0.9, 0.97, 0.99, 0.995)
BITS = (16, 4)


class Averages:
    """Exponential averages of a model's weights, from its first step on: the mean of those steps while they are few."""

    def __init__(self, model: Decoder) -> None:
        self.model, self.steps = model, 0
        self.weights = {decay: [p.detach().clone() for p in model.parameters()] for decay in DECAYS}

    @torch.no_grad()
    def add(self) -> None:
        self.steps += 1
        for decay, own in self.weights.items():
            share = max(1.0 - decay, 1.0 / self.steps)
            torch._foreach_lerp_(own, list(self.model.parameters()), share)

    def losses(self, trial: TrialConfig, held_out: object) -> Iterator[float]:
        """Of the weights themselves, then of every average."""
        parameters = list(self.model.parameters())
        kept = [p.detach().clone() for p in parameters]
        for weights in (kept, *self.weights.values(), kept):
            with torch.no_grad():
                torch._foreach_copy_(parameters, weights)
            self.model.eval()
            yield held_out_loss(self.model, held_out, trial)
            self.model.train()


def losses(bits: int, seed: int, model: str, tokens: int) -> dict[str, list[float]]:
    """By place, of the weights and of every average."""
    trial = bitskip.make_trial(
        **{
            "model": model, "data": {"corpus": "stories", "vocab_size": 512}, "tokens": tokens, "seq_len": 64,
            "batch_size": 4, "schedule": "wsd", "cooldown": 0.2, "warmup_steps": 20, "bits": bits, "phase": "1",
            "lr": 8e-3, "seed": seed, "eval_tokens": 32_768, "curve_tokens": 32_768, "curve_points": 1,
            "diagnostic_points": 0, "eval_exits": "full",
        }
    )  # fmt: skip
    ready = prepare(trial, torch.device("cpu"))
    averages, found = Averages(ready.model), {}
    places = {trial.steps - cooldown_steps(trial.training, trial.steps): "end of trunk", trial.steps: "cooled down"}

    def after(*_: object) -> None:
        averages.add()
        if averages.steps in places:
            found[places[averages.steps]] = list(averages.losses(trial, ready.measured_on))[: 1 + len(DECAYS)]

    handle = register_optimizer_step_post_hook(after)
    try:
        train(ready)
    finally:
        handle.remove()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 2, 4, 6])
    parser.add_argument("--model", default="femto")
    parser.add_argument("--tokens", type=int, default=155_392)
    args = parser.parse_args()
    found = {(bits, seed): losses(bits, seed, args.model, args.tokens) for seed in args.seeds for bits in BITS}
    print("| at | weights | loss, 16 bits | sd | loss, 4 bits | sd | 4 bits - 16 bits | sd |")
    print("| --- " * 8 + "|")
    for place in ("end of trunk", "cooled down"):
        for at, name in enumerate(("as they are", *(f"average, {decay}" for decay in DECAYS))):
            full, low = ([found[bits, seed][place][at] for seed in args.seeds] for bits in BITS)
            cells = [full, low, [b - a for a, b in zip(full, low, strict=True)]]
            shown = (f"{statistics.fmean(own):.4f} | {statistics.stdev(own):.4f}" for own in cells)
            print(f"| {place} | {name} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
