"""A report as one HTML file: no request leaves it, no text from files or results is read as markup."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitskip.analysis.factorial import Row, Stratum, cell_label, strata
from bitskip.atomic_file import write_atomically
from bitskip.errors import UserError
from bitskip.paper.attribution import Attribution, Change, Run
from bitskip.paper.claims import Finding
from bitskip.report import drawing
from bitskip.report.charts import Chart, Sheet, charts
from bitskip.report.prediction import record
from bitskip.report.sentences import summary_lines
from bitskip.report.summary import Analysis, Report, Section, analyse
from bitskip.report.terminal import (
    bytes_text,
    change_text,
    claim_value,
    duration_text,
    number_text,
    run_text,
    seed_line,
    spread_text,
)
from bitskip.store.folder import SweepFolder
from bitskip.store.provenance import facts

if TYPE_CHECKING:
    from bitskip.store.tables import Results

MOST_DRAWN = 4
"""Scales with figures; the others have tables: a page of fifty figures is not read."""

TOPICS = {
    "pareto": "What a perplexity costs",
    "effects": "Effects",
    "exits": "Exits",
    "curves": "Training",
    "failures": "Failures",
    "mechanisms": "Mechanisms",
    "predictor": "The predictor",
}


@dataclass(frozen=True)
class TableCell:
    text: str
    number: bool = False
    sort: float | str | None = None


@dataclass(frozen=True)
class TableRow:
    cells: Sequence[TableCell]
    mark: str = ""


@dataclass(frozen=True)
class Column:
    name: str
    number: bool = False


@dataclass(frozen=True)
class HtmlTable:
    caption: str
    columns: Sequence[Column]
    rows: Sequence[TableRow]
    anchor: str = ""
    sortable: bool = False


@dataclass(frozen=True)
class _Figure:
    anchor: str
    title: str
    caption: str
    svg: Any
    lines: bool


@dataclass
class _Topic:
    title: str
    tables: list[HtmlTable] = field(default_factory=list)
    charts: list[_Figure] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Scale:
    anchor: str
    title: str
    lines: Sequence[str]
    topics: Sequence[_Topic]


def sheets(results: Results, analysis: Analysis) -> list[Sheet]:
    """Every scale with its trials and their tables, in the order of the report's sections."""
    grouped = [_by_trial(table.to_pylist()) for table in (results.exits, results.curves, results.layers)]
    parts = zip(analysis.report.sections, analysis.strata, analysis.surfaces, strict=True)
    return [Sheet(section, stratum, surface, *grouped) for section, stratum, surface in parts]


def write_page(results: Results, folder: Path, within: float, file: Path) -> list[Path]:
    """The page as a file, whole or not at all. Raises UserError if it cannot be written."""
    page = html_page(results, folder, within)
    try:
        write_atomically(file, page)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from None
    return [file]


