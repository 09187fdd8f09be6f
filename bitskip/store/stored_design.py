"""What the design beside results adds to bitskip before they are read: modules with techniques, factors, a measure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bitskip.errors import UserError
from bitskip.store.filesystem import shown
from bitskip.store.folder import SweepFolder
from bitskip.store.foreign_metric import declare_measure, measure_of
from bitskip.techniques.free_factors import Factor
from bitskip.techniques.registry import declare_factors, load_plugins

PROGRAMS = ("command", "trainer")
"""Keys of a design that say what trains its trials, where that is not bitskip."""


DECLARING = re.compile(rf"^({'|'.join(('factors', 'metric', *PROGRAMS))}):", re.MULTILINE)


def declare_from(folders: Iterable[Path]) -> None:
    """Declare the factors and measures of the designs in these folders, where there are any."""
    for folder in folders:
        design = SweepFolder(folder).design
        if design.exists() and DECLARING.search(design.read_text(encoding="utf-8")):
            load_named_in(design)


def load_named_in(design: Path) -> None:
    """Load the modules, factors and measure that a stored design names; no others are loaded for results."""
    content = read_design(design)
    names = content.get("plugins") or ()
    load_plugins([name for name in names if isinstance(name, str) and re.fullmatch(r"[\w.]+", name)])
    factors = content.get("factors")
    try:
        declare_factors(Factor.read(*each) for each in (factors.items() if isinstance(factors, Mapping) else ()))
        if measure := measure_of(content, PROGRAMS):
            declare_measure(measure)
    except UserError as error:
        raise UserError(f"{shown(design)}: {error}") from None


def read_design(design: Path) -> dict[str, Any]:
    """The content of a stored design, empty without one."""
    if not design.exists():
        return {}
    from ruamel.yaml import YAML

    content = YAML(typ="safe").load(design.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
