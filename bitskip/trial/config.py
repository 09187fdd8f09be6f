"""One trial: its fields (the axes), presets, canonical form and identity (docs/axes.md).

Every field of these dataclasses, of `trial.parts` and of the techniques is an axis. Its type, bounds, choices and
meaning stand in the field itself; validation, the sweep file's schema, the Parquet columns and the documentation all
follow from them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bitskip.errors import UserError, nearest
from bitskip.techniques import registry
from bitskip.techniques.axis import Axis, axes_in, axis
from bitskip.techniques.base import Technique, Techniques, plain
from bitskip.techniques.free_factors import FreeFactor
from bitskip.techniques.phases import Phases
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.trial.canonical_form import canonical as canonical
from bitskip.trial.consistency import check
from bitskip.trial.parts import NOT_KNOWN
from bitskip.trial.parts import DataConfig as DataConfig
from bitskip.trial.parts import ModelConfig as ModelConfig
from bitskip.trial.parts import TrainingConfig as TrainingConfig
from bitskip.trial.schedule import step_count

T = TypeVar("T", bound=Technique)

METHOD_VERSION = 1
"""Part of every trial's identity: raised when the same configuration would train differently."""


SIZES = ("layers", "width", "heads", "kv_heads", "ffn_width")
"""Fields of a model that its label tells as sizes."""


@dataclass(frozen=True)
class TrialConfig:
    """A value for every axis. Built by `make_trial`, which validates and canonicalises.

    `trial["bits"]` is the value of any axis by its name.
    """

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    techniques: Techniques = Techniques()
    training: TrainingConfig = TrainingConfig()
    seed: int = axis(0, "initial weights, data order and dropout draws", low=0)

    def __getitem__(self, name: str) -> Any:
        return AXES[name].read(self)

    def of(self, kind: type[T]) -> T:
        """The technique of a kind, with its settings."""
        return self.techniques.of(kind)

    @property
    def steps(self) -> int:
        """Optimizer steps of the token budget, at least one."""
        return step_count(self.training)

    @property
    def phase_steps(self) -> int:
        """Optimizer steps from where phase 2 begins."""
        return self.of(Phases).moment(0, self.steps).phase_steps

    @functools.cached_property
    def trial_id(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]

    @functools.cached_property
    def configuration_id(self) -> str:
        """Identity without the seed: equal for replicates."""
        return replace(self, seed=0).trial_id if self.seed else self.trial_id

    def canonical_json(self) -> str:
        """What the identity is the hash of.

        Defaults are spelt out: a changed default is another trial. Axes that came later are left out while neutral:
        the trials from before them keep their ids.
        """
        values = self._values()
        content = {name: values[name] for name, entry in AXES.items() if entry.hashed(values[name])}
        for digest, place in PLACES.items():
            if content.get(digest):  # the content is the identity; the same text elsewhere is the same trial
                content.pop(place, None)
        content["method_version"] = METHOD_VERSION
        return _ENCODER.encode(content)

    def _values(self) -> dict[str, Any]:
        holders: dict[Any, Any] = {kind: kind.neutral() for kind in registry.techniques()}
        holders |= {type(each): each for each in self.techniques}
        holders |= {"": self, "model": self.model, "data": self.data, "training": self.training}
        return {name: getattr(holders[entry.technique or entry.group], entry.field) for name, entry in AXES.items()}

    @property
    def elsewhere(self) -> bool:
        """Whether it is trained elsewhere: bitskip's trainer does not know its model or one of its factors."""
        return bool(self.model.parameters) or any(isinstance(t, FreeFactor) and not t.off for t in self.techniques)

    @property
    def artefact(self) -> bool:
        """Whether a defect of the published code is switched on."""
        return bool(self.artefact_switches())

    def artefact_switches(self) -> dict[str, Any]:
        """The switches that depart from correct behaviour, with their values."""
        return self.of(PublishedDefects).switched()

    def axes(self) -> dict[str, Any]:
        """Every axis by its flat name, as in a sweep file and in the Parquet columns."""
        flat: dict[str, Any] = {"model": model_label(self.model), "data": data_label(self.data)}
        return flat | self._values()


