"""The plan of a sweep, before anything runs: counts, cost, what is shared, and what the points cannot tell."""

from __future__ import annotations

import datetime
import itertools
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitskip import progress
from bitskip.data.corpora import summaries
from bitskip.data.document_summary import DocumentSummary
from bitskip.engine.calibrate import Calibration
from bitskip.engine.plan import Plan
from bitskip.report.format import count_text, scales_text
from bitskip.report.live import describe, duration
from bitskip.store.schema import FINISHED
from bitskip.store.tables import ledger_rows
from bitskip.sweep.estimability import Gap, gaps, unexamined
from bitskip.sweep.grid import Levels
from bitskip.sweep.resources import Resources, local_cores, local_gpus, local_slots
from bitskip.techniques.activation_quantization import ActivationQuantization, scales_by_bits
from bitskip.training.shared_prefix import start_steps, stored_prefixes, trained_steps
from bitskip.trial.config import TrialConfig
from bitskip.trial.cost import (
    CPU_FLOPS_PER_CORE,
    FEWEST_TOKENS_PER_PARAMETER,
    FITS,
    GPU_FLOPS,
    assumed_speed,
    checkpoint_bytes,
    device_memory,
    estimate,
    fitting_micro_batch,
    in_slots,
    trial_seconds,
    undertrained,
    weights_bytes,
)
from bitskip.trial.schedule import step_count

ASSUMED_MEMORY = 80e9
"""Bytes of a GPU that a plan is made for, which may run elsewhere: an A100's or H100's."""

SHOWN_TRIALS = 8
SHOWN_GAPS = 6
MOST_SECONDS = 1e10
"""Three centuries: a date that is later is of no use, and past the year 9999 there is none."""

SHOWN_RULE = 100
"""Characters of a rule; `--json` has all of it."""

RESULT_BYTES = 40_000
"""Parts of a trial in all tables, on disk."""


def plan_object(plan: Plan, calibration: Calibration | None = None) -> dict[str, Any]:
    """The plan as plain data: counts, steps, tokens, FLOPs, memory, disk, time and price; sizes in bytes."""
    with progress.stage(f"planning {plan.sweep.name}"):
        return _plan_object(plan, calibration)


def _plan_object(plan: Plan, calibration: Calibration | None) -> dict[str, Any]:
    sweep, resources = plan.sweep, plan.sweep.resources
    costs = [estimate(trial, resources.cpus, resources.gpus) for trial in plan.to_run]
    slots = local_slots(resources)
    speed = calibration.speed if calibration else assumed_speed(resources.cpus, resources.gpus)
    starts = start_steps(plan.to_run, plan.prefixes, stored_prefixes(plan.prefix_folder))
    seconds = (
        [trial_seconds(trial, speed, starts[trial.trial_id]) for trial in plan.to_run]
        if sweep.program is None
        else _measured_seconds(plan)
    )
    known = seconds is not None
    together, wall = in_slots(seconds or [], slots)
    devices = together / 3600 * (resources.gpus or resources.cpus)
    finish = datetime.datetime.now().astimezone() + datetime.timedelta(seconds=min(wall, MOST_SECONDS))
    memory = max((_memory(trial, resources) for trial in plan.to_run), default=0)
    disk = _disk(plan, slots, checkpoint_bytes(max((cost.params for cost in costs), default=0)))
    cells = _cells(plan)
    counts = {"to_run": len(plan.to_run), "left": len(plan.unfinished) - len(plan.to_run), "failed": len(plan.failures)}
    return {
        "name": sweep.name,
        "design": sweep.design,
        "points": sweep.cells,
        "distinct": len(sweep.trials),
        **counts,
        **{name: getattr(plan, name) for name in ("done", "more", "retried", "new", "held", "gone")},
        "excluded": dict(sweep.excluded),
        "not_estimable": [_gap_object(gap) for gap in gaps(plan.sweep.grid, cells)],
        "not_examined": unexamined(plan.sweep.grid, cells),
        "steps": {
            "points": sweep.naive_steps,
            "distinct": sum(step_count(trial.training) for trial in sweep.trials),
            "trained": trained_steps(sweep.trials, plan.prefixes),
            "to_run": sum(step_count(trial.training) - starts[trial.trial_id] for trial in plan.to_run),
        },
        "notes": list(sweep.notes),
        "rungs": list(_rungs(plan, seconds)),
        "prefixes": len({prefix.key for path in plan.prefixes.values() for prefix in path}),
        "tokens": sum(cost.tokens for cost in costs),
        "flops": sum(cost.flops for cost in costs),
        "parameters": sorted({cost.params for cost in costs}),
        "memory_bytes_per_trial": memory,
        "disk_bytes": disk,
        "slots": slots,
        "estimated_hours": wall / 3600 if known else None,
        "device_hours": devices if known else None,
        "finish": finish.isoformat(timespec="minutes") if known else None,
        "price": None if resources.price_per_hour is None or not known else devices * resources.price_per_hour,
        "calibration": calibration and {"step_seconds": list(calibration.step_seconds), "cached": calibration.cached},
        "scales_by_bits": _scales_by_bits(sweep.trials),
        "undertrained": sum(undertrained(t) for t in plan.to_run if not t.model.parameters),
        "problems": [
            *_problems(resources, slots, memory, sum(disk.values()), plan.folder),
            *(file.problem for file in plan.damaged),
        ],
        "withheld": plan.withheld,
        "text": [asdict(found) for found in summaries(t.data for t in sweep.trials if not t.elsewhere)],
        "trials": [
            {
                "trial_id": trial.trial_id,
                "what": describe(trial, sweep),
                "params": cost.params,
                "starts_at_step": starts[trial.trial_id],
                "hours": None if seconds is None else seconds[at] / 3600,
            }
            for at, (trial, cost) in enumerate(zip(plan.to_run, costs, strict=True))
        ],
    }


