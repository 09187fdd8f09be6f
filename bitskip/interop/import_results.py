"""Results from elsewhere: a table of runs becomes a results folder, its columns factors (docs/import.md)."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bitskip.atomic_file import write_atomically
from bitskip.errors import UserError, nearest
from bitskip.interop.tables import PREFIXES, Cell, Table, missing, read_table
from bitskip.store.filesystem import publish_design, shown
from bitskip.store.folder import SweepFolder
from bitskip.store.foreign_metric import BOUNDS, Measure, declare_measure
from bitskip.store.save import save_results
from bitskip.store.schema import COMMIT_TABLE, Status, columns
from bitskip.store.tables import holds_rows
from bitskip.techniques.base import plain
from bitskip.techniques.free_factors import Factor, Value, tidy
from bitskip.techniques.registry import declare_factors, free_factors
from bitskip.trial.config import axis_names
from bitskip.trial.parts import NOT_KNOWN

OFF = ("none", "off", "no", "false", "baseline", "base", "default", "vanilla", "-")
"""Names that a technique's absence goes by, the first one counts."""

FEWEST_NAMES = 8
"""From so many values on, a column with another one in each row names the runs instead of what was run."""


@dataclass(frozen=True)
class Imported:
    """What was stored where: the measure, factors with their levels, axes of bitskip, the columns left out."""

    folder: Path
    rows: int
    failed: int
    measure: Measure
    seeds: int
    factors: Mapping[Factor, Sequence[Value]]
    axes: Mapping[str, Sequence[Value]]
    left_out: Mapping[str, str]


def import_results(
    file: Path,
    results: Path,
    metric: str,
    *,
    seed: str | None = None,
    mapping: Mapping[str, str] | None = None,
    only: Sequence[str] | None = None,
    baselines: Mapping[str, str] | None = None,
    unit: str | None = None,
    higher_is_better: bool = False,
    name: str | None = None,
) -> Imported:
    """Store a table of runs, a row each, as `results/NAME`, which all that reads results reads.

    `metric` and `seed` are columns; `mapping` renames others to factors or to axes of bitskip, `only` names the columns
    that are factors (all others are not), `baselines` maps factors to the level that effects count from. `unit` is the
    metric's: of a loss nats (by default) or bits per token, or perplexity; of anything else share, percent, positive or
    number, by default the first that its numbers fit where `higher_is_better`. A row without a number in `metric` is a
    failed training.
    Raises UserError, naming column or row, for what cannot be imported; nothing is stored then.
    """
    table = read_table(file)
    metric = table.column(metric, "--metric")
    unit = unit or (_fitting(metric, [row[metric] for row in table.rows]) if higher_is_better else "nats")
    measure = Measure.read(_bare(metric), unit, higher_is_better, "--unit")
    seed = None if seed is None else table.column(seed, "--seed")
    folder = results / _name_of(name or file.stem)
    if holds_rows(folder) or SweepFolder(folder).design.exists():
        raise UserError(f"{shown(folder)}: there are results already; remove that folder, or choose another --name")
    names, left_out = _chosen(table, {metric, seed}, mapping or {}, only)
    levels: dict[str, list[Any]] = {axis: _levels(table, column) for column, axis in names.items()}
    factors = _factors(names, levels, baselines or {})
    for axis, factor in factors.items():
        levels[axis] = [factor.baseline if missing(value) else _as_kind(value, factor) for value in levels[axis]]
    for axis in levels.keys() - factors.keys():
        _refuse_gaps(axis, levels[axis], "fill it in")
    seeds = _seeds(table, seed)
    _refuse_twins(levels, seeds, seed)
    scale = _scale(levels, folder.name)
    declare_factors(factors.values())
    declare_measure(measure)
    outcomes = [_measured(number, row[metric], measure) for number, row in enumerate(table.rows, start=1)]
    rows = [
        {**scale, **{axis: own[at] for axis, own in levels.items()}, "seed": seeds[at], **found}
        for at, found in enumerate(outcomes)
    ]
    _store(rows, folder, _design(folder.name, table, measure, factors, levels, scale, seeds))
    values = {axis: sorted(set(own), key=lambda value: (isinstance(value, str), value)) for axis, own in levels.items()}
    return Imported(
        folder=folder,
        rows=len(rows),
        failed=sum(row["status"] != Status.OK for row in rows),
        measure=measure,
        seeds=len(set(seeds)),
        factors={factor: values[axis] for axis, factor in factors.items()},
        axes={axis: own for axis, own in values.items() if axis not in factors},
        left_out=left_out,
    )


