"""Weights of a pretrained model, from safetensors or GGUF, in a decoder of its sizes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bitskip.hub import first_line
from bitskip.model.decoder import Decoder
from bitskip.trial.config import TrialConfig
from bitskip.trial.pretrained import PretrainedFiles, attention_window, located, pretrained_digest, read_config, trouble
from bitskip.trial.schedule import trained_with

_MODULES = {
    "embed_tokens": "embedding",
    "norm": "norm",
    "lm_head": "head",
    "self_attn.q_proj": "attention.q",
    "self_attn.k_proj": "attention.k",
    "self_attn.v_proj": "attention.v",
    "self_attn.o_proj": "attention.o",
    "self_attn.q_norm": "attention.query_norm",
    "self_attn.k_norm": "attention.key_norm",
    "mlp.gate_proj": "feed_forward.gate",
    "mlp.up_proj": "feed_forward.up",
    "mlp.down_proj": "feed_forward.down",
}
NAMES = {
    "llama": _MODULES | {"input_layernorm": "attention_norm", "post_attention_layernorm": "feed_forward_norm"},
    "olmo2": _MODULES
    | {"post_attention_layernorm": "attention_norm", "post_feedforward_layernorm": "feed_forward_norm"},
}
"""By `model.block`: modules of `transformers`, below the model or one of its layers, and what they are called here."""

_GGUF_MODULES = {
    "token_embd": "embedding",
    "output_norm": "norm",
    "output": "head",
    "attn_q": "attention.q",
    "attn_k": "attention.k",
    "attn_v": "attention.v",
    "attn_output": "attention.o",
    "attn_q_norm": "attention.query_norm",
    "attn_k_norm": "attention.key_norm",
    "ffn_gate": "feed_forward.gate",
    "ffn_up": "feed_forward.up",
    "ffn_down": "feed_forward.down",
}
GGUF_NAMES = {
    "llama": _GGUF_MODULES | {"attn_norm": "attention_norm", "ffn_norm": "feed_forward_norm"},
    "olmo2": _GGUF_MODULES | {"post_attention_norm": "attention_norm", "post_ffw_norm": "feed_forward_norm"},
}
"""The same for llama.cpp."""

NOT_LEARNED = ("rotary_emb.inv_freq", "attention.masked_bias")
"""Tensors that old files hold and no model needs."""


@torch.no_grad()
def load_pretrained(model: Decoder, trial: TrialConfig) -> None:
    """Put the weights of `model.pretrained` into the decoder, prepared for the techniques in force from the first step.

    Raises UserError if they cannot be read, do not fit, or are others than the trial was made with.
    """
    place, known = trial.model.pretrained, trial.model.pretrained_digest
    files = located(place)
    if known not in ("", pretrained_digest(place)):
        raise trouble(place, f"has other weights than the trial was made with (SHA-256 {known[:12]}…); put them back")
    window = attention_window(read_config(place))
    if window and trial.training.seq_len > window:
        raise trouble(place, f"attends to the last {window} tokens; set seq_len to at most {window}")
    parameters = dict(model.named_parameters())
    missing = {name for name in parameters if not name.startswith(("exit_norms.", "exit_heads."))}
    for name, tensor in tensors(files, trial):
        if name.endswith(NOT_LEARNED):
            continue
        own = own_name(name, (GGUF_NAMES if files.gguf else NAMES)[trial.model.block])
        if own == "head.weight" and trial.model.tie_embeddings:
            continue  # the embedding, stored twice
        if own not in parameters or parameters[own].shape != tensor.shape:
            raise trouble(place, f"its tensor {name} {list(tensor.shape)} fits no part of a model of these sizes")
        parameters[own].copy_(tensor)
        missing.discard(own)
    if missing := {name for name in missing if ".around." not in name}:  # what a technique adds has no weights yet
        raise trouble(place, f"holds no weights for {len(missing)} parts of the model, such as {min(missing)}")
    _copy_exits(model)
    model.fold(trained_with(trial, 0))


def _copy_exits(model: Decoder) -> None:
    """Norms and heads that early exits have of their own begin as the full model's."""
    for norm in model.exit_norms:
        norm.load_state_dict(model.norm.state_dict())
    for head in model.exit_heads:
        head.load_state_dict(model.head.state_dict())


def own_name(name: str, names: Mapping[str, str]) -> str | None:
    """What a stored tensor is called in `Decoder`; None for one that it has not."""
    module, _, kind = name.removeprefix("model.").rpartition(".")
    prefix = ""
    if module.startswith(("layers.", "blk.")):
        _, layer, module = module.split(".", 2)
        prefix = f"blocks.{layer}."
    return f"{prefix}{names[module]}.{kind}" if module in names else None


def stored_name(own: str, kind_of_block: str, *, gguf: bool) -> str:
    """What a tensor of `Decoder` is called in files of `transformers` or llama.cpp: the inverse of `own_name`."""
    names = {own: stored for stored, own in (GGUF_NAMES if gguf else NAMES)[kind_of_block].items()}
    module, _, kind = own.rpartition(".")
    if not module.startswith("blocks."):
        prefix = "" if gguf or module == "head" else "model."
        return f"{prefix}{names[module]}.{kind}"
    _, block, module = module.split(".", 2)
    return f"{'blk' if gguf else 'model.layers'}.{block}.{names[module]}.{kind}"


def tensors(files: PretrainedFiles, trial: TrialConfig) -> Iterator[tuple[str, Tensor]]:
    """Names and values of the model's tensors, as they are stored. Raises UserError for files that are damaged."""
    place = trial.model.pretrained
    if files.gguf:
        path = files.weights[0]
        yield from _of_gguf(path, trial.model.head_width, trial.model.pretrained, path.stat().st_mtime_ns)
        return
    try:
        for path in files.weights:
            with safe_open(path, "pt") as stored:
                for name in stored.keys():  # noqa: SIM118 (no mapping)
                    yield name, stored.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise trouble(place, f"its weights cannot be read: {first_line(error)}") from None


@functools.lru_cache(1)  # a sweep of one model: reading it takes as long as a thousand tokens
def _of_gguf(path: Path, head_width: int, place: str, changed: int) -> list[tuple[str, Tensor]]:
    """Tensors of a .gguf file in full precision, with the rotary pairs of queries and keys as `transformers` has them.

    llama.cpp keeps the two numbers of a pair side by side in its architecture `llama`, and half a head apart in others.
    """
    from gguf import GGUFReader
    from gguf.quants import dequantize

    try:
        reader = GGUFReader(path)
        field = reader.fields["general.architecture"]
        interleaved = bytes(field.parts[field.data[0]]).decode() == "llama"
        found = []
        for stored in reader.tensors:
            value = torch.from_numpy(np.array(dequantize(stored.data, stored.tensor_type), np.float32))
            if interleaved and any(part in stored.name for part in (".attn_q.", ".attn_k.")):
                pairs = value.view(-1, head_width // 2, 2, *value.shape[1:])
                value = pairs.transpose(1, 2).reshape(value.shape)
            found.append((stored.name, value))
        return found
    except (OSError, ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise trouble(place, f"its weights cannot be read: {first_line(error)}") from None
