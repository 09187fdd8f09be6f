"""The first screen: five questions are answered in forty lines, and every topic can be had alone."""

import dataclasses
import io
import math
import shlex
from pathlib import Path

import pytest
from rich.console import Console
from simulated_results import FULL_GRID, exit_rows, grid, results_from, simulate, single_effects, trial_row

from bitskip.errors import UserError
from bitskip.report.document import TERMINAL, document, first_screen, topic_names
from bitskip.report.glossary import GLOSSARY
from bitskip.report.next_run import next_run
from bitskip.report.summary import analyse
from bitskip.report.table import Document, Table, Text
from bitskip.report.terminal import print_document
from bitskip.report.topics.answer import frontier
from bitskip.store.tables import Results
from bitskip.sweep.sweep_file import load_sweep
from bitskip.trial.config import POINTS, TrialConfig, make_trial

PAIR = {"bits": (16, 4), "hadamard": ("none", "bitnet-v2")}


def screen(results: Results, width: int = 80, source: Path = Path("results")) -> str:
    return printed(first_screen(analyse(results, source=source)), width, ruled=False)


def printed(told: Document, width: int, *, ruled: bool = True) -> str:
    sink = io.StringIO()
    print_document(told, Console(file=sink, width=width), ruled=ruled)
    return sink.getvalue()


def interfering(trial: TrialConfig) -> float:
    """Together 20 % worse than the product of the two."""
    both = trial["bits"] == 4 and trial["hadamard"] != "none"
    return float(single_effects(trial)) + math.log(1.2) * both


def several_sizes() -> Results:
    trials = [make_trial(model=m, tokens=2_000_000, **t) for m in ("pico", "nano") for t in crossed()]
    rows = [dataclasses.replace(trial, seed=seed) for trial in trials for seed in (0, 1)]
    return results_from([trial_row(each, interfering(each) + 0.001 * each.seed) for each in rows])


def crossed() -> list[dict[str, object]]:
    return [{"bits": bits, "hadamard": rotation} for bits in PAIR["bits"] for rotation in PAIR["hadamard"]]


