"""What can be asked of a predictor, and the predictions that it begins with."""

import inspect
import math
import shlex

import pytest
from simulated_results import grid, results_from, simulate, single_effects, trial_row

from bitskip.analysis.levels import levels_of
from bitskip.cli.answers import predict as predict_command
from bitskip.errors import UserError
from bitskip.predict.predictor import Predictor, fit_predictor
from bitskip.predict.questions import BEST, TOGETHER, UNTRIED, choices, questions
from bitskip.report.questions import OPTIONS, question_blocks, question_command
from bitskip.report.table import Text
from bitskip.store.tables import Results
from bitskip.trial.config import TrialConfig, make_trial

AXES = {"bits": (16, 8, 4), "hadamard": ("none", "bitnet-v2"), "exit_weight": (0.0, 0.3)}


def interfering(trial: TrialConfig) -> float:
    return single_effects(trial) + math.log(1.2) * (trial["bits"] == 4 and trial["hadamard"] != "none")


def without(*left_out: TrialConfig) -> Results:
    ids = {trial.configuration_id for trial in left_out}
    return simulate([each for each in grid(**AXES) if each.configuration_id not in ids], interfering, sigma=0.001)


@pytest.fixture(scope="module")
def whole() -> Predictor:
    return fit_predictor(simulate(grid(**AXES), interfering, sigma=0.001))


def test_choices_are_the_axes_that_differ_with_their_values(whole: Predictor) -> None:
    found = {each.axis: each.values for each in choices(whole)}
    assert found["bits"] == ("4", "8", "16")
    assert found["hadamard"] == ("bitnet-v2", "none")
    assert found["exit_weight"] == ("0", "0.3")
    assert "model" not in found


def test_the_first_is_the_best_and_none_is_untried_in_a_full_grid(whole: Predictor) -> None:
    found = {each.why: each for each in questions(whole)}
    best = min(grid(**AXES), key=interfering)
    trial = found[BEST].prediction.trial
    assert levels_of(trial.axes()) == levels_of(best.axes())
    assert UNTRIED not in found
    assert all(each.seeds and each.prediction.tier == "interior" for each in found.values())


def test_techniques_that_change_each_other_are_found(whole: Predictor) -> None:
    (found,) = (each for each in questions(whole) if each.why == TOGETHER)
    assert (found.axes["bits"], found.axes["hadamard"]) == (4, "bitnet-v2")


def test_the_best_that_was_not_run_is_one_that_was_left_out() -> None:
    missing = make_trial(bits=8, hadamard=True, exit_weight=0.3)
    found = {each.why: each for each in questions(fit_predictor(without(missing)))}
    assert found[UNTRIED].seeds == 0
    assert levels_of(found[UNTRIED].prediction.trial.axes()) == levels_of(missing.axes())


def test_the_command_of_a_question_asks_for_it(whole: Predictor) -> None:
    for each in questions(whole):
        words = shlex.split(question_command(each, "ppl", ["--results", "a b"]))
        assert words[-2:] == ["--results", "a b"]
        assert each.axes
        again = whole.predict(exit_layer=each.exit_layer, **each.axes)
        assert (again.mean, again.low) == (each.prediction.mean, each.prediction.low)
    parameters = inspect.signature(predict_command).parameters
    assert {option.removeprefix("--").replace("-", "_") for option in OPTIONS.values()} <= set(parameters)


def test_too_few_configurations_are_told_below_what_can_be_asked() -> None:
    rows = [trial_row(make_trial(bits=bits), 4.0) for bits in (16, 8)]
    predictor = fit_predictor(results_from(rows))
    with pytest.raises(UserError, match="at least"):
        questions(predictor)
    table, note = question_blocks(predictor, [])
    assert isinstance(note, Text)
    assert note.lines[0].startswith("No prediction yet")
