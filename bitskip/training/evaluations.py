"""Trained models on texts of other domains and on zero-shot tasks, piece by piece and at every measured exit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from bitskip.data.evaluations import check_unchanged, domain_files, domain_stream, read_tasks
from bitskip.data.sequences import chosen, cut
from bitskip.data.tasks import Item, Task
from bitskip.data.tokenizer import Tokenizer, load_tokenizer, prompt_tokens
from bitskip.errors import UserError
from bitskip.model.bitlinear import frozen_weights
from bitskip.model.decoder import Decoder
from bitskip.ops.conventions import IGNORED_TARGET
from bitskip.ops.cross_entropy import scores
from bitskip.store.schema import EvaluationRow
from bitskip.training.evaluate import held_out_quality
from bitskip.trial.config import TrialConfig


def evaluations(model: Decoder, trial: TrialConfig) -> list[EvaluationRow]:
    """What the trial's domains and tasks show of its model. Raises UserError for files that cannot be taken."""
    training = trial.training
    if not (training.eval_domains or training.eval_tasks):
        return []
    check_unchanged(training)
    tokenizer = load_tokenizer(trial.data)
    return [*_domains(model, trial, tokenizer), *_tasks(model, trial, tokenizer)]


def _row(kind: str, name: str, item: int, exit_layer: int, loss: float, size: int, tokens: int) -> EvaluationRow:
    return EvaluationRow(kind, name, item, exit_layer, loss / math.log(2) / size, loss, size, tokens)


def _domains(model: Decoder, trial: TrialConfig, tokenizer: Tokenizer) -> Iterator[EvaluationRow]:
    """A row for each sequence and exit, of sequences spread evenly over each text."""
    for name, path in domain_files(trial.training.eval_domains).items():
        stream, sizes = domain_stream(path, trial.data, tokenizer)
        measured = cut(stream, trial, tokenizer.end_of_document, f"domain '{name}'")
        measured = chosen(measured, trial.training.eval_tokens, evenly=True)
        before = np.concatenate([[0], np.cumsum(sizes)])
        for each in held_out_quality(model, measured, trial).exits:
            for item, loss in enumerate(each.sequence_losses):
                first, last = int(measured.starts[item]) + 1, int(measured.stops[item])
                size, tokens = int(before[last] - before[first]), last - first
                yield _row("domain", name, item, each.exit_layer, loss * tokens, size, tokens)


def _tasks(model: Decoder, trial: TrialConfig, tokenizer: Tokenizer) -> Iterator[EvaluationRow]:
    for task in read_tasks(trial.training.eval_tasks):
        count = min(len(task.items), trial.training.eval_items)
        places = [int((index + 0.5) * len(task.items) / count) for index in range(count)]
        yield from _task(model, trial, tokenizer, task, places)


def _task(
    model: Decoder, trial: TrialConfig, tokenizer: Tokenizer, task: Task, places: Sequence[int]
) -> Iterator[EvaluationRow]:
    items = [task.items[place] for place in places]
    requests = [request(tokenizer, *choice, trial.training.seq_len) for item in items for choice in item.choices]
    if any(answer > trial.training.seq_len for _, answer in requests):
        raise UserError(f"eval_tasks: {task.name} has answers longer than seq_len {trial.training.seq_len}; raise it")
    losses = answer_losses(model, trial, requests)
    for exit_layer, own in losses.items():
        at = 0
        for place, item in zip(places, items, strict=True):
            stop = at + len(item.choices)
            yield _of_item(task.name, place, exit_layer, item, own[at:stop], requests[at + item.gold][1])
            at = stop


def _of_item(name: str, place: int, exit_layer: int, item: Item, losses: Sequence[float], tokens: int) -> EvaluationRow:
    sizes = [len(answer.encode()) for _, answer in item.choices]
    found = _row("task", name, place, exit_layer, losses[item.gold], sizes[item.gold], tokens)
    if len(losses) == 1:
        return EvaluationRow(**vars(found) | {"choices": 1})
    per_byte = [loss / size for loss, size in zip(losses, sizes, strict=True)]
    right = {"correct": losses, "correct_per_byte": per_byte}
    told = {key: min(range(len(own)), key=own.__getitem__) == item.gold for key, own in right.items()}
    return EvaluationRow(**vars(found) | {"choices": len(losses)} | told)


def request(tokenizer: Tokenizer, context: str, answer: str, longest: int) -> tuple[list[int], int]:
    """(token ids, how many of the last ones are the answer's), the beginning cut off beyond longest + 1.

    Blanks at the context's end count to the answer, as tokens begin with theirs (lm-eval, `_encode_pair`). Every
    context begins behind an end-of-document token.
    """
    kept = context.rstrip()
    start, whole = prompt_tokens(tokenizer, kept), prompt_tokens(tokenizer, context + answer)
    return whole[-(longest + 1) :], len(whole) - len(start)


@torch.no_grad()
def answer_losses(
    model: Decoder, trial: TrialConfig, requests: Sequence[tuple[list[int], int]]
) -> dict[int, list[float]]:
    """Negative log-likelihood in nats of each request's answer, by measured exit.

    Requests of similar length share a batch, filled up at the end, which no earlier position sees.
    """
    training, device = trial.training, model.head.weight.device
    measured = training.measured_exits(model.sizes.layers)
    found = {layer: [0.0] * len(requests) for layer in measured}
    order = sorted(range(len(requests)), key=lambda index: -len(requests[index][0]))
    room = training.seq_len * (training.micro_batch or training.batch_size)
    with frozen_weights(model):
        while order:
            length = len(requests[order[0]][0]) - 1
            rows, order = order[: max(1, room // length)], order[max(1, room // length) :]
            inputs = torch.zeros(len(rows), length, dtype=torch.int64)
            targets = torch.full((len(rows), length), IGNORED_TARGET)
            for at, index in enumerate(rows):
                ids, answer = torch.tensor(requests[index][0]), requests[index][1]
                inputs[at, : len(ids) - 1] = ids[:-1]
                targets[at, len(ids) - 1 - answer : len(ids) - 1] = ids[-answer:]
            inputs, targets = inputs.to(device), targets.to(device)
            answers = targets != IGNORED_TARGET
            for exit_layer, hidden in enumerate(model.hidden_states(inputs), start=1):
                if exit_layer not in measured:
                    continue
                state = model.norm_of(exit_layer)(hidden[answers])
                losses = scores(model.head_of(exit_layer).weight, state[None], targets[answers][None])[0][0]
                sums = torch.zeros(len(rows), dtype=torch.float64, device=device)
                sums.index_add_(0, answers.nonzero()[:, 0], losses)
                for index, loss in zip(rows, sums.tolist(), strict=True):
                    found[exit_layer][index] = loss
    return found
