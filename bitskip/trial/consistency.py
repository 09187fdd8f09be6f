"""What of a trial's settings does not fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitskip.errors import UserError, nearest
from bitskip.trial.parts import HEALED

if TYPE_CHECKING:
    from bitskip.trial.config import TrialConfig


def check(trial: TrialConfig) -> None:
    """Raise UserError, which names the setting to change."""
    _check_pretrained(trial)
    _check_sizes(trial)
    for each in trial.techniques:
        each.check(trial)


def _check_pretrained(trial: TrialConfig) -> None:
    """Raise UserError for what pretrained weights do not allow."""
    regime = trial.training.training
    for part in trial.training.healed:
        if part not in HEALED:
            raise UserError(f"healed: unknown part '{part}'{nearest(part, HEALED)} (one of {', '.join(HEALED)})")
    if regime == "scratch":
        return
    if not trial.model.pretrained:
        raise UserError(f"training: {regime} needs pretrained weights: set model: {{from: FOLDER, FILE.gguf or NAME}}")
    if trial.artefact or trial["hadamard"] == "as-published":
        raise UserError(f"training: {regime} takes no defect of the published code; it is for training: scratch")
    if regime == "none":
        for each in trial.techniques:
            if not each.trained_in_phase_2 and each.extra_parameters(trial.model, trial.data.vocab_size):
                name = each.axes()[0].name
                raise UserError(
                    f"{name}: it has weights of its own, which training: none leaves untrained; leave it out"
                )


def _check_sizes(trial: TrialConfig) -> None:
    model, data, training = trial.model, trial.data, trial.training
    if not model.head_dim and (model.width % model.heads or model.head_width % 2):
        raise UserError(f"model: width {model.width} must be heads ({model.heads}) times an even number")
    if model.head_dim % 2:
        raise UserError(f"model.head_dim: {model.head_dim} must be even")
    if model.heads % model.kv_heads:
        raise UserError(f"model: heads ({model.heads}) must be a multiple of kv_heads ({model.kv_heads})")
    if training.micro_batch and training.batch_size % training.micro_batch:
        raise UserError(f"micro_batch: {training.micro_batch} does not divide batch_size {training.batch_size}")
    if training.schedule == "wsd" and training.warmup and not training.warmup_steps:
        raise UserError(
            "schedule: wsd needs a warm-up that does not depend on the budget, else budgets share nothing: set "
            "warmup_steps, such as 20, or warmup: 0 for none"
        )
    if (data.corpus == "files") != bool(data.files):
        raise UserError(
            "data: corpus 'files' needs data.files, a list of paths"
            if not data.files
            else f"data: files are given but corpus is '{data.corpus}'; leave corpus out"
        )
