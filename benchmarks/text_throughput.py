"""Text files to packed tokens, as `bitskip train` prepares them: MB/s of each step and of all, and peak memory.

python benchmarks/text_throughput.py [MB] [jsonl | txt]
"""

from __future__ import annotations

import itertools
import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from bitskip.data import load_data
from bitskip.data.corpora import pinned, summaries
from bitskip.trial.config import make_trial

WORDS = 60_000


def write(path: Path, size: int) -> None:
    """Documents of made-up words, as frequent as Zipf's law has them, until the file has `size` bytes."""
    draws = random.Random(0)
    words = ["".join(draws.choices("etaoinshrdlucmfwypvbgk", k=draws.randint(2, 10))) for _ in range(WORDS)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, WORDS + 1)))
    written = 0
    with path.open("w") as sink:
        while written < size:
            sentences = (draws.choices(words, cum_weights=weights, k=draws.randint(6, 18)) for _ in range(16))
            text = "\n".join(" ".join(sentence).capitalize() + "." for sentence in sentences)
            written += sink.write(json.dumps({"text": text}) + "\n" if path.suffix == ".jsonl" else text + "\n\n")


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    kinds = sys.argv[2:] or ["jsonl"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"text.{kinds[0]}"
        write(path, megabytes * 1_000_000)
        size = path.stat().st_size / 1e6
        marks = [("", time.perf_counter(), time.process_time())]

        def mark(name: str) -> None:
            marks.append((name, time.perf_counter(), time.process_time()))

        data = pinned(make_trial(data={"files": [str(path)], "vocab_size": 4096}).data)
        mark("looked at, digest")
        summaries([data])
        mark("documents counted")
        found = load_data(data, 0, 0, Path(folder) / "cache")
        mark("BPE learned, tokenized, packed, counted")
    for (_, wall, cpu), (name, later, cpu_later) in itertools.pairwise([*marks, ("all", *marks[-1][1:])]):
        if name == "all":
            _, wall, cpu = marks[0]
        print(f"{size / (later - wall):7.1f} MB/s, {later - wall:6.1f} s, {cpu_later - cpu:6.1f} s of CPU: {name}")
    tokens = len(found.train) + len(found.validation)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{size:.0f} MB, {tokens:,} tokens; peak memory {memory:.0f} MB")


if __name__ == "__main__":
    main()
