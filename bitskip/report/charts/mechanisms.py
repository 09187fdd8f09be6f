"""Why techniques act as they do: what the quantizers see, and how exit loss and main loss agree."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from bitskip.analysis.metrics import Row
from bitskip.report.charts import style
from bitskip.report.charts.registry import Content, Rows, Topic, grouped
from bitskip.report.summary import Sheet

MECHANISMS = Topic("mechanisms", "Mechanisms", order=60)
NO_LAYERS = ("block", "embedding", "norm", "head")
"""Sites of `layers` that are no linear layer of a block."""


def last_sample(rows: Iterable[Row]) -> list[Row]:
    """Of a trial's rows of `layers`, those of its last step."""
    found = list(rows)
    last = max((row["step"] for row in found), default=None)
    return [row for row in found if row["step"] == last]


@MECHANISMS.chart("rotation", "What the quantizers see, by block")
def rotation_by_layer(sheet: Sheet) -> Content:
    """At the end of training, median over the linear layers of a block and the seeds: kurtosis of what is quantized
    (3 for a normal distribution; a Hadamard transform brings it there), and the signal-to-noise ratio of quantizing it.
    """
    rows: Rows = []
    for name, cell in sheet.named_cells():
        samples = (each for row in cell.rows for each in last_sample(sheet.layers.get(row["trial_id"], ())))
        linear = ((e["layer"], e) for e in samples if e["layer"] is not None and e["site"] not in NO_LAYERS)
        for layer, own in sorted(grouped(linear).items()):
            medians = {
                column: statistics.median(values)
                for column in ("input_kurtosis", "kurtosis", "snr_db")
                if (values := [each[column] for each in own if each.get(column) is not None])
            }
            if medians.keys() & {"kurtosis", "snr_db"}:
                rows.append({"configuration": name, "layer": layer, **medians})

    def draw(panels: Any) -> None:
        names = list(dict.fromkeys(row["configuration"] for row in rows))
        labels = {"kurtosis": "kurtosis before the quantizer", "snr_db": "quantization SNR, dB"}
        for axes, (column, label) in zip(panels, labels.items(), strict=True):
            tip = ("{configuration}, block {layer}: " + label + " {" + column + ":.3g}").format_map
            style.lines(axes, rows, names, "layer", column, tip)
            style.label(axes, "block", label, whole=True)
            style.legend(axes)

    return Content(rows, draw, 3.0, {"ncols": 2})


@MECHANISMS.chart("gradients", "Do exit loss and main loss pull the same way?")
def gradient_cosines(sheet: Sheet) -> Content:
    """Cosine between the gradients of both losses on the same batch, in the parameters they share, mean over seeds.

    Near 1 it may be the batch's chance that they share: the claim about interference compares batches.
    """
    rows: Rows = []
    for name, cell in sheet.named_cells():
        gathered = grouped(
            (({"block": "blocks"}.get(each["site"], each["site"]), each["layer"] or 0, each["step"]), cosine)
            for row in cell.rows
            for each in sheet.layers.get(row["trial_id"], ())
            if (cosine := each.get("exit_main_cosine")) is not None
        )
        for (part, layer, step), cosines in sorted(gathered.items()):
            place = {"configuration": name, "part": part, "layer": layer, "step": step}
            rows.append({**place, "cosine": statistics.fmean(cosines), "n": len(cosines)})

    def draw(panels: Any) -> None:
        head, blocks = panels
        names = list(dict.fromkeys(row["configuration"] for row in rows))
        last = max(row["step"] for row in rows)
        in_blocks = [row for row in rows if row["part"] == "blocks" and row["step"] == last]
        in_head = [row for row in rows if row["part"] == "head"]
        for axes, own, x, place in ((head, in_head, "step", "step"), (blocks, in_blocks, "layer", "block")):
            tip = ("{configuration}, " + place + " {" + x + "}: {cosine:.3g}").format_map
            style.lines(axes, own, names, x, "cosine", tip)
        style.label(head, "training step", "cosine", title="in the shared head")
        style.label(blocks, "block", title="in the blocks, last sample", whole=True)
        for axes in panels:
            axes.axhline(0, color=style.ink(), linewidth=0.8)
        style.legend(head)

    return Content(rows, draw, 3.0, {"ncols": 2, "sharey": True})
