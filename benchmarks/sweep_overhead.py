"""What a trial costs beside its training and evaluation, in a sweep and in what people use instead.

Run: python benchmarks/sweep_overhead.py [--quick]

Overhead of a trial = (wall clock x slots - seconds inside training and evaluation) / trials, between a run of few
trials and one of many, so that starting the runtime is left out; that start is shown beside it. The same trials are run
by `bitskip sweep` with Ray and in one process, by a plain function trainable of Ray Tune, and by `bitskip train`s.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import Row, hardware, row

from bitskip import load_results, load_sweep
from bitskip.training.shared_prefix import shared_prefixes, trained_steps
from bitskip.trial.schedule import step_count

BITSKIP = Path(sys.executable).with_name("bitskip")
ROOT = Path(__file__).parent.parent
BASE = {
    "model": "{layers: 2, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}",
    "data": "{tokenizer: bytes}", "tokens": "20_000", "seq_len": "64", "batch_size": "4",
    "eval_tokens": "2_000", "curve_tokens": "1_000", "curve_points": "2", "diagnostic_points": "0",
}  # fmt: skip
FEW, MANY = (4, 12), (6, 46)
OURS, EACH = "bitskip sweep (Ray)", "a `bitskip train` process each"
PLAIN = """
import sys, time
from ray import tune
import ray
def train(config):
    from bitskip.trial.config import make_trial
    from bitskip.training.trainer import run_trial
    found = run_trial(make_trial(**config["axes"], seed=config["seed"]))
    tune.report({"inside": found.train_seconds + found.eval_seconds})
cores = int(sys.argv[3])
ray.init(address="local", num_cpus=cores, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
began = time.time()
axes = eval(sys.argv[1])
found = tune.Tuner(tune.with_resources(train, {"cpu": 1}),
    param_space={"axes": axes, "seed": tune.grid_search(list(range(int(sys.argv[2]))))},
    run_config=tune.RunConfig(storage_path=sys.argv[4], verbose=0)).fit()
print(sum(each.metrics["inside"] for each in found))
"""


def sweep(folder: Path, trials: int, executor: str) -> tuple[float, float]:
    """(wall seconds, seconds inside training and evaluation)."""
    file = folder / "overhead.yaml"
    base = ", ".join(f"{name}: {value}" for name, value in BASE.items())
    file.write_text(f"name: s{trials}\nbase: {{{base}}}\nspace: {{bits: [16]}}\nseeds: {trials}\n")
    results = folder / executor
    began = time.perf_counter()
    command = [str(BITSKIP), "sweep", str(file), "--results", str(results / str(trials)), "--executor", executor]
    subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - began
    rows = load_results(results / str(trials)).trials.to_pylist()
    assert len(rows) == trials
    return wall, sum(row["train_seconds"] + row["eval_seconds"] for row in rows)


def plain_tune(folder: Path, trials: int, slots: int) -> tuple[float, float]:
    axes = {
        "model": {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64},
        "data": {"tokenizer": "bytes"}, "tokens": 20_000, "seq_len": 64, "batch_size": 4,
        "eval_tokens": 2_000, "curve_tokens": 1_000, "curve_points": 2, "diagnostic_points": 0, "bits": 16,
    }  # fmt: skip
    began = time.perf_counter()
    command = [sys.executable, "-c", PLAIN, repr(axes), str(trials), str(slots), str(folder / f"tune{trials}")]
    quiet = os.environ | {"RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=quiet)
    return time.perf_counter() - began, float(done.stdout.split()[-1])


def processes(folder: Path, trials: int) -> tuple[float, float]:
    """One after another."""
    began = time.perf_counter()
    for seed in range(trials):
        settings = [f"--set={name}={value}" for name, value in {**BASE, "bits": "16", "seed": str(seed)}.items()]
        command = [str(BITSKIP), "train", "--no-save", *settings, "--results", str(folder / f"each{trials}")]
        subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - began
    rows = load_results(folder / f"each{trials}").trials.to_pylist()
    return wall, sum(row["train_seconds"] + row["eval_seconds"] for row in rows)


def overheads(few: int, many: int) -> dict[str, tuple[int, float, float, int]]:
    """Way of running trials to (how many at once, seconds of overhead a trial, seconds of its start, trials)."""
    slots = len(os.sched_getaffinity(0))
    found = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ways = {
            OURS: (slots, lambda n: sweep(folder, n, "ray")),
            "bitskip sweep --executor inline": (1, lambda n: sweep(folder, n, "inline")),
            "a function trainable of Ray Tune": (slots, lambda n: plain_tune(folder, n, slots)),
            EACH: (1, lambda n: processes(folder, n)),
        }
        for name, (at_once, run) in ways.items():
            most = few + 6 if name == EACH else many
            (short, inside_short), (long, inside_long) = run(few), run(most)
            each = ((long - short) * at_once - (inside_long - inside_short)) / (most - few)
            found[name] = at_once, each, short - (inside_short + each * few) / at_once, most
    return found


def rows(quick: bool) -> list[Row]:
    """(e) of the table."""
    few, many = FEW if quick else MANY
    rounds = [overheads(few, many) for _ in range(1 if quick else 2)]
    ours = [found[OURS][1] for found in rounds]
    return [
        row(f"overhead of a trial: {name} / {OURS}", f"{few} and {rounds[0][name][3]} trials", theirs, ours, note=note)
        for name in rounds[0]
        if name != OURS
        for theirs in [[found[name][1] for found in rounds]]
        for note in [f"{min(theirs):.2f} s and {min(ours):.2f} s"]
    ]


def main() -> None:
    few, many = FEW if "--quick" in sys.argv else MANY
    print(hardware(), end="\n\n")
    print("| what | slots | overhead of a trial, s | start, s | trials |\n| --- | --- | --- | --- | --- |")
    for name, (at_once, each, begun, most) in overheads(few, many).items():
        print(f"| {name} | {at_once} | {each:.2f} | {begun:.1f} | {few} and {most} |", flush=True)
    design = load_sweep(ROOT / "sweeps" / "full_grid.yaml")
    prefixes = shared_prefixes(design.trials)
    whole = sum(step_count(trial.training) for trial in design.trials)
    trained = trained_steps(design.trials, prefixes)
    naive = design.cells * step_count(design.trials[0].training)
    print(
        f"\nfull_grid: {naive:,} steps of all points, {whole:,} of the distinct trials, {trained:,} trained "
        f"({trained / naive:.0%})"
    )


if __name__ == "__main__":
    main()
