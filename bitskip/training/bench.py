"""How fast an engine runs a trial's full model, and whether it runs that model (docs/decoding.md, engines)."""

from __future__ import annotations

import datetime
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

import bitskip
from bitskip.errors import UserError
from bitskip.model.bitlinear import BitLinear, frozen_weights
from bitskip.model.decoder import Decoder, KeyValueCache
from bitskip.store.speeds import EngineSpeed
from bitskip.training.decode_speed import decode, prefill
from bitskip.training.export_hf import context_of
from bitskip.training.generate import FixedExit, generate
from bitskip.trial.config import TrialConfig

PROMPT_TOKENS, DECODE_TOKENS, REPEATS = 128, 64, 5


@dataclass(frozen=True)
class Run:
    """A prompt read and continued greedily: seconds up to the first token, and seconds of the `steps` behind it."""

    prefill_seconds: float
    decode_seconds: float
    steps: int


@dataclass(frozen=True)
class About:
    """What an engine is: columns of `speeds`."""

    version: str
    weight_type: str
    emulated: bool
    model_bytes: int


class Engine(Protocol):
    """A model that is ready to run."""

    @property
    def about(self) -> About: ...

    def continuation(self, prompt: Sequence[int], tokens: int) -> Sequence[int]:
        """So many tokens, decoded greedily behind the prompt."""

    def run(self, prompt: Sequence[int], tokens: int) -> Run:
        """Read the prompt into an empty cache and decode so many tokens."""


