"""What the Parquet tables of a sweep hold: a dataclass a table, each column with its type, unit and meaning (DESIGN 5).

Schema, rows, the trainer's results and the lists in docs/measures.md follow from them. Columns are added, never renamed
or retyped: readers of any age read old folders.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from bitskip.errors import UserError
from bitskip.trial.config import AXES

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
VERSION_KEY = b"bitskip.schema_version"
COLUMNS_KEY = b"bitskip.columns"


class Status(StrEnum):
    """How an attempt at a trial ended (docs/measures.md)."""

    OK = "ok"
    STALLED = "stalled"
    DIVERGED = "diverged"
    ERROR = "error"
    TIMEOUT = "timeout"


FINISHED = (Status.OK, Status.STALLED, Status.DIVERGED)
"""Results, which are not run again."""

NO_LOSS = (Status.STALLED, Status.DIVERGED)
"""Results that show a failed training: no average takes in their loss."""

FAILED = (Status.ERROR, Status.TIMEOUT)
"""Attempts without a result, which the next run repeats."""


@dataclass(frozen=True)
class Column:
    """A column; `absent` is what a file that is older than the column means by its absence."""

    name: str
    kind: type
    meaning: str
    unit: str = ""
    absent: Any = None


def column(meaning: str, unit: str = "", default: Any = MISSING) -> Any:
    """A field of a dataclass that is a column of its table."""
    return field(default=default, metadata={"meaning": meaning, "unit": unit})


def columns_from(prefix: str, meaning: str) -> Any:
    """A field whose dataclass has columns: `prefix` goes before their names and `meaning` after what they mean."""
    return field(metadata={"prefix": prefix, "meaning": meaning})


@dataclass(frozen=True)
class Key:
    """What every table begins with."""

    trial_id: str = column("the trial: hash of its configuration and seed")


@dataclass(frozen=True)
class Origin(Key):
    """What a row of `trials` says before the axes."""

    configuration_id: str = column("equal for trials that differ in the seed only")
    sweep: str = column("name of the sweep")
    point: str | None = column("name of the trial's point in the sweep file")
    model: str = column("preset, or the sizes")
    data: str = column("corpus, or the files")
    tuned: str | None = column("axes that the sweep chooses for each configuration")
    steps: int | None = column("optimizer steps of the token budget", "steps")
    non_embedding_params: int | None = column("parameters of the blocks and the final norm, techniques' own left aside")
    tokens_per_parameter: float | None = column("`tokens` over `non_embedding_params`", "tokens")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one training run showed."""

    status: Status = column("`ok`, `stalled` or `diverged`; `error` or `timeout` for an attempt without a result")
    reason: str | None = column("why it is not `ok`", default=None)
    diverged_at_step: int | None = column("last step of a trial that diverged", "steps", None)
    params: int = column("parameters, embedding and heads included")
    train_documents: int | None = column("documents of the training text that was there", default=None)
    epochs: float | None = column("training tokens seen over those that were there", default=None)
    tokens_measured: int | None = column("tokens of the test that `loss` is an average over", "tokens", None)
    documents_measured: int | None = column("documents that these are of", default=None)
    bytes_measured: int | None = column("UTF-8 bytes of text that these stand for", "bytes", None)
    cut_share: float | None = column("part of these documents' tokens that `documents: padded` cut off", default=None)
    skipped_guards: str | None = column("checks that do not hold with its published defects", default=None)
    resumed_at_step: int | None = column("step at which an interrupted trial went on", "steps", None)
    failures: int | None = column("attempts in a row that failed alike, this one included", default=None)
    forked_from: str | None = column("key of the steps that it took over from another trial", default=None)
    forked_at_step: int | None = column("number of these steps", "steps", None)
    shared_seconds: float | None = column("part of `train_seconds` that the other trial spent", "s", None)
    tokens_trained: int = column("training tokens seen", "tokens")
    loss: float | None = column("test loss of the full model", "nats/token")
    validation_loss: float | None = column(
        "loss on the validation text, for choosing rates; NULL where the text has no such part", "nats/token", None
    )
    last_finite_loss: float | None = column("last training loss that was finite", "nats/token", None)
    ppl: float | None = column("exp of `loss`")
    measured: float | None = column(
        "what a trainer from elsewhere measured instead of a loss, in the unit that its sweep.yaml says", default=None
    )
    metric: str | None = column("its name", default=None)
    bpb: float | None = column("`loss` over the bytes of the measured text", "bits/byte")
    unigram_entropy: float = column("entropy of the training tokens' frequencies", "nats/token")
    bigram_loss: float | None = column(
        "loss of Kneser-Ney bigrams on the same held-out tokens: a model above it is below counting", "nats/token", None
    )
    fivegram_loss: float | None = column("the same of 5-grams", "nats/token", None)
    ngram_tokens: int | None = column("training tokens that both were counted on", "tokens", None)
    leaked_share: float | None = column(
        "share of the measured passages that stand in the training text, in copies and near copies", default=None
    )
    best_exit: int | None = column("fastest exit layer within 5 % of the full model's perplexity")
    best_exit_speed_gain: float | None = column("its `speed_gain`")
    best_exit_ppl: float | None = column("its perplexity")
    confidence_loss: list[float] | None = column(
        "test losses where each token leaves at the first measured exit whose most likely token has a probability of "
        "0.5, 0.7, 0.8, 0.9, 0.95 and 0.99 or more",
        "nats/token",
        None,
    )
    confidence_depth: list[float] | None = column("their mean exit layers", "blocks", None)
    weight_bytes: int = column("size of the weights, ternary ones at 2 bits, others at 2 bytes", "bytes")
    train_seconds: float = column("time of all steps, with those before an interruption or taken over", "s")
    eval_seconds: float = column("time of the final evaluation", "s")
    tokens_per_second: float = column("training speed: `tokens_trained` over `train_seconds`", "tokens/s")
    diagnostic_seconds: float = column("part of `train_seconds` that the samples of `layers` took", "s", 0.0)


