"""What is told around a plot: openings, belongings, friends, weather, threads and closings."""

from __future__ import annotations

from dataclasses import dataclass

from bitskip.data.stories import sentences
from bitskip.data.stories.markup import Line, compile_line, compile_lines, table_lines


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


WEATHER = {season: _pairs(text) for season, text in sentences.WEATHER.items()}
ASIDES = _lines(sentences.ASIDES)
BRIEF = {False: _lines(sentences.BRIEF), True: _lines(sentences.BRIEF_ALONE)}
"""Whole openings of terse stories, by whether the friend is still to be met."""

MORAL_LEADS = (*_lines(sentences.MORAL_LEADS), (), ())
"""An empty lead leaves the moral a sentence of its own."""

_LIVING = Frames(
    _lines(sentences.OPENINGS),
    _lines(sentences.BELONGINGS),
    _lines(sentences.FRIENDS),
    _pairs(sentences.THREADS),
    _lines(sentences.KEEPS),
    _lines(sentences.GIVES),
    _pairs(sentences.RECAPS, "#"),
    _lines(sentences.CLOSINGS),
)
_MACHINES = Frames(
    _lines(sentences.MACHINE_OPENINGS),
    _lines(sentences.MACHINE_BELONGINGS),
    _lines(sentences.MACHINE_FRIENDS),
    _pairs(sentences.MACHINE_THREADS),
    _lines(sentences.MACHINE_KEEPS),
    _lines(sentences.MACHINE_KEEPS),
    _pairs(sentences.PLAIN_RECAPS, "#"),
    _lines(sentences.MACHINE_CLOSINGS),
)
_TOYS = Frames(
    _lines(sentences.TOY_OPENINGS),
    _lines(sentences.TOY_BELONGINGS),
    _lines(sentences.TOY_FRIENDS),
    _pairs(sentences.TOY_THREADS),
    _lines(sentences.TOY_KEEPS),
    _lines(sentences.TOY_GIVES),
    _pairs(sentences.PLAIN_RECAPS, "#"),
    _lines(sentences.TOY_CLOSINGS),
)
_BY_WORLD = {"child": _LIVING, "animal": _LIVING, "machine": _MACHINES, "toy": _TOYS}


def frames(world: str) -> Frames:
    return _BY_WORLD[world]
