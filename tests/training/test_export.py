"""Exported models: transformers and llama.cpp compute what the trial does; what they cannot express is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bitskip.data.tokenizer import ByteTokenizer, LibraryTokenizer, Tokenizer, _train_bpe, as_library_tokenizer
from bitskip.errors import UserError
from bitskip.model.decoder import Decoder, build_model, random_model
from bitskip.training.export import portable
from bitskip.training.export_gguf import ACTIVATION_BITS, check_type, write_gguf
from bitskip.training.export_hf import write_hf
from bitskip.trial.config import TrialConfig, make_trial

SIZES = {"layers": 2, "width": 256, "heads": 4, "kv_heads": 2, "ffn_width": 256}
SMALL = {"layers": 2, "width": 48, "heads": 4, "kv_heads": 2, "ffn_width": 96}
TOKENS = torch.randint(257, (2, 32), generator=torch.Generator().manual_seed(1))


def trial_of(**axes: Any) -> TrialConfig:
    return make_trial(**{"model": SMALL, "data.tokenizer": "bytes", "seq_len": 32, **axes})


@torch.no_grad()
def trained(trial: TrialConfig, scale: float = 0.15) -> Decoder:
    """A model whose norms, biases and matrices all matter; `scale` is that of the matrices."""
    model = random_model(trial).eval()
    draws = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=draws)
        parameter.copy_(noise * (0.3 if parameter.ndim == 1 else scale) + (parameter.ndim == 1))
    return model


MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, tied, biased, wide heads": {"tie_embeddings": True, "attention_bias": "qkvo", "head_dim": 16},
    "llama 3 rope": {"rope_scaling": "llama3 8 1 4 16", "rope_theta": 500.0},
    "linear rope": {"rope_scaling": "linear 4"},
    "qwen2": {"attention_bias": "qkv"},
    "qwen3": {"qk_norm": True},
    "olmo2": {"qk_norm": True, "layout": "olmo2"},
}
TECHNIQUES: dict[str, dict[str, Any]] = {
    "ternary": {"weights": "ternary"},
    "integers": {"weight_bits": 4},
    "rotated": {"hadamard": "bitnet-v2-all", "hadamard_blocks": True},
    "ternary, random signs": {"weights": "ternary", "hadamard": "random-sign", "hadamard_blocks": True},
    "exits": {"exit_weight": 0.3, "exit_head": "own-head", "dropout": "linear"},
}


@pytest.mark.parametrize(
    ("model", "axes"),
    [*((model, {}) for model in MODELS.values()), *(({}, axes) for axes in TECHNIQUES.values())],
    ids=[*MODELS, *TECHNIQUES],
)
@torch.no_grad()
def test_transformers_computes_the_same_logits(tmp_path: Path, model: dict[str, Any], axes: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: bitskip[models]")
    trial = trial_of(model=SMALL | model, **axes)
    ours = trained(trial)
    write_hf(tmp_path / "hf", portable(ours, trial, "transformers"), ByteTokenizer())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf").eval()
    expected = ours(TOKENS)
    assert (theirs(TOKENS).logits - expected).abs().max() < 1e-4 * expected.abs().max()
    assert theirs.generation_config.eos_token_id == 256


@torch.no_grad()
def test_a_rotated_pretrained_model_leaves_as_it_came(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: bitskip[models]")
    first, own = trial_of(**{"data.tokenizer": "bpe", "data.vocab_size": 280}), bpe()
    write_hf(tmp_path / "first", portable(trained(first), first, "transformers"), own)
    (tmp_path / "first" / "chat_template.jinja").write_text("{{ messages }}")
    trial = trial_of(
        model={"from": str(tmp_path / "first")}, training="none", hadamard="bitnet-v2",
        **{"data.tokenizer": f"checkpoint:{tmp_path / 'first'}"},
    )  # fmt: skip
    write_hf(tmp_path / "second", portable(build_model(trial), trial, "transformers"), own)
    came, left = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    assert came.keys() == left.keys()
    for name, weight in came.items():
        assert torch.allclose(left[name], weight, atol=1e-6), name
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_transformers_reads_the_tokenizer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: bitskip[models]")
    text = "Zwölf Boxkämpfer jagen 12 Füchse,  twice \n\n"
    for name, own in {"bytes": ByteTokenizer(), "bpe": bpe()}.items():
        trial = trial_of(**{"data.vocab_size": own.vocab_size} | ({} if name == "bytes" else {"data.tokenizer": "bpe"}))
        write_hf(tmp_path / name, portable(trained(trial), trial, "transformers"), own)
        found = transformers.AutoTokenizer.from_pretrained(tmp_path / name)
        assert found(text).input_ids == [own.end_of_document, *own.encode([text])[0]]
        assert found.decode(found(text).input_ids, skip_special_tokens=True) == text


def bpe() -> Tokenizer:
    return LibraryTokenizer(_train_bpe(iter(["the cat sat on the mat and the dog sat by the door"] * 9), 280))


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"bits": 8}, "cannot express bits 8, which acts on what layers read; ternary weights .* --type tq2_0"),
        ({"bits": 4, "hadamard": "bitnet-v2", "model": SIZES}, "cannot express bits 4"),
        ({"kv_bits": 4}, "cannot express kv_bits 4, which rounds keys and values"),
        ({"mod_capacity": 0.5}, "cannot express mod_capacity 0.5, which runs blocks in a way of its own"),
        ({"artefacts": {"causal_mask": False}}, "no defect of the published code .causal_mask False"),
        ({"model": SMALL | {"layout": "olmo2"}}, "no architecture has model.layout olmo2 with model.qk_norm false"),
    ],
    ids=str,
)
def test_what_transformers_cannot_express_is_refused_by_name(axes: dict[str, Any], told: str) -> None:
    trial = trial_of(**axes)
    with pytest.raises(UserError, match=told):
        portable(random_model(trial), trial, "transformers")


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    trial = trial_of()
    with pytest.raises(UserError, match="is not empty"):
        write_hf(tmp_path, portable(random_model(trial), trial, "transformers"), ByteTokenizer())


@pytest.mark.parametrize(
    ("kind", "axes", "told"),
    [
        ("q4_0", {}, "'q4_0' is not one of f16, q8_0, tq1_0, tq2_0"),
        ("tq2_0", {"model": SIZES}, "holds ternary matrices, and those of .* are not"),
        ("tq1_0", {"weights": "ternary"}, "blocks of 256, which do not divide model.width 48; take f16, or train"),
        ("tq1_0", {"weights": "ternary", "model": "nano"}, "model.width 64; take q8_0 or f16, or train"),
        ("q8_0", {}, "blocks of 32, which do not divide model.width 48; take f16"),
        ("tq2_0", {"weights": "ternary", "model": SIZES, "hadamard": "bitnet-v2"}, "which are ternary no more"),
    ],
    ids=str,
)
def test_types_that_do_not_hold_a_model_are_refused_with_the_cure(kind: str, axes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        check_type(trial_of(**axes), kind)


def for_blocks(model: dict[str, Any]) -> dict[str, Any]:
    """Sizes that all types of file hold: rows of 256, of heads with a width of their own 512."""
    return SIZES | model | ({"head_dim": 128} if "head_dim" in model else {})


WITHIN = {"f16": 2**-11, "q8_0": 1 / 250, "tq1_0": 2**-11, "tq2_0": 2**-11}
"""Largest error of a stored value, as a share of the largest one: half a step."""


@pytest.mark.parametrize("kind", WITHIN)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_gguf_gives_back_the_weights(tmp_path: Path, model: dict[str, Any], kind: str) -> None:
    """Read by what takes pretrained models, an independent path: names, order of rotary pairs, sizes."""
    pytest.importorskip("gguf", reason="gguf is not installed: bitskip[models]")
    from bitskip.model.pretrained import GGUF_NAMES, own_name, tensors
    from bitskip.trial.pretrained import PretrainedFiles

    trial = trial_of(model=for_blocks(model), weights="ternary")
    exported = portable(trained(trial), trial, kind, ACTIVATION_BITS.get(kind))
    path = tmp_path / "model.gguf"
    write_gguf(path, exported, ByteTokenizer(), kind)
    found = {
        own_name(name, GGUF_NAMES[trial.model.layout]): value
        for name, value in tensors(PretrainedFiles(tmp_path, (path,)), trial)
        if name != "rope_freqs.weight"
    }
    assert found.keys() == exported.weights.keys()
    for name, weight in exported.weights.items():
        assert (found[name] - weight).abs().max() <= WITHIN[kind] * weight.abs().max(), name
        if kind.startswith("tq") and name.startswith("blocks.") and weight.ndim == 2:
            assert torch.equal(found[name].sign(), weight.sign())


@pytest.mark.parametrize("kind", ["f16", "q8_0", "tq1_0", "tq2_0"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@torch.no_grad()
def test_llama_cpp_computes_the_same_probabilities(tmp_path: Path, model: dict[str, Any], kind: str) -> None:
    """Of every next token of a text.

    Quantized types also round what their matrices are multiplied with, to 8 bits in blocks, as an 8-bit trial does by
    token: two independent roundings, whose difference is sqrt(2) times the effect of one.
    """
    pytest.importorskip("gguf", reason="gguf is not installed: bitskip[models]")
    engine = pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    whole, rounded = (
        trial_of(model=for_blocks(model), seq_len=64, weights="ternary", bits=bits, activation_scale="absmax")
        for bits in (16, 8)
    )
    trial = rounded if kind.startswith("tq") else whole
    ours = trained(trial, scale=1 / 16)  # of 256 inputs
    path = tmp_path / "model.gguf"
    write_gguf(path, portable(ours, trial, kind, ACTIVATION_BITS.get(kind)), ByteTokenizer(), kind)
    settings = engine.CommonParams()
    settings.model.path, settings.n_ctx, settings.n_parallel, settings.verbosity = str(path), 64, 1, -1
    settings.cpuparams.n_threads = 1
    server = engine.Server(settings)
    tokens, letter = TOKENS[0].tolist(), ord("A")
    expected = ours(TOKENS[:1]).log_softmax(-1)[0]
    found = torch.empty_like(expected)
    for length in range(1, len(tokens) + 1):
        # The letter is drawn whatever the probabilities, which are told as they are: others may not be shown alone.
        asked = {"prompt": tokens[:length], "n_predict": 1, "n_probs": 257, "logit_bias": [[letter, 1e3]]}
        answer = server.handle_completions(asked)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        found[length - 1] = torch.tensor([each["logprob"] for each in sorted(answer, key=lambda each: each["id"])])
    if kind == "f16":
        assert (found - expected).abs().max() < 0.01
        return
    exact, eight_bits = (trained(each, 1 / 16)(TOKENS[:1]).log_softmax(-1)[0] for each in (whole, rounded))
    assert rms(found - expected) < 2 * rms(eight_bits - exact)  # q8_0 rounds embedding and head, too


def rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())


def test_a_byte_tokenizer_of_the_library_is_ours() -> None:
    text = "".join(map(chr, [*range(1, 0x250), 0x20AC, 0x1F600]))
    assert as_library_tokenizer(ByteTokenizer()).encode(text).ids == ByteTokenizer().encode([text])[0].tolist()
    assert np.array_equal(as_library_tokenizer(bpe()).encode("the dog").ids, bpe().encode(["the dog"])[0])
    assert json.loads(as_library_tokenizer(bpe()).to_str())["truncation"] is None
