"""A sweep file's design space, checked and expanded into trials (DESIGN 4). Pure: reads the YAML and nothing else.

The exceptions are text and tokenizers given as files, whose content becomes part of the trial's identity, and plug-ins,
whose axes have to be known before the file's are checked.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitskip import progress
from bitskip.errors import UserError, nearest
from bitskip.shipped import sweep_file
from bitskip.store.schema import axis_columns
from bitskip.store.stored_design import PROGRAMS
from bitskip.sweep.axes import Cell, layered, read_axes, read_factors, read_levels, spell_out_recipe
from bitskip.sweep.designs import DESIGNS, crossed
from bitskip.sweep.grid import Grid, grid_of
from bitskip.sweep.ladder import Ladder, across_rungs, read_ladder
from bitskip.sweep.located_yaml import Path_, Source
from bitskip.sweep.program import Program, base_of, read_program
from bitskip.sweep.resources import Resources, read_resources
from bitskip.sweep.rules import read_exclusions, read_tuning, take_search, tuned, tuning_notes
from bitskip.sweep.texts import Texts, with_digest
from bitskip.techniques.rotation import Rotation
from bitskip.trial.config import AXES, POINTS, DataConfig, TrialConfig, data_label, make_trial
from bitskip.trial.schedule import step_count

if TYPE_CHECKING:
    from bitskip.sweep.search import Search

TOP_LEVEL = (
    "name", "description", "plugins", "factors", "metric", *PROGRAMS, "base", "ladder", "space", "points", "exclude",
    "tuned", "seeds", "design", "resources", "save_weights", "share_prefixes", "profiles",
)  # fmt: skip

MAX_POINTS = 1_000_000
"""Spaces beyond this are a slip of the pen; expanding one would look like a hang."""

MOST_TRIALS = 10_000
"""Points of a design that runs all of them: their plan takes five seconds."""

EARLIER_DEFAULTS: Mapping[str, Any] = {"data.split": "two", "eval_tokens": 32_768}
"""What axes that a sweep file leaves out were in 0.1, where they are another thing now: sweeps begun then go on so."""

BEGUN_EARLIER = (
    "begun with version 0.1, it goes on as then: one held-out part for curves and results, read from its beginning "
    f"({', '.join(f'{name} {value}' for name, value in EARLIER_DEFAULTS.items())} where the file says nothing); rename "
    "the sweep or take another results folder to start anew"
)

MOST_LETTERS = 100
"""Of a sweep's name."""


