"""Results in an object store: a real S3 server on this machine, through the same functions and the same command."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from simulated_results import exit_rows, trial_row

from bitskip.engine.lookouts import watched_folders
from bitskip.engine.status import snapshot
from bitskip.errors import UserError
from bitskip.predict.cache import fingerprint
from bitskip.store import filesystem
from bitskip.store.compaction import compact, compact_if_due
from bitskip.store.filesystem import key_of, place, shown
from bitskip.store.inspection import inspect_folder
from bitskip.store.ledger import Ledger
from bitskip.store.tables import committed, load_results, sweep_folders, write_trial
from bitskip.trial.config import make_trial

BITSKIP = Path(sys.executable).with_name("bitskip")
SWEEP = """
name: tiny
base:
  model: {layers: 1, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}
  data: {tokenizer: bytes}
  tokens: 32_000
  lr: 1e-2
  seq_len: 32
  batch_size: 8
  eval_tokens: 500
  curve_tokens: 256
  curve_points: 1
  diagnostic_points: 0
space:
  bits: [16, 8, 4]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    """The environment with which AWS's tools, pyarrow among them, reach the server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "the S3 server did not start"
                time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a place of its own in the store."""
    from pyarrow.fs import S3FileSystem

    for name, value in server.items():
        monkeypatch.setenv(name, value)
    filesystem._store.cache_clear()
    store = S3FileSystem(endpoint_override=server["AWS_ENDPOINT_URL"], allow_bucket_creation=True)
    store.create_dir("bucket", recursive=True)
    return f"s3://bucket/{tmp_path_factory.mktemp('results').name}"


def store(folder: Path, seed: int, status: str = "ok") -> str:
    trial = make_trial(bits=8, seed=seed)
    row = trial_row(trial, 3.0 if status == "ok" else None, status=status, started_at=datetime.now(UTC))
    write_trial(folder, row, exit_rows(trial, 3.0), [{"step": 1, "val_loss": 3.0}])
    return trial.trial_id


def contents(path: Path) -> list[str]:
    found = load_results(path)
    assert found.problems == []
    return [repr(sorted(getattr(found, name).to_pylist(), key=repr)) for name in ("trials", "exits", "curves")]


def test_a_url_stands_for_a_work_folder_and_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BITSKIP_CACHE", str(tmp_path))
    work = place("s3://bucket/some/prefix")
    assert work == tmp_path / "results" / "s3:" / "bucket" / "some" / "prefix"
    assert place(work) == work
    assert (key_of(work / "tiny"), shown(work / "tiny")) == ("bucket/some/prefix/tiny", "s3://bucket/some/prefix/tiny")
    assert (place("results"), key_of(Path("results")), shown(Path("results"))) == (Path("results"), None, "results")
    with pytest.raises(UserError, match="write s3://bucket/prefix"):
        place("s3://")


def test_tables_lie_in_the_store_and_nowhere_else(bucket: str) -> None:
    folder = place(bucket) / "tiny"
    keys = {store(folder, seed) for seed in range(3)}
    failed = store(folder, 9, "error")
    assert sweep_folders(place(bucket)) == [folder]
    assert committed(place(bucket)) == dict.fromkeys(keys, "ok") | {failed: "error"}
    assert not list(place(bucket).rglob("*.parquet"))
    before, first = contents(place(bucket)), fingerprint(place(bucket))
    assert compact(folder) == 3 * 4
    assert contents(place(bucket)) == before
    assert fingerprint(place(bucket)) != first
    assert (
        sorted(filesystem.files_in(folder / "trials"))[1:] == [f"{failed}.parquet"]
        or len(filesystem.files_in(folder / "trials")) == 2
    )
    assert inspect_folder(folder).problems == []
    assert compact_if_due(folder, every=1) == 0
    store(folder, 10)
    assert compact_if_due(folder, every=1) == 4


def test_a_ledger_reads_an_object_once(bucket: str) -> None:
    folder = place(bucket) / "tiny"
    ledger = Ledger(folder)
    assert not ledger.refresh()
    for seed in range(3):
        store(folder, seed)
    assert ledger.refresh()
    assert not ledger.refresh()
    assert (len(ledger.rows), ledger.opened) == (3, 3)


def test_damaged_objects_are_named_by_their_url(bucket: str) -> None:
    folder = place(bucket) / "tiny"
    key = store(folder, 0)
    filesystem.write(folder / "exits" / f"{key}.parquet", b"PAR1 torn")
    (problem,) = load_results(place(bucket)).problems
    assert problem.startswith(f"{bucket}/tiny/exits/{key}.parquet: unreadable")


def test_another_machine_sees_the_design_and_the_rows(bucket: str, tmp_path: Path, monkeypatch: Any) -> None:
    here = place(bucket) / "tiny"
    here.mkdir(parents=True)
    (here / "sweep.yaml").write_text(SWEEP)
    filesystem.publish_design(here)
    monkeypatch.setenv("BITSKIP_CACHE", str(tmp_path))
    (there,) = watched_folders(place(bucket))
    assert there != here
    found = snapshot(there)
    assert (found.total, found.folder, found.problems) == (3, f"{bucket}/tiny", ())
    (here / "sweep.yaml").write_text(SWEEP + "seeds: 2\n")
    filesystem.publish_design(here)
    watched_folders(place(bucket))
    assert snapshot(there).total == 6


def test_a_store_that_is_not_there_is_one_line(bucket: str, monkeypatch: Any) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load_results(place(bucket) / "nothing")
    with pytest.raises(UserError, match=r"s3://missing/x: .*NO_SUCH_BUCKET"):
        load_results(place("s3://missing/x"))


@pytest.mark.slow
def test_a_sweep_and_its_readers_work_on_a_store(bucket: str, server: dict[str, str], tmp_path: Path) -> None:
    def bitskip(*arguments: object, cache: str = "cache") -> str:
        done = subprocess.run(
            [str(BITSKIP), *map(str, arguments)],
            env=os.environ | server | {"BITSKIP_CACHE": str(tmp_path / cache)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    file = tmp_path / "tiny.yaml"
    file.write_text(SWEEP)
    said = bitskip("sweep", file, "--results", bucket)
    assert "3 to run" in said
    assert f"Results in {bucket}/tiny. Next: bitskip report {bucket}/tiny" in said
    assert not list(tmp_path.rglob("*.parquet"))
    # From here on as from another machine: nothing but the store is shared.
    assert "3 already in results → 0 to run" in bitskip("sweep", file, "--results", bucket, cache="other")
    report = json.loads(bitskip("report", bucket, "--json", cache="other"))
    assert report["overview"]["trials"] == 3
    watched = json.loads(bitskip("watch", bucket, "--once", "--json", cache="other"))
    assert (watched["complete"], watched["total"]) == (True, 3)
    keys = list(committed(place(bucket)))
    shown_trial = json.loads(bitskip("show", keys[0], "--results", f"{bucket}/tiny", "--json", cache="other"))
    assert shown_trial["trial_id"] == keys[0]
    predicted = json.loads(bitskip("predict", "--bits", 8, "--results", bucket, "--force", "--json", cache="other"))
    assert predicted["mean"] > 1
    assert "tiny: 3 ok" in bitskip("doctor", bucket, cache="other")
    bitskip("suggest", "-n", 1, file, "--set", "space.bits=[16,8,4,6]", "--results", bucket, cache="other")
