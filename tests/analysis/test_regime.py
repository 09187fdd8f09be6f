"""What reports say of how long a scale was trained and at which rate, and where the words may not be missing."""

import io
import json
from typing import Any

import pytest
from rich.console import Console
from simulated_results import grid, results_from, simulate, trial_row, with_interactions

from bitskip.analysis.factorial import as_plain, strata
from bitskip.analysis.regime import (
    AT_EDGE,
    AT_OPTIMUM,
    NOT_SEARCHED,
    NOT_SEARCHED_HERE,
    OFF_OPTIMUM,
    RATE_NOT_SEARCHED,
    RATE_OPEN,
    UNDERTRAINED,
    Regime,
    regimes,
)
from bitskip.model.decoder import build_model
from bitskip.report.document import MARKDOWN, TERMINAL, document
from bitskip.report.markdown import markdown
from bitskip.report.summary import analyse
from bitskip.report.terminal import print_document
from bitskip.store.tables import Results
from bitskip.trial.config import POINTS, make_trial


def of(results: Results) -> dict[Any, Regime]:
    """By learning rate; None where each configuration has its own."""
    return {regime.lr: regime for regime in regimes(strata(results))}


def test_the_numbers_are_those_of_a_model_that_is_built() -> None:
    trial = make_trial(model="pico", tokens=500_000, batch_size=4, seq_len=64)
    blocks = build_model(trial).blocks
    parameters = sum(each.numel() for each in blocks.parameters()) + trial.model.width
    (regime,) = regimes(strata(results_from([trial_row(trial, 3.0)])))
    assert (regime.parameters, regime.tokens, regime.steps) == (parameters, 500_000, 500_000 // 256)
    assert regime.tokens_per_parameter == pytest.approx(500_000 / parameters)
    row = trial_row(trial, 3.0)
    assert (row["steps"], row["non_embedding_params"]) == (regime.steps, parameters)
    assert row["tokens_per_parameter"] == regime.tokens_per_parameter
    older = {**row, "steps": None, "non_embedding_params": None, "tokens_per_parameter": None}
    assert regimes(strata(results_from([older]))) == [regime]


@pytest.mark.parametrize(("tokens", "mark"), [(230_000, UNDERTRAINED), (232_000, "")])
def test_fewer_than_five_tokens_a_parameter_are_undertrained(tokens: int, mark: str) -> None:
    (regime,) = regimes(strata(results_from([trial_row(make_trial(model="pico", tokens=tokens), 3.0)])))
    assert regime.mark == mark  # 46,304 parameters


LONG = {"model": "pico", "tokens": 500_000}


def scan(losses: dict[int, dict[float, float]]) -> Results:
    """Losses by bits and rate, two seeds of each."""
    rows = [
        trial_row(make_trial(**LONG, bits=bits, lr=rate, seed=seed), loss + 0.01 * seed)
        for bits, by_rate in losses.items()
        for rate, loss in by_rate.items()
        for seed in range(2)
    ]
    return results_from(rows)


def test_a_rate_is_at_its_optimum_off_it_or_open() -> None:
    inside = {1e-3: 3.2, 2e-3: 3.0, 4e-3: 3.1}
    rising = {1e-3: 3.2, 2e-3: 3.1, 4e-3: 3.0}
    assert {lr: each.rate for lr, each in of(scan({16: inside, 8: inside})).items()} == {
        1e-3: OFF_OPTIMUM, 2e-3: AT_OPTIMUM, 4e-3: OFF_OPTIMUM,
    }  # fmt: skip
    found = of(scan({16: inside, 8: rising}))
    assert {each.rate for each in found.values()} == {AT_EDGE}
    assert {each.mark for each in found.values()} == {RATE_OPEN}
    two = {rate: loss for rate, loss in rising.items() if rate > 1e-3}
    assert {each.rate for each in of(scan({16: two})).values()} == {NOT_SEARCHED}


def test_rates_by_configuration_are_judged_by_the_search_that_lies_beside_them() -> None:
    losses = {16: {1e-3: 3.2, 2e-3: 3.0, 4e-3: 3.1}, 8: {1e-3: 3.3, 2e-3: 3.2, 4e-3: 3.0, 8e-3: 3.1}}
    rows = scan(losses).trials.to_pylist()
    chosen = {16: 2e-3, 8: 4e-3}
    rows += [
        trial_row(make_trial(**LONG, bits=bits, lr=rate, seed=seed), 3.0, tuned="lr")
        for bits, rate in chosen.items()
        for seed in (10, 11)
    ]
    for own in (
        4e-3,
        3.1e-3,
        5.2e-3,
    ):  # nearest to the best one that was run, as the lowest point of a parabola
        rows[-1]["lr"] = rows[-2]["lr"] = own
        assert of(results_from(rows))[None].rate == AT_OPTIMUM
    for own in (2.6e-3, 6e-3, 8e-3):
        rows[-1]["lr"] = rows[-2]["lr"] = own
        assert of(results_from(rows))[None].rate == OFF_OPTIMUM


def test_a_rate_beyond_which_training_diverges_is_no_edge() -> None:
    losses = {16: {1e-3: 3.2, 2e-3: 3.1, 4e-3: 3.0}}
    assert of(scan(losses))[4e-3].rate == AT_EDGE
    rows = scan(losses).trials.to_pylist()
    rows += [
        trial_row(make_trial(**LONG, bits=16, lr=8e-3, seed=seed), None, status="diverged", reason="loss is NaN")
        for seed in range(2)
    ]
    assert of(results_from(rows))[4e-3].rate == AT_OPTIMUM


def test_a_rung_without_the_search_that_others_have_says_so() -> None:
    inside = {16: {1e-3: 3.2, 2e-3: 3.0, 4e-3: 3.1}}
    searched = scan(inside).trials.to_pylist()

    def rung(**axes: Any) -> dict[str, Any]:
        return trial_row(make_trial(**{**LONG, "tokens": 1_000_000, "lr": 2e-3, "seed": 10, **axes}), 2.9)

    def alone(row: dict[str, Any]) -> Regime:
        tokens, size = row["tokens"], row["non_embedding_params"]
        found = regimes(strata(results_from([*searched, row])))
        return next(each for each in found if (each.tokens, each.parameters) == (tokens, size))

    for row in (rung(), rung(batch_size=4), rung(model="nano", tokens=2_000_000)):
        regime = alone(row)
        assert (regime.rate, regime.mark) == (NOT_SEARCHED_HERE, RATE_NOT_SEARCHED)
    for row in (rung(bits=8), rung(seq_len=64), rung(**{"data.vocab_size": 512})):  # no search of it anywhere
        assert (alone(row).rate, alone(row).mark) == (NOT_SEARCHED, "")
    (regime,) = regimes(strata(results_from([rung()])))
    assert (regime.rate, regime.mark) == (NOT_SEARCHED, "")
    (regime,) = regimes(strata(results_from([{**rung(), "tuned": "lr"}])))
    assert (regime.rate, regime.mark) == (NOT_SEARCHED_HERE, RATE_NOT_SEARCHED)


@pytest.mark.parametrize("output", [TERMINAL, MARKDOWN])
def test_batch_sizes_by_configuration_are_told_as_such(output: str) -> None:
    rows = [
        trial_row(make_trial(**LONG, bits=bits, batch_size=batch, seed=seed), 3.0 + 0.1 * seed, tuned="batch_size")
        for bits, batch in ((16, 4), (8, 8))
        for seed in range(2)
    ]
    (regime,) = regimes(strata(results_from(rows)))
    assert (regime.steps, regime.batch_size, regime.lr) == (None, None, 3e-3)
    assert "batch sizes by configuration, learning rate 0.003" in shown(results_from(rows), output)


def shown(results: Results, output: str) -> str:
    found = document(analyse(results), output)
    if output == MARKDOWN:
        return markdown(found)
    console = Console(file=io.StringIO(), width=1000)
    print_document(found, console)
    return console.file.getvalue()


def paper(tokens: int) -> Results:
    points = [make_trial(**axes, tokens=tokens) for axes in POINTS.values()]
    crossed = grid(bits=(16, 8), hadamard=(False, True), dropout=("none", "quadratic"), tokens=(tokens,))
    return simulate(list({t.trial_id: t for t in (*points, *crossed)}.values()), with_interactions, seeds=3)


@pytest.mark.parametrize("output", [TERMINAL, MARKDOWN])
def test_no_sentence_or_table_of_effects_goes_without_the_word(output: str) -> None:
    short, long = shown(paper(400_000), output), shown(paper(4_000_000), output)
    assert UNDERTRAINED not in long.lower()
    assert "369 k parameters without embedding, 10.8 tokens a parameter, 3 906 steps of 8 × 128 tokens" in long
    told = [
        "V1 against baseline", "Of the single techniques", "Named variants beside", "Main effects on",
        "Composition effects on", "had the lowest perplexity",
    ]  # fmt: skip
    for words in told:
        found = [line for line in short.splitlines() if words in line]
        assert found, words
        assert all(UNDERTRAINED in line for line in found), words


def test_json_says_the_regime_of_each_scale() -> None:
    (section,) = json.loads(json.dumps(as_plain(analyse(paper(400_000)).report)))["sections"]
    assert section["regime"]["mark"] == UNDERTRAINED
    assert section["regime"]["steps"] == 390
