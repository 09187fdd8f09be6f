"""Suggested trials: as a table, as JSON, and as sweep files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bitskip.analysis.factorial import as_plain
from bitskip.analysis.levels import cell_label, levels_of, without_techniques
from bitskip.errors import UserError
from bitskip.report.format import count_text, regime_line
from bitskip.report.live import duration
from bitskip.report.table import Block, Column, Text, tabulate
from bitskip.sweep.suggest import Suggestion, sweep_documents
from bitskip.trial.config import model_label

HEADER = "# Written by `bitskip suggest`; run it with `bitskip sweep`.\n"


def write_sweeps(
    suggestions: Sequence[Suggestion],
    output: Path,
    tuned: Mapping[str, Sequence[str]] | None = None,
    program: Mapping[str, Any] | None = None,
) -> list[Path]:
    """The files of `sweep_documents`: `output`, then `output` with -2, -3 … Raises UserError if it cannot write."""
    written = []
    documents = sweep_documents([each.trial for each in suggestions], output.stem, tuned, program=program)
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
                "scale": as_plain(each.regime),
            }
            for each in suggestions
        ],
        "files": [str(path) for path in written],
    }


def _label(suggestion: Suggestion) -> str:
    levels = levels_of(suggestion.trial.axes())
    return cell_label(levels, without_techniques(levels))


def _rung(suggestion: Suggestion) -> str:
    trial = suggestion.trial
    return f"{model_label(trial.model)}, {count_text(trial.training.tokens)}"


def suggestion_blocks(suggestions: Sequence[Suggestion], written: Sequence[Path]) -> list[Block]:
    """A row per trial, then how to run them."""
    rungs = {(each.regime.parameters, each.regime.tokens) for each in suggestions}
    where = Column("model, tokens", _rung)
    heads = [
        Column("configuration", _label),
        *([where] if len(rungs) > 1 else []),
        Column("seed", lambda each: each.trial.seed),
        Column("regime", lambda each: each.regime.mark),
        Column("why", lambda each: each.reason),
    ]
    total = f", about {duration(sum(each.seconds for each in suggestions))} on one core"
    if any(each.regime.elsewhere for each in suggestions):
        total = ""  # nobody knows how long another trainer takes
    regimes = dict.fromkeys(regime_line(each.regime) for each in suggestions)
    return [
        *tabulate("", suggestions, heads),
        Text(list(regimes)),
        Text([f"{len(suggestions)} trials{total}"]),
        Text([f"bitskip sweep {path}" for path in written], tone="code"),
    ]
