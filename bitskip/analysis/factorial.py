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
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bitskip.analysis.design_matrix import Array
from bitskip.analysis.evaluated import evaluated_pieces
from bitskip.analysis.levels import FACTORS, INDEX, NEUTRAL, TECHNIQUES, Levels, levels_of, scale_axes, size_axes
from bitskip.analysis.metrics import SEQUENCES as SEQUENCES
from bitskip.analysis.metrics import Metric, Row, usual_metric
from bitskip.store.schema import Status
from bitskip.techniques import registry
from bitskip.techniques.base import plain
from bitskip.trial.config import AXES, PLACES, RECIPE_AXES, DataConfig, ModelConfig, data_label, model_label
from bitskip.trial.parts import NOT_KNOWN

if TYPE_CHECKING:
    import pyarrow as pa

    from bitskip.store.tables import Results

FEWEST_RATES = 3
"""Values of a recipe's axis that make a search."""

TUNED = "tuned"
"""What stands for the value of a tuned axis where scales are compared and named."""


@dataclass(frozen=True)
class Cell:
    """One configuration of a stratum: a level per factor (in the order of FACTORS) and its trials, one per seed.

    `recipe` maps the stratum's tuned axes to their values here. `search` are trials of the seeds that chose the recipe:
    they count nowhere but in the search itself, because what was chosen on them looks better there than it is.
    """

    levels: Levels
    rows: tuple[Row, ...]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    search: tuple[Row, ...] = ()

    def values(self, metric: Metric) -> dict[int, float]:
        """Finished trials' values on the additive scale by seed."""
        return _values(self.rows, metric)

    def searched(self, metric: Metric) -> dict[int, float]:
        """Those of the seeds that chose the recipe."""
        return _values(self.search, metric)

    def sequences(self, metric: Metric) -> dict[int, Array]:
        """Finished trials' values on every piece of what the metric is the mean of, by seed; none where it has none."""
        finished = (row for row in self.rows if row["status"] == Status.OK)
        return {row["seed"]: found for row in finished if (found := metric.blocks(row)) is not None}

    def above(self, line: str) -> float | None:
        """Mean over finished trials of loss less what counting achieves, such as `bigram_loss`; None if not known."""
        rows = [row for row in self.rows if row["status"] == Status.OK]
        over = [row["loss"] - row[line] for row in rows if None not in (row.get("loss"), row.get(line))]
        return statistics.fmean(over) if over else None

    @property
    def below_counting(self) -> bool:
        """Whether its loss is not below that of bigrams; one that is not known is no reason to say so."""
        over = self.above("bigram_loss")
        return over is not None and over >= 0

    def count(self, *statuses: str) -> int:
        return sum(row["status"] in statuses for row in self.rows)


def _values(rows: Sequence[Row], metric: Metric) -> dict[int, float]:
    read = {row["seed"]: metric.read(row) for row in rows if row["status"] == Status.OK}
    return {seed: float(v) for seed, v in read.items() if v is not None and math.isfinite(v)}


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

    @property
    def metric(self) -> str:
        """What its trials are judged by where no metric is named."""
        return usual_metric(row for cell in self.cells for row in cell.rows)

    def settings(self, levels: Levels) -> dict[str, Any]:
        """A value of every axis that is no technique, at a configuration.

        Those of tuned axes are its own, or those of the most similar one that was run: precision comes first and
        rotation next: the first two factors, which learning rates are tuned for.
        """

        def distance(cell: Cell) -> tuple[bool, bool, int, str]:
            apart = [mine != its for mine, its in zip(cell.levels, levels, strict=True)]
            return apart[0], apart[1], sum(apart), repr(cell.levels)

        return dict(self.scale) | (dict(min(self.cells, key=distance).recipe) if self.tuned else {})

    @property
    def trained(self) -> bool:
        """Whether its trials learned anything: else every seed has the same values, and no chance but the text's."""
        return bool(self.scale.get("training") != "none")

    @property
    def trials(self) -> int:
        return sum(len(cell.rows) for cell in self.cells)

    @property
    def finished(self) -> int:
        return sum(cell.count(Status.OK) for cell in self.cells)

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
        return {name: value for name, value in self.strata[0].scale.items() if name not in size_axes()}

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
        key = tuple(
            (name, value)
            for name, value in _by_content(stratum.scale).items()
            if name not in (*size_axes(), "data.files")
        )
        grouped.setdefault(key, []).append(stratum)
    return [Family(tuple(members)) for members in grouped.values()]


