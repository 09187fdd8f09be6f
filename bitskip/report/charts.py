"""The figures of a report: what each shows as rows of plain data, and how it is drawn (docs/report.md, Figures).

A chart is made from one scale (`Sheet`). Its rows are what `--figures` writes as CSV; drawing them takes matplotlib,
which is imported then.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bitskip.analysis.effects import JOINT_VERDICTS, NOT_ESTIMABLE, Effect
from bitskip.analysis.factorial import INDEX, METRICS, Cell, Family, Levels, Row, Stratum, cell_label, level_label
from bitskip.analysis.student_t import CONFIDENCE, student_t_quantile
from bitskip.errors import UserError
from bitskip.predict.response_surface import Surface, fit_surface
from bitskip.report import drawing
from bitskip.report.summary import Section, point_of
from bitskip.trial.cost import exit_weight_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_POINTS = 4000
"""More marks than this in one figure are averaged over seeds: nobody reads them one by one."""

MOST_PAIRS, MOST_PROFILES = 6, 6
LEARNING_CURVE_LIMIT = 120
"""Configurations up to which the predictor is fitted again to parts of them: it takes a fraction of a second each."""

EVERYTHING_OFF = "no technique"
SHARES_OF_CELLS, DRAWS = (0.25, 0.5, 0.75), 5


@dataclass(frozen=True)
class Sheet:
    """One scale: its numbers, its trials, and the rows of their exits, curves and layers by trial."""

    section: Section
    stratum: Stratum
    surface: Surface | None
    exits: Mapping[str, Sequence[Row]]
    curves: Mapping[str, Sequence[Row]]
    layers: Mapping[str, Sequence[Row]]

    def name(self, cell: Cell) -> str:
        """A named variant's, else what it changes: the paper's baseline has dropout and exit loss, the anchor none."""
        label = cell_label(cell.levels, self.stratum.baseline)
        return point_of(cell) or (label if label != "baseline" else EVERYTHING_OFF)


@dataclass(frozen=True)
class Chart:
    """`topic` is the part of the page that it belongs to; `lines` can be picked by name."""

    name: str
    topic: str
    title: str
    caption: str
    rows: list[dict[str, Any]]
    draw: Callable[[], Figure]
    lines: bool = False


def charts(sheet: Sheet) -> list[Chart]:
    """Every figure that this scale has data for."""
    makers = (
        pareto_speed, pareto_bytes, composition_matrix, main_effects, interactions, exit_profiles, learning_curves,
        failure_map, rotation_by_layer, gradient_cosines, calibration, predictor_learning,
    )  # fmt: skip
    return [chart for make in makers if (chart := make(sheet)) is not None]


# Pareto fronts


def pareto_speed(sheet: Sheet) -> Chart | None:
    rows = _every_exit(sheet, lambda row, at: at.get("decode_tokens_per_second"), "decode_tokens_per_second")
    return _pareto(rows, "pareto-speed", "decode_tokens_per_second", "decoded tokens/s, batch 1", "speed", largest=True)


def pareto_bytes(sheet: Sheet) -> Chart | None:
    rows = _every_exit(sheet, _bytes_at, "weight_bytes")
    return _pareto(
        rows, "pareto-bytes", "weight_bytes", "bytes to store the weights in use", "weight bytes", largest=False
    )


def _bytes_at(row: Row, at: Row) -> float:
    width, heads = row["model_width"], row["model_heads"]
    return exit_weight_bytes(
        at["exit_layer"],
        width,
        row["model_kv_heads"] * (width // heads),
        row["model_ffn_width"],
        row["data_vocab_size"],
        row["weights"] == "ternary",
    )


def _every_exit(sheet: Sheet, read: Callable[[Row, Row], float | None], column: str) -> list[dict[str, Any]]:
    """A row per exit of every finished trial, or, where these are too many, of every configuration."""
    found = []
    for cell in sheet.stratum.cells:
        name = sheet.name(cell)
        for row in cell.rows:
            for at in sheet.exits.get(row["trial_id"], ()) if row["status"] == "ok" else ():
                value = read(row, at)
                if value and at["ppl"]:
                    found.append(
                        {
                            "configuration": name,
                            "bits": row["bits"],
                            "hadamard": row["hadamard"],
                            "seed": row["seed"],
                            "exit_layer": at["exit_layer"],
                            "depth": at["depth"],
                            "ppl": at["ppl"],
                            column: value,
                            "trial_id": row["trial_id"],
                        }
                    )
    if len(found) <= MOST_POINTS:
        return found
    grouped: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for point in found:
        grouped.setdefault((point["configuration"], point["bits"], point["hadamard"], point["exit_layer"]), []).append(
            point
        )
    means = [
        {**same[0], "seed": None, "trial_id": "", "seeds": len(same)}
        | {"ppl": math.exp(statistics.fmean(math.log(each["ppl"]) for each in same))}
        | {column: statistics.fmean(each[column] for each in same)}
        for same in grouped.values()
    ]
    return sorted(means, key=lambda point: point["ppl"])[:MOST_POINTS]


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points, by the first value, that no other beats: with as much of the first and less of the second."""
    best, kept = math.inf, []
    for at in sorted(range(len(points)), key=lambda i: (-points[i][0], points[i][1])):
        if points[at][1] < best:
            best = points[at][1]
            kept.append(at)
    return kept[::-1]


