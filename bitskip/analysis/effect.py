"""An effect as it is reported, and a list of them, which a notebook shows as a table."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bitskip.analysis.metrics import METRICS
from bitskip.analysis.notebook import change_text, range_text, table_html
from bitskip.extras import require

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Effect:
    """The effect of one technique, or of several together beyond that of all their smaller combinations.

    `value`, `se`, `low`, `high` (95 %, for this comparison alone) and `detectable` (found with 80 % power) are in
    `unit`; `percent` is the value as a change of the metric, or of its odds, where that scale is a logarithm. `seeds`
    is the smallest number of seeds shared by the cells of a difference, `contexts` the number of settings of the other
    techniques averaged over, or of cells that a modelled effect rests on. `p_adjusted` accounts for all comparisons
    of the `family`. `more_seeds` is how many more would settle the verdict if the estimate stays; None if it is
    settled or out of reach. `crossover`: one technique's effect changes sign with the other, which no change of
    scale removes. `reference` names the level that takes the baseline's place in a nested effect. `reason` says
    what is missing. `rates` says at which learning rates: the error of having chosen them is not in the interval
    (`analysis.rates` has effects at each arm's best). `text_se` is the part of `se` that another held-out text
    would bring, where losses by sequence were kept.
    """

    techniques: tuple[str, ...]
    estimand: str
    stratum: str
    metric: str
    unit: str
    verdict: str
    value: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    df: float = 0
    seeds: int = 0
    contexts: int = 0
    percent: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    family: str = ""
    detectable: float | None = None
    more_seeds: int | None = None
    crossover: bool = False
    reference: str = ""
    reason: str = ""
    rates: str = ""
    text_se: float | None = None


class Effects(list[Effect]):
    """Effects in a list, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        heads = ("scale", "techniques", "estimand", "change", "95 % interval", "seeds", "verdict")
        rows = [
            (
                each.stratum,
                " × ".join(each.techniques),
                each.estimand,
                change_text(each.value, each.metric),
                range_text(each.low, each.high, each.metric),
                str(each.seeds or ""),
                each.verdict,
            )
            for each in self
        ]
        metrics = [(name, METRICS[name]) for name in dict.fromkeys(each.metric for each in self)]
        names = [f"{'the odds of ' if metric.odds else ''}{metric.label or name}" for name, metric in metrics]
        return table_html(f"Effects on {', '.join(names)}" if names else "No effects", heads, rows)

    def to_pandas(self) -> pd.DataFrame:
        """A row an effect, its fields as columns. Raises UserError where pandas is not installed."""
        require("pandas")
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(each) for each in self])
