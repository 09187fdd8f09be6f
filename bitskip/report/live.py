"""What a running sweep shows: a live view on a terminal, a line per trial elsewhere, JSON lines for scripts."""

from __future__ import annotations

import json
import math
import shlex
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.text import Text

from bitskip.engine.runner import Plan
from bitskip.engine.status import Active, Ended, Lookout, Snapshot, configuration_label, watched_folders
from bitskip.store.filesystem import place, shown
from bitskip.store.folder import SweepFolder
from bitskip.sweep.sweep_file import Sweep
from bitskip.trial.config import TrialConfig

LOOK_SECONDS = 1.0
SYMBOLS = {"done": "●", "running": "◐", "waiting": "·", "stalled": "◌", "diverged": "✕", "failed": "!"}
ASCII_SYMBOLS = {"done": "o", "running": ">", "waiting": ".", "stalled": "-", "diverged": "x", "failed": "!"}
STYLES = {
    "done": "green", "running": "bold cyan", "waiting": "dim", "stalled": "yellow", "diverged": "magenta",
    "failed": "bold red",
}  # fmt: skip
MOST_TELLING = ("running", "failed", "diverged", "stalled", "waiting", "done")
"""What one symbol for several trials says of them: the first of these that any of them is in."""

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-~=*#@"
SHORT_LABEL = 44
GRID_LINES, RUNNING_LINES = 40, 16
"""Where the output has no height of its own."""

SILENT_SECONDS = 60.0


def describe(trial: TrialConfig, sweep: Sweep) -> str:
    """The point's name, or the techniques that are on and what else varies; with the seed."""
    defects = ", ".join(f"{switch}: {value}" for switch, value in trial.artefact_switches().items())
    name = f"{configuration_label(trial, sweep)}, seed {trial.seed}"
    return name + (f" [artefact {defects}]" if defects else "")


