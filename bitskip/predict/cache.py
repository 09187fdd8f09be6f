"""A predictor kept beside the results: what was measured and fitted, in one JSON file that follows them.

The file is valid for exactly the Parquet files it was made from (name, size, time of change) and for this version; it
is replaced whole, so that a reader sees an old or a new one. Whoever cannot read it fits anew, and whoever cannot write
it goes on without: a results folder may be read-only, and several commands may write at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import bitskip
from bitskip.analysis.levels import FACTORS
from bitskip.atomic_file import write_atomically
from bitskip.data.cache import cache_folder
from bitskip.predict.dataset import measure, measurements_from, plain_measurements
from bitskip.predict.predictor import Predictor
from bitskip.shipped import IN_WHEEL
from bitskip.store.filesystem import files_in, folders_in
from bitskip.store.folder import SweepFolder
from bitskip.store.stored_design import declare_from

FILE_NAME = ".predictor.json"
FORMAT = 7
TABLES = ("trials", "exits")


def fingerprint(root: Path) -> str:
    """Of all Parquet files below a results folder, without reading them, and of the version that reads them."""
    content: list[Any] = [FORMAT, bitskip.__version__, list(FACTORS.items())]
    for folder in [root, *folders_in(root)]:
        for table in TABLES:
            files = sorted(
                each for each in files_in(SweepFolder(folder).table(table)).items() if each[0].endswith(".parquet")
            )
            content += [[folder.name, table, name, size, changed] for name, (_, changed, size) in files]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def open_predictor(root: Path, metric: str | None = None) -> tuple[Predictor, str]:
    """(a predictor over a results folder, the fingerprint to `keep` it under), restored where a valid file is there.

    Raises UserError if the path is no results folder or holds no finished trial.
    """
    declare_from([root, *folders_in(root)])
    # Before reading: a trial that lands in between makes the file stale, never wrong.
    current = fingerprint(root)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        stored = json.loads(_file(root).read_text(encoding="utf-8"))
        usual = stored["usual"] if metric is None else metric
        if stored["fingerprint"] == current and stored["measurements"]["metric"] == usual:
            restored = Predictor(measurements_from(stored["measurements"]))
            restored.restore(stored["fits"])
            return restored, current
    from bitskip.store.tables import load_results

    return Predictor(measure(load_results(root), metric)), current


def _file(root: Path) -> Path:
    """Beside the results; for those in an installed package, which is no place to write, among the caches."""
    return (cache_folder() if IN_WHEEL in root.parents else root) / FILE_NAME


def keep(predictor: Predictor, root: Path, current: str) -> None:
    """Write the predictor for later; silently nothing where that is not possible."""
    content = {
        "fingerprint": current,
        "usual": predictor.measured.usual,
        "measurements": plain_measurements(predictor.measured),
        "fits": predictor.plain(),
    }
    with contextlib.suppress(OSError):
        write_atomically(_file(root), json.dumps(content, separators=(",", ":")))