def _name_of(text: str) -> str:
    """A sweep's name made of any text."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-.") or "imported"


def _chosen(
    table: Table, taken: set[str | None], mapping: Mapping[str, str], only: Sequence[str] | None
) -> tuple[dict[str, str], dict[str, str]]:
    """(column to axis, column to why it is left out)."""
    mapped = {table.column(column, "--map"): axis for column, axis in mapping.items()}
    asked = {table.column(column, "--columns") for column in only or ()} | mapped.keys()
    candidates = [c for c in table.columns if c in asked] if only else [*dict.fromkeys([*table.settings(), *asked])]
    names: dict[str, str] = {}
    left_out = {name: "tells of the run" for name in table.columns if name not in {*candidates, *taken}}
    for column in candidates:
        if column in taken:
            if column in asked:
                raise UserError(f"column '{column}' is the metric or the seed, and no axis: leave it out")
            continue
        axis = mapped.get(column) or _axis_name(column)
        values = {repr(row[column]) for row in table.rows}
        if len(values) == 1 and axis not in axis_names():
            if column in asked:
                raise UserError(f"column '{column}' has one value, {next(iter(values))}, in all rows: it is no factor")
            left_out[column] = "constant"
            continue
        if len(values) == len(table.rows) >= FEWEST_NAMES and column not in asked:
            raise UserError(
                f"column '{column}' has another value in every row: if it names the runs, or is a measurement, say "
                "which columns are factors with --columns A,B,…"
            )
        _check_axis(column, axis, names, mapped=column in mapped)
        names[column] = axis
    if not names:
        raise UserError(f"{table.path}: no column but the metric and the seed varies, so there is nothing to compare")
    return names, left_out


def _axis_name(column: str) -> str:
    """`lora_rank` for `params.lora-rank`, `delay` for `delay (ms)`."""
    name = re.sub(r"\W+", "_", re.sub(UNIT, "", _bare(column)), flags=re.ASCII).strip("_")
    return name if name[:1].isalpha() else f"x_{name}"


def _bare(column: str) -> str:
    """`val_accuracy` for `metrics.val_accuracy`."""
    return next((column.removeprefix(prefix) for prefix in PREFIXES if column.startswith(prefix)), column)


UNIT = r"\s*[(\[]([^()\[\]]+)[)\]]\s*$"
"""What stands in brackets behind a column's name."""


def _check_axis(column: str, axis: str, names: Mapping[str, str], *, mapped: bool) -> None:
    if axis in names.values():
        other = next(known for known, own in names.items() if own == axis)
        raise UserError(f"columns '{other}' and '{column}' are both called {axis}; rename one: --map '{column}=NAME'")
    if axis in free_factors():
        return
    if axis in axis_names():
        if not mapped:
            raise UserError(
                f"column '{column}' is called as an axis of bitskip: --map '{column}={axis}' if it is that one, "
                f"--map '{column}=my_{axis.rpartition('.')[2]}' if it is a factor of its own"
            )
        return
    if axis in {each.name for each in columns(COMMIT_TABLE)}:
        raise UserError(f"'{axis}' is a column of bitskip's results: rename it with --map '{column}=my_{axis}'")
    Factor.read(axis, 0)  # refuses what is no name


def _levels(table: Table, column: str) -> list[Cell]:
    """A column's values: all of them numbers or truth values, else names."""
    values = [row[column] for row in table.rows]
    there = [value for value in values if not missing(value)]
    if all(isinstance(value, bool) for value in there) or not any(isinstance(v, bool | str) for v in there):
        return values
    return [value if missing(value) or isinstance(value, str) else plain(value) for value in values]


def _factors(
    names: Mapping[str, str], levels: Mapping[str, Sequence[Cell]], baselines: Mapping[str, str]
) -> dict[str, Factor]:
    """The axes that bitskip knows by name only, with their baselines: as asked, else what looks switched off."""
    found = {}
    known = set(axis_names()) - set(free_factors())
    for asked in baselines:
        if asked not in names.values() or asked in known:
            raise UserError(f"--baseline {asked}: no factor of that name{nearest(asked, set(names.values()) - known)}")
    for column, axis in names.items():
        if axis in known:
            continue
        unit = re.search(UNIT, column)
        there = _present(levels[axis])
        if axis not in baselines:
            _refuse_gaps(axis, levels[axis], f"fill it in, or say what it stands for: --baseline {axis}=VALUE")
        baseline = _asked(axis, baselines[axis], there) if axis in baselines else _usual(there)
        found[axis] = Factor.read(axis, {"baseline": baseline, "unit": unit[1] if unit else ""})
    return found


def _present(values: Iterable[Cell]) -> list[Value]:
    return [value for value in values if value is not None and not missing(value)]


def _asked(axis: str, text: str, there: Sequence[Value]) -> Value:
    """A baseline as the option has it, in the kind of the column."""
    known = {plain(value): value for value in there}
    numeric = not any(isinstance(value, str | bool) for value in there)
    try:
        return known.get(text, float(text) if numeric else text)
    except ValueError:
        raise UserError(f"--baseline {axis}={text}: the column holds numbers") from None


