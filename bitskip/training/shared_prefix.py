"""Trials that train alike for a while do so once: what they share, who trains it, who waits (docs/designs.md).

The *prefix* of a trial up to a step is everything that its first steps follow from. Its key is the hash of that, so
that trials with equal keys are, bitwise on the CPU, one training run up to there. Prefixes that trials of a design have
in common form a tree; each edge of it is trained by the trial that comes first, and the others start from what it left.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bitskip.data.corpora import endless
from bitskip.data.stream import size_class, window
from bitskip.store.folder import SAFETENSORS
from bitskip.techniques.base import Techniques
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.trial.config import AXES, TrialConfig, canonical
from bitskip.trial.schedule import (
    cooldown_steps,
    in_second_stage,
    measured_steps,
    sampled_steps,
    step_count,
    trained_with,
    warm_up_steps,
)


@dataclass(frozen=True)
class Prefix:
    """The first `step` steps of one or several trials."""

    step: int
    key: str


Paths = Mapping[str, tuple[Prefix, ...]]
"""trial_id to the prefixes that it has in common with others, shortest first."""


@dataclass(frozen=True)
class Prefixes:
    """What a trial takes over and leaves to others.

    It begins with the first of `start` whose file is whole, stores those in `write` when it gets there, and measures
    the held-out loss after the steps in `measure`, too, because a trial that starts from a stored prefix asks for it.
    """

    folder: Path
    start: tuple[Prefix, ...] = ()
    write: tuple[Prefix, ...] = ()
    measure: frozenset[int] = frozenset()

    def path(self, prefix: Prefix) -> Path:
        return self.folder / f"{prefix.key}{SAFETENSORS}"


ELSEWHERE = (
    "tokens", "warmup", "warmup_steps", "cooldown", "min_lr", "curve_points", "diagnostic_points", "eval_tokens",
    "eval_exits", "eval_draft_tokens", "eval_domains", "eval_domains_digest", "eval_tasks", "eval_tasks_digest",
    "eval_items",
)  # fmt: skip
"""Fields of the recipe that a prefix's content tells in steps, or that do not change its training."""


def prefix_content(trial: TrialConfig, step: int) -> str:
    """Canonical JSON of everything that the first `step` steps follow from, the points of the curve left aside.

    Shares of the budget become steps, and what acts later is taken out: the exits before phase 2, the second bit width
    in the first stage, the length of the run while its learning rate does not depend on it.
    """
    training = trial.training
    steps = step_count(training)
    facts: dict[str, Any] = {"steps": step, "warm_up": warm_up_steps(training, steps)}
    techniques = trained_with(trial, step - 1)
    earlier = [technique.before(step, steps) for technique in techniques]
    for _, own_facts in earlier:
        facts |= own_facts
    if cooldown := cooldown_steps(training, steps):
        facts |= {"of": steps, "cooldown": cooldown} if step > steps - cooldown else {}
    elif (step > facts["warm_up"] and training.min_lr != 1.0) or in_second_stage(training, step - 1, steps):
        facts |= {"of": steps, "min_lr": training.min_lr}  # on the way down
    # Weight flips are counted from the sample before: only runs that sample at the same steps have the same rows.
    facts["samples"] = sorted(sample for sample in sampled_steps(training, steps) if sample <= step)
    if endless(trial.data):  # its stream depends on how many tokens a trial asks for
        # Read by windows, what follows does not matter, unless the curve is measured on it.
        whole = window(trial) is None or trial.of(PublishedDefects).eval_on_train
        facts["streams"] = [size_class(training.tokens) if whole else None, size_class(training.held_out_tokens)]
    techniques = techniques.with_(*(technique for technique, _ in earlier))
    # Made canonical with its own number of steps, which settings may be shares of; what that resets stays reset.
    alike = canonical(replace(trial, techniques=techniques))
    if any(technique.depends_on_length for technique in alike.techniques):
        facts["of"] = steps
    alike = replace(alike, techniques=Techniques(t.reset(*t.told_in_steps) for t in alike.techniques))
    alike = replace(alike, training=replace(training, **{name: _default(name) for name in ELSEWHERE}))
    return alike.canonical_json() + json.dumps(facts, sort_keys=True, separators=(",", ":"))


