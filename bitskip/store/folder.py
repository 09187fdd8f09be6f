"""Where everything of a sweep lies below its results folder (DESIGN 5).

The tables and `sweep.yaml` are the results; all else serves the machine that runs the sweep, and may be deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DESIGN_FILE = "sweep.yaml"
SAFETENSORS = ".safetensors"


@dataclass(frozen=True)
class SweepFolder:
    """The paths in `results/<sweep>`; none of them need exist."""

    path: Path

    @property
    def design(self) -> Path:
        """The merged sweep file."""
        return self.path / DESIGN_FILE

    def table(self, name: str) -> Path:
        """The folder of a table's Parquet files."""
        return self.path / name

    def part(self, table: str, trial_id: str) -> Path:
        """A trial's own file of a table."""
        return self.table(table) / f"{trial_id}.parquet"

    @property
    def scratch(self) -> Path:
        """Where parts are written before they are renamed into place."""
        return self.path / ".tmp"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, trial_id: str) -> Path:
        """What an interrupted trial goes on from."""
        return self.checkpoints / f"{trial_id}{SAFETENSORS}"

    @property
    def prefixes(self) -> Path:
        """Where trials leave what others start from."""
        return self.path / "prefixes"

    def weights(self, trial_id: str) -> Path:
        """A trained model, where its sweep keeps weights."""
        return self.path / "weights" / f"{trial_id}{SAFETENSORS}"

    @property
    def heartbeats(self) -> Path:
        return self.path / "running"

    def heartbeat(self, trial_id: str) -> Path:
        """What the worker of a running trial last said."""
        return self.heartbeats / f"{trial_id}.json"

    def log(self, trial_id: str) -> Path:
        """The log of all attempts at a trial."""
        return self.path / "logs" / f"{trial_id}.log"

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    @property
    def owner(self) -> Path:
        """Says who holds the lock."""
        return self.path / ".owner.json"

    @property
    def ray(self) -> Path:
        """Ray Tune's own files: shared with the cluster's machines, removed at the end."""
        return self.path / ".ray"

    def half_written(self) -> list[Path]:
        """Files that were never renamed into place: of killed processes, or being written right now."""
        places = (self.scratch, self.checkpoints, self.prefixes, self.path / "weights", self.heartbeats)
        found = (path for place in places for path in place.glob("*" if place == self.scratch else ".*"))
        return [path for path in found if path.is_file()]


def stored_design(results: Path, sweep: str) -> Path | None:
    """The design of a sweep in a results folder, or in the sweep's own; None where it is not beside its results."""
    return next((at for folder in (results / sweep, results) if (at := SweepFolder(folder).design).exists()), None)


def stored_weights(root: Path) -> dict[str, Path]:
    """trial_id to its weights, over all sweeps at or below a folder."""
    return {path.stem: path for path in sorted(root.glob(f"**/weights/*{SAFETENSORS}"))}
