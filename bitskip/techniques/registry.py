"""Techniques from outside bitskip: modules that a sweep file names under `plugins`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from bitskip.errors import UserError


def load_plugins(names: Sequence[str]) -> None:
    """Import modules that add techniques. Raises UserError, with cause and cure, for one that cannot be imported."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever the module's own code raises
            cause = f"{type(error).__name__}: {error}"
            raise UserError(
                f"plugins: '{name}' cannot be imported ({cause}); install it where bitskip runs, or leave it out"
            ) from None
