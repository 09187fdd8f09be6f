"""The next configurations of a design that learns from results: Optuna, or what `suggest` proposes around what ran.

Nothing is kept between two batches but the results: the study is built from them anew each time, so that an interrupted
sweep goes on and a level can be added to an axis.
"""

from __future__ import annotations

import math
import random
import statistics
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bitskip.analysis.metrics import METRICS, usual_metric
from bitskip.errors import UserError
from bitskip.store.schema import FINISHED
from bitskip.trial.config import TrialConfig

if TYPE_CHECKING:
    from bitskip.store.tables import Results
    from bitskip.sweep.suggest import Suggestion
    from bitskip.sweep.sweep_file import Sweep

Chooser = Callable[["Sweep", Path, Sequence[int], int], list[int]]
"""(sweep, results, positions in its grid that have run, how many) to the positions to run next."""

Suggester = Callable[["Results | None", Iterable[TrialConfig], int], "Sequence[Suggestion]"]
"""(results, configurations to choose from, how many) to trials worth running, best first."""

TRIES = 200
"""Proposals of Optuna for one configuration before it is drawn at random: most are excluded or have run."""

DIVERGED_MARGIN = 0.5
"""Nats above ln V that a diverged trial counts with: the loss from which on a trial is called diverged."""


def choose_optuna(sweep: Sweep, results: Path, ran: Sequence[int], count: int) -> list[int]:
    """Positions in the grid that Optuna's sampler proposes for the lowest loss, none of them excluded or run before.

    Replicates are one observation, their mean; a diverged one counts with the threshold of divergence.
    """
    import optuna

    names = [f"{index} {axis}" for index, axis in enumerate(sweep.grid.axes)]
    labels = [tuple(map(repr, levels)) for levels in sweep.grid.levels]
    position = {label: at for at, label in enumerate(labels)}
    choices: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.CategoricalDistribution(tuple(dict.fromkeys(column)))
        for name, column in zip(names, zip(*labels, strict=True), strict=True)
    }
    chosen: list[int] = []
    free = dict.fromkeys(at for at in range(len(labels)) if at not in set(ran))
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=len(ran), constant_liar=True))
            for at, loss in _losses(sweep, results, ran).items():
                params = dict(zip(names, labels[at], strict=True))
                study.add_trial(optuna.trial.create_trial(params=params, distributions=choices, value=loss))
            for _ in range(TRIES * min(count, len(free))):
                trial = study.ask(choices)
                at = position.get(tuple(trial.params[name] for name in names), -1)
                if at not in free:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    continue
                del free[at]
                chosen.append(at)
                if len(chosen) == count or not free:
                    break
    finally:
        optuna.logging.set_verbosity(verbosity)
    return chosen + random.Random(len(ran)).sample(list(free), min(count - len(chosen), len(free)))


def _losses(sweep: Sweep, results: Path, ran: Sequence[int]) -> dict[int, float]:
    """Mean loss of the replicates of what has run, nats per token; of another measure of a program what is to be
    lowered on the scale where its effects add up, and as bad as the worst where it diverged.
    """
    measured = _results(results)
    rows = {row["trial_id"]: row for row in measured.trials.to_pylist()} if measured else {}
    metric = METRICS[usual_metric(rows.values())]
    values = {key: -metric.better * value for key, row in rows.items() if (value := metric.read(row)) is not None}
    worst = max(values.values(), default=0.0) if metric.foreign else None
    found = {}
    for at in ran:
        configuration = sweep.grid.configurations[at]
        ceiling = math.log(configuration.data.vocab_size) + DIVERGED_MARGIN if worst is None else worst
        trials = [rows.get(replace(configuration, seed=seed).trial_id) for seed in sweep.seeds]
        finished = [row for row in trials if row is not None and row["status"] in FINISHED]
        if finished:
            found[at] = statistics.mean(values.get(row["trial_id"], ceiling) for row in finished)
    return found


def choose_guided(
    sweep: Sweep, results: Path, ran: Sequence[int], count: int, suggest: Suggester | None = None
) -> list[int]:
    """Positions in the grid that `suggest` proposes; suggested seeds are left out."""
    from bitskip.sweep.suggest import suggest as informative

    configurations = sweep.grid.configurations
    position = {configuration.configuration_id: at for at, configuration in enumerate(configurations)}
    measured = _results(results)
    asked = count
    while True:
        suggested = (suggest or informative)(measured, configurations, asked)
        proposed = dict.fromkeys(position.get(each.trial.configuration_id, -1) for each in suggested)
        fresh = [at for at in proposed if at >= 0 and at not in set(ran)]
        if len(fresh) >= count or asked >= 4 * len(configurations):
            return fresh[:count]
        asked *= 2


def _results(folder: Path) -> Results | None:
    from bitskip.store.tables import load_results, sweep_folders  # not where a sweep file is only read

    try:
        sweep_folders(folder)
    except UserError:
        return None  # nothing has run yet
    return load_results(folder)