STATES = {
    "nothing": lambda: results_from([]),
    "one trial": lambda: results_from([trial_row(make_trial(), 4.0)], exit_rows(make_trial(), 4.0)),
    "only failures": lambda: results_from([trial_row(make_trial(), None, status="diverged", reason="NaN")]),
    "no repeats": lambda: simulate(grid(**PAIR), interfering, seeds=1),
    "full grid": lambda: simulate(grid(**FULL_GRID), interfering),
    "the paper's": lambda: simulate([make_trial(**axes) for axes in POINTS.values()], single_effects),
    "several sizes": several_sizes,
    "only defects": lambda: results_from([trial_row(make_trial(bits=8), 1.0, artefact=True)]),
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_one_screen_that_ends_with_a_command(state: str) -> None:
    text = screen(STATES[state]())
    lines = text.rstrip().splitlines()
    assert len(lines) <= 40
    *others, command = lines
    assert max(map(len, others)) <= 80
    assert command.startswith("bitskip ")


def test_five_questions_are_answered() -> None:
    text = " ".join(screen(simulate(grid(**PAIR), interfering, seeds=4, sigma=0.001)).split())
    assert "no technique" in text.split("Best for its size")[1].split("Change of")[0]
    assert "bits 4 with hadamard bitnet-v2: +20.3 % (+20.1 % to +20.5 %)" in text
    assert "higher together; 1 of 1 pairs are decided" in text
    assert "whether it holds with size is not known" in text
    assert "after block 4 of 6: +50 % speed for +4.1 % perplexity" in text
    assert "What to run next" in text
    know = text.split("What to know")[1].split("What to run next")[0]
    assert know.count("tokens a parameter, undertrained)") == 3


def test_whether_it_holds_with_size_is_told_of_the_whole_ladder() -> None:
    text = " ".join(screen(several_sizes()).split())
    told = "Over 2 scales it keeps its sign: +20.0 % at the smallest and +20.0 % at the largest"
    assert f"{told} (46.3 k to 369 k parameters, 5.41 to 43.2 tokens a parameter)" in text


def test_a_verdict_is_a_mark_in_the_matrix() -> None:
    text = screen(simulate(grid(**PAIR), interfering, seeds=4, sigma=0.001))
    (row,) = (line for line in text.splitlines() if line.startswith("b hadamard"))
    assert row.split() == ["b", "hadamard", "bitnet-v2", "+15.2", "▲", "+20.3", "▲"]


def test_the_frontier_is_what_no_smaller_one_beats() -> None:
    (section,) = analyse(simulate(grid(**PAIR), interfering)).report.sections
    board = [
        dataclasses.replace(section.leaderboard[0], ppl=ppl, weight_bytes=size)
        for ppl, size in ((10.0, 300), (11.0, 400), (12.0, 100), (13.0, 200), (14.0, None))
    ]
    assert [each.weight_bytes for each in frontier(board)] == [300, 100]
    assert frontier([]) == []


def test_what_to_run_next_follows_from_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("name: simulated")

    def command(results: Results) -> str:
        return next_run(analyse(results, source=tmp_path))[1]

    again = f"bitskip sweep {shlex.quote(str(tmp_path / 'sweep.yaml'))} --results {tmp_path.parent}"
    assert command(results_from([])) == "bitskip sweep sweeps/quickstart.yaml"
    assert command(STATES["only failures"]()).endswith("--only failures")
    assert command(STATES["no repeats"]()) == f"{again} --set seeds=2"
    assert command(simulate(grid(**PAIR), interfering)).startswith(f"{again} --set base.tokens=")
    trained = simulate([make_trial(**t.axes() | {"tokens": 8_000_000}) for t in _three()], interfering)
    assert command(trained) == f"bitskip suggest --crossed --results {tmp_path}"


LADDER = """name: simulated
base: {data: stories}
ladder: {models: [pico, nano], tokens: [200_000, 2_000_000]}
space: {bits: [16, 4], hadamard: [none, bitnet-v2]}
seeds: 2
"""


def rungs(budgets: tuple[int, ...], left_out: int = 0) -> Results:
    """Those of LADDER; the last trials have not run."""
    trials = [make_trial(model=m, tokens=n, **t) for m in ("pico", "nano") for n in budgets for t in crossed()]
    rows = [trial_row(dataclasses.replace(t, seed=seed), interfering(t)) for t in trials for seed in (0, 1)]
    return results_from(rows[: len(rows) - left_out])


def test_a_ladder_shows_the_largest_model_that_is_trained_long_enough() -> None:
    both = (200_000, 2_000_000)
    assert "Shown: nano, stories, 2 000 000 tokens" in screen(rungs(both))
    assert "Shown: nano, stories, 2 000 000 tokens" in screen(rungs(both, left_out=2))
    assert "Shown: pico, stories, 2 000 000 tokens" in screen(rungs(both, left_out=6))


def test_a_ladder_is_finished_first_and_then_gets_a_rung(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(LADDER)
    again = f"bitskip sweep {shlex.quote(str(tmp_path / 'sweep.yaml'))} --results {tmp_path.parent}"
    told = next_run(analyse(rungs((200_000,)), source=tmp_path))
    assert told == ("16 trials of the ladder have not run.", again)
    whole = rungs((200_000, 2_000_000))
    assert next_run(analyse(whole, source=tmp_path))[1] == f"bitskip suggest --results {tmp_path}"


@pytest.mark.parametrize("state", ["no repeats", "full grid", "trained"])
def test_what_to_run_next_is_a_command_that_is_taken(tmp_path: Path, state: str) -> None:
    (tmp_path / "sweep.yaml").write_text("name: simulated\nspace: {bits: [16, 4], hadamard: [none, bitnet-v2]}")
    trained = [make_trial(**trial.axes() | {"tokens": 8_000_000}) for trial in grid(**PAIR)]
    results = simulate(trained, interfering, seeds=9, sigma=1e-4) if state == "trained" else STATES[state]()
    words = shlex.split(next_run(analyse(results, source=tmp_path))[1])
    assert words[:2] == ["bitskip", "sweep"]
    settings = [word for at, word in enumerate(words) if words[at - 1] == "--set"]
    assert settings
    assert load_sweep(Path(words[2]), overrides=settings).trials


def _three() -> list[TrialConfig]:
    """A pair without the corner of its second technique alone."""
    return [t for t in grid(**PAIR) if t["bits"] == 4 or t["hadamard"] == "none"]


def test_failures_are_counted_and_pointed_to() -> None:
    rows = [trial_row(make_trial(seed=s), 4.0) for s in (0, 1)] + [
        trial_row(make_trial(seed=2), None, status="diverged")
    ]
    assert "1 trials have no result: --only failures." in screen(results_from(rows))


def test_topics_alone_and_no_other() -> None:
    analysis = analyse(simulate(grid(**PAIR), interfering))
    assert {"effects", "exits", "claims", "mechanisms", "glossary"} <= set(topic_names())
    told = document(analysis, TERMINAL, only=["exits", "glossary"])
    titles = {block.title for chapter in told.chapters for block in chapter.blocks if isinstance(block, Table | Text)}
    assert any(title.startswith("Exits") for title in titles)
    assert not any("effects on" in title for title in titles)
    with pytest.raises(UserError, match="unknown topic 'effect'; did you mean 'effects'"):
        document(analysis, TERMINAL, only=["effect"])


def test_what_is_not_estimable_is_one_line_with_a_count_and_a_command() -> None:
    text = printed(document(analyse(simulate(_three(), interfering)), TERMINAL, only=["effects"]), 200)
    (line,) = (each for each in text.splitlines() if "Composition" in each and "not estimable" in each)
    assert "1 of 1 not estimable. `bitskip suggest --crossed`" in line


def test_intervals_are_never_broken_over_lines() -> None:
    points = simulate([make_trial(**axes) for axes in POINTS.values()], interfering)
    text = printed(document(analyse(points), TERMINAL), 80)
    named = text.split("Named variants")[1].split("Configurations by")[0]
    ratios = [line for line in named.splitlines() if " to " in line]
    assert len(ratios) == 3
    assert all(line.count("(") == line.count(")") for line in ratios)


def test_terms_are_glossed_once_and_in_one_line() -> None:
    assert {"anchored", "nested", "sub-additive", "stalled", "undertrained", "rate open", "modelled"} <= set(GLOSSARY)
    assert all("\n" not in meaning and not meaning.endswith(".") for meaning in GLOSSARY.values())
