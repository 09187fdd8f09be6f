"""Checks in every trial that make a wrong number impossible (docs/method.md, guards).

An artefact that breaks a check on purpose skips that one alone; which were skipped stands in the trial's row.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from bitskip.data import TokenData
from bitskip.errors import UserError
from bitskip.model.decoder import Decoder, uncompiled
from bitskip.ops.random_streams import generator
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.trial.config import TrialConfig

PROBE_TOKENS = 32
LEAK_TOLERANCE = 1e-5
"""Of the change that a causal model shows; equal computations differ by nothing at all on most devices."""

SAMPLED_PASSAGES = 32
PASSAGE_BYTES = 400
SEARCHED_TOKENS = 2**22
TOLERATED_SHARE = 0.25
"""Corpora repeat a sentence here and there; a held-out part that repeats whole paragraphs of training is a mistake."""


class GuardError(RuntimeError):
    """A check that the trial's numbers rest on has failed."""


def check_trial(model: Decoder, trial: TrialConfig, text: TokenData, own_text: bool) -> tuple[str, ...]:
    """Run all checks; returns the names of those that an artefact of the trial skips.

    Text that the caller has made (`own_text`) is the caller's to answer for: it may be periodic on purpose. Raises
    GuardError for a model that sees later tokens and UserError for a held-out text that is in the training text.
    """
    skipped = []
    check_causality(model, trial)
    if not trial.of(PublishedDefects).causal_mask:
        skipped.append("causality")
    if trial.of(PublishedDefects).eval_on_train:
        skipped.append("held-out text")
    elif not own_text:
        check_held_out(text)
    return tuple(skipped)


@torch.no_grad()
def check_causality(model: Decoder, trial: TrialConfig) -> None:
    """Change the second half of a sequence: no exit's logits for the first half may move. Raises GuardError.

    Run before training and again on the trained model, whose attention does more than the initial one's.
    """
    if not trial.of(PublishedDefects).causal_mask:
        return
    length = min(PROBE_TOKENS, trial.training.seq_len)
    half = length // 2
    draws = generator(trial.seed, "probe")
    tokens = torch.randint(trial.data.vocab_size, (1, length), generator=draws)
    other = tokens.clone()
    other[:, half:] = torch.randint(trial.data.vocab_size, (1, length - half), generator=draws)
    was_training = model.training
    model.eval()
    device = model.head.weight.device
    with uncompiled():
        passes = zip(model.hidden_states(tokens.to(device)), model.hidden_states(other.to(device)), strict=True)
        for exit_layer, (before, after) in enumerate(passes, start=1):
            change = (model.logits(before, exit_layer) - model.logits(after, exit_layer)).abs().float()
            moved, expected = change[:, :half].max().item(), change[:, half:].max().item()
            # Non-finite logits are no leak; the evaluation calls them diverged.
            if moved > LEAK_TOLERANCE * expected:
                raise GuardError(
                    f"causality: at exit {exit_layer} the logits of a position moved by {moved:.2g} "
                    "when only later tokens were changed"
                )
    model.train(was_training)


def check_held_out(text: TokenData) -> None:
    """Passages of the held-out stream must not stand in the training stream. Raises UserError."""
    length = math.ceil(PASSAGE_BYTES / float(np.mean(text.test_bytes)))
    last = len(text.test) - length
    if last < 0:
        return
    train = text.train[:SEARCHED_TOKENS].tobytes()
    starts = np.unique(np.linspace(0, last, SAMPLED_PASSAGES).astype(int))
    found = sum(text.test[start : start + length].tobytes() in train for start in starts)
    if found > TOLERATED_SHARE * len(starts):
        raise UserError(
            f"data: {found} of {len(starts)} sampled passages of the held-out text stand in the training text too; "
            "hold out other documents"
        )
