"""The report's numbers against the tables they come from, and its rendering on any state of a sweep."""

import io
import json
import math
import statistics

import pytest
from rich.console import Console
from simulated_results import FULL_GRID, exit_rows, grid, results_from, simulate, trial_row, with_interactions

from bitskip.analysis.factorial import as_plain
from bitskip.analysis.metrics import OWN, Metric
from bitskip.errors import UserError
from bitskip.report.document import MARKDOWN, TERMINAL, document
from bitskip.report.format import difference_text
from bitskip.report.html import html_page
from bitskip.report.markdown import markdown
from bitskip.report.summary import analyse, summarise
from bitskip.report.terminal import interval_bar, print_document
from bitskip.trial.config import POINTS, make_trial


def shown(results, width=80, **options):
    console = Console(file=io.StringIO(), width=width)
    print_document(document(analyse(results, **options), TERMINAL), console)
    return console.file.getvalue()


def failure(reason="loss became NaN", **axes):
    return trial_row(make_trial(**axes), None, status="diverged", reason=reason)


def paper():
    return simulate([make_trial(**axes) for axes in POINTS.values()], with_interactions)


STATES = {
    "empty": lambda: results_from([]),
    "one trial": lambda: results_from([trial_row(make_trial(), 4.0)], exit_rows(make_trial(), 4.0)),
    "only failures": lambda: results_from([failure(), failure(bits=4)]),
    "full grid": lambda: simulate(grid(**FULL_GRID), with_interactions),
    "paper": paper,
    "one axis": lambda: simulate(grid(bits=(16, 8)), with_interactions, seeds=1),
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("state", STATES)
def test_renders_every_state_within_the_width(state, width):
    text = shown(STATES[state](), width)
    assert text.strip()
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("state", STATES)
def test_json_has_no_nan(state):
    json.dumps(as_plain(summarise(STATES[state]())), allow_nan=False)


def test_empty_and_failed_sweeps_say_so():
    assert "No trials yet." in shown(STATES["empty"]())
    text = shown(STATES["only failures"]())
    assert "No trial finished: all 2 failed." in text
    assert "loss became NaN" in text


def test_leaderboard_is_mean_and_deviation_over_seeds_sorted():
    results = simulate(grid(**FULL_GRID), with_interactions, seeds=3)
    (section,) = summarise(results).sections
    best = section.leaderboard[0]
    rows = [row for row in results.trials.to_pylist() if row["bits"] == 16 and row["hadamard"] == "none"]
    baseline = [row["ppl"] for row in rows if row["dropout"] == "none" and row["exit_weight"] == 0]
    assert (best.configuration, best.seeds) == ("baseline", 3)
    assert best.loss_sd == pytest.approx(statistics.stdev(map(math.log, baseline)))
    assert (best.ppl, best.ppl_sd) == pytest.approx((statistics.fmean(baseline), statistics.stdev(baseline)))
    assert [row.ppl for row in section.leaderboard] == sorted(row.ppl for row in section.leaderboard)
    assert section.varying == ("bits", "hadamard", "dropout", "exit_weight")


def test_named_variants_are_compared_with_the_baseline():
    results = paper()
    (section,) = summarise(results).sections
    loss = {(row["bits"], row["hadamard"], row["seed"]): row["loss"] for row in results.trials.to_pylist()}
    expected = statistics.fmean(loss[8, "none", s] - loss[16, "none", s] for s in range(2))
    ratio = next(each for each in section.points if each.point == "V1")
    assert ratio.ratio == pytest.approx(math.exp(expected))
    assert ratio.low < ratio.ratio < ratio.high
    text = shown(results).split("Named variants")[1]
    assert text.index("baseline  ") < text.index("V1   ") < text.index("V2  ") < text.index("V3  ")


def test_names_given_by_the_sweep_win():
    rows = [trial_row(make_trial(bits=bits), 4.0, point=f"p{bits}") for bits in (16, 8)]
    (section,) = summarise(results_from(rows)).sections
    assert {row.point for row in section.leaderboard} == {"p8", "p16"}


def test_best_exit_is_the_fastest_within_the_threshold():
    # Simulated exits lose 0.02 nats a layer: two layers cost 4.1 %, three 6.2 %.
    (section,) = summarise(paper()).sections
    assert {profile.best_exit for profile in section.exits} == {4}
    assert [profile.name for profile in section.exits] == ["baseline", "V1", "V2", "V3"]
    (looser,) = summarise(paper(), within=0.07).sections
    assert {profile.best_exit for profile in looser.exits} == {3}
    assert "+50 % *" in shown(paper())


def test_exits_without_speed_have_no_best():
    trial = make_trial()
    exits = [row | {"speed_gain": None} for row in exit_rows(trial, 4.0)]
    (section,) = summarise(results_from([trial_row(trial, 4.0)], exits)).sections
    assert section.exits[0].best_exit is None
    assert shown(results_from([trial_row(trial, 4.0)], exits))


def test_scales_have_their_own_sections():
    rows = [trial_row(make_trial(bits=b, tokens=t), 4.0) for b in (16, 8) for t in (1000, 2000)]
    report = summarise(results_from(rows))
    assert [section.scale for section in report.sections] == [
        "nano, stories, 1 000 tokens",
        "nano, stories, 2 000 tokens",
    ]
    assert all(len(section.leaderboard) == 2 for section in report.sections)


def test_failures_are_listed_and_not_averaged():
    rows = [trial_row(make_trial(seed=s), 4.0) for s in range(2)] + [failure(seed=2)]
    (section,) = summarise(results_from(rows)).sections
    (standing,) = section.leaderboard
    assert (standing.seeds, standing.trials) == (2, 3)
    assert standing.ppl == pytest.approx(math.exp(4))
    assert [each.status for each in section.failures] == ["diverged"]
    assert "2/3" in shown(results_from(rows))


def test_artefacts_are_counted_and_left_out():
    rows = [trial_row(make_trial(), 4.0), trial_row(make_trial(bits=8), 1.0, artefact=True)]
    report = summarise(results_from(rows))
    assert report.overview.artefacts == 1
    assert len(report.sections[0].leaderboard) == 1
    assert "1 trials carry an artefact" in shown(results_from(rows))


def test_problems_are_shown():
    results = results_from([trial_row(make_trial(), 4.0)])
    results.problems.append("trials/x.parquet: unreadable; left out")
    assert "trials/x.parquet: unreadable; left out" in shown(results)


def test_text_from_outside_is_no_markup():
    hostile = "[red]boom[/] [/nothing] :smile: \x1b[31m"
    rows = [trial_row(make_trial(), 4.0, sweep=hostile, point=hostile), failure(hostile, bits=4)]
    results = results_from(rows, exit_rows(make_trial(), 4.0))
    results.problems.append(hostile)
    text = shown(results, 200)
    assert text.count("[red]boom[/] [/nothing] :smile:") == 6
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("interval", "bar"),
    [
        ((-1.0, -0.5, 0.0, 1.0), "━━━━━━●━━━━━┿            "),
        ((0.5, 0.75, 1.0, 1.0), "            │     ━━━●━━━"),
        ((None, 0.0, None, 0.0), "            ●            "),
    ],
)
def test_an_interval_is_drawn_to_scale(interval: tuple[float, float, float, float], bar: str) -> None:
    assert interval_bar(*interval) == bar


