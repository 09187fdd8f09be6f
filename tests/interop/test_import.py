"""Tables of other people's runs: imported, they answer as trials of bitskip's own do; what cannot be is named."""

from __future__ import annotations

import csv
import itertools
import json
import math
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitskip
from bitskip.errors import UserError
from bitskip.interop.import_results import Imported, import_results
from bitskip.store.foreign_metric import MEASURES
from bitskip.techniques import registry
from bitskip.techniques.free_factors import Factor

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm_pruner.csv"


def forget_factors() -> None:
    """As in a new process."""
    registry._named.clear()
    registry.Table.clear()
    MEASURES.clear()


def ablation(seeds: int = 3) -> list[dict[str, Any]]:
    """rank x optimizer with 0.05 nats between rank 16 and lion; noise of the seed, and a little own."""
    cells = itertools.product((0, 4, 16), ("adamw", "lion"), range(seeds))
    return [
        {"rank": rank, "optimizer": optimizer, "run": seed,
         "loss": 3.0 - 0.01 * rank + 0.1 * (optimizer == "lion") + 0.05 * (optimizer == "lion" and rank == 16)
         + 0.01 * seed + 0.001 * math.sin(7 * rank + seed * len(optimizer))}
        for rank, optimizer, seed in cells
    ]  # fmt: skip


