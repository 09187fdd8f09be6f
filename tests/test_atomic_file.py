"""A file is replaced whole or not at all, and nothing else is left behind."""

from pathlib import Path

import pytest

from bitskip import atomic_file
from bitskip.atomic_file import write_atomically


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("content", ["é\n", "é\n".encode(), lambda path: path.write_text("é\n", encoding="utf-8")])
def test_text_bytes_and_writers_end_in_the_file_whose_folder_is_made(
    tmp_path: Path, content: object, sync: bool
) -> None:
    path = tmp_path / "a" / "b" / "file"
    for _ in range(2):
        write_atomically(path, content, sync=sync)  # type: ignore[arg-type]
        assert path.read_bytes() == "é\n".encode()
        assert list(path.parent.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(temporary: Path) -> None:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".file-")
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_can_lie_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = []
    replace = atomic_file.os.replace
    monkeypatch.setattr(atomic_file.os, "replace", lambda a, b: (replaced.append(Path(a).parent), replace(a, b)))
    write_atomically(tmp_path / "parts" / "file", "x", scratch=tmp_path / ".tmp")
    assert replaced == [tmp_path / ".tmp"]
    assert (tmp_path / "parts" / "file").read_text() == "x"