def _pareto(
    rows: list[dict[str, Any]], name: str, column: str, label: str, against: str, *, largest: bool
) -> Chart | None:
    if not rows:
        return None
    sign = 1.0 if largest else -1.0
    best = front([(sign * row[column], row["ppl"]) for row in rows])
    for at, row in enumerate(rows):
        row["on_front"] = at in set(best) if len(rows) < 200 else False
    for at in best:
        rows[at]["on_front"] = True
    averaged = rows[0]["seed"] is None

    def draw() -> Figure:
        figure, axes = drawing.canvas(4.2)
        for bits in sorted({row["bits"] for row in rows}, reverse=True):
            for rotated in (False, True):
                chosen = [row for row in rows if row["bits"] == bits and (row["hadamard"] != "none") == rotated]
                if not chosen:
                    continue
                marks = axes.scatter(
                    [row[column] for row in chosen],
                    [row["ppl"] for row in chosen],
                    s=20,
                    marker="D" if rotated else "o",
                    color=drawing.COLOUR_OF_BITS.get(bits, drawing.PURPLE),
                    alpha=0.75,
                    linewidths=0,
                    label=f"{bits} bit" + (", rotated" if rotated else ""),
                )
                drawing.tips(marks, [_exit_tip(row, column, label) for row in chosen])
        line = [rows[at] for at in best]
        axes.step(
            [row[column] for row in line],
            [row["ppl"] for row in line],
            where="pre" if largest else "post",
            color=drawing.ink(),
            linewidth=1.2,
            label="not beaten by any other",
        )
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="perplexity")
        _plain_ticks(axes)
        axes.legend(ncols=2)
        return figure

    what = "Every exit of every configuration, averaged over seeds" if averaged else "Every exit of every trial"
    return Chart(
        name,
        "pareto",
        f"Perplexity against {against}",
        f"{what}; lower and {'further right' if largest else 'further left'} is better. Colour is the precision of "
        "activations, a diamond a Hadamard transform. Single trials carry the noise of their seed: a point on the line "
        "need not be better than its neighbours.",
        rows,
        draw,
    )


def _exit_tip(row: Mapping[str, Any], column: str, label: str) -> str:
    seed = "" if row["seed"] is None else f", seed {row['seed']}"
    value = f"{row[column]:,.0f}".replace(",", " ")
    where = f"exit {row['exit_layer']} of {row['depth']}"
    return f"{row['configuration']}{seed}, {where}: perplexity {row['ppl']:.4g}, {value} {label}"


# Effects


def _pairs(section: Section) -> tuple[str, dict[tuple[str, str], Effect]]:
    """The estimand with more estimated pairs (averaged if equal), and its effects by pair."""
    found: dict[str, dict[tuple[str, str], Effect]] = {"averaged": {}, "anchored": {}}
    for effect in section.composition_effects:
        if effect.estimand in found:
            found[effect.estimand][effect.techniques[0], effect.techniques[1]] = effect
    counts = {name: sum(e.value is not None for e in effects.values()) for name, effects in found.items()}
    chosen = "averaged" if counts["averaged"] >= counts["anchored"] else "anchored"
    return chosen, found[chosen]


