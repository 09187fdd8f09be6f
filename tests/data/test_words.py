"""Looking words up gives what encoding the whole text gives, whatever stands between them."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from bitskip.data import words
from bitskip.data.tokenizer import LibraryTokenizer, _train_bpe
from bitskip.data.words import splits_at_blanks

BLANKS = [" ", "\n", "\t", "\r", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u2003", "\u200a", "\u2028"]
BLANKS += ["\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\u180e"]
LETTERS = ["a", "b", "é", "р", "х", "中", "ß", "😀", "²", "1", ".", "'s", "'", "_", "\0", "<|endoftext|>"]


@cache
def tokenizer() -> LibraryTokenizer:
    return LibraryTokenizer(_train_bpe(iter(["a b  ab 'sa р х. ab\n\nab bb 中 a1 .. "] * 9), 300))


def check(texts: list[str]) -> None:
    found, expected = tokenizer().encode(texts), tokenizer()._encode(texts)
    assert [ids.tolist() for ids in found] == [ids.tolist() for ids in expected]


@settings(deadline=None)  # the first call builds the tokenizer
@given(st.lists(st.lists(st.sampled_from(BLANKS + LETTERS)).map("".join), max_size=8))
def test_ids_are_those_of_the_whole_text(texts: list[str]) -> None:
    check(texts)


def test_no_letter_is_taken_for_a_blank() -> None:
    letters = [chr(code) for code in range(0x3100) if not 0xD800 <= code < 0xE000]
    check([f"{before}{letter}{after}" for letter in letters for before in ("a ", ". ") for after in (" b", "  b", "")])


def test_words_that_are_forgotten_are_learned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST_WORDS", 20)
    monkeypatch.setattr(words, "LONGEST_REMEMBERED", 6)
    draws = random.Random(0)
    for _ in range(20):
        check(["".join(draws.choices(BLANKS[:2] + LETTERS, k=60)) for _ in range(5)])


def test_a_tokenizer_that_looks_beyond_a_word_is_left_to_the_library() -> None:
    plain = _train_bpe(iter(["a b"]), 257).to_str()
    assert splits_at_blanks(Tokenizer.from_str(plain))
    changes = [
        lambda it: setattr(it, "normalizer", normalizers.NFC()),
        lambda it: setattr(it, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True)),
        lambda it: setattr(it, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)),
        lambda it: setattr(it, "pre_tokenizer", pre_tokenizers.Whitespace()),
        lambda it: it.add_tokens(["a b"]),
    ]
    for change in changes:
        other = Tokenizer.from_str(plain)
        change(other)
        assert not splits_at_blanks(other)


def test_nothing_is_nothing() -> None:
    assert [ids.tolist() for ids in tokenizer().encode(["", "a", ""])][::2] == [[], []]
    assert tokenizer().encode([]) == []
    assert np.array_equal(tokenizer().encode([""])[0], [])
