"""Orthonormal Walsh-Hadamard transform over the last dimension, natural (Sylvester) order (METHOD 3.3, 6.2).

H = H^T = H^-1, so the gradient of the transform is the transform of the gradient.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

LARGEST_FACTOR = 128
"""H_n is applied as Kronecker factors of at most this size: few matmuls instead of log2(n) memory-bound passes."""


def is_power_of_two(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0


@functools.lru_cache(maxsize=64)
def _matrix(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Orthonormal H_n, shape [n, n]."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < n:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return (matrix / math.sqrt(n)).to(device=device, dtype=dtype)


def _factors(n: int) -> list[int]:
    """Powers of two, each at most LARGEST_FACTOR, whose product is n, as even as they can be."""
    count = max(1, math.ceil(math.log2(n) / math.log2(LARGEST_FACTOR))) if n > 1 else 1
    exponent = n.bit_length() - 1
    return [2 ** (exponent // count + (i < exponent % count)) for i in range(count)]


def hadamard_transform(x: Tensor) -> Tensor:
    """H x / sqrt(n) over the last dimension; same shape and dtype, input untouched.

    Accumulates in fp32 (fp64 for fp64 input). Raises ValueError unless the last dimension is a power of two.
    """
    n = x.shape[-1]
    if not is_power_of_two(n):
        raise ValueError(f"a Hadamard transform needs a power-of-two width, got {n}")
    work = x if x.dtype == torch.float64 else x.float()
    # H_(ab) = H_a (x) H_b: view the last dimension as a grid and transform along each of its sides.
    with torch.autocast(x.device.type, enabled=False):
        for size in _factors(n):
            # The grid's last side is transformed and rotated to the front, so that n factors restore the order.
            grid = work.reshape(*x.shape[:-1], n // size, size) @ _matrix(size, work.dtype, work.device)
            work = grid.transpose(-1, -2)
        work = work.reshape(x.shape)
    return work.to(x.dtype)


def random_signs(n: int, seed: int) -> Tensor:
    """A fixed diagonal of random signs, shape [n]; D H stays orthonormal and spreads a non-zero mean (METHOD 6.3)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (n,), generator=generator).mul_(2).sub_(1).float()