def composition_matrix(sheet: Sheet) -> Chart | None:
    estimand, effects = _pairs(sheet.section)
    if not any(effect.value is not None for effect in effects.values()):
        return None
    names = list(dict.fromkeys(name for pair in effects for name in pair))
    rows = [_effect_row(effect) for effect in effects.values()]

    def draw() -> Figure:
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        colours = LinearSegmentedColormap.from_list("effects", drawing.DIVERGING)
        largest = max(abs(e.value) for e in effects.values() if e.value is not None)
        scale = Normalize(-largest or -1, largest or 1)
        count = len(names)
        figure, axes = drawing.canvas(0.9 + 0.62 * (count - 1))
        axes.grid(False)
        for (first, second), effect in effects.items():
            x, y = sorted((names.index(first), names.index(second)))
            y -= 1
            if effect.value is None:
                axes.text(x, y, "not\nestimable", ha="center", va="center", fontsize=7, color=drawing.ink())
                continue
            colour = colours(scale(effect.value))
            mark = axes.add_patch(_square(x, y, colour))
            mark.set_url(drawing.TIP + _effect_tip(effect))
            resolved = effect.verdict in JOINT_VERDICTS[:2]
            interval = "" if effect.low is None else f"\n{_percent(effect.low)} to {_percent(effect.high)}"
            axes.text(
                x,
                y,
                f"{_percent(effect.value)}{interval}\nn {effect.seeds} × {effect.contexts}",
                ha="center",
                va="center",
                fontsize=7,
                fontweight="bold" if resolved else "normal",
                color=drawing.readable_on(*colour[:3]),
            )
        axes.set(xlim=(-0.5, count - 1.5), ylim=(count - 1.5, -0.5))
        axes.set_xticks(range(count - 1), [_folded(name) for name in names[:-1]])
        axes.set_yticks(range(count - 1), [_folded(name) for name in names[1:]])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return figure

    context = "the mean over settings of the others" if estimand == "averaged" else "all others at the baseline"
    return Chart(
        "composition-matrix",
        "effects",
        "Composition effects on perplexity",
        f"What two techniques do together beyond the product of what each does alone, with 95 % interval, seeds and "
        f"settings ({estimand}: {context}). Blue: better together than their single effects promise; vermillion: "
        "worse. Bold: resolved after correction for all comparisons.",
        rows,
        draw,
    )


def _square(x: float, y: float, colour: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, edgecolor="none")


def _folded(name: str) -> str:
    return name.replace(" ", "\n", 1)


def _percent(nats: float | None) -> str:
    return "" if nats is None else f"{100 * math.expm1(nats):+.1f} %"


def _effect_row(effect: Effect) -> dict[str, Any]:
    return {
        "techniques": " x ".join(effect.techniques),
        "estimand": effect.estimand,
        "log_ratio": effect.value,
        "low": effect.low,
        "high": effect.high,
        "seeds": effect.seeds,
        "contexts": effect.contexts,
        "verdict": effect.verdict,
        "p_adjusted": effect.p_adjusted,
        "detectable": effect.detectable,
    }


def _effect_tip(effect: Effect) -> str:
    interval = "" if effect.low is None else f" ({_percent(effect.low)} to {_percent(effect.high)})"
    return f"{' x '.join(effect.techniques)}: {_percent(effect.value)}{interval}, {effect.verdict}, n {effect.seeds}"


def main_effects(sheet: Sheet) -> Chart | None:
    effects = [e for e in sheet.section.main_effects if e.value is not None and e.estimand in ("averaged", "anchored")]
    if not effects:
        return None
    names = list(dict.fromkeys(effect.techniques[0] for effect in effects))

    def draw() -> Figure:
        figure, axes = drawing.canvas(0.9 + 0.42 * len(names))
        looks = {"averaged": (drawing.BLUE, "o", -0.13), "anchored": (drawing.VERMILLION, "s", 0.13)}
        for estimand, (colour, marker, shift) in looks.items():
            for at, effect in enumerate(e for e in effects if e.estimand == estimand):
                y, value = names.index(effect.techniques[0]) + shift, effect.value or 0.0
                if effect.low is not None and effect.high is not None:
                    axes.plot([effect.low, effect.high], [y, y], color=colour, linewidth=1.6)
                mark = axes.scatter([value], [y], color=colour, marker=marker, s=26, label=None if at else estimand)
                drawing.tips(mark, [_effect_tip(effect)])
        axes.axvline(0, color=drawing.ink(), linewidth=0.8)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("change of perplexity")
        drawing.percent_axis(axes.xaxis)
        axes.legend()
        return figure

    return Chart(
        "main-effects",
        "effects",
        "Main effects on perplexity",
        "Each technique against its level in the baseline, with 95 % interval: averaged over the settings of the "
        "others, and anchored, all others at the baseline.",
        [_effect_row(effect) for effect in effects],
        draw,
    )


