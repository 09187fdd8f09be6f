"""A YAML file as plain data that remembers where each value came from, so that an error can name file and line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bitskip.errors import UserError

Path_ = tuple[Any, ...]
SHORTHANDS = {("base", "data"): "corpus", ("base", "model"): "preset"}
"""Places where a plain name stands for a mapping with this one key."""


def parse_setting(text: str) -> tuple[str, Any]:
    """`dotted.path=value` with the value in YAML; raises UserError if it is malformed."""
    path, separator, raw = text.partition("=")
    path = path.strip()
    if not separator or not all(path.split(".")):
        raise UserError(f"--set {text}: expected path=value, such as tokens=100_000")
    try:
        return path, YAML(typ="safe").load(raw)
    except YAMLError as error:
        raise UserError(f"--set {text}: the value is not YAML: {str(error).splitlines()[0]}") from None


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
            raise UserError(f"{path}: no such file")
        if path.is_dir():
            raise UserError(f"{path}: is a folder, expected a YAML file")
        try:
            parsed = YAML().load(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise UserError(f"{path}: is not UTF-8 text") from None
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            raise UserError(f"{path}{line}: invalid YAML: {error.problem or error.context}") from None
        except YAMLError as error:
            raise UserError(f"{path}: invalid YAML: {str(error).splitlines()[0]}") from None
        if not isinstance(parsed, CommentedMap):
            raise UserError(f"{path}:1: expected a mapping with keys such as `base:` and `space:`")
        source = cls(str(path), {})
        source.content = source._plain(parsed, ())
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
                self.origins[(*path, index)] = f"{self.path}:{node.lc.item(index)[0] + 1}"
            return [self._plain(value, (*path, index)) for index, value in enumerate(node)]
        if isinstance(node, bool) or node is None:
            return node
        for plain in (int, float, str):
            if isinstance(node, plain):
                return plain(node)
        return node

    def error(self, path: Path_, reason: str) -> LocatedError:
        """`origin: reason`, with the origin of the longest known prefix of the path."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return LocatedError(f"{self.origins[path[:end]]}: {reason}")
        return LocatedError(f"{self.path}: {reason}")

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
        if path in SHORTHANDS and isinstance(node, str):
            return {SHORTHANDS[path]: node}
        if not isinstance(node, Mapping):
            raise self.error(path, f"{path[-1]}: expected a mapping, got {node!r}")
        return dict(node)

    def override(self, text: str) -> None:
        """Apply one `dotted.path=value`; raises UserError if it is malformed."""
        dotted, value = parse_setting(text)
        self.origins[("--set", dotted)] = f"--set {text}"
        self.merge(tuple(dotted.split(".")), value, ("--set", dotted))

    def merge(self, path: Path_, value: Any, origin: Path_) -> None:
        """Put a value at a path; a mapping is merged into a mapping, anything else replaces."""
        if isinstance(value, Mapping) and value:
            for key, item in value.items():
                self.merge((*path, key), item, (*origin, key))
            return
        parent: dict[str, Any] = self.content
        for depth, key in enumerate(path[:-1], start=1):
            child = parent.get(key)
            if path[:depth] in SHORTHANDS and isinstance(child, str):
                child = {SHORTHANDS[path[:depth]]: child}
            elif child is None:
                child = {}
            elif not isinstance(child, dict):
                raise self.error(origin, f"{'.'.join(map(str, path[:depth]))} is not a mapping")
            parent[key] = child
            parent = child
        if path == ("base", "data", "files"):
            parent.pop("corpus", None)
        elif path == ("base", "data", "corpus"):
            parent.pop("files", None)
        parent[path[-1]] = value
        for end in range(len(origin), 0, -1):
            if origin[:end] in self.origins:
                self.origins[path] = self.origins[origin[:end]]
                break
