"""Where else results may go: tools that people look at runs with, fed from the ledger and never asked for anything.

A sink is given each finished trial once, with its curve. What it holds already is known from what lies at its place, so
that a sweep that goes on adds what is missing. What a killed driver has left of a run is not held, and is replaced; of
W&B's offline runs nothing tells whether they are whole, and they are left as they are.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bitskip.errors import UserError, nearest
from bitskip.extras import require
from bitskip.store.schema import FINISHED, CurvePoint, Outcome, column_name, columns_of
from bitskip.store.tables import holds_rows, load_results
from bitskip.trial.config import AXES

if TYPE_CHECKING:
    from bitskip.engine.scheduler import Listener

SHARE_OF_TIME = 0.1
"""Of a sweep's time in its driver that feeding sinks may take."""

MOST_AT_ONCE = 100
"""Settings that MLflow takes in one call."""

POINT = tuple(each.name for each in columns_of(CurvePoint) if each.kind in (int, float))
MEASURES = tuple(each.name for each in columns_of(Outcome) if each.kind in (int, float))


@dataclass(frozen=True)
class Run:
    """A finished trial: its axes, the numbers that it ended with, and the points of its curve, by column."""

    trial_id: str
    sweep: str
    settings: Mapping[str, Any]
    measures: Mapping[str, float]
    curve: Sequence[Mapping[str, float]]
    started: float


class Sink(Protocol):
    """Takes finished trials."""

    def has(self, trial_id: str) -> bool:
        """Whether it holds a trial already."""
        ...

    def write(self, run: Run) -> None: ...


class TensorBoard:
    """A folder of event files for each trial below `place`, which `tensorboard --logdir` reads."""

    def __init__(self, place: Path) -> None:
        require("tensorboardX")
        self.place = place

    def has(self, trial_id: str) -> bool:
        return any(self.place.glob(f"[!.]*/{trial_id}/events*"))

    def write(self, run: Run) -> None:
        from tensorboardX import SummaryWriter

        whole, begun = self.place / run.sweep / run.trial_id, self.place / run.sweep / f".{run.trial_id}"
        shutil.rmtree(begun, ignore_errors=True)
        with SummaryWriter(str(begun)) as writer:
            for point in run.curve:
                for name in POINT:
                    if name != "step" and point.get(name) is not None:
                        writer.add_scalar(f"curve/{name}", point[name], int(point["step"]), walltime=run.started)
            last = int(run.curve[-1]["step"]) if run.curve else 0
            for name, value in run.measures.items():
                writer.add_scalar(f"result/{name}", value, last, walltime=run.started)
            settings = "\n".join(f"    {name}: {value}" for name, value in run.settings.items())
            writer.add_text("settings", settings, last, walltime=run.started)
        begun.rename(whole)


