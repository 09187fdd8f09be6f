"""What docs/ladder.md says is what `results/ladder` holds."""

import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bitskip.analysis.factorial import as_plain
from bitskip.analysis.levels import cell_label
from bitskip.analysis.rates import searches
from bitskip.report.document import TERMINAL, document
from bitskip.report.format import count_text, difference_text, interval_text, number_text, range_text, size_text
from bitskip.report.summary import Analysis, analyse
from bitskip.report.table import Text
from bitskip.report.topics.ladder import ladder_in_short
from bitskip.scaling.ladder import scale_of
from bitskip.store.tables import load_results

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "ladder.md"
RESULTS = ROOT / "results" / "ladder"
NUMBERS = "## Numbers\n"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")
ARMS = ("no technique", "bits 8", "bits 4", "rotation", "bits 8 + rotation", "bits 4 + rotation")
PAIRS = ("bits 8", "bits 4")
Json = Mapping[str, Any]


@cache
def analysis() -> Analysis:
    return analyse(load_results(RESULTS), source=RESULTS)


@cache
def report() -> Json:
    """What `bitskip report results/ladder --json` prints."""
    found: Json = as_plain(analysis().report)
    return found


def rungs() -> list[Json]:
    """The sections of the ladder itself, the smallest model and budget first; those of the search aside."""
    of_ladder = {rung["scale"] for effect in report()["ladders"][0]["effects"] for rung in effect["rungs"]}
    found = [each for each in report()["sections"] if each["scale"] in of_ladder]
    return sorted(found, key=lambda each: (each["regime"]["parameters"], each["regime"]["tokens"]))


def short(name: str) -> str:
    return name.replace("hadamard bitnet-v2", "rotation").replace("baseline", "no technique")


def place(section: Json) -> str:
    regime = section["regime"]
    return f"{count_text(regime['parameters'])} | {regime['tokens_per_parameter']:.3g}"


def shown(value: float) -> str:
    return difference_text(value, "ppl")


def table(*heads: str) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' for _ in heads)} |"


def sentences() -> Iterator[str]:
    yield from ["", "### In the report's words", ""]
    yield from (f"- {line}" for line in ladder_in_short(analysis().report.ladders[0]))
    chapter = document(analysis(), TERMINAL, only=["ladder"]).chapters[0]
    yield from (f"- {block.lines[0]}" for block in chapter.blocks if isinstance(block, Text) and block.lines)


def perplexities() -> Iterator[str]:
    yield from ["", "### Perplexity", "", "Mean ± sd over the finished of 3 seeds (fewer: n), and counting's."]
    yield from table("parameters", "tokens a parameter", *ARMS, "bigrams", "5-grams")
    for section in rungs():
        board = {short(each["configuration"]): each for each in section["leaderboard"]}
        yield (
            f"| {place(section)} | {' | '.join(_standing(board.get(arm)) for arm in ARMS)} | "
            + " | ".join(number_text(section["counting"][line]) for line in ("bigram_ppl", "fivegram_ppl"))
            + " |"
        )


def _standing(found: Json | None) -> str:
    if found is None:
        return "none finished"
    spread = "" if found["ppl_sd"] is None else f" ± {number_text(found['ppl_sd'])}"
    return number_text(found["ppl"]) + spread + (f" (n={found['seeds']})" if found["seeds"] < 3 else "")


def ratios() -> Iterator[str]:
    yield from ["", "### Quantized against full precision, rung by rung", ""]
    yield (
        "Perplexity alone and beyond that with rotation, each rung by itself: 95 % intervals of Student's t over the n "
        "seeds of the contrast."
    )
    yield from table(
        "parameters", "tokens a parameter", *(f"{bits} alone" for bits in PAIRS), *(f"{b} × rotation" for b in PAIRS)
    )
    for section in rungs():
        effects = {tuple(map(short, each["techniques"])): each for each in anchored(section)}
        found = [effects.get((bits,)) for bits in PAIRS] + [effects.get((bits, "rotation")) for bits in PAIRS]
        yield f"| {place(section)} | {' | '.join(map(_effect, found))} |"


def anchored(section: Json) -> list[Json]:
    both = (*section["main_effects"], *section["composition_effects"])
    return [each for each in both if each["estimand"] == "anchored"]


def _effect(found: Json | None) -> str:
    if found is None or found["value"] is None:
        return "no seed in common"
    return f"{interval_text(found['value'], found['low'], found['high'], shown)}, n={found['seeds']}"


def along() -> Iterator[str]:
    effects = report()["ladders"][0]["effects"]
    yield from ["", "### Along the ladder", ""]
    yield "Averaged over the settings of the others, noise pooled over rungs: ± half of the 90 % interval."
    yield from table("parameters", "tokens a parameter", *(_name(each) for each in effects), "regime")
    for section in rungs():
        here = [next(r for r in each["rungs"] if r["scale"] == section["scale"]) for each in effects]
        cells = [f"{shown(r['value'])} ± {size_text((r['high'] - r['low']) / 2, 'ppl')}" for r in here]
        marks = dict.fromkeys(part for rung in here for part in rung["mark"].split(", ") if part)
        yield f"| {place(section)} | {' | '.join(cells)} | {', '.join(marks)} |"


def _name(effect: Json) -> str:
    return " × ".join(map(short, effect["techniques"]))


