"""Quantization error before and after a Hadamard rotation, by the shape of the input: the table of docs/method.md.

Usage: python benchmarks/rotation_error.py
Crest factor is max |x| / rms(x) of a row; the error is |x̂ - x| / |x|, rotated back where a rotation came before.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bitskip import hadamard_transform, quantize_activations
from bitskip.ops.hadamard import random_signs

ROWS, WIDTH = 64, 2048
SIGNS = random_signs(WIDTH, 0)
QUANTIZERS = {"int8 absmax": (8, "absmax"), "int4 absmax": (4, "absmax"), "int4 absmean": (4, "absmean")}

Map = Callable[[Tensor], Tensor]
ROTATIONS: dict[str, tuple[Map, Map]] = {
    "plain": (lambda x: x, lambda x: x),
    "H": (hadamard_transform, hadamard_transform),
    "H·signs": (lambda x: hadamard_transform(x * SIGNS), lambda x: hadamard_transform(x) * SIGNS),
}


def inputs() -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(0)

    def normal() -> Tensor:
        return torch.randn(ROWS, WIDTH, generator=draws)

    outliers = normal()
    outliers[:, [17, 400, 1111, 1999]] *= 30
    student = normal() / torch.randn(3, ROWS, WIDTH, generator=draws).square().mean(0).sqrt()
    return {
        "Gaussian": normal(),
        "Student's t, 3 degrees of freedom": student,
        "Gaussian, 4 channels × 30": outliers,
        "SwiGLU product silu(a) b": F.silu(normal()) * normal(),
        "squared ReLU": torch.relu(normal()).square(),
        "absolute Gaussian": normal().abs(),
        "uniform on (-1, 1)": torch.rand(ROWS, WIDTH, generator=draws) * 2 - 1,
    }


def crest(x: Tensor) -> float:
    return (x.abs().amax(-1) / x.square().mean(-1).sqrt()).mean().item()


def error(x: Tensor, rotation: str, bits: int, scale: str) -> float:
    forth, back = ROTATIONS[rotation]
    return ((back(quantize_activations(forth(x), bits, scale)) - x).norm() / x.norm()).item()


def main() -> None:
    print("| input | crest factor | " + " | ".join(QUANTIZERS) + " |")
    print("| --- " * (2 + len(QUANTIZERS)) + "|")
    for name, x in inputs().items():
        cells = [" / ".join(f"{crest(forth(x)):.1f}" for forth, _ in ROTATIONS.values())]
        for bits, scale in QUANTIZERS.values():
            cells.append(" / ".join(f"{error(x, rotation, bits, scale):.4f}" for rotation in ROTATIONS))
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\nEach cell: {' / '.join(ROTATIONS)}; {ROWS} rows of {WIDTH} entries.")


if __name__ == "__main__":
    main()
