"""What a configuration is called where trials run: its point's name, or the techniques that are on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitskip.sweep.sweep_file import Sweep
from bitskip.techniques.base import plain
from bitskip.trial.config import AXES, TrialConfig, data_label, model_label

GLANCE_AXES = ("bits", "first_bits", "hadamard", "dropout", "exit_weight", "phase")
"""Axes by which a configuration is known at a glance."""


def configuration_label(trial: TrialConfig, sweep: Sweep) -> str:
    """The point's name, or the techniques that are on and what else the sweep varies."""
    named = sweep.point_of(trial)
    if named:
        return named
    words = technique_words({name: AXES[name].read(trial) for name in GLANCE_AXES})
    labels = {"model": model_label(trial.model), "data": data_label(trial.data)}
    for axis in dict.fromkeys((*sweep.grid.axes, *sweep.untold)):
        if axis in labels or (axis in AXES and axis not in GLANCE_AXES and AXES[axis].group != "artefacts"):
            value = labels[axis] if axis in labels else AXES[axis].read(trial)
            value = value[:8] if axis == "data.digest" else value
            words.append(f"{axis} {plain(value)}")
    return ", ".join(words)


def technique_words(values: Mapping[str, Any]) -> list[str]:
    """What is on, of `GLANCE_AXES`; of a phase, which."""
    bits, first = values["bits"], values["first_bits"]
    words = [f"{first} then {bits} bit" if first else f"{bits} bit"]
    words += [values["hadamard"]] * (values["hadamard"] != "none")
    words += [f"dropout {values['dropout']}"] * (values["dropout"] != "none")
    words += [f"exits {plain(values['exit_weight'])}"] * (values["exit_weight"] > 0)
    return [*words, f"phase {values['phase']}"]
