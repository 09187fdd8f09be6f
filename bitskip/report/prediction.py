"""A prediction in the terminal: the number, its interval, what it is made of, and what it rests on."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitskip.config import AXES
from bitskip.predictor import Prediction, Term

TECHNIQUES = ("bits", "weights", "hadamard", "dropout", "dropout_max", "exit_weight", "phase")


def render(prediction: Prediction, console: Console) -> None:
    """Print the prediction, its waterfall, the nearest measurements and the model's record."""

    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style=style))

    configuration = prediction.configuration
    named = ", ".join(f"{name} {configuration[name]}" for name in TECHNIQUES if _matters(name, configuration))
    depth = configuration["model.layers"]
    where = "full model" if prediction.exit_layer == depth else f"exit layer {prediction.exit_layer} of {depth}"
    say(
        f"{prediction.metric} {prediction.mean:.3f}  ({prediction.level:.0%} interval {prediction.low:.3f} to "
        f"{prediction.high:.3f}, one new seed, {where})",
        "bold",
    )
    say(f"for {named}")
    assumed = [f"{name} {configuration[name]}" for name in TECHNIQUES if name in prediction.assumed]
    if assumed:
        say(f"not given, so assumed: {', '.join(assumed)}; all else as measured", "dim")
    for reason in prediction.extrapolation:
        say(f"extrapolation: {reason}", "yellow")
    risk = f"risk to diverge or stall {prediction.divergence_risk:.0%}"
    if prediction.speed_gain is not None and prediction.exit_layer != depth:
        faster = f"decoding {prediction.speed_gain:.0%} faster than the full model (n={prediction.speed_gain_trials})"
        risk = f"{faster}; {risk}"
    say(risk)

    table = Table(title="what it is made of", box=None, title_justify="left", pad_edge=False)
    for name in ("part", "effect", "90 % interval"):
        table.add_column(name, justify="left" if name == "part" else "right")
    table.add_row("baseline", f"{prediction.metric} {prediction.baseline['mean']:.3f}", "")
    for term in (*prediction.main_effects, *prediction.composition_effects):
        table.add_row(" × ".join(term.techniques), _percent(term.value, prediction), _interval(term, prediction))
    console.print(table)

    table = Table(title="nearest measured", box=None, title_justify="left", pad_edge=False)
    for name in ("configuration", prediction.metric, "seeds", "differs in"):
        table.add_column(name, justify="right" if name in (prediction.metric, "seeds") else "left")
    for near in prediction.nearest[:3]:
        table.add_row(near.configuration, f"{near.mean:.3f}", str(near.seeds), ", ".join(near.differs) or "nothing")
    console.print(table)

    model = prediction.model
    record = f"{model.kind} model of {model.configurations} configurations, {model.trials} trials, {model.scale}"
    if model.loco_r2 is not None and model.loco_mae_percent is not None:
        record += f"; left out one at a time: R² {model.loco_r2:.3f}, mean error {model.loco_mae_percent:.1f} %"
    if model.coverage is not None:
        record += f", coverage {model.coverage:.0%}"
    say(record, "dim")


def _matters(name: str, configuration: dict[str, object]) -> bool:
    return name in ("bits", "hadamard", "phase") or configuration[name] != AXES[name].default


def _percent(value: float, prediction: Prediction) -> str:
    """On the log scale of perplexity a term is a factor, shown in percent; other metrics add."""
    return f"{100 * math.expm1(value):+.1f} %" if prediction.metric == "ppl" else f"{value:+.4f}"


def _interval(term: Term, prediction: Prediction) -> str:
    return f"{_percent(term.low, prediction)} to {_percent(term.high, prediction)}"
