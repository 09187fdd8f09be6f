"""Real sweeps whose driver, workers and raylet are killed at random moments, again and again.

CHAOS_KILLS says how many kills (default 1; `make chaos` takes 20), CHAOS_SEED which moments.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from bitskip.store.schema import FINISHED
from bitskip.store.tables import Results, load_results

BITSKIP = Path(sys.executable).with_name("bitskip")
KINDS = ("worker", "driver", "raylet", "agent")
KILLS, SEED = int(os.environ.get("CHAOS_KILLS", "1")), int(os.environ.get("CHAOS_SEED", "0"))
SECONDS = 240 + 60 * KILLS
SEEDS = 2 + KILLS // 2
"""There is work left for all kills."""

DESIGN = f"""
name: chaos
base:
  model: {{layers: 2, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}}
  data: {{tokenizer: bytes}}
  tokens: 30_000
  seq_len: 32
  batch_size: 4
  lr: 1e-2
  exit_weight: 0.3
  eval_tokens: 500
  curve_tokens: 200
  curve_points: 3
  diagnostic_points: 1
space: {{bits: [16, 8], phase: [2, 1+2]}}
seeds: {SEEDS}
resources: {{cpus: 1, checkpoint_seconds: 0.3}}
"""
TIMES = {
    "started_at", "train_seconds", "eval_seconds", "tokens_per_second", "diagnostic_seconds", "peak_memory_bytes",
    "host", "niceness", "versions", "git_sha", "resumed_at_step", "failures", "shared_seconds", "forked_from",
    "forked_at_step", "best_exit", "best_exit_speed_gain", "best_exit_ppl",
}  # fmt: skip
"""What differs between two runs of a trial: clocks, where it was taken up again, and the speed of its exits."""


def start(folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    file = folder / "chaos.yaml"
    file.write_text(DESIGN)
    command = [str(BITSKIP), "sweep", str(file), "--results", str(folder / "results"), *options]
    with (folder / "output.log").open("a") as sink:
        return subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)


def family(pid: int) -> dict[str, list[psutil.Process]]:
    """The processes of a sweep by what they are."""
    found: dict[str, list[psutil.Process]] = {"driver": [psutil.Process(pid)], "worker": [], "raylet": [], "agent": []}
    for process in found["driver"][0].children(recursive=True):
        try:
            name, line = process.name(), " ".join(process.cmdline()).strip()
        except psutil.Error:
            continue
        if name == "raylet":
            found["raylet"].append(process)
        elif line.startswith("ray::") and line.endswith("Agent"):
            found["agent"].append(process)
        elif line.startswith("ray::ResourceTrainable"):
            found["worker"].append(process)
    return found


class Reader(threading.Thread):
    """Reads the results all the time: nothing torn, nothing lost, nothing run twice."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.over, self.reads = folder, threading.Event(), 0
        self.done: dict[str, Any] = {}
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self.over.wait(0.1):
            if (self.folder / "chaos" / "trials").exists():
                self.look()

    def look(self) -> None:
        try:
            found = load_results(self.folder)
        except Exception as error:
            self.wrong.append(f"{type(error).__name__}: {error}")
            return
        self.reads += 1
        self.wrong += found.problems
        now = {row["trial_id"]: row["started_at"] for row in found.trials.to_pylist() if row["status"] in FINISHED}
        self.wrong += [f"{trial_id} was lost" for trial_id in self.done.keys() - now.keys()]
        self.wrong += [f"{key} was run twice" for key, began in now.items() if self.done.get(key, began) != began]
        self.done |= now


def comparable(found: Results) -> dict[str, Any]:
    """What both runs must agree on, to the last bit."""
    tables: dict[str, Any] = {"trials": {}, "exits": {}, "curves": {}}
    for row in found.trials.to_pylist():
        tables["trials"][row["trial_id"]] = {key: value for key, value in row.items() if key not in TIMES}
    for row in found.exits.to_pylist():
        tables["exits"][row["trial_id"], row["exit_layer"]] = (row["loss"], row["ppl"], row["agreement"])
    for row in found.curves.to_pylist():
        tables["curves"][row["trial_id"], row["step"]] = {key: value for key, value in row.items() if key != "trial_id"}
    return tables


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 700)  # the run that is killed, and one that is not
def test_kills_at_any_moment_lose_nothing(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    calm, storm = tmp_path / "calm", tmp_path / "storm"
    for folder in (calm, storm):
        folder.mkdir()
    undisturbed = start(calm, "--executor", "inline")
    assert undisturbed.wait(600) == 0, (calm / "output.log").read_text()
    reader = Reader(storm / "results")
    reader.start()
    struck: Counter[str] = Counter()
    seen: set[int] = set()
    process, launches = start(storm), 1
    deadline = time.monotonic() + SECONDS
    try:
        while True:
            assert time.monotonic() < deadline, (storm / "output.log").read_text()
            until = time.monotonic() + chance.uniform(3.0, 9.0)
            while time.monotonic() < until and process.poll() is None:
                time.sleep(0.05)
            if process.poll() is not None:
                if process.returncode == 0:
                    break
                assert launches < KILLS + 5, (storm / "output.log").read_text()
                process, launches = start(storm), launches + 1
                continue
            if struck.total() >= KILLS:
                continue
            found = family(process.pid)
            seen |= {each.pid for each in [*found["raylet"], *found["worker"]]}
            turn = KINDS[struck.total() % len(KINDS)]
            kind = turn if found[turn] else "driver"
            victim = chance.choice(found[kind])
            try:
                victim.send_signal(signal.SIGKILL)
            except psutil.Error:
                continue
            struck[kind] += 1
    finally:
        reader.over.set()
        if process.poll() is None:
            process.kill()
            process.wait()
    reader.join()
    reader.look()
    assert reader.wrong == []
    assert reader.reads > 0
    assert struck.total() == KILLS, "the sweep ended before all kills"
    assert len(reader.done) == 4 * SEEDS
    assert "Traceback" not in (storm / "output.log").read_text()
    assert comparable(load_results(storm / "results")) == comparable(load_results(calm / "results"))
    place = storm / "results" / "chaos"
    left = [
        str(path) for name in ("running", "checkpoints", "prefixes", ".tmp", ".ray") for path in place.glob(f"{name}/*")
    ]
    assert left == []
    deadline = time.monotonic() + 30
    while (alive := [pid for pid in seen if _lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert alive == []
    print(f"\n{dict(struck)} killed, {launches} launches, {reader.reads} reads, {len(reader.done)} trials")


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