def _usual(there: Sequence[Value]) -> Value:
    """The level that is off: false, 0 or the smallest number, a name for absence, else the most frequent one."""
    numbers = [value for value in there if not isinstance(value, str)]
    if len(numbers) == len(there):
        return min(numbers, key=lambda value: (value != 0, value))
    lower = {str(value).lower(): str(value) for value in there}
    named = next((lower[off] for off in OFF if off in lower), None)
    return named if named is not None else Counter(map(str, there)).most_common(1)[0][0]


def _as_kind(value: Value, factor: Factor) -> Value:
    if isinstance(factor.baseline, str):
        return str(value)
    return bool(value) if isinstance(factor.baseline, bool) else float(value)


def _refuse_gaps(axis: str, values: Sequence[Cell], cure: str) -> None:
    for number, value in enumerate(values, start=1):
        if missing(value):
            raise UserError(f"row {number}: {axis} is empty; {cure}")


def _seeds(table: Table, column: str | None) -> list[int]:
    """Whole numbers from 0 as they are, anything else by the order in which it comes."""
    if column is None:
        return [0] * len(table.rows)
    values = [row[column] for row in table.rows]
    _refuse_gaps(column, values, "fill it in")
    whole = [value for value in values if type(value) is int and 0 <= value < 2**63]
    if len(whole) == len(values):
        return whole
    order = {value: at for at, value in enumerate(dict.fromkeys(values))}
    return [order[value] for value in values]


def _refuse_twins(levels: Mapping[str, Sequence[Cell]], seeds: Sequence[int], seed: str | None) -> None:
    met: dict[tuple[Cell, ...], int] = {}
    for number, key in enumerate(zip(*levels.values(), seeds, strict=True), start=1):
        if key in met:
            cure = "give each its own" if seed else "name the column that tells repetitions apart with --seed COLUMN"
            raise UserError(f"rows {met[key]} and {number} are alike in every axis and the seed: {cure}")
        met[key] = number


def _scale(levels: Mapping[str, Sequence[Cell]], name: str) -> dict[str, Any]:
    """What stands for model, budget and text, of which only the mapped columns tell."""
    sized = any(axis == "model" or axis.startswith("model.") for axis in levels)
    if sized != ("tokens" in levels):
        raise UserError("a scale is both model.parameters and tokens: map a column to each of them, or to neither")
    scale: dict[str, Any] = {"data.corpus": name, "data.split": "three", "tokens": NOT_KNOWN}
    scale |= {} if sized else {"model.parameters": NOT_KNOWN}
    return {axis: value for axis, value in scale.items() if axis not in levels}


def _fitting(metric: str, values: Iterable[Cell]) -> str:
    """The unit that a column is in: a share from 0 to 1, percent where `(%)` says so, positive, or any number."""
    numbers = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
    told, share = metric.endswith("(%)"), all(0 <= value <= 1 for value in numbers)
    unit = "percent" if told else "share" if share else "positive"
    low, high = BOUNDS[unit]
    return unit if all(low < value < high for value in numbers) else "number"


def _measured(number: int, value: Cell, measure: Measure) -> dict[str, Any]:
    """What was measured in a row, or the status of one without."""
    if missing(value) and not isinstance(value, float):
        return {"loss": None, "status": Status.ERROR, "reason": f"no {measure.name} in row {number}"}
    try:
        return measure.measured(value)
    except UserError as error:
        raise UserError(f"row {number}: {error}") from None


def _design(
    name: str,
    table: Table,
    measure: Measure,
    factors: Mapping[str, Factor],
    levels: Mapping[str, Sequence[Any]],
    scale: Mapping[str, Any],
    seeds: Iterable[int],
) -> dict[str, Any]:
    """The sweep that the rows are of, from which more of it is suggested."""
    space = {axis: [tidy(value) for value in dict.fromkeys(own)] for axis, own in levels.items()}
    return {
        "name": name,
        "description": f"imported from {table.path.name}",
        **({} if measure.is_loss else {"metric": measure.declared()}),
        "factors": {axis: factor.declared() for axis, factor in factors.items()},
        "base": dict(scale),
        "space": space,
        "seeds": sorted(set(seeds)),
    }


def _store(rows: Sequence[Mapping[str, Any]], folder: Path, design: Mapping[str, Any]) -> None:
    """The design first: without it nobody knows the factors of the rows."""
    text = io.StringIO()
    YAML().dump(dict(design), text)
    place = SweepFolder(folder).design
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_atomically(place, text.getvalue())
        save_results(rows, folder)
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    publish_design(folder)