def strata(results: Results, *, exit_layer: int | None = None, include_artefacts: bool = False) -> list[Stratum]:
    """Comparable trials together, the stratum with most finished trials first.

    With `exit_layer`, the measures of that exit replace those of the full model. Rows of trials that carry an artefact
    are left out unless asked for. The same configuration and seed stored twice (another version of the method) counts
    once, the newest. Trials of seeds that chose a recipe stand apart in their cells (`Cell.search`).
    """
    rows = [row for row in results.trials.to_pylist() if include_artefacts or not row.get("artefact")]
    if exit_layer is not None:
        rows = _at_exit(rows, results, exit_layer)
    sequences = sequence_losses(results.exits, exit_layer)
    rows = [{**row, SEQUENCES: sequences.get(row["trial_id"])} for row in rows] if sequences else rows
    if len(results.evaluations):
        pieces = evaluated_pieces(results.evaluations, exit_layer)
        rows = [row | pieces.get(row["trial_id"], {}) for row in rows]
    grouped: dict[tuple[Any, ...], dict[Levels, dict[int, Row]]] = {}
    scales: dict[tuple[Any, ...], dict[str, Any]] = {}
    rows.sort(key=lambda row: (str(row.get("started_at") or ""), str(row["trial_id"])))
    for row in rows:
        scale = {name: _scale_value(row, name) for name in scale_axes()}
        scale |= dict.fromkeys(_tuned(row), TUNED)
        key = tuple(_by_content(scale).items())
        scales.setdefault(key, scale)
        grouped.setdefault(key, {}).setdefault(levels_of(row), {})[row["seed"]] = row
    scanned = _scanned(grouped, scales)
    found = []
    for key, cells in grouped.items():
        chose = _choosers(cells, scanned)
        built = tuple(
            _cell(levels, by_seed, scales[key], chose)
            for levels, by_seed in sorted(cells.items(), key=lambda item: repr(item[0]))
        )
        built = tuple(cell for cell in built if cell.rows)
        label = _scale_label(scales[key], list(scales.values()), built[0].rows[0])
        found.append(Stratum(label, scales[key], built, baseline_of(built)))
    return sorted(found, key=lambda s: (-s.finished, -s.trials, s.label))


def _by_content(scale: Mapping[str, Any]) -> dict[str, Any]:
    """The scale without where text and tokenizer lie: the same files elsewhere are the same data."""
    return {**scale, **{place: () for digest, place in PLACES.items() if scale[digest]}}


def _tuned(row: Row) -> list[str]:
    return str(row["tuned"]).split(", ") if row.get("tuned") else []


def _scanned(
    grouped: Mapping[tuple[Any, ...], Mapping[Levels, Mapping[int, Row]]],
    scales: Mapping[tuple[Any, ...], Mapping[str, Any]],
) -> set[str]:
    """Ids of trials that were run at FEWEST_RATES or more values of the recipe, all else and the seed alike."""
    runs: dict[tuple[Any, ...], dict[str, str]] = {}
    for key, cells in grouped.items():
        alike = tuple(item for item in _by_content(scales[key]).items() if item[0] not in RECIPE_AXES)
        for levels, by_seed in cells.items():
            for seed, row in by_seed.items():
                recipe = repr([_scale_value(row, name) for name in RECIPE_AXES])
                runs.setdefault((alike, levels, seed), {})[row["trial_id"]] = recipe
    return {trial for found in runs.values() if len(set(found.values())) >= FEWEST_RATES for trial in found}


def _choosers(cells: Mapping[Levels, Mapping[int, Row]], scanned: set[str]) -> set[int]:
    """Seeds that were only run in a search, where others were not: the search chose the recipe that others use."""
    own = {seed for by_seed in cells.values() for seed, row in by_seed.items() if row["trial_id"] not in scanned}
    return {seed for by_seed in cells.values() for seed in by_seed} - own if own else set()


