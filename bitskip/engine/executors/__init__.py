"""What runs the trials of a sweep: Ray Tune on this machine or a cluster, or this process, one after another."""

from __future__ import annotations

import socket
import sys
from typing import Protocol

from bitskip.engine.scheduler import Scheduler
from bitskip.errors import UserError, nearest
from bitskip.extras import EXTRA_OF, installed, require
from bitskip.sweep.resources import Resources

EXECUTORS = ("ray", "inline")
PROBE_SECONDS = 2.0


class Executor(Protocol):
    """Runs trials until `scheduler.over`; kept over the batches of a sweep, so that starting it is paid for once."""

    def check(self, resources: Resources) -> None:
        """Before anything starts: raises UserError if it is known already that a trial cannot be run."""
        ...

    def run(self, scheduler: Scheduler) -> None:
        """May raise anything but loses nothing: what is still marked as running was not finished."""
        ...

    def close(self) -> None: ...


def open_executor(name: str | None, address: str | None = None) -> Executor:
    """The executor of that name, or the one for what is installed; starts nothing yet.

    Raises UserError for one that does not exist or needs what is not installed.
    """
    if name is None and address is None and not installed("ray"):
        print(
            "bitskip: ray is not installed, so trials run one after another in this process; for many at once: "
            f"pip install 'bitskip[{EXTRA_OF['ray']}]'",
            file=sys.stderr,
        )
        name = "inline"
    if name in (None, "ray"):
        require("ray")
        from bitskip.engine.executors.ray_tune import RayTune

        return RayTune(address)
    if name == "inline":
        from bitskip.engine.executors.inline import Inline

        if address is not None:
            raise UserError(f"--executor inline runs in this process: leave --address {address} out, or use ray")
        return Inline()
    raise UserError(f"--executor: '{name}' is not one of {', '.join(EXECUTORS)}{nearest(name, EXECUTORS)}")


def knock(address: str) -> None:
    """Raises OSError where nothing listens at `host:port`, which is known at once; ValueError for another address."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    socket.create_connection((host, int(port)), PROBE_SECONDS).close()