def _from_the_start(trial: TrialConfig) -> tuple[object, ...]:
    """What trials must have in common to share even one step; quickly told, where a prefix's content is not."""
    training = vars(trial.training)
    return trial.model, trial.seed, *(value for name, value in training.items() if name not in ELSEWHERE)


def _default(axis: str) -> Any:
    return AXES[axis].default


def prefix_key(trial: TrialConfig, step: int) -> str:
    """First 16 hex digits of the SHA-256 of the prefix's content."""
    return hashlib.sha256(prefix_content(trial, step).encode()).hexdigest()[:16]


def shared_prefixes(trials: Iterable[TrialConfig]) -> dict[str, tuple[Prefix, ...]]:
    """The prefixes that are worth storing: where trials part that have trained alike so far.

    Trials part at a hand-over from phase 1 to 2, at the end of a first stage of bits, where the rate of the shorter run
    goes down after a constant one, or where that run ends; that they also agree up to the end of the warm-up is too
    little to wait for.
    """
    alike: dict[tuple[object, ...], list[TrialConfig]] = {}
    for trial in (trial for trial in trials if trial.steps):
        alike.setdefault(_from_the_start(trial), []).append(trial)
    families: dict[str, list[TrialConfig]] = {}
    for trial in (trial for group in alike.values() if len(group) > 1 for trial in group):
        families.setdefault(prefix_key(trial, 1), []).append(trial)
    found: dict[str, tuple[Prefix, ...]] = {}
    for family in families.values():
        if len(family) > 1:
            found |= _branches(family)
    return found


def _branches(family: Sequence[TrialConfig]) -> dict[str, tuple[Prefix, ...]]:
    steps = {trial.trial_id: step_count(trial.training) for trial in family}
    partings = sorted({step for trial in family for step in _partings(trial, steps[trial.trial_id]) if step > 0})
    paths = {
        trial.trial_id: [Prefix(step, prefix_key(trial, step)) for step in partings if step <= steps[trial.trial_id]]
        for trial in family
    }
    users = Counter(prefix.key for path in paths.values() for prefix in path)
    found = {}
    for trial_id, path in paths.items():
        common = [prefix for prefix in path if users[prefix.key] > 1]
        # Where all go on together to the next one, nobody parts.
        going_on = {prefix.key: users[after.key] for prefix, after in itertools.pairwise(common)}
        kept = tuple(prefix for prefix in common if users[prefix.key] > going_on.get(prefix.key, 0))
        if kept:
            found[trial_id] = kept
    return found


def _partings(trial: TrialConfig, steps: int) -> set[int]:
    own = {steps, steps - cooldown_steps(trial.training, steps)}
    return own.union(*(technique.partings(steps) for technique in trial.techniques))


def start_steps(trials: Iterable[TrialConfig], paths: Paths, stored: Iterable[str] = ()) -> dict[str, int]:
    """trial_id to the step that each starts from when they run in this order; `stored` are prefixes already there."""
    there = set(stored)
    starts = {}
    for trial in trials:
        path = paths.get(trial.trial_id, ())
        starts[trial.trial_id] = max((prefix.step for prefix in path if prefix.key in there), default=0)
        there |= {prefix.key for prefix in path}
    return starts


def trained_steps(trials: Sequence[TrialConfig], paths: Paths, stored: Iterable[str] = ()) -> int:
    """Optimizer steps that all trials take together; the order does not matter."""
    return sum(step_count(trial.training) for trial in trials) - sum(start_steps(trials, paths, stored).values())


def stored_prefixes(folder: Path) -> set[str]:
    """Keys of the prefixes in a folder."""
    return {path.stem for path in folder.glob(f"[!.]*{SAFETENSORS}")} if folder.is_dir() else set()


def family_order(trials: Iterable[TrialConfig], paths: Paths) -> list[TrialConfig]:
    """The trials with those that share a prefix side by side, after the first of them: few prefixes are kept at once.

    The first one trains the prefix, the others wait for it.
    """
    families: dict[str, list[TrialConfig]] = {}
    for trial in trials:
        path = paths.get(trial.trial_id)
        families.setdefault(path[0].key if path else trial.trial_id, []).append(trial)
    return [trial for family in families.values() for trial in family]


