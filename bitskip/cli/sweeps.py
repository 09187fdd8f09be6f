"""Commands of sweeps: run, follow, mend, and what to run next."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitskip.cli.app import (
    DEFAULT_RESULTS,
    INTERRUPTED,
    TERMINATED,
    AddressOption,
    ExecutorOption,
    JsonOption,
    MaxRungOption,
    MaxTrialsOption,
    ProfileOption,
    ResultsArgument,
    ResultsOption,
    RetryOption,
    SetOption,
    TimeBudgetOption,
    app,
    or_reference,
    print_blocks,
    results_words,
    tell_next,
    tell_problems,
)
from bitskip.errors import Terminated, UserError
from bitskip.extras import require
from bitskip.store.filesystem import shown

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from bitskip.engine.plan import Plan
    from bitskip.engine.runner import Outcome
    from bitskip.engine.scheduler import Listener
    from bitskip.trial.config import TrialConfig


@app.command()
def sweep(
    file: Annotated[
        Path, typer.Argument(help="Sweep file, or the name of one that comes along: quickstart, full_grid …")
    ],
    profile: ProfileOption = None,
    overrides: SetOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    calibrate: Annotated[
        bool | None,
        typer.Option("--calibrate/--no-calibrate", help="Time a few training steps; a dry run does if it is quick."),
    ] = None,
    max_trials: MaxTrialsOption = None,
    max_rung: MaxRungOption = None,
    time_budget: TimeBudgetOption = None,
    retry: RetryOption = None,
    ignore_damaged: Annotated[
        bool, typer.Option("--ignore-damaged", help="Run what unreadable files of results may hold; these are kept.")
    ] = False,
    executor: ExecutorOption = None,
    address: AddressOption = None,
    log_to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=DIR]", help="Write results there, too: tensorboard, wandb (offline), mlflow, trackio."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the trials of a design space that have no result yet."""
    from rich.console import Console

    from bitskip.engine.calibrate import calibrate as measured
    from bitskip.engine.executors import open_executor
    from bitskip.engine.executors.inline import Inline
    from bitskip.engine.plan import Limits, next_plan
    from bitskip.engine.search import Run, run_design
    from bitskip.interop.sinks import fed, feed, open_sinks
    from bitskip.report.live import view
    from bitskip.report.plan import plan_object, print_plan
    from bitskip.sweep.resources import local_slots
    from bitskip.sweep.sweep_file import load_sweep

    limits = Limits.parse(max_trials, time_budget, retry, ignore_damaged, max_rung)
    sinks = open_sinks(log_to or (), results)
    design = load_sweep(file, profile, overrides or (), results)
    console = Console(stderr=as_json)
    folder = results / design.name

    def announce(plan: Plan) -> None:
        nonlocal folder
        folder = plan.folder  # of the sweep, or of the search before it
        time_it = (calibrate if dry_run or calibrate else False) if design.program is None else False
        speed = measured(plan.to_run, design.resources, time_it)
        found = plan_object(plan, speed)
        if not as_json:
            print_plan(plan, console, found)
        else:
            print(json.dumps(found if dry_run else {"event": "plan", **found}), flush=True)

    if dry_run:
        announce(next_plan(design, results, limits))
        tell_next("sweep", file, *results_words(results), as_json=as_json)
        return
    if design.program is None:
        require("torch")
    runner = open_executor(executor, address or design.resources.address)
    slots = 1 if isinstance(runner, Inline) else local_slots(design.resources)

    def opened(plan: Plan) -> AbstractContextManager[Listener]:
        return fed(view(plan, console, slots, as_json), plan.folder, sinks)

    try:
        end = run_design(design, Run(results, limits, runner, announce, opened))
    except KeyboardInterrupt as signal:
        interrupted(folder, signal)
    finally:
        feed(folder, sinks)
    finished(end, results, as_json)


