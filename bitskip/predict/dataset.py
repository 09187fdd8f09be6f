"""What the predictor needs of the results, as plain data that fits in a small JSON file: no Parquet, no full rows."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bitskip.analysis.factorial import SEQUENCES, Cell, Stratum, as_plain, strata
from bitskip.analysis.metrics import METRICS, Row, metric_named
from bitskip.analysis.regime import Regime, regimes

if TYPE_CHECKING:
    from bitskip.store.tables import Results


@dataclass(frozen=True)
class Measurements:
    """Strata whose rows hold `trial_id`, `seed`, `status` and `value`: the metric on its additive scale, or None.
    `usual` is the metric where none is named.

    `regimes` are those of the strata. `exits_json` holds [value, speed gain] of every exit by trial id and exit layer.
    It is JSON within JSON: the largest part is read only when an exit is asked for.
    """

    metric: str
    usual: str
    strata: tuple[Stratum, ...]
    regimes: tuple[Regime, ...]
    exits_json: str
    statuses: Mapping[str, int]
    problems: tuple[str, ...]

    @functools.cached_property
    def _exits(self) -> Mapping[str, Mapping[str, list[float | None]]]:
        exits: Mapping[str, Mapping[str, list[float | None]]] = json.loads(self.exits_json)
        return exits

    def _exit(self, row: Row, exit_layer: int) -> list[float | None]:
        return self._exits.get(str(row["trial_id"]), {}).get(str(exit_layer), [None, None])

    def at_exit(self, stratum: Stratum, exit_layer: int) -> Stratum:
        """The stratum with an exit's values in place of the full model's."""
        return _with_rows(stratum, lambda row: {**row, "value": self._exit(row, exit_layer)[0]})

    def speed_gains(self, stratum: Stratum, exit_layer: int) -> list[float]:
        """Of every trial of a stratum in which an exit's speed was measured."""
        gains = [self._exit(row, exit_layer)[1] for cell in stratum.cells for row in cell.rows]
        return [gain for gain in gains if gain is not None]


def _with_rows(stratum: Stratum, change: Callable[[Row], Row]) -> Stratum:
    """Without the trials that chose a recipe: what was chosen on them looks better there than it is."""
    changed = (replace(cell, rows=tuple(map(change, cell.rows)), search=()) for cell in stratum.cells)
    return replace(stratum, cells=tuple(changed))


def measure(results: Results, metric: str | None = None, *, include_artefacts: bool = False) -> Measurements:
    """The strata with a finished trial, the largest first, and their exits. Raises UserError for an unknown metric.

    Without `metric` it is that of the largest stratum.
    """
    everything = strata(results, include_artefacts=include_artefacts)
    usual = next((stratum.metric for stratum in everything if stratum.finished), "ppl")
    metric = usual if metric is None else metric
    named = metric_named(metric)
    read = named.read

    def reduced(row: Row) -> Row:
        known = {key: row[key] for key in ("trial_id", "seed", "status")}
        return {**known, "value": read(row) if row["status"] == "ok" else None}

    whole = [stratum for stratum in everything if stratum.finished and named.foreign == METRICS[stratum.metric].foreign]
    found = [_with_rows(stratum, reduced) for stratum in whole]
    exits: dict[str, dict[int, list[float | None]]] = {
        str(row["trial_id"]): {} for stratum in found for cell in stratum.cells for row in cell.rows
    }
    names = [name for name in results.exits.schema.names if name != SEQUENCES]
    for row in results.exits.select(names).to_pylist():
        if row["trial_id"] in exits:
            exits[row["trial_id"]][row["exit_layer"]] = [read(row), row["speed_gain"]]
    return Measurements(
        metric,
        usual,
        tuple(found),
        tuple(regimes(whole)),
        json.dumps(exits, separators=(",", ":")),
        Counter(results.trials["status"].to_pylist()),
        tuple(results.problems),
    )


def plain_measurements(measured: Measurements) -> dict[str, Any]:
    """JSON-ready; `measurements_from` is the inverse."""
    plain: dict[str, Any] = as_plain(measured)
    return plain


def measurements_from(plain: Mapping[str, Any]) -> Measurements:
    """Raises KeyError, TypeError or ValueError if the data is something else."""
    known = tupled(plain)
    found = [
        Stratum(**{**stratum, "cells": tuple(Cell(**cell) for cell in stratum["cells"])}) for stratum in known["strata"]
    ]
    places = tuple(Regime(**each) for each in known["regimes"])
    return Measurements(**{**known, "strata": tuple(found), "regimes": places})


def tupled(value: Any) -> Any:
    """Lists as tuples, all the way down: data as it was before JSON."""
    if type(value) is dict:
        return {key: tupled(item) for key, item in value.items()}
    # A list first: tuple() of a generator is slower, and there are thousands of rows.
    return tuple([tupled(item) for item in value]) if type(value) is list else value
