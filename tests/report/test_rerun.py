"""The command that `bitskip show` gives is the trial: read back, it has the same id."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_results import trial_row

from bitskip.data.corpora import pinned
from bitskip.report.rerun import rerun_command
from bitskip.report.trial import print_trial, trial_object
from bitskip.store.heartbeat import reporting
from bitskip.store.tables import load_results, write_trial
from bitskip.sweep.located_yaml import parse_setting
from bitskip.trial.config import AXES, PRESETS, TrialConfig, make_trial


def read_back(command: str) -> tuple[TrialConfig, dict[str, str]]:
    """The trial that `bitskip train` would make of a command, and its other options."""
    words = shlex.split(command)
    assert words[:2] == ["bitskip", "train"]
    options = list(zip(words[2::2], words[3::2], strict=True))
    axes = dict(parse_setting(value) for name, value in options if name == "--set")
    trial = make_trial(**axes)
    if trial.data.files:
        trial = replace(trial, data=pinned(trial.data))
    return trial, {name: value for name, value in options if name != "--set"}


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({}, "bitskip train"),
        ({"seed": 3}, "bitskip train --set seed=3"),
        ({"bits": 4, "hadamard": True}, "bitskip train --set bits=4 --set hadamard=bitnet-v2"),
        ({"bits": 8, "weights": "full"}, "bitskip train --set bits=8 --set weights=full"),
        ({"model": "small", "lr": 1e-5}, "bitskip train --set model=small --set lr=1e-05"),
        ({"data.tokenizer": "gpt2"}, "bitskip train --set data.tokenizer=gpt2"),
        ({"phase": "1+2", "exit_weight": 0.3}, "bitskip train --set exit_weight=0.3 --set phase=1+2"),
        ({"count_padding": True}, "bitskip train --set count_padding=true"),
        ({"data.separator": "\n~ #"}, "bitskip train --set 'data.separator=\"\\n~ #\"'"),
    ],
)
def test_only_what_makes_the_trial_is_said(axes: dict[str, Any], words: str) -> None:
    trial = make_trial(**axes)
    command = rerun_command(trial_row(trial, 3.0))
    assert command == words
    assert read_back(command)[0].trial_id == trial.trial_id


def values_of(name: str) -> st.SearchStrategy[Any]:
    entry = AXES[name]
    if entry.choices:
        return st.sampled_from(entry.choices)
    if entry.kind is bool:
        return st.booleans()
    if entry.kind is float:
        high = min(entry.high if entry.high is not None else 1e3, (entry.below or 1e3) * 0.999)
        return st.floats(max(entry.low or 0.0, 1e-9), high)
    return st.integers(int(entry.low or 0), int(entry.high) if entry.high is not None else 10**6)


DRAWN = [
    name
    for name, entry in AXES.items()
    if entry.kind in (bool, float, int) or (entry.choices and entry.group in ("method", "training", "artefacts"))
    if not name.startswith(("model.", "data.")) and not entry.allowed and name not in ("micro_batch", "training")
]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_trial_is_read_back_as_itself(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(DRAWN), unique=True, max_size=8))
    axes: dict[str, Any] = {name: data.draw(values_of(name)) for name in names}
    axes |= {"bits": data.draw(st.sampled_from((16, 8, 4))), "model": data.draw(st.sampled_from(sorted(PRESETS)))}
    if axes.get("count_padding"):
        axes["documents"] = "padded"
    if axes.get("schedule") == "wsd" and not axes.get("warmup_steps"):
        axes["warmup"] = 0.0  # as a share of the budget it is refused there
    trial = make_trial(**axes)
    command = rerun_command(trial_row(trial, 3.0))
    assert command is not None
    assert read_back(command)[0] == trial


@pytest.mark.parametrize("split", ["two", "auto"])
def test_text_files_device_and_threads_are_part_of_it(split: str, tmp_path: Path) -> None:
    text = tmp_path / "a text.txt"
    text.write_text("one\n\ntwo")
    trial = make_trial(data={"files": [str(text)], "tokenizer": "bytes", "validation_fraction": 0.4})
    trial = replace(trial, data=pinned(replace(trial.data, split=split)))
    command = rerun_command(trial_row(trial, 3.0, device="NVIDIA H100", threads=4))
    assert command is not None
    again, options = read_back(command)
    assert again.trial_id == trial.trial_id
    assert options == {"--device": "cuda", "--threads": "4"}


def test_a_tokenizer_file_is_named_though_its_content_identifies_it() -> None:
    data = {"tokenizer": "tok.json", "tokenizer_digest": "d" * 64, "vocab_size": 300}
    row = trial_row(make_trial(data=data), 3.0)
    assert rerun_command(row) == "bitskip train --set data.tokenizer=tok.json --set data.vocab_size=300"


def test_a_trial_that_this_version_cannot_make_has_no_command() -> None:
    assert rerun_command(trial_row(make_trial(), 3.0) | {"trial_id": "0" * 16}) is None
    assert rerun_command(trial_row(make_trial(), 3.0) | {"hadamard": "of another time"}) is None


def test_a_trial_is_shown_with_its_command_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trial, folder = make_trial(bits=8), tmp_path / "s"
    write_trial(folder, trial_row(trial, 3.0))
    with reporting(folder, trial.trial_id, "s", None, 10, 8, "cpu"):
        pass
    weights = folder / "weights" / f"{trial.trial_id}.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"")
    found = trial_object(load_results(tmp_path), trial.trial_id[:6], tmp_path)
    assert found["rerun"] == "bitskip train --set bits=8"
    assert found["files"] == {"log": str(folder / "logs" / f"{trial.trial_id}.log"), "weights": str(weights)}
    json.dumps(found, default=str)
    print_trial(found)
    printed = capsys.readouterr().out
    assert "run again: bitskip train --set bits=8" in printed
    assert f"weights: {weights}" in printed
