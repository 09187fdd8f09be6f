"""Whatever stands in a sweep file, the answer is a plan or one line; sizes that would take minutes are refused."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from bitskip.errors import UserError
from bitskip.sweep.estimability import MOST_EFFECTS, gaps, unexamined
from bitskip.sweep.grid import Grid
from bitskip.sweep.located_yaml import parse_setting
from bitskip.sweep.sweep_file import load_sweep
from bitskip.techniques.base import plain

BASE = "base: {model: nano, tokens: 8000}\n"
ALIASES = "\n".join(f"  a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"space: {{bits: [16]}}\ndescription:\n  a0: &a0 [x]\n{ALIASES}\n", "more than 100,000 values"),
        ("space: {bits: [8]}\nseeds: [18446744073709551616]\n", "x.yaml:3: seed: 18446744073709551616 is too large"),
        (f"space: {{bits: [{'9' * 5000}]}}\n", "invalid YAML: Exceeds the limit"),
        (f"space: {{bits: [1{'0' * 4000}]}}\n", "x.yaml:2: bits: 1e4000 is too large"),
        (f"space: {{lr: [1{'0' * 400}]}}\n", "x.yaml:2: lr: 1e400 is too large"),
        ("space: {bits: [2020-13-45]}\n", "invalid YAML: month must be"),
        (f"space: {{bits: {'[' * 3000}{']' * 3000}}}\n", "nested too deeply"),
        ("space: {bits: !!python/object/apply:os.system ['x']}\n", "bits: expected a whole number"),
        (f"name: {'a' * 300}\nspace: {{bits: [8]}}\n", "name: 300 letters"),
        (f"space: {{lr: [{'1,' * 40_000}]}}\n", "has 40,003 lines and commas"),
        ("points: {V1: &v {<<: *v}}\n", "invalid YAML: a tag, anchor or merge key means nothing"),
        ("space: {data: [{files: []}]}\n", "corpus 'files' needs data.files"),
        ("space: {data.files: [[]]}\n", "corpus 'files' needs data.files"),
        ("space: {data.vocab_size: [1_000_000_000]}\n", "at most 1048576"),
        ("points: {1: {bits: 8}, '1': {bits: 4}}\n", "points: 1 and '1' are one name"),
        (f"space: {{lr: {[i / 1e4 for i in range(1, 200)]}, beta1: {[i / 1e3 for i in range(200)]}}}\n", "39,800"),
        (
            f"space: {{lr: {[i / 1e4 for i in range(1, 60)]}, beta1: {[i / 1e3 for i in range(60)]}}}\n"
            "design: {fractional: 9}\n",
            "3,540 terms, more than 2,000",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(BASE + text)
    with pytest.raises(UserError) as failure:
        load_sweep(file)
    assert told in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("text", ["a=&a [*a]", "a=2020-13-45", f"a={'9' * 5000}", "a=!!python/name:os.system x"])
def test_what_cannot_be_set_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match="is not YAML"):
        parse_setting(text)


def test_a_large_full_cross_is_judged_at_once() -> None:
    cells = tuple(((a,), (b,)) for a, b in itertools.product(range(300), repeat=2))
    began = time.monotonic()
    assert gaps(Grid(("a", "b"), (), cells, cells[0]), cells) == []
    holed = Grid(("a", "b"), (), cells[1:], cells[0], ((cells[0], "rule"),))
    assert gaps(holed, cells[1:]) == []  # of main effects
    assert f"more than {MOST_EFFECTS:,}" in (unexamined(holed, cells[1:]) or "")
    assert time.monotonic() - began < 30


def test_a_value_is_told_apart_from_every_other() -> None:
    values = [0.3, 0.30000000000000004, 1e-5, 1.0, "\n\n", "\\n\\n", " ", "  ", "a", "a "]
    assert len({plain(value) for value in values}) == len(values)
    assert [plain(0.3), plain(1e-5), plain(500000.0), plain("a b")] == ["0.3", "1e-05", "500000", "a b"]
