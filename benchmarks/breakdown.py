"""What a training step spends on matrix products and on attention, for ours and for the reference decoders, on the CPU.

Run: python benchmarks/breakdown.py [MODEL] [STEPS]    (default: nano, 30)
"""

from __future__ import annotations

import statistics
import sys
import warnings

import torch
from harness import hardware, interleaved
from torch.profiler import ProfilerActivity, profile
from training import SHAPES, decoders

PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm")
ATTENTION = "aten::_scaled_dot_product_"


def main() -> None:
    warnings.filterwarnings("ignore")
    preset, steps = (*sys.argv[1:], *("nano", "30")[len(sys.argv) - 1 :])
    works = decoders(preset, SHAPES[preset][0])
    times = interleaved(works, int(steps), warmup=3)
    print(hardware())
    print(
        f"{preset}, {steps} steps: milliseconds a step (median), products and attention as torch's profiler counts them"
    )
    print("| decoder | step | matrix products | attention | all else |", "| --- " * 5 + "|", sep="\n")
    for name, work in works.items():
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            for _ in range(int(steps)):
                work()
        spent = {event.key: event.self_cpu_time_total / 1e3 / int(steps) for event in seen.key_averages()}
        step = 1e3 * statistics.median(times[name])
        products = sum(spent.get(key, 0.0) for key in PRODUCTS)
        attention = sum(value for key, value in spent.items() if key.startswith(ATTENTION))
        shown = " | ".join(f"{value:.1f}" for value in (step, products, attention, step - products - attention))
        print(f"| {name} | {shown} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
