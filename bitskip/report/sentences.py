"""What a sweep showed, in sentences that follow from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from bitskip.analysis.effects import JOINT_VERDICTS, Effect
from bitskip.paper.attribution import Attribution
from bitskip.paper.claims import CONTRADICTED, SUPPORTED
from bitskip.report.summary import Report, Section
from bitskip.report.terminal import change_text, number_text, percent_text, run_text

MOST = 3


def summary_lines(report: Report) -> list[str]:
    """A page's first paragraph: what ran, what won, what composes, how far it can be trusted."""
    overview = report.overview
    if not overview.trials:
        return ["Nothing has run yet: start with `bitskip sweep sweeps/quickstart.yaml`."]
    finished = overview.status.get("ok", 0)
    scales = len(report.sections)
    lines = [
        f"{finished} of {overview.trials} trials finished"
        + (f", at {scales} scales that are never mixed" if scales > 1 else "")
        + (
            f"; {overview.artefacts} carry a defect of the published code and stand apart."
            if overview.artefacts
            else "."
        )
    ]
    if report.sections and report.sections[0].leaderboard:
        lines += _section_lines(report.sections[0])
    lines += [line for each in report.causes for line in _cause_lines(each)]
    decided = {verdict: sum(each.verdict == verdict for each in report.claims) for verdict in (SUPPORTED, CONTRADICTED)}
    if any(decided.values()):
        lines.append(
            f"Claims of the paper, each at every scale that has its trials: {decided[SUPPORTED]} times supported, "
            f"{decided[CONTRADICTED]} times contradicted, else unresolved; nothing is said of larger scales."
        )
    return lines


def _cause_lines(each: Attribution) -> list[str]:
    """What a defect alone does to the correct method, and what it takes to mend the published one."""
    where = f"{each.model} at {each.scale}"
    lines = []
    clear = [
        c for c in each.causes if c.added and c.added.low and c.added.high and not c.added.low <= 1 <= c.added.high
    ]
    if each.correct and each.correct.ppl and clear:
        told = [
            f"{cause.defect} alone {number_text(cause.alone.ppl if cause.alone else None)} "
            f"(ratio {change_text(cause.added)}, n={cause.added.seeds if cause.added else 0})"
            for cause in clear[:MOST]
        ]
        lines.append(f"{where}: correct {run_text(each.correct)}; {'; '.join(told)}.")
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


def _section_lines(section: Section) -> list[str]:
    best = section.leaderboard[0]
    spread = "" if best.ppl_sd is None else f" ± {number_text(best.ppl_sd)}"
    lines = [
        f"At {section.scale}, {best.configuration} had the lowest perplexity: "
        f"{number_text(best.ppl)}{spread} (n={best.seeds})."
    ]
    for ratio in section.points:
        if ratio.ratio is not None and ratio.low is not None and ratio.high is not None:
            change = (
                f"{100 * (ratio.ratio - 1):+.1f} % ({100 * (ratio.low - 1):+.1f} to {100 * (ratio.high - 1):+.1f} %)"
            )
            lines.append(f"{ratio.point} against {ratio.reference}: {change}, n={ratio.seeds}.")
    single = _told([e for e in section.main_effects if e.estimand == "averaged" and e.verdict in ("raises", "lowers")])
    if single:
        lines.append(f"Of the single techniques: {single} (mean over settings of the others).")
    joint = [e for e in section.composition_effects if e.estimand == "averaged" and e.verdict in JOINT_VERDICTS[:2]]
    if joint:
        lines.append(f"Together they are not what they are alone: {_told(joint)}.")
    elif any(e.value is not None for e in section.composition_effects):
        lines.append(
            "No composition effect is resolved: with this noise, the product of single effects describes the data."
        )
    if section.seeds.paired_sd is not None:
        lines.append(
            f"The noise of one trial is {100 * section.seeds.paired_sd:.1f} % of perplexity (sd over seeds, paired)."
        )
    found = [
        f"{kind} of {_from_to(reach)}"
        for kind, effects in (
            ("main effects", section.main_effects),
            ("composition effects", section.composition_effects),
        )
        if (reach := [e.detectable for e in effects if e.estimand == "averaged" and e.detectable is not None])
    ]
    if found:
        lines.append(f"Found with 80 % power, averaged over the settings of the others: {', '.join(found)}.")
    return lines


def _from_to(sizes: Sequence[float]) -> str:
    """The smallest and the largest of effects on log-perplexity, in percent of perplexity."""
    low, high = (percent_text(size).lstrip("+") for size in (min(sizes), max(sizes)))
    return low if low == high else f"{low} to {high}"


def _told(effects: Sequence[Effect]) -> str:
    strongest = sorted(effects, key=lambda effect: -abs(effect.value or 0.0))[:MOST]
    return "; ".join(
        f"{' with '.join(effect.techniques)} {percent_text(effect.value)}"
        + (
            ""
            if effect.low is None or effect.high is None
            else f" ({percent_text(effect.low)} to {percent_text(effect.high)})"
        )
        + (f", {effect.verdict}" if len(effect.techniques) > 1 else "")
        for effect in strongest
    )
