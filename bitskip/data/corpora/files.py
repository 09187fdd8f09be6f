"""Documents from text files, with a held-out part that shares no document with training.

`.txt` files are split at the separator, `.jsonl` and `.parquet` have a document a row. A document is held out by a hash
of its own text, so that copies of it always fall on the same side, whatever the order of files.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bitskip.data.corpora import Corpus, Side
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig

MIN_DOCUMENTS = 20
"""A .txt file with fewer documents is cut into blocks of lines, or a held-out share could not be taken from it."""

LINES_PER_BLOCK = 20
_HASH_RANGE = 2**64
_SURROGATE = re.compile("[\ud800-\udfff]")


def expand_files(patterns: Sequence[str]) -> list[Path]:
    """The files that paths and globs (`**` allowed) name, sorted, each once. Raises UserError if one names none."""
    found: set[Path] = set()
    for pattern in patterns:
        matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
        files = {match for match in matches if match.is_file()}
        if not files:
            kind = "no file matches" if glob.has_magic(pattern) else "no such file"
            raise UserError(f"data.files: {kind}: {pattern} (paths are relative to the current folder)")
        found |= files
    for path in found:
        if path.suffix not in READERS:
            raise UserError(f"data.files: {path}: unknown kind of file; expected one of {', '.join(READERS)}")
        if not os.access(path, os.R_OK):
            raise UserError(f"data.files: {path}: no permission to read it")
    return sorted(found)


def files_digest(patterns: Sequence[str]) -> str:
    """SHA-256 over the content of the files, in sorted order: the same text elsewhere has the same digest."""
    digest = hashlib.sha256()
    for path in expand_files(patterns):
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256")
        digest.update(path.suffix.encode() + content.digest())
    return digest.hexdigest()


class TextFiles(Corpus):
    """Documents in the order of the files; about `validation_fraction` of the distinct ones are held out."""

    name = "files"

    def identity(self) -> dict[str, object]:
        named = ("column", "separator", "validation_fraction")
        return {"corpus": self.name, "digest": self._digest, **{key: getattr(self.config, key) for key in named}}

    def pinned(self) -> DataConfig:
        return replace(self.config, digest=self._digest)

    @functools.cached_property
    def _digest(self) -> str:
        return self.config.digest or files_digest(self.config.files)  # a trial made in Python has none yet

    def documents(self, side: Side) -> Iterator[str]:
        limit = self.config.validation_fraction * _HASH_RANGE
        for path in expand_files(self.config.files):
            try:
                for document in READERS[path.suffix](path, self.config):
                    text = document.strip()
                    if text and (_hash(text) < limit) == (side == "validation"):
                        yield text
            except OSError as error:
                raise UserError(f"data.files: {path}: cannot be read: {error.strerror or error}") from None


def _hash(document: str) -> int:
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "big")


def _read_text(path: Path, config: DataConfig) -> Iterator[str]:
    if not config.separator:
        raise UserError(r"data.separator is empty; set what stands between documents, for example '\n\n'")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"data.files: {path}: not UTF-8 text (byte {error.start})") from None
    documents = [part for part in content.split(config.separator) if part.strip()]
    if len(documents) >= MIN_DOCUMENTS:
        yield from documents
        return
    lines = content.splitlines()
    for start in range(0, len(lines), LINES_PER_BLOCK):
        yield "\n".join(lines[start : start + LINES_PER_BLOCK])


def _read_jsonl(path: Path, config: DataConfig) -> Iterator[str]:
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: not JSON: {error.msg}") from None
            except UnicodeDecodeError as error:
                raise UserError(f"{path}:{number}: not UTF-8 text (byte {error.start})") from None
            if not isinstance(row, dict) or not isinstance(row.get(config.column), str):
                keys = ", ".join(row) if isinstance(row, dict) else "none"
                raise UserError(f"{path}:{number}: no text under '{config.column}' (keys: {keys}); set data.column")
            if _SURROGATE.search(row[config.column]):
                raise UserError(f"{path}:{number}: half a surrogate pair (\\ud800…\\udfff) is not text; remove it")
            yield row[config.column]


def _read_parquet(path: Path, config: DataConfig) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        handle = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise UserError(f"data.files: {path}: not a Parquet file ({error})") from None
    if config.column not in handle.schema_arrow.names:
        columns = ", ".join(handle.schema_arrow.names)
        raise UserError(f"data.files: {path}: no column '{config.column}' (columns: {columns}); set data.column")
    kind = handle.schema_arrow.field(config.column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise UserError(f"data.files: {path}: column '{config.column}' holds {kind}, not text; set data.column")
    for batch in handle.iter_batches(columns=[config.column]):
        yield from (text for text in batch.column(0).to_pylist() if isinstance(text, str))


READERS: dict[str, Callable[[Path, DataConfig], Iterator[str]]] = {
    ".txt": _read_text,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
