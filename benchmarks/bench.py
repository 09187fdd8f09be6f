"""All benchmarks that give a ratio, in one table (docs/performance.md).

Run: python benchmarks/bench.py [--quick] [SECTION …]    (default: all but the long ones; `make bench` does so)
"""

from __future__ import annotations

import importlib
import sys
import time

from harness import Row, hardware, table

SECTIONS = ("training", "kernels", "evaluation", "startup", "scaling", "sweep_overhead", "growth")
"""Modules beside this one, each with `rows(quick) -> list[Row]`."""

LONG = ("sweep_overhead", "growth")


def main() -> None:
    quick = "--quick" in sys.argv
    chosen = [name for name in sys.argv[1:] if name in SECTIONS] or [name for name in SECTIONS if name not in LONG]
    unknown = [name for name in sys.argv[1:] if name not in (*SECTIONS, "--quick")]
    if unknown:
        sys.exit(f"bench: no section '{unknown[0]}': {', '.join(SECTIONS)}, or --quick")
    began = time.perf_counter()
    print(hardware(), end="\n\n", flush=True)
    found: list[Row] = []
    for name in chosen:
        started = time.perf_counter()
        found += importlib.import_module(name).rows(quick)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    print(table(found))
    print(f"\n{time.perf_counter() - began:.0f} s{', quick' if quick else ''}")


if __name__ == "__main__":
    main()
