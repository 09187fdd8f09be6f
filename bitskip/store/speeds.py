"""Speeds of finished trials in engines: a table to which measurements are added, each a file of its own."""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass
from pathlib import Path

from bitskip.store.folder import SweepFolder
from bitskip.store.schema import SPEEDS, as_row, column


@dataclass(frozen=True)
class EngineSpeed:
    """Speed of the full model of a finished trial in one engine, of one sequence (`bitskip bench`).

    Spreads are distances between the quartiles of the repeats.
    """

    engine: str = column("`torch`, `llama.cpp` or `torchao`")
    engine_version: str = column("what ran the model, with its version")
    weight_type: str = column("how the blocks' matrices are stored, and their inputs where these are rounded, too")
    emulated: bool = column("whether quantized numbers are computed with as floating-point ones")
    prefill_tokens_per_second: float = column("speed of reading the prompt, median over repeats", "tokens/s")
    prefill_spread: float = column("its spread", "tokens/s")
    decode_tokens_per_second: float = column("speed of greedy decoding, median over repeats", "tokens/s")
    decode_spread: float = column("its spread", "tokens/s")
    model_bytes: int = column("size of the weights in this engine", "bytes")
    agreement: float = column("share of the engine's tokens that are the trial's own choice behind the same tokens")
    largest_gap: float = column("largest log-probability that another choice gave away, by the trial's own", "nats")
    prompt_tokens: int = column("tokens of the prompt", "tokens")
    decode_tokens: int = column("tokens decoded", "tokens")
    repeats: int = column("repeats, after one that warms up")
    threads: int = column("threads of the engine")
    device: str = column("processor or GPU")
    host: str = column("name of the machine")
    started_at: datetime.datetime = column("when the measurement began, UTC")


def add_speed(folder: Path, trial_id: str, speed: EngineSpeed) -> Path:
    """Store a measurement below a sweep's folder, whole or not at all, beside those that are there.

    Returns its file. Raises OSError when the folder cannot be written.
    """
    from bitskip.store.tables import table_of, write_file

    path = SweepFolder(folder).table(SPEEDS) / f"{trial_id}-{secrets.token_hex(6)}.parquet"
    write_file(table_of(SPEEDS, [{"trial_id": trial_id, **as_row(speed)}]), path)
    return path
