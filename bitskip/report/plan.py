"""The plan of a sweep, before anything runs: counts, cost, and what was left out by which rule."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from bitskip.cost import CPU_FLOPS_PER_CORE, GPU_FLOPS, estimate, total_seconds
from bitskip.report.live import describe, duration
from bitskip.sweep import Plan, local_slots

SHOWN_TRIALS = 8


def plan_object(plan: Plan) -> dict[str, Any]:
    """The plan as plain data: counts, tokens, FLOPs, peak memory and estimated hours."""
    sweep, resources = plan.sweep, plan.sweep.resources
    costs = [estimate(trial, resources.cpus, resources.gpus) for trial in plan.to_run]
    slots = 1 if resources.gpus else local_slots(resources)
    return {
        "name": sweep.name,
        "design": sweep.design,
        "points": sweep.cells,
        "distinct": len(sweep.trials),
        "done": plan.done,
        "to_run": len(plan.to_run),
        "retried": plan.retried,
        "excluded": dict(sweep.excluded),
        "tokens": sum(cost.tokens for cost in costs),
        "flops": sum(cost.flops for cost in costs),
        "parameters": sorted({cost.params for cost in costs}),
        "memory_bytes_per_trial": max((cost.memory_bytes for cost in costs), default=0),
        "slots": slots,
        "estimated_hours": total_seconds(plan.to_run, resources.cpus, resources.gpus, slots) / 3600,
        "trials": [
            {
                "trial_id": trial.trial_id,
                "what": describe(trial, sweep),
                "params": cost.params,
                "hours": cost.seconds / 3600,
            }
            for trial, cost in zip(plan.to_run, costs, strict=True)
        ],
    }


def print_plan(plan: Plan, console: Console) -> None:
    """Print the counts, and the cost of what is to run."""
    sweep, found = plan.sweep, plan_object(plan)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)

    say(f"{sweep.name}: {sweep.description}" if sweep.description else sweep.name)
    say(
        f"{found['points']} points → {found['distinct']} distinct → {found['done']} already in results "
        f"→ {found['to_run']} to run" + (f" ({found['retried']} of them failed before)" if found["retried"] else "")
    )
    for rule, dropped in sweep.excluded.items():
        say(f"  {dropped} excluded by {rule}")
    for note in sweep.notes:
        say(f"  note: {note}")
    if not plan.to_run:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", "what", "parameters", "tokens", "hours"):
        table.add_column(name, justify="right" if name in ("parameters", "tokens", "hours") else "left")
    for trial, entry in list(zip(plan.to_run, found["trials"], strict=True))[:SHOWN_TRIALS]:
        table.add_row(
            entry["trial_id"][:8],
            entry["what"],
            count(entry["params"]),
            count(trial.training.tokens),
            f"{entry['hours']:.2g}",
        )
    console.print(table)
    if len(plan.to_run) > SHOWN_TRIALS:
        say(f"  … and {len(plan.to_run) - SHOWN_TRIALS} more")
    gpus = sweep.resources.gpus
    where = (
        f"on {gpus:g} GPU a trial, at an assumed {GPU_FLOPS / 1e12:.0f} TFLOP/s a GPU"
        if gpus
        else f"{found['slots']} at once, at an assumed {CPU_FLOPS_PER_CORE / 1e9:.0f} GFLOP/s a core"
    )
    kind = "GPU memory" if gpus else "memory"
    say(
        f"{count(found['tokens'])} tokens, {found['flops']:.2g} FLOPs; {kind} about "
        f"{found['memory_bytes_per_trial'] / 2**30:.2g} GiB a trial; about "
        f"{duration(found['estimated_hours'] * 3600)} {where}" + (", one trial after another" if gpus else "")
    )


def count(number: float) -> str:
    """A count with its thousands shortened: 400 k, 1.06 B."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"
