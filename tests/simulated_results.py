"""Results tables with known truth, built without training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from bitskip.store.schema import arrow_schema
from bitskip.store.tables import Results
from bitskip.store.trial_columns import trial_columns
from bitskip.trial.config import TrialConfig, make_trial

VECTOR_FIELDS = ("loss", "ppl", "bpb")


def trial_row(trial: TrialConfig, loss: float | None, **extra: Any) -> dict[str, Any]:
    of_trial = trial_columns(trial)
    of_trial["data_files"] = list(of_trial["data_files"])
    row = {
        "sweep": "simulated",
        "artefact": False,
        "status": "ok",
        "loss": loss,
        "ppl": None if loss is None else math.exp(loss),
        "bpb": None if loss is None else loss / math.log(2) / 4,
        "weight_bytes": 1000,
        "train_seconds": 2.0,
        "tokens_per_second": 5e3,
        "host": "here",
        "device": "cpu",
    }
    return of_trial | row | extra


def exit_rows(trial: TrialConfig, loss: float) -> list[dict[str, Any]]:
    """Losses that fall with depth and speed gains L / E - 1."""
    depth = trial.model.layers
    return [
        {
            "trial_id": trial.trial_id,
            "exit_layer": layer,
            "depth": depth,
            "loss": loss + 0.02 * (depth - layer),
            "ppl": math.exp(loss + 0.02 * (depth - layer)),
            "bpb": loss / math.log(2) / 4,
            "agreement": layer / depth,
            "speed_gain": depth / layer - 1,
            "speed_gain_spread": 0.01,
        }
        for layer in range(1, depth + 1)
    ]


def results_from(rows: Sequence[Mapping[str, Any]], exits: Sequence[Mapping[str, Any]] = ()) -> Results:
    tables = {"trials": rows, "exits": exits, "curves": [], "layers": []}
    return Results(**{n: pa.Table.from_pylist(list(r), schema=arrow_schema(n)) for n, r in tables.items()})


def grid(**levels: Iterable[Any]) -> list[TrialConfig]:
    """Distinct canonical configurations of a full crossing."""
    crossed = itertools.product(*levels.values())
    trials = [make_trial(**dict(zip(levels, values, strict=True))) for values in crossed]
    return list({trial.trial_id: trial for trial in trials}.values())


def simulate(
    configurations: Sequence[TrialConfig],
    truth: Callable[[TrialConfig], float],
    seeds: int = 2,
    sigma: float = 0.02,
    shift: float = 0.03,
    random: int = 0,
) -> Results:
    """Loss = truth + shared seed shift + noise."""
    source = np.random.default_rng(random)
    shifts = source.normal(0, shift, seeds)
    rows, exits = [], []
    for configuration in configurations:
        axes = {n: v for n, v in configuration.axes().items() if n not in ("seed", "model", "data")}
        for seed in range(seeds):
            trial = make_trial(**axes, seed=seed)
            loss = truth(configuration) + shifts[seed] + source.normal(0, sigma)
            rows.append(trial_row(trial, float(loss)))
            exits += exit_rows(trial, float(loss))
    return results_from(rows, exits)


def simulate_failures(
    configurations: Sequence[TrialConfig], risk: Callable[[TrialConfig], float], seeds: int = 4, random: int = 0
) -> Results:
    """Trials that diverge with the risk of their configuration."""
    source = np.random.default_rng(random)
    rows = []
    for configuration in configurations:
        axes = {n: v for n, v in configuration.axes().items() if n not in ("seed", "model", "data")}
        for seed in range(seeds):
            failed = source.random() < risk(configuration)
            loss, status = (None, "diverged") if failed else (4.0, "ok")
            rows.append(trial_row(make_trial(**axes, seed=seed), loss, status=status))
    return results_from(rows)


def corner_risk(trial: TrialConfig) -> float:
    """Rotation at 4 bits fails, little else does."""
    return 0.9 if trial["bits"] == 4 and trial["hadamard"] != "none" else 0.02


FULL_GRID: dict[str, Sequence[Any]] = {
    "bits": (16, 8, 4),
    "hadamard": ("none", "bitnet-v2"),
    "dropout": ("none", "linear", "quadratic"),
    "dropout_max": (0.2, 0.5),
    "exit_weight": (0.0, 0.1, 0.3),
}


def single_effects(trial: TrialConfig) -> float:
    """Additive truth."""
    method = trial
    rate = 0.0 if method["dropout"] == "none" else method["dropout_max"]
    return (
        4.0
        + {16: 0.0, 8: 0.08, 4: 0.20}[method["bits"]]
        + 0.05 * (method["hadamard"] != "none")
        + 0.3 * rate
        + 0.2 * method["exit_weight"]
    )


def with_interactions(trial: TrialConfig) -> float:
    """Additive truth, Hadamard that helps 4 bits, dropout that hurts with exits and with 4 bits."""
    method = trial
    rate = 0.0 if method["dropout"] == "none" else method["dropout_max"]
    rotated = method["hadamard"] != "none"
    return (
        single_effects(trial)
        - 0.15 * (rotated and method["bits"] == 4)
        + 0.6 * rate * method["exit_weight"]
        + 0.25 * rate * (method["bits"] == 4)
    )
