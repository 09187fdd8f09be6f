"""Speeds of engines and early decoding in a report: which engine, no emulated speed on a front, means over seeds."""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import Any

import pyarrow as pa
import pytest
from simulated_results import grid, results_from, simulate, single_effects

from bitskip.report.charts.confidence import confidence
from bitskip.report.charts.pareto import pareto_speed
from bitskip.report.document import TERMINAL, document
from bitskip.report.numbers import Acceptance
from bitskip.report.summary import Analysis, analyse
from bitskip.report.table import Table, shown_text
from bitskip.store.schema import arrow_schema
from bitskip.store.tables import Results
from bitskip.training.exits import THRESHOLDS


def measurement(trial_id: str, engine: str, speed: float, emulated: bool = False, **others: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(arrow_schema("speeds").names)
    row |= {"trial_id": trial_id, "engine": engine, "engine_version": f"{engine} 1", "weight_type": "some"}
    row |= {"decode_tokens_per_second": speed, "prefill_tokens_per_second": 2 * speed, "emulated": emulated}
    row |= {"decode_spread": 1.0, "prefill_spread": 2.0, "model_bytes": 1000, "agreement": 1.0, "largest_gap": 0.0}
    row |= {"prompt_tokens": 8, "decode_tokens": 8, "repeats": 5, "threads": 1, "device": "cpu", "host": "here"}
    return row | {"started_at": datetime.datetime.now(datetime.UTC)} | others


def example(**columns: Any) -> Results:
    """Bits 16 and 4 of two seeds, with a decoding speed of every exit."""
    found = simulate(grid(bits=(16, 4), weights=("full",)), single_effects, sigma=0.0)
    trials = [row | columns for row in found.trials.to_pylist()]
    exits = [
        row | {"decode_tokens_per_second": 100.0 * (1 + row["speed_gain"]), "acceptance_rate": None}
        for row in found.exits.to_pylist()
    ]
    return results_from(trials, exits)


def with_speeds(results: Results) -> Results:
    """4 bits twice in an engine with kernels and once emulated."""
    (four, *_) = [row["trial_id"] for row in results.trials.to_pylist() if row["bits"] == 4]
    rows = [measurement(four, "llama.cpp", speed) for speed in (500.0, 700.0)]
    rows.append(measurement(four, "torch", 5000.0, emulated=True))
    return dataclasses.replace(results, speeds=pa.Table.from_pylist(rows, schema=arrow_schema("speeds")))


def tables(analysis: Analysis, topic: str) -> list[Table]:
    chapters = document(analysis, TERMINAL, only=[topic]).chapters
    return [block for chapter in chapters for block in chapter.blocks if isinstance(block, Table)]


def test_speeds_are_medians_by_engine() -> None:
    analysis = analyse(with_speeds(example()))
    (section,) = analysis.report.sections
    torch, llama = section.speeds
    assert (torch.engine, torch.emulated, torch.measurements) == ("torch", True, 1)
    assert (llama.engine, llama.decode_tokens_per_second, llama.measurements) == ("llama.cpp", 600.0, 2)
    (table,) = tables(analysis, "speed")
    at = [column.name for column in table.columns].index("engine")
    assert [shown_text(row[at]) for row in table.rows] == ["torch (emulated)", "llama.cpp"]


def test_no_emulated_speed_stands_on_a_front() -> None:
    """4 bits in bitskip's own decoder are emulated, whatever their speed; 16 bits are what they are."""
    (sheet,) = analyse(with_speeds(example())).sheets
    rows = pareto_speed(sheet).rows  # type: ignore[union-attr]
    emulated = [row for row in rows if row["emulated"]]
    assert {(row["bits"], row["engine"]) for row in emulated} == {(4, "torch")}
    assert not any(row["on_front"] for row in emulated)
    on_front = {(row["bits"], row["engine"]) for row in rows if row["on_front"]}
    assert on_front == {(16, "torch"), (4, "llama.cpp")}


def test_a_chart_of_emulated_speeds_alone_has_no_front() -> None:
    results = example()
    four = [row for row in results.trials.to_pylist() if row["bits"] == 4]
    (sheet,) = analyse(results_from(four, results.exits.to_pylist())).sheets
    chart = pareto_speed(sheet)
    assert chart is not None
    assert chart.draw().axes[0].get_xlabel() == "decoded tokens/s, batch 1"


def test_early_decoding_is_a_mean_over_seeds() -> None:
    losses = [4.5, 4.4, 4.3, 4.2, 4.1, 4.05]
    depths = [1.5, 2.0, 2.5, 3.0, 3.5, 3.9]
    results = example(confidence_loss=losses, confidence_depth=depths, eval_draft_tokens=4)
    rates = {1: 0.25, 2: 0.5}
    exits = [row | {"acceptance_rate": rates.get(row["exit_layer"])} for row in results.exits.to_pylist()]
    analysis = analyse(results_from(results.trials.to_pylist(), exits))
    (section,) = analysis.report.sections
    assert len(section.early_decoding) == 2
    first = section.early_decoding[0]
    assert [point.threshold for point in first.thresholds] == [*THRESHOLDS, 1.0]
    assert [point.depth for point in first.thresholds] == pytest.approx([*depths, first.depth])
    assert first.thresholds[0].ppl == pytest.approx(math.exp(4.5))
    assert first.thresholds[-1].ppl == first.ppl == pytest.approx(first.exits[first.depth])
    assert first.drafts == (Acceptance(1, 4, 0.25), Acceptance(2, 4, 0.5))
    assert first.seeds == 2
    leaving, drafting = tables(analysis, "confidence")
    assert "90.02 at 1.5" in map(shown_text, leaving.rows[0])
    assert "25%" in map(shown_text, drafting.rows[0])
    (sheet,) = analysis.sheets
    chart = confidence(sheet)
    assert chart is not None
    assert len(chart.draw().axes[0].lines) == 4
    assert {row["threshold"] for row in chart.rows} == {*THRESHOLDS, 1.0, None}


def test_nothing_is_told_where_nothing_was_measured() -> None:
    analysis = analyse(example())
    (section,) = analysis.report.sections
    assert (section.speeds, section.early_decoding) == ((), ())
    assert confidence(analysis.sheets[0]) is None
