"""Rows of `evaluations` as what metrics are means of: sequences of domains, items of tasks."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bitskip.analysis.design_matrix import Array
from bitskip.analysis.metrics import CORRECT, DOMAINS, GOLD

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("trial_id", "kind", "name", "item", "exit_layer", "bits_per_byte", "loss", "bytes", "correct_per_byte")


def evaluated_pieces(evaluations: pa.Table, exit_layer: int | None = None) -> dict[str, dict[str, Array]]:
    """By trial, at that exit or of the full model, in the order of names and items: the keys of `metrics` for these.

    The mean of DOMAINS is that of all domains, each one's total loss over its total bytes; that of GOLD and of CORRECT
    is over items, whichever task they are of.
    """
    by_trial: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in evaluations.select(COLUMNS).to_pylist():
        by_trial[row["trial_id"]].append(row)
    found: dict[str, dict[str, Array]] = {}
    for trial_id, rows in by_trial.items():
        layer = exit_layer or max(row["exit_layer"] for row in rows)
        here = sorted((row for row in rows if row["exit_layer"] == layer), key=lambda row: (row["name"], row["item"]))
        tasks = [row for row in here if row["kind"] == "task"]
        judged = [row["correct_per_byte"] for row in tasks if row["correct_per_byte"] is not None]
        pieces = {
            DOMAINS: list(_shares([row for row in here if row["kind"] == "domain"])),
            GOLD: [row["bits_per_byte"] for row in tasks],
            CORRECT: judged,
        }
        found[trial_id] = {name: np.array(values, float) for name, values in pieces.items() if values}
    return found


def _shares(rows: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    """What each sequence has in the mean over domains of bits per byte, as a mean over sequences."""
    domains = [list(own) for _, own in itertools.groupby(rows, key=lambda row: row["name"])]
    for own in domains:
        unit = len(rows) / len(domains) / sum(row["bytes"] for row in own) / math.log(2)
        yield from (row["loss"] * unit for row in own)
