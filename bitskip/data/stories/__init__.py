"""The built-in corpus: an endless, seeded stream of small children's stories that needs no download.

A story is a pure function of (seed, index). Its cast is drawn first (`cast`), a plot second (`plots`); the sentences then
only fill in slots, so that names, pronouns, possessions, colours, places and counts agree from start to end.
"""

from bitskip.data.stories.grammar import GENERATOR_VERSION, PLOT_NAMES, plot_of, stories, story

__all__ = ["GENERATOR_VERSION", "PLOT_NAMES", "plot_of", "stories", "story"]
