"""The cast of one story: who, with what, where. Every slot that a sentence may name, drawn once and kept to the end."""

from __future__ import annotations

from bitskip.data.stories import lexicon
from bitskip.data.stories.draws import Draws

Slots = dict[str, str]

PRONOUNS = {
    "he": ("he", "his", "him", "himself"),
    "she": ("she", "her", "her", "herself"),
}
IRREGULAR_PLURALS = {"mouse": "mice", "calf": "calves"}


def with_article(noun: str) -> str:
    """`a` or `an` before a noun phrase, by its first letter (the lexicon has no silent h and no `uni…`)."""
    return f"{'an' if noun[0] in 'aeiou' and not noun.startswith('uk') else 'a'} {noun}"


def plural(noun: str) -> str:
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith(("x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def _words(entries: list[str]) -> tuple[str, ...]:
    return tuple(entry.replace("_", " ") for entry in entries)


TREASURES = _words(lexicon.TREASURES)
PLACES = tuple(f"the {place}" for place in _words(lexicon.PLACES))
KINDS = tuple(with_article(kind) for kind in _words(lexicon.KINDS))
ANIMALS = tuple(
    {"animal": a, "aanimal": with_article(a), "Aanimal": with_article(a).capitalize(), "animals": plural(a)}
    for a in lexicon.ANIMALS
)
ELDERS = tuple(tuple(entry.split(":")) for entry in lexicon.ELDERS)
GENDERS = (("he", lexicon.BOYS, "boy"), ("she", lexicon.GIRLS, "girl"))
CHILDREN = ("little", "small", "young", "tall", "freckled", "barefoot")
COUNTS = tuple(
    {
        "many": lexicon.NUMBERS[n],
        "Many": lexicon.NUMBERS[n].capitalize(),
        "fewer": lexicon.NUMBERS[n - 1],
        "Fewer": lexicon.NUMBERS[n - 1].capitalize(),
        "fewest": lexicon.NUMBERS[n - 2],
    }
    for n in range(4, 13)
)
TREASURE_SLOTS = tuple(
    {"o": treasure, "co": f"{colour} {treasure}", "aco": with_article(f"{colour} {treasure}"), "colour": colour}
    for colour in lexicon.COLOURS
    for treasure in TREASURES
)


def _hero_slots(name: str, subject: str) -> Slots:
    he, his, him, self = PRONOUNS[subject]
    return {
        "H": name, "he": he, "He": he.capitalize(), "his": his, "His": his.capitalize(), "him": him, "self": self,
    }  # fmt: skip


def _friend_slots(name: str, subject: str) -> Slots:
    he, his, him, self = PRONOUNS[subject]
    return {"F": name, "fhe": he, "Fhe": he.capitalize(), "fhis": his, "fhim": him, "fself": self}


def _elder_slots(hero: str, elder: str, subject: str) -> Slots:
    possessive = PRONOUNS[hero][1]
    he, his, him, _ = PRONOUNS[subject]
    return {
        "G": f"{possessive} {elder}", "GC": f"{possessive.capitalize()} {elder}",
        "ghe": he, "ghis": his, "ghim": him,
    }  # fmt: skip


HEROES = {subject: tuple(_hero_slots(name, subject) for name in names) for subject, names, _ in GENDERS}
FRIENDS = {subject: tuple(_friend_slots(name, subject) for name in names) for subject, names, _ in GENDERS}
ELDER_SLOTS = {
    hero: tuple(_elder_slots(hero, elder, subject) for elder, subject in ELDERS) for hero, _, _ in GENDERS
}
CHILD_KINDS = {
    subject: tuple(with_article(f"{size} {child}") for size in CHILDREN) for subject, _, child in GENDERS
}
TRAIT_TRIPLES = tuple(
    {"trait": a, "trait2": lexicon.TRAITS[i - 1], "trait3": lexicon.TRAITS[i - 7]}
    for i, a in enumerate(lexicon.TRAITS)
)


def draw_cast(draws: Draws) -> Slots:
    """A hero, a friend of another name, an elder, a treasure with its colour, a place, a count, moods and verbs."""
    subject = GENDERS[draws.below(2)][0]
    hero = draws.pick(HEROES[subject])
    friends = FRIENDS[GENDERS[draws.below(2)][0]]
    index = draws.below(len(friends))
    friend = friends[index] if friends[index]["F"] != hero["H"] else friends[index - 1]
    treasure = draws.pick(TREASURE_SLOTS)
    return {
        **hero,
        **friend,
        **draws.pick(ELDER_SLOTS[subject]),
        **treasure,
        **draws.pick(ANIMALS),
        **draws.pick(COUNTS),
        **draws.pick(TRAIT_TRIPLES),
        "kind": draws.pick(KINDS) if draws.below(4) == 0 else draws.pick(CHILD_KINDS[subject]),
        "colour2": draws.pick(lexicon.COLOURS),
        "p": draws.pick(PLACES),
        "food": draws.pick(lexicon.FOODS),
        "sad": draws.pick(lexicon.SAD),
        "glad": draws.pick(lexicon.GLAD),
        "said": draws.pick(lexicon.SAID),
        "asked": draws.pick(lexicon.ASKED),
        "cried": draws.pick(lexicon.CRIED),
        "day": draws.pick(lexicon.DAYS),
    }
