"""Decoding one sequence with a KV cache: full depth, a fixed exit, a confidence threshold, self-speculation.

Every strategy stands on `Prefix`, which runs each token only as deep as it is asked to and catches up later. What each
strategy computes and guarantees, with measurements: docs/decoding.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bitskip.errors import UserError
from bitskip.model.bitlinear import BitLinear, frozen_weights
from bitskip.model.decoder import Decoder, KeyValueCache
from bitskip.model.rotary import rotary_table
from bitskip.ops.random_streams import generator

DRAFT_TOKENS = 4


def default_draft_exit(depth: int) -> int:
    """Blocks that draft when nothing else is asked for: a third of them."""
    return max(1, depth // 3)


class Prefix:
    """One sequence so far, each of its tokens run through as many blocks as were needed.

    A block works off, in one pass, all tokens that the block below has left for it. A token that left early therefore
    gets its keys and values in a deeper block when a later token first goes there, from its true hidden state: whatever
    the order of calls, each state is that of the model's plain causal pass over the same tokens. (EE-LLM, arXiv
    2312.04916, calls it KV recomputation; CALM, arXiv 2207.07061, copies the exit's state upwards instead, which is
    cheaper and changes every later token.)

    `block_calls` counts calls of a block, `executed` the tokens that went through them.
    """

    def __init__(self, model: Decoder, capacity: int) -> None:
        weight, depth = model.embedding.weight, model.sizes.layers
        self.model = model
        self.cache = KeyValueCache(model, 1, capacity)
        self.rotary = rotary_table(model.sizes, capacity, weight.device, model.compute_dtype())
        self.states = weight.new_zeros(depth + 1, 1, capacity, model.sizes.width)  # residual stream after b blocks
        self.done = [0] * (depth + 1)  # tokens that are through b blocks; never increasing with b
        self.block_calls = self.executed = 0

    def __len__(self) -> int:
        return self.done[0]

    def append(self, tokens: Sequence[int]) -> None:
        """Add tokens behind the others; no block runs yet."""
        start, end = len(self), len(self) + len(tokens)
        self.states[0, :, start:end] = self.model.embedding(torch.tensor([tokens], device=self.states.device))
        self.done[0] = end

    def advance(self, depth: int) -> None:
        """Run blocks 1…`depth` on whatever has not been through them."""
        for index, block in enumerate(self.model.blocks[:depth]):
            start, end = self.done[index + 1], self.done[index]
            if start == end:
                continue
            self.cache.length = start
            waiting = self.states[index, :, start:end]
            self.states[index + 1, :, start:end] = block(waiting, self.rotary[:, start:end], self.cache)
            self.done[index + 1] = end
            self.block_calls += 1
            self.executed += end - start

    def logits(self, exit_layer: int, last: int = 1) -> Tensor:
        """[last, V] of an exit at the last tokens that are through its blocks."""
        end = self.done[exit_layer]
        return self.model.logits(self.states[exit_layer, :, end - last : end], exit_layer)[0]

    def truncate(self, length: int) -> None:
        """Forget all tokens from position `length` on, with their keys and values."""
        self.done = [min(through, length) for through in self.done]


@dataclass(frozen=True)
class Sampler:
    """Draws tokens at a temperature; 0 is greedy: the distribution that has everything on the largest logit."""

    temperature: float
    generator: torch.Generator

    def probabilities(self, logits: Tensor) -> Tensor:
        """softmax(logits / temperature) in fp64 on the CPU, shape kept. Raises UserError for a non-finite logit."""
        if not logits.isfinite().all():
            raise UserError("the model's logits are not finite: its training diverged; decode another trial")
        logits = logits.double().cpu()
        if self.temperature == 0.0:
            return F.one_hot(logits.argmax(-1), logits.shape[-1]).double()
        # The largest logit is taken off first: dividing it by a tiny temperature would overflow.
        return ((logits - logits.amax(-1, keepdim=True)) / self.temperature).softmax(-1)

    def draw(self, probabilities: Tensor) -> int:
        """A token from [V] non-negative weights."""
        return int(torch.multinomial(probabilities, 1, generator=self.generator))

    def accept(self, drafted: Sequence[int], draft: Tensor, target: Tensor) -> list[int]:
        """What speculative sampling emits: some of the drafted tokens from the first on, then one more token.

        Token i was drawn from q = `draft`[i] and stays with probability min(1, p / q), p = `target`[i]. The first that
        does not is replaced by a draw from max(p - q, 0), normalised; if all n stay, one is drawn from `target`[n].
        What is emitted is then distributed as draws from the target alone (Leviathan et al., arXiv 2211.17192,
        algorithm 1). Shapes: `draft` [n, V], `target` [n + 1, V]. With greedy distributions the rule keeps the drafts
        up to the first that is not the target's choice, and emits that choice.
        """
        for index, token in enumerate(drafted):
            p, q = target[index], draft[index]
            if torch.rand((), generator=self.generator, dtype=torch.float64) >= p[token] / q[token]:
                return [*drafted[:index], self.draw((p - q).clamp(min=0.0))]
        return [*drafted, self.draw(target[len(drafted)])]


@dataclass(frozen=True)
class Step:
    """What one step of a strategy emitted, and the exit layer that decided each token."""

    tokens: list[int]
    exit_layers: list[int]
    drafted: int = 0
    accepted: int = 0

    def until(self, last: int | None) -> Step:
        """The same step without the tokens behind the first `last` token."""
        if last not in self.tokens:
            return self
        end = self.tokens.index(last) + 1
        return replace(self, tokens=self.tokens[:end], exit_layers=self.exit_layers[:end])


class Strategy(Protocol):
    """How the next tokens of a prefix are found."""

    def check(self, depth: int) -> None:
        """Raises UserError if the strategy does not fit a model of so many blocks."""

    def prefill_depth(self, depth: int) -> int:
        """Blocks that the prompt runs through before the first step."""

    def step(self, prefix: Prefix, sampler: Sampler, remaining: int) -> Step:
        """Emit between 1 and `remaining` tokens and leave them appended to the prefix."""


@dataclass(frozen=True)
class FixedExit:
    """Every token leaves after `exit_layer` blocks; all L of them are the full model."""

    exit_layer: int

    def check(self, depth: int) -> None:
        _check_exit(self.exit_layer, depth)

    def prefill_depth(self, depth: int) -> int:
        return self.exit_layer

    def step(self, prefix: Prefix, sampler: Sampler, remaining: int) -> Step:
        prefix.advance(self.exit_layer)
        token = sampler.draw(sampler.probabilities(prefix.logits(self.exit_layer)[-1]))
        prefix.append([token])
        return Step([token], [self.exit_layer])


@dataclass(frozen=True)
class ConfidenceExit:
    """A token leaves at the first exit whose most likely token has at least this probability, at temperature 1.

    A threshold of 1 is never reached: every token runs through all blocks.
    """

    threshold: float

    def check(self, depth: int) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise UserError(f"threshold: {self.threshold:g} is no probability above 0; give one in (0, 1], such as 0.9")

    def prefill_depth(self, depth: int) -> int:
        return depth

    def step(self, prefix: Prefix, sampler: Sampler, remaining: int) -> Step:
        depth = prefix.model.sizes.layers
        for exit_layer in range(1, depth + 1):
            prefix.advance(exit_layer)
            logits = prefix.logits(exit_layer)[-1]
            # A softmax rounds to 1.0 where the gap is wide, and may still be the wrong token.
            if self.threshold < 1.0 and logits.double().softmax(-1).max() >= self.threshold:
                break
        token = sampler.draw(sampler.probabilities(logits))
        prefix.append([token])
        return Step([token], [exit_layer])


@dataclass(frozen=True)
class SelfSpeculation:
    """The first `exit_layer` blocks draft tokens one by one, the others verify them in one pass (LayerSkip).

    The verification continues from the draft's hidden states and shares its keys and values; those of rejected tokens
    are forgotten. Every emitted token is decided by the full model (arXiv 2404.16710).
    """

    exit_layer: int
    draft_tokens: int = DRAFT_TOKENS

    def check(self, depth: int) -> None:
        _check_exit(self.exit_layer, depth)
        if self.exit_layer == depth:
            raise UserError(
                f"exit layer: a draft needs fewer blocks than the {depth} of the model"
                + (f"; give one in 1…{depth - 1}" if depth > 1 else "; decode without speculation")
            )
        if self.draft_tokens < 1:
            raise UserError(f"draft: {self.draft_tokens} tokens make no draft; give at least 1")

    def prefill_depth(self, depth: int) -> int:
        return depth

    def step(self, prefix: Prefix, sampler: Sampler, remaining: int) -> Step:
        start, depth = len(prefix), prefix.model.sizes.layers
        drafted: list[int] = []
        draft: list[Tensor] = []
        # Verification adds a token of its own: more drafts than remaining - 1 would be thrown away.
        for _ in range(min(self.draft_tokens, remaining - 1)):
            prefix.advance(self.exit_layer)
            draft.append(sampler.probabilities(prefix.logits(self.exit_layer)[-1]))
            drafted.append(sampler.draw(draft[-1]))
            prefix.append(drafted[-1:])
        prefix.advance(depth)
        target = sampler.probabilities(prefix.logits(depth, len(drafted) + 1))
        tokens = sampler.accept(drafted, torch.stack(draft) if draft else target[:0], target)
        prefix.truncate(start + len(tokens) - 1)
        prefix.append(tokens[-1:])
        return Step(tokens, [depth] * len(tokens), len(drafted), len(tokens) - 1)


@dataclass(frozen=True)
class Generation:
    """The emitted tokens (an end-of-document token that ended them is the last) and what they cost.

    `executed` counts pairs of a token and a block it ran through, rejected drafts included, and `block_calls` calls of
    a block, each for one or more tokens; both without the prompt. `steps` are rounds of draft and verification, or
    single tokens. Times are wall clock in seconds; `seconds` leaves out the prompt, which took `prefill_seconds`.
    """

    tokens: tuple[int, ...]
    exit_layers: tuple[int, ...]
    steps: int
    drafted: int
    accepted: int
    executed: int
    block_calls: int
    prefill_seconds: float
    seconds: float

    @property
    def acceptance_rate(self) -> float | None:
        """Share of the drafted tokens that verification kept; None if nothing was drafted."""
        return self.accepted / self.drafted if self.drafted else None

    @property
    def blocks_per_token(self) -> float:
        """Computation: blocks run per emitted token; L at full depth."""
        return self.executed / len(self.tokens)

    @property
    def block_calls_per_token(self) -> float:
        """Latency where reading the weights dominates: calls of a block per emitted token; L at full depth."""
        return self.block_calls / len(self.tokens)

    @property
    def tokens_per_second(self) -> float:
        return len(self.tokens) / self.seconds


@torch.no_grad()
def generate(
    model: Decoder,
    prompt: Sequence[int],
    strategy: Strategy,
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    end_of_document: int | None = None,
    on_tokens: Callable[[Sequence[int]], None] | None = None,
) -> Generation:
    """Continue token ids by at most `max_tokens`, or until the end-of-document token.

    The last token of the prompt belongs to the first step: the others are run before the clock of `seconds` starts.
    `on_tokens` is called with the tokens of every step. A prompt may be longer than the sequences of training, rotary
    positions go on; what the model makes of them is another matter. Raises UserError for settings out of range, an
    empty prompt, ids outside the vocabulary, and a model trained without a causal mask.
    """
    depth = model.sizes.layers
    strategy.check(depth)
    _check_request(model, prompt, max_tokens, temperature)
    sampler = Sampler(temperature, generator(seed, "decoding"))
    model.eval()
    with frozen_weights(model):
        prefix = Prefix(model, len(prompt) + max_tokens)
        started = time.perf_counter()
        if len(prompt) > 1:
            prefix.append(prompt[:-1])
            prefix.advance(strategy.prefill_depth(depth))
        prefix.append(prompt[-1:])
        prefix.block_calls = prefix.executed = 0
        steps: list[Step] = []
        emitted: list[int] = []
        prefilled = time.perf_counter()
        while len(emitted) < max_tokens and emitted[-1:] != [end_of_document]:
            steps.append(strategy.step(prefix, sampler, max_tokens - len(emitted)).until(end_of_document))
            emitted += steps[-1].tokens
            if on_tokens is not None:
                on_tokens(steps[-1].tokens)
        finished = time.perf_counter()
    return Generation(
        tokens=tuple(emitted),
        exit_layers=tuple(layer for step in steps for layer in step.exit_layers),
        steps=len(steps),
        drafted=sum(step.drafted for step in steps),
        accepted=sum(step.accepted for step in steps),
        executed=prefix.executed,
        block_calls=prefix.block_calls,
        prefill_seconds=prefilled - started,
        seconds=finished - prefilled,
    )


def in_double_precision(model: Decoder) -> Decoder:
    """The model in fp64 for good, with its quantized weights frozen: what makes greedy strategies agree to the token.

    A matrix product rounds differently for one row and for several, and a value that lies on the edge of a quantizer's
    step turns that last bit into a whole step. In fp64 the last bit is 2^29 times smaller than in fp32.
    """
    model.double()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, BitLinear) and module.quantized_weight:
                module.freeze(module.effective_weight().double())  # stored weights arrive frozen, in fp32
    return model


def _check_exit(exit_layer: int, depth: int) -> None:
    if not 1 <= exit_layer <= depth:
        raise UserError(f"exit layer: {exit_layer} is not one of the model's; give one in 1…{depth}")


def _check_request(model: Decoder, prompt: Sequence[int], max_tokens: int, temperature: float) -> None:
    vocabulary = model.embedding.num_embeddings
    outside = [token for token in prompt if not 0 <= token < vocabulary]
    if not prompt:
        raise UserError("prompt: it has no tokens; begin with the end-of-document token for an empty text")
    if outside:
        raise UserError(
            f"prompt: token {outside[0]} is outside the vocabulary of {vocabulary}; use the tokenizer of the training"
        )
    if max_tokens < 1:
        raise UserError(f"max tokens: {max_tokens} leaves nothing to decode; give at least 1")
    if not (math.isfinite(temperature) and temperature >= 0.0):
        raise UserError(f"temperature: {temperature:g} is not a number from 0; give 0 for greedy decoding")
    if not model.defects.causal_mask:
        raise UserError(
            "the model was trained without a causal mask (an artefact): earlier states would change with every new "
            "token; decode a trial with causal_mask: true"
        )
