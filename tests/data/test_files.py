"""Text files as documents, with a held-out part that shares none of them with training."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bitskip.data import load_data
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


def all_sides(text: TextFiles) -> list[list[str]]:
    return [list(text.documents(side)) for side in text.sides]


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
def test_every_document_is_on_one_side(kind: str, tmp_path: Path) -> None:
    text = corpus(write(tmp_path, kind), validation_fraction=0.2)
    train, validation, test = all_sides(text)
    assert sorted(train + validation + test) == sorted(DOCUMENTS)
    assert all(0.1 < len(side) / len(DOCUMENTS) < 0.3 for side in (validation, test))


def test_with_two_parts_the_test_has_the_same_documents(tmp_path: Path) -> None:
    path = write(tmp_path, "txt")
    train, validation, test = all_sides(corpus(path, validation_fraction=0.2))
    assert all_sides(corpus(path, validation_fraction=0.2, split="two")) == [
        [text for text in DOCUMENTS if text in {*train, *validation}],
        test,
    ]


def test_parts_that_leave_nothing_to_train_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="set it below 0.5"):
        corpus(write(tmp_path, "txt"), validation_fraction=0.5).pinned()


def test_copies_fall_on_the_same_side_in_any_order(tmp_path: Path) -> None:
    text = corpus(write(tmp_path, "txt", DOCUMENTS + DOCUMENTS[::-1]), validation_fraction=0.3)
    sides = all_sides(text)
    assert not set.intersection(*map(set, sides[:2])) | set.intersection(*map(set, sides[1:]))
    assert not set(sides[0]) & set(sides[2])
    assert sum(map(len, sides)) == 2 * len(DOCUMENTS)


def test_one_long_document_is_cut_into_blocks_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("\n".join(f"line {i}" for i in range(2_000)))
    text = corpus(path, validation_fraction=0.2)
    train, validation, test = all_sides(text)
    assert [len(side) for side in (train, validation, test)] == [60, 20, 20]
    assert len({*train, *validation, *test}) == 100


def test_digest_is_of_the_content(tmp_path: Path) -> None:
    first = write(tmp_path, "txt")
    digest = files_digest([first])
    moved = first.rename(tmp_path / "moved.txt")
    assert files_digest([moved]) == digest
    moved.write_text("other")
    assert files_digest([moved]) != digest


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
        corpus(path).pinned()


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
    train, validation, test = map(set, all_sides(text))
    assert len(train) > 20
    assert validation
    assert test
    assert len(train | validation | test) == len(train) + len(validation) + len(test)


STORIES = [f"Story {i} begins.\nIt goes on {i} times.\nThen it ends." for i in range(60)]
MARKER = "<|endoftext|>"


def as_rows(folder: Path, documents: list[str], **settings: object) -> list[list[str]]:
    """The sides of documents that are given one a row: what every way to write them has to give."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    return all_sides(corpus(path, validation_fraction=0.2, **settings))


def text_file(folder: Path, content: str, name: str = "text.txt") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "settings", "document"),
    [
        ("\n\n".join(STORIES), {}, "auto"),
        ("\n\n".join(STORIES), {"document": "separator"}, "auto"),
        ("\n\n".join(STORIES), {"document": "blank-line"}, "auto"),
        ("\r\n\r\n".join(STORIES), {}, "auto"),
        (" \n \t\n".join(f"{s}\n" for s in STORIES), {}, "blank-line"),
        ("\n   \n".join(STORIES[:30]) + "\n\n" + "\n\n".join(STORIES[30:]), {}, "blank-line"),
        ("".join(f"{s}\n{MARKER}\n" for s in STORIES), {"separator": MARKER}, "auto"),
        ("".join(f"{s}\n</s>\n" for s in STORIES), {"separator": "\n</s>\n"}, "auto"),
    ],
)
def test_the_same_stories_are_the_same_documents_however_they_are_separated(
    content: str, settings: dict[str, str], document: str, tmp_path: Path
) -> None:
    text = corpus(text_file(tmp_path, content), validation_fraction=0.2, **settings)
    assert all_sides(text) == as_rows(tmp_path, STORIES)
    assert text.pinned().document == document


