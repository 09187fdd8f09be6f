"""The next rungs of a ladder: as a table with what each would decide, as JSON, and the commands that run them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bitskip.analysis.factorial import as_plain
from bitskip.errors import UserError
from bitskip.report.format import THREE_DIGITS, count_text, difference_text, interval_text, size_text
from bitskip.report.table import Block, Column, Text, number, tabulate
from bitskip.scaling.contrast_laws import LEVEL
from bitskip.scaling.next_rung import NextRung, OpenEffect
from bitskip.store.folder import stored_design
from bitskip.sweep.located_yaml import Source
from bitskip.trial.config import PRESETS

MOST = 4
"""Rungs that the table has; `--json` has all."""


def rung_command(rung: NextRung, results: Path) -> str | None:
    """Runs the sweep's points at this rung alone, beside its other results; None where its design has no ladder."""
    design = stored_design(results, rung.sweep)
    try:
        ladder = Source.read(design).content.get("ladder") if design else None
    except UserError:
        ladder = None
    if not design or not ladder:
        return None
    budget = f"{rung.tokens_per_parameter:.3g}" if "tokens_per_parameter" in ladder else str(rung.tokens)
    model = rung.model if rung.model in PRESETS else json.dumps(rung.sizes)
    key = "tokens_per_parameter" if "tokens_per_parameter" in ladder else "tokens"
    settings = {
        "name": f"{rung.sweep}_{rung.model}_{budget}",
        "ladder.models": f"[{model}]",
        f"ladder.{key}": f"[{budget}]",
    }
    words = ["bitskip", "sweep", str(design), "--results", str(design.parent.parent)]
    return shlex.join([*words, *(word for name, value in settings.items() for word in ("--set", f"{name}={value}"))])


def rungs_object(rungs: Sequence[NextRung], results: Path) -> list[dict[str, Any]]:
    """`rungs` of `suggest --json`: effects in nats per token, the most worth an hour first."""
    also = ("tokens_per_parameter", "worth")
    return [
        as_plain(rung) | {name: getattr(rung, name) for name in also} | {"command": rung_command(rung, results)}
        for rung in rungs
    ]


def rung_blocks(rungs: Sequence[NextRung], results: Path) -> Iterator[Block]:
    """The rungs with most worth an hour, what is open at the first, and how to run it."""
    if not rungs:
        return
    heads: list[Column[NextRung]] = [
        Column("model", lambda each: each.model),
        Column("parameters", lambda each: count_text(each.parameters)),
        Column("tokens a parameter", lambda each: THREE_DIGITS(each.tokens_per_parameter), short="tokens/p"),
        Column("trials", lambda each: each.trials),
        Column("core hours", lambda each: number(each.hours, "{:.2g}".format)),
        Column("tells, nats", lambda each: number(each.nats, "{:.2f}".format)),
        Column("an hour", lambda each: number(each.worth, "{:.2f}".format)),
    ]
    note = "Nats: what it is expected to tell of all effects one rung beyond the ladder (docs/scaling.md)."
    yield from tabulate("Next rungs of the ladder", rungs[:MOST], heads, note=note)
    first = rungs[0]
    where = f"{first.model} with {THREE_DIGITS(first.tokens_per_parameter)} tokens a parameter"
    if first.open:
        lines = [f"{_open(effect)}." for effect in first.open]
        yield Text(lines, f"Open at {where}", points=True)
    else:
        yield Text([f"Nothing is open at {where}: it would test the laws."])
    command = rung_command(first, results)
    if command:
        yield Text([command], tone="code")


def _open(effect: OpenEffect) -> str:
    def shown(value: float) -> str:
        return difference_text(value, "ppl")

    foretold = interval_text(effect.mean, effect.low, effect.high, shown)
    return (
        f"{' × '.join(effect.techniques)}: foretold {foretold}, {LEVEL:.0%}; measured to ± "
        f"{size_text(effect.half, 'ppl')}, decided with a probability of {effect.decided:.0%}"
    )
