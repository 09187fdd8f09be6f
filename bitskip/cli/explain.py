"""The command that explains: a word of the reports, a trial, an effect."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bitskip.cli.app import (
    DEFAULT_RESULTS,
    JsonOption,
    MetricOption,
    ResultsOption,
    app,
    or_reference,
    print_blocks,
    results_words,
    tell_next,
    tell_problems,
)


@app.command()
def explain(
    words: Annotated[
        list[str],
        typer.Argument(metavar="TERM|TRIAL|EFFECT", help="anchored; 3f2a9c; bits 4 x hadamard. Axes are terms, too."),
    ],
    metric: MetricOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Explain a word of the reports, a trial (configuration, result, regime, log), or an effect with its corners."""
    from bitskip.report.explain import explain_measured, explain_word
    from bitskip.store.tables import load_results

    text = " ".join(words).strip()
    found = explain_word(text)
    if found is None:
        folder = or_reference(results)
        loaded = load_results(folder)
        tell_problems(loaded.problems)
        found = explain_measured(loaded, text, metric, folder)
    if as_json:
        print(json.dumps({"kind": found.kind, **found.plain}, default=str))
        return
    print_blocks(found.blocks)
    tell_next(*found.further, *([] if found.further[0] == "report" else results_words(results)))
