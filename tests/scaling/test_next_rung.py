"""Which rung comes next, what it costs and what it would tell."""

import json
import math
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scaled_ladders import BUDGETS, SHAPES, constant, crossed, parameters, rows, shape
from typer.testing import CliRunner

import bitskip
from bitskip.cli import app
from bitskip.scaling.along import chi_square
from bitskip.scaling.contrast_laws import fitted
from bitskip.scaling.laws import mix
from bitskip.scaling.next_rung import NextRung, next_rungs_of
from bitskip.sweep.sweep_file import load_sweep

SECOND = 1e-12
"""Of training, a parameter and a token."""


def ladder(folder: Path, rungs=None, truth=constant, **options) -> Path:
    """With the time of each trial."""
    timed = rows(truth, crossed() if rungs is None else rungs, bystander=False, sigma=0.01, **options)
    for row in timed:
        size = parameters(row["model"]["layers"], row["model"]["width"])
        row |= {"train_seconds": SECOND * size * row["tokens"], "eval_seconds": 1.0}
    bitskip.save_results(timed, folder / "ladder")
    return folder


def proposed(folder: Path) -> dict[tuple[int, int], NextRung]:
    return {(rung.parameters, rung.tokens): rung for rung in next_rungs_of(bitskip.load_results(folder))}


def test_a_rung_that_is_lacking_is_proposed_and_none_that_ran(tmp_path: Path) -> None:
    *ran, lacking = ((parameters(*size), tokens) for size, tokens in crossed())
    found = proposed(ladder(tmp_path, crossed()[:-1]))
    assert not set(ran) & set(found)
    of_measured_sizes = {scale for scale in found if scale[0] <= lacking[0]}
    assert of_measured_sizes == {(lacking[0], n) for n in (16_000_000, 64_000_000)}
    assert max(size for size, _ in found) > lacking[0]


def test_hours_are_those_of_the_rungs_that_ran(tmp_path: Path) -> None:
    for rung in proposed(ladder(tmp_path)).values():
        seconds = rung.trials * (SECOND * rung.parameters * rung.tokens + 1.0)
        assert rung.trials == 8
        assert rung.hours == pytest.approx(seconds / 3600, rel=1e-3)


def test_the_first_tells_most_an_hour_and_its_nats_are_those_of_normal_errors(tmp_path: Path) -> None:
    ladder(tmp_path)
    found = list(proposed(tmp_path).values())
    assert [rung.worth for rung in found] == sorted((rung.worth for rung in found), reverse=True)
    # At the target itself, one beyond in size at the longest budget: 1/2 ln(1 + variance / noise), summed over effects.
    target = max(found, key=lambda rung: (rung.parameters, rung.tokens))
    scaling = bitskip.fit_scaling(bitskip.load_results(tmp_path))
    expected = 0.0
    for treatments in (*scaling.measured(1), *scaling.measured(2)):
        effects, place = scaling.effects(treatments), [[math.log(target.parameters), math.log(target.tokens)]]
        misfit = chi_square(effects, effects.values - mix(fitted(effects, effects.places), floor=0.0).mean)
        widened = replace(effects, covariance=effects.covariance * max(1.0, misfit))
        variance = mix(fitted(widened, np.array(place))).covariance[0, 0]
        expected += 0.5 * math.log1p(variance / effects.covariance[-1, -1])
    assert target.nats == pytest.approx(expected)


def test_an_effect_is_open_where_the_laws_do_not_know_its_side(tmp_path: Path) -> None:
    pair = ("bits 4", "hadamard bitnet-v2")
    nothing = proposed(ladder(tmp_path / "nothing", truth=lambda n, d: 0.0))
    large = proposed(ladder(tmp_path / "large", truth=lambda n, d: 1.0))
    assert all(pair in {effect.techniques for effect in rung.open} for rung in nothing.values())
    assert all(pair not in {effect.techniques for effect in rung.open} for rung in large.values())
    (effect,) = (e for e in next(iter(nothing.values())).open if e.techniques == pair)
    assert effect.low < 0 < effect.high
    assert 0 < effect.decided < 0.5


def test_a_ladder_of_one_size_has_no_next_rung(tmp_path: Path) -> None:
    assert proposed(ladder(tmp_path, [(SHAPES[0], tokens) for tokens in BUDGETS])) == {}


def test_the_command_proposes_a_rung_that_its_sweep_takes(tmp_path: Path) -> None:
    ladder(tmp_path)
    models = [shape(*size) for size in SHAPES[:3]]
    (tmp_path / "ladder" / "sweep.yaml").write_text(
        f"name: ladder\nladder: {{models: {json.dumps(models)}, tokens: [1_000_000]}}\n"
        "space: {bits: [16, 4], hadamard: [none, bitnet-v2]}\nseeds: 2\n"
    )
    words = ["suggest", "--results", str(tmp_path), "-n", "1", "-o", str(tmp_path / "next.yaml")]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "Next rungs of the ladder" in told.output
    first = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["rungs"][0]
    command = shlex.split(first["command"])
    settings = [value for flag, value in zip(command, command[1:], strict=False) if flag == "--set"]
    sweep = load_sweep(command[2], overrides=settings)
    assert {trial.training.tokens for trial in sweep.trials} == {first["tokens"]}
    assert len(sweep.trials) == first["trials"]
    assert math.isfinite(first["hours"])
