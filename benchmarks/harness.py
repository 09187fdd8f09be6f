"""How the benchmarks measure: alternatives in turn within each round, medians and quartiles of their ratios.

On a CPU the time is what the process spent there, with one thread, as a trial of a sweep has: what else runs on the
machine costs caches and clock, but not the comparison. On a GPU it is wall clock up to the end of the queued work.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Row:
    """One line of the table: a ratio of two measured things, or of a measured and a computed one, larger is better
    unless `target` begins with ≤."""

    what: str
    shape: str
    ratio: float
    low: float
    high: float
    n: int
    target: str = ""
    note: str = ""

    def met(self) -> str:
        if not self.target:
            return ""
        sign, number = self.target.split()
        return "yes" if (self.ratio >= float(number) if sign == "≥" else self.ratio <= float(number)) else "no"


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seconds(work: Callable[[], object]) -> float:
    """Time of one call, see the head of this module."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    work()
    return time.process_time() - start


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each work by round; every round runs all of them, each going first in turn."""
    torch.set_num_threads(1)
    names = list(works)
    for _ in range(warmup):
        for work in works.values():
            work()
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            found[name].append(seconds(works[name]))
    return found


def repeated(work: Callable[[], object], times: int) -> Callable[[], object]:
    """The work so many times over, for what is too short to be timed once."""

    def many() -> None:
        for _ in range(times):
            work()

    return many


def ratio(of: list[float], to: list[float]) -> tuple[float, float, float]:
    """Median and quartiles of `of` / `to`, round by round."""
    ratios = [a / b for a, b in zip(of, to, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return middle, low, high


def row(
    what: str, shape: str, of: list[float], to: list[float], target: str = "", note: str = "", scale: float = 1.0
) -> Row:
    """How many times as long `of` takes as `to`, times `scale`."""
    middle, low, high = (scale * value for value in ratio(of, to))
    return Row(what, shape, middle, low, high, len(of), target, note)


def hardware() -> str:
    """Processor, cores, GPU and versions, in one line."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{model}, {os.cpu_count()} cores{gpu}; {torch.backends.cpu.get_cpu_capability()}, one thread a work{load}; "
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.system()} {platform.release()}"
    )


def table(rows: list[Row]) -> str:
    """Markdown, ready to be pasted."""
    lines = ["| what | shape | ratio | quartiles | n | target | met | note |", "| --- " * 8 + "|"]
    for entry in rows:
        cells = (
            entry.what,
            entry.shape,
            f"{entry.ratio:.2f}",
            f"{entry.low:.2f} to {entry.high:.2f}",
            str(entry.n),
            entry.target,
            entry.met(),
            entry.note,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
