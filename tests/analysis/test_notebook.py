"""What a notebook shows: tables as HTML, data frames, figures as objects."""

from html.parser import HTMLParser

import pandas as pd
import pytest
from simulated_results import grid, simulate, with_interactions

import bitskip
from bitskip.analysis.effects import Effects
from bitskip.store.tables import Results

PAIRS = {"bits": (16, 8, 4), "hadamard": ("none", "bitnet-v2"), "exit_weight": (0.0, 0.3)}


@pytest.fixture(scope="module")
def results() -> Results:
    return simulate(grid(**PAIRS), with_interactions)


def cells(text: str) -> list[list[str]]:
    """The rows of a table, as a browser reads them."""
    found: list[list[str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag == "tr":
                found.append([])
            elif tag in ("td", "th"):
                found[-1].append("")

        def handle_data(self, data: str) -> None:
            if found and found[-1] and data.strip():
                found[-1][-1] += data

    Reader().feed(text)
    return found


def test_effects_are_a_list_a_table_and_a_frame(results: Results) -> None:
    effects = bitskip.composition_effects(results)
    assert isinstance(effects, list)
    head, *rows = cells(effects._repr_html_())
    assert len(rows) == len(effects)
    assert head[1:4] == ["techniques", "estimand", "change"]
    first = next(each for each in effects if each.percent is not None)
    assert f"{first.percent:+.1f} %" in rows[effects.index(first)]
    frame = effects.to_pandas()
    assert frame["value"].tolist() == pytest.approx([each.value for each in effects], nan_ok=True)
    assert "No effects" in Effects()._repr_html_()


def test_a_prediction_is_a_table_of_its_parts(results: Results) -> None:
    found = bitskip.fit_predictor(results).predict(bits=4, hadamard=True)
    text = found._repr_html_()
    assert f"ppl {found.mean:.4g}" in text
    assert [row[0] for row in cells(text)[2:]] == [
        " × ".join(each.techniques) for each in (*found.main_effects, *found.composition_effects)
    ]


def test_results_are_a_frame(results: Results) -> None:
    frame = results.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame["loss"].tolist() == results.trials["loss"].to_pylist()


def test_figures_are_objects(results: Results) -> None:
    from matplotlib.figure import Figure

    found = bitskip.figures(results)
    assert {"main-effects", "interactions", "composition-matrix"} <= found.keys()
    assert all(isinstance(each, Figure) for each in found.values())
    assert found["main-effects"].axes[0].get_xlabel() == "change of perplexity"
