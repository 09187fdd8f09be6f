"""Tiny real sweeps through the installed command, with faults that `faults/sitecustomize.py` plants."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bitskip.store.tables import load_results

BITSKIP = Path(sys.executable).with_name("bitskip")
HERE = Path(__file__).parent
TINY = """
name: tiny
base:
  model: {layers: 1, width: 16, heads: 2, kv_heads: 1, ffn_width: 32}
  data: {tokenizer: bytes}
  tokens: 2_000
  seq_len: 16
  batch_size: 4
  lr: 1e-2
  eval_tokens: 200
  curve_tokens: 100
  curve_points: 1
  diagnostic_points: 0
space: {bits: [16]}
seeds: 4
"""


def environment(fault: dict[str, Any] | None = None) -> dict[str, str]:
    """This process's, with a fault planted."""
    paths = [str(HERE / "faults"), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "BITSKIP_FAULT": json.dumps(fault or {})}


def start(folder: Path, *options: str, fault: dict[str, Any] | None = None, **more: Any) -> "subprocess.Popen[str]":
    """A sweep of `folder/tiny.yaml` into `folder/results`, as a shell would start it."""
    file = folder / "tiny.yaml"
    if not file.exists():
        file.write_text(TINY)
    command = [str(BITSKIP), "sweep", str(file), "--results", str(folder / "results"), *options]
    return subprocess.Popen(
        command, env=environment(fault), text=True, start_new_session=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **more,
    )  # fmt: skip


def sweep(
    folder: Path, *options: str, fault: dict[str, Any] | None = None, seconds: float = 240
) -> "subprocess.CompletedProcess[str]":
    process = start(folder, *options, fault=fault)
    out, err = process.communicate(timeout=seconds)
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def rows(folder: Path) -> list[dict[str, Any]]:
    found = load_results(folder / "results")
    assert found.problems == []
    return found.trials.to_pylist()


def by_seed(folder: Path) -> dict[int, dict[str, Any]]:
    return {row["seed"]: row for row in rows(folder)}


def left_over(folder: Path) -> list[str]:
    """What a sweep should not leave behind, once it has ended in peace."""
    place = folder / "results" / "tiny"
    strays = [
        path for name in (".tmp", "running", "prefixes", "checkpoints", ".ray") for path in place.glob(f"{name}/*")
    ]
    return [str(path.relative_to(place)) for path in [*strays, *place.glob(".owner.json")]]
