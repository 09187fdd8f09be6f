"""Prefill and decoding speed of every exit, beside the limit that its blocks and head set (docs/measures.md)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from bitskip.model.bitlinear import frozen_weights
from bitskip.model.decoder import Decoder, KeyValueCache, uncompiled
from bitskip.store.schema import ExitSpeed

PROMPT_TOKENS = 32
DECODE_TOKENS = 3
"""Steps decoded in a round; odd, so that their median is one of them."""

MIN_ROUNDS, MAX_ROUNDS = 5, 25
SECONDS = 0.5
"""Time after which no further round starts: large models are measured in the fewest rounds, small ones in more."""


class Stopwatch:
    """Seconds between marks; `read` tells the time."""

    def __init__(self, read: Callable[[], float] = time.perf_counter) -> None:
        self._read = read
        self._marks: list[float] = []

    def mark(self) -> None:
        self._marks.append(self._read())

    def laps(self) -> list[float]:
        """Seconds between consecutive marks, which are forgotten."""
        marks, self._marks = self._marks, []
        return [after - before for before, after in pairwise(marks)]


class CudaStopwatch(Stopwatch):
    """Marks the work of the current stream: the host waits in `laps` only, not at a mark."""

    def __init__(self) -> None:
        self._events: list[torch.cuda.Event] = []

    def mark(self) -> None:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        self._events.append(event)

    def laps(self) -> list[float]:
        events, self._events = self._events, []
        events[-1].synchronize()
        return [before.elapsed_time(after) / 1000 for before, after in pairwise(events)]


@dataclass
class StepTimes:
    """Seconds that one exit took: `prefill` by round, `parts` by round and decoding step.

    The parts of a step are the token's embedding, every block, and the head with the choice of the next token.
    """

    prefill: list[float] = field(default_factory=list)
    parts: list[list[list[float]]] = field(default_factory=list)

    def typical_parts(self) -> list[float]:
        """Median of each part over all steps: what else runs on the machine delays a few parts, but not most."""
        return _medians([step for steps in self.parts for step in steps])

    def typical_step(self) -> float:
        return sum(self.typical_parts())

    def blocks_and_head(self) -> float:
        return sum(self.typical_parts()[1:])

    def rounds(self) -> list[float]:
        """Seconds of a typical step of each round."""
        return [sum(_medians(steps)) for steps in self.parts]


def throughput_batch(device: torch.device) -> int:
    """Sequences decoded at once to measure throughput: enough that a pass over the weights serves many of them."""
    return 64 if device.type == "cuda" else 8


def exit_speed(model: Decoder, prompt: Tensor, batch: int = 1, stopwatch: Stopwatch | None = None) -> list[ExitSpeed]:
    """Prefill and greedy decoding speed of the exits 1…L in turn with a KV cache; `prompt` is int64 [1, T] with T >= 1.

    The stopwatch is by default that of the prompt's device.
    """
    times = step_times(model, prompt, batch, stopwatch)
    full, prompt_tokens = times[-1], batch * min(prompt.shape[1], PROMPT_TOKENS)
    speeds = []
    for exit_times in times:
        gains = [whole / part - 1 for whole, part in zip(full.rounds(), exit_times.rounds(), strict=True)]
        low, _, high = statistics.quantiles(gains, n=4)
        speeds.append(
            ExitSpeed(
                prefill_tokens_per_second=prompt_tokens / statistics.median(exit_times.prefill),
                decode_tokens_per_second=batch / exit_times.typical_step(),
                speed_gain=full.typical_step() / exit_times.typical_step() - 1,
                speed_gain_spread=high - low,
                speed_gain_limit=full.blocks_and_head() / exit_times.blocks_and_head() - 1,
                speed_rounds=len(gains),
            )
        )
    return speeds


@torch.no_grad()
def step_times(model: Decoder, prompt: Tensor, batch: int, stopwatch: Stopwatch | None = None) -> list[StepTimes]:
    """Times of the exits 1…L. In a round each exit in turn reads the prompt and decodes, so that drift hits all alike.

    All exits have the same prompt, type and cache. The first round warms up and is not counted.
    """
    if stopwatch is None:
        stopwatch = CudaStopwatch() if prompt.is_cuda else Stopwatch()
    tokens = prompt[:, :PROMPT_TOKENS].expand(batch, -1)
    cache = KeyValueCache(model, batch, tokens.shape[1] + DECODE_TOKENS)
    with frozen_weights(model), uncompiled():
        _round(model, tokens, cache, stopwatch)
        times = [StepTimes() for _ in range(model.sizes.layers)]
        spent = 0.0
        for number in range(MAX_ROUNDS):
            if number >= MIN_ROUNDS and spent >= SECONDS:
                break
            for exit_times, (prefill, parts) in zip(times, _round(model, tokens, cache, stopwatch), strict=True):
                exit_times.prefill.append(prefill)
                exit_times.parts.append(parts)
                spent += prefill + sum(map(sum, parts))
    return times


def _round(
    model: Decoder, tokens: Tensor, cache: KeyValueCache, stopwatch: Stopwatch
) -> list[tuple[float, list[list[float]]]]:
    """Seconds of the prefill and of the parts of every decoding step, by exit."""
    measured = []
    for exit_layer in range(1, model.sizes.layers + 1):
        cache.length = 0
        stopwatch.mark()
        token = prefill(model, tokens, exit_layer, cache)
        stopwatch.mark()
        (prefilled,) = stopwatch.laps()
        stopwatch.mark()
        for _ in range(DECODE_TOKENS):
            token = decode(model, token, exit_layer, cache, stopwatch.mark)
        laps, parts = stopwatch.laps(), exit_layer + 2
        measured.append((prefilled, [laps[start : start + parts] for start in range(0, len(laps), parts)]))
    return measured


def prefill(model: Decoder, tokens: Tensor, exit_layer: int, cache: KeyValueCache) -> Tensor:
    """Read the prompts [B, T] into an empty cache; the most likely next tokens [B, 1]."""
    for hidden in model.hidden_states(tokens, cache=cache, last=exit_layer):
        last = hidden[:, -1:]
    cache.length = tokens.shape[1]
    return model.logits(last, exit_layer).argmax(-1)


def decode(model: Decoder, token: Tensor, exit_layer: int, cache: KeyValueCache, mark: Callable[[], None]) -> Tensor:
    """One greedy step, [B, 1] to [B, 1]; `mark` is called after the embedding, every block, and the head."""
    embedded = model.embedding(token)
    mark()
    for state in model.run_blocks(embedded, cache=cache, last=exit_layer):
        hidden = state
        mark()
    cache.length += 1
    chosen = model.logits(hidden, exit_layer).argmax(-1)
    mark()
    return chosen


def _medians(steps: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(part) for part in zip(*steps, strict=True)]
