"""Charts are found by their module alone, in the order of their topics."""

import sys
from pathlib import Path

import pytest

from bitskip.report import charts
from bitskip.report.charts import registry, topics

MODULE = """
from bitskip.report.charts.effects import EFFECTS
from bitskip.report.charts.registry import Content, Topic

OWN = Topic("own", "Our own", order=35)

@EFFECTS.chart("squares", "Squares")
def squares(sheet):
    '''Each number of {sheet} times
    itself.'''
    rows = [{"x": x, "y": x * x} for x in range(sheet)]
    return Content(rows, lambda axes: axes.plot([1], [1]), 2.0, facts={"sheet": sheet})

@OWN.chart("nothing", "Nothing")
def nothing(sheet):
    return None
"""


def test_topics_stand_in_their_order() -> None:
    order = ["ladder", "rates", "pareto", "effects", "exits", "confidence", "curves", "failures", "mechanisms"]
    order.append("predictor")
    assert [topic.key for topic in topics()] == order
    assert all(topic.makers for topic in topics())


def test_a_chart_is_added_by_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {topic.key: list(topic.makers) for topic in topics()}
    (tmp_path / "squares.py").write_text(MODULE)
    monkeypatch.setattr(charts, "__path__", [*charts.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "_TOPICS", list(registry._TOPICS))
    found = topics()
    assert [topic.key for topic in found][6] == "own"
    (effects,) = (topic for topic in found if topic.key == "effects")
    (make,) = (each for each in effects.makers if each not in known["effects"])
    chart = make(3)  # type: ignore[arg-type]
    assert chart is not None
    assert (chart.name, chart.topic, chart.caption) == ("squares", "effects", "Each number of 3 times itself.")
    assert len(chart.draw().axes) == 1
    assert make(0) is None  # type: ignore[arg-type]
    assert found[6].makers[0](3) is None  # type: ignore[arg-type]
    effects.makers.remove(make)
    del sys.modules["bitskip.report.charts.squares"]
