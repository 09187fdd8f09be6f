"""The ledger that is looked at again and again reads what is new, and counts the rows that the results count."""

from __future__ import annotations

import pytest
from store.test_tables import store

from bitskip.store import filesystem, ledger
from bitskip.store.compaction import compact
from bitskip.store.tables import load_results


def test_a_ledger_opens_only_what_is_new(tmp_path, monkeypatch):
    seen = ledger.Ledger(tmp_path, ["loss"])
    assert not seen.refresh()
    keys = [store(tmp_path, seed=seed) for seed in range(20)]
    assert seen.refresh()
    assert seen.opened == 20
    assert not seen.refresh()
    failed = store(tmp_path, seed=20, loss=None, status="error")
    assert seen.refresh()
    assert seen.opened == 21
    assert seen.rows[failed]["status"] == "error"
    store(tmp_path, seed=20, loss=2.5, hours=1)
    assert seen.refresh()
    assert seen.opened == 22
    assert (seen.rows[failed]["status"], seen.rows[failed]["loss"]) == ("ok", 2.5)
    compact(tmp_path)
    assert seen.refresh()
    assert seen.opened == 23
    assert set(seen.rows) == {*keys, failed}
    # A folder in which nothing has happened for a while is not even listed.
    later = ledger.time.time_ns() + 10_000_000_000
    monkeypatch.setattr(ledger.time, "time_ns", lambda: later)
    seen.refresh()
    monkeypatch.setattr(filesystem.os, "scandir", None)
    assert not seen.refresh()


@pytest.mark.parametrize("failed_first", [True, False])
def test_a_ledger_counts_the_rows_that_the_results_count(tmp_path, failed_first):
    for seed in range(4):
        store(tmp_path, seed=seed, hours=seed)
        compact(tmp_path)
        store(tmp_path, seed=seed, hours=5 - seed, loss=2.0, status="error" if failed_first else "diverged")
    (tmp_path / "trials" / "torn.parquet").write_bytes(b"PAR1")
    seen = ledger.Ledger(tmp_path, ["loss"])
    seen.refresh()
    rows = {row["trial_id"]: row for row in load_results(tmp_path).trials.to_pylist()}
    assert {key: (row["status"], row["loss"]) for key, row in seen.rows.items()} == {
        key: (row["status"], row["loss"]) for key, row in rows.items()
    }
    assert [str(tmp_path / "trials" / "torn.parquet") in problem for problem in seen.problems] == [True]