def interactions(sheet: Sheet) -> Chart | None:
    """Mean perplexity for every combination of two techniques' levels, of the pairs that compose most clearly."""
    _, effects = _pairs(sheet.section)
    strongest = sorted(
        (e for e in effects.values() if e.value is not None and e.verdict != NOT_ESTIMABLE),
        key=lambda e: -abs((e.value or 0.0) / (e.se or 1.0)),
    )
    factors = list(dict.fromkeys(tuple(_factor(t) for t in effect.techniques) for effect in strongest))[:MOST_PAIRS]
    panels = [(pair, rows) for pair in factors if (rows := _panel(sheet, (pair[0], pair[1])))]
    if not panels:
        return None

    def draw() -> Figure:
        columns = min(3, len(panels))
        lines = math.ceil(len(panels) / columns)
        figure, grid = drawing.canvas(2.5 * lines, columns, lines, squeeze=False)
        for spare in grid.flat[len(panels) :]:
            spare.set_visible(False)
        for axes, (pair, rows) in zip(grid.flat, panels, strict=False):
            first = list(dict.fromkeys(row["first"] for row in rows))
            for at, second in enumerate(dict.fromkeys(row["second"] for row in rows)):
                chosen = [row for row in rows if row["second"] == second]
                x = [first.index(row["first"]) + 0.04 * at for row in chosen]
                y = [row["ppl"] for row in chosen]
                look = {"color": (drawing.BLUE, drawing.VERMILLION, drawing.GREEN, drawing.PURPLE)[at % 4]}
                axes.plot(x, y, drawing.DASHES[at % 4], marker=drawing.MARKERS[at % 8], ms=4, label=second, **look)
                for place, row in zip(x, chosen, strict=True):
                    if row["low"] is not None:
                        axes.plot([place, place], [row["low"], row["high"]], linewidth=1, **look)
            axes.set_xticks(range(len(first)), [_folded(name) for name in first])
            axes.set_xlim(-0.3, len(first) - 0.6)
            axes.set(title=f"{pair[0]} x {pair[1]}", ylabel="perplexity")
            axes.legend(fontsize=7)
        return figure

    return Chart(
        "interactions",
        "effects",
        "Two techniques at a time",
        "Geometric mean of perplexity over the settings of all other techniques that were run with every combination, "
        "with 95 % interval over seeds (seeds' common shift removed). Parallel lines on this scale mean that effects "
        "multiply.",
        [{"techniques": f"{a} x {b}", **row} for (a, b), rows in panels for row in rows],
        draw,
    )


def _factor(term: str) -> str:
    return term.split(" ", 1)[0]


def _panel(sheet: Sheet, pair: tuple[str, str]) -> list[dict[str, Any]]:
    at = [INDEX[name] for name in pair]
    contexts: dict[Levels, dict[tuple[Any, ...], dict[int, float]]] = {}
    for cell in sheet.stratum.cells:
        values = cell.values(METRICS["ppl"])
        if values:
            rest = tuple(level for position, level in enumerate(cell.levels) if position not in at)
            contexts.setdefault(rest, {})[tuple(cell.levels[position] for position in at)] = values
    levels = {key for cells in contexts.values() for key in cells}
    complete = [cells for cells in contexts.values() if cells.keys() == levels]
    if not complete or len({key[0] for key in levels}) < 2 or len({key[1] for key in levels}) < 2:
        return []
    seeds = set.intersection(*(set(values) for cells in complete for values in cells.values()))
    if not seeds:
        return []
    shift = {seed: statistics.fmean(values[seed] for cells in complete for values in cells.values()) for seed in seeds}
    overall, found = statistics.fmean(shift.values()), []
    for key in sorted(levels, key=lambda each: tuple(_rank(level) for level in each)):
        own = [statistics.fmean(cells[key][seed] for cells in complete) - shift[seed] + overall for seed in seeds]
        mean, half = _student(own)
        found.append(
            {
                "first": level_label(pair[0], key[0]).removeprefix(f"{pair[0]} "),
                "second": level_label(pair[1], key[1]),
                "ppl": math.exp(mean),
                "low": None if half is None else math.exp(mean - half),
                "high": None if half is None else math.exp(mean + half),
                "seeds": len(seeds),
                "contexts": len(complete),
            }
        )
    return found


