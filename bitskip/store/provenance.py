"""What a results folder's rows were made with, and where rows that are compared differ in it.

A sweep that was resumed after an update, on another machine or with other threads mixes what its effects compare.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bitskip.store.schema import FINISHED

FACTS = ("git_sha", "host", "device", "threads", "niceness", "packed", "bitskip", "torch", "numpy", "python")
SCALE = ("model", "data", "tokens")
"""Rows that are equal in these can meet in one contrast."""

MATTERS = {
    "git_sha": "the code may have trained differently",
    "bitskip": "the code may have trained differently",
    "torch": "losses may differ in the last digits, speeds in more",
    "numpy": "text may have been drawn differently",
    "python": "speeds may differ",
    "host": "speeds are not comparable",
    "device": "speeds are not comparable, losses may differ in the last digits",
    "threads": "speeds are not comparable",
    "niceness": "speeds are not comparable",
    "packed": "training speeds and memory are not comparable",
}


@dataclass(frozen=True)
class Mixture:
    """A fact that differs between rows of one scale: its values, each with how many trials have it, and why to care."""

    what: str
    trials: Mapping[str, int]
    matters: str

    def line(self) -> str:
        """In words; a commit by its first digits."""
        shown = (f"{_short(self.what, value)} ({count})" for value, count in self.trials.items())
        return f"mixed {self.what}: {', '.join(shown)}: {self.matters}"


@dataclass(frozen=True)
class Provenance:
    """`trials` are those that are compared: with a result and without an artefact."""

    trials: int
    mixed: tuple[Mixture, ...]


def provenance(rows: Iterable[Mapping[str, Any]]) -> Provenance:
    """Where rows of `trials` that can meet in one contrast differ; what a row does not know is passed over."""
    scales: dict[tuple[Any, ...], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        if row["status"] in FINISHED and not row.get("artefact"):
            scales[tuple(row.get(name) for name in SCALE)].append(facts(row))
    mixed = []
    for what, matters in MATTERS.items():
        counts: Counter[str] = Counter()
        for group in scales.values():
            here = Counter(known[what] for known in group if what in known)
            if len(here) > 1:
                counts += here
        if counts:
            mixed.append(Mixture(what, dict(counts.most_common()), matters))
    return Provenance(sum(map(len, scales.values())), tuple(mixed))


def facts(row: Mapping[str, Any]) -> dict[str, str]:
    """What is known of how a row was made, as text."""
    known = dict(row)
    with contextlib.suppress(ValueError):
        known |= json.loads(row.get("versions") or "{}")
    return {name: str(known[name]) for name in FACTS if known.get(name) is not None}


def _short(what: str, value: str) -> str:
    return value[:8] + "+" * value.endswith("+") if what == "git_sha" else value
