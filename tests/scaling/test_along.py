"""What a report says of effects along a ladder, against truths that are known."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scaled_ladders import SHAPES, constant, crossed, fading, flipping, parameters, rows

import bitskip
from bitskip.report.charts import charts
from bitskip.report.document import MARKDOWN, TERMINAL, document
from bitskip.report.html import html_page
from bitskip.report.markdown import markdown
from bitskip.report.summary import Analysis, analyse
from bitskip.report.terminal import print_document

PAIR = ("bits 4", "hadamard bitnet-v2")
ZERO = 4e6 * math.exp(-0.25)
"""Tokens at which the flipping truth is zero, at every size."""


def analysed(folder: Path, truth, **options) -> Analysis:
    bitskip.save_results(rows(truth, crossed(), bystander=False, **options), folder / "ladder")
    return analyse(bitskip.load_results(folder))


def along(analysis: Analysis, techniques: tuple[str, ...] = PAIR):
    (ladder,) = analysis.report.ladders
    return next(each for each in ladder.effects if each.techniques == techniques)


@pytest.fixture(scope="module")
def flips(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysed(tmp_path_factory.mktemp("flips"), flipping, sigma=0.004)


@pytest.mark.parametrize(("truth", "verdict"), [(constant, "holds"), (fading, "fades"), (flipping, "flips")])
def test_verdicts_between_the_rungs(truth, verdict: str, tmp_path: Path) -> None:
    assert along(analysed(tmp_path, truth, sigma=0.002)).verdict == verdict


def test_the_crossing_is_that_of_the_truth_at_every_size(flips: Analysis) -> None:
    crossings = along(flips).crossings
    assert [crossing.parameters for crossing in crossings] == [parameters(*shape) for shape in SHAPES[:3]]
    for crossing in crossings:
        assert crossing.low < ZERO / crossing.parameters < crossing.high
        assert crossing.low < crossing.tokens_per_parameter < crossing.high
        assert crossing.inside


def test_crossing_intervals_cover_the_truth(tmp_path: Path) -> None:
    # The ladder's truth is linear in ln D, so that 90 % intervals hold it in about 90 % of draws.
    from bitskip.scaling.along import crossings
    from bitskip.scaling.ladder import Effects, Rung

    source = np.random.default_rng(1)
    held = []
    for _ in range(200):
        rungs = [
            Rung("", "", n, int(d), flipping(n, d) + source.normal(0, 0.01), 0.01, 2, 1, False)
            for n in (46_000, 246_000, 1_476_000)
            for d in (1e6, 4e6, 16e6)
        ]
        found = list(crossings(Effects(tuple(rungs), 0.01**2 * np.eye(9), 18.0)))[1]
        held.append(found.low < ZERO / 246_000 < found.high)
    assert 0.85 <= np.mean(held) <= 0.99


def test_a_flip_that_no_law_fits_is_found_as_measured(tmp_path: Path) -> None:
    def abrupt(n: float, d: float) -> float:
        return -0.05 + 0.3 * (n > 1e5) * (d > 2e6)

    effect = along(analysed(tmp_path, abrupt, sigma=0.004))
    assert (effect.verdict, effect.weights) == ("flips", {})
    assert [crossing.parameters for crossing in effect.crossings] == [parameters(*shape) for shape in SHAPES[1:3]]
    for crossing in effect.crossings:
        assert 1e6 < crossing.tokens_per_parameter * crossing.parameters < 4e6


def test_main_effects_are_followed_too(flips: Analysis) -> None:
    # Alone, 4 bits cost 0.1 (D / 4e6)^0.2 nats.
    effect = along(flips, ("bits 4",))
    assert effect.verdict == "grows"
    last = effect.rungs[-1]
    assert last.low < 0.1 * 4**0.2 + flipping(0, 16e6) / 2 < last.high


def test_the_first_lines_say_it_in_words(flips: Analysis) -> None:
    console = Console(file=io.StringIO(), width=400)
    print_document(document(flips, TERMINAL), console)
    text = console.file.getvalue()
    lines = text.splitlines()[:12]
    (sentence,) = (line for line in lines if "bits 4 × hadamard bitnet-v2 flips" in line)
    assert "its sign changes at" in sentence
    assert "90 %" in sentence
    assert "n=2" in sentence
    # The largest model's first budget has 0.7 tokens a parameter.
    assert "undertrained" in text.split("Effect by rung")[-1]
    for output in (markdown(document(flips, MARKDOWN)), html_page(flips)):
        assert "flips" in output
        assert "Effect by rung" in output


def test_a_mark_is_in_every_sentence_of_its_rung(tmp_path: Path) -> None:
    ladder = [(SHAPES[2], tokens) for tokens in (200_000, 800_000, 3_200_000)]
    bitskip.save_results(rows(constant, ladder, bystander=False, sigma=0.004), tmp_path / "ladder")
    text = markdown(document(analyse(bitskip.load_results(tmp_path)), MARKDOWN))
    told = [line for line in text.splitlines() if " tokens a parameter" in line and " at 6x128" in line]
    assert told
    assert all(line.count("undertrained") == 2 for line in told)


def test_one_seed_is_said_and_not_judged(tmp_path: Path) -> None:
    analysis = analysed(tmp_path, constant, seeds=1)
    (ladder,) = analysis.report.ladders
    assert not ladder.effects
    assert "run a second seed" in markdown(document(analysis, MARKDOWN))


def test_pictures_of_a_ladder(flips: Analysis) -> None:
    by_name = {chart.name: chart for chart in charts(flips)}
    assert set(by_name) == {"effect-by-scale", "loss-by-compute"}
    shown = [row for row in by_name["effect-by-scale"].rows if row["effect"] == " × ".join(PAIR)]
    assert [row["kind"] for row in shown].count("measured") == 9
    assert [row["kind"] for row in shown].count("held out") == 1
    frontier = sorted((row["flops"], row["loss"]) for row in by_name["loss-by-compute"].rows if row["frontier"])
    assert [loss for _, loss in frontier] == sorted((loss for _, loss in frontier), reverse=True)
    assert len(by_name["effect-by-scale"].draw().axes) == 8 - 2  # two columns for bits, rotation and both


def test_rates_are_drawn_with_their_optimum(tmp_path: Path) -> None:
    table = [
        {"bits": bits, "lr": lr, "seed": 0, "loss": 3 + 0.1 * (math.log2(lr / 6e-3)) ** 2}
        for bits in (16, 8)
        for lr in (2e-3, 4e-3, 8e-3, 16e-3)
    ]
    bitskip.save_results(table, tmp_path / "rates")
    (chart,) = charts(analyse(bitskip.load_results(tmp_path)))
    assert chart.name == "rate-parabolas"
    assert {row["configuration"] for row in chart.rows} == {"no technique", "bits 8"}
    assert all(row["optimum"] == pytest.approx(6e-3) for row in chart.rows)
    assert chart.draw().axes
