"""A report on the terminal. Text from files, sweeps and errors is shown as it is, never read as markup."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitskip.analysis.effects import ERROR_RATE, JOINT_VERDICTS, NOT_ESTIMABLE, UNRESOLVED, Effect
from bitskip.paper.attribution import Attribution, Change, Run
from bitskip.paper.claims import NOT_MEASURED, JudgedClaim
from bitskip.report.prediction import record
from bitskip.report.summary import ExitProfile, Overview, PointRatio, Section, summarise, to_json_object
from bitskip.training.exits import WITHIN

if TYPE_CHECKING:
    from bitskip.store.tables import Results

__all__ = ["render", "to_json_object"]

WIDE, BAR = 105, 25
"""Columns of a terminal from which intervals are drawn, too, and those that such a bar takes."""

ROWS = 15
"""Rows of a long table; `report --json` has all of them."""

ESTIMAND_TITLES = {
    "anchored": "all other techniques at the baseline",
    "averaged": "mean over settings of the other techniques",
    "nested": "from another level, where the baseline's was never run with it",
}


def render(results: Results, console: Console, within: float = WITHIN) -> None:
    """Print the report; `within` is the loss of perplexity that the best exit may cost."""
    report = summarise(results, within)
    _overview(report.overview, console)
    for mixture in report.provenance.mixed:
        _line(console, mixture.line(), style="yellow")
    _claims(report.claims, console)
    _causes(report.causes, console)
    for section in report.sections:
        _section(section, console)
    if report.overview.problems:
        _heading(console, "Problems")
        for problem in report.overview.problems:
            _line(console, problem)


def _overview(overview: Overview, console: Console) -> None:
    if not overview.trials:
        _line(console, "No trials yet.")
        return
    counts = ", ".join(f"{count} {status}" for status, count in overview.status.items())
    _line(console, f"{overview.trials} trials ({counts}) from {', '.join(overview.sweeps) or 'no named sweep'}")
    cost = f"{duration_text(overview.train_seconds)} of training"
    _line(console, f"{cost}, {duration_text(overview.eval_seconds)} of evaluation, summed over trials")
    for what, names in (("hosts", overview.hosts), ("devices", overview.devices)):
        if len(names) > 1:
            _line(console, f"{what}: {', '.join(names)} (speeds are not comparable between them)")
    if overview.artefacts:
        _line(console, f"{overview.artefacts} trials carry an artefact of the published code: left out below")


def _claims(found: Sequence[JudgedClaim], console: Console) -> None:
    measured = [each for each in found if each.verdict != NOT_MEASURED]
    if not measured:
        return
    table = _table(console, "What the paper says (arXiv 2510.23766, v1 and v2), and what was measured, 95 % interval")
    table.add_column(Text("claim"), overflow="fold", ratio=3)
    table.add_column(Text("published"), overflow="fold", ratio=2)
    table.add_column(Text("measured"), overflow="fold", ratio=2)
    table.add_column(Text("n"), justify="right", no_wrap=True)
    table.add_column(Text("verdict"), no_wrap=True)
    scales = {each.scale for each in measured}
    for each in measured:
        where = f" [{each.scale}]" if len(scales) > 1 else ""
        cells = [f"{each.statement}{where}", each.published, claim_value(each), str(each.seeds), each.verdict]
        table.add_row(*map(_text, cells), style="dim" if each.verdict == UNRESOLVED else "")
    console.print(table)
    left = len({each.claim for each in found} - {each.claim for each in measured})
    _line(console, f"{left} more claims were not measured here" if left else "", style="dim")


def claim_value(each: JudgedClaim) -> str:
    """`1.06 (0.98 to 1.14)`; empty where nothing was measured."""
    if each.value is None:
        return ""
    interval = "" if each.low is None or each.high is None else f" ({each.low:.3g} to {each.high:.3g})"
    return f"{each.value:.3g}{interval}"


def _causes(found: Sequence[Attribution], console: Console) -> None:
    for each in found:
        total = f", published over correct {change_text(each.total)}" if each.total else ""
        table = _table(
            console,
            f"Defects of the published code, {each.model}, {each.scale}: perplexity correct {run_text(each.correct)}, "
            f"published {run_text(each.published)}{total}",
        )
        table.add_column(Text("defect"), overflow="fold")
        for name in ("alone", "over correct", "all but it", "all over all but it"):
            table.add_column(Text(name), justify="right", overflow="fold")
        for cause in each.causes:
            alone, without = (run.ppl if run else None for run in (cause.alone, cause.without))
            shown = [number_text(alone), change_text(cause.added), number_text(without), change_text(cause.removed)]
            table.add_row(*map(_text, [cause.defect, *shown]))
        console.print(table)


def run_text(run: Run | None) -> str:
    """Perplexity with the sd of its logarithm in percent and n."""
    if run is None:
        return "not run"
    failed = f", {run.failed} failed" if run.failed else ""
    if run.ppl is None:
        return f"none finished{failed}"
    spread = "" if run.sd is None else f" ± {100 * run.sd:.1f} %"
    return f"{number_text(run.ppl)}{spread} (n={run.seeds}{failed})"


def change_text(change: Change | None) -> str:
    """`0.05 (0.03 to 0.08)`."""
    if change is None:
        return ""
    interval = "" if change.low is None or change.high is None else f" ({change.low:.3g} to {change.high:.3g})"
    return f"{change.ratio:.3g}{interval}"


def _section(section: Section, console: Console) -> None:
    _heading(console, section.scale)
    if section.leaderboard:
        _leaderboard(section, console)
        _points(section, console)
        _seeds(section, console)
        _effects(section.main_effects, "Main effects on perplexity", console)
        _joint(section, console)
        _effects(section.composition_effects, "Composition effects on perplexity", console)
        _higher(section.higher_effects, console)
        _model(section, console)
        _exits(section.exits, console)
    else:
        _line(console, f"No trial finished: all {section.trials} failed.", style="bold")
    _failures(section, console)
    _failing_together(section, console)


def _leaderboard(section: Section, console: Console) -> None:
    table = _table(console, "Configurations by perplexity (mean ± sd over seeds)")
    for name in section.varying:
        table.add_column(Text(name), overflow="fold")
    if not section.varying:
        table.add_column(Text("configuration"))
    for name in ("ppl", "± sd", "n"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for rank, row in enumerate(section.leaderboard[:ROWS]):
        settings = [row.settings[name] for name in section.varying] or [row.configuration]
        seeds = str(row.seeds) if row.seeds == row.trials else f"{row.seeds}/{row.trials}"
        cells = [*settings, number_text(row.ppl), spread_text(row.ppl_sd), seeds]
        table.add_row(*map(_text, cells), style="bold" if rank == 0 else "")
    console.print(table)
    _more(console, len(section.leaderboard))


def _points(section: Section, console: Console) -> None:
    named = [row for row in section.leaderboard if row.point]
    if not named:
        return
    reference = section.points[0].reference if section.points else "baseline"
    ratios = {ratio.point: ratio for ratio in section.points}
    table = _table(console, f"Named variants (ratio of perplexity to {reference}, 95 % interval)")
    table.add_column(Text("variant"), overflow="fold", min_width=len("baseline"))
    for name in ("ppl", "± sd", "n", "bpb", "ratio", "weights", "tokens/s"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for row in sorted(named, key=lambda row: (row.point != "baseline", row.point or "")):
        cells = [
            row.point or "", number_text(row.ppl), spread_text(row.ppl_sd), str(row.seeds), number_text(row.bpb),
            _ratio(ratios.get(row.point or "")), bytes_text(row.weight_bytes), number_text(row.tokens_per_second),
        ]  # fmt: skip
        table.add_row(*map(_text, cells))
    console.print(table)


def _ratio(ratio: PointRatio | None) -> str:
    if ratio is None:
        return ""
    if ratio.ratio is None:
        return "no shared seed"
    interval = "" if ratio.low is None or ratio.high is None else f" [{ratio.low:.2f}, {ratio.high:.2f}]"
    return f"{ratio.ratio:.3f}{interval}"


def _effects(effects: Sequence[Effect], title: str, console: Console) -> None:
    for estimand, meaning in ESTIMAND_TITLES.items():
        chosen = [effect for effect in effects if effect.estimand == estimand]
        estimated = [effect for effect in chosen if effect.value is not None]
        if estimated:
            _effect_table(estimated, f"{title}, {estimand}: {meaning}", console)
        missing = [effect for effect in chosen if effect.verdict == NOT_ESTIMABLE]
        for effect in missing[:ROWS]:
            _line(console, f"{NOT_ESTIMABLE} ({estimand}): {' x '.join(effect.techniques)}: {effect.reason}")
        if missing:
            _line(console, "Run what is named, or read the nested and averaged effects.", style="dim")
        _more(console, len(missing))


def _effect_table(effects: list[Effect], title: str, console: Console) -> None:
    table = _table(console, title)
    table.add_column(Text("technique" if len(effects[0].techniques) == 1 else "techniques"), overflow="fold")
    for name in ("change", "95 % interval", "n"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    table.add_column(Text("verdict"), no_wrap=True)
    shown = sorted(effects, key=_strength)[:ROWS]
    bars = console.width >= WIDE
    if bars:
        table.add_column(Text("lower ← 0 → higher"), no_wrap=True)
    ends = [end for effect in shown for end in (effect.low, effect.value, effect.high) if end is not None]
    reach = max((abs(end) for end in ends), default=0.0)
    for effect in shown:
        known = effect.low is not None
        interval = f"{percent_text(effect.low)} to {percent_text(effect.high)}" if known else "none (no repeats)"
        seeds = str(effect.seeds) + (f" x {effect.contexts}" if effect.contexts > 1 else "")
        techniques = " x ".join(effect.techniques) + (f" (from {effect.reference})" if effect.reference else "")
        cells = [techniques, percent_text(effect.value), interval, seeds, _verdict(effect)]
        cells += [interval_bar(effect.low, effect.value or 0.0, effect.high, reach)] if bars else []
        resolved = effect.verdict != "unresolved"
        table.add_row(*map(_text, cells), style="" if resolved else "dim")
    console.print(table)
    _more(console, len(effects))
    _line(console, _footnote(effects), style="dim")


def interval_bar(low: float | None, value: float, high: float | None, reach: float) -> str:
    """An interval with its estimate on a scale from -reach to reach, a stroke at zero: `   ━━●━━   │         `."""
    middle = BAR // 2

    def place(at: float) -> int:
        return middle if reach == 0 else min(BAR - 1, max(0, middle + round(at / reach * middle)))

    bar = [" "] * BAR
    bar[middle] = "│"
    if low is not None and high is not None:
        for at in range(place(low), place(high) + 1):
            bar[at] = "┿" if at == middle else "━"
    bar[place(value)] = "●"
    return "".join(bar)


def _verdict(effect: Effect) -> str:
    """With how many more seeds would settle it, and a mark where one technique's effect changes sign."""
    if effect.verdict == UNRESOLVED and effect.se is not None:
        return UNRESOLVED + (f", +{effect.more_seeds} n" if effect.more_seeds else ", out of reach")
    return effect.verdict + (" *" if effect.crossover else "")


