"""The first screen: what ran, the best for its cost, what composes with what, what to know, and what to run next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bitskip.analysis.effects import JOINT_VERDICTS, PRIMARY, UNRESOLVED, Effect
from bitskip.analysis.metrics import METRICS
from bitskip.analysis.regime import SCALE_NOT_KNOWN, UNTRAINED, Regime
from bitskip.analysis.verdicts import BELOW_COUNTING
from bitskip.report.format import (
    THREE_DIGITS,
    bytes_text,
    count_text,
    difference_text,
    duration_text,
    effect_name,
    interval_text,
    metric_name,
    number_text,
    share_text,
    spread_text,
)
from bitskip.report.glossary import LEGEND, MODELLED, PLAIN
from bitskip.report.next_run import next_run
from bitskip.report.numbers import ExitProfile, Section, Standing
from bitskip.report.summary import EVERYTHING_OFF, Analysis, Sheet
from bitskip.report.table import Block, Column, Number, Text, number, tabulate
from bitskip.report.topics.ladder import ladder_in_short
from bitskip.scaling.ladder import by_text
from bitskip.store.schema import Status

MOST_TECHNIQUES, MOST_BEST, MOST_INTERVALS = 6, 3, 3
"""Rows of the matrix, of the best configurations, and of the effects with intervals."""

LONGEST = 44
"""Characters of a configuration's name here; a table of all has the whole."""


def answer(analysis: Analysis) -> Iterator[Block]:
    """At most forty lines of eighty columns, about the scale with most trials, or the foremost rung of a ladder."""
    yield from opening(analysis)
    yield from best(analysis)
    for sheet in analysis.sheets[:1]:
        yield from composition(sheet.section)
    yield from to_know(analysis)
    yield from to_run_next(analysis)


def opening(analysis: Analysis) -> Iterator[Block]:
    """What was run, and what must be seen before its numbers."""
    if not analysis.report.overview.trials:
        yield Text(["No trials yet."])
    else:
        yield Text([_run_line(analysis), *_warnings(analysis)], tone="strong")


def to_know(analysis: Analysis) -> Iterator[Block]:
    """The sentences that a colleague must know."""
    for sheet in analysis.sheets[:1]:
        yield Text(list(sentences(analysis, sheet)), "What to know", points=True)


def to_run_next(analysis: Analysis) -> Iterator[Block]:
    """A reason and a command."""
    reason, command = next_run(analysis)
    yield Text([reason], "What to run next")
    yield Text([command], tone="code")


def _run_line(analysis: Analysis) -> str:
    found, sections = analysis.report.overview, analysis.report.sections
    sweeps = found.sweeps[0] if len(found.sweeps) == 1 else f"{len(found.sweeps)} sweeps"
    where = f"; {_scale(sections[0])}" if len(sections) == 1 else ""
    ok = found.status.get(Status.OK, 0)
    return f"{sweeps}: {ok} of {found.trials} trials finished, {duration_text(found.train_seconds)} of training{where}"


def _scale(section: Section) -> str:
    """With the word that nothing said of it goes without."""
    return ", ".join(filter(None, (section.scale, section.regime.mark)))


def _warnings(analysis: Analysis) -> Iterator[str]:
    """A line each for what else must be seen."""
    sections, problems = analysis.report.sections, analysis.report.overview.problems
    if len(sections) > 1:
        yield f"Shown: {_scale(sections[0])}. {len(sections) - 1} other scales: --only scales."
    failed = sum(len(each.failures) for each in sections)
    if sections and not sections[0].finished:
        yield f"No trial finished: all {sections[0].trials} failed. Why: --only failures."
    elif failed:
        yield f"{failed} trials have no result: --only failures."
    if problems:
        more = f" {len(problems) - 1} more: --only problems." if len(problems) > 1 else ""
        yield f"Not read as stored: {problems[0]}.{more}"


def best(analysis: Analysis) -> Iterator[Block]:
    """The best configuration, then the best of those with smaller weights."""
    for section in [sheet.section for sheet in analysis.sheets[:1]]:
        heads: list[Column[Standing]] = [
            Column("configuration", lambda each: _cut(_whole_name(each), LONGEST)),
            Column(metric_name(section.ranked), lambda each: each.value, short=section.ranked),
            Column("± sd", lambda each: number(each.value_sd, spread_text)),
            Column("seeds", lambda each: each.seeds),
            Column("weights", lambda each: number(each.weight_bytes, bytes_text)),
            Column("", lambda each: "below counting" if each.below_counting else ""),
        ]
        yield from tabulate("Best for its size", frontier(section.leaderboard)[:MOST_BEST], heads)


def frontier(board: Sequence[Standing]) -> list[Standing]:
    """Of configurations in their order, the best one and those with smaller weights than all better ones."""
    found = list(board[:1])
    for each in board[1:]:
        if each.weight_bytes is not None and each.weight_bytes < (found[-1].weight_bytes or 0):
            found.append(each)
    return found


