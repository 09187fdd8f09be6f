"""Effects at another scale in words and tables."""

from __future__ import annotations

from collections.abc import Iterator

from bitskip.report.format import difference_text, number_text, range_text
from bitskip.report.table import Block, Column, Number, Text, number, tabulate
from bitskip.scaling.at_scale import AtScale
from bitskip.scaling.contrast_laws import LEVEL, ScaledEffect
from bitskip.scaling.ladder import Rung


def at_scale_blocks(found: AtScale, metric: str) -> Iterator[Block]:
    """What becomes of each effect, the rungs that tell it, and how the laws did on the largest of them."""

    def shown(value: float) -> str:
        return difference_text(value, metric)

    where = f"{found.parameters:.3g} parameters and {found.tokens:.3g} tokens"
    subject = found.subject
    name = " × ".join(subject.techniques)
    interval = range_text(subject.low, subject.high, shown)
    regime = found.regime
    mark = f", {regime['mark']}" if regime["mark"] else ""
    yield Text([f"{name} at {where}: {shown(subject.mean)} ({interval}), {subject.verdict}{mark}"], tone="strong")
    per_parameter = f"{regime['tokens_per_parameter']:.3g} tokens a parameter"
    yield Text([f"{per_parameter}; learning rate of the nearest rung {regime['rate']}"], tone="soft")
    if found.total and found.baseline:
        mean, low, high = found.total
        off = abs(100 * found.baseline.held_out_error)
        record = f"by a law of the baseline's loss, which was off by {off:.1f} % on the largest rung, held out"
        yield Text([f"{metric} there {mean:.4g} ({low:.4g} to {high:.4g}){mark}, {record}"])
    effects: list[Column[ScaledEffect]] = [
        Column("effect", lambda each: " × ".join(each.techniques)),
        Column(f"on {metric}", lambda each: number(each.mean, shown)),
        Column(f"{LEVEL:.0%} interval", lambda each: Number(range_text(each.low, each.high, shown))),
        Column("with scale", lambda each: each.verdict),
    ]
    yield from tabulate(f"what is in it{mark}", (*found.main_effects, *found.composition_effects), effects)
    if len(found.main_effects) > 1:
        together = range_text(found.whole.low, found.whole.high, shown)
        yield Text(
            [f"all of them against the baseline: {shown(found.whole.mean)} ({together}): {found.whole.verdict}{mark}"]
        )
    rungs: list[Column[Rung]] = [
        Column("parameters", lambda rung: number(rung.parameters)),
        Column("tokens", lambda rung: number(rung.tokens)),
        Column("tokens a parameter", lambda rung: number(rung.tokens / rung.parameters)),
        Column("regime", lambda rung: found.regimes[rung.scale].mark),
        Column("measured", lambda rung: number(rung.value, shown)),
        Column("se", lambda rung: number(100 * rung.se, "{:.1f} %".format)),
        Column("seeds", lambda rung: rung.seeds),
    ]
    yield from tabulate(f"rungs of {name}", subject.rungs, rungs)
    weights = ", ".join(f"{law} {weight:.0%}" for law, weight in subject.weights.items())
    lines = [f"laws: {weights}"]
    held = subject.held_out
    if held is not None:
        lines.append(
            f"held out, {number_text(held.rung.parameters)} parameters and {number_text(held.rung.tokens)} tokens: "
            f"foretold {shown(held.mean)} ({range_text(held.low, held.high, shown)}), "
            f"measured {shown(held.rung.value)}, off by {abs(100 * held.error):.1f} %"
        )
    yield Text(lines, tone="soft")
    notes = dict.fromkeys(note for each in (subject, *found.main_effects) for note in each.notes)
    yield Text([f"note: {note}" for note in notes], tone="warn")
