"""Terms of art in one line each, and verdicts in plain words: what a page shows on a term, `--only glossary` lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bitskip.analysis.effects import JOINT_VERDICTS, NOT_ESTIMABLE, SINGLE_VERDICTS, UNRESOLVED
from bitskip.analysis.regime import RATE_NOT_SEARCHED, RATE_OPEN, UNDERTRAINED, UNTRAINED
from bitskip.analysis.verdicts import BELOW_COUNTING
from bitskip.report.table import Block, Column, tabulate
from bitskip.scaling.verdict import FADES, FLIPS, GROWS
from bitskip.trial.cost import FEWEST_TOKENS_PER_PARAMETER

GLOSSARY = {
    "95 % interval": "if all were run again with other seeds, 95 of 100 such intervals would hold the true value",
    "additive": "on the logarithm of perplexity the two do together what each does alone, within a margin of 2 %",
    "anchored": "an effect with all other techniques at the baseline",
    "averaged": "an effect as the mean over all settings of the other techniques that were run",
    "baseline": "the configuration that others are compared with: every technique off, or the one named so",
    BELOW_COUNTING: "rests on a model that is no better than counting pairs of tokens, so it is no finding",
    "bits per byte": "what the model needs to tell a byte of held-out text, whatever its tokenizer; lower is better",
    "composition effect": "what two techniques do together beyond the product of what each does alone",
    "detectable": "the smallest effect that these seeds would have found four times in five",
    "diverged": "the loss became infinite or no number",
    FADES: "becomes smaller along the ladder",
    "exit loss": "training that asks every block's output for the next token too, so that decoding may stop early",
    FLIPS: "changes its sign along the ladder",
    GROWS: "becomes larger along the ladder",
    "held-out": "text that was not trained on",
    "kurtosis": "how heavy the tails of a distribution are: 3 for a Gaussian, more where there are outliers",
    "main effect": "what one technique does alone",
    "modelled": "an effect by least squares of single effects and pairs, where its own cells were not run",
    "nested": "an effect measured from another level of a technique, where the baseline's was never run with it",
    "noise-limited": "the predictor errs as much as seeds differ: more seeds would tell more than a better model",
    NOT_ESTIMABLE: "cells that the comparison needs were not run",
    "perplexity": "how many tokens the model is undecided between, on held-out text; lower is better",
    "phase 1+2": "plain training, then training with layer dropout and exit loss",
    "power": "how often an effect of a given size would be found, were all run again",
    "rank correlation": "how well an order is predicted: 1 is the same order, 0 none",
    RATE_NOT_SEARCHED: "the learning rate was searched at other sizes or budgets, or by no search that is here",
    RATE_OPEN: "the best learning rate is the first or last that was tried, so a better one may lie beyond",
    "R²": "share of the differences between configurations that is predicted: 1 is all, 0 none",
    "rung": "one model size and training budget of a ladder",
    "scale": "model, text, tokens and recipe; trials are compared within one only",
    "seed noise": "how much a trial's result moves when nothing but its random seed changes",
    "seeds × settings": "repeats of each comparison, and settings of the other techniques that it is averaged over",
    "skill": "share of the additive prediction's squared error that interactions take away",
    "SNR": "signal-to-noise ratio of a quantizer: how far its error is below the signal, in decibel",
    "stalled": "trained to the end and no better on held-out text than counting single tokens",
    "sub-additive": "together lower than the two alone promise",
    "super-additive": "together higher than the two alone promise",
    "tokens a parameter": "training tokens over parameters without embedding; about 20 are best for a given compute",
    UNTRAINED: "techniques were applied to a model as it is; no seed differs, and intervals are those of another text",
    UNDERTRAINED: f"fewer than {FEWEST_TOKENS_PER_PARAMETER} tokens a parameter: with more, the order can turn",
    "unigram entropy": "the loss of a model that knows how frequent each token is, and nothing else",
    UNRESOLVED: "these seeds cannot tell the effect from none",
}
"""Term to what it means."""


@dataclass(frozen=True)
class Plain:
    """A verdict as a mark in a matrix, in words, and in a line."""

    mark: str
    words: str
    means: str


_ABOVE, _BELOW, _NONE, _OPEN = "▲", "▼", "=", "?"
_SURE = "beyond chance after correction for all comparisons"
PLAIN = {
    SINGLE_VERDICTS[0]: Plain(_ABOVE, "raises", f"higher with the technique than without, {_SURE}"),
    SINGLE_VERDICTS[1]: Plain(_BELOW, "lowers", f"lower with the technique than without, {_SURE}"),
    SINGLE_VERDICTS[2]: Plain(_NONE, "no effect", "smaller than matters (2 % of perplexity), whatever its sign"),
    JOINT_VERDICTS[0]: Plain(_ABOVE, "higher together", f"{GLOSSARY[JOINT_VERDICTS[0]]}, {_SURE}"),
    JOINT_VERDICTS[1]: Plain(_BELOW, "lower together", f"{GLOSSARY[JOINT_VERDICTS[1]]}, {_SURE}"),
    JOINT_VERDICTS[2]: Plain(_NONE, "as alone", GLOSSARY[JOINT_VERDICTS[2]]),
    UNRESOLVED: Plain(_OPEN, "open", GLOSSARY[UNRESOLVED]),
    BELOW_COUNTING: Plain("x", "no finding", GLOSSARY[BELOW_COUNTING]),
}
"""By verdict."""

MODELLED = "~"
"""Behind an estimate that is modelled."""

LEGEND = (
    f"{_ABOVE} higher, {_BELOW} lower, {_NONE} no difference, {_OPEN} open: too few seeds, or too little text, to tell"
)


def glossary(_: object = None) -> Iterator[Block]:
    """Every term, and every verdict in plain words, with its meaning."""
    every = sorted(({plain.words: plain.means for plain in PLAIN.values()} | GLOSSARY).items(), key=_alphabetical)
    heads: list[Column[tuple[str, str]]] = [Column("term", lambda each: each[0]), Column("means", lambda each: each[1])]
    yield from tabulate("", every, heads)


def _alphabetical(entry: tuple[str, str]) -> str:
    return entry[0].lower()


_TERMS = re.compile(rf"\b({'|'.join(map(re.escape, sorted(GLOSSARY, key=len, reverse=True)))})s?\b", re.IGNORECASE)
"""Finds a term in a text, one or several; of two that begin alike, the longer one."""


_MEANINGS = {term.lower(): means for term, means in GLOSSARY.items()}


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """The text in parts, each with what it means: a term where it stands first, "" for all else."""
    at, told = 0, set()
    for found in _TERMS.finditer(text):
        term = found[1].lower()
        if term not in told:
            told.add(term)
            yield text[at : found.start()], ""
            yield found[0], _MEANINGS[term]
            at = found.end()
    yield text[at:], ""
