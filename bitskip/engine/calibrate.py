"""How fast this machine trains: a few real steps of the largest and the smallest trial, on random tokens."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from bitskip.atomic_file import write_atomically
from bitskip.data.cache import cache_folder
from bitskip.errors import UserError
from bitskip.extras import installed
from bitskip.sweep.resources import Resources
from bitskip.trial.config import DataConfig, TrialConfig
from bitskip.trial.cost import Speed, assumed_speed, flops_per_step

STEPS = 4
"""The first one also allocates; the median of the others counts."""

CHEAP_SECONDS = 4.0
"""What calibration may cost unasked, at the assumed speed."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A measured speed: the seconds of one step of each trial tried, and whether they come from the cache."""

    speed: Speed
    step_seconds: tuple[float, ...]
    cached: bool


def calibrate(
    trials: Sequence[TrialConfig], resources: Resources, wanted: bool | None = None, cache: Path | None = None
) -> Calibration | None:
    """Measured on this machine or taken from the cache; None where neither is to be had.

    `wanted` None measures only what takes a few seconds, False nothing. A GPU trial is measured where torch sees a GPU.
    Raises UserError if a step fails, as for want of memory.
    """
    trials = [trial for trial in trials if trial.steps]  # a step is what is timed
    if not trials or (not wanted and not installed("torch")):
        return None
    costs = [(flops_per_step(trial), index) for index, trial in enumerate(trials)]
    chosen = dict.fromkeys(trials[index] for _, index in (min(costs), max(costs)))
    folder = cache_folder(cache) / "calibration"
    files = {trial: folder / f"{_shape(trial, resources)}.json" for trial in chosen}
    seconds = {trial: known for trial, file in files.items() if (known := _cached(file))}
    missing = [trial for trial in chosen if trial not in seconds]
    if missing and (wanted is False or (wanted is None and _dear(missing, resources)) or not _device_there(resources)):
        return None
    for trial in missing:
        seconds[trial] = _step_seconds(trial, resources)
        with contextlib.suppress(OSError):  # a plan is no less right for not being remembered
            write_atomically(files[trial], json.dumps({"step_seconds": seconds[trial]}))
    measured = tuple((flops_per_step(trial), flops_per_step(trial) / taken) for trial, taken in seconds.items())
    return Calibration(Speed(measured), tuple(seconds.values()), cached=not missing)


def _dear(trials: Sequence[TrialConfig], resources: Resources) -> bool:
    """Whether their steps would take longer than what is measured unasked."""
    steps = [flops_per_step(trial) for trial in trials]
    speed = assumed_speed(resources.cpus, resources.gpus)
    return STEPS * sum(flops / speed.at(flops) for flops in steps) > CHEAP_SECONDS


def _device_there(resources: Resources) -> bool:
    if not resources.gpus:
        return True
    import torch

    return torch.cuda.is_available()


def _shape(trial: TrialConfig, resources: Resources) -> str:
    """Name of what a step's time depends on: machine, versions, threads, sizes and techniques, not text and seed."""
    import importlib.metadata

    machine = [platform.node(), platform.machine(), os.cpu_count(), importlib.metadata.version("torch")]
    training = dataclasses.replace(trial.training, tokens=1, lr=0.0, warmup=0.0, min_lr=0.0)
    data = DataConfig(vocab_size=trial.data.vocab_size)
    alike = dataclasses.replace(trial, seed=0, training=training, data=data)
    shared = [resources.devices] if resources.devices > 1 else []
    content = [*machine, resources.cpus, resources.gpus, *shared, alike.canonical_json()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _cached(path: Path) -> float | None:
    try:
        return float(json.loads(path.read_text())["step_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _step_seconds(trial: TrialConfig, resources: Resources) -> float:
    """Median wall-clock of a training step, the first left aside. Raises UserError if the trial does not fit.

    Of several devices that of one with its share of the batch, what they tell each other left aside.
    """
    import torch

    from bitskip.training.trainer import steps_on_random_tokens

    threads = torch.get_num_threads()
    devices, kind = resources.devices, "cuda" if resources.gpus else "cpu"
    torch.set_num_threads(max(1, int(resources.cpus / devices)))
    share = dataclasses.replace(trial.training, batch_size=max(1, trial.training.batch_size // devices))
    try:
        steps = steps_on_random_tokens(dataclasses.replace(trial, training=share), kind, STEPS)
        ends = [time.perf_counter() for _ in steps]
    except (RuntimeError, MemoryError) as error:  # torch's out of memory is a RuntimeError
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"--calibrate: trial {trial.trial_id[:8]} cannot be trained here: {first}") from None
    finally:
        torch.set_num_threads(threads)
    return statistics.median(end - begin for begin, end in itertools.pairwise(ends))
