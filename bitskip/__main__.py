"""`python -m bitskip` is `bitskip`."""

from bitskip.cli import app

app(prog_name="bitskip")
