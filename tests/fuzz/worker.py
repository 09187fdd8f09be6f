"""Runs damaged inputs of one kind through the product's own readers, in a process with bounded memory and time.

python worker.py KIND SEED FIRST COUNT FOLDER prints a line of JSON per fault; `FOLDER/at` holds the case that runs.
"""

from __future__ import annotations

import abc
import contextlib
import faulthandler
import io
import json
import os
import random
import resource
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent))  # the helpers of other tests
from fuzz.mutations import damaged_bytes, damaged_lines, damaged_table, damaged_tree

MEMORY, SECONDS = 2 << 30, 60
WORDS = ["the", "fox", "hen", "pond", "barn", "old", "red", "small", "ran", "found", "lost", "naïve", "—", "ü", "12"]


def texts(count: int) -> list[str]:
    draws = random.Random(5)
    sentence = lambda: " ".join(draws.choices(WORDS, k=draws.randint(4, 11))).capitalize() + "."  # noqa: E731
    return ["\n".join(sentence() for _ in range(draws.randint(1, 4))) + f" {at}" for at in range(count)]


class Kind(abc.ABC):
    """Inputs of a kind: `damage` writes one, `check` says what is wrong with what becomes of it, or nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        os.environ["BITSKIP_CACHE"] = str(folder / "cache")

    @abc.abstractmethod
    def damage(self, draws: random.Random) -> None: ...

    @abc.abstractmethod
    def check(self) -> str: ...


def streams(config: Any) -> tuple[list[str], Any]:
    """The documents that a trial would train on and be measured on, as its tokens give them back."""
    from bitskip.data import load_data, load_tokenizer
    from bitskip.data.corpora import pinned, summaries

    data = pinned(config)
    summaries([data])
    found, tokenizer = load_data(data, 0, 0), load_tokenizer(data)
    back = []
    for stream in (found.train, found.validation, found.test):
        parts = np.split(np.asarray(stream), np.flatnonzero(np.asarray(stream) == found.end_of_document) + 1)
        back += [tokenizer.decode(part.tolist()) for part in parts[:-1]]
    return back, found


class DataFiles(Kind):
    """`.txt`, `.jsonl` and `.parquet` as text: what is accepted is what a plain reader finds in the file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        documents = texts(60)
        (folder / "whole.txt").write_text("\n\n".join(documents))
        rows = [{"id": at, "text": text, "more": [at, None]} for at, text in enumerate(documents)]
        (folder / "whole.jsonl").write_text(
            "".join(json.dumps(row, ensure_ascii=row["id"] % 2 == 0) + "\n" for row in rows)
        )
        pq.write_table(pa.table({"id": range(60), "text": documents}), folder / "whole.parquet")

    def damage(self, draws: random.Random) -> None:
        kind = draws.choice(["txt", "jsonl", "parquet"])
        self.path = self.folder / f"damaged.{kind}"
        if kind == "parquet" and draws.random() < 0.5:
            shutil.copy(self.folder / f"whole.{kind}", self.path)
            damaged_table(draws, self.path)
            return
        how = draws.choice([damaged_bytes, damaged_lines] if kind != "parquet" else [damaged_bytes])
        self.path.write_bytes(how(draws, (self.folder / f"whole.{kind}").read_bytes()))

    def check(self) -> str:
        from bitskip.trial.config import make_trial

        found, _ = streams(make_trial(data={"files": [str(self.path)], "tokenizer": "bytes"}).data)
        if self.path.suffix == ".txt":
            content = self.path.read_text(encoding="utf-8-sig")
            same = Counter(content.split()) == Counter(word for text in found for word in text.split())
        else:
            same = Counter(found) == Counter(filter(None, (text and text.strip() for text in self._rows())))
        return "" if same else "the text differs from what a plain reader finds"

    def _rows(self) -> list[str | None]:
        if self.path.suffix == ".parquet":
            return pq.ParquetFile(self.path, page_checksum_verification=True).read(["text"])["text"].to_pylist()
        lines = self.path.read_bytes().split(b"\n")
        return [json.loads(line.decode("utf-8-sig"))["text"] for line in lines if line.strip()]


