"""The sweeps and reference results that come with bitskip: the folders of a checkout, or their copies in a wheel."""

from __future__ import annotations

from pathlib import Path

from bitskip.errors import UserError, nearest

PACKAGE = Path(__file__).parent
IN_WHEEL = PACKAGE / "_shipped"
"""Where setup.py puts the copies."""


def _base() -> Path:
    return PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").is_file() else IN_WHEEL


def reference_results() -> Path:
    """The folder of the reference runs."""
    return _base() / "results" / "reference"


def sweep_file(path: Path) -> Path:
    """The file itself, or the sweep of that name that comes with bitskip, such as `full_grid`.

    Raises UserError for a plain name that is neither.
    """
    if path.is_file() or path.parent != Path() or path.suffix not in ("", ".yaml"):
        return path
    known = {each.stem: each for each in sorted((_base() / "sweeps").glob("*.yaml"))}
    if path.stem in known:
        return known[path.stem]
    if path.suffix or path.exists() or not path.name:
        return path
    raise UserError(
        f"{path}: no such file, and no sweep of that name comes with bitskip{nearest(path.name, known)} "
        f"(one of {', '.join(known)})"
    )
