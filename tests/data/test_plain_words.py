"""Words of token streams: the same however the text is cut into tokens, wrapped, marked up or written in capitals."""

import random
from pathlib import Path

import numpy as np
import pytest

from bitskip.data import plain_words
from bitskip.data.leaks import Leak
from bitskip.data.plain_words import END, PlainTokens, find_plain_leak
from bitskip.data.sequences import packed
from bitskip.data.tokenizer import ByteTokenizer, LibraryTokenizer, Tokenizer, _train_bpe

LETTERS = random.Random(0)
WORDS = ["".join(LETTERS.choices("abcdefghij", k=LETTERS.randint(2, 8))) for _ in range(500)]


def sentences(count: int, seed: int) -> list[str]:
    draws = random.Random(seed)
    return [" ".join(draws.choices(WORDS, k=9)).capitalize() + "." for _ in range(count)]


BYTES = ByteTokenizer()
BPE = LibraryTokenizer(_train_bpe(iter(sentences(200, 1)), 400))


def stream(tokenizer: Tokenizer, documents: list[str]) -> np.ndarray:
    end = [tokenizer.end_of_document]
    return np.concatenate([np.append(ids, end) for ids in tokenizer.encode(documents)]).astype(np.uint32)


@pytest.mark.parametrize("tokenizer", [BYTES, BPE], ids=["bytes", "bpe"])
def test_words_are_those_of_the_text_without_case_blanks_and_punctuation(tokenizer: Tokenizer) -> None:
    plain = PlainTokens.of(tokenizer)
    documents = ["The old, red fox\nran. ", "“É” 12 foxes", "...", "the OLD --- red\t\tfox ran"]
    ids, firsts = plain.words(stream(tokenizer, documents))
    parts = [part.tolist() for part in np.split(ids, np.flatnonzero(ids == END) + 1)]
    assert [len(part) for part in parts] == [6, len(parts[1]), 1, 6, 0]
    assert parts[0] == parts[3]
    assert len(set(parts[0])) == 6
    assert np.all(np.diff(firsts) > 0)


def leak_of(tokenizer: Tokenizer, held_out: list[str], train: list[str], folder: Path) -> Leak:
    measured = stream(tokenizer, held_out)
    bytes_per_token = sum(map(len, held_out)) / len(measured)
    return find_plain_leak(stream(tokenizer, train), packed(measured, 64), tokenizer, bytes_per_token, folder)


CHANGES = {
    "wrapped": lambda text: text.replace(" ", "\n"),
    "capitals": str.upper,
    "quoted": lambda text: "> " + text.replace(". ", ".\n> "),
    "bare": lambda text: text.replace(".", "").lower(),
}


@pytest.mark.parametrize("tokenizer", [BYTES, BPE], ids=["bytes", "bpe"])
@pytest.mark.parametrize("change", CHANGES)
def test_copies_that_were_written_anew_are_found(change: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    held_out = [" ".join(sentences(16, seed)) for seed in range(100, 112)]
    others = [" ".join(sentences(16, seed)) for seed in range(200, 260)]
    assert leak_of(tokenizer, held_out, others, tmp_path).copied == 0
    found = leak_of(tokenizer, held_out, [*others, *map(CHANGES[change], held_out[:6])], tmp_path)
    assert found.share == pytest.approx(0.5)
    assert any(tokenizer.decode(found.example).strip(". ") in text for text in held_out[:6])


def test_words_are_the_same_in_whatever_parts_a_stream_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held_out = [" ".join(sentences(16, seed)) for seed in range(100, 106)]
    whole = leak_of(BPE, held_out, held_out, tmp_path)
    monkeypatch.setattr(plain_words, "TOKENS_AT_ONCE", 37)
    assert leak_of(BPE, held_out, held_out, tmp_path) == whole
    assert whole.share == 1.0
