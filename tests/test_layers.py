"""Imports point downwards only, and light commands stay light (DESIGN 2)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bitskip

PACKAGE = Path(bitskip.__file__).parent
LAYERS = [
    {"errors"},
    {"axis", "exits", "yaml_source", "running", "provenance"},
    {"config"},
    {"method", "schedule", "designs", "rerun"},
    {"data"},
    {"storage", "ownership"},
    {"space", "evaluate", "checkpoint", "guards", "diagnose", "speed", "generate", "prefix", "cost"},
    {"course", "packing"},
    {"train"},
    {"results", "calibrate", "pack"},
    {"record", "cells", "snapshot", "dispatch", "machine", "hygiene"},
    {"executors"},
    {"noise", "encoding", "measurements"},
    {"multiplicity", "smoother", "failures", "scores"},
    {"effects", "intervals"},
    {"claims", "attribution"},
    {"surface", "suggest"},
    {"extrapolation", "prediction", "shares", "adaptive"},
    {"predictor", "sweep"},
    {"fitted", "doctor", "campaign"},
    {"report"},
    {"cli"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
OWNERS = {
    "ray": {"executors"},
    "pyarrow": {"results", "data", "storage"},
    "typer": {"cli"},
    "rich": {"cli", "report"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, inside functions too, but not for type checking only."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    here = layer_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "bitskip" and len(parts) > 1 and parts[1] != here:
            assert RANK[parts[1]] < RANK[here], f"{here} imports {parts[1]}"
        if parts[0] in OWNERS:
            assert here in OWNERS[parts[0]], f"{here} imports {parts[0]}"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("bitskip.cli", {"torch", "ray", "pyarrow", "numpy", "datasets", "pandas"}),
        ("bitskip.predict.predictor", {"torch", "ray", "scipy", "pandas", "datasets"}),
        ("bitskip.sweep.sweep_file", {"torch", "ray", "pyarrow", "pandas"}),
        ("bitskip.engine.runner", {"torch", "ray", "datasets", "pandas"}),
    ],
)
def test_heavy_packages_are_not_imported(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not absent & set(loaded)
