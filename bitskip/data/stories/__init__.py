"""The built-in corpus: an endless, seeded stream of small children's stories, with no download.

A story is a pure function of (seed, index). A plot is drawn first (`plots.txt`), then a cast that suits it (`cast`,
from `lexicon.toml`); the sentences then only fill in slots, so that names, pronouns, belongings, colours, places and
counts agree from start to end (`tell`).
"""

from bitskip.data.stories.tell import GENERATOR_VERSION, stories, story

__all__ = ["GENERATOR_VERSION", "stories", "story"]
