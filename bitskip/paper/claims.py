"""What the BitSkip paper says, and what a results folder has to say to it (docs/report.md, Claims).

A claim is a statement of one version of arXiv 2510.23766, a quantity that decides it, and the values of that quantity
for which the statement holds. The quantity is measured on trials of one scale, paired by seed. All claims at all scales
are tested together (Holm): the claim is supported where the quantity is beyond doubt among these values, contradicted
where it is beyond doubt outside, else unresolved. Scales that differ in the learning rate only are one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bitskip.analysis.effects import compare
from bitskip.analysis.factorial import Cell, Stratum
from bitskip.analysis.levels import TECHNIQUES, levels_of
from bitskip.analysis.metrics import METRICS, Row
from bitskip.analysis.multiple_testing import holm
from bitskip.analysis.regime import regimes
from bitskip.analysis.student_t import Estimate, mean_estimate
from bitskip.analysis.verdicts import BELOW_COUNTING, ERROR_RATE
from bitskip.trial.config import POINTS, make_trial

SUPPORTED, CONTRADICTED, UNRESOLVED, NOT_MEASURED = "supported", "contradicted", "unresolved", "not measured"
PUBLISHED_DEPTH = 18 / 24
FEWEST_PAIRS = 8
"""Pairs of batches of a trial, all samples together, that the agreement of two gradients is judged on."""


def published_exit(depth: int) -> int | None:
    """The deepest exit that is not deeper than 18 of 24: a deeper one would cost less than was claimed of this one."""
    return max((layer for layer in range(1, depth + 1) if layer / depth <= PUBLISHED_DEPTH), default=None)


Rows = Sequence[Row]
Axes = Mapping[str, object]


@dataclass(frozen=True)
class Quantity:
    """What is read off the exits (by depth) and the layers of one finished trial.

    Of a `ratio` it is the logarithm. Without `read` it is perplexity. `needs` says what rows may lack.
    """

    read: Callable[[Rows, Rows], float | None] | None
    unit: str = "ratio"
    at_exit: bool = False
    needs: str = ""


def _exit_in(exits: Rows) -> int | None:
    """The published exit, where all exits were measured."""
    return published_exit(len(exits)) if exits and len(exits) == exits[-1]["depth"] else None


def _exit_cost(exits: Rows, _: Rows) -> float | None:
    """Nats that the published exit costs."""
    layer = _exit_in(exits)
    if layer is None:
        return None
    loss, full = exits[layer - 1]["loss"], exits[-1]["loss"]
    return None if loss is None or full is None else loss - full


def _gain_share(exits: Rows, _: Rows) -> float | None:
    """Speed gain of the published exit over L / E - 1, the share of blocks left out."""
    layer = _exit_in(exits)
    gain = exits[layer - 1].get("speed_gain") if layer is not None else None
    return None if gain is None or layer is None else gain / (len(exits) / layer - 1)


def _head_agreement(_: Rows, layers: Rows) -> float | None:
    """Cosine between the expected gradients of exit loss and main loss in the shared head, over all of training.

    The cosine on different batches, over what each loss shares with itself on different batches: what is left when
    the chance of batches is taken out (correction for attenuation, Spearman 1904, Am. J. Psychol. 15: 72).
    """
    heads = [each for each in layers if each["site"] == "head" and each.get("gradient_pairs")]
    if sum(each["gradient_pairs"] for each in heads) < FEWEST_PAIRS:
        return None
    own = [(each["main_main_apart"], each["exit_exit_apart"]) for each in heads]
    if min(min(each) for each in own) <= 0:  # nothing but chance: no direction to agree on
        return None
    shared = math.fsum(math.sqrt(main * exits) for main, exits in own)
    return math.fsum(each["exit_main_apart"] for each in heads) / shared


PERPLEXITY = Quantity(None)
EXIT_COST = Quantity(_exit_cost, at_exit=True)
GAIN_SHARE = Quantity(_gain_share, "share", at_exit=True)
HEAD_AGREEMENT = Quantity(_head_agreement, "cosine", needs="cosines between batches, which 0.1 did not store")

REGIONS: dict[str, tuple[float, int]] = {
    "below 1": (0.0, -1),
    "above 1": (0.0, 1),
    # Where a factor of thousands is claimed, a tenfold one would do.
    "10 and more": (math.log(10), 1),
    "up to 1.044": (math.log(1.18 / 1.13), -1),
    "0.9 and more": (0.9, 1),
    "below 0": (0.0, -1),
}
"""The values for which a claim holds: a bound (of a ratio, of its logarithm) and the side, 1 above and -1 below."""


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
    """One claim at one scale: `value` with its 95 % interval (None without repeats) in `unit`, and the trials.

    `p_value` is of the bound of the values for which it holds, `p_adjusted` that among all claims at all scales;
    `regime` is the mark of the scale (`analysis.regime`).
    """

    scale: str
    unit: str
    verdict: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    trials: tuple[str, ...] = ()
    note: str = ""
    regime: str = ""
    p_value: float | None = None
    p_adjusted: float | None = None


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
          "perplexity at the deepest exit within 3/4 of the depth over the full model's", "up to 1.044",
          EXIT_COST, _V1),
    Claim("exit-speed", "v1",
          "That exit is faster by the share of blocks it leaves out",
          "32.5 % of a possible 33.3 %",
          "speed gain of that exit, as a share of L / E - 1", "0.9 and more", GAIN_SHARE, _V1),
    Claim("exits-need-training", "v1",
          "Exit loss and layer dropout make early exits cheaper",
          "1.044 with, 1.26 without",
          "what that exit costs V1 over what it costs the same model of phase 1", "below 1", EXIT_COST, _V1, _BITS_8),
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
          "cosine between the expected gradients in V3's head, over all of training, less the baseline's", "below 0",
          HEAD_AGREEMENT, _V3, _BASELINE),
)
# fmt: on
"""Both versions' statements that trials can decide. v1 of October 2025, v2 of March 2026."""


