"""Rotary position embeddings."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from bitskip.trial.config import ModelConfig


@functools.lru_cache(maxsize=64)
def rotary_table(sizes: ModelConfig, length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Rotary position embedding (RoFormer) of positions 0 … length - 1, [2, T, K], made once per argument.

    With a = position * theta^(-2i/K), i < K/2, the frequencies scaled: the cosines (cos a, cos a) and the signed sines
    (-sin a, sin a).
    """
    half = torch.arange(0, sizes.head_width, 2, device=device, dtype=torch.float32) / sizes.head_width
    positions = torch.arange(length, device=device, dtype=torch.float32)
    angles = positions[:, None] * _scaled(sizes.rope_theta**-half, sizes.rope_scaling)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)]).to(dtype)


def rotary_factors(sizes: ModelConfig) -> Tensor:
    """What `model.rope_scaling` divides the rotary frequencies by, [K/2]."""
    plain = sizes.rope_theta ** -(torch.arange(0, sizes.head_width, 2) / sizes.head_width)
    return plain / _scaled(plain, sizes.rope_scaling)


def _scaled(frequencies: Tensor, scaling: str) -> Tensor:
    """Rotary frequencies [K/2] for contexts beyond the one trained on, as `model.rope_scaling` says.

    `linear` divides all by a factor (arXiv 2306.15595). `llama3` divides those of wavelengths above original / low,
    keeps those below original / high, and goes from one to the other between (Llama 3.1, arXiv 2407.21783).
    """
    kind, *numbers = scaling.split(" ")
    if kind == "none":
        return frequencies
    factor, *bounds = map(float, numbers)
    if kind == "linear":
        return frequencies / factor
    low, high, original = bounds
    kept = ((original * frequencies / (2 * math.pi) - low) / (high - low)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) / factor)
