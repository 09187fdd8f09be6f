"""The predictor against what a user would pick instead, where the truth is known. For docs/prediction.md.

python benchmarks/predictor_peers.py [--draws N] [--first N] [--jobs N] [--only TEXT] [--no-peers] [--folder]

For every scenario of truths.py: mean error on the cells left out, in % of perplexity against the truth without noise;
the probability of a new seed's value to be inside the 90 % interval; half-width of these. Peers see the means of the cells: as
ranks of levels between 0 and 1 (process, trees) or as indicators (linear models). They need lightgbm beside the
packages of the `dev` extra.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import ndtr
from truths import SCENARIOS, Array, Draw, Space, draw

import bitskip
from bitskip import make_trial
from bitskip.errors import UserError
from bitskip.store.schema import arrow_schema
from bitskip.store.tables import Results
from bitskip.store.trial_columns import trial_columns

MOST_ASKED = 24
"""Left-out cells that are predicted in a draw."""

Peer = Callable[[Space, Array, Array, Array], Array]
"""(space, cells trained, their means, cells asked) to predictions."""


def ranks(space: Space, cells: Array) -> Array:
    return space.place[cells] / space.place.max(axis=0)


def indicators(space: Space, cells: Array, *, pairs: bool) -> Array:
    blocks = [np.eye(len(levels))[space.place[cells, at]][:, 1:] for at, levels in enumerate(space.factors.values())]
    products = [
        (one[:, :, None] * other[:, None, :]).reshape(len(cells), -1)
        for one, other in itertools.combinations(blocks, 2)
    ]
    return np.hstack([*blocks, *products]) if pairs else np.hstack(blocks)


def process(space: Space, trained: Array, values: Array, asked: Array) -> Array:
    """Gaussian process: Matern with a length of its own for every factor, by marginal likelihood."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    lengths = np.ones(len(space.factors))
    kernel = ConstantKernel(1.0) * Matern(lengths, (0.05, 100.0), nu=2.5) + WhiteKernel(0.01, (1e-6, 1.0))
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    model.fit(ranks(space, trained), values)
    return model.predict(ranks(space, asked))


def ridge(space: Space, trained: Array, values: Array, asked: Array) -> Array:
    """Ridge regression on indicators and their pairs, by cross-validation."""
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(np.logspace(-3, 3, 13)).fit(indicators(space, trained, pairs=True), values)
    return model.predict(indicators(space, asked, pairs=True))


def boosted(space: Space, trained: Array, values: Array, asked: Array) -> Array:
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(
        n_estimators=300, learning_rate=0.05, num_leaves=15, min_child_samples=3, n_jobs=1, verbose=-1
    )
    return np.asarray(model.fit(ranks(space, trained), values).predict(ranks(space, asked)))


def forest(space: Space, trained: Array, values: Array, asked: Array) -> Array:
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(200, random_state=0, n_jobs=1).fit(ranks(space, trained), values)
    return model.predict(ranks(space, asked))


def additive(space: Space, trained: Array, values: Array, asked: Array) -> Array:
    """Least squares on indicators; of equals the shortest solution."""
    columns = [np.hstack([np.ones((len(own), 1)), indicators(space, own, pairs=False)]) for own in (trained, asked)]
    return columns[1] @ np.linalg.lstsq(columns[0], values, rcond=None)[0]


def nearest(space: Space, trained: Array, values: Array, asked: Array) -> Array:
    """Mean of the cells that differ in fewest factors."""
    apart = (space.place[asked][:, None] != space.place[trained][None]).sum(axis=2)
    closest = apart == apart.min(axis=1, keepdims=True)
    return (closest * values).sum(axis=1) / closest.sum(axis=1)


PEERS: dict[str, Peer] = {
    "process": process,
    "ridge": ridge,
    "lightgbm": boosted,
    "forest": forest,
    "additive": additive,
    "nearest": nearest,
}


def percent(errors: Array) -> float:
    return 100 * float(np.mean(np.expm1(np.abs(errors))))


def asked_axes(space: Space, cell: int) -> dict[str, Any]:
    levels = zip(space.factors.values(), space.place[cell], strict=True)
    return {name: value for known, at in levels for name, value in known[at].items()}


