"""What a user is told of a mistake is one line, whatever the value was."""

from __future__ import annotations

import pytest

from bitskip.errors import UserError


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ("lr: 'a\nb\r\x1b[31m'", r"lr: 'a\nb\r\x1b[31m'"),
        ("x\u2028y \ud800", r"x\u2028y \ud800"),
        ("naïve — →", "naïve — →"),
    ],
)
def test_what_is_not_seen_is_written_out(told: str, line: str) -> None:
    assert str(UserError(told)) == line