@dataclass(frozen=True)
class Circumstances:
    """Where and with what an attempt was made."""

    peak_memory_bytes: int = column("largest memory of the worker, or of its GPU", "bytes")
    started_at: datetime.datetime = column("when the attempt began, UTC")
    host: str = column("name of the machine")
    device: str = column("processor or GPU")
    threads: int = column("threads of a CPU trial")
    niceness: int = column("priority of the process: 0 is normal, 19 gives way to all others")
    packed: int | None = column("trials that one program trained together, itself included; NULL for it alone")
    versions: str = column("versions of bitskip, python, torch and numpy, as JSON")
    git_sha: str | None = column("commit that bitskip ran from, `+` where it had changes")
    plugins: str | None = column("plug-ins that were loaded, with their versions; NULL for none")


@dataclass(frozen=True)
class ExitSpeed:
    """Speed of one exit; tokens are counted over all sequences that are decoded at once."""

    prefill_tokens_per_second: float = column("speed of reading the prompt", "tokens/s")
    decode_tokens_per_second: float = column("speed of greedy decoding with a KV cache", "tokens/s")
    speed_gain: float = column("time(full model) / time(exit) - 1 of a decoding step")
    speed_gain_spread: float = column("distance between the quartiles of the rounds' gains")
    speed_gain_limit: float = column("the gain if nothing but blocks and head took time")
    speed_rounds: int = column("rounds that were measured")


@dataclass(frozen=True)
class ExitResult:
    """One exit layer: quality on held-out text and measured speed, of one and of `batch` sequences.

    Speeds are NULL unless `eval_exits` is `all`.
    """

    exit_layer: int = column("blocks executed; the largest is the full model")
    depth: int = column("blocks of the full model")
    loss: float = column("test loss", "nats/token")
    ppl: float | None = column("exp of `loss`")
    bpb: float = column("`loss` over the bytes of the measured text", "bits/byte")
    agreement: float = column("share of held-out positions whose most likely token is the full model's")
    single: ExitSpeed | None = columns_from("", "")
    batch: int | None = column("equal prompts that the columns `batch_*` decode at once")
    batched: ExitSpeed | None = columns_from("batch_", ", of `batch` prompts at once")
    acceptance_rate: float | None = column(
        "share of the tokens drafted by this exit, `eval_draft_tokens` at a time, that the full model keeps in greedy "
        "self-speculative decoding",
        default=None,
    )
    sequence_losses: list[float] | None = column(
        "loss of each measured sequence, in the order of the text, the same for all trials of one text",
        "nats/token",
        None,
    )


