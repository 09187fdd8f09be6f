"""Results in other tools: written from the ledger, once, and read back by the tools' own libraries where they are."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bitskip.errors import UserError
from bitskip.extras import installed
from bitskip.interop.sinks import Fed, Run, TensorBoard, WandB, feed, open_sinks
from bitskip.store.tables import write_trial
from bitskip.store.trial_columns import attempt_columns
from bitskip.trial.config import make_trial

CURVE = [(10, 3.5, 0.003), (20, 3.25, 0.001)]


def stored(folder: Path, bits: int, **row: Any) -> str:
    """A trial in the ledger, with a curve of two points."""
    trial = make_trial(bits=bits)
    result = {"status": "ok", "loss": 3.0, "ppl": 20.0, "params": 7} | row
    points = [
        {"step": step, "tokens": 64 * step, "phase": "1", "train_loss": loss, "val_loss": loss, "lr": lr}
        for step, loss, lr in CURVE
    ]
    write_trial(folder, attempt_columns(trial, folder.name, None, ()) | result, curves=points)
    return trial.trial_id


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What event files hold, read as records of length, checksum, content, checksum."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    found: dict[str, list[tuple[int, float]]] = {}

    def records(data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            yield data[at + 12 : at + 12 + length]
            at += 12 + length + 4

    for file in folder.glob("events*"):
        for record in records(file.read_bytes()):
            event = proto.Event.FromString(record)
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard_holds_curves_and_results(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    folder = tmp_path / "results" / "mine"
    trial_id = stored(folder, 4)
    (sink,) = open_sinks(["tensorboard"], tmp_path / "results")
    assert feed(folder, [sink]) == 1
    found = scalars(tmp_path / "tensorboard" / "mine" / trial_id)
    assert found["curve/val_loss"] == [(10, 3.5), (20, 3.25)]
    assert [lr for _, lr in found["curve/lr"]] == pytest.approx([0.003, 0.001])
    assert found["result/loss"] == [(20, 3.0)]


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "results" / "mine"
    trial_id = stored(folder, 4)
    feed(folder, [TensorBoard(tmp_path / "board")])
    accumulator = reader.EventAccumulator(str(tmp_path / "board" / "mine" / trial_id))
    accumulator.Reload()
    assert [(each.step, each.value) for each in accumulator.Scalars("curve/val_loss")] == [(10, 3.5), (20, 3.25)]


def test_what_a_sink_holds_is_not_written_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    folder, sink = tmp_path / "results" / "mine", TensorBoard(tmp_path / "board")
    stored(folder, 4)
    stored(folder, 8, status="error", loss=None, ppl=None, reason="no room")
    assert feed(folder, [sink]) == 1  # a failed attempt is no result
    stored(folder, 8)
    assert feed(folder, [sink]) == 1
    assert feed(folder, [sink]) == 0
    assert feed(tmp_path / "not there", [sink]) == 0


def log_records(data: bytes) -> Iterator[bytes]:
    """Records of a `.wandb` file: behind seven bytes, LevelDB's log format, in blocks of 32 KiB."""
    whole, at = b"", 7
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def test_wandb_holds_an_offline_run_of_each_trial(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    folder, sink = tmp_path / "results" / "mine", WandB(tmp_path / "place")
    trial_id = stored(folder, 4)
    assert feed(folder, [sink]) == 1
    assert feed(folder, [sink]) == 0
    (file,) = (tmp_path / "place").glob(f"wandb/offline-run-*-{trial_id}/*.wandb")
    records = [wandb_internal_pb2.Record.FromString(data) for data in log_records(file.read_bytes())]
    (run,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (run.run_id, run.project) == (trial_id, "mine")
    history = [item for record in records for item in record.history.item]
    assert [item.value_json for item in history if "val_loss" in (item.key, *item.nested_key)] == ["3.5", "3.25"]


def test_mlflow_holds_a_run_of_each_trial(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    folder, (sink,) = tmp_path / "results" / "mine", open_sinks([f"mlflow={tmp_path}/store"], tmp_path)
    trial_id = stored(folder, 4)
    assert feed(folder, [sink]) == 1
    assert feed(folder, [sink]) == 0
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "store").as_uri())
    experiment = client.get_experiment_by_name("mine")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.data.tags["trial_id"], run.data.params["bits"], run.data.metrics["loss"]) == (trial_id, "4", 3.0)
    curve = client.get_metric_history(run.info.run_id, "curve/val_loss")
    assert [(point.step, point.value) for point in curve] == [(10, 3.5), (20, 3.25)]


