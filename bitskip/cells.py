"""Finished trials as cells of a factorial design: comparable strata, techniques, seeds (EFFECTS 2, 3).

A *factor* is one technique: the axes that switch it and those that only matter once it is on. A *cell* is a level for
every factor, with one trial per seed. A *stratum* holds the cells that differ in nothing else: same model, data, tokens
and every other axis that is no technique. Numbers are only ever compared inside a stratum.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bitskip.config import AXES, UNQUANTIZED_BITS

if TYPE_CHECKING:
    from bitskip.results import Results

Row = Mapping[str, Any]
Level = tuple[Any, ...]
Levels = tuple[Level, ...]

_TECHNIQUES: dict[str, tuple[str, ...]] = {
    "bits": ("bits", "weights"),
    "hadamard": ("hadamard",),
    "dropout": ("dropout", "dropout_max", "dropout_norm", "dropout_curriculum"),
    "exit_weight": ("exit_weight", "exit_scale", "exit_curriculum", "exit_head"),
    "phase": ("phase", "phase1_share"),
}
_GROUPED = {name for members in _TECHNIQUES.values() for name in members}

FACTORS: dict[str, tuple[str, ...]] = _TECHNIQUES | {
    name: (name,) for name, entry in AXES.items() if entry.group == "method" and name not in _GROUPED
}
"""Factor to its axes, the one that switches it first. A method axis added to config becomes a factor of its own."""

METHOD_AXES: tuple[str, ...] = tuple(name for members in FACTORS.values() for name in members)
SCALE_AXES: tuple[str, ...] = tuple(name for name in AXES if name not in METHOD_AXES and name != "seed")

FAILED = ("stalled", "diverged")
"""Results of training that carry no comparable loss: counted, never averaged (EFFECTS 2.3)."""


@dataclass(frozen=True)
class Metric:
    """How a trial's or an exit's row is read on the scale where effects add up, and shown in its own unit.

    `margin` is the equivalence margin of EFFECTS 2.2 on the additive scale; `logarithmic` says that the additive scale
    is the natural logarithm of the shown one.
    """

    read: Callable[[Row], float | None]
    unit: str
    margin: float
    logarithmic: bool = False

    def show(self, value: float) -> float:
        return math.exp(value) if self.logarithmic else value


def _log_perplexity(row: Row) -> float | None:
    if row.get("loss") is not None:
        return float(row["loss"])
    return math.log(row["ppl"]) if row.get("ppl") else None


def _speed_gain(row: Row) -> float | None:
    gain: float | None = row.get("speed_gain", row.get("best_exit_speed_gain"))
    return gain


METRICS: dict[str, Metric] = {
    "ppl": Metric(_log_perplexity, "nats", math.log(1.02), logarithmic=True),
    "bpb": Metric(lambda row: row.get("bpb"), "bits per byte", 0.01),
    "speed_gain": Metric(_speed_gain, "share of the full model's speed", 0.02),
}
"""Metric by name; a new one is a new entry. The speed gain of a whole trial is that of its best exit."""


@dataclass(frozen=True)
class Cell:
    """One configuration of a stratum: a level per factor (in the order of FACTORS) and its trials, one per seed."""

    levels: Levels
    rows: tuple[Row, ...]

    def values(self, metric: Metric) -> dict[int, float]:
        """Finished trials' values on the additive scale by seed."""
        read = {row["seed"]: metric.read(row) for row in self.rows if row["status"] == "ok"}
        return {seed: float(v) for seed, v in read.items() if v is not None and math.isfinite(v)}

    def count(self, *statuses: str) -> int:
        return sum(row["status"] in statuses for row in self.rows)

    def axes(self) -> dict[str, Any]:
        return {name: self.rows[0].get(name, AXES[name].default) for name in METHOD_AXES}


@dataclass(frozen=True)
class Stratum:
    """Cells at one scale. `scale` maps every axis that is no technique to its value; `baseline` is the anchor."""

    label: str
    scale: Mapping[str, Any]
    cells: tuple[Cell, ...]
    baseline: Levels

    @property
    def trials(self) -> int:
        return sum(len(cell.rows) for cell in self.cells)

    @property
    def finished(self) -> int:
        return sum(cell.count("ok") for cell in self.cells)

    def cell(self, levels: Levels) -> Cell | None:
        return next((cell for cell in self.cells if cell.levels == levels), None)

    def varying(self) -> list[str]:
        """Factors with more than one level."""
        return [name for index, name in enumerate(FACTORS) if len({cell.levels[index] for cell in self.cells}) > 1]


def levels_of(axes: Mapping[str, Any]) -> Levels:
    """A level per factor of a canonical configuration, given by flat axis names."""
    return tuple(
        tuple(_neutral_phase(name, axes.get(name, AXES[name].default)) for name in members)
        for members in FACTORS.values()
    )


def _neutral_phase(name: str, value: Any) -> Any:
    # Phase 1 is what phase 2 becomes once dropout and exit loss are off: no choice of its own.
    if name == "phase" and value == "1":
        return "2"
    return tuple(value) if isinstance(value, list) else value


def axes_of(levels: Levels) -> dict[str, Any]:
    """The axes behind the levels; `make_trial` turns them into canonical form."""
    pairs = zip(FACTORS.values(), levels, strict=True)
    return {name: value for members, level in pairs for name, value in zip(members, level, strict=True)}


