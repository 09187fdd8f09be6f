"""Damaged results through the installed command: named, kept, and not run again until asked to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sweeping import BITSKIP, sweep


def test_what_a_damaged_file_holds_is_run_only_when_asked_to(tmp_path: Path) -> None:
    sweep(tmp_path, "--executor", "inline")
    part, *_ = sorted((tmp_path / "results/tiny/trials").iterdir())
    whole = part.read_bytes()
    part.write_bytes(whole[:-300])
    again = sweep(tmp_path, "--executor", "inline")
    assert again.returncode == 1
    assert str(part) in again.stderr
    assert "1 trials that these files may hold were not run" in again.stderr
    assert part.read_bytes() == whole[:-300]
    asked = sweep(tmp_path, "--executor", "inline", "--ignore-damaged")
    assert asked.returncode == 0
    kept = tmp_path / "results/tiny/damaged/trials" / part.name
    assert kept.read_bytes() == whole[:-300]
    assert "4 already in results" in sweep(tmp_path, "--executor", "inline").stdout


def test_a_stream_that_has_no_arrow_gets_another(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("base: {model: nano, tokens: 8000}\nspace: {bits: [16, 8]}\n")
    command = [str(BITSKIP), "sweep", str(file), "--dry-run", "--no-calibrate", "--results", str(tmp_path / "r")]
    done = subprocess.run(command, env=os.environ | {"PYTHONIOENCODING": "cp1252"}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"2 points -> 2 distinct -> 0 already in results" in done.stdout
