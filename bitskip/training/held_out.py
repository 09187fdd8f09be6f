"""What a trial is measured on, and whether its text suits it: told, or refused, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bitskip.data import TokenData
from bitskip.data.corpora import endless
from bitskip.data.sequences import Extent, Sequences, chosen, cut, extent
from bitskip.errors import UserError
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.training.guards import check_leak
from bitskip.training.text_facts import text_facts
from bitskip.trial.config import TrialConfig

VALIDATION_PART = 4
"""Of what the test is measured on, validation takes this part: it compares rates and costs time beside the test."""

LARGEST_CUT = 0.5
"""Share of the measured documents that `documents: padded` may cut off: beyond it, beginnings are what is measured."""


def held_out_sequences(trial: TrialConfig, text: TokenData) -> tuple[Sequences, Sequences | None, Sequences]:
    """What a trial's results, its validation and its curve are measured on. Raises UserError if one cannot be filled.

    Of a text with three parts the sequences are spread over the whole of a part; the parts of 0.1 were read from their
    beginning, and an endless one is as good there as anywhere.
    """
    evenly, training = text.validation is not None and not endless(trial.data), trial.training
    judged = text.train if trial.of(PublishedDefects).eval_on_train else text.test
    test = cut(judged, trial, text.end_of_document, "test")
    measured_on = chosen(test, training.eval_tokens, evenly)
    if text.validation is None:
        return measured_on, None, chosen(test, training.curve_tokens, evenly)
    validation = cut(text.validation, trial, text.end_of_document, "validation")
    return (
        measured_on,
        chosen(validation, max(training.eval_tokens // VALIDATION_PART, training.curve_tokens), evenly),
        chosen(validation, training.curve_tokens, evenly),
    )


def check_text(trial: TrialConfig, text: TokenData, report: Callable[[str], None] | None = None) -> list[str]:
    """What its user should know of a trial's text before it is trained; empty if it is as asked for.

    `report` is told of what takes long. Raises UserError for a text that cannot fill a sequence, a budget below one
    batch, sequences that hold less than half of their documents, and measured text that is trained on.
    """
    training = trial.training
    train_on = cut(text.train, trial, text.end_of_document, "training")
    measured_on, _, _ = held_out_sequences(trial, text)
    measured, batch = measured_extent(trial, text, measured_on), training.batch_size * training.seq_len
    if trial.steps and training.tokens < batch:
        raise UserError(
            f"tokens: {training.tokens:,} are less than one batch of {training.batch_size} x {training.seq_len}: raise "
            f"tokens to {batch:,}, or lower batch_size or seq_len"
        )
    if measured.cut_share > LARGEST_CUT:
        raise UserError(
            f"documents: padded cuts off {measured.cut_share:.0%} of the test's documents at seq_len "
            f"{training.seq_len}: little but their beginnings is measured; raise seq_len, or set documents: packed"
        )
    facts = text_facts(trial, text, train_on, measured_on, measured.bytes_per_token, report=report)
    check_leak(trial, facts.leak)
    notes = []
    if measured.tokens < training.eval_tokens - training.seq_len and training.documents == "packed":
        notes.append(
            f"the test has {measured.tokens:,} tokens to measure, fewer than eval_tokens {training.eval_tokens:,}: all "
            "are measured"
        )
    if (epochs := trial.steps * training.batch_size / train_on.count) > 1:
        notes.append(f"the training text is gone through {epochs:.1f} times")
    return notes


def measured_extent(trial: TrialConfig, text: TokenData, measured_on: Sequences) -> Extent:
    """What the results of a trial are measured on."""
    if not trial.of(PublishedDefects).eval_on_train:
        return extent(measured_on, text.end_of_document, text.test_bytes)
    # Of the training text no bytes are kept: they are as many for a token as in the test.
    found = extent(measured_on, text.end_of_document)
    return replace(found, text_bytes=round(found.tokens * float(text.test_bytes.mean())))
