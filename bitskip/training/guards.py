"""Checks in every trial that make a wrong number impossible (docs/method.md, guards).

An artefact that breaks a check on purpose skips that one alone; which were skipped stands in the trial's row.
"""

from __future__ import annotations

import math

import torch

from bitskip.data import load_tokenizer
from bitskip.data.leaks import Leak
from bitskip.errors import UserError
from bitskip.model.decoder import Decoder, uncompiled
from bitskip.ops.random_streams import generator
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.trial.config import TrialConfig

PROBE_TOKENS = 32
LEAK_TOLERANCE = 1e-5
"""Of the change that a causal model shows; equal computations differ by nothing at all on most devices."""

EXAMPLE_TOKENS, EXAMPLE_CHARACTERS = 60, 100
"""Of a passage that leaks, as much as a message shows."""


class GuardError(RuntimeError):
    """A check that the trial's numbers rest on has failed."""


def check_trial(model: Decoder, trial: TrialConfig, leak: Leak | None) -> tuple[str, ...]:
    """Run all checks; returns the names of those that an artefact of the trial skips.

    `leak` is what was found of the measured text in the training text, or None where nobody looked. Raises GuardError
    for a model that sees later tokens and UserError for more of it than `data.leak_bound`.
    """
    skipped = []
    check_causality(model, trial)
    if not trial.of(PublishedDefects).causal_mask:
        skipped.append("causality")
    if trial.of(PublishedDefects).eval_on_train:
        skipped.append("held-out text")
    else:
        check_leak(trial, leak)
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


def check_leak(trial: TrialConfig, leak: Leak | None) -> None:
    """No more of what is measured may stand in the training text than `data.leak_bound`. Raises UserError."""
    if leak is None or leak.share is None or leak.share <= trial.data.leak_bound:
        return
    words = load_tokenizer(trial.data).decode(list(leak.example[:EXAMPLE_TOKENS])).split()
    example = " ".join(words)[:EXAMPLE_CHARACTERS]
    raise UserError(
        f"data: {leak.copied} of {leak.judged} held-out passages that are measured stand in the training text too, or "
        f"nearly so, such as '{example} …': leave copies out of the text, hold out other documents, or accept it with "
        f"data.leak_bound={math.ceil(100 * leak.share) / 100:g}"
    )