def _memory(trial: TrialConfig, resources: Resources) -> float:
    """Bytes on a device; where passes take what fits it, on one of `ASSUMED_MEMORY`."""
    given = resources.gpus > 0, resources.strategy, resources.devices
    fitting = fitting_micro_batch(trial, ASSUMED_MEMORY, *given) if resources.micro_batch else 0
    return device_memory(trial, *given, fitting)


def _measured_seconds(plan: Plan) -> list[float] | None:
    """Of the trials to run, what those of their configuration took that a program has trained, else the mean of all;
    None before the first.
    """
    took: dict[str, list[float]] = defaultdict(list)
    for row in ledger_rows(plan.folder, "configuration_id", "train_seconds"):
        if row["status"] in FINISHED and row["train_seconds"] is not None:
            took[row["configuration_id"]].append(row["train_seconds"])
    every = list(itertools.chain.from_iterable(took.values()))
    return (
        [fmean(took.get(trial.configuration_id) or every) for trial in plan.to_run]
        if every or not plan.to_run
        else None
    )


def _scales_by_bits(trials: Sequence[TrialConfig]) -> dict[int, str]:
    """Scale rules of the activations by bits where rotations are compared over bits whose rule differs; else empty."""
    rotations = {trial["hadamard"] for trial in trials}
    return scales_by_bits(trial.of(ActivationQuantization) for trial in trials) if len(rotations) > 1 else {}


def _rungs(plan: Plan, seconds: Sequence[float] | None) -> Iterator[dict[str, Any]]:
    """The rungs of the ladder, the cheapest first, with the hours of what is to run there, one trial after another."""
    for rung in plan.sweep.ladder.rungs if plan.sweep.ladder else ():
        here = [at for at, trial in enumerate(plan.to_run) if rung.holds(trial)]
        yield {
            "model": rung.model,
            "parameters": rung.parameters,
            "tokens": rung.trial.training.tokens,
            "tokens_per_parameter": rung.tokens_per_parameter,
            "steps": step_count(rung.trial.training),
            "trials": sum(map(rung.holds, plan.sweep.trials)),
            "to_run": len(here),
            "hours": None if seconds is None else sum(seconds[at] for at in here) / 3600,
        }


def _disk(plan: Plan, at_once: int, checkpoint: int) -> dict[str, int]:
    """What the trials to run leave behind, and what those that run `at_once` keep: checkpoints, so large at most."""
    trials = plan.to_run
    shared = {path[-1].key for trial in trials if (path := plan.prefixes.get(trial.trial_id))}
    return {
        "results": RESULT_BYTES * len(trials),
        "weights": sum(map(weights_bytes, trials)) if plan.sweep.save_weights else 0,
        "checkpoints": checkpoint * min(at_once, len(trials)),
        "prefixes": checkpoint * min(at_once + 1, len(shared)),
    }


def _problems(resources: Resources, slots: int, memory: float, disk: int, folder: Path) -> list[str]:
    """Why this machine cannot run the trials; a cluster is asked when the sweep starts."""
    if resources.address is not None:
        return []
    asked = (("CPU", resources.cpus, local_cores()), ("GPU", resources.gpus, local_gpus()))
    found = [f"a trial asks for {wanted:g} {name}, here are {there}" for name, wanted, there in asked if wanted > there]
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    processes = slots * resources.devices
    if not resources.gpus and 0 < ram < processes * memory:
        found.append(f"{slots} trials at once need {processes * memory / 2**30:.3g} GiB, here are {ram / 2**30:.3g}")
    if resources.gpus and memory > FITS * ASSUMED_MEMORY:
        found.append(
            f"a trial needs about {memory / 2**30:.3g} GiB of each GPU; lower base.micro_batch, or set "
            "resources.micro_batch=auto or strategy=fsdp"
        )
    there_already = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    free = shutil.disk_usage(there_already).free
    if free < disk:
        found.append(f"{folder} needs {disk / 2**30:.3g} GiB, {free / 2**30:.3g} are free")
    return found


