"""The one exception for mistakes a user can mend; the command line turns it into a line and exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """What is wrong, where, and how to mend it, in one line, whatever stands in the values and names that it quotes."""

    def __str__(self) -> str:
        told = super().__str__()
        if told.isprintable():
            return told
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in told)


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM): treated as Ctrl-C is, with an exit status of its own."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name closest to `name`, else an empty string."""
    matches = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""
