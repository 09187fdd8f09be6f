"""Documents from text files, with held-out parts that share no document with training.

A document is held out by a hash of its own text, so that copies of it always fall on the same side, whatever the order
of files. How files are cut into documents: `bitskip.data.documents`.
"""

from __future__ import annotations

import bisect
import functools
import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bitskip import progress
from bitskip.data.corpora import Corpus, Side, drawn
from bitskip.data.document_summary import DocumentSummary, summarize
from bitskip.data.documents import documents_of, suited, told
from bitskip.data.readers import KINDS
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig, data_label


def expand_files(patterns: Sequence[str]) -> list[Path]:
    """The files that paths and globs (`**` allowed) name, sorted, each name once. Raises UserError if one names none.

    A pattern that is the very name of a file, `a[1].txt`, is that file.
    """
    found: set[Path] = set()
    for pattern in map(os.path.expanduser, patterns):
        matches = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
        files = {Path(match) for match in matches if os.path.isfile(match)}
        if not files:
            if os.path.isdir(pattern):
                raise UserError(f"data.files: {pattern} is a folder; name its files, such as {Path(pattern) / '*.txt'}")
            kind = "no file matches" if glob.has_magic(pattern) else "no such file"
            raise UserError(f"data.files: {kind}: {pattern} (paths are relative to the current folder)")
        found |= files
    for path in found:
        if path.suffix not in KINDS:
            raise UserError(f"data.files: {path}: unknown kind of file; expected one of {', '.join(KINDS)}")
        if not os.access(path, os.R_OK):
            raise UserError(f"data.files: {path}: no permission to read it")
    return sorted(found)


def distinct_files(patterns: Sequence[str]) -> dict[Path, list[Path]]:
    """The files that count, each with its other names and its copies, which don't: a text is trained on once.

    The first name in sorted order counts. Only files of the same size are compared.
    """
    paths = expand_files(patterns)
    sizes = {path: _stat(path).st_size for path in paths}
    common = Counter((path.suffix, size) for path, size in sizes.items())
    distinct: dict[Path, list[Path]] = {}
    known: dict[tuple[str, int, bytes], Path] = {}
    for path, size in sizes.items():
        content = _digest(path) if common[path.suffix, size] > 1 else b""
        first = known.setdefault((path.suffix, size, content), path)
        if first is path:
            distinct[path] = []
        else:
            distinct[first].append(path)
    return distinct


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise UserError(f"data.files: {path}: cannot be read: {error.strerror or error}") from None


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").digest()
    except OSError as error:
        raise UserError(f"data.files: {path}: cannot be read: {error.strerror or error}") from None


def files_digest(paths: Iterable[Path], by_name: bool = False) -> str:
    """SHA-256 over the content of the files: the same text elsewhere has the same digest, in whatever files and order.

    With `by_name`, as in 0.1, files count in their order.
    """
    digest, found = hashlib.sha256(), [path.suffix.encode() + _digest(path) for path in paths]
    for each in found if by_name else sorted(found):
        digest.update(each)
    return digest.hexdigest()


