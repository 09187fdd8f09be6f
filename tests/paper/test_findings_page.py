"""What docs/findings.md says is what the committed results hold."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from scaling.test_ladder_page import NUMBER, along, laws, power, ratios

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "findings.md"
TRIALS = ROOT / "docs" / "findings_trials.md"
NUMBERS = "## Numbers\n"
LONGEST = 300


def claims() -> Iterator[str]:
    """Of the paper's statements, those at the two scales of the full grid."""
    _, _, table = TRIALS.read_text().partition("## What the paper says, and what was measured")
    rows = [line.split(" | ") for line in table.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    heads, _, *found = rows
    kept = [heads.index(name) for name in ("| statement", "published", "measured (95 %)", "n", "verdict")]
    yield from ["", "### Statements of the paper", ""]
    yield f"| text {' | '.join(('', *(heads[place].lstrip('| ') for place in kept)))} |"
    yield f"| {' | '.join(['---'] * (len(kept) + 1))} |"
    for scale, text in (("A", "WikiText-2"), ("B", "stories")):
        for row in found:
            if row[heads.index("scale")] == scale:
                yield f"| {text} | {' | '.join(row[place].lstrip('| ') for place in kept)} |"


def numbers() -> str:
    """All of the page that is generated."""
    return "\n".join(line for part in (ratios, along, laws, power, claims) for line in part()) + "\n"


def test_numbers_of_the_page_are_those_of_the_results() -> None:
    """Written by this file with PYTHONPATH=tests; last digits may be those of other arithmetic."""
    written, made = (" ".join(text.split()) for text in (PAGE.read_text().partition(NUMBERS)[2], numbers()))
    assert NUMBER.sub("#", written) == NUMBER.sub("#", made)
    for one, other in zip(NUMBER.findall(written), NUMBER.findall(made), strict=True):
        assert float(one) == pytest.approx(float(other), rel=0.02, abs=0.15)


def test_the_page_is_short_and_its_words_are_in_the_tables() -> None:
    """Every interval, percentage and crossing in words stands in a table, here or of the trials."""
    text = PAGE.read_text()
    assert len(text.splitlines()) <= LONGEST
    words, _, tables = text.partition(NUMBERS)
    words = " ".join(words.partition("## Along")[2].partition("Withdrawn:")[0].split())
    said = re.findall(r"[-+][\d.]+ %(?: ± [\d.]+ %)?|[\d.]+ ± [\d.]+ %|\d+\.\d+ \([\d.]+ to [\d.]+\)", words)
    assert len(said) > 20
    known = tables + TRIALS.read_text()
    assert [each for each in said if re.sub(r"(\.\d)0\b", r"\1", each) not in known and each not in known] == []


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(NUMBERS)[0] + NUMBERS + numbers())
