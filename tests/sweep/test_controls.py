"""The controls of a comparison as ordinary points of a sweep, through the command."""

import json
from pathlib import Path

import pytest
from test_cli import INLINE, ROOT, ok

from bitskip.store.tables import load_results

STEPS = 140
SMALL = {
    "base.model": "{preset: femto, width: 32}", "base.tokens": STEPS * 128, "base.seq_len": 32, "base.lr": 1e-2,
    "base.eval_tokens": 1000, "base.curve_tokens": 500, "base.curve_points": 1, "base.diagnostic_points": 0,
    "seeds": 1, "space.model.layers": "[3, 1]", "space.bits": "[16, 8]", "space.hadamard": "[none]",
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("controls")
    options = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    ok("sweep", ROOT / "sweeps" / "controls.yaml", "--results", folder, *INLINE, *options)
    return folder


def test_quantizing_afterwards_trains_nothing(results: Path) -> None:
    found = load_results(results)
    rows = {row["trial_id"]: row for row in found.trials.to_pylist()}
    last = {point["trial_id"]: point["val_loss"] for point in found.curves.to_pylist()}
    after = [row for row in rows.values() if row["quantize"] == "after"]
    assert len(after) == 3
    for row in after:
        full = next(
            each for each in rows.values()
            if each["bits"] == 16 and all(each[name] == row[name] for name in ("model_layers", "phase"))
        )  # fmt: skip
        assert STEPS in (row["forked_at_step"], full["forked_at_step"])
        assert last[row["trial_id"]] == last[full["trial_id"]]
        assert row["loss"] != full["loss"]
        assert row["weight_bytes"] < full["weight_bytes"]


def test_the_report_shows_every_control(results: Path) -> None:
    (deep, alone) = json.loads(ok("report", results, "--json"))["sections"]
    assert alone["alone"] == []
    assert {(each["exit_layer"], each["depth"]) for each in deep["alone"]} == {(1, 3)}
    assert len(deep["alone"]) == 3  # full precision, trained with 8 bits, and quantized after
    plain = [each for each in deep["equal_costs"] if "phase" not in each["configuration"]]
    assert plain
    assert all(each["of_bytes"]["model"] != each["of_parameters"]["model"] for each in plain)
    text = ok("report", results, "--full")
    for told in ("after", "trained alone", "equal cost"):
        assert told in text
