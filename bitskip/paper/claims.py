"""What the BitSkip paper says, and what a results folder has to say to it (docs/report.md, Claims).

A claim is a statement of one version of arXiv 2510.23766, a quantity that decides it, and the values of that quantity
for which the statement holds. The quantity is measured on trials of one scale, paired by seed, with a 95 % interval:
wholly inside, the claim is supported; wholly outside, contradicted; else unresolved.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bitskip.analysis.effects import CONFIDENCE, compare, student_t_quantile
from bitskip.analysis.factorial import Cell, Stratum, strata
from bitskip.analysis.levels import TECHNIQUES, levels_of
from bitskip.analysis.metrics import METRICS, Row
from bitskip.analysis.seed_noise import SeedNoise, seed_noise
from bitskip.store.schema import Status
from bitskip.trial.config import POINTS, make_trial

if TYPE_CHECKING:
    from bitskip.store.tables import Results

SUPPORTED, CONTRADICTED, UNRESOLVED, NOT_MEASURED = "supported", "contradicted", "unresolved", "not measured"
TENFOLD = math.log(10)
"""Where a factor of thousands is claimed, a tenfold one would do."""

PUBLISHED_DEPTH = 18 / 24


@dataclass(frozen=True)
class Measured:
    """A quantity with its 95 % interval (None without repeats), the seeds behind it, and the trials."""

    value: float
    low: float | None
    high: float | None
    seeds: int
    trials: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """One claim at one scale. `value`, `low` and `high` are in `unit`; `holds` says for which values the claim does."""

    claim: str
    version: str
    statement: str
    published: str
    quantity: str
    holds: str
    scale: str
    unit: str
    verdict: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    trials: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class _Scale:
    """The trials of one scale with the rows of their exits and layers."""

    stratum: Stratum
    exits: Mapping[str, Sequence[Row]]
    layers: Mapping[str, Sequence[Row]]

    @functools.cached_property
    def noise(self) -> SeedNoise:
        return seed_noise({cell.levels: cell.values(METRICS["ppl"]) for cell in self.stratum.cells})

    def cell(self, **axes: object) -> Cell | None:
        """The cell with these techniques: sizes are those of the scale."""
        wanted = levels_of(make_trial(**axes).axes())
        techniques = len(TECHNIQUES)
        return next((cell for cell in self.stratum.cells if cell.levels[:techniques] == wanted[:techniques]), None)

    def point(self, name: str) -> Cell | None:
        return self.cell(**POINTS[name])


@dataclass(frozen=True)
class Claim:
    """`region` holds the values for which the statement is true; of a `ratio`, those of its logarithm."""

    name: str
    version: str
    statement: str
    published: str
    quantity: str
    holds: str
    region: tuple[float, float]
    measure: Callable[[_Scale], Measured | None]
    unit: str = "ratio"


def _ratio(first: Mapping[str, object], second: Mapping[str, object]) -> Callable[[_Scale], Measured | None]:
    """log perplexity of one configuration minus that of another."""

    def measure(scale: _Scale) -> Measured | None:
        one, other = scale.cell(**first), scale.cell(**second)
        if one is None or other is None:
            return None
        estimate = compare(scale.stratum, METRICS["ppl"], one, other, scale.noise)
        if estimate is None:
            return None
        low, high = estimate.interval() or (None, None)
        return Measured(estimate.value, low, high, estimate.seeds, _ids(one, other))

    return measure


def _paired(values: Mapping[int, float], trials: tuple[str, ...], note: str = "") -> Measured | None:
    """Mean over seeds with Student's interval."""
    if not values:
        return None
    mean, n = statistics.fmean(values.values()), len(values)
    if n == 1:
        return Measured(mean, None, None, 1, trials, note)
    half = student_t_quantile((1 + CONFIDENCE) / 2, n - 1) * statistics.stdev(values.values()) / math.sqrt(n)
    return Measured(mean, mean - half, mean + half, n, trials, note)


def _ids(*cells: Cell) -> tuple[str, ...]:
    return tuple(row["trial_id"] for cell in cells for row in cell.rows if row["status"] == Status.OK)


def _of_exits(scale: _Scale, cell: Cell | None, read: Callable[[Sequence[Row]], float | None]) -> dict[int, float]:
    """What is read off the exits (by depth) of each finished trial, by seed."""
    found = {}
    for row in cell.rows if cell else ():
        exits = sorted(scale.exits.get(row["trial_id"], ()), key=lambda each: each["exit_layer"])
        value = read(exits) if row["status"] == Status.OK and exits else None
        if value is not None:
            found[row["seed"]] = value
    return found


