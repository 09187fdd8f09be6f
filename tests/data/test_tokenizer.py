"""Tokenizers: any text comes back, and only the end of a document has the end-of-document token."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitskip.data import load_tokenizer
from bitskip.data.tokenizer import END_OF_DOCUMENT, LibraryTokenizer, Tokenizer, _train_bpe
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig

TEXTS = [f"the quick brown fox {i} jumps over {i * i} lazy dogs" for i in range(200)]
BPE = LibraryTokenizer(_train_bpe(iter(TEXTS), 320))
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(TEXT)
@settings(max_examples=200, deadline=None)
def test_bpe_gives_any_text_back(text: str) -> None:
    (ids,) = BPE.encode([text])
    assert BPE.decode([*ids.tolist(), BPE.end_of_document]) == text
    assert BPE.end_of_document not in ids
    assert all(0 <= i < BPE.vocab_size for i in ids)


def test_the_end_of_document_written_in_a_document_is_text() -> None:
    text = f"before {END_OF_DOCUMENT} after"
    (ids,) = BPE.encode([text])
    assert BPE.end_of_document not in ids
    assert BPE.decode(ids.tolist()) == text


def test_training_is_deterministic_and_fills_the_vocabulary() -> None:
    again = LibraryTokenizer(_train_bpe(iter(TEXTS), 320))
    assert again.fingerprint == BPE.fingerprint
    assert again.vocab_size == 320
    assert LibraryTokenizer(_train_bpe(iter(TEXTS[::2]), 320)).fingerprint != BPE.fingerprint


def test_encoding_a_batch_is_encoding_its_documents() -> None:
    batch = BPE.encode(TEXTS[:10])
    assert [ids.tolist() for ids in batch] == [BPE.encode([text])[0].tolist() for text in TEXTS[:10]]


def _cached(tmp_path: Path) -> tuple[DataConfig, Path, Tokenizer]:
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(TEXTS))
    config = DataConfig(corpus="files", files=(str(path),), vocab_size=320)
    tokenizer = load_tokenizer(config, tmp_path / "cache")
    (entry,) = (tmp_path / "cache").glob("bpe-*.json")
    return config, entry, tokenizer


def test_a_trained_tokenizer_is_read_back_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, _, tokenizer = _cached(tmp_path)
    monkeypatch.setattr("bitskip.data.tokenizer._train_bpe", lambda *_: pytest.fail("trained again"))
    assert load_tokenizer(config, tmp_path / "cache").fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("damage", [b"", b'{"version": "1.0", "trunc', b"\xff\xfe"])
def test_a_damaged_tokenizer_is_trained_again(damage: bytes, tmp_path: Path) -> None:
    config, entry, tokenizer = _cached(tmp_path)
    entry.write_bytes(damage)
    assert load_tokenizer(config, tmp_path / "cache").fingerprint == tokenizer.fingerprint


def test_only_training_text_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bitskip.data.corpora import open_corpus

    learned: list[str] = []

    def remember(documents: object, vocab_size: int) -> object:
        learned.extend(documents)  # type: ignore[call-overload]
        return _train_bpe(iter(learned), vocab_size)

    monkeypatch.setattr("bitskip.data.tokenizer._train_bpe", remember)
    config, *_ = _cached(tmp_path)
    assert learned == list(open_corpus(config).documents("train"))
    assert len(learned) < len(TEXTS)


def test_a_tokenizer_file_serves_as_a_pretrained_one(tmp_path: Path) -> None:
    BPE.inner.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(DataConfig(tokenizer=str(tmp_path / "tokenizer.json")))
    assert (loaded.fingerprint, loaded.vocab_size) == (BPE.fingerprint, 320)


def test_a_tokenizer_without_an_end_of_document_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Inner
    from tokenizers.models import BPE as EmptyModel

    Inner(EmptyModel()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="no end-of-document token"):
        load_tokenizer(DataConfig(tokenizer=str(tmp_path / "tokenizer.json")))