def _whole_name(standing: Standing) -> str:
    """What it is, behind the name of a variant."""
    off = standing.configuration == "baseline"
    return ": ".join(filter(None, (standing.point, EVERYTHING_OFF if off else standing.configuration)))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def primary(effects: Sequence[Effect]) -> dict[tuple[str, ...], Effect]:
    """The effect of each combination by the first estimand that is known."""
    found: dict[tuple[str, ...], Effect] = {}
    for estimand in PRIMARY:
        for each in effects:
            if each.estimand == estimand and each.value is not None:
                found.setdefault(each.techniques, each)
    return found


def strength(effect: Effect) -> float:
    """In standard errors where there are repeats; those without come last."""
    return abs(effect.value or 0.0) / effect.se if effect.se else abs(effect.value or 0.0) / 1e6


def composition(section: Section) -> Iterator[Block]:
    """What each technique does alone and what two do beyond that: a mark each, and intervals of the strongest."""
    alone, pairs = primary(section.main_effects), primary(section.composition_effects)
    if not alone and not pairs:
        return
    names = matrix_names(section)
    keys = {name: chr(ord("a") + at) for at, name in enumerate(names)}
    logarithmic = METRICS[section.metric].logarithmic

    def cell(effect: Effect | None) -> Number:
        if effect is None or effect.value is None:
            return Number("")
        shown = difference_text(effect.value, effect.metric).removesuffix(" %")
        guess = MODELLED if effect.estimand == "modelled" else ""
        return Number(f"{shown}{guess} {PLAIN[effect.verdict].mark}", effect.value)

    def beyond(other: str) -> Column[str]:
        return Column(f"with {keys[other]}", lambda name: cell(pairs.get((other, name)) or pairs.get((name, other)))
                      if keys[name] > keys[other] else Number(""), short=keys[other])  # fmt: skip

    heads: list[Column[str]] = [
        Column("", lambda name: f"{keys[name]} {_cut(name, 20)}"),
        Column("alone", lambda name: cell(alone.get((name,)))),
        *map(beyond, names[:-1]),
    ]
    unit = "%" if logarithmic else METRICS[section.metric].unit
    title = f"Change of {effect_name(section.metric)} in {unit}: alone, and two together beyond what each does alone"
    known = {name for techniques in (*alone, *pairs) for name in techniques}
    told = (*alone.values(), *pairs.values())
    more = f", {MODELLED} modelled" if any(each.estimand == "modelled" for each in told) else ""
    more += f", {PLAIN[BELOW_COUNTING].mark} {BELOW_COUNTING}" if any(e.verdict == BELOW_COUNTING for e in told) else ""
    more += f"; {len(known) - len(names)} more: --only effects" if len(known) > len(names) else ""
    yield from tabulate(title, names, heads, note=LEGEND + more)
    yield from tabulate("", strongest(section), _interval_columns())


def matrix_names(section: Section) -> list[str]:
    """The techniques whose effects stand out most, in the order of the report."""
    every = [*primary(section.main_effects).values(), *primary(section.composition_effects).values()]
    most: dict[str, float] = {}
    for effect in every:
        for name in effect.techniques:
            most[name] = max(most.get(name, 0.0), strength(effect))
    kept = sorted(most, key=lambda name: -most[name])[:MOST_TECHNIQUES]
    return [name for name in most if name in kept]


def strongest(section: Section) -> list[Effect]:
    """The effects that stand out most: of pairs first, then of single techniques."""
    ranked = [
        sorted(primary(effects).values(), key=lambda each: (-strength(each), each.techniques))
        for effects in (section.composition_effects, section.main_effects)
    ]
    return [each for effects in ranked for each in effects][:MOST_INTERVALS]


def _interval_columns() -> list[Column[Effect]]:
    return [
        Column("strongest", lambda each: _cut(_name(each), 30)),
        Column("change (95 % interval)", lambda each: Number(_change(each), each.value), short="(95 % interval)"),
        Column("seeds", lambda each: each.seeds, short="n"),
        Column("verdict", lambda each: PLAIN[each.verdict].words),
    ]


def _name(effect: Effect) -> str:
    return " × ".join(effect.techniques)


def _change(effect: Effect) -> str:
    def show(value: float) -> str:
        return difference_text(value, effect.metric)

    return interval_text(effect.value, effect.low, effect.high, show)


def sentences(analysis: Analysis, sheet: Sheet) -> Iterator[str]:
    """What two techniques do together, whether that holds with size, and where to exit; each with its regime."""
    section, subject = sheet.section, headline(sheet.section)
    here = _where([section.regime])
    yield f"{together(section, subject)} {here}."
    ladders_here = zip(analysis.report.ladders, analysis.scalings, strict=True)
    followed = [ladder for ladder, laws in ladders_here if ladder.effects and section.scale in laws.regimes]
    if followed:
        yield from ladder_in_short(followed[0])
    else:
        yield with_size(analysis, sheet, subject) + "."
    yield f"{where_to_exit(section.exits)} {here}."


