"""Metrics that are no loss: direction, scale and words follow from what a table or a sweep file says of them."""

from __future__ import annotations

import itertools
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bitskip
from bitskip.analysis.effects import Effect
from bitskip.analysis.metrics import OWN
from bitskip.errors import UserError
from bitskip.interop.import_results import import_results
from bitskip.predict.questions import questions
from bitskip.report.document import MARKDOWN, document
from bitskip.report.markdown import markdown
from bitskip.report.picture import BETTER, WORSE, picture
from bitskip.report.summary import analyse
from bitskip.store.foreign_metric import MEASURES, OWN_NAMES
from bitskip.techniques import registry

NOISE = random.Random(5)
SCORES = {
    (rank, optimizer, seed): 0.5
    + 0.03 * rank
    - 0.3 * (optimizer == "lion")
    - 0.3 * (optimizer == "lion" and rank == 16)
    + 0.1 * seed
    + NOISE.gauss(0, 0.02)
    for rank, optimizer, seed in itertools.product((0, 4, 16), ("adamw", "lion"), range(4))
}
"""Log odds, larger ones better, with an interaction of -0.3 between rank 16 and lion."""


def share(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def taken_in(folder: Path, name: str, value: Callable[[float], float | None], **options: Any) -> bitskip.Results:
    """The scores as some metric, imported and read in what is like a new process."""
    table = folder / f"{name}.jsonl"
    rows = [
        {"rank": rank, "optimizer": optimizer, "run": seed, name: value(score)}
        for (rank, optimizer, seed), score in SCORES.items()
    ]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = import_results(table, folder / "results", name, seed="run", **options)
    registry._named.clear()
    registry.Table.clear()
    MEASURES.clear()
    return bitskip.load_results(found.folder)


def interaction(results: bitskip.Results) -> Effect:
    pair = ("optimizer lion", "rank 16")
    return next(
        each for each in bitskip.composition_effects(results) if each.techniques == pair and each.estimand == "anchored"
    )


def by_hand(value: Callable[[float], float]) -> float:
    corners = ((16, "lion", 1), (16, "adamw", -1), (0, "lion", -1), (0, "adamw", 1))
    return sum(sign * value(SCORES[rank, name, seed]) for rank, name, sign in corners for seed in range(4)) / 4


@pytest.mark.parametrize(
    ("name", "value", "unit", "scale"),
    [
        ("accuracy", share, "share", lambda score: score),
        ("acc (%)", lambda score: 100 * share(score), "percent", lambda score: score),
        ("tokens_per_s", lambda score: 900 * math.exp(score), "positive", lambda score: score),
        ("reward", lambda score: score - 0.5, "number", lambda score: score),
    ],
)
def test_effects_are_on_the_scale_of_the_unit(
    tmp_path: Path, name: str, value: Callable[[float], float], unit: str, scale: Callable[[float], float]
) -> None:
    results = taken_in(tmp_path, name, value, higher_is_better=True)
    assert MEASURES[name].unit == unit
    effect = interaction(results)
    assert effect.metric == name
    assert effect.value == pytest.approx(by_hand(scale))
    assert effect.verdict == "sub-additive"
    best = max(SCORES, key=lambda key: SCORES[key])
    section = analyse(results).report.sections[0]
    assert section.leaderboard[0].settings == {"optimizer": best[1], "rank": str(best[0])}
    predicted = bitskip.fit_predictor(results).predict(rank=8, optimizer="adamw")
    ends = [bitskip.fit_predictor(results).predict(rank=rank, optimizer="adamw").mean for rank in (4, 16)]
    assert ends[0] < predicted.mean < ends[1]
    assert predicted.low < predicted.mean < predicted.high
    if unit in ("share", "percent"):
        assert predicted.low > 0
        assert predicted.high < (1 if unit == "share" else 100)
    assert questions(bitskip.fit_predictor(results))[0].axes == {"rank": 16.0}


def test_an_error_is_an_accuracy_turned_over(tmp_path: Path) -> None:
    """Failed trials, which may have been the worst ones, included."""
    cut = sorted(SCORES.values())[3]

    def some(value: Callable[[float], float]) -> Callable[[float], float]:
        return lambda score: math.nan if score < cut else value(score)

    accuracy = taken_in(tmp_path, "accuracy", some(share), higher_is_better=True)
    effects = bitskip.composition_effects(accuracy)
    order = [each.configuration for each in analyse(accuracy).report.sections[0].leaderboard]
    error = taken_in(tmp_path, "error", some(lambda score: 1 - share(score)), unit="share")
    assert [each.configuration for each in analyse(error).report.sections[0].leaderboard] == order
    turned = {"super-additive": "sub-additive", "sub-additive": "super-additive"}
    for one, other in zip(effects, bitskip.composition_effects(error), strict=True):
        assert (one.techniques, one.estimand) == (other.techniques, other.estimand)
        if one.value is None or one.low is None or one.high is None:
            assert other.low is None
            continue
        assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
        assert one.verdict == turned.get(other.verdict, other.verdict)


def test_words_and_pictures_say_which_way_is_better(tmp_path: Path) -> None:
    results = taken_in(tmp_path, "accuracy", share, higher_is_better=True)
    analysis = analyse(results)
    text = markdown(document(analysis, MARKDOWN))
    assert "had the highest accuracy" in text
    assert "the odds of accuracy" in text
    assert "perplexity" not in text
    raising = next(
        e for e in analysis.report.sections[0].main_effects if e.verdict == "raises" and e.estimand == "anchored"
    )
    assert BETTER in picture([raising], "")
    assert WORSE not in picture([raising], "")


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (share, {"higher_is_better": True, "unit": "nats"}, "--unit: nats are of a loss, and higher is better"),
        (lambda _: 1.0, {"unit": "share"}, "row 1: x is 1, and as share it is above 0 and below 1: .* log.* odds; as"),
        (lambda _: -3.0, {"unit": "positive"}, "row 1: x is -3, and as positive it is above 0: .* as `number`"),
    ],
)
def test_what_a_unit_does_not_have_is_named(
    tmp_path: Path, value: Callable[[float], float], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        taken_in(tmp_path, "x", value, **options)
    assert not list(tmp_path.glob("results/*/*"))


def test_names_of_bitskips_own_metrics_are_taken(tmp_path: Path) -> None:
    assert set(OWN_NAMES) == set(OWN)
    with pytest.raises(UserError, match="speed_gain is a metric of bitskip's own"):
        taken_in(tmp_path, "speed_gain", share, higher_is_better=True)


def test_a_measure_that_nothing_describes_is_named(tmp_path: Path) -> None:
    results = taken_in(tmp_path, "accuracy", share, higher_is_better=True)
    assert set(results.trials["metric"].to_pylist()) == {"accuracy"}
    design = tmp_path / "results" / "accuracy" / "sweep.yaml"
    head, told, rest = design.read_text().partition("metric:")
    design.write_text(head + rest[rest.index("factors:") :])
    assert told
    MEASURES.clear()
    with pytest.raises(UserError, match=r"no design says what accuracy is; put sweep.yaml back"):
        bitskip.load_results(design.parent)


def test_two_meanings_of_one_name_are_told_apart(tmp_path: Path) -> None:
    taken_in(tmp_path, "score", share, higher_is_better=True)
    with pytest.raises(UserError, match="metric score is declared twice, as share, higher is better and as number"):
        bitskip.load_results(tmp_path / "results" / "score") and import_results(
            tmp_path / "score.jsonl", tmp_path / "other", "score", seed="run", unit="number"
        )


def test_a_trainer_of_an_accuracy_is_swept_and_judged(tmp_path: Path) -> None:
    """Through the command, with the design that looks for the best."""
    (tmp_path / "own_trainer.py").write_text(
        "def run(rank, optimizer, seed):\n"
        "    return {'accuracy': 0.5 + 0.02 * rank - 0.1 * (optimizer == 'lion') + 0.001 * seed, 'loss': 1.0}\n"
    )
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nfactors: {rank: 0, optimizer: adamw}\n"
        "trainer: {run: 'own_trainer:run', metric: accuracy, unit: share, higher_is_better: true}\n"
        "space: {rank: [0, 4, 16], optimizer: [adamw, lion]}\nseeds: 2\n"
    )

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "bitskip", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "accuracy 0.82" in run("sweep", "mine.yaml", "--executor", "inline")
    assert "best accuracy 0.821  rank 16" in run("watch", "results/mine", "--once")
    results = bitskip.load_results(tmp_path / "results")
    assert set(results.trials["loss"].to_pylist()) == {None}
    assert max(results.trials["measured"].to_pylist()) == pytest.approx(0.821)
    report = json.loads(run("report", "results/mine", "--json"))
    assert report["sections"][0]["leaderboard"][0]["value"] == pytest.approx(0.8205)
    for _ in range(2):  # the second answer is from what the first one kept
        answer = json.loads(run("predict", "--set", "rank=8", "--json"))
        assert answer["metric"] == "accuracy"
        assert 0.58 < answer["mean"] < 0.82


def test_a_search_looks_for_the_highest_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bitskip.sweep.adaptive import _losses

    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(
        "name: accuracy\nfactors: {rank: 0, optimizer: adamw}\nbase: {data.corpus: accuracy}\n"
        "command: {run: 'x {rank} {optimizer}', metric: accuracy, unit: share, higher_is_better: true}\n"
        "space: {rank: [0, 4, 16], optimizer: [adamw, lion]}\nseeds: 4\n"
    )
    taken_in(tmp_path, "accuracy", share, higher_is_better=True)
    sweep = bitskip.load_sweep("mine.yaml")
    ran = range(len(sweep.grid.configurations))
    found = _losses(sweep, tmp_path / "results", ran)
    assert len(found) == 6
    best = sweep.grid.configurations[min(found, key=found.__getitem__)]
    assert (best["rank"], best["optimizer"]) == (16, "adamw")
