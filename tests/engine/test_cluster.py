"""A sweep on a Ray cluster of two nodes, on one machine: two raylets with one core each."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sweeping import left_over, rows, sweep

OPEN = {"RAY_AUTH_MODE": "disabled"}
RAY = Path(sys.executable).with_name("ray")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def node(log: Path, *options: str) -> Iterator[None]:
    """A node that lives while inside."""
    command = [str(RAY), "start", "--block", "--num-cpus=1", "--disable-usage-stats", *options]
    with log.open("w") as sink, subprocess.Popen(command, stdout=sink, stderr=sink, env=os.environ | OPEN) as process:
        try:
            deadline = time.monotonic() + 90
            while "Ray runtime started" not in log.read_text() and "--block" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.mark.slow
def test_trials_run_on_both_nodes_of_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A core each: trials that overlap in time are on different nodes."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    address = f"127.0.0.1:{free_port()}"
    head = (
        "--head",
        f"--port={address.rpartition(':')[2]}",
        "--include-dashboard=false",
        "--node-ip-address=127.0.0.1",
    )
    with node(tmp_path / "head.log", *head), node(tmp_path / "other.log", f"--address={address}"):
        done = sweep(tmp_path, "--address", address, "--set", "base.tokens=60000")
    assert done.returncode == 0, done.stderr
    found = sorted(rows(tmp_path), key=lambda row: row["started_at"])
    assert [row["status"] for row in found] == ["ok"] * 4
    overlaps = [
        later["started_at"] < earlier["started_at"] + timedelta(seconds=earlier["train_seconds"])
        for earlier, later in zip(found, found[1:], strict=False)
    ]
    assert any(overlaps)
    assert left_over(tmp_path) == []