def _rank(level: Any) -> tuple[float, str]:
    """Precision falls, everything else rises."""
    first = level[0]
    return (-first if isinstance(first, int) else 0.0, repr(level))


def _student(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half of its 95 % interval."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    quantile = student_t_quantile((1 + CONFIDENCE) / 2, len(values) - 1)
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))


# Exits and curves


def exit_profiles(sheet: Sheet) -> Chart | None:
    profiles = sheet.section.exits[:MOST_PROFILES]
    rows = [
        {
            "configuration": profile.name,
            "exit_layer": each.exit_layer,
            "ppl": each.ppl,
            "speed_gain": each.speed_gain,
            "seeds": each.seeds,
            "best": each.exit_layer == profile.best_exit,
        }
        for profile in profiles
        for each in profile.exits
    ]
    if not rows:
        return None

    def draw() -> Figure:
        figure, (quality, speed) = drawing.canvas(3.2, 2)
        for at, profile in enumerate(profiles):
            colour = drawing.colour_of(profile.name, at)
            look = {"color": colour, "marker": drawing.MARKERS[at % 8], "ms": 4}
            layers = [each.exit_layer for each in profile.exits]
            quality.plot(layers, [e.ppl for e in profile.exits], drawing.DASHES[at % 4], label=profile.name, **look)
            gains = [None if e.speed_gain is None else 100 * e.speed_gain for e in profile.exits]
            speed.plot(layers, gains, drawing.DASHES[at % 4], label=profile.name, **look)
            for axes, values in ((quality, [e.ppl for e in profile.exits]), (speed, gains)):
                best = profile.best_exit
                if best is not None and values[best - 1] is not None:
                    axes.scatter(
                        [best], [values[best - 1]], s=110, facecolors="none", edgecolors=colour, linewidths=1.6
                    )
        quality.set(xlabel="exit layer", ylabel="perplexity", yscale="log")
        _plain_ticks(quality, x=False)
        speed.set(xlabel="exit layer", ylabel="decoding speed over all layers, %")
        for axes in (quality, speed):
            axes.xaxis.get_major_locator().set_params(integer=True)
        quality.legend()
        return figure

    within = profiles[0].within
    return Chart(
        "exits",
        "exits",
        "Perplexity and speed by exit layer",
        f"Means over seeds. Ringed: the fastest exit within {100 * within:g} % of the full model's perplexity.",
        rows,
        draw,
    )


def learning_curves(sheet: Sheet) -> Chart | None:
    rows: list[dict[str, Any]] = []
    for cell in sheet.stratum.cells:
        steps: dict[int, list[float]] = {}
        for row in cell.rows:
            for point in sheet.curves.get(row["trial_id"], ()):
                if point["val_loss"] is not None:
                    steps.setdefault(point["tokens"], []).append(point["val_loss"])
        rows += [
            {
                "configuration": sheet.name(cell),
                "tokens": tokens,
                "val_loss": statistics.fmean(losses),
                "seeds": len(losses),
            }
            for tokens, losses in sorted(steps.items())
        ]
    if not rows:
        return None
    named = {profile.name for profile in sheet.section.exits}

    def draw() -> Figure:
        figure, axes = drawing.canvas(3.8)
        lines: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            lines.setdefault(row["configuration"], []).append(row)
        for at, (name, points) in enumerate(sorted(lines.items(), key=lambda item: item[0] in named)):
            known = name in named
            (line,) = axes.plot(
                [point["tokens"] for point in points],
                [math.exp(point["val_loss"]) for point in points],
                color=drawing.colour_of(name, at) if known else drawing.ink(),
                alpha=1.0 if known else 0.35,
                linewidth=1.8 if known else 0.9,
                label=name if known else None,
                zorder=3 if known else 2,
            )
            drawing.tips(line, [f"{name}: perplexity {math.exp(points[-1]['val_loss']):.4g} at the last point"])
        axes.set(xlabel="training tokens", ylabel="held-out perplexity", yscale="log")
        _plain_ticks(axes, x=False)
        axes.xaxis.set_major_formatter(lambda value, position: _count(value))
        drawing.direct_legend(axes)
        return figure

    return Chart(
        "learning-curves",
        "curves",
        "Learning curves",
        "Held-out perplexity while training, mean over seeds; a line per configuration, the named ones in colour.",
        rows,
        draw,
        lines=True,
    )