def html_page(results: Results, folder: Path, within: float) -> str:
    """The whole page. Its figures need matplotlib."""
    from jinja2 import Environment
    from markupsafe import Markup

    analysis = analyse(results, within)
    report = analysis.report
    rows = results.trials.to_pylist()
    script = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")
    scales = [_scale(sheet, number) for number, sheet in enumerate(sheets(results, analysis), start=1) if rows]
    claims, causes = report.claims, report.causes
    contents = [("summary", "Summary")]
    contents += [("claims", "Claims")] if claims else []
    contents += [("causes", "Causes")] if causes else []
    contents += [(scale.anchor, scale.title) for scale in scales]
    contents += [("trials", "All trials")] if rows else []
    names = ", ".join(report.overview.sweeps)
    environment = Environment(autoescape=True, trim_blocks=False)
    template = environment.from_string((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    page: str = template.render(
        title=f"bitskip: {names}" if names else "bitskip report",
        subtitle=_subtitle(report, folder),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        contents=[*contents, ("provenance", "How they were made")],
        summary=summary_lines(report),
        warnings=[*(mixture.line() for mixture in report.provenance.mixed), *report.overview.problems],
        claims=_claims_table(claims) if claims else None,
        claims_note=(
            "A claim is supported where the 95 % interval of the quantity lies wholly where the statement holds, "
            "contradicted where wholly outside, else unresolved. Each is measured at the scale named, nothing more."
        ),
        causes=[_causes_table(each) for each in causes],
        causes_note=(
            "Each defect of the published code added alone to the correct method, and removed alone from the method "
            "with all of them; ratios of perplexity with 95 % intervals, paired by seed."
        ),
        scales=scales,
        trials=_trials_table(results) if rows else None,
        made=_made(rows),
        commands=_commands(report, folder),
    )
    return page


def _subtitle(report: Report, folder: Path) -> str:
    overview = report.overview
    if not overview.trials:
        return f"No trials yet in {folder}."
    counts = ", ".join(f"{count} {status}" for status, count in overview.status.items())
    spent = duration_text(overview.train_seconds + overview.eval_seconds)
    return f"{overview.trials} trials ({counts}), {spent} of training and evaluation, from {folder}"


def _scale(sheet: Sheet, number: int) -> _Scale:
    section = sheet.section
    topics = {"leaderboard": _Topic("", tables=_section_tables(section))}
    drawn = number <= MOST_DRAWN and section.finished > 0
    if drawn:
        with drawing.style(page=True):
            for chart in charts(sheet):
                topic = topics.setdefault(chart.topic, _Topic(TOPICS[chart.topic]))
                topic.charts.append(_figure(chart, number))
    if section.model is not None or section.no_model:
        topic = topics.setdefault("predictor", _Topic(TOPICS["predictor"]))
        topic.lines += record(section.model) if section.model else [f"No predictor: {section.no_model}"]
    lines = [f"{section.finished} of {section.trials} trials finished; the baseline is {section.baseline}."]
    if noise := seed_line(section):
        lines.append(noise)
    if not section.failures:
        lines.append("No trial diverged, stalled or failed.")
    if not drawn and section.finished:
        lines.append(
            f"Figures are drawn for the {MOST_DRAWN} scales with most trials; report a folder of this one alone."
        )
    return _Scale(f"scale-{number}", section.scale, lines, list(topics.values()))


def _figure(chart: Chart, number: int) -> _Figure:
    from markupsafe import Markup

    anchor = f"{chart.name}-{number}"
    svg = drawing.svg_of(chart.draw(), anchor, f"{chart.title}. {chart.caption}")
    return _Figure(anchor, chart.title, chart.caption, Markup(svg), chart.lines)


def _text(value: object) -> TableCell:
    return TableCell("" if value is None else str(value))


def _number(value: float | None, text: str | None = None) -> TableCell:
    shown = number_text(value) if text is None else text
    return TableCell("" if value is None else shown, number=True, sort="" if value is None else value)


def _section_tables(section: Section) -> list[HtmlTable]:
    if not section.leaderboard:
        return []
    named = list(section.varying) or ["configuration"]
    ratios = {ratio.point: ratio for ratio in section.points}
    rows = []
    for rank, standing in enumerate(section.leaderboard):
        ratio = ratios.get(standing.point or "")
        settings = [standing.settings.get(name, standing.configuration) for name in named]
        interval = "" if ratio is None or ratio.low is None else f" ({ratio.low:.3f} to {ratio.high:.3f})"
        beside = TableCell("" if ratio is None or ratio.ratio is None else f"{ratio.ratio:.3f}{interval}", number=True)
        cells = [
            _text(standing.point), *map(_text, settings), _number(standing.ppl),
            _number(standing.ppl_sd, spread_text(standing.ppl_sd)), _number(standing.seeds, f"{standing.seeds}"),
            beside, _number(standing.weight_bytes, bytes_text(standing.weight_bytes)),
        ]  # fmt: skip
        rows.append(TableRow(cells, "lead" if rank == 0 else ""))
    columns = [Column("variant"), *(Column(name) for name in named)]
    columns += [Column(name, True) for name in ("perplexity", "± sd", "n", "ratio to baseline", "weights")]
    anchor = "leaders-" + hashlib.sha256(section.scale.encode()).hexdigest()[:8]
    return [HtmlTable("Configurations by perplexity, mean ± sd over seeds", columns, rows, anchor, sortable=True)]


def _claims_table(found: Sequence[Finding]) -> HtmlTable:
    rows = [
        TableRow(
            [
                _text(each.statement), _text(f"{each.published} ({each.version})"), _text(each.quantity),
                TableCell(claim_value(each), number=True), _text(each.verdict), _text(each.scale if each.seeds else ""),
                _number(each.seeds or None, str(each.seeds)),
            ],
            each.verdict.replace(" ", "-"),
        )
        for each in found
    ]  # fmt: skip
    names = ("statement", "published", "what decides it", "measured (95 %)", "verdict", "scale", "n")
    columns = [Column(name, name in ("measured (95 %)", "n")) for name in names]
    return HtmlTable("Claims of arXiv 2510.23766, both versions", columns, rows)


def _causes_table(each: Attribution) -> HtmlTable:
    rows = [
        TableRow(
            [
                _text(cause.defect), _run(cause.alone), _change(cause.added), _run(cause.without),
                _change(cause.removed),
            ]
        )
        for cause in each.causes
    ]  # fmt: skip
    columns = [
        Column("defect"),
        *(Column(n, True) for n in ("alone", "over correct", "all but it", "all over all but it")),
    ]
    total = f"; published over correct {change_text(each.total)}" if each.total else ""
    caption = (
        f"{each.model}, {each.scale}: correct {run_text(each.correct)}, published {run_text(each.published)}{total}"
    )
    return HtmlTable(caption, columns, rows)


def _run(run: Run | None) -> TableCell:
    return TableCell("" if run is None else run_text(run), number=True)


def _change(change: Change | None) -> TableCell:
    return TableCell(change_text(change), number=True)


def _trials_table(results: Results) -> HtmlTable:
    rows = []
    many = len({row["sweep"] for row in results.trials.to_pylist()}) > 1
    for stratum in strata(results, include_artefacts=True):
        for cell in stratum.cells:
            label = cell_label(cell.levels, stratum.baseline)
            rows += [_trial_row(row, label, stratum, many) for row in cell.rows]
    numbers = ("seed", "perplexity", "bits/byte", "best exit", "tokens/s", "minutes")
    names = ["configuration", "variant", "seed", "status", *numbers[1:], "scale", *(["sweep"] if many else []), "trial"]
    columns = [Column(name, name in numbers) for name in names]
    return HtmlTable("Every trial", columns, rows, "trials-table", sortable=True)


def _trial_row(row: Row, label: str, stratum: Stratum, many: bool) -> TableRow:
    minutes = (row.get("train_seconds") or 0.0) / 60
    status = row["status"] if row["status"] == "ok" else f"{row['status']}: {row.get('reason') or '-'}"
    cells = [
        _text(label), _text(row.get("point")), _number(row["seed"], str(row["seed"])), _text(status),
        _number(row.get("ppl")), _number(row.get("bpb")), _number(row.get("best_exit"), str(row.get("best_exit"))),
        _number(row.get("tokens_per_second")), _number(minutes, f"{minutes:.1f}"), _text(stratum.label),
        *([_text(row.get("sweep"))] if many else []), _text(row["trial_id"]),
    ]  # fmt: skip
    return TableRow(cells)


def _made(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What all trials have in common of how they were made."""
    known: dict[str, dict[str, int]] = {}
    for row in rows:
        for what, value in facts(row).items():
            counts = known.setdefault(what, {})
            counts[value] = counts.get(value, 0) + 1
    return [
        f"{what}: "
        + ", ".join(value if len(counts) == 1 else f"{value} ({count} trials)" for value, count in counts.items())
        for what, counts in known.items()
    ]


def _commands(report: Report, folder: Path) -> str:
    found = []
    for name in report.overview.sweeps:
        design = next((path for at in (folder, folder / name) if (path := SweepFolder(at).design).exists()), None)
        if design is not None and (design.parent.name == name or design.parent == folder):
            found.append(f"bitskip sweep {shlex.quote(str(design))} --results DIR")
    found += ["bitskip show TRIAL  # the command that trains one of them again"] if report.overview.trials else []
    return "\n".join(found)


def _by_trial(rows: Sequence[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["trial_id"], []).append(row)
    return grouped