def _cells(plan: Plan) -> list[Levels]:
    """What the design runs of its grid, as it stands; an adaptive one is judged when it has chosen all."""
    grid, chosen = plan.sweep.grid, {trial.configuration_id for trial in plan.sweep.trials}
    if plan.sweep.adaptive and plan.more:
        return []
    cells = zip(grid.configurations, grid.levels, strict=True)
    return [levels for configuration, levels in cells if configuration.configuration_id in chosen]


def _gap_object(gap: Gap) -> dict[str, Any]:
    never = [{"levels": levels, "excluded_by": rule} for levels, rule in gap.never]
    return {"axes": list(gap.axes), "missing": gap.missing, "contrasts": gap.contrasts, "never": never}


def _brief(rule: str) -> str:
    return rule if len(rule) <= SHOWN_RULE else rule[: SHOWN_RULE - 2] + " …"


def _gap_line(gap: Mapping[str, Any]) -> str:
    share = "" if gap["missing"] == gap["contrasts"] else f" ({gap['missing']} of {gap['contrasts']} contrasts)"
    reasons = [
        f"{_brief(pair['levels'])} excluded by {_brief(rule)}" if (rule := pair["excluded_by"])
        else f"no {_brief(pair['levels'])}"
        for pair in sorted(gap["never"], key=lambda pair: not pair["excluded_by"])
    ] or ["its cells also differ in other effects, or are too few"]  # fmt: skip
    more = f", and {len(reasons) - 2} more" if len(reasons) > 2 else ""
    return f"  {' × '.join(gap['axes'])}{share}: {'; '.join(reasons[:2])}{more}"


def print_plan(plan: Plan, console: Console, found: Mapping[str, Any]) -> None:
    """Print the counts, and the cost of what is to run; `found` is the plan as `plan_object` gives it."""
    costs = _costs if plan.sweep.program is None else _programs
    for part in (*_counts(plan, found), *(costs(plan, found) if plan.to_run else ())):
        shown = Text(part) if isinstance(part, str) else part
        console.print(shown, soft_wrap=isinstance(part, str) and not console.is_terminal)


def _counts(plan: Plan, found: Mapping[str, Any]) -> Iterator[str]:
    sweep, gaps = plan.sweep, found["not_estimable"]
    yield f"{sweep.name}: {sweep.description}" if sweep.description else sweep.name
    if sweep.design_name != "full":
        yield f"design {sweep.design}" + (", chosen batch by batch from the results" if sweep.adaptive else "")
    notes = [f"{found['retried']} of them failed before"] * bool(found["retried"])
    notes += [f"{found['left']} more are left for later"] * bool(found["left"])
    yield (
        f"{found['points']} points → {found['distinct']} distinct → {found['done']} already in results "
        f"→ {found['to_run']} to run" + (f" ({', '.join(notes)})" if notes else "")
    )
    yield from _difference(plan)
    yield from (f"  {dropped} excluded by {_brief(rule)}" for rule, dropped in sweep.excluded.items())
    yield from (f"  note: {note}" for note in sweep.notes)
    yield from (f"  problem: {problem}" for problem in found["problems"])
    if found["scales_by_bits"]:
        yield f"  warning: {scales_text(found['scales_by_bits'])}; compare under one rule: activation_scale: absmax"
    if found["undertrained"]:
        yield (
            f"  warning: {found['undertrained']} of {found['to_run']} trials train on fewer than "
            f"{FEWEST_TOKENS_PER_PARAMETER} tokens a parameter: what does well there is what speeds up early training, "
            "and with more tokens the order can turn"
        )
    for text in found["text"]:
        summary = DocumentSummary(**text)
        yield f"  text: {summary.line()}"
        yield from (f"  warning: {warning}" for warning in summary.warnings)
    if plan.withheld:
        yield f"  {plan.withheld} trials that these files may hold are not run: restore them, or add --ignore-damaged"
    if found["not_examined"]:
        yield f"  note: {found['not_examined']}"
    if gaps:
        yield "cannot be estimated from these points:"
        yield from map(_gap_line, gaps[:SHOWN_GAPS])
    if len(gaps) > SHOWN_GAPS:
        yield "  " + ", ".join(" × ".join(gap["axes"]) for gap in gaps[SHOWN_GAPS:])


