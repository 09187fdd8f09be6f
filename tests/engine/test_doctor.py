"""What `bitskip doctor` finds: each fault is named with its cure, and health is not."""

import importlib.metadata
import json
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from simulated_results import exit_rows, trial_row

from bitskip.engine import doctor
from bitskip.engine.doctor import Check, examine, mend, worst
from bitskip.errors import UserError
from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import reporting, running_trials
from bitskip.store.tables import load_results, write_trial
from bitskip.trial.config import make_trial

BITSKIP = Path(sys.executable).with_name("bitskip")


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings about this machine would differ from one to the next."""
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(doctor.os, "nice", lambda _: 0)
    monkeypatch.setattr(doctor, "local_gpus", lambda: 0)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1 << 40}))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def store(folder: Path, seed: int, status: str = "ok", **extra: Any) -> str:
    trial = make_trial(bits=8, seed=seed)
    row = trial_row(trial, 3.0 if status == "ok" else None, status=status, started_at=datetime.now(UTC), **extra)
    write_trial(folder, row, exit_rows(trial, 3.0))
    return trial.trial_id


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    for seed in range(3):
        store(tmp_path / "results" / "s", seed)
    return tmp_path / "results"


def of_results(path: Path) -> list[Check]:
    return [finding for finding in examine(path) if finding.about == "s"]


def test_a_healthy_folder_has_nothing_to_complain_of(swept: Path) -> None:
    assert [(finding.level, finding.what) for finding in of_results(swept)] == [("ok", "3 ok")]
    assert worst(of_results(swept)) == "ok"


def test_a_folder_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    (finding,) = [each for each in examine(tmp_path / "none") if each.about == "results"]
    assert finding.level == "ok"


@pytest.mark.parametrize("table", ["trials", "exits"])
@pytest.mark.parametrize("damage", [b"PAR1 torn", b""])
def test_a_torn_file_is_broken_and_named(swept: Path, table: str, damage: bytes) -> None:
    part = sorted((swept / "s" / table).iterdir())[0]
    part.write_bytes(damage)
    broken = [finding for finding in of_results(swept) if finding.level == "broken"]
    assert [str(part) in finding.what for finding in broken] == [True]
    assert "restore the file" in (broken[0].cure or "")
    assert "--ignore-damaged" in (broken[0].cure or "")


def test_foreign_files_are_named(swept: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), swept / "s" / "exits" / "foreign.parquet")
    (swept / "s" / "trials" / "notes.txt").write_text("x")
    assert {(f.level, f.what.split("/")[-1].split()[0].rstrip(":")) for f in of_results(swept)[1:]} == {
        ("broken", "foreign.parquet"),
        ("warning", "notes.txt"),
    }


def test_failures_orphans_and_mixed_rows_are_noted(swept: Path) -> None:
    orphan = store(swept / "s", 3)
    (swept / "s" / "trials" / f"{orphan}.parquet").unlink()
    store(swept / "s", 4, status="timeout")
    store(swept / "s", 5, threads=2)
    store(swept / "s", 6, threads=1)
    told = {finding.what: finding.level for finding in of_results(swept)}
    assert told["5 ok, 1 failed"] == "ok"
    assert told["1 trials failed"] == "note"
    assert told["1 trials have parts but no row in trials: their workers were killed"] == "note"
    assert any(what.startswith("mixed threads: ") and level == "warning" for what, level in told.items())


def leave_things_behind(folder: Path) -> None:
    for place in (".tmp/trials-x", "checkpoints/.a.safetensors-1", "running/.b.json-2"):
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_bytes(b"x" * 100)
    with reporting(folder, "abc", "s", None, 10, 8, "cpu") as told:
        state = replace(told.state, host="elsewhere", updated_at=0.0)
    SweepFolder(folder).heartbeat("abc").write_text(json.dumps(vars(state)))


def test_what_killed_workers_left_is_found_and_removed_when_asked(swept: Path, monkeypatch: Any) -> None:
    folder = swept / "s"
    leave_things_behind(folder)
    monkeypatch.setattr(doctor, "COMPACT_EVERY", 1)
    before = load_results(swept)
    found = examine(swept)
    told = " ".join(f"{finding.what}" for finding in found)
    assert "3 half-written files of killed workers, 300 B" in told
    assert "1 trials are said to run, but their workers are gone: abc" in told
    assert "3 loose parts in trials" in told
    assert (folder / ".tmp" / "trials-x").exists()
    assert len(mend(found, swept)) == 3
    assert [(finding.level, finding.what) for finding in of_results(swept)] == [("ok", "3 ok")]
    assert running_trials(folder) == []
    assert load_results(swept).trials.sort_by("trial_id") == before.trials.sort_by("trial_id")


def test_nothing_is_mended_while_a_sweep_runs(swept: Path) -> None:
    leave_things_behind(swept / "s")
    found = examine(swept)
    with FileLock(swept / "s" / ".lock"):
        assert "running now" in of_results(swept)[0].what
        assert "half-written" not in " ".join(finding.what for finding in examine(swept))
        with pytest.raises(UserError, match="a sweep is running here"):
            mend(found, swept)
    assert (swept / "s" / ".tmp" / "trials-x").exists()


def test_a_design_that_no_longer_loads_is_a_warning(swept: Path) -> None:
    (swept / "s" / "sweep.yaml").write_text("space: {bit: [4]}")
    (finding,) = [each for each in of_results(swept) if each.level == "warning"]
    assert "unknown axis 'bit'" in finding.what


def test_a_stale_ray_address_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    (finding,) = [each for each in examine(tmp_path) if each.about == "RAY_ADDRESS"]
    assert (finding.level, finding.cure) == ("warning", "unset RAY_ADDRESS")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"ray://127.0.0.1:{server.getsockname()[1]}")
        (finding,) = [each for each in examine(tmp_path) if each.about == "RAY_ADDRESS"]
    assert finding.level == "ok"


@pytest.mark.parametrize(
    ("package", "found", "level"),
    [
        ("pyarrow", "1.0", "broken"),
        ("pyarrow", "99.0", "note"),
        ("pyarrow", None, "broken"),
        ("torch", "1.0", "broken"),
        ("torch", None, "note"),
    ],
)
def test_versions_that_do_not_fit_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, found: str | None, level: str
) -> None:
    version = importlib.metadata.version

    def other(name: str) -> str:
        if name != package:
            return version(name)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(doctor.importlib.metadata, "version", other)
    (finding,) = [each for each in examine(tmp_path) if each.about == package]
    assert finding.level == level
    assert "pip install" in (finding.cure or "")


def test_a_gpu_that_a_cpu_build_of_torch_cannot_use_is_a_warning(tmp_path: Path, monkeypatch: Any) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(doctor, "local_gpus", lambda: 2)
    monkeypatch.setattr(
        doctor.importlib.metadata, "version", lambda name: "2.6.0+cpu" if name == "torch" else version(name)
    )
    (finding,) = [each for each in examine(tmp_path) if each.about == "gpu"]
    assert (finding.level, finding.what) == ("warning", "2 here, but torch 2.6.0+cpu is a CPU build")


@pytest.mark.parametrize(("free", "level"), [(1 << 20, "broken"), (1 << 30, "warning")])
def test_little_disk_is_told(swept: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    assert {each.level for each in examine(swept) if each.about in ("cache", "results")} == {level}


def test_the_command_exits_with_1_if_something_is_broken(swept: Path) -> None:
    healthy = subprocess.run([BITSKIP, "doctor", swept], capture_output=True, text=True, check=False)
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    assert "Traceback" not in healthy.stderr
    sorted((swept / "s" / "trials").iterdir())[0].write_bytes(b"PAR1")
    broken = subprocess.run([BITSKIP, "doctor", swept, "--json"], capture_output=True, text=True, check=False)
    assert broken.returncode == 1
    answer = json.loads(broken.stdout)
    assert answer["worst"] == "broken"
    assert {"level", "about", "what", "cure"} == set(answer["findings"][0])


def test_how_text_is_cut_is_told_and_doubted(swept: Path, tmp_path: Path) -> None:
    text = tmp_path / "book.txt"
    text.write_text("\n".join(f"line {i}" for i in range(400)))
    design = f"name: s\nbase: {{data: {{files: [{text}]}}}}\nspace: {{bits: [16, 8]}}"
    (swept / "s" / "sweep.yaml").write_text(design)
    found = {finding.level: finding.what for finding in of_results(swept) if finding.what.startswith("text")}
    told = "20 documents in 1 file (blocks of 20 lines): 18 for training, 1 for validation, 1 for the test"
    assert told in found["ok"]
    assert "what is held out continues what is trained on" in found["warning"]
