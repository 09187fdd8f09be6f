"""The `bitskip` command: parse, call, print. Heavy modules are imported by the commands that need them."""

from bitskip.cli import answers, explain, imports, sweeps, trials, tune
from bitskip.cli.app import app

__all__ = ["answers", "app", "explain", "imports", "sweeps", "trials", "tune"]