def test_wide_terminals_get_bars_and_narrow_ones_fit() -> None:
    for width in (80, 120):
        text = shown(paper(), width)
        assert ("●" in text) == (width == 120)
        assert max(map(len, text.splitlines())) <= width


def test_a_metric_is_an_entry_of_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a column among the variants, and effects in its own unit."""
    monkeypatch.setitem(OWN, "milli_nats", Metric(lambda row: 1000 * row["loss"], "millinats", 5.0))
    results = simulate(grid(**FULL_GRID), with_interactions)
    text = shown(results, 200, metric="milli_nats")
    assert "Main effects on milli nats" in text
    assert "change, millinats" in text
    assert "of perplexity (sd over seeds" not in text
    assert "milli nats" in shown(paper(), 200).split("Named variants")[1].splitlines()[1]
    with pytest.raises(UserError, match="unknown metric"):
        summarise(results, metric="loss")


def test_all_outputs_tell_the_same_of_an_effect() -> None:
    """One table, drawn three times."""
    analysis = analyse(paper())
    effect = next(e for e in analysis.report.sections[0].main_effects if e.estimand == "averaged")
    change = difference_text(effect.value, "ppl")
    outputs = [shown(paper(), 120), markdown(document(analysis, MARKDOWN)), html_page(analysis)]
    assert all(change in text and " ".join(effect.techniques) in text for text in outputs)