def size_name(regime: Regime) -> str:
    """Parameters without embedding; empty where they are not known."""
    return count_text(regime.parameters) if regime.known else ""


def _where(found: Sequence[Regime]) -> str:
    """Sizes, tokens a parameter and every mark of some scales."""

    def reach(values: Sequence[float], show: Callable[[float], str]) -> str:
        return " to ".join(dict.fromkeys([show(min(values)), show(max(values))]))

    if not all(each.known for each in found):
        return f"({SCALE_NOT_KNOWN})"
    size = reach([each.parameters for each in found], count_text)
    if all(each.mark == UNTRAINED for each in found):
        return f"({size} parameters, {UNTRAINED}, intervals over pieces of the held-out text)"
    budget = reach([each.tokens_per_parameter for each in found], THREE_DIGITS)
    marks = [each.mark for each in found]
    told = ", ".join(dict.fromkeys(filter(None, marks))) + (" in part" if any(marks) and not all(marks) else "")
    return f"({', '.join(filter(None, (f'{size} parameters', f'{budget} tokens a parameter', told)))})"


def headline(section: Section) -> Effect | None:
    """The strongest pair that is resolved, else of the declared headlines, else of all."""
    pairs = sorted(primary(section.composition_effects).values(), key=lambda each: -strength(each))
    chosen: list[Callable[[Effect], bool]] = [
        lambda each: each.verdict in JOINT_VERDICTS[:2],
        lambda each: each.family == "headline",
        lambda each: True,
    ]
    return next((each for wanted in chosen for each in pairs if wanted(each)), None)


def together(section: Section, subject: Effect | None) -> str:
    """What the subject comes to, and how many pairs are decided."""
    if subject is None:
        return "No two techniques were run together with what tells their effect apart"
    pairs = primary(section.composition_effects).values()
    decided = sum(each.verdict not in (UNRESOLVED, BELOW_COUNTING) for each in pairs)
    words = PLAIN[subject.verdict].words
    if subject.verdict == UNRESOLVED:
        more = "1 more seed" if subject.more_seeds == 1 else f"{subject.more_seeds} more seeds"
        words = f"open, {more} would settle it" if subject.more_seeds else "open"
    told = f"{' with '.join(subject.techniques)}: {_change(subject)} beyond what each does alone"
    return f"{told}, {subject.seeds} seeds, {words}; {decided} of {len(pairs)} pairs are decided"


def with_size(analysis: Analysis, sheet: Sheet, subject: Effect | None) -> str:
    """The subject at the smallest and the largest scale of its ladder, and whether its sign is the same at all."""
    rungs = _rungs(analysis, sheet) if subject is not None else []
    known = [(each.regime, primary(each.composition_effects).get(subject.techniques)) for each in rungs if subject]
    found = [(regime, effect.value, effect.metric) for regime, effect in known if effect and effect.value is not None]
    if len(found) < 2:
        return f"One size was run: whether it holds with size is not known {_where([sheet.section.regime])}"
    held = "keeps its sign" if len({value > 0 for _, value, _ in found}) == 1 else "changes its sign"
    ends = [f"{difference_text(value, metric)} at the {name}" for name, (_, value, metric) in
            (("smallest", found[0]), ("largest", found[-1]))]  # fmt: skip
    where = _where([regime for regime, *_ in found])
    return f"Over {len(found)} scales it {held}: {' and '.join(ends)} {where}"


def _rungs(analysis: Analysis, sheet: Sheet) -> list[Section]:
    """By size and tokens, the scale with most trials of each, where text and sequence length are those of a sheet."""
    alike = by_text(each.stratum for each in analysis.sheets)
    labels = next((labels for own in alike if sheet.section.scale in (labels := {each.label for each in own})), set())
    found: dict[tuple[int, int], Section] = {}
    for each in analysis.sheets:
        if each.section.scale in labels:
            regime = each.section.regime
            found.setdefault((regime.parameters, regime.tokens), each.section)
    return [found[scale] for scale in sorted(found)]


def where_to_exit(profiles: Sequence[ExitProfile]) -> str:
    """The fastest exit that is worth taking, of any variant that the report shows."""
    known = [each for each in profiles if each.best_exit is not None]
    if not known:
        return "No exit was measured with its speed"
    within = f"{100 * known[0].within:g} %"

    def gain(profile: ExitProfile) -> float:
        return profile.exits[(profile.best_exit or 1) - 1].speed_gain or 0.0

    early = [each for each in known if (each.best_exit or 0) < len(each.exits)]
    if not early:
        return f"No early exit pays: every earlier exit costs over {within} of perplexity"
    chosen = max(early, key=gain)
    at_exit, last = chosen.exits[(chosen.best_exit or 1) - 1], chosen.exits[-1]
    cost = share_text(at_exit.ppl / last.ppl - 1)
    return (
        f"Exit {_cut(chosen.name, LONGEST)} after block {at_exit.exit_layer} of {len(chosen.exits)}: "
        f"{share_text(gain(chosen), 0)} speed for {cost} perplexity ({number_text(at_exit.ppl)})"
    )
