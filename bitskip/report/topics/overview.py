"""What ran, where and how, and what it comes to in sentences that follow from the numbers."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bitskip.analysis.effects import JOINT_VERDICTS, Effect
from bitskip.analysis.levels import cell_label
from bitskip.analysis.metrics import METRICS, Row
from bitskip.analysis.regime import Regime, regimes
from bitskip.analysis.verdicts import BELOW_COUNTING
from bitskip.paper.claims import CONTRADICTED, SUPPORTED, UNRESOLVED, JudgedClaim
from bitskip.report.format import (
    count_text,
    counting_line,
    difference_text,
    duration_text,
    effect_name,
    ids_text,
    interval_text,
    metric_name,
    number_text,
    regime_line,
    share_text,
    size_text,
)
from bitskip.report.numbers import Section
from bitskip.report.summary import EVERYTHING_OFF, Analysis
from bitskip.report.table import FILES, Block, Column, Number, Text, tabulate
from bitskip.report.topics.ladder import ladder_lines
from bitskip.report.topics.paper import cause_lines
from bitskip.store.folder import SweepFolder
from bitskip.store.provenance import facts
from bitskip.store.schema import Status

MOST = 3
"""Effects, and defects of a model, that the summary names."""


TRIAL_COLUMNS = {
    "configuration": "configuration", "variant": "point", "seed": "seed", "status": "status", "perplexity": "ppl",
    "bits/byte": "bpb", "best exit": "best_exit", "tokens/s": "tokens_per_second", "minutes": "minutes",
    "size": "size", "scale": "scale", "sweep": "sweep", "trial": "trial_id",
}  # fmt: skip
"""Names in the table of all trials, and what they are of a row."""


def overview(analysis: Analysis) -> Iterator[Block]:
    """How much ran and on what, what won, what composes, how far it can be trusted, and what cannot be compared."""
    report = analysis.report
    found, sections = report.overview, report.sections
    if not found.trials:
        yield Text(["No trials yet.", "Start with `bitskip sweep quickstart`."])
        return
    counts = ", ".join(f"{count} {status}" for status, count in found.status.items())
    yield Text(
        [
            f"Made by bitskip report {analysis.source} from {found.trials} trials ({counts}) of "
            f"{', '.join(found.sweeps) or 'no named sweep'}: {duration_text(found.train_seconds)} of training, "
            f"{duration_text(found.eval_seconds)} of evaluation, summed over trials."
        ],
        tone="soft",
    )
    apart = f", at {len(sections)} scales that are never mixed" if len(sections) > 1 else ""
    lines = [f"{found.status.get('ok', 0)} of {found.trials} trials finished{apart}."]
    if found.artefacts:
        lines.append(f"{found.artefacts} trials carry an artefact of the published code: they stand apart.")
    for what, names in (("hosts", found.hosts), ("devices", found.devices)):
        if len(names) > 1:
            lines.append(f"{what}: {', '.join(names)} (speeds are not comparable between them)")
    lines += [line for each in report.ladders for line in ladder_lines(each)]
    if sections and sections[0].leaderboard:
        lines += _section_lines(sections[0])
    lines += [line for each in report.causes if not each.below_counting for line in cause_lines(each, MOST)]
    decided = Counter(each.verdict for each in report.claims)
    if decided[SUPPORTED] + decided[CONTRADICTED]:
        lines.append(
            f"Claims of the paper at all scales that have their trials, corrected together: {decided[SUPPORTED]} times "
            f"supported, {decided[CONTRADICTED]} times contradicted, else unresolved{_marked(report.claims)}; "
            "nothing is said of larger scales."
        )
    yield Text(lines, points=True)
    if report.provenance.mixed:
        yield Text([mixture.line() for mixture in report.provenance.mixed], tone="warn", points=True)


def _marked(claims: Sequence[JudgedClaim]) -> str:
    """How many of the decided claims are of scales with a mark."""
    marks = Counter(each.regime for each in claims if each.regime and each.verdict in (SUPPORTED, CONTRADICTED))
    return "".join(f", {count} of the decided {mark}" for mark, count in sorted(marks.items()))


def problems(analysis: Analysis) -> Iterator[Block]:
    """Files that could not be read."""
    if analysis.report.overview.problems:
        yield Text(analysis.report.overview.problems, tone="warn", points=True)


def _section_lines(section: Section) -> list[str]:
    best, metric, mark = section.leaderboard[0], section.metric, section.regime.mark
    where, also = (f" ({mark})", f", {mark}") if mark else ("", "")
    spread = "" if best.value_sd is None else f" ± {number_text(best.value_sd)}"
    foremost = "highest" if METRICS[section.ranked].higher_is_better else "lowest"
    name = EVERYTHING_OFF if best.configuration == "baseline" else best.configuration
    lines = [
        f"At {section.scale}{where}, {name} had the {foremost} {metric_name(section.ranked)}: "
        f"{number_text(best.value)}{spread} (n={best.seeds}).",
        regime_line(section.regime),
    ]
    if section.counting:
        below = sum(each.below_counting for each in section.leaderboard)
        lines.append(counting_line(section.counting))
        if below:
            lines.append(
                f"{below} of {len(section.leaderboard)} configurations are below counting, with a perplexity that is "
                "not below that of bigrams: they are shown, and what compares them is no finding."
            )
    ratios, of_what = METRICS[metric].logarithmic, "" if metric == "ppl" else f" {effect_name(metric)}"

    def show(value: float) -> str:
        return share_text(value - 1) if ratios else difference_text(value, metric)

    for each in section.points:
        if each.low is not None and not each.below_counting:
            change = interval_text(each.ratio, each.low, each.high, show)
            lines.append(f"{each.point} against {each.reference}: {change}{of_what}, n={each.seeds}{also}.")
    single = _told([e for e in section.main_effects if e.estimand == "averaged" and e.verdict in ("raises", "lowers")])
    if single:
        lines.append(f"Of the single techniques: {single} (mean over settings of the others){also}.")
    joint = [e for e in section.composition_effects if e.estimand == "averaged" and e.verdict in JOINT_VERDICTS[:2]]
    if joint:
        lines.append(f"Together they are not what they are alone: {_told(joint)}{also}.")
    elif any(e.value is not None and e.verdict != BELOW_COUNTING for e in section.composition_effects):
        lines.append(
            f"No composition effect is resolved: these seeds cannot tell it from the product of single effects{where}."
        )
    if section.seeds.paired_sd is not None:
        noise = size_text(section.seeds.paired_sd, metric)
        lines.append(f"The noise of one trial is {noise} of {effect_name(metric)} (sd over seeds, paired).")
    kinds = {"main effects": section.main_effects, "composition effects": section.composition_effects}
    found = [f"{kind} of {reach}" for kind, effects in kinds.items() if (reach := _reach(effects))]
    if found:
        lines.append(f"Found with 80 % power, averaged over the settings of the others: {', '.join(found)}.")
    return lines


def _reach(effects: Sequence[Effect]) -> str:
    """The smallest and the largest effect that is detectable."""
    sizes = [e.detectable for e in effects if e.estimand == "averaged" and e.detectable is not None]
    ends = [size_text(size, effects[0].metric) for size in (min(sizes), max(sizes))] if sizes else []
    return " to ".join(dict.fromkeys(ends))


def _told(effects: Sequence[Effect]) -> str:
    strongest = sorted(effects, key=lambda effect: -abs(effect.value or 0.0))[:MOST]
    return "; ".join(
        f"{' with '.join(effect.techniques)} "
        + interval_text(effect.value, effect.low, effect.high, lambda end: difference_text(end, effects[0].metric))
        + (f", {effect.verdict}" if len(effect.techniques) > 1 else "")
        for effect in strongest
    )


def scales(analysis: Analysis) -> Iterator[Block]:
    """The scales by their letters, where there are several; of some there are only trials with defects."""
    if len(analysis.letters) < 2:
        return
    cells = {sheet.section.scale: sheet.stratum.cells for sheet in analysis.sheets}
    ran = {sheet.section.scale: f"{sheet.section.finished} of {sheet.section.trials}" for sheet in analysis.sheets}
    seeds = {scale: len({row["seed"] for cell in found for row in cell.rows}) for scale, found in cells.items()}
    found = {sheet.section.scale: sheet.section.regime for sheet in analysis.sheets}

    def of(show: Callable[[Regime], Any]) -> Callable[[str], Any]:
        return lambda scale: show(found[scale]) if scale in found and found[scale].known else None

    heads: list[Column[str]] = [
        Column("", lambda scale: analysis.letters[scale]),
        Column("scale", str),
        Column("parameters", of(lambda each: Number(count_text(each.parameters), each.parameters)), FILES),
        Column("tokens a parameter", of(lambda each: each.tokens_per_parameter), short="tokens/p"),
        Column("steps", of(lambda each: each.steps)),
        Column("batch", of(lambda each: each.batch_size), FILES),
        Column("rate", of(lambda each: "" if each.lr is None else f"{each.lr:g}"), FILES),
        Column("in its search", of(lambda each: each.rate), FILES),
        Column("regime", lambda scale: found[scale].mark if scale in found else None),
        Column("finished, without defects", lambda scale: Number(ran.get(scale, "")), short="finished"),
        Column("configurations", lambda scale: len(cells[scale]) if scale in cells else None),
        Column("seeds", seeds.get),
    ]
    yield Text(["Nothing is compared across them."])
    yield from tabulate("", analysis.letters, heads)


def limits(analysis: Analysis) -> Iterator[Block]:
    """How far what is said reaches."""
    other = ", those of engines aside," if any(sheet.section.speeds for sheet in analysis.sheets) else ""
    lines = [
        "Every statement above holds at the model, text, budget and recipe of its scale; none is about larger ones.",
        f"Speeds{other} are those of fake-quantized models on the machine that measured them, which other work may "
        "have shared: what exits save, not what 4-bit or ternary kernels would.",
    ]
    ran = [each.stratum.scale for each in analysis.sheets if each.section.finished and each.section.regime.known]
    tokens = [f"{value:,}".replace(",", " ") for value in sorted({int(s["tokens"]) for s in ran if "tokens" in s})]
    if tokens:
        lines.append(f"Trials were trained on {tokens[0]} to {tokens[-1]} tokens.")
    undecided = sorted({each.claim for each in analysis.report.claims if each.verdict == UNRESOLVED})
    if undecided:
        lines.append(f"Unresolved somewhere: {', '.join(undecided)}.")
    if analysis.results.trials.num_rows:
        yield Text(lines, points=True)


def trial_ids(analysis: Analysis) -> Iterator[Block]:
    """The ids behind every number, by configuration."""
    found = [
        (sheet.section.scale, sheet.name(cell), [row["trial_id"] for row in cell.rows])
        for sheet in analysis.sheets
        for cell in sheet.stratum.cells
    ]
    for each in analysis.report.causes:
        runs = {"correct": each.correct, "published": each.published}
        runs |= {f"{cause.defect} alone": cause.alone for cause in each.causes}
        runs |= {f"all but {cause.defect}": cause.without for cause in each.causes}
        found += [(each.scale, f"{each.model}, {what}", list(run.trials)) for what, run in runs.items() if run]
    if found:
        yield Text(["Ids by seed; `bitskip show ID` tells all of one, with the command that trains it again."])
    heads: list[Column[tuple[str, str, list[str]]]] = [
        Column("scale", lambda each: analysis.letters[each[0]]),
        Column("configuration", lambda each: each[1]),
        Column("trials", lambda each: ids_text(each[2])),
    ]
    yield from tabulate("", found, heads)


def all_trials(analysis: Analysis) -> Iterator[Block]:
    """Every trial, to sort and to filter; those with defects, too."""
    rows = []
    for stratum in analysis.everything:
        (regime,) = regimes([stratum])
        size = count_text(regime.parameters) if regime.known else ""
        for cell in stratum.cells:
            label = EVERYTHING_OFF if cell.levels == stratum.baseline else cell_label(cell.levels, stratum.baseline)
            for row in cell.rows:
                status = "ok" if row["status"] == Status.OK else f"{row['status']}: {row.get('reason') or '-'}"
                minutes = round((row.get("train_seconds") or 0.0) / 60, 1)
                shown = {"configuration": label, "status": status, "minutes": minutes, "size": size}
                shown["scale"] = stratum.label
                rows.append({**row, **shown})

    def column(name: str, key: str) -> Column[Row]:
        return Column(name, lambda row: row.get(key))

    heads = [column(name, key) for name, key in TRIAL_COLUMNS.items()]
    yield from tabulate("Every trial", rows, heads, sort=True, filter=True)


def made(analysis: Analysis) -> Iterator[Block]:
    """What all trials have in common of how they were made, and the commands that make them again."""
    known: dict[str, Counter[str]] = {}
    for row in analysis.results.trials.to_pylist():
        for what, value in facts(row).items():
            known.setdefault(what, Counter())[value] += 1
    lines = []
    for what, counts in known.items():
        values = [value if len(counts) == 1 else f"{value} ({times} trials)" for value, times in counts.items()]
        lines.append(f"{what}: {', '.join(values)}")
    commands = []
    for name in analysis.report.overview.sweeps:
        places = (SweepFolder(at).design for at in (analysis.source, analysis.source / name))
        design = next(filter(Path.exists, places), None)
        if design is not None:
            commands.append(f"bitskip sweep {shlex.quote(str(design))} --results DIR")
    if lines:
        yield Text(lines)
        commands.append("bitskip show TRIAL  # the command that trains one of them again")
        yield Text(commands, "To run the same again", tone="code")
