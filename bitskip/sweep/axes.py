"""The axes that a sweep file sets: checked, each at its line, and laid over one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitskip.errors import UserError, nearest
from bitskip.sweep.located_yaml import Path_, Source
from bitskip.techniques.free_factors import Factor
from bitskip.techniques.registry import declare_factors, free_factors
from bitskip.trial.config import AXES, GROUPS, RECIPES, axis_names, flatten_axes

Cell = dict[str, Any]
"""Values by the flat names of axes, such as `model.layers`."""


def read_axes(source: Source, path: Path_, mapping: Mapping[str, Any]) -> Cell:
    """Flat axes of a mapping at a path of the file. Raises UserError, at its line, for a wrong name or value."""
    flat: Cell = {}
    for key, value in mapping.items():
        if key == "seed":
            raise source.error((*path, key), "the seed is no axis of a sweep: write `seeds: 3` or `seeds: [0, 1, 2]`")
        with source.locate((*path, key)):
            if key not in axis_names():
                raise UserError(f"unknown axis '{key}' in {path[0]}{nearest(str(key), axis_names())}")
            for part in value if isinstance(value, Mapping) and key in GROUPS else ():
                with source.locate((*path, key, part)):
                    _checked({key: {part: value[part]}})
            # Files imply their corpus, whichever way they are written.
            flat |= _checked({"data": {"files": value}} if key == "data.files" else {key: value})
    return flat


def read_levels(source: Source) -> list[list[Cell]]:
    """Levels of every crossed axis, each as the flat axes it sets (`model: nano` sets several)."""
    levels = []
    for key, values in source.mapping(("space",)).items():
        where = ("space", key)
        if not isinstance(values, list):
            cure = f"[{values}]" if isinstance(values, str | int | float) else "a list"
            raise source.error(where, f"{key}: expected a list of levels, got {values!r}; write {cure}")
        if not values:
            raise source.error(where, f"{key}: the list of levels is empty")
        checked = [read_axes(source, ("space",), {key: value}) for value in values]
        if len({tuple(level.items()) for level in checked}) < len(checked):
            raise source.error(where, f"{key}: a level is listed twice in {values}")
        levels.append(checked)
    return levels


def _checked(setting: Mapping[str, Any]) -> Cell:
    return {name: AXES[name].check(item) for name, item in flatten_axes(setting).items()}


def layered(*layers: Mapping[str, Any]) -> Cell:
    """Later axes over earlier ones; another corpus drops the files that a layer below named, another model what came
    with pretrained weights."""
    merged: Cell = {}
    for layer in layers:
        if "model.width" in layer and merged.get("model.pretrained"):
            for name in [name for name in merged if name.startswith("model.") or name == "data.vocab_size"]:
                del merged[name]
        merged |= layer
        if layer.get("data.corpus", "files") != "files" and "data.files" not in layer:
            merged.pop("data.files", None)
    return merged


def spell_out_recipe(source: Source) -> None:
    """The axes of `recipe` in its place under `base`, but for those named there. Raises UserError, at its line."""
    base = source.mapping(("base",))
    if "recipe" not in base or "recipe" in AXES:  # a factor from elsewhere may bear the name
        return
    recipe = base.pop("recipe")
    with source.locate(("base", "recipe")):
        if not isinstance(recipe, str) or recipe not in RECIPES:
            known = f"one of {', '.join(RECIPES)}"
            raise UserError(f"unknown recipe {recipe!r}{nearest(str(recipe), RECIPES)} ({known})")
    named = read_axes(source, ("base",), base)
    source.content["base"] = base | {name: value for name, value in RECIPES[recipe].items() if name not in named}


def read_factors(source: Source) -> None:
    """Declare the factors under `factors:`. Raises UserError, at its line, for what is none or is an axis already."""
    for name, declared in source.mapping(("factors",)).items():
        with source.locate(("factors", name)):
            if name not in free_factors() and name in axis_names():
                raise UserError(
                    f"factors: '{name}' is an axis of bitskip; leave it out, or give the factor another name"
                )
            declare_factors([Factor.read(name, declared)])
