"""Launcher for a checkout: `python cli.py …` is `bitskip …`."""

from bitskip.cli import app

if __name__ == "__main__":
    app()
