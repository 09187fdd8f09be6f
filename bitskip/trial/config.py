"""One trial: its fields (the axes), presets, canonical form and identity (docs/axes.md).

Every field of the dataclasses below is an axis. Its type, bounds, choices and meaning stand in the field itself;
validation, the sweep file's schema, the Parquet columns and the documentation all follow from them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, get_args, get_type_hints

from bitskip.errors import UserError, nearest
from bitskip.techniques.axis import Axis, axis

METHOD_VERSION = 1
"""Part of every trial's identity: raised when the same configuration would train differently."""

IGNORED_TARGET = -100
"""Target of a position that counts in no loss (torch's convention)."""

UNQUANTIZED_BITS = 16
ABSMEAN_UP_TO_BITS = 4
"""BitNet v2 scales 4-bit activations by their mean and wider ones by their maximum (arXiv 2504.18415)."""

ALL_SITES = ("q", "k", "v", "o", "gate", "up", "down")
ROTATED_SITES: dict[str, tuple[str, ...]] = {
    "none": (),
    "bitnet-v2": ("o", "down"),
    "bitnet-v2-all": ALL_SITES,
    "o-only": ("o",),
    "down-only": ("down",),
    "random-sign": ("o", "down"),
    "as-published": ALL_SITES,
}
"""Hadamard variants, and the linear layers of a block whose input they rotate. BitNet v2 chose the two that no norm
precedes and that carry the outliers (arXiv 2504.18415)."""
ACTIVATION_SCALES = ("auto", "absmax", "absmean")
DROPOUT_SCHEDULES = ("none", "constant", "linear", "quadratic", "exponential", "log", "sin", "sigmoid")
DROPOUT_NORMS = ("none", "sum1", "sum1-all")
EXIT_SCALES = (
    "proportional", "proportional-all", "proportional-raw", "uniform", "triangular", "linspace", "cumulative",
    "layerskip",
)  # fmt: skip
EXIT_CURRICULA = ("all", "rotational", "gradual")
EXIT_HEADS = ("shared", "own-norm", "own-head")
PHASES = ("1", "2", "1+2")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the Llama-style decoder. Widths fed to a Hadamard transform must be powers of two."""

    layers: int = axis(6, "transformer blocks L; exits lie after each of them", low=1)
    width: int = axis(64, "residual stream width D", low=8)
    heads: int = axis(4, "query heads", low=1)
    kv_heads: int = axis(2, "key/value heads (grouped-query attention)", low=1)
    ffn_width: int = axis(256, "hidden width of the SwiGLU feed-forward", low=8)
    rope_theta: float = axis(10_000.0, "base of the rotary position embedding", low=1.0)
    norm_eps: float = axis(1e-5, "epsilon of RMSNorm", low=0.0)
    init_std: float = axis(0.02, "standard deviation of the normal initialisation", low=0.0)

    @property
    def head_width(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True)
class DataConfig:
    """Corpus and tokenizer."""

    corpus: str = axis("stories", "stories (built in), files, or a Hugging Face dataset name")
    files: tuple[str, ...] = axis((), "text files or globs: .txt, .jsonl, .parquet")
    digest: str = axis("", "SHA-256 of the files' content, filled in when a sweep is loaded")
    subset: str = axis("", "configuration name of a Hugging Face dataset")
    train_split: str = axis("train", "training split of a Hugging Face dataset")
    validation_split: str = axis("validation", "held-out split of a Hugging Face dataset")
    column: str = axis("text", "column or JSON key that holds the text")
    separator: str = axis("\n\n", "what separates documents in a .txt file")
    streaming: bool = axis(False, "stream a Hugging Face dataset instead of downloading it")
    validation_fraction: float = axis(0.05, "share of the documents of files that is held out", low=1e-6, below=1.0)
    tokenizer: str = axis("bpe", "bpe (trained on the corpus), bytes, or a pretrained name such as gpt2")
    vocab_size: int = axis(1024, "vocabulary, end-of-document token included", low=257)


@dataclass(frozen=True)
class MethodConfig:
    """What the paper is about: precision, rotation, layer dropout and early exit."""

    bits: int = axis(UNQUANTIZED_BITS, "activation bits; 16 = not quantized")
    first_bits: int = axis(0, "activation bits of a first stage, before `bits`; 0 = one stage")
    first_bits_share: float = axis(0.95, "share of the tokens trained with first_bits", low=0.0, high=1.0)
    activation_scale: str = axis(
        "auto", "scale of the activations; auto = absmean up to 4 bits, else absmax", choices=ACTIVATION_SCALES
    )
    weights: str = axis("full", "weight precision", choices=("full", "ternary"))
    hadamard: str = axis("none", "Hadamard variant", choices=tuple(ROTATED_SITES))
    hadamard_blocks: bool = axis(False, "transform in blocks where a width is no power of two")
    dropout: str = axis("none", "layer-dropout schedule over depth", choices=DROPOUT_SCHEDULES)
    dropout_max: float = axis(0.1, "largest layer-dropout rate", low=0.0, below=1.0)
    dropout_norm: str = axis("none", "normalisation of the rates", choices=DROPOUT_NORMS)
    dropout_last: bool = axis(False, "the last block is dropped, too, as in LayerSkip")
    dropout_curriculum: str = axis("none", "growth of the rates over training", choices=("none", "exponential"))
    exit_weight: float = axis(0.0, "weight of the early-exit loss, lambda", low=0.0)
    exit_scale: str = axis("proportional", "share of each exit in the exit loss", choices=EXIT_SCALES)
    exit_curriculum: str = axis("all", "which exits are trained at which step", choices=EXIT_CURRICULA)
    exit_head: str = axis("shared", "head of the early exits", choices=EXIT_HEADS)
    phase: str = axis("2", "1 = plain training, 2 = with dropout and exit loss", choices=PHASES)
    phase1_share: float = axis(0.5, "share of the tokens trained in phase 1 of 1+2", low=0.0, high=1.0)


@dataclass(frozen=True)
class TrainingConfig:
    """Budget, optimizer and evaluation."""

    tokens: int = axis(400_000, "training tokens, all phases together", low=1)
    seq_len: int = axis(128, "tokens per sequence", low=2)
    documents: str = axis("packed", "packed = one stream; padded = a document a sequence", choices=("packed", "padded"))
    batch_size: int = axis(8, "sequences per optimizer step", low=1)
    micro_batch: int = axis(0, "sequences per forward pass; 0 = the whole batch", low=0)
    lr: float = axis(3e-3, "peak learning rate", low=0.0)
    min_lr: float = axis(0.1, "final learning rate as a share of the peak", low=0.0, high=1.0)
    warmup: float = axis(0.05, "share of the steps spent in linear warm-up", low=0.0, high=1.0)
    weight_decay: float = axis(0.1, "AdamW decay of matrices (none on norms and embeddings)", low=0.0)
    beta1: float = axis(0.9, "AdamW", low=0.0, below=1.0)
    beta2: float = axis(0.95, "AdamW", low=0.0, below=1.0)
    grad_clip: float = axis(1.0, "largest global gradient norm; 0 = no clipping", low=0.0)
    precision: str = axis("auto", "auto = bf16 autocast on GPU, fp32 on CPU", choices=("auto", "fp32", "bf16"))
    compile: str = axis("auto", "torch.compile; auto = on GPU only", choices=("auto", "on", "off"))
    curve_points: int = axis(8, "validation points along training", low=1)
    diagnostic_points: int = axis(4, "samples of the per-layer diagnostics along training; 0 = none", low=0)
    curve_tokens: int = axis(8_192, "held-out tokens at each validation point", low=2)
    eval_tokens: int = axis(32_768, "held-out tokens of the final evaluation", low=2)


@dataclass(frozen=True)
class ArtefactConfig:
    """Defects of the published code as switches, so that their influence can be measured (docs/method.md).

    The defaults are the correct behaviour. A trial that departs from one is marked and kept out of effects.
    """

    causal_mask: bool = axis(True, "false: every position sees the whole sequence")
    target_shift: int = axis(1, "0: the loss compares with the current token, in evaluation too", low=0, high=1)
    exit_target_shift: int = axis(1, "0: early exits are trained on the current token", low=0, high=1)
    exit_norm: str = axis("final", "none: early exits are trained without the norm", choices=("final", "none"))
    count_padding: bool = axis(False, "true: padding counts in the loss, in evaluation too")
    hadamard_scale: str = axis("ortho", "none: the transform lacks its 1/sqrt(n)", choices=("ortho", "none"))
    hadamard_grad: str = axis(
        "exact", "identity: gradients pass the transform unchanged", choices=("exact", "identity")
    )
    relu2_in_linear: bool = axis(False, "true: every quantizable linear layer ends in a squared ReLU")
    tiny_init: bool = axis(False, "true: embeddings of std 0.001, head 0.002, linear layers a tenth of Kaiming's")
    eval_on_train: bool = axis(False, "true: quality is measured on the training text")


@dataclass(frozen=True)
class TrialConfig:
    """A value for every axis. Built by `make_trial`, which validates and canonicalises."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    method: MethodConfig = MethodConfig()
    training: TrainingConfig = TrainingConfig()
    artefacts: ArtefactConfig = ArtefactConfig()
    seed: int = axis(0, "initial weights, data order and dropout draws", low=0)

    @functools.cached_property
    def trial_id(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()[:16]

    @functools.cached_property
    def configuration_id(self) -> str:
        """Identity without the seed: equal for replicates."""
        return replace(self, seed=0).trial_id

    def canonical_json(self) -> str:
        # Defaults are spelt out: a changed default is another trial.
        content = self._values()
        if self.data.digest:  # the content is the identity; the same text elsewhere is the same trial
            del content["data.files"]
        content["method_version"] = METHOD_VERSION
        return _ENCODER.encode(content)

    def _values(self) -> dict[str, Any]:
        groups = {name: getattr(self, name) if name else self for name in _GROUPS}
        return {name: getattr(groups[entry.group], entry.field) for name, entry in AXES.items()}

    @property
    def artefact(self) -> bool:
        """Whether a defect of the published code is switched on."""
        return bool(self.artefact_switches())

    def artefact_switches(self) -> dict[str, Any]:
        """The switches that depart from correct behaviour, with their values."""
        return {
            name: entry.read(self)
            for name, entry in AXES.items()
            if entry.group == "artefacts" and entry.read(self) != entry.default
        }

    def axes(self) -> dict[str, Any]:
        """Every axis by its flat name, as in a sweep file and in the Parquet columns."""
        flat: dict[str, Any] = {"model": model_label(self.model), "data": data_label(self.data)}
        return flat | self._values()


_Group = TypeVar("_Group", MethodConfig, ArtefactConfig)

PRESETS: dict[str, ModelConfig] = {
    "nano": ModelConfig(layers=6, width=64, heads=4, kv_heads=2, ffn_width=256),
    "micro": ModelConfig(layers=8, width=256, heads=8, kv_heads=4, ffn_width=1024),
    "small": ModelConfig(layers=12, width=512, heads=8, kv_heads=4, ffn_width=2048),
    "paper": ModelConfig(layers=24, width=2048, heads=32, kv_heads=8, ffn_width=4096),
}

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


def _collect_axes() -> dict[str, Axis]:
    table: dict[str, Axis] = {}
    groups = (
        ("method", MethodConfig, ""),
        ("training", TrainingConfig, ""),
        ("artefacts", ArtefactConfig, ""),
        ("model", ModelConfig, "model."),
        ("data", DataConfig, "data."),
        ("", TrialConfig, ""),
    )
    for group, owner, prefix in groups:
        hints = get_type_hints(owner)
        for declared in fields(owner):
            if not declared.metadata:
                continue
            kind = hints[declared.name]
            name = prefix + declared.name
            kind = tuple if get_args(kind) else kind
            table[name] = Axis(name, kind, group, declared.default, **declared.metadata)
    return table


_GROUPS = ("method", "training", "artefacts", "model", "data", "")
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)

