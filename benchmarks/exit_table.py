"""Perplexity at every exit layer of a sweep's named points, mean ± standard deviation over seeds, as Markdown.

Usage: python benchmarks/exit_table.py results/variants
"""

import statistics
import sys
from collections import defaultdict
from pathlib import Path

from bitskip.results import load_results


def main(folder: Path) -> None:
    results = load_results(folder)
    points = {row["trial_id"]: row["point"] for row in results.trials.to_pylist() if row["status"] == "ok"}
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for entry in results.exits.to_pylist():
        if points.get(entry["trial_id"]) is not None:
            found[points[entry["trial_id"]]][entry["exit_layer"]].append(entry["ppl"])
    depth = max(max(by_exit) for by_exit in found.values())
    print("| variant | n | " + " | ".join(f"exit {exit_layer}" for exit_layer in range(1, depth + 1)) + " |")
    print("| --- " * (depth + 2) + "|")
    for point, by_exit in sorted(found.items(), key=lambda item: statistics.mean(item[1][depth])):
        cells = [
            f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}" for _, values in sorted(by_exit.items())
        ]
        print(f"| {point} | {len(by_exit[depth])} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