class WandB:
    """Offline runs below `place`, each of which `wandb sync` sends; nothing is sent from here."""

    def __init__(self, place: Path) -> None:
        require("wandb")
        self.place = place

    def has(self, trial_id: str) -> bool:
        return any(self.place.glob(f"wandb/offline-run-*-{trial_id}"))

    def write(self, run: Run) -> None:
        import wandb

        self.place.mkdir(parents=True, exist_ok=True)
        logged = wandb.init(
            project=run.sweep,
            id=run.trial_id,
            dir=str(self.place),
            config=dict(run.settings),
            mode="offline",
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        for point in run.curve:
            logged.log({name: point[name] for name in POINT if point.get(name) is not None}, step=int(point["step"]))
        logged.summary.update(run.measures)
        logged.finish()


class MLflow:
    """Runs in a file store, which `mlflow ui --backend-store-uri` reads; a sweep is an experiment."""

    def __init__(self, place: Path) -> None:
        require("mlflow")
        from mlflow import MlflowClient

        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a database would need the whole of mlflow
        self.client = MlflowClient(tracking_uri=place.absolute().as_uri())

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        return str(self.client.create_experiment(name) if found is None else found.experiment_id)

    def has(self, trial_id: str) -> bool:
        return bool(self._runs(f"tags.trial_id = '{trial_id}' and status = 'FINISHED'"))

    def _runs(self, which: str) -> Any:
        return self.client.search_runs([each.experiment_id for each in self.client.search_experiments()], which)

    def write(self, run: Run) -> None:
        from mlflow.entities import Metric, Param

        at = int(1000 * run.started)
        for begun in self._runs(f"tags.trial_id = '{run.trial_id}'"):
            self.client.delete_run(begun.info.run_id)
        started = self.client.create_run(self._experiment(run.sweep), at, {"trial_id": run.trial_id}, run.trial_id)
        points = [(f"curve/{n}", p[n], p["step"]) for p in run.curve for n in POINT if p.get(n) is not None]
        metrics = [Metric(name, value, at, int(step)) for name, value, step in points]
        metrics += [Metric(name, value, at, 0) for name, value in run.measures.items()]
        params = [Param(name, str(value)) for name, value in run.settings.items()]
        for batch in range(0, max(len(metrics), len(params)), MOST_AT_ONCE):
            these = slice(batch, batch + MOST_AT_ONCE)
            self.client.log_batch(started.info.run_id, metrics[these], params[these])
        self.client.set_terminated(started.info.run_id)


class Trackio:
    """Runs in a folder of SQLite files, which `TRACKIO_DIR=… trackio show` reads; a sweep is a project."""

    def __init__(self, place: Path) -> None:
        require("trackio")
        os.environ["TRACKIO_DIR"] = str(place.absolute())  # read when it is imported

    def has(self, trial_id: str) -> bool:
        from trackio.sqlite_storage import SQLiteStorage

        held = (SQLiteStorage.get_logs(project, trial_id) for project in SQLiteStorage.get_projects())
        return any(name.startswith("result/") for logs in held for point in logs for name in point)

    def write(self, run: Run) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of each run
            import trackio
            from trackio.sqlite_storage import SQLiteStorage

            SQLiteStorage.delete_run(run.sweep, run.trial_id)
            logged = trackio.init(
                run.sweep, name=run.trial_id, config=dict(run.settings), auto_log_cpu=False, auto_log_gpu=False
            )
            for point in run.curve:
                curve = {f"curve/{n}": point[n] for n in POINT if n != "step" and point.get(n) is not None}
                logged.log(curve, step=int(point["step"]))
            logged.log({f"result/{name}": value for name, value in run.measures.items()})
            trackio.finish()  # the run's own would be finished once more when the process ends


SINKS: dict[str, Callable[[Path], Sink]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
    "trackio": Trackio,
}
"""By the name under which `--log-to` knows it."""


def open_sinks(wanted: Sequence[str], results: Path) -> list[Sink]:
    """`NAME` or `NAME=DIR` each; without a folder, of that name below the results' parent.

    Raises UserError for one that there is not, or that needs what is not installed.
    """
    found = []
    for text in wanted:
        name, _, place = text.partition("=")
        if name not in SINKS:
            raise UserError(f"--log-to: '{name}' is not one of {', '.join(SINKS)}{nearest(name, SINKS)}")
        found.append(SINKS[name](Path(place) if place else results.absolute().parent / name))
    return found


def runs_in(folder: Path, held: Callable[[str], bool]) -> Iterator[Run]:
    """The finished trials of a sweep's folder but those that are held already."""
    results = load_results(folder)
    curves: dict[str, list[dict[str, Any]]] = {}
    for point in results.curves.to_pylist():
        curves.setdefault(point["trial_id"], []).append(point)
    for row in results.trials.to_pylist():
        if row["status"] not in FINISHED or held(row["trial_id"]):
            continue
        settings = {name: row.get(column_name(name)) for name in AXES}
        yield Run(
            row["trial_id"],
            row["sweep"],
            {name: value for name, value in settings.items() if value is not None and value != ""},
            {name: row[name] for name in MEASURES if row.get(name) is not None},
            sorted(curves.get(row["trial_id"], []), key=lambda point: int(point["step"])),
            row["started_at"].timestamp() if row["started_at"] else 0.0,
        )


def feed(folder: Path, sinks: Sequence[Sink]) -> int:
    """Give each sink the finished trials that it lacks; how many were given. A sink that fails is told and left."""
    given = 0
    for sink in sinks if holds_rows(folder) else ():
        try:
            for run in runs_in(folder, sink.has):
                sink.write(run)
                given += 1
        except Exception as error:  # of a library that is not ours; results are where they were
            name = type(sink).__name__
            print(f"bitskip: {name} was not written: {type(error).__name__}: {error}", file=sys.stderr)
    return given


class Fed:
    """A sweep's listener with sinks beside it, fed when trials finish and not more often than pays."""

    def __init__(self, listener: Listener, folder: Path, sinks: Sequence[Sink]) -> None:
        self.listener, self.folder, self.sinks = listener, folder, sinks
        self.again = 0.0

    def preparing(self, what: str) -> None:
        self.listener.preparing(what)

    def started(self, trial_id: str) -> None:
        self.listener.started(trial_id)

    def finished(self, row: dict[str, Any]) -> None:
        self.listener.finished(row)
        if (began := time.monotonic()) >= self.again:
            feed(self.folder, self.sinks)
            self.again = time.monotonic() + (time.monotonic() - began) / SHARE_OF_TIME


@contextlib.contextmanager
def fed(opened: contextlib.AbstractContextManager[Listener], folder: Path, sinks: Sequence[Sink]) -> Iterator[Listener]:
    """The listener that a view opens, with sinks beside it."""
    with opened as listener:
        yield Fed(listener, folder, sinks) if sinks else listener
