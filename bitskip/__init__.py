"""bitskip: how efficiency techniques compose in a language model, measured before the GPU hours are spent."""

__version__ = "0.1.0"
