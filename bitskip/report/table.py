"""What a report is made of: texts, tables and figures as plain data. Topics make them, renderers draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

ALWAYS, ROOMY, FILES, DRAWN = "always", "roomy", "files", "drawn"
"""Where a column is shown: everywhere; in files, and on a terminal that has the room; in files; as a drawing, on wide
terminals."""


@dataclass(frozen=True)
class Number:
    """A number as it is shown, and the value that a page sorts by; what has none comes last."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, drawn to the scale of its column where that is `DRAWN`."""

    low: float | None
    value: float
    high: float | None


Value = str | Number | Interval
Item = TypeVar("Item")


@dataclass(frozen=True)
class Column(Generic[Item]):
    """How a cell is read off an item. `short` is its name on a terminal; `room` says where it is shown at all."""

    name: str
    read: Callable[[Item], Value]
    room: str = ALWAYS
    short: str = ""


@dataclass(frozen=True)
class Head:
    """A column's name. Of a `number` all cells are numbers, or empty."""

    name: str
    number: bool
    room: str = ALWAYS
    short: str = ""


@dataclass(frozen=True)
class Table:
    """`marks` tell rows apart: `lead` stands out, a verdict has its colour. `note` stands below.

    A terminal may `cut` it after its first rows; a page lets readers `sort` it, and `filter` the one that is told so.
    """

    kind: ClassVar[str] = "table"

    title: str
    heads: Sequence[Head]
    rows: Sequence[Sequence[Value]]
    marks: Sequence[str]
    note: str = ""
    cut: bool = False
    sort: bool = False
    filter: bool = False

    def only(self, *rooms: str) -> Table:
        """The table with the columns that are shown there."""
        return self.keep([at for at, head in enumerate(self.heads) if head.room in rooms])

    def keep(self, places: Sequence[int]) -> Table:
        """The table with some of its columns."""
        rows = [[row[at] for at in places] for row in self.rows]
        return replace(self, heads=[self.heads[at] for at in places], rows=rows)


def tabulate(
    title: str,
    items: Iterable[Item],
    columns: Sequence[Column[Item]],
    mark: Callable[[Item], str] = lambda item: "",
    **options: Any,
) -> Iterator[Table]:
    """The table of some items, a row each, with the `options` of `Table`; none without items."""
    found = list(items)
    rows = [[column.read(item) for column in columns] for item in found]
    heads = [
        Head(each.name, not any(isinstance(row[at], str) and row[at] for row in rows), each.room, each.short)
        for at, each in enumerate(columns)
    ]
    if rows:
        yield Table(title, heads, rows, list(map(mark, found)), **options)


@dataclass(frozen=True)
class Text:
    """Lines that are paragraphs, or `points` of a list. `tone` is "", `strong`, `soft`, `warn` or `code`."""

    kind: ClassVar[str] = "text"

    lines: Sequence[str]
    title: str = ""
    tone: str = ""
    points: bool = False


@dataclass(frozen=True)
class Heading:
    """Opens a part of a chapter."""

    kind: ClassVar[str] = "heading"

    title: str


@dataclass(frozen=True)
class Figure:
    """A drawing as SVG markup, with an id of its own; `lines` can be picked by name."""

    kind: ClassVar[str] = "figure"

    anchor: str
    title: str
    caption: str
    svg: Any
    lines: bool


Block = Table | Text | Heading | Figure


@dataclass(frozen=True)
class Chapter:
    """`anchor` is its id on a page."""

    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    title: str
    chapters: Sequence[Chapter]


def shown_text(value: Value) -> str:
    """A cell in words; empty for what is only drawn."""
    return value if isinstance(value, str) else value.text if isinstance(value, Number) else ""


def printable(text: str) -> str:
    """Without control characters, which a terminal or a reader of Markdown would obey."""
    return "".join(char if char.isprintable() else " " for char in text)