def _difference(plan: Plan) -> Iterator[str]:
    """What an edited design changes against its results, and what is to become of those that failed."""
    if not (plan.failures or plan.gone or (plan.done and plan.new)):
        return
    parts = [f"+{plan.new} new", f"{plan.done} done"]
    if plan.failures:
        statuses = ",".join(sorted({failure.status for failure in plan.failures.values()}))
        hint = f" ({plan.held} not run again: retry with --retry {statuses})" if plan.held else ""
        parts.append(f"{len(plan.failures)} failed{hint}")
    yield ", ".join([*parts, *[f"{plan.gone} no longer in the design (kept)"] * bool(plan.gone)])


def _costs(plan: Plan, found: Mapping[str, Any]) -> Iterator[str | Table]:
    steps, gpus, measured = found["steps"], plan.sweep.resources.gpus, found["calibration"]
    if steps["trained"] < steps["points"]:
        yield (
            f"{steps['points']:,} steps of all points → {steps['distinct']:,} of the distinct trials "
            f"→ {steps['trained']:,} with shared prefixes ({steps['trained'] / steps['points']:.0%})"
        )
    if found["rungs"]:
        yield _ladder(plan, found["rungs"])
    yield _trials(plan, found["trials"][:SHOWN_TRIALS])
    if len(plan.to_run) > SHOWN_TRIALS:
        yield f"  … and {len(plan.to_run) - SHOWN_TRIALS} more"
    share = "trial" if plan.sweep.resources.devices == 1 else f"device, {plan.sweep.resources.devices} a trial"
    kept = ", ".join(f"{size_text(size)} {what}" for what, size in found["disk_bytes"].items() if size)
    yield (
        f"{count_text(found['tokens'])} tokens, {found['flops']:.2g} FLOPs; {'GPU memory' if gpus else 'memory'} about "
        f"{found['memory_bytes_per_trial'] / 2**30:.2g} GiB a {share}; disk {kept}"
    )
    assumed = f"{GPU_FLOPS / 1e12:.0f} TFLOP/s a GPU" if gpus else f"{CPU_FLOPS_PER_CORE / 1e9:.0f} GFLOP/s a core"
    basis = f"at an assumed {assumed}; --calibrate measures it"
    if measured:
        basis = f"measured here: {' and '.join(f'{s:.3g} s' for s in measured['step_seconds'])} a step"
    device = f"{found['device_hours']:.3g} {'GPU' if gpus else 'core'} hours"
    price = f", price {found['price']:.2f}" if found["price"] is not None else ""
    finish = datetime.datetime.fromisoformat(found["finish"])
    yield (
        f"about {duration(found['estimated_hours'] * 3600)}, {found['slots']} at once, until {finish:%a %d %b %H:%M}; "
        f"{device}{price} ({basis})"
    )


def _programs(plan: Plan, found: Mapping[str, Any]) -> Iterator[str]:
    """What is to run where a program trains it, whose costs are known by the trials that it has trained."""
    program = plan.sweep.program
    for entry in found["trials"][:SHOWN_TRIALS]:
        yield f"{entry['trial_id'][:8]}  {entry['what']}"
    if len(plan.to_run) > SHOWN_TRIALS:
        yield f"  … and {len(plan.to_run) - SHOWN_TRIALS} more"
    if program is not None:
        told = " ".join(program.command) or program.trainer
        how_long = "how long that takes is not known"
        if found["finish"]:
            took, finish = duration(found["estimated_hours"] * 3600), datetime.datetime.fromisoformat(found["finish"])
            how_long = f"about {took}, until {finish:%a %d %b %H:%M}, by the trials that have run"
        yield f"{found['slots']} at once, trained by {told}: {how_long}"


def _trials(plan: Plan, entries: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("trial", "what", box=None, pad_edge=False, header_style="bold")
    for name in ("parameters", "tokens", "hours"):
        table.add_column(name, justify="right")
    for trial, entry in zip(plan.to_run, entries, strict=False):
        start = f", from step {entry['starts_at_step']:,}" if entry["starts_at_step"] else ""
        sizes = (count_text(entry["params"]), count_text(trial.training.tokens), f"{entry['hours']:.2g}")
        table.add_row(trial.trial_id[:8], Text(entry["what"] + start), *sizes)
    return table


def _ladder(plan: Plan, rungs: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("rung", "model", box=None, pad_edge=False, header_style="bold")
    for name in ("parameters", "tokens", "tokens a parameter", "steps", "trials", "to run", "hours"):
        table.add_column(name, justify="right")
    for number, rung in enumerate(rungs, start=1):
        sizes = (count_text(rung["parameters"]), count_text(rung["tokens"]), f"{rung['tokens_per_parameter']:.3g}")
        work = (f"{rung['steps']:,}", f"{rung['trials']}", f"{rung['to_run']}", f"{rung['hours']:.2g}")
        table.add_row(str(number), rung["model"], *sizes, *work)
    return table


def size_text(size: float) -> str:
    """Bytes in the largest fitting unit."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} B"
