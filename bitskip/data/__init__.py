"""Corpora as packed token streams: the built-in stories, text files, Hugging Face datasets."""

from bitskip.data.stream import TokenData, load_data, training_tokens
from bitskip.data.tokenizer import Tokenizer, load_tokenizer, prompt_tokens

__all__ = ["TokenData", "Tokenizer", "load_data", "load_tokenizer", "prompt_tokens", "training_tokens"]
