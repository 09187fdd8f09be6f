"""Independent random streams from one seed, so that configurations share their random numbers (docs/method.md, phases).

Initial weights, data order and dropout draws each have their own stream, named by purpose and never by configuration:
two trials with one seed start from equal weights, see equal batches and draw equal uniforms.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, stable across processes and platforms."""
    name = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose: draws are equal on every device."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))
