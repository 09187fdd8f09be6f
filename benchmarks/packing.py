"""Training K trials as one program against training them in turn: ratio of seconds a step, interleaved.

Run: python benchmarks/packing.py [MEMBERS] [MODEL] [cpu|cuda] [STEPS]    (default: 16 nano, a GPU if there is one, 20)
"""

from __future__ import annotations

import statistics
import sys

import torch

from bitskip.training.packing.trainer import packing_gains
from bitskip.trial.config import make_trial

MIXES = {
    "one configuration, seeds": [{"bits": 8}],
    "V1, with and without exits": [{"bits": 8}, {"bits": 8, "exit_weight": 0.3, "dropout": "quadratic"}],
    "bits 16, 8, 4, Hadamard": [{"bits": 16}, {"bits": 8}, {"bits": 4}, {"bits": 8, "hadamard": True}],
}


def main() -> None:
    given = dict(enumerate(sys.argv[1:]))
    members, model, steps = int(given.get(0, 16)), given.get(1, "nano"), int(given.get(3, 20))
    device = given.get(2, "cuda" if torch.cuda.is_available() else "cpu")
    print(
        f"{members} {model} trials packed against the same in turn, {device}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, {steps} steps: ratio of seconds, median (quartiles)"
    )
    for name, mix in MIXES.items():
        trials = [make_trial(model=model, seed=index // len(mix), **mix[index % len(mix)]) for index in range(members)]
        low, middle, high = statistics.quantiles(packing_gains(trials, device, steps), n=4)
        print(f"| {name} | {middle:.2f} ({low:.2f} to {high:.2f}) |", flush=True)


if __name__ == "__main__":
    main()
