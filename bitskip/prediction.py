"""What a prediction says, and its JSON form (DESIGN 6 `predict --json`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitskip.cells import as_plain
from bitskip.config import TrialConfig

JSON_KEYS = (
    "metric", "mean", "low", "high", "level", "exit_layer", "speed_gain", "divergence_risk", "configuration", "assumed",
    "baseline", "main_effects", "composition_effects", "nearest", "extrapolation", "model",
)  # fmt: skip


@dataclass(frozen=True)
class Term:
    """A part of the prediction on the additive scale (nats for perplexity), with its 90 % posterior interval."""

    techniques: tuple[str, ...]
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Neighbour:
    """A measured configuration, what it does differently, and the mean of its finished seeds."""

    configuration: str
    differs: tuple[str, ...]
    mean: float
    seeds: int
    trial_ids: tuple[str, ...]


@dataclass(frozen=True)
class ModelSummary:
    """What the prediction rests on."""

    kind: str
    loco_r2: float | None
    loco_mae_percent: float | None
    coverage: float | None
    trials: int
    configurations: int
    scale: str


@dataclass(frozen=True)
class Prediction:
    """A metric at one configuration and exit, in the metric's own unit; `low` and `high` bound one new seed.

    `mean` is the exponential of the expected log-perplexity. `baseline`, `main_effects` and `composition_effects` are
    on the additive scale and sum to it exactly. `assumed` names every axis that was not asked for, `assumed_techniques`
    the levels assumed of techniques that vary in the results. `tier` is `interior`, `new pair` (never run together, or
    between measured values) or `outside` (refuse unless forced); `extrapolation` gives the reasons.
    """

    metric: str
    mean: float
    low: float
    high: float
    level: float
    exit_layer: int
    speed_gain: float | None
    speed_gain_spread: float | None
    speed_gain_trials: int
    divergence_risk: float
    trial: TrialConfig
    assumed: tuple[str, ...]
    assumed_techniques: tuple[str, ...]
    baseline: Mapping[str, Any]
    main_effects: tuple[Term, ...]
    composition_effects: tuple[Term, ...]
    nearest: tuple[Neighbour, ...]
    extrapolation: tuple[str, ...]
    tier: str
    model: ModelSummary

    @property
    def configuration(self) -> dict[str, Any]:
        """Every axis but the seed, in canonical form."""
        return {name: value for name, value in self.trial.axes().items() if name != "seed"}

    def to_json_object(self) -> dict[str, Any]:
        """The object of `predict --json` (DESIGN 6)."""
        plain: dict[str, Any] = as_plain({key: getattr(self, key) for key in JSON_KEYS})
        return plain
