"""A term, an axis, a trial or an effect is told from what is known of it."""

import math
from pathlib import Path

import pytest
from simulated_results import grid, simulate, single_effects

from bitskip.analysis.verdicts import BELOW_COUNTING
from bitskip.errors import UserError
from bitskip.report.explain import EFFECT, TERM, TRIAL, explain_measured, explain_word, techniques_of
from bitskip.report.glossary import GLOSSARY, PLAIN
from bitskip.report.table import Table, Text, shown_text
from bitskip.store.folder import SweepFolder
from bitskip.store.tables import Results, load_results, write_trial
from bitskip.trial.config import TrialConfig, make_trial

PAIR = {"bits": (16, 4), "hadamard": ("none", "bitnet-v2")}


def interfering(trial: TrialConfig) -> float:
    return single_effects(trial) + math.log(1.2) * (trial["bits"] == 4 and trial["hadamard"] != "none")


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Results, Path]:
    folder = tmp_path / "simulated"
    for row in simulate(grid(**PAIR), interfering, seeds=4, sigma=0.001).trials.to_pylist():
        write_trial(folder, row)
    return load_results(tmp_path), tmp_path


def text_of(blocks: object) -> str:
    lines = []
    for block in blocks:  # type: ignore[attr-defined]
        lines += [block.title, *(block.lines if isinstance(block, Text) else ())]
        if isinstance(block, Table):
            lines += [" ".join(map(shown_text, row)) for row in block.rows]
    return "\n".join(lines)


@pytest.mark.parametrize("term", [*GLOSSARY, "Anchored", "open", "higher together"])
def test_a_term_or_a_verdict_in_plain_words_is_told_in_a_line(term: str) -> None:
    found = explain_word(term)
    assert found is not None
    assert found.kind == TERM
    assert found.plain["means"] in text_of(found.blocks)


def test_an_axis_is_told_with_its_values_and_default() -> None:
    found = explain_word("dropout")
    assert found is not None
    assert "quadratic" in text_of(found.blocks)
    assert found.plain["default"] == "none"
    assert explain_word("bits 4") is None


def test_an_effect_is_told_with_its_corners_and_every_estimand(stored: tuple[Results, Path]) -> None:
    found = explain_measured(stored[0], "hadamard x bits 4", "ppl", stored[1])
    assert found.kind == EFFECT
    told = text_of(found.blocks)
    effects = found.plain["scales"][0]["effects"]
    assert {tuple(own["techniques"]) for own in effects} == {("bits 4", "hadamard bitnet-v2")}
    assert [own["value"] for own in effects] == pytest.approx([math.log(1.2)] * len(effects), abs=0.01)
    assert {"anchored", "averaged"} == {own["estimand"] for own in effects}
    assert "higher together" in told
    corners = [line for line in told.splitlines() if line.startswith(("baseline ", "bits 4 ", "hadamard bitnet-v2 "))]
    assert [line.split()[-5] for line in corners if " × " not in line] == ["4"] * 4
    assert f"super-additive: {GLOSSARY['super-additive']}." in told
    assert "undertrained" in told.lower()


def test_techniques_may_be_joined_in_several_ways() -> None:
    for text in ("bits 4 x hadamard", "bits 4 × hadamard", "bits 4 with hadamard", "bits 4*hadamard"):
        assert techniques_of(text) == ["bits 4", "hadamard"]


def test_a_trial_is_told_with_configuration_regime_and_the_end_of_its_log(stored: tuple[Results, Path]) -> None:
    trial = make_trial(bits=4, hadamard=True)
    log = SweepFolder(stored[1] / "simulated").log(trial.trial_id)
    log.parent.mkdir()
    log.write_text("\n".join(f"line {at}" for at in range(30)))
    found = explain_measured(stored[0], trial.trial_id[:8], "ppl", stored[1])
    assert found.kind == TRIAL
    told = text_of(found.blocks)
    assert "bits 4 + hadamard bitnet-v2, seed 0" in told
    assert "tokens a parameter" in told
    assert "line 29" in told
    assert "line 10" not in told
    assert found.plain["log_tail"][-1] == "line 29"


@pytest.mark.parametrize("text", ["bits 5", "nonsens", "bits 4 x", "a" * 16, "bits 4 x bits 4 x hadamard x hadamard"])
def test_what_is_not_known_is_said_in_one_line(stored: tuple[Results, Path], text: str) -> None:
    with pytest.raises(UserError, match="no term, axis, trial or effect"):
        explain_measured(stored[0], text, "ppl", stored[1])


def test_every_verdict_has_a_gloss() -> None:
    assert BELOW_COUNTING in PLAIN
    assert all(explain_word(plain.words) for plain in PLAIN.values())