class PrefixQueue:
    """Trials in order, each as soon as the prefix it can start from is stored or is nobody's to store.

    Nothing about who uses a prefix is written down: it follows from `unfinished` (all trials of the design without a
    result, those that are not to run now included) and from the files in `folder`. A crash therefore leaves nothing
    behind that the next queue would not use or remove. The caller holds the folder's lock.
    """

    def __init__(self, to_run: Sequence[TrialConfig], unfinished: Iterable[TrialConfig], paths: Paths, folder: Path):
        self.waiting = list(to_run)
        self.paths, self.folder = paths, folder
        self.open = {trial.trial_id: trial for trial in unfinished}
        self.users: dict[str, list[TrialConfig]] = {}
        for trial in self.open.values():
            for prefix in paths.get(trial.trial_id, ()):
                self.users.setdefault(prefix.key, []).append(trial)
        self.writing: dict[str, frozenset[str]] = {}
        for half in folder.glob(".*") if folder.is_dir() else ():
            half.unlink()  # of a writer that was killed
        self.stored = stored_prefixes(folder)
        self._remove_unneeded(self.stored)

    def next(self) -> tuple[TrialConfig, Prefixes] | None:
        """The next trial with its prefixes, or None where all of them wait for one that is running."""
        self._look()
        coming = {key for keys in self.writing.values() for key in keys}
        for index, trial in enumerate(self.waiting):
            path = self.paths.get(trial.trial_id, ())
            start = tuple(prefix for prefix in reversed(path) if prefix.key in self.stored)
            ahead = [prefix for prefix in path if not start or prefix.step > start[0].step]
            if any(prefix.key in coming for prefix in ahead):
                continue
            del self.waiting[index]
            write, measure = self._for_others(trial, ahead)
            self.writing[trial.trial_id] = frozenset(prefix.key for prefix in write)
            return trial, Prefixes(self.folder, start, write, measure)
        return None

    def _for_others(self, trial: TrialConfig, ahead: Iterable[Prefix]) -> tuple[tuple[Prefix, ...], frozenset[int]]:
        """Which prefixes other open trials can use, and at which steps these ask for the held-out loss."""
        write, measure = [], set()
        for prefix in ahead:
            users = [other for other in self._users(prefix.key) if other.trial_id != trial.trial_id]
            if users:
                write.append(prefix)
            for other in users:
                points = measured_steps(other, step_count(other.training))
                measure |= {step for step in points if step <= prefix.step}
        return tuple(write), frozenset(measure)

    def finished(self, trial_id: str, done: bool) -> None:
        """A trial has ended, with a result or without: what it has not stored, the next one that needs it trains."""
        self._look()
        self.writing.pop(trial_id, None)
        if done:
            self.open.pop(trial_id, None)
        self._remove_unneeded({prefix.key for prefix in self.paths.get(trial_id, ())} & self.stored)

    def again(self, trial: TrialConfig) -> None:
        """A trial has lost its worker: it waits once more, behind the others."""
        self.finished(trial.trial_id, done=False)
        self.waiting.append(trial)

    def _look(self) -> None:
        """Which of the prefixes being trained have been stored."""
        for keys in self.writing.values():
            self.stored |= {key for key in keys - self.stored if (self.folder / f"{key}{SAFETENSORS}").exists()}

    def _users(self, key: str) -> list[TrialConfig]:
        return [trial for trial in self.users.get(key, ()) if trial.trial_id in self.open]

    def _remove_unneeded(self, keys: Iterable[str]) -> None:
        """Remove what no open trial would start from: none has it, or each has a longer one."""

        def starts_from(trial: TrialConfig) -> str | None:
            usable = [prefix.key for prefix in self.paths[trial.trial_id] if prefix.key in self.stored]
            return usable[-1] if usable else None

        unneeded = [key for key in keys if all(starts_from(trial) != key for trial in self._users(key))]
        for key in unneeded:
            self.stored.discard(key)
            with contextlib.suppress(OSError):
                (self.folder / f"{key}{SAFETENSORS}").unlink()
