"""What the BitSkip paper says, and what a results folder has to say to it (docs/report.md, Claims).

A claim is a statement of one version of arXiv 2510.23766, a quantity that decides it, and the values of that quantity
for which the statement holds. The quantity is measured on trials of one scale, paired by seed, with a 95 % interval:
wholly inside, the claim is supported; wholly outside, contradicted; else unresolved.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bitskip.analysis.effects import compare
from bitskip.analysis.factorial import Cell, Stratum, strata
from bitskip.analysis.levels import TECHNIQUES, levels_of
from bitskip.analysis.metrics import METRICS, Row
from bitskip.analysis.student_t import mean_interval
from bitskip.trial.config import POINTS, make_trial

if TYPE_CHECKING:
    from bitskip.store.tables import Results

SUPPORTED, CONTRADICTED, UNRESOLVED, NOT_MEASURED = "supported", "contradicted", "unresolved", "not measured"
PUBLISHED_DEPTH = 18 / 24


def published_exit(depth: int) -> int:
    """The exit whose share of the depth is nearest to 18 of 24, the deeper one of two."""
    return min(range(1, depth + 1), key=lambda layer: (abs(layer / depth - PUBLISHED_DEPTH), -layer))


Rows = Sequence[Row]
Axes = Mapping[str, object]


@dataclass(frozen=True)
class Quantity:
    """What is read off the exits (by depth) and the layers of one finished trial.

    Of a `ratio` it is the logarithm. Without `read` it is perplexity, whose error is that of the whole scale.
    """

    read: Callable[[Rows, Rows], float | None] | None
    unit: str = "ratio"
    at_exit: bool = False


def _exit_cost(exits: Rows, _: Rows) -> float | None:
    """Nats that the published exit costs."""
    if not exits:
        return None
    loss, full = exits[published_exit(len(exits)) - 1]["loss"], exits[-1]["loss"]
    return None if loss is None or full is None else loss - full


def _gain_share(exits: Rows, _: Rows) -> float | None:
    """Speed gain of the published exit over L / E - 1, the share of blocks left out."""
    if not exits:
        return None
    layer, depth = published_exit(len(exits)), len(exits)
    gain = exits[layer - 1].get("speed_gain")
    return None if gain is None or layer == depth else gain / (depth / layer - 1)


def _decoding_speed(exits: Rows, _: Rows) -> float | None:
    """log of decoded tokens/s, full depth."""
    speed = exits[-1].get("decode_tokens_per_second") if exits else None
    return math.log(speed) if speed else None


def _head_cosine(_: Rows, layers: Rows) -> float | None:
    """Cosine between the gradients of exit loss and main loss in the shared head, last sample."""
    known = [each for each in layers if each["site"] == "head" and each.get("exit_main_cosine") is not None]
    return float(max(known, key=lambda each: each["step"])["exit_main_cosine"]) if known else None


PERPLEXITY = Quantity(None)
EXIT_COST = Quantity(_exit_cost, at_exit=True)
GAIN_SHARE = Quantity(_gain_share, "share", at_exit=True)
DECODING_SPEED = Quantity(_decoding_speed)
HEAD_COSINE = Quantity(_head_cosine, "cosine")

REGIONS: dict[str, tuple[float, float]] = {
    "below 1": (-math.inf, 0.0),
    "above 1": (0.0, math.inf),
    # Where a factor of thousands is claimed, a tenfold one would do.
    "10 and more": (math.log(10), math.inf),
    "up to 1.044": (-math.inf, math.log(1.18 / 1.13)),
    "0.9 and more": (0.9, math.inf),
    "below 0": (-math.inf, 0.0),
}
"""The values for which a claim holds; of a ratio, those of its logarithm."""


@dataclass(frozen=True)
class Statement:
    """A claim in words. `quantity` decides it, `holds` says for which values (a key of REGIONS)."""

    claim: str
    version: str
    statement: str
    published: str
    quantity: str
    holds: str


@dataclass(frozen=True)
class Claim(Statement):
    """A statement with what measures it: a quantity of one configuration, less (as a ratio: over) that of another."""

    measured: Quantity
    of: Axes
    over: Axes | None = None


@dataclass(frozen=True)
class JudgedClaim(Statement):
    """One claim at one scale: `value` with its 95 % interval (None without repeats) in `unit`, and the trials."""

    scale: str
    unit: str
    verdict: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    trials: tuple[str, ...] = ()
    note: str = ""


_BASELINE, _V1, _V2, _V3 = (POINTS[name] for name in ("baseline", "V1", "V2", "V3"))
_BITS_8: Axes = {"bits": 8}
_ROTATED_8: Axes = {"bits": 8, "hadamard": True}
_EXITS: Axes = {"exit_weight": 0.3, "phase": "2"}

# fmt: off
CLAIMS: tuple[Claim, ...] = (
    Claim("quantized-beats-full", "v1",
          "Ternary weights and 8-bit activations (V1) reach a lower perplexity than full precision",
          "1.13 against 1.19: ratio 0.950",
          "perplexity of V1 over the baseline's", "below 1", PERPLEXITY, _V1, _BASELINE),
    Claim("hadamard-catastrophe", "v1",
          "The Hadamard transform raises perplexity by over 37,000 % (V3 against V1)",
          "427.94 against 1.13: ratio 379",
          "perplexity of V3 over V1's", "10 and more", PERPLEXITY, _V3, _V1),
    Claim("four-bit-hadamard-collapse", "v1",
          "4-bit activations with Hadamard (V2) collapse, too",
          "210.24 against 1.13: ratio 186",
          "perplexity of V2 over V1's", "10 and more", PERPLEXITY, _V2, _V1),
    Claim("four-bit-above-eight", "v1",
          "With Hadamard, 4-bit activations (V2) do better than 8-bit ones (V3)",
          "210.24 against 427.94: ratio 0.49",
          "perplexity of V2 over V3's", "below 1", PERPLEXITY, _V2, _V3),
    Claim("quantization-costs-in-phase-1", "v1",
          "Without exit loss and layer dropout (phase 1), quantization costs quality",
          "1966.49 against 846.34: ratio 2.32",
          "perplexity of 8-bit ternary over full precision, phase 1", "above 1", PERPLEXITY, _BITS_8, {"bits": 16}),
    Claim("exit-cost", "v1",
          "Leaving V1 at layer 18 of 24 costs 4 % of perplexity",
          "1.18 against 1.13: ratio 1.044",
          "perplexity at the exit nearest 3/4 of the depth over the full model's", "up to 1.044", EXIT_COST, _V1),
    Claim("exit-speed", "v1",
          "That exit is faster by the share of blocks it leaves out",
          "32.5 % of a possible 33.3 %",
          "speed gain of that exit, as a share of L / E - 1", "0.9 and more", GAIN_SHARE, _V1),
    Claim("exits-need-training", "v1",
          "Exit loss and layer dropout make early exits cheaper",
          "1.044 with, 1.26 without",
          "what that exit costs V1 over what it costs the same model of phase 1", "below 1", EXIT_COST, _V1, _BITS_8),
    Claim("fake-quantization-is-slower", "v1",
          "As published, a quantized model decodes slower than the full-precision one",
          "32.0 against 97.8 tokens/s: ratio 0.33",
          "decoded tokens/s of V1 over the baseline's", "below 1", DECODING_SPEED, _V1, _BASELINE),
    Claim("hadamard-alone-helps", "v2",
          "Without early exit, Hadamard improves perplexity",
          "19 % better: ratio 0.81",
          "perplexity of 8 bits with Hadamard over without, phase 1", "below 1", PERPLEXITY, _ROTATED_8, _BITS_8),
    Claim("exits-reverse-hadamard", "v2",
          "With early exit, Hadamard makes it worse",
          "the sign of the effect reverses",
          "perplexity of 8 bits with Hadamard over without, both with exit loss", "above 1",
          PERPLEXITY, {**_ROTATED_8, **_EXITS}, {**_BITS_8, **_EXITS}),
    Claim("gradients-interfere", "v2",
          "The gradients of exit loss and main loss interfere in the shared head",
          "a conjecture, not measured",
          "cosine between the two gradients in the head of V3 after training", "below 0", HEAD_COSINE, _V3),
)
# fmt: on
"""Both versions' statements that trials can decide. v1 of October 2025, v2 of March 2026."""


