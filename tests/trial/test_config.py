"""Trials: validation, canonical form, identity (DESIGN 3, 4)."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitskip.errors import UserError
from bitskip.trial.config import AXES, POINTS, canonical, make_trial


@pytest.mark.parametrize(
    ("axes", "equal"),
    [
        ({"phase": 1, "dropout": "quadratic", "exit_weight": 0.3}, {}),
        ({"phase": 2}, {"phase": 1}),
        ({"phase": "1+2"}, {"phase": "1"}),
        ({"dropout": "quadratic", "dropout_max": 0.0}, {}),
        ({"dropout_max": 0.3, "dropout_norm": "sum1"}, {}),
        ({"exit_scale": "uniform", "exit_head": "own-head"}, {}),
        ({"hadamard": True}, {"hadamard": "bitnet-v2"}),
        ({"hadamard": False}, {"hadamard": "none"}),
        ({"bits": 8}, {"bits": 8, "weights": "ternary"}),
        ({"model": "nano"}, {"model": {"layers": 6, "width": 64, "heads": 4, "kv_heads": 2, "ffn_width": 256}}),
        ({"model.layers": 4}, {"model": {"preset": "nano", "layers": 4}}),
        ({"data": "stories"}, {"data": {"corpus": "stories"}}),
        ({"lr": "1e-3", "tokens": "400_000"}, {"lr": 0.001}),
        ({"data.tokenizer": "bytes", "data.vocab_size": 999}, {"data.tokenizer": "bytes"}),
    ],
)
def test_equal_runs_have_equal_ids(axes: dict[str, object], equal: dict[str, object]) -> None:
    assert make_trial(**axes) == make_trial(**equal)
    assert make_trial(**axes).trial_id == make_trial(**equal).trial_id


@pytest.mark.parametrize(
    "axes",
    [{"bits": 8}, {"bits": 16, "weights": "ternary"}, {"hadamard": True}, {"dropout": "linear"}, {"exit_weight": 0.1},
     {"seed": 1}, {"lr": 1e-4}, {"model": "micro"}, {"data.vocab_size": 2048}, {"exit_weight": 0.3, "phase": "1+2"}],
)  # fmt: skip
def test_different_runs_have_different_ids(axes: dict[str, object]) -> None:
    assert make_trial(**axes).trial_id != make_trial().trial_id


def test_replicates_share_their_configuration() -> None:
    assert make_trial(seed=1).configuration_id == make_trial(seed=2).configuration_id


@given(
    st.fixed_dictionaries(
        {
            "bits": st.sampled_from([16, 8, 5, 2]),
            "hadamard": st.sampled_from(AXES["hadamard"].choices),
            "dropout": st.sampled_from(AXES["dropout"].choices),
            "dropout_max": st.sampled_from([0.0, 0.1, 0.5]),
            "exit_weight": st.sampled_from([0.0, 0.3]),
            "phase": st.sampled_from(AXES["phase"].choices),
        }
    )
)
def test_canonical_form_is_stable_and_rebuilds_from_its_axes(axes: dict[str, object]) -> None:
    trial = make_trial(**axes)
    assert canonical(trial) == trial
    assert make_trial(**{name: value for name, value in trial.axes().items() if name in AXES}) == trial


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"bit": 4}, "unknown axis 'bit'; did you mean 'bits'"),
        ({"bits": 9}, "bits: 9 is not one of 2"),
        ({"bits": "four"}, "bits: expected a whole number"),
        ({"bits": 4.5}, "bits: expected a whole number"),
        ({"tokens": 1e30}, "tokens: 1e+30 is too large"),
        ({"hadamard": "bitnet"}, "did you mean 'bitnet-v2'"),
        ({"dropout_max": 1.0}, "dropout_max: 1.0 is out of range"),
        ({"exit_weight": float("nan")}, "exit_weight: expected a finite number"),
        ({"exit_weight": -1}, "out of range"),
        ({"model": "nanp"}, "did you mean 'nano'"),
        ({"model": {"layer": 3}}, "model: unknown key 'layer'; did you mean 'layers'"),
        ({"model.heads": 5}, "width 64 must be heads"),
        ({"model.kv_heads": 3}, "multiple of kv_heads"),
        ({"model.ffn_width": 96, "hadamard": True}, "model.ffn_width: 96 must be a power of two"),
        ({"micro_batch": 3}, "micro_batch: 3 does not divide"),
        ({"data": "files"}, "needs data.files"),
        ({"data": {"corpus": "stories", "files": ["x.txt"]}}, "files are given but corpus is 'stories'"),
        ({"data.streaming": "yes"}, "expected true or false"),
    ],
)
def test_mistakes_are_named(axes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        make_trial(**axes)


def test_published_points_differ_in_precision_and_rotation_only() -> None:
    trials = {name: make_trial(**axes) for name, axes in POINTS.items()}
    assert {name: (t["bits"], t["hadamard"]) for name, t in trials.items()} == {
        "baseline": (16, "none"), "V1": (8, "none"), "V2": (4, "bitnet-v2"), "V3": (8, "bitnet-v2"),
    }  # fmt: skip
    assert all(t["dropout"] == "quadratic" and t["exit_weight"] == 0.3 for t in trials.values())


def test_ids_do_not_depend_on_the_process() -> None:
    code = "from bitskip.trial.config import make_trial; print(make_trial(bits=4, hadamard=True).trial_id)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == make_trial(bits=4, hadamard=True).trial_id


def test_what_a_document_is_matters_where_text_is_cut() -> None:
    assert make_trial(data={"document": "file"}) == make_trial()
    assert make_trial(data={"corpus": "wikitext", "document": "lines"}) == make_trial(data="wikitext")
    for data in ({"corpus": "wikitext"}, {"files": ["a.txt"]}):
        assert make_trial(data=data | {"document": "article"}).trial_id != make_trial(data=data).trial_id