@pytest.mark.parametrize(
    "content",
    [
        f"one\n{MARKER}\ntwo\n",
        f"one\n  {MARKER.upper()}\t\ntwo\n",
        f"one{MARKER}\ntwo\n",
        f"one\n{MARKER}two",
        MARKER.join(STORIES[:2]),
        f" {MARKER} ".join(STORIES),
        "one\n</s>\ntwo",
        "one\n[EOS]\n\ntwo",
        "one\n<|end_of_text|>\ntwo",
        "one\n<｜end▁of▁sentence｜>\ntwo",
        "<doc>\none\n</doc>\n",
        "\n\n".join([*STORIES, MARKER]),
        "".join(f"<s>{s}</s>\n" for s in STORIES),
        "".join(f"{s} <eos>\n" for s in STORIES),
    ],
)
@pytest.mark.parametrize("document", ["auto", "separator", "blank-line", "file", "lines", "row"])
def test_markers_that_would_not_be_cut_at_are_refused(content: str, document: str, tmp_path: Path) -> None:
    text = corpus(text_file(tmp_path, content), document=document)
    with pytest.raises(UserError, match=r'text\.txt:\d+: .* ends documents here.*set data\.separator: "[<[].*[]>]"$'):
        list(text.documents("train"))


@pytest.mark.parametrize("marker", ["<bos>", "[BOS]", "<|begin_of_text|>", "<|startoftext|>"])
def test_markers_with_which_documents_begin_are_refused_where_they_come_often(marker: str, tmp_path: Path) -> None:
    content = "".join(f"{marker}{s}\n" for s in STORIES)
    with pytest.raises(UserError, match=r"text\.txt:58: '.*' begins documents here.*set data\.separator"):
        all_sides(corpus(text_file(tmp_path, content)))
    again = corpus(text_file(tmp_path, content), validation_fraction=0.2, separator=marker)
    assert all_sides(again) == as_rows(tmp_path, STORIES)
    all_sides(corpus(text_file(tmp_path, f"{marker}{STORIES[0]}\n\n" * 19)))


@pytest.mark.parametrize("marker", ["{}</s>", "<s>{}", "{}[EOS]"])
def test_rows_that_end_or_begin_with_markers_are_refused(marker: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row 20: .*leave it out, or set data\.document: row"):
        as_rows(tmp_path, [marker.format(s) for s in STORIES])


@pytest.mark.parametrize(
    ("between", "told"),
    [
        ("\n---\n", r'59 lines that are \'---\' alone: .*set data\.separator: "\\n---\\n"'),
        ("\n\n* * *\n\n", r"59 lines that are '\* \* \*' alone"),
        ("\n<|im_end|>\n", r"59 lines that are '<\|im_end\|>' alone"),
        ("\n&lt;|endoftext|&gt;\n\n", r"59 lines that are '&lt;\|endoftext\|&gt;' alone"),
        ("\f", "59 form feeds"),
        ("\n\n\n", r"59 gaps of several empty lines beside 60 of one: .*set data\.separator: \"\\n\\n\\n\""),
    ],
)
def test_what_may_separate_documents_and_does_not_is_told(between: str, told: str, tmp_path: Path) -> None:
    content = between.join(s.replace("\nThen", "\n\nThen") for s in STORIES)
    doubts = corpus(text_file(tmp_path, content)).summary().warnings
    assert any(re.search(told, doubt) for doubt in doubts), doubts


def test_a_marker_that_is_written_about_is_text(tmp_path: Path) -> None:
    prose = [f"{s} A document ends with {MARKER} in GPT-2, and <s>this</s> is struck out." for s in STORIES[:19]]
    text = corpus(text_file(tmp_path, "\n\n".join(prose + STORIES)))
    assert sum(map(len, all_sides(text))) == 79


def test_a_marker_in_a_row_is_refused_unless_rows_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = [*STORIES, f"one\n{MARKER}\ntwo"]
    with pytest.raises(UserError, match=r"rows\.jsonl: row 61: .*set data\.document: row"):
        as_rows(tmp_path, rows)
    assert sum(map(len, as_rows(tmp_path, rows, document="row"))) == 61


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"separator": r"\n\n"}, r'holds a backslash.* write separator: "\\n\\n", in double quotes'),
        ({"separator": "###"}, r'"###" separates no documents in .*text\.txt; .*data\.document: file'),
        ({"separator": "\r\n\r\n"}, r"line ends are read as \\n"),
        ({"document": "article"}, r"no line ' = Title = '"),
    ],
)
def test_a_separator_that_separates_nothing_is_refused(settings: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        list(corpus(text_file(tmp_path, "\n\n".join(STORIES)), **settings).documents("train"))


@pytest.mark.parametrize("document", ["separator", "blank-line", "lines"])
def test_rows_are_not_cut_like_text(document: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is for \.txt files; a row is a document"):
        as_rows(tmp_path, STORIES, document=document)


@pytest.mark.parametrize("document", ["auto", "file"])
def test_a_book_a_file_is_a_document_a_file(document: str, tmp_path: Path) -> None:
    books = ["\n".join(f"book {b} line {i}" for i in range(90)) for b in range(40)]
    for number, book in enumerate(books):
        text_file(tmp_path, book, f"book{number:02d}.txt")
    text = corpus(tmp_path / "*.txt", document=document, validation_fraction=0.2)
    assert all_sides(text) == as_rows(tmp_path, books)
    assert text.pinned().document == "file"


def test_files_of_a_few_documents_each_are_not_cut_into_blocks(tmp_path: Path) -> None:
    for number in range(12):
        text_file(tmp_path, "\n\n".join(STORIES[5 * number : 5 * number + 5]), f"part{number:02d}.txt")
    text = corpus(tmp_path / "part*.txt", validation_fraction=0.2)
    assert all_sides(text) == as_rows(tmp_path, STORIES)
    assert text.pinned().document == "separator"


def test_blocks_of_one_text_are_held_out_at_its_end_and_this_is_said(tmp_path: Path) -> None:
    text = corpus(text_file(tmp_path, "\n".join(f"line {i}" for i in range(400))), validation_fraction=0.2)
    train, validation, test = all_sides(text)
    assert "\n".join(train + validation + test).splitlines() == [f"line {i}" for i in range(400)]
    assert (len(train), len(validation), len(test)) == (12, 4, 4)
    assert text.pinned().document == "lines"
    assert "what is held out continues what is trained on" in text.summary().warnings[0]


WIKI = [
    "\n".join([f" = Title {i} = ", " ", f" Text of {i} . ", " ", " = = Section = = ", " "] + [f" More {i} . "] * 30)
    for i in range(30)
]


@pytest.mark.parametrize("document", ["auto", "article"])
def test_articles_of_wikitext_are_documents(document: str, tmp_path: Path) -> None:
    path = text_file(tmp_path, " \n" + " \n".join(f"{article}\n" for article in WIKI))
    assert all_sides(corpus(path, document=document, validation_fraction=0.2)) == as_rows(
        tmp_path, [article.strip() for article in WIKI]
    )
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps({"text": f"{line}\n"}) + "\n" for line in path.read_text().split("\n")))
    of_rows = all_sides(corpus(lines, document="article", validation_fraction=0.2))
    assert of_rows == all_sides(corpus(path, document="article", validation_fraction=0.2))