def judged_claims(results: Results) -> list[JudgedClaim]:
    """Every claim at every scale that can say something to one of them; all of them as not measured if none can."""
    exits, layers = (_by_trial(table.to_pylist()) for table in (results.exits, results.layers))
    found = []
    for stratum in strata(results):
        scale = _Scale(stratum, exits, layers)
        found.append([scale.judge(claim) for claim in CLAIMS])
    telling = [rows for rows in found if any(row.verdict != NOT_MEASURED for row in rows)]
    telling = [rows for rows in telling if any(row.seeds > 1 for row in rows)] or telling
    return [row for rows in telling or found[:1] for row in rows]


def _by_trial(rows: Rows) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["trial_id"], []).append(row)
    return grouped


@dataclass(frozen=True)
class _Scale:
    """The trials of one scale with the rows of their exits and layers."""

    stratum: Stratum
    exits: Mapping[str, Rows]
    layers: Mapping[str, Rows]

    def judge(self, claim: Claim) -> JudgedClaim:
        words = {each.name: getattr(claim, each.name) for each in dataclasses.fields(Statement)}
        judged = JudgedClaim(**words, scale=self.stratum.label, unit=claim.measured.unit, verdict=NOT_MEASURED)
        cells = [self._cell(axes) for axes in (claim.of, claim.over) if axes is not None]
        known = [cell for cell in cells if cell is not None]
        measured = self._measure(claim.measured, *known) if len(known) == len(cells) else None
        if measured is None:
            return judged
        value, low, high, seeds = measured
        shown = math.exp if claim.measured.unit == "ratio" else float
        return dataclasses.replace(
            judged,
            verdict=_verdict(low, high, REGIONS[claim.holds]),
            value=shown(value),
            low=None if low is None else shown(low),
            high=None if high is None else shown(high),
            seeds=seeds,
            trials=tuple(row["trial_id"] for cell in known for row in cell.rows if row["status"] == "ok"),
            note=self._exit_note(known[0]) if claim.measured.at_exit else "",
        )

    def _cell(self, axes: Axes) -> Cell | None:
        """The cell with these techniques: sizes are those of the scale."""
        wanted = levels_of(make_trial(**axes).axes())
        techniques = len(TECHNIQUES)
        return next((cell for cell in self.stratum.cells if cell.levels[:techniques] == wanted[:techniques]), None)

    def _measure(
        self, quantity: Quantity, cell: Cell, reference: Cell | None = None
    ) -> tuple[float, float | None, float | None, int] | None:
        """(value, low, high, seeds) of a cell, or of its difference to the reference."""
        if quantity.read is None and reference is not None:
            found = compare(METRICS["ppl"], cell, reference)
            return (found.value, *(found.interval() or (None, None)), found.seeds) if found else None
        own = self._read(quantity, cell)
        other = self._read(quantity, reference) if reference else dict.fromkeys(own, 0.0)
        differences = [own[seed] - other[seed] for seed in own.keys() & other.keys()]
        return (*mean_interval(differences), len(differences)) if differences else None

    def _read(self, quantity: Quantity, cell: Cell) -> dict[int, float]:
        """The quantity of each finished trial, by seed."""
        found = {}
        for row in cell.rows:
            exits = sorted(self.exits.get(row["trial_id"], ()), key=lambda each: each["exit_layer"])
            if row["status"] == "ok" and quantity.read is not None:
                found[row["seed"]] = quantity.read(exits, self.layers.get(row["trial_id"], ()))
        return {seed: value for seed, value in found.items() if value is not None}

    def _exit_note(self, cell: Cell) -> str:
        depth = max(len(self.exits.get(row["trial_id"], ())) for row in cell.rows)
        return f"exit {published_exit(depth)} of {depth}" if depth else ""


def _verdict(low: float | None, high: float | None, region: tuple[float, float]) -> str:
    if low is None or high is None:
        return UNRESOLVED
    if region[0] <= low and high <= region[1]:
        return SUPPORTED
    return CONTRADICTED if high < region[0] or low > region[1] else UNRESOLVED
