"""The numbers of a report as plain data: what its topics show, and the object of `report --json`."""

from __future__ import annotations

from dataclasses import dataclass

from bitskip.analysis.effects import Effect
from bitskip.analysis.failure_rates import FailureComposition
from bitskip.analysis.regime import Regime
from bitskip.paper.attribution import Attribution
from bitskip.paper.claims import JudgedClaim
from bitskip.predict.fanova import Share
from bitskip.predict.prediction import ModelSummary
from bitskip.scaling.along import LadderSummary
from bitskip.store.provenance import Provenance


@dataclass(frozen=True)
class Overview:
    """What ran, over all scales; seconds are summed over trials."""

    trials: int
    status: dict[str, int]
    artefacts: int
    sweeps: tuple[str, ...]
    hosts: tuple[str, ...]
    devices: tuple[str, ...]
    train_seconds: float
    eval_seconds: float
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """A configuration with its finished seeds; `settings` names its level of every technique that varies.

    `value` is the mean over seeds of what the section is ranked by, `value_sd` their standard deviation; `ppl` and
    `ppl_sd` are the same where that is perplexity, `loss_sd` is the deviation of its logarithm. `metrics` has the means
    of all other metrics that were measured, each in its own unit. `above_bigram` and `above_fivegram` are nats
    per token more than counting n-grams on the same tokens; None where that was not measured.
    """

    configuration: str
    point: str | None
    settings: dict[str, str]
    value: float
    value_sd: float | None
    ppl: float | None
    ppl_sd: float | None
    loss_sd: float | None
    bpb: float | None
    metrics: dict[str, float]
    seeds: int
    trials: int
    weight_bytes: int | None
    tokens_per_second: float | None
    above_bigram: float | None
    above_fivegram: float | None

    @property
    def below_counting(self) -> bool:
        """Whether it has learned no more than pairs of tokens: it is shown, and makes no finding."""
        return self.above_bigram is not None and self.above_bigram >= 0


@dataclass(frozen=True)
class CountingLines:
    """What a scale's models have to beat: perplexities of Kneser-Ney n-grams, counted on `tokens` training tokens.

    Means over trials. `leaked_share` is the largest share of measured passages in the training text, None if unknown.
    """

    bigram_ppl: float
    fivegram_ppl: float
    tokens: int
    leaked_share: float | None


@dataclass(frozen=True)
class Failure:
    """A trial without a usable loss."""

    configuration: str
    seed: int
    trial_id: str
    status: str
    reason: str


@dataclass(frozen=True)
class PointRatio:
    """A named variant against the baseline: the ratio of perplexities with its 95 % interval, paired by seed.

    Of shares the ratio of their odds; of a metric whose effects are no logarithms, the difference. It is no finding if
    either of the two is `below_counting`.
    """

    point: str
    reference: str
    ratio: float | None
    low: float | None
    high: float | None
    seeds: int
    below_counting: bool = False


@dataclass(frozen=True)
class ExitMeasure:
    """Means over the finished seeds of a configuration; `ppl` is the exponential of the mean loss."""

    exit_layer: int
    ppl: float
    speed_gain: float | None
    seeds: int


@dataclass(frozen=True)
class ExitProfile:
    """Every exit of one configuration; `best_exit` is None where a speed was not measured."""

    name: str
    within: float
    best_exit: int | None
    exits: tuple[ExitMeasure, ...]


@dataclass(frozen=True)
class AloneExit:
    """An exit of a configuration beside the model of as many blocks trained alone.

    `ratio` is the exit's perplexity over that model's, paired by seed, with its 95 % interval.
    """

    configuration: str
    exit_layer: int
    depth: int
    ppl: float
    alone_ppl: float
    ratio: float | None
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class FullPrecision:
    """A model and its budget, with its mean perplexity and cost; FLOPs are those of training."""

    model: str
    tokens: int
    ppl: float
    weight_bytes: int
    flops: float


@dataclass(frozen=True)
class EqualCost:
    """A quantized configuration beside full precision of the same size, of nearest bytes, and of nearest FLOPs."""

    configuration: str
    ppl: float
    weight_bytes: int
    flops: float
    of_parameters: FullPrecision | None
    of_bytes: FullPrecision
    of_flops: FullPrecision


@dataclass(frozen=True)
class ConfidencePoint:
    """Leaving at a probability of the most likely token: mean exit layer, and exponential of the mean loss."""

    threshold: float
    depth: float
    ppl: float


@dataclass(frozen=True)
class Acceptance:
    """An exit that drafts `draft_tokens` at a time: share of them that the full model keeps."""

    exit_layer: int
    draft_tokens: int
    rate: float


@dataclass(frozen=True)
class EarlyDecoding:
    """What decoding saves in a configuration, means over its finished seeds; `ppl` is the full model's.

    `thresholds` end with the full model, which a probability of 1 stands for; `exits` has perplexities by exit layer.
    """

    configuration: str
    depth: int
    ppl: float
    thresholds: tuple[ConfidencePoint, ...]
    exits: dict[int, float]
    drafts: tuple[Acceptance, ...]
    seeds: int


@dataclass(frozen=True)
class MeasuredSpeed:
    """A configuration's full model in an engine: medians over its measurements of what `speeds` has of each."""

    configuration: str
    ppl: float
    engine: str
    engine_version: str
    weight_type: str
    emulated: bool
    prefill_tokens_per_second: float
    prefill_spread: float
    decode_tokens_per_second: float
    decode_spread: float
    model_bytes: int
    agreement: float
    largest_gap: float
    threads: int
    device: str
    host: str
    measurements: int


@dataclass(frozen=True)
class SeedSummary:
    """Standard deviation of a trial over seeds, on the additive scale: with the shift that seeds share, and without."""

    paired_sd: float | None
    unpaired_sd: float | None
    df: float


@dataclass(frozen=True)
class Section:
    """One scale.

    `metric` is what the effects, the noise and the ratios are of, `ranked` what configurations are ranked by.
    `higher_effects` are those of three techniques, exploratory. `model` is the record of the predictor on this scale
    alone, or None with the reason in `no_model`;
    `shares` are of its surface. `counting` is None where no trial has it.
    """

    scale: str
    regime: Regime
    metric: str
    ranked: str
    baseline: str
    trials: int
    finished: int
    varying: tuple[str, ...]
    counting: CountingLines | None
    leaderboard: tuple[Standing, ...]
    failures: tuple[Failure, ...]
    points: tuple[PointRatio, ...]
    main_effects: tuple[Effect, ...]
    composition_effects: tuple[Effect, ...]
    higher_effects: tuple[Effect, ...]
    seeds: SeedSummary
    failure_compositions: tuple[FailureComposition, ...]
    model: ModelSummary | None
    no_model: str
    shares: tuple[Share, ...]
    exits: tuple[ExitProfile, ...]
    alone: tuple[AloneExit, ...] = ()
    equal_costs: tuple[EqualCost, ...] = ()
    speeds: tuple[MeasuredSpeed, ...] = ()
    early_decoding: tuple[EarlyDecoding, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything a report shows."""

    overview: Overview
    sections: tuple[Section, ...]
    ladders: tuple[LadderSummary, ...]
    claims: tuple[JudgedClaim, ...]
    causes: tuple[Attribution, ...]
    provenance: Provenance
