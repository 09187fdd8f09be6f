"""Tokenizers and packed streams: nothing lost, nothing torn, built once."""

import math
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitskip.data import load_data, load_tokenizer
from bitskip.data.corpora import drawn, open_corpus, pinned
from bitskip.data.tokenizer import ByteTokenizer
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig


@pytest.fixture
def files(tmp_path: Path) -> DataConfig:
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(f"Ünïcode document {i}: {'word ' * (i % 7)}{i * i}" for i in range(500)))
    return pinned(DataConfig(corpus="files", files=(str(path),), validation_fraction=0.2, vocab_size=300))


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
def test_a_stream_gives_its_documents_back(tokenizer: str, files: DataConfig, tmp_path: Path) -> None:
    config = DataConfig(**{**vars(files), "tokenizer": tokenizer})
    data, decoder = load_data(config, 0, 0, tmp_path / "cache"), load_tokenizer(config, tmp_path / "cache")
    for stream, documents in (
        (data.train, open_corpus(config).documents("train")),
        (data.validation, open_corpus(config).documents("validation")),
        (data.test, open_corpus(config).documents("test")),
    ):
        ends = np.flatnonzero(np.asarray(stream) == data.end_of_document)
        parts = np.split(np.asarray(stream), ends + 1)
        assert [decoder.decode(part.tolist()) for part in parts[:-1]] == sorted(documents, key=drawn)
        assert len(parts[-1]) == 0


def test_statistics_by_brute_force(files: DataConfig, tmp_path: Path) -> None:
    data = load_data(files, 0, 0, tmp_path / "cache")
    documents = sorted(open_corpus(files).documents("test"), key=drawn)
    ends = np.flatnonzero(np.asarray(data.test) == data.end_of_document) + 1
    of_documents = [int(part.sum()) for part in np.split(np.asarray(data.test_bytes), ends)[:-1]]
    assert of_documents == [len(document.encode()) for document in documents]
    assert len(data.test_bytes) == len(data.test)
    counts = Counter(np.asarray(data.train).tolist())
    shares = [n / len(data.train) for n in counts.values()]
    assert data.unigram_entropy == pytest.approx(-sum(p * math.log(p) for p in shares))
    assert data.vocab_size == 300


def test_an_endless_corpus_gives_what_is_asked_and_shares_similar_budgets(tmp_path: Path) -> None:
    config = DataConfig(tokenizer="bytes")
    small, large = load_data(config, 1_000, 500, tmp_path), load_data(config, 200_000, 500, tmp_path)
    assert small.fingerprint == large.fingerprint
    assert len(small.train) >= 262_144
    assert len(load_data(config, 262_144, 500, tmp_path).train) >= 2 * 262_144
    assert not np.array_equal(small.train[:2000], small.test[:2000])
    assert not np.array_equal(small.validation[:2000], small.test[:2000])


def test_without_a_digest_the_content_still_names_the_stream(tmp_path: Path) -> None:
    streams = []
    for letter in "ab":
        (tmp_path / f"{letter}.txt").write_text("\n\n".join(f"{letter} {i}" for i in range(200)))
        config = DataConfig(corpus="files", files=(str(tmp_path / f"{letter}.txt"),), tokenizer="bytes")
        streams.append(load_data(config, 0, 0, tmp_path / "cache"))
    assert [chr(stream.train[0]) for stream in streams] == ["a", "b"]
    assert streams[0].fingerprint != streams[1].fingerprint


def test_entropy_is_the_same_counted_by_parts(
    files: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_data(files, 0, 0, tmp_path / "cache")
    monkeypatch.setattr("bitskip.data.stream.TOKENS_PER_COUNT", 100)
    assert load_data(files, 0, 0, tmp_path / "cache").unigram_entropy == whole.unigram_entropy


def test_a_cache_that_cannot_be_written_is_named(files: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match="cannot write to the cache folder .*set BITSKIP_CACHE"):
        load_data(files, 0, 0, tmp_path / "taken" / "cache")


def test_streams_of_another_cache_are_equal(files: DataConfig, tmp_path: Path) -> None:
    first, second = (load_data(files, 0, 0, tmp_path / name) for name in ("one", "two"))
    assert first.fingerprint == second.fingerprint
    assert np.array_equal(first.train, second.train)
    assert np.array_equal(first.validation, second.validation)
    assert np.array_equal(first.test, second.test)


@pytest.mark.parametrize("damage", [b"", b"bitskip1", bytes(1_000)])
def test_a_damaged_entry_is_built_again(damage: bytes, files: DataConfig, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    expected = np.array(load_data(files, 0, 0, cache).train)
    for path in cache.glob("tokens-*.bin"):
        path.write_bytes(damage)
    assert np.array_equal(load_data(files, 0, 0, cache).train, expected)


def test_a_truncated_entry_is_built_again(files: DataConfig, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    expected = np.array(load_data(files, 0, 0, cache).train)
    for path in cache.glob("tokens-*.bin"):
        path.write_bytes(path.read_bytes()[:-2])
    assert np.array_equal(load_data(files, 0, 0, cache).train, expected)


def _build(arguments: tuple[DataConfig, Path]) -> list[int]:
    config, cache = arguments
    return np.asarray(load_data(config, 0, 0, cache).train).tolist()


def test_two_processes_build_one_entry(files: DataConfig, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with ProcessPoolExecutor(2) as pool:
        first, second = pool.map(_build, [(files, cache)] * 2)
    assert first == second
    assert len(list(cache.glob("tokens-*.bin"))) == 3
    assert not list(cache.glob(".tokens*"))


def test_a_corpus_too_small_for_its_vocabulary_is_refused(files: DataConfig, tmp_path: Path) -> None:
    config = DataConfig(**{**vars(files), "vocab_size": 50_000})
    with pytest.raises(UserError, match=r"only yields \d+ tokens, not 50000: set data\.vocab_size="):
        load_data(config, 0, 0, tmp_path / "cache")


def test_a_tokenizer_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="cannot load 'none.json'"):
        load_tokenizer(DataConfig(tokenizer="none.json"))


@given(st.text())
@settings(max_examples=50)
def test_bytes_round_trip(text: str) -> None:
    tokenizer = ByteTokenizer()
    (ids,) = tokenizer.encode([text])
    assert tokenizer.decode([*ids.tolist(), tokenizer.end_of_document]) == text
