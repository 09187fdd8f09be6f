"""What this machine has for trials: cores, GPUs, and how many trials run at once."""

from __future__ import annotations

import functools
import os
import subprocess

from bitskip.errors import UserError
from bitskip.sweep.sweep_file import Resources


def local_slots(resources: Resources) -> int:
    """Trials that run at once on this machine: as many as its cores, and its GPUs if they use any, can take."""
    counts = [local_cores() / resources.cpus]
    if resources.gpus:
        counts.append(local_gpus() / resources.gpus)
    return max(1, int(min(counts)))


def local_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_gpus() -> int:
    """GPUs that this process may use, counted without torch, whose import takes seconds."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return sum(name.strip() not in ("", "-1") for name in visible.split(","))
    return _driver_gpus()


@functools.cache
def _driver_gpus() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def slots_on(nodes: list[dict[str, float]], wanted: Resources) -> int:
    """Trials that run at once on machines with these resources, each trial on one of them.

    Raises UserError if no machine can take a trial.
    """
    needs = {name: amount for name, amount in (("CPU", wanted.cpus), ("GPU", wanted.gpus)) if amount}
    slots = sum(min(int(node.get(name, 0.0) / amount + 1e-9) for name, amount in needs.items()) for node in nodes)
    if slots:
        return slots
    for name, amount in needs.items():
        there = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if amount > there:
            raise UserError(
                f"resources: a trial asks for {amount:g} {name}, but only {there:g} are there"
                f"{' on one machine' if len(nodes) > 1 else ''}; set resources.{name.lower()}s={there:g} or less"
            )
    asked = " and ".join(f"{amount:g} {name}" for name, amount in needs.items())
    raise UserError(f"resources: no machine of the cluster has {asked} for a trial; ask for less")
