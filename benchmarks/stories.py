"""Throughput of the story generator on one core: MB/s of UTF-8 text, and words per story.

python benchmarks/stories.py [runs] [stories per run]
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time

from bitskip.data.stories import stories


def main() -> None:
    runs = max(5, int(sys.argv[1])) if len(sys.argv) > 1 else 7
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    for _ in itertools.islice(stories(0), 2_000):
        """Plots are compiled when first told, which is no part of the rate."""
    rates = []
    words: list[int] = []
    for run in range(runs):
        started = time.process_time()
        texts = list(itertools.islice(stories(run + 1), count))
        seconds = time.process_time() - started
        rates.append(sum(len(text.encode()) for text in texts) / seconds / 1e6)
        words += [len(text.split()) for text in texts]
    print(f"{statistics.median(rates):.1f} MB/s median of {runs} runs", end=" ")
    print(f"(lowest {min(rates):.1f}, highest {max(rates):.1f})")
    print(f"{statistics.mean(words):.0f} words per story (from {min(words)} to {max(words)})")


if __name__ == "__main__":
    main()
