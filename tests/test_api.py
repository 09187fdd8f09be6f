"""The public API: what `bitskip` itself offers (docs/architecture.md)."""

import ast
from pathlib import Path

import bitskip


def test_everything_that_is_promised_is_there() -> None:
    assert [name for name in bitskip.__all__ if not hasattr(bitskip, name)] == []
    assert set(bitskip.__all__) <= set(dir(bitskip))


def test_type_checkers_see_what_is_imported_lazily() -> None:
    tree = next(
        node for node in ast.parse(Path(bitskip.__file__).read_text()).body if isinstance(node, ast.If)
    )  # TYPE_CHECKING
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bitskip.")
        for alias in node.names
    }
    assert typed == {name: f"bitskip.{module}" for name, module in bitskip._WHERE.items()}
