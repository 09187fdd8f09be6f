"""A report as Markdown: for a repository, an issue or a note. Every number leads to the ids of its trials."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bitskip.analysis.effects import Effect
from bitskip.analysis.factorial import METRICS, Stratum, cell_label
from bitskip.atomic_file import write_atomically
from bitskip.errors import UserError
from bitskip.paper.attribution import Attribution, Run
from bitskip.paper.claims import NOT_MEASURED, Finding
from bitskip.report.charts import EVERYTHING_OFF, Sheet, gradient_cosines, last_sample
from bitskip.report.html import sheets
from bitskip.report.prediction import record
from bitskip.report.sentences import summary_lines
from bitskip.report.summary import Section, analyse
from bitskip.report.terminal import (
    change_text,
    claim_value,
    duration_text,
    number_text,
    percent_text,
    run_text,
    seed_line,
)

if TYPE_CHECKING:
    from bitskip.store.tables import Results

SHORT = 8
"""Digits of a trial's id that are shown: `bitskip show` takes the beginning of one."""

FEWEST_RATES = 3
"""Learning rates that make a search."""

SITES = {"down": ("down",), "o": ("o",), "q, k, v, gate, up": ("q", "k", "v", "gate", "up")}
"""The two sites that BitNet v2 rotates, and the others, all of them behind a norm."""

ESTIMANDS = {"averaged": "mean over the settings of the others", "anchored": "all others at the baseline"}


def write_markdown(results: Results, folder: Path, within: float, file: Path) -> list[Path]:
    """The report as a file, whole or not at all. Raises UserError if it cannot be written."""
    text = markdown(results, folder, within)
    try:
        write_atomically(file, text)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from None
    return [file]


def markdown(results: Results, folder: Path, within: float) -> str:
    """The whole report; equal results give equal text."""
    analysis = analyse(results, within)
    report, found = analysis.report, sheets(results, analysis)
    overview = report.overview
    parts = [f"# What {', '.join(overview.sweeps) or 'no sweep'} showed", ""]
    parts += [f"Made by `bitskip report {folder} --markdown FILE` from {overview.trials} trials", ""]
    counts = ", ".join(f"{count} {status}" for status, count in overview.status.items())
    spent = duration_text(overview.train_seconds + overview.eval_seconds)
    parts[-2] += f" ({counts}; {spent} of training and evaluation)."
    letters = _letters([*(each.section.scale for each in found), *(each.scale for each in report.causes)])
    parts += [*_paragraphs(summary_lines(report)), *_scales(letters, found)]
    parts += [*_claims(report.claims, letters), *_causes(report.causes, letters)]
    parts += _rates(analysis.strata, {sheet.section.scale: sheet.section for sheet in found})
    for sheet in found:
        if sheet.section.leaderboard and sheet.section.varying and _repeated(sheet.section):
            parts += _scale(sheet, letters)
    parts += [*_limits(report.claims, found), *_trials(found, report.causes, letters)]
    return "\n".join(parts).rstrip() + "\n"


def _repeated(section: Section) -> bool:
    return any(standing.seeds > 1 for standing in section.leaderboard)


