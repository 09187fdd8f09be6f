"""Pretrained models of the Llama family: where they lie, what identifies them, and the sizes they have.

A place is a folder with config.json and safetensors, a .gguf file, or a name of the Hugging Face hub (`owner/name`,
with `@commit` for one revision). Pickled weights are never read.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitskip.errors import UserError
from bitskip.extras import require
from bitskip.hub import first_line, hub_connection
from bitskip.techniques.base import plain

FAMILIES = {
    "llama": "Llama, SmolLM2",
    "mistral": "Mistral",
    "olmo2": "OLMo 2",
    "qwen2": "Qwen 2",
    "qwen3": "Qwen 3",
}
"""Architectures by the name that their configuration has."""

PICKLED = ("*.bin", "*.pt", "*.pth")


@dataclass(frozen=True)
class PretrainedFiles:
    """Files of a pretrained model; `weights` is one .gguf file or all .safetensors files."""

    folder: Path
    weights: tuple[Path, ...]

    @property
    def gguf(self) -> str | None:
        """Name of the .gguf file, as `transformers` takes it."""
        return self.weights[0].name if self.weights[0].suffix == ".gguf" else None


def trouble(place: str, reason: str) -> UserError:
    """The error for a pretrained model that cannot be taken."""
    return UserError(f"model: from '{place}': {reason}")


def located(place: str) -> PretrainedFiles:
    """The files of a pretrained model, from the hub where the place is no path. Raises UserError."""
    path = Path(place).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise trouble(place, "there is no such file")
        return PretrainedFiles(path.parent, (path,))
    if not path.is_dir():
        if place.count("/") != 1 or place.startswith((".", "/", "~")):
            raise trouble(place, "there is no such folder; give one, a .gguf file, or a name of the hub (owner/name)")
        path = _downloaded(place)
    if not (path / "config.json").is_file():
        raise trouble(place, "no config.json there; give the folder of a model as `save_pretrained` writes it")
    # Mistral's own format lies beside that of transformers, under another name.
    weights = [file for file in sorted(path.glob("*.safetensors")) if not file.name.startswith("consolidated")]
    if not weights:
        pickled = next((file.name for pattern in PICKLED for file in path.glob(pattern)), None)
        found = f"only pickled weights ({pickled}), which can run code and are never read" if pickled else "no weights"
        raise trouble(place, f"{found}; store it with save_pretrained of transformers, which writes .safetensors")
    return PretrainedFiles(path, tuple(weights))


@functools.cache
def _downloaded(place: str) -> Path:
    name, _, revision = place.partition("@")
    require("huggingface_hub")
    reason = ""
    try:
        with hub_connection() as reason:
            from huggingface_hub import snapshot_download

            patterns = ["*.json", "*.safetensors"]
            return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises many kinds, all of them an unreachable or unknown model
        raise trouble(place, f"cannot be had from the hub: {reason or first_line(error)}") from None


def pretrained_digest(place: str) -> str:
    """SHA-256 of what the model is made of: the .gguf file, or config.json and all .safetensors files."""
    files = located(place)
    parts = files.weights if files.gguf else (files.folder / "config.json", *files.weights)
    digests = [_file_digest(path, path.stat().st_size, path.stat().st_mtime_ns) for path in parts]
    return digests[0] if files.gguf else hashlib.sha256("".join(digests).encode()).hexdigest()


@functools.cache
def _file_digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_config(place: str) -> Any:
    """The model's configuration as `transformers` reads it. Raises UserError, also for other architectures."""
    files = located(place)
    require("transformers", *(["gguf"] if files.gguf else []))
    if not files.gguf:
        try:
            family = json.loads((files.folder / "config.json").read_text()).get("model_type")
        except (OSError, ValueError, AttributeError) as error:
            raise trouble(place, f"config.json cannot be read: {first_line(error)}") from None
        _check_family(place, family)
    source = files.weights[0] if files.gguf else files.folder / "config.json"
    try:
        config = _read_config(files.folder, files.gguf, source.stat().st_mtime_ns)
    except Exception as error:  # many kinds, all of them a file that is damaged or of another architecture
        raise trouble(place, f"cannot be read: {first_line(error)}; supported are {_supported()}") from None
    _check_family(place, config.model_type)
    return config


@functools.cache
def _read_config(folder: Path, gguf: str | None, changed: int) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, **({"gguf_file": gguf} if gguf else {}))


def _supported() -> str:
    return ", ".join(FAMILIES.values())


def _check_family(place: str, family: Any) -> None:
    if family not in FAMILIES:
        raise trouble(place, f"the architecture '{family}' is not supported; supported are {_supported()}")


def axes_of(place: str) -> dict[str, Any]:
    """The axes that a pretrained model sets: its sizes and vocabulary. Raises UserError for what is not supported."""
    config = read_config(place)
    rope = dict(config.rope_parameters)
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    for name, wanted in (("hidden_act", "silu"), ("mlp_bias", False)):
        if (found := getattr(config, name, wanted)) != wanted:
            raise trouble(place, f"{name} {found} is not supported, only {wanted}")
    if (share := rope.get("partial_rotary_factor") or 1.0) != 1.0:
        raise trouble(place, f"partial_rotary_factor {share} is not supported, only 1")
    biased = getattr(config, "attention_bias", False)
    family = config.model_type
    return {
        "model.layers": config.num_hidden_layers,
        "model.width": config.hidden_size,
        "model.heads": heads,
        "model.kv_heads": config.num_key_value_heads or heads,
        "model.ffn_width": config.intermediate_size,
        "model.rope_theta": float(rope["rope_theta"]),
        "model.norm_eps": float(config.rms_norm_eps),
        "model.qk_norm": family in ("qwen3", "olmo2"),
        "model.tie_embeddings": bool(config.tie_word_embeddings),
        "model.head_dim": 0 if head_dim * heads == config.hidden_size else head_dim,
        "model.attention_bias": "qkv" if family == "qwen2" else "qkvo" if biased else "none",
        "model.layout": "olmo2" if family == "olmo2" else "llama",
        "model.rope_scaling": _rope_scaling(place, rope),
        "model.pretrained": place,
        "data.vocab_size": config.vocab_size,
    }


def _rope_scaling(place: str, rope: dict[str, Any]) -> str:
    kind = rope.get("rope_type") or "default"
    names = {
        "default": (),
        "linear": ("factor",),
        "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    }
    if kind not in names:
        raise trouble(place, f"the rope scaling '{kind}' is not supported; supported are {', '.join(names)}")
    numbers = [plain(float(rope[name])) for name in names[kind]]
    return " ".join([kind, *numbers]) if numbers else "none"


def attention_window(config: Any) -> int | None:
    """Tokens that a layer looks back on, where fewer than all: this decoder computes longer sequences otherwise."""
    kinds = getattr(config, "layer_types", None)
    sliding = "sliding_attention" in kinds if kinds else getattr(config, "use_sliding_window", True)
    window = getattr(config, "sliding_window", None)
    return int(window) if sliding and window else None