def inert(levels: Levels) -> Levels:
    """The levels with the phase reset where it trains nothing different: no dropout, no exit loss (DESIGN 3)."""
    axes = axes_of(levels)
    if axes["dropout"] == "none" and axes["exit_weight"] == 0.0:
        axes |= {"phase": "2", "phase1_share": AXES["phase1_share"].default}
    return levels_of(axes)


def with_level(levels: Levels, factor: str, level: Level) -> Levels:
    """The levels with one factor changed."""
    index = list(FACTORS).index(factor)
    return (*levels[:index], level, *levels[index + 1 :])


def level_label(factor: str, level: Level) -> str:
    """Short name of a level: `bits 4`, `dropout quadratic 0.5`; nested axes only where they say something."""
    settings = dict(zip(FACTORS[factor], level, strict=True))
    expected = {name: AXES[name].default for name in settings}
    if factor == "bits":
        expected["weights"] = "ternary" if settings["bits"] < UNQUANTIZED_BITS else "full"
    if settings.get("dropout", "none") != "none":
        expected["dropout_max"] = None
    extras = [_text(v) for name, v in list(settings.items())[1:] if v != expected[name]]
    return " ".join([factor, _text(level[0]), *extras])


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def cell_label(levels: Levels, baseline: Levels) -> str:
    """What a cell changes against the baseline."""
    changed = [
        level_label(factor, level)
        for factor, level, reference in zip(FACTORS, levels, baseline, strict=True)
        if level != reference
    ]
    return " + ".join(changed) or "baseline"


def strata(results: Results, *, exit_layer: int | None = None, include_artefacts: bool = False) -> list[Stratum]:
    """Comparable trials together, the stratum with most finished trials first.

    With `exit_layer`, the measures of that exit replace those of the full model. Rows of trials that carry an artefact
    are left out unless asked for. The same configuration and seed stored twice (another version of the method) counts
    once, the newest.
    """
    rows = [row for row in results.trials.to_pylist() if include_artefacts or not row.get("artefact")]
    if exit_layer is not None:
        rows = _at_exit(rows, results, exit_layer)
    grouped: dict[tuple[Any, ...], dict[Levels, dict[int, Row]]] = {}
    scales: dict[tuple[Any, ...], dict[str, Any]] = {}
    rows.sort(key=lambda row: (str(row.get("started_at") or ""), str(row["trial_id"])))
    for row in rows:
        scale = {name: _scale_value(row, name) for name in SCALE_AXES}
        # Text is known by its content: the same files elsewhere are the same data.
        identity = scale | ({"data.files": ()} if scale["data.digest"] else {})
        key = tuple(identity.items())
        scales.setdefault(key, scale)
        grouped.setdefault(key, {}).setdefault(levels_of(row), {})[row["seed"]] = row
    found = []
    for key, cells in grouped.items():
        built = tuple(
            Cell(levels, tuple(by_seed[seed] for seed in sorted(by_seed)))
            for levels, by_seed in sorted(cells.items(), key=lambda item: repr(item[0]))
        )
        label = _scale_label(scales[key], list(scales.values()), built[0].rows[0])
        found.append(Stratum(label, scales[key], built, _baseline(built)))
    return sorted(found, key=lambda s: (-s.finished, -s.trials, s.label))


def _at_exit(rows: Sequence[Row], results: Results, exit_layer: int) -> list[Row]:
    unknown = dict.fromkeys(("loss", "ppl", "bpb", "speed_gain"))
    at_exit = {row["trial_id"]: row for row in results.exits.to_pylist() if row["exit_layer"] == exit_layer}
    return [{**row, **at_exit.get(row["trial_id"], unknown)} for row in rows]


def _scale_value(row: Row, axis: str) -> Any:
    value = row.get(axis.replace(".", "_"))
    if value is None:
        return AXES[axis].default
    return tuple(value) if isinstance(value, list) else value


def _scale_label(scale: Mapping[str, Any], others: Sequence[Mapping[str, Any]], row: Row) -> str:
    model = row.get("model") or f"{scale['model.layers']}x{scale['model.width']}"
    data = row.get("data") or scale["data.corpus"]
    tokens = f"{scale['tokens']:,} tokens".replace(",", " ")
    named = {"model", "data", "tokens", "data.files", "data.corpus", "data.digest"}
    differing = [
        name
        for name in SCALE_AXES
        if name not in named and not name.startswith("model.") and len({repr(other[name]) for other in others}) > 1
    ]
    return ", ".join([str(model), str(data), tokens, *(f"{n} {_text(scale[n])}" for n in differing)])


def _baseline(cells: Sequence[Cell]) -> Levels:
    """The anchor of EFFECTS 2.1: every technique off, or, where a technique is never off, its most frequent level."""
    neutral = levels_of({})
    chosen = []
    for index, off in enumerate(neutral):
        counts = Counter(cell.levels[index] for cell in cells)
        frequent = min(counts, key=lambda level: (-counts[level], repr(level)))
        chosen.append(off if off in counts else frequent)
    if neutral[0] not in {cell.levels[0] for cell in cells}:
        # No unquantized cell: the finest precision is the reference, not the most frequent one.
        chosen[0] = max((cell.levels[0] for cell in cells), key=lambda level: (level[0], repr(level)))
    return tuple(chosen)


def as_plain(value: Any) -> Any:
    """A dataclass, tuple or mapping as JSON-ready plain data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    return value