PRESETS: dict[str, ModelConfig] = {
    "femto": ModelConfig(layers=2, width=16, heads=2, kv_heads=1, ffn_width=64),
    "pico": ModelConfig(layers=3, width=32, heads=2, kv_heads=1, ffn_width=128),
    "nano": ModelConfig(layers=6, width=64, heads=4, kv_heads=2, ffn_width=256),
    "mini": ModelConfig(layers=8, width=128, heads=4, kv_heads=2, ffn_width=512),
    "micro": ModelConfig(layers=8, width=256, heads=8, kv_heads=4, ffn_width=1024),
    "small": ModelConfig(layers=12, width=512, heads=8, kv_heads=4, ffn_width=2048),
    "medium": ModelConfig(layers=16, width=1024, heads=16, kv_heads=8, ffn_width=4096),
    "paper": ModelConfig(layers=24, width=2048, heads=32, kv_heads=8, ffn_width=4096),
}
"""By size, 8 thousand parameters to 0.9 billion without embeddings: widths are powers of two, which rotations need."""

RECIPES: dict[str, dict[str, Any]] = {
    "modern": {"model.init": "fan-in", "model.qk_norm": True, "model.tie_embeddings": True, "z_loss": 1e-4},
}
"""What `recipe` in a sweep file stands for; an axis that is named beside it comes before it (docs/designs.md)."""

PLACES = {
    "data.digest": "data.files",
    "data.tokenizer_digest": "data.tokenizer",
    "model.pretrained_digest": "model.pretrained",
    "eval_domains_digest": "eval_domains",
    "eval_tasks_digest": "eval_tasks",
}
"""Digests of content, which are filled in, with the axis that says where the content lies."""

CHECKPOINT_TOKENIZER = "checkpoint:"
"""Stands before the place of a pretrained model in `data.tokenizer`: the tokenizer is that model's."""

TOKENIZER_VOCABULARIES = {"bytes": 257, "gpt2": 50_257}
"""Vocabularies that the tokenizer's name fixes, so that a model's size is known before the tokenizer is loaded."""

_PUBLISHED = {"dropout": "quadratic", "dropout_max": 0.5, "exit_weight": 0.3, "phase": "2"}
POINTS: dict[str, dict[str, Any]] = {
    "baseline": {"bits": 16, "hadamard": "none", **_PUBLISHED},
    "V1": {"bits": 8, "hadamard": "none", **_PUBLISHED},
    "V2": {"bits": 4, "hadamard": "bitnet-v2", **_PUBLISHED},
    "V3": {"bits": 8, "hadamard": "bitnet-v2", **_PUBLISHED},
}
"""The paper's four models; its baseline trains with the same dropout and exit loss (docs/method.md, model)."""


GROUPS = ("model", "data", "artefacts")


def _collect_axes() -> dict[str, Axis]:
    by_group: dict[str, list[Axis]] = {"method": [], "training": list(axes_in(TrainingConfig, "training"))}
    for technique in registry.techniques():
        by_group.setdefault(technique.group, []).extend(technique.axes())
    for name, owner in (("model", ModelConfig), ("data", DataConfig)):
        by_group[name] = list(axes_in(owner, name, f"{name}."))
    by_group[""] = list(axes_in(TrialConfig, ""))
    table: dict[str, Axis] = {}
    for entry in (entry for group in by_group.values() for entry in group):
        if entry.name in GROUPS:
            raise UserError(
                f"{_owner(entry)}: an axis cannot be called '{entry.name}', which is a group of axes; rename it"
            )
        if entry.name in table:
            first, second = (_owner(each) for each in (table[entry.name], entry))
            raise UserError(f"the axis '{entry.name}' stands in {first} and in {second}; leave one of them out")
        table[entry.name] = entry
    return table


def _owner(entry: Axis) -> str:
    return registry.told(entry.technique) if entry.technique else "bitskip's recipe"


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)

