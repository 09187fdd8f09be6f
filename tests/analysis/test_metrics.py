"""A metric is an entry in one table; what reads metrics follows."""

import json

import pytest
from simulated_results import grid, simulate, with_interactions

from bitskip.analysis.effects import composition_effects, main_effects
from bitskip.analysis.metrics import OWN, Metric
from bitskip.errors import UserError
from bitskip.predict.predictor import fit_predictor
from bitskip.report.document import TERMINAL, document
from bitskip.report.markdown import markdown
from bitskip.report.summary import analyse

PAIRS = {"bits": (16, 8, 4), "hadamard": ("none", "bitnet-v2"), "exit_weight": (0.0, 0.3)}


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> str:
    """Twice the loss, as an additive metric of its own."""
    read = lambda row: None if row.get("loss") is None else 2 * row["loss"]  # noqa: E731
    monkeypatch.setitem(OWN, "doubled_loss", Metric(read, "double nats", 0.04))
    return "doubled_loss"


def test_a_new_metric_works_everywhere(doubled: str, tmp_path) -> None:
    results = simulate(grid(**PAIRS), with_interactions)
    for effects in (main_effects, composition_effects):
        ours, theirs = effects(results, doubled), effects(results)
        assert [effect.value for effect in ours] == pytest.approx([2 * effect.value for effect in theirs])
    predicted = [fit_predictor(results, metric).predict(bits=4) for metric in (doubled, "ppl")]
    assert predicted[0].mean > 0
    assert json.dumps(predicted[0].to_json_object())
    assert "doubled loss" in markdown(document(analyse(results, 1.05, doubled, tmp_path), TERMINAL))


def test_an_unknown_metric_is_named() -> None:
    results = simulate(grid(**PAIRS), with_interactions)
    for ask in (main_effects, fit_predictor):
        with pytest.raises(UserError, match="unknown metric 'doubled'"):
            ask(results, "doubled")
