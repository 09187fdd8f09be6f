"""A prediction in the terminal: the number, its interval, what it is made of, and what it rests on."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitskip.predict.prediction import ModelSummary, Prediction, Term
from bitskip.trial.config import AXES

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
    say(
        f"mean over the {prediction.model.seeds} seeds that were run: {prediction.mean_low:.3f} to "
        f"{prediction.mean_high:.3f}; single effects alone would give {prediction.additive_mean:.3f}"
    )
    say(f"for {named}")
    assumed = [f"{name} {configuration[name]}" for name in TECHNIQUES if name in prediction.assumed]
    if assumed:
        say(f"not given, so assumed: {', '.join(assumed)}; all else as measured", "dim")
    for reason in prediction.extrapolation:
        say(f"extrapolation: {reason}", "yellow")
    for note in prediction.notes:
        say(f"note: {note}", "yellow")
    risk = (
        f"risk to diverge or stall {prediction.divergence_risk:.0%} "
        f"({prediction.divergence_risk_low:.0%} to {prediction.divergence_risk_high:.0%})"
    )
    if prediction.speed_gain is not None and prediction.exit_layer != depth:
        faster = f"decoding {prediction.speed_gain:.0%} faster than the full model (n={prediction.speed_gain_trials})"
        risk = f"{faster}; {risk}"
    say(risk)

    table = Table(title="what it is made of", box=None, title_justify="left", pad_edge=False)
    for name in ("part", "effect", "90 % interval"):
        table.add_column(name, justify="left" if name == "part" else "right")
    table.add_row("baseline", f"{prediction.metric} {prediction.baseline['mean']:.3f}", "")
    for term in (*prediction.main_effects, *prediction.composition_effects):
        table.add_row(Text(" × ".join(term.techniques)), _percent(term.value, prediction), _interval(term, prediction))
    console.print(table)

    table = Table(title="nearest measured", box=None, title_justify="left", pad_edge=False)
    for name in ("configuration", prediction.metric, "seeds", "differs in"):
        table.add_column(name, justify="right" if name in (prediction.metric, "seeds") else "left")
    for near in prediction.nearest[:3]:
        table.add_row(
            Text(near.configuration), f"{near.mean:.3f}", str(near.seeds), Text(", ".join(near.differs) or "nothing")
        )
    console.print(table)

    for line in record(prediction.model):
        say(line, "dim")


def record(model: ModelSummary) -> list[str]:
    """The model's record in sentences: what it is, how well it did, how well anything could, and what follows."""
    lines = [f"{model.kind}, from {model.configurations} configurations, {model.trials} trials, {model.scale}"]
    if model.loco_r2 is not None and model.loco_mae_percent is not None:
        beside = "" if model.r2_ceiling is None else f" (at best {model.r2_ceiling:.3f})"
        floor = "" if model.noise_percent is None else f" (seed noise alone {model.noise_percent:.1f} %)"
        lines.append(
            f"left out one at a time: R² {model.loco_r2:.3f}{beside}, mean error {model.loco_mae_percent:.1f} %{floor}"
        )
        if model.coverage is not None:
            lines[-1] += f", coverage {model.coverage:.0%}"
        if model.rank_correlation is not None:
            lines[-1] += f", rank correlation {model.rank_correlation:.2f}"
    if model.within_r2 is not None:
        beside = "" if model.within_ceiling is None else f" (at best {model.within_ceiling:.3f})"
        lines.append(f"within quantized and unquantized configurations: R² {model.within_r2:.3f}{beside}")
    if model.skill is not None and model.additive_r2 is not None and model.additive_mae_percent is not None:
        lines.append(
            f"single effects alone: R² {model.additive_r2:.3f}, mean error {model.additive_mae_percent:.1f} %; "
            f"skill of interactions {model.skill:.2f} ({model.skill_low:.2f} to {model.skill_high:.2f}); "
            f"shuffled control R² {model.permuted_r2:.2f}"
        )
    return lines + list(model.verdicts)


def _matters(name: str, configuration: dict[str, object]) -> bool:
    return name in ("bits", "hadamard", "phase") or configuration[name] != AXES[name].default


def _percent(value: float, prediction: Prediction) -> str:
    """On the log scale of perplexity a term is a factor, shown in percent; other metrics add."""
    return f"{100 * math.expm1(value):+.1f} %" if prediction.metric == "ppl" else f"{value:+.4f}"


def _interval(term: Term, prediction: Prediction) -> str:
    return f"{_percent(term.low, prediction)} to {_percent(term.high, prediction)}"
