"""Engines run the trial that they are given, speeds are stored beside it, and the rest is refused by name."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from simulated_results import exit_rows, trial_row

from bitskip.cli import app
from bitskip.data.tokenizer import ByteTokenizer
from bitskip.errors import UserError
from bitskip.model.decoder import Decoder, build_model
from bitskip.store.folder import SweepFolder
from bitskip.store.speeds import add_speed
from bitskip.store.tables import load_results, write_trial
from bitskip.training.bench import ENGINES, Request, TorchEngine, bench, own_text
from bitskip.training.checkpoint import load_model, save_weights
from bitskip.training.generate import FixedExit, generate
from bitskip.trial.config import TrialConfig, make_trial

SIZES = {"layers": 2, "width": 256, "heads": 4, "kv_heads": 2, "ffn_width": 256, "init_std": 0.1}
END = ByteTokenizer().end_of_document
SHORT = Request(prompt_tokens=12, decode_tokens=8, repeats=3)


def made(**axes: Any) -> tuple[Decoder, TrialConfig]:
    trial = make_trial(**{"model": SIZES, "data.tokenizer": "bytes", "data.vocab_size": 257, "seq_len": 32, **axes})
    return build_model(trial).eval(), trial


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(results folder, id) of a finished ternary trial of 8 bits whose weights are kept."""
    results = tmp_path_factory.mktemp("stored")
    model, trial = made(weights="ternary", bits=8, model={**SIZES, "init_std": 0.05})
    write_trial(results / "sweep", trial_row(trial, 2.0), exit_rows(trial, 2.0))
    weights = SweepFolder(results / "sweep").weights(trial.trial_id)
    weights.parent.mkdir()
    save_weights(weights, trial, model)
    return results, trial.trial_id


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bitskip", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_torch_engine_decodes_greedily() -> None:
    model, _ = made(bits=8)
    prompt = [END, 5, 9]
    assert TorchEngine(model).continuation(prompt, 10) == list(generate(model, prompt, FixedExit(2), 10).tokens)


@pytest.mark.parametrize(
    ("axes", "emulated"),
    [({}, False), ({"hadamard": "bitnet-v2"}, False), ({"bits": 8}, True), ({"weights": "ternary"}, True),
     ({"weight_bits": 4}, True), ({"kv_bits": 8}, True)],
    ids=str,
)  # fmt: skip
def test_rounded_numbers_are_emulated_in_torch(axes: dict[str, Any], emulated: bool) -> None:
    model, trial = made(**axes)
    speed = bench(model, trial, "torch", SHORT, END, "cpu")
    assert speed.emulated == emulated
    assert (speed.agreement, speed.largest_gap) == (1.0, 0.0)
    assert (speed.prompt_tokens, speed.decode_tokens, speed.repeats) == (12, 8, 3)
    assert min(speed.prefill_tokens_per_second, speed.decode_tokens_per_second) > 0


def test_what_is_asked_for_fits_into_a_sequence() -> None:
    assert Request().within(1000) == (128, 64)
    assert Request().within(64) == (32, 32)
    with pytest.raises(UserError, match="2 to decode at least"):
        Request().within(3)


def test_the_prompt_is_the_models_own_text() -> None:
    model, _ = made()
    assert own_text(model, END, 1) == [END]
    first, second = own_text(model, END, 9), own_text(model, END, 9)
    assert first == second
    assert (len(first), first[0]) == (9, END)


EXACT: dict[str, dict[str, Any]] = {
    "int8": {"weight_bits": 8},
    "int8 of a matrix": {"weight_bits": 8, "weight_group": "tensor"},
    "ternary": {"weights": "ternary"},
    "ternary, rotated": {"weights": "ternary", "hadamard": "bitnet-v2"},
    "int4": {"weight_bits": 4},
    "int4 in groups": {"weight_bits": 4, "weight_group": "64"},
    "three bits": {"weight_bits": 3, "weight_group": "32"},
    "two bits": {"weight_bits": 2},
}


@pytest.mark.parametrize("axes", EXACT.values(), ids=EXACT)
@torch.no_grad()
def test_torchao_multiplies_the_same_integers(axes: dict[str, Any]) -> None:
    """Its kernels' logits are those of the emulation, but for the order of sums in fp32."""
    pytest.importorskip("torchao", reason="torchao is not installed: bitskip[engines]")
    model, trial = made(**axes)
    tokens = torch.randint(257, (2, 16), generator=torch.Generator().manual_seed(1))
    with ENGINES["torchao"](model, trial, SHORT) as engine:
        found = engine.model(tokens)  # type: ignore[attr-defined]
    assert not engine.about.emulated
    assert engine.about.weight_type == ("int4" if axes.get("weight_bits", 8) <= 4 else "int8")
    assert (found - model(tokens)).abs().max() < 1e-4
    four, outside = engine.about.weight_type == "int4", 2 * 257 * 256 + 5 * 256
    matrices = 2 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 256 * 256)
    scales = engine.about.model_bytes - 4 * outside - matrices // (2 if four else 1)
    assert 0 < scales <= matrices // 4


