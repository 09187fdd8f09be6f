"""What is wrong with an installation, a machine or a results folder, each with its cure; nothing is changed unasked."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout
from packaging.requirements import Requirement
from packaging.version import Version

import bitskip
from bitskip.data.cache import cache_folder
from bitskip.data.corpora import summaries
from bitskip.engine.executors import knock
from bitskip.engine.lookouts import watched_folders
from bitskip.engine.status import is_alive
from bitskip.errors import UserError
from bitskip.extras import EXTRA_OF, installed
from bitskip.store import filesystem
from bitskip.store.compaction import COMPACT_EVERY, compact
from bitskip.store.folder import SweepFolder
from bitskip.store.heartbeat import remove_running, running_trials
from bitskip.store.inspection import inspect_folder
from bitskip.store.provenance import provenance
from bitskip.store.schema import COMMIT_TABLE, FINISHED
from bitskip.sweep.resources import local_cores, local_gpus
from bitskip.sweep.sweep_file import Sweep, load_sweep

LEVELS = ("ok", "note", "warning", "broken")
SHOWN_VERSIONS = ("torch", "ray", "pyarrow", "numpy")
LITTLE_DISK, NO_DISK = 5 << 30, 200 << 20
ABANDONED_SECONDS = 3600.0
"""A half-written file that has not changed for so long is nobody's, even while a sweep runs."""


@dataclass(frozen=True)
class Check:
    """One line: how bad it is, what it is about, what is the case, what to do. `mend` does that where it is safe."""

    level: str
    about: str
    what: str
    cure: str | None = None
    mend: Callable[[], object] | None = field(default=None, compare=False, repr=False)


def examine(results: Path) -> list[Check]:
    """Look at the installation, the machine, the cache and the results at or below a path."""
    return [*_versions(), *_machine(), *_gpu(), *_ray_address(), *_cache(), *_results(results)]


def _versions() -> Iterator[Check]:
    shown = [f"python {platform.python_version()}"]
    try:
        meta = importlib.metadata.metadata("bitskip")
        needed = [Requirement(text) for text in importlib.metadata.requires("bitskip") or ()]
    except importlib.metadata.PackageNotFoundError:
        yield Check("warning", "bitskip", "runs from a folder and is not installed", "pip install -e .")
        return
    wanted = Requirement(f"python{meta['Requires-Python'] or ''}").specifier
    if not wanted.contains(platform.python_version()):
        yield Check("broken", "python", f"{platform.python_version()} is not {wanted}", "make a new environment")
    tested = _tested_versions()
    for need in needed:
        extra = EXTRA_OF.get(need.name)
        if extra is None and need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        cure = f"pip install '{need.name}{need.specifier}'"
        try:
            found = Version(importlib.metadata.version(need.name))
        except importlib.metadata.PackageNotFoundError:
            if extra is None:
                yield Check("broken", need.name, "is not installed", cure)
            else:
                yield Check("note", need.name, "is not installed", f"pip install 'bitskip[{extra}]' if you need it")
            continue
        if not need.specifier.contains(found, prereleases=True):
            yield Check("broken", need.name, f"{found} is not {need.specifier}", cure)
        elif need.name in SHOWN_VERSIONS:
            shown.append(f"{need.name} {found}")
            if need.name in tested and Version(found.public) != tested[need.name]:
                cure = "pip install --constraint constraints.txt -e ."
                yield Check("note", need.name, f"{found}, but tests ran with {tested[need.name]}", cure)
    yield Check("ok", "bitskip", f"{bitskip.__version__} with {', '.join(shown)}")


def _tested_versions() -> dict[str, Version]:
    """Versions in the constraints of a checkout; none elsewhere."""
    file = Path(bitskip.__file__).parent.parent / "constraints.txt"
    pairs = (line.split("==") for line in file.read_text().splitlines() if "==" in line) if file.exists() else ()
    return {name: Version(version) for name, version in pairs}


def _machine() -> Iterator[Check]:
    memory, cores = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), local_cores()
    yield Check("ok", "machine", f"{cores} cores, {_bytes(memory)} of memory")
    load = os.getloadavg()[0]
    if load > cores + 0.5:
        cure = "wait for the other programs, or expect slower trials and smaller speed gains"
        yield Check("note", "load", f"{load:.1f} programs want these {cores} cores", cure)
    if os.nice(0) > 0:
        yield Check("note", "niceness", f"{os.nice(0)}: other programs go first", "start the shell without `nice`")


def _gpu() -> Iterator[Check]:
    """Asks torch only where there is a GPU: its import takes seconds."""
    count = local_gpus()
    if not count:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES") is not None
        why = "CUDA_VISIBLE_DEVICES hides them" if hidden else "nvidia-smi lists none"
        yield Check("ok", "gpu", f"none ({why}); trials run on the CPU")
        return
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        if (version := importlib.metadata.version("torch")).endswith("+cpu"):
            cure = "install the torch build for your CUDA driver (pytorch.org)"
            yield Check("warning", "gpu", f"{count} here, but torch {version} is a CPU build", cure)
            return
    if not installed("torch"):
        yield Check("ok", "gpu", f"{count} here; torch is not installed")
        return
    import torch

    if torch.cuda.is_available():
        yield Check("ok", "gpu", f"{count}: {torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}")
        return
    reason = "torch sees none"
    try:
        torch.zeros(1, device="cuda")
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
    yield Check("broken", "gpu", f"{count} here, but {reason}", "install the torch build that fits the driver")


