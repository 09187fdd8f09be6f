"""What `bitskip explain` says of a term, an axis, a trial, or an effect."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitskip.analysis.contrasts import treated
from bitskip.analysis.effects import Effect, stratum_effects
from bitskip.analysis.factorial import Cell, Stratum, as_plain, strata
from bitskip.analysis.levels import INDEX, TECHNIQUES, cell_label, inert, level_label, levels_of, without_techniques
from bitskip.analysis.metrics import METRICS, Row, metric_named
from bitskip.analysis.regime import Regime, regimes
from bitskip.errors import UserError, nearest
from bitskip.report.axes import axis_object, default_text, values_text
from bitskip.report.format import (
    THREE_DECIMALS,
    bytes_text,
    difference_text,
    duration_text,
    effect_name,
    ids_text,
    metric_name,
    number_text,
    range_text,
    regime_line,
    share_text,
)
from bitskip.report.glossary import GLOSSARY, PLAIN
from bitskip.report.table import Block, Column, Number, Text, number, tabulate
from bitskip.report.topics.answer import primary
from bitskip.report.trial import trial_object
from bitskip.store.tables import Results
from bitskip.sweep.suggest import known_regimes
from bitskip.trial.config import AXES, stored_trial

FEWEST_DIGITS = 4
"""Of a trial's id: fewer are not looked for."""

LOG_LINES = 8
MOST_TOGETHER = 3
"""Techniques of an effect."""

TERM, AXIS, TRIAL, EFFECT = "term", "axis", "trial", "effect"


Measured = tuple[Stratum, Regime, list[Effect]]
"""A scale with its effects of the techniques that were asked for."""


@dataclass(frozen=True)
class Explained:
    """What was meant, how it is told, the same as plain data, and the arguments of the command that goes on from it."""

    kind: str
    blocks: Sequence[Block]
    plain: dict[str, Any]
    further: Sequence[str]


def explain_word(text: str) -> Explained | None:
    """A term of the glossary, a verdict in plain words, or an axis; None for anything else."""
    meanings = {plain.words: plain.means for plain in PLAIN.values()}
    meanings |= {term.lower(): means for term, means in GLOSSARY.items()}
    term = text.lower()
    if term in meanings:
        told = f"{term}: {meanings[term]}."
        return Explained(TERM, [Text([told])], {"term": term, "means": meanings[term]}, ["report", "--only", "effects"])
    if text not in AXES:
        return None
    entry = AXES[text]
    lines = [f"{entry.name}: {entry.doc}.", f"Values: {values_text(entry)}; default {default_text(entry)}."]
    return Explained(AXIS, [Text(lines)], axis_object(entry), ["predict"])


def explain_measured(results: Results, text: str, metric: str | None, root: Path) -> Explained:
    """A trial by the beginning of its id, or an effect by its techniques.

    Raises UserError where it is none of these, or the beginning of several trials' ids.
    """
    if len(text) >= FEWEST_DIGITS and any(key.startswith(text) for key in results.trials["trial_id"].to_pylist()):
        return _trial(results, text, root)
    if metric is not None:
        metric_named(metric)
    found = strata(results)
    parts = techniques_of(text)
    effects = [
        (stratum, regime, own)
        for stratum, regime in zip(found, regimes(found), strict=True)
        if (own := _effects(stratum, parts, metric or stratum.metric))
    ]
    if effects:
        return _effect(effects)
    labels = {label for stratum in found for label in _labels(stratum)}
    hint = nearest(text, [*GLOSSARY, *AXES, *labels])
    raise UserError(
        f"'{text}': no term, axis, trial or effect of these results{hint} (terms: bitskip report --only glossary; "
        "an effect is named as in bitskip report: bits 4 x hadamard bitnet-v2)"
    )


def techniques_of(text: str) -> list[str]:
    """`bits 4 x hadamard` in its parts; several are joined by x, ×, *, with or and."""
    return [part.strip() for part in re.split(r"\s+(?:x|with|and)\s+|\s*[×*]\s*", text) if part.strip()]


def _names(part: str, technique: str) -> bool:
    """Whether the words of a part are the first ones of a technique's label."""
    words = part.lower().split()
    return technique.lower().split()[: len(words)] == words


def _labels(stratum: Stratum) -> Iterator[str]:
    for factor in TECHNIQUES:
        for level in {cell.levels[INDEX[factor]] for cell in stratum.cells}:
            yield level_label(factor, level)


