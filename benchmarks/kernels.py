"""(c): quantizers, transforms and fused operations, forward and backward, against naive versions and the memory.

Naive is the formula as it stands in the papers, one operation after another. `of copy` compares with reading and
writing the array once: what no kernel of separate sweeps can beat. Run: python benchmarks/kernels.py [--quick]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from harness import Row, device, hardware, interleaved, repeated, row, table
from torch import Tensor

from bitskip import hadamard_transform, quantize_activations, ternarize
from bitskip.model.rotary import rotary_table
from bitskip.ops.cross_entropy import cross_entropies
from bitskip.ops.fused import RMSNorm, rotate
from bitskip.trial.config import ModelConfig

TOKENS = 1024
VOCABULARY = 1024


def naive_absmax(x: Tensor, bits: int = 8) -> Tensor:
    levels = 2 ** (bits - 1) - 1
    scale = x.abs().max(-1, keepdim=True).values.clamp(min=1e-5)
    return x + (torch.clamp(torch.round(x * levels / scale), -levels, levels) * scale / levels - x).detach()


def naive_absmean(x: Tensor) -> Tensor:
    step = x.abs().mean(-1, keepdim=True).clamp(min=1e-5) / math.sqrt(7)
    return x + (torch.clamp(torch.round(x / step), -8, 7) * step - x).detach()


def naive_ternary(weight: Tensor) -> Tensor:
    scale = weight.abs().mean().clamp(min=1e-5)
    return weight + (torch.clamp(torch.round(weight / scale), -1, 1) * scale - weight).detach()


def butterfly(x: Tensor) -> Tensor:
    """The textbook's fast transform: log2(n) sweeps of sums and differences."""
    n, half = x.shape[-1], 1
    y = x
    while half < n:
        pairs = y.reshape(*x.shape[:-1], n // (2 * half), 2, half)
        y = torch.stack([pairs[..., 0, :] + pairs[..., 1, :], pairs[..., 0, :] - pairs[..., 1, :]], -2)
        half *= 2
    return y.reshape(x.shape) / math.sqrt(n)


def naive_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight


def naive_rotation(x: Tensor, rotary: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    cos, sin = rotary[0], rotary[1, :, first.shape[-1] :].repeat(1, 2)
    return x * cos + torch.cat([-second, first], -1) * sin


def naive_loss(head: Tensor, state: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy((state @ head.T).flatten(0, 1), targets.flatten())


def both_ways(function: Callable[..., Tensor], *inputs: Tensor, times: int) -> Callable[[], object]:
    gradient = torch.randn_like(function(*inputs))

    def once() -> None:
        function(*inputs).backward(gradient)
        for tensor in inputs:
            tensor.grad = None

    return repeated(once, times)


def rows(quick: bool) -> list[Row]:
    torch.manual_seed(0)
    rounds = 5 if quick else 15
    found = []
    for width in (64, 1024) if quick else (64, 256, 1024, 2048):
        times = max(1, 2**17 // (TOKENS * width) * 8 + 1)
        x = torch.randn(8, TOKENS // 8, width, device=device()).requires_grad_()
        weight = torch.randn(width, width, device=device()).requires_grad_()
        for what, ours, naive, operand in (
            ("8-bit absmax quantizer", lambda x: quantize_activations(x, 8), naive_absmax, x),
            ("4-bit absmean quantizer", lambda x: quantize_activations(x, 4), naive_absmean, x),
            ("ternarization", ternarize, naive_ternary, weight),
            ("Hadamard transform", hadamard_transform, butterfly, x),
        ):
            copy = repeated(lambda operand=operand: operand.detach().clone(), times)
            works = {
                "ours": both_ways(ours, operand, times=times),
                "naive": both_ways(naive, operand, times=times),
                "copy": copy,
            }
            measured = interleaved(works, rounds)
            shape = "x".join(map(str, operand.flatten(0, -2).shape))
            found.append(row(f"{what}: naive / ours", shape, measured["naive"], measured["ours"]))
            found.append(row(f"{what}: ours of copy", shape, measured["ours"], measured["copy"]))
        norm = RMSNorm(width, eps=1e-5, device=device())
        works = {
            "ours": both_ways(lambda x, _: norm(x), x, norm.weight, times=times),  # noqa: B023 (called at once)
            "torch": both_ways(lambda x, w: F.rms_norm(x, (x.shape[-1],), w, 1e-5), x, norm.weight, times=times),
            "naive": both_ways(naive_norm, x, norm.weight, times=times),
        }
        measured = interleaved(works, rounds)
        for other in ("naive", "torch"):
            found.append(row(f"RMSNorm: {other} / ours", f"{TOKENS}x{width}", measured[other], measured["ours"]))
        sizes = ModelConfig(width=width, heads=max(4, width // 64))
        rotary = rotary_table(sizes, TOKENS // 8, x.device, torch.float32)
        query = torch.randn(8, sizes.heads, TOKENS // 8, sizes.head_width, device=device()).requires_grad_()
        works = {
            "ours": both_ways(lambda q: rotate(q, rotary), query, times=times),  # noqa: B023 (called at once)
            "naive": both_ways(lambda q: naive_rotation(q, rotary), query, times=times),  # noqa: B023
        }
        measured = interleaved(works, rounds)
        found.append(row("rotary: naive / ours", f"{TOKENS}x{width}", measured["naive"], measured["ours"]))
        # Logits of a size that models have: others would fill the softmax with denormal numbers, which are slow.
        head = (torch.randn(VOCABULARY, width, device=device()) / width**0.5).requires_grad_()
        targets = torch.randint(VOCABULARY, (8, TOKENS // 8), device=device())
        works = {
            "ours": both_ways(lambda h, s: cross_entropies(h, [(s, targets, 1.0)])[0], head, x, times=1),  # noqa: B023
            "naive": both_ways(lambda h, s: naive_loss(h, s, targets), head, x, times=1),  # noqa: B023
        }
        measured = interleaved(works, rounds)
        shape = f"{TOKENS}x{width}, V={VOCABULARY}"
        found.append(row("cross-entropy: whole logits / ours", shape, measured["naive"], measured["ours"]))
    return found


if __name__ == "__main__":
    print(hardware())
    print(table(rows("--quick" in sys.argv)))
