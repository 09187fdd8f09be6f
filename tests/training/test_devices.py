"""Several devices train what one does: two processes on the CPU against one, by themselves and in a sweep."""

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import teammate
import torch
from sweeping import left_over, rows, start, sweep

from bitskip.sweep.sweep_file import load_sweep
from bitskip.training.devices import _parts
from bitskip.training.trainer import run_trial
from bitskip.trial.config import make_trial
from bitskip.trial.cost import device_memory, fitting_micro_batch

INLINE = ("--executor", "inline")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_devices_train_what_one_does(strategy: str, tmp_path: Path) -> None:
    """To the last bit: two micro-batches of one process add up in the order in which those of two processes do."""
    command = [sys.executable, teammate.__file__]
    team = [subprocess.Popen([*command, str(rank), strategy, str(tmp_path)]) for rank in range(2)]
    assert [process.wait(timeout=300) for process in team] == [0, 0]
    for name, trial in teammate.trials().items():
        assert json.loads((tmp_path / name).read_text()) == teammate.curve(trial), name


def test_passes_that_fit_change_no_trial(tmp_path: Path) -> None:
    """`micro_batch: auto` is a choice of computing: equal to the axis in what it computes, and no part of an id."""
    trial = teammate.trials()["V2"]
    whole = replace(trial, training=replace(trial.training, micro_batch=0, curve_points=1))
    smaller = replace(trial, training=replace(trial.training, micro_batch=1, curve_points=1))
    assert run_trial(whole, micro_batch=1).loss == run_trial(smaller).loss
    (tmp_path / "tiny.yaml").write_text(MANY + "seeds: 1\nspace: {lr: [1e-2]}\n")
    plain, fitting = (
        load_sweep(tmp_path / "tiny.yaml", overrides=[f"resources={{cpus: 2{more}}}"]).trials
        for more in ("", ", micro_batch: auto")
    )
    assert plain == fitting


def test_the_largest_pass_that_fits_is_an_even_part_of_a_share() -> None:
    trial = make_trial(**{"model": "paper", "data.tokenizer": "gpt2", "seq_len": 512, "batch_size": 48})
    for memory, strategy, devices in itertools.product((12e9, 24e9, 80e9, 1e15), ("ddp", "fsdp"), (2, 4, 8)):
        size, share = fitting_micro_batch(trial, memory, True, strategy, devices), 48 // devices
        larger = [each for each in range(size + 1, share + 1) if share % each == 0]
        assert share % size == 0
        assert all(device_memory(trial, True, strategy, devices, each) > 0.8 * memory for each in larger)
        assert size == 1 or device_memory(trial, True, strategy, devices, size) <= 0.8 * memory


def test_all_gradients_are_summed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitskip.training.devices.SUMMED_AT_ONCE", 5)
    tensors = [torch.zeros(size) for size in (2, 2, 3, 9, 1)]
    assert [[len(tensor) for tensor in part] for part in _parts(tensors)] == [[2, 2, 3], [9], [1]]


MANY = """
name: tiny
base:
  model: {layers: 2, width: 16, heads: 2, kv_heads: 1, ffn_width: 32}
  data: {tokenizer: bytes}
  tokens: 9_600
  seq_len: 16
  batch_size: 4
  micro_batch: 2
  eval_tokens: 200
  curve_tokens: 100
  curve_points: 1
  diagnostic_points: 0
  bits: 4
resources: {cpus: 2, strategy: ddp, checkpoint_seconds: 1e-3}
"""


def wait_for(what: Callable[[], object], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def second_process(of: int) -> psutil.Process:
    """The one of a trial's processes that only follows, which the sweep has started."""
    children = psutil.Process(of).children(recursive=True)
    (found,) = [each for each in children if each.cmdline()[-1:] == ["1"] and "bitskip.engine.ranks" in each.cmdline()]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_lost_process_and_fewer_devices_cost_no_step(strategy: str, tmp_path: Path) -> None:
    """One of two processes is killed, then the sweep is ended, and one process goes on: its result is one process's."""
    (tmp_path / "tiny.yaml").write_text(MANY + "seeds: 1\nspace: {lr: [1e-2]}\n")
    process = start(tmp_path, *INLINE, "--set", f"resources.strategy={strategy}")
    checkpoints = tmp_path / "results" / "tiny" / "checkpoints"
    wait_for(lambda: list(checkpoints.glob("[!.]*")))
    second_process(process.pid).kill()
    log = tmp_path / "results" / "tiny" / "logs"
    wait_for(lambda: any("attempt 2" in path.read_text() for path in log.glob("*")))
    running = tmp_path / "results" / "tiny" / "running"
    wait_for(lambda: any('"resumed_at_step": null' not in path.read_text() for path in running.glob("[!.]*.json")))
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "process 2 of 2 died: killed by signal 9; it is run once more" in err
    done = sweep(tmp_path, *INLINE, "--set", "resources={cpus: 1}")
    assert done.returncode == 0, done.stderr
    (row,) = rows(tmp_path)
    assert row["resumed_at_step"] > 0
    assert left_over(tmp_path) == []
    (trial,) = load_sweep(tmp_path / "tiny.yaml").trials
    assert (row["trial_id"], row["loss"]) == (trial.trial_id, run_trial(trial).loss)


@pytest.mark.slow
def test_a_sweep_over_two_devices(tmp_path: Path) -> None:
    """With Ray: trials that share their beginning, which is trained once."""
    (tmp_path / "tiny.yaml").write_text(MANY + "space: {phase: ['1', '1+2']}\nseeds: 1\n")
    done = sweep(tmp_path, "--set", "base.exit_weight=0.3")
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path)
    assert {row["status"] for row in found} <= {"ok", "stalled"}
    assert {row["device"].split(" (")[0] for row in found} == {"2 x cpu"}
    assert any(row["forked_at_step"] for row in found)


@pytest.mark.parametrize(
    ("resources", "complaint"),
    [
        ("{gpus: 1, strategy: fsdp}", "for a whole number of devices, 2 or more, got gpus=1"),
        ("{cpus: 1.5, strategy: ddp}", "for a whole number of devices, 2 or more, got cpus=1.5"),
        ("{gpus: 8}", "gpus=8 with strategy single leaves all but one idle"),
        ("{gpus: 3, strategy: ddp}", "3 devices cannot share a batch of 4 sequences evenly"),
        ("{cpus: 2, micro_batch: 4}", "micro_batch must be auto (a number is an axis, to be set under base), got 4"),
        ("{cpus: 2, strategy: tp}", "strategy must be one of single, ddp, fsdp, got 'tp'"),
    ],
)
def test_devices_that_make_no_sense_are_refused_in_one_line(resources: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(MANY + "seeds: 1\nspace: {lr: [1e-2]}\n")
    refused = sweep(tmp_path, "--dry-run", "--set", f"resources={resources}")
    assert refused.returncode == 2
    assert complaint in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_what_is_fitted_to_text_is_refused_on_several_devices(tmp_path: Path) -> None:
    fitted = ("bits=8", "weights=full", "activation_scale=static", "quantize=after", "exit_weight=0", "dropout=none")
    (tmp_path / "tiny.yaml").write_text(MANY + "seeds: 1\nspace: {lr: [1e-2]}\n")
    refused = sweep(tmp_path, "--dry-run", *(f"--set=base.{each}" for each in fitted))
    assert refused.returncode == 2
    assert "fitted on one device" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