def test_wikitext_as_it_was_measured_is_told_to_share_articles(tmp_path: Path) -> None:
    """Blocks of 20 lines, held out by their hash: what 0.1 did, computed here on its own."""
    path = text_file(tmp_path, " \n" + " \n".join(f"{article}\n" for article in WIKI))
    lines = path.read_text().splitlines()
    blocks = ["\n".join(lines[at : at + 20]) for at in range(0, len(lines), 20)]
    text = corpus(path, validation_fraction=0.2, split="two")
    assert all_sides(text) == as_rows(tmp_path, blocks, split="two")
    assert (text.pinned().document, text.pinned().split) == ("auto", "auto")
    assert "30 articles" in text.summary().warnings[0]
    assert "leave data.split: two out" in text.summary().warnings[0]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_null_texts_are_left_out_and_counted(kind: str, tmp_path: Path) -> None:
    texts = [*DOCUMENTS[:50], None, "  ", *DOCUMENTS[50:], None]
    found = corpus(write(tmp_path, kind, texts), validation_fraction=0.2).summary()  # type: ignore[arg-type]
    assert (found.found, found.kept, found.null, found.empty) == (403, 400, 2, 1)
    assert "1 empty, 2 null left out" in found.line()


def test_a_summary_is_what_the_sides_hold(tmp_path: Path) -> None:
    text = corpus(write(tmp_path, "txt", [f"{'é' * i} end" for i in range(1, 101)]), validation_fraction=0.2)
    train, validation, test = all_sides(text)
    held_out, found = [*validation, *test], text.summary()
    assert (found.files, found.found, found.kept, found.held_out) == (1, 100, 100, len(held_out))
    assert found.validation == len(validation)
    assert found.train_bytes == sum(len(each.encode()) for each in train)
    assert found.held_out_bytes == sum(len(each.encode()) for each in held_out)
    assert (found.shortest, found.median, found.longest) == (5, 54, 104)
    assert found.cut == r'cut at "\n\n"'


def test_names_order_and_kinds_of_files_shape_no_stream(tmp_path: Path) -> None:
    halves, found = (DOCUMENTS[:150], DOCUMENTS[150:]), {}
    for first, second in (("a.txt", "b.txt"), ("z.txt", "c.txt")):
        folder = tmp_path / first
        folder.mkdir()
        for name, documents in zip((first, second), halves, strict=True):
            text_file(folder, "\n\n".join(documents), name)
        found[first] = corpus(folder / "*.txt", vocab_size=300)
    found["rows"] = corpus(write(tmp_path, "jsonl"), vocab_size=300)
    assert found["a.txt"].pinned().digest == found["z.txt"].pinned().digest
    streams = {name: load_data(text.pinned(), 0, 0, tmp_path / name / "cache") for name, text in found.items()}
    for name in ("train", "validation", "test", "test_bytes"):
        one, *others = (np.asarray(getattr(each, name)) for each in streams.values())
        assert all(np.array_equal(one, other) for other in others)


