"""The command that searches a setting of the recipe for every arm and rung of a sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitskip.cli.app import (
    DEFAULT_RESULTS,
    AddressOption,
    ExecutorOption,
    JsonOption,
    MaxRungOption,
    MaxTrialsOption,
    ProfileOption,
    ResultsOption,
    RetryOption,
    SetOption,
    TimeBudgetOption,
    app,
    print_blocks,
    results_words,
    tell_next,
)
from bitskip.cli.sweeps import finished, interrupted
from bitskip.errors import UserError
from bitskip.extras import require

if TYPE_CHECKING:
    from bitskip.engine.plan import Plan


@app.command()
def tune(
    file: Annotated[Path, typer.Argument(help="Sweep file, such as sweeps/ladder.yaml.")],
    axis: Annotated[str, typer.Option(help="What to search: lr or batch_size.")] = "lr",
    seeds: Annotated[str | None, typer.Option(metavar="N,…", help="Seeds that the sweep does not use.")] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is known and what is to run, and stop.")] = False,
    max_trials: MaxTrialsOption = None,
    max_rung: MaxRungOption = None,
    time_budget: TimeBudgetOption = None,
    retry: RetryOption = None,
    executor: ExecutorOption = None,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search the learning rate, or the batch size, of every precision and rotation at every rung of a sweep.

    Its trials are rows of the sweep NAME_tuning; `tuned.yaml` beside them has the rules for a sweep file.
    """
    from rich.console import Console

    from bitskip.engine.executors import open_executor
    from bitskip.engine.executors.inline import Inline
    from bitskip.engine.plan import Limits
    from bitskip.engine.search import Run, run_search
    from bitskip.report.live import view
    from bitskip.report.plan import plan_object, print_plan
    from bitskip.report.tuning import search_blocks, search_object
    from bitskip.sweep.resources import local_slots
    from bitskip.sweep.rules import SEARCH, SEARCHED
    from bitskip.sweep.search import stored_losses
    from bitskip.sweep.sweep_file import load_sweep

    limits = Limits.parse(max_trials, time_budget, retry, max_rung=max_rung)
    if axis not in SEARCHED:
        raise UserError(f"--axis: '{axis}' is not one of {', '.join(SEARCHED)}")
    wanted = SEARCH if seeds is None else f"{{{SEARCH}: [{seeds}]}}"
    design = load_sweep(file, profile, [*(overrides or ()), f"tuned.{axis}={wanted}"], results)
    search = design.search
    assert search is not None
    console = Console(stderr=as_json)

    def announce(plan: Plan) -> None:
        found = plan_object(plan)
        if as_json:
            print(json.dumps({"event": "plan", **found}), flush=True)
        else:
            print_plan(plan, console, found)

    end = None
    if not dry_run:
        require("torch")
        runner = open_executor(executor, address or design.resources.address)
        slots = 1 if isinstance(runner, Inline) else local_slots(design.resources)
        try:
            end = run_search(
                search, Run(results, limits, runner, announce, lambda plan: view(plan, console, slots, as_json))
            )
        except KeyboardInterrupt as signal:
            interrupted(results / search.name, signal)
    found = search.survey(stored_losses(results, sequences=True))
    least = search.trials_at_least(found, max_rung)
    if as_json:
        print(json.dumps({**({} if dry_run else {"event": "tuned"}), **search_object(search, found, least)}))
    else:
        print_blocks(search_blocks(search, found, least))
    if end is None:
        tell_next("tune", file, *results_words(results), as_json=as_json)
    else:
        finished(end, results, as_json)
