"""A report on the terminal. Text from files, sweeps and errors is shown as it is, never read as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table as Grid
from rich.text import Text as Line

from bitskip.report.table import (
    ALWAYS,
    DRAWN,
    Block,
    Document,
    Interval,
    Table,
    Text,
    Value,
    printable,
    shown_text,
)

WIDE, BAR = 105, 25
"""Columns of a terminal from which roomy columns are drawn, too, and those that an interval takes."""

ROWS = 15
"""Rows of a long table; `report --json` has all of them."""

LONGEST_IN_ONE_PIECE, LEAST_OF_A_LONG_ONE = 18, 12
"""Characters up to which a cell is not broken over lines, where that leaves longer ones as many as this."""

STYLES = {"lead": "bold", "strong": "bold", "soft": "dim", "unresolved": "dim", "warn": "yellow"}
"""Of rows by their mark, and of texts by their tone."""


def print_document(document: Document, console: Console, *, ruled: bool = True) -> None:
    """Print every chapter; the title is that of a file and left out."""
    for chapter in document.chapters:
        _title(chapter.title, console, "bold underline")
        print_blocks(chapter.blocks, console, ruled=ruled)


def print_blocks(blocks: Iterable[Block], console: Console, *, ruled: bool = True) -> None:
    """Print texts and tables; `ruled` draws a line below a table's head."""
    before: Block | None = None
    for block in blocks:
        if isinstance(block, Text):
            _title(block.title, console)
            if isinstance(before, Table) and not block.title:
                console.print()
            for line in block.lines:
                text = _line(f"- {line}" if block.points else line, STYLES.get(block.tone, ""))
                console.print(text, soft_wrap=block.tone == "code")
        elif isinstance(block, Table):
            _print_table(block, console, ruled)
        before = block


def _print_table(table: Table, console: Console, ruled: bool) -> None:
    if table.brief:
        console.print(_line(table.brief, "dim"))
        return
    # The title is a line of its own: rich would wrap it at the table's width.
    _title(table.title, console)
    more = len(table.rows) - ROWS if table.cut else 0
    shown = table.only(ALWAYS, *([DRAWN] if console.width >= WIDE else []))
    names = [column.short or column.name for column in shown.columns]
    drawn = [_drawn([row[at] for row in shown.rows[: ROWS if table.cut else None]]) for at in range(len(names))]
    widths = [max(map(len, [name, *cells])) for name, cells in zip(names, drawn, strict=True)]
    for piece, columns in enumerate(_pieces(widths, shown.numeric, console.width)):
        if piece:
            console.print()
        whole = _in_one_piece([widths[at] for at in columns], [shown.numeric[at] for at in columns], console.width)
        look: dict[str, Any] = {"box": box.SIMPLE_HEAD, "show_edge": False, "padding": (0, 1, 0, 0)}
        grid = Grid(pad_edge=False, **(look if ruled else {"box": None}))
        for place, at in enumerate(columns):
            justify: JustifyMethod = "right" if shown.numeric[at] else "left"
            grid.add_column(_line(names[at]), justify=justify, overflow="fold", no_wrap=place in whole)
        for *cells, mark in zip(*(drawn[at] for at in columns), table.marks, strict=False):
            grid.add_row(*map(_line, cells), style=STYLES.get(mark, ""))
        console.print(grid)
    notes = [f"… and {more} more (`bitskip report --json` has all)"] if more > 0 else []
    for note in [*notes, *filter(None, [table.note])]:
        console.print(_line(note, "dim"))


def _least(width: int, numeric: bool) -> int:
    """Characters that a column needs: numbers and their intervals are not broken over lines, nor are short texts."""
    return width if numeric or width <= LONGEST_IN_ONE_PIECE else LEAST_OF_A_LONG_ONE


def _pieces(widths: Sequence[int], numeric: Sequence[bool], width: int) -> list[list[int]]:
    """Columns of the tables that a wide one is drawn as, each with what names its rows: up to the first text."""
    names = next((at for at in range(min(2, len(widths))) if not numeric[at]), 0) + 1
    lead = list(range(names))
    pieces = [lead]
    for at in range(names, len(widths)):
        needed = sum(_least(widths[each], numeric[each]) + 2 for each in (*pieces[-1], at))
        if needed > width and len(pieces[-1]) > names:
            pieces.append([*lead, at])
        else:
            pieces[-1] = [*pieces[-1], at]
    return pieces


def _in_one_piece(widths: Sequence[int], numeric: Sequence[bool], width: int) -> set[int]:
    """Places of numbers and short texts, which rich would break as readily as long ones; none if they do not fit."""
    least = [_least(*each) for each in zip(widths, numeric, strict=True)]
    fits = sum(least) + 2 * len(least) <= width
    return {at for at, needed in enumerate(widths) if fits and least[at] == needed}


def _drawn(cells: Sequence[Value]) -> list[str]:
    """The texts of a column, its intervals drawn on one scale."""
    intervals = [cell for cell in cells if isinstance(cell, Interval)]
    ends = [abs(end) for each in intervals for end in (each.low, each.value, each.high) if end is not None]
    reach = max(ends, default=0.0)
    return [
        interval_bar(cell.low, cell.value, cell.high, reach) if isinstance(cell, Interval) else shown_text(cell)
        for cell in cells
    ]


def interval_bar(low: float | None, value: float, high: float | None, reach: float) -> str:
    """An interval with its estimate on a scale from -reach to reach, a stroke at zero: `   ━━●━━   │         `."""
    middle = BAR // 2

    def place(at: float) -> int:
        return middle if reach == 0 else min(BAR - 1, max(0, middle + round(at / reach * middle)))

    bar = [" "] * BAR
    bar[middle] = "│"
    if low is not None and high is not None:
        for at in range(place(low), place(high) + 1):
            bar[at] = "┿" if at == middle else "━"
    bar[place(value)] = "●"
    return "".join(bar)


def _title(title: str, console: Console, style: str = "bold") -> None:
    if title:
        console.print()
        console.print(_line(title, style))


def _line(value: str, style: str = "") -> Line:
    return Line(printable(value), style)
