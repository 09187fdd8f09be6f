"""Finished trials as cells of a factorial design: techniques, sizes, strata, seeds (docs/effects.md, Words).

A *factor* is one technique, that is the axes that switch it and those that only matter once it is on, or a size: the
model, the tokens. A *cell* is a level for every factor, with one trial per seed. A *stratum* holds the cells that
differ in techniques only; effects are computed inside a stratum. A *family* holds the strata that differ in size only;
the predictor learns from all of one. An axis that a sweep has *tuned*, that is chosen by configuration as a learning
rate for each precision, belongs to the cell and not to the scale.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bitskip.errors import UserError, nearest
from bitskip.trial.config import AXES, RECIPE_AXES, UNQUANTIZED_BITS, ModelConfig, model_label

if TYPE_CHECKING:
    from bitskip.store.tables import Results

Row = Mapping[str, Any]
Level = tuple[Any, ...]
Levels = tuple[Level, ...]

_PREFIXES: dict[str, tuple[str, ...]] = {
    "bits": ("bits", "first_bits", "activation_scale", "weights"),
    "hadamard": ("hadamard",),
    "dropout": ("dropout",),
    "exit_weight": ("exit_",),
    "phase": ("phase",),
}
"""Technique, named after the axis that switches it, to what the names of its axes begin with."""


def _techniques() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    grouped: set[str] = set()
    method = [name for name, entry in AXES.items() if entry.group == "method"]
    for leader, prefixes in _PREFIXES.items():
        members = [name for name in method if name.startswith(prefixes) and name != leader]
        found[leader] = (leader, *members)
        grouped |= {leader, *members}
    alone = [name for name, entry in AXES.items() if entry.group in ("method", "artefacts") and name not in grouped]
    return found | {name: (name,) for name in alone}


TECHNIQUES: dict[str, tuple[str, ...]] = _techniques()
"""Technique to its axes, the one that switches it first. A method axis added to config becomes a technique."""

SIZES: dict[str, tuple[str, ...]] = {
    "model": tuple(name for name, entry in AXES.items() if entry.group == "model"),
    "tokens": ("tokens",),
}
"""What a scaling law is about: factors of the predictor, constant inside a stratum."""

FACTORS: dict[str, tuple[str, ...]] = TECHNIQUES | SIZES
INDEX: dict[str, int] = {name: position for position, name in enumerate(FACTORS)}
"""Where a factor's level stands in `Levels`."""

METHOD_AXES: tuple[str, ...] = tuple(name for members in TECHNIQUES.values() for name in members)
SIZE_AXES: tuple[str, ...] = tuple(name for members in SIZES.values() for name in members)
SCALE_AXES: tuple[str, ...] = tuple(name for name in AXES if name not in METHOD_AXES and name != "seed")

TUNED = "tuned"
"""What stands for the value of a tuned axis where scales are compared and named."""

FAILED = ("stalled", "diverged")
"""Results of training that carry no comparable loss: counted, never averaged."""


@dataclass(frozen=True)
class Metric:
    """How a trial's or an exit's row is read on the scale where effects add up, and shown in its own unit.

    `margin` is the equivalence margin on the additive scale: effects smaller than it do not matter. `logarithmic` says
    that the additive scale is the natural logarithm of the shown one.
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


def metric_named(name: str) -> Metric:
    """The metric, or UserError with the known ones."""
    if name not in METRICS:
        known = ", ".join(METRICS)
        raise UserError(f"unknown metric '{name}'{nearest(name, METRICS)} (one of {known})")
    return METRICS[name]


@dataclass(frozen=True)
class Cell:
    """One configuration of a stratum: a level per factor (in the order of FACTORS) and its trials, one per seed.

    `recipe` maps the stratum's tuned axes to their values here.
    """

    levels: Levels
    rows: tuple[Row, ...]
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def values(self, metric: Metric) -> dict[int, float]:
        """Finished trials' values on the additive scale by seed."""
        read = {row["seed"]: metric.read(row) for row in self.rows if row["status"] == "ok"}
        return {seed: float(v) for seed, v in read.items() if v is not None and math.isfinite(v)}

    def count(self, *statuses: str) -> int:
        return sum(row["status"] in statuses for row in self.rows)


@dataclass(frozen=True)
class Stratum:
    """Cells at one scale. `scale` maps every axis that is no technique to its value; `baseline` is the anchor.

    Of axes that were `tuned`, `scale` has the value TUNED, and each cell its own.
    """

    label: str
    scale: Mapping[str, Any]
    cells: tuple[Cell, ...]
    baseline: Levels

    @property
    def tuned(self) -> tuple[str, ...]:
        return tuned_axes(self.scale)

    def settings(self, levels: Levels) -> dict[str, Any]:
        """A value of every axis that is no technique, at a configuration.

        Those of tuned axes are its own, or those of the most similar one that was run: precision comes first and
        rotation next, which learning rates are tuned for.
        """

        def distance(cell: Cell) -> tuple[bool, bool, int, str]:
            apart = [mine != its for mine, its in zip(cell.levels, levels, strict=True)]
            return apart[INDEX["bits"]], apart[INDEX["hadamard"]], sum(apart), repr(cell.levels)

        return dict(self.scale) | (dict(min(self.cells, key=distance).recipe) if self.tuned else {})

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
        return varying([cell.levels for cell in self.cells])


def tuned_axes(scale: Mapping[str, Any]) -> tuple[str, ...]:
    """The axes that a scale leaves to its cells."""
    return tuple(name for name in RECIPE_AXES if scale.get(name) == TUNED)


