"""Phases of training: plain first, layer dropout and exit loss after a hand-over (docs/method.md, phases)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from bitskip.techniques.axis import axis
from bitskip.techniques.base import Moment, Technique

PHASES = ("1", "2", "1+2")


@dataclass(frozen=True)
class Phases(Technique):
    """When the techniques that are `trained_in_phase_2` act; both phases share one schedule and optimizer."""

    told_in_steps: ClassVar[tuple[str, ...]] = ("phase1_share",)

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
        return dataclasses.replace(self, phase1_share=same_share(hand_over, trial.steps, 0.5))

    def partings(self, steps: int) -> set[int]:
        hand_over = self.hand_over_step(steps)
        return set() if hand_over is None else {hand_over}

    def before(self, step: int, steps: int) -> tuple[Self, dict[str, Any]]:
        hand_over = self.hand_over_step(steps)
        if hand_over is None:
            return self, {}
        if step <= hand_over:
            return type(self)(phase="1"), {}
        return self, {"hand_over": hand_over}

    @classmethod
    def words(cls, settings: Mapping[str, Any]) -> list[str]:
        return [f"phase {settings['phase']}"]


def same_share(part: int, steps: int, usual: float) -> float:
    """One share for all that round to `part` of `steps`: the usual one, else that with the fewest decimals."""
    shares = itertools.chain([usual], (round(part / steps, digits) for digits in itertools.count(1)))
    return next(share for share in shares if round(share * steps) == part)