def laws() -> Iterator[str]:
    yield from ["", "### Laws, and the largest rung held out", ""]
    yield "No law fits: its chi² per degree of freedom is above 2, and the verdict is that of the measured values."
    yield from table("effect", "verdict", "weights", "foretold (90 %)", "measured", "inside", "sign changes at")
    for each in report()["ladders"][0]["effects"]:
        held = each["held_out"]
        foretold = interval_text(held["mean"], held["low"], held["high"], shown)
        inside = held["low"] <= held["rung"]["value"] <= held["high"]
        weights = ", ".join(f"{law} {weight:.0%}" for law, weight in each["weights"].items()) or "no law fits"
        yield (
            f"| {_name(each)} | {each['verdict']} | {weights} | {foretold} | {shown(held['rung']['value'])} | "
            f"{'yes' if inside else 'no'} | {'; '.join(map(_crossing, each['crossings']))} |"
        )

    law = report()["ladders"][0]["loss_law"]
    yield ""
    yield (
        f"One law of the loss with multipliers of each technique is off by {law['misfit']:.2f} nats where fitted, "
        f"and by {law['held_out']:.2f} at the largest rung, held out (root mean squares)."
    )


def _crossing(crossing: Json) -> str:
    bounds = "" if crossing["low"] is None else f" ({range_text(crossing['low'], crossing['high'])})"
    low, high = crossing["measured"]
    outside = "" if low <= crossing["tokens_per_parameter"] <= high else ", outside"
    return f"{number_text(crossing['tokens_per_parameter'])}{bounds} with {count_text(crossing['parameters'])}{outside}"


def power() -> Iterator[str]:
    yield from ["", "### Noise, power, rates and counting", ""]
    yield (
        "Sd of one trial over seeds, paired; the smallest composition effect that 3 seeds find with 80 % power; the "
        "best rates of the search, by arm in the order of the first table; the best arm over 5-grams."
    )
    heads = ("noise", *(f"{bits} × rotation" for bits in PAIRS), "rate", "best rates", "over 5-grams")
    yield from table("parameters", "tokens a parameter", *heads)
    best = best_rates()
    for section in rungs():
        regime, board = section["regime"], section["leaderboard"]
        effects = {tuple(map(short, each["techniques"])): each["detectable"] for each in anchored(section)}
        found = [effects[bits, "rotation"] for bits in PAIRS]
        least = " | ".join("not known" if each is None else size_text(each, "ppl") for each in found)
        noise = size_text(section["seeds"]["paired_sd"], "ppl")
        rates = " ".join(f"{rate:g}" for rate in best.get((regime["parameters"], regime["tokens"]), ()))
        over = math.exp(min(each["above_fivegram"] for each in board))
        yield f"| {place(section)} | {noise} | {least} | {regime['rate']} | {rates} | × {over:.1f} |"


def best_rates() -> dict[tuple[int, int], list[float]]:
    """Of every arm, in the order of ARMS, where rates were searched and every arm finished."""
    found = {}
    for search in searches([sheet.stratum for sheet in analysis().sheets]):
        stratum = next(iter(search.strata.values()))
        arms = {short(cell_label(levels, stratum.baseline)): lowest(losses) for levels, losses in search.arms().items()}
        if len(arms) == len(ARMS):
            found[scale_of(stratum)] = [arms[arm] for arm in ARMS]
    return found


def lowest(losses: Mapping[float, Sequence[float]]) -> float:
    return min(losses, key=lambda rate: statistics.fmean(losses[rate]))


def hours() -> Iterator[str]:
    yield from ["", "### Core hours", ""]
    yield "Training and evaluation, from the rows; with trunks counted once, and as if every trial had trained its own."
    yield from table("sweep", "trials", "finished", "shared", "apart")
    rows = load_results(RESULTS).trials.to_pylist()
    for sweep in ("ladder_rates", "ladder_bits"):
        here = [row for row in rows if row["sweep"] == sweep]
        apart = sum((row["train_seconds"] or 0.0) + (row["eval_seconds"] or 0.0) for row in here)
        shared = apart - sum(row["shared_seconds"] or 0.0 for row in here)
        finished = sum(row["status"] == "ok" for row in here)
        yield f"| {sweep} | {len(here)} | {finished} | {shared / 3600:.2f} | {apart / 3600:.2f} |"


def numbers() -> str:
    """All of the page that is generated."""
    parts = (sentences, perplexities, ratios, along, laws, power, hours)
    return "\n".join(line for part in parts for line in part()) + "\n"


def test_numbers_of_the_page_are_those_of_the_results() -> None:
    """Written with `python tests/scaling/test_ladder_page.py`; last digits may be those of other arithmetic."""
    written, made = (" ".join(text.split()) for text in (PAGE.read_text().partition(NUMBERS)[2], numbers()))
    assert NUMBER.sub("#", written) == NUMBER.sub("#", made)
    for one, other in zip(NUMBER.findall(written), NUMBER.findall(made), strict=True):
        assert float(one) == pytest.approx(float(other), rel=0.02, abs=0.15)


def test_what_is_said_in_words_stands_in_the_tables() -> None:
    """Every percentage, multiple and interval above the tables is one of theirs."""
    words, _, tables = PAGE.read_text().partition(NUMBERS)
    said = re.findall(r"[-+][\d.]+ %|\d+\.\d+", words.partition("## What it says")[2])
    assert len(said) > 10
    assert [each for each in said if each not in tables] == []


def test_nothing_of_the_machine_is_in_the_results() -> None:
    files = [path.relative_to(RESULTS) for path in RESULTS.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".parquet", ".yaml"}
    assert len(files) <= 2 * 5
    told = repr([{**row, "reason": None} for row in load_results(RESULTS).trials.to_pylist()])
    assert not re.search(r"/(?:home|root|tmp|work|usr)\b", told)


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(NUMBERS)[0] + NUMBERS + numbers())