def finished(end: Outcome, results: Path, as_json: bool) -> None:
    """Say what is left and why; exit status 1 if something failed."""
    plan, where = end.plan, shown(end.plan.folder)
    if plan.withheld:
        for file in plan.damaged:
            print(f"bitskip: {file.problem}", file=sys.stderr)
        print(
            f"bitskip: {plan.withheld} trials that these files may hold were not run; restore the files, or add "
            "--ignore-damaged to run them (the files are kept in damaged/)",
            file=sys.stderr,
        )
    if end.stopped:
        print(
            f"bitskip: stopped: {end.stopped}. What finished is in {where}; run the command again to go on.",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    if end.failed:
        print(
            f"bitskip: {end.failed} of {len(plan.to_run)} trials have no result; the others are in {where}. "
            f"Reasons: bitskip report {shown(results)} --only failures, tracebacks: {plan.folder}/logs. "
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
    if plan.withheld:
        raise typer.Exit(1)
    if not as_json and plan.to_run:
        print(f"Results in {where}. Next: bitskip report {where}")


def interrupted(folder: Path, signal: KeyboardInterrupt) -> None:
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
def suggest(
    file: Annotated[Path | None, typer.Argument(help="Sweep file whose space to choose from.")] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="How many trials.", min=1)] = 8,
    output: Annotated[Path, typer.Option("--output", "-o", help="Sweep file to write.")] = Path("suggested.yaml"),
    by_cost: Annotated[bool, typer.Option("--by-cost/--ignore-cost", help="Weigh gain against cost.")] = True,
    crossed: Annotated[
        bool, typer.Option("--crossed", help="From all combinations of what was measured, also those sweeps exclude.")
    ] = False,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Choose the next trials worth running and write them as a sweep file; of a ladder, the next rung too.

    Without FILE, from the spaces of the sweeps in the results, else from all combinations of what was measured.
    """
    from bitskip.report.next_rung import rung_blocks, rungs_object
    from bitskip.report.suggestion import suggestion_blocks, suggestion_object, write_sweeps
    from bitskip.scaling.next_rung import next_rungs_of
    from bitskip.store.filesystem import is_folder
    from bitskip.store.folder import SweepFolder
    from bitskip.store.stored_design import PROGRAMS
    from bitskip.store.tables import load_results, sweep_folders
    from bitskip.sweep.suggest import measured_space, suggest, without_searches
    from bitskip.sweep.sweep_file import load_sweep

    results = or_reference(results) if file is None else results
    found = load_results(results) if file is None or is_folder(results) else None
    tell_problems(found.problems if found else ())
    files = (
        [file]
        if file
        else []
        if crossed
        else [d for f in sweep_folders(results) if (d := SweepFolder(f).design).exists()]
    )
    settings = (*(overrides or ()), "design=full")
    space: dict[TrialConfig, tuple[str, ...]] = {}
    programs: list[dict[str, Any]] = []
    for each in files:
        try:
            sweep = load_sweep(each, profile, settings, results)
        except UserError as error:
            if file is not None:
                raise
            print(f"bitskip: left out of the space: {error}", file=sys.stderr)  # such as one whose text is elsewhere
            continue
        programs.append({key: sweep.resolved[key] for key in PROGRAMS if sweep.resolved.get(key)})
        # Published defects teach the model nothing, and searches have chosen: they are for who names their file.
        wanted = [t for t in without_searches(sweep.trials) if not t.artefact] if file is None else sweep.trials
        space |= dict.fromkeys(wanted, sweep.tuned)
    if not space and found:
        space = measured_space(found)
    suggestions = suggest(found, space, count, by_cost=by_cost)
    if not suggestions:
        raise UserError(f"{results}: nothing was measured to suggest from; name a sweep file: bitskip suggest FILE")
    tuned = {trial.configuration_id: axes for trial, axes in space.items()}
    alone = programs[0] if programs and all(each == programs[0] for each in programs) else None
    written = write_sweeps(suggestions, output, tuned, alone)
    rungs = next_rungs_of(found) if found else []
    if as_json:
        print(json.dumps({**suggestion_object(suggestions, written), "rungs": rungs_object(rungs, results)}))
        return
    print_blocks([*rung_blocks(rungs, results), *suggestion_blocks(suggestions, written)])


@app.command()
def watch(
    folder: ResultsArgument = DEFAULT_RESULTS,
    once: Annotated[bool, typer.Option("--once", help="Show the state of now and stop.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds from one look to the next.", min=0.1)] = 2.0,
    web: Annotated[bool, typer.Option("--web", help="Serve the page of the report, with what runs on top.")] = False,
    port: Annotated[int, typer.Option(help="Where --web listens; 0 takes a free one.", min=0, max=65535)] = 8787,
    host: Annotated[
        str, typer.Option(help="Address that --web listens on; on one that others reach, a token is asked for.")
    ] = "127.0.0.1",
    as_json: JsonOption = False,
) -> None:
    """Watch sweeps run, from any shell that sees their results; ends when every trial has a result.

    With --web, in a browser, until Ctrl-C.
    """
    if web:
        from bitskip.report.web import serve

        serve(folder, host, port, as_json)
        return
    from rich.console import Console

    from bitskip.report.live import watch as look

    look(folder, Console(), once, as_json, interval)
    tell_next("report", folder, as_json=as_json)


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
    tell_next("report", folder, as_json=as_json)