def varying(cells: Sequence[Levels]) -> list[str]:
    """Factors with more than one level among cells."""
    return [name for name, index in INDEX.items() if len({levels[index] for levels in cells}) > 1]


@dataclass(frozen=True)
class Family:
    """Strata that differ in size only, the largest first. `scale` maps the axes that they share to their values."""

    strata: tuple[Stratum, ...]

    @property
    def scale(self) -> Mapping[str, Any]:
        return {name: value for name, value in self.strata[0].scale.items() if name not in SIZE_AXES}

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(cell for stratum in self.strata for cell in stratum.cells)

    @property
    def label(self) -> str:
        first, *others = self.strata
        return first.label + (f" and {len(others)} other sizes" if others else "")


def families(found: Sequence[Stratum]) -> list[Family]:
    """Strata that differ in size only together; order is kept."""
    grouped: dict[tuple[Any, ...], list[Stratum]] = {}
    for stratum in found:
        key = tuple((name, value) for name, value in stratum.scale.items() if name not in (*SIZE_AXES, "data.files"))
        grouped.setdefault(key, []).append(stratum)
    return [Family(tuple(members)) for members in grouped.values()]


def levels_of(axes: Mapping[str, Any]) -> Levels:
    """A level per factor of a canonical configuration, by flat axis names or by the columns of a results row."""

    def value(name: str) -> Any:
        found = axes.get(name, axes.get(name.replace(".", "_")))
        found = AXES[name].default if found is None else found
        # Phase 1 is what phase 2 becomes once dropout and exit loss are off: no choice of its own.
        return "2" if name == "phase" and found == "1" else tuple(found) if isinstance(found, list) else found

    return tuple(tuple(value(name) for name in members) for members in FACTORS.values())


def axes_of(levels: Levels) -> dict[str, Any]:
    """The axes behind the levels; `make_trial` turns them into canonical form."""
    pairs = zip(FACTORS.values(), levels, strict=True)
    return {name: value for members, level in pairs for name, value in zip(members, level, strict=True)}


def idle(levels: Levels) -> bool:
    """Whether the phase changes nothing here: without dropout and exit loss, phases 2 and 1+2 are phase 1."""
    return bool(levels[INDEX["dropout"]][0] == "none" and levels[INDEX["exit_weight"]][0] == 0.0)


def inert(levels: Levels) -> Levels:
    """The levels with the phase reset where it is idle."""
    return with_level(levels, "phase", NEUTRAL[INDEX["phase"]]) if idle(levels) else levels


def with_level(levels: Levels, factor: str, level: Level) -> Levels:
    """The levels with one factor changed."""
    index = INDEX[factor]
    return (*levels[:index], level, *levels[index + 1 :])


NEUTRAL: Levels = levels_of({})
"""Every technique off."""


def level_label(factor: str, level: Level) -> str:
    """Short name of a level: `bits 4`, `dropout quadratic 0.5`; nested axes only where they say something."""
    if factor == "model":
        return f"model {model_label(ModelConfig(*level))}"
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
        scale |= dict.fromkeys(_tuned(row), TUNED)
        # Text is known by its content: the same files elsewhere are the same data.
        identity = scale | ({"data.files": ()} if scale["data.digest"] else {})
        key = tuple(identity.items())
        scales.setdefault(key, scale)
        grouped.setdefault(key, {}).setdefault(levels_of(row), {})[row["seed"]] = row
    found = []
    for key, cells in grouped.items():
        built = tuple(
            _cell(levels, by_seed, scales[key])
            for levels, by_seed in sorted(cells.items(), key=lambda item: repr(item[0]))
        )
        label = _scale_label(scales[key], list(scales.values()), built[0].rows[0])
        found.append(Stratum(label, scales[key], built, baseline_of(built)))
    return sorted(found, key=lambda s: (-s.finished, -s.trials, s.label))


def _tuned(row: Row) -> list[str]:
    return str(row["tuned"]).split(", ") if row.get("tuned") else []


def _cell(levels: Levels, by_seed: Mapping[int, Row], scale: Mapping[str, Any]) -> Cell:
    """Of tuned axes it has the newest trial's values, and no trials of others: those are of an earlier choice."""
    tuned = tuned_axes(scale)
    newest = max(by_seed.values(), key=lambda row: (str(row.get("started_at") or ""), str(row["trial_id"])))
    recipe = {name: _scale_value(newest, name) for name in tuned}
    kept = {s: row for s, row in by_seed.items() if all(_scale_value(row, name) == recipe[name] for name in tuned)}
    return Cell(levels, tuple(kept[seed] for seed in sorted(kept)), recipe)


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
    alike = [name for name in SCALE_AXES if name.startswith(("model.", "data.")) or name == "tokens"]
    same = [other for other in others if all(other[name] == scale[name] for name in alike)]
    differing = [name for name in SCALE_AXES if len({repr(other[name]) for other in same}) > 1]
    return ", ".join([str(model), str(data), tokens, *(f"{n} {_text(scale[n])}" for n in differing)])


def baseline_of(cells: Sequence[Cell]) -> Levels:
    """The anchor: every technique off, or, where a technique is never off, its most frequent level."""
    chosen = []
    for index, off in enumerate(NEUTRAL):
        counts = Counter(cell.levels[index] for cell in cells)
        frequent = min(counts, key=lambda level: (-counts[level], repr(level)))
        chosen.append(off if off in counts else frequent)
    if NEUTRAL[0] not in {cell.levels[0] for cell in cells}:
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