def duration(seconds: float) -> str:
    """Seconds in the largest fitting units: 42 s, 12 min, 3.4 h, 5.1 days."""
    for size, unit in ((86_400, "days"), (3_600, "h")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


class Picture:
    """A snapshot on a terminal: it fills the width, and keeps to the height where there is one."""

    def __init__(self, found: Snapshot, height: int | None = None) -> None:
        self.found, self.height = found, height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        height = self.height or (console.height - 1 if console.is_terminal else None)
        yield from picture_lines(self.found, options.max_width, height, options.ascii_only)


def picture_lines(found: Snapshot, width: int, height: int | None = None, ascii_only: bool = False) -> list[Text]:
    """The lines of a picture: what is left and how long, the grid, what runs, the best, the last error."""
    symbols = ASCII_SYMBOLS if ascii_only else SYMBOLS
    head = [_heading(found, width, ascii_only), _legend(found, symbols)]
    tail = _tail(found, width)
    room = None if height is None else max(2, height - len(head) - len(tail) - 2 * len(next_step(found)))
    shown = RUNNING_LINES if room is None else max(1, min(RUNNING_LINES, room // 2, len(found.running)))
    active = _active_lines(found.running, width, shown, ascii_only)
    grid = _grid(found, width, GRID_LINES if room is None else max(1, room - len(active)), symbols)
    lines = [*head, *grid, *active, *tail]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines + [Text(part) for line in next_step(found) for part in textwrap.wrap(line, width)]


def _heading(found: Snapshot, width: int, ascii_only: bool) -> Text:
    left = found.remaining_seconds
    words = [f"{found.ended}/{found.total}"]
    if found.alive and not found.complete:
        words.append("timing the first trials" if left is None else f"about {duration(left)} left")
    end = "  " + (", " if ascii_only else " · ").join(words)
    name = _plain(found.name)
    room = min(40, width - cell_len(name) - cell_len(end) - 2)
    text = Text().append(f"{name}  ", "bold")
    if room >= 8:
        filled = round(room * found.ended / found.total) if found.total else 0
        full, empty = ("#", "-") if ascii_only else ("━", "━")
        text.append(full * filled, "green").append(empty * (room - filled), "dim")
    return text.append(end)


def _legend(found: Snapshot, symbols: dict[str, str]) -> Text:
    text = Text()
    for state, count in found.counts.items():
        if count:
            text.append(symbols[state], STYLES[state]).append(f" {count} {state}  ")
    if found.kept:
        text.append(f"{found.kept} no longer in the design", "dim")
    text.rstrip()
    return text


def _tail(found: Snapshot, width: int) -> list[Text]:
    lines = []
    if found.best:
        lines.append(Text(f"best {found.best.ppl:.2f}  {_plain(found.best.what)}"))
    if found.last_error:
        error = found.last_error
        story = f"last {error.status}: {_plain(error.what)}: {_plain(error.reason or '')}"
        lines += [Text(part, STYLES["failed"]) for part in textwrap.wrap(story, width, max_lines=2, placeholder=" …")]
    return lines + [Text(_plain(problem), "yellow") for problem in found.problems[:3]]


def next_step(found: Snapshot) -> list[str]:
    """What to do about a sweep that is not over and that nobody runs."""
    if found.alive or found.complete:
        return []
    design = SweepFolder(place(found.folder)).design
    if not design.exists():
        return ["Nothing is running here."]
    command = shlex.join(["bitskip", "sweep", str(design), "--results", shown(design.parent.parent)])
    return ["No sweep is running here. To go on:", command]


def _grid(found: Snapshot, width: int, height: int, symbols: dict[str, str]) -> list[Text]:
    """A line per configuration with its name, where they fit; else a block of seeds each; else a symbol for several."""
    rows = found.configurations
    if not rows:
        return []
    gap = " " if len(found.seeds) <= 10 else ""
    size = len(found.seeds) * (1 + len(gap))
    longest = max(cell_len(row.label) for row in rows)
    for label in (longest, min(longest, SHORT_LABEL)):
        columns = (width + 3) // (label + 2 + size + 3)
        if columns and -(-len(rows) // columns) <= height:
            return list(_labelled(found, label, -(-len(rows) // columns), symbols, gap))
    blocks = max(1, (width + 1) // (len(found.seeds) + 1))
    if -(-len(rows) // blocks) <= height:
        return [
            Text(" ").join(_symbols(row.states, symbols, "") for row in rows[at : at + blocks])
            for at in range(0, len(rows), blocks)
        ]
    together = math.ceil(len(rows) / (width * max(1, height - 1)))
    states = [
        _telling([state for row in rows[at : at + together] for state in row.states])
        for at in range(0, len(rows), together)
    ]
    what = "configuration" if together == 1 else f"{together} configurations"
    return [
        Text(f"a symbol for {what} with {len(found.seeds)} seeds", "dim"),
        *(_symbols(states[at : at + width], symbols, "") for at in range(0, len(states), width)),
    ]


def _labelled(found: Snapshot, label: int, lines: int, symbols: dict[str, str], gap: str) -> Iterator[Text]:
    for at in range(lines):
        text = Text()
        for row in found.configurations[at::lines]:
            text.append(_fitted(row.label, label) + "  ")
            text.append_text(_symbols(row.states, symbols, gap)).append("   ")
        text.rstrip()
        yield text


def _fitted(text: str, width: int) -> str:
    """The text in so many cells, cut in its middle: what tells two apart is often at the end."""
    text = _plain(text)
    if cell_len(text) > width:
        text = text[: width // 2] + "…" + text[len(text) - (width - width // 2 - 1) :]
    return set_cell_size(text, width)


def _telling(states: Sequence[str | None]) -> str:
    return next(state for state in MOST_TELLING if state in states)


def _symbols(states: Sequence[str | None], symbols: dict[str, str], gap: str) -> Text:
    text = Text()
    for state in states:
        text.append((symbols[state] if state else " ") + gap, STYLES[state] if state else "")
    return text


def _active_lines(active: Sequence[Active], width: int, shown: int, ascii_only: bool) -> list[Text]:
    """A line per running trial: name, losses so far, the last one, steps, tokens a second."""
    if not active:
        return []
    shown = shown - 1 if len(active) > shown > 1 else shown
    spark = 24 if width >= 100 else 12
    names = [each.label if each.seed is None else f"{each.label}, seed {each.seed}" for each in active[:shown]]
    label = max(12, min(max(map(cell_len, names)), width - spark - 34))
    lines = []
    for name, each in zip(names, active, strict=False):
        running = each.running
        loss = "" if running.train_loss is None else f"{running.train_loss:.3f}"
        rate = "" if running.tokens_per_second is None else f"{_short(running.tokens_per_second)} tok/s"
        text = Text(_fitted(name, label) + "  ")
        text.append(sparkline(running.losses, spark, ascii_only).ljust(spark), "cyan")
        if each.lost:
            text.append("  its worker is gone", STYLES["failed"])
        elif running.stage != "training":
            text.append(f"  {running.stage}", "dim")
        else:
            text.append(f" {loss:>6} {f'{running.step}/{running.steps}':>11} ")
            silent = each.silent_seconds > SILENT_SECONDS
            text.append(f"{'silent ' + duration(each.silent_seconds) if silent else rate:>12}", "yellow" * silent)
        lines.append(text)
    if len(active) > shown:
        lines.append(Text(f"… and {len(active) - shown} more are running", "dim"))
    return lines


def sparkline(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """Means over at most `width` equal stretches, as bars between the lowest and the highest."""
    bars = ASCII_BARS if ascii_only else BARS
    count = min(width, len(values))
    if not count:
        return ""
    edges = [round(at * len(values) / count) for at in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in zip(edges, edges[1:], strict=False)]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(bars[min(len(bars) - 1, int((mean - low) / span * len(bars)))] for mean in means)


def _short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _plain(text: str) -> str:
    """Text from files as one line without what a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def summary_line(found: Snapshot) -> str:
    """A snapshot in a line."""
    words = [f"{count} {state}" for state, count in found.counts.items() if count]
    if found.remaining_seconds is not None and not found.complete:
        words.append(f"about {duration(found.remaining_seconds)} left")
    if found.best:
        words.append(f"best {found.best.ppl:.2f} ({found.best.what})")
    return f"{found.name}: {found.ended}/{found.total}, " + ", ".join(words)


# The command that runs a sweep


class LinesView:
    """A line per finished trial, for logs and pipes."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self.console, self.total, self.count = console, len(plan.to_run), 0
        self.names = {trial.trial_id: describe(trial, plan.sweep) for trial in plan.to_run}

    def __enter__(self) -> LinesView:
        return self

    def __exit__(self, *_: object) -> None: ...

    def preparing(self, what: str) -> None:
        self.console.print(what, markup=False, highlight=False)

    def started(self, trial_id: str) -> None: ...

    def finished(self, row: dict[str, Any]) -> None:
        self.count += 1
        name = self.names.get(row["trial_id"], row["trial_id"])
        took = (row.get("train_seconds") or 0) + (row.get("eval_seconds") or 0)
        line = outcome(Ended(row["trial_id"], name, row["status"], row.get("reason"), row.get("ppl"), took))
        self.console.print(f"[{self.count}/{self.total}] {line}", markup=False, highlight=False, soft_wrap=True)


def outcome(ended: Ended) -> str:
    """One finished trial in a line."""
    result = f"perplexity {ended.ppl:.2f}" if ended.ppl is not None else _plain(ended.reason or "")
    took = f", {duration(ended.seconds)}" if ended.seconds else ""
    return f"{ended.trial_id[:8]} {ended.status:>8}  {_plain(ended.what)}: {result}{took}"


class JsonView(LinesView):
    """One JSON object per event."""

    def _emit(self, event: str, **content: Any) -> None:
        print(json.dumps({"event": event, **content}), flush=True)

    def preparing(self, what: str) -> None:
        self._emit("preparing", what=what)

    def started(self, trial_id: str) -> None:
        self._emit("started", trial_id=trial_id)

    def finished(self, row: dict[str, Any]) -> None:
        self._emit("finished", **row)


class LiveView(LinesView):
    """The picture of the sweep's folder, under the lines of what has finished."""

    def __init__(self, plan: Plan, console: Console, slots: int) -> None:
        super().__init__(plan, console)
        lookout = Lookout(plan.folder, plan.sweep, slots, frozenset(self.names))
        # The lines above are printed as they come: a picture that fills the screen would push them out unseen.
        self.picture = _Renewed(lambda: [Picture(lookout.look(), max(12, 2 * console.height // 3))])
        self.live = Live(console=console, refresh_per_second=2, get_renderable=self.picture)

    def __enter__(self) -> LiveView:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.picture.due = 0.0
        self.live.stop()


class _Renewed:
    """What is shown, looked up anew at most once a second however often it is drawn."""

    def __init__(self, look: Callable[[], list[Picture]]) -> None:
        self.look, self.due = look, 0.0
        self.shown: Pictures = Pictures([])

    def __call__(self) -> Pictures:
        if time.monotonic() >= self.due:
            self.shown = Pictures(self.look())
            self.due = time.monotonic() + LOOK_SECONDS
        return self.shown


class Pictures:
    """Several pictures below each other; of sweeps that are over and at rest, one line each."""

    def __init__(self, pictures: list[Picture]) -> None:
        self.pictures = pictures

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        open_ones = [each for each in self.pictures if not _at_rest(each.found) or len(self.pictures) == 1]
        height = console.height - 1 - (len(self.pictures) - len(open_ones)) if console.is_terminal else None
        for each in self.pictures:
            if each not in open_ones:
                yield from picture_lines(each.found, options.max_width, ascii_only=options.ascii_only)[:1]
        for each in open_ones:
            if height is not None:
                each.height = each.height or max(6, height // len(open_ones))
            yield from each.__rich_console__(console, options)


def _at_rest(found: Snapshot) -> bool:
    return found.complete and not found.running


def view(plan: Plan, console: Console, slots: int, as_json: bool) -> LinesView:
    """The view that fits the output; `slots` is how many trials run at once."""
    if as_json:
        return JsonView(plan, console)
    return LiveView(plan, console, slots) if console.is_terminal else LinesView(plan, console)


# Any other shell


def watch(path: Path, console: Console, once: bool = False, as_json: bool = False, interval: float = 2.0) -> None:
    """Show the sweeps at or below a path until all are over, or once.

    Raises UserError if there is none.
    """
    lookouts: dict[Path, Lookout] = {}

    def look() -> list[Snapshot]:
        for folder in watched_folders(path):
            lookouts.setdefault(folder, Lookout(folder))
        return [lookout.look() for lookout in lookouts.values()]

    found = look()
    if as_json or once or not console.is_terminal:
        show = _print_json if as_json else _print_pictures(console) if once else _print_changes(console)
        show(found)
        while not once and not all(map(_at_rest, found)):
            time.sleep(interval)
            found = look()
            show(found)
        return
    with Live(console=console, auto_refresh=False) as live:
        live.update(Pictures([Picture(each) for each in found]), refresh=True)
        while not all(map(_at_rest, found)):
            time.sleep(interval)
            found = look()
            live.update(Pictures([Picture(each) for each in found]), refresh=True)


def _print_json(found: Sequence[Snapshot]) -> None:
    now = time.time()
    for each in found:
        content = asdict(each)
        del content["finished"]  # the tables have them all
        print(json.dumps({"event": "snapshot", "time": now, **content}), flush=True)


def _print_pictures(console: Console) -> Callable[[Sequence[Snapshot]], None]:
    return lambda found: console.print(Pictures([Picture(each) for each in found]))


def _print_changes(console: Console) -> Callable[[Sequence[Snapshot]], None]:
    """A line per trial that has ended since the last time, and one of what is left where that has changed."""
    told: dict[str, set[str]] = {}
    counts: dict[str, Any] = {}

    def show(found: Sequence[Snapshot]) -> None:
        for each in found:
            known = told.setdefault(each.folder, {ended.trial_id for ended in each.finished})
            lines = [outcome(ended) for ended in each.finished if ended.trial_id not in known]
            known |= {ended.trial_id for ended in each.finished}
            if counts.get(each.folder) != (each.counts, each.alive):
                lines += [summary_line(each), *next_step(each)]
            counts[each.folder] = (each.counts, each.alive)
            for line in lines:
                console.print(line, markup=False, highlight=False, soft_wrap=True)

    return show
