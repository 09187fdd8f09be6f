"""Tables that other tools write: CSV, JSON lines and Parquet, as plain rows; exports of W&B and MLflow among them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitskip.errors import UserError, nearest

Cell = bool | int | float | str | None

SETTINGS = ("params.", "config.")
"""What MLflow and W&B put before the names of what a run was set to."""

PREFIXES = (*SETTINGS, "metrics.", "summary.")

RUN_FACTS = frozenset((
    "Name", "State", "Notes", "User", "Tags", "Created", "Runtime", "Sweep", "ID", "Hostname", "Commit", "End Time",
    "Start Time", "Duration", "Run ID", "Run Name", "Source Type", "Source Name", "Status", "Updated", "GPU Type",
    "GPU Count", "Group", "Job Type", "Description",
))  # fmt: skip
"""Columns of their exports from the browser that tell of the run and not of what was run."""


@dataclass(frozen=True)
class Table:
    """Rows with a value, or None, for each of the columns."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, Cell], ...]

    def column(self, name: str, option: str) -> str:
        """The column of that name, `metrics.loss` for `loss` where there is no other. Raises UserError without one."""
        found = [each for each in (name, *(prefix + name for prefix in PREFIXES)) if each in self.columns]
        if not found:
            raise UserError(
                f"{option} {name}: {self.path} has no such column{nearest(name, self.columns)} "
                f"(it has {', '.join(self.columns)})"
            )
        return found[0]

    def settings(self) -> list[str]:
        """The columns that say what was run, as far as a tool's way of writing them tells."""
        if set_to := [name for name in self.columns if name.startswith(SETTINGS)]:
            return set_to
        exported = {"State", "Created"} <= set(self.columns) or "Run ID" in self.columns
        return [name for name in self.columns if not (exported and name in RUN_FACTS)]


def read_table(path: Path) -> Table:
    """A file by its ending. Raises UserError for one that cannot be read, has no row, or another ending."""
    readers = {
        ".csv": _csv_rows, ".tsv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows, ".parquet": _parquet_rows,
    }  # fmt: skip
    if path.suffix not in readers:
        raise UserError(f"{path}: unknown kind of table '{path.suffix}' (one of {', '.join(readers)})")
    try:
        rows = list(readers[path.suffix](path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8; save it as UTF-8") from None
    if not rows:
        raise UserError(f"{path}: has no rows")
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(path, columns, tuple({name: row.get(name) for name in columns} for row in rows))


def _csv_rows(path: Path) -> Iterator[dict[str, Cell]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        file.seek(0)
        delimiter = max(",;\t", key=header.count)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            columns = [name.strip() for name in next(reader, [])]
            for name in columns:
                if columns.count(name) > 1 or not name:
                    wrong = f"has several columns '{name}'" if name else "has a column without a name"
                    raise UserError(f"{path}: {wrong}; give each its own name")
            for number, values in enumerate((values for values in reader if values), start=1):
                if len(values) != len(columns):
                    raise UserError(f"{path}, row {number}: {len(values)} values for {len(columns)} columns")
                yield dict(zip(columns, map(_parsed, values), strict=True))
        except csv.Error as error:
            raise UserError(f"{path}, line {reader.line_num}: is no CSV ({error})") from None


def _parsed(text: str) -> Cell:
    """A number or truth value where the text is one."""
    text = text.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text) if "_" not in text else text
        except ValueError:
            continue
    return text or None


def _json_rows(path: Path) -> Iterator[dict[str, Cell]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate((line for line in file if line.strip()), start=1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}, row {number}: is no JSON ({error})") from None
            if not isinstance(row, dict):
                raise UserError(f'{path}, row {number}: expected an object, as in {{"loss": 3.1, "seed": 0}}')
            yield dict(_flat(row))


def _parquet_rows(path: Path) -> Iterator[dict[str, Cell]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise UserError(f"{path}: is no Parquet ({str(error).splitlines()[0]})") from None
    for row in rows:
        yield dict(_flat(row))


def _flat(row: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Cell]]:
    """Nested objects by dotted names; what is neither number, text nor truth value as its text."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is None or isinstance(value, bool | int | float | str):
            yield f"{prefix}{name}", value
        else:
            yield f"{prefix}{name}", str(value)


def missing(value: Cell) -> bool:
    """Whether there is no value: pandas writes NaN for that, too."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
