"""What is told around a plot: openings, belongings, friends, weather, threads and closings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitskip.data.stories.markup import Line, compile_line, compile_lines, table_lines
from bitskip.data.stories.texts import read_tables


@dataclass(frozen=True)
class Frames:
    """The sentences that suit one world; a thread is begun before the plot and taken up after it."""

    openings: tuple[Line, ...]
    belongings: tuple[Line, ...]
    friends: tuple[Line, ...]
    threads: tuple[tuple[Line, Line], ...]
    keeps: tuple[Line, ...]
    gives: tuple[Line, ...]
    recaps: tuple[tuple[Line, Line], ...]
    closings: tuple[Line, ...]


def _lines(text: str) -> tuple[Line, ...]:
    return compile_lines(table_lines(text))


def _pairs(text: str, separator: str = " || ") -> tuple[tuple[Line, Line], ...]:
    pairs = []
    for line in table_lines(text):
        first, second = line.split(separator)
        pairs.append((compile_line(first), compile_line(second)))
    return tuple(pairs)


_SENTENCES = read_tables("sentences.toml")
WEATHER = {season: _pairs(text) for season, text in _SENTENCES["weather"].items()}
ASIDES = _lines(_SENTENCES["asides"])
BRIEF = {False: _lines(_SENTENCES["brief"]), True: _lines(_SENTENCES["brief_alone"])}
"""Whole openings of terse stories, by whether the friend is still to be met."""

MORAL_LEADS = (*_lines(_SENTENCES["moral_leads"]), (), ())
"""An empty lead leaves the moral a sentence of its own."""


def _frames(table: Mapping[str, str]) -> Frames:
    return Frames(
        openings=_lines(table["openings"]),
        belongings=_lines(table["belongings"]),
        friends=_lines(table["friends"]),
        threads=_pairs(table["threads"]),
        keeps=_lines(table["keeps"]),
        gives=_lines(table.get("gives", table["keeps"])),
        recaps=_pairs(_SENTENCES["recaps"] + table.get("recaps", ""), "#"),
        closings=_lines(table["closings"]),
    )


_LIVING = _frames(_SENTENCES["living"])
FRAMES = {
    "child": _LIVING,
    "animal": _LIVING,
    "machine": _frames(_SENTENCES["machine"]),
    "toy": _frames(_SENTENCES["toy"]),
}
"""By the world of the hero."""
