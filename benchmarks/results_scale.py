"""What a large sweep costs around its training: expanding the design, writing, reading, compacting, looking at it.

Run: python benchmarks/results_scale.py [TRIALS…]    (default: 1000 10000; the latter takes several minutes)

Trials are written with all four tables of a 6-block model, through the same code as a worker's, and merged while they
are written, as a sweep's driver does. Times are of one run; memory is the growth of this process's largest size.
"""

from __future__ import annotations

import datetime
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitskip import load_results, load_sweep
from bitskip.engine.status import Lookout
from bitskip.store.compaction import COMPACT_EVERY, compact_if_due
from bitskip.store.ledger import Ledger
from bitskip.store.tables import committed, write_trial
from bitskip.store.trial_columns import trial_columns
from bitskip.sweep.sweep_file import Sweep
from bitskip.trial.config import TrialConfig

SITES = ("q", "k", "v", "o", "gate", "up", "down", "block")
DESIGN = """
name: large
space:
  bits: [16, 8, 4, 6]
  hadamard: [none, bitnet-v2]
  dropout: [none, quadratic, linear]
  dropout_max: [0.1, 0.3]
  exit_weight: [0.0, 0.1, 0.3]
  phase: [2, 1+2]
  lr: [{rates}]
"""


def design(folder: Path, trials: int) -> Path:
    """A sweep file with a little more than so many distinct trials: 184 for each learning rate."""
    rates = ", ".join(f"{(at + 1) * 1e-4:.4f}" for at in range(math.ceil(trials / 184)))
    file = folder / "sweep.yaml"
    file.write_text(DESIGN.replace("{rates}", rates))
    return file


def rows_of(trial: TrialConfig) -> dict[str, Any]:
    """A trial's rows in every table, as many as a real one has."""
    loss = 3.0 + int(trial.trial_id[:4], 16) / 65536
    row = trial_columns(trial) | {
        "sweep": "large",
        "status": "ok",
        "loss": loss,
        "ppl": math.exp(loss),
        "train_seconds": 30.0,
        "eval_seconds": 2.0,
        "started_at": datetime.datetime.now(datetime.UTC),
    }
    depth = trial.model.layers
    exits = [{"exit_layer": e, "depth": depth, "loss": loss + 0.1 * (depth - e)} for e in range(1, depth + 1)]
    curves = [{"step": 50 * at, "tokens": 51_200 * at, "phase": "2", "val_loss": loss + 1 / at} for at in range(1, 9)]
    layers = [
        {"step": 100 * at, "layer": layer, "site": site, "kurtosis": 3 + loss / at, "snr_db": 20 + loss * layer}
        for at in range(1, 5)
        for layer in range(1, depth + 1)
        for site in SITES
    ]
    return {"row": row, "exits": exits, "curves": curves, "layers": layers}


def timed(what: str, act: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    found = act()
    print(f"  {what:<58} {time.perf_counter() - start:8.2f} s", flush=True)
    return found


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_all(sweep: Sweep, folder: Path, trials: int) -> tuple[float, float, float]:
    """Seconds spent writing and compacting, and the longest compaction."""
    writing = compacting = longest = 0.0
    for trial in sweep.trials[:trials]:
        rows = rows_of(trial)
        start = time.perf_counter()
        write_trial(folder, **rows)
        written = time.perf_counter()
        compact_if_due(folder)
        writing += written - start
        longest = max(longest, time.perf_counter() - written)
        compacting += time.perf_counter() - written
    return writing, compacting, longest


def measure(trials: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "results" / "large"
        folder.mkdir(parents=True)
        print(f"{trials:,} trials", flush=True)
        sweep = timed("expand the design", lambda: load_sweep(design(folder, trials)))
        before = megabytes()
        writing, compacting, longest = write_all(sweep, folder, trials)
        print(f"  write, {1000 * writing / trials:.1f} ms a trial {writing:>42.2f} s")
        print(f"  compact every {COMPACT_EVERY} trials, the longest {longest:.2f} s {compacting:>27.2f} s")
        print(f"  memory grown by, MB {megabytes() - before:>47.0f}")
        files = sum(1 for _ in folder.rglob("*.parquet"))
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        print(f"  files {files}, {size / 1e6:.1f} MB")
        assert len(timed("what is committed", lambda: committed(folder))) == trials
        assert len(timed("read everything", lambda: load_results(folder)).trials) == trials
        ledger = Ledger(folder)
        timed("read the ledger", ledger.refresh)
        lookout = Lookout(folder, sweep)
        timed("look at the sweep, the first time", lookout.look)
        timed("look at the sweep again", lookout.look)


def main() -> None:
    for trials in map(int, sys.argv[1:] or ("1000", "10000")):
        measure(trials)


if __name__ == "__main__":
    main()
