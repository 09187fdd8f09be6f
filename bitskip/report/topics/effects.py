"""Main and composition effects: what techniques do alone and together, how sure that is, and what is not known."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bitskip.analysis.effects import JOINT_VERDICTS, NOT_ESTIMABLE, UNRESOLVED, Effect
from bitskip.analysis.levels import FACTORS, INDEX
from bitskip.analysis.metrics import METRICS
from bitskip.report.format import difference_text, effect_name, range_text, scales_text, size_text
from bitskip.report.summary import Sheet
from bitskip.report.table import DRAWN, FILES, Block, Column, Interval, Number, Table, Text, number, tabulate
from bitskip.techniques.activation_quantization import ActivationQuantization, scales_by_bits

ESTIMANDS = {
    "averaged": "mean over the settings of the others",
    "anchored": "all others at the baseline",
    "nested": "from another level, where the baseline's was never run with it",
    "modelled": "by least squares of single effects and pairs over all cells, where corners were not run",
}

MENDED = "`bitskip suggest --crossed` writes the trials that are missing."


def main_effects(sheet: Sheet) -> Iterator[Block]:
    """What each technique does alone."""
    return _by_estimand(sheet.section.main_effects, "Main effects", sheet.section.regime.mark)


def composition_effects(sheet: Sheet) -> Iterator[Block]:
    """What two techniques do together beyond what each does alone."""
    cells = [dict(zip(FACTORS["bits"], cell.levels[INDEX["bits"]], strict=True)) for cell in sheet.stratum.cells]
    scales = scales_by_bits(ActivationQuantization(**_activation_axes(cell)) for cell in cells)
    if scales and "hadamard" in sheet.section.varying:
        text = scales_text(scales)
        yield Text([f"{text[0].upper()}{text[1:]}."], tone="soft")
    yield from _by_estimand(sheet.section.composition_effects, "Composition effects", sheet.section.regime.mark)


def _activation_axes(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {axis.field: settings[axis.name] for axis in ActivationQuantization.axes()}


def higher_effects(sheet: Sheet) -> Iterator[Block]:
    """Of three techniques beyond their pairs, where the data can tell."""
    resolved = [effect for effect in sheet.section.higher_effects if effect.verdict in JOINT_VERDICTS[:2]]
    for estimand in ESTIMANDS:
        chosen = [effect for effect in resolved if effect.estimand == estimand]
        where = _marked(sheet.section.regime.mark)
        yield from _table(chosen, f"Of three techniques on {{}} beyond their pairs{where}, {estimand} (exploratory)")


def _marked(mark: str) -> str:
    return f", {mark}" if mark else ""


def _by_estimand(effects: Sequence[Effect], title: str, mark: str) -> Iterator[Table]:
    for estimand, meaning in ESTIMANDS.items():
        chosen = [effect for effect in effects if effect.estimand == estimand]
        yield from _table(
            [effect for effect in chosen if effect.value is not None],
            f"{title} on {{}}{_marked(mark)}, {estimand}: {meaning}",
        )
        missing = [effect for effect in chosen if effect.verdict == NOT_ESTIMABLE]
        yield from tabulate(
            f"{title}, {estimand}: {NOT_ESTIMABLE}",
            missing,
            [Column("techniques", together), Column("why", lambda effect: effect.reason)],
            note="Run what is named, or read the nested and averaged effects.",
            brief=f"{title}, {estimand}: {len(missing)} of {len(chosen)} {NOT_ESTIMABLE}. {MENDED}",
        )


def together(effect: Effect) -> str:
    return " × ".join(effect.techniques)


def _table(effects: Sequence[Effect], title: str) -> Iterator[Table]:
    """`title` has a place for the metric."""
    if not effects:
        return
    metric = METRICS[effects[0].metric]

    def show(value: float) -> str:
        return difference_text(value, effects[0].metric)

    def size(value: float) -> str:
        return size_text(value, effects[0].metric)

    heads: list[Column[Effect]] = [
        Column("techniques", lambda e: together(e) + (f" (from {e.reference})" if e.reference else "")),
        Column("change" if metric.logarithmic else f"change, {metric.unit}", lambda e: number(e.value, show)),
        Column("95 % interval", lambda e: Number(range_text(e.low, e.high, show) or "none (no repeats)", e.low)),
        Column("seeds × settings", lambda e: Number(f"{e.seeds} × {e.contexts}", e.seeds), short="n"),
        Column("verdict", _verdict),
        Column("detectable at 80 % power", lambda e: number(e.detectable, size), FILES),
        Column("lower ← 0 → higher", lambda e: Interval(e.low, e.value or 0.0, e.high), DRAWN),
    ]
    ordered = sorted(effects, key=_strength)
    title = title.format(effect_name(effects[0].metric))
    yield from tabulate(title, ordered, heads, lambda e: e.verdict, note=_note(effects), cut=True)


def _strength(effect: Effect) -> tuple[float, tuple[str, ...]]:
    size = abs(effect.value or 0.0)
    return -(size / effect.se if effect.se else size), effect.techniques


def _verdict(effect: Effect) -> str:
    """With how many more seeds would settle it, and a mark where one technique's effect changes sign."""
    if effect.verdict == UNRESOLVED and effect.se is not None:
        return UNRESOLVED + (f", +{effect.more_seeds} n" if effect.more_seeds else ", out of reach")
    return effect.verdict + (" *" if effect.crossover else "")


def _note(effects: Sequence[Effect]) -> str:
    at = effects[0].rates
    notes = [f"Effects {at}: the error of choosing them is not in the intervals."] if at else []
    detectable = [effect.detectable for effect in effects if effect.detectable is not None]
    if detectable:
        least = difference_text(statistics.median(detectable), effects[0].metric)
        notes.append(f"Found with 80 % power: {least} or more.")
    else:
        notes.append("Nothing was repeated: run a second seed for intervals and verdicts.")
    if len(effects) > 1:
        notes.append("Intervals hold for each comparison alone, verdicts for all of them together.")
    if any(effect.more_seeds for effect in effects):
        notes.append("+n: seeds that would settle it.")
    if any(effect.crossover for effect in effects):
        notes.append("* one technique's effect changes sign with the other.")
    return " ".join(notes)