AXES: dict[str, Axis] = _collect_axes()
"""Every axis by name. `model`, `data` and `artefacts` stand for their groups: a preset or corpus name, or a mapping."""

RECIPE_AXES = ("lr", "min_lr", "warmup", "weight_decay", "beta1", "beta2", "grad_clip")
"""How a trial is optimized: what may be tuned for each configuration without making a comparison unfair."""

GROUPS = ("model", "data", "artefacts")
AXIS_NAMES: tuple[str, ...] = (*GROUPS, *AXES)


def model_label(model: ModelConfig) -> str:
    """The preset's name, or the sizes."""
    for name, preset in PRESETS.items():
        if preset == model:
            return name
    return f"{model.layers}x{model.width}h{model.heads}kv{model.kv_heads}f{model.ffn_width}"


def data_label(data: DataConfig) -> str:
    """What the text is: a corpus name, or the names of the files."""
    return " ".join(data.files) if data.corpus == "files" else data.corpus


def flatten_axes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Axes by dotted flat name: `model: nano` and `data: {corpus: …}` are written out field by field.

    Later entries win; a mapping under `model` may name a `preset` that its other keys change.
    Raises UserError for a name that is no axis.
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "model":
            flat |= _expand_model(value)
        elif name == "data":
            flat |= _expand_data(value)
        elif name == "artefacts":
            flat |= _expand_artefacts(value)
        elif name in AXES:
            flat[name] = value
        else:
            raise UserError(f"unknown axis '{name}'{nearest(name, AXIS_NAMES)}")
    return flat


