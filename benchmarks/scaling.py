"""(h): time of a training step and peak memory over width, depth, sequence length and vocabulary.

Each shape is measured in a process of its own; the ratio is to the first of its kind. Multiplications of the blocks and
the head, forward, stand beside it. Run: python benchmarks/scaling.py [--quick]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from harness import Row, device, hardware, seconds, table

STEPS = 5
SERIES: dict[str, list[dict[str, object]]] = {
    "width": [{"width": width, "ffn_width": 4 * width} for width in (64, 128, 256)],
    "depth": [{"layers": layers} for layers in (3, 6, 12)],
    "sequence": [{"seq_len": length, "batch_size": 1024 // length} for length in (64, 256, 512)],
    "vocabulary": [{"vocab_size": size} for size in (1024, 4096, 16384)],
}
SIZES = ("width", "ffn_width", "layers")


def measure(changes: dict[str, object]) -> dict[str, float]:
    """Median seconds of a step of V1, and the bytes that training added to the process (on a GPU: its peak)."""
    import torch

    from bitskip.engine.worker import _peak_memory, _reset_peak_memory
    from bitskip.training.trainer import steps_on_random_tokens
    from bitskip.trial.config import POINTS, make_trial

    torch.set_num_threads(1)
    names = {"vocab_size": "data.vocab_size"} | {name: f"model.{name}" for name in SIZES}
    axes = {names.get(name, name): value for name, value in changes.items()}
    trial = make_trial(**(POINTS["V1"] | {"dropout": "none", "model": "nano"} | axes))
    _reset_peak_memory(str(device()))
    before = _peak_memory(str(device()))
    steps = steps_on_random_tokens(trial, str(device()), STEPS + 2)
    next(steps)
    next(steps)
    times = [seconds(lambda: next(steps)) for _ in range(STEPS)]
    used = _peak_memory(str(device())) - before
    low, middle, high = statistics.quantiles(times, n=4)
    sizes = trial.model
    block = 2 * sizes.width**2 + 2 * sizes.width * sizes.kv_heads * sizes.head_width + 3 * sizes.width * sizes.ffn_width
    block += 2 * trial.training.seq_len * sizes.width
    work = sizes.layers * (block + sizes.width * trial.data.vocab_size)
    return {"low": low, "seconds": middle, "high": high, "bytes": float(used), "work": float(work)}


def rows(quick: bool) -> list[Row]:
    found = []
    for kind, points in SERIES.items():
        first: dict[str, float] | None = None
        for changes in points[:2] if quick else points:
            command = [sys.executable, str(Path(__file__)), "--shape", json.dumps(changes)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            point = json.loads(printed.splitlines()[-1])
            first = first or point
            shape = ", ".join(f"{name} {value}" for name, value in changes.items())
            time = [point[name] / first["seconds"] for name in ("seconds", "low", "high")]
            work = point["work"] / first["work"]
            note = f"multiplications × {work:.2f}; {1000 * point['seconds']:.0f} ms, {point['bytes'] / 2**20:.0f} MiB"
            found.append(Row(f"scaling: time over {kind}", f"nano V1, {shape}", *time, STEPS, "", note))
    return found


if __name__ == "__main__":
    if "--shape" in sys.argv:
        print(json.dumps(measure(json.loads(sys.argv[-1]))))
    else:
        print(hardware())
        print(table(rows("--quick" in sys.argv)))
