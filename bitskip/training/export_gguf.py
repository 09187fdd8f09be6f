"""A model as a GGUF file that llama.cpp runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from bitskip.atomic_file import write_atomically
from bitskip.data.tokenizer import Tokenizer, as_library_tokenizer
from bitskip.errors import UserError
from bitskip.model.pretrained import stored_name
from bitskip.model.rotary import rotary_factors
from bitskip.training.export import Portable
from bitskip.training.export_hf import context_of
from bitskip.trial.config import TrialConfig
from bitskip.trial.pretrained import located

ROW_BLOCKS = {"f16": 1, "q8_0": 32, "tq1_0": 256, "tq2_0": 256}
"""Types of file, and what the width of a matrix must be a multiple of."""

TERNARY = ("tq1_0", "tq2_0")
ACTIVATION_BITS = {"tq1_0": 8, "tq2_0": 8}
"""To which llama.cpp rounds what a ternary matrix is multiplied with: Q8_K, in blocks of 256."""

LARGEST_F16 = 65_504.0

PRE_TOKENIZERS = {
    ("ByteLevel",): "gpt-2",
    ("Digits", "ByteLevel"): "smollm",
}
"""llama.cpp's names of pre-tokenizers, by the parts that the `tokenizers` library builds them of."""


def check_type(trial: TrialConfig, kind: str) -> None:
    """Raise UserError for a type of file that does not hold the trial's matrices."""
    if kind not in ROW_BLOCKS:
        raise UserError(f"--type: '{kind}' is not one of {', '.join(ROW_BLOCKS)}")
    if kind in TERNARY and trial["weights"] != "ternary":
        raise UserError(
            f"--type {kind}: holds ternary matrices, and those of {trial.trial_id} are not (weights "
            f"{trial['weights']}); take q8_0 or f16"
        )
    if kind in TERNARY and trial["hadamard"] != "none":
        raise UserError(
            f"--type {kind}: hadamard {trial['hadamard']} is folded into the matrices, which are ternary no more; "
            "take q8_0 or f16"
        )
    sizes, block = trial.model, ROW_BLOCKS[kind]
    for name, width in (
        ("model.width", sizes.width),
        ("model.heads x head_dim", sizes.attention_width),
        ("model.ffn_width", sizes.ffn_width),
    ):
        if width % block:
            smaller = "f16" if kind == "q8_0" or width % ROW_BLOCKS["q8_0"] else "q8_0 or f16"
            raise UserError(
                f"--type {kind}: stores rows in blocks of {block}, which do not divide {name} {width}; take "
                f"{smaller}, or train a model whose widths are multiples of {block}"
            )


