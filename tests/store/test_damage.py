"""What cannot be read is named and kept; what another tool has rewritten is read where it is what it says."""

from __future__ import annotations

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store.test_tables import rewrite, store, trial, with_version

from bitskip.store.compaction import compact
from bitskip.store.parquet_files import set_aside
from bitskip.store.tables import committed, ledger_of, load_results, stored_result


def test_a_file_that_pandas_rewrote_is_read_to_the_last_digit(tmp_path):
    keys = [store(tmp_path, seed=seed, loss=None if seed else 3.1) for seed in range(3)]
    before = load_results(tmp_path)
    for path in tmp_path.rglob("*.parquet"):
        pandas.read_parquet(path).to_parquet(path)
    after = load_results(tmp_path)
    assert after.problems == []
    assert set(committed(tmp_path)) == set(keys)
    for name in ("trials", "exits", "curves", "layers"):
        assert getattr(after, name).equals(getattr(before, name))


def test_a_rewritten_row_that_is_not_its_id_is_left_out(tmp_path):
    key = store(tmp_path)
    path = tmp_path / "trials" / f"{key}.parquet"
    pandas.read_parquet(path).assign(bits=4).to_parquet(path)
    found = load_results(tmp_path)
    assert len(found.trials) == 0
    assert f"{key} is not the id of its row" in found.problems[0]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("status", None, "no status"),
        ("status", "fine", "an unknown ('fine') status"),
        ("trial_id", None, "no trial_id"),
        ("bits", None, "no bits"),
    ],
)
def test_rows_without_a_word_are_left_out_with_the_reason(tmp_path, column, value, told):
    key, other = store(tmp_path), store(tmp_path, seed=1)
    path = tmp_path / "trials" / f"{key}.parquet"

    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(column)
        return with_version(table.set_column(at, column, pa.array([value], table[column].type)), "1")

    rewrite(path, change)
    found = load_results(tmp_path)
    assert found.trials["trial_id"].to_pylist() == [other]
    assert len(found.problems) == 1
    assert told in found.problems[0]


def test_text_that_is_no_utf8_makes_a_file_unreadable(tmp_path):
    key = store(tmp_path)
    path = tmp_path / "trials" / f"{key}.parquet"
    table = pq.read_table(path)
    bad = pa.StringArray.from_buffers(1, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xe9\xff"))
    pq.write_table(with_version(table.set_column(table.column_names.index("host"), "host", bad), "1"), path)
    assert "unreadable" in load_results(tmp_path).problems[0]


def test_what_a_damaged_file_may_hold_is_known_where_it_can_be(tmp_path):
    keys = {store(tmp_path, seed=seed) for seed in range(2)}
    part = tmp_path / "trials" / f"{min(keys)}.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-300])
    (file,) = ledger_of(tmp_path)[1]
    assert file.may_hold == {min(keys)}
    part.write_bytes(whole)
    compact(tmp_path)
    (merged,) = (tmp_path / "trials").iterdir()
    merged.write_bytes(merged.read_bytes()[:-300])
    (file,) = ledger_of(tmp_path)[1]
    assert file.may_hold == keys
    for name in ("exits", "curves", "layers"):
        for other in (tmp_path / name).iterdir():
            other.unlink()
    (file,) = ledger_of(tmp_path)[1]
    assert file.may_hold is None
    (kept,) = set_aside([file])
    assert kept.read_bytes()
    assert not list((tmp_path / "trials").iterdir())


def test_a_failed_attempt_does_not_replace_a_result_even_once_merged(tmp_path):
    key = store(tmp_path, loss=3.0)
    store(tmp_path, loss=None, status="error", hours=1)
    assert committed(tmp_path) == {key: "ok"}
    compact(tmp_path)
    store(tmp_path, loss=None, status="error", hours=2)
    assert (stored_result(tmp_path, key) or {})["loss"] == 3.0
    compact(tmp_path)
    assert load_results(tmp_path).trials["loss"].to_pylist() == [3.0]


def test_results_that_differ_and_tables_that_disagree_are_told(tmp_path):
    key = store(tmp_path / "a", loss=3.0)
    store(tmp_path / "b", loss=3.0, hours=1)
    assert load_results(tmp_path).problems == []
    store(tmp_path / "b", loss=3.5, hours=1)
    found = load_results(tmp_path)
    assert found.trials["loss"].to_pylist() == [3.5]
    assert found.problems == [f"1 trial ({key}): stored several times with results that differ: the newest counts"]
    exits = tmp_path / "b" / "exits" / f"{trial().trial_id}.parquet"
    exits.write_bytes((tmp_path / "a" / "exits" / exits.name).read_bytes())
    torn = load_results(tmp_path / "b")
    assert (len(torn.trials), len(torn.exits)) == (1, 0)
    assert "exits have another loss than trials" in torn.problems[0]


@pytest.mark.parametrize("where", ["trials", "curves"])
def test_a_changed_byte_is_found(tmp_path, where):
    store(tmp_path)
    before = load_results(tmp_path)
    (path,) = (tmp_path / where).iterdir()
    whole = path.read_bytes()
    for at in range(4, len(whole) - 8, 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        found = load_results(tmp_path)
        assert found.problems or all(
            getattr(found, name).equals(getattr(before, name)) for name in ("trials", "exits", "curves", "layers")
        )


@pytest.mark.parametrize("merged", [True, False])
def test_rows_that_are_lost_are_missed(tmp_path, merged):
    keys = {store(tmp_path, seed=seed) for seed in range(3)}
    if merged:
        compact(tmp_path)
    path = min((tmp_path / "trials").iterdir())
    rewrite(path, lambda table: table.slice(1))
    kept = keys & set(load_results(tmp_path).trials["trial_id"].to_pylist())
    assert len(kept) == 2
    (file,) = ledger_of(tmp_path)[1]
    assert "its name stands for" in (file.problem or "")
    assert file.may_hold == keys - kept
