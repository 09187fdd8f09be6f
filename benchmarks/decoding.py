"""Tokens per second of the decoding strategies, all in turn within each round, on an untrained model.

An untrained draft is accepted by chance only: what speculation gains on a trained model, `bitskip generate` prints.
Usage: python benchmarks/decoding.py [MODEL] [ROUNDS]
"""

import statistics
import sys

import torch

from bitskip import build_model, make_trial
from bitskip.training.generate import ConfidenceExit, FixedExit, SelfSpeculation, Strategy, generate

TOKENS = 32


def main(preset: str = "nano", rounds: int = 7) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    print(f"{preset} on {device}, torch {torch.__version__}, {TOKENS} tokens, n={rounds}: tokens/s, median (quartiles)")
    for name, axes in {"baseline": {}, "V1": {"bits": 8}, "V2": {"bits": 4, "hadamard": True}}.items():
        model = build_model(make_trial(model=preset, **axes)).to(device).eval()
        depth = model.sizes.layers
        strategies: dict[str, Strategy] = {
            "full": FixedExit(depth),
            f"exit {depth // 2}": FixedExit(depth // 2),
            "confidence 0.9": ConfidenceExit(0.9),
            f"speculative {depth // 3}": SelfSpeculation(depth // 3),
        }
        speeds: dict[str, list[float]] = {label: [] for label in strategies}
        for _ in range(rounds + 1):
            for label, strategy in strategies.items():
                speeds[label].append(generate(model, [1, 2, 3], strategy, TOKENS).tokens_per_second)
        full = statistics.median(speeds["full"][1:])
        for label, found in speeds.items():
            low, middle, high = statistics.quantiles(found[1:], n=4)  # the first round warms up
            print(f"{name:9} {label:15} {middle:8.1f} ({low:.1f} to {high:.1f})  {middle / full:.2f} × full")


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