AXES: Mapping[str, Axis] = registry.Table(_collect_axes)
"""Every axis by name, those of plug-ins included. `model`, `data` and `artefacts` stand for their groups: a preset or
corpus name, or a mapping."""

_NAMES_IN = registry.Table(
    lambda: {
        group: tuple(name.partition(".")[2] for name in AXES if name.startswith(f"{group}."))
        for group in ("model", "data")
    }
)

RECIPE_AXES = (
    "lr", "batch_size", "min_lr", "warmup", "warmup_steps", "cooldown", "weight_decay", "beta1", "beta2", "grad_clip",
)  # fmt: skip
"""How a trial is optimized: what may be tuned for each configuration without making a comparison unfair."""


def refuse_elsewhere(trials: Iterable[TrialConfig]) -> None:
    """Raise UserError for a trial that bitskip's own trainer would train as if its factors were not there."""
    for trial in trials:
        if trial.elsewhere:
            free = [name for name, kind in registry.free_factors().items() if not trial.of(kind).off]
            raise UserError(
                f"{', '.join(free) or 'model.parameters'}: not an axis that bitskip trains; the sweep needs a "
                "`command:` or a `trainer:` that does (docs/import.md)"
            )


def axis_names() -> tuple[str, ...]:
    """What may stand under `base` and `space`."""
    return (*GROUPS, *AXES)


def model_label(model: ModelConfig) -> str:
    """The preset's name or the sizes, and what else is not at its default; or the name of pretrained weights."""
    if model.pretrained:
        return model.pretrained.rstrip("/").rpartition("/")[2]
    if model.parameters:
        count = f"{model.parameters:,}".replace(",", " ")
        return "size not known" if model.parameters == NOT_KNOWN else f"{count} parameters"
    sizes = f"{model.layers}x{model.width}h{model.heads}kv{model.kv_heads}f{model.ffn_width}"
    alike = (name for name, preset in PRESETS.items() if all(getattr(preset, k) == getattr(model, k) for k in SIZES))
    own = {k: v for k, v in vars(model).items() if k not in SIZES and v != getattr(ModelConfig, k)}
    modern = {k.partition(".")[2]: v for k, v in RECIPES["modern"].items() if k.startswith("model.")}
    made = ["modern"] if modern.items() <= own.items() else []
    told = [f"{k} {plain(v)}" for k, v in own.items() if not made or k not in modern]
    return " ".join([next(alike, sizes), *made, *told])


def data_label(data: DataConfig) -> str:
    """What the text is: a corpus name, or the names of the files."""
    return " ".join(data.files) or data.corpus


def flatten_axes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Axes by dotted flat name: `model: nano` and `data: {corpus: …}` are written out field by field.

    Later entries win; a mapping under `model` may name a `preset` that its other keys change.
    Raises UserError for a name that is no axis.
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "model":
            flat |= _expand_model(value)
        elif name == "model.from":
            flat |= _expand_model({"from": value})
        elif name == "data":
            flat |= _expand_data(value)
        elif name == "artefacts":
            flat |= _expand_artefacts(value)
        elif name in AXES:
            flat[name] = value
        else:
            raise UserError(f"unknown axis '{name}'{nearest(name, axis_names())}")
    return flat


def _expand_model(value: Any) -> dict[str, Any]:
    sizes = dict(value) if isinstance(value, Mapping) else {"preset": value}
    if "from" in sizes:
        if len(sizes) > 1:
            others = ", ".join(key for key in sizes if key != "from")
            raise UserError(f"model: from takes all sizes from the pretrained model; leave out {others}")
        from bitskip.trial.pretrained import axes_of

        return axes_of(AXES["model.pretrained"].check(sizes["from"]))
    preset = sizes.pop("preset", None)
    expanded: dict[str, Any] = {}
    if preset is not None:
        if preset not in PRESETS:
            raise UserError(
                f"model: unknown preset '{preset}'{nearest(preset, PRESETS)}"
                f" (one of {', '.join(PRESETS)}, or a mapping of sizes)"
            )
        # Sizes, and what the first version spelt out: how a model of any size is made is not a preset's to say.
        names = {k for k in _NAMES_IN["model"] if AXES[f"model.{k}"].since is None}
        expanded = {f"model.{k}": v for k, v in vars(PRESETS[preset]).items() if k in names}
    return expanded | _prefixed("model", sizes)


