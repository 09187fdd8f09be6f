"""The next configurations of a design that learns from results: Optuna, or what the effect model suggests.

Nothing is kept between two batches but the results: the study is built from them anew each time, so that an interrupted
sweep goes on and a level can be added to an axis.
"""

from __future__ import annotations

import math
import random
import statistics
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bitskip.errors import UserError
from bitskip.store.tables import DONE, Results, load_results, sweep_folders
from bitskip.sweep.suggest import suggest_trials
from bitskip.sweep.sweep_file import Sweep
from bitskip.trial.config import TrialConfig

Chooser = Callable[[Sweep, Path, Sequence[int], int], list[int]]
"""(sweep, results, positions in its grid that have run, how many) to the positions to run next."""

Suggester = Callable[[Results | None, Iterable[TrialConfig], int], Sequence[TrialConfig]]
"""(results, configurations to choose from, how many) to trials worth running, best first."""

TRIES = 200
"""Proposals of Optuna for one configuration before it is drawn at random: most are excluded or have run."""

DIVERGED_MARGIN = 0.5
"""Nats above ln V that a diverged trial counts with: the loss from which on a trial is called diverged."""


def ask_optuna(sweep: Sweep, results: Path, ran: Sequence[int], count: int) -> list[int]:
    """Positions in the grid that Optuna's sampler proposes for the lowest loss, none of them excluded or run before.

    Replicates are one observation, their mean; a diverged one counts with the threshold of divergence.
    """
    import optuna

    grid = sweep.grid
    names = [f"{index} {axis}" for index, axis in enumerate(grid.axes)]
    labels = [tuple(map(repr, levels)) for levels in grid.levels]
    position = {label: at for at, label in enumerate(labels)}
    choices: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.CategoricalDistribution(tuple(dict.fromkeys(label[index] for label in labels)))
        for index, name in enumerate(names)
    }
    observed = _losses(sweep, results, ran)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(seed=len(ran), constant_liar=True)
            study = optuna.create_study(sampler=sampler)
            for at, loss in observed.items():
                params = dict(zip(names, labels[at], strict=True))
                study.add_trial(optuna.trial.create_trial(params=params, distributions=choices, value=loss))
            taken = set(ran)
            count = min(count, len(labels) - len(taken))
            chosen: list[int] = []
            for _ in range(TRIES * count):
                if len(chosen) == count:
                    break
                trial = study.ask(choices)
                at_proposed = position.get(tuple(trial.params[name] for name in names))
                if at_proposed is None or at_proposed in taken:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    continue
                taken.add(at_proposed)
                chosen.append(at_proposed)
    finally:
        optuna.logging.set_verbosity(verbosity)
    others = [at for at in range(len(labels)) if at not in taken]
    return chosen + random.Random(len(ran)).sample(others, min(count - len(chosen), len(others)))


def _losses(sweep: Sweep, results: Path, ran: Sequence[int]) -> dict[int, float]:
    """Mean loss of the replicates of what has run, nats per token."""
    rows = _rows(results)
    found = {}
    for at in ran:
        configuration = sweep.grid.configurations[at]
        ceiling = math.log(configuration.data.vocab_size) + DIVERGED_MARGIN
        trials = [rows.get(replace(configuration, seed=seed).trial_id) for seed in sweep.seeds]
        finished = [row for row in trials if row is not None and row["status"] in DONE]
        losses = [row["loss"] if row["loss"] is not None else ceiling for row in finished]
        if losses:
            found[at] = statistics.mean(losses)
    return found


def _rows(results: Path) -> dict[str, Mapping[str, Any]]:
    found = _results(results)
    return {row["trial_id"]: row for row in found.trials.to_pylist()} if found else {}


def _results(results: Path) -> Results | None:
    try:
        sweep_folders(results)
    except UserError:
        return None  # nothing has run yet
    return load_results(results)


def guided(suggest: Suggester) -> Chooser:
    """A chooser that takes the configurations which `suggest` finds most informative; suggested seeds are left out."""

    def choose(sweep: Sweep, results: Path, ran: Sequence[int], count: int) -> list[int]:
        configurations = sweep.grid.configurations
        position = {configuration.configuration_id: at for at, configuration in enumerate(configurations)}
        found = _results(results)
        asked = count
        while True:
            trials = suggest(found, configurations, asked)
            proposed = dict.fromkeys(position.get(trial.configuration_id, -1) for trial in trials)
            fresh = [at for at in proposed if at >= 0 and at not in set(ran)]
            if len(fresh) >= count or asked >= 4 * len(configurations):
                return fresh[:count]
            asked *= 2

    return choose


CHOOSERS: dict[str, Chooser] = {"optuna": ask_optuna, "guided": guided(suggest_trials)}
"""What chooses for each adaptive design."""