@pytest.mark.parametrize("count", [3, 5, 12, 40])
def test_each_part_of_a_short_text_has_a_document(count: int, tmp_path: Path) -> None:
    text = corpus(write(tmp_path, "jsonl", DOCUMENTS[:count]), validation_fraction=0.01)
    assert [len(side) for side in all_sides(text)] == [count - 2, 1, 1]


def test_a_file_under_two_names_counts_once(tmp_path: Path) -> None:
    first = write(tmp_path, "txt")
    (tmp_path / "link.txt").symlink_to(first)
    text_file(tmp_path, first.read_text(), "copy.txt")
    twice = corpus(first, tmp_path / "link.txt", tmp_path / "copy.txt", f"{tmp_path}/./text.txt")
    assert all_sides(twice) == all_sides(corpus(first))
    assert twice.pinned().digest == corpus(first).pinned().digest
    assert len([each for each in twice.summary().warnings if "counted once" in each]) == 2


def test_brackets_tilde_and_folders_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = text_file(tmp_path, "\n\n".join(STORIES), "my[1].txt")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_files([str(path)]) == expand_files(["~/my[1].txt"]) == [path]
    with pytest.raises(UserError, match=r"is a folder; name its files, such as .*\*\.txt"):
        expand_files([str(tmp_path)])
    with pytest.raises(UserError, match="no such file"):
        expand_files(["a" * 5_000])


def bad_utf8(path: Path) -> None:
    offsets = np.array([0, 5, 12, 16], np.int32).tobytes()
    values = pa.StringArray.from_buffers(3, pa.py_buffer(offsets), pa.py_buffer(b"helloca\xe9f\xffxxok!!"))
    pq.write_table(pa.table({"text": values}), path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("digits.jsonl", '{"text": "a", "n": ' + "9" * 5_000 + "}", r"digits\.jsonl:1: cannot be read: .*this line"),
        ("deep.jsonl", '{"text": "a"}\n{"n": ' + "[" * 5_000 + "]" * 5_000 + "}", r"deep\.jsonl:2: cannot be read"),
        ("twice.jsonl", '{"text": "a", "text": "b"}', r"twice\.jsonl:1: 'text' stands there twice"),
        (
            "keys.jsonl",
            json.dumps({f"a\n{i}": 1 for i in range(999)}),
            r"keys\.jsonl:1: .*\(keys: a 0, a 1, .* …\); set",
        ),
        ("number.jsonl", '{"text": 3}', r"number\.jsonl:1: no text under 'text'"),
        ("zero.txt", "a\nb\0c", r"zero\.txt:2: holds a zero byte"),
        ("utf8.parquet", bad_utf8, r"utf8\.parquet: row 2: not UTF-8 text \(byte 2\); mend or remove this row"),
        (
            "columns.parquet",
            lambda path: pq.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), path),
            r"columns\.parquet: has 2 columns 'text'; rename",
        ),
        ("empty.parquet", "", "not a Parquet file"),
        ("empty.txt", "\n \n", "no text in .*empty.txt"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_place(
    name: str, content: str | Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    _ = path.write_text(content) if isinstance(content, str) else content(path)
    with pytest.raises(UserError, match=message) as caught:
        corpus(path).summary()
    assert "\n" not in str(caught.value)


def test_a_key_within_a_value_is_no_second_text(tmp_path: Path) -> None:
    path = text_file(tmp_path, '{"text": "a \\"text\\" b", "meta": {"text": 1}}', "one.jsonl")
    assert corpus(path).summary().kept == 1


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
def test_a_damaged_file_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    """Bytes changed at random, seeded: whatever comes of it, it is documents or one line."""
    whole = write(tmp_path, kind, DOCUMENTS[:60]).read_bytes()
    random = np.random.default_rng(0)
    for round_ in range(150):
        damaged = bytearray(whole)
        for at in random.integers(len(damaged), size=random.integers(1, 9)):
            damaged[at] = random.integers(256)
        path = tmp_path / f"damaged.{kind}"
        path.write_bytes(bytes(damaged[: len(damaged) - (round_ % 3) * 7]))
        refusal = ""
        try:
            assert corpus(path).summary().found
        except UserError as error:
            refusal = str(error)
        assert "\n" not in refusal
