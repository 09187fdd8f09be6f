"""What a search of a setting has found: as a table, as JSON, and as the rules to paste."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bitskip.report.table import Block, Column, Number, Text, tabulate
from bitskip.sweep.search import Found, Search, standing
from bitskip.sweep.tune import STEP
from bitskip.techniques.base import plain
from bitskip.trial.cost import non_embedding_parameters


def search_object(search: Search, found: Sequence[Found], least: int) -> dict[str, Any]:
    """The object of `tune --json`; a loss is None where training diverged, an error is a factor."""
    return {
        "axis": search.axis,
        "sweep": search.sweep.name,
        "results": search.name,
        "seeds": list(search.seeds),
        "measured_on": "test" if any(each.on_test for each in found) else "validation",
        "complete": least == 0,
        "trials_at_least": least,
        "arms": [_arm_object(search, each) for each in found],
        "tuned": {search.axis: search.rules(found)},
    }


def _arm_object(search: Search, each: Found) -> dict[str, Any]:
    best, trial = each.optimum, each.arm.trial
    return {
        "arm": dict(each.arm.names),
        "parameters": non_embedding_parameters(trial.model),
        "tokens": trial.training.tokens,
        "losses": [
            {"value": value, "loss": row.mean if math.isfinite(row.mean) else None} for value, row in each.tried.items()
        ],
        "next": sorted({wanted[search.axis] for wanted in each.wanted}),
        "use": None if best is None else best.value,
        "optimum": None if best is None else best.exact,
        "error_factor": None if best is None or best.error is None else STEP**best.error,
        "open": best is not None and best.open,
    }


def search_blocks(search: Search, found: Sequence[Found], least: int) -> list[Block]:
    """A row for each arm and rung, then the rules."""
    heads: list[Column[Found]] = [
        Column("arm and rung", lambda each: each.arm.label),
        Column("loss by value", lambda each: ", ".join(_tried(v, row.mean) for v, row in sorted(each.tried.items()))),
        Column("use", lambda each: Number(plain(each.optimum.value), each.optimum.value) if each.optimum else ""),
        Column("how it is known", standing),
    ]
    part = "test (the text has no validation part)" if any(each.on_test for each in found) else "validation"
    seeds = ", ".join(map(str, search.seeds))
    lines = [f"{search.axis} by {part} loss in nats per token, seeds {seeds}"]
    if len(search.seeds) == 1:
        lines.append("errors are those of the measured text: with one seed, the noise between seeds is not in them")
    if least:
        lines.append(f"not over: at least {least} trials to run")
    blocks: list[Block] = [*tabulate("", found, heads), Text(lines)]
    return [*blocks, Text(search.text(found).splitlines(), tone="code")] if search.rules(found) else blocks


def _tried(value: float, loss: float) -> str:
    return f"{plain(value)}: {loss:.3f}" if math.isfinite(loss) else f"{plain(value)}: diverged"