def _footnote(effects: Sequence[Effect]) -> str:
    notes = []
    detectable = [effect.detectable for effect in effects if effect.detectable is not None]
    if detectable:
        notes.append(f"Found with 80 % power: {percent_text(statistics.median(detectable))} or more.")
    else:
        notes.append("Nothing was repeated: run a second seed for intervals and verdicts.")
    if len(effects) > 1:
        notes.append("Intervals hold for each comparison alone, verdicts for all of them together.")
    if any(effect.more_seeds for effect in effects):
        notes.append("+n: seeds that would settle it.")
    if any(effect.crossover for effect in effects):
        notes.append("* one technique's effect changes sign with the other.")
    return " ".join(notes)


def _seeds(section: Section, console: Console) -> None:
    if line := seed_line(section):
        console.print()
        _line(console, line)


def seed_line(section: Section) -> str:
    """The noise between seeds in words; empty where nothing was repeated."""
    seeds = section.seeds
    if seeds.paired_sd is None or seeds.unpaired_sd is None:
        return ""
    return (
        f"Seed noise: {percent_text(seeds.paired_sd)} (sd of a trial, {seeds.df:.0f} degrees of freedom); "
        f"{percent_text(seeds.unpaired_sd)} with the shift that a seed gives all configurations"
    )


