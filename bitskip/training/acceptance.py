"""How many of the tokens that an exit drafts the full model keeps: all exits from one greedy text (docs/decoding.md).

Greedy self-speculation writes the full model's text whatever the draft says. Behind the same tokens an exit that drafts
chooses what it chooses in a pass of all blocks, and a draft goes on from the full model's text as long as it is right.
So the exits' choices along that text tell every round of drafting and verification, and none has to be decoded.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bitskip.data.sequences import Sequences
from bitskip.model.bitlinear import frozen_weights
from bitskip.model.decoder import Decoder, KeyValueCache

PROMPTS, PROMPT_TOKENS, WRITTEN_TOKENS = 16, 32, 64
"""Texts that are written behind beginnings of held-out sequences; fewer tokens where these are shorter."""


def held_out_prompts(sequences: Sequences, device: torch.device) -> Tensor:
    """The beginnings of sequences that lie evenly in the text, [B, T]."""
    count = min(PROMPTS, sequences.count)
    chosen = [at * sequences.count // count for at in range(count)]
    inputs, _ = sequences.batch(chosen, device)
    return inputs[:, : max(1, min(PROMPT_TOKENS, inputs.shape[1] // 2))]


@torch.no_grad()
def choices_along(model: Decoder, prompts: Tensor, exit_layers: Sequence[int], tokens: int) -> Tensor:
    """What each exit would write at each place of the full model's greedy text, [exits, B, tokens].

    `exit_layers` are in ascending order, the full model last; `prompts` is [B, T].
    """
    cache = KeyValueCache(model, len(prompts), prompts.shape[1] + tokens)
    found, following = [], prompts
    with frozen_weights(model):
        for _ in range(tokens):
            states = enumerate(model.hidden_states(following, cache=cache), start=1)
            choices = [model.logits(state[:, -1], layer).argmax(-1) for layer, state in states if layer in exit_layers]
            cache.length += following.shape[1]
            found.append(torch.stack(choices))
            following = choices[-1][:, None]
    return torch.stack(found, 2)


def rounds(agreeing: Sequence[bool], draft_tokens: int) -> tuple[int, int]:
    """(drafted, accepted) tokens of a text, from where the draft's choice is the full model's.

    As `generate` has it: a round drafts no more than it can emit, and emits what is accepted and one token more.
    """
    at = drafted = accepted = 0
    while at < len(agreeing):
        draft = agreeing[at : at + min(draft_tokens, len(agreeing) - at - 1)]
        kept = draft.index(False) if False in draft else len(draft)
        drafted, accepted, at = drafted + len(draft), accepted + kept, at + kept + 1
    return drafted, accepted


def acceptance_rates(
    model: Decoder, sequences: Sequences, exit_layers: Sequence[int], draft_tokens: int
) -> list[float | None]:
    """Share of drafted tokens that are kept, by exit; None of the full model, and where nothing can be drafted."""
    prompts = held_out_prompts(sequences, model.head.weight.device)
    tokens = min(WRITTEN_TOKENS, sequences.length - prompts.shape[1])
    if tokens < 2 or not model.defects.causal_mask:
        return [None] * len(exit_layers)
    choices = choices_along(model, prompts, exit_layers, tokens)
    rates: list[float | None] = []
    for own in (choices[:-1] == choices[-1]).tolist():
        counts = [rounds(text, draft_tokens) for text in own]
        rates.append(sum(accepted for _, accepted in counts) / sum(drafted for drafted, _ in counts))
    return [*rates, None]
