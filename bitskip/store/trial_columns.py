"""What rows of `trials` say of a trial before it has run."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from typing import Any

from bitskip.store.schema import column_name
from bitskip.techniques.registry import recorded_names
from bitskip.trial.config import TrialConfig
from bitskip.trial.cost import non_embedding_parameters, tokens_per_parameter
from bitskip.trial.parts import NOT_KNOWN


def trial_columns(trial: TrialConfig) -> dict[str, Any]:
    """What a row of `trials` says of the trial itself."""
    ids = {"trial_id": trial.trial_id, "configuration_id": trial.configuration_id, "artefact": trial.artefact}
    known = NOT_KNOWN not in (trial.model.parameters, trial.training.tokens)
    scale = {
        "steps": None if trial.model.parameters else trial.steps,
        "non_embedding_params": non_embedding_parameters(trial.model) if known else None,
        "tokens_per_parameter": tokens_per_parameter(trial) if known else None,
    }
    return ids | scale | {column_name(name): value for name, value in trial.axes().items()}


def attempt_columns(trial: TrialConfig, sweep: str, point: str | None, tuned: Sequence[str]) -> dict[str, Any]:
    """What a row of `trials` says of an attempt that is made here and now, whatever becomes of it."""
    return trial_columns(trial) | {
        "sweep": sweep,
        "point": point,
        "tuned": ", ".join(tuned) or None,
        "plugins": recorded_names(),
        "started_at": datetime.datetime.now(datetime.UTC),
        "host": platform.node(),
    }
