"""What the predictor needs of the results, as plain data that fits in a small JSON file: no Parquet, no full rows."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bitskip.analysis.factorial import Cell, Stratum, strata
from bitskip.analysis.levels import Levels
from bitskip.analysis.metrics import Row

if TYPE_CHECKING:
    from bitskip.store.tables import Results

TRIAL_KEYS = ("trial_id", "seed", "status", "loss", "ppl", "bpb", "best_exit_speed_gain")
EXIT_KEYS = ("loss", "ppl", "bpb", "speed_gain")


@dataclass(frozen=True)
class Measurements:
    """Strata whose rows hold TRIAL_KEYS only, and EXIT_KEYS of every exit by trial id and exit layer."""

    strata: tuple[Stratum, ...]
    exits: Mapping[str, Mapping[int, Row]]
    statuses: Mapping[str, int]
    problems: tuple[str, ...]

    def at_exit(self, stratum: Stratum, exit_layer: int) -> Stratum:
        """The stratum with an exit's measures in place of the full model's."""
        unknown = dict.fromkeys(EXIT_KEYS)

        def at(row: Row) -> Row:
            return {**row, **self.exits.get(str(row["trial_id"]), {}).get(exit_layer, unknown)}

        cells = tuple(replace(cell, rows=tuple(map(at, cell.rows))) for cell in stratum.cells)
        return replace(stratum, cells=cells)


def measure(results: Results, *, include_artefacts: bool = False) -> Measurements:
    """The strata with a finished trial, the largest first, and their exits."""
    found = [
        replace(
            stratum,
            cells=tuple(
                replace(cell, rows=tuple({key: row.get(key) for key in TRIAL_KEYS} for row in cell.rows))
                for cell in stratum.cells
            ),
        )
        for stratum in strata(results, include_artefacts=include_artefacts)
        if stratum.finished
    ]
    known = {row["trial_id"] for stratum in found for cell in stratum.cells for row in cell.rows}
    exits: dict[str, dict[int, Row]] = {}
    for row in results.exits.to_pylist():
        if row["trial_id"] in known:
            exits.setdefault(row["trial_id"], {})[row["exit_layer"]] = {key: row[key] for key in EXIT_KEYS}
    statuses: dict[str, int] = {}
    for status in results.trials["status"].to_pylist():
        statuses[status] = statuses.get(status, 0) + 1
    return Measurements(tuple(found), exits, statuses, tuple(results.problems))


def plain_measurements(measured: Measurements) -> dict[str, Any]:
    """JSON-ready; `measurements_from` is the inverse."""
    return {
        "strata": [
            {
                "label": stratum.label,
                "scale": dict(stratum.scale),
                "baseline": stratum.baseline,
                "cells": [
                    {
                        "levels": cell.levels,
                        "rows": [[row[key] for key in TRIAL_KEYS] for row in cell.rows],
                        "recipe": dict(cell.recipe),
                    }
                    for cell in stratum.cells
                ],
            }
            for stratum in measured.strata
        ],
        # JSON within JSON: the largest part is read only when an exit is asked for.
        "exits": json.dumps(
            {
                trial_id: {str(layer): [row[key] for key in EXIT_KEYS] for layer, row in exits.items()}
                for trial_id, exits in measured.exits.items()
            },
            separators=(",", ":"),
        ),
        "statuses": dict(measured.statuses),
        "problems": measured.problems,
    }


class _LaterExits(Mapping[str, Mapping[int, Row]]):
    """The exits of `plain_measurements`, read from their JSON at first use."""

    def __init__(self, text: str) -> None:
        self._text = text

    @functools.cached_property
    def _rows(self) -> dict[str, dict[int, Row]]:
        return {
            trial_id: {int(layer): dict(zip(EXIT_KEYS, row, strict=True)) for layer, row in exits.items()}
            for trial_id, exits in json.loads(self._text).items()
        }

    def __getitem__(self, trial_id: str) -> Mapping[int, Row]:
        return self._rows[trial_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def levels_from(plain: Sequence[Any]) -> Levels:
    """Levels of a cell as they were before JSON: a value or a flat tuple for each technique."""
    return tuple([tuple(level) if type(level) is list else level for level in plain])


def tupled(value: Any) -> Any:
    """Lists as tuples, all the way down: levels as they were before JSON."""
    return tuple([tupled(item) if type(item) is list else item for item in value]) if type(value) is list else value


def measurements_from(plain: Mapping[str, Any]) -> Measurements:
    """Raises KeyError, TypeError or ValueError if the data is something else."""
    return Measurements(
        strata=tuple(
            Stratum(
                label=stratum["label"],
                scale={name: tupled(value) for name, value in stratum["scale"].items()},
                baseline=tupled(stratum["baseline"]),
                cells=tuple(
                    Cell(
                        levels_from(cell["levels"]),
                        tuple(dict(zip(TRIAL_KEYS, row, strict=True)) for row in cell["rows"]),
                        cell["recipe"],
                    )
                    for cell in stratum["cells"]
                ),
            )
            for stratum in plain["strata"]
        ),
        exits=_LaterExits(str(plain["exits"])),
        statuses=plain["statuses"],
        problems=tuple(plain["problems"]),
    )
