"""What a trial is given, what this machine has, and how many trials run at once."""

from __future__ import annotations

import functools
import math
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitskip.errors import UserError
from bitskip.store.folder import DESIGN_FILE
from bitskip.sweep.located_yaml import Source

if TYPE_CHECKING:
    from bitskip.trial.config import TrialConfig

RETIRED = ("pack",)
"""What a design stored beside its results may still name, and does nothing; in any other file it is an error."""

STRATEGIES = ("single", "ddp", "fsdp")


@dataclass(frozen=True)
class Resources:
    """What one trial is given; a `time_limit` and the age at which a checkpoint is renewed are in seconds.

    A trial without progress for `stall_limit` seconds is ended; None = what fits its size (docs/engine.md).
    `price_per_hour` is that of one GPU or, for trials without, of one core, in any currency. With a `strategy` other
    than `single` one trial is trained on all its GPUs or, without any, on all its cores (docs/devices.md). With a
    `micro_batch` of `auto` a forward pass takes as many sequences as fit the device.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    strategy: str = "single"
    micro_batch: str | None = None
    time_limit: float | None = None
    stall_limit: float | None = None
    checkpoint_seconds: float = 300.0
    price_per_hour: float | None = None
    address: str | None = None

    @property
    def devices(self) -> int:
        """How many devices train one trial, each in a process of its own."""
        return 1 if self.strategy == "single" else int(self.gpus or self.cpus)


def read_resources(source: Source) -> Resources:
    """`resources` of a sweep file. Raises UserError, at its line, for a key or a value that makes no sense."""
    retired = RETIRED if Path(source.path).name == DESIGN_FILE else ()
    source.check_keys(("resources",), (*Resources.__dataclass_fields__, *retired), "resource")
    given = {key: value for key, value in source.mapping(("resources",)).items() if key not in retired}
    for key, value in given.items():
        if not _valid(key, value):
            wanted = {"address": "text such as auto", "strategy": f"one of {', '.join(STRATEGIES)}"}
            wanted["micro_batch"] = "auto (a number is an axis, to be set under base)"
            message = f"resources: {key} must be {wanted.get(key, 'a positive number')}, got {value!r}"
            raise source.error(("resources", key), message)
    resources = Resources(**given)
    if complaint := _devices_complaint(resources):
        raise source.error(("resources", "strategy"), f"resources: {complaint}")
    return resources


def _devices_complaint(resources: Resources) -> str | None:
    """Why a trial cannot be trained on all the devices that it is given, or None."""
    name = "gpus" if resources.gpus else "cpus"
    amount = getattr(resources, name)
    if resources.strategy == "single" or (amount == int(amount) and amount >= 2):
        return None
    wanted = f"strategy {resources.strategy} is for a whole number of devices, 2 or more"
    return f"{wanted}, got {name}={amount:g}; set strategy: single"


def check_devices(resources: Resources, trials: Iterable[TrialConfig]) -> None:
    """Raises UserError where a device would be idle, or where devices cannot share a trial."""
    devices = resources.devices
    if resources.gpus > devices:
        raise UserError(
            f"resources: gpus={resources.gpus:g} with strategy single leaves all but one idle; set strategy=ddp or "
            "fsdp, or gpus=1"
        )
    for trial in trials:
        if trial.training.batch_size % devices:
            raise UserError(
                f"resources: {devices} devices cannot share a batch of {trial.training.batch_size} sequences evenly; "
                f"make batch_size a multiple of {devices}, or give a trial fewer devices"
            )
        if devices > 1 and (trial["activation_scale"] == "static" or trial["weight_rounding"] == "gptq"):
            raise UserError(
                "resources: activation_scale: static and weight_rounding: gptq are fitted on one device; set "
                "strategy=single"
            )


def _valid(key: str, value: Any) -> bool:
    if key == "strategy":
        return value in STRATEGIES
    if key == "micro_batch" and value is not None:
        return bool(value == "auto")
    if value is None:
        return getattr(Resources, key) is None
    if key == "address":
        return isinstance(value, str)
    return type(value) in (int, float) and 0 <= value < math.inf and (value > 0 or key == "gpus")


def local_slots(resources: Resources) -> int:
    """Trials that run at once on this machine: as many as its cores, and its GPUs if they use any, can take."""
    here = {"CPU": local_cores(), "GPU": local_gpus() if resources.gpus else 0}
    return max(1, _slots(here, _needs(resources)))


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
    needs = _needs(wanted)
    if slots := sum(_slots(node, needs) for node in nodes):
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


def _needs(resources: Resources) -> dict[str, float]:
    return {name: amount for name, amount in (("CPU", resources.cpus), ("GPU", resources.gpus)) if amount}


def _slots(node: Mapping[str, float], needs: Mapping[str, float]) -> int:
    return min(int(node.get(name, 0.0) / amount + 1e-9) for name, amount in needs.items())  # 1e-9: fractions of a GPU