def _letters(scales: Iterable[str]) -> dict[str, str]:
    """A short name for every scale: A, B, …; two letters after Z."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    names = enumerate(dict.fromkeys(scales))
    return {name: (alphabet[at // 26 - 1] if at >= 26 else "") + alphabet[at % 26] for at, name in names}


def _scales(letters: dict[str, str], found: Sequence[Sheet]) -> list[str]:
    sheets_of = {sheet.section.scale: sheet for sheet in found}
    rows = []
    for scale, letter in letters.items():
        counts = ["", "", ""]
        if scale in sheets_of:
            section, stratum = sheets_of[scale].section, sheets_of[scale].stratum
            seeds = {row["seed"] for cell in stratum.cells for row in cell.rows}
            counts = [f"{section.finished} of {section.trials}", str(len(stratum.cells)), str(len(seeds))]
        rows.append([letter, scale, *counts])
    columns = ("", "scale", "finished, without defects", "configurations", "seeds")
    return ["## Scales", "", "Nothing is compared across them.", "", *_table(columns, rows)]


def _paragraphs(lines: Iterable[str]) -> list[str]:
    return [part for line in lines for part in (f"- {_escaped(line)}",)] + [""]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", f"|{'|'.join(' --- ' for _ in columns)}|"]
    lines += [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in rows]
    return [*lines, ""]


def _escaped(text: str) -> str:
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _claims(found: Sequence[Finding], letters: dict[str, str]) -> list[str]:
    measured = [each for each in found if each.verdict != NOT_MEASURED]
    if not measured:
        return []
    rows = [
        [each.statement, f"{each.published} ({each.version})", each.quantity, claim_value(each), str(each.seeds),
         each.verdict, letters[each.scale], _ids(each.trials)]
        for each in measured
    ]  # fmt: skip
    left = sorted({each.statement for each in found} - {each.statement for each in measured})
    return [
        "## What the paper says, and what was measured",
        "",
        "Statements of arXiv 2510.23766, v1 and v2. Supported: the 95 % interval of the quantity lies wholly where the "
        "statement holds; contradicted: wholly outside; else unresolved. All of it at the scale named, nothing more.",
        "",
        *_table(
            ("statement", "published", "what decides it", "measured (95 %)", "n", "verdict", "scale", "trials"), rows
        ),
        *([f"Not measured: {'; '.join(left)}.", ""] if left else []),
    ]


def _causes(found: Sequence[Attribution], letters: dict[str, str]) -> list[str]:
    if not found:
        return []
    lines = [
        "## Where the published numbers come from",
        "",
        "Each defect of the published code added alone to the correct method, and removed alone from the method with "
        "all of them. Perplexities are geometric means over seeds ± the sd of the logarithm; ratios have 95 % "
        "intervals, paired by seed. A run that diverged or stalled has no perplexity and is counted.",
        "",
    ]
    for each in found:
        total = f", published over correct {change_text(each.total)}" if each.total else ""
        lines += [f"### {_escaped(each.model)}, scale {letters[each.scale]}", ""]
        lines += [f"Correct {run_text(each.correct)}, published {run_text(each.published)}{total}.", ""]
        rows = [
            [
                cause.defect,
                *(_run(cause.alone), change_text(cause.added)),
                _run(cause.without),
                change_text(cause.removed),
            ]
            for cause in each.causes
        ]
        lines += _table(("defect", "alone", "over correct", "all but it", "all over all but it"), rows)
    return lines


def _run(run: Run | None) -> str:
    return "" if run is None else run_text(run)


def _rates(found: Sequence[Stratum], sections: Mapping[str, Section]) -> list[str]:
    """Where scales differ in nothing but the learning rate: its search, and what techniques do together at each rate.

    A configuration's rates are compared over the seeds that ran at all of them.
    """
    grouped: dict[tuple[object, ...], list[Stratum]] = {}
    for stratum in found:
        if "lr" in stratum.tuned:
            continue
        key = tuple((name, value) for name, value in stratum.scale.items() if name != "lr")
        grouped.setdefault(key, []).append(stratum)
    lines: list[str] = []
    for strata in grouped.values():
        rates = sorted(float(stratum.scale["lr"]) for stratum in strata)
        if len(rates) < FEWEST_RATES:
            continue
        searched: dict[str, dict[float, dict[int, float]]] = {}
        for stratum in strata:
            for cell in stratum.cells:
                name = cell_label(cell.levels, stratum.baseline)
                name = EVERYTHING_OFF if name == "baseline" else name
                searched.setdefault(name, {})[float(stratum.scale["lr"])] = cell.values(METRICS["ppl"])
        rows = []
        for name, values in sorted(searched.items()):
            finished = {rate: by_seed for rate, by_seed in values.items() if by_seed}
            seeds = sorted(set.intersection(*map(set, finished.values()))) if finished else []
            if len(finished) < FEWEST_RATES or not seeds:
                continue
            found_at = {rate: [by_seed[seed] for seed in seeds] for rate, by_seed in finished.items()}
            best = min(found_at, key=lambda rate: statistics.fmean(found_at[rate]))
            shown = [_rate_text(found_at[rate]) if rate in found_at else "" for rate in rates]
            rows.append([name, *shown, f"{best:g}", str(len(seeds))])
        if rows:
            scale = ", ".join(part for part in strata[0].label.split(", ") if not part.startswith("lr "))
            columns = ("configuration", *(f"{rate:g}" for rate in rates), "best", "n")
            lines += [f"{_escaped(scale)}:", "", *_table(columns, rows)]
            lines += _effects_by_rate({float(s.scale["lr"]): sections[s.label] for s in strata if s.label in sections})
    if not lines:
        return []
    return [
        "## Learning rates",
        "",
        "Perplexity by peak learning rate, all else equal: one search for every precision, on the same seeds at every "
        "rate. Geometric means ± the sd of the logarithm.",
        "",
        *lines,
    ]


def _effects_by_rate(sections: Mapping[float, Section]) -> list[str]:
    """Composition effects, all other techniques off, that were measured at several rates."""
    shown: dict[str, dict[float, str]] = {}
    for rate, section in sections.items():
        for effect in section.composition_effects:
            if effect.estimand == "anchored" and effect.value is not None and effect.low is not None:
                interval = f"{percent_text(effect.low)} to {percent_text(effect.high)}"
                text = f"{percent_text(effect.value)} ({interval}), n={effect.seeds}"
                shown.setdefault(" × ".join(effect.techniques), {})[rate] = text
    rates = sorted(sections)
    rows = [[name, *(at.get(rate, "") for rate in rates)] for name, at in sorted(shown.items()) if len(at) > 1]
    if not rows:
        return []
    return [
        "Composition effects on perplexity at each rate, all other techniques off (95 %):",
        "",
        *_table(("techniques", *(f"{rate:g}" for rate in rates)), rows),
    ]


def _rate_text(losses: Sequence[float]) -> str:
    spread = f" ± {100 * statistics.stdev(losses):.1f} %" if len(losses) > 1 else ""
    return f"{number_text(math.exp(statistics.fmean(losses)))}{spread}"


def _scale(sheet: Sheet, letters: dict[str, str]) -> list[str]:
    section = sheet.section
    lines = [
        f"## Scale {letters[section.scale]}: {_escaped(section.scale)}",
        "",
        f"{section.finished} of {section.trials} trials finished. {seed_line(section)}.",
        "",
    ]
    ratios = {ratio.point: ratio for ratio in section.points}
    named = [standing for standing in section.leaderboard if standing.point]
    if named:
        rows = []
        for standing in sorted(named, key=lambda each: (each.point != "baseline", each.point or "")):
            ratio = ratios.get(standing.point or "")
            interval = "" if ratio is None or ratio.low is None else f" ({ratio.low:.3f} to {ratio.high:.3f})"
            beside = "" if ratio is None or ratio.ratio is None else f"{ratio.ratio:.3f}{interval}"
            spread = "" if standing.ppl_sd is None else f" ± {standing.ppl_sd:.2g}"
            rows.append([standing.point or "", f"{number_text(standing.ppl)}{spread}", str(standing.seeds), beside])
        lines += _table(("variant", "perplexity ± sd", "n", "ratio to baseline (95 %)"), rows)
    for title, effects in (
        ("Main effects", section.main_effects),
        ("Composition effects", section.composition_effects),
    ):
        for estimand, meaning in ESTIMANDS.items():
            chosen = [effect for effect in effects if effect.estimand == estimand and effect.value is not None]
            if chosen:
                lines += [f"### {title} on perplexity, {estimand}: {meaning}", "", *_effects(chosen)]
    lines += _configurations(section)
    lines += _exits(section)
    lines += _mechanisms(sheet)
    if section.model is not None:
        lines += ["### Predicting what was left out", "", *_paragraphs(record(section.model))]
    return lines


def _effects(effects: Sequence[Effect]) -> list[str]:
    ordered = sorted(effects, key=lambda effect: -abs((effect.value or 0.0) / (effect.se or 1.0)))
    rows = [
        [
            " × ".join(effect.techniques),
            percent_text(effect.value),
            "" if effect.low is None else f"{percent_text(effect.low)} to {percent_text(effect.high)}",
            f"{effect.seeds} × {effect.contexts}",
            effect.verdict,
            "" if effect.detectable is None else percent_text(effect.detectable).lstrip("+"),
        ]
        for effect in ordered
    ]
    return _table(
        ("techniques", "change", "95 % interval", "seeds × settings", "verdict", "detectable at 80 % power"), rows
    )


def _configurations(section: Section) -> list[str]:
    rows = [
        [
            standing.configuration,
            number_text(standing.ppl),
            "" if standing.loss_sd is None else f"{standing.loss_sd:.3f}",
            str(standing.seeds),
        ]
        for standing in section.leaderboard
    ]
    return [
        "### Every configuration, with its noise between seeds",
        "",
        *_table(("configuration", "perplexity", "sd of log-perplexity", "n"), rows),
    ]


def _exits(section: Section) -> list[str]:
    if not section.exits:
        return []
    rows = []
    for profile in section.exits:
        best = profile.best_exit
        full = profile.exits[-1]
        if best is None:
            continue
        at = profile.exits[best - 1]
        gain = "" if at.speed_gain is None else f"{100 * at.speed_gain:+.0f} %"
        cost = f"{100 * (at.ppl / full.ppl - 1):+.1f} %"
        rows.append([profile.name, f"{best} of {len(profile.exits)}", number_text(at.ppl), cost, gain, str(at.seeds)])
    if not rows:
        return []
    within = 100 * section.exits[0].within
    return [
        f"### Best exits: the fastest within {within:g} % of the full model's perplexity",
        "",
        *_table(("variant", "exit", "perplexity", "over the full model", "decoding speed", "n"), rows),
    ]


def _mechanisms(sheet: Sheet) -> list[str]:
    lines: list[str] = []
    lines += _quantizers(sheet)
    cosines = gradient_cosines(sheet)
    if cosines is not None:
        rows = []
        for name in dict.fromkeys(row["configuration"] for row in cosines.rows):
            own = [row for row in cosines.rows if row["configuration"] == name]
            last = max(row["step"] for row in own)
            head = [row for row in own if row["part"] == "head" and row["step"] == last]
            blocks = [row["cosine"] for row in own if row["part"] == "blocks" and row["step"] == last]
            rows.append(
                [
                    name,
                    f"{head[0]['cosine']:.3f}" if head else "",
                    f"{min(blocks):.3f} to {max(blocks):.3f}" if blocks else "",
                    str(head[0]["n"]) if head else "",
                ]
            )
        lines += ["### Cosine between the gradients of exit loss and main loss, last sample, mean over seeds", ""]
        lines += _table(("variant", "shared head", "blocks, smallest to largest", "n"), rows)
    return lines


def _quantizers(sheet: Sheet) -> list[str]:
    """Kurtosis and noise of what is quantized after training, by what is done to it and by its site."""
    found: dict[tuple[int, str], dict[tuple[str, str], dict[int, list[float]]]] = {}
    trials: dict[tuple[int, str], set[str]] = {}
    for row in (row for cell in sheet.stratum.cells for row in cell.rows):
        for each in last_sample(sheet.layers.get(row["trial_id"], ())):
            site = next((name for name, sites in SITES.items() if each["site"] in sites), None)
            for column in ("kurtosis", "snr_db"):
                if site is not None and each[column] is not None:
                    done = row["bits"], row["hadamard"]
                    trials.setdefault(done, set()).add(row["trial_id"])
                    here = found.setdefault(done, {}).setdefault((site, column), {})
                    here.setdefault(each["layer"], []).append(each[column])
    if not found:
        return []
    columns = [(site, column) for site in SITES for column in ("kurtosis", "snr_db")]
    rows = [
        [str(done[0]), done[1], *(_by_block(found[done].get(column, {})) for column in columns), str(len(trials[done]))]
        for done in sorted(found, key=lambda each: (-each[0], each[1] != "none"))
    ]
    names = [f"{'kurtosis' if column == 'kurtosis' else 'SNR, dB,'} at {site}" for site, column in columns]
    return [
        "### What the quantizers see after training, by site",
        "",
        "Kurtosis of the activations before they are quantized, rotated if they are, 3 for normal ones; SNR of their "
        "quantization. Median block (smallest to largest block), each of its median trial; n trials.",
        "",
        *_table(("activation bits", "hadamard", *names, "n"), rows),
    ]


def _by_block(measured: Mapping[int, Sequence[float]]) -> str:
    blocks = [statistics.median(values) for values in measured.values()]
    return f"{statistics.median(blocks):.3g} ({min(blocks):.3g} to {max(blocks):.3g})" if blocks else ""


def _limits(claims: Sequence[Finding], found: Sequence[Sheet]) -> list[str]:
    lines = [
        "Every statement above holds at the model, text, budget and recipe of its scale; none is about larger ones.",
        "Speeds are those of fake-quantized models on the machine that measured them, which other work may have "
        "shared: what exits save, not what 4-bit or ternary kernels would.",
    ]
    shortest = [each.stratum for each in found if each.section.finished]
    if shortest:
        tokens = sorted({int(stratum.scale["tokens"]) for stratum in shortest if "tokens" in stratum.scale})
        if tokens:
            lines.append(f"Trials were trained on {tokens[0]:,} to {tokens[-1]:,} tokens.".replace(",", " "))
    undecided = sorted({each.claim for each in claims if each.verdict == "unresolved"})
    if undecided:
        lines.append(f"Unresolved somewhere: {', '.join(undecided)}.")
    return ["## Limits", "", *_paragraphs(lines)]


def _trials(found: Sequence[Sheet], causes: Sequence[Attribution], letters: dict[str, str]) -> list[str]:
    rows = [
        [letters[sheet.section.scale], sheet.name(cell), _ids(row["trial_id"] for row in cell.rows)]
        for sheet in found
        for cell in sheet.stratum.cells
    ]
    for each in causes:
        runs = [("correct", each.correct), ("published", each.published)]
        runs += [(f"{cause.defect} alone", cause.alone) for cause in each.causes]
        runs += [(f"all but {cause.defect}", cause.without) for cause in each.causes]
        rows += [[letters[each.scale], f"{each.model}, {what}", _ids(run.trials)] for what, run in runs if run]
    lines = [
        "## Trials",
        "",
        "Ids by seed; `bitskip show ID` tells all of one, with the command that trains it again.",
        "",
    ]
    return [*lines, *_table(("scale", "configuration", "trials"), rows)]


def _ids(trials: Iterable[str]) -> str:
    return " ".join(trial[:SHORT] for trial in trials)
