"""From a plot and its cast to the text of a story."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from bitskip.data.stories import frame
from bitskip.data.stories.cast import DAYS, PLACES, THINGS, Slots, draw_cast
from bitskip.data.stories.draws import Draws
from bitskip.data.stories.markup import (
    Line,
    Part,
    capitalised,
    compile_line,
    compile_lines,
    table_lines,
)
from bitskip.data.stories.texts import read_entries

GENERATOR_VERSION = 2
"""Part of every cache key: raised when the text of a story changes."""

DEFAULTS = {"place": "outdoor", "thing": "pocket toy music wear carry", "hero": "child animal"}
SEASONS = tuple(DAYS)


@dataclass(frozen=True)
class Plot:
    """What may happen, and who and what it suits; each step has its paraphrases."""

    name: str
    worlds: tuple[str, ...]
    things: tuple[str, ...]
    places: tuple[Slots, ...]
    seasons: tuple[str, ...]
    keeps: bool
    friend_is_new: bool
    steps: tuple[tuple[Line, ...], ...]
    optional: tuple[bool, ...]
    aside_before: int
    endings: tuple[Line, ...]
    morals: tuple[tuple[Line, Line], ...]
    recaps: tuple[Line, ...]


def parse_plot(paragraph: str) -> Plot:
    """A plot from its entry in the table (see `plots.txt` for the notation)."""
    head, *lines = table_lines(paragraph)
    name, *settings = head.split("; ")
    options = DEFAULTS | dict(setting.split("=", 1) for setting in settings)
    steps = [line for line in lines if line[0] not in "=!>@"]
    narrative = [line for line in lines if line[0] not in "=!>"]
    return Plot(
        name=name,
        worlds=tuple(options["hero"].split()),
        things=tuple(thing for group in options["thing"].split() for thing in THINGS[group]),
        places=tuple(place for group in options["place"].split() for place in PLACES[group]),
        seasons=tuple(options.get("season", " ".join(SEASONS)).split()),
        keeps=options.get("fate") != "gives",
        friend_is_new=options.get("friend") == "new",
        steps=tuple(compile_lines(line.removeprefix("?").split(" | ")) for line in steps),
        optional=tuple(line[0] == "?" for line in steps),
        aside_before=narrative.index("@"),
        endings=compile_lines(line[1:] for line in lines if line[0] == "="),
        morals=tuple((compile_line(line[1:]), compile_line(capitalised(line[1:]))) for line in lines if line[0] == "!"),
        recaps=compile_lines(line[1:] for line in lines if line[0] == ">"),
    )


ENTRIES = tuple(read_entries("plots.txt"))
PLOT_NAMES = tuple(entry.splitlines()[0].split("; ")[0] for entry in ENTRIES)


@cache
def plot_number(number: int) -> Plot:
    """Plots are compiled when first told, which keeps the import cheap."""
    return parse_plot(ENTRIES[number])


def outline(seed: int, index: int) -> tuple[Plot, str, Slots, Draws]:
    """Plot, world and cast of a story, and the choices that are left to make."""
    draws = Draws(seed, index)
    plot = plot_number(draws.below(len(ENTRIES)))
    world = draws.pick(plot.worlds)
    return plot, world, draw_cast(draws, world, plot.things, plot.places), draws


def story(seed: int, index: int) -> str:
    """Story number `index` of a seed; its paragraphs are parted by a newline."""
    plot, world, slots, draws = outline(seed, index)
    frames = frame.FRAMES[world]
    season = draws.pick(plot.seasons)
    slots["day"] = draws.pick(DAYS[season])
    slots["season"] = season
    lavish = draws.below(8)
    """How much is told around the plot: 0 little … 7 much."""

    weather = draws.pick(frame.WEATHER[season]) if draws.below(8) < lavish else None
    first = draws.below(len(frames.threads))
    begun = int(draws.below(8) < lavish) + int(lavish > 5)
    threads = [frames.threads[first - number] for number in range(begun)]
    recap = draws.pick(plot.recaps) if draws.below(9) < lavish else None

    parts: list[Part] = []
    add = parts.append
    if lavish < 2:
        parts += draws.pick(frame.BRIEF[plot.friend_is_new])
    else:
        parts += draws.pick(frames.openings)
        add(" ")
        parts += draws.pick(frames.belongings)
        if not plot.friend_is_new:
            add(" ")
            parts += draws.pick(frames.friends)
    for setup, _ in threads:
        add(" ")
        parts += setup
    if weather:
        add("\n")
        parts += weather[0]
    separator = " " if weather else "\n"
    half = 2 + draws.below(len(plot.steps) - 3)
    for number, step in enumerate(plot.steps):
        if number == plot.aside_before and draws.below(10) < lavish:
            add(separator)
            parts += draws.pick(frame.ASIDES)
            separator = " "
        if plot.optional[number] and draws.below(7) > lavish:
            continue
        add("\n" if number == half else separator)
        parts += draws.pick(step)
        separator = " "
    add(" ")
    parts += draws.pick(plot.endings)
    separator = "\n"
    if weather and draws.below(2):
        add(separator)
        parts += weather[1]
        separator = " "
    if draws.below(8) < lavish:
        add(separator)
        parts += draws.pick(frames.keeps if plot.keeps else frames.gives)
        separator = " "
    for _, payoff in threads:
        add(separator)
        parts += payoff
        separator = " "
    if recap:
        before, after = draws.pick(frames.recaps)
        add(separator)
        parts += (*before, *recap, *after)
        separator = " "
    if draws.below(8) < 2 + lavish // 3:
        clause, sentence = draws.pick(plot.morals)
        lead = draws.pick(frame.MORAL_LEADS)
        add("\n" if separator == " " else separator)
        parts += (*lead, " ", *clause, ".") if lead else (*sentence, ".")
        separator = " "
    if separator == "\n" or draws.below(8) < lavish:
        add(separator)
        parts += draws.pick(frames.closings)
    pick = draws.pick
    return "".join([part if isinstance(part, str) else pick(part) for part in parts]) % slots


def stories(seed: int) -> Iterator[str]:
    """story(seed, 0), story(seed, 1), … without end."""
    return (story(seed, index) for index in itertools.count())
