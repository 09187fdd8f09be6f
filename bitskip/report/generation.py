"""Decoded text as it comes, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from bitskip.data import Tokenizer
    from bitskip.training.generate import Generation

JSON_KEYS = (
    "tokens", "exit_layers", "steps", "drafted", "acceptance_rate", "blocks_per_token", "block_calls_per_token",
    "prefill_seconds", "seconds", "tokens_per_second",
)  # fmt: skip

UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """Prints a prompt in bold, then what is decoded, a whole character at a time."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], console: Console) -> None:
        self.tokenizer, self.console = tokenizer, console
        self.tokens: list[int] = []
        self.shown = ""
        self.prompt = prompt

    def add(self, tokens: Sequence[int]) -> None:
        if not self.tokens:  # not before there is something to add: the request may be refused
            self._add(self.prompt, "bold")
        self._add(tokens, "")

    def _add(self, tokens: Sequence[int], style: str) -> None:
        self.tokens += tokens
        # A character's first bytes decode to a replacement character until the rest of them has come.
        self._show(self.tokenizer.decode(self.tokens).rstrip(UNFINISHED), style)

    def close(self) -> None:
        self._show(self.tokenizer.decode(self.tokens) + "\n", "")

    def _show(self, text: str, style: str) -> None:
        self.console.print(Text(text[len(self.shown) :], style), end="", soft_wrap=True)
        self.shown = text


def continuation(tokenizer: Tokenizer, prompt: Sequence[int], tokens: Sequence[int]) -> str:
    """The text that tokens add to a prompt: decoded alone, they could lose the space they begin with."""
    return tokenizer.decode([*prompt, *tokens])[len(tokenizer.decode(prompt)) :]


def statistics_line(generation: Generation, end_of_document: int) -> str:
    """Length, speed, and what the strategy saved or wasted."""
    ended = generation.tokens[-1] == end_of_document
    parts = [
        f"{len(generation.tokens)} tokens, {'ended by the model' if ended else 'cut at the limit'}",
        f"{generation.tokens_per_second:.0f} tokens/s",
        f"{generation.blocks_per_token:.2f} blocks a token",
    ]
    if generation.acceptance_rate is not None:
        parts.append(
            f"{generation.acceptance_rate:.0%} of {generation.drafted} drafted tokens accepted in "
            f"{generation.steps} rounds"
        )
    exits = Counter(generation.exit_layers)
    if len(exits) > 1:
        parts.append("exits " + ", ".join(f"{layer}: {count}" for layer, count in sorted(exits.items())))
    return " · ".join(parts)


def generation_object(generation: Generation) -> dict[str, Any]:
    """What `generate --json` says of the decoding itself."""
    found = {name: getattr(generation, name) for name in JSON_KEYS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
