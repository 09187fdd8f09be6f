"""What the paper claims, and which defect of the published code makes which number."""

from __future__ import annotations

from collections.abc import Iterator

from bitskip.analysis.verdicts import BELOW_COUNTING
from bitskip.paper.attribution import Attribution, Change, Run
from bitskip.paper.claims import NOT_MEASURED, JudgedClaim
from bitskip.report.format import ids_text, interval_text, number_text, ratio_text, run_text
from bitskip.report.summary import Analysis
from bitskip.report.table import FILES, Block, Column, Number, Text, tabulate


def claims(analysis: Analysis) -> Iterator[Block]:
    """Every claim at every scale that says something to it, and the claims that none does."""
    found = analysis.report.claims
    measured = [each for each in found if each.verdict != NOT_MEASURED]
    if not measured:
        return
    how = (
        "Statements of arXiv 2510.23766, v1 and v2. Supported: the quantity is where the statement holds, p < 0.05 "
        "after correction for all claims at all scales (Holm); contradicted: outside, likewise; else unresolved. "
        "Intervals are those of one comparison. A search of the learning rate is one scale. All of it at the scale "
        "named, nothing more."
    )
    heads: list[Column[JudgedClaim]] = [
        Column("statement", lambda each: each.statement),
        Column("published", lambda each: f"{each.published} ({each.version})"),
        Column("what decides it", lambda each: each.quantity, FILES),
        Column("measured (95 %)", lambda each: Number(interval_text(each.value, each.low, each.high), each.value)),
        Column("where", lambda each: each.note, FILES),
        Column("n", lambda each: each.seeds),
        Column("verdict", lambda each: ", ".join(filter(None, (each.verdict, each.regime)))),
        *([Column("scale", lambda each: analysis.letters[each.scale])] if len(analysis.letters) > 1 else []),
        Column("trials", lambda each: ids_text(each.trials), FILES),
    ]
    yield Text([how], tone="soft")
    yield from tabulate("", measured, heads, lambda each: each.verdict)
    names = {each.claim for each in measured}
    left = {
        each.claim: f"{each.statement} ({'; '.join(filter(None, (each.published, each.note)))})"
        for each in sorted(found, key=lambda each: each.note)
        if each.claim not in names
    }
    if left:
        yield Text([f"Not measured: {'; '.join(sorted(left.values()))}."], tone="soft")


def causes(analysis: Analysis) -> Iterator[Block]:
    """Every model with published defects: each defect alone, and all but it."""
    if not analysis.report.causes:
        return
    how = (
        "Each defect of the published code added alone to the correct method, and removed alone from the method with "
        "all of them. Perplexities are geometric means over seeds ± the sd of the logarithm; ratios have 95 % "
        "intervals, paired by seed. A run that diverged or stalled has no perplexity and is counted."
    )
    yield Text([how], tone="soft")

    def ran(run: Run | None) -> Number:
        return Number(run_text(run) if run else "", run.ppl if run else None)

    def changed(change: Change | None) -> Number:
        return Number(ratio_text(change), change.ratio if change else None)

    for each in analysis.report.causes:
        total = f", published over correct {ratio_text(each.total)}" if each.total else ""
        total += "".join(f", {mark}" for mark in (BELOW_COUNTING * each.below_counting, each.regime) if mark)
        yield from tabulate(
            f"{each.model}, scale {analysis.letters[each.scale]}",
            each.causes,
            [
                Column("defect", lambda cause: cause.defect),
                Column("alone", lambda cause: ran(cause.alone)),
                Column("over correct", lambda cause: changed(cause.added)),
                Column("all but it", lambda cause: ran(cause.without)),
                Column("all over all but it", lambda cause: changed(cause.removed)),
            ],
            note=f"Correct {run_text(each.correct)}, published {run_text(each.published)}{total}.",
        )


def cause_lines(each: Attribution, most: int) -> list[str]:
    """What a defect alone does to the correct method, and what it takes to mend the published one."""
    where = f"{each.model} at {each.scale}" + (f" ({each.regime})" if each.regime else "")
    lines = []
    clear = [
        f"{cause.defect} alone {number_text(cause.alone.ppl if cause.alone else None)} "
        f"(ratio {ratio_text(change)}, n={change.seeds})"
        for cause in each.causes
        if (change := cause.added) and change.low and change.high and not change.low <= 1 <= change.high
    ]
    if each.correct and each.correct.ppl and clear:
        lines.append(f"{where}: correct {run_text(each.correct)}; {'; '.join(clear[:most])}.")
    if each.published and each.published.ppl is not None and len(each.causes) > 1:
        lines.append(f"{where}, with all defects: {run_text(each.published)}.")
    if each.published and each.published.ppl is None and each.published.failed:
        cured = [f"{c.defect} ({run_text(c.without)})" for c in each.causes if c.without and c.without.ppl is not None]
        hopeless = [c for c in each.causes if c.without and c.without.ppl is None]
        lines.append(
            f"{where}, with all defects: no trial reached a usable loss ({each.published.failed} failed). "
            + (f"It trains once this one is mended: {'; '.join(cured)}" if cured else "Mending one alone does not help")
            + (f"; mending any other one of {len(hopeless)} alone does not help." if cured and hopeless else ".")
        )
    return lines
