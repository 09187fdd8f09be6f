"""A prediction on the terminal: the number, what it is made of, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitskip.cells import METRICS

if TYPE_CHECKING:
    from bitskip.predictor import Prediction, Term


def render(prediction: Prediction, console: Console) -> None:
    """Print the prediction; no markup is read from any text."""
    level = f"{100 * prediction.level:g} %"
    _line(
        console,
        f"{prediction.metric} {prediction.mean:.4g}  [{prediction.low:.4g}, {prediction.high:.4g}]  "
        f"({level} for one new seed)",
        "bold",
    )
    depth = prediction.trial.model.layers
    gain = "not measured" if prediction.speed_gain is None else f"{100 * prediction.speed_gain:+.0f} %"
    where = f"exit {prediction.exit_layer} of {depth}, speed gain {gain}"
    if prediction.speed_gain_trials:
        where += f" (median of {prediction.speed_gain_trials} trials)"
    _line(console, where if prediction.exit_layer < depth else f"full model, {depth} layers")
    _line(console, f"risk of stalling or diverging {100 * prediction.divergence_risk:.0f} %")
    _line(console, f"scale: {prediction.model.scale}")
    if prediction.assumed_techniques:
        _line(console, f"assumed: {', '.join(prediction.assumed_techniques)}")
    for reason in prediction.extrapolation:
        _line(console, f"{prediction.tier}: {reason}", "yellow")
    _waterfall(prediction, console)
    _nearest(prediction, console)
    _model(prediction, console)


def _waterfall(prediction: Prediction, console: Console) -> None:
    logarithmic = METRICS[prediction.metric].logarithmic

    def amount(value: float) -> str:
        return f"{100 * math.expm1(value):+.1f} %" if logarithmic else f"{value:+.4f}"

    table = _table(console, ("part", "effect", f"{100 * prediction.level:g} % interval"))
    baseline = prediction.baseline
    table.add_row(
        Text(f"baseline: {baseline['configuration']}"),
        Text(f"{baseline['mean']:.4g}"),
        Text(f"{baseline['low']:.4g} to {baseline['high']:.4g}"),
    )
    parts: Sequence[Term] = (*prediction.main_effects, *prediction.composition_effects)
    for term in parts:
        table.add_row(
            Text(" x ".join(term.techniques)),
            Text(amount(term.value)),
            Text(f"{amount(term.low)} to {amount(term.high)}"),
        )
    table.add_row(Text("prediction"), Text(f"{prediction.mean:.4g}"), Text(""), style="bold")
    console.print(table)


def _nearest(prediction: Prediction, console: Console) -> None:
    table = _table(console, ("nearest measured", prediction.metric, "seeds"))
    for neighbour in prediction.nearest:
        table.add_row(Text(neighbour.configuration), Text(f"{neighbour.mean:.4g}"), Text(str(neighbour.seeds)))
    console.print(table)


def _model(prediction: Prediction, console: Console) -> None:
    model = prediction.model
    _line(console, f"model: {model.kind}; {model.trials} trials of {model.configurations} configurations")
    scores = (
        ("R2", None if model.loco_r2 is None else f"{model.loco_r2:.3f}"),
        ("error", None if model.loco_mae_percent is None else f"{model.loco_mae_percent:.1f} %"),
        ("coverage", None if model.coverage is None else f"{100 * model.coverage:.0f} %"),
    )
    known = ", ".join(f"{name} {value}" for name, value in scores if value is not None)
    if known:
        _line(console, f"on left-out configurations: {known}")


def _table(console: Console, names: Sequence[str]) -> Table:
    console.print()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for index, name in enumerate(names):
        table.add_column(Text(name), justify="right" if index else "left", overflow="fold")
    return table


def _line(console: Console, value: str, style: str = "") -> None:
    console.print(Text(value, style=style))
