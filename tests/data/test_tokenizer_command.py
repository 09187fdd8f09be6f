"""Tokenizer files through the installed command: the number is about the text, or there is none."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

BITSKIP = Path(sys.executable).with_name("bitskip")
TINY = {
    "model": "{layers: 1, width: 16, heads: 2, kv_heads: 1, ffn_width: 32}", "tokens": 8_000, "seq_len": 64,
    "batch_size": 4, "eval_tokens": 2_000, "curve_tokens": 500, "curve_points": 1, "diagnostic_points": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 short stories, and tokenizer files."""
    folder = tmp_path_factory.mktemp("tokenizers")
    draws = random.Random(7)
    words = ["the", "a", "fox", "hen", "pond", "barn", "old", "red", "small", "ran", "sat", "saw", "found", "lost"]
    texts = [" ".join(draws.choices(words, k=80)).capitalize() + "." for _ in range(600)]
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    end = ["<|endoftext|>"]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=end, initial_alphabet=alphabet, show_progress=False)
    plain.train_from_iterator(texts, trainer)
    plain.save(str(folder / "plain.json"))
    plain.enable_truncation(16)
    plain.enable_padding(length=512, pad_id=0, pad_token=end[0])
    plain.save(str(folder / "cut.json"))
    plain.normalizer = normalizers.Lowercase()
    plain.save(str(folder / "lower.json"))
    gap = json.loads((folder / "plain.json").read_text())
    gap["model"]["vocab"]["<|endoftext|>"] = gap["added_tokens"][0]["id"] = 70_000
    (folder / "gap.json").write_text(json.dumps(gap))
    return folder


def bitskip(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [str(BITSKIP), *arguments], cwd=folder, env=os.environ | {"BITSKIP_CACHE": str(folder / "cache")},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def train(folder: Path, tokenizer: str) -> "subprocess.CompletedProcess[str]":
    data = f"{{files: [text.jsonl], tokenizer: {tokenizer}, vocab_size: 300}}"
    settings = [f"--set={name}={value}" for name, value in (TINY | {"data": data}).items()]
    return bitskip(folder, "train", "--json", *settings)


@pytest.mark.slow
def test_truncation_padding_and_gaps_change_nothing(folder: Path) -> None:
    plain, cut, gap = (json.loads(train(folder, f"{name}.json").stdout) for name in ("plain", "cut", "gap"))
    assert (cut["loss"], cut["bpb"]) == (plain["loss"], plain["bpb"])
    assert gap["bpb"] / gap["loss"] == pytest.approx(plain["bpb"] / plain["loss"])  # as many tokens, numbered otherwise
    assert gap["loss"] == pytest.approx(plain["loss"], rel=0.1)


@pytest.mark.slow
def test_a_tokenizer_that_loses_capitals_is_refused(folder: Path) -> None:
    done = train(folder, "lower.json")
    assert done.returncode == 2
    assert "loses" in done.stderr
    assert "(capitals)" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("bitskip: ")


@pytest.mark.slow
def test_a_replaced_file_is_another_trial(folder: Path) -> None:
    base = "".join(f"  {name}: {value}\n" for name, value in TINY.items())
    data = "  data: {files: [text.jsonl], tokenizer: edit.json, vocab_size: 300}\n"
    (folder / "edit.yaml").write_text(f"name: edit\nbase:\n{base}{data}space: {{bits: [16]}}\n")
    (folder / "edit.json").write_bytes((folder / "plain.json").read_bytes())
    sweep = ("sweep", "edit.yaml", "--results", "edited")
    first = bitskip(folder, *sweep, "--executor", "inline")
    assert first.returncode == 0, first.stderr
    assert "1 already in results → 0 to run" in bitskip(folder, *sweep, "--dry-run").stdout
    (folder / "edit.json").write_bytes((folder / "gap.json").read_bytes())
    assert "0 already in results → 1 to run" in bitskip(folder, *sweep, "--dry-run").stdout