def _count(value: float) -> str:
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _plain_ticks(axes: Any, x: bool = True, y: bool = True) -> None:
    """Numbers instead of powers of ten on logarithmic axes that span little."""
    from matplotlib.ticker import LogLocator, NullFormatter

    for axis in ([axes.xaxis] if x else []) + ([axes.yaxis] if y else []):
        low, high = axis.get_view_interval()
        wide = low > 0 and high / low > 30
        axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
        axis.set_major_formatter(lambda value, position: _count(value))
        axis.set_minor_formatter(NullFormatter())


# Failures


def failure_map(sheet: Sheet) -> Chart | None:
    """Configurations with trials that diverged, stalled or failed, seed by seed."""
    seeds = sorted({row["seed"] for cell in sheet.stratum.cells for row in cell.rows})
    rows = [
        {"configuration": sheet.name(cell), "seed": row["seed"], "status": row["status"], "trial_id": row["trial_id"]}
        for cell in sheet.stratum.cells
        if cell.count("ok") < len(cell.rows)
        for row in cell.rows
    ]
    if not rows:
        return None
    names = list(dict.fromkeys(row["configuration"] for row in rows))[:40]

    def draw() -> Figure:
        figure, axes = drawing.canvas(1.2 + 0.24 * len(names))
        looks = {
            "ok": (drawing.BLUE, "o"), "diverged": (drawing.VERMILLION, "X"), "stalled": (drawing.ORANGE, "s"),
            "error": (drawing.PURPLE, "P"), "timeout": (drawing.SKY, "v"),
        }  # fmt: skip
        for status, (colour, marker) in looks.items():
            chosen = [row for row in rows if row["status"] == status and row["configuration"] in names]
            if chosen:
                marks = axes.scatter(
                    [seeds.index(row["seed"]) for row in chosen],
                    [names.index(row["configuration"]) for row in chosen],
                    color=colour,
                    marker=marker,
                    s=34,
                    label=status,
                )
                drawing.tips(marks, [f"{row['configuration']}, seed {row['seed']}: {status}" for row in chosen])
        axes.set_xticks(range(len(seeds)), [str(seed) for seed in seeds])
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="seed", ylim=(len(names) - 0.5, -0.5), xlim=(-0.5, len(seeds) - 0.5))
        axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return figure

    return Chart(
        "failures",
        "failures",
        "Where trials diverged, stalled or failed",
        "Configurations with at least one trial without a comparable loss; failures are counted, never averaged in.",
        rows,
        draw,
    )


# Mechanisms


def _named_cells(sheet: Sheet) -> list[tuple[str, Cell]]:
    wanted = [profile.name for profile in sheet.section.exits]
    cells = {sheet.name(cell): cell for cell in sheet.stratum.cells}
    return [(name, cells[name]) for name in wanted if name in cells]


def last_sample(rows: Iterable[Row]) -> list[Row]:
    """Of a trial's rows of `layers`, those of its last step."""
    found = list(rows)
    last = max((row["step"] for row in found), default=None)
    return [row for row in found if row["step"] == last]


