"""What is known of a text before training: found once, of the very tokens that are measured, and in every row."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from bitskip.data import TokenData, load_data
from bitskip.data.ngrams import kneser_ney_losses
from bitskip.data.sequences import chosen, packed
from bitskip.errors import UserError
from bitskip.training import text_facts as facts
from bitskip.training.held_out import check_text
from bitskip.training.text_facts import text_facts
from bitskip.training.trainer import run_trial
from bitskip.trial.config import TrialConfig, make_trial

TINY = {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1, "ffn_width": 16}
WORDS = [a + b + c for a in "bcdfglmnprst" for b in "aeiou" for c in "bdgklmnprst"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BITSKIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def documents(count: int, seed: int) -> list[str]:
    draws = np.random.default_rng(seed)
    return [" ".join(draws.choice(WORDS, 150)) for _ in range(count)]


def of_files(folder: Path, texts: list[str], **axes: object) -> TrialConfig:
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    data = {"files": [str(folder / "text.jsonl")], "tokenizer": "bytes"}
    sizes = {"tokens": 64 * 4 * 10, "seq_len": 64, "batch_size": 4, "eval_tokens": 2048, "curve_tokens": 512}
    return make_trial(**{"model": TINY, "data": data, **sizes, **axes})


def known(trial: TrialConfig, text: TokenData, **options: object) -> facts.TextFacts:
    train, held_out = packed(text.train, 64), chosen(packed(text.test, 64), 2048, evenly=True)
    return text_facts(trial, text, train, held_out, float(np.mean(text.test_bytes)), **options)


def test_facts_are_found_once_for_a_text_a_budget_and_what_is_measured(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = of_files(tmp_path, documents(80, 0))
    text, told = load_data(trial.data, 0, 0), list[str]()
    first = known(trial, text, report=told.append)
    assert len(told) == 2
    for found in ("kneser_ney_losses", "find_leak", "find_plain_leak"):
        monkeypatch.setattr(facts, found, None)  # a call would fail
    assert known(trial, text) == first
    assert known(dataclasses.replace(trial, seed=3), text) == first
    monkeypatch.undo()
    monkeypatch.setenv("BITSKIP_CACHE", str(cache))
    longer = known(of_files(tmp_path, documents(80, 0), tokens=64 * 4 * 20), text)
    assert longer.ngram_tokens == 2 * first.ngram_tokens
    assert longer.bigram_loss < first.bigram_loss
    assert longer.leak == first.leak


def test_what_the_cache_holds_in_pieces_is_found_again(cache: Path, tmp_path: Path) -> None:
    trial = of_files(tmp_path, documents(80, 0))
    text = load_data(trial.data, 0, 0)
    first = known(trial, text)
    for path in cache.glob("*.json"):
        path.write_text(path.read_text()[:9])
    assert known(trial, text) == first


def test_the_row_of_a_trial_has_the_lines_of_the_tokens_that_it_is_measured_on(cache: Path, tmp_path: Path) -> None:
    trial = of_files(tmp_path, documents(80, 0), tokens=10**6)
    trial = dataclasses.replace(trial, training=dataclasses.replace(trial.training, tokens=64 * 4 * 10))
    text = load_data(trial.data, 0, 0)
    result = run_trial(trial)
    assert result.ngram_tokens == trial.training.tokens
    assert (result.leaked_share, result.skipped_guards) == (0.0, None)
    test = packed(text.test, 64)
    rows = [test.row(int((index + 0.5) * test.count / 32)) for index in range(32)]
    train = packed(text.train, 64)
    places = [int((index + 0.5) * train.count / 40) for index in range(40)]
    expected = kneser_ney_losses([train.row(place) for place in places], rows, 257)
    assert (result.bigram_loss, result.fivegram_loss) == pytest.approx(expected, rel=1e-12)
    assert result.bigram_loss < result.unigram_entropy


def test_several_epochs_count_the_text_once(cache: Path, tmp_path: Path) -> None:
    trial = of_files(tmp_path, documents(60, 0), tokens=10**7)
    text = load_data(trial.data, 0, 0)
    assert known(trial, text).ngram_tokens == packed(text.train, 64).count * 64


def test_a_second_crawl_of_the_held_out_pages_is_refused_before_anything_is_trained(
    cache: Path, tmp_path: Path
) -> None:
    crawl = documents(80, 0)
    later = [f"Crawled again {at}\n{text}" for at, text in enumerate(crawl)]
    trial = of_files(tmp_path, [*crawl, *documents(200, 1), *later])
    with pytest.raises(UserError, match=r"stand in the training text too, or nearly so, such as '"):
        check_text(trial, load_data(trial.data, 0, 0))
    with pytest.raises(UserError, match=r"data\.leak_bound="):
        run_trial(trial)
    accepted = of_files(tmp_path, [*crawl, *documents(200, 1), *later], **{"data.leak_bound": 1.0})
    check_text(accepted, load_data(accepted.data, 0, 0))
    assert run_trial(accepted).leaked_share > 0.3


def test_a_crawl_that_was_wrapped_anew_is_refused_too(cache: Path, tmp_path: Path) -> None:
    crawl = documents(80, 0)
    trial = of_files(tmp_path, [*crawl, *documents(200, 1), *(text.upper().replace(" ", "\n") for text in crawl)])
    with pytest.raises(UserError, match="stand in the training text too"):
        check_text(trial, load_data(trial.data, 0, 0))


def test_text_of_the_callers_own_is_counted_and_not_searched() -> None:
    stream = (np.arange(4000) % 257).astype(np.uint16)
    text = TokenData(stream, None, stream, np.ones(4000, np.int64), 257, 256, math.log(257), "test")
    found = known(make_trial(model=TINY, tokens=2560, seq_len=64, batch_size=4), text, own_text=True)
    assert found.leak is None
    assert found.bigram_loss < 1.0
