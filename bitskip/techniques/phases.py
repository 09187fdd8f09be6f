"""Phases of training: plain first, layer dropout and exit loss after a hand-over (docs/method.md, phases)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bitskip.techniques.axis import axis
from bitskip.techniques.base import Moment, Technique

PHASES = ("1", "2", "1+2")


@dataclass(frozen=True)
class Phases(Technique):
    """When the techniques that are `trained_in_phase_2` act; both phases share one schedule and optimizer."""

    phase: str = axis(
        "2",
        "1 = plain training, 2 = with dropout and exit loss",
        choices=PHASES,
        spelling=lambda value: str(value) if isinstance(value, int) and not isinstance(value, bool) else value,
    )
    phase1_share: float = axis(0.5, "share of the tokens trained in phase 1 of 1+2", low=0.0, high=1.0)

    def hand_over_step(self, steps: int) -> int | None:
        """Steps spent in phase 1 before phase 2 begins; None without a hand-over."""
        return round(self.phase1_share * steps) if self.phase == "1+2" else None

    def phase_at(self, step: int, steps: int) -> str:
        """`1` or `2`."""
        hand_over = self.hand_over_step(steps)
        return self.phase if hand_over is None else "1" if step < hand_over else "2"

    def moment(self, step: int, steps: int) -> Moment:
        """A step as curricula count it: from the hand-over on."""
        begins = self.hand_over_step(steps) or 0
        return Moment(step, steps, step - begins, steps - begins)

    def canonical(self, trial: Any) -> Self:
        if all(each.off for each in trial.techniques if each.trained_in_phase_2):
            return type(self)(phase="1")
        hand_over = self.hand_over_step(trial.steps)
        if hand_over is None:
            return self.reset("phase1_share")
        if hand_over in (0, trial.steps):
            return type(self)(phase="1" if hand_over else "2")
        return dataclasses.replace(self, phase1_share=shortest_share(hand_over, trial.steps))

    def partings(self, steps: int) -> set[int]:
        hand_over = self.hand_over_step(steps)
        return set() if hand_over is None else {hand_over}

    def before(self, step: int, steps: int) -> tuple[Self, dict[str, Any]]:
        hand_over = self.hand_over_step(steps)
        if hand_over is None:
            return self, {}
        if step <= hand_over:
            return type(self)(phase="1"), {}
        return self.reset("phase1_share"), {"hand_over": hand_over}

    @classmethod
    def words(cls, settings: Mapping[str, Any]) -> list[str]:
        return [f"phase {settings['phase']}"]


def shortest_share(part: int, steps: int) -> float:
    """The share with the fewest decimals that rounds to `part` of `steps`: shares that train alike become one."""
    digits = 1
    while round(round(part / steps, digits) * steps) != part:
        digits += 1
    return round(part / steps, digits)
