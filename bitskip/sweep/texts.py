"""Text and tokenizer of a sweep's trials: what identifies them is read when the sweep is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bitskip.sweep.located_yaml import Path_, Source
from bitskip.trial.config import TOKENIZER_VOCABULARIES, DataConfig, TrialConfig

Texts = dict[Any, Any]
"""Texts as they are asked for, with the digest and the way to cut them that they turn out to have; and recipes with the
digests of their evaluations by what these are."""


def with_digest(source: Source, trial: TrialConfig, where: Path_, known: Texts) -> TrialConfig:
    """The trial with what identifies its text and its tokenizer, and how the text is cut; each is read once.

    Raises UserError, at the line that names them, for files or a tokenizer that is missing, or a text that is not cut
    as its user means.
    """
    data = trial.data
    if data.corpus != DataConfig.corpus:
        text = replace(data, tokenizer="bytes", vocab_size=TOKENIZER_VOCABULARIES["bytes"])
        if text not in known:
            from bitskip.data.corpora import pinned

            with source.locate(_named_at(source, where, "files")):
                known[text] = pinned(text)
        data = replace(known[text], tokenizer=data.tokenizer, vocab_size=data.vocab_size)
    if data.tokenizer not in ("bpe", "bytes"):
        tokenizer = DataConfig(tokenizer=data.tokenizer)
        if tokenizer not in known:
            from bitskip.data.pretrained import tokenizer_digest

            with source.locate(_named_at(source, where, "tokenizer")):
                known[tokenizer] = replace(tokenizer, tokenizer_digest=tokenizer_digest(data.tokenizer))
        data = replace(data, tokenizer_digest=known[tokenizer].tokenizer_digest)
    model = trial.model
    if model.pretrained:
        from bitskip.trial.pretrained import pretrained_digest

        with source.locate(_named_at(source, where, "from", "model")):
            model = replace(model, pretrained_digest=pretrained_digest(model.pretrained))
    training = trial.training
    if training.eval_domains or training.eval_tasks:
        from bitskip.data.evaluations import with_digests

        asked = training.eval_domains, training.eval_tasks
        if asked not in known:
            key = "eval_domains" if training.eval_domains else "eval_tasks"
            with source.locate(next((at for at in ((*where, key), ("base", key)) if at in source.origins), where)):
                known[asked] = with_digests(training)
        found = known[asked]
        digests = {name: getattr(found, name) for name in ("eval_domains_digest", "eval_tasks_digest")}
        training = replace(training, **digests)
    if (data, model, training) == (trial.data, trial.model, trial.training):  # one that stays keeps its id
        return trial
    return replace(trial, data=data, model=model, training=training)


def _named_at(source: Source, where: Path_, key: str, group: str = "data") -> Path_:
    """Where the file gives a setting of a group."""
    inner = [(*place, *path) for place in (where, ("base",)) for path in ((group, key), (f"{group}.{key}",))]
    return next((path for path in inner if path in source.origins), where)
