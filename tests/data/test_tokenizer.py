"""Tokenizers: any text comes back, and only the end of a document has the end-of-document token."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Inner
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from bitskip.data import load_data, load_tokenizer
from bitskip.data.cache import content_key
from bitskip.data.corpora import open_corpus, pinned
from bitskip.data.pretrained import tokenizer_digest
from bitskip.data.round_trip import DOCUMENTS_PER_CHECK, SURE_CHARACTERS, RoundTrip
from bitskip.data.tokenizer import (
    END_OF_DOCUMENT,
    TRAINING_CHARACTERS,
    ByteTokenizer,
    LibraryTokenizer,
    Tokenizer,
    _train_bpe,
)
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig, TrialConfig

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
    Inner(models.BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="no end-of-document token"):
        load_tokenizer(DataConfig(tokenizer=str(tmp_path / "tokenizer.json")))


def _stored(path: Path, change: Callable[[Any], object] = lambda inner: None) -> DataConfig:
    """BPE's file after a change to it."""
    inner = Inner.from_str(BPE.inner.to_str())
    change(inner)
    inner.save(str(path / "tokenizer.json"))
    return _of(path, inner.get_vocab_size())


def _of(path: Path, vocab_size: int) -> DataConfig:
    (path / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    files = (str(path / "text.jsonl"),)
    config = DataConfig(corpus="files", files=files, tokenizer=str(path / "tokenizer.json"), vocab_size=vocab_size)
    return open_corpus(config).pinned()


@pytest.mark.parametrize(
    "change",
    [
        lambda inner: inner.enable_truncation(4),
        lambda inner: inner.enable_padding(length=512, pad_id=0, pad_token=END_OF_DOCUMENT),
        lambda inner: setattr(inner.model, "dropout", 0.5),
    ],
    ids=["truncation", "padding", "dropout"],
)
def test_what_a_file_stores_for_other_uses_is_switched_off(change: Callable[[Any], object], tmp_path: Path) -> None:
    loaded = load_tokenizer(_stored(tmp_path, change))
    assert loaded.fingerprint == BPE.fingerprint
    assert [ids.tolist() for ids in loaded.encode(TEXTS)] == [ids.tolist() for ids in BPE.encode(TEXTS)]


def _moved(path: Path, token: str, to: int) -> DataConfig:
    """BPE's file with one token's id changed."""
    content = json.loads(BPE.inner.to_str())
    content["model"]["vocab"][token] = to
    for added in content["added_tokens"]:
        added["id"] = content["model"]["vocab"][added["content"]]
    (path / "tokenizer.json").write_text(json.dumps(content))
    return _of(path, 320)


@pytest.mark.parametrize("at", [700, 70_000])
@pytest.mark.parametrize("token", [END_OF_DOCUMENT, "q"])
def test_gaps_in_the_ids_are_closed(token: str, at: int, tmp_path: Path) -> None:
    config = _moved(tmp_path, token, at)
    loaded = load_tokenizer(config)
    assert loaded.vocab_size == 320
    for text, ids in zip(TEXTS, loaded.encode(TEXTS), strict=True):
        assert ids.max() < 320
        assert loaded.decode([*ids.tolist(), loaded.end_of_document]) == text
    assert load_data(config, 0, 0, tmp_path / "cache").vocab_size == 320


def test_two_tokens_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its tokens .* and .* have one id, 300; mend the file"):
        load_tokenizer(_moved(tmp_path, "q", 300))


def test_an_id_that_would_take_the_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a token with the id 2147483648"):
        load_tokenizer(_moved(tmp_path, "q", 2**31))


def test_a_vocabulary_of_another_size_is_refused_before_the_text_is_read(tmp_path: Path) -> None:
    config = replace(_stored(tmp_path), vocab_size=300, files=("none.txt",))
    with pytest.raises(UserError, match=r"has 320 tokens: set data\.vocab_size=320"):
        load_data(config, 0, 0, tmp_path / "cache")


def _lower_case(inner: Any) -> None:
    inner.normalizer = normalizers.Lowercase()


def _joining(inner: Any) -> None:
    inner.normalizer = normalizers.Replace(" ", "")


def _rewriting(inner: Any) -> None:
    inner.normalizer = normalizers.Replace("x", "y")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_lower_case, r"loses 2 % \(capitals\), such as 'T'; take the lower-casing out"),
        (_joining, r"loses 1\d % \(blanks and line ends\), such as ' '; give it a pre-tokenizer"),
        (_rewriting, r"loses 2 % \(unknown or rewritten\), such as 'x'; use one whose vocabulary"),
    ],
)
def test_a_tokenizer_that_loses_text_is_refused(change: Callable[[Any], object], message: str, tmp_path: Path) -> None:
    config = _stored(tmp_path, change)
    texts = [f"The fox number {i:04} is lost in the wood here..."[:50].ljust(50, ".") for i in range(3_200)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    with pytest.raises(UserError, match=message):
        load_data(config, 0, 0, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("tokens-*.bin"))


def test_unknown_words_are_lost(tmp_path: Path) -> None:
    vocabulary = {word: at for at, word in enumerate(["[UNK]", END_OF_DOCUMENT, "the", "fox"])}
    inner = Inner(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match=r"\d\d % \(unknown or rewritten\)"):
        load_data(_of(tmp_path, 4), 0, 0, tmp_path / "cache")
    del vocabulary["[UNK]"]
    inner = Inner(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="cannot encode the text: .*UNK.*; mend the file"):
        load_data(_of(tmp_path, 3), 0, 0, tmp_path / "cache")


@given(st.lists(st.text("aB \n", min_size=1), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_the_share_lost_is_that_of_the_characters_checked(documents: list[str]) -> None:
    class Lowered(ByteTokenizer):
        def decode(self, ids: Sequence[int]) -> str:
            return super().decode(ids).lower()

    check = RoundTrip(Lowered(), "lowered")
    check.add(documents, ByteTokenizer().encode(documents))
    looked_at = "".join(documents)
    assert (check.checked, check.lost.total()) == (len(looked_at), looked_at.count("B"))


def test_of_a_long_text_some_documents_are_looked_at() -> None:
    check = RoundTrip(ByteTokenizer(), "it")
    documents = ["a" * (SURE_CHARACTERS // 10)] * 10 + ["b"] * (10 * DOCUMENTS_PER_CHECK)
    for at in range(0, len(documents), 7):  # however it is given them
        check.add(documents[at : at + 7], ByteTokenizer().encode(documents[at : at + 7]))
    assert check.checked == SURE_CHARACTERS + 10


def test_a_small_loss_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    check = RoundTrip(ByteTokenizer(), "it", said.append)
    check.add(["a" * 9_999 + "b"], [np.frombuffer(b"a" * 9_999 + b"c", np.uint8)])
    check.conclude()
    assert said == ["the tokenizer 'it' loses, of all characters, 0.01 % (unknown or rewritten), such as 'b'"]


def test_text_that_becomes_the_end_of_a_document_is_refused(tmp_path: Path) -> None:
    inner = Inner(models.WordLevel({END_OF_DOCUMENT: 0, "fox": 1, "[UNK]": 2}, unk_token="[UNK]"))
    inner.save(str(tmp_path / "tokenizer.json"))
    config = _of(tmp_path, 3)
    (tmp_path / "text.jsonl").write_text(f'{{"text": "fox"}}\n{{"text": "{END_OF_DOCUMENT}"}}\n')
    config = replace(config, document="row")  # a marker in a row is meant as text
    with pytest.raises(UserError, match="end-of-document token of text"):
        load_data(config, 0, 0, tmp_path / "cache")


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    config = pinned(_stored(tmp_path))
    content = (tmp_path / "tokenizer.json").read_bytes()
    assert config.tokenizer_digest == hashlib.sha256(content).hexdigest()
    (tmp_path / "other.json").write_bytes(content)
    elsewhere = pinned(replace(config, tokenizer=str(tmp_path / "other.json"), tokenizer_digest=""))
    ids = {TrialConfig(data=each).trial_id for each in (config, elsewhere)}
    assert len(ids) == 1
    _stored(tmp_path, lambda inner: inner.add_tokens(["fox"]))
    assert pinned(replace(config, tokenizer_digest="")).tokenizer_digest != config.tokenizer_digest
    with pytest.raises(UserError, match="another content than the trial was made with"):
        load_tokenizer(config)


def test_names_that_say_what_they_are_need_no_digest() -> None:
    assert [tokenizer_digest(name) for name in ("bpe", "bytes", "gpt2", f"some/name@{'a' * 40}")] == [""] * 4


def test_a_name_of_the_hub_is_known_by_the_content_of_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, str]] = []

    def download(repository: str, file: str, revision: str) -> str:
        asked.append((repository, file, revision))
        return str(tmp_path / "tokenizer.json")

    monkeypatch.setattr("bitskip.hub._trouble", lambda _: "")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    config = _stored(tmp_path)
    assert tokenizer_digest("some/name") == tokenizer_digest(config.tokenizer)
    for name in ("some/name@v2", "gpt2"):
        assert load_tokenizer(replace(config, tokenizer=name)).fingerprint == BPE.fingerprint
    assert asked == [
        ("some/name", "tokenizer.json", "main"),
        ("some/name", "tokenizer.json", "v2"),
        ("gpt2", "tokenizer.json", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
    ]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 5_000, b"[" + b"9" * 5_000 + b"]", b"null"])
def test_any_file_is_a_tokenizer_or_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UserError, match="cannot load"):
        load_tokenizer(_of(tmp_path, 300))


def test_a_bpe_is_learned_from_all_of_a_long_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second half of the text is in another alphabet."""
    monkeypatch.setattr("bitskip.data.tokenizer.TRAINING_CHARACTERS", 50_000)
    texts = [f"the quick fox {i} jumps" for i in range(10_000)] + [f"быстрая лиса {i} прыгает" for i in range(10_000)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    config = DataConfig(corpus="files", files=(str(tmp_path / "text.jsonl"),), vocab_size=600)
    said: list[str] = []
    tokenizer = load_tokenizer(config, tmp_path / "cache", report=said.append)
    latin, cyrillic = tokenizer.encode([" quick fox", " быстрая лиса"])
    assert (len(latin), len(cyrillic)) == (2, 5)  # 24 of them, a byte each, where only Latin was learned from
    assert "characters, spread over all" in said[0]
    assert load_tokenizer(config, tmp_path / "other").fingerprint == tokenizer.fingerprint


def test_a_bpe_of_a_short_text_is_that_of_version_0_1(tmp_path: Path) -> None:
    """Learned from the documents one after another; what its cache held is taken over."""
    config, _, tokenizer = _cached(tmp_path)
    assert tokenizer.fingerprint == LibraryTokenizer(_version_0_1(open_corpus(config).documents("train"))).fingerprint
    parts = {"bpe": 320, "characters": TRAINING_CHARACTERS, **open_corpus(config).identity()}
    (tmp_path / "old").mkdir()
    BPE.inner.save(str(tmp_path / "old" / f"bpe-{content_key(parts)}.json"))
    assert load_tokenizer(config, tmp_path / "old").fingerprint == BPE.fingerprint != tokenizer.fingerprint


def _version_0_1(documents: Iterable[str]) -> Inner:
    inner = Inner(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=[END_OF_DOCUMENT], initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(documents, trainer)
    return inner


def test_a_word_of_a_million_letters_is_learned_from_in_time_linear_in_it() -> None:
    """Whole, 200,000 letters take 20 s, and ten times as many a hundred times as long."""
    started = time.process_time()
    learned = LibraryTokenizer(_train_bpe(iter([*TEXTS, "ab" * 500_000]), 300))
    assert time.process_time() - started < 20
    assert learned.decode(learned.encode(["ab" * 5_000])[0].tolist()) == "ab" * 5_000


def test_a_folder_stands_for_the_tokenizer_in_it(tmp_path: Path) -> None:
    config = pinned(_stored(tmp_path))
    assert (
        pinned(replace(config, tokenizer=str(tmp_path), tokenizer_digest="")).tokenizer_digest
        == config.tokenizer_digest
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="No such file"):
        pinned(replace(config, tokenizer=str(tmp_path / "empty"), tokenizer_digest=""))


def test_a_panic_of_the_library_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Merges of one letter are shorter than the prefix that is cut off them."""
    config = _stored(tmp_path)
    stored = json.loads((tmp_path / "tokenizer.json").read_text())
    stored["model"]["continuing_subword_prefix"] = "##"
    (tmp_path / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match="cannot load .*slice index"):
        load_tokenizer(config)
    assert capfd.readouterr().err == ""
