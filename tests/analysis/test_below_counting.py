"""What compares a model below counting is shown and is no finding, in effects, ratios, claims and reports."""

import io
import math
from typing import Any

import pytest
from rich.console import Console
from simulated_results import grid, results_from, simulate, trial_row, with_interactions

from bitskip.analysis.effects import Effect, composition_effects, main_effects
from bitskip.analysis.factorial import strata
from bitskip.analysis.verdicts import BELOW_COUNTING
from bitskip.paper.claims import UNRESOLVED, JudgedClaim, judged_claims
from bitskip.report.document import MARKDOWN, TERMINAL, document
from bitskip.report.markdown import markdown
from bitskip.report.summary import analyse, summarise
from bitskip.report.terminal import print_document
from bitskip.store.tables import Results
from bitskip.trial.config import POINTS, make_trial


def beside(results: Results, line: float | None, **where: Any) -> Results:
    """The results with bigrams at a loss; rows that differ from `where` are ten nats below them."""
    rows = results.trials.to_pylist()
    for row in rows:
        here = all(row[name] == value for name, value in where.items())
        row["bigram_loss"] = line if here or line is None else row["loss"] + 10
        row["fivegram_loss"], row["ngram_tokens"] = None if line is None else 1.0, None if line is None else 1000
    return results_from(rows, results.exits.to_pylist())


def without_marks(effects: list[Effect]) -> list[tuple[Any, ...]]:
    return [(e.techniques, e.estimand, e.value, e.low, e.high, e.p_adjusted) for e in effects]


GRID = grid(bits=(16, 8, 4), hadamard=(False, True), dropout=("none", "quadratic"))


def test_models_that_beat_bigrams_and_rows_without_them_are_as_before() -> None:
    results = simulate(GRID, with_interactions, seeds=3)
    for order in (main_effects, composition_effects):
        plain = order(results)
        assert order(beside(results, None)) == plain
        assert order(beside(results, 50.0)) == plain
        assert all(effect.verdict != BELOW_COUNTING for effect in plain)


def test_a_scale_below_counting_makes_no_finding_and_shows_its_numbers() -> None:
    results = simulate(GRID, with_interactions, seeds=3)
    below = beside(results, 1.0)
    for order in (main_effects, composition_effects):
        plain, marked = order(results), order(below)
        assert without_marks(marked) == without_marks(plain)
        assert {e.verdict for e in marked if e.value is not None} == {BELOW_COUNTING}
        assert all(e.more_seeds is None for e in marked)


def test_only_effects_that_compare_the_model_below_counting_are_marked() -> None:
    """4 bits without rotation are below counting: not what 8 bits alone do at the baseline, nor rotation there."""
    results = simulate(GRID, with_interactions, seeds=3)
    found = main_effects(beside(results, 1.0, bits=4, hadamard="none", dropout="none"))
    marked = {(e.techniques, e.estimand) for e in found if e.verdict == BELOW_COUNTING}
    names = {estimand: {t for t, e in marked if e == estimand} for estimand in ("anchored", "averaged")}
    labels = {e.techniques for e in found}
    four = next(each for each in labels if "4 bits" in each[0] or each[0].startswith("bits 4"))
    assert names["anchored"] == {four}
    assert four in names["averaged"]
    eight = next(each for each in labels if "8" in each[0] and each != four)
    assert eight not in names["averaged"]  # compares 16 with 8 bits only
    dropout = next(each for each in labels if "dropout" in each[0])
    assert dropout in names["averaged"]


@pytest.mark.parametrize(("bigram", "expected"), [(3.9, True), (4.0, True), (4.1, False), (None, False)])
def test_below_counting_is_a_mean_loss_that_is_not_below_bigrams(bigram: float | None, expected: bool) -> None:
    rows = [trial_row(make_trial(seed=seed), 4.0 + shift) for seed, shift in enumerate((-0.05, 0.05))]
    (stratum,) = strata(results_from([{**row, "bigram_loss": bigram} for row in rows]))
    assert stratum.cells[0].below_counting is expected


def paper() -> Results:
    return simulate([make_trial(**axes) for axes in POINTS.values()], with_interactions, seeds=3)


def judged(results: Results) -> list[JudgedClaim]:
    return judged_claims(strata(results), {}, {})


def test_claims_about_a_model_below_counting_stay_open() -> None:
    results = paper()
    decided = {each.claim for each in judged(results) if each.verdict not in (UNRESOLVED, "not measured")}
    assert decided
    for each in judged(beside(results, 1.0)):
        if each.value is not None:
            assert each.verdict == UNRESOLVED
            assert each.note.endswith(BELOW_COUNTING)


def shown(results: Results) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_document(document(analyse(results), TERMINAL), console)
    return console.file.getvalue()


def test_reports_show_the_lines_and_say_what_is_no_finding() -> None:
    results = paper()
    (section,) = summarise(beside(results, 1.0)).sections
    assert section.counting is not None
    assert section.counting.bigram_ppl == pytest.approx(math.e)
    assert all(each.below_counting for each in section.points)
    best = section.leaderboard[0]
    assert best.above_bigram == pytest.approx(math.log(best.ppl) - 1.0, abs=0.01)
    text = " ".join(shown(beside(results, 1.0)).split())
    assert "Counting reaches 2.718 with bigrams" in text
    assert "4 of 4 configurations are below counting" in text
    assert "V1 against baseline:" not in text
    above = " ".join(shown(beside(results, 50.0)).split())
    assert "V1 against baseline:" in above
    assert "configurations are below counting" not in above
    pages = markdown(document(analyse(beside(results, 1.0)), MARKDOWN))
    assert "against bigrams" in pages
    assert "Counting reaches" not in shown(results)


def test_a_defect_of_a_model_below_counting_is_in_the_table_and_not_in_the_summary() -> None:
    defects = ({}, {"tiny_init": True}, {"relu2_in_linear": True}, {"tiny_init": True, "relu2_in_linear": True})
    rows = [
        trial_row(make_trial(bits=8, seed=seed, artefacts=on), 4.0 + len(on) + 0.01 * seed, artefact=bool(on))
        for on in defects
        for seed in range(3)
    ]
    above, below = (" ".join(shown(beside(results_from(rows), line)).split()) for line in (50.0, 1.0))
    told = "tiny_init: true alone"
    assert told in above
    assert told not in below
    assert "below counting" in below.partition("published over correct")[2][:60]


def test_the_share_that_leaked_is_told() -> None:
    rows = beside(paper(), 50.0).trials.to_pylist()
    told = results_from([{**row, "leaked_share": 0.021 if at else None} for at, row in enumerate(rows)])
    assert "2.1 % of the measured passages stand in the training text." in " ".join(shown(told).split())


def test_an_effect_of_a_model_of_pairs_rests_on_all_cells_that_were_run() -> None:
    """Both corners of 4 bits x rotation are missing, so that no cells tell it; 8 bits are in the model all the same."""
    missing = [(4, True, "none"), (16, False, "quadratic")]
    trials = [t for t in GRID if (t["bits"], t["hadamard"] != "none", t["dropout"]) not in missing]
    results = simulate(trials, with_interactions, seeds=3)
    verdicts = {
        bits: [e.verdict for e in composition_effects(marked, estimands=("modelled",)) if e.value is not None]
        for bits, marked in ((8, beside(results, 1.0, bits=8)), (0, beside(results, 50.0)))
    }
    assert set(verdicts[8]) == {BELOW_COUNTING}
    assert verdicts[0]
    assert BELOW_COUNTING not in verdicts[0]
