"""What a trial is measured on: three parts, spread evenly, counted; and texts that do not suit a trial."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from bitskip.data import load_data, load_tokenizer
from bitskip.data.corpora import pinned
from bitskip.data.sequences import packed
from bitskip.errors import UserError
from bitskip.training.held_out import check_text, held_out_sequences
from bitskip.training.trainer import run_trial
from bitskip.trial.config import TrialConfig, make_trial

TINY = {"layers": 2, "width": 16, "heads": 2, "kv_heads": 1, "ffn_width": 16}
WORDS = [a + b + c for a in "bcdfglmnprst" for b in "aeiou" for c in "bdgklmnprst"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITSKIP_CACHE", str(tmp_path / "cache"))


def trial_of(folder: Path, length: int = 60, count: int = 300, **axes: object) -> TrialConfig:
    draws = np.random.default_rng(0)
    rows = [json.dumps({"text": " ".join(draws.choice(WORDS, length))}) for _ in range(count)]
    (folder / "text.jsonl").write_text("\n".join(rows))
    data = {"files": [str(folder / "text.jsonl")], "vocab_size": 300}
    sizes = {"tokens": 64 * 4 * 10, "seq_len": 64, "batch_size": 4, "eval_tokens": 1024, "curve_tokens": 256}
    trial = make_trial(**{"model": TINY, "data": data, "diagnostic_points": 0, **sizes, **axes})
    return dataclasses.replace(trial, data=pinned(trial.data))


def test_a_row_says_what_was_measured_and_bits_per_byte_are_of_these_tokens(tmp_path: Path) -> None:
    trial = trial_of(tmp_path)
    text, tokenizer, result = load_data(trial.data, 0, 0), load_tokenizer(trial.data), run_trial(trial)
    every = packed(text.test, 64)
    rows = [every.row(int((index + 0.5) * every.count / 16)) for index in range(16)]
    text_bytes = sum(len(tokenizer.decode(row[1:].tolist()).encode()) for row in rows)
    assert (result.tokens_measured, result.bytes_measured) == (1024, text_bytes)
    assert result.bpb == pytest.approx(result.loss / math.log(2) * 1024 / text_bytes, rel=1e-12)
    assert result.epochs == pytest.approx(40 / packed(text.train, 64).count)
    assert result.train_documents == np.count_nonzero(text.train == text.end_of_document)
    assert 1 < result.documents_measured <= np.count_nonzero(text.test == text.end_of_document)
    full = result.exits[-1]
    assert len(full.sequence_losses) == 16
    assert np.mean(full.sequence_losses) == pytest.approx(full.loss, rel=1e-12)


def test_validation_guides_and_the_test_judges(tmp_path: Path) -> None:
    trial = trial_of(tmp_path)
    text = load_data(trial.data, 0, 0)
    measured_on, validated_on, curve_on = held_out_sequences(trial, text)
    assert measured_on.stream is text.test
    assert validated_on.stream is curve_on.stream is text.validation
    result = run_trial(trial)
    assert result.validation_loss != result.loss
    two = trial_of(tmp_path, **{"data.split": "two"})
    assert load_data(two.data, 0, 0).validation is None
    assert run_trial(two).validation_loss is None


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"seq_len": 10_000, "batch_size": 1}, r"the test text has .* fewer than one sequence of 10000"),
        ({"tokens": 255}, r"tokens: 255 are less than one batch of 4 x 64: raise tokens to 256"),
        ({"documents": "padded", "seq_len": 16}, r"padded cuts off \d+% .*raise seq_len"),
    ],
)
def test_a_text_that_does_not_suit_a_trial_is_refused(axes: dict[str, object], message: str, tmp_path: Path) -> None:
    trial = trial_of(tmp_path, **axes)
    with pytest.raises(UserError, match=message):
        check_text(trial, load_data(trial.data, 0, 0))


def test_what_is_not_as_asked_for_is_said(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, tokens=10**6, eval_tokens=10**6)
    notes = check_text(trial, load_data(trial.data, 0, 0))
    assert any("fewer than eval_tokens 1,000,000" in note for note in notes)
    assert any("gone through" in note for note in notes)
    assert check_text(trial_of(tmp_path), load_data(trial.data, 0, 0)) == []
