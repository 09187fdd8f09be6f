"""What all commands share: the application, its options, and how mistakes end.

Exit status: 0 done; 1 something failed while running; 2 the input is wrong; 130 interrupted, 143 ended by SIGTERM
(finished trials are kept).
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bitskip
from bitskip import progress
from bitskip.errors import UserError
from bitskip.extras import EXTRA_OF, how_to_get
from bitskip.shipped import reference_results
from bitskip.store.filesystem import place, shown

if TYPE_CHECKING:
    from bitskip.report.table import Block

DEFAULT_RESULTS = Path("results")
INTERRUPTED, TERMINATED = 130, 143
OUTPUT_FAILS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)


class App(typer.Typer):
    """Typer with one place where a user's mistake becomes a line and an exit status."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _write_whatever_comes()
        progress.show_on_stderr()
        try:
            try:
                return super().__call__(*args, **kwargs)
            finally:
                sys.stdout.flush()  # here, where it can be told, and not when Python ends
        except UserError as error:
            print(f"bitskip: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRA_OF:
                raise
            print(f"bitskip: {how_to_get(package)}", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            print("bitskip: interrupted", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        except OSError as error:
            if error.errno not in OUTPUT_FAILS:
                raise
            if error.errno != errno.EPIPE:
                print(f"bitskip: cannot write: {error.strerror}; make room and start again", file=sys.stderr)
            with contextlib.suppress(OSError):  # what is still to be written goes nowhere
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise SystemExit(1) from None


PLAIN = {
    "→": "->",
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "x",
    "·": "*",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "±": "+-",
    "≈": "~",
    "▲": "^",
    "▼": "v",
}
"""How a terminal that knows no more than ASCII, or a code page, shows what is not in it; anything else is a `?`."""


def _write_whatever_comes() -> None:
    """No output stream fails at a character that its encoding does not have, or at a file name that is not UTF-8."""

    def stand_in(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return "".join(PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end

    codecs.register_error("bitskip", stand_in)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if os.environ.get("COLUMNS", "80").strip("0") == "":  # rich would write nothing into no columns
        del os.environ["COLUMNS"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where a test or a notebook has put something else
            stream.reconfigure(errors="bitskip")


app = App(
    help="How quantization, Hadamard rotation, layer dropout and early exit compose in a language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ResultsOption = Annotated[
    Path, typer.Option("--results", parser=place, metavar="DIR", help="Folder of results, or s3://bucket/prefix.")
]
ResultsArgument = Annotated[
    Path, typer.Argument(parser=place, metavar="[DIR]", help="A sweep's results, or a folder of several.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
MetricOption = Annotated[
    str | None, typer.Option(help="What is asked for: ppl, bpb, speed_gain …; else perplexity, or what was measured.")
]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="Override a value; repeatable.")]
ProfileOption = Annotated[str | None, typer.Option(help="A profile of the file, merged over the rest.")]
MaxTrialsOption = Annotated[int | None, typer.Option(help="Run at most so many trials now.", min=1)]
MaxRungOption = Annotated[
    int | None, typer.Option(help="Only the cheapest N rungs of the ladder now.", metavar="N", min=1)
]
TimeBudgetOption = Annotated[
    str | None, typer.Option(metavar="T", help="Start no trial after 90s, 15m, 8h or 2d; running ones finish.")
]
RetryOption = Annotated[
    str | None,
    typer.Option(metavar="STATUS,…", help="Failed trials to run again: error, timeout, both, or none."),
]
ExecutorOption = Annotated[
    str | None,
    typer.Option(help="ray, or inline: one trial after another in this process, as where ray is not installed."),
]
AddressOption = Annotated[str | None, typer.Option(help="Ray cluster to join, host:port or auto.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"bitskip {bitskip.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


def or_reference(folder: Path) -> Path:
    """The results asked for, or, where none are named and there are none yet, those that come with bitskip."""
    from bitskip.store.tables import sweep_folders

    reference = DEFAULT_RESULTS / "reference"
    if not reference.is_dir():
        reference = reference_results()
    if folder != DEFAULT_RESULTS or not reference.is_dir():
        return folder
    try:
        sweep_folders(folder)
    except UserError:
        where = f"no results in {folder} yet; these are the reference runs of {reference}"
        print(f"bitskip: {where}", file=sys.stderr)
        return reference
    return folder


def settings_of(pairs: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """`axis=value` pairs, values in YAML."""
    from bitskip.sweep.located_yaml import parse_setting

    return dict(parse_setting(pair) for pair in pairs)


def tell_problems(problems: Iterable[str]) -> None:
    """What of the results could not be read, on standard error."""
    for problem in problems:
        print(f"bitskip: {problem}", file=sys.stderr)


def tell_next(*command: object, as_json: bool = False) -> None:
    """The next useful command in one line, for who sits at a terminal."""
    if sys.stdout.isatty() and not as_json:
        print(f"Next: {shlex.join(['bitskip', *map(str, command)])}")


def results_words(results: Path) -> list[str]:
    """How a command names a results folder, if it has to."""
    return [] if results == DEFAULT_RESULTS else ["--results", shown(results)]


def print_blocks(blocks: Iterable[Block]) -> None:
    """Print texts and tables as they come."""
    from rich.console import Console

    from bitskip.report import terminal

    terminal.print_blocks(blocks, Console(), ruled=False)
