"""Domains and tasks beside the own text: losses against passes of their own, rows that follow from the files."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from data.test_tasks import QUESTIONS, TASK, stored

from bitskip.data.evaluations import with_digests
from bitskip.data.tokenizer import ByteTokenizer
from bitskip.errors import UserError
from bitskip.model.decoder import build_model
from bitskip.store.tables import load_results, write_trial
from bitskip.training.evaluations import answer_losses, evaluations, request
from bitskip.trial.config import TrialConfig, make_trial, stored_trial

BYTES = ByteTokenizer()


def trial_of(folder: Path, **axes: object) -> TrialConfig:
    stored(folder)
    for name, words in (("prose", "the sea is calm and far "), ("code", "def f(x): return x + 1; ")):
        (folder / f"{name}.txt").write_text("\n\n".join(f"{number} {words * 5}" for number in range(30)))
    files = {
        "eval_domains": [str(folder / "*.txt")],
        "eval_tasks": [str(folder / "simple.yaml")],
        "eval_tokens": 512,
        "eval_exits": "quarters",
    }
    sizes = {"layers": 3, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}
    asked = {"model": sizes, "data.tokenizer": "bytes", "seq_len": 64, "batch_size": 4, **files, **axes}
    found = make_trial(**asked)
    return dataclasses.replace(found, training=with_digests(found.training))


def test_an_answers_loss_is_that_of_its_tokens_alone(tmp_path: Path) -> None:
    """Against a pass for each request by itself."""
    trial = trial_of(tmp_path, bits=4)
    model = build_model(trial).eval()
    asked = [(row["question"], f" {answer}") for row in QUESTIONS for answer in row["answers"]]
    requests = [request(BYTES, context, answer, 64) for context, answer in asked]
    found = answer_losses(model, trial, requests)
    assert set(found) == {1, 2, 3}
    for layer in (1, 3):
        for (context, answer), loss in zip(asked, found[layer], strict=True):
            tokens = torch.tensor([[256, *(context + answer).encode()]])
            logs = model(tokens[:, :-1], layer).double().log_softmax(-1)
            each = -logs.gather(-1, tokens[:, 1:, None])[0, len(context) :, 0]
            assert loss == pytest.approx(each.sum().item(), rel=1e-5)


def test_blanks_at_the_end_of_a_question_count_to_the_answer() -> None:
    ids, answer = request(BYTES, "is it ", "so", 64)
    assert (bytes(ids[1:]), answer) == (b"is it so", 3)
    cut, answer = request(BYTES, "x" * 90, " y", 10)
    assert (bytes(cut), answer) == (b"x" * 9 + b" y", 2)


def test_rows_hold_every_sequence_and_item_at_every_exit(tmp_path: Path) -> None:
    trial = trial_of(tmp_path)
    model = build_model(trial).eval()
    rows = evaluations(model, trial)
    tasks = [row for row in rows if row.kind == "task" and row.exit_layer == 3]
    assert [(row.name, row.item, row.choices) for row in tasks] == [
        ("simple", number, len(question["answers"])) for number, question in enumerate(QUESTIONS)
    ]
    assert [row.bytes for row in tasks] == [len(f" {q['answers'][q['right']]}") for q in QUESTIONS]
    assert all(row.bits_per_byte == row.loss / math.log(2) / row.bytes for row in rows)
    prose = [row for row in rows if (row.name, row.exit_layer) == ("prose", 3)]
    assert [row.item for row in prose] == list(range(8))
    text = [*b"0 " + b"the sea is calm and far " * 5]
    with torch.no_grad():
        logs = model(torch.tensor([text[:64]])).double().log_softmax(-1)
    alone = -logs[0, range(64), text[1:65]].sum().item()
    whole = [row for row in evaluations(model, trial_of(tmp_path, eval_tokens=10**6)) if row.name == "prose"]
    assert whole[0].bytes == 64
    assert [row for row in whole if row.exit_layer == 3][0].loss == pytest.approx(alone, rel=1e-4)


def test_files_are_part_of_what_a_trial_is(tmp_path: Path) -> None:
    trial = trial_of(tmp_path)
    assert make_trial(eval_items=7) == make_trial()  # no task, no items
    assert stored_trial(trial.axes()).trial_id == trial.trial_id
    assert trial.trial_id != trial_of(tmp_path, eval_items=2).trial_id
    (tmp_path / "items.jsonl").write_text(json.dumps(QUESTIONS[0]))
    with pytest.raises(UserError, match="eval_tasks: another content"):
        evaluations(build_model(trial), trial)


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"eval_tasks": ["none.yaml"]}, "eval_tasks: no such file: none.yaml"),
        ({"eval_domains": ["items.csv"]}, "eval_domains: no such file"),
    ],
)
def test_files_that_are_missing_are_named(axes: dict[str, list[str]], told: str) -> None:
    with pytest.raises(UserError, match=told):
        with_digests(make_trial(**axes).training)


def test_answers_beyond_a_sequence_are_refused(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, seq_len=4, eval_domains=[])
    with pytest.raises(UserError, match="simple has answers longer than seq_len 4"):
        evaluations(build_model(trial), trial)


def test_rows_are_a_table_of_their_own_and_others_have_no_file(tmp_path: Path) -> None:
    from simulated_results import exit_rows, trial_row

    trial = trial_of(tmp_path)
    found = [vars(row) for row in evaluations(build_model(trial).eval(), trial)]
    write_trial(tmp_path / "r", trial_row(trial, 3.0), exit_rows(trial, 3.0), evaluations=found)
    assert not list((tmp_path / "r").glob("evaluations/*.tmp"))
    table = load_results(tmp_path / "r").evaluations
    assert table.num_rows == len(found)
    assert np.isclose(sum(table["loss"].to_pylist()), sum(row["loss"] for row in found))
    write_trial(tmp_path / "s", trial_row(trial, 3.0), exit_rows(trial, 3.0))
    assert not (tmp_path / "s" / "evaluations").exists()
    assert load_results(tmp_path / "s").evaluations.num_rows == 0
    assert TASK
