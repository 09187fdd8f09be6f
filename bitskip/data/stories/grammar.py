"""From a cast and a plot to the text of a story."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bitskip.data.stories import lexicon
from bitskip.data.stories.cast import draw_cast
from bitskip.data.stories.draws import Draws
from bitskip.data.stories.plots import PLOTS

GENERATOR_VERSION = 1
"""Part of every cache key: raised when the text of a story changes."""

Templates = tuple[str, ...]


@dataclass(frozen=True)
class Plot:
    """Steps in order, each with its paraphrases, and endings; templates with %-slots."""

    name: str
    keeps_treasure: bool
    steps: tuple[Templates, ...]
    endings: Templates


_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCE_START_ELDER = re.compile(r'(^"?|[.!?]"? )\{G\}')


def template(text: str) -> str:
    """`{slot}` as a %-template, with the elder capitalised at the start of a sentence."""
    text = _SENTENCE_START_ELDER.sub(r"\1{GC}", text)
    return _SLOT.sub(r"%(\1)s", text.replace("%", "%%"))


def _templates(lines: Iterable[str]) -> Templates:
    return tuple(template(line) for line in lines)


def _parse(paragraph: str) -> Plot:
    head, *lines = paragraph.splitlines()
    name, _, fate = head.partition(", ")
    if fate not in ("keeps", "gives"):
        raise ValueError(f"plot '{head}': the first line must end in ', keeps' or ', gives'")
    steps = tuple(_templates(line.split(" | ")) for line in lines if not line.startswith("="))
    endings = _templates(line[1:] for line in lines if line.startswith("="))
    return Plot(name, fate == "keeps", steps, endings)


_PLOTS = tuple(_parse(paragraph) for paragraph in PLOTS.strip().split("\n\n"))
PLOT_NAMES: tuple[str, ...] = tuple(plot.name for plot in _PLOTS)

_OPENINGS = _templates(lexicon.OPENINGS)
_BELONGINGS = _templates(lexicon.BELONGINGS)
_FRIENDS = _templates(lexicon.FRIENDS)
_WEATHER = _templates(lexicon.WEATHER)
_ASIDES = _templates(lexicon.ASIDES)
_MEMORIES = {True: _templates(lexicon.KEEPS_MEMORIES), False: _templates(lexicon.GIVES_MEMORIES)}
_CLOSINGS = _templates(lexicon.CLOSINGS)


def plot_of(seed: int, index: int) -> str:
    """Name of the plot that story (seed, index) tells."""
    return Draws(seed, index).pick(_PLOTS).name


def story(seed: int, index: int) -> str:
    """Story number `index` of a seed: about 100 to 300 words, paragraphs parted by a newline."""
    draws = Draws(seed, index)
    plot = draws.pick(_PLOTS)
    slots = draw_cast(draws)
    opening = [draws.pick(_OPENINGS), draws.pick(_BELONGINGS), draws.pick(_FRIENDS)]
    body = [draws.pick(step) for step in plot.steps]
    if draws.below(2):
        opening.append(draws.pick(_WEATHER))
    if draws.below(2):
        body.insert(1 + draws.below(len(body) - 1), draws.pick(_ASIDES))
    closing = [draws.pick(plot.endings)]
    if draws.below(3):
        closing.insert(0, draws.pick(_MEMORIES[plot.keeps_treasure]))
    if draws.below(2):
        closing.append(draws.pick(_CLOSINGS))
    half = 1 + draws.below(len(body) - 1)
    paragraphs = (opening, body[:half], body[half:], closing)
    return "\n".join(" ".join(paragraph) for paragraph in paragraphs) % slots


def stories(seed: int) -> Iterator[str]:
    """story(seed, 0), story(seed, 1), … without end."""
    return (story(seed, index) for index in itertools.count())
