"""One declaration a column: what the trainer fills, what is written and what is read are the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa
import pytest

from bitskip.store import schema
from bitskip.store.schema import (
    FAILED,
    FINISHED,
    NO_LOSS,
    TABLES,
    CurvePoint,
    ExitResult,
    ExitSpeed,
    LayerRow,
    Status,
    arrow_schema,
    as_row,
    columns,
)
from bitskip.store.tables import load_results, write_trial
from bitskip.store.trial_columns import trial_columns
from bitskip.techniques import registry
from bitskip.techniques.axis import axis
from bitskip.techniques.base import Technique
from bitskip.training.trainer import TrialResult
from bitskip.trial.config import AXES, make_trial

TRIAL = make_trial(bits=8)
SINGLE, BATCHED = ExitSpeed(1.0, 2.0, 3.0, 4.0, 5.0, 6), ExitSpeed(10.0, 20.0, 30.0, 40.0, 50.0, 60)
EXIT = ExitResult(1, 2, 3.0, 20.0, 1.0, 0.5, SINGLE, 8, BATCHED)
POINT = CurvePoint(10, 100, "2", 3.0, None, 0.1, 1.0)
LAYER = LayerRow(10, None, "head", grad_norm=0.5)


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_a_name_of_its_own_and_a_meaning(table: str) -> None:
    found = columns(table)
    assert len({each.name for each in found}) == len(found)
    assert all(each.meaning and "\n" not in each.meaning for each in found)
    assert found[0].name == "trial_id"
    assert arrow_schema(table).names == [each.name for each in found]


def test_every_axis_is_a_column_of_its_kind() -> None:
    kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string(), tuple: pa.list_(pa.string())}
    for name, entry in AXES.items():
        assert arrow_schema("trials").field(name.replace(".", "_")).type == kinds[entry.kind]


def test_results_of_the_trainer_are_rows_of_their_tables(tmp_path) -> None:
    for entry, table in ((EXIT, "exits"), (POINT, "curves"), (LAYER, "layers")):
        assert ["trial_id", *as_row(entry)] == arrow_schema(table).names
    assert as_row(EXIT)["speed_gain"] == 3.0
    assert as_row(EXIT)["batch_speed_gain"] == 30.0
    measured = {each.name for each in fields(TrialResult) if each.metadata}
    assert measured < set(arrow_schema("trials").names)
    assert not measured & set(trial_columns(TRIAL))
    row = trial_columns(TRIAL) | {"status": Status.OK}
    write_trial(tmp_path, row, *([as_row(each)] for each in (EXIT, POINT, LAYER)))
    found = load_results(tmp_path)
    assert found.trials["status"].to_pylist() == ["ok"]
    for entry, table in ((EXIT, found.exits), (POINT, found.curves), (LAYER, found.layers)):
        assert table.to_pylist() == [{"trial_id": TRIAL.trial_id} | as_row(entry)]


@dataclass(frozen=True)
class Sparsity(Technique):
    """A technique from elsewhere, whose default is not what trials from before it had."""

    sparsity: float = axis(0.5, "share of the activations that is zeroed", low=0.0, below=1.0, neutral=0.0)


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Loads `Sparsity` as a sweep file would."""

    def load() -> None:
        monkeypatch.setattr(registry, "_named", [registry.PlugIn(Sparsity, "sparse", "1.2")])
        registry.Table.clear()

    yield load
    monkeypatch.undo()
    registry.Table.clear()


def test_an_axis_that_is_added_while_running_is_a_column(plug_in: Callable[[], None], tmp_path: Path) -> None:
    """Rows from before it are at its neutral value; without the plug-in, its column is kept."""
    write_trial(tmp_path, trial_columns(TRIAL) | {"status": "ok"})
    plug_in()
    assert load_results(tmp_path).trials["sparsity"].to_pylist() == [0.0]
    write_trial(tmp_path, trial_columns(make_trial(sparsity=0.25)) | {"status": "ok"})
    found = load_results(tmp_path).trials
    assert found.schema.equals(arrow_schema("trials"))
    assert sorted(found["sparsity"].to_pylist()) == [0.0, 0.25]
    registry._named.clear()
    registry.Table.clear()
    found = load_results(tmp_path).trials
    assert found.schema.names == [*arrow_schema("trials").names, "sparsity"]
    assert sorted(found["sparsity"].to_pylist(), key=str) == [0.25, None]


def test_every_status_is_a_result_or_a_failed_attempt() -> None:
    assert {*FINISHED, *FAILED} == set(Status)
    assert not {*FINISHED} & {*FAILED}
    assert {*FINISHED} - {*NO_LOSS} == {"ok"}


def test_declarations_need_no_heavy_package() -> None:
    code = f"import sys, {schema.__name__}; print(*{{'torch', 'pyarrow', 'numpy'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