def _cell(levels: Levels, by_seed: Mapping[int, Row], scale: Mapping[str, Any], chose: set[int]) -> Cell:
    """Of tuned axes it has the newest trial's values, and no trials of others: those are of an earlier choice."""
    tuned = tuned_axes(scale)
    newest = max(by_seed.values(), key=lambda row: (str(row.get("started_at") or ""), str(row["trial_id"])))
    recipe = {name: _scale_value(newest, name) for name in tuned}
    kept = {s: row for s, row in by_seed.items() if all(_scale_value(row, name) == recipe[name] for name in tuned)}
    rows, search = (tuple(kept[s] for s in sorted(kept) if (s in chose) is searching) for searching in (False, True))
    return Cell(levels, rows, recipe, search)


def sequence_losses(exits: pa.Table, exit_layer: int | None = None) -> dict[str, Array]:
    """trial_id to the losses by held-out sequence at that exit, or of the full model, where they were kept."""
    if SEQUENCES not in exits.schema.names:
        return {}
    here = zip(
        *(exits[name].to_pylist() for name in ("trial_id", "exit_layer", "depth")), exits[SEQUENCES], strict=True
    )
    return {
        trial_id: losses.values.to_numpy(zero_copy_only=False).astype(float)
        for trial_id, layer, depth, losses in here
        if layer == (exit_layer or depth) and losses.is_valid
    }


def _at_exit(rows: Sequence[Row], results: Results, exit_layer: int) -> list[Row]:
    unknown = dict.fromkeys(("loss", "ppl", "bpb", "speed_gain"))
    exits = results.exits.select([name for name in results.exits.schema.names if name != SEQUENCES])
    at_exit = {row["trial_id"]: row for row in exits.to_pylist() if row["exit_layer"] == exit_layer}
    return [{**row, **at_exit.get(row["trial_id"], unknown)} for row in rows]


def _scale_value(row: Row, axis: str) -> Any:
    value = row.get(axis.replace(".", "_"))
    if value is None:
        return AXES[axis].neutral
    return tuple(value) if isinstance(value, list) else value


def _scale_label(scale: Mapping[str, Any], others: Sequence[Mapping[str, Any]], row: Row) -> str:
    model = row.get("model") or f"{scale['model.layers']}x{scale['model.width']}"
    data = row.get("data") or scale["data.corpus"]
    tokens = f"{scale['tokens']:,} tokens".replace(",", " ")
    same = [other for other in others if _in_words(other) == _in_words(scale)]
    # Files under other names are other words already, and the same text under another name is no other text.
    differing = [n for n in scale_axes() if n != "data.files" and len({repr(other[n]) for other in same}) > 1]
    told = [str(model), str(data), tokens]
    if scale["model.parameters"] and scale["tokens"] == NOT_KNOWN:
        told = [str(data)]
    return ", ".join([*told, *(f"{n} {_short(n, scale[n])}" for n in differing)])


def _in_words(scale: Mapping[str, Any]) -> tuple[str, str, int]:
    """What every label of a scale says."""

    def settings(group: str) -> dict[str, Any]:
        return {name.partition(".")[2]: value for name, value in scale.items() if name.startswith(f"{group}.")}

    return model_label(ModelConfig(**settings("model"))), data_label(DataConfig(**settings("data"))), scale["tokens"]


def _short(axis: str, value: Any) -> str:
    """A value in a label: of a digest, as much as tells two apart."""
    return plain(value[:8] if axis == "data.digest" else value)


def baseline_of(cells: Sequence[Cell]) -> Levels:
    """The anchor: every technique off, or, where a technique is never off, its reference or most frequent level."""
    chosen = []
    for index, (factor, off) in enumerate(zip(FACTORS, NEUTRAL.values(), strict=True)):
        counts = Counter(cell.levels[index] for cell in cells)
        frequent = min(counts, key=lambda level: (-counts[level], repr(level)))
        reference = registry.leader(factor).reference(counts) if factor in TECHNIQUES else None
        chosen.append(off if off in counts else reference or frequent)
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