def _expand_model(value: Any) -> dict[str, Any]:
    sizes = dict(value) if isinstance(value, Mapping) else {"preset": value}
    preset = sizes.pop("preset", None)
    expanded: dict[str, Any] = {}
    if preset is not None:
        if preset not in PRESETS:
            raise UserError(
                f"model: unknown preset '{preset}'{nearest(preset, PRESETS)}"
                f" (one of {', '.join(PRESETS)}, or a mapping of sizes)"
            )
        expanded = {f"model.{k}": v for k, v in vars(PRESETS[preset]).items()}
    return expanded | _prefixed("model", sizes)


def _expand_data(value: Any) -> dict[str, Any]:
    settings = dict(value) if isinstance(value, Mapping) else {"corpus": value}
    if settings.get("files") and "corpus" not in settings:
        settings["corpus"] = "files"
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
    known = _names_in(group)
    for key in settings:
        if key not in known:
            raise UserError(f"{group}: unknown key '{key}'{nearest(key, known)}")
    return {f"{group}.{key}": value for key, value in settings.items()}


@functools.cache
def _names_in(group: str) -> tuple[str, ...]:
    return tuple(name.partition(".")[2] for name in AXES if name.startswith(f"{group}."))


def make_trial(**axes: Any) -> TrialConfig:
    """A validated trial in canonical form; axes not named take their defaults.

    Accepts flat and dotted axis names, `model` and `data` as a name or a mapping, and `hadamard` as a boolean.
    Raises UserError for an unknown axis, a wrong type, a value out of range, or sizes that do not fit together.
    """
    flat = flatten_axes({"model": "nano"} | axes)
    values = {name: AXES[name].check(value) for name, value in flat.items()}
    _check_bits(values)
    fixed = TOKENIZER_VOCABULARIES.get(values.get("data.tokenizer", ""))
    if fixed is not None:
        values["data.vocab_size"] = fixed
    quantized = values.get("bits", UNQUANTIZED_BITS) < UNQUANTIZED_BITS
    values.setdefault("weights", "ternary" if quantized else "full")
    if values.get("data.files"):
        values.setdefault("data.corpus", "files")
    if values.get("count_padding"):
        values.setdefault("documents", "padded")

    groups: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, value in values.items():
        groups[AXES[name].group][AXES[name].field] = value
    trial = TrialConfig(
        ModelConfig(**groups["model"]),
        DataConfig(**groups["data"]),
        MethodConfig(**groups["method"]),
        TrainingConfig(**groups["training"]),
        ArtefactConfig(**groups["artefacts"]),
        **groups[""],
    )
    _check_sizes(trial)
    return canonical(trial)


