"""Commands that answer from results."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitskip.cli.app import (
    DEFAULT_RESULTS,
    JsonOption,
    MetricOption,
    ResultsArgument,
    ResultsOption,
    SetOption,
    app,
    or_reference,
    print_blocks,
    results_words,
    settings_of,
    tell_next,
    tell_problems,
)
from bitskip.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bitskip.report.summary import Analysis


@app.command()
def report(
    folder: ResultsArgument = DEFAULT_RESULTS,
    within: Annotated[float, typer.Option(help="Perplexity an exit may cost, as a share.", min=0.0)] = 0.05,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML page.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown.")] = None,
    figures: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the figures: SVG, PDF, PNG, CSV.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="DIR", help="Write all tables and numbers as CSV.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Print everything, not the first screen alone.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC", help="effects, exits, claims, mechanisms, glossary …; repeatable."),
    ] = None,
    metric: MetricOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the trials have measured: one screen, or the topics that are asked for."""
    from bitskip.analysis.factorial import as_plain
    from bitskip.report.summary import analyse
    from bitskip.store.tables import load_results

    source = or_reference(folder)
    analysis = analyse(load_results(source), within, metric, source)
    writers = {"html": html, "markdown": markdown, "figures": figures, "csv": csv}
    if (full or only) and (as_json or any(writers.values())):
        raise UserError("--full and --only are for the terminal; files and --json hold everything")
    if any(writers.values()):
        _write_report(analysis, {name: path for name, path in writers.items() if path}, as_json)
        tell_next("predict", *results_words(folder), as_json=as_json)
        return
    if as_json:
        print(json.dumps(as_plain(analysis.report)))
        return
    from rich.console import Console

    from bitskip.report.document import TERMINAL, document, first_screen
    from bitskip.report.terminal import print_document

    shown = document(analysis, TERMINAL, only=only or ()) if full or only else first_screen(analysis)
    print_document(shown, Console(), ruled=full or bool(only))
    if not shown.chapters:
        print(f"bitskip: these results have nothing to tell of {', '.join(only or ())}", file=sys.stderr)
    if full or only:  # the first screen ends with a command of its own
        tell_next("predict", *results_words(folder))


def _write_report(analysis: Analysis, wanted: dict[str, Path], as_json: bool) -> None:
    from bitskip.report.document import MARKDOWN, document, write_whole
    from bitskip.report.exports import write_csv, write_figures
    from bitskip.report.html import html_page
    from bitskip.report.markdown import markdown

    writers: dict[str, Callable[[Path], list[Path]]] = {
        "html": lambda file: write_whole(html_page(analysis), file),
        "markdown": lambda file: write_whole(markdown(document(analysis, MARKDOWN)), file),
        "figures": lambda target: write_figures(analysis, target),
        "csv": lambda target: write_csv(analysis, target),
    }
    written = [path for name, target in wanted.items() for path in writers[name](target)]
    problems = analysis.results.problems
    if as_json:
        print(json.dumps({"written": [str(path) for path in written], "problems": list(problems)}))
        return
    for path in written:
        print(path)
    tell_problems(problems)


