"""Where a trial is in its training, and what it has learned, as safetensors files.

A *checkpoint* continues an interrupted trial exactly: fp32 weights, optimizer state and the record so far. Batches and
dropout draws follow from (seed, step), so that no generator's state is part of it. *Weights* are what a finished trial
is decoded with: ternary matrices as 2-bit codes with their scale, everything else as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bitskip.atomic_file import write_atomically
from bitskip.errors import UserError
from bitskip.model.bitlinear import BitLinear
from bitskip.model.decoder import Decoder, random_model
from bitskip.ops.calibrated import Calibrated
from bitskip.store.folder import stored_weights
from bitskip.trial.config import TrialConfig, stored_trial

CHECKPOINT_FORMAT = "bitskip-checkpoint-1"
WEIGHTS_FORMAT = "bitskip-weights-1"
EXPORT_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class CheckpointPlace:
    """Where a trial keeps its checkpoint, and after how many seconds of training it is renewed."""

    path: Path
    every_seconds: float = 300.0


def save_checkpoint(
    path: Path,
    content: str,
    fingerprint: str,
    model: Decoder,
    optimizer: torch.optim.Optimizer,
    record: Mapping[str, Any],
    codes: Mapping[str, Tensor],
) -> None:
    """Replace the checkpoint atomically.

    `content` is the canonical JSON of what was trained, a trial or a prefix of one, `fingerprint` that of the training
    text, `record` what JSON can hold, `codes` the ternary weights that the next diagnostics are compared with.

    Raises OSError if it cannot be written.
    """
    tensors = {f"model/{name}": parameter.detach() for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{name}/{key}"] = value
    tensors |= {f"codes/{key}": value for key, value in codes.items()}
    _write(path, tensors, _identity(content, fingerprint) | {"record": json.dumps(record)})


def _identity(content: str, fingerprint: str) -> dict[str, str]:
    return {"format": CHECKPOINT_FORMAT, "trial": content, "text": fingerprint}


def load_checkpoint(
    path: Path,
    content: str,
    fingerprint: str,
    model: Decoder,
    optimizer: torch.optim.Optimizer,
    wanted: Callable[[Mapping[str, Any]], bool] = lambda record: True,
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Put a checkpoint into model and optimizer; returns its record and codes, or None if there is none of this.

    A file that is damaged, of another trial, text or format, or whose record is not `wanted`, is no checkpoint:
    training then starts from its beginning. Exit heads that the file lacks stay as they are: a prefix holds what has
    been trained.
    """
    device = model.head.weight.device
    try:
        with safe_open(path, "pt", device=str(device)) as stored:
            meta = stored.metadata() or {}
            if meta != (meta | _identity(content, fingerprint)):
                return None
            record = dict(json.loads(meta["record"]))
            if not wanted(record):
                return None
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError):
        return None
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if f"model/{name}" in tensors:
                parameter.copy_(tensors[f"model/{name}"])
            prefix = f"optimizer/{name}/"
            state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            if state:  # a parameter that no loss has reached yet has none
                optimizer.state[parameter] = state
    codes = {name.removeprefix("codes/"): value for name, value in tensors.items() if name.startswith("codes/")}
    return record, codes


def packed_state(model: Decoder, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """What is stored of a model: quantized matrices as their quantizer packs them, all else in `dtype`.

    They are read off the quantized matrix, in fp32 where its quantizer cannot pack: a model that was loaded must not be
    quantized a second time.
    """
    quantized = {id(m.weight): m for m in model.modules() if isinstance(m, BitLinear) and m.quantized_weight}
    state: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        layer = quantized.get(id(parameter))
        if layer is None:
            state[name] = parameter.detach().to(dtype)
            continue
        weight, packer = layer.effective_weight().detach(), layer.ops.weight[-1]
        parts: dict[str, Tensor] = packer.pack(weight) if hasattr(packer, "pack") else {}
        if parts and torch.equal(_unpacked(layer, parts), weight):  # else something stands behind its quantizer
            state |= {f"{name}.{part}": value for part, value in parts.items()}
        else:
            state[name] = weight
    return state


def _unpacked(layer: BitLinear, parts: Mapping[str, Tensor]) -> Tensor:
    """What the last quantizer of a weight, which can `pack` a quantized matrix into named tensors, makes of these."""
    packer: Any = layer.ops.weight[-1]
    return cast(Tensor, packer.unpack(parts, layer.weight.shape))


def stored_bytes(state: Mapping[str, Tensor]) -> int:
    """Bytes of the tensors, the file's header left aside."""
    return sum(value.numel() * value.element_size() for value in state.values())


def save_weights(path: Path, trial: TrialConfig, model: Decoder, dtype: torch.dtype = torch.float32) -> None:
    """Store a trained model; in fp32 its forward pass stays bitwise what it was in training. Raises OSError."""
    axes = {name: value for name, value in trial.axes().items() if name not in ("model", "data")}
    meta = {"format": WEIGHTS_FORMAT, "trial_id": trial.trial_id, "axes": json.dumps(axes)}
    _write(path, packed_state(model, dtype) | _fitted(model), meta)


def _fitted(model: Decoder) -> dict[str, Tensor]:
    """What was fitted to a text and is no weight."""
    found = {name: module for name, module in model.named_modules() if isinstance(module, Calibrated)}
    return {f"{name}.{key}": value for name, module in found.items() for key, value in module.named_buffers()}


def read_weights(path: Path, device: str | torch.device = "cpu") -> tuple[Decoder, TrialConfig]:
    """The model, ready to decode, and its trial. Raises UserError if the file does not hold them."""
    try:
        with safe_open(path, "pt") as stored:
            meta = stored.metadata() or {}
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as weights ({error})") from None
    if meta.get("format") != WEIGHTS_FORMAT:
        raise UserError(f"{path}: not weights that bitskip has stored")
    trial = stored_trial(json.loads(meta["axes"]))
    model = random_model(trial)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, BitLinear)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in state:
                parameter.copy_(state[name])
                continue
            parts = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            parameter.copy_(_unpacked(layers[name.removesuffix(".weight")], parts))
        for name, value in _fitted(model).items():
            value.copy_(state[name])
    for module in model.modules():
        if isinstance(module, Calibrated):
            module.fitted = True
    model.to(device)
    for module in layers.values():
        if module.quantized_weight:
            module.freeze(module.weight.detach())
    return model.eval(), trial


def load_model(results: Path, trial_id: str, device: str | torch.device = "cpu") -> tuple[Decoder, TrialConfig]:
    """The stored model of a trial, by its id or the beginning of it, below a results folder or a sweep's own.

    Raises UserError if no weights, or those of several trials, go by that name.
    """
    if not trial_id:
        raise UserError("the trial id is empty; `bitskip report` lists the trials")
    found = {name: path for name, path in stored_weights(results).items() if name.startswith(trial_id)}
    if len(found) > 1:
        raise UserError(f"{trial_id}: several trials with stored weights begin so: {', '.join([*found][:5])}")
    if not found:
        raise UserError(
            f"{trial_id}: no weights of such a trial in {results}; weights are stored by `bitskip train`, and by a "
            "sweep with `save_weights: true`"
        )
    return read_weights(next(iter(found.values())), device)


def _write(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, str]) -> None:
    """Replace the file whole. Raises OSError."""

    def save(temporary: Path) -> None:
        try:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, dict(meta))
        except SafetensorError as error:
            raise OSError(f"cannot write {path}: {error}") from None

    write_atomically(path, save, sync=True)
