"""A sweep file's design space, checked and expanded into trials (DESIGN 4). Pure: reads the YAML and nothing else.

The one exception is text given as files, whose content becomes part of the trial's identity.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bitskip.errors import UserError, nearest
from bitskip.sweep.designs import DESIGNS, Grid, Levels
from bitskip.sweep.located_yaml import Source
from bitskip.trial.config import AXES, AXIS_NAMES, GROUPS, POINTS, RECIPE_AXES, TrialConfig, flatten_axes, make_trial
from bitskip.trial.schedule import step_count

TOP_LEVEL = (
    "name", "description", "base", "space", "points", "exclude", "tuned", "seeds", "design", "resources",
    "save_weights", "share_prefixes", "profiles",
)  # fmt: skip

MAX_POINTS = 1_000_000
"""Spaces beyond this are a slip of the pen; expanding one would look like a hang."""

_Cell = dict[str, Any]
_Rule = Callable[[TrialConfig, Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Resources:
    """What one trial is given; a `time_limit` and the age at which a checkpoint is renewed are in seconds.

    A trial without progress for `stall_limit` seconds is ended; None = what fits its size (docs/engine.md).
    `pack` is how many trials of one shape are trained as one program: off, a number, or auto (docs/performance.md).
    `price_per_hour` is that of one GPU or, for trials without, of one core, in any currency.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    time_limit: float | None = None
    stall_limit: float | None = None
    checkpoint_seconds: float = 300.0
    price_per_hour: float | None = None
    pack: str | int = "auto"
    address: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A checked design space. `trials` are distinct; `points` names some of them by configuration id.

    `cells` counts grid cells and named points times seeds before canonicalisation; `excluded` counts, in the same unit,
    what each rule dropped; `naive_steps` are the optimizer steps of the rest if each were trained by itself. `resolved`
    is the file with profile and overrides merged in, and loads to the same trials. `tuned` are the axes of the recipe
    that belong to the configuration and not to the scale. `trials` are those of the named
    points and of what the design takes of `grid`; an adaptive design takes nothing before it sees the results.
    """

    path: str
    name: str
    description: str
    trials: tuple[TrialConfig, ...]
    points: Mapping[str, str]
    cells: int
    excluded: Mapping[str, int]
    resources: Resources
    design: str
    design_name: str
    count: int
    seeds: tuple[int, ...]
    grid: Grid
    naive_steps: int
    save_weights: bool
    share_prefixes: bool
    resolved: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    tuned: tuple[str, ...] = ()

    def point_of(self, trial: TrialConfig) -> str | None:
        return self.points.get(trial.configuration_id)

    @property
    def adaptive(self) -> bool:
        return DESIGNS[self.design_name].adaptive

    def ran(self, finished: Collection[str]) -> list[int]:
        """Positions in the grid of the configurations of which a trial is among the finished ones."""
        configurations = enumerate(self.grid.configurations)
        return [at for at, c in configurations if any(replace(c, seed=s).trial_id in finished for s in self.seeds)]

    def given(self, ran: Sequence[int]) -> Sweep:
        """The sweep with configurations that have run, by their positions, in the place of others if that is as good.

        Only a fraction can tell; any other design stays what it is.
        """
        return self.with_chosen(DESIGNS[self.design_name].choose(self.grid, self.count, self._named(), ran))

    def with_chosen(self, positions: Iterable[int]) -> Sweep:
        """The sweep whose trials are those of the named points and of these configurations of the grid."""
        named = {replace(trial, seed=0): None for trial in self.trials if trial.configuration_id in self.points}
        chosen = [*named, *(self.grid.configurations[at] for at in positions)]
        return replace(self, trials=with_seeds(chosen, self.seeds))

    def _named(self) -> list[int]:
        if not self.points:
            return []
        return [at for at, c in enumerate(self.grid.configurations) if c.configuration_id in self.points]


def load_sweep(path: str | Path, profile: str | None = None, overrides: Sequence[str] = ()) -> Sweep:
    """Read, merge, check and expand a sweep file.

    `profile` names one of the file's profiles, merged over the rest; `overrides` are `dotted.path=value` with values in
    YAML. Raises UserError with file, line, offending key and cure for every mistake.
    """
    source = Source.read(Path(path))
    _check_keys(source, (), source.content, TOP_LEVEL, "top-level key")
    _spell_out_points(source)  # before anything changes one axis of a point
    if profile is not None:
        _merge_profile(source, profile)
    for override in overrides:
        source.override(override)
    _spell_out_points(source)
    _check_keys(source, (), source.content, TOP_LEVEL, "top-level key")
    return _expand(source)


def _merge_profile(source: Source, profile: str) -> None:
    profiles = source.mapping(("profiles",))
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
    tuning = _tuning(source)
    design, count = _design(source)
    named = _named_points(source)
    point_trials = {
        name: _tuned(tuning, _trial(source, ("points", name), base, _over(base, axes)), _over(base, axes))
        for name, axes in named.items()
    }
    centre = _over(base, named["baseline"]) if "baseline" in named else _over(base, *(axis[0] for axis in levels))
    expanded = DESIGNS[design].expand(levels, centre)
    # Every expansion but the full cross is short; a slip of the pen there must not be expanded to be counted.
    crossed = DESIGNS[design].expand is DESIGNS["full"].expand
    size = len(named) + (math.prod(map(len, levels)) * bool(levels) if crossed else sum(map(len, levels)))
    if size * len(seeds) > MAX_POINTS:
        raise source.error(("space",), f"the space has {size * len(seeds):,} points, more than {MAX_POINTS:,}")

    dropped = dict.fromkeys((text for text, _ in rules), 0)
    digests = _Digests(source)
    cells, naive_steps = len(named), sum(step_count(trial.training) for trial in point_trials.values())
    grid: dict[TrialConfig, None] = {}
    excluded: dict[tuple[TrialConfig, str], None] = {}
    for combination in expanded:
        settings = _over(base, *combination)
        trial = _tuned(tuning, _trial(source, ("space",), base, settings), settings)
        rule = next((text for text, matches in rules if matches(trial, settings)), None)
        cells += 1
        if rule is None:
            grid[trial] = None
            naive_steps += step_count(trial.training)
        else:
            excluded[trial, rule] = None
            dropped[rule] += len(seeds)
    points = {name: digests.fill(trial, ("points", name)) for name, trial in point_trials.items()}
    names = [sorted({name for level in axis for name in level}) for axis in levels]

    def levels_of(trial: TrialConfig) -> Levels:
        return tuple(tuple(AXES[name].read(trial) for name in axis) for axis in names)

    choices = Grid(
        axes=tuple(map(str, source.mapping(("space",)))),
        configurations=tuple(digests.fill(trial, ("space",)) for trial in grid),
        levels=tuple(map(levels_of, grid)),
        centre=levels_of(_trial(source, ("space",), base, centre)),
        excluded=tuple((levels_of(trial), rule) for trial, rule in excluded if trial not in grid),
    )
    if not grid and not points:
        reason = "every cell of the space is excluded" if excluded else "the space is empty and no points are named"
        raise source.error(("exclude",) if excluded else ("space",), f"{reason}: nothing to run")
    sweep = Sweep(
        path=source.path,
        name=name,
        description=str(content.get("description") or ""),
        trials=with_seeds(points.values(), seeds),
        points={trial.configuration_id: name for name, trial in points.items()},
        cells=cells * len(seeds),
        excluded=dropped,
        resources=_resources(source),
        design=f"{design}: {count}" if count else design,
        design_name=design,
        count=count,
        seeds=tuple(seeds),
        grid=choices,
        naive_steps=naive_steps * len(seeds),
        save_weights=_flag(source, "save_weights", False),
        share_prefixes=_flag(source, "share_prefixes", True),
        resolved={key: value for key, value in content.items() if key != "profiles"},
        notes=(
            *(f"the rule {text} excludes nothing" for text, n in dropped.items() if n == 0),
            *_tuning_notes(tuning, [*points.values(), *choices.configurations]),
            *([note] if (note := DESIGNS[design].note) else []),
        ),
        tuned=tuple(tuning),
    )
    return sweep.given([])


def with_seeds(configurations: Iterable[TrialConfig], seeds: Sequence[int]) -> tuple[TrialConfig, ...]:
    """Every configuration with every seed, equal trials once."""
    trials = (replace(configuration, seed=seed) for configuration in configurations for seed in seeds)
    return tuple({trial.trial_id: trial for trial in trials}.values())


def _over(*layers: Mapping[str, Any]) -> _Cell:
    """Later axes over earlier ones; another corpus drops the files that a layer below named."""
    merged: _Cell = {}
    for layer in layers:
        merged |= layer
        if layer.get("data.corpus", "files") != "files" and "data.files" not in layer:
            merged.pop("data.files", None)
    return merged


def _trial(source: Source, where: tuple[Any, ...], base: _Cell, settings: _Cell) -> TrialConfig:
    try:
        return make_trial(**settings)
    except UserError as error:
        try:
            make_trial(**base)
        except UserError as alone:
            where = ("base",) if str(alone) == str(error) else where
        raise source.error(where, str(error)) from None


def _axes(source: Source, path: tuple[Any, ...], mapping: Mapping[str, Any]) -> _Cell:
    """Flat axes of a mapping in the file, each one checked at its line."""
    flat: _Cell = {}
    for key, value in mapping.items():
        if key == "seed":
            raise source.error((*path, key), "the seed is no axis of a sweep: write `seeds: 3` or `seeds: [0, 1, 2]`")
        with source.locate((*path, key)):
            if key not in AXIS_NAMES:
                raise UserError(f"unknown axis '{key}' in {path[0]}{nearest(str(key), AXIS_NAMES)}")
            for part in value if isinstance(value, Mapping) and key in GROUPS else ():
                with source.locate((*path, key, part)):
                    _checked({key: {part: value[part]}})
            # Files imply their corpus, whichever way they are written.
            flat |= _checked({"data": {"files": value}} if key == "data.files" else {key: value})
    return flat


def _checked(setting: Mapping[str, Any]) -> _Cell:
    flat = {name: AXES[name].check(item) for name, item in flatten_axes(setting).items()}
    for name in {"bits", "first_bits"} & flat.keys():
        make_trial(**{name: flat[name]})  # their values are no range: only make_trial knows them
    return flat


def _levels(source: Source) -> list[list[dict[str, Any]]]:
    """Levels of every crossed axis, each as the flat axes it sets (`model: nano` sets several)."""
    levels = []
    for key, values in source.mapping(("space",)).items():
        if not isinstance(values, list):
            cure = f"[{values}]" if isinstance(values, str | int | float) else "a list"
            raise source.error(("space", key), f"{key}: expected a list of levels, got {values!r}; write {cure}")
        if not values:
            raise source.error(("space", key), f"{key}: the list of levels is empty")
        checked = [_axes(source, ("space",), {key: value}) for value in values]
        if any(checked.count(level) > 1 for level in checked):
            raise source.error(("space", key), f"{key}: a level is listed twice in {values}")
        levels.append(checked)
    return levels


def _seeds(source: Source) -> list[int]:
    seeds = source.content.get("seeds", 1)
    if isinstance(seeds, int) and seeds > MAX_POINTS:
        raise source.error(("seeds",), f"seeds: {seeds:,} are more than {MAX_POINTS:,}")
    chosen = list(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds
    valid = isinstance(chosen, list) and all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in chosen)
    if not valid or not chosen or len(set(chosen)) != len(chosen):
        raise source.error(("seeds",), f"seeds: expected a count or a list of distinct whole numbers, got {seeds!r}")
    return list(chosen)


def _exclusions(source: Source) -> list[tuple[str, _Rule]]:
    """(text, matches) of every rule; a rule matches when each of its axes has the value or one of the values given.

    A rule sees a cell as written and in canonical form: `{phase: 1, dropout: quadratic}` drops the cells that say so
    although phase 1 has no dropout, and `{phase: 1}` leaves no phase-1 trial. Rules drop grid cells; a named point
    always runs.
    """
    rules = source.content.get("exclude") or []
    if not isinstance(rules, list):
        raise source.error(("exclude",), "exclude: expected a list of mappings, such as [{bits: 16, hadamard: true}]")
    found = []
    for index, rule in enumerate(rules):
        where = ("exclude", index)
        if not isinstance(rule, Mapping) or not rule:
            raise source.error(where, f"exclude: expected a mapping of axes, got {rule!r}")
        text = "{" + ", ".join(f"{key}: {value}" for key, value in rule.items()) + "}"
        found.append((text, _rule(source, where, rule)))
    return found


def _tuning(source: Source) -> dict[str, list[tuple[_Rule, Any]]]:
    """For every axis under `tuned`, its rules: the value that `use` gives to the cells which match the rest."""
    found: dict[str, list[tuple[_Rule, Any]]] = {}
    for axis, rules in source.mapping(("tuned",)).items():
        where: tuple[Any, ...] = ("tuned", axis)
        if axis not in RECIPE_AXES:
            hint = nearest(str(axis), RECIPE_AXES)
            raise source.error(
                where, f"tuned: '{axis}' is no axis of the recipe{hint} (one of {', '.join(RECIPE_AXES)})"
            )
        if axis in source.mapping(("space",)):
            raise source.error(where, f"tuned: '{axis}' is crossed in space, too; leave it out of one of them")
        if not isinstance(rules, list):
            raise source.error(where, f"tuned: expected a list of rules, such as {axis}: [{{bits: 16, use: 4e-3}}]")
        found[axis] = []
        for index, rule in enumerate(rules):
            if not isinstance(rule, Mapping) or "use" not in rule or len(rule) < 2:
                wanted = "axes of a cell and the value to use, such as {bits: 16, use: 4e-3}"
                raise source.error((*where, index), f"tuned: expected {wanted}, got {rule!r}")
            with source.locate((*where, index, "use")):
                value = AXES[axis].check(rule["use"])
            found[axis].append((_rule(source, (*where, index), rule), value))
    return found


def _tuning_notes(
    tuning: Mapping[str, Sequence[tuple[_Rule, Any]]], configurations: Sequence[TrialConfig]
) -> list[str]:
    notes = []
    for axis, rules in tuning.items():
        counts = Counter(AXES[axis].read(trial) for trial in dict.fromkeys(configurations))
        shares = ", ".join(f"{value:g} in {count}" for value, count in sorted(counts.items()))
        notes.append(f"{axis} tuned by configuration: {shares} of them")
        idle = [value for matches, value in rules if not any(matches(trial, {}) for trial in configurations)]
        notes += [f"the rule of tuned.{axis} that uses {value:g} matches nothing" for value in idle]
    return notes


def _tuned(tuning: Mapping[str, Sequence[tuple[_Rule, Any]]], trial: TrialConfig, settings: _Cell) -> TrialConfig:
    """The trial with what the rules that match it say, of several the first."""
    for axis, rules in tuning.items():
        value = next((value for matches, value in rules if matches(trial, settings)), None)
        if value is not None:
            trial = replace(trial, training=replace(trial.training, **{AXES[axis].field: value}))
    return trial


def _rule(source: Source, where: tuple[Any, ...], rule: Mapping[str, Any]) -> _Rule:
    """What its axes match, but for `use`; an axis may have several values."""
    return _matcher(
        [
            [_axes(source, where, {key: choice}) for choice in (value if isinstance(value, list) else [value])]
            for key, value in rule.items()
            if key != "use"
        ]
    )


def _matcher(wanted: Sequence[Sequence[_Cell]]) -> _Rule:
    """`wanted` holds, for each axis of the rule, its alternatives; `model: nano` is one that names several axes."""

    def fits(value: Callable[[str], Any]) -> bool:
        return all(
            any(all(value(name) == item for name, item in choice.items()) for choice in choices) for choices in wanted
        )

    def matches(trial: TrialConfig, written: Mapping[str, Any]) -> bool:
        def canonical(name: str) -> Any:
            return AXES[name].read(trial)

        return fits(canonical) or fits(lambda name: written[name] if name in written else canonical(name))

    return matches


def _design(source: Source) -> tuple[str, int]:
    design = source.content.get("design", "full")
    name, count = next(iter(design.items())) if isinstance(design, Mapping) and len(design) == 1 else (design, 0)
    if not isinstance(name, str) or name not in DESIGNS:
        known = ", ".join(DESIGNS)
        hint = nearest(str(name), DESIGNS)
        raise source.error(("design",), f"design: unknown design {name!r}{hint} (one of {known})")
    if DESIGNS[name].takes_count and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise source.error(("design",), f"design: write {{{name}: n}} with n, how many configurations to run")
    if not DESIGNS[name].takes_count and isinstance(design, Mapping):
        raise source.error(("design",), f"design: {name} takes no number; write `design: {name}`")
    return name, count


def _spell_out_points(source: Source) -> None:
    """A list of points, and points without axes, take the definitions of `config.POINTS`."""
    points = source.content.get("points")
    if isinstance(points, list):
        for index, name in enumerate(points):
            if not isinstance(name, str):
                raise source.error(("points", index), f"points: expected the name of a known point, got {name!r}")
            source.origins[("points", name)] = source.origins.get(("points", index), source.path)
        points = source.content["points"] = dict.fromkeys(points)
    if isinstance(points, dict):
        for name, axes in points.items():
            if axes is None and name not in POINTS:
                hint = nearest(str(name), POINTS)
                raise source.error(("points", name), f"points: unknown point '{name}'{hint} (or write its axes)")
            points[name] = dict(POINTS[name]) if axes is None else axes


def _named_points(source: Source) -> dict[str, _Cell]:
    found = {}
    for name in source.mapping(("points",)):
        found[str(name)] = _axes(source, ("points", name), source.mapping(("points", name)))
    return found


def _resources(source: Source) -> Resources:
    given = source.mapping(("resources",))
    _check_keys(source, ("resources",), given, tuple(Resources.__dataclass_fields__), "resource")
    for key, value in given.items():
        if key == "address" and (value is None or isinstance(value, str)):
            continue
        if key == "address":
            raise source.error(("resources", key), f"resources: address must be text such as auto, got {value!r}")
        if key == "pack":
            if value not in ("auto", "off") and (type(value) is not int or value < 1):
                raise source.error(
                    ("resources", key), f"resources: pack must be auto, off or a number of trials, got {value!r}"
                )
            continue
        if value is None and key in ("time_limit", "stall_limit", "price_per_hour"):
            continue
        positive = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        if not positive or (value == 0 and key != "gpus"):
            raise source.error(("resources", key), f"resources: {key} must be a positive number, got {value!r}")
    return Resources(**given)


def _flag(source: Source, key: str, default: bool) -> bool:
    wanted = source.content.get(key, default)
    if not isinstance(wanted, bool):
        raise source.error((key,), f"{key} must be true or false, got {wanted!r}")
    return wanted


@dataclass
class _Digests:
    """Content digests of text files, each distinct list of files read once."""

    source: Source
    known: dict[tuple[str, ...], str] = field(default_factory=dict)

    def fill(self, trial: TrialConfig, where: tuple[Any, ...]) -> TrialConfig:
        """The trial with its digest. Raises UserError, at the line that names the files, if one is missing."""
        files = trial.data.files
        if not files:
            return trial
        if files not in self.known:
            from bitskip.data.corpora.files import files_digest

            inner = [(*place, *key) for place in (where, ("base",)) for key in (("data", "files"), ("data.files",))]
            with self.source.locate(next((path for path in inner if path in self.source.origins), where)):
                self.known[files] = files_digest(files)
        return replace(trial, data=replace(trial.data, digest=self.known[files]))