def written(rows: list[dict[str, Any]], path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def imported(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> Imported:
    return import_results(written(rows, tmp_path / "ab.csv"), tmp_path / "results", "loss", **options)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_effects_are_those_of_the_table(tmp_path: Path, ending: str) -> None:
    rows = ablation()
    found = import_results(written(rows, tmp_path / f"ab{ending}"), tmp_path / "results", "loss", seed="run")
    assert found.factors == {Factor("rank", 0.0): [0, 4, 16], Factor("optimizer", "adamw"): ["adamw", "lion"]}
    forget_factors()
    results = bitskip.load_results(tmp_path / "results")
    effects = {(e.techniques, e.estimand): e for e in bitskip.composition_effects(results)}
    by_hand = [
        sum(sign * row["loss"] for row in rows for rank, optimizer, sign in
            ((16, "lion", 1), (16, "adamw", -1), (0, "lion", -1), (0, "adamw", 1))
            if (row["rank"], row["optimizer"], row["run"]) == (rank, optimizer, seed))
        for seed in range(3)
    ]  # fmt: skip
    effect = effects[("optimizer lion", "rank 16"), "anchored"]
    assert effect.value == pytest.approx(sum(by_hand) / 3)
    assert effect.verdict == "super-additive"
    assert effect.rates == ""
    assert effect.low <= 0.05 <= effect.high


def test_predictions_lie_between_measured_numbers(tmp_path: Path) -> None:
    imported(tmp_path, ablation(), seed="run")
    predictor = bitskip.fit_predictor(bitskip.load_results(tmp_path / "results"))
    ends = [predictor.predict(rank=rank, optimizer="lion").mean for rank in (4, 16)]
    between = predictor.predict(rank=8, optimizer="lion")
    assert min(ends) < between.mean < max(ends)
    assert between.scale.mark == "scale not known"
    assert between.scale.steps is None


names = st.text("abcdefghij", min_size=1, max_size=6).filter(lambda name: name not in ("id",))
numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
levels = st.one_of(
    st.lists(numbers, min_size=2, max_size=3, unique=True),
    st.lists(st.integers(-50, 50), min_size=2, max_size=3, unique=True),
    st.just([False, True]),
    st.lists(names, min_size=2, max_size=3, unique=True),
)


@settings(max_examples=25, deadline=None)
@given(
    space=st.dictionaries(names.map("f_{}".format), levels, min_size=1, max_size=3),
    seeds=st.integers(1, 2),
    ending=st.sampled_from([".csv", ".jsonl", ".parquet"]),
    shift=st.floats(0.1, 10),
)
def test_every_row_comes_back(space: dict[str, list[Any]], seeds: int, ending: str, shift: float) -> None:
    cells = itertools.product(*space.values(), range(seeds))
    rows = [{**dict(zip([*space, "seed"], cell, strict=True)), "loss": shift + at} for at, cell in enumerate(cells)]
    forget_factors()
    with tempfile.TemporaryDirectory() as folder:
        path = written(rows, Path(folder) / f"t{ending}")
        found = import_results(path, Path(folder), "loss", seed="seed")
        forget_factors()
        stored = bitskip.load_results(found.folder).trials.select([*space, "seed", "loss"]).to_pylist()
    as_set = {tuple(sorted(row.items())) for row in stored}
    assert as_set == {tuple(sorted(row.items())) for row in rows}


def test_a_public_table_is_reported_with_what_its_replicates_allow(tmp_path: Path) -> None:
    found = import_results(
        EXAMPLE, tmp_path, "wikitext2_ppl", unit="perplexity",
        baselines={"checkpoint": "Llama-3", "sequence_length": "2048"},
    )  # fmt: skip
    effects = bitskip.composition_effects(bitskip.load_results(found.folder))
    pair = ("checkpoint Llama-3-Instruct", "pruning L2")
    (effect,) = (e for e in effects if e.techniques == pair and e.estimand == "anchored")
    assert effect.value == pytest.approx(math.log(45.63 / 34.13) - math.log(8.28 / 6.14))
    assert effect.low is None
    assert effect.verdict == "unresolved"


def test_sizes_and_tokens_make_a_ladder(tmp_path: Path) -> None:
    rows = [
        {"params": size, "budget": 20 * size, "rotated": rotated, "seed": seed,
         "loss": 2.0 + (1e6 / size) ** 0.3 + 0.1 * rotated * (1e6 / size) ** 0.2 + 0.01 * seed
         + 0.001 * math.sin(size + 3 * seed + rotated)}
        for size in (1_000_000, 4_000_000, 16_000_000, 64_000_000, 256_000_000)
        for rotated in (False, True) for seed in range(3)
    ]  # fmt: skip
    imported(tmp_path, rows, seed="seed", mapping={"params": "model.parameters", "budget": "tokens"})
    results = bitskip.load_results(tmp_path / "results")
    assert set(results.trials["tokens_per_parameter"].to_pylist()) == {20.0}
    far = bitskip.fit_scaling(results).contrast(("rotated", True), parameters=5e8, tokens=1e10)
    assert far.mean == pytest.approx(0.1 * (1e6 / 5e8) ** 0.2, abs=0.02)
    assert {effect.stratum.split(",")[0] for effect in bitskip.main_effects(results)} == {
        "1 000 000 parameters", "4 000 000 parameters", "16 000 000 parameters", "64 000 000 parameters",
        "256 000 000 parameters",
    }  # fmt: skip


def test_runs_that_failed_are_counted_and_never_averaged(tmp_path: Path) -> None:
    rows = ablation()
    rows[0]["loss"], rows[1]["loss"] = math.nan, None
    found = imported(tmp_path, rows, seed="run")
    statuses = bitskip.load_results(found.folder).trials["status"].to_pylist()
    assert found.failed == 2
    assert (statuses.count("diverged"), statuses.count("error")) == (1, 1)


def test_an_export_of_mlflow_says_itself_what_was_set(tmp_path: Path) -> None:
    rows = [
        {"run_id": f"r{at}", "params.lora-rank": row["rank"], "params.optim": row["optimizer"],
         "params.seed": row["run"], "metrics.loss": row["loss"], "start_time": f"2026-01-01 00:{at:02}"}
        for at, row in enumerate(ablation())
    ]  # fmt: skip
    found = import_results(written(rows, tmp_path / "ml.csv"), tmp_path, "loss", seed="seed")
    assert [factor.name for factor in found.factors] == ["lora_rank", "optim"]
    assert set(found.left_out) == {"run_id", "start_time"}


def test_an_export_of_wandb_is_read_without_what_tells_of_its_runs(tmp_path: Path) -> None:
    rows = [
        {"Name": f"run-{at}", "State": "finished", "Created": f"2026-01-01T00:{at:02}", "optimizer": row["optimizer"],
         "rank": row["rank"], "delay (ms)": at % 2, "trial": row["run"], "loss": row["loss"]}
        for at, row in enumerate(ablation())
    ]  # fmt: skip
    found = import_results(
        written(rows, tmp_path / "wb.csv"), tmp_path, "loss", seed="trial", mapping={"rank": "lora_rank"}
    )
    assert list(found.factors) == [Factor("optimizer", "adamw"), Factor("lora_rank", 0.0), Factor("delay", 0.0, "ms")]


def test_an_empty_cell_is_the_baseline_where_it_is_said(tmp_path: Path) -> None:
    rows = [row | {"rank": row["rank"] or None} for row in ablation()]
    with pytest.raises(UserError, match=r"row 1: rank is empty; fill it in, or .* --baseline rank=VALUE"):
        imported(tmp_path, rows, seed="run")
    found = imported(tmp_path, rows, seed="run", baselines={"rank": "0"})
    assert found.factors[Factor("rank", 0.0)] == [0, 4, 16]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"metric": "los"}, r"--metric los: .* did you mean 'loss'"),
        ({}, {"seed": "rum"}, r"--seed rum: .* did you mean 'run'"),
        ({}, {"mapping": {"rnk": "r"}}, r"--map rnk: .* did you mean 'rank'"),
        ({}, {"baselines": {"ranks": "0"}}, "--baseline ranks: no factor of that name; did you mean 'rank'"),
        ({}, {"baselines": {"rank": "none"}}, "--baseline rank=none: the column holds numbers"),
        (
            {},
            {"seed": None, "only": ["rank", "optimizer"]},
            "rows 1 and 2 are alike in every axis and the seed: .* --seed COLUMN",
        ),
        ({"run": [0]}, {}, "rows 1 and 2 are alike in every axis and the seed: give each its own"),
        ({"loss": ["3,1"]}, {}, "row 1: loss is no number but '3,1'"),
        ({"loss": [-1.0]}, {"unit": "perplexity"}, "row 1: loss is -1.0, and a perplexity is above 0"),
        ({}, {"unit": "bit"}, "--unit: 'bit' is not one of .* did you mean 'bits'"),
        ({"lr": [1, 2]}, {"only": ["lr"]}, "column 'lr' is called as an axis of bitskip"),
        ({"note": ["x"]}, {"only": ["note"]}, "column 'note' has one value, 'x', in all rows"),
        ({"sweep": ["x", "y"]}, {}, "'sweep' is a column of bitskip's results: rename it with --map"),
        ({}, {"mapping": {"rank": "bits"}}, "bits: 0 is not one of"),
        ({}, {"mapping": {"rank": "tokens"}}, "a scale is both model.parameters and tokens"),
        ({}, {"mapping": {"rank": "a b"}}, "'a b' is no name of a factor"),
        ({}, {"only": ["loss"]}, "column 'loss' is the metric or the seed"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_and_nothing_stored(
    tmp_path: Path, change: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    rows = [
        row | {name: values[at % len(values)] for name, values in change.items()} for at, row in enumerate(ablation())
    ]
    path = written(rows, tmp_path / "ab.csv")
    given = {"metric": "loss", "seed": "run"} | options
    with pytest.raises(UserError, match=message):
        import_results(path, tmp_path / "results", given.pop("metric"), **given)
    assert not list(tmp_path.glob("results/*/*"))


def test_names_of_runs_are_no_factor(tmp_path: Path) -> None:
    rows = [row | {"label": f"run {at}"} for at, row in enumerate(ablation())]
    with pytest.raises(UserError, match="column 'label' has another value in every row"):
        imported(tmp_path, rows, seed="run")
    imported(tmp_path, rows, seed="run", only=["rank", "optimizer"])
    with pytest.raises(UserError, match="there are results already"):
        imported(tmp_path, rows, seed="run", only=["rank", "optimizer"])


def test_results_without_their_factors_are_refused(tmp_path: Path) -> None:
    found = imported(tmp_path, ablation(), seed="run")
    forget_factors()
    (found.folder / "sweep.yaml").unlink()
    with pytest.raises(UserError, match="15 trials have techniques of factor optimizer, factor rank, which is not"):
        bitskip.load_results(found.folder)


def test_a_trial_brings_its_factors_into_another_process(tmp_path: Path) -> None:
    imported(tmp_path, ablation(), seed="run")
    trial = bitskip.make_trial(rank=4, optimizer="lion")
    packed, trial_id = pickle.dumps(trial), trial.trial_id
    forget_factors()
    found = pickle.loads(packed)
    assert found.trial_id == trial_id
    assert found["rank"] == 4
    assert found.elsewhere
    with pytest.raises(UserError, match="rank is declared twice"):
        registry.declare_factors([Factor("rank", 1.0)])


def test_bitskip_trains_no_factor_that_it_does_not_know(tmp_path: Path) -> None:
    imported(tmp_path, ablation(), seed="run")
    with pytest.raises(UserError, match="rank: not an axis that bitskip trains"):
        bitskip.run_trial(bitskip.make_trial(rank=4))


def test_from_a_table_to_the_next_trials(tmp_path: Path) -> None:
    """Through the command: import, report, predict, suggest."""
    written(ablation(), tmp_path / "ab.csv")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bitskip", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    first = run("import", "ab.csv", "--metric", "loss", "--seed", "run")
    assert first.returncode == 0, first.stderr
    assert "factor rank: 0, 4, 16; baseline 0" in first.stdout
    report = run("report", "results/ab")
    assert "rank 16" in report.stdout
    assert "scale not known" in report.stdout
    assert "undertrained" not in report.stdout
    assert "lr" not in report.stdout
    for _ in range(2):  # the second answer is from what the first one kept
        answer = json.loads(run("predict", "--set", "rank=8", "--set", "optimizer=lion", "--json").stdout)
        assert answer["tier"] == "between levels"
    chosen = run("suggest", "-n", "2")
    assert chosen.returncode == 0, chosen.stderr
    assert "factors:\n  rank: 0\n  optimizer: adamw\n" in (tmp_path / "suggested.yaml").read_text()
    refused = run("sweep", "suggested.yaml")
    assert refused.returncode == 2
    assert "not an axis that bitskip trains" in refused.stderr