def _expand_data(value: Any) -> dict[str, Any]:
    settings = dict(value) if isinstance(value, Mapping) else {"corpus": value}
    if "files" in settings:  # an empty list is no wish for another text
        settings.setdefault("corpus", "files")
    return _prefixed("data", settings)


def _expand_artefacts(value: Any) -> dict[str, Any]:
    known = [entry.name for entry in AXES.values() if entry.group == "artefacts"]
    if not isinstance(value, Mapping):
        raise UserError(f"artefacts: expected a mapping such as {{causal_mask: false}}, got {value!r}")
    for key in value:
        if key not in known:
            raise UserError(f"artefacts: unknown key '{key}'{nearest(str(key), known)}")
    return dict(value)


def _prefixed(group: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    known = _NAMES_IN[group]
    for key in settings:
        if key not in known:
            raise UserError(f"{group}: unknown key '{key}'{nearest(key, known)}")
    return {f"{group}.{key}": value for key, value in settings.items()}


def make_trial(**axes: Any) -> TrialConfig:
    """A validated trial in canonical form; axes not named take their defaults.

    Accepts flat and dotted axis names, `model` and `data` as a name or a mapping, and `hadamard` as a boolean.
    Raises UserError for an unknown axis, a wrong type, a value out of range, or sizes that do not fit together.
    """
    flat = flatten_axes({"model": "nano"} | axes)
    if flat.get("training") == "none":
        flat.pop("tokens", None)  # 0 in its rows
    values = {name: AXES[name].check(value) for name, value in flat.items()}
    fixed = TOKENIZER_VOCABULARIES.get(values.get("data.tokenizer", ""))
    if fixed is not None:
        values["data.vocab_size"] = fixed
    if "data.files" in values:
        values.setdefault("data.corpus", "files")
    if values.get("model.pretrained"):
        values = {
            "training": "heal",
            "data.tokenizer": CHECKPOINT_TOKENIZER + values["model.pretrained"],
            "hadamard_blocks": True,
        } | values
    for technique in registry.techniques():
        values = technique.implied(values) | values
    trial = _of_values(values)
    check(trial)
    found = canonical(trial)
    found.techniques.loss_weights(found.model.layers, found.of(Phases).moment(max(0, found.steps - 1), found.steps))
    return found


def stored_trial(axes: Mapping[str, Any]) -> TrialConfig:
    """The trial whose axes were stored, by flat names or by the columns of a row.

    An axis that it does not have came later: it is neutral. Raises UserError for values that no trial can have.
    """
    values = {}
    for name, entry in AXES.items():
        found = axes.get(name, axes.get(name.replace(".", "_")))
        values[name] = entry.neutral if found is None else tuple(found) if isinstance(found, list) else found
    digests = {name: values.pop(name) for name in ("data.digest", "data.tokenizer_digest")}
    if not values["data.files"]:
        del values["data.files"]
    trial = make_trial(**values)
    found_digests: dict[str, Any] = {AXES[name].field: value for name, value in digests.items()}
    return replace(trial, data=replace(trial.data, **found_digests))


def _of_values(values: Mapping[str, Any]) -> TrialConfig:
    parts: dict[Any, dict[str, Any]] = defaultdict(dict)
    for name, value in values.items():
        entry = AXES[name]
        parts[entry.technique or entry.group][entry.field] = value
    return TrialConfig(
        ModelConfig(**parts["model"]),
        DataConfig(**parts["data"]),
        Techniques(technique(**parts[technique]) for technique in registry.techniques()),
        TrainingConfig(**parts["training"]),
        **parts[""],
    )