def published_exit(depth: int) -> int:
    """The exit whose share of the depth is nearest to 18 of 24, the deeper one of two."""
    return min(range(1, depth + 1), key=lambda layer: (abs(layer / depth - PUBLISHED_DEPTH), -layer))


def _exit_cost(exits: Sequence[Row]) -> float | None:
    """Nats that the published exit costs."""
    loss, full = exits[published_exit(len(exits)) - 1]["loss"], exits[-1]["loss"]
    return None if loss is None or full is None else loss - full


def _gain_share(exits: Sequence[Row]) -> float | None:
    """Speed gain of the published exit over L / E - 1, the share of blocks left out."""
    layer, depth = published_exit(len(exits)), len(exits)
    gain = exits[layer - 1].get("speed_gain")
    return None if gain is None or layer == depth else gain / (depth / layer - 1)


def _exit_note(scale: _Scale, cell: Cell) -> str:
    depth = max(len(scale.exits.get(row["trial_id"], ())) for row in cell.rows)
    return f"exit {published_exit(depth)} of {depth}" if depth else ""


def _at_published_exit(read: Callable[[Sequence[Row]], float | None]) -> Callable[[_Scale], Measured | None]:
    def measure(scale: _Scale) -> Measured | None:
        cell = scale.point("V1")
        return _paired(_of_exits(scale, cell, read), _ids(cell), _exit_note(scale, cell)) if cell else None

    return measure


def _exits_learn(scale: _Scale) -> Measured | None:
    """How much less the published exit costs V1 with exit loss and layer dropout than without."""
    trained, plain = scale.point("V1"), scale.cell(bits=8)
    if trained is None or plain is None:
        return None
    costs = [_of_exits(scale, cell, _exit_cost) for cell in (trained, plain)]
    differences = {seed: costs[0][seed] - costs[1][seed] for seed in costs[0].keys() & costs[1].keys()}
    return _paired(differences, _ids(trained, plain), _exit_note(scale, trained))


def _decoding_speed(scale: _Scale) -> Measured | None:
    """log of V1's decode tokens/s over the baseline's, full depth."""

    def speed(exits: Sequence[Row]) -> float | None:
        found = exits[-1].get("decode_tokens_per_second")
        return math.log(found) if found else None

    quantized, plain = scale.point("V1"), scale.point("baseline")
    if quantized is None or plain is None:
        return None
    speeds = [_of_exits(scale, cell, speed) for cell in (quantized, plain)]
    differences = {seed: speeds[0][seed] - speeds[1][seed] for seed in speeds[0].keys() & speeds[1].keys()}
    return _paired(differences, _ids(quantized, plain))


def _head_cosine(scale: _Scale) -> Measured | None:
    """Cosine between the gradients of exit loss and main loss in the shared head, last sample of V3."""
    cell = scale.point("V3")
    found = {}
    for row in cell.rows if cell else ():
        samples = [each for each in scale.layers.get(row["trial_id"], ()) if each["site"] == "head"]
        known = [each for each in samples if each.get("exit_main_cosine") is not None]
        if known and row["status"] == Status.OK:
            found[row["seed"]] = float(max(known, key=lambda each: each["step"])["exit_main_cosine"])
    return _paired(found, _ids(cell)) if cell else None


