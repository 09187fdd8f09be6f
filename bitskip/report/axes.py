"""The table of all axes: `bitskip axes`, and docs/axes.md, which is its Markdown."""

from __future__ import annotations

from typing import Any

from bitskip.report.table import Block, Chapter, Column, Document, Text, tabulate
from bitskip.techniques import registry
from bitskip.techniques.axis import Axis
from bitskip.trial.config import AXES, PRESETS

HEAD = "Any of these can stand under base, space, a point or exclude. bitskip axes prints them, with those of plug-ins."

FOOT = (
    "bits is 16 or 2 … 8; weights defaults to ternary below 16 bits unless weight_bits is named; hadamard also takes "
    "booleans. An axis with a version under since is no part of the identity of a trial that has it at its neutral "
    "value, which is the default unless it says otherwise."
)


def values_text(entry: Axis) -> str:
    """The values that it takes."""
    return ", ".join(entry.choices or ()) or entry.bounds() or entry.kind.__name__


def _origin(entry: Axis) -> str:
    found = [p.name for p in registry.plug_ins() if p.technique is entry.technique]
    return found[0] if found else entry.since or ""


def default_text(entry: Axis) -> str:
    """Its default, with the neutral value where that is another."""
    told = str(entry.default) or "none"
    return told if entry.neutral == entry.default else f"{told} (neutral {entry.neutral})"


COLUMNS = (
    Column[Axis]("axis", lambda entry: entry.name),
    Column[Axis]("meaning", lambda entry: entry.doc),
    Column[Axis]("values", values_text),
    Column[Axis]("default", default_text),
    Column[Axis]("since", _origin),
)


PRESET_COLUMNS = (
    Column[str]("model", lambda name: name),
    Column[str]("layers", lambda name: str(PRESETS[name].layers)),
    Column[str]("width", lambda name: str(PRESETS[name].width)),
    Column[str]("heads / kv", lambda name: f"{PRESETS[name].heads} / {PRESETS[name].kv_heads}"),
    Column[str]("ffn", lambda name: str(PRESETS[name].ffn_width)),
)


def axes_document() -> Document:
    """All axes, and the presets of models."""
    axes: list[Block] = [Text([HEAD]), *tabulate("", AXES.values(), COLUMNS), Text([FOOT])]
    presets: list[Block] = list(tabulate("", PRESETS, PRESET_COLUMNS))
    return Document("Every axis", [Chapter("axes", "Axes", axes), Chapter("presets", "Model presets", presets)])


def axes_object() -> list[dict[str, Any]]:
    """One plain object per axis."""
    return [axis_object(entry) for entry in AXES.values()]


def axis_object(entry: Axis) -> dict[str, Any]:
    """An axis as plain data."""
    return {
        "axis": entry.name,
        "meaning": entry.doc,
        "kind": entry.kind.__name__,
        "choices": entry.choices,
        "low": entry.low,
        "high": entry.high,
        "below": entry.below,
        "default": entry.default,
        "neutral": entry.neutral,
        "since": entry.since,
        "technique": entry.technique.__name__ if entry.technique else None,
        "from": _origin(entry) if entry.since == "plug-in" else "bitskip",
    }
