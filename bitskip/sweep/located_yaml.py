"""A YAML file as plain data that remembers where each value came from, so that an error can name file and line."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bitskip.errors import UserError, nearest

Path_ = tuple[Any, ...]
MOST_VALUES = 100_000
"""Keys and values of a file with its aliases written out: ten lines of aliases can stand for billions."""

MOST_BYTES, MOST_ITEMS = 1 << 20, 30_000
"""Of a file, and of its lines and commas: it is read at 4,000 to 8,000 values a second."""

SHORTHANDS = {"data": "corpus", "model": "preset"}
"""Groups of axes that a plain name may stand for: it is this one key of theirs."""

AXES_START = {"base": 1, "space": 1, "points": 2}
"""How many keys lead to the axes: `base.bits`, `points.V1.bits`."""


def parse_setting(text: str) -> tuple[str, Any]:
    """`dotted.path=value` with the value in YAML; raises UserError if it is malformed."""
    path, separator, raw = text.partition("=")
    path = path.strip()
    if not separator or not all(path.split(".")):
        raise UserError(f"--set {text}: expected path=value, such as tokens=100_000")
    try:
        return path, _counted(YAML(typ="safe").load(raw))
    except UserError as error:
        raise UserError(f"--set {path}: {error}") from None
    except RecursionError:
        raise UserError(f"--set {path}: the value is not YAML: nested too deeply") from None
    except Exception as error:  # PyYAML's own, and whatever a number or a date makes Python raise
        raise UserError(f"--set {text[:200]}: the value is not YAML: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _counted(parsed: Any) -> Any:
    """The same. Raises UserError for one with more than MOST_VALUES, and RecursionError for one that holds itself."""
    left = MOST_VALUES

    def count(node: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise UserError(f"more than {MOST_VALUES:,} values with its aliases written out")
        for item in (
            (*node, *node.values()) if isinstance(node, Mapping)
            else node if isinstance(node, list | tuple | set)
            else ()
        ):  # fmt: skip
            count(item)

    count(parsed)
    return parsed


class LocatedError(UserError):
    """A user error whose message already says where."""


@dataclass
class Source:
    """Content of a file, with the origin of every path in it: `file:line`, or the option that set it."""

    path: str
    content: dict[str, Any]
    origins: dict[Path_, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Source:
        """Raises UserError for a file that is missing, not UTF-8, not YAML, or not a mapping."""
        if not path.exists():
            with contextlib.suppress(RuntimeError):
                path = path.expanduser()
        if not path.exists():
            raise UserError(f"{path}: no such file")
        if path.is_dir():
            raise UserError(f"{path}: is a folder, expected a YAML file")
        try:
            if path.is_file() and path.stat().st_size > MOST_BYTES:
                raise UserError(f"{path}: is larger than {MOST_BYTES >> 20} MiB; a sweep file is a page of YAML")
            text = path.read_text(encoding="utf-8")
            if (items := text.count("\n") + text.count(",")) > MOST_ITEMS:
                raise UserError(f"{path}: has {items:,} lines and commas, more than {MOST_ITEMS:,}; list fewer levels")
            parsed = _counted(YAML().load(text))
        except UserError as error:
            raise error if str(error).startswith(str(path)) else UserError(f"{path}: {error}") from None
        except UnicodeDecodeError:
            raise UserError(f"{path}: is not UTF-8 text") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            raise UserError(f"{path}{line}: invalid YAML: {error.problem or error.context}") from None
        except YAMLError as error:
            raise UserError(f"{path}: invalid YAML: {str(error).splitlines()[0]}") from None
        except RecursionError:
            raise UserError(f"{path}: invalid YAML: nested too deeply") from None
        except Exception as error:  # whatever a number or a date makes Python raise, and ruamel.yaml a stray tag
            told = _first_line(error) if isinstance(error, ValueError) else "a tag, anchor or merge key means nothing"
            raise UserError(f"{path}: invalid YAML: {told}") from None
        if not isinstance(parsed, CommentedMap):
            raise UserError(f"{path}:1: expected a mapping with keys such as `base:` and `space:`")
        source = cls(str(path), {})
        for key, value in source._plain(parsed, ()).items():
            source.merge((key,), value, (key,))
        return source

    def _plain(self, node: Any, path: Path_) -> Any:
        """Plain Python data; on the way, notes the line of every key and item."""
        if isinstance(node, CommentedMap):
            for key in node:
                line = node.lc.data[key][0] if node.lc.data and key in node.lc.data else node.lc.line
                self.origins[(*path, key)] = f"{self.path}:{line + 1}"
            return {key: self._plain(value, (*path, key)) for key, value in node.items()}
        if isinstance(node, CommentedSeq):
            for index in range(len(node)):
                line = node.lc.data[index][0] if node.lc.data and index in node.lc.data else node.lc.line or 0
                self.origins[(*path, index)] = f"{self.path}:{line + 1}"
            return [self._plain(value, (*path, index)) for index, value in enumerate(node)]
        if isinstance(node, bool) or node is None:
            return node
        for plain in (int, float, str):
            if isinstance(node, plain):
                return plain(node)
        return node

    def error(self, path: Path_, reason: str) -> LocatedError:
        """`origin: reason`, with the origin of the longest known prefix of the path, or else of what is in it."""
        prefixes = (path[:end] for end in range(len(path), 0, -1))
        inside = (key for key in self.origins if key[: len(path)] == path)
        known = next((key for key in (*prefixes, *inside) if path and key in self.origins), None)
        return LocatedError(f"{self.path if known is None else self.origins[known]}: {reason}")

    @contextlib.contextmanager
    def locate(self, path: Path_) -> Iterator[None]:
        """Inside, a user error without a place gets the origin of `path`."""
        try:
            yield
        except LocatedError:
            raise
        except UserError as error:
            raise self.error(path, str(error)) from None

    def mapping(self, path: Path_) -> dict[str, Any]:
        """The mapping at a path, empty where there is none; raises UserError for anything else there."""
        node: Any = self.content
        for key in path:
            node = node.get(key) if isinstance(node, Mapping) else None
        if node is None:
            return {}
        if not isinstance(node, Mapping):
            raise self.error(path, f"{path[-1]}: expected a mapping, got {node!r}")
        return dict(node)

    def check_keys(self, path: Path_, known: Collection[str], what: str) -> None:
        """Raises UserError, with the nearest valid name, for a key of the mapping at a path that is not known."""
        for key in self.mapping(path):
            if key not in known:
                raise self.error((*path, key), f"unknown {what} '{key}'{nearest(str(key), known)}")

    def override(self, text: str) -> None:
        """Apply one `dotted.path=value`, which replaces what is there; raises UserError if it is malformed."""
        dotted, value = parse_setting(text)
        self.origins[("--set", dotted)] = f"--set {text}"
        path, origin = tuple(dotted.split(".")), ("--set", dotted)
        if isinstance(value, Mapping):
            self._put(path, {}, origin)
        self.merge(path, value, origin)

    def merge(self, path: Path_, value: Any, origin: Path_) -> None:
        """Put a value at a path; a mapping is merged into a mapping, anything else replaces."""
        if isinstance(value, Mapping) and value and path[0] != "design":
            for key, item in value.items():
                self.merge((*path, key), item, (*origin, key))
        else:
            self._put(path, value, origin)

    def _put(self, path: Path_, value: Any, origin: Path_) -> None:
        """Replace what is at a path, making the mappings on the way to it."""
        if path[0] == "design" and len(path) > 1:  # one choice: never merged with another
            path, value = path[:1], {".".join(map(str, path[1:])): value}
        path = _settled(path)
        start = AXES_START.get(path[0], len(path))
        parent: dict[str, Any] = self.content
        for depth, key in enumerate(path[:-1], start=1):
            child = parent.get(key)
            if depth == start + 1 and key in SHORTHANDS and isinstance(child, str):
                child = {SHORTHANDS[key]: child}
            elif child is None:
                child = {}
            elif not isinstance(child, dict):
                raise self.error(origin, f"{'.'.join(map(str, path[:depth]))} is not a mapping")
            parent[key] = child
            parent = child
        if path[start:] == ("data", "files"):
            parent.pop("corpus", None)
        elif path[start:] == ("data", "corpus") and value != "files":
            parent.pop("files", None)
        parent[path[-1]] = value
        self._move_origins(origin, path)

    def _move_origins(self, origin: Path_, path: Path_) -> None:
        """What now stands at `path`, items included, came from `origin`."""
        if origin == path:
            return
        nearest_known = next((origin[:end] for end in range(len(origin), 0, -1) if origin[:end] in self.origins), None)
        inside = {key[len(origin) :]: place for key, place in self.origins.items() if key[: len(origin)] == origin}
        self.origins = {key: place for key, place in self.origins.items() if key[: len(path)] != path}
        if nearest_known is not None:
            inside.setdefault((), self.origins.get(nearest_known, inside.get((), "")))
        self.origins |= {(*path, *rest): place for rest, place in inside.items()}


def _settled(path: Path_) -> Path_:
    """One spelling for dotted axes: `model.layers` is a key of `model`; below `space`, where levels stand, one key."""
    start = AXES_START.get(path[0], len(path))
    lead, names = path[:start], path[start:]
    if path[0] == "space" and len(names) > 1:
        return (*lead, ".".join(map(str, names)))
    if path[0] != "space" and names and isinstance(names[0], str) and names[0].partition(".")[0] in SHORTHANDS:
        return (*lead, *names[0].split("."), *names[1:])
    return path
