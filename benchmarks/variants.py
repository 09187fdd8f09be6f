"""What `sweeps/variants.yaml` measured, as the Markdown tables of docs/method.md: exits, quantizer inputs, gradients.

Usage: python benchmarks/variants.py results/variants
"""

import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from bitskip import load_results

REFERENCE = "V1"
SITES = ("o", "down")
"""What bitnet-v2 rotates."""


def spread(values: Sequence[float], digits: int = 1) -> str:
    """mean ± standard deviation over seeds."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def paired(values: dict[int, float], reference: dict[int, float]) -> str:
    """Change of perplexity in per cent, with the 95 % Student interval of the log ratios of equal seeds."""
    ratios = [math.log(values[seed] / reference[seed]) for seed in sorted(values.keys() & reference.keys())]
    half = student.ppf(0.975, len(ratios) - 1) * statistics.stdev(ratios) / math.sqrt(len(ratios))
    middle = statistics.mean(ratios)
    return " to ".join(f"{100 * math.expm1(middle + side * half):+.1f}" for side in (-1, 1))


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |")


def header(*names: object) -> None:
    row(*names)
    row(*["---"] * len(names))


def exits_table(trials: dict[str, Any], exits: Sequence[dict[str, Any]]) -> None:
    found: dict[str, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for entry in exits:
        trial = trials[entry["trial_id"]]
        found[trial["point"]][entry["exit_layer"]][trial["seed"]] = entry["ppl"]
    depth = max(found[REFERENCE])
    exit_names = [f"exit {layer}" for layer in range(1, depth + 1)]
    header("variant", "n", *exit_names, f"full, against {REFERENCE}, % (95 % interval)")
    for point, by_exit in found.items():
        against = "" if point == REFERENCE else paired(by_exit[depth], found[REFERENCE][depth])
        values = [list(by_exit[layer].values()) for layer in range(1, depth + 1)]
        row(point, len(values[-1]), *map(spread, values), against)


def quantizer_table(trials: dict[str, Any], layers: Sequence[dict[str, Any]], last_step: int) -> None:
    """Means over blocks; the spread is that over seeds."""
    found: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for entry in layers:
        if entry["step"] == last_step and entry["site"] in SITES:
            trial = trials[entry["trial_id"]]
            found[trial["point"], entry["site"]][trial["seed"]].append(entry)

    def measure(by_seed: dict[int, list[dict[str, Any]]], name: str, digits: int) -> str:
        values = [[entry[name] for entry in entries] for entries in by_seed.values()]
        if any(value is None for entries in values for value in entries):
            return "–"
        return spread([statistics.mean(entries) for entries in values], digits)

    header("variant", "input of", "crest factor", "after the rotation", "kurtosis", "after the rotation", "SNR, dB")
    for (point, site), by_seed in found.items():
        row(
            point,
            site,
            measure(by_seed, "input_crest_factor", 2),
            measure(by_seed, "crest_factor", 2),
            measure(by_seed, "input_kurtosis", 1),
            measure(by_seed, "kurtosis", 1),
            measure(by_seed, "snr_db", 1),
        )


def gradient_table(trials: dict[str, Any], layers: Sequence[dict[str, Any]]) -> None:
    """Cosine between the gradients of exit loss and main loss at every sampled step, mean ± sd over seeds."""
    found: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    blocks: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    for entry in layers:
        cosine, trial = entry["exit_main_cosine"], trials[entry["trial_id"]]
        if cosine is None:
            continue
        if entry["site"] == "head":
            found[trial["point"], "head"][entry["step"]].append(cosine)
        elif entry["site"] == "block":
            blocks[trial["point"], trial["seed"], entry["step"]].append(cosine)
    for (point, _, step), cosines in blocks.items():
        found[point, "blocks"][step].append(statistics.mean(cosines))
    steps = sorted(next(iter(found.values())))
    header("variant", "shared parameters", *(f"step {step}" for step in steps))
    for (point, part), by_step in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        row(point, part, *(spread(by_step[step], 2) for step in steps))


def main(folder: Path) -> None:
    results = load_results(folder)
    trials = {
        entry["trial_id"]: entry for entry in results.trials.to_pylist() if entry["status"] == "ok" and entry["point"]
    }
    exits = [entry for entry in results.exits.to_pylist() if entry["trial_id"] in trials]
    layers = [entry for entry in results.layers.to_pylist() if entry["trial_id"] in trials]
    exits_table(trials, exits)
    print()
    quantizer_table(trials, layers, max(entry["step"] for entry in layers))
    print()
    gradient_table(trials, layers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
