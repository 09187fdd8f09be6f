"""The canonical form of a trial: what does not act is neutral, so that equal training has equal ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from bitskip.errors import UserError
from bitskip.techniques import registry
from bitskip.techniques.base import Technique
from bitskip.techniques.phases import Phases
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.trial.parts import HEALED
from bitskip.trial.schedule import warm_up_steps

if TYPE_CHECKING:
    from bitskip.trial.config import DataConfig, ModelConfig, TrainingConfig, TrialConfig

T = TypeVar("T", "ModelConfig", "TrainingConfig")

MOST_ROUNDS = 20
"""Of asking all techniques for their canonical forms: more than any chain of them is long."""


def canonical(trial: TrialConfig) -> TrialConfig:
    """The same training with every inert axis neutral, so that equal runs have equal ids.

    Techniques are asked in turn until none has more to say, as one that is off may make another inert. Raises
    UserError for a technique whose canonical form changes when it is made canonical again.
    """
    moved: list[set[type[Technique]]] = []
    while not moved or moved[-1]:
        moved.append(set())
        for technique in trial.techniques:
            found, kind = _canonical_technique(technique, trial), type(technique)
            if found is technique or found == technique:
                continue
            moved[-1].add(kind)
            trial = replace(trial, techniques=trial.techniques.with_(found))
            again = _canonical_technique(found, trial)
            if again != found:
                raise UserError(
                    f"{registry.told(kind)}: its canonical form is not idempotent, so that a trial would have several "
                    f"ids: {found} becomes {again}; its author has to mend it"
                )
        if len(moved) > MOST_ROUNDS:
            chasing = " and ".join(sorted(registry.told(kind) for kind in set().union(*moved[-3:])))
            raise UserError(f"{chasing}: their canonical forms change one another for ever; leave one out")
    return replace(
        trial,
        model=_canonical_model(trial.model, trial.training, trial.of(PublishedDefects)),
        data=_canonical_data(trial.data),
        training=_canonical_training(trial.training, trial.steps),
    )


def _with_defaults(part: T, names: Iterable[str]) -> T:
    """A part of a trial with these fields at their defaults."""
    fields: dict[str, Any] = {name: getattr(type(part), name) for name in names}
    return part if all(getattr(part, n) == v for n, v in fields.items()) else replace(part, **fields)


def _canonical_model(model: ModelConfig, training: TrainingConfig, defects: PublishedDefects) -> ModelConfig:
    """One of the two scales of initial weights acts, and neither where others take their place; nor do pretrained
    weights from scratch, or muP at its base width and of weights that are there already."""
    if model.mup_base == model.width or training.training != "scratch":
        model = _with_defaults(model, ("mup_base",))
    if training.training == "scratch":
        model = _with_defaults(model, ("pretrained", "pretrained_digest"))
    else:
        return _with_defaults(model, ("init", "init_std", "init_gain"))
    inert = {"init_std"} if model.init == "fan-in" else {"init_gain"}
    return _with_defaults(model, {"init", "init_gain"} if defects.tiny_init else inert)


STEPS_ALIKE = 3
"""After the warm-up in which a line and a cosine are the same: at the peak, half-way and at the end."""


ACTS_UNTRAINED = (
    "training", "seq_len", "documents", "batch_size", "micro_batch", "precision", "compile", "curve_tokens",
    "eval_tokens", "eval_exits", "eval_draft_tokens", "eval_domains", "eval_domains_digest", "eval_tasks",
    "eval_tasks_digest", "eval_items",
)  # fmt: skip
"""Fields of the recipe that say how a model is measured."""


def _canonical_training(training: TrainingConfig, steps: int) -> TrainingConfig:
    """A warm-up in steps leaves its share without meaning, a cooldown the rate at the end, and the other way round.

    Where nothing is trained, nothing but the measurement acts.
    """
    if training.eval_exits == "full":
        training = _with_defaults(training, ("eval_draft_tokens",))
    training = replace(training, healed=tuple(part for part in HEALED if part in training.healed))
    if training.training != "heal" or training.healed == HEALED:
        training = _with_defaults(training, ("healed",))
    if not training.eval_tasks:
        training = _with_defaults(training, ("eval_items",))
    if training.training == "none":
        return replace(_with_defaults(training, set(vars(training)) - {*ACTS_UNTRAINED, "tokens"}), tokens=0)
    inert = {"cooldown"} if training.schedule != "wsd" else set()
    if training.schedule in ("wsd", "two-stage"):
        inert.add("min_lr")
    if training.warmup_steps:
        inert.add("warmup")
    falling = steps - warm_up_steps(training, steps)
    if training.schedule == "linear" and (training.min_lr == 1.0 or falling <= STEPS_ALIKE):
        inert.add("schedule")
    return _with_defaults(training, inert)


def _canonical_data(data: DataConfig) -> DataConfig:
    """A story is a document, as a row of a dataset unless rows make up articles; stories have three parts in any case,
    and no splits but those of a dataset have names."""
    if data.corpus in ("stories", "files"):
        data = replace(data, test_split="", split="auto" if data.corpus == "stories" else data.split)
    acts = data.corpus == "files" or (data.document == "article" and data.corpus != "stories")
    return data if acts else replace(data, document="auto")


def asked_split(data: DataConfig) -> dict[str, str]:
    """The setting that asks for the parts of a stored trial's text, where `auto` stands for the two of 0.1."""
    return {"data.split": "two"} if data.split == "auto" and data.corpus != "stories" else {}


def _canonical_technique(technique: Technique, trial: TrialConfig) -> Technique:
    plain = trial.of(Phases).phase == "1" or trial.training.training == "none"
    resting = technique.trained_in_phase_2 and plain
    return technique.neutral() if resting else technique.canonical(trial)
