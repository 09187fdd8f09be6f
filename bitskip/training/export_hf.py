"""A model as a folder that `transformers` loads: config, safetensors, tokenizer and generation config."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bitskip.data.tokenizer import Tokenizer, as_library_tokenizer
from bitskip.errors import UserError
from bitskip.extras import require
from bitskip.model.pretrained import stored_name
from bitskip.training.export import Portable
from bitskip.trial.config import TrialConfig
from bitskip.trial.pretrained import located, read_config

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
}
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "generation_config.json",
)  # fmt: skip
"""Files of a pretrained model that are copied where it has them."""


def write_hf(folder: Path, model: Portable, tokenizer: Tokenizer, dtype: torch.dtype = torch.float32) -> None:
    """Write the folder, which must be new or empty. Raises UserError and OSError."""
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty; give a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        stored_name(name, model.sizes.block, gguf=False): value.to(dtype).contiguous()
        for name, value in model.weights.items()
    }
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    ends = _ends(model, tokenizer)
    _write(folder / "generation_config.json", ends)
    _write_tokenizer(folder, model, tokenizer)
    # The last one: without it nothing takes the folder for a model.
    _write(folder / "config.json", config_of(model) | ends | {"dtype": str(dtype).removeprefix("torch.")})


def _ends(model: Portable, tokenizer: Tokenizer) -> dict[str, Any]:
    """What begins and ends a text: the end-of-document token, or what a pretrained model says."""
    config = read_config(model.sizes.pretrained) if model.sizes.pretrained else None
    names = ("bos_token_id", "eos_token_id")
    return {name: getattr(config, name, tokenizer.end_of_document) for name in names}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def config_of(model: Portable) -> dict[str, Any]:
    """The content of config.json but for the special tokens and the type of the weights."""
    sizes = model.sizes
    return {
        "architectures": [ARCHITECTURES[model.family]],
        "model_type": model.family,
        "vocab_size": model.trial.data.vocab_size,
        "hidden_size": sizes.width,
        "intermediate_size": sizes.ffn_width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": context_of(model.trial),
        "rms_norm_eps": sizes.norm_eps,
        "rope_theta": sizes.rope_theta,  # for versions before 5
        "rope_parameters": rope_of(model),
        "attention_bias": sizes.attention_bias != "none",
        "tie_word_embeddings": sizes.tie_embeddings,
    }


def context_of(trial: TrialConfig) -> int:
    """Tokens of a sequence: those of the training, or what a pretrained model says."""
    place, own = trial.model.pretrained, trial.training.seq_len
    return int(read_config(place).max_position_embeddings) if place else own


def rope_of(model: Portable) -> dict[str, Any]:
    """Rotary base and scaling as `transformers` names them."""
    kind, *numbers = model.sizes.rope_scaling.split(" ")
    found: dict[str, Any] = {"rope_theta": model.sizes.rope_theta, "rope_type": "default" if kind == "none" else kind}
    names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    found |= dict(zip(names, map(float, numbers), strict=False))
    if kind == "llama3":
        found[names[-1]] = int(found[names[-1]])
    return found


def _write_tokenizer(folder: Path, model: Portable, tokenizer: Tokenizer) -> None:
    """A pretrained model's own files; else the trial's, which begins a text as a document in the training text."""
    if place := model.sizes.pretrained:
        files = located(place)
        if files.gguf:
            require("transformers", "gguf")
            from transformers import AutoTokenizer

            AutoTokenizer.from_pretrained(files.folder, gguf_file=files.gguf).save_pretrained(folder)
            return
        for name in TOKENIZER_FILES:
            if (files.folder / name).is_file():
                shutil.copyfile(files.folder / name, folder / name)
        return
    from tokenizers.processors import TemplateProcessing

    inner = as_library_tokenizer(tokenizer)
    end = inner.id_to_token(tokenizer.end_of_document)
    inner.post_processor = TemplateProcessing(
        single=f"{end} $A", pair=f"{end} $A {end} $B", special_tokens=[(end, tokenizer.end_of_document)]
    )
    inner.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": end, "eos_token": end}
    _write(folder / "tokenizer_config.json", named | {"model_max_length": context_of(model.trial)})
