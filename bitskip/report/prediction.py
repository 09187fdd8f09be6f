"""A prediction in words and tables: the number, its interval, what it is made of, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from bitskip.predict.prediction import Neighbour, Prediction, Term
from bitskip.report.format import THREE_DECIMALS, difference_text, effect_name, range_text, regime_line
from bitskip.report.table import Block, Column, Number, Text, number, tabulate
from bitskip.report.topics.mechanisms import record
from bitskip.techniques import registry
from bitskip.techniques.base import Technique, plain
from bitskip.techniques.registry import free_factors


def _named(prediction: Prediction, kind: type[Technique]) -> bool:
    """Whether something of a technique was asked for."""
    return any(axis.name not in prediction.assumed for axis in kind.axes())


def prediction_blocks(prediction: Prediction) -> Iterator[Block]:
    """The prediction, its waterfall, the nearest measurements and the model's record."""
    configuration, metric = prediction.configuration, prediction.metric
    depth = configuration["model.layers"]
    where = "full model" if prediction.exit_layer == depth else f"exit layer {prediction.exit_layer} of {depth}"
    one_seed, mean = (
        range_text(low, high, THREE_DECIMALS)
        for low, high in ((prediction.low, prediction.high), (prediction.mean_low, prediction.mean_high))
    )
    headline = f"{metric} {prediction.mean:.3f}  ({prediction.level:.0%} interval {one_seed}, one new seed, {where})"
    mark = f", {prediction.scale.mark}" if prediction.scale.mark else ""
    headline += mark
    yield Text([headline], tone="strong")
    yield Text([regime_line(prediction.scale)], tone="warn" if prediction.scale.mark else "soft")
    kinds = [kind for kind in registry.techniques() if kind.group == "method"]
    if configuration["model.parameters"]:  # of a model from elsewhere, which knows nothing of bitskip's techniques
        kinds = [kind for kind in kinds if kind in free_factors().values() or _named(prediction, kind)]
    axes = [axis for kind in kinds for axis in kind.axes()]
    named = [
        f"{axis.name} {plain(configuration[axis.name])}"
        for axis in axes
        if axis.name not in prediction.assumed or configuration[axis.name] != axis.neutral
    ]
    yield Text(
        [
            f"mean over the {prediction.model.seeds} seeds that were run: {mean}; single effects alone would give "
            f"{prediction.additive_mean:.3f}",
            f"for {', '.join(named)}",
        ]
    )
    told = [name for kind in kinds for name in kind.glance()[:1] if name in prediction.assumed]
    assumed = [f"{name} {plain(configuration[name])}" for name in told]
    if assumed:
        yield Text([f"not given, so assumed: {', '.join(assumed)}; all else as measured"], tone="soft")
    beyond = [f"extrapolation: {reason}" for reason in prediction.extrapolation]
    yield Text([*beyond, *(f"note: {note}" for note in prediction.notes)], tone="warn")
    risk = (
        f"risk to diverge or stall {prediction.divergence_risk:.0%} "
        f"({prediction.divergence_risk_low:.0%} to {prediction.divergence_risk_high:.0%})"
    )
    if prediction.speed_gain is not None and prediction.exit_layer != depth:
        faster = f"decoding {prediction.speed_gain:.0%} faster than the full model (n={prediction.speed_gain_trials})"
        risk = f"{faster}; {risk}"
    yield Text([risk])

    def shown(value: float) -> str:
        return difference_text(value, metric)

    baseline = Number(f"{metric} {prediction.baseline['mean']:.3f}")
    parts: list[Column[Term | None]] = [
        Column("part", lambda term: " × ".join(term.techniques) if term else "baseline"),
        Column(f"effect on {effect_name(metric)}", lambda term: number(term.value, shown) if term else baseline),
        Column("90 % interval", lambda term: Number(range_text(term.low, term.high, shown) if term else "")),
    ]
    yield from tabulate(
        f"what it is made of{mark}", (None, *prediction.main_effects, *prediction.composition_effects), parts
    )
    near: list[Column[Neighbour]] = [
        Column("configuration", lambda each: each.configuration),
        Column(metric, lambda each: number(each.mean, THREE_DECIMALS)),
        Column("seeds", lambda each: each.seeds),
        Column("differs in", lambda each: ", ".join(each.differs) or "nothing"),
    ]
    yield from tabulate("nearest measured", prediction.nearest[:3], near)
    yield Text(record(prediction.model), tone="soft")
