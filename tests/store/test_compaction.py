"""Compaction: it changes nothing that is read, whatever happens meanwhile."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from store.test_tables import TABLES, contents, store, trial

from bitskip import atomic_file
from bitskip.store import compaction, parquet_files, tables
from bitskip.store.compaction import compact
from bitskip.store.tables import committed, load_results


def test_compaction_changes_nothing_that_is_read(tmp_path):
    for seed in range(4):
        store(tmp_path, seed=seed)
    store(tmp_path, seed=4, status="error")
    before, ledger = contents(tmp_path), committed(tmp_path)
    assert compact(tmp_path) == 4 * len(TABLES)
    assert contents(tmp_path) == before
    assert committed(tmp_path) == ledger
    assert len(list((tmp_path / "trials").iterdir())) == 2  # the failed attempt stays a part
    assert compact(tmp_path) == 0
    store(tmp_path, seed=5)
    store(tmp_path, seed=4, hours=1)
    after = contents(tmp_path)
    assert compact(tmp_path) == 2 * len(TABLES)
    assert contents(tmp_path) == after
    assert len(list((tmp_path / "trials").iterdir())) == 1


def test_a_part_newer_than_the_compact_file_counts(tmp_path):
    store(tmp_path, loss=3.0)
    compact(tmp_path)
    store(tmp_path, loss=2.0, hours=1)
    for _ in range(2):
        found = load_results(tmp_path)
        assert found.trials["loss"].to_pylist() == [2.0]
        assert found.curves["val_loss"].to_pylist() == [2.0, 2.0]
        compact(tmp_path)


@pytest.mark.parametrize(
    ("operation", "point"), [*(("replace", n) for n in range(1, 5)), *(("unlink", n) for n in range(1, 13))]
)
def test_a_crash_anywhere_in_a_compaction_loses_and_doubles_nothing(tmp_path, monkeypatch, operation, point):
    store(tmp_path, seed=0)
    compact(tmp_path)
    store(tmp_path, seed=1)
    store(tmp_path, seed=0, loss=2.5, hours=1)
    before = contents(tmp_path)
    calls = itertools.count(1)
    original = {"replace": atomic_file.os.replace, "unlink": Path.unlink}[operation]

    def crashing(*arguments: Any, **options: Any) -> None:
        target = arguments[0]
        if (operation == "replace" or target.exists()) and next(calls) == point:
            raise KeyboardInterrupt
        original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(atomic_file.os if operation == "replace" else Path, operation, crashing)
        with pytest.raises(KeyboardInterrupt):
            compact(tmp_path)
    assert contents(tmp_path) == before
    compact(tmp_path)
    assert contents(tmp_path) == before


def test_compaction_keeps_parts_that_it_cannot_read_or_that_do_not_count(tmp_path):
    torn, good, orphan = (store(tmp_path, seed=seed) for seed in range(3))
    (tmp_path / "trials" / f"{orphan}.parquet").unlink()
    part = tmp_path / "curves" / f"{torn}.parquet"
    part.write_bytes(b"PAR1")
    compact(tmp_path)
    assert part.exists()
    assert (tmp_path / "exits" / f"{orphan}.parquet").exists()
    found = load_results(tmp_path)
    assert set(found.curves["trial_id"].to_pylist()) == {good}
    assert set(found.exits["trial_id"].to_pylist()) == {torn, good}
    assert [str(part) in problem for problem in found.problems] == [True]


def test_a_part_replaced_during_compaction_is_not_deleted(tmp_path, monkeypatch):
    store(tmp_path, loss=3.0)
    write = tables.write_file

    def write_and_race(table: pa.Table, target: Path) -> None:
        write(table, target)
        if target.parent.name == "curves" and target.name.startswith("compact-"):
            store(tmp_path, loss=2.0, hours=1)

    monkeypatch.setattr(tables, "write_file", write_and_race)
    compact(tmp_path)
    assert load_results(tmp_path).curves["val_loss"].to_pylist() == [2.0, 2.0]
    assert load_results(tmp_path).trials["loss"].to_pylist() == [2.0]


def test_a_file_compacted_while_it_is_listed_is_read_from_the_compact_file(tmp_path, monkeypatch):
    store(tmp_path, seed=0)
    store(tmp_path, seed=1)
    before = contents(tmp_path)
    paths, pending = parquet_files.table_files, [True]

    def listed_before(folder: Path, name: str) -> list[Path]:
        found = paths(folder, name)
        if pending and pending.pop():
            compact(folder)
        return found

    monkeypatch.setattr(parquet_files, "table_files", listed_before)
    assert contents(tmp_path) == before


def test_a_compaction_is_due_after_so_many_new_parts(tmp_path):
    for seed in range(3):
        store(tmp_path, seed=seed)
    store(tmp_path, seed=9, status="error")
    assert compaction.compact_if_due(tmp_path, every=5) == 0
    store(tmp_path, seed=3)
    assert compaction.compact_if_due(tmp_path, every=5) == 4 * len(TABLES)
    for seed in range(10, 14):
        store(tmp_path, seed=seed, status="error")  # they stay parts, and count once
    assert compaction.compact_if_due(tmp_path, every=5) == 0
    store(tmp_path, seed=4)
    assert compaction.compact_if_due(tmp_path, every=5) == len(TABLES)
    assert compaction.compact_if_due(tmp_path, every=5) == 0
    assert compaction.compact_if_due(tmp_path / "nothing here") == 0
    assert sorted(committed(tmp_path).values()) == ["error"] * 5 + ["ok"] * 5


def test_large_compact_files_are_left_alone_and_newer_rows_count(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "COMPACT_ROWS", 1)
    for seed in range(3):
        store(tmp_path, seed=seed, loss=3.0)
    compact(tmp_path)
    kept = set((tmp_path / "curves").iterdir())
    store(tmp_path, seed=0, loss=2.0, hours=1)
    store(tmp_path, seed=3)
    compact(tmp_path)
    assert kept < set((tmp_path / "curves").iterdir())
    assert len(list((tmp_path / "curves").iterdir())) == 2
    before = contents(tmp_path)
    losses = {row["seed"]: row["loss"] for row in before["trials"]}
    assert losses == {0: 2.0, 1: 3.0, 2: 3.0, 3: 3.0}
    monkeypatch.setattr(compaction, "COMPACT_ROWS", 1000)
    store(tmp_path, seed=1, loss=1.0, hours=2)
    expected = contents(tmp_path)
    compact(tmp_path)
    assert contents(tmp_path) == expected
    assert len(list((tmp_path / "curves").iterdir())) == 1


def test_a_compaction_leaves_alone_what_workers_are_writing(tmp_path, monkeypatch):
    for seed in range(3):
        store(tmp_path, seed=seed)
    write, pending = tables.write_file, [True]

    def write_and_commit_another(table: pa.Table, target: Path) -> None:
        if target.name.startswith("compact-") and pending and pending.pop():
            store(tmp_path, seed=7)
        write(table, target)

    monkeypatch.setattr(tables, "write_file", write_and_commit_another)
    compact(tmp_path)
    for name in TABLES:
        assert (tmp_path / name / f"{trial(7).trial_id}.parquet").exists()
    assert len(committed(tmp_path)) == 4


def test_finished_trials_are_read_from_a_few_files_however_many_they_are(tmp_path, monkeypatch):
    for seed in range(30):
        store(tmp_path, seed=seed)
        compaction.compact_if_due(tmp_path, every=10)
    read, opened = parquet_files.read_file, []
    monkeypatch.setattr(parquet_files, "read_file", lambda path, wanted: (opened.append(path), read(path, wanted))[1])
    assert len(load_results(tmp_path).trials) == 30
    assert len(opened) <= len(TABLES) * 10