def _check_bits(values: Mapping[str, Any]) -> None:
    for name, neutral in (("bits", UNQUANTIZED_BITS), ("first_bits", 0)):
        bits = values.get(name, neutral)
        if bits not in (neutral, UNQUANTIZED_BITS) and not 2 <= bits <= 8:
            allowed = f"2…8 or {UNQUANTIZED_BITS} (not quantized)"
            raise UserError(f"{name}: {bits} is not one of {allowed}" + (" or 0 (one stage)" if not neutral else ""))


def _check_sizes(trial: TrialConfig) -> None:
    model, data, training = trial.model, trial.data, trial.training
    if model.width % model.heads or model.head_width % 2:
        raise UserError(f"model: width {model.width} must be heads ({model.heads}) times an even number")
    if model.heads % model.kv_heads:
        raise UserError(f"model: heads ({model.heads}) must be a multiple of kv_heads ({model.kv_heads})")
    if training.micro_batch and training.batch_size % training.micro_batch:
        raise UserError(f"micro_batch: {training.micro_batch} does not divide batch_size {training.batch_size}")
    if trial.method.hadamard != "none":
        for name, width in transformed_widths(trial).items():
            if width % 2:
                raise UserError(f"model.{name}: {width} is odd; a Hadamard transform needs an even width")
            if width & (width - 1) and not trial.method.hadamard_blocks:
                raise UserError(
                    f"model.{name}: {width} must be a power of two for a Hadamard transform, "
                    "or set hadamard_blocks: true"
                )
    if trial.artefacts.count_padding and training.documents == "packed":
        raise UserError("count_padding: packed documents have no padding; leave documents out or set it to padded")
    if (data.corpus == "files") != bool(data.files):
        raise UserError(
            "data: corpus 'files' needs data.files, a list of paths"
            if not data.files
            else f"data: files are given but corpus is '{data.corpus}'; leave corpus out"
        )


