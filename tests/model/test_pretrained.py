"""Pretrained models: logits equal those of transformers, whatever the family; what cannot be taken is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bitskip.data.tokenizer import _train_bpe
from bitskip.errors import UserError
from bitskip.model.decoder import KeyValueCache, build_model
from bitskip.report.rerun import rerun_command
from bitskip.store.tables import load_results
from bitskip.training.trainer import prepare, run_trial, train
from bitskip.trial.config import TrialConfig, make_trial, stored_trial
from bitskip.trial.parts import HEALED
from bitskip.trial.pretrained import pretrained_digest
from bitskip.trial.schedule import trained_with

transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install bitskip[models]")

ROOT = Path(__file__).parents[2]
SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": None,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {"rms_norm_eps": 1e-4}),
    "llama tied, biased": ("LlamaConfig", {"tie_word_embeddings": True, "attention_bias": True}),
    "llama, rope of llama 3": ("LlamaConfig", {"rope_parameters": LLAMA3}),
    "llama, linear rope": (
        "LlamaConfig",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100.0}},
    ),
    "mistral": ("MistralConfig", {"head_dim": 16, "sliding_window": None}),
    "qwen2": ("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", {"head_dim": 32}),
    "olmo2": ("Olmo2Config", {}),
}


def stored_model(folder: Path, kind: str, **changed: Any) -> Any:
    """A model of transformers with random weights, norms and biases included, saved in the folder."""
    config = getattr(transformers, kind)(**{**SIZES, **changed})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(
                torch.randn_like(parameter) * (0.3 if parameter.ndim == 1 else 0.15) + (parameter.ndim == 1)
            )
    model.save_pretrained(folder)
    return model


def trial_of(folder: Path, **axes: Any) -> TrialConfig:
    return make_trial(**{"model": {"from": str(folder)}, "training": "none", "seq_len": 64, **axes})


@torch.no_grad()
def largest_difference(trial: TrialConfig, theirs: Any, tokens: torch.Tensor) -> float:
    """Of the logits, relative to the largest one."""
    found, expected = build_model(trial).eval()(tokens), theirs(tokens).logits
    return float((found - expected).abs().max() / expected.abs().max())


TOKENS = torch.randint(300, (2, 64), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("kind", "changed"), MODELS.values(), ids=MODELS)
def test_logits_equal_those_of_transformers(tmp_path: Path, kind: str, changed: dict[str, Any]) -> None:
    theirs = stored_model(tmp_path, kind, **changed)
    trial = trial_of(tmp_path)
    assert largest_difference(trial, theirs, TOKENS) < 1e-5
    model = build_model(trial).eval()
    assert sum(each.numel() for each in model.parameters()) == sum(each.numel() for each in theirs.parameters())
    with torch.no_grad():
        cache = KeyValueCache(model, 2, 64)
        parts = [model(part, cache=cache) for part in TOKENS.split([40, 1, 23], dim=1)]
        assert torch.allclose(torch.cat(parts, 1), model(TOKENS), atol=1e-4)


@pytest.mark.parametrize("hadamard", ["bitnet-v2", "bitnet-v2-all", "random-sign"])
@pytest.mark.parametrize("model", ["mistral", "qwen2", "olmo2"])
def test_a_folded_rotation_leaves_the_model_as_it_is(tmp_path: Path, hadamard: str, model: str) -> None:
    """Nothing is quantized; widths of 48 and 96 rotate in blocks of 16 and 32."""
    kind, changed = MODELS[model]
    theirs = stored_model(tmp_path, kind, **changed)
    assert largest_difference(trial_of(tmp_path, hadamard=hadamard), theirs, TOKENS) < 1e-5


@torch.no_grad()
def test_quantized_after_healing_a_rotation_is_folded_once_and_then(tmp_path: Path) -> None:
    """While it heals, the model is as it was; afterwards weights and inputs turn together."""
    theirs = stored_model(tmp_path, "LlamaConfig")
    after = {"bits": 8, "weights": "full", "hadamard": "bitnet-v2-all", "quantize": "after"}
    trial = trial_of(tmp_path, training="heal", tokens=1_024, **after)
    model = build_model(trial).eval()
    model.use(trained_with(trial, 0))
    expected = theirs(TOKENS).logits
    assert (model(TOKENS) - expected).abs().max() < 1e-5 * expected.abs().max()
    model.fold(trial.techniques)
    model.use(trial.techniques)
    assert (model(TOKENS) - expected).abs().max() < 0.1 * expected.abs().max()  # of 8 bits
    assert trial_of(tmp_path, **after).trial_id == trial_of(tmp_path, **{**after, "quantize": "training"}).trial_id


def test_the_content_is_the_identity_and_not_the_place(tmp_path: Path) -> None:
    for name in ("one", "other"):
        stored_model(tmp_path / name, "LlamaConfig")
    digests = {pretrained_digest(str(tmp_path / name)) for name in ("one", "other")}
    assert len(digests) == 1
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    (tmp_path / "one" / "config.json").write_text(json.dumps(config | {"rope_theta": 5.0, "rope_parameters": None}))
    assert pretrained_digest(str(tmp_path / "one")) not in digests


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The folder of a tiny model with its tokenizer, and a text."""
    stored_model(tmp_path / "model", "LlamaConfig")
    words = [f"word{number % 37} of{number % 11}" for number in range(6000)]
    paragraphs = ["\n".join(words[start : start + 60]) for start in range(0, 6000, 60)]
    fewer_than_the_rows_of_the_model = 280
    _train_bpe(iter(paragraphs), fewer_than_the_rows_of_the_model).save(str(tmp_path / "model" / "tokenizer.json"))
    (tmp_path / "text.txt").write_text("\n\n".join(f"{n}: {part}" for n, part in enumerate(paragraphs)))
    return tmp_path


