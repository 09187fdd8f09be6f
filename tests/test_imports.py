"""Light commands stay light (which room may see which is held by import-linter, in `make lint`)."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("bitskip", {"torch", "ray", "pyarrow", "numpy", "datasets", "pandas", "rich"}),
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
