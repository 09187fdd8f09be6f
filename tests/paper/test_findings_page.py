"""What docs/findings.md says is what the committed results hold."""

import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scaling.test_ladder_page import NUMBER, along, laws, power, ratios, shown

from bitskip.analysis.effects import composition_effects, main_effects
from bitskip.report.format import interval_text, number_text
from bitskip.store.tables import load_results

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "findings.md"
TRIALS = ROOT / "docs" / "findings_trials.md"
RUNG = ROOT / "results" / "audit_rung"
PRETRAINED = ROOT / "results" / "pretrained"
ROTATIONS = {"none": "none", "bitnet-v2": "o, down", "bitnet-v2-all": "all"}
NUMBERS = "## Numbers\n"
MODELS = (
    ("baseline", 16, ("none", "none")),
    ("V1", 8, ("none", "none")),
    ("V3", 8, ("bitnet-v2", "as-published")),
)
"""With the rotation of the correct model, and of the published one."""

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


def rung() -> Iterator[str]:
    """The audit's models at 20 tokens a parameter, correct and as published."""
    results = load_results(RUNG)
    yield from ["", "### The audit's models at 20 tokens a parameter", ""]
    yield "`pico`, 926 000 tokens of stories; perplexity: mean ± sd over the finished of 3 seeds."
    yield from ["", "| model | correct | as published |", "| --- | --- | --- |"]
    ppl: dict[tuple[int, str, bool], list[float | None]] = {}
    for row in results.trials.to_pylist():
        ppl.setdefault((row["bits"], row["hadamard"], bool(row["artefact"])), []).append(row["ppl"])
    for name, bits, (correct, published) in MODELS:
        yield f"| {name} | {_spread(ppl[bits, correct, False])} | {_spread(ppl[bits, published, True])} |"
    yield from ["", "| effect, correct models | on perplexity | n |", "| --- | --- | --- |"]
    for each in main_effects(results, estimands=("averaged",)):
        if each.value is not None:
            change = interval_text(each.value, each.low, each.high, shown)
            yield f"| {each.techniques[0]} | {change} | {each.seeds} |"


def _spread(found: list[float | None]) -> str:
    values = [each for each in found if each is not None]
    if not values:
        return f"none of {len(found)} finished"
    return f"{number_text(statistics.fmean(values))} ± {number_text(statistics.stdev(values))} (n={len(values)})"


def pretrained() -> Iterator[str]:
    """Perplexities of the grid on a pretrained model, its exits, and its effects."""
    results = load_results(PRETRAINED)
    rows = results.trials.to_pylist()
    heads = [f"{bits} bit, {name}" for bits in (16, 8, 4) for name in ROTATIONS.values()]
    yield from ["", "### Perplexity of the pretrained model", ""]
    yield f"| weights | cache | {' | '.join(heads)} |"
    yield f"| {' | '.join(['---'] * (len(heads) + 2))} |"
    ppl = {(*_stored(row), row["bits"], row["hadamard"]): number_text(row["ppl"]) for row in rows}
    for stored in sorted(
        {_stored(row) for row in rows}, key=lambda stored: (stored[0] != "full", stored[0], -stored[1])
    ):
        cells = [ppl.get((*stored, bits, name), "") for bits in (16, 8, 4) for name in ROTATIONS]
        yield f"| {stored[0]} | {stored[1]} bit | {' | '.join(cells)} |"

    exits: dict[str, list[str]] = {}
    for row in results.exits.to_pylist():
        exits.setdefault(row["trial_id"], []).append(f"{row['bpb']:.3f}")
    yield from ["", "### Bits per byte behind each quarter of the blocks", ""]
    yield from ["Full weights and cache, the exits as they are.", ""]
    yield "| activations | rotation | 1/4 | 1/2 | 3/4 | full |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in sorted(rows, key=lambda row: (-row["bits"], list(ROTATIONS).index(row["hadamard"]))):
        if _stored(row) == ("full", 16):
            yield f"| {row['bits']} bit | {ROTATIONS[row['hadamard']]} | {' | '.join(exits[row['trial_id']])} |"

    yield from ["", "### Effects on the pretrained model", ""]
    yield "All others off; 95 % intervals over pieces of the held-out text; verdicts allow for all comparisons."
    yield from ["", "| effect | on perplexity | verdict |", "| --- | --- | --- |"]
    for each in (*main_effects(results), *composition_effects(results)):
        if each.estimand == "anchored" and each.value is not None:
            name = " × ".join(each.techniques).replace(" hadamard_blocks True", "").replace(" absmax full", "")
            yield f"| {name} | {interval_text(each.value, each.low, each.high, shown)} | {each.verdict} |"


def _stored(row: dict[str, Any]) -> tuple[str, int]:
    """How weights and cache are stored."""
    bits = row["weight_bits"]
    weights = row["weights"] if bits == 16 else f"{bits} bit, {row['weight_group']}"
    return weights, row["kv_bits"]


def numbers() -> str:
    """All of the page that is generated."""
    return "\n".join(line for part in (ratios, along, laws, power, pretrained, rung, claims) for line in part()) + "\n"


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
