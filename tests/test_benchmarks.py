"""The documentation shows what the benchmark scripts print."""

import importlib
import re
import runpy
from pathlib import Path

import pytest
import torch

from bitskip.model.rotary import rotary_table
from bitskip.ops.fused import RMSNorm, rotate
from bitskip.ops.hadamard import hadamard_transform
from bitskip.ops.quantizers import quantize_activations, ternarize
from bitskip.trial.config import PRESETS

ROOT = Path(__file__).parent.parent


def rows(text: str) -> dict[str, list[float]]:
    """Numbers of a Markdown table's rows, by the first cell."""
    cells = (line.strip("| \n").split(" | ") for line in text.splitlines() if line.startswith("| "))
    return {first: [float(n) for n in re.findall(r"\d+\.\d+", " ".join(rest))] for first, *rest in cells}


def test_rotation_errors_are_documented_as_measured(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "benchmarks" / "rotation_error.py"), run_name="__main__")
    measured = {name: numbers for name, numbers in rows(capsys.readouterr().out).items() if numbers}
    documented = rows((ROOT / "docs" / "method.md").read_text())
    assert len(measured) == 7
    for name, numbers in measured.items():
        assert documented[name] == pytest.approx(numbers, rel=0.02, abs=1e-4)


def test_core_hours_are_documented_as_measured(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "benchmarks" / "core_hours.py"), run_name="__main__")
    printed, documented = capsys.readouterr().out, (ROOT / "docs" / "effects.md").read_text()
    measured = rows(printed)
    assert len([numbers for numbers in measured.values() if numbers]) == 10
    for name, numbers in measured.items():
        assert rows(documented)[name] == pytest.approx(numbers, rel=0.02, abs=0.1)
    for line in re.findall("same .* of the scales .*", printed):
        assert f"- {line}" in documented


def test_naive_versions_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared for speed gives equal results: in the forward pass, and the references have as many weights."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    kernels, reference = importlib.import_module("kernels"), importlib.import_module("reference")
    draws = torch.Generator().manual_seed(0)
    x, weight = torch.randn(3, 8, 64, generator=draws), torch.randn(64, 32, generator=draws)
    rotary = rotary_table(PRESETS["nano"], 8, torch.device("cpu"), torch.float32)
    query = torch.randn(2, 4, 8, 16, generator=draws)
    for naive, ours in (
        (kernels.naive_absmax(x), quantize_activations(x, 8)),
        (kernels.naive_absmean(x), quantize_activations(x, 4)),
        (kernels.naive_ternary(weight), ternarize(weight)),
        (kernels.butterfly(x), hadamard_transform(x)),
        (kernels.naive_norm(x, torch.ones(64)), RMSNorm(64, eps=1e-5)(x)),
        (kernels.naive_rotation(query, rotary), rotate(query, rotary)),
    ):
        assert torch.allclose(naive, ours, atol=1e-5)
    for name in ("nano", "micro", "small", "paper"):
        with torch.device("meta"):
            gpt = reference.GPT(PRESETS[name], 512, 8).blocks
        count = sum(p.numel() for p in gpt.parameters() if p.ndim > 1)
        sizes = PRESETS[name]
        kv_width = sizes.kv_heads * sizes.head_width
        block = 2 * sizes.width * (sizes.width + kv_width) + 3 * sizes.width * sizes.ffn_width
        assert count == sizes.layers * block


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["ternary 3x", "seed x rotation", "forks"])
def test_intervals_of_effects_cover_where_one_noise_model_does_not(
    monkeypatch: pytest.MonkeyPatch, scenario: str
) -> None:
    """60 grids; shares within three standard errors of their means over effects."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    study = importlib.import_module("effect_coverage")
    found = study.coverage(study.CELLS, study.SCENARIOS[scenario], 3, 60)
    assert set(found.kinds) == {
        f"{kind} {estimand}" for kind in ("single", "pair") for estimand in ("anchored", "averaged")
    }
    assert all(0.91 <= share <= 0.99 for share in found.kinds.values())
    assert found.false <= 0.1