class TokenizerFiles(Kind):
    """A `tokenizer.json`: what is accepted gives the text back, but for the share that it may lose."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        self.documents = texts(120)
        (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in self.documents))
        self.whole = []
        for model in (models.BPE(), models.Unigram()):
            tokenizer = Tokenizer(model)
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            make = trainers.BpeTrainer if isinstance(model, models.BPE) else trainers.UnigramTrainer
            options = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet(), "special_tokens": ["<|endoftext|>"]}
            tokenizer.train_from_iterator(self.documents, make(vocab_size=330, show_progress=False, **options))
            self.whole.append(tokenizer.to_str().encode())

    def damage(self, draws: random.Random) -> None:
        self.path = self.folder / "tokenizer.json"
        how = draws.choice([damaged_tree, damaged_tree, damaged_tree, damaged_bytes])
        self.path.write_bytes(how(draws, draws.choice([*self.whole, self.whole[0]])))

    def check(self) -> str:
        from bitskip.data import load_tokenizer
        from bitskip.trial.config import DataConfig, make_trial

        size = load_tokenizer(DataConfig(tokenizer=str(self.path))).vocab_size
        named = {"files": [str(self.folder / "text.jsonl")], "tokenizer": str(self.path), "vocab_size": size}
        found, data = streams(make_trial(data=named).data)
        if max(data.train.max(), data.validation.max(), data.test.max()) >= size:
            return "an id beyond the vocabulary"
        lost = Counter("".join(self.documents))
        lost.subtract("".join(found))
        wrong = sum((Counter(self.documents) - Counter(found)).values())
        share = sum(map(abs, lost.values())) / sum(map(len, self.documents))
        return f"{wrong} documents come back changed, {share:.2%} of the characters" if wrong and share > 2e-3 else ""


SWEEP = b"""\
name: fuzz
description: "a sweep: with most keys"
base:
  model: {layers: 2, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}
  data: {corpus: stories, vocab_size: 400}
  tokens: 8_000
  seq_len: 64
  batch_size: 4
  lr: 2e-3
  eval_tokens: 4096
  curve_tokens: 1024
space:
  bits: [16, 8, 4]
  hadamard: [false, true]
  weight_decay: [0.1, 0.2]
points: {V1: , own: {bits: 8, lr: 0.001}}
exclude: [{bits: 16, hadamard: true}]
tuned:
  min_lr: [{bits: 4, use: 0.2}]