def _effects(stratum: Stratum, parts: Sequence[str], metric: str) -> list[Effect]:
    """Those of exactly the techniques that the parts name, in any order."""
    if not 0 < len(parts) <= MOST_TOGETHER:
        return []
    return [
        effect
        for effect in stratum_effects(stratum, metric, METRICS[metric], len(parts))
        if any(all(map(_names, parts, own)) for own in itertools.permutations(effect.techniques))
    ]


def _effect(found: Sequence[Measured]) -> Explained:
    """At the scale with most trials: the measured corners and every estimand; at the others a line each."""
    stratum, regime, effects = found[0]
    metric = effects[0].metric
    kind = "main effect" if len(effects[0].techniques) == 1 else "composition effect"
    blocks: list[Block] = [
        Text([f"A {kind}: {GLOSSARY[kind]}."]),
        Text([regime_line(regime)], stratum.label, "warn" if regime.mark else "soft"),
    ]
    for techniques in dict.fromkeys(effect.techniques for effect in effects):
        blocks += _corners(stratum, techniques, metric)
        own = [effect for effect in effects if effect.techniques == techniques]
        known = [effect for effect in own if effect.value is not None]
        blocks += tabulate(f"{_name(own[0])}: effect on {effect_name(metric)}", known, EFFECT_COLUMNS)
        blocks.append(Text([f"{each.estimand}: {each.reason}" for each in own if each.reason], tone="soft"))
    blocks += _at_other_scales(found[1:])
    said = [each for _, _, effects in found for effect in effects for each in (effect.estimand, effect.verdict)]
    blocks.append(Text([f"{term}: {GLOSSARY[term]}." for term in dict.fromkeys(said) if term in GLOSSARY], tone="soft"))
    plain = [
        {"scale": stratum.label, "regime": as_plain(regime), "effects": as_plain(effects)}
        for stratum, regime, effects in found
    ]
    known_here = any(effect.value is not None for effect in effects)
    further = ["predict"] if known_here else ["suggest", "--crossed"]
    return Explained(EFFECT, blocks, {"metric": metric, "scales": plain}, further)


def _name(effect: Effect) -> str:
    return " × ".join(effect.techniques)


def _change(effect: Effect) -> Number:
    return number(effect.value, lambda value: difference_text(value, effect.metric))


def _interval(effect: Effect) -> Number:
    return Number(range_text(effect.low, effect.high, lambda value: difference_text(value, effect.metric)))


EFFECT_COLUMNS: Sequence[Column[Effect]] = (
    Column("estimand", lambda each: each.estimand),
    Column("change", _change),
    Column("95 % interval", _interval),
    Column("seeds × settings", lambda each: Number(f"{each.seeds} × {each.contexts}"), short="n"),
    Column("verdict", lambda each: PLAIN[each.verdict].words),
)


def _at_other_scales(found: Sequence[Measured]) -> Iterator[Block]:
    """The first estimand that is known of every combination; what all have in common is in the title."""
    lines = [(each, regime) for _, regime, effects in found for each in primary(effects).values()]
    marks = {regime.mark for _, regime in lines}
    several = len({effect.techniques for effect, _ in lines}) > 1
    heads: list[Column[tuple[Effect, Regime]]] = [
        Column("scale", lambda each: each[0].stratum),
        *([Column[tuple[Effect, Regime]]("effect", lambda each: _name(each[0]))] if several else []),
        Column("change", lambda each: _change(each[0])),
        Column("95 % interval", lambda each: _interval(each[0])),
        Column("n", lambda each: each[0].seeds),
        Column("verdict", lambda each: PLAIN[each[0].verdict].words),
        *([Column[tuple[Effect, Regime]]("regime", lambda each: each[1].mark)] if len(marks) > 1 else []),
    ]
    mark = "".join(f", {each}" for each in marks if each and len(marks) == 1)
    yield from tabulate(f"At other scales{mark}", lines, heads, cut=True)


