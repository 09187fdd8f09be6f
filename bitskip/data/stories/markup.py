"""The notation of sentences, compiled into parts that are cheap to draw from.

`{slot}` is filled from the cast, `[one|two]` is a choice, and `<F: I know. / Follow me.>` is speech,
whose tag comes before, after, or at the slash. A mark behind the speaker sets the manner:
`^` answering, `~` quiet, `+` glad, `-` sad. The speaker is a slot of the cast or plain words.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

Part = str | tuple[str, ...]
"""Fixed text, or texts of which one is drawn; both hold %-slots."""

Line = tuple[Part, ...]

VERBS = {
    "?": ("asked", "asked", "inquired"),
    "?^": ("asked", "asked"),
    "?~": ("whispered", "asked"),
    "!": ("cried", "called", "shouted", "exclaimed"),
    "!^": ("cried", "called", "answered"),
    "!~": ("whispered", "breathed"),
    ".": ("said", "said"),
    ".^": ("answered", "replied", "said"),
    ".~": ("whispered", "murmured", "said"),
    ".+": ("laughed", "said", "beamed", "chuckled"),
    "!+": ("laughed", "cheered", "cried"),
    ".-": ("sighed", "said", "mumbled"),
    "!-": ("sobbed", "wailed", "cried"),
}
SPEAKERS = {"H": "H", "F": "F", "G": "GC", "he": "He", "fhe": "Fhe", "ghe": "Ghe"}
"""Slots that can speak, with the slot that starts a sentence."""

PRONOUNS = {"he", "she", "they", "fhe", "ghe"}

_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCE_START_ELDER = re.compile(r'(^"?|[.!?]"? |\|)\{G\}')
_PIECE = re.compile(r"<([^:<>]+): ([^<>]+)>|\[([^\]]+)\]")
_CONTINUATION = re.compile(r"\n +")
_CHOICE = re.compile(r"\[([^\]]+)\]")


def compile_line(text: str) -> Line:
    """The parts of a line of markup."""
    parts: list[Part] = []
    end = 0
    for match in _PIECE.finditer(text):
        _add_fixed(parts, text[end : match.start()], at_start=end == 0)
        speaker, words, choice = match.groups()
        if speaker:
            options: Iterable[str] = (option for plain in _expand(words) for option in _speech(speaker, plain))
        else:
            options = choice.split("|")
        starts = match.start() == 0 or text[: match.start()].endswith((". ", '." ', "! ", "? "))
        parts.append(tuple(_slots(option, at_start=starts) for option in options))
        end = match.end()
    _add_fixed(parts, text[end:], at_start=end == 0)
    return tuple(parts)


def compile_lines(lines: Iterable[str]) -> tuple[Line, ...]:
    return tuple(compile_line(line) for line in lines)


def table_lines(text: str) -> list[str]:
    """The entries of a table, one a line; an indented line continues the one before."""
    return _CONTINUATION.sub(" ", text.strip()).splitlines()


def capitalised(text: str) -> str:
    """Markup with its first letter, or first slot, made fit to start a sentence."""
    for slot, start in (*SPEAKERS.items(), ("his", "His"), ("aanimal", "Aanimal")):
        if text.startswith(f"{{{slot}}}"):
            return text.replace(slot, start, 1)
    return text[0].upper() + text[1:]


def _add_fixed(parts: list[Part], text: str, *, at_start: bool) -> None:
    if text:
        parts.append(_slots(text, at_start=at_start))


def _slots(text: str, *, at_start: bool) -> str:
    start = "" if at_start else " "
    text = _SENTENCE_START_ELDER.sub(r"\1{GC}", start + text if start else text)[len(start) :]
    return _SLOT.sub(r"%(\1)s", text.replace("%", "%%"))


def _expand(text: str) -> list[str]:
    """Every text that the choices in it allow."""
    pieces = _CHOICE.split(text)
    choices = [piece.split("|") if odd % 2 else [piece] for odd, piece in enumerate(pieces)]
    return ["".join(option) for option in itertools.product(*choices)]


def _speech(speaker: str, words: str) -> list[str]:
    manner = speaker[-1] if speaker[-1] in "^~+-" else ""
    speaker = speaker.removesuffix(manner) if manner else speaker
    first, _, second = words.partition(" / ")
    mark = first[-1] if first[-1] in "?!" else "."
    verbs = VERBS.get(mark + manner, VERBS[mark])
    who = f"{{{speaker}}}" if speaker in SPEAKERS else speaker
    starting = f"{{{SPEAKERS[speaker]}}}" if speaker in SPEAKERS else capitalised(speaker)
    unfinished = first[-1] not in ".?!"
    closed = first.rstrip(".,") + "," if mark == "." else first
    options = []
    for verb in verbs:
        tag = f"{who} {verb}" if speaker in PRONOUNS else f"{verb} {who}"
        if not second:
            options.append(f'"{closed}" {tag}.')
        elif unfinished:
            options.append(f'"{closed}" {tag}, "{second}"')
        else:
            options.append(f'"{closed}" {tag}. "{second}"')
    whole = f"{first} {second}" if second else first
    options += [f'{starting} {verb}, "{whole}"' for verb in verbs[:2]]
    return options
