"""A process of a team of two on this machine's CPU: python teammate.py RANK STRATEGY FOLDER."""

import json
import sys
from pathlib import Path

import torch

from bitskip.training.devices import Team
from bitskip.training.step import follow
from bitskip.training.trainer import prepare, train
from bitskip.trial.config import POINTS, TrialConfig, make_trial

SIZES = {"layers": 4, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}


def trials() -> dict[str, TrialConfig]:
    """50 steps each of the paper's models, with an exit loss, and blocks that now and then no sequence runs."""
    recipe = {
        "model": SIZES, "data.tokenizer": "bytes", "data.vocab_size": 257, "seq_len": 16, "batch_size": 4,
        "micro_batch": 2, "tokens": 16 * 4 * 50, "eval_tokens": 256, "curve_tokens": 128, "curve_points": 5,
        "diagnostic_points": 1, "phase": "2",
    }  # fmt: skip
    dropped = {"dropout": "linear", "dropout_max": 0.7, "exit_weight": 0.3}
    points = {"baseline": {"bits": 16}, "V1": {**POINTS["V1"], **dropped}, "V2": {**POINTS["V2"], **dropped}}
    return {name: make_trial(**{**recipe, **axes}) for name, axes in points.items()}


def curve(trial: TrialConfig, team: Team | None = None) -> list[list[float]]:
    """Training and held-out loss and gradient norm after each step, and what a diagnostic sample shows."""
    found = train(prepare(trial, torch.device("cpu")), team=team)
    points = [[point.train_loss, point.val_loss or -1.0, point.grad_norm] for point in found.curve]
    return points + [[row.grad_norm or -1.0] for row in found.layers]


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank, strategy, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    team = Team.join(rank, 2, strategy, "cpu", folder / "meeting")
    for name, trial in trials().items():
        if rank:
            follow(trial, team)
        else:
            (folder / name).write_text(json.dumps(curve(trial, team)))