def test_trackio_holds_a_run_of_each_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not installed("trackio"):  # not to be imported before its folder is known
        pytest.skip("trackio is not installed")
    monkeypatch.setenv("TRACKIO_DIR", "")  # the sink's own, which does not outlive the test
    folder, (sink,) = tmp_path / "results" / "mine", open_sinks([f"trackio={tmp_path}/place"], tmp_path)
    trial_id = stored(folder, 4)
    assert feed(folder, [sink]) == 1
    assert feed(folder, [sink]) == 0
    from trackio.sqlite_storage import SQLiteStorage

    logs = SQLiteStorage.get_logs("mine", trial_id)
    assert [(each["step"], each["curve/val_loss"]) for each in logs if "curve/val_loss" in each] == [
        (10, 3.5),
        (20, 3.25),
    ]
    assert [each["result/loss"] for each in logs if "result/loss" in each] == [3.0]
    assert list((tmp_path / "place").rglob("*.db"))


HALF = """
import os, sys
from pathlib import Path
from bitskip.interop.sinks import feed, open_sinks

class Curve(list):
    def __iter__(self):
        yield from list.__iter__(self)
        os._exit(9)

import bitskip.interop.sinks as sinks
whole = sinks.runs_in
def half(folder, held):
    import dataclasses
    for run in whole(folder, held):
        yield dataclasses.replace(run, curve=Curve(run.curve))
sinks.runs_in = half
feed(Path("results/mine"), open_sinks([sys.argv[1] + "=place"], Path("results")))
"""


@pytest.mark.parametrize("name", ["tensorboardX", "mlflow", "trackio"])
def test_what_a_killed_driver_has_begun_is_replaced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed behind the curve, before the results; the next driver leaves one run, whole, and has no more to do."""
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    stored(Path("results/mine"), 4)
    sink = name.replace("X", "")

    def driver(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, sink], capture_output=True, text=True, check=False)

    assert driver(HALF).returncode == 9
    again = HALF.replace("sinks.runs_in = half", "").replace("feed(", "print('fed', feed(").replace('"))', '")))')
    assert "fed 1" in driver(again).stdout
    done = driver(again)
    assert "fed 0" in done.stdout, done.stderr
    found = {
        "tensorboard": "place/*/*/events*",
        "mlflow": "place/*/*/metrics/loss",
        "trackio": "place/**/*.db",
    }
    assert len(list(tmp_path.glob(found[sink]))) == 1


class Broken:
    """A sink whose library fails."""

    def has(self, trial_id: str) -> bool:
        return False

    def write(self, run: Run) -> None:
        raise RuntimeError(f"no room for {run.trial_id}")


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def preparing(self, what: str) -> None:
        self.told.append(what)

    def started(self, trial_id: str) -> None:
        self.told.append(trial_id)

    def finished(self, row: dict[str, Any]) -> None:
        self.told.append(row["trial_id"])


def test_a_sink_that_fails_costs_no_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, heard = tmp_path / "mine", Heard()
    trial_id = stored(folder, 4)
    fed = Fed(heard, folder, [Broken()])
    fed.preparing("text")
    fed.started(trial_id)
    fed.finished({"trial_id": trial_id})
    assert heard.told == ["text", trial_id, trial_id]
    assert f"Broken was not written: RuntimeError: no room for {trial_id}" in capsys.readouterr().err


def test_an_unknown_sink_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--log-to: 'tensorbord' is not one of .* did you mean 'tensorboard'"):
        open_sinks(["tensorbord"], tmp_path)


def test_a_folder_of_runs_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_tool").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not installed("some_tool")
