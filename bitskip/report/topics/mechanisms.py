"""What goes on inside: what quantizers see, how gradients agree, and how well the predictor knows it all."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bitskip.analysis.metrics import Row
from bitskip.predict.prediction import ModelSummary
from bitskip.report.charts import gradient_cosines, last_sample
from bitskip.report.format import THREE_DECIMALS, range_text, scale_name
from bitskip.report.summary import Sheet
from bitskip.report.table import Block, Column, Number, Text, number, tabulate

SITES = {"down": ("down",), "o": ("o",), "q, k, v, gate, up": ("q", "k", "v", "gate", "up")}
"""The two sites that BitNet v2 rotates, and the others, all of them behind a norm."""

MEASURES = {"kurtosis": "kurtosis at", "snr_db": "SNR, dB, at"}


def quantizers(sheet: Sheet) -> Iterator[Block]:
    """Kurtosis and noise of what is quantized after training, by what is done to it and by its site."""
    found: dict[tuple[int, str], dict[tuple[str, str], dict[int, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    trials: dict[tuple[int, str], set[str]] = defaultdict(set)
    site_of = {name: site for site, names in SITES.items() for name in names}
    for row in (row for cell in sheet.stratum.cells for row in cell.rows):
        done = row["bits"], row["hadamard"]
        for each in last_sample(sheet.layers.get(row["trial_id"], ())):
            for measure in MEASURES if each["site"] in site_of else ():
                if each[measure] is not None:
                    found[done][site_of[each["site"]], measure][each["layer"]].append(each[measure])
                    trials[done].add(row["trial_id"])

    def at(site: str, measure: str) -> Column[tuple[int, str]]:
        return Column(f"{MEASURES[measure]} {site}", lambda done: _by_block(found[done][site, measure]))

    heads: list[Column[tuple[int, str]]] = [
        Column("activation bits", lambda done: done[0]),
        Column("hadamard", lambda done: done[1]),
        *(at(site, measure) for site in SITES for measure in MEASURES),
        Column("n", lambda done: len(trials[done])),
    ]
    note = (
        "Kurtosis of the activations before they are quantized, rotated if they are, 3 for normal ones; SNR of their "
        "quantization. Median block (smallest to largest block), each of its median trial; n trials."
    )
    ordered = sorted(found, key=lambda each: (-each[0], each[1] != "none"))
    yield from tabulate("What the quantizers see after training, by site", ordered, heads, note=note)


def _by_block(measured: Mapping[int, Sequence[float]]) -> Number:
    blocks = [statistics.median(values) for values in measured.values()]
    if not blocks:
        return Number("")
    middle = statistics.median(blocks)
    return Number(f"{middle:.3g} ({range_text(min(blocks), max(blocks))})", middle)


def gradients(sheet: Sheet) -> Iterator[Block]:
    """How the gradients of exit loss and main loss agree at the end of training."""
    chart = gradient_cosines(sheet)
    steps: dict[str, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in chart.rows if chart else ():
        steps[row["configuration"]][row["step"]].append(row)
    ends = {name: by_step[max(by_step)] for name, by_step in steps.items()}
    heads = {name: next((row for row in rows if row["part"] == "head"), {}) for name, rows in ends.items()}

    def blocks(name: str) -> str:
        found = [row["cosine"] for row in ends[name] if row["part"] == "blocks"]
        return range_text(min(found), max(found), THREE_DECIMALS) if found else ""

    yield from tabulate(
        "Cosine between the gradients of exit loss and main loss, last sample, mean over seeds",
        ends,
        [
            Column("variant", lambda name: name),
            Column("shared head", lambda name: number(heads[name].get("cosine"), THREE_DECIMALS)),
            Column("blocks, smallest to largest", blocks),
            Column("n", lambda name: heads[name].get("n")),
        ],
    )


def predictor(sheet: Sheet) -> Iterator[Block]:
    """The predictor's record on this scale, and what its variance is made of."""
    section = sheet.section
    if section.model is None:
        lines = [f"No predictor: {section.no_model}"] if section.no_model and section.leaderboard else []
    else:
        lines = record(section.model)
    if section.shares:
        parts = [f"{' × '.join(each.factors) or 'three and more'} {each.share:.1%}" for each in section.shares[:6]]
        lines.append(f"share of the variance of {scale_name(section.ranked)} (of the model): {', '.join(parts)}")
    if lines:
        yield Text(lines, "Predicting configurations that were left out, one at a time", points=True)


def record(model: ModelSummary) -> list[str]:
    """The model's record in sentences: what it is, how well it did, how well anything could, and what follows."""
    lines = [f"{model.kind}, from {model.configurations} configurations, {model.trials} trials, {model.scale}"]
    if model.loco_r2 is not None and model.loco_mae_percent is not None:
        beside = "" if model.r2_ceiling is None else f" (at best {model.r2_ceiling:.3f})"
        floor = "" if model.noise_percent is None else f" (seed noise alone {model.noise_percent:.1f} %)"
        lines.append(
            f"left out one at a time: R² {model.loco_r2:.3f}{beside}, mean error {model.loco_mae_percent:.1f} %{floor}"
        )
        if model.rank_correlation is not None:
            lines[-1] += f", rank correlation {model.rank_correlation:.2f}"
    if model.within_r2 is not None:
        beside = "" if model.within_ceiling is None else f" (at best {model.within_ceiling:.3f})"
        lines.append(f"within quantized and unquantized configurations: R² {model.within_r2:.3f}{beside}")
    if model.skill is not None and model.additive_r2 is not None and model.additive_mae_percent is not None:
        lines.append(
            f"single effects alone: R² {model.additive_r2:.3f}, mean error {model.additive_mae_percent:.1f} %; "
            f"skill of interactions {model.skill:.2f} ({model.skill_low:.2f} to {model.skill_high:.2f})"
        )
    held = {
        "a configuration": model.coverage,
        "a pair of levels": model.coverage_new_pair,
        "a level between others": model.coverage_between,
        "a last level": model.coverage_outside,
    }
    known = [f"{name} {share:.0%}" for name, share in held.items() if share is not None]
    if known:
        lines.append(f"share of trials inside the 90 % intervals when left out whole: {', '.join(known)}")
    return lines + list(model.verdicts)
