"""The findings and the README say what the committed results say."""

import math
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from bitskip.store.tables import load_results

ROOT = Path(__file__).parents[2]
BITSKIP = Path(sys.executable).with_name("bitskip")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")


def alike(first: str, second: str) -> None:
    """The same words in the same order, and the same numbers but for the last digits of other arithmetic."""
    first, second = (" ".join(text.split()) for text in (first, second))
    words = [NUMBER.sub("#", text) for text in (first, second)]
    assert words[0] == words[1]
    for one, other in zip(NUMBER.findall(first), NUMBER.findall(second), strict=True):
        assert float(one) == pytest.approx(float(other), rel=0.02, abs=0.15), (one, other)


def bitskip(*words: str) -> str:
    done = subprocess.run([str(BITSKIP), *words], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_findings_are_what_the_committed_results_give(tmp_path: Path) -> None:
    bitskip("report", "results/reference", "--markdown", str(tmp_path / "findings.md"))
    alike((tmp_path / "findings.md").read_text(), (ROOT / "docs" / "findings_trials.md").read_text())


def test_readme_shows_what_predict_answers() -> None:
    shown = re.search(r"\$ bitskip predict --bits 4 --hadamard\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert shown is not None
    alike(bitskip("predict", "--bits", "4", "--hadamard", "--results", "results/reference"), shown[1])


def test_readme_quotes_the_findings() -> None:
    section = (ROOT / "README.md").read_text().split("## What it has found so far")[1].split("```")[0]
    quoted = re.findall(
        r"[-+]?[\d.]+ %? ?\([-+\d.]+(?: %)? to [-+\d.]+(?: %)?\)|[\d.]+ ± [\d.]+ %", " ".join(section.split())
    )
    assert len(quoted) == 10
    findings = " ".join((ROOT / "docs" / "findings.md").read_text().split())
    assert [each for each in quoted if each not in findings] == []
    assert len(section.strip().splitlines()) <= 20


def test_composition_at_each_learning_rate_is_that_of_the_search() -> None:
    """Recomputed from the rows: how much further 4 bits change what rotation does to full precision."""
    found: dict[float, dict[tuple[int, str], dict[int, float]]] = {}
    for row in load_results(ROOT / "results" / "reference").trials.to_pylist():
        if row["sweep"] == "tuning" and row["bits"] != 8:
            at_rate = found.setdefault(row["lr"], {})
            at_rate.setdefault((row["bits"], row["hadamard"]), {})[row["seed"]] = math.log(row["ppl"])
    expected = []
    for rate in (0.001, 0.002, 0.004, 0.008, 0.016):
        ppl = found[rate]
        effects = [
            ppl[4, "bitnet-v2"][seed] - ppl[4, "none"][seed] - ppl[16, "bitnet-v2"][seed] + ppl[16, "none"][seed]
            for seed in ppl[4, "none"]
        ]
        assert len(effects) == 3
        expected.append(f"{100 * math.expm1(statistics.fmean(effects)):+.1f} %")
    findings = (ROOT / "docs" / "findings_trials.md").read_text()
    search = findings.split("## Learning rates")[1].split("nano, stories, 400 000 tokens: composition")[1]
    (line,) = re.findall(r"\| bits 4 × hadamard bitnet-v2 \|(.*)\|", search.split("nano, wiki")[0])
    shown = [cell.split(" (")[0].strip() for cell in line.split("|")]
    assert shown[:5] == expected
