"""How long the light commands take, against an empty Python process: median and spread of interleaved runs.

Run: python benchmarks/startup.py [RESULTS]    (default: a simulated grid of 70 trials)
"""

from __future__ import annotations

import datetime
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import Row, row

from bitskip import make_trial
from bitskip.store.tables import write_trial
from bitskip.store.trial_columns import trial_columns

RUNS = 7


def simulated(folder: Path) -> Path:
    """A full grid with smooth perplexities: only the time to read and fit it matters here."""
    for bits in (16, 8, 4):
        for hadamard in ("none", "bitnet-v2") if bits < 16 else ("none",):
            for dropout in ("none", "quadratic"):
                for exit_weight in (0.0, 0.3):
                    for phase in ("2", "1+2"):
                        for seed in (0, 1):
                            trial = make_trial(
                                bits=bits,
                                hadamard=hadamard,
                                dropout=dropout,
                                exit_weight=exit_weight,
                                phase=phase,
                                seed=seed,
                            )
                            loss = 3.0 + 0.1 * (bits < 16) + 0.1 * (bits == 4) + 0.05 * exit_weight + 0.01 * seed
                            row = trial_columns(trial) | {
                                "sweep": "simulated",
                                "status": "ok",
                                "loss": loss,
                                "ppl": 2.718281828**loss,
                                "bpb": loss,
                                "started_at": datetime.datetime.now(datetime.UTC),
                            }
                            write_trial(folder / "simulated", row)
    return folder


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def measured(results: str, runs: int) -> dict[str, list[float]]:
    """Seconds of each command by run, the empty process first."""
    bitskip = str(Path(sys.executable).with_name("bitskip"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "bitskip --help": [bitskip, "--help"],
        "bitskip predict": [bitskip, "predict", "--bits", "4", "--hadamard", "--results", results],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(seconds(command))
    return times


def rows(quick: bool) -> list[Row]:
    """(f) of the table: wall clock, since a command is waited for."""
    with tempfile.TemporaryDirectory() as scratch:
        times = measured(str(simulated(Path(scratch))), 3 if quick else RUNS)
    empty = times.pop("python -c pass")
    return [
        row(f"start-up: {name} / empty Python", "70 trials", found, empty, note=f"{statistics.median(found):.2f} s")
        for name, found in times.items()
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        times = measured(sys.argv[1] if len(sys.argv) > 1 else str(simulated(Path(scratch))), RUNS)
    base = statistics.median(times["python -c pass"])
    for name, found in times.items():
        middle = statistics.median(found)
        print(
            f"{name:<16} {middle:.2f} s  ({min(found):.2f} to {max(found):.2f}, n={RUNS})  {middle / base:.0f} × python"
        )


if __name__ == "__main__":
    main()