def _joint(section: Section, console: Console) -> None:
    test = section.joint_test
    if test is None:
        return
    chance = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
    console.print()
    _line(
        console,
        f"All pairs against none: F({test.numerator_df}, {test.denominator_df:.0f}) = {test.f:.2f}, {chance}"
        + ("" if test.p_value < ERROR_RATE else "; without evidence here, only headline pairs can be resolved"),
    )


def _higher(effects: Sequence[Effect], console: Console) -> None:
    resolved = [effect for effect in effects if effect.verdict in JOINT_VERDICTS[:2]]
    for estimand in ESTIMAND_TITLES:
        chosen = [effect for effect in resolved if effect.estimand == estimand]
        if chosen:
            _effect_table(chosen, f"Of three techniques beyond their pairs, {estimand} (exploratory)", console)


def _model(section: Section, console: Console) -> None:
    model = section.model
    console.print()
    _line(console, "Predicting configurations that were left out, one at a time", style="bold")
    if model is None:
        _line(console, f"No predictor: {section.no_model}")
        return
    for line in record(model):
        _line(console, line)
    if section.shares:
        parts = [f"{' x '.join(each.factors) or 'three and more'} {each.share:.1%}" for each in section.shares[:6]]
        _line(console, f"Share of the variance of log perplexity (of the model): {', '.join(parts)}")


