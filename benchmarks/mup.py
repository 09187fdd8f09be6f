"""Where the best learning rate lies by width, with one rate for all parameters and with muP (docs/method.md).

python benchmarks/mup.py [--widths 32 64] [--steps 240] [--seeds 1] [--bits 16]

Heads are 16 wide at every width, depth and steps are the same, initial weights by fan-in. The optimum is the lowest
point of a parabola in log2 of the rate through the best rate and its neighbours, as `bitskip tune` has it.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics

import bitskip
from bitskip.analysis.rates import parabola
from bitskip.trial.config import TrialConfig

RATES = [2.0**power for power in range(-8, -2)]
ARMS = {"one rate": 0, "muP": 32}
"""`model.mup_base` of each; the smallest width is the same model in both."""


@functools.cache
def held_out(trial: TrialConfig) -> float:
    """Loss in nats per token; infinite where the trial did not end."""
    found = bitskip.run_trial(trial)
    return math.inf if found.loss is None else found.loss


def loss(width: int, base: int, rate: float, seed: int, args: argparse.Namespace) -> float:
    sizes = {"layers": 3, "width": width, "heads": width // 16, "kv_heads": width // 16, "ffn_width": 4 * width}
    trial = bitskip.make_trial(
        **{
            "model": {**sizes, "init": "fan-in", "mup_base": base},
            "data": {"corpus": "stories", "vocab_size": 512},
            "tokens": args.steps * 256, "seq_len": 64, "batch_size": 4, "warmup_steps": 20, "min_lr": 0.0,
            "bits": args.bits, "phase": "1", "lr": rate, "seed": seed, "eval_tokens": 32_768, "eval_exits": "full",
            "curve_points": 1, "diagnostic_points": 0,
        }
    )  # fmt: skip
    return held_out(trial)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--bits", type=int, default=16)
    args = parser.parse_args()
    print("| rates | width | " + " | ".join(f"2^{math.log2(rate):g}" for rate in RATES) + " | best rate |", flush=True)
    print("| --- " * (len(RATES) + 3) + "|")
    for arm, base in ARMS.items():
        for width in args.widths:
            by_rate = {
                rate: {seed: loss(width, base, rate, seed, args) for seed in range(args.seeds)} for rate in RATES
            }
            ended = {rate: own for rate, own in by_rate.items() if all(map(math.isfinite, own.values()))}
            found = parabola(ended)
            shown = [f"{statistics.fmean(own.values()):.3f}" for own in by_rate.values()]
            optimum = f"2^{math.log2(found.optimum):.1f}" if found else "at an edge"
            print(f"| {arm} | {width} | {' | '.join(shown)} | {optimum} |", flush=True)


if __name__ == "__main__":
    main()
