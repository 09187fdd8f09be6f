"""A report's numbers as CSV and its figures as files."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bitskip.analysis.factorial import as_plain
from bitskip.errors import UserError
from bitskip.report.charts import charts, style
from bitskip.report.charts.registry import About
from bitskip.report.numbers import Report
from bitskip.report.summary import Analysis
from bitskip.store.schema import APPENDED, TABLES

RUNG_COLUMNS = ("scale", "model", "parameters", "tokens", "value", "low", "high", "seeds", "settings", "mark")

DOTS_PER_INCH = 200
METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
"""Kinds of figure files, and what is left out of each: it would differ from one run to the next."""


def write_csv(analysis: Analysis, folder: Path) -> list[Path]:
    """The tables of the results, and what the report makes of them; returns the files. Raises UserError."""
    tables = {name: getattr(analysis.results, name) for name in (*TABLES, *APPENDED)}
    found = {name: table.to_pylist() for name, table in tables.items()} | _numbers(analysis.report)
    return [_write(folder / f"{name}.csv", rows) for name, rows in found.items()]


def _numbers(report: Report) -> dict[str, list[dict[str, Any]]]:
    effects = (
        effect
        for section in report.sections
        for effect in (*section.main_effects, *section.composition_effects, *section.higher_effects)
    )
    return {
        "configurations": [{"scale": s.scale, **as_plain(each)} for s in report.sections for each in s.leaderboard],
        "effects": [as_plain(effect) for effect in effects],
        "ladder": [
            {
                "effect": " × ".join(effect.techniques),
                "verdict": effect.verdict,
                **{name: getattr(rung, name) for name in RUNG_COLUMNS},
            }
            for ladder in report.ladders
            for effect in ladder.effects
            for rung in effect.rungs
        ],
        "scales": [{"scale": s.scale, **as_plain(s.regime)} for s in report.sections],
        "claims": [as_plain(each) for each in report.claims],
        "causes": [
            {"model": each.model, "scale": each.scale, **_flat(as_plain(cause))}
            for each in report.causes
            for cause in each.causes
        ],
    }


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings of mappings as one level: `added_ratio`."""
    found: dict[str, Any] = {}
    for name, item in nested.items():
        found |= {f"{name}_{key}": v for key, v in _flat(item).items()} if isinstance(item, dict) else {name: item}
    return found


def write_figures(analysis: Analysis, folder: Path) -> list[Path]:
    """Every figure as SVG, PDF and PNG with its data as CSV; returns the files. Raises UserError."""
    written = []
    several = len(analysis.sheets) > 1
    about: list[tuple[Path, About]] = [(folder, analysis)]
    about += [(folder / f"scale-{n}" if several else folder, sheet) for n, sheet in enumerate(analysis.sheets, start=1)]
    for place, each in about:
        with style.style(page=False):
            for chart in charts(each):
                written.append(_write(place / f"{chart.name}.csv", chart.rows))
                figure = chart.draw()
                for kind, metadata in METADATA.items():
                    written.append(path := place / f"{chart.name}.{kind}")
                    with _writing(path):
                        figure.savefig(path, dpi=DOTS_PER_INCH, metadata=metadata)
    return written


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with _writing(path), path.open("w", newline="", encoding="utf-8") as sink:
        writer = csv.DictWriter(sink, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(_joined(rows))
    return path


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def _joined(rows: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for row in rows:
        yield {
            key: " ".join(map(str, value)) if isinstance(value, list | tuple) else value for key, value in row.items()
        }
