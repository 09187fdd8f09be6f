"""What is known of a trial's text before it is trained: what counting achieves on it, and how much of it leaks.

Found once for a text, a budget and what is measured, and kept in the cache beside the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitskip.data import TokenData, load_tokenizer
from bitskip.data.cache import cache_folder, remembered
from bitskip.data.leaks import Leak, find_leak
from bitskip.data.ngrams import kneser_ney_losses
from bitskip.data.plain_words import find_plain_leak
from bitskip.data.sequences import Sequences, chosen
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.trial.config import TrialConfig

MOST_COUNTED = 2**23
"""Training tokens that n-grams are counted on, at most: about 1 GB of memory and 10 seconds, once."""

FORMAT = 1
"""Part of every key: raised when the same text would show something else."""


@dataclass(frozen=True)
class TextFacts:
    """Held-out nats per token of Kneser-Ney n-grams of orders 2 and 5, counted on `ngram_tokens` training tokens.

    They are None where nothing is trained: counting has then no tokens to be compared on. `leak` is None where it was
    not looked for.
    """

    bigram_loss: float | None
    fivegram_loss: float | None
    ngram_tokens: int | None
    leak: Leak | None


def text_facts(
    trial: TrialConfig,
    text: TokenData,
    train_on: Sequences,
    measured_on: Sequences,
    bytes_per_token: float,
    own_text: bool = False,
    report: Callable[[str], None] | None = None,
) -> TextFacts:
    """Facts of a trial's text: `train_on` is all of the training text, `measured_on` what the final loss is of.

    N-grams are counted on as many training sequences as the trial draws, spread evenly over the text: those that it
    draws depend on the seed. Text that the caller has made (`own_text`) is neither known to the cache nor searched: it
    may be periodic on purpose. Nor is training text that is measured on purpose, or that nothing is trained on.
    """
    training = trial.training
    budget = min(trial.steps * training.batch_size * training.seq_len, MOST_COUNTED)
    on_train = trial.of(PublishedDefects).eval_on_train
    counted = chosen(train_on, budget, evenly=True)
    known_as = {"text": text.fingerprint, "format": FORMAT, "measured": _places(measured_on), "on_train": on_train}
    tell = report or (lambda _: None)

    def count() -> dict[str, Any]:
        if not trial.steps:
            return {"bigram_loss": None, "fivegram_loss": None, "ngram_tokens": None}
        tell(f"counting n-grams of {trial.data.corpus}")
        train, held_out = ([part.row(index) for index in range(part.count)] for part in (counted, measured_on))
        bigram, fivegram = kneser_ney_losses(train, held_out, text.vocab_size)
        tokens = int(np.sum(np.asarray(counted.stops) - np.asarray(counted.starts) - 1))
        return {"bigram_loss": bigram, "fivegram_loss": fivegram, "ngram_tokens": tokens}

    def search() -> dict[str, Any]:
        tell(f"looking for held-out text of {trial.data.corpus} in its training text")
        exact = find_leak(text.train, measured_on, text.end_of_document, bytes_per_token, text.vocab_size)
        plain = find_plain_leak(text.train, measured_on, load_tokenizer(trial.data), bytes_per_token, cache_folder())
        return asdict(max(exact, plain, key=lambda leak: leak.share or 0.0))

    if own_text:
        return TextFacts(**count(), leak=None)
    known_count = {**known_as, "counted": _places(counted)}
    lines = remembered(cache_folder(), "ngrams", known_count, count) if trial.steps else count()
    untrained = trial.training.training == "none"
    leak = (
        None if on_train or untrained else Leak(**remembered(cache_folder(), "leak", {**known_as, "words": 1}, search))
    )
    return TextFacts(**lines, leak=leak)


def _places(sequences: Sequences) -> str:
    """A digest of where sequences begin and end."""
    places = np.stack([np.asarray(sequences.starts, np.int64), np.asarray(sequences.stops, np.int64)])
    return hashlib.sha256(places.tobytes()).hexdigest()
