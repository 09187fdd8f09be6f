"""(a), (b): a training step of V1, V2 and V3 against the float baseline, and of that against reference decoders.

Run: python benchmarks/training.py [--quick]
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator

from harness import Row, device, hardware, interleaved, row, table
from reference import GPT, Llama, training_steps

from bitskip import make_trial
from bitskip.training.trainer import steps_on_random_tokens
from bitskip.trial.config import POINTS, TrialConfig

ENDLESS = 10**9
SHAPES = {"nano": (8, 25), "micro": (8, 9), "small": (2, 7)}
"""Preset to sequences of 128 tokens a step and rounds."""
GOALS = {"GPT (as nanoGPT)": "≥ 1.0", "Llama (transformers)": "≥ 1.2"}
COMPILED = ("nano",)
"""Compiling seven models takes minutes."""


def stepping(steps: Iterator[None]) -> Callable[[], object]:
    return lambda: next(steps)


def trial(preset: str, batch: int, **axes: object) -> TrialConfig:
    return make_trial(**axes, model=preset, batch_size=batch)


def against_baseline(preset: str, batch: int, rounds: int, compiled: bool) -> list[Row]:
    """V1, V2 and V3 beside a baseline that has the same layer dropout and exit losses."""
    mode = "on" if compiled else "off"
    works = {
        name: stepping(steps_on_random_tokens(trial(preset, batch, **point, compile=mode), str(device()), ENDLESS))
        for name, point in POINTS.items()
    }
    # Layer dropout makes batches of other sizes, which are compiled anew until one program serves them all.
    times = interleaved(works, rounds, warmup=12 if compiled else 2)
    shape, how = f"{preset}, {batch} x 128", "compiled" if compiled else "eager"
    goal = "≥ 0.85" if compiled else "≥ 0.7"
    rows = [row(f"training, {how}: V1 / baseline", shape, times["baseline"], times["V1"], goal)]
    return rows + [
        row(f"training, {how}: {name} / V1", shape, times["V1"], times[name], "≥ 0.9") for name in ("V2", "V3")
    ]


def decoders(preset: str, batch: int, compiled: bool = False) -> dict[str, Callable[[], object]]:
    """A step of ours without layer dropout and exit losses, which the references lack, and of those that are installed.

    Where ours is compiled, block by block, they are as a whole, as nanoGPT's training script does it.
    """
    plain = trial(preset, batch, compile="on" if compiled else "off")
    vocabulary, shape = plain.data.vocab_size, (batch, plain.training.seq_len)
    works = {"float baseline": stepping(steps_on_random_tokens(plain, str(device()), ENDLESS))}
    for name, kind in (("GPT (as nanoGPT)", GPT), ("Llama (transformers)", Llama)):
        try:
            model = kind(plain.model, vocabulary, plain.training.seq_len)
        except ImportError:
            print(f"{name} is not installed: left out", file=sys.stderr)
            continue
        if compiled:
            model.compile()
        works[name] = stepping(training_steps(model, vocabulary, shape, device(), bf16=device().type == "cuda"))
    return works


def against_references(preset: str, batch: int, rounds: int, compiled: bool) -> list[Row]:
    """The float baseline beside the reference decoders."""
    times = interleaved(decoders(preset, batch, compiled), rounds, warmup=3 if compiled else 2)
    how, ours = "compiled" if compiled else "eager", times.pop("float baseline")
    return [
        row(f"training, {how}: float baseline / {name}", f"{preset}, {batch} x 128", theirs, ours, GOALS[name])
        for name, theirs in times.items()
    ]


def rows(quick: bool) -> list[Row]:
    warnings.filterwarnings("ignore")
    found = []
    presets = {"nano": (8, 5)} if quick else SHAPES
    if device().type == "cuda" and not quick:
        presets = presets | {"paper": (8, 7)}
    for preset, (batch, rounds) in presets.items():
        found += against_baseline(preset, batch, rounds, compiled=False)
        found += against_references(preset, batch, rounds, compiled=False)
        if not quick and (preset in COMPILED or device().type == "cuda"):
            found += against_baseline(preset, batch, rounds, compiled=True)
            found += against_references(preset, batch, rounds, compiled=True)
    return found


if __name__ == "__main__":
    print(hardware())
    print(table(rows("--quick" in sys.argv)))
