"""What a configuration is called where trials run: its point's name, or the techniques that are on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitskip.sweep.sweep_file import Sweep
from bitskip.techniques import registry
from bitskip.techniques.base import plain
from bitskip.trial.config import AXES, PLACES, TrialConfig, data_label, make_trial, model_label


def glance_axes() -> tuple[str, ...]:
    """Axes by which a configuration is known at a glance."""
    return tuple(name for kind in registry.techniques() for name in kind.glance())


def configuration_label(trial: TrialConfig, sweep: Sweep) -> str:
    """The point's name, or the techniques that are on and what else the sweep varies; the rung of a ladder."""
    named = sweep.point_of(trial)
    rung = ("model", "tokens") if sweep.ladder else ()
    if named and not rung:
        return named
    told = glance_axes()
    words = [named] if named else technique_words({name: trial[name] for name in (*told, "model.parameters")})
    labels = {"model": model_label(trial.model), "data": data_label(trial.data)}
    for axis in dict.fromkeys((*rung, *(() if named else (*sweep.grid.axes, *sweep.untold)))):
        if axis in labels or (axis in AXES and axis not in told):
            value = labels[axis] if axis in labels else trial[axis]
            words.append(f"{axis} {plain(value[:8] if axis in PLACES else value)}")
    return ", ".join(words)


def technique_words(values: Mapping[str, Any]) -> list[str]:
    """What is on, of `glance_axes`; `values` are a trial's or a row's, which may be older than an axis.

    Of a model from elsewhere only what departs from bitskip's defaults is told, which need not mean anything there.
    """
    words = _words({name: values.get(name) for name in glance_axes()})
    if values.get("model.parameters", values.get("model_parameters")):
        nothing = make_trial()
        usual = _words({name: nothing[name] for name in glance_axes()})
        words = [word for word in words if word not in usual] or ["baseline"]
    return words


def _words(values: Mapping[str, Any]) -> list[str]:
    settings = {name: AXES[name].neutral if value is None else value for name, value in values.items()}
    return [word for kind in registry.techniques() for word in kind.words(settings)]
