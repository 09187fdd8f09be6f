"""Damaged files of every kind that is read: one line or the right numbers, in bounded memory and time.

FUZZ_CASES says how many of each kind (default 30; `make fuzz` takes 1,000), FUZZ_SEED which.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES, SEED = int(os.environ.get("FUZZ_CASES", "30")), int(os.environ.get("FUZZ_SEED", "0"))
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("kind", ["data", "tokenizer", "yaml", "results"])
def test_damaged_files_are_refused_in_a_line_or_read_right(kind: str, tmp_path: Path) -> None:
    worker = [
        sys.executable,
        str(Path(__file__).with_name("worker.py")),
        kind,
        str(SEED),
        "0",
        str(CASES),
        str(tmp_path),
    ]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(worker, env=os.environ | {"PYTHONPATH": paths}, text=True, capture_output=True, check=False)
    print(done.stderr[-2000:])
    faults = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert faults == []
    assert done.returncode == 0, f"case {(tmp_path / 'at').read_text()}: {done.stderr[-2000:]}"
