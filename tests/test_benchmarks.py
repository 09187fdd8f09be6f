"""The documentation shows what the benchmark scripts print."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def rows(text: str) -> dict[str, list[float]]:
    """Numbers of a Markdown table's rows, by the first cell."""
    cells = (line.strip("| \n").split(" | ") for line in text.splitlines() if line.startswith("| "))
    return {first: [float(n) for n in re.findall(r"\d+\.\d+", " ".join(rest))] for first, *rest in cells}


def test_rotation_errors_are_documented_as_measured(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "benchmarks" / "rotation_error.py"), run_name="__main__")
    measured = {name: numbers for name, numbers in rows(capsys.readouterr().out).items() if numbers}
    documented = rows((ROOT / "docs" / "method.md").read_text())
    assert len(measured) == 7
    for name, numbers in measured.items():
        assert documented[name] == pytest.approx(numbers, rel=0.02, abs=1e-4)
