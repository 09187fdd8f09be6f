"""The results tables: durable parts, merging, compaction, and what other tools and older files make of them."""

from __future__ import annotations

import itertools
import math
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from simulated_results import exit_rows, trial_row

from bitskip import atomic_file
from bitskip.errors import UserError
from bitskip.store.compaction import compact
from bitskip.store.schema import VERSION_KEY, arrow_schema
from bitskip.store.tables import committed, committed_anywhere, load_results, write_trial
from bitskip.trial.config import AXES, TrialConfig, make_trial

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TABLES = ("trials", "exits", "curves", "layers")


def trial(seed: int = 0) -> TrialConfig:
    return make_trial(bits=8, seed=seed)


def store(folder: Path, seed: int = 0, loss: float | None = 3.0, hours: int = 0, **extra: Any) -> str:
    """One trial with rows in every table; returns its id."""
    one = trial(seed)
    row = trial_row(one, loss, started_at=NOON + timedelta(hours=hours), **extra)
    curve = [{"step": step, "tokens": 10 * step, "phase": "2", "val_loss": loss} for step in (1, 2)]
    layers = [{"step": 2, "layer": 0, "site": "q", "snr_db": 20.0, "weight_flips": 7}]
    write_trial(folder, row, exit_rows(one, loss or 0.0), curve, layers)
    return one.trial_id