@dataclass(frozen=True)
class EvaluationRow:
    """One piece of what a trained model is judged by beside its own text, at one exit."""

    kind: str = column("`domain`: a sequence of a held-out text of another kind; `task`: an item of a zero-shot task")
    name: str = column("the domain or the task: the name of its file")
    item: int = column("number of the sequence or item in its file, from 0")
    exit_layer: int = column("blocks executed; the largest is the full model")
    bits_per_byte: float = column("`loss` over `bytes`, in bits: of the sequence, or of the gold answer", "bits/byte")
    loss: float = column("negative log-likelihood of the sequence, or of the gold answer behind its question", "nats")
    bytes: int = column("UTF-8 bytes of its text", "bytes")
    tokens: int = column("tokens that `loss` is a sum over", "tokens")
    choices: int | None = column("answers that the item has; NULL for a domain", default=None)
    correct: bool | None = column(
        "whether the gold answer is the most likely one; NULL for a domain, and for one answer", default=None
    )
    correct_per_byte: bool | None = column("the same of the likelihood per byte", default=None)


@dataclass(frozen=True)
class CurvePoint:
    """One point of a training curve."""

    step: int = column("optimizer steps taken", "steps")
    tokens: int = column("training tokens seen", "tokens")
    phase: str = column("phase of the last step: `1` is plain training, `2` with dropout and exit loss")
    train_loss: float | None = column("the full model's loss on the step's batch", "nats/token")
    val_loss: float | None = column("validation loss of the full model on `curve_tokens`", "nats/token")
    lr: float = column("learning rate of the step")
    grad_norm: float | None = column("Euclidean norm of the gradient before clipping", "nats")
    measured: float | None = column("the `measured` of a trainer from elsewhere at this step", default=None)

    def below(self, ceiling: float) -> bool:
        """Whether the held-out loss is finite and no larger than this."""
        return self.val_loss is not None and self.val_loss <= ceiling


@dataclass(frozen=True)
class LayerRow:
    """One part of the model at one step; None where a measure does not apply or is not finite."""

    step: int = column("optimizer steps taken", "steps")
    layer: int | None = column("block, from 1; NULL for what the exits share")
    site: str = column("linear layer of the block, `block`, or `embedding`, `norm`, `head`")
    input_kurtosis: float | None = column("`kurtosis` before the rotation", default=None)
    input_crest_factor: float | None = column("`crest_factor` before the rotation", default=None)
    kurtosis: float | None = column(
        "fourth standardised moment of the activation quantizer's input over its features, mean((x - x̄)⁴) / "
        "mean((x - x̄)²)², averaged over tokens: 3 for a Gaussian, large with outliers; without quantizer, of what the "
        "matrix product sees",
        default=None,
    )
    crest_factor: float | None = column(
        "max abs(x) / rms(x) of the same input over its features, averaged over tokens: how much of an absmax "
        "quantizer's range a typical value leaves unused",
        default=None,
    )
    snr_db: float | None = column(
        "10 log₁₀(Σx² / Σ(x - x̂)²) of the activation quantizer, over all entries; NULL without one", "dB", None
    )
    weight_snr_db: float | None = column(
        "the same of the ternary weight against the weight that it stands for; NULL for full-precision weights, like "
        "the next three",
        "dB",
        None,
    )
    zero_share: float | None = column("share of ternary codes that are 0", default=None)
    weight_flips: int | None = column(
        "number of ternary codes that differ from those at the sample before; NULL at the first sample, and at the "
        "first after an interruption",
        "weights",
        None,
    )
    weight_flip_share: float | None = column("`weight_flips` over the number of weights", default=None)
    grad_norm: float | None = column(
        "Euclidean norm of the training loss's gradient over the part's parameters, before clipping", "nats", None
    )
    exit_main_cosine: float | None = column(
        "cosine between the gradients of the two terms of the training loss, the early exits' Σ_{l<L} w_l CE_l and the "
        "full model's w_L CE_L, over the part's parameters; NULL where either vanishes: without exit loss, in the last "
        "block, in a head or norm that the exits do not share",
        default=None,
    )
    gradient_pairs: int | None = column(
        "pairs of other batches that the next columns are means over; NULL, like these, where that cosine is",
        default=None,
    )
    exit_main_apart: float | None = column(
        "the same cosine with the two gradients on different batches, each of a pair in turn", default=None
    )
    exit_main_apart_se: float | None = column("its standard error over pairs", default=None)
    main_main_apart: float | None = column(
        "cosine of the full model's gradient with itself on the other batch", default=None
    )
    main_main_apart_se: float | None = column("its standard error over pairs", default=None)
    exit_exit_apart: float | None = column("the same of the exits' gradient", default=None)
    exit_exit_apart_se: float | None = column("its standard error over pairs", default=None)