def _failing_together(section: Section, console: Console) -> None:
    if not section.failure_compositions:
        return
    table = _table(console, "Failing together: share of trials stalled or diverged, 90 % interval")
    table.add_column(Text("techniques"), overflow="fold")
    for name in ("first", "second", "both", "beyond chance"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for each in section.failure_compositions[:ROWS]:
        risks = [f"{risk.low:.0%} to {risk.high:.0%}" for risk in (each.first, each.second, each.both)]
        table.add_row(*map(_text, [" x ".join(each.techniques), *risks, f"{each.excess:+.0%}"]))
    console.print(table)
    _more(console, len(section.failure_compositions))


def _strength(effect: Effect) -> tuple[float, tuple[str, ...]]:
    size = abs(effect.value or 0.0)
    return -(size / effect.se if effect.se else size), effect.techniques


def _exits(profiles: Sequence[ExitProfile], console: Console) -> None:
    if not profiles:
        return
    within = profiles[0].within
    table = _table(console, f"Exits: perplexity, speed gain (* = fastest within {100 * within:g} % of the full model)")
    table.add_column(Text("exit"), justify="right")
    for profile in profiles:
        table.add_column(_text(profile.name), justify="right", overflow="fold")
    for layer in range(1, max(len(profile.exits) for profile in profiles) + 1):
        cells = []
        for profile in profiles:
            if layer > len(profile.exits):
                cells.append("")
                continue
            measure = profile.exits[layer - 1]
            gain = "" if measure.speed_gain is None else f" {100 * measure.speed_gain:+.0f} %"
            mark = " *" if layer == profile.best_exit else "  "
            cells.append(f"{number_text(measure.ppl)}{gain}{mark}")
        table.add_row(*map(_text, [str(layer), *cells]))
    console.print(table)


def _failures(section: Section, console: Console) -> None:
    if not section.failures:
        return
    table = _table(console, "Trials without a result in the averages")
    for name in ("configuration", "seed", "status", "reason"):
        table.add_column(Text(name), overflow="fold")
    for failure in section.failures[:ROWS]:
        cells = [failure.configuration, str(failure.seed), failure.status, failure.reason or "-"]
        table.add_row(*map(_text, cells))
    console.print(table)
    _more(console, len(section.failures))


def _table(console: Console, title: str) -> Table:
    # The title is a line of its own: rich would wrap it at the table's width.
    console.print()
    _line(console, title, style="bold")
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _text(value: str) -> Text:
    """Plain text: no markup, and no control characters that a terminal would obey."""
    return Text("".join(char if char.isprintable() else " " for char in value))


def _line(console: Console, value: str, style: str = "") -> None:
    text = _text(value)
    text.stylize(style)
    console.print(text)


def _heading(console: Console, value: str) -> None:
    console.print()
    _line(console, value, style="bold underline")


def _more(console: Console, count: int) -> None:
    if count > ROWS:
        _line(console, f"… and {count - ROWS} more (`bitskip report --json` has all)", style="dim")


def number_text(value: float | None) -> str:
    """Four significant digits, without exponent."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.4g}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"


def spread_text(value: float | None) -> str:
    """Two significant digits: a deviation over a few seeds has no more."""
    return "-" if value is None else f"{value:.2g}" if 0.001 <= value < 100 else number_text(value)


def percent_text(nats: float | None) -> str:
    return "-" if nats is None else f"{100 * math.expm1(nats):+.1f} %"


def bytes_text(value: int | None) -> str:
    if value is None:
        return "-"
    size = float(value)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"


def duration_text(seconds: float) -> str:
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
