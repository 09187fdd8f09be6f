"""What a running sweep shows: a live panel on a terminal, a line per trial elsewhere, JSON lines for scripts."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from bitskip.config import TrialConfig
from bitskip.space import Sweep
from bitskip.sweep import Plan


def describe(trial: TrialConfig, sweep: Sweep) -> str:
    """The point's name, or the techniques that are on; with the seed."""
    method = trial.method
    words = [f"{method.first_bits} then {method.bits} bit" if method.first_bits else f"{method.bits} bit"]
    words += [method.hadamard] * (method.hadamard != "none")
    words += [f"dropout {method.dropout}"] * (method.dropout != "none")
    words += [f"exits {method.exit_weight:g}"] * (method.exit_weight > 0)
    words += [f"phase {method.phase}"]
    name = sweep.point_of(trial) or ", ".join(words)
    defects = ", ".join(f"{switch}: {value}" for switch, value in trial.artefact_switches().items())
    return f"{name}, seed {trial.seed}" + (f" [artefact {defects}]" if defects else "")


class Tally:
    """Counts, best trial and remaining time of a run in progress."""

    def __init__(self, plan: Plan, slots: int) -> None:
        self.plan, self.slots = plan, slots
        self.names = {trial.trial_id: describe(trial, plan.sweep) for trial in plan.to_run}
        self.running: dict[str, float] = {}
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.best: tuple[float, str] | None = None

    def start(self, trial_id: str) -> None:
        self.running[trial_id] = time.monotonic()

    def finish(self, row: dict[str, Any]) -> None:
        started = self.running.pop(row["trial_id"], None)
        if started is not None:
            self.seconds.append(time.monotonic() - started)
        self.statuses[row["status"]] += 1
        if row.get("ppl") is not None and (self.best is None or row["ppl"] < self.best[0]):
            self.best = (row["ppl"], self.names[row["trial_id"]])

    @property
    def finished(self) -> int:
        return sum(self.statuses.values())

    def remaining_seconds(self) -> float | None:
        """Mean trial time times the trials left, over the slots; None before the first has finished."""
        if not self.seconds:
            return None
        mean = sum(self.seconds) / len(self.seconds)
        spent = sum(min(time.monotonic() - start, mean) for start in self.running.values())
        return max(0.0, (len(self.plan.to_run) - self.finished) * mean - spent) / self.slots

    def line(self) -> str:
        failed = sum(n for status, n in self.statuses.items() if status != "ok")
        left = self.remaining_seconds()
        parts = [f"{len(self.running)} running", f"{self.statuses['ok']} ok", f"{failed} not ok"]
        parts.append(f"about {duration(left)} left" if left is not None else "timing the first trials")
        if self.best:
            parts.append(f"best {self.best[0]:.2f} ({self.best[1]})")
        return " · ".join(parts)


def duration(seconds: float) -> str:
    """Seconds in the largest fitting units: 42 s, 12 min, 3.4 h, 5.1 days."""
    for size, unit in ((86_400, "days"), (3_600, "h")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def outcome(row: dict[str, Any], tally: Tally) -> str:
    """One finished trial in a line."""
    name = tally.names.get(row["trial_id"], row["trial_id"])
    result = f"perplexity {row['ppl']:.2f}" if row.get("ppl") is not None else row.get("reason") or ""
    took = (row.get("train_seconds") or 0) + (row.get("eval_seconds") or 0)
    return f"{row['trial_id'][:8]} {row['status']:>8}  {name}: {result}" + (f", {duration(took)}" if took else "")


class LinesView:
    """A line per finished trial, for logs and pipes."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self.tally, self.console = tally, console

    def __enter__(self) -> LinesView:
        return self

    def __exit__(self, *_: object) -> None: ...

    def preparing(self, what: str) -> None:
        self.console.print(what, markup=False, highlight=False)

    def started(self, trial_id: str) -> None:
        self.tally.start(trial_id)

    def finished(self, row: dict[str, Any]) -> None:
        self.tally.finish(row)
        count = f"[{self.tally.finished}/{len(self.tally.plan.to_run)}]"
        self.console.print(f"{count} {outcome(row, self.tally)}", markup=False, highlight=False, soft_wrap=True)


class JsonView(LinesView):
    """One JSON object per event."""

    def _emit(self, event: str, **content: Any) -> None:
        print(json.dumps({"event": event, **content}), flush=True)

    def preparing(self, what: str) -> None:
        self._emit("preparing", what=what)

    def started(self, trial_id: str) -> None:
        super().started(trial_id)
        self._emit("started", trial_id=trial_id)

    def finished(self, row: dict[str, Any]) -> None:
        self.tally.finish(row)
        self._emit("finished", **row)


class LiveView(LinesView):
    """A bar with counts, remaining time and the best trial, under the lines of what has finished."""

    def __init__(self, tally: Tally, console: Console) -> None:
        super().__init__(tally, console)
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self.task = self.bar.add_task(tally.plan.sweep.name, total=len(tally.plan.to_run))
        self.live = Live(console=console, refresh_per_second=2, get_renderable=self._render)

    def _render(self) -> Group:
        return Group(self.bar, Text(self.tally.line(), overflow="ellipsis", no_wrap=True))

    def __enter__(self) -> LiveView:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def finished(self, row: dict[str, Any]) -> None:
        super().finished(row)
        self.bar.advance(self.task)


def view(plan: Plan, console: Console, slots: int, as_json: bool) -> LinesView:
    """The view that fits the output."""
    tally = Tally(plan, slots)
    if as_json:
        return JsonView(tally, console)
    return LiveView(tally, console) if console.is_terminal else LinesView(tally, console)
