"""What a chart is made from, what it is, and the topics under which charts are registered."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from bitskip.analysis.student_t import CONFIDENCE, student_t_quantile
from bitskip.report.summary import Analysis, Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.4
"""Of a figure, in inches."""

Rows = list[dict[str, Any]]
_Key = TypeVar("_Key", bound=Hashable)
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Content:
    """What a chart shows of a sheet, on a figure of `height` inches.

    `draw` gets the figure's axes: one, or an array as `panels` (arguments of `Figure.subplots`) asks for it. `facts`
    fill in title and caption.
    """

    rows: Rows
    draw: Callable[[Any], None]
    height: float
    panels: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Chart:
    """`topic` is the part of the page that it belongs to; `lines` can be picked by name."""

    name: str
    topic: str
    title: str
    caption: str
    lines: bool
    content: Content

    @property
    def rows(self) -> Rows:
        """The data that it shows."""
        return self.content.rows

    def draw(self) -> Figure:
        """The figure, without pyplot, so that nothing is kept."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, self.content.height))
        FigureCanvasAgg(figure)
        self.content.draw(figure.subplots(**self.content.panels))
        return figure


About = Sheet | Analysis
"""What a chart is of: one scale, or all of them."""

Maker = Callable[[Any], Chart | None]
_TOPICS: list[Topic] = []


@dataclass(frozen=True)
class Topic:
    """A part of a report's page, and its charts in the order of their definition; `order` is its place on the page.

    Its charts are made from one scale (`Sheet`) or, with `across`, from all of them (`Analysis`).
    """

    key: str
    title: str
    order: int
    across: bool = False
    makers: list[Maker] = field(default_factory=list)

    def __post_init__(self) -> None:
        _TOPICS.append(self)

    def chart(self, name: str, title: str, lines: bool = False) -> Callable[[Callable[[Any], Content | None]], Maker]:
        """Registers a function that gives a chart's content; None, or no rows, where there is no data for it.

        Its docstring is the chart's caption.
        """

        def register(content_of: Callable[[Any], Content | None]) -> Maker:
            caption = " ".join((content_of.__doc__ or "").split())

            def make(about: About) -> Chart | None:
                found = content_of(about)
                if found is None or not found.rows:
                    return None
                head, text = title.format_map(found.facts), caption.format_map(found.facts)
                return Chart(name, self.key, head, text, lines, found)

            self.makers.append(make)
            return make

        return register


def registered() -> list[Topic]:
    """The topics of all modules that were imported, in their order."""
    return sorted(_TOPICS, key=lambda topic: topic.order)


def grouped(pairs: Iterable[tuple[_Key, _Item]]) -> dict[_Key, list[_Item]]:
    """Items by key, both in the order in which they come."""
    found: dict[_Key, list[_Item]] = defaultdict(list)
    for key, item in pairs:
        found[key].append(item)
    return found


def mean_and_half(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half of its 95 % Student interval; None with fewer than two values."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    quantile = student_t_quantile((1 + CONFIDENCE) / 2, len(values) - 1)
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))
