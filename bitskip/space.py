"""A sweep file's design space, checked and expanded into trials (DESIGN 4). Pure: reads the YAML and nothing else.

The one exception is text given as files, whose content becomes part of the trial's identity.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitskip.config import AXES, AXIS_NAMES, POINTS, TrialConfig, flatten_axes, make_trial
from bitskip.errors import UserError, nearest
from bitskip.yaml_source import Source

TOP_LEVEL = (
    "name", "description", "base", "space", "points", "exclude", "seeds", "design", "resources", "profiles",
)  # fmt: skip


@dataclass(frozen=True)
class Resources:
    """What one trial is given; `time_limit` in seconds of wall clock."""

    cpus: float = 1.0
    gpus: float = 0.0
    time_limit: float | None = None
    address: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A checked design space. `trials` are distinct; `points` names some of their configurations.

    `cells` counts grid cells and named points times seeds before canonicalisation; `excluded` counts the trials that
    each rule dropped.
    """

    name: str
    description: str
    trials: tuple[TrialConfig, ...]
    points: Mapping[str, str]
    cells: int
    excluded: Mapping[str, int]
    resources: Resources
    design: str
    resolved: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def point_of(self, trial: TrialConfig) -> str | None:
        return self.points.get(trial.configuration_id)


@dataclass(frozen=True)
class _Design:
    """Which grid configurations to run, of all that the space spans."""

    choose: Callable[[list[dict[str, Any]], int], list[dict[str, Any]]]
    takes_count: bool


def _random_subset(cells: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    # A fixed seed: the same file always means the same trials.
    chosen = set(random.Random(0).sample(range(len(cells)), min(count, len(cells))))
    return [cell for index, cell in enumerate(cells) if index in chosen]


DESIGNS: dict[str, _Design] = {
    "full": _Design(lambda cells, _: cells, takes_count=False),
    "random": _Design(_random_subset, takes_count=True),
}


def load_sweep(path: str | Path, profile: str | None = None, overrides: Sequence[str] = ()) -> Sweep:
    """Read, merge, check and expand a sweep file.

    `profile` names one of the file's profiles, merged over the rest; `overrides` are `dotted.path=value` with values in
    YAML. Raises UserError with file, line, offending key and cure for every mistake.
    """
    source = Source.read(Path(path))
    _check_keys(source, (), source.content, TOP_LEVEL, "top-level key")
    if profile is not None:
        _merge_profile(source, profile)
    for override in overrides:
        source.override(override)
    _check_keys(source, (), source.content, TOP_LEVEL, "top-level key")
    return _expand(source)


def _merge_profile(source: Source, profile: str) -> None:
    profiles = source.content.get("profiles") or {}
    if profile not in profiles:
        known = ", ".join(profiles) or "none"
        raise source.error(("profiles",), f"unknown profile '{profile}'{nearest(profile, profiles)} (known: {known})")
    settings = source.mapping(("profiles", profile))
    allowed = [key for key in TOP_LEVEL if key != "profiles"]
    _check_keys(source, ("profiles", profile), settings, allowed, "key")
    for key in settings:
        source.merge((key,), settings[key], ("profiles", profile, key))


def _check_keys(
    source: Source, path: tuple[Any, ...], mapping: Mapping[str, Any], known: Sequence[str], what: str
) -> None:
    for key in mapping:
        if key not in known:
            raise source.error((*path, key), f"unknown {what} '{key}'{nearest(str(key), known)}")


def _expand(source: Source) -> Sweep:
    content = source.content
    name = content.get("name") or Path(source.path).stem
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9._-]*[a-z0-9_-][a-z0-9._-]*", name):
        raise source.error(("name",), f"name {name!r} must be made of a-z, 0-9, '.', '_' and '-'")
    base = _axes(source, ("base",), source.mapping(("base",)))
    levels = _levels(source)
    seeds = _seeds(source)
    rules = _exclusions(source)
    design, count = _design(source)
    named = _named_points(source)

    dropped = dict.fromkeys((text for text, _ in rules), 0)
    cells = [_merged(combination) for combination in itertools.product(*levels)] if levels else []
    kept = []
    for cell in cells:
        with source.locate(("space",)):
            trial = make_trial(**{**base, **cell})
        rule = next((text for text, matches in rules if matches(trial)), None)
        if rule is None:
            kept.append(cell)
        else:
            dropped[rule] += len(seeds)
    kept = DESIGNS[design].choose(kept, count)

    digests = _Digests()
    trials: dict[str, TrialConfig] = {}
    points: dict[str, str] = {}
    settings: list[tuple[str | None, tuple[Any, ...], dict[str, Any]]] = [
        (point, ("points", point), cell) for point, cell in named.items()
    ]
    settings += [(None, ("space",), cell) for cell in kept]
    for point, where, cell in settings:
        with source.locate(where):
            values = digests.fill({**base, **cell})
            for seed in seeds:
                trial = make_trial(**values, seed=seed)
                trials.setdefault(trial.trial_id, trial)
            if point is not None:
                points[trial.configuration_id] = point
    if not settings:
        reason = "every cell of the space is excluded" if cells else "the space is empty and no points are named"
        raise source.error(("exclude",) if cells else ("space",), f"{reason}: nothing to run")
    return Sweep(
        name=name,
        description=str(content.get("description") or ""),
        trials=tuple(trials.values()),
        points=points,
        cells=(len(cells) + len(named)) * len(seeds),
        excluded=dropped,
        resources=_resources(source),
        design=design if not count else f"{design}: {count}",
        resolved={key: value for key, value in content.items() if key != "profiles"},
        notes=tuple(f"the rule {text} excludes nothing" for text, n in dropped.items() if n == 0),
    )


