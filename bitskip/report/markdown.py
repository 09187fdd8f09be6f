"""A report as Markdown: for a repository, an issue or a note."""

from __future__ import annotations

from collections.abc import Iterable

from bitskip.report.table import ALWAYS, FILES, Block, Document, Table, Text, printable, shown_text


def markdown(document: Document) -> str:
    """The document as text; equal documents give equal text."""
    parts = [f"# {_escaped(document.title)}", ""]
    for chapter in document.chapters:
        parts += [f"## {_escaped(chapter.title)}", "", *_blocks(chapter.blocks)]
    return "\n".join(parts).rstrip() + "\n"


def _blocks(blocks: Iterable[Block]) -> Iterable[str]:
    for block in blocks:
        title = getattr(block, "title", "")
        if title:
            yield from (f"### {_escaped(title)}", "")
        if isinstance(block, Text):
            for line in block.lines:
                yield f"- {_escaped(line)}" if block.points else _escaped(line)
                yield from () if block.points else ("",)
            yield from ("",) if block.points else ()
        elif isinstance(block, Table):
            yield from _table(block)


def _table(table: Table) -> Iterable[str]:
    shown = table.only(ALWAYS, FILES)
    yield f"| {' | '.join(_escaped(column.name) for column in shown.columns)} |"
    yield f"|{'|'.join(' --- ' for _ in shown.columns)}|"
    for row in shown.rows:
        yield f"| {' | '.join(_escaped(shown_text(cell)) for cell in row)} |"
    yield ""
    if table.note:
        yield from (_escaped(table.note), "")


def _escaped(text: str) -> str:
    plain = printable(text)
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