SMALL = {"seq_len": 32, "eval_tokens": 512, "curve_tokens": 256}


@pytest.mark.slow
def test_the_sweep_we_ship_measures_a_model_as_it_is(stored: Path) -> None:
    options = [f"--set=base.{name}={value}" for name, value in SMALL.items()]
    command = ["sweep", str(ROOT / "sweeps" / "pretrained.yaml"), "--profile", "bits", "--executor", "inline", *options]
    run = subprocess.run([sys.executable, "-m", "bitskip", *command], cwd=stored, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "widths of 48 rotate in 3 blocks of 16" in run.stdout
    rows = load_results(stored / "results").trials.to_pylist()
    assert {(row["status"], row["tokens"], row["tokens_trained"], row["steps"]) for row in rows} == {("ok", 0, 0, 0)}
    assert len(rows) == 9
    exits = load_results(stored / "results").exits.to_pylist()
    assert {(row["exit_layer"], row["speed_gain"], row["batch_decode_tokens_per_second"]) for row in exits} == {
        (layer, None, None) for layer in (1, 2, 3)
    }
    assert {row["model"] for row in rows} == {"model"}
    assert all(stored_trial(row).trial_id == row["trial_id"] for row in rows)
    command = rerun_command(rows[-1])
    assert command is not None
    assert "training=none" in command
    losses = {(row["bits"], row["hadamard"]): row["loss"] for row in rows}
    whole = [loss for (bits, _), loss in losses.items() if bits == 16]
    assert max(whole) - min(whole) < 1e-5
    assert len(set(losses.values())) > 6


@pytest.mark.slow
def test_healing_starts_from_the_weights_and_trains_them(stored: Path) -> None:
    data = {"files": [str(stored / "text.txt")], "leak_bound": 1}
    axes = {"model": {"from": str(stored / "model")}, "data": data, "lr": 1e-3, **SMALL, "curve_points": 2}
    before = run_trial(make_trial(**axes, training="none"))
    healed = run_trial(make_trial(**axes, training="heal", tokens=8_192, bits=8, weights="full", exit_weight=0.3))
    assert healed.loss is not None
    assert before.loss is not None
    assert healed.loss < before.loss - 0.5
    assert healed.bigram_loss is not None
    assert (before.bigram_loss, before.curve, before.tokens_trained) == (None, (), 0)


def test_what_is_not_healed_stays(stored: Path) -> None:
    """Norms and queries move, and nothing else; adding nothing to the list is no other trial."""
    data = {"files": [str(stored / "text.txt")], "leak_bound": 1}
    axes = {"model": {"from": str(stored / "model")}, "data": data, **SMALL, "tokens": 1_024, "training": "heal"}
    trial = make_trial(**axes, healed=["norms", "q"])
    assert trial.trial_id == make_trial(**axes, healed=["q", "norms"]).trial_id
    assert make_trial(**axes, healed=list(HEALED)).trial_id == make_trial(**axes).trial_id
    ready = prepare(trial, torch.device("cpu"))
    before = {name: value.clone() for name, value in ready.model.named_parameters()}
    train(ready)
    moved = {name for name, value in ready.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "norm" in name or ".q." in name}
    with pytest.raises(UserError, match="healed: unknown part 'quer'"):
        make_trial(**axes, healed=["quer"])


def test_from_scratch_the_weights_do_not_matter(tmp_path: Path) -> None:
    stored_model(tmp_path, "LlamaConfig")
    trial = trial_of(tmp_path, training="scratch")
    sizes = {"layers": 3, "width": 48, "heads": 4, "kv_heads": 2, "ffn_width": 96, "norm_eps": 1e-6}
    same = make_trial(model=sizes, seq_len=64, **{"data.vocab_size": 300, "data.tokenizer": trial.data.tokenizer})
    assert trial.trial_id == same.trial_id


@pytest.mark.parametrize(
    ("kind", "changed", "told"),
    [
        ("GPT2Config", {"n_head": 4, "n_embd": 48}, "'gpt2' is not supported; supported are Llama, SmolLM2, Mistral"),
        ("LlamaConfig", {"hidden_act": "gelu"}, "hidden_act gelu"),
        ("LlamaConfig", {"mlp_bias": True}, "mlp_bias True"),
        (
            "LlamaConfig",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
            "rope scaling 'dynamic' is not supported; supported are default, linear, llama3",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    tmp_path: Path, kind: str, changed: dict[str, Any], told: str
) -> None:
    getattr(transformers, kind)(**{**SIZES, **changed}).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=f"^model: from '{tmp_path}': .*{told}"):
        trial_of(tmp_path)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    def refused(told: str, **axes: Any) -> None:
        with pytest.raises(UserError, match=told):
            build_model(trial_of(tmp_path, **axes))

    refused("no config.json")
    stored_model(tmp_path, "MistralConfig", sliding_window=32)
    refused("attends to the last 32 tokens; set seq_len to at most 32")
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    refused("cannot be read", seq_len=32)
    weights.rename(tmp_path / "pytorch_model.bin")
    refused("only pickled weights .*never read; store it with save_pretrained")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="cannot be read|needs gguf, which is not installed"):
        make_trial(model={"from": str(tmp_path / "model.gguf")})
    with pytest.raises(UserError, match="there is no such folder"):
        make_trial(model={"from": str(tmp_path / "nothing")})


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"model": "nano", "training": "heal"}, "needs pretrained weights"),
        ({"hadamard": "as-published"}, "takes no defect"),
        ({"mod_capacity": 0.5}, "mod_capacity: it has weights of its own"),
        ({"training": "heal", "tokens": 0}, "tokens: 0 is out of range"),
    ],
)
def test_settings_that_do_not_go_with_pretrained_weights(tmp_path: Path, axes: dict[str, Any], told: str) -> None:
    stored_model(tmp_path, "LlamaConfig")
    with pytest.raises(UserError, match=told):
        trial_of(tmp_path, **axes)
