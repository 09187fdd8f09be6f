"""The command that takes in results from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from bitskip.cli.app import DEFAULT_RESULTS, JsonOption, ResultsOption, app, tell_next
from bitskip.errors import UserError
from bitskip.store.filesystem import shown

Pairs = list[str] | None


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="Table of runs, a row each: .csv, .tsv, .jsonl or .parquet.")],
    metric: Annotated[str, typer.Option(metavar="COLUMN", help="What was measured; a loss per token.")],
    seed: Annotated[str | None, typer.Option(metavar="COLUMN", help="What tells repetitions apart.")] = None,
    mapping: Annotated[
        Pairs, typer.Option("--map", metavar="COLUMN=AXIS", help="A column's name as a factor, or an axis of bitskip.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="The columns that are factors, and no others.")
    ] = None,
    baseline: Annotated[
        Pairs, typer.Option(metavar="FACTOR=LEVEL", help="The level that effects count from; repeatable.")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help="Of the metric: nats, bits or perplexity of a loss; share, percent, positive or number."),
    ] = None,
    higher_is_better: Annotated[
        bool, typer.Option("--higher-is-better", help="The metric is no loss but an accuracy, a speed, …")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Folder below the results; else the file's name.")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Store a table of somebody else's runs as results: report, predict and suggest then work on it."""
    from bitskip.interop.import_results import import_results
    from bitskip.report.imported import imported_lines, imported_object

    found = import_results(
        file,
        results,
        metric,
        seed=seed,
        mapping=_pairs(mapping, "--map"),
        only=[name.strip() for name in columns.split(",")] if columns else None,
        baselines=_pairs(baseline, "--baseline"),
        unit=unit,
        higher_is_better=higher_is_better,
        name=name,
    )
    if as_json:
        print(json.dumps(imported_object(found)))
        return
    for line in imported_lines(found):
        print(line)
    tell_next("report", shown(found.folder))


def _pairs(given: Iterable[str] | None, option: str) -> dict[str, str]:
    """`left=right` texts; the left side may hold a `=` in a column's name."""
    found = {}
    for text in given or ():
        left, separator, right = text.rpartition("=")
        if not separator or not left or not right:
            raise UserError(f"{option} {text}: expected two names, as in {option} rank=lora_rank")
        found[left] = right
    return found
