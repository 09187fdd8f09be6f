"""Orthonormal Walsh-Hadamard transform over the last dimension, natural (Sylvester) order (docs/method.md, rotation).

H = H^T = H^-1, so the gradient of the transform is the transform of the gradient.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

LARGEST_FACTOR = 64
"""H_n is applied as Kronecker factors of at most this size: few matmuls instead of log2(n) memory-bound passes.

Measured (benchmarks/kernels.py): up to 64 the whole matrix is fastest, above it two factors are.
"""

LARGEST_FUSED_WIDTH = 32_768
"""What the kernels of fast-hadamard-transform 1.1 take."""


def is_power_of_two(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0


@functools.lru_cache(maxsize=64)
def _matrix(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Orthonormal H_n, shape [n, n]: the sign of entry (i, j) is the parity of the ones in i AND j.

    A compiler looks through the cache, and every pass of its program makes the matrix anew: in elementwise operations
    on the device, which become one kernel.
    """
    index = torch.arange(n, device=device)
    parity = index[:, None] & index
    for shift in (16, 8, 4, 2, 1):
        parity = parity ^ (parity >> shift)
    return (1 - 2 * (parity & 1)).to(dtype) / math.sqrt(n)


def _factors(n: int) -> list[int]:
    """Powers of two, each at most LARGEST_FACTOR, whose product is n, as even as they can be."""
    count = max(1, math.ceil(math.log2(n) / math.log2(LARGEST_FACTOR))) if n > 1 else 1
    exponent = n.bit_length() - 1
    return [2 ** (exponent // count + (i < exponent % count)) for i in range(count)]


def largest_block(n: int) -> int:
    """The largest power of two that divides n: the block width of a block-diagonal transform (5632 = 11 x 512)."""
    return n & -n


def hadamard_transform(x: Float[Tensor, "*rows n"], block: int | None = None) -> Float[Tensor, "*rows n"]:
    """H x / sqrt(n) over the last dimension; same shape and dtype, input untouched.

    With `block`, a power of two that divides the width, each run of so many entries is transformed by itself. On a GPU
    the kernel of fast-hadamard-transform serves where it is installed. Accumulates in fp32 (fp64 for fp64 input).
    Raises ValueError unless the width, or the block, is a power of two.
    """
    n = x.shape[-1] if block is None else block
    if not is_power_of_two(n):
        raise ValueError(f"a Hadamard transform needs a power-of-two width, got {n}")
    if x.shape[-1] % n:
        raise ValueError(f"blocks of {n} do not fill a width of {x.shape[-1]}")
    rows = x if x.shape[-1] == n else x.reshape(*x.shape[:-1], -1, n)
    kernel = _fused_kernel(n) if x.is_cuda and not torch.compiler.is_compiling() else None
    if kernel is not None and x.dtype != torch.float64:
        return kernel(rows, 1 / math.sqrt(n)).reshape(x.shape)
    return _by_factors(rows).reshape(x.shape)


def _by_factors(x: Tensor) -> Tensor:
    """H_(ab) = H_a (x) H_b: the last dimension as an a x b grid X, whose transform is H_a X H_b."""
    n = x.shape[-1]
    work = x if x.dtype == torch.float64 else x.float()
    last, *others = _factors(n)
    with _without_autocast(x):
        work = work.reshape(-1, last) @ _matrix(last, work.dtype, work.device)
        inner = last
        for size in others:
            grids = work.view(-1, size, inner)
            matrix = _matrix(size, work.dtype, work.device)
            work = torch.bmm(matrix.expand(len(grids), size, size), grids)
            inner *= size
    return work.view(x.shape).to(x.dtype)


def _without_autocast(x: Tensor) -> contextlib.AbstractContextManager[object]:
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else contextlib.nullcontext()


@functools.cache
def _fused_kernel(n: int) -> Callable[[Tensor, float], Tensor] | None:
    """fast-hadamard-transform's (x, scale) -> scale * H x where it is installed and takes the width."""
    if n > LARGEST_FUSED_WIDTH or importlib.util.find_spec("fast_hadamard_transform") is None:
        return None
    from fast_hadamard_transform import hadamard_transform as kernel

    return cast(Callable[[Tensor, float], Tensor], kernel)


def random_signs(n: int, seed: int) -> Float[Tensor, {n}]:
    """A fixed diagonal D of random signs, shape [n]: H D stays orthonormal and spreads a non-zero mean."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (n,), generator=generator).mul_(2).sub_(1).float()


@dataclass(frozen=True)
class Hadamard:
    """`hadamard_transform` of the whole width, or of blocks of `block` entries."""

    block: int | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return hadamard_transform(x, self.block)


def hadamard_of(width: int) -> Hadamard:
    """The transform of a width: whole where it is a power of two, else in the largest blocks that are."""
    block = largest_block(width)
    return Hadamard(None if block == width else block)


class RandomSigns(nn.Module):
    """x * D with the fixed signs of `random_signs`, shape as x [..., width]."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        self.register_buffer("signs", random_signs(width, seed), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * cast(Tensor, self.signs).to(x.dtype)