def results_of(drawn: Draw, trained: Array, *, folder: bool) -> Results:
    """The trained cells' trials; by way of a results `folder` or not, they are the same."""
    rows = [
        {**asked_axes(drawn.space, cell), "seed": seed, "loss": float(loss)}
        for cell in trained
        for seed, loss in enumerate(drawn.losses[cell])
    ]
    if folder:
        with tempfile.TemporaryDirectory() as scratch:
            return bitskip.load_results(bitskip.save_results(rows, Path(scratch) / "grid").parent)
    found = []
    for row in rows:
        loss = row.pop("loss")
        columns = {name: value for name, value in trial_columns(make_trial(**row)).items() if value != ()}
        found.append(columns | {"status": "ok", "loss": loss, "ppl": math.exp(loss)})
    tables = {"trials": found, "exits": [], "curves": [], "layers": []}
    return Results(**{name: pa.Table.from_pylist(each, schema=arrow_schema(name)) for name, each in tables.items()})


def run(job: tuple[int, int, bool, bool]) -> dict[str, float]:
    place, number, with_peers, folder = job
    scenario = SCENARIOS[place]
    drawn = draw(scenario, number)
    source = np.random.default_rng(number)
    trained, asked = np.flatnonzero(~drawn.left_out), np.flatnonzero(drawn.left_out)
    asked = np.sort(source.choice(asked, min(MOST_ASKED, len(asked)), replace=False))
    values, truth = drawn.losses[trained].mean(axis=1), drawn.truth[asked]
    row: dict[str, float] = {}
    if with_peers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, peer in PEERS.items():
                row[name] = percent(peer(drawn.space, trained, values, asked) - truth)
    results = results_of(drawn, trained, folder=folder)
    start = time.perf_counter()
    predictor = bitskip.fit_predictor(results)
    predictor.model  # noqa: B018 -- fits
    row["fit s"] = time.perf_counter() - start
    means, inside, halves, tiers = [], [], [], []
    new_mean, new_sd = drawn.new_seed
    for cell in asked:
        try:
            found = predictor.predict(**asked_axes(drawn.space, cell))
        except UserError:
            tiers.append("refused")
            means.append(math.nan)
            continue
        means.append(math.log(found.mean))
        ends = (np.log([found.low, found.high]) - new_mean[cell]) / new_sd[cell]
        inside.append(float(np.diff(ndtr(ends))[0]))
        halves.append(50 * math.log(found.high / found.low))
        tiers.append(found.tier)
    row["bitskip"] = percent(np.array(means) - truth)
    row["coverage"], row["half-width"] = float(np.mean(inside)), float(np.median(halves))
    for tier in set(tiers):
        row[f"tier {tier}"] = tiers.count(tier) / len(tiers)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=24)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--folder", action="store_true", help="store the trials and load them, which takes long")
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    chosen = [scenario for scenario in SCENARIOS if options.only in scenario.name]
    summary: list[dict[str, float]] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for scenario in chosen:
            jobs = [
                (SCENARIOS.index(scenario), number, not options.no_peers, options.folder)
                for number in range(options.first, options.first + options.draws)
            ]
            rows = list(pool.map(run, jobs, chunksize=4))
            row = {
                name: float(np.mean([each.get(name, 0.0) for each in rows]))
                for name in dict.fromkeys(k for r in rows for k in r)
            }
            if "tier outside" not in row:
                summary.append(row)
            best = min((row[name], name) for name in PEERS) if not options.no_peers else (math.nan, "")
            tiers = ", ".join(f"{k[5:]} {v:.0%}" for k, v in row.items() if k.startswith("tier"))
            parts = [
                f"{scenario.name:<52} bitskip {row['bitskip']:5.2f}  best {best[0]:5.2f} {best[1]:<9}",
                f"ratio {row['bitskip'] / best[0]:4.2f}  coverage {row['coverage']:.3f}",
                f"half-width {row['half-width']:4.1f}  fit {row['fit s']:.2f} s  {tiers}",
            ]
            print("  ".join(parts), flush=True)
    for name in ("bitskip", *PEERS, "coverage", "half-width", "fit s"):
        if summary and name in summary[0]:
            print(f"mean {name:<12} {np.mean([row[name] for row in summary]):.3f}")


if __name__ == "__main__":
    main()
