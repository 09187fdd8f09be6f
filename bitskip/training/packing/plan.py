"""Which trials can be trained as one program, and how many at once; the trainer beside it does it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable

from bitskip.sweep.resources import Resources
from bitskip.trial.config import TrialConfig

SHARED = ("batch_size", "seq_len", "micro_batch", "documents", "precision", "compile", "beta1", "beta2", "curve_tokens")
"""Fields of the training that members of a pack have in common; all others may differ."""

AUTO_SIZE = 16
"""Most trials of a pack by `pack: auto`: small models gain little beyond (docs/performance.md)."""


def pack_key(trial: TrialConfig) -> str | None:
    """Trials with equal keys can be packed; None for a trial that is trained alone, because it has an artefact."""
    if trial.artefact:
        return None
    training = {name: getattr(trial.training, name) for name in SHARED}
    shape = [dataclasses.asdict(trial.model), dataclasses.asdict(trial.data), trial.method.exit_head, training]
    return hashlib.sha256(json.dumps(shape, sort_keys=True, default=str).encode()).hexdigest()[:16]


def pack_size(resources: Resources) -> int:
    """Most trials of a pack; `auto` packs on a GPU only, where a probe decides: on cores it has never paid."""
    if resources.pack == "auto":
        return AUTO_SIZE if resources.gpus else 1
    return 1 if resources.pack == "off" else int(resources.pack)


def fair_size(resources: Resources, waiting: int, slots: int) -> int:
    """Trials to pack now: no more than leaves some of those that wait to every slot."""
    return max(1, min(pack_size(resources), math.ceil(waiting / slots)))


def program_count(trials: Iterable[TrialConfig], size: int) -> int:
    """Programs that train these trials in packs of at most `size`, were none to wait for another."""
    alike = Counter(pack_key(trial) or trial.trial_id for trial in trials)
    return sum(math.ceil(count / size) for count in alike.values())
