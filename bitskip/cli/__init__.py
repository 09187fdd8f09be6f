"""The `bitskip` command: parse, call, print. Heavy modules are imported by the commands that need them."""

from bitskip.cli import answers, bench, explain, imports, sweeps, trials, tune
from bitskip.cli.app import app

__all__ = ["answers", "app", "bench", "explain", "imports", "sweeps", "trials", "tune"]
