"""Seeded damage to files: bytes, lines and what they mean, trees of JSON, columns of Parquet."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ODD_TEXTS = [
    "",
    " ",
    "\n",
    "\0",
    "\ufeff",
    "\u2028",
    "\x85",
    "\x1c",
    "é",
    "中",
    "😀",
    "\ud800",
    "<|endoftext|>",
    "a" * 5000,
]
ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 255, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, 1e-320, 0.1, [], {}, [[]],
    {"a": {"b": 1}}, "1", "1e400", "none", "nan", *ODD_TEXTS,
]  # fmt: skip
ODD_BYTES = [
    b"\xef\xbb\xbf", b"\0", b"\r\n", b"\r", b"\x85", b"\xe2\x80\xa8", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80", b"{", b"}", b"[" * 3000, b'"', b"\\", b"\\ud800", b"9" * 5000, b"1e999", b"NaN", b"-Infinity",
    b"null", b"\n\n", b"\t",
    b"<|endoftext|>", b"\n<|endoftext|>\n", b" \n \n", b": ", b"- ", b"&a [*a]", b"*a", b"!!python/name:os.system",
    b"!!binary aa", b"!!set {a}", b"!x ", b"<<: ", b"2020-13-45", b"0o8", b"1_0", b"0x1F", b".inf", b"~", b"? ",
    b"%YAML 9.9\n---\n",
    b"---\n", b"...\n", b"|\n", b">-\n", b"# ", b"@", b"`",
]  # fmt: skip


def damaged_bytes(draws: random.Random, whole: bytes) -> bytes:
    """One to four pieces changed, cut out, doubled, moved, or something odd put in."""
    content = bytearray(whole)
    for _ in range(draws.choice([1, 1, 1, 2, 4])):
        at = draws.randrange(len(content) + 1)
        to = min(len(content), at + draws.choice([1, 2, 8, 64, 1024]))
        piece = bytes(content[at:to])
        kind = draws.randrange(7)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << draws.randrange(8)
        elif kind == 1:
            del content[at:to]
        elif kind == 2:
            content[at:at] = piece * draws.choice([1, 2, 50])
        elif kind == 3:
            where = draws.randrange(len(content) + 1)
            content[where:where] = piece
        elif kind == 4:
            del content[draws.choice([at, max(0, len(content) - 300)]) :]
        elif kind == 5:
            content[at:to] = draws.randbytes(to - at)
        else:
            content[at:at] = draws.choice(ODD_BYTES)
    return bytes(content)


def damaged_lines(draws: random.Random, whole: bytes) -> bytes:
    """Lines swapped, doubled, indented, their ends changed, or a word of one replaced."""
    lines = whole.split(b"\n")
    for _ in range(draws.choice([1, 1, 2, 3])):
        at, other = draws.randrange(len(lines)), draws.randrange(len(lines))
        kind = draws.randrange(7)
        if kind == 0:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 1:
            lines.insert(at, lines[other])
        elif kind == 2:
            lines[at] = b"  " * draws.randrange(3) + lines[at].lstrip()
        elif kind == 3:
            lines[at] += draws.choice([b"\r", b" ", b"\t", b"\x0c", b"\0", b"\xc2\x85", b"\xe2\x80\xa8"])
        elif kind == 4 and len(lines) > 1:
            del lines[at]
        else:
            words = lines[at].split(b" ")
            words[draws.randrange(len(words))] = draws.choice([*ODD_BYTES, *(_written(v) for v in ODD_VALUES)])
            lines[at] = b" ".join(words)
    return b"\n".join(lines)


def _written(value: Any) -> bytes:
    try:
        return json.dumps(value).encode()
    except ValueError:  # a number with more digits than are converted
        return b"9" * 5000


def damaged_tree(draws: random.Random, whole: bytes) -> bytes:
    """A JSON document with some of its nodes replaced, removed, renamed, doubled, wrapped, or swapped."""
    tree = json.loads(whole)
    for _ in range(draws.choice([1, 1, 1, 2, 3])):
        parent, key = _node(draws, tree)
        if parent is None:
            continue
        kind = draws.randrange(6)
        if kind == 0:
            parent[key] = draws.choice(ODD_VALUES)
        elif kind == 1:
            del parent[key]
        elif kind == 2 and isinstance(parent, dict):
            parent[draws.choice([*parent, *(text for text in ODD_TEXTS if text != "\ud800")])] = parent.pop(key)
        elif kind == 3:
            other, there = _node(draws, tree)
            if other is not None:
                other[there], parent[key] = copy.deepcopy(parent[key]), copy.deepcopy(other[there])
        elif kind == 4:
            parent[key] = draws.choice([[parent[key]], {"type": parent[key]}, [parent[key], parent[key]]])
        elif isinstance(parent[key], int):
            parent[key] += draws.choice([-1, 1, 1000, 2**32])
        elif isinstance(parent[key], bool):
            parent[key] = not parent[key]
    return json.dumps(tree).encode()


def _node(draws: random.Random, tree: Any) -> tuple[Any, Any]:
    """A place in the tree, each branch as likely: a vocabulary does not hide what stands beside it."""
    parent, key, node = None, None, tree
    while isinstance(node, dict | list) and node and (parent is None or draws.random() < 0.8):
        key = draws.choice(list(node)) if isinstance(node, dict) else draws.randrange(len(node))
        parent, node = node, node[key]
    return parent, key


def damaged_table(draws: random.Random, path: Path) -> None:
    """A Parquet file with a column changed in type, lost, doubled, renamed or emptied, or rows lost or doubled."""
    table = pq.read_table(path)
    at = draws.randrange(table.num_columns)
    name, column = table.column_names[at], table.column(at)
    kind = draws.randrange(7)
    if kind == 0:
        table = table.drop_columns([name])
    elif kind == 1:
        table = table.rename_columns(
            [draws.choice(["", "x", *table.column_names]) if n == name else n for n in table.column_names]
        )
    elif kind == 2:
        table = table.append_column(name, column)
    elif kind == 3:
        table = table.set_column(
            at, name, pa.nulls(len(table), draws.choice([column.type, pa.null(), pa.string(), pa.int8()]))
        )
    elif kind == 4:
        odd: list[pa.Array] = [pa.array([value] * len(table)) for value in ("x", 1, 1.5, True, b"\xff", [1], {"a": 1})]
        table = table.set_column(at, name, draws.choice(odd))
    elif kind == 5:
        table = table.slice(0, draws.randrange(len(table) + 1))
    else:
        table = pa.concat_tables([table, table])
    meta = draws.choice([table.schema.metadata, None, {b"bitskip_schema": b"99"}])
    pq.write_table(table.replace_schema_metadata(meta), path)


Damage = Callable[[random.Random, bytes], bytes]
