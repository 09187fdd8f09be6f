"""What another trainer has measured, as the loss of a row: nats per token, or the status of a training without one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bitskip.errors import UserError, nearest
from bitskip.store.schema import Status

UNITS: dict[str, Callable[[float], float]] = {
    "nats": lambda value: value,
    "bits": lambda value: value * math.log(2),
    "perplexity": math.log,
}
"""From a metric's own unit, per token, to nats per token: where effects add up."""


def check_unit(unit: Any, where: str) -> str:
    """The unit. Raises UserError, which begins with where it stands, for one that there is not."""
    if unit not in UNITS:
        raise UserError(f"{where}: '{unit}' is not one of {', '.join(UNITS)}{nearest(str(unit), UNITS)}")
    return str(unit)


def measured(value: Any, metric: str, unit: str) -> dict[str, Any]:
    """`loss` with its status and `ppl`, or the status and reason of a training that diverged.

    Raises UserError for what is no number, and for a perplexity that is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{metric} is no number but {value!r}")
    if not math.isfinite(value):
        return {"loss": None, "status": Status.DIVERGED, "reason": f"{metric} is {value}"}
    if unit == "perplexity" and value <= 0:
        raise UserError(f"{metric} is {value}, and a perplexity is above 0")
    loss = UNITS[unit](float(value))
    return {"loss": loss, "status": Status.OK, "ppl": math.exp(loss) if loss < 700 else None}