@dataclass(frozen=True)
class Sweep:
    """A checked design space. `trials` are distinct; `points` names some of them by configuration id.

    `cells` counts grid cells and named points times seeds before canonicalisation; `excluded` counts, in the same unit,
    what each rule dropped; `naive_steps` are the optimizer steps of the rest if each were trained by itself. `resolved`
    is the file with profile and overrides merged in, and loads to the same trials. `tuned` are the axes of the recipe
    that belong to the configuration and not to the scale; `plugins` the modules that add axes. `trials` are those of
    the named points and of what the design takes of `grid`, at every rung of the `ladder`; an adaptive design takes
    nothing before it sees the results. A `search` finds the value of a tuned axis for each configuration; until it has
    found all of them, they are not `known`, and trials have the value of `base`. A `program` trains in bitskip's place.
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
    plugins: tuple[str, ...] = ()
    ladder: Ladder | None = None
    search: Search | None = None
    known: bool = True
    program: Program | None = None

    def point_of(self, trial: TrialConfig) -> str | None:
        return self.points.get(trial.configuration_id)

    @functools.cached_property
    def untold(self) -> tuple[str, ...]:
        """Axes of the data that differ among configurations whose data have one label, such as the separator."""
        texts: dict[str, set[DataConfig]] = {}
        for trial in (*self.grid.configurations, *self.trials):
            texts.setdefault(data_label(trial.data), set()).add(trial.data)
        fields = [name for name, entry in AXES.items() if entry.group == "data" and name != "data.files"]
        return tuple(n for n in fields if any(len({getattr(d, AXES[n].field) for d in t}) > 1 for t in texts.values()))

    @property
    def adaptive(self) -> bool:
        return DESIGNS[self.design_name].next_batch is not None

    def ran(self, finished: Collection[str]) -> list[int]:
        """Positions in the grid of the configurations of which a trial is among the finished ones."""
        configurations = enumerate(self.grid.configurations)
        return [at for at, c in configurations if any(replace(c, seed=s).trial_id in finished for s in self.seeds)]

    def begun(self, known: Collection[str]) -> bool:
        """Whether some trial of the sweep is among these."""
        return any(trial.trial_id in known for trial in self.trials) or bool(self.ran(known))

    def given(self, ran: Sequence[int]) -> Sweep:
        """The sweep with configurations that have run, by their positions, in the place of others if that is as good.

        Only a fraction can tell; any other design stays what it is.
        """
        configurations = enumerate(self.grid.configurations) if self.points else ()
        named = [at for at, c in configurations if c.configuration_id in self.points]
        choose = DESIGNS[self.design_name].choose
        choose = functools.partial(across_rungs, choose) if self.ladder else choose
        return self.with_chosen(choose(self.grid, self.count, named, ran))

    def with_chosen(self, positions: Iterable[int]) -> Sweep:
        """The sweep whose trials are those of the named points and of these configurations of the grid."""
        named = {replace(trial, seed=0): None for trial in self.trials if trial.configuration_id in self.points}
        chosen = [*named, *(self.grid.configurations[at] for at in positions)]
        return replace(self, trials=with_seeds(chosen, self.seeds))


def no_ladder(max_rung: int, sweep: Sweep) -> str:
    """What is wrong with `--max-rung` where there are no rungs."""
    return f"--max-rung {max_rung}: {sweep.path} has no ladder; leave it out, or add a block `ladder:`"


def with_seeds(configurations: Iterable[TrialConfig], seeds: Sequence[int]) -> tuple[TrialConfig, ...]:
    """Every configuration with every seed, equal trials once."""
    trials = (c if c.seed == seed else replace(c, seed=seed) for c in configurations for seed in seeds)
    return tuple({trial.trial_id: trial for trial in trials}.values())


def load_sweep(
    path: str | Path, profile: str | None = None, overrides: Sequence[str] = (), results: Path | None = None
) -> Sweep:
    """Read, merge, check and expand a sweep file, or the one of that name that comes with bitskip.

    `profile` names one of the file's profiles, merged over the rest; `overrides` are `dotted.path=value` with values in
    YAML. A sweep that was begun in `results` with the defaults of 0.1 goes on with these. Raises UserError with file,
    line, offending key and cure for every mistake.
    """
    with progress.stage(f"planning {Path(path).name}"):
        return _load(sweep_file(Path(path)), profile, overrides, results)


def _load(path: Path, profile: str | None, overrides: Sequence[str], results: Path | None) -> Sweep:
    source = Source.read(path)
    source.check_keys((), TOP_LEVEL, "top-level key")
    _spell_out_points(source)  # before anything changes one axis of a point
    if profile is not None:
        _merge_profile(source, profile)
    for override in overrides:
        source.override(override)
    _spell_out_points(source)
    source.check_keys((), TOP_LEVEL, "top-level key")
    _load_plugins(source)  # before any axis is checked: it may be one of theirs
    spell_out_recipe(source)
    from bitskip.store.tables import ledger_of  # with pyarrow

    if wanted := take_search(source):
        from bitskip.sweep.search import Search

        return Search.of(expand(source), *wanted).stored(results)
    sweep = expand(source)
    known = ledger_of(results)[0] if results is not None else ()
    if not known or sweep.begun(known):
        return sweep
    earlier = expand(source, EARLIER_DEFAULTS)
    return replace(earlier, notes=(*earlier.notes, BEGUN_EARLIER)) if earlier.begun(known) else sweep


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
            if not isinstance(name, str) and str(name) in points:
                raise source.error(("points", name), f"points: {name!r} and '{name}' are one name; rename one of them")
            if axes is None and name not in POINTS:
                hint = nearest(str(name), POINTS)
                raise source.error(("points", name), f"points: unknown point '{name}'{hint} (or write its axes)")
            points[name] = dict(POINTS[name]) if axes is None else axes


def _merge_profile(source: Source, profile: str) -> None:
    profiles = source.mapping(("profiles",))
    if profile not in profiles:
        known = ", ".join(profiles) or "none"
        raise source.error(("profiles",), f"unknown profile '{profile}'{nearest(profile, profiles)} (known: {known})")
    where = ("profiles", profile)
    source.check_keys(where, [key for key in TOP_LEVEL if key != "profiles"], "key")
    for key, value in source.mapping(where).items():
        source.merge((key,), value, (*where, key))


def _load_plugins(source: Source) -> None:
    """Import the modules under `plugins`. Raises UserError, at its line, for one that cannot be."""
    from bitskip.techniques.registry import load_plugins

    names = source.content.get("plugins") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise source.error(("plugins",), f"plugins: expected a list of modules, such as [my_technique], got {names!r}")
    for index, name in enumerate(names):
        with source.locate(("plugins", index)):
            load_plugins([name])
    read_factors(source)
    axis_columns()  # refuses axes whose names are taken among the columns of results


def expand(source: Source, defaults: Mapping[str, Any] | None = None) -> Sweep:
    """The sweep of a file whose profile, overrides and plug-ins are in place. Raises UserError, at the line."""
    content = source.content
    name = _name(source)
    program = read_program(source)
    base = layered(defaults or {}, base_of(program, name), read_axes(source, ("base",), source.mapping(("base",))))
    levels, seeds = read_levels(source), _seeds(source)
    ladder = read_ladder(source, base, levels)
    rungs = ladder.cells if ladder else [{}]
    rules, tuning = read_exclusions(source), read_tuning(source)
    design_name, count = _design(source)
    design = DESIGNS[design_name]

    def trial_of(where: Path_, settings: Cell) -> TrialConfig:
        return tuned(tuning, _trial(source, where, base, settings), settings)

    named = {
        str(key): read_axes(source, ("points", key), source.mapping(("points", key)))
        for key in source.mapping(("points",))
    }
    points = [
        (key, trial_of(("points", key), layered(base, axes, rung))) for rung in rungs for key, axes in named.items()
    ]
    centre = layered(base, named["baseline"]) if "baseline" in named else layered(base, *(axis[0] for axis in levels))
    # Every expansion but the full cross is short; a slip of the pen there must not be expanded to be counted.
    most = math.prod(map(len, levels)) * bool(levels) if design.expand is crossed else sum(map(len, levels))
    if (size := (len(named) + most) * len(rungs) * len(seeds)) > MAX_POINTS:
        raise source.error(("space",), f"the space has {size:,} points, more than {MAX_POINTS:,}")
    if not design.takes_count and size > MOST_TRIALS:
        cure = "take fewer levels, or a design that chooses among them, such as `design: {random: 100}`"
        raise source.error(
            ("space",), f"the space has {size:,} points, all to be run, more than {MOST_TRIALS:,}; {cure}"
        )

    cells: list[tuple[TrialConfig, str | None]] = []  # with the rule that drops it
    impossible: list[tuple[Cell, str]] = []  # no trial, and dropped by a rule
    for rung, combination in itertools.product(rungs, design.expand(levels, centre)):
        settings = layered(base, *combination, rung)
        try:
            trial = trial_of(("space",), settings)
        except UserError:
            rule = next((rule.text for rule in rules if rule.matches_as_written(settings)), None)
            if rule is None:
                raise
            impossible.append((settings, rule))
        else:
            cells.append((trial, next((rule.text for rule in rules if rule.matches(trial, settings)), None)))
    dropped = Counter(rule for _, rule in [*cells, *impossible])
    kept = [*(trial for _, trial in points), *(trial for trial, rule in cells if rule is None)]

    digests: Texts = {}
    points = [(key, with_digest(source, trial, ("points", key), digests)) for key, trial in points]
    crossed_axes = {"ladder": rungs} if ladder else {}
    crossed_axes |= zip(source.mapping(("space",)), levels, strict=True)
    grid = grid_of(
        source, crossed_axes, cells, impossible, _trial(source, ("space",), base, layered(centre, rungs[0])), digests
    )
    if not kept:
        reason = "every cell of the space is excluded" if cells else "the space is empty and no points are named"
        raise source.error(("exclude",) if cells else ("space",), f"{reason}: nothing to run")
    excluded = {rule.text: dropped[rule.text] * len(seeds) for rule in rules}
    notes = [f"the rule {text} excludes nothing" for text, cells_dropped in excluded.items() if not cells_dropped]
    notes += tuning_notes(tuning, [*(trial for _, trial in points), *grid.configurations])
    notes += dict.fromkeys(note for trial in kept for note in trial.of(Rotation).block_notes(trial.model))
    sweep = Sweep(
        path=source.path,
        name=name,
        description=str(content.get("description") or ""),
        trials=with_seeds((trial for _, trial in points), seeds),
        points={trial.configuration_id: name for name, trial in points},
        cells=(len(points) + len(cells)) * len(seeds),
        excluded=excluded,
        resources=read_resources(source),
        design=f"{design_name}: {count}" if count else design_name,
        design_name=design_name,
        count=count,
        seeds=tuple(seeds),
        grid=grid,
        naive_steps=sum(step_count(trial.training) for trial in kept) * len(seeds),
        save_weights=_flag(source, "save_weights", False),
        share_prefixes=_flag(source, "share_prefixes", True) and program is None,
        resolved={key: value for key, value in content.items() if key != "profiles"},
        notes=(*notes, *([design.note] if design.note else [])),
        tuned=tuple(tuning),
        plugins=tuple(content.get("plugins") or ()),
        ladder=ladder,
        program=program,
    )
    with source.locate(("design",)):
        return sweep.given([])


def _name(source: Source) -> str:
    name = source.content.get("name") or Path(source.path).stem
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9._-]*[a-z0-9_-][a-z0-9._-]*", name):
        raise source.error(("name",), f"name {name!r} must be made of a-z, 0-9, '.', '_' and '-'")
    if len(name) > MOST_LETTERS:  # it names a folder, and names of files may have 255 bytes
        raise source.error(("name",), f"name: {len(name)} letters, at most {MOST_LETTERS}")
    return name


def _seeds(source: Source) -> list[int]:
    seeds = source.content.get("seeds", 1)
    if type(seeds) is int and seeds > MAX_POINTS:
        raise source.error(("seeds",), f"seeds: {seeds:,} are more than {MAX_POINTS:,}")
    chosen = list(range(seeds)) if type(seeds) is int else seeds
    valid = isinstance(chosen, list) and all(type(seed) is int and seed >= 0 for seed in chosen)
    for index, seed in enumerate(chosen if valid else ()):
        with source.locate(("seeds", index)):
            AXES["seed"].check(seed)
    if not valid or not chosen or len(set(chosen)) != len(chosen):
        raise source.error(("seeds",), f"seeds: expected a count or a list of distinct whole numbers, got {seeds!r}")
    return list(chosen)


def _design(source: Source) -> tuple[str, int]:
    """The name of the design, and how many configurations it takes, 0 for one that takes no number."""
    design = source.content.get("design", "full")
    name, count = next(iter(design.items())) if isinstance(design, Mapping) and len(design) == 1 else (design, 0)
    if not isinstance(name, str) or name not in DESIGNS:
        hint = nearest(str(name), DESIGNS)
        raise source.error(("design",), f"design: unknown design {name!r}{hint} (one of {', '.join(DESIGNS)})")
    if DESIGNS[name].takes_count and (type(count) is not int or count < 1):
        raise source.error(("design",), f"design: write {{{name}: n}} with n, how many configurations to run")
    if not DESIGNS[name].takes_count and isinstance(design, Mapping):
        raise source.error(("design",), f"design: {name} takes no number; write `design: {name}`")
    return name, count


def _flag(source: Source, key: str, default: bool) -> bool:
    wanted = source.content.get(key, default)
    if not isinstance(wanted, bool):
        raise source.error((key,), f"{key} must be true or false, got {wanted!r}")
    return wanted


def _trial(source: Source, where: Path_, base: Cell, settings: Cell) -> TrialConfig:
    """Raises UserError for settings that do not go together, at `base` if they stand there and else at `where`."""
    try:
        return make_trial(**settings)
    except UserError as error:
        try:
            make_trial(**base)
        except UserError as alone:
            where = ("base",) if str(alone) == str(error) else where
        raise source.error(where, str(error)) from None