class TextFiles(Corpus):
    """Documents in the order of the files; about `validation_fraction` of the distinct ones are for the test, and as
    many for validation."""

    name = "files"

    @property
    def of_three(self) -> bool:
        return self._pinned.split == "three"

    @property
    def ordered(self) -> bool:
        return super().ordered or self._pinned.document == "lines"  # blocks go on from one to the next

    def identity(self) -> dict[str, object]:
        config = self._pinned
        named = ["column", "separator", "validation_fraction"]
        named += ["document"] * (config.document != "auto")  # older keys of caches stay
        named += ["split"] * self.of_three
        return {"corpus": self.name, "digest": config.digest, **{key: getattr(config, key) for key in named}}

    def pinned(self) -> DataConfig:
        """With digest, way of cutting and split; one that has a digest is taken at its word."""
        return self._pinned

    @functools.cached_property
    def _pinned(self) -> DataConfig:
        config = self.config
        if config.digest:
            return config
        if config.split != "two" and config.validation_fraction >= 0.5:
            raise UserError(
                f"data.validation_fraction: {config.validation_fraction} for validation and as much for the test leave "
                "nothing to train on; set it below 0.5"
            )
        with progress.stage(f"looking at {data_label(config)}", self.size()):
            paths = list(distinct_files(config.files))
            found = replace(suited(config, paths), digest=files_digest(paths, by_name=config.split == "two"))
        return replace(found, split="auto" if config.split == "two" else "three")

    def check_unchanged(self) -> None:
        config = self._pinned
        if files_digest(distinct_files(config.files), by_name=config.split != "three") != config.digest:
            raise UserError(
                f"data.files: {data_label(config)}: another content than the trial was made with (SHA-256 "
                f"{config.digest[:12]}…); put the files back, or start the command again"
            )

    def documents(self, side: Side) -> Iterator[str]:
        return (text for _, text in self.with_sides([side]))

    def with_sides(self, sides: Sequence[Side]) -> Iterator[tuple[Side, str]]:
        for text, side in self._with_sides(list(distinct_files(self.config.files))):
            if text and side in sides:
                yield side, text

    def size(self) -> int:
        return sum(_stat(path).st_size for path in distinct_files(self.config.files))

    def _with_sides(self, paths: Sequence[Path]) -> Iterator[tuple[str | None, Side]]:
        """Every document, without blanks around it, and its side."""
        config = self._pinned
        test, held_out = self._bounds
        for path in paths:
            found = documents_of(path, config)
            if config.document == "lines" and path.suffix == ".txt":
                blocks = sum(1 for _ in documents_of(path, config))
                yield from _with_tail(found, blocks, config.validation_fraction, self.of_three)
                continue
            for document in found:
                text = None if document is None else document.strip()
                at = drawn(text) if text else 1.0
                yield text, "test" if at < test else "validation" if at < held_out else "train"

    @functools.cached_property
    def _bounds(self) -> tuple[float, float]:
        """Draws below which a document is for the test, and held out: the shares that are asked for.

        Of a text with three parts each has a document at least: where none falls to a part by its share, it gets the
        next ones. Only of a short text all draws have to be looked at to know this.
        """
        config = self._pinned
        test, held_out = config.validation_fraction, 2 * config.validation_fraction
        if not self.of_three:
            return test, test
        draws: set[float] = set()
        missing = {"test", "validation"}
        for path in distinct_files(self.config.files):
            for document in documents_of(path, config):
                if text := (document or "").strip():
                    draws.add(draw := drawn(text))
                    missing.discard("test" if draw < test else "validation" if draw < held_out else "")
                    if not missing:
                        return test, held_out
        ranked = sorted(draws)
        tested = max(1, bisect.bisect_left(ranked, test))
        validated = max(1, bisect.bisect_left(ranked, held_out) - tested)
        ranked += [1.0] * 3
        return ranked[tested], ranked[tested + validated]

    def summary(self) -> DocumentSummary:
        distinct = distinct_files(self.config.files)
        paths = list(distinct)
        again = [f"{other} is {path} again: counted once" for path in paths for other in distinct[path]]
        cut, doubts = told(self._pinned, paths)
        name = data_label(self.config)
        with progress.stage(f"reading {name}", self.size()):
            found = summarize(name, len(paths), cut, self._with_sides(paths), self.sides, (*again, *doubts))
        if not found.kept:
            raise UserError(f"data.files: no text in {', '.join(self.config.files)}; give files with text")
        return found


def _with_tail(
    blocks: Iterable[str | None], count: int, fraction: float, of_three: bool
) -> Iterator[tuple[str | None, Side]]:
    """Blocks of one text, so many, the last of them held out: sides touch in one place only."""
    size = max(1, round(fraction * count))
    test = count - min(size, count - 1)
    validation = max(test - size, 1) if of_three else test
    for at, block in enumerate(blocks):
        yield (block or "").strip(), "test" if at >= test else "validation" if at >= validation else "train"
