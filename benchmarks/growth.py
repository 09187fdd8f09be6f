"""How the time of commands that read results grows from a thousand trials to ten thousand, by the clock.

Run: python benchmarks/bench.py growth
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import Row, row
from simulated import simulated

from bitskip.predict.cache import FILE_NAME

RATES = (1, 8)
RUNS = 2


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def rows(quick: bool) -> list[Row]:
    """(g) of the table: as long per trial as with fewer trials is 1, nothing to pay for more of them is 0.12."""
    bitskip = str(Path(sys.executable).with_name("bitskip"))
    ask = ["predict", "--bits", "4", "--hadamard", "--exit-weight", "0.3", "--results"]
    times: dict[str, list[list[float]]] = {"report": [], "predict, first fit": [], "predict, warm": []}
    with tempfile.TemporaryDirectory() as scratch:
        places = [Path(scratch, str(rates)) for rates in RATES]
        few, many = (simulated(place / "simulated", rates) for place, rates in zip(places, RATES, strict=True))
        for _ in range(1 if quick else RUNS):
            for place in places:
                (place / FILE_NAME).unlink(missing_ok=True)
            for name, command in (
                ("predict, first fit", ask),
                ("predict, warm", ask),
                ("report", ["report"]),
            ):
                times[name].append([seconds([bitskip, *command, str(place)]) for place in places])
    found = []
    for name, rounds in times.items():
        small, large = ([each[at] for each in rounds] for at in (0, 1))
        note = f"{min(small):.2f} s and {min(large):.2f} s"
        found.append(
            row(f"growth: {name}, time a trial", f"{many} / {few} trials", large, small, "≤ 1.2", note, few / many)
        )
    return found
