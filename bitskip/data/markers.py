"""What other people's files put between documents: markers, and lines that come again and again."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable

from bitskip.errors import UserError

MANY = 20
"""So many lines alike, or mentions of a marker, are no accident. Also the fewest documents to hold some out of."""

_WHAT = r"(?:text|doc(?:ument)?|sentence|sequence|story|article|file|page|passage|paper|book)"
_END = rf"end[ _▁-]?of[ _▁-]?{_WHAT}|eo[psdft]|eot_id"
_BEGIN = rf"(?:start|begin(?:ning)?)[ _▁-]?of[ _▁-]?{_WHAT}|bo[sdt]"
_MARKER = re.compile(
    rf"<[|｜](?:{_END}|doc(?:ument)?_?sep(?:arator)?|sep)[|｜]>|<(?:{_END}|sep)>|\[(?:{_END}|(?:doc)?sep)\]"
    rf"|</(?:s|doc|document|story|article|text|page)>"
    rf"|(?P<begin><[|｜](?:{_BEGIN})[|｜]>|<(?:{_BEGIN}|s)>|\[(?:{_BEGIN})\])",
    re.IGNORECASE,
)
"""What tokenizers and other people's files close a document with, or open it."""

_BLANKS, _NEAR = " \t\r\f\v\u00a0", 100

_ALONE = re.compile(
    r"^[ \t]*(</?[a-z|｜][^<>\n]{0,60}>|\[[^\[\]\n]{1,40}\]|([-*=#~_+•·%@^/|$&!?§])(?:[ \t]*\2){2,}|%%?|⁂"
    r"|[\u200b\u2060\ufeff\x1c-\x1f]+|the end\.?"
    r"|(?:&lt;)?[^\w\n]{0,4}end[ _▁-]?of[ _▁-]?text[^\w\n]{0,4}(?:&gt;)?)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""Lines that are a tag, a rule of one character, or say that something ends."""

_GAP = re.compile(r"\S[^\S\n]*\n((?:[^\S\n]*\n)+)")


def refuse_markers(content: str, where: str, used: str, lines: int = 0, mentioned: int = 0) -> int:
    """How often markers are mentioned up to here; `content` stands behind so many lines with so many of them.

    Raises UserError if markers stand where documents end or begin, unless these are in `used`, the separator in force.
    """
    if "<" not in content and "[" not in content:
        return mentioned
    cut_at_marker = _MARKER.search(used)
    for match in _MARKER.finditer(content):
        marker, begin = match.group(), match["begin"]
        if marker in used or (begin and cut_at_marker):
            continue
        bars, (begins, ends) = marker[1] in "|｜", _edges(content, match)
        mentioned += bars or begins or ends
        alone = begins and ends
        sure = alone or (bars and (begins or ends or _joins_words(content, match)))
        if (begin or not sure) and mentioned < MANY:
            continue
        cure = "cut the rows there and leave it out, or set data.document: row to train on it as text"
        if ": row " not in where:
            line = lines + content.count("\n", 0, match.start()) + 1
            where, cure = f"{where}:{line}", f'set data.separator: "{marker}"'
        raise UserError(
            f"{where}: '{marker}' {'begins' if begin else 'ends'} documents here, and they would not be cut there; "
            f"{cure}"
        )
    return mentioned


def _edges(content: str, match: re.Match[str]) -> tuple[bool, bool]:
    """Whether nothing but blanks stands before a marker in its line, and behind it."""
    before = content[max(0, match.start() - _NEAR) : match.start()].rstrip(_BLANKS)
    after = content[match.end() : match.end() + _NEAR].lstrip(_BLANKS)
    return not before or before.endswith("\n"), not after or after.startswith("\n")


def _joins_words(content: str, match: re.Match[str]) -> bool:
    """Whether it stands right between words. No other language than that of tokenizers writes <|…|>."""
    before, after = content[match.start() - 1], content[match.end()]
    return (before.isalnum() or before in ".!?") and after.isalnum()


def suspects(blocks: Iterable[str]) -> str:
    """What in a text may separate its documents beside empty lines, in words; empty if nothing does."""
    alone: Counter[str] = Counter()
    narrow = wide = feeds = 0
    for block in blocks:
        alone.update(match[1] for match in _ALONE.finditer(block))
        gaps = Counter(match[1].count("\n") > 1 for match in _GAP.finditer(block))
        narrow, wide = narrow + gaps[False], wide + gaps[True]
        feeds += block.count("\f")
    line, count = next(iter(alone.most_common(1)), ("", 0))
    if count >= MANY:
        cut = json.dumps(f"\n{line}\n", ensure_ascii=False)
        return f"has {count:,} lines that are {line!r} alone: if they separate documents, set data.separator: {cut}"
    if feeds >= MANY:
        return f'has {feeds:,} form feeds: if they separate documents, set data.separator: "\\f"'
    if min(narrow, wide) >= MANY:
        return (
            f"has {wide:,} gaps of several empty lines beside {narrow:,} of one: if only the wide ones separate "
            r'documents, set data.separator: "\n\n\n"'
        )
    return ""
