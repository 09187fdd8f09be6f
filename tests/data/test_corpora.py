"""Corpora by name: found by their module alone, and what identifies them decides the names of cached files."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bitskip.data import corpora, load_data
from bitskip.data.cache import content_key
from bitskip.data.corpora import endless, open_corpus, pinned
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig

COUNTING = """
from bitskip.data.corpora import Corpus

class Counting(Corpus):
    name = "counting"

    def documents(self, side):
        return (f"{side} {at}" for at in range(50))

    def identity(self):
        return {"corpus": self.name}
"""


def test_a_corpus_is_added_by_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counting_numbers.py").write_text(COUNTING)
    monkeypatch.setattr(corpora, "__path__", [*corpora.__path__, str(tmp_path)])
    corpora._corpora.cache_clear()
    config = DataConfig(corpus="counting", tokenizer="bytes")
    data = load_data(config, 0, 0, tmp_path / "cache")
    assert bytes(data.test[:6].tolist()) == b"test 0"
    assert not endless(config)
    del sys.modules["bitskip.data.corpora.counting_numbers"]
    corpora._corpora.cache_clear()


# Computed before the corpora had a registry: another key would orphan every cached stream and tokenizer.
KEYS = [
    (DataConfig(), True, "675469dd6bcb2ab28aecefa8"),
    (DataConfig(corpus="files", files=("a.txt",), digest="d"), False, "5182f8458569914fd67b542b"),
    (DataConfig(corpus="wikitext", column="body"), False, "ded0d3598ee4c148ed94b1ef"),
    (DataConfig(corpus="some/set", subset="s", streaming=True), True, "ac9b78c72af74fddb6f57a56"),
]


@pytest.mark.parametrize(("config", "is_endless", "key"), KEYS, ids=lambda each: getattr(each, "corpus", None))
def test_what_identifies_a_corpus_stays(config: DataConfig, is_endless: bool, key: str) -> None:
    assert content_key(open_corpus(config).identity()) == key
    assert endless(config) == is_endless
    assert open_corpus(config if config.digest else replace(config, split="two")).pinned() == config


def test_files_are_pinned_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    config = pinned(DataConfig(corpus="files", files=(str(tmp_path / "a.txt"),)))
    assert len(config.digest) == 64
    assert pinned(config) == config
    (tmp_path / "a.txt").write_text("other")
    with pytest.raises(UserError, match="another content than the trial was made with"):
        pinned(config)


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
def test_files_replaced_after_planning_publish_nothing(tokenizer: str, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("\n\n".join(f"document {at} of many" for at in range(60)))
    config = pinned(DataConfig(corpus="files", files=(str(text),), tokenizer=tokenizer, vocab_size=257))
    text.write_text("\n\n".join(f"another {at} of many" for at in range(60)))
    with pytest.raises(UserError, match="put the files back"):
        load_data(config, 0, 0, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def test_a_text_shorter_than_its_cached_streams_is_refused(tmp_path: Path) -> None:
    """What is cached of it is used, and the rest is not looked for in it for ever."""
    text, cache = tmp_path / "a.txt", tmp_path / "cache"
    text.write_text("\n\n".join(f"document {at} of many" for at in range(60)))
    config = pinned(DataConfig(corpus="files", files=(str(text),), tokenizer="bytes", vocab_size=257))
    load_data(config, 0, 0, cache)
    for path in cache.glob("bytes-*.bin"):
        path.unlink()
    text.write_text("one document")
    with pytest.raises(UserError, match="put the files back"):
        load_data(config, 0, 0, cache)
    assert not list(cache.glob("bytes-*.bin"))


def test_no_digest_makes_two_trials_of_one_tokenizer() -> None:
    assert pinned(DataConfig(tokenizer_digest="0" * 64)) == pinned(DataConfig())
