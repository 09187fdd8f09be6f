"""Suggested trials: on the terminal, as JSON, and as sweep files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from ruamel.yaml import YAML

from bitskip.analysis.levels import NEUTRAL, TECHNIQUES, cell_label, levels_of
from bitskip.errors import UserError
from bitskip.report.live import duration
from bitskip.sweep.suggest import Suggestion, sweep_documents

HEADER = "# Written by `bitskip suggest`; run it with `bitskip sweep`.\n"


def write_sweeps(
    suggestions: Sequence[Suggestion], output: Path, tuned: Mapping[str, Sequence[str]] | None = None
) -> list[Path]:
    """The files of `sweep_documents`: `output`, then `output` with -2, -3 … Raises UserError if it cannot write."""
    written = []
    documents = sweep_documents([each.trial for each in suggestions], output.stem, tuned)
    for number, document in enumerate(documents, start=1):
        path = output if number == 1 else output.with_stem(f"{output.stem}-{number}")
        text = io.StringIO()
        YAML().dump(document, text)
        try:
            path.write_text(HEADER + text.getvalue(), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}; choose another file with --output") from None
        written.append(path)
    return written


def suggestion_object(suggestions: Sequence[Suggestion], written: Sequence[Path]) -> dict[str, Any]:
    """The object of `suggest --json`."""
    return {
        "trials": [
            {
                "trial_id": each.trial.trial_id,
                "configuration": _label(each),
                "seed": each.trial.seed,
                "reason": each.reason,
                "seconds": each.seconds,
            }
            for each in suggestions
        ],
        "files": [str(path) for path in written],
    }


def _label(suggestion: Suggestion) -> str:
    levels = levels_of(suggestion.trial.axes())
    techniques = len(TECHNIQUES)
    return cell_label(levels, (*NEUTRAL[:techniques], *levels[techniques:]))


def render(suggestions: Sequence[Suggestion], written: Sequence[Path], console: Console) -> None:
    """Print a line per trial, then how to run them."""
    table = Table(box=None, pad_edge=False)
    for name in ("configuration", "seed", "why"):
        table.add_column(name, justify="right" if name == "seed" else "left", overflow="fold")
    for each in suggestions:
        table.add_row(Text(_label(each)), str(each.trial.seed), Text(each.reason))
    console.print(table)
    total = duration(sum(each.seconds for each in suggestions))
    console.print(Text(f"{len(suggestions)} trials, about {total} on one core"))
    for path in written:
        console.print(Text(f"bitskip sweep {path}"), soft_wrap=True)
