"""A configuration at another scale: what its techniques do there, one by one and together (`predict --parameters`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitskip.analysis.factorial import as_plain
from bitskip.analysis.levels import TECHNIQUES
from bitskip.analysis.metrics import Metric
from bitskip.analysis.regime import Regime, mark_of
from bitskip.analysis.student_t import NORMAL_95
from bitskip.errors import UserError
from bitskip.scaling.contrast_laws import LEVEL, ScaledEffect, Scaling
from bitskip.scaling.loss_law import LossAtScale
from bitskip.trial.config import AXES, flatten_axes


@dataclass(frozen=True)
class AtScale:
    """Effects of a configuration at (parameters, tokens), in nats per token.

    `whole` is the configuration against the baseline. Single and composition effects are averaged over the measured
    settings of all other techniques. `regimes` are those of the rungs, by their scale.
    """

    parameters: float
    tokens: float
    whole: ScaledEffect
    main_effects: tuple[ScaledEffect, ...]
    composition_effects: tuple[ScaledEffect, ...]
    metric: Metric
    baseline: LossAtScale | None
    regimes: Mapping[str, Regime]

    @property
    def total(self) -> tuple[float, float, float] | None:
        """(mean, low, high) of the metric itself, 90 %: the baseline by its law of the loss, and the whole effect."""
        if self.baseline is None:
            return None
        mean = self.baseline.mean + self.whole.mean
        half = NORMAL_95 * math.hypot(self.baseline.se, self.whole.se)
        show = self.metric.show
        return show(mean), show(mean - half), show(mean + half)

    @property
    def subject(self) -> ScaledEffect:
        """What is asked for first: the composition of the first two techniques, or the effect of a single one."""
        return (*self.composition_effects, self.whole)[0]

    @property
    def regime(self) -> dict[str, Any]:
        """What is known of how models of this scale would be trained: no steps and no rate, but those of a mark.

        `rate` is where it lies in the search of the nearest rung.
        """
        asked = math.log(self.parameters), math.log(self.tokens)
        nearest = min(
            self.subject.rungs,
            key=lambda rung: math.dist((math.log(rung.parameters), math.log(rung.tokens)), asked),
        )
        rate, per_parameter = self.regimes[nearest.scale].rate, self.tokens / self.parameters
        return {
            "parameters": self.parameters,
            "tokens": self.tokens,
            "tokens_per_parameter": per_parameter,
            "steps": None,
            "rate": rate,
            "mark": mark_of(per_parameter, rate),
        }

    def to_json_object(self, metric: str) -> dict[str, Any]:
        """The object of `predict --parameters --json`: effects in nats per token, with the rungs of the first.

        `mean`, `low` and `high` are the metric itself; None where the rungs are too few for a law of the loss. None of
        what laws do not tell: `exit_layer`, `speed_gain`, `divergence_risk` and `nearest`, which `scaling.rungs` stand
        for.
        """
        subject = self.subject
        held_out = subject.held_out
        mean, low, high = self.total or (None, None, None)
        plain: dict[str, Any] = as_plain(
            {
                "metric": metric,
                "mean": mean,
                "low": low,
                "high": high,
                "level": LEVEL,
                "exit_layer": None,
                "speed_gain": None,
                "divergence_risk": None,
                "configuration": list(self.whole.techniques),
                "baseline": self.baseline,
                "effect": _brief(self.whole),
                "main_effects": [_brief(each) for each in self.main_effects],
                "composition_effects": [_brief(each) for each in self.composition_effects],
                "nearest": None,
                "extrapolation": subject.beyond,
                "model": {"kind": "laws of effects along a ladder", "weights": subject.weights},
                "scale": self.regime,
                "scaling": {
                    "parameters": self.parameters,
                    "tokens": self.tokens,
                    "techniques": subject.techniques,
                    "mean": subject.mean,
                    "low": subject.low,
                    "high": subject.high,
                    "verdict": subject.verdict,
                    "weights": subject.weights,
                    "rungs": [{**vars(rung), "regime": self.regimes[rung.scale]} for rung in subject.rungs],
                    "held_out_error": held_out and held_out.error,
                    "held_out": held_out,
                    "notes": subject.notes,
                },
            }
        )
        return plain


def _brief(effect: ScaledEffect) -> dict[str, Any]:
    """An effect without its rungs."""
    own = {"techniques", "mean", "se", "low", "high", "verdict", "weights"}
    return {name: value for name, value in vars(effect).items() if name in own} | {
        "held_out_error": effect.held_out and effect.held_out.error
    }


def techniques_in(axes: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(axes of each technique that is on, axes that are no technique), as asked for on a command line."""
    given = {name: AXES[name].check(value) for name, value in flatten_axes(axes).items()}
    treatments = []
    for members in TECHNIQUES.values():
        own = {name: given.pop(name) for name in members if name in given}
        if any(value != AXES[name].neutral for name, value in own.items()):
            treatments.append(own)
    return treatments, given


def at_scale(scaling: Scaling, treatments: list[dict[str, Any]], *, force: bool = False, **scale: float) -> AtScale:
    """The effects of these treatments at `parameters` and `tokens`. Raises UserError as `Scaling.contrast` does."""
    if not treatments:
        raise UserError("name a technique, as in --bits 4: at another scale, what is told is the effect of techniques")
    return AtScale(
        scale["parameters"],
        scale["tokens"],
        scaling.difference(*treatments, force=force, **scale),
        tuple(scaling.contrast(each, force=force, **scale) for each in treatments),
        tuple(scaling.contrast(*pair, force=force, **scale) for pair in itertools.combinations(treatments, 2)),
        scaling.metric,
        scaling.baseline(**scale),
        scaling.regimes,
    )