def transformed_widths(trial: TrialConfig) -> dict[str, int]:
    """Widths that the trial's Hadamard variant may transform, by the name of the axis that sets them."""
    model, sites = trial.model, ROTATED_SITES[trial.method.hadamard]
    widths = {}
    if any(site != "down" for site in sites):
        widths["width"] = model.width
    if "down" in sites:
        widths["ffn_width"] = model.ffn_width
    if trial.method.hadamard == "as-published":  # it rotates outputs too, keys and values among them
        widths["kv_heads"] = model.kv_heads * model.head_width
    return widths


def canonical(trial: TrialConfig) -> TrialConfig:
    """The same training run with every inert axis at its default, so that equal runs have equal ids."""
    method, artefacts = trial.method, trial.artefacts
    if method.phase == "1":
        method = replace(method, dropout="none", exit_weight=0.0)
    if trial.model.layers == 1:  # no early exit, and no block but the last to drop
        method = replace(method, exit_weight=0.0, dropout=method.dropout if method.dropout_last else "none")
    if method.dropout_max == 0.0 or method.dropout == "none":
        method = _reset(method, "dropout", "dropout_max", "dropout_norm", "dropout_last", "dropout_curriculum")
    if method.dropout_last and method.dropout_norm == "sum1-all":
        method = replace(method, dropout_norm="sum1")
    if method.exit_weight == 0.0:
        method = _reset(method, "exit_scale", "exit_curriculum", "exit_head")
        artefacts = _reset(artefacts, "exit_target_shift", "exit_norm")
    if method.dropout == "none" and method.exit_weight == 0.0:
        method = replace(method, phase="1")
    if method.phase != "1+2":
        method = _reset(method, "phase1_share")
    if method.first_bits in (0, method.bits) or method.first_bits_share == 0.0:
        method = _reset(method, "first_bits", "first_bits_share")
    if method.activation_scale != "auto" and all(
        scale_rule(bits) in (None, method.activation_scale) for bits in (method.bits, method.first_bits)
    ):
        method = _reset(method, "activation_scale")
    if method.hadamard == "none":
        artefacts = _reset(artefacts, "hadamard_scale", "hadamard_grad")
    if method.hadamard == "none" or not any(width & (width - 1) for width in transformed_widths(trial).values()):
        method = _reset(method, "hadamard_blocks")
    return replace(trial, method=method, artefacts=artefacts)


def scale_rule(bits: int) -> str | None:
    """The scale that activations of so many bits use when none is asked for; None where nothing is quantized."""
    if bits in (0, UNQUANTIZED_BITS):
        return None
    return "absmean" if bits <= ABSMEAN_UP_TO_BITS else "absmax"


def _reset(config: _Group, *names: str) -> _Group:
    defaults = {name: AXES[name].default for name in names}
    return replace(config, **defaults) if any(getattr(config, n) != value for n, value in defaults.items()) else config
