"""The figures of a report: what each shows as rows of plain data, and how it is drawn (docs/report.md, Figures).

A chart is made from one scale (`Sheet`), or from all of them (`Analysis`). Its rows are what `--figures` writes as CSV;
drawing them takes matplotlib, which is imported then. A chart is added by one module of this package that registers it
with a `Topic`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from bitskip.extras import require
from bitskip.report.charts import style
from bitskip.report.charts.mechanisms import gradient_cosines, last_sample
from bitskip.report.charts.registry import About, Chart, Topic, registered
from bitskip.report.summary import Analysis, analyse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bitskip.store.tables import Results

__all__ = ["Chart", "charts", "figures", "gradient_cosines", "last_sample", "topics"]


def topics() -> list[Topic]:
    """Every topic with its charts, in the order of a report."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return registered()


def charts(about: About) -> list[Chart]:
    """Every figure that this scale, or all of them together, have data for."""
    own = [topic for topic in topics() if topic.across == isinstance(about, Analysis)]
    return [chart for topic in own for make in topic.makers if (chart := make(about)) is not None]


def figures(results: Results, metric: str | None = None) -> dict[str, Figure]:
    """The figures of a report by their names, as objects of matplotlib: those of the first scale, then of all together.

    Raises UserError for an unknown metric, and without matplotlib.
    """
    require("matplotlib")
    analysis = analyse(results, metric=metric)
    about: list[About] = [*analysis.sheets[:1], analysis]
    with style.style(page=False):
        return {chart.name: chart.draw() for each in about for chart in charts(each)}
