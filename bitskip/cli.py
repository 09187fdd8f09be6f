"""The `bitskip` command: parse, call, print. Heavy modules are imported by the commands that need them.

Exit status: 0 done; 1 something failed while running; 2 the input is wrong; 130 interrupted, 143 ended by SIGTERM
(finished trials are kept).
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bitskip
from bitskip.errors import Terminated, UserError
from bitskip.store.filesystem import place, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bitskip.engine.plan import Plan
    from bitskip.engine.runner import Outcome
    from bitskip.report.summary import Analysis
    from bitskip.report.table import Block
    from bitskip.training.generate import Strategy
    from bitskip.trial.config import TrialConfig

DEFAULT_RESULTS = Path("results")
REFERENCE_RESULTS = DEFAULT_RESULTS / "reference"
"""The runs that come with the project, in its folder."""

INTERRUPTED, TERMINATED = 130, 143


class App(typer.Typer):
    """Typer with one place where a user's mistake becomes a line and an exit status."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except UserError as error:
            print(f"bitskip: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            print("bitskip: interrupted", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:
            raise SystemExit(1) from None


app = App(
    help="How quantization, Hadamard rotation, layer dropout and early exit compose in a language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ResultsOption = Annotated[
    Path, typer.Option("--results", parser=place, metavar="DIR", help="Folder of results, or s3://bucket/prefix.")
]
ResultsArgument = Annotated[
    Path, typer.Argument(parser=place, metavar="[DIR]", help="A sweep's results, or a folder of several.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="Override a value; repeatable.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"bitskip {bitskip.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="Sweep file, such as sweeps/quickstart.yaml.")],
    profile: Annotated[str | None, typer.Option(help="A profile of the file, merged over the rest.")] = None,
    overrides: SetOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    calibrate: Annotated[
        bool | None,
        typer.Option("--calibrate/--no-calibrate", help="Time a few training steps; a dry run does if it is quick."),
    ] = None,
    max_trials: Annotated[int | None, typer.Option(help="Run at most so many trials now.", min=1)] = None,
    time_budget: Annotated[
        str | None, typer.Option(metavar="T", help="Start no trial after 90s, 15m, 8h or 2d; running ones finish.")
    ] = None,
    retry: Annotated[
        str | None,
        typer.Option(metavar="STATUS,…", help="Failed trials to run again: error, timeout, both, or none."),
    ] = None,
    executor: Annotated[str, typer.Option(help="ray, or inline: one trial after another in this process.")] = "ray",
    address: Annotated[str | None, typer.Option(help="Ray cluster to join, host:port or auto.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the trials of a design space that have no result yet."""
    from rich.console import Console

    from bitskip.engine.calibrate import calibrate as measured
    from bitskip.engine.executors import open_executor
    from bitskip.engine.plan import Limits, next_plan
    from bitskip.engine.runner import run_design
    from bitskip.report.live import view
    from bitskip.report.plan import plan_object, print_plan
    from bitskip.sweep.resources import local_slots
    from bitskip.sweep.sweep_file import load_sweep

    limits = Limits.parse(max_trials, time_budget, retry)
    design = load_sweep(file, profile, overrides or ())
    console = Console(stderr=as_json)

    def announce(plan: Plan) -> None:
        speed = measured(plan.to_run, design.resources, calibrate if dry_run or calibrate else False)
        found = plan_object(plan, speed)
        if not as_json:
            print_plan(plan, console, found)
        else:
            print(json.dumps(found if dry_run else {"event": "plan", **found}), flush=True)

    if dry_run:
        announce(next_plan(design, results, limits))
        return
    slots = 1 if executor == "inline" else local_slots(design.resources)
    runner = open_executor(executor, address or design.resources.address)
    try:
        end = run_design(design, results, limits, runner, announce, lambda plan: view(plan, console, slots, as_json))
    except KeyboardInterrupt as signal:
        _interrupted(results / design.name, signal)
    _finished(end, results, as_json)


def _finished(end: Outcome, results: Path, as_json: bool) -> None:
    """Say what is left and why; exit status 1 if something failed."""
    plan, where = end.plan, shown(end.plan.folder)
    if end.stopped:
        print(
            f"bitskip: stopped: {end.stopped}. What finished is in {where}; run the command again to go on.",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    if end.failed:
        print(
            f"bitskip: {end.failed} of {len(plan.to_run)} trials have no result; the others are in {where}. "
            f"Reasons: bitskip report {shown(results)}, tracebacks: {plan.folder}/logs. "
            "Run the command again to retry.",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    if end.why:
        others = f"{end.unfinished} trials" + (" and those that the design chooses next" if plan.more else "")
        print(f"bitskip: {end.why}; {others} are left. Run the command again to go on.", file=sys.stderr)
    if plan.held:
        print(
            f"bitskip: {plan.held} trials have failed before and were not run again; mend the cause "
            f"({plan.folder}/logs) and add --retry error,timeout",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    if not as_json and plan.to_run:
        print(f"Results in {where}. Next: bitskip report {where}")


def _interrupted(folder: Path, signal: KeyboardInterrupt) -> None:
    from bitskip.store.schema import FINISHED
    from bitskip.store.tables import committed

    kept = sum(status in FINISHED for status in committed(folder).values())
    how = "ended by SIGTERM" if isinstance(signal, Terminated) else "interrupted"
    print(
        f"\nbitskip: {how}; {kept} trials of {shown(folder)} have finished and are kept. Run again to go on.",
        file=sys.stderr,
    )
    raise typer.Exit(TERMINATED if isinstance(signal, Terminated) else INTERRUPTED)


@app.command()
def report(
    folder: ResultsArgument = DEFAULT_RESULTS,
    within: Annotated[float, typer.Option(help="Perplexity an exit may cost, as a share.", min=0.0)] = 0.05,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML page.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown.")] = None,
    figures: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the figures: SVG, PDF, PNG, CSV.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="DIR", help="Write all tables and numbers as CSV.")] = None,
    metric: Annotated[str, typer.Option(help="What effects are on, such as bpb or speed_gain.")] = "ppl",
    as_json: JsonOption = False,
) -> None:
    """Show what the trials have measured."""
    from bitskip.analysis.factorial import as_plain
    from bitskip.report.summary import analyse
    from bitskip.store.tables import load_results

    folder = _or_reference(folder)
    analysis = analyse(load_results(folder), within, metric, folder)
    writers = {"html": html, "markdown": markdown, "figures": figures, "csv": csv}
    if any(writers.values()):
        _write_report(analysis, {name: path for name, path in writers.items() if path}, as_json)
        return
    if as_json:
        print(json.dumps(as_plain(analysis.report)))
        return
    from rich.console import Console

    from bitskip.report.document import TERMINAL, document
    from bitskip.report.terminal import print_document

    print_document(document(analysis, TERMINAL), Console())


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
    for problem in problems:
        print(f"bitskip: {problem}", file=sys.stderr)


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
    tokens: Annotated[int | None, typer.Option(help="Training tokens.")] = None,
    others: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Answer outside the measured space, too.")] = False,
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Predict the perplexity of a configuration, with a 90 % interval."""
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
        "tokens": tokens,
    }
    axes = {name: value for name, value in named.items() if value is not None} | _settings(others or ())
    results = _or_reference(results)
    predictor, fingerprint = open_predictor(results)
    known = predictor.fitted
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
        _print_blocks(prediction_blocks(prediction))


def _print_blocks(blocks: Iterable[Block]) -> None:
    from rich.console import Console

    from bitskip.report.terminal import print_blocks

    print_blocks(blocks, Console(), ruled=False)


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


@app.command()
def suggest(
    file: Annotated[Path | None, typer.Argument(help="Sweep file whose space to choose from.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="How many trials.", min=1)] = 8,
    output: Annotated[Path, typer.Option("--output", "-o", help="Sweep file to write.")] = Path("suggested.yaml"),
    by_cost: Annotated[bool, typer.Option("--by-cost/--ignore-cost", help="Weigh gain against cost.")] = True,
    profile: Annotated[str | None, typer.Option(help="A profile of the file.")] = None,
    overrides: SetOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Choose the next trials worth running and write them as a sweep file.

    Without FILE, from the spaces of the sweeps in the results, else from all combinations of what was measured.
    """
    from bitskip.report.suggestion import suggestion_blocks, suggestion_object, write_sweeps
    from bitskip.store.filesystem import is_folder
    from bitskip.store.folder import SweepFolder
    from bitskip.store.tables import load_results, sweep_folders
    from bitskip.sweep.suggest import measured_space, suggest
    from bitskip.sweep.sweep_file import load_sweep

    results = _or_reference(results) if file is None else results
    found = load_results(results) if file is None or is_folder(results) else None
    files = [file] if file else [path for each in sweep_folders(results) if (path := SweepFolder(each).design).exists()]
    settings = (*(overrides or ()), "design=full")
    space: dict[TrialConfig, tuple[str, ...]] = {}
    for each in files:
        try:
            sweep = load_sweep(each, profile, settings)
        except UserError as error:
            if file is not None:
                raise
            print(f"bitskip: left out of the space: {error}", file=sys.stderr)  # such as one whose text is elsewhere
            continue
        # What carries a published defect teaches the model nothing; it is suggested only to who names its file.
        wanted = [trial for trial in sweep.trials if file is not None or not trial.artefact]
        space |= dict.fromkeys(wanted, sweep.tuned)
    if not space and found:
        space = measured_space(found)
    suggestions = suggest(found, space, count, by_cost=by_cost)
    if not suggestions:
        raise UserError(f"{results}: nothing was measured to suggest from; name a sweep file: bitskip suggest FILE")
    written = write_sweeps(suggestions, output, {trial.configuration_id: axes for trial, axes in space.items()})
    if as_json:
        print(json.dumps(suggestion_object(suggestions, written)))
        return
    _print_blocks(suggestion_blocks(suggestions, written))


def _or_reference(folder: Path) -> Path:
    """The results asked for, or, where none are named and there are none yet, those that come with the project."""
    from bitskip.store.tables import sweep_folders

    if folder != DEFAULT_RESULTS or not REFERENCE_RESULTS.is_dir():
        return folder
    try:
        sweep_folders(folder)
    except UserError:
        where = f"no results in {folder} yet; these are the reference runs of {REFERENCE_RESULTS}"
        print(f"bitskip: {where}", file=sys.stderr)
        return REFERENCE_RESULTS
    return folder


def _settings(pairs: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """`axis=value` pairs, values in YAML."""
    from bitskip.sweep.located_yaml import parse_setting

    return dict(parse_setting(pair) for pair in pairs)


@app.command()
def train(
    settings: SetOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Renew the checkpoint after so many seconds; the same command goes on from it.", min=0)
    ] = 300.0,
    save: Annotated[bool, typer.Option("--save/--no-save", help="Keep the weights, for bitskip generate.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Train one trial in this process, such as `bitskip train --set bits=4 --set hadamard=true`."""
    from dataclasses import replace

    from bitskip.trial.config import make_trial

    trial = make_trial(**_settings(settings or ()))
    from bitskip.data import load_data
    from bitskip.data.corpora import pinned
    from bitskip.engine.job import Job
    from bitskip.engine.worker import check_device, run_job
    from bitskip.store.schema import FAILED

    trial = replace(trial, data=pinned(trial.data))
    check_device(device)
    training, progress = trial.training, sys.stderr if as_json else sys.stdout
    held_out = max(training.eval_tokens, training.curve_tokens)
    load_data(trial.data, training.tokens, held_out, report=lambda text: print(text, file=progress, flush=True))
    folder = results / "train"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot create the results folder: {error.strerror}") from None

    def show(point: Any, steps: int) -> None:
        if not as_json:
            print(f"step {point.step}/{steps}  held-out loss {point.val_loss:.4f}", flush=True)

    job = Job(
        trial,
        folder,
        "train",
        device=device,
        threads=threads,
        checkpoint_seconds=checkpoint_seconds,
        save_weights=save,
    )
    row = run_job(job, show)
    if as_json:
        print(json.dumps(row, default=str))
    else:
        found = f"perplexity {row['ppl']:.3f}" if row.get("ppl") else row.get("reason")
        print(f"{row['trial_id']} {row['status']}: {found}")
        if row["artefact"]:
            print(f"artefact {trial.artefact_switches()}; guards skipped: {row.get('skipped_guards') or 'none'}")
    if row["status"] in FAILED:
        raise typer.Exit(1)


@app.command()
def export(
    trial_id: Annotated[str, typer.Argument(help="A trial's id, or the beginning of one.")],
    file: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    dtype: Annotated[str, typer.Option(help="Of all that is not ternary: bf16 or fp32.")] = "bf16",
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Write a trial's weights: ternary matrices as 2-bit codes with a scale, everything else in one dtype."""
    from bitskip.training.checkpoint import EXPORT_DTYPES, load_model, save_weights

    if dtype not in EXPORT_DTYPES:
        raise UserError(f"--dtype: '{dtype}' is not one of {', '.join(EXPORT_DTYPES)}")
    model, trial = load_model(results, trial_id)
    try:
        save_weights(file, trial, model, EXPORT_DTYPES[dtype])
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror or error})") from None
    print(f"{file}: {file.stat().st_size:,} bytes")


@app.command()
def show(
    trial_id: Annotated[str, typer.Argument(help="A trial's id, or the beginning of one.")],
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Print everything that is known of one trial."""
    from bitskip.report.trial import print_trial, trial_object
    from bitskip.store.tables import load_results

    results = _or_reference(results)
    found = trial_object(load_results(results), trial_id, results)
    if as_json:
        print(json.dumps(found, default=str))
    else:
        print_trial(found)


@app.command()
def watch(
    folder: ResultsArgument = DEFAULT_RESULTS,
    once: Annotated[bool, typer.Option("--once", help="Show the state of now and stop.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds from one look to the next.", min=0.1)] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Watch sweeps run, from any shell that sees their results; ends when every trial has a result."""
    from rich.console import Console

    from bitskip.report.live import watch as look

    look(folder, Console(), once, as_json, interval)


@app.command()
def doctor(
    folder: ResultsArgument = DEFAULT_RESULTS,
    fix: Annotated[bool, typer.Option("--fix", help="Remove what killed workers left, merge loose parts.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Examine the installation, this machine and a results folder; exit status 1 if something is broken."""
    from bitskip.engine.doctor import LEVELS, examine, mend, worst

    found = examine(folder)
    mended = mend(found, folder) if fix else []
    if as_json:
        lines = [{"level": f.level, "about": f.about, "what": f.what, "cure": f.cure} for f in found]
        print(json.dumps({"worst": worst(found), "findings": lines, "mended": [f.what for f in mended]}))
    else:
        for finding in sorted(found, key=lambda each: LEVELS.index(each.level)):
            cure = "; mended" if finding in mended else f"; {finding.cure}" if finding.cure else ""
            print(f"{finding.level:<8} {finding.about}: {finding.what}{cure}")
    if worst(found) == "broken":
        raise typer.Exit(1)


@app.command()
def generate(
    trial_id: Annotated[str, typer.Argument(help="A trial with stored weights: its id, or the beginning of one.")],
    prompt: Annotated[str, typer.Option(help="Text to continue; may be empty.")],
    exit_layer: Annotated[int | None, typer.Option(help="Decode with, or draft with, this many blocks.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Leave at the first exit whose top token is this probable.")
    ] = None,
    speculative: Annotated[bool, typer.Option("--speculative", help="Draft with an exit, verify with all.")] = False,
    draft: Annotated[int | None, typer.Option(help="Tokens drafted before each verification.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens to add at most.")] = 128,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable token every time.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the draws, at a temperature above 0.")] = 0,
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Continue a text with a trained model: all blocks, an early exit, by confidence, or self-speculatively."""
    from rich.console import Console

    from bitskip.data import load_tokenizer, prompt_tokens
    from bitskip.report.generation import TextStream, continuation, generation_object, statistics_line
    from bitskip.training.checkpoint import load_model
    from bitskip.training.generate import generate as decode
    from bitskip.training.generate import in_double_precision

    model, trial = load_model(results, trial_id)
    name, strategy = _strategy(model.sizes.layers, exit_layer, threshold, speculative, draft)
    tokenizer = load_tokenizer(trial.data)
    start = prompt_tokens(tokenizer, prompt)
    request = (in_double_precision(model), start, strategy, max_tokens, temperature, seed, tokenizer.end_of_document)
    if as_json:
        done = decode(*request)
        text = continuation(tokenizer, start, done.tokens)
        asked = {"trial_id": trial.trial_id, "prompt": prompt, "prompt_tokens": start, "strategy": name}
        print(json.dumps({**asked, **vars(strategy), "text": text, **generation_object(done)}))
        return
    stream = TextStream(tokenizer, start, Console())
    done = decode(*request, stream.add)
    stream.close()
    reached = len(start) + len(done.tokens)
    if reached > trial.training.seq_len:
        print(
            f"bitskip: prompt and text are {reached} tokens, a training sequence {trial.training.seq_len}: "
            "what the model does beyond was not measured",
            file=sys.stderr,
        )
    print(f"bitskip: {statistics_line(done, tokenizer.end_of_document)}", file=sys.stderr)


def _strategy(
    depth: int, exit_layer: int | None, threshold: float | None, speculative: bool, draft: int | None
) -> tuple[str, Strategy]:
    """The decoding strategy that the options ask for, and its name. Raises UserError if they ask for two."""
    from bitskip.training.generate import DRAFT_TOKENS, ConfidenceExit, FixedExit, SelfSpeculation, default_draft_exit

    if threshold is not None and (speculative or exit_layer is not None):
        raise UserError("--threshold chooses the exit of every token; leave --speculative and --exit-layer out")
    if draft is not None and not speculative:
        raise UserError("--draft belongs to --speculative; add it, or leave --draft out")
    if threshold is not None:
        return "confidence", ConfidenceExit(threshold)
    if speculative:
        drafting = default_draft_exit(depth) if exit_layer is None else exit_layer
        return "speculative", SelfSpeculation(drafting, DRAFT_TOKENS if draft is None else draft)
    if exit_layer is None:
        return "full", FixedExit(depth)
    return "exit", FixedExit(exit_layer)
