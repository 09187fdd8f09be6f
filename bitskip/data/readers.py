"""Texts of files as they stand there: a `.txt` as a whole, `.jsonl` and `.parquet` row by row.

Whatever is wrong with a file, reading it raises UserError with the file, the row and the cure. A row whose text is null
is None: who reads counts and leaves out.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bitskip import progress
from bitskip.errors import UserError
from bitskip.hub import first_line

_SURROGATE = re.compile("[\ud800-\udfff]")
SHOWN_NAMES = 200
"""Characters of the keys or columns that an error lists."""

BLOCK = 1 << 20
"""Characters of a `.txt` file in memory at once, and what is left of the line that they end in."""

ROWS_AT_ONCE = 1024
"""Rows of a Parquet file in memory at once."""


def read_blocks(path: Path) -> Iterator[str]:
    """A `.txt` file in parts that end with lines, line ends as newlines. Raises UserError if it is not UTF-8 text."""
    lines = 0
    try:
        with path.open(encoding="utf-8-sig") as handle:
            while block := handle.read(BLOCK) + handle.readline():
                if "\0" in block:
                    line = lines + block.count("\n", 0, block.index("\0")) + 1
                    raise UserError(
                        f"data.files: {path}:{line}: holds a zero byte, so it is not UTF-8 text; convert it"
                    )
                lines += block.count("\n")
                progress.advance(len(block.encode()))
                yield block
    except UnicodeDecodeError:
        raise UserError(f"data.files: {path}: not UTF-8 text (byte {_first_bad_byte(path)})") from None
    except (OSError, MemoryError) as error:
        raise _unreadable(path, error) from None


def _first_bad_byte(path: Path) -> int:
    """Where a file stops being UTF-8; a decoder that reads it by parts knows only its own part."""
    decoder, before = codecs.getincrementaldecoder("utf-8")(), 0
    with path.open("rb") as handle:
        while True:
            part = handle.read(BLOCK)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(part, final=not part)
            except UnicodeDecodeError as error:
                return before - pending + error.start
            before += len(part)
            if not part:  # it is whole by now
                return before


def read_rows(path: Path, column: str) -> Iterator[str | None]:
    """The text of every row of a `.jsonl` or `.parquet` file, None where it is null."""
    number = 0
    try:
        for number, text in enumerate(ROW_READERS[path.suffix](path, column), start=1):  # noqa: B007
            yield text
    except UserError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from None
    except Exception as error:  # what a damaged file makes a library raise is in no documentation
        raise UserError(
            f"data.files: {path}: cannot be read behind row {number} ({_reason(error)}); mend or remove what is there"
        ) from None


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = (isinstance(error, OSError) and error.strerror) or _reason(error)
    return UserError(f"data.files: {path}: cannot be read: {reason}; check it, or leave it out")


def _reason(error: Exception) -> str:
    return first_line(error).partition(";")[0] or type(error).__name__


def _listed(names: Iterable[str]) -> str:
    """Names in one line, however many and odd they are."""
    listed = " ".join(", ".join(names).split())
    return listed if len(listed) <= SHOWN_NAMES else f"{listed[:SHOWN_NAMES]} …"


def _read_jsonl(path: Path, column: str) -> Iterator[str | None]:
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            progress.advance(len(line))
            if line.isspace():
                continue
            row = _parse(path, number, line)
            text = row.get(column, 0) if isinstance(row, dict) else 0
            if not isinstance(text, str | None):
                keys = _listed(row) if isinstance(row, dict) else "none"
                raise UserError(f"{path}:{number}: no text under '{column}' (keys: {keys}); set data.column")
            if line.count(f'"{column}"'.encode()) > 1 and _is_twice(line, column):
                raise UserError(f"{path}:{number}: '{column}' stands there twice; leave one of them out")
            if text is not None and b"\\u" in line and _SURROGATE.search(text):
                raise UserError(f"{path}:{number}: half a surrogate pair (\\ud800…\\udfff) is not text; remove it")
            yield text


def _parse(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line.removeprefix(codecs.BOM_UTF8).decode())
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{number}: not JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{number}: not UTF-8 text (byte {error.start})") from None
    except (ValueError, RecursionError, MemoryError) as error:  # a number of thousands of digits, lists in lists in …
        raise UserError(f"{path}:{number}: cannot be read: {_reason(error)}; mend or remove this line") from None


def _is_twice(line: bytes, column: str) -> bool:
    """Whether a key stands in the outermost object twice: of such rows parsers keep the last without a word."""
    pairs = json.loads(line.decode("utf-8-sig"), object_pairs_hook=list)  # of the outermost object, which is made last
    return Counter(key for key, _ in pairs)[column] > 1


def _read_parquet(path: Path, column: str) -> Iterator[str | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        handle = pq.ParquetFile(path, page_checksum_verification=True)  # of files that have them
    except pa.ArrowException as error:
        raise UserError(f"data.files: {path}: not a Parquet file ({_reason(error)})") from None
    names = handle.schema_arrow.names
    if column not in names:
        raise UserError(f"data.files: {path}: no column '{column}' (columns: {_listed(names)}); set data.column")
    if names.count(column) > 1:
        raise UserError(f"data.files: {path}: has {names.count(column)} columns '{column}'; rename all but one")
    kind = handle.schema_arrow.field(column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise UserError(f"data.files: {path}: column '{column}' holds {kind}, not text; set data.column")
    before = 0
    for batch in handle.iter_batches(batch_size=ROWS_AT_ONCE, columns=[column]):
        yield from _texts(path, before, batch.column(0))
        before += batch.num_rows
        progress.advance(path.stat().st_size * batch.num_rows / handle.metadata.num_rows)


def _texts(path: Path, before: int, values: Any) -> Iterator[str | None]:
    try:
        texts: list[str | None] = values.to_pylist()
    except UnicodeDecodeError:
        for number, value in enumerate(values, start=before + 1):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                where = f"{path}: row {number}: not UTF-8 text (byte {error.start})"
                raise UserError(f"data.files: {where}; mend or remove this row") from None
        raise
    yield from texts


ROW_READERS: dict[str, Callable[[Path, str], Iterator[str | None]]] = {".jsonl": _read_jsonl, ".parquet": _read_parquet}
KINDS = (".txt", *ROW_READERS)