@app.command()
def predict(
    bits: Annotated[int | None, typer.Option(help="Activation bits; 16 = not quantized.")] = None,
    hadamard: Annotated[bool | None, typer.Option("--hadamard/--no-hadamard", help="Rotate as BitNet v2 does.")] = None,
    hadamard_variant: Annotated[str | None, typer.Option(help="Another Hadamard variant.")] = None,
    weights: Annotated[str | None, typer.Option(help="full or ternary.")] = None,
    dropout: Annotated[str | None, typer.Option(help="Layer-dropout schedule.")] = None,
    dropout_max: Annotated[float | None, typer.Option(help="Largest layer-dropout rate.")] = None,
    exit_weight: Annotated[float | None, typer.Option(help="Weight of the exit loss.")] = None,
    phase: Annotated[str | None, typer.Option(help="1, 2 or 1+2.")] = None,
    exit_layer: Annotated[int | None, typer.Option(help="Perplexity after this many blocks.")] = None,
    model: Annotated[str | None, typer.Option(help="Model preset.")] = None,
    tokens: Annotated[float | None, typer.Option(help="Training tokens, as 400000 or 20e9.")] = None,
    parameters: Annotated[
        float | None, typer.Option(help="Non-embedding parameters of another scale, by laws over a ladder.")
    ] = None,
    others: SetOption = None,
    metric: MetricOption = None,
    force: Annotated[bool, typer.Option("--force", help="Answer outside the measured space, too.")] = False,
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Predict a configuration's perplexity, or another metric, with a 90 % interval.

    Without options, list what can be asked, with the predictions that are most worth having.
    """
    gc.disable()  # a tenth of a warm answer's time would go into looking for garbage among modules and rows
    from bitskip.predict.cache import keep, open_predictor

    if hadamard is False and hadamard_variant not in (None, "none"):
        raise UserError("--no-hadamard contradicts --hadamard-variant; give one of them")
    named: dict[str, Any] = {
        "bits": bits,
        "hadamard": hadamard_variant if hadamard_variant is not None else hadamard,
        "weights": weights,
        "dropout": dropout,
        "dropout_max": dropout_max,
        "exit_weight": exit_weight,
        "phase": phase,
        "model": model,
        "tokens": int(tokens) if tokens is not None and tokens.is_integer() else tokens,
    }
    axes = {name: value for name, value in named.items() if value is not None} | settings_of(others or ())
    asked_for, results = results, or_reference(results)
    if parameters is not None:
        _predict_at_scale(results, axes, metric, exit_layer, parameters, force, as_json)
        return
    predictor, fingerprint = open_predictor(results, metric)
    known = predictor.fitted
    if not axes and exit_layer is None and not as_json:
        from bitskip.report.questions import question_blocks

        print_blocks(question_blocks(predictor, results_words(asked_for)))
        tell_next("suggest", *results_words(asked_for))
        if predictor.fitted > known:
            keep(predictor, results, fingerprint)
        return
    prediction = predictor.predict(exit_layer=exit_layer, **axes)
    if predictor.fitted > known:
        keep(predictor, results, fingerprint)
    if prediction.tier == "outside" and not force:
        raise UserError(
            f"outside what was measured: {'; '.join(prediction.extrapolation)}; "
            "run a sweep there, or pass --force for a guess"
        )
    from bitskip.report.prediction import prediction_blocks

    if as_json:
        print(json.dumps(prediction.to_json_object()))
    else:
        print_blocks(prediction_blocks(prediction))
        effects = (*prediction.composition_effects, *prediction.main_effects)
        measured = effects and prediction.tier == "interior"
        words = ["explain", " x ".join(effects[0].techniques)] if measured else ["suggest"]
        tell_next(*words, *results_words(asked_for))


def _predict_at_scale(
    results: Path,
    axes: dict[str, Any],
    metric: str | None,
    exit_layer: int | None,
    parameters: float,
    force: bool,
    as_json: bool,
) -> None:
    """What the techniques do at another scale: effects, not the metric itself."""
    from bitskip.scaling.at_scale import at_scale, techniques_in
    from bitskip.scaling.contrast_laws import fit_scaling
    from bitskip.store.tables import load_results

    tokens = axes.pop("tokens", None)
    if tokens is None:
        raise UserError("--parameters needs --tokens: a scale is both")
    if "model" in axes or exit_layer is not None:
        raise UserError("--parameters does not go with --model or --exit-layer: it is of full models of any shape")
    treatments, scale = techniques_in(axes)
    loaded = load_results(results)
    scaling = fit_scaling(loaded, metric, **scale)
    found = at_scale(scaling, treatments, parameters=parameters, tokens=float(tokens), force=force)
    if as_json:
        print(json.dumps(found.to_json_object(scaling.metric_name)))
        return
    from bitskip.report.at_scale import at_scale_blocks

    tell_problems(loaded.problems)
    print_blocks(at_scale_blocks(found, scaling.metric_name))
    tell_next("report", results, "--only", "ladder")


@app.command()
def axes(
    plugins: Annotated[list[str] | None, typer.Option("--plugin", help="A module with techniques; repeatable.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown, as in docs/axes.md.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Every axis of the design space, with its values and default; those of installed plug-ins too."""
    from bitskip.report.axes import axes_document, axes_object
    from bitskip.techniques.registry import load_plugins

    load_plugins(plugins or ())
    if as_json:
        print(json.dumps(axes_object()))
    elif as_markdown:
        from bitskip.report.markdown import markdown

        print(markdown(axes_document()), end="")
    else:
        from rich.console import Console

        from bitskip.report.terminal import print_document

        print_document(axes_document(), Console())
        tell_next("predict")


@app.command()
def show(
    trial_id: Annotated[str, typer.Argument(help="A trial's id, or the beginning of one.")],
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Print everything that is known of one trial."""
    from bitskip.report.trial import print_trial, trial_object
    from bitskip.store.tables import load_results

    source = or_reference(results)
    loaded = load_results(source)
    tell_problems(loaded.problems)
    found = trial_object(loaded, trial_id, source)
    if as_json:
        print(json.dumps(found, default=str))
    else:
        print_trial(found)
        tell_next("explain", trial_id, *results_words(results))
