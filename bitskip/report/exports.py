"""A report's numbers as CSV and its figures as files."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitskip.analysis.factorial import as_plain
from bitskip.errors import UserError
from bitskip.report.charts import charts, style
from bitskip.report.html import sheets
from bitskip.report.summary import Report, analyse, summarise

if TYPE_CHECKING:
    from bitskip.store.tables import Results

DOTS_PER_INCH = 200


def write_csv(results: Results, source: Path, within: float, folder: Path) -> list[Path]:
    """The four tables of the results, and what the report makes of them; returns the files. Raises UserError."""
    report = summarise(results, within)
    written = []
    tables = {"trials": results.trials, "exits": results.exits, "curves": results.curves, "layers": results.layers}
    for name, table in tables.items():
        written.append(_write(folder / f"{name}.csv", table.to_pylist()))
    for name, rows in _numbers(report).items():
        written.append(_write(folder / f"{name}.csv", rows))
    return written


def _numbers(report: Report) -> dict[str, list[dict[str, Any]]]:
    effects = [
        effect
        for section in report.sections
        for effect in (*section.main_effects, *section.composition_effects, *section.higher_effects)
    ]
    standings = [{"scale": s.scale, **_plain(each)} for s in report.sections for each in s.leaderboard]
    causes = [
        {"model": each.model, "scale": each.scale, **_flat(cause)} for each in report.causes for cause in each.causes
    ]
    return {
        "configurations": standings,
        "effects": [_plain(effect) for effect in effects],
        "claims": [_plain(each) for each in report.claims],
        "causes": causes,
    }


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = as_plain(value)
    return plain


def _flat(value: Any) -> dict[str, Any]:
    """A dataclass of dataclasses as one level: `added_ratio`."""
    found: dict[str, Any] = {}
    for each in dataclasses.fields(value):
        inner = getattr(value, each.name)
        if dataclasses.is_dataclass(inner):
            found |= {f"{each.name}_{key}": item for key, item in _flat(inner).items()}
        else:
            found[each.name] = inner
    return found


def write_figures(results: Results, source: Path, within: float, folder: Path) -> list[Path]:
    """Every figure as SVG, PDF and PNG with its data as CSV; returns the files. Raises UserError."""
    written = []
    found = sheets(results, analyse(results, within))
    for number, sheet in enumerate(found, start=1):
        place = folder / f"scale-{number}" if len(found) > 1 else folder
        with style.style(page=False):
            for chart in charts(sheet):
                written.append(_write(place / f"{chart.name}.csv", chart.rows))
                figure = chart.draw()
                for kind in ("svg", "pdf", "png"):
                    path = place / f"{chart.name}.{kind}"
                    metadata = (
                        {"Software": None}
                        if kind == "png"
                        else {"Date": None}
                        if kind == "svg"
                        else {"CreationDate": None}
                    )
                    try:
                        figure.savefig(path, dpi=DOTS_PER_INCH, metadata=metadata)
                    except OSError as error:
                        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
                    written.append(path)
    return written


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as sink:
            writer = csv.DictWriter(sink, columns)
            writer.writeheader()
            writer.writerows(_joined(rows))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def _joined(rows: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for row in rows:
        yield {
            key: " ".join(map(str, value)) if isinstance(value, list | tuple) else value for key, value in row.items()
        }