seeds: [0, 1]
resources: {cpus: 1}
share_prefixes: true
profiles: {more: {seeds: 3}}
"""


class SweepFiles(Kind):
    """A sweep file: what is planned is what another reader of YAML finds in it."""

    def damage(self, draws: random.Random) -> None:
        how = draws.choice([damaged_bytes, damaged_lines, damaged_lines])
        self.path = self.folder / "sweep.yaml"
        self.path.write_bytes(how(draws, SWEEP))

    def check(self) -> str:
        from ruamel.yaml import YAML

        from bitskip.sweep.sweep_file import load_sweep

        options = ["--dry-run", "--no-calibrate", "--results", str(self.folder / "results")]
        if wrong := command("sweep", str(self.path), *options):
            return wrong
        sweep = load_sweep(self.path)
        again = self.folder / "again.yaml"
        with again.open("w", encoding="utf-8") as sink:
            YAML().dump(dict(sweep.resolved), sink)
        ids = [trial.trial_id for trial in sweep.trials]
        if [trial.trial_id for trial in load_sweep(again).trials] != ids:
            return "the stored design has other trials"
        read = YAML(typ="safe", pure=True).load(self.path.read_text(encoding="utf-8"))
        crossed = read.get("space") or {}
        for name in ("tokens", "seq_len", "batch_size", "eval_tokens", "curve_tokens", "lr"):
            value = (read.get("base") or {}).get(name)
            if isinstance(value, int | float) and name not in crossed:
                free = [trial for trial in sweep.trials if sweep.point_of(trial) is None]
                if any(trial[name] != value for trial in free):
                    return f"{name} is not {value}"
        return ""


class ResultFiles(Kind):
    """Parquet tables of results: rows are what was stored, or the file is named."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from store.test_tables import store

        from bitskip.store.compaction import compact
        from bitskip.store.tables import load_results

        for seed in range(3):
            store(folder / "parts", seed=seed)
        shutil.copytree(folder / "parts", folder / "merged")
        compact(folder / "merged")
        self.rows = {name: content(load_results(folder / name)) for name in ("parts", "merged")}

    def damage(self, draws: random.Random) -> None:
        self.which = draws.choice(["parts", "merged"])
        self.place = self.folder / "damaged"
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.folder / self.which, self.place)
        path = draws.choice(sorted(self.place.rglob("*.parquet")))
        self.rewritten = draws.random() < 0.4
        if self.rewritten:
            damaged_table(draws, path)
        else:
            path.write_bytes(damaged_bytes(draws, path.read_bytes()))
        self.whole = draws.random() < 0.1

    def check(self) -> str:
        from bitskip.store.inspection import inspect_folder
        from bitskip.store.tables import ledger_of, load_results

        found = load_results(self.place)
        inspect_folder(self.place)
        ledger_of(self.place)
        for name in ("report", "doctor") if self.whole else ():
            if wrong := command(name, str(self.place)):
                return wrong
        if found.problems or (
            content(found) == self.rows[self.which] if not self.rewritten else len(found.trials) == 3
        ):
            return ""
        return "rows are not what was stored, and no file is named"


def content(found: Any) -> list[list[Any]]:
    return [sorted(getattr(found, name).to_pylist(), key=repr) for name in ("trials", "exits", "curves", "layers")]


def command(*arguments: str) -> str:
    """What is wrong with how a command ends, or nothing. Raises UserError where it refuses its input."""
    from bitskip.cli import app
    from bitskip.errors import UserError

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(list(arguments))
            status: object = 0
        except SystemExit as end:
            status = end.code
    said = out.getvalue() + err.getvalue()
    if status not in (0, 1, 2, None) or "Traceback" in said:
        return f"{arguments[0]} ended with {status}: {said[-500:]}"
    if status == 2:
        raise UserError(err.getvalue().rstrip("\n").rpartition("\nbitskip: ")[2])
    return ""


KINDS: dict[str, Callable[[Path], Kind]] = {
    "data": DataFiles, "tokenizer": TokenizerFiles, "yaml": SweepFiles, "results": ResultFiles,
}  # fmt: skip


def main() -> None:
    name, seed, first, count, folder = sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5])
    from bitskip.errors import UserError

    kind = KINDS[name](folder)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    outcomes: Counter[str] = Counter()
    for case in range(first, first + count):
        (folder / "at").write_text(str(case))
        shutil.rmtree(folder / "cache", ignore_errors=True)
        draws = random.Random(f"{name} {seed} {case}")
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            kind.damage(draws)
        except (pa.ArrowException, ValueError, KeyError, TypeError):  # of the damage itself: nothing has been written
            outcomes["not made"] += 1
            continue
        wrong = ""
        try:
            wrong = kind.check()
            outcomes["accepted"] += 1
        except UserError as error:
            outcomes["refused"] += 1
            wrong = f"not one line: {error}" if "\n" in str(error) or not str(error).strip() else ""
        except BaseException as error:
            wrong = "".join(traceback.format_exception(error))[-1500:]
        if wrong:
            print(json.dumps({"case": case, "wrong": wrong}), flush=True)
    faulthandler.cancel_dump_traceback_later()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if peak > MEMORY:
        print(json.dumps({"case": -1, "wrong": f"{peak / 2**30:.2f} GiB of memory"}))
    print(json.dumps({"outcomes": outcomes, "peak_mb": peak >> 20}), file=sys.stderr)


if __name__ == "__main__":
    main()