def rotation_by_layer(sheet: Sheet) -> Chart | None:
    """What a rotation does to what is quantized: kurtosis before the quantizer, and its signal-to-noise ratio."""
    rows: list[dict[str, Any]] = []
    for name, cell in _named_cells(sheet):
        gathered: dict[int, dict[str, list[float]]] = {}
        for row in cell.rows:
            for each in last_sample(sheet.layers.get(row["trial_id"], ())):
                if each["layer"] is None or each["site"] in ("block", "embedding", "norm", "head"):
                    continue
                for column in ("input_kurtosis", "kurtosis", "snr_db"):
                    if each.get(column) is not None:
                        gathered.setdefault(each["layer"], {}).setdefault(column, []).append(each[column])
        rows += [
            {"configuration": name, "layer": layer, **{key: statistics.median(v) for key, v in values.items()}}
            for layer, values in sorted(gathered.items())
        ]
    rows = [row for row in rows if "snr_db" in row or "kurtosis" in row]
    if not rows:
        return None

    def draw() -> Figure:
        figure, panels = drawing.canvas(3.0, 2)
        for axes, column, label in zip(
            panels, ("kurtosis", "snr_db"), ("kurtosis before the quantizer", "quantization SNR, dB"), strict=True
        ):
            for at, name in enumerate(dict.fromkeys(row["configuration"] for row in rows)):
                chosen = [row for row in rows if row["configuration"] == name and column in row]
                if chosen:
                    axes.plot(
                        [row["layer"] for row in chosen],
                        [row[column] for row in chosen],
                        drawing.DASHES[at % 4],
                        marker=drawing.MARKERS[at % 8],
                        ms=4,
                        color=drawing.colour_of(name, at),
                        label=name,
                    )
            axes.set(xlabel="block", ylabel=label)
            axes.xaxis.get_major_locator().set_params(integer=True)
            drawing.direct_legend(axes)
        return figure

    return Chart(
        "rotation",
        "mechanisms",
        "What the quantizers see, by block",
        "At the end of training, median over the linear layers of a block and the seeds: kurtosis of what is quantized "
        "(3 for a normal distribution; a Hadamard transform brings it there), and the signal-to-noise ratio of "
        "quantizing it.",
        rows,
        draw,
    )


def gradient_cosines(sheet: Sheet) -> Chart | None:
    """How the gradients of exit loss and main loss agree, on the head and in the blocks."""
    rows: list[dict[str, Any]] = []
    for name, cell in _named_cells(sheet):
        gathered: dict[tuple[str, int, int], list[float]] = {}
        for row in cell.rows:
            for each in sheet.layers.get(row["trial_id"], ()):
                if each.get("exit_main_cosine") is not None:
                    place = "head" if each["site"] == "head" else "blocks" if each["site"] == "block" else each["site"]
                    gathered.setdefault((place, each["layer"] or 0, each["step"]), []).append(each["exit_main_cosine"])
        rows += [
            {
                "configuration": name,
                "part": part,
                "layer": layer,
                "step": step,
                "cosine": statistics.fmean(values),
                "n": len(values),
            }
            for (part, layer, step), values in sorted(gathered.items())
        ]
    if not rows:
        return None

    def draw() -> Figure:
        figure, (head, blocks) = drawing.canvas(3.0, 2, sharey=True)
        last = max(row["step"] for row in rows)
        for at, name in enumerate(dict.fromkeys(row["configuration"] for row in rows)):
            look = {"color": drawing.colour_of(name, at), "marker": drawing.MARKERS[at % 8], "ms": 4, "label": name}
            own = [row for row in rows if row["configuration"] == name]
            for axes, chosen, x in (
                (head, [row for row in own if row["part"] == "head"], "step"),
                (blocks, [row for row in own if row["part"] == "blocks" and row["step"] == last], "layer"),
            ):
                if chosen:
                    axes.plot(
                        [row[x] for row in chosen], [row["cosine"] for row in chosen], drawing.DASHES[at % 4], **look
                    )
        head.set(xlabel="training step", ylabel="cosine", title="in the shared head")
        blocks.set(xlabel="block", title="in the blocks, last sample")
        blocks.xaxis.get_major_locator().set_params(integer=True)
        for axes in (head, blocks):
            axes.axhline(0, color=drawing.ink(), linewidth=0.8)
        drawing.direct_legend(head)
        return figure

    return Chart(
        "gradients",
        "mechanisms",
        "Do exit loss and main loss pull the same way?",
        "Cosine between the gradients of both losses in the parameters they share, mean over seeds: below 0 they "
        "interfere, near 1 they agree.",
        rows,
        draw,
    )


# The predictor


