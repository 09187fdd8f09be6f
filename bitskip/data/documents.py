"""Where documents begin and end: separators, empty lines, articles, rows, whole files; what was found is told.

`data.document` names the way; `auto` is the one of 0.1 (`cut_text`), and `suited` takes another where that is wrong.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bitskip.data.markers import MANY, refuse_markers, suspects
from bitskip.data.readers import read_blocks, read_rows
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig

LINES_PER_BLOCK = 20
DEFAULT_SEPARATOR = "\n\n"

_TITLE = re.compile(r"\s*= (?!=).+(?<!=) =\s*")
NEWLINE = "\n"


def documents_of(path: Path, config: DataConfig) -> Iterator[str | None]:
    """The documents of one file as `config.document` says, None for each row without a text.

    Raises UserError if the file can't be read, or holds the end-of-document marker of another way to cut it.
    """
    if path.suffix == ".txt":
        yield from cut_text(path, config)
        return
    rows = _checked(path, read_rows(path, config.column), config)
    if config.document == "article":
        yield from articles((text or "" for text in rows), f"data.files: {path}")
    elif config.document == "file":
        yield "\n".join(text for text in rows if text)
    else:
        yield from rows


def _checked(path: Path, rows: Iterator[str | None], config: DataConfig) -> Iterator[str | None]:
    mentioned = 0
    for number, text in enumerate(rows, start=1):
        if text and config.document != "row":
            mentioned = refuse_markers(text, f"data.files: {path}: row {number}", "", 0, mentioned)
        yield text


def cut_text(path: Path, config: DataConfig) -> Iterator[str]:
    """The documents of a .txt file. With `auto` those at the separator, or blocks of lines if they are too few."""
    if config.document in ("auto", "separator"):
        if not config.separator:
            raise UserError(r"data.separator is empty; set what stands between documents, for example '\n\n'")
        enough = config.document == "separator" or _look_at(path, config).separated >= MANY
        yield from _separated(path, config) if enough else _in_blocks(path, config)
    elif config.document == "blank-line":
        yield from _at_empty_lines(path, config)
    elif config.document == "row":
        for block in _blocks(path, config):
            yield from block.removesuffix(NEWLINE).split(NEWLINE)
    elif config.document == "article":
        yield from articles(_lines(path, config), f"data.files: {path}")
    elif config.document == "lines":
        yield from _in_blocks(path, config)
    else:
        yield "".join(_blocks(path, config))


def _blocks(path: Path, config: DataConfig) -> Iterator[str]:
    """The text of a file by parts that end with lines. Raises UserError for markers at which it would not be cut."""
    lines = mentioned = 0
    used = config.separator if config.document in ("auto", "separator") else ""
    for block in read_blocks(path):
        mentioned = refuse_markers(block, f"data.files: {path}", used, lines, mentioned)
        lines += block.count(NEWLINE)
        yield block


def _lines(path: Path, config: DataConfig) -> Iterator[str]:
    """The lines of a file without their ends; the last one is empty where the file ends with a line."""
    block = NEWLINE
    for block in _blocks(path, config):
        yield from block.removesuffix(NEWLINE).split(NEWLINE)
    if block.endswith(NEWLINE):
        yield ""


def _separated(path: Path, config: DataConfig) -> Iterator[str]:
    """What stands between the separators and is not blank: `str.split` of the whole text, by parts."""
    held: list[str] = []
    tail, overlap = "", len(config.separator) - 1
    for block in _blocks(path, config):
        *whole, last = (tail + block).split(config.separator)
        if whole:
            yield from _with_text(["".join([*held, whole[0]]), *whole[1:]])
            held = []
        keep = len(last) - min(len(last), overlap)  # a separator may begin in what is behind
        held.append(last[:keep])
        tail = last[keep:]
    yield from _with_text(["".join([*held, tail])])


def _with_text(parts: Iterable[str]) -> Iterator[str]:
    return (part for part in parts if part and not part.isspace())


def _at_empty_lines(path: Path, config: DataConfig) -> Iterator[str]:
    """What stands between lines without anything but blanks."""
    held: list[str] = []
    for line in itertools.chain(_lines(path, config), [""]):
        if line and not line.isspace():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []


def _in_blocks(path: Path, config: DataConfig) -> Iterator[str]:
    """Blocks of 20 lines."""
    lines = (line for block in _blocks(path, config) for line in block.splitlines())
    while block := list(itertools.islice(lines, LINES_PER_BLOCK)):
        yield "\n".join(block)


def articles(lines: Iterable[str], where: str) -> Iterator[str]:
    """Articles of WikiText: each begins at a line ` = Title = ` between lines of blanks (its sections have more `=`).

    Raises UserError if there is no such line.
    """
    held: list[str] = []
    before, titles = "", 0
    for line, after in itertools.pairwise(itertools.chain(lines, [""])):
        line = line.removesuffix("\n")  # rows of a dataset end with one, lines of a file do not
        if not before.strip() and not after.strip() and _TITLE.fullmatch(line):
            titles += 1
            if any(each.strip() for each in held):
                yield "\n".join(held)
            held = []
        held.append(line)
        before = line
    if not titles:
        raise UserError(f"{where}: no line ' = Title = ', with which articles begin; set another data.document")
    yield "\n".join(held)


def _titles(lines: Iterable[str]) -> int:
    found, before, title = 0, "", ""
    for after in itertools.chain(lines, [""]):
        if not before.strip() and not after.strip() and _TITLE.fullmatch(title):
            found += 1
        before, title = title, after
    return found


@dataclass(frozen=True)
class _Found:
    """Documents that a .txt file would have."""

    separated: int
    at_empty_lines: int
    articles: int


def _look_at(path: Path, config: DataConfig) -> _Found:
    return _look(path, config.separator, config.document, _state(path))


def _state(path: Path) -> tuple[int, ...]:
    try:
        state = path.stat()
    except OSError as error:
        raise UserError(f"data.files: {path}: cannot be read: {error.strerror or error}") from None
    return state.st_size, state.st_mtime_ns, state.st_ino


@functools.lru_cache(maxsize=4096)
def _look(path: Path, separator: str, document: str, _: tuple[int, ...]) -> _Found:
    """Of a file in a state: who asks again for the same is spared reading it."""
    config = DataConfig(separator=separator, document=document)
    separated = sum(1 for _ in _separated(path, config))
    blank = separated
    if separator != DEFAULT_SEPARATOR or any(line and line.isspace() for line in _lines(path, config)):
        blank = sum(1 for _ in _at_empty_lines(path, config))
    return _Found(separated, blank, _titles(_lines(path, config)) if separated < MANY else 0)


@functools.lru_cache(maxsize=4096)
def _suspects(path: Path, _: tuple[int, ...]) -> str:
    return suspects(read_blocks(path))


def suited(config: DataConfig, paths: Iterable[Path]) -> DataConfig:
    """The configuration with the `document` and `separator` that its text is cut with.

    `auto` stays where every .txt file has documents enough at the separator, else it becomes what the text shows; but
    with two parts WikiText stays in the blocks of lines in which 0.1 measured it. Ways that cut alike become one.
    Raises UserError for a separator that occurs nowhere or is misspelt, and for a way that these files do not have.
    """
    if "\\" in config.separator:
        meant = config.separator.replace("\\n", "\n").replace("\\t", "\t").replace("\\", "")
        raise UserError(
            f"data.separator: {config.separator} holds a backslash, which stands for itself here; write "
            f"separator: {json.dumps(meant, ensure_ascii=False)}, in double quotes"
        )
    texts = [path for path in paths if path.suffix == ".txt"]
    if not texts:
        if config.document in ("separator", "blank-line", "lines"):
            raise UserError(f"data.document: {config.document} is for .txt files; a row is a document: set row or auto")
        return config
    if config.document not in ("auto", "separator", "blank-line"):
        return replace(config, separator=DEFAULT_SEPARATOR)
    if not config.separator:
        raise UserError(r"data.separator is empty; set what stands between documents, for example '\n\n'")
    at_blank_lines = config.document == "blank-line"
    if at_blank_lines:
        config = replace(config, separator=DEFAULT_SEPARATOR)
    found = [look for path in texts if (look := _look_at(path, config)) != _Found(0, 0, 0)]
    chosen = at_blank_lines or config.document == "separator" or config.separator != DEFAULT_SEPARATOR
    if chosen and found and all((f.at_empty_lines if at_blank_lines else f.separated) == 1 for f in found):
        _refuse_unused(config, texts)
    return replace(config, document=_way(config, found))


def told(config: DataConfig, paths: Sequence[Path]) -> tuple[str, list[str]]:
    """Where documents end, in words, and what may not be as its reader meant it."""
    texts = [path for path in paths if path.suffix == ".txt"]
    rows = ["a document a row"] * (len(texts) < len(paths))
    if not texts:
        return _ROWS_CUT.get(config.document, rows[0]), []
    separator = json.dumps(config.separator, ensure_ascii=False)
    ways = [_TEXT_CUT.get(config.document, f"cut at {separator}")]
    doubts = []
    in_blocks = texts if config.document == "lines" else []
    if config.document == "auto":
        found = {path: _look_at(path, config) for path in texts}
        in_blocks = [path for path in texts if found[path].separated < MANY]
        ways = [*ways[: len(in_blocks) < len(texts)], *[f"{len(in_blocks)} in {_TEXT_CUT['lines']}"] * bool(in_blocks)]
        wiki = [path for path in in_blocks if found[path].articles]
        if wiki:
            doubts.append(
                f"{wiki[0]} holds {found[wiki[0]].articles} articles ' = Title = ' but is cut into blocks of lines: "
                "what is held out is from articles that are trained on; leave data.split: two out"
            )
            in_blocks = []
    if in_blocks:
        doubts.append(
            f"{in_blocks[0]} has fewer than {MANY} documents at {separator} and is cut into blocks of lines: "
            "what is held out continues what is trained on; set data.separator to what stands between its documents, "
            "or data.document: file and give more files"
        )
    if config.separator == DEFAULT_SEPARATOR and config.document not in ("row", "article", "file"):
        told_of = ((path, _suspects(path, _state(path))) for path in texts)
        doubts += [f"{path} {what}" for path, what in told_of if what][:1]
    return ", ".join([*ways, *rows]), doubts


_ROWS_CUT = {"article": "articles ' = Title = '", "file": "a document a file"}
_TEXT_CUT = {
    **_ROWS_CUT,
    "blank-line": "cut at empty lines",
    "row": "a document a line",
    "lines": f"blocks of {LINES_PER_BLOCK} lines",
}


def _refuse_unused(config: DataConfig, texts: list[Path]) -> None:
    what = "an empty line" if config.document == "blank-line" else json.dumps(config.separator, ensure_ascii=False)
    where = texts[0] if len(texts) == 1 else f"all {len(texts)} .txt files"
    ends = " (line ends are read as \\n)" if "\r" in config.separator else ""
    raise UserError(
        f"data.separator: {what} separates no documents in {where}{ends}; set what does, or data.document: file if "
        "each file is one document"
    )


def _way(config: DataConfig, found: list[_Found]) -> str:
    enough = all(each.separated >= MANY for each in found)
    lines_of_blanks = any(each.at_empty_lines != each.separated for each in found)
    if config.document == "blank-line":
        return "auto" if enough and not lines_of_blanks else "blank-line"
    if config.document == "separator" or config.separator != DEFAULT_SEPARATOR:
        return "auto" if enough else "separator"
    if any(each.articles > 1 for each in found):
        return "auto" if config.split == "two" else "article"
    if enough and not lines_of_blanks:
        return "auto"
    total = sum(each.at_empty_lines for each in found)
    if total < MANY:
        return "lines"
    if total == len(found):
        return "file"
    return "blank-line" if lines_of_blanks else "separator"
