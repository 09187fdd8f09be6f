"""The story generator: a pure function that never repeats, in clean and consistent English."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from bitskip.data.stories import GENERATOR_VERSION, stories, story
from bitskip.data.stories.cast import (
    COLOUR_WORDS,
    IRREGULAR_PLURALS,
    NUMBERS,
    PRONOUNS,
    WORLDS,
    singular,
    with_article,
)
from bitskip.data.stories.draws import Draws
from bitskip.data.stories.markup import compile_line
from bitskip.data.stories.tell import PLOT_NAMES, outline, parse_plot, plot_number

SAMPLE = 12_000
SEED = 3

DEFECTS = {
    "slot or markup left": r"[{}<>\[\]|@#%_/]",
    "space doubled or misplaced": r"  | \n|\n | [.,!?;]|^ | $",
    "empty line": r"\n\n",
    "punctuation doubled": r"[.,]{2}|[!?][.,]|,\"\.",
    "a before a vowel": r"\b[Aa] (?:[aeio]|u(?!k))",
    "an before a consonant": r"\b[Aa]n (?![aeiou]|hour\b|honest\b)",
    "sentence in lower case": r"(?:^|\n|[.!?] )\"?[a-z]",
    "speech in lower case": r"[.!?]\"? \w+ (?:said|asked|cried|answered), \"[a-z]",
    "word doubled": r"\b(?!that\b|had\b)(\w+) \1\b",
    "sentence without end": r"[a-z,;]\"?(?:\n|$)",
    "space missing": r"[.,!?;][A-Za-z]",
}


@pytest.fixture(scope="module")
def sample() -> list[str]:
    return list(itertools.islice(stories(SEED), SAMPLE))


WITH_STRANGERS = {
    "lost and found", "the night light", "the bakery helpers", "the magic hat",
    "the spoiled library book", "the kind giant", "the bully", "the stopped clock",
    "the lost duckling", "the drifting boat",
}  # fmt: skip
"""Plots with somebody else who is called he or she."""


def digest_of(seed: int, count: int) -> str:
    texts = "\n\n".join(itertools.islice(stories(seed), count))
    return hashlib.sha256(texts.encode()).hexdigest()


def test_version_is_an_integer() -> None:
    assert isinstance(GENERATOR_VERSION, int)


def test_stories_enumerate_story() -> None:
    assert list(itertools.islice(stories(5), 20)) == [story(5, index) for index in range(20)]


def test_story_does_not_depend_on_what_was_told_before() -> None:
    alone = story(7, 123)
    for index in range(50):
        story(8, index)
    assert story(7, 123) == alone


def test_same_text_in_other_processes() -> None:
    code = (
        "import hashlib, itertools; from bitskip.data.stories import stories;"
        "texts = '\\n\\n'.join(itertools.islice(stories(11), 300));"
        "print(hashlib.sha256(texts.encode()).hexdigest())"
    )
    for hash_seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == digest_of(11, 300)


def test_no_story_twice_in_a_hundred_thousand_nor_in_another_seed() -> None:
    def digests(seed: int) -> set[bytes]:
        texts = itertools.islice(stories(seed), 100_000)
        return {hashlib.blake2b(text.encode(), digest_size=12).digest() for text in texts}

    first, second = digests(1), digests(2)
    assert len(first) == len(second) == 100_000
    assert first.isdisjoint(second)


def test_choices_are_not_exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Draws] = []

    class Remembered(Draws):
        __slots__ = ()

        def __init__(self, seed: int, index: int) -> None:
            super().__init__(seed, index)
            made.append(self)

    monkeypatch.setattr("bitskip.data.stories.tell.Draws", Remembered)
    for index in range(2_000):
        story(SEED, index)
    assert min(draws._rest.bit_length() for draws in made) > 200


def test_every_plot_is_told() -> None:
    told = Counter(outline(SEED, index)[0].name for index in range(5_000))
    assert len(PLOT_NAMES) == len(set(PLOT_NAMES)) >= 60
    assert set(told) == set(PLOT_NAMES)


def test_every_plot_has_paraphrases() -> None:
    for number in range(len(PLOT_NAMES)):
        plot = plot_number(number)
        assert sum(len(step) for step in plot.steps) >= 2 * len(plot.steps) - 5, plot.name
        assert plot.endings, plot.name
        assert plot.morals, plot.name
        assert plot.recaps, plot.name


def test_many_words_and_lengths(sample: list[str]) -> None:
    types = Counter(word for text in sample for word in re.findall(r"[a-z]+", text.lower()))
    lengths = [len(text.split()) for text in sample]
    assert len(types) >= 1_800
    assert min(lengths) >= 60
    assert max(lengths) <= 350
    assert 130 <= sum(lengths) / SAMPLE <= 200


def test_many_names() -> None:
    names = {name for world in WORLDS.values() for group in world.names.values() for name in group}
    assert len(names) >= 120
    for world in WORLDS.values():
        assert not set(world.names["he"]) & set(world.names["she"])


@pytest.mark.parametrize("defect", DEFECTS)
def test_clean_english(sample: list[str], defect: str) -> None:
    pattern = re.compile(DEFECTS[defect])
    found = [text[max(0, match.start() - 40) : match.end() + 20] for text in sample if (match := pattern.search(text))]
    assert found[:5] == []


@pytest.mark.parametrize(
    "text",
    [
        "a {co} ",
        "He had a apple.",
        "He saw an dog.",
        "It rained. then it stopped.",
        "Yes.No",
        "the the",
    ],
)
def test_defects_would_be_found(text: str) -> None:
    assert any(re.search(pattern, text) for pattern in DEFECTS.values())


def test_quotes_are_balanced_in_every_paragraph(sample: list[str]) -> None:
    for text in sample:
        for paragraph in text.split("\n"):
            assert paragraph.count('"') % 2 == 0, paragraph
            assert '""' not in paragraph


def test_only_the_cast_is_named(sample: list[str]) -> None:
    everyone = {name for world in WORLDS.values() for group in world.names.values() for name in group}
    ordinary = {"Captain", "Cricket", "Moss", "Olive", "Maple", "Pepper", "Patches", "Buttons"}
    for index, text in enumerate(sample[:6_000]):
        _, _, slots, _ = outline(SEED, index)
        named = set(re.findall(r"\b[A-Z][a-z]+\b", text)) & (everyone - ordinary)
        assert named <= {slots["H"], slots["F"]}, text
        assert slots["H"] in text
        assert slots["F"] in text


def test_names_and_pronouns_agree() -> None:
    for index in range(3_000):
        _, world, slots, _ = outline(SEED, index)
        assert slots["H"] != slots["F"]
        assert slots["H"] in WORLDS[world].names[slots["he"]]
        assert slots["F"] in WORLDS[world].names[slots["fhe"]]
        assert tuple(slots[key] for key in ("he", "his", "him", "self")) == PRONOUNS[slots["he"]]
        assert slots["G"].split()[0] in ("the", slots["his"])


def test_pronouns_in_the_text_match_when_all_are_of_one_gender(sample: list[str]) -> None:
    checked = 0
    for index, text in enumerate(sample[:8_000]):
        plot, _, slots, _ = outline(SEED, index)
        if plot.name in WITH_STRANGERS or len({slots["he"], slots["fhe"], slots["ghe"]}) > 1:
            continue
        other = "she|her|hers|herself" if slots["he"] == "he" else "he|his|him|himself"
        assert re.search(rf"(?i)\b(?:{other})\b", text) is None, (plot.name, text)
        checked += 1
    assert checked > 1_000


def test_belonging_keeps_its_colour(sample: list[str]) -> None:
    colours = "|".join(COLOUR_WORDS)
    mentions = 0
    for index, text in enumerate(sample[:6_000]):
        _, _, slots, _ = outline(SEED, index)
        thing = re.escape(slots["o"])
        found = re.findall(rf"\b({colours}) {thing}\b", text)
        assert set(found) <= {slots["colour"]}, text
        assert slots["aco"] in text or slots["co"] in text
        mentions += len(re.findall(rf"\b{thing}\b", text))
    assert mentions / 6_000 > 2.5


def test_picnic_counts_are_right(sample: list[str]) -> None:
    checked = 0
    for index, text in enumerate(sample):
        plot, _, slots, _ = outline(SEED, index)
        if plot.name != "sharing by count":
            continue
        food = slots["food"]
        start = re.search(rf"(\w+) {food} (?:for a picnic|into a paper bag)", text)
        end = re.search(rf"(\w+) {food} (?:home|they carried)", text)
        assert start is not None
        assert end is not None
        assert NUMBERS.index(start[1]) - NUMBERS.index(end[1]) == 2
        checked += 1
    assert checked > 100


def test_pebbles_are_counted_up(sample: list[str]) -> None:
    pattern = re.compile(r"had (\w+) of them in a jar.*Now there were (\w+)\.", re.DOTALL)
    found = [match.groups() for text in sample if (match := pattern.search(text))]
    assert len(found) > 100
    assert all(NUMBERS.index(after) == NUMBERS.index(before) + 1 for before, after in found)


def test_given_belongings_are_not_at_home_at_the_end(sample: list[str]) -> None:
    checked = 0
    for index, text in enumerate(sample):
        plot, _, slots, _ = outline(SEED, index)
        if plot.keeps:
            continue
        assert f"The {slots['co']} stood beside {slots['his']} bed" not in text
        assert f"{slots['H']} carried the {slots['o']} home" not in text
        checked += 1
    assert checked > 300


def test_speech_has_its_tag_before_behind_and_within() -> None:
    (options,) = compile_line("<F: Wait. / I am coming.>")
    assert '"Wait," said %(F)s. "I am coming."' in options
    assert '%(F)s said, "Wait. I am coming."' in options
    (options,) = compile_line("<he: Where is it?>")
    assert '"Where is it?" %(he)s asked.' in options
    assert '%(He)s asked, "Where is it?"' in options


def test_elder_is_capitalised_at_the_start_of_a_sentence() -> None:
    assert compile_line("{G} came. {G} saw {G}.") == ("%(GC)s came. %(GC)s saw %(G)s.",)


def test_indented_lines_continue_a_plot() -> None:
    entry = "a name\nOne\n  | two.\nThree.\n@\nFour.\nFive.\n=End.\n!all is well\n>it was\n    over"
    plot = parse_plot(entry)
    assert [len(step) for step in plot.steps] == [2, 1, 1, 1]
    assert plot.aside_before == 2
    assert plot.morals == ((("all is well",), ("All is well",)),)
    assert plot.recaps == (("it was over",),)


def test_articles_and_plurals() -> None:
    assert with_article("old drum") == "an old drum"
    assert with_article("ukulele") == "a ukulele"
    assert IRREGULAR_PLURALS["mouse"] == "mice"
    assert [singular(food) for food in ("cherries", "peaches", "tomatoes", "cookies", "grapes")] == [
        "cherry",
        "peach",
        "tomato",
        "cookie",
        "grape",
    ]
