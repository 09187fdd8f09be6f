"""Copies and near copies that are planted are found; what kinds of text repeat by themselves is not."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitskip.data import leaks, load_data, load_tokenizer
from bitskip.data.leaks import Leak, find_leak
from bitskip.data.sequences import chosen, packed, padded
from bitskip.trial.config import DataConfig

VOCAB, END = 2000, 0
REAL_TEXT = Path(__file__).parents[3] / "shared" / "data"
BYTES = 4.0
"""Of a token: passages have 200 tokens, n-grams 13."""


def documents(count: int, seed: int, size: int = 500) -> list[np.ndarray]:
    draws = np.random.default_rng(seed)
    return [draws.integers(1, VOCAB, size).astype(np.uint16) for _ in range(count)]


def stream(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([piece for part in parts for piece in (part, np.array([END], np.uint16))])


def leak(train: np.ndarray, held_out: np.ndarray, length: int = 64, bytes_per_token: float = BYTES) -> Leak:
    return find_leak(train, packed(held_out, length), END, bytes_per_token, VOCAB)


TRAINED, HELD_OUT = documents(60, 0), documents(20, 1)


def test_texts_apart_share_nothing() -> None:
    found = leak(stream(TRAINED), stream(HELD_OUT))
    assert (found.copied, found.share, found.example) == (0, 0.0, ())
    assert found.judged == 20 * 2  # 500 tokens of 4 bytes are two passages of about 800 bytes


@pytest.mark.parametrize("copies", [1, 5, 20])
def test_the_share_is_that_of_the_documents_that_were_planted(copies: int) -> None:
    found = leak(stream([*TRAINED, *HELD_OUT[:copies]]), stream(HELD_OUT))
    assert found.share == pytest.approx(copies / 20)
    assert tuple(found.example) in {tuple(d[at : at + 250]) for d in HELD_OUT[:copies] for at in (0, 250)}


def test_order_and_neighbours_of_copies_do_not_matter() -> None:
    parts = [*TRAINED, *HELD_OUT]
    random.Random(0).shuffle(parts)
    assert leak(stream(parts), stream(HELD_OUT)).share == 1.0


def test_documents_much_shorter_than_a_passage_are_passages_of_their_own() -> None:
    short = documents(200, 2, size=40)
    parts = [*TRAINED, *short[::2]]
    random.Random(0).shuffle(parts)
    assert leak(stream(parts), stream(short)).share == pytest.approx(0.5)


def near_copy(document: np.ndarray, every: int, draws: random.Random, periodic: bool) -> np.ndarray:
    changed = [at % every == every - 1 if periodic else draws.random() < 1 / every for at in range(len(document))]
    return np.where(changed, VOCAB - 1, document).astype(np.uint16)


@pytest.mark.parametrize("periodic", [True, False])
def test_near_copies_with_one_word_in_twenty_changed_are_found(periodic: bool) -> None:
    """Words of 5.5 bytes, a token each: 800 bytes are 146 words, 50 bytes are 10."""
    draws, held_out = random.Random(3), documents(100, 4, size=146)
    planted = [near_copy(document, 20, draws, periodic) for document in held_out]
    assert leak(stream([*TRAINED, *planted]), stream(held_out), bytes_per_token=5.5).share > 0.85


def test_one_word_in_eight_is_another_text() -> None:
    draws, held_out = random.Random(3), documents(100, 4, size=146)
    planted = [near_copy(document, 8, draws, True) for document in held_out]
    assert leak(stream([*TRAINED, *planted]), stream(held_out), bytes_per_token=5.5).share == 0.0


def test_a_copy_is_found_wherever_it_lies_and_in_whatever_chunks_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stream(TRAINED)
    for size in (1, 700, 5000):
        monkeypatch.setattr(leaks, "TOKENS_AT_ONCE", size)
        for at in (0, 1, 699, 13_001, len(whole)):
            planted = np.concatenate([whole[:at], HELD_OUT[3], whole[at:]])
            assert leak(planted, stream(HELD_OUT)).copied == 2, (size, at)


def test_phrases_from_all_over_the_training_text_are_no_copy() -> None:
    """Held-out documents are put together from phrases of 20 tokens, each of which stands somewhere in training."""
    draws, phrases = random.Random(5), documents(400, 6, size=20)
    trained = [np.concatenate([p, d[:100]]) for p, d in zip(phrases, documents(400, 7), strict=True)]
    held_out = [np.concatenate(draws.sample(phrases, 20)) for _ in range(30)]
    assert leak(stream(trained), stream(held_out)).share == 0.0


def test_only_what_is_measured_is_looked_for() -> None:
    train, held_out = stream([*TRAINED, *HELD_OUT[10:]]), packed(stream(HELD_OUT), 64)
    first = find_leak(train, chosen(held_out, 500 * 9, evenly=False), END, BYTES, VOCAB)
    spread = find_leak(train, chosen(held_out, 500 * 9, evenly=True), END, BYTES, VOCAB)
    assert first.share == 0.0
    assert spread.share == pytest.approx(0.5, abs=0.06)


def test_documents_that_are_cut_off_are_judged_by_what_is_measured() -> None:
    cut_off = padded(stream(HELD_OUT), 64, END)
    train = stream([*TRAINED, *(document[:250] for document in HELD_OUT)])
    assert find_leak(train, cut_off, END, BYTES, VOCAB) == Leak(20, 20, tuple(HELD_OUT[0][:250].tolist()))


def test_a_document_that_is_held_out_twice_is_no_less_of_a_copy() -> None:
    assert leak(stream([*TRAINED, *HELD_OUT]), stream([*HELD_OUT, *HELD_OUT])).share == 1.0


def test_text_too_short_to_be_judged_has_no_share() -> None:
    assert leak(stream(TRAINED), stream(documents(30, 8, size=10))).share is None
    assert leak(stream(TRAINED)[:5], stream(HELD_OUT)).copied == 0


def brute_force(train: np.ndarray, passage: np.ndarray, n: int, length: int) -> float:
    grams = {tuple(passage[i : i + n]) for i in range(len(passage) - n + 1)}
    best = 0
    for begin in range(0, len(train), length):
        stretch = range(begin, min(begin + 2 * length, len(train) - n + 1))
        best = max(best, len(grams & {tuple(train[i : i + n]) for i in stretch}))
    return best / len(grams)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_containment_is_that_of_sets_of_n_grams(data: st.DataObject) -> None:
    """With passages of 16 tokens and n-grams of 1: small enough to compare with sets, on a text of few words."""
    draws = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    train, passage = draws.integers(1, 60, 200).astype(np.uint16), draws.integers(1, 60, 16).astype(np.uint16)
    found = find_leak(train, packed(np.append(passage, END).astype(np.uint16), 16), END, 50.0, VOCAB)
    expected = brute_force(train, passage, 1, 16)
    assert (found.copied == 1) == (expected >= leaks.COPIED)


@pytest.mark.parametrize("tokenizer", ["bpe", "bytes"])
def test_the_built_in_stories_raise_no_alarm(tokenizer: str) -> None:
    text = load_data(DataConfig(tokenizer=tokenizer, vocab_size=257 if tokenizer == "bytes" else 1024), 500_000, 65_536)
    measured = chosen(packed(text.test, 128), 65_536, evenly=True)
    found = find_leak(text.train, measured, text.end_of_document, float(np.mean(text.test_bytes)), text.vocab_size)
    assert found.judged > 300
    assert found.share <= 0.01


@pytest.mark.skipif(not REAL_TEXT.exists(), reason="needs the real text")
@pytest.mark.parametrize(
    ("names", "document", "most"),
    [
        (["wikitext2-valid.txt", "wikitext2-test.txt"], "article", 0.0),
        (["wikitext2-valid.txt", "wikitext2-test.txt"], "auto", 0.02),
        (["tinystories-sample.txt"], "separator", 0.0),
    ],
)
def test_real_text_raises_no_alarm_and_articles_cut_into_blocks_give_something_away(
    names: list[str], document: str, most: float, tmp_path: Path
) -> None:
    split = "two" if document == "auto" else "three"
    config = DataConfig("files", tuple(str(REAL_TEXT / name) for name in names), document=document, split=split)
    text = load_data(config, 0, 0, tmp_path)
    measured = packed(text.test, 128)
    found = find_leak(text.train, measured, text.end_of_document, float(np.mean(text.test_bytes)), text.vocab_size)
    assert found.judged > 50
    assert found.share <= most
    assert (found.share > 0) == (document == "auto")  # blocks of 20 lines, as 0.1 cut them
    if found.copied:
        assert "tropical cyclone" in load_tokenizer(config, tmp_path).decode(found.example)