@dataclass(frozen=True)
class Request:
    """What to measure: at most so many tokens, fewer where a sequence of the trial has no room for them."""

    threads: int = 1
    prompt_tokens: int = PROMPT_TOKENS
    decode_tokens: int = DECODE_TOKENS
    repeats: int = REPEATS
    weight_type: str | None = None

    def within(self, context: int) -> tuple[int, int]:
        """(tokens of the prompt, tokens to decode) that fit into a sequence of `context` tokens.

        Raises UserError where there is no room for one and two.
        """
        decoded = min(self.decode_tokens, context // 2)
        prompt = min(self.prompt_tokens, context - decoded)
        if prompt < 1 or decoded < 2:
            raise UserError("bench: it takes a prompt of 1 token and 2 to decode at least")
        return prompt, decoded


class TorchEngine:
    """bitskip's own decoder with its KV cache: quantized numbers are emulated in floating point."""

    def __init__(self, model: Decoder, about: About | None = None) -> None:
        self.model = model
        self.about = about or About(
            f"bitskip {bitskip.__version__}, torch {torch.__version__}",
            "fp32",
            rounds(model),
            sum(each.numel() * each.element_size() for each in model.parameters()),
        )

    def continuation(self, prompt: Sequence[int], tokens: int) -> Sequence[int]:
        return self._decoded(prompt, tokens)[1]

    def run(self, prompt: Sequence[int], tokens: int) -> Run:
        return self._decoded(prompt, tokens)[0]

    @torch.no_grad()
    def _decoded(self, prompt: Sequence[int], tokens: int) -> tuple[Run, list[int]]:
        device, depth = self.model.head.weight.device, self.model.sizes.layers
        wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        cache = KeyValueCache(self.model, 1, len(prompt) + tokens)
        asked = torch.tensor([prompt], device=device)
        wait()
        began = time.perf_counter()
        token = prefill(self.model, asked, depth, cache)
        chosen = [token]
        wait()
        prefilled = time.perf_counter()
        for _ in range(tokens - 1):
            token = decode(self.model, token, depth, cache, lambda: None)
            chosen.append(token)
        wait()
        ended = time.perf_counter()
        return Run(prefilled - began, ended - prefilled, tokens - 1), torch.cat(chosen, 1)[0].tolist()


def rounds(model: Decoder) -> bool:
    """Whether a technique in force rounds weights, activations, keys or values."""
    linear = (module.ops for module in model.modules() if isinstance(module, BitLinear))
    attention = (block.get_submodule("attention") for block in model.blocks)
    return any(ops.weight or ops.quantize for ops in linear) or any(each.key_value_ops for each in attention)


def _torch(model: Decoder, trial: TrialConfig, request: Request) -> AbstractContextManager[Engine]:
    return nullcontext(TorchEngine(model))


def _llama_cpp(model: Decoder, trial: TrialConfig, request: Request) -> AbstractContextManager[Engine]:
    from bitskip.training.bench_llama_cpp import llama_cpp

    return llama_cpp(model, trial, request)


def _torchao(model: Decoder, trial: TrialConfig, request: Request) -> AbstractContextManager[Engine]:
    from bitskip.training.bench_torchao import torchao

    return nullcontext(torchao(model, trial))


ENGINES: dict[str, Callable[[Decoder, TrialConfig, Request], AbstractContextManager[Engine]]] = {
    "torch": _torch,
    "llama.cpp": _llama_cpp,
    "torchao": _torchao,
}
"""By name, what makes an engine of a stored model; raises UserError, by name, for what the engine cannot express."""


def bench(model: Decoder, trial: TrialConfig, name: str, request: Request, start: int, device: str) -> EngineSpeed:
    """Speed of the full model in an engine, from a text of its own that begins with the token `start`.

    `device` is what the engine runs on, in words. Raises UserError for a trial that the engine cannot express.
    """
    prompt_tokens, decode_tokens = request.within(context_of(trial))
    before = torch.get_num_threads()
    torch.set_num_threads(request.threads)
    try:
        started_at = datetime.datetime.now(datetime.UTC)
        with ENGINES[name](model, trial, request) as engine, frozen_weights(model):
            prompt = own_text(model, start, prompt_tokens)
            written = engine.continuation(prompt, decode_tokens)  # warms up, too
            runs = [engine.run(prompt, decode_tokens) for _ in range(request.repeats)]
            about = engine.about
            agreement, gap = _agreement(model, prompt, written)
    finally:
        torch.set_num_threads(before)
    prefill_speed, prefill_spread = _typical([prompt_tokens / run.prefill_seconds for run in runs])
    decode_speed, decode_spread = _typical([run.steps / run.decode_seconds for run in runs])
    return EngineSpeed(
        engine=name,
        engine_version=about.version,
        weight_type=about.weight_type,
        emulated=about.emulated,
        prefill_tokens_per_second=prefill_speed,
        prefill_spread=prefill_spread,
        decode_tokens_per_second=decode_speed,
        decode_spread=decode_spread,
        model_bytes=about.model_bytes,
        agreement=agreement,
        largest_gap=gap,
        prompt_tokens=prompt_tokens,
        decode_tokens=decode_tokens,
        repeats=len(runs),
        threads=request.threads,
        device=device,
        host=platform.node(),
        started_at=started_at,
    )


def own_text(model: Decoder, start: int, tokens: int) -> list[int]:
    """`start`, and what the model writes behind it at temperature 1: text that it knows, without a corpus."""
    if tokens == 1:
        return [start]
    return [start, *generate(model, [start], FixedExit(model.sizes.layers), tokens - 1, temperature=1.0).tokens]


@torch.no_grad()
def _agreement(model: Decoder, prompt: Sequence[int], tokens: Sequence[int]) -> tuple[float, float]:
    """(share of `tokens` that the model would have chosen there, largest log-probability that one gave away)."""
    text = torch.tensor([[*prompt, *tokens[:-1]]], device=model.head.weight.device)
    scores: Tensor = model(text)[0, len(prompt) - 1 :].float().log_softmax(-1)
    given_away = scores.amax(-1) - scores.gather(-1, torch.tensor(tokens, device=text.device)[:, None])[:, 0]
    return float((given_away == 0).float().mean()), float(given_away.max())


def _typical(speeds: Sequence[float]) -> tuple[float, float]:
    """Median, and distance between the quartiles; 0 of a single value."""
    if len(speeds) == 1:
        return speeds[0], 0.0
    low, middle, high = statistics.quantiles(speeds, n=4, method="inclusive")
    return middle, high - low