def _corners(stratum: Stratum, techniques: Sequence[str], metric: str) -> Iterator[Block]:
    """What was measured with none, each and all of some techniques, everything else at the baseline."""
    factors = {
        level_label(factor, level): (factor, level)
        for factor in TECHNIQUES
        for level in {cell.levels[INDEX[factor]] for cell in stratum.cells}
    }
    treatments = [factors[name] for name in techniques]
    chosen = [some for size in range(len(treatments) + 1) for some in itertools.combinations(treatments, size)]
    levels = dict.fromkeys(inert(treated(stratum.baseline, some)) for some in chosen)
    measure = METRICS[metric]

    def mean(cell: Cell | None) -> Number:
        values = cell.values(measure) if cell else {}
        if not values:
            return Number("not run" if cell is None else "none finished")
        shown = measure.show(statistics.fmean(values.values()))
        return Number(number_text(shown), shown)

    cells = [(cell_label(own, stratum.baseline), stratum.cell(own)) for own in levels]
    heads: list[Column[tuple[str, Cell | None]]] = [
        Column("measured, all else at the baseline", lambda each: each[0]),
        Column(metric_name(metric), lambda each: mean(each[1]), short=metric),
        Column("n", lambda each: len(each[1].values(measure)) if each[1] else 0),
        Column("trials", lambda each: ids_text([str(row["trial_id"]) for row in each[1].rows]) if each[1] else ""),
    ]
    yield from tabulate("", cells, heads)


def _trial(results: Results, trial_id: str, root: Path) -> Explained:
    """What it is, what came of it, in which regime, and the end of its log."""
    row = trial_object(results, trial_id, root)
    levels = levels_of(row)
    label = cell_label(levels, without_techniques(levels))
    what = "no technique" if label == "baseline" else label
    name = f"{row['point']}: {what}" if row.get("point") else what
    blocks: list[Block] = [
        Text([f"{row['trial_id']}: {name}, seed {row['seed']}, of sweep {row['sweep']}"], tone="strong"),
        Text([_outcome(row)], tone="" if row["status"] == "ok" else "warn"),
    ]
    if row["artefact"]:
        blocks.append(Text([f"It carries a published defect: {row['artefact']}"], tone="warn"))
    try:
        regime = known_regimes(strata(results))(stored_trial(row))
        blocks.append(Text([regime_line(regime)], tone="warn" if regime.mark else "soft"))
        told = as_plain(regime)
    except UserError as error:  # of another version, or of a plug-in that is not here
        blocks.append(Text([f"Its regime is not known: {error}"], tone="warn"))
        told = None
    heads: list[Column[Row]] = [
        Column("exit layer", lambda exit_: exit_["exit_layer"]),
        Column("perplexity", lambda exit_: number(exit_["ppl"], THREE_DECIMALS)),
        Column("decoding speed", lambda exit_: number(exit_.get("speed_gain"), lambda gain: share_text(gain, 0))),
    ]
    blocks += tabulate("Exits", row["exits"], heads)
    tail = log_tail(row["files"].get("log"))
    blocks += [Text(tail, f"The end of its log ({row['files']['log']})", "code")] if tail else []
    if row["rerun"]:
        blocks += [Text(["Again:"]), Text([row["rerun"]], tone="code")]
    facts = (
        "trial_id",
        "point",
        "sweep",
        "seed",
        "status",
        "reason",
        "loss",
        "ppl",
        "metric",
        "measured",
        "bpb",
        "exits",
        "files",
        "rerun",
    )
    plain = {name: row.get(name) for name in facts} | {"configuration": what, "regime": told, "log_tail": tail}
    return Explained(TRIAL, blocks, plain, ["show", row["trial_id"]])


def _outcome(row: Row) -> str:
    """Status in words, with numbers where it finished and the reason where it did not."""
    status = str(row["status"])
    if row.get("metric"):
        return f"{status}: {row['metric']} {number_text(row['measured'])}"
    if row.get("ppl") is None:
        means = f" ({GLOSSARY[status]})" if status in GLOSSARY else ""
        return f"{status}{means}: {row.get('reason') or 'no reason was stored'}"
    told = [f"{status}: perplexity {number_text(row['ppl'])}"]
    if row.get("bpb") is not None:
        told.append(f"{number_text(row['bpb'])} bits per byte")
    if row.get("bigram_loss") is not None:
        told.append(f"counting pairs of tokens reaches {number_text(math.exp(row['bigram_loss']))}")
    if row.get("weight_bytes"):
        told.append(f"weights {bytes_text(row['weight_bytes'])}")
    if row.get("train_seconds"):
        told.append(f"trained in {duration_text(row['train_seconds'])}")
    return ", ".join(told)


def log_tail(file: str | None, lines: int = LOG_LINES) -> list[str]:
    """The last lines of a log; none where there is no such file."""
    if file is None:
        return []
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return []
