"""What `bitskip predict` says where it is asked nothing: what can be asked, and three answers to begin with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from bitskip.analysis.metrics import METRICS
from bitskip.errors import UserError
from bitskip.predict.predictor import Predictor
from bitskip.predict.questions import Choice, Question, choices, questions
from bitskip.report.format import THREE_DECIMALS, metric_name, range_text, regime_line
from bitskip.report.table import Block, Column, Number, Text, number, tabulate

OPTIONS = {
    name: f"--{name.replace('_', '-')}"
    for name in ("bits", "weights", "dropout", "dropout_max", "exit_weight", "phase", "model", "tokens")
} | {"hadamard": "--hadamard-variant"}
"""By axis, its option of `bitskip predict`; all others are asked for with `--set`."""


def question_command(question: Question, metric: str, results: Sequence[str]) -> str:
    """`bitskip predict …` for a question; `results` is how its folder is named, if it has to be."""
    words = ["bitskip", "predict"]
    for axis, value in question.axes.items():
        words += [OPTIONS[axis], str(value)] if axis in OPTIONS else ["--set", f"{axis}={value}"]
    words += ["--exit-layer", str(question.exit_layer)] if question.exit_layer is not None else []
    words += ["--metric", metric] if metric != "ppl" and not METRICS[metric].foreign else []
    return shlex.join([*words, *results])


def question_blocks(predictor: Predictor, results: Sequence[str]) -> Iterator[Block]:
    """The axes and values of the evidence, then the predictions with their intervals, regime and commands."""
    metric = predictor.measured.metric
    heads: list[Column[Choice]] = [
        Column("axis", lambda each: each.axis),
        Column("measured values", lambda each: ", ".join(each.values)),
        Column("ask with", lambda each: OPTIONS.get(each.axis, f"--set {each.axis}=…")),
    ]
    note = (
        "Also --exit-layer N, --metric bpb or speed_gain, and values between measured ones; any axis with --set "
        "AXIS=VALUE (bitskip axes). What is not named is as in the baseline."
    )
    yield from tabulate("What can be asked", choices(predictor), heads, note=note)
    try:
        found = questions(predictor)
    except UserError as error:
        yield Text([f"No prediction yet: {error}"], tone="warn")
        return
    yield from _answers(found, metric, results)


def _answers(found: Sequence[Question], metric: str, results: Sequence[str]) -> Iterator[Block]:
    heads: list[Column[Question]] = [
        Column("", lambda each: each.why),
        Column(metric_name(metric), lambda each: number(each.prediction.mean, THREE_DECIMALS), short=metric),
        Column("90 % interval", lambda each: Number(_interval(each))),
        Column("run", lambda each: number(each.seeds) if each.seeds else Number("never")),
    ]
    yield from tabulate("Predictions to begin with", found, heads, note="run: seeds that were measured there.")
    yield Text([question_command(each, metric, results) for each in found], tone="code")
    for regime in dict.fromkeys(each.prediction.scale for each in found):
        yield Text([regime_line(regime)], tone="warn" if regime.mark else "soft")
    yield Text(
        [f"note: {note}" for note in dict.fromkeys(n for each in found for n in each.prediction.notes)], tone="soft"
    )


def _interval(question: Question) -> str:
    return range_text(question.prediction.low, question.prediction.high, THREE_DECIMALS)
