"""Which weights a trial trains, and how AdamW treats each."""

from __future__ import annotations

import torch

from bitskip.model.decoder import Decoder
from bitskip.model.transfer import rate_share
from bitskip.trial.config import TrainingConfig
from bitskip.trial.parts import HEALED


def optimizer_for(model: Decoder, training: TrainingConfig) -> torch.optim.AdamW:
    """AdamW of what is trained, that decays matrices only: no norms and embeddings (docs/method.md, model).

    Its groups have, as `share`, what their rate is of the trial's, and whether their weights decay, these first.
    """
    alike: dict[tuple[bool, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if training.healed and part_of(name) not in ("", *training.healed):
            continue
        decays = parameter.ndim >= 2 and parameter is not model.embedding.weight
        alike.setdefault((decays, rate_share(model.sizes, name, parameter.ndim)), []).append(parameter)
    groups = [
        {"params": own, "weight_decay": training.weight_decay if decays else 0.0, "decays": decays, "share": share}
        for (decays, share), own in sorted(alike.items(), key=lambda item: not item[0][0])
    ]
    return torch.optim.AdamW(groups, training.lr, (training.beta1, training.beta2), fused=True)


def part_of(name: str) -> str:
    """Which of the parts that `healed` names a parameter belongs to; empty for what a technique has added."""
    if "norm" in name:
        return "norms"
    module = name.split(".")[-2]
    module = "head" if name.startswith("exit_heads.") else module
    return module if module in HEALED else ""
