"""What a report is made of: texts, tables and figures as plain data. Topics make them, renderers draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from bitskip.report.format import number_text

ALWAYS, FILES, DRAWN = "always", "files", "drawn"
"""Where a column is shown: everywhere; in files; as a drawing, on wide terminals."""


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
Read = Value | float | None
Item = TypeVar("Item")


@dataclass(frozen=True)
class Column(Generic[Item]):
    """How a cell is read off an item; a plain number is shown with four digits.

    `room` says where the column is shown, `short` is its name on a terminal.
    """

    name: str
    read: Callable[[Item], Read]
    room: str = ALWAYS
    short: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of a cell per column. `marks` tell them apart: `lead` stands out, a verdict has its colour.

    `note` stands below. A terminal may `cut` it after its first rows, or print `brief` in its place; a page lets
    readers `sort` it, and `filter` one.
    """

    title: str
    columns: Sequence[Column[Any]]
    rows: Sequence[Sequence[Value]]
    marks: Sequence[str]
    note: str = ""
    brief: str = ""
    cut: bool = False
    sort: bool = False
    filter: bool = False

    def only(self, *rooms: str) -> Table:
        """The table with the columns that are shown there."""
        kept = [at for at, column in enumerate(self.columns) if column.room in rooms]
        rows = [[row[at] for at in kept] for row in self.rows]
        return replace(self, columns=[self.columns[at] for at in kept], rows=rows)

    @cached_property
    def numeric(self) -> list[bool]:
        """By column, whether all its cells are numbers or empty."""
        return [not any(isinstance(cell, str) and cell for cell in cells) for cells in zip(*self.rows, strict=True)]


def number(value: float | None, show: Callable[[float], str] = number_text) -> Number:
    """A cell that sorts by the number it shows; empty where that is unknown."""
    return Number("" if value is None else show(value), value)


def _cell(read: Read) -> Value:
    return read if isinstance(read, str | Number | Interval) else number(read)


def tabulate(
    title: str,
    items: Iterable[Item],
    columns: Sequence[Column[Item]],
    mark: Callable[[Item], str] = lambda item: "",
    **options: Any,
) -> Iterator[Table]:
    """The table of some items, a row each, with the `options` of `Table`; none without items."""
    found = list(items)
    rows = [[_cell(column.read(item)) for column in columns] for item in found]
    if rows:
        yield Table(title, columns, rows, list(map(mark, found)), **options)


@dataclass(frozen=True)
class Text:
    """Lines that are paragraphs, or `points` of a list; none where the title alone opens a part of a chapter.

    `tone` is "", `strong`, `soft`, `warn` or `code`.
    """

    lines: Sequence[str]
    title: str = ""
    tone: str = ""
    points: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing as SVG markup, with an id of its own; `lines` can be picked by name."""

    anchor: str
    title: str
    caption: str
    svg: Any
    lines: bool


Block = Table | Text | Figure


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
