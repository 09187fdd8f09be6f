"""The picture of the first screen: each effect with its interval and verdict, as SVG that needs no library."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

from bitskip.analysis.effects import Effect
from bitskip.analysis.metrics import METRICS
from bitskip.report.format import difference_text, interval_text
from bitskip.report.glossary import PLAIN

WIDTH, ROW, EDGE = 400, 36, 12
"""Units of the drawing: as wide as a phone, so that its text is read there at the size of other text."""

WORSE, BETTER, SAME = "var(--bad)", "var(--link)", "var(--good)"
"""Colours of the verdicts; all others are soft."""


def picture(effects: Sequence[Effect], label: str) -> str:
    """A row an effect: its name and verdict, below them the estimate with its 95 % interval on one scale; "" without
    effects. `label` is the text of the drawing.
    """
    ends = [abs(end) for each in effects for end in (each.low, each.value, each.high) if end is not None]
    # An interval that leaves the drawing is cut at its edge: one wild effect would hide all others.
    reach = 1.3 * max((abs(each.value or 0.0) for each in effects), default=0.0)
    reach = min(max(ends, default=0.0), 2.5 * reach) or 1.0
    middle, height = WIDTH / 2, ROW * len(effects) + 18

    def place(value: float) -> float:
        return middle + max(-1.0, min(1.0, value / reach)) * (middle - EDGE)

    rows = [_row(each, ROW * at, place) for at, each in enumerate(effects)]
    zero = f'<path d="M{middle:g} 0V{height - 16}" stroke="currentColor" stroke-width=".7" stroke-dasharray="2 3"/>'
    foot = f'<text x="{middle:g}" y="{height - 5}" text-anchor="middle" class="s">lower ← 0 → higher</text>'
    if not rows:
        return ""
    head = f'<svg role="img" aria-label="{html.escape(label)}" viewBox="0 0 {WIDTH} {height}">'
    return "\n".join([head, zero, *rows, foot, "</svg>"])


def _row(effect: Effect, top: float, at: Callable[[float], float]) -> str:
    def show(value: float) -> str:
        return difference_text(value, effect.metric)

    plain, value = PLAIN[effect.verdict], effect.value or 0.0
    up, down = (BETTER, WORSE) if METRICS[effect.metric].higher_is_better else (WORSE, BETTER)
    colour = {"▲": up, "▼": down, "=": SAME}.get(plain.mark, "var(--soft)")
    name = html.escape(" × ".join(effect.techniques))
    told = html.escape(f"{show(value)} {plain.mark} {plain.words}")
    within = html.escape(interval_text(value, effect.low, effect.high, show))
    tip = f"{name}: {within}, {effect.seeds} seeds, {plain.words}"
    line, y = "", top + 24
    if effect.low is not None and effect.high is not None:
        line = f'<path d="M{at(effect.low):.1f} {y:g}H{at(effect.high):.1f}" stroke="{colour}" stroke-width="3"/>'
    return (
        f'<g class="tip"><title>{tip}</title><text x="0" y="{top + 13:g}">{name}</text>'
        f'<text x="{WIDTH}" y="{top + 13:g}" text-anchor="end" fill="{colour}">{told}</text>{line}'
        f'<circle cx="{at(value):.1f}" cy="{y:g}" r="5" fill="{colour}"/></g>'
    )
