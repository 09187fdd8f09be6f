"""How long `bitskip predict` takes: warm, cold, and the first fit on a thousand trials. Median and range of runs,
and processor time, which a busy machine stretches less than the clock.

python benchmarks/predict.py [runs]
"""

from __future__ import annotations

import datetime
import itertools
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bitskip.config import make_trial
from bitskip.fitted import FILE_NAME
from bitskip.results import column_name, compact, write_trial

SEEDS = 3
ASK = ["predict", "--bits", "4", "--hadamard", "--exit-weight", "0.3"]
LIMITS = {"warm": 0.4, "first fit": 3.0}
"""Seconds on an idle machine."""


def simulated(folder: Path) -> int:
    """A grid of a thousand trials with smooth perplexities and noise; only the time to read and fit it matters here."""
    source = random.Random(0)
    axes = {
        "bits": (16, 8, 6, 4),
        "hadamard": ("none", "bitnet-v2", "random-sign"),
        "dropout": ("linear", "quadratic"),
        "dropout_max": (0.0, 0.2, 0.5),
        "exit_weight": (0.0, 0.1, 0.2, 0.3),
        "exit_scale": ("proportional", "uniform"),
    }
    written = set()
    for values in itertools.product(*axes.values()):
        for seed in range(SEEDS):
            trial = make_trial(**dict(zip(axes, values, strict=True)), seed=seed)
            if trial.trial_id in written:
                continue
            written.add(trial.trial_id)
            method = trial.method
            damage = 0.0 if method.bits == 16 else math.exp(-method.bits / 2.2)
            loss = 3 + damage * (1 - 0.4 * (method.hadamard != "none")) + 0.2 * method.exit_weight
            loss += source.gauss(0, 0.02)
            row = {column_name(name): value for name, value in trial.axes().items()} | {
                "trial_id": trial.trial_id,
                "configuration_id": trial.configuration_id,
                "sweep": "simulated",
                "artefact": False,
                "status": "ok",
                "loss": loss,
                "ppl": math.exp(loss),
                "bpb": loss,
                "started_at": datetime.datetime.now(datetime.UTC),
            }
            exits = [{"exit_layer": layer, "depth": 6, "loss": loss, "ppl": math.exp(loss)} for layer in range(1, 7)]
            write_trial(folder, row, exits)
    compact(folder)
    return len(written)


def seconds(command: list[str]) -> tuple[float, float]:
    """(by the clock, of the processor)"""
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, spent


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    bitskip = str(Path(sys.executable).with_name("bitskip"))
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        trials = simulated(root / "simulated")
        ask = [bitskip, *ASK, "--results", scratch]
        times: dict[str, list[tuple[float, float]]] = {
            "python -c pass": [],
            "bitskip --help": [],
            "first fit": [],
            "warm": [],
        }
        for _ in range(runs):
            times["python -c pass"].append(seconds([sys.executable, "-c", "pass"]))
            times["bitskip --help"].append(seconds([bitskip, "--help"]))
            (root / FILE_NAME).unlink(missing_ok=True)
            times["first fit"].append(seconds(ask))
            times["warm"].append(seconds(ask))
    print(f"{trials} trials")
    for name, found in times.items():
        limit = f", limit {LIMITS[name]} s" if name in LIMITS else ""
        clock, processor = ([each[i] for each in found] for i in (0, 1))
        print(
            f"{name:<16} {statistics.median(clock):.2f} s  ({min(clock):.2f} to {max(clock):.2f}, n={runs}{limit}); "
            f"processor {statistics.median(processor):.2f} s"
        )


if __name__ == "__main__":
    main()
