"""What docs/findings.md says is what the committed results hold."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scaling.test_ladder_page import NUMBER, along, anchored, laws, power, ratios, shown

from bitskip.analysis.factorial import as_plain
from bitskip.report.format import interval_text, number_text
from bitskip.report.summary import analyse
from bitskip.store.tables import load_results

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "findings.md"
TRIALS = ROOT / "docs" / "findings_trials.md"
PRETRAINED = ROOT / "results" / "pretrained"
NUMBERS = "## Numbers\n"
ROTATIONS = {"none": "none", "bitnet-v2": "o, down", "bitnet-v2-all": "all"}
MOST_EFFECTS = 24
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


def pretrained() -> Iterator[str]:
    """Perplexities of the grid on a pretrained model, its exits, and its effects."""
    results = load_results(PRETRAINED)
    rows = results.trials.to_pylist()
    heads = [f"{bits} bit, {name}" for bits in (16, 8, 4) for name in ROTATIONS.values()]
    yield from ["", "### Perplexity of the pretrained model", ""]
    yield f"| weights | cache | {' | '.join(heads)} |"
    yield f"| {' | '.join(['---'] * (len(heads) + 2))} |"
    ppl = {(*_stored(row), row["bits"], row["hadamard"]): number_text(row["ppl"]) for row in rows}
    for stored in dict.fromkeys(map(_stored, rows)):
        cells = [ppl.get((*stored, bits, name), "") for bits in (16, 8, 4) for name in ROTATIONS]
        yield f"| {stored[0]} | {stored[1]} bit | {' | '.join(cells)} |"

    exits: dict[str, list[str]] = {}
    for row in results.exits.to_pylist():
        exits.setdefault(row["trial_id"], []).append(f"{row['bpb']:.3f}")
    yield from ["", "### Bits per byte behind each quarter of the blocks", ""]
    yield from ["Full weights and cache, the exits as they are.", ""]
    yield "| activations | rotation | 1/4 | 1/2 | 3/4 | full |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in rows:
        if _stored(row) == ("full", 16):
            yield f"| {row['bits']} bit | {ROTATIONS[row['hadamard']]} | {' | '.join(exits[row['trial_id']])} |"

    (section, *_) = as_plain(analyse(results, source=PRETRAINED).report)["sections"]
    effects = [each for each in anchored(section) if each["value"] is not None]
    effects.sort(key=lambda each: (len(each["techniques"]), -abs(each["value"])))
    yield from ["", "### Effects on the pretrained model", ""]
    yield "All others off; 95 % intervals over 32 pieces of the held-out text; verdicts allow for all comparisons."
    yield from ["", "| effect | on perplexity | verdict |", "| --- | --- | --- |"]
    for each in effects[:MOST_EFFECTS]:
        name = " × ".join(each["techniques"]).replace(" hadamard_blocks True", "").replace(" absmax full", "")
        yield f"| {name} | {interval_text(each['value'], each['low'], each['high'], shown)} | {each['verdict']} |"


def _stored(row: dict[str, Any]) -> tuple[str, int]:
    """How weights and cache are stored."""
    bits = row["weight_bits"]
    weights = row["weights"] if bits == 16 else f"{bits} bit, {row['weight_group']}"
    return weights, row["kv_bits"]


def numbers() -> str:
    """All of the page that is generated."""
    return "\n".join(line for part in (ratios, along, laws, power, pretrained, claims) for line in part()) + "\n"


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
