"""Text files as documents, with a held-out part that shares none of them with training."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bitskip.data.corpora.files import TextFiles, expand_files, files_digest
from bitskip.errors import UserError
from bitskip.trial.config import DataConfig

DOCUMENTS = [f"document {i} tells of {i * i}" for i in range(400)]
SHARED = Path(os.environ.get("BITSKIP_TEST_TEXT", Path(__file__).parents[3] / "shared" / "data"))


def corpus(*files: Path | str, **settings: object) -> TextFiles:
    return TextFiles(DataConfig(corpus="files", files=tuple(map(str, files)), **settings))  # type: ignore[arg-type]


def write(folder: Path, kind: str, documents: list[str] = DOCUMENTS) -> Path:
    path = folder / f"text.{kind}"
    if kind == "txt":
        path.write_text("\n\n".join(documents))
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps({"text": text}) for text in documents))
    else:
        pq.write_table(pa.table({"text": documents}), path)
    return path


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
def test_every_document_is_on_one_side(kind: str, tmp_path: Path) -> None:
    text = corpus(write(tmp_path, kind), validation_fraction=0.2)
    train, held_out = list(text.documents("train")), list(text.documents("validation"))
    assert sorted(train + held_out) == sorted(DOCUMENTS)
    assert 0.1 < len(held_out) / len(DOCUMENTS) < 0.3


def test_copies_fall_on_the_same_side_in_any_order(tmp_path: Path) -> None:
    text = corpus(write(tmp_path, "txt", DOCUMENTS + DOCUMENTS[::-1]), validation_fraction=0.3)
    train, held_out = list(text.documents("train")), list(text.documents("validation"))
    assert not set(train) & set(held_out)
    assert len(train) + len(held_out) == 2 * len(DOCUMENTS)


def test_one_long_document_is_cut_into_blocks_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("\n".join(f"line {i}" for i in range(2_000)))
    text = corpus(path, validation_fraction=0.2)
    train, held_out = list(text.documents("train")), list(text.documents("validation"))
    assert len(train) + len(held_out) == 100
    assert held_out
    assert not set(train) & set(held_out)


def test_digest_is_of_the_content(tmp_path: Path) -> None:
    first = write(tmp_path, "txt")
    digest = files_digest([str(first)])
    moved = first.rename(tmp_path / "moved.txt")
    assert files_digest([str(moved)]) == digest
    moved.write_text("other")
    assert files_digest([str(moved)]) != digest


def test_globs_name_each_file_once_in_order(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.txt", "a.txt", "deep/c.txt"):
        (tmp_path / name).write_text("x")
    found = expand_files([f"{tmp_path}/**/*.txt", f"{tmp_path}/a.txt"])
    assert [path.name for path in found] == ["a.txt", "b.txt", "c.txt"]


def test_mistakes_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b")
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{oops')
    (tmp_path / "nokey.jsonl").write_text('{"body": "a"}')
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    (tmp_path / "latin.jsonl").write_bytes('{"text": "é"}'.encode("latin-1"))
    (tmp_path / "half.jsonl").write_text('{"text": "a"}\n\n{"text": "\\ud800"}')
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "body.parquet")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "numbers.parquet")
    rotten = bytearray(write(tmp_path, "parquet").read_bytes())
    rotten[20:1_000] = bytes(980)
    (tmp_path / "rotten.parquet").write_bytes(rotten)
    for name, message in {
        "none.txt": "no such file: .*none.txt",
        "*.md": "no file matches",
        "x.csv": "unknown kind of file; expected one of .txt, .jsonl, .parquet",
        "latin.txt": r"not UTF-8 text \(byte 0\)",
        "bad.jsonl": r"bad.jsonl:2: not JSON",
        "nokey.jsonl": r"nokey.jsonl:1: no text under 'text' \(keys: body\); set data.column",
        "torn.parquet": "not a Parquet file",
        "latin.jsonl": r"latin.jsonl:1: not UTF-8 text \(byte 10\)",
        "half.jsonl": r"half.jsonl:3: half a surrogate pair",
        "numbers.parquet": r"column 'text' holds int64, not text; set data.column",
        "rotten.parquet": "rotten.parquet: cannot be read",
        "body.parquet": r"no column 'text' \(columns: body\); set data.column",
    }.items():
        with pytest.raises(UserError, match=message):
            list(corpus(tmp_path / name).documents("train"))


def test_a_file_without_permission_and_an_empty_separator_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "txt")
    with pytest.raises(UserError, match=r"data\.separator is empty"):
        list(corpus(path, separator="").documents("train"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="no permission to read it"):
        files_digest([str(path)])


@pytest.mark.parametrize("kind", ["txt", "jsonl"])
def test_a_byte_order_mark_is_no_text(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, kind)
    expected = list(corpus(path).documents("train"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert list(corpus(path).documents("train")) == expected


@pytest.mark.parametrize("name", ["wikitext2-valid.txt", "tinystories-sample.txt"])
def test_real_text_works_as_it_is(name: str) -> None:
    if not (SHARED / name).exists():
        pytest.skip(f"{name} is not beside this checkout; set BITSKIP_TEST_TEXT to its folder")
    text = corpus(SHARED / name)
    train, held_out = (set(text.documents(side)) for side in ("train", "validation"))
    assert len(train) > 100
    assert held_out
    assert not train & held_out