def judged_claims(found: Sequence[Stratum], exits: Mapping[str, Rows], layers: Mapping[str, Rows]) -> list[JudgedClaim]:
    """Every claim at every scale that can say something to one of them; all of them as not measured if none can.

    Given are the strata of the results, and the rows of their exits and layers by trial.
    """
    marks = {id(stratum): regime.mark for stratum, regime in zip(found, regimes(found), strict=True)}
    scales = [_Scale(each, marks[id(each)], exits, layers) for each in _one_of_each_search(found)]
    judged = [[scale.judge(claim) for claim in CLAIMS] for scale in scales]
    telling = [rows for rows in judged if any(row.verdict != NOT_MEASURED for row in rows)]
    telling = [rows for rows in telling if any(row.seeds > 1 for row in rows)] or telling
    return _together([row for rows in telling or judged[:1] for row in rows])


def _one_of_each_search(found: Sequence[Stratum]) -> list[Stratum]:
    """Of strata that differ in the learning rate only the first, which has most trials: one search is one scale."""
    kept: dict[tuple[object, ...], Stratum] = {}
    for stratum in found:
        kept.setdefault(tuple(item for item in stratum.scale.items() if item[0] != "lr"), stratum)
    return list(kept.values())


def _together(judged: Sequence[JudgedClaim]) -> list[JudgedClaim]:
    """With verdicts on p-values that are corrected for all of them."""
    tested = {index: row.p_value for index, row in enumerate(judged) if row.p_value is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [
        row
        if index not in adjusted
        else dataclasses.replace(
            row, p_adjusted=adjusted[index], verdict=row.verdict if adjusted[index] < ERROR_RATE else UNRESOLVED
        )
        for index, row in enumerate(judged)
    ]


@dataclass(frozen=True)
class _Scale:
    """The trials of one scale with the rows of their exits and layers."""

    stratum: Stratum
    mark: str
    exits: Mapping[str, Rows]
    layers: Mapping[str, Rows]

    def judge(self, claim: Claim) -> JudgedClaim:
        words = {each.name: getattr(claim, each.name) for each in dataclasses.fields(Statement)}
        scale, unit = self.stratum.label, claim.measured.unit
        judged = JudgedClaim(**words, scale=scale, unit=unit, verdict=NOT_MEASURED, regime=self.mark)
        cells = [self._cell(axes) for axes in (claim.of, claim.over) if axes is not None]
        known = [cell for cell in cells if cell is not None]
        measured = self._measure(claim.measured, *known) if len(known) == len(cells) else None
        if measured is None:
            lacking = claim.measured.needs if len(known) == len(cells) else ""
            return dataclasses.replace(judged, note=lacking and f"needs {lacking}")
        bound, side = REGIONS[claim.holds]
        inside = (measured.value - bound) * side > 0
        low, high = measured.interval() or (None, None)
        shown = math.exp if claim.measured.unit == "ratio" else float
        below = any(cell.below_counting for cell in known)
        notes = [self._exit_note(known[0]) if claim.measured.at_exit else "", BELOW_COUNTING if below else ""]
        return dataclasses.replace(
            judged,
            verdict=UNRESOLVED if below or measured.se is None else SUPPORTED if inside else CONTRADICTED,
            p_value=None if below else dataclasses.replace(measured, value=measured.value - bound).p_value,
            value=shown(measured.value),
            low=None if low is None else shown(low),
            high=None if high is None else shown(high),
            seeds=measured.seeds,
            trials=tuple(row["trial_id"] for cell in known for row in cell.rows if row["status"] == "ok"),
            note=", ".join(filter(None, notes)),
        )

    def _cell(self, axes: Axes) -> Cell | None:
        """The cell with these techniques: sizes are those of the scale."""
        wanted = levels_of(make_trial(**axes).axes())
        techniques = len(TECHNIQUES)
        return next((cell for cell in self.stratum.cells if cell.levels[:techniques] == wanted[:techniques]), None)

    def _measure(self, quantity: Quantity, cell: Cell, reference: Cell | None = None) -> Estimate | None:
        """The quantity of a cell, or its difference to the reference, over the seeds that have it."""
        if quantity.read is None and reference is not None:
            return compare(METRICS["ppl"], cell, reference)
        own = self._read(quantity, cell)
        other = self._read(quantity, reference) if reference else dict.fromkeys(own, 0.0)
        differences = [own[seed] - other[seed] for seed in own.keys() & other.keys()]
        return mean_estimate(differences) if differences else None

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
        layer = published_exit(depth)
        return "" if layer is None else f"exit {layer} of {depth}: {layer / depth:.0%} of the depth, published 75%"
