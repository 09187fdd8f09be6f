"""What a running sweep shows: a live view on a terminal, a line per trial elsewhere, JSON lines for scripts."""

from __future__ import annotations

import json
import math
import shlex
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.text import Text

from bitskip.engine.labels import configuration_label
from bitskip.engine.lookouts import Lookouts
from bitskip.engine.plan import Plan
from bitskip.engine.status import Active, Ended, Lookout, Snapshot
from bitskip.store.filesystem import place, shown
from bitskip.store.folder import SweepFolder
from bitskip.sweep.sweep_file import Sweep
from bitskip.trial.config import TrialConfig

LOOKS = {
    "running": ("◐", ">", "bold cyan"), "failed": ("!", "!", "bold red"), "diverged": ("✕", "x", "magenta"),
    "stalled": ("◌", "-", "yellow"), "waiting": ("·", ".", "dim"), "done": ("●", "o", "green"),
}  # fmt: skip
"""Symbol, the same in ASCII, and style. One symbol for several trials shows the first of these that any is in."""

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-~=*#@"
SHORT_LABEL = 44
GRID_LINES, RUNNING_LINES = 40, 16
"""Where the output has no height of its own."""

SILENT_SECONDS = 60.0
_Item = TypeVar("_Item")


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


class Pictures:
    """Snapshots below each other, within `height` or that of the terminal; of several, a line for each that is over."""

    def __init__(self, found: Sequence[Snapshot], height: int | None = None) -> None:
        self.found, self.height = found, height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        over = [each for each in self.found if len(self.found) > 1 and _at_rest(each)]
        for each in over:
            yield from picture_lines(each, options.max_width, ascii_only=options.ascii_only)[:1]
        going = len(self.found) - len(over)
        height = max(6, (console.height - 1 - len(over)) // max(1, going)) if console.is_terminal else None
        for each in self.found:
            if all(each is not other for other in over):
                yield from picture_lines(each, options.max_width, self.height or height, options.ascii_only)


def _at_rest(found: Snapshot) -> bool:
    return found.complete and not found.running


def picture_lines(found: Snapshot, width: int, height: int | None = None, ascii_only: bool = False) -> list[Text]:
    """The lines of a picture: what is left and how long, the grid, what runs, the best, the last error."""
    todo, tail = next_step(found), _tail(found, width)
    room = None if height is None else max(2, height - 2 - len(tail) - 2 * len(todo))
    shown = RUNNING_LINES if room is None else max(1, min(RUNNING_LINES, room // 2, len(found.running)))
    active = _active_lines(found.running, width, shown, ascii_only)
    grid = _grid(found, width, GRID_LINES if room is None else max(1, room - len(active)), ascii_only)
    lines = [_heading(found, width, ascii_only), _legend(found, ascii_only), *grid, *active, *tail]
    for line in lines:
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
    return lines + [Text(part) for line in todo for part in textwrap.wrap(line, width)]


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


def _legend(found: Snapshot, ascii_only: bool) -> Text:
    text = Text()
    for state, count in found.counts.items():
        if count:
            text.append_text(_symbols([state], ascii_only)).append(f" {count} {state}  ")
    return text.append(f"{found.kept} no longer in the design" if found.kept else "", "dim")


def _best_text(best: Ended) -> str:
    return best.result.removeprefix("perplexity ")


def _tail(found: Snapshot, width: int) -> list[Text]:
    lines = []
    if found.best:
        lines.append(Text(f"best {_best_text(found.best)}  {_plain(found.best.what)}"))
    if found.last_error:
        error = found.last_error
        story = f"last {error.status}: {_plain(error.what)}: {_plain(error.reason or '')}"
        lines += [Text(part, LOOKS["failed"][2]) for part in textwrap.wrap(story, width, max_lines=2, placeholder=" …")]
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


def _grid(found: Snapshot, width: int, height: int, ascii_only: bool) -> list[Text]:
    """A line per configuration with its name, where they fit; else a block of seeds each; else a symbol for several."""
    rows, seeds = found.configurations, len(found.seeds)
    gap = " " if seeds <= 10 else ""
    longest = max((cell_len(row.label) for row in rows), default=0)
    for label in (longest, min(longest, SHORT_LABEL)):
        columns = (width + 3) // (label + 2 + seeds * (1 + len(gap)) + 3)
        lines = -(-len(rows) // max(1, columns))
        if columns and lines <= height:
            cells = [Text(_fitted(row.label, label) + "  ") + _symbols(row.states, ascii_only, gap) for row in rows]
            return [Text("   ").join(cells[at::lines]) for at in range(lines)]
    blocks = [_symbols(row.states, ascii_only) for row in rows]
    a_line = max(1, (width + 1) // (seeds + 1))
    if -(-len(rows) // a_line) <= height:
        return [Text(" ").join(part) for part in _parts(blocks, a_line)]
    together = math.ceil(len(rows) / (width * max(1, height - 1)))
    states = [_telling([state for row in part for state in row.states]) for part in _parts(rows, together)]
    what = "configuration" if together == 1 else f"{together} configurations"
    told = Text(f"a symbol for {what} with {seeds} seeds", "dim")
    return [told, *(_symbols(part, ascii_only) for part in _parts(states, width))]


def _parts(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def _fitted(text: str, width: int) -> str:
    """The text in so many cells, cut in its middle: what tells two apart is often at the end."""
    text = _plain(text)
    if cell_len(text) > width:
        text = text[: width // 2] + "…" + text[len(text) - (width - width // 2 - 1) :]
    return set_cell_size(text, width)


def _telling(states: Sequence[str | None]) -> str:
    return next(state for state in LOOKS if state in states)


def _symbols(states: Sequence[str | None], ascii_only: bool, gap: str = "") -> Text:
    known = ((LOOKS[state] if state else (" ", " ", "")) for state in states)
    return Text.assemble(*((each[ascii_only] + gap, each[2]) for each in known))


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
            text.append("  its worker is gone", LOOKS["failed"][2])
        elif running.stage != "training":
            text.append(f"  {running.stage}", "dim")
        else:
            text.append(f" {loss:>6} {running.progress:>11} ")
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
    low, span = min(means), (max(means) - min(means)) or 1.0
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
        words.append(f"best {_best_text(found.best)} ({found.best.what})")
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
        _say(self.console, what)

    def started(self, trial_id: str) -> None: ...

    def finished(self, row: dict[str, Any]) -> None:
        self.count += 1
        name = self.names.get(row["trial_id"], row["trial_id"])
        line = outcome(Ended.of(row, name))
        _say(self.console, f"[{self.count}/{self.total}] {line}")


def outcome(ended: Ended) -> str:
    """One finished trial in a line."""
    result = ended.result or _plain(ended.reason or "")
    took = f", {duration(ended.seconds)}" if ended.seconds else ""
    return f"{ended.trial_id[:8]} {ended.status:>8}  {_plain(ended.what)}: {result}{took}"


class JsonView(LinesView):
    """One JSON object per event."""

    def preparing(self, what: str) -> None:
        _emit("preparing", what=what)

    def started(self, trial_id: str) -> None:
        _emit("started", trial_id=trial_id)

    def finished(self, row: dict[str, Any]) -> None:
        _emit("finished", **row)


def _emit(event: str, **content: Any) -> None:
    print(json.dumps({"event": event, **content}), flush=True)


class LiveView(LinesView):
    """The picture of the sweep's folder, under the lines of what has finished."""

    def __init__(self, plan: Plan, console: Console, slots: int) -> None:
        super().__init__(plan, console)
        lookout = Lookout(plan.folder, plan.sweep, slots, frozenset(self.names))

        def picture() -> Pictures:
            # The lines above are printed as they come: a picture that fills the screen would push them out unseen.
            return Pictures([lookout.look()], max(12, 2 * console.height // 3))

        self.live = Live(console=console, refresh_per_second=1, get_renderable=picture)

    def __enter__(self) -> LiveView:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()


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
    lookouts = Lookouts(path)  # says what is wrong before a live view takes the terminal

    def looks() -> Iterator[list[Snapshot]]:
        while True:
            found = lookouts.look()
            yield found
            if once or all(map(_at_rest, found)):
                return
            time.sleep(interval)

    if console.is_terminal and not (once or as_json):
        with Live(console=console, auto_refresh=False) as live:
            for found in looks():
                live.update(Pictures(found), refresh=True)
        return
    before: dict[str, Snapshot] = {}
    for found in looks():
        if once and not as_json:
            console.print(Pictures(found))
            continue
        for each in found:
            if as_json:
                content = asdict(each)
                del content["finished"]  # the tables have them all
                _emit("snapshot", time=time.time(), **content)
            else:
                _say(console, *changes(before.get(each.folder), each))
            before[each.folder] = each


def changes(before: Snapshot | None, now: Snapshot) -> list[str]:
    """A line per trial that has ended since the last look, and one of what is left where that has changed."""
    known = {ended.trial_id for ended in (before or now).finished}
    lines = [outcome(ended) for ended in now.finished if ended.trial_id not in known]
    if before is None or (before.counts, before.alive) != (now.counts, now.alive):
        lines += [summary_line(now), *next_step(now)]
    return lines


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
