"""Whether effects at the next scale are foretold where the truth is known. Its table stands in docs/scaling.md.

python benchmarks/scaling_laws.py [TRUTH]… [--draws N] [--plain]

Ladders have 3 sizes (0.05 to 1.5 M parameters) × 3 budgets (1 to 16 M tokens), the four cells of 4 bits × rotation at
two settings of a bystander (`--plain`: at one), 2 seeds that shift all cells, and noise of 1 % a trial. Asked is one
rung beyond in both, 7.9 M parameters and 64 M tokens. Against it: each law alone by least squares, and copying the
largest rung. A field has the mean absolute error in %, the share of 90 % intervals that hold the truth, the share of
right signs, and the median half-width.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bitskip import UserError, make_trial
from bitskip.analysis.factorial import Cell, Stratum, baseline_of
from bitskip.analysis.levels import levels_of, scale_axes
from bitskip.analysis.student_t import student_t_quantile
from bitskip.scaling.contrast_laws import ScaledEffect, Scaling
from bitskip.scaling.ladder import Effects
from bitskip.trial.config import AXES
from bitskip.trial.cost import non_embedding_parameters

Array = np.ndarray
Truth = Callable[[float, float], float]
"""Interaction in nats per token at (parameters, tokens)."""

SIZES = ((3, 32), (4, 64), (6, 128), (8, 256))
BUDGETS = (1_000_000, 4_000_000, 16_000_000, 64_000_000)
SD, SHIFT = 0.01, 0.03
N0, D0 = 0.25e6, 4e6


def multiplied(coefficient: float, exponent: float, one: float, other: float, both: float) -> Callable[[float], float]:
    """Interaction of a term c x^-a of the loss, whose x techniques multiply."""
    powers = both**-exponent - one**-exponent - other**-exponent + 1
    return lambda x: coefficient * x**-exponent * powers


EFFECTIVE_N = multiplied(60.0, 0.34, 0.7, 0.85, 0.45)
EFFECTIVE_D = multiplied(60.0, 0.28, 0.8, 0.9, 0.55)

TRUTHS: dict[str, Truth] = {
    "constant": lambda n, d: 0.08,
    "effective N": lambda n, d: EFFECTIVE_N(n),
    "effective D": lambda n, d: EFFECTIVE_D(d),
    "power law": lambda n, d: 0.05 * (d / D0) ** 0.25 * (n / N0) ** -0.1,
    "sign flip": lambda n, d: 0.01 + 0.03 * math.log(d / D0) - 0.005 * math.log(n / N0),
    # Of our own: none of these is one of the laws.
    "flip that saturates": lambda n, d: 0.12 - 0.12 * (d / D0) ** -0.3,
    "late onset": lambda n, d: 0.12 / (1 + (n / d) / 0.15),
    "both terms": lambda n, d: EFFECTIVE_N(n) - 0.6 * EFFECTIVE_D(d),
    "nothing": lambda n, d: 0.0,
}


def loss(n: float, d: float, quantized: bool, rotated: bool, dropped: bool, interaction: float) -> float:
    """Chinchilla-like, with single effects that change with size and tokens."""
    single = 0.1 * (d / D0) ** 0.2 * quantized - 0.03 * (n / N0) ** -0.2 * rotated + 0.05 * dropped
    return 1.7 + 60 * n**-0.34 + 60 * d**-0.28 + single + interaction * (quantized and rotated)


class Ladder:
    """Strata of a crossing of sizes and budgets, whose losses are drawn anew."""

    def __init__(self, sizes: int, budgets: int, bystander: bool = True, seeds: int = 2):
        settings = (("none", 0.1), ("quadratic", 0.5)) if bystander else (("none", 0.1),)
        self.seeds = seeds
        self.strata = []
        self.factors: list[list[tuple[float, float, bool, bool, bool]]] = []
        for layers, width in SIZES[:sizes]:
            for tokens in BUDGETS[:budgets]:
                shape = shape_of(layers, width)
                trials = [
                    make_trial(
                        model=shape, tokens=tokens, bits=b, hadamard=h, dropout=name, dropout_max=rate, phase="2"
                    )
                    for b in (16, 4)
                    for h in ("none", "bitnet-v2")
                    for name, rate in settings
                ]
                cells = tuple(Cell(levels_of(trial.axes()), ()) for trial in trials)
                scale = {axis: AXES[axis].read(trials[0]) for axis in scale_axes()}
                self.strata.append(Stratum(f"{layers}x{width}, {tokens}", scale, cells, baseline_of(cells)))
                n = non_embedding_parameters(trials[0].model)
                self.factors.append(
                    [(n, tokens, t["bits"] < 16, t["hadamard"] != "none", t["dropout"] != "none") for t in trials]
                )

    def drawn(self, truth: Truth, source: np.random.Generator, sd: float = SD) -> list[Stratum]:
        shifts = source.normal(0, SHIFT * sd / SD, self.seeds)
        found = []
        for stratum, factors in zip(self.strata, self.factors, strict=True):
            cells = []
            for cell, (n, d, *on) in zip(stratum.cells, factors, strict=True):
                values = loss(n, d, *on, truth(n, d)) + shifts + source.normal(0, sd, self.seeds)
                rows = tuple(
                    {"trial_id": str(seed), "seed": seed, "status": "ok", "loss": float(value)}
                    for seed, value in enumerate(values)
                )
                cells.append(replace(cell, rows=rows))
            found.append(replace(stratum, cells=tuple(cells)))
        return found


def shape_of(layers: int, width: int) -> dict[str, int]:
    return {"layers": layers, "width": width, "heads": 4, "kv_heads": 2, "ffn_width": 4 * width}


TARGET = (non_embedding_parameters(make_trial(model=shape_of(*SIZES[3])).model), BUDGETS[3])

Interval = tuple[float, float, float]
"""Mean, low, high."""


def linear_alone(effects: Effects) -> Interval:
    """a + b x + c z by least squares, with its Student interval."""
    design = np.column_stack([np.ones(len(effects.values)), effects.places])
    asked = np.array([1.0, *np.log(TARGET)])
    found, squares, *_ = np.linalg.lstsq(design, effects.values, rcond=None)
    df = len(effects.values) - 3
    spread = float(asked @ np.linalg.inv(design.T @ design) @ asked)
    half = student_t_quantile(0.95, df) * math.sqrt(float(squares[0]) / df * spread)
    mean = float(asked @ found)
    return mean, mean - half, mean + half


def power_alone(effects: Effects) -> Interval:
    """k exp(q z - p x) by least squares from the best of a few starts, with its linearised Student interval."""
    from scipy.optimize import least_squares

    centre = effects.places.mean(axis=0)
    at, asked = effects.places - centre, np.log(TARGET) - centre

    def law(unknown: Array, x: Array) -> Array:
        return unknown[0] * np.exp(np.clip(x @ unknown[1:], -30, 30))

    starts = [(effects.values.mean(), -0.1, 0.1), (effects.values[-1], 0.3, -0.3), (-effects.values[-1], -0.3, 0.3)]
    fits = [least_squares(lambda u: law(u, at) - effects.values, start) for start in starts]
    best = min(fits, key=lambda fit: fit.cost)
    df = len(effects.values) - 3
    mean = float(law(best.x, asked))
    slope = np.array([np.exp(np.clip(asked @ best.x[1:], -30, 30)), *(mean * asked)])
    variance = slope @ np.linalg.pinv(best.jac.T @ best.jac) @ slope * 2 * best.cost / df
    half = student_t_quantile(0.95, df) * math.sqrt(max(variance, 0.0))
    return mean, mean - half, mean + half


def largest_rung(effects: Effects) -> Interval:
    """The effect at the largest rung, with the interval of its noise, which all rungs tell."""
    rung = max(effects.rungs, key=lambda each: (each.parameters, each.tokens))
    half = student_t_quantile(0.95, effects.df) * rung.se
    return rung.value, rung.value - half, rung.value + half


RIVALS: dict[str, Callable[[Effects], Interval]] = {
    "power law alone": power_alone,
    "linear law alone": linear_alone,
    "largest rung": largest_rung,
}


def answers(strata: list[Stratum]) -> tuple[dict[str, Interval], ScaledEffect]:
    scaling = Scaling(strata)
    pair = (("bits", 4), ("hadamard", "bitnet-v2"))
    ours = scaling.contrast(*pair, parameters=TARGET[0], tokens=TARGET[1])
    effects = next(iter(scaling._measured.values()))
    return {"bitskip": (ours.mean, ours.low, ours.high)} | {n: rival(effects) for n, rival in RIVALS.items()}, ours


def study(name: str, ladder: Ladder, draws: int) -> str:
    truth = TRUTHS[name]
    true = truth(*TARGET)
    found: dict[str, list[Interval]] = {}
    verdicts: dict[str, int] = {}
    held = []
    for draw in range(draws):
        source = np.random.default_rng([draw, sorted(TRUTHS).index(name)])
        own, ours = answers(ladder.drawn(truth, source))
        for method, interval in own.items():
            found.setdefault(method, []).append(interval)
        verdicts[ours.verdict] = verdicts.get(ours.verdict, 0) + 1
        held.append(abs(ours.held_out.error) if ours.held_out else math.nan)
    parts = []
    for intervals in found.values():
        mean, low, high = np.array(intervals).T
        sign = f"{np.mean(np.sign(mean) == np.sign(true)):.2f}" if true else "–"
        parts.append(
            f"{100 * np.mean(np.abs(mean - true)):.2f} / {np.mean((low <= true) & (true <= high)):.2f} / {sign}"
            f" (± {50 * np.median(high - low):.1f})"
        )
    told = ", ".join(f"{word} {count / draws:.2f}" for word, count in sorted(verdicts.items(), key=lambda v: -v[1]))
    return f"| {name} | {100 * true:+.1f} | {' | '.join(parts)} | {told} | {100 * np.mean(held):.2f} |"


def from_four(draws: int) -> str:
    """What is said from 2 × 2 rungs."""
    refused = 0
    for draw in range(draws):
        strata = Ladder(2, 2).drawn(TRUTHS["sign flip"], np.random.default_rng(draw))
        try:
            answers(strata)
        except UserError:
            refused += 1
    return f"2 × 2 rungs: refused in {refused} of {draws} draws"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", nargs="*", choices=[[], *TRUTHS])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    start = time.perf_counter()
    ladder = Ladder(3, 3, bystander=not options.plain)
    head = [
        "truth",
        "% at target",
        *(f"{name}: error %, coverage, sign" for name in ("bitskip", *RIVALS)),
        "verdicts",
        "held-out %",
    ]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name in options.truth or TRUTHS:
        print(study(name, ladder, options.draws), flush=True)
    print(from_four(20))
    print(f"{options.draws} draws, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
