"""What trained models are judged by beside their own text: texts of other domains, and tasks; read from files."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bitskip.data.documents import documents_of, suited
from bitskip.data.readers import KINDS
from bitskip.data.tasks import Task, files_of_task, read_task
from bitskip.data.tokenizer import Tokenizer
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig, TrainingConfig

TASK_KINDS = (".yaml", ".yml", ".jsonl", ".gz")


def _named(setting: str, patterns: Sequence[str], kinds: Sequence[str], name: Callable[[Path], str]) -> dict[str, Path]:
    """Files by the name that results have. Raises UserError where one is missing, of another kind, or named twice."""
    found: dict[str, Path] = {}
    for pattern in map(os.path.expanduser, patterns):
        paths = [Path(pattern)] if os.path.exists(pattern) else [Path(each) for each in sorted(glob.glob(pattern))]
        if not paths:
            raise UserError(f"{setting}: no such file: {pattern} (paths are relative to the current folder)")
        for path in paths:
            if path.suffix not in kinds or not path.is_file():
                raise UserError(f"{setting}: {path} is not a file of one of the kinds {', '.join(kinds)}")
            if found.setdefault(name(path), path) != path:
                raise UserError(f"{setting}: {found[name(path)]} and {path} have one name; rename one")
    return found


def domain_files(patterns: Sequence[str]) -> dict[str, Path]:
    """The texts of domains by the names of their files. Raises UserError."""
    return _named("eval_domains", patterns, KINDS, lambda path: path.stem)


def read_tasks(patterns: Sequence[str]) -> list[Task]:
    """The tasks of these files. Raises UserError."""
    return [read_task(path) for path in _task_files(patterns)]


def _task_files(patterns: Sequence[str]) -> list[Path]:
    return list(_named("eval_tasks", patterns, TASK_KINDS, str).values())


def with_digests(training: TrainingConfig) -> TrainingConfig:
    """The recipe with what identifies its evaluations. Raises UserError for files that cannot be taken."""
    domains = domain_files(training.eval_domains)
    tasks = [part for path in _task_files(training.eval_tasks) for part in files_of_task(path)]
    read_tasks(training.eval_tasks)  # what is wrong with them is said before anything is trained
    return replace(
        training,
        eval_domains_digest=_digest("eval_domains", domains.items()),
        eval_tasks_digest=_digest("eval_tasks", [("", path) for path in tasks]),
    )


def check_unchanged(training: TrainingConfig) -> None:
    """Raises UserError if the files are no longer those that the trial was made with."""
    now = with_digests(training)
    for name in ("eval_domains", "eval_tasks"):
        known, found = (getattr(each, f"{name}_digest") for each in (training, now))
        if known not in ("", found):
            raise UserError(
                f"{name}: another content than the trial was made with (SHA-256 {known[:12]}…); put the files back, or "
                "start the command again"
            )


def _digest(setting: str, files: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 over names and content; empty without a file."""
    digest, empty = hashlib.sha256(), True
    for name, path in files:
        try:
            stat = path.stat()
            digest.update(name.encode() + b"\0" + _content(path, stat.st_size, stat.st_mtime_ns))
        except OSError as error:
            raise UserError(f"{setting}: {path}: cannot be read: {error.strerror or error}") from None
        empty = False
    return "" if empty else digest.hexdigest()


@functools.cache
def _content(path: Path, size: int, changed: int) -> bytes:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").digest()


def domain_stream(path: Path, data: DataConfig, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """(token ids, bytes of text that each stands for) of a whole text, its documents one after another."""
    asked = replace(data, corpus="files", files=(str(path),), document="auto", separator=DataConfig.separator)
    cut = suited(asked, [path])
    texts = [text.strip() for text in documents_of(path, cut) if text and text.strip()]
    end = [tokenizer.end_of_document]
    ids = [np.append(own, end) for own in tokenizer.encode(texts)]
    return np.concatenate([np.zeros(0, np.int64), *ids]), np.concatenate([[], *tokenizer.text_bytes(texts)]).astype(int)