def _ray_address() -> Iterator[Check]:
    address = os.environ.get("RAY_ADDRESS")
    if not address or address in ("auto", "local"):
        return
    try:
        knock(address)
        yield Check("ok", "RAY_ADDRESS", f"{address} answers; `--address auto` joins it")
    except (OSError, ValueError) as error:
        yield Check("warning", "RAY_ADDRESS", f"{address} does not answer ({error})", "unset RAY_ADDRESS")


def _cache() -> Iterator[Check]:
    folder = cache_folder()
    size = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    yield from _disk(folder, "cache", f"{_bytes(size)} of prepared text in {folder}")


def _disk(folder: Path, about: str, what: str) -> Iterator[Check]:
    """Whether a folder, or the one it would be made in, can be written and has room."""
    place = next((each for each in (folder, *folder.absolute().parents) if each.exists()), Path("/"))
    if not os.access(place, os.W_OK):
        yield Check("broken", about, f"{place} cannot be written", "choose another folder or mend its permissions")
        return
    free = shutil.disk_usage(place).free
    level = "broken" if free < NO_DISK else "warning" if free < LITTLE_DISK else "ok"
    cure = None if level == "ok" else "free some space: checkpoints and weights are the largest files"
    yield Check(level, about, f"{what}; {_bytes(free)} are free", cure)


def _results(path: Path) -> Iterator[Check]:
    try:
        folders = watched_folders(path)
    except UserError as error:
        if path.is_file():
            yield Check("broken", "results", str(error))
        else:
            yield from _disk(path, "results", f"none in {path} yet")
        return
    yield from _disk(path, "results", f"{len(folders)} sweep{'s' * (len(folders) > 1)} in {filesystem.shown(path)}")
    for folder in folders:
        yield from _sweep_folder(folder, folder.resolve().name)


def _sweep_folder(folder: Path, name: str) -> Iterator[Check]:
    design, running = SweepFolder(folder).design, running_trials(folder)
    alive = is_alive(folder, running)
    found = inspect_folder(folder)
    counts = {status: sum(row["status"] == status for row in found.rows) for status in FINISHED}
    failed = len(found.rows) - sum(counts.values())
    shown = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "no results"
    yield Check("ok", name, f"{shown}{f', {failed} failed' * bool(failed)}{', running now' * alive}")
    for problem in found.problems:
        yield Check(
            "broken",
            name,
            problem,
            "restore the file, or run the sweep with --ignore-damaged: what it held is run again",
        )
    for stray in found.strays:
        yield Check("warning", name, f"{stray} is no part of these results; some readers stop at it", "move it away")
    if failed and not alive:
        again = f"bitskip sweep {design} --results {filesystem.shown(folder.parent)}"
        yield Check("note", name, f"{failed} trials failed", f"{again} tries them again; tracebacks in logs/")
    orphans = found.orphans - {each.trial_id for each in running}
    if orphans and not alive:
        what = f"{len(orphans)} trials have parts but no row in {COMMIT_TABLE}: their workers were killed"
        yield Check("note", name, what, "none needed: they do not count, and the next run replaces them")
    yield from _left_behind(folder, name, alive)
    if found.loose >= 2 * COMPACT_EVERY and not alive:
        what = f"{found.loose} loose parts in {COMMIT_TABLE}: reading them takes seconds"
        yield Check("note", name, what, "bitskip doctor --fix merges them", functools.partial(compact, folder))
    if design.exists():
        try:
            yield from _text(name, load_sweep(design, results=folder))
        except UserError as error:
            yield Check("warning", name, str(error), "run the sweep from its own file again: it is written anew")
    for mixture in provenance(row for row in found.rows if row["status"] in FINISHED).mixed:
        yield Check("warning", name, mixture.line(), "compare within one of them, or run the others again")


def _text(name: str, sweep: Sweep) -> Iterator[Check]:
    """How the text of a sweep is cut into documents."""
    for found in summaries(trial.data for trial in sweep.trials):
        yield Check("ok", name, f"text: {found.line()}")
        for warning in found.warnings:
            yield Check("warning", name, f"text: {warning}", "change data in the sweep's own file and run it again")


def _left_behind(folder: Path, name: str, alive: bool) -> Iterator[Check]:
    """Half-written files and heartbeats of workers that are gone."""
    half = SweepFolder(folder).half_written()
    if alive:
        half = [path for path in half if time.time() - path.stat().st_mtime > ABANDONED_SECONDS]

    def remove_half() -> None:
        for path in half:
            path.unlink(missing_ok=True)

    gone = [each.trial_id for each in running_trials(folder) if each.lost() or not alive]

    def forget() -> None:
        for trial_id in gone:
            remove_running(folder, trial_id)

    if half:
        what = f"{len(half)} half-written files of killed workers, {_bytes(sum(path.stat().st_size for path in half))}"
        yield Check("note", name, what, "bitskip doctor --fix removes them", remove_half)
    if gone:
        what = f"{len(gone)} trials are said to run, but their workers are gone: {', '.join(gone[:3])}"
        yield Check("note", name, what, "bitskip doctor --fix forgets them; the next run continues them", forget)


def mend(checks: list[Check], results: Path) -> list[Check]:
    """Do what is safe to do, under each folder's lock; returns what was mended.

    Raises UserError if a sweep is running in one of the folders.
    """
    wanted = [check for check in checks if check.mend]
    with contextlib.ExitStack() as stack:
        for folder in watched_folders(results) if wanted else ():
            try:
                stack.enter_context(FileLock(SweepFolder(folder).lock, timeout=0))
            except Timeout:
                raise UserError(f"{folder}: a sweep is running here; mend it when that is over") from None
        for check in wanted:
            assert check.mend is not None
            check.mend()
    return wanted


def worst(checks: list[Check]) -> str:
    """The level of the worst of them."""
    return max((check.level for check in checks), key=LEVELS.index, default="ok")


def _bytes(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
