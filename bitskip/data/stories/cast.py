"""The cast of one story: who, with what, where. Every slot is drawn once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitskip.data.stories.draws import Draws
from bitskip.data.stories.texts import read_tables

Slots = dict[str, str]

PRONOUNS = {
    "he": ("he", "his", "him", "himself"),
    "she": ("she", "her", "her", "herself"),
}
IRREGULAR_PLURALS = {"mouse": "mice", "calf": "calves", "goose": "geese"}
IRREGULAR_SINGULARS = {"cookies": "cookie", "pies": "pie", "radishes": "radish", "peaches": "peach"}


def with_article(noun: str) -> str:
    """`a` or `an` by the first letter (the lexicon has no silent h; `uk…` sounds as you)."""
    vowel = noun[0] in "aeiou" and not noun.startswith("uk")
    return f"{'an' if vowel else 'a'} {noun}"


def plural(noun: str) -> str:
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith(("x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def singular(noun: str) -> str:
    """Of a plural from the table of foods."""
    if noun in IRREGULAR_SINGULARS:
        return IRREGULAR_SINGULARS[noun]
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    if noun.endswith(("oes", "ches", "shes")):
        return noun[:-2]
    return noun[:-1]


def _spaced(words: str) -> tuple[str, ...]:
    return tuple(word.replace("_", " ") for word in words.split())


def _place(entry: str) -> Slots:
    preposition, name = entry.split(" ", 1)
    here = f"{preposition} the {name}"
    return {"p": f"the {name}", "atp": here, "Atp": here.capitalize()}


def _pronoun_slots(prefix: str, subject: str) -> Slots:
    he, his, him, self = PRONOUNS[subject]
    slots = {"he": he, "his": his, "him": him, "self": self}
    slots |= {"He": he.capitalize(), "His": his.capitalize()}
    if not prefix:
        return slots
    return {prefix + key if key.islower() else prefix.upper() + key.lower(): word for key, word in slots.items()}


_WORDS = read_tables("lexicon.toml")
DAYS: dict[str, list[str]] = _WORDS["days"]
"""Openings of a first sentence, by season."""

NUMBERS = tuple(_WORDS["numbers"].split())
TRAITS = tuple(_WORDS["traits"].split())
COLOUR_WORDS = tuple(_WORDS["colours"].split())
MODIFIERS: list[str] = _WORDS["modifiers"]
THINGS = {group: _spaced(words) for group, words in _WORDS["things"].items()}
PLACES = {group: tuple(map(_place, entries)) for group, entries in _WORDS["places"].items()}
ANIMALS = tuple(
    {
        "animal": animal,
        "animals": plural(animal),
        "aanimal": with_article(animal),
        "Aanimal": with_article(animal).capitalize(),
    }
    for animal in _WORDS["animals"].split()
)
FOODS = tuple(
    {"food": food, "food1": singular(food), "afood": with_article(singular(food))} for food in _WORDS["foods"].split()
)
COUNTS = tuple(
    {
        "many": NUMBERS[n],
        "Many": NUMBERS[n].capitalize(),
        "fewer": NUMBERS[n - 1],
        "Fewer": NUMBERS[n - 1].capitalize(),
        "fewest": NUMBERS[n - 2],
        "more": NUMBERS[n + 1],
    }
    for n in range(4, 12)
)
THREAD_COUNTS = tuple({f"t{slot}": word for slot, word in slots.items() if slot.islower()} for slots in COUNTS)
COLOURS = tuple({"colour2": colour, "acolour2": with_article(colour)} for colour in COLOUR_WORDS)
HERO_PRONOUNS = {subject: _pronoun_slots("", subject) for subject in PRONOUNS}
FRIEND_PRONOUNS = {subject: _pronoun_slots("f", subject) for subject in PRONOUNS}


class World:
    """The sort of beings a story is about: their names, kinds, elders and the words for them."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        kinds = table["kinds"]
        self.names = {subject: tuple(names.split()) for subject, names in table["names"].items()}
        self.kinds = {subject: _spaced(kinds if isinstance(kinds, str) else kinds[subject]) for subject in PRONOUNS}
        self.relations = _spaced(table["relations"])
        self.elders = {
            hero: tuple(self._elder(hero, *entry.split(":")) for entry in table["elders"]) for hero in PRONOUNS
        }

    @staticmethod
    def _elder(hero: str, elder: str, subject: str, address: str) -> Slots:
        owner = "the" if address == "-" else PRONOUNS[hero][1]
        slots = _pronoun_slots("g", subject)
        del slots["gself"]
        name = f"{owner} {elder}"
        return {**slots, "G": name, "GC": name[0].upper() + name[1:], "Gn": address}


WORLDS = {name: World(table) for name, table in _WORDS["worlds"].items()}


def draw_cast(draws: Draws, world_name: str, things: Sequence[str], places: Sequence[Slots]) -> Slots:
    """Hero, friend of another name, elder, belonging with its colour, place, counts and traits."""
    world = WORLDS[world_name]
    subject = "he" if draws.below(2) else "she"
    friend_subject = "he" if draws.below(2) else "she"
    hero = draws.pick(world.names[subject])
    friends = world.names[friend_subject]
    index = draws.below(len(friends))
    friend = friends[index] if friends[index] != hero else friends[index - 1]
    thing = draws.pick(things)
    colour = draws.pick(COLOUR_WORDS)
    described = f"{draws.pick(MODIFIERS)}{colour} {thing}"
    kind = draws.pick(world.kinds[subject])
    trait = draws.below(len(TRAITS))
    age = 5 + draws.below(5)
    return {
        **HERO_PRONOUNS[subject],
        **FRIEND_PRONOUNS[friend_subject],
        **draws.pick(world.elders[subject]),
        **draws.pick(places),
        **draws.pick(ANIMALS),
        **draws.pick(FOODS),
        **draws.pick(COUNTS),
        **draws.pick(THREAD_COUNTS),
        **draws.pick(COLOURS),
        "H": hero,
        "F": friend,
        "o": thing,
        "co": described,
        "aco": with_article(described),
        "colour": colour,
        "acolour": with_article(colour),
        "kind": with_article(kind),
        "thek": f"the {kind}",
        "Thek": f"The {kind}",
        "trait": TRAITS[trait],
        "trait2": TRAITS[trait - 1],
        "ftrait": TRAITS[trait - 7],
        "frel": draws.pick(world.relations),
        "age": NUMBERS[age],
        "age1": NUMBERS[age + 1],
    }
