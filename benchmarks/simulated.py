"""Results of a large grid that never ran: smooth perplexities with noise, for benchmarks of what reads them."""

from __future__ import annotations

import datetime
import itertools
import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bitskip import make_trial
from bitskip.store.parquet_files import COMPACT_PREFIX
from bitskip.store.schema import arrow_schema
from bitskip.store.trial_columns import trial_columns

SEEDS, LAYERS = 3, 6
AXES = {
    "bits": (16, 8, 6, 4),
    "hadamard": ("none", "bitnet-v2", "random-sign"),
    "dropout": ("linear", "quadratic"),
    "dropout_max": (0.0, 0.2, 0.5),
    "exit_weight": (0.0, 0.1, 0.2, 0.3),
    "exit_scale": ("proportional", "uniform"),
}


def simulated(folder: Path, rates: int = 1) -> int:
    """Write 1,260 trials for each of so many learning rates, merged as a sweep's end does; returns their number."""
    source = random.Random(0)
    trials: dict[str, dict[str, Any]] = {}
    for *values, rate in itertools.product(*AXES.values(), range(rates)):
        for seed in range(SEEDS):
            trial = make_trial(**dict(zip(AXES, values, strict=True)), lr=(rate + 1) * 1e-3, seed=seed)
            if trial.trial_id in trials:
                continue
            method = trial
            damage = 0.0 if method["bits"] == 16 else math.exp(-method["bits"] / 2.2)
            loss = 3 + damage * (1 - 0.4 * (method["hadamard"] != "none")) + 0.2 * method["exit_weight"] + 0.01 * rate
            loss += source.gauss(0, 0.02)
            trials[trial.trial_id] = trial_columns(trial) | {
                "sweep": "simulated",
                "status": "ok",
                "loss": loss,
                "ppl": math.exp(loss),
                "bpb": loss,
                "started_at": datetime.datetime.now(datetime.UTC),
            }
    exits = [
        {"trial_id": key, "exit_layer": layer, "depth": LAYERS, "loss": row["loss"], "ppl": row["ppl"]}
        for key, row in trials.items()
        for layer in range(1, LAYERS + 1)
    ]
    for name, rows in (("exits", exits), ("trials", list(trials.values()))):
        (folder / name).mkdir(parents=True)
        table = pa.Table.from_pylist(rows, arrow_schema(name))
        pq.write_table(table, folder / name / f"{COMPACT_PREFIX}000001-simulated.parquet")
    return len(trials)