def write_gguf(path: Path, model: Portable, tokenizer: Tokenizer, kind: str) -> None:
    """Replace the file; embedding and head of a ternary type are F16. Raises UserError and OSError."""
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, quants

    check_type(model.trial, kind)
    file_type = LlamaFileType[f"MOSTLY_{kind.upper()}"]

    def write(temporary: Path) -> None:
        writer = GGUFWriter(temporary, model.family)
        _add_sizes(writer, model)
        writer.add_file_type(file_type)
        writer.add_quantization_version(2)
        _add_tokenizer(writer, model, tokenizer)
        for name, value in tensors(model):
            matrix = value.ndim == 2
            whole = kind in TERNARY and not name.startswith("blk.")
            stored = GGMLQuantizationType["F32" if not matrix else "F16" if whole else kind.upper()]
            if stored == GGMLQuantizationType.F16 and value.abs().max() > LARGEST_F16:
                raise UserError(f"--type {kind}: {name} has values above {LARGEST_F16:,.0f}; take q8_0")
            writer.add_tensor(name, quants.quantize(value.numpy(), stored), raw_dtype=stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    write_atomically(path, write)


def tensors(model: Portable) -> Iterator[tuple[str, Tensor]]:
    """Names and fp32 values as llama.cpp wants them: its `llama` has the two numbers of a rotary pair side by side."""
    sizes = model.sizes
    for own, weight in model.weights.items():
        name, value = stored_name(own, sizes.block, gguf=True), weight
        if model.family == "llama" and any(part in name for part in (".attn_q.", ".attn_k.")):
            halves = value.view(-1, 2, sizes.head_width // 2, *value.shape[1:])
            value = halves.transpose(1, 2).reshape(value.shape)
        yield name, value.contiguous()
    if sizes.rope_scaling.startswith("llama3"):
        yield "rope_freqs.weight", rotary_factors(sizes)


def _add_sizes(writer: Any, model: Portable) -> None:
    sizes = model.sizes
    writer.add_name(model.trial.trial_id)
    writer.add_context_length(context_of(model.trial))
    writer.add_embedding_length(sizes.width)
    writer.add_block_count(sizes.layers)
    writer.add_feed_forward_length(sizes.ffn_width)
    writer.add_head_count(sizes.heads)
    writer.add_head_count_kv(sizes.kv_heads)
    writer.add_key_length(sizes.head_width)
    writer.add_value_length(sizes.head_width)
    writer.add_rope_dimension_count(sizes.head_width)
    writer.add_rope_freq_base(sizes.rope_theta)
    writer.add_layer_norm_rms_eps(sizes.norm_eps)
    writer.add_vocab_size(model.trial.data.vocab_size)
    if sizes.rope_scaling.startswith("linear"):
        from gguf import RopeScalingType

        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(sizes.rope_scaling.split(" ")[1]))
    elif sizes.rope_scaling != "none" and model.family != "llama":
        raise UserError(f"export: llama.cpp's {model.family} cannot express model.rope_scaling {sizes.rope_scaling}")


def _add_tokenizer(writer: Any, model: Portable, tokenizer: Tokenizer) -> None:
    """The fields of the .gguf file that a pretrained model is from; else a byte-level BPE's."""
    place = model.sizes.pretrained
    if place and (files := located(place)).gguf:
        from gguf import GGUFReader, GGUFValueType

        for name, field in GGUFReader(files.weights[0]).fields.items():
            if name.startswith("tokenizer."):
                part = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
                writer.add_key_value(name, field.contents(), field.types[0], part)
        return
    facts = json.loads(as_library_tokenizer(tokenizer).to_str())
    names = {number: token for token, number in facts["model"]["vocab"].items()}
    added = {token["id"]: token for token in facts["added_tokens"]}
    names |= {number: token["content"] for number, token in added.items()}
    rows = range(model.trial.data.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(facts))
    writer.add_token_list([names.get(row, f"[PAD{row}]") for row in rows])
    writer.add_token_types([_token_type(row, names, added) for row in rows])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in facts["model"]["merges"]]
    writer.add_token_merges(merges or [NO_MERGE])
    writer.add_bos_token_id(tokenizer.end_of_document)
    writer.add_eos_token_id(tokenizer.end_of_document)
    writer.add_add_bos_token(not place)  # a trial's own text begins every document so
    writer.add_add_space_prefix(False)


NO_MERGE = "Ċ Ċ"
"""llama.cpp wants a merge; this one, which no token is the result of, leaves every text as it is."""


def _token_type(row: int, names: dict[int, str], added: dict[int, Any]) -> int:
    from gguf import TokenType

    if row not in names:
        return int(TokenType.UNUSED)
    if row not in added:
        return int(TokenType.NORMAL)
    return int(TokenType.CONTROL if added[row]["special"] else TokenType.USER_DEFINED)


def _pre_tokenizer(facts: dict[str, Any]) -> str:
    before = facts["pre_tokenizer"] or {}
    parts = before["pretokenizers"] if before.get("type") == "Sequence" else [before]
    name = PRE_TOKENIZERS.get(tuple(map(_plain_part, parts)))
    if name is None or facts["model"]["type"] != "BPE" or facts["normalizer"]:
        raise UserError(
            "export: llama.cpp's name for this tokenizer is not known; export --to hf, and convert that folder with "
            "llama.cpp's convert_hf_to_gguf.py"
        )
    return name


def _plain_part(part: dict[str, Any]) -> str:
    """The kind of a part of a pre-tokenizer that is set as llama.cpp has it; empty otherwise."""
    byte_level = part.get("add_prefix_space") is False and part.get("use_regex")
    return str(part.get("type")) if byte_level or part.get("individual_digits") else ""