@torch.no_grad()
def test_torchao_rounds_inputs_to_8_bits() -> None:
    """By token as the trial does, on a grid that is finer by half a step: two roundings of one kind."""
    pytest.importorskip("torchao", reason="torchao is not installed: bitskip[engines]")
    (model, trial), (exact, _) = made(weights="ternary", bits=8), made(weights="ternary")
    tokens = torch.randint(257, (2, 16), generator=torch.Generator().manual_seed(1))
    with ENGINES["torchao"](model, trial, SHORT) as engine:
        found = engine.model(tokens)  # type: ignore[attr-defined]
    assert engine.about.weight_type == "int8, inputs int8"
    apart, rounding = (found - model(tokens)).square().mean(), (exact(tokens) - model(tokens)).square().mean()
    assert 0 < apart < 3 * rounding


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({}, "weights full with weight_bits 16: its layers are of integers"),
        ({"weights": "ternary", "bits": 4}, "bits 4 with activation_scale auto: it rounds to 8 bits by absmax"),
        ({"weights": "ternary", "kv_bits": 4}, "kv_bits 4: it rounds no keys and values"),
        ({"weight_bits": 8, "weight_scale": "absmean"}, "weight_scale absmean"),
        ({"weight_bits": 8, "weight_group": "64"}, "weight_group 64 in 8 bits"),
        ({"weights": "ternary", "bits": 8, "hadamard": "as-published"}, "hadamard as-published, behind the rounding"),
        ({"weight_bits": 4, "model": {**SIZES, "width": 48, "ffn_width": 48}}, "a matrix of 48 x 48 in 4 bits"),
    ],
    ids=str,
)
def test_torchao_refuses_by_name(axes: dict[str, Any], told: str) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed: bitskip[engines]")
    model, trial = made(**axes)
    with pytest.raises(UserError, match=f"torchao cannot express .*{told}"):
        bench(model, trial, "torchao", SHORT, END, "cpu")


@pytest.mark.parametrize("engine", ["llama.cpp", "torchao"])
def test_an_engine_that_is_missing_is_one_line_with_its_extra(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extras = importlib.import_module("bitskip.extras")
    monkeypatch.setattr(extras, "installed", lambda package: package not in ("xllamacpp", "torchao"))
    model, trial = made(weights="ternary")
    with pytest.raises(UserError, match=r"not installed; pip install 'bitskip\[engines\]'$"):
        bench(model, trial, engine, SHORT, END, "cpu")


def test_measurements_are_added_and_those_of_no_trial_do_not_count(stored: tuple[Path, str]) -> None:
    results, trial_id = stored
    before = load_results(results).speeds.num_rows
    model, trial = load_model(results, trial_id)
    speed = bench(model, trial, "torch", SHORT, END, "here")
    files = {add_speed(results / "sweep", trial_id, speed) for _ in range(2)}
    stray = add_speed(results / "sweep", "0" * 16, dataclasses.replace(speed, device="nowhere"))
    found = load_results(results)
    assert found.problems == []
    assert found.speeds.num_rows == before + 2
    assert set(found.speeds["trial_id"].to_pylist()) == {trial_id}
    assert pq.read_table(next(iter(files))).to_pylist()[0]["decode_tokens_per_second"] == speed.decode_tokens_per_second
    for path in (*files, stray):
        path.unlink()


@pytest.mark.slow
def test_the_command_stores_what_the_report_tells(stored: tuple[Path, str]) -> None:
    results, trial_id = stored
    done = run("bench", trial_id[:8], "--repeats", 2, "--results", results, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["trial_id"], told["engine"], told["emulated"], told["threads"]) == (trial_id, "torch", True, 1)
    report = run("report", results, "--json")
    (section,) = json.loads(report.stdout)["sections"]
    assert section["speeds"][0]["engine"] == "torch"
    shown = run("report", results, "--only", "speed").stdout
    assert "torch (emulated)" in shown
    speeds = json.loads(run("show", trial_id, "--results", results, "--json").stdout)["speeds"]
    assert speeds[0]["decode_tokens_per_second"] == told["decode_tokens_per_second"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--engine", "vllm"], "--engine: 'vllm' is not one of torch, llama.cpp, torchao"),
        (["--type", "f16"], "--type belongs to --engine llama.cpp"),
        (["--engine", "torchao", "--device", "cuda"], "torchao runs on the CPU here"),
    ],
)
def test_mistakes_end_with_2(stored: tuple[Path, str], options: list[str], told: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["bench", stored[1], "--results", str(stored[0]), *options])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_llama_cpp_decodes_a_ternary_trial_as_it_is(stored: tuple[Path, str]) -> None:
    """The same greedy tokens but for ties within the rounding of inputs, probabilities within 0.05 nats."""
    pytest.importorskip("gguf", reason="gguf is not installed: bitskip[engines]")
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed: bitskip[engines]")
    model, trial = load_model(*stored)
    speed = bench(model, trial, "llama.cpp", SHORT, END, "cpu")
    assert (speed.weight_type, speed.emulated) == ("tq2_0, inputs Q8_K", False)
    assert speed.largest_gap < 0.05
    matrices = 2 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 256 * 256)
    assert speed.model_bytes == 2 * 2 * 257 * 256 + matrices // 256 * 66 + 5 * 256 * 4


def test_llama_cpp_refuses_what_a_file_cannot_hold() -> None:
    pytest.importorskip("gguf", reason="gguf is not installed: bitskip[engines]")
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed: bitskip[engines]")
    model, trial = made(bits=4)
    with pytest.raises(UserError, match="llama.cpp's tq2_0 cannot express bits 4"):
        bench(model, trial, "llama.cpp", SHORT, END, "cpu")
    small, trial = made(model={**SIZES, "width": 64, "ffn_width": 64}, weights="ternary", bits=8)
    with pytest.raises(UserError, match="blocks of 256"):
        bench(small, trial, "llama.cpp", dataclasses.replace(SHORT, weight_type="tq2_0"), END, "cpu")