_EXITS = {"exit_weight": 0.3, "phase": "2"}
_BELOW, _ABOVE = (-math.inf, 0.0), (0.0, math.inf)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "quantized-beats-full",
        "v1",
        "Ternary weights and 8-bit activations (V1) reach a lower perplexity than full precision",
        "1.13 against 1.19: ratio 0.950",
        "perplexity of V1 over the baseline's",
        "below 1",
        _BELOW,
        _ratio(POINTS["V1"], POINTS["baseline"]),
    ),
    Claim(
        "hadamard-catastrophe",
        "v1",
        "The Hadamard transform raises perplexity by over 37,000 % (V3 against V1)",
        "427.94 against 1.13: ratio 379",
        "perplexity of V3 over V1's",
        "10 and more",
        (TENFOLD, math.inf),
        _ratio(POINTS["V3"], POINTS["V1"]),
    ),
    Claim(
        "four-bit-hadamard-collapse",
        "v1",
        "4-bit activations with Hadamard (V2) collapse, too",
        "210.24 against 1.13: ratio 186",
        "perplexity of V2 over V1's",
        "10 and more",
        (TENFOLD, math.inf),
        _ratio(POINTS["V2"], POINTS["V1"]),
    ),
    Claim(
        "four-bit-above-eight",
        "v1",
        "With Hadamard, 4-bit activations (V2) do better than 8-bit ones (V3)",
        "210.24 against 427.94: ratio 0.49",
        "perplexity of V2 over V3's",
        "below 1",
        _BELOW,
        _ratio(POINTS["V2"], POINTS["V3"]),
    ),
    Claim(
        "quantization-costs-in-phase-1",
        "v1",
        "Without exit loss and layer dropout (phase 1), quantization costs quality",
        "1966.49 against 846.34: ratio 2.32",
        "perplexity of 8-bit ternary over full precision, phase 1",
        "above 1",
        _ABOVE,
        _ratio({"bits": 8}, {"bits": 16}),
    ),
    Claim(
        "exit-cost",
        "v1",
        "Leaving V1 at layer 18 of 24 costs 4 % of perplexity",
        "1.18 against 1.13: ratio 1.044",
        "perplexity at the exit nearest 3/4 of the depth over the full model's",
        "up to 1.044",
        (-math.inf, math.log(1.18 / 1.13)),
        _at_published_exit(_exit_cost),
    ),
    Claim(
        "exit-speed",
        "v1",
        "That exit is faster by the share of blocks it leaves out",
        "32.5 % of a possible 33.3 %",
        "speed gain of that exit, as a share of L / E - 1",
        "0.9 and more",
        (0.9, math.inf),
        _at_published_exit(_gain_share),
        "share",
    ),
    Claim(
        "exits-need-training",
        "v1",
        "Exit loss and layer dropout make early exits cheaper",
        "1.044 with, 1.26 without",
        "what that exit costs V1 over what it costs the same model of phase 1",
        "below 1",
        _BELOW,
        _exits_learn,
    ),
    Claim(
        "fake-quantization-is-slower",
        "v1",
        "As published, a quantized model decodes slower than the full-precision one",
        "32.0 against 97.8 tokens/s: ratio 0.33",
        "decoded tokens/s of V1 over the baseline's",
        "below 1",
        _BELOW,
        _decoding_speed,
    ),
    Claim(
        "hadamard-alone-helps",
        "v2",
        "Without early exit, Hadamard improves perplexity",
        "19 % better: ratio 0.81",
        "perplexity of 8 bits with Hadamard over without, phase 1",
        "below 1",
        _BELOW,
        _ratio({"bits": 8, "hadamard": True}, {"bits": 8}),
    ),
    Claim(
        "exits-reverse-hadamard",
        "v2",
        "With early exit, Hadamard makes it worse",
        "the sign of the effect reverses",
        "perplexity of 8 bits with Hadamard over without, both with exit loss",
        "above 1",
        _ABOVE,
        _ratio({"bits": 8, "hadamard": True, **_EXITS}, {"bits": 8, **_EXITS}),
    ),
    Claim(
        "gradients-interfere",
        "v2",
        "The gradients of exit loss and main loss interfere in the shared head",
        "a conjecture, not measured",
        "cosine between the two gradients in the head of V3 after training",
        "below 0",
        _BELOW,
        _head_cosine,
        "cosine",
    ),
)
"""Both versions' statements that trials can decide. v1 of October 2025, v2 of March 2026."""


def findings(results: Results) -> list[Finding]:
    """Every claim at every scale that can say something to one of them; all of them as not measured if none can."""
    exits, layers = (_by_trial(table.to_pylist()) for table in (results.exits, results.layers))
    scales = [_Scale(stratum, exits, layers) for stratum in strata(results)]
    found = [[_finding(claim, scale) for claim in CLAIMS] for scale in scales]
    telling = [rows for rows in found if any(row.verdict != NOT_MEASURED for row in rows)]
    telling = [rows for rows in telling if any(row.seeds > 1 for row in rows)] or telling
    return [row for rows in telling or found[:1] for row in rows]


def _finding(claim: Claim, scale: _Scale) -> Finding:
    facts = (claim.name, claim.version, claim.statement, claim.published, claim.quantity, claim.holds)
    measured = claim.measure(scale)
    if measured is None:
        return Finding(*facts, scale.stratum.label, claim.unit, NOT_MEASURED)
    shown = math.exp if claim.unit == "ratio" else float
    value, low, high = (None if v is None else shown(v) for v in (measured.value, measured.low, measured.high))
    verdict = _verdict(measured, claim.region)
    return Finding(
        *facts,
        scale.stratum.label,
        claim.unit,
        verdict,
        value,
        low,
        high,
        measured.seeds,
        measured.trials,
        measured.note,
    )


def _verdict(measured: Measured, region: tuple[float, float]) -> str:
    if measured.low is None or measured.high is None:
        return UNRESOLVED
    if region[0] <= measured.low and measured.high <= region[1]:
        return SUPPORTED
    return CONTRADICTED if measured.high < region[0] or measured.low > region[1] else UNRESOLVED


def _by_trial(rows: Sequence[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["trial_id"], []).append(row)
    return grouped