def column_name(axis: str) -> str:
    """The Parquet column of an axis: dots become underscores."""
    return axis.replace(".", "_")


def axis_columns() -> list[Column]:
    """A column for each axis that is known now, and whether a published defect is switched on."""
    found = [Column(column_name(a.name), a.kind, a.doc, absent=a.neutral) for a in AXES.values()]
    taken = {each.name for part in (Origin, Outcome, Circumstances, ExitResult) for each in columns_of(part)} - {"seed"}
    for entry in AXES.values():
        if column_name(entry.name) in taken or [each.name for each in found].count(column_name(entry.name)) > 1:
            raise UserError(f"the axis '{entry.name}' has the name of another column of the results; rename it")
    return [*found, Column("artefact", bool, "whether a defect of the published code is switched on")]


COMMIT_TABLE = "trials"
TABLES: Mapping[str, Sequence[type | Callable[[], list[Column]]]] = {
    COMMIT_TABLE: (Origin, axis_columns, Outcome, Circumstances),
    "exits": (Key, ExitResult),
    "curves": (Key, CurvePoint),
    "layers": (Key, LayerRow),
    "evaluations": (Key, EvaluationRow),
}
"""What the columns of a table come from, in their order."""


def _speed_columns() -> list[Column]:
    from bitskip.store.speeds import EngineSpeed

    return list(columns_of(EngineSpeed))


SPEEDS = "speeds"
APPENDED: Mapping[str, Sequence[type | Callable[[], list[Column]]]] = {SPEEDS: (Key, _speed_columns)}
"""The same of tables that hold what was measured of finished trials: a file a measurement, and all of them count."""


def columns(table: str) -> list[Column]:
    """The columns of a table, axes of plug-ins included once these are loaded."""
    parts = {**TABLES, **APPENDED}[table]
    return [each for part in parts for each in (columns_of(part) if is_dataclass(part) else part())]


@functools.cache
def columns_of(owner: Any) -> tuple[Column, ...]:
    """The columns that a dataclass declares."""
    hints, found = get_type_hints(owner), list[Column]()
    for entry in fields(owner):
        kind = next(iter(set(get_args(hints[entry.name])) - {type(None)}), hints[entry.name])
        about = entry.metadata
        if "prefix" in about:
            parts = columns_of(kind)
            found += [replace(p, name=about["prefix"] + p.name, meaning=p.meaning + about["meaning"]) for p in parts]
        elif about:
            found.append(Column(entry.name, kind, about["meaning"], about["unit"]))
    return tuple(found)


def arrow_schema(table: str, names: Sequence[str] | None = None) -> pa.Schema:
    """The schema of a table, or of some of its columns in this order."""
    import pyarrow as pa

    types = {
        int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string(), Status: pa.string(),
        tuple: pa.list_(pa.string()), list[float]: pa.list_(pa.float32()),
        datetime.datetime: pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    known = {each.name: types[each.kind] for each in columns(table)}
    chosen = [(name, known[name]) for name in (known if names is None else names)]
    return pa.schema(chosen, metadata={VERSION_KEY: str(SCHEMA_VERSION)})


def as_row(entry: Any) -> dict[str, Any]:
    """The columns that a dataclass declares; what it holds besides is left out, and so is a part that is None."""
    row: dict[str, Any] = {}
    for each in fields(entry):
        value = getattr(entry, each.name)
        if "prefix" in each.metadata and value is not None:
            row |= {each.metadata["prefix"] + name: part for name, part in as_row(value).items()}
        elif each.metadata and "prefix" not in each.metadata:
            row[each.name] = value
    return row
