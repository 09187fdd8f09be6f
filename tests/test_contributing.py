"""What CONTRIBUTING.md shows runs as it stands: the technique of ten minutes keeps the contract."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_technique_of_ten_minutes(tmp_path: Path) -> None:
    technique, contract = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    (tmp_path / "input_clipping.py").write_text(technique)
    (tmp_path / "test_input_clipping.py").write_text(
        "import pytest\nfrom bitskip.techniques.registry import load_plugins\n"
        f"load_plugins(['input_clipping'])\nfrom input_clipping import InputClipping\n{contract}"
    )
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(r"\b9 passed", found.stdout)


def test_it_names_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path in re.findall(r"`((?:bitskip|examples|docs|tests)/[\w./-]+)`", text):
        assert (ROOT / path).exists() or path.endswith("my_technique.py"), path