def calibration(sheet: Sheet) -> Chart | None:
    """Each configuration as measured and as predicted from all others."""
    surface = sheet.surface
    if surface is None:
        return None
    expected = surface.residuals().expected
    named = {cell.levels: sheet.name(cell) for cell in sheet.stratum.cells}
    rows = [
        {
            "configuration": named[levels],
            "measured": math.exp(float(value)),
            "predicted": math.exp(float(guess)),
            "bits": levels[INDEX["bits"]][0],
        }
        for levels, value, guess in zip(surface.levels, surface.values, expected, strict=True)
    ]
    model = sheet.section.model

    def draw() -> Figure:
        figure, axes = drawing.canvas(3.8)
        for bits in sorted({row["bits"] for row in rows}, reverse=True):
            chosen = [row for row in rows if row["bits"] == bits]
            marks = axes.scatter(
                [row["predicted"] for row in chosen],
                [row["measured"] for row in chosen],
                s=22,
                marker={16: "o", 8: "s", 4: "^"}.get(bits, "D"),
                color=drawing.COLOUR_OF_BITS.get(bits, drawing.PURPLE),
                label=f"{bits} bit",
            )
            drawing.tips(
                marks,
                [f"{r['configuration']}: predicted {r['predicted']:.4g}, measured {r['measured']:.4g}" for r in chosen],
            )
        ends = [
            min(min(r["predicted"], r["measured"]) for r in rows),
            max(max(r["predicted"], r["measured"]) for r in rows),
        ]
        axes.plot(ends, ends, color=drawing.ink(), linewidth=0.8)
        axes.set(
            xlabel="perplexity predicted from all other configurations", ylabel="measured", xscale="log", yscale="log"
        )
        _plain_ticks(axes)
        axes.legend()
        return figure

    said = "Every configuration left out once, mean over its seeds."
    if model is not None and model.loco_r2 is not None:
        said += f" R² {model.loco_r2:.3f}"
        said += "" if model.r2_ceiling is None else f" (noise allows {model.r2_ceiling:.3f})"
        said += "" if model.coverage is None else f"; the 90 % intervals hold {100 * model.coverage:.0f} % of trials"
        said += "."
    return Chart("calibration", "predictor", "Predicted against measured", said, rows, draw)


def predictor_learning(sheet: Sheet) -> Chart | None:
    """Error on configurations that were not used, by the share that was."""
    import random

    cells = [cell for cell in sheet.stratum.cells if cell.values(METRICS["ppl"])]
    if not 12 <= len(cells) <= LEARNING_CURVE_LIMIT:
        return None
    rows: list[dict[str, Any]] = []
    for share in SHARES_OF_CELLS:
        errors = []
        for draw_number in range(DRAWS):
            chosen = set(random.Random(draw_number).sample(range(len(cells)), max(4, round(share * len(cells)))))
            part = tuple(cell for at, cell in enumerate(cells) if at in chosen)
            stratum = Stratum(sheet.stratum.label, sheet.stratum.scale, part, sheet.stratum.baseline)
            try:
                surface = fit_surface(Family((stratum,)), METRICS["ppl"])
            except UserError:
                continue
            held = [cell for at, cell in enumerate(cells) if at not in chosen]
            guesses = surface.means([cell.levels for cell in held])
            truth = [statistics.fmean(cell.values(METRICS["ppl"]).values()) for cell in held]
            errors.append(statistics.fmean(abs(math.expm1(g - t)) for g, t in zip(guesses, truth, strict=True)))
        if errors:
            mean, half = _student(errors)
            rows.append({"share": share, "error": mean, "half_width": half, "draws": len(errors), "cells": len(cells)})
    if not rows:
        return None

    def draw() -> Figure:
        figure, axes = drawing.canvas(2.8)
        axes.errorbar(
            [100 * row["share"] for row in rows],
            [100 * row["error"] for row in rows],
            yerr=[100 * (row["half_width"] or 0.0) for row in rows],
            color=drawing.BLUE,
            marker="o",
            capsize=3,
        )
        axes.set(xlabel="share of configurations that were run, %", ylabel="mean error elsewhere, % of perplexity")
        axes.set_ylim(bottom=0)
        return figure

    return Chart(
        "predictor-learning",
        "predictor",
        "How few runs would have done",
        f"Mean error on the configurations left aside when the predictor sees a random part of the {len(cells)}; mean "
        f"and 95 % interval over {DRAWS} draws.",
        rows,
        draw,
    )
