"""llama.cpp as an engine: the exported model in a server inside this process (xllamacpp)."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitskip.data import load_tokenizer
from bitskip.data.tokenizer import Tokenizer, as_library_tokenizer
from bitskip.errors import UserError
from bitskip.extras import require
from bitskip.model.decoder import Decoder
from bitskip.training.bench import About, Request, Run
from bitskip.training.export import Portable, portable
from bitskip.training.export_gguf import ACTIVATION_BITS, check_type, write_gguf
from bitskip.training.export_hf import context_of
from bitskip.trial.config import TrialConfig

INPUTS = {"tq1_0": "Q8_K", "tq2_0": "Q8_K", "q8_0": "Q8_0"}
"""What llama.cpp rounds the inputs of matrices of a type to."""


@dataclass(frozen=True)
class LlamaCpp:
    """An engine (`bench.Engine`); `special` tokens would end a text, `letter` is one that stands for a character."""

    server: Any
    about: About
    special: Sequence[int]
    letter: int

    def continuation(self, prompt: Sequence[int], tokens: int) -> Sequence[int]:
        # One token at a time: of a token that is a part of a character an answer tells nothing. The letter is drawn
        # whatever the probabilities, which are told as they are.
        text = list(prompt)
        for _ in range(tokens):
            answer = self._complete(text, 1, [[self.letter, 1e3]], n_probs=1, cache_prompt=True)
            text.append(answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["id"])
        return text[len(prompt) :]

    def run(self, prompt: Sequence[int], tokens: int) -> Run:
        banned = [[token, False] for token in self.special]
        times = self._complete(prompt, tokens, banned, cache_prompt=False)["timings"]
        # The first token comes with the prompt: the clock of the others starts there.
        return Run(times["prompt_ms"] / 1000, times["predicted_ms"] / 1000, times["predicted_n"] - 1)

    def _complete(self, prompt: Sequence[int], tokens: int, bias: Sequence[Sequence[float]], **options: int) -> Any:
        asked = {"prompt": list(prompt), "n_predict": tokens, "temperature": 0, "logit_bias": bias, **options}
        answer = self.server.handle_completions(asked)
        if "error" in answer:
            raise UserError(f"bench: llama.cpp: {answer['error'].get('message', answer['error'])}")
        return answer


def best_type(trial: TrialConfig) -> str:
    """The smallest type of file that holds the trial's matrices as they are."""
    with contextlib.suppress(UserError):
        check_type(trial, "tq2_0")
        return "tq2_0"
    return "f16"


@contextlib.contextmanager
def llama_cpp(model: Decoder, trial: TrialConfig, request: Request) -> Iterator[LlamaCpp]:
    """The full model in llama.cpp; its file is gone afterwards.

    Raises UserError for a trial or type that llama.cpp cannot express, and without the packages.
    """
    require("xllamacpp", "gguf")
    kind = request.weight_type or best_type(trial)
    check_type(trial, kind)
    found = portable(model, trial, f"llama.cpp's {kind}", ACTIVATION_BITS.get(kind))
    tokenizer = load_tokenizer(trial.data)
    with tempfile.TemporaryDirectory(prefix="bitskip-bench-") as folder:
        path = Path(folder) / "model.gguf"
        write_gguf(path, found, tokenizer, kind)
        yield _served(path, kind, found, tokenizer, request)


def _served(path: Path, kind: str, model: Portable, tokenizer: Tokenizer, request: Request) -> LlamaCpp:
    import xllamacpp
    from gguf import GGUFReader

    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_parallel, settings.verbosity = str(path), 1, -1
    settings.n_ctx = sum(request.within(context_of(model.trial)))
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = request.threads
    special = [each["id"] for each in json.loads(as_library_tokenizer(tokenizer).to_str())["added_tokens"]]
    inputs = f", inputs {INPUTS[kind]}" if kind in INPUTS else ""
    about = About(
        f"xllamacpp {xllamacpp.__version__}",
        kind + inputs,
        False,
        sum(int(tensor.n_bytes) for tensor in GGUFReader(path).tensors),
    )
    return LlamaCpp(xllamacpp.Server(settings), about, special, int(tokenizer.encode(["A"])[0][0]))