def contents(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every table as rows in a fixed order."""
    found = load_results(path)
    return {name: sorted(getattr(found, name).to_pylist(), key=repr) for name in TABLES}


def rewrite(path: Path, change: Any) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def with_version(table: pa.Table, version: str) -> pa.Table:
    return table.replace_schema_metadata({VERSION_KEY: version})


# Writing


def test_rows_come_back_as_written(tmp_path):
    key = store(tmp_path, loss=3.25, sweep="one", point="V1", reason=None, tokens_trained=1024)
    found = load_results(tmp_path)
    row = found.trials.to_pylist()[0]
    assert (row["trial_id"], row["loss"], row["point"], row["reason"]) == (key, 3.25, "V1", None)
    assert row["started_at"] == NOON
    assert {c: row[c] for c in ("bits", "model", "model_layers", "data_files", "phase")} == {
        "bits": 8, "model": "nano", "model_layers": 6, "data_files": [], "phase": "1",
    }  # fmt: skip
    expected = exit_rows(trial(), 3.25)
    assert [{k: v for k, v in r.items() if k in expected[0]} for r in found.exits.to_pylist()] == expected
    assert found.curves["step"].to_pylist() == [1, 2]
    assert found.layers["weight_flips"].to_pylist() == [7]
    assert found.problems == []


def test_files_have_the_schema_whatever_the_rows_hold(tmp_path):
    store(tmp_path, loss=None, status="diverged")
    for name in TABLES:
        (part,) = (tmp_path / name).iterdir()
        stored = pq.ParquetFile(part)
        assert stored.schema_arrow.equals(arrow_schema(name))
        assert stored.schema_arrow.metadata[VERSION_KEY] == b"1"
        assert stored.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf")])
def test_a_missing_number_is_null_never_nan(tmp_path, missing):
    one = trial()
    write_trial(tmp_path, trial_row(one, None) | {"loss": missing}, curves=[{"step": 1, "val_loss": missing}])
    found = load_results(tmp_path)
    assert found.trials["loss"].to_pylist() == [None]
    assert found.curves["val_loss"].to_pylist() == [None]
    for table in TABLES:
        for column in pq.read_table(tmp_path / table).columns:
            if pa.types.is_floating(column.type):
                assert not any(v is not None and math.isnan(v) for v in column.to_pylist())


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_column_is_refused_and_nothing_is_written(tmp_path, table):
    rows: dict[str, Any] = {"row": trial_row(trial(), 3.0)}
    if table == "trials":
        rows["row"]["lossy"] = 1.0
    else:
        rows[table] = [{"lossy": 1.0}]
    with pytest.raises(KeyError, match=f"no column in {table} for .'lossy'."):
        write_trial(tmp_path, **rows)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_retry_replaces_the_failed_attempt(tmp_path):
    key = store(tmp_path, loss=None, status="error", reason="out of memory")
    assert committed(tmp_path) == {key: "error"}
    store(tmp_path, loss=3.0, hours=1)
    assert committed(tmp_path) == {key: "ok"}
    assert load_results(tmp_path).exits["loss"].to_pylist()[-1] == 3.0
    assert len(list((tmp_path / "trials").iterdir())) == 1


def test_nothing_but_parts_lies_among_the_parts(tmp_path):
    store(tmp_path)
    compact(tmp_path)
    store(tmp_path, seed=1)
    for name in TABLES:
        assert {path.suffix for path in (tmp_path / name).iterdir()} == {".parquet"}
    assert not list((tmp_path / ".tmp").iterdir())


# Crashes and bad files


def test_the_trials_part_is_renamed_into_place_last(tmp_path, monkeypatch):
    order = []
    replace = atomic_file.os.replace
    monkeypatch.setattr(atomic_file.os, "replace", lambda a, b: (order.append(Path(b).parent.name), replace(a, b)))
    store(tmp_path)
    assert sorted(order[:3]) == ["curves", "exits", "layers"]
    assert order[3:] == ["trials"]


@pytest.mark.parametrize("crash_at", [1, 2, 3, 4])
def test_a_crash_while_writing_leaves_no_trial_behind(tmp_path, monkeypatch, crash_at):
    kept = store(tmp_path, seed=1)
    before = contents(tmp_path)
    calls = itertools.count(1)
    replace = atomic_file.os.replace

    def crashing(source: Path, target: Path) -> None:
        if next(calls) == crash_at:
            raise OSError("killed")
        replace(source, target)

    monkeypatch.setattr(atomic_file.os, "replace", crashing)
    with pytest.raises(OSError, match="killed"):
        store(tmp_path, seed=2)
    assert contents(tmp_path) == before
    assert committed(tmp_path) == {kept: "ok"}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "unreadable"),
        (lambda path: path.write_bytes(b""), "unreadable"),
        (lambda path: path.write_text("not a table"), "unreadable"),
        (
            lambda path: rewrite(path, lambda t: t.replace_schema_metadata(None).drop_columns("trial_id")),
            "not written by",
        ),
        (lambda path: rewrite(path, lambda t: with_version(t, "2")), "schema version 2 is newer"),
        (lambda path: rewrite(path, lambda t: with_version(t, "x")), "unreadable"),
        (lambda path: rewrite(path, lambda t: t.set_column(0, "step", [["?"] * len(t)])), "unreadable"),
    ],
)
@pytest.mark.parametrize("table", ["trials", "curves"])
def test_a_bad_file_is_named_and_the_rest_is_read(tmp_path, table, damage, reason):
    bad, good = store(tmp_path, seed=0), store(tmp_path, seed=1)
    path = tmp_path / table / f"{bad}.parquet"
    if table == "trials" and reason == "unreadable":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        damage(path)
    found = load_results(tmp_path)
    assert len(found.problems) == 1
    assert str(path) in found.problems[0]
    assert reason in found.problems[0]
    assert "\n" not in found.problems[0]
    assert set(getattr(found, table)["trial_id"].to_pylist()) == {good}
    if table == "trials":
        assert set(found.exits["trial_id"].to_pylist()) == {good}
        assert committed(tmp_path) == {good: "ok"}


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.write_text("x"), "is a file, not a results folder"),
        (lambda path: path.mkdir(), "not a results folder, there is no trials/"),
    ],
)
def test_a_path_without_results_is_a_user_error_with_the_cure(tmp_path, prepare, message):
    path = tmp_path / "results"
    prepare(path)
    with pytest.raises(UserError, match=message):
        load_results(path)
    assert committed(path) == {}


def test_results_without_a_row_load_as_empty_tables(tmp_path):
    (tmp_path / "s" / "trials").mkdir(parents=True)
    found = load_results(tmp_path)
    for name in TABLES:
        assert getattr(found, name).num_rows == 0
        assert getattr(found, name).schema.equals(arrow_schema(name))
    assert compact(tmp_path / "s") == 0


def test_an_older_file_gets_defaults_for_axes_and_nulls_for_the_rest(tmp_path):
    old, new = store(tmp_path, seed=0), store(tmp_path, seed=1)
    dropped = ["exit_head", "threads", "data_files", "lr"]
    rewrite(tmp_path / "trials" / f"{old}.parquet", lambda t: with_version(t.drop_columns(dropped), "1"))
    rows = {row["trial_id"]: row for row in load_results(tmp_path).trials.to_pylist()}
    assert [rows[old][name] for name in dropped] == ["shared", None, [], AXES["lr"].default]
    assert set(rows) == {old, new}


def test_columns_are_found_by_name_and_cast(tmp_path):
    key = store(tmp_path)

    def change(table: pa.Table) -> pa.Table:
        reordered = table.select(table.column_names[::-1])
        index = reordered.column_names.index("bits")
        return with_version(reordered.set_column(index, "bits", reordered["bits"].cast(pa.int32())), "1")

    rewrite(tmp_path / "trials" / f"{key}.parquet", change)
    assert load_results(tmp_path).trials.schema.equals(arrow_schema("trials"))
    assert load_results(tmp_path).trials["bits"].to_pylist() == [8]


def with_column(path: Path, name: str, value: Any) -> None:
    """As a plug-in or a newer bitskip would have written the file."""
    rewrite(path, lambda t: with_version(t.append_column(name, pa.array([value] * len(t))), "1"))


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    ("values", "kept"), [((0.5, 0.25), [0.5, 0.25, None]), ((1, 0.5), [1.0, 0.5, None]), ((1, "x"), ["1", "x", None])]
)
def test_columns_that_are_not_known_are_kept_behind_the_others(tmp_path, merged, values, kept):
    keys = [store(tmp_path, seed=seed) for seed in range(3)]
    for key, value in zip(keys, values, strict=False):
        for table in ("trials", "curves"):
            with_column(tmp_path / table / f"{key}.parquet", "plug_share", value)
    if merged:
        assert compact(tmp_path) == 3 * len(TABLES)
    found = load_results(tmp_path)
    assert found.problems == []
    assert found.trials.schema.names == [*arrow_schema("trials").names, "plug_share"]
    shares = {row["trial_id"]: row["plug_share"] for row in found.trials.to_pylist()}
    assert [shares[key] for key in keys] == kept
    assert {row["trial_id"]: row["plug_share"] for row in found.curves.to_pylist()} == shares
    assert found.exits.schema.equals(arrow_schema("exits"))
    assert committed(tmp_path) == dict.fromkeys(keys, "ok")


# Several sweeps


def test_sweeps_are_merged_and_a_trial_in_two_counts_once(tmp_path):
    shared = store(tmp_path / "a", seed=0, sweep="a")
    store(tmp_path / "b", seed=0, sweep="b", hours=1)
    other = store(tmp_path / "b", seed=1, sweep="b")
    found = load_results(tmp_path)
    assert {row["trial_id"]: row["sweep"] for row in found.trials.to_pylist()} == {shared: "b", other: "b"}
    assert found.exits.num_rows == 2 * 6
    assert committed_anywhere(tmp_path) == {shared: ("ok", tmp_path / "b"), other: ("ok", tmp_path / "b")}
    assert len(load_results(tmp_path / "a").trials) == 1


@pytest.mark.parametrize("failed_first", [True, False])
@pytest.mark.parametrize("status", ["stalled", "diverged", "ok"])
def test_a_result_wins_over_a_newer_failure_with_all_its_rows(tmp_path, failed_first, status):
    failed, done = ("a", "b") if failed_first else ("b", "a")
    key = store(tmp_path / failed, loss=9.0, hours=5, status="timeout")
    store(tmp_path / done, loss=3.0, hours=0, status=status)
    found = load_results(tmp_path)
    assert found.trials["status"].to_pylist() == [status]
    assert found.curves["val_loss"].to_pylist() == [3.0, 3.0]
    assert committed(tmp_path) == {key: status}


# Other tools


@pytest.mark.parametrize("compacted", [False, True])
def test_pandas_polars_and_duckdb_read_the_folders(tmp_path, compacted):
    folder = tmp_path / "my sweep"
    keys = {store(folder, seed=seed, sweep="s", loss=None if seed else 3.0) for seed in range(3)}
    if compacted:
        compact(folder)
        keys.add(store(folder, seed=3))
    frame = polars.read_parquet(folder / "trials")
    assert set(frame["trial_id"]) == keys
    assert frame["loss"].is_nan().sum() == 0
    query = f"select trial_id from '{folder}/trials/*.parquet' where loss is not null"
    assert len(duckdb.sql(query).fetchall()) == 1 + compacted
    joined = f"select count(*) from '{folder}/exits/*.parquet' join '{folder}/trials/*.parquet' using (trial_id)"
    assert duckdb.sql(joined).fetchall() == [(6 * len(keys),)]
    for name in TABLES:
        assert len(pandas.read_parquet(folder / name)) == pq.read_table(folder / name).num_rows > 0


def test_a_results_folder_can_be_moved(tmp_path):
    store(tmp_path / "a" / "s")
    before = contents(tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert contents(tmp_path / "b") == before