def _merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def _axes(source: Source, path: tuple[Any, ...], mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Flat axes of a mapping in the file, each one checked at its line."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if key == "seed":
            raise source.error((*path, key), "the seed is no axis of a sweep: write `seeds: 3` or `seeds: [0, 1, 2]`")
        with source.locate((*path, key)):
            if key not in AXIS_NAMES:
                raise UserError(f"unknown axis '{key}' in {'.'.join(map(str, path))}{nearest(str(key), AXIS_NAMES)}")
            expanded = flatten_axes({key: value})
            flat |= {name: AXES[name].check(item) for name, item in expanded.items()}
            if "bits" in expanded:
                make_trial(bits=expanded["bits"])
    return flat


def _levels(source: Source) -> list[list[dict[str, Any]]]:
    """Levels of every crossed axis, each as the flat axes it sets (`model: nano` sets several)."""
    levels = []
    for key, values in source.mapping(("space",)).items():
        if not isinstance(values, list):
            raise source.error(("space", key), f"{key}: expected a list of levels, got {values!r}")
        if not values:
            raise source.error(("space", key), f"{key}: the list of levels is empty")
        checked = [_axes(source, ("space",), {key: value}) for value in values]
        if any(checked.count(level) > 1 for level in checked):
            raise source.error(("space", key), f"{key}: a level is listed twice in {values}")
        levels.append(checked)
    return levels


def _seeds(source: Source) -> list[int]:
    seeds = source.content.get("seeds", 1)
    chosen = list(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds
    valid = isinstance(chosen, list) and all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in chosen)
    if not valid or not chosen or len(set(chosen)) != len(chosen):
        raise source.error(("seeds",), f"seeds: expected a count or a list of distinct whole numbers, got {seeds!r}")
    return list(chosen)


def _exclusions(source: Source) -> list[tuple[str, Callable[[TrialConfig], bool]]]:
    """(text, matches) of every rule; a rule matches when each of its axes has the value or one of the values given.

    Rules drop grid cells; a named point always runs.
    """
    rules = source.content.get("exclude") or []
    if not isinstance(rules, list):
        raise source.error(("exclude",), "exclude: expected a list of mappings, such as [{bits: 16, hadamard: true}]")
    found = []
    for index, rule in enumerate(rules):
        if not isinstance(rule, Mapping) or not rule:
            raise source.error(("exclude", index), f"exclude: expected a mapping of axes, got {rule!r}")
        wanted: dict[str, list[Any]] = {}
        for key, value in rule.items():
            for choice in value if isinstance(value, list) else [value]:
                for name, item in _axes(source, ("exclude", index), {key: choice}).items():
                    wanted.setdefault(name, []).append(item)
        text = "{" + ", ".join(f"{key}: {value}" for key, value in rule.items()) + "}"
        found.append((text, _matcher(wanted)))
    return found


def _matcher(wanted: Mapping[str, list[Any]]) -> Callable[[TrialConfig], bool]:
    return lambda trial: all(AXES[name].read(trial) in values for name, values in wanted.items())


def _design(source: Source) -> tuple[str, int]:
    design = source.content.get("design", "full")
    name, count = next(iter(design.items())) if isinstance(design, Mapping) and len(design) == 1 else (design, 0)
    if name not in DESIGNS:
        known = ", ".join(DESIGNS)
        hint = nearest(str(name), DESIGNS)
        raise source.error(("design",), f"design: unknown design {name!r}{hint} (one of {known})")
    if DESIGNS[name].takes_count and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise source.error(("design",), f"design: write {{{name}: n}} with n, how many configurations to run")
    return name, count


def _named_points(source: Source) -> dict[str, dict[str, Any]]:
    """Axes of every named point; a bare name takes the definition of `config.POINTS`."""
    points = source.content.get("points") or {}
    if isinstance(points, list):
        points = dict.fromkeys(points)
    if not isinstance(points, Mapping):
        raise source.error(("points",), "points: expected a mapping of names to axes, or a list of known names")
    found = {}
    for name, settings in points.items():
        if settings is None and name not in POINTS:
            raise source.error(("points",), f"points: unknown point '{name}'{nearest(str(name), POINTS)}")
        if settings is not None and not isinstance(settings, Mapping):
            raise source.error(("points", name), f"points: expected a mapping of axes for '{name}'")
        found[str(name)] = dict(POINTS[name]) if settings is None else _axes(source, ("points", name), settings)
    return found


def _resources(source: Source) -> Resources:
    given = source.mapping(("resources",))
    _check_keys(source, ("resources",), given, tuple(Resources.__dataclass_fields__), "resource")
    for key, value in given.items():
        if key == "address" or value is None:
            continue
        positive = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        if not positive or (value == 0 and key != "gpus"):
            raise source.error(("resources", key), f"resources: {key} must be a positive number, got {value!r}")
    return Resources(**given)


@dataclass
class _Digests:
    """Content digests of text files, each distinct list of files read once."""

    known: dict[tuple[str, ...], str] = field(default_factory=dict)

    def fill(self, axes: dict[str, Any]) -> dict[str, Any]:
        files = tuple(axes.get("data.files") or ())
        if not files:
            return axes
        if files not in self.known:
            from bitskip.data.files import files_digest

            self.known[files] = files_digest(files)
        return {**axes, "data.digest": self.known[files]}
