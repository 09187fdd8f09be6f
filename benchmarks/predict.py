"""How long `bitskip predict` takes: warm, cold, and the first fit on a thousand trials. Median and range of runs,
and processor time, which a busy machine stretches less than the clock.

python benchmarks/predict.py [runs]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from simulated import simulated

from bitskip.predict.cache import FILE_NAME

ASK = ["predict", "--bits", "4", "--hadamard", "--exit-weight", "0.3"]
LIMITS = {"warm": 0.4, "first fit": 3.0}
"""Seconds on an idle machine."""


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
