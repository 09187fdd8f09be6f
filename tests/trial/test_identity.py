"""Identity: what has an id keeps it, and equal training has equal ids (docs/architecture.md, identity)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bitskip.store.tables import load_results
from bitskip.techniques import registry
from bitskip.techniques.axis import axis
from bitskip.techniques.base import Technique
from bitskip.testing import a_trial, losses_of
from bitskip.trial.config import AXES, TrialConfig, make_trial

REFERENCE = Path(__file__).parents[2] / "results" / "reference"

SPELT_OUT = """
    bits first_bits first_bits_share activation_scale weights hadamard hadamard_blocks dropout dropout_max dropout_norm
    dropout_last dropout_curriculum exit_weight exit_scale exit_curriculum exit_head phase phase1_share tokens seq_len
    documents batch_size micro_batch lr min_lr warmup weight_decay beta1 beta2 grad_clip precision compile curve_points
    diagnostic_points curve_tokens eval_tokens causal_mask target_shift exit_target_shift exit_norm count_padding
    hadamard_scale hadamard_grad relu2_in_linear tiny_init eval_on_train model.layers model.width model.heads
    model.kv_heads model.ffn_width model.rope_theta model.norm_eps model.init_std data.corpus data.files data.digest
    data.subset data.train_split data.validation_split data.column data.separator data.streaming
    data.validation_fraction data.tokenizer data.vocab_size seed
"""


def test_only_the_first_axes_are_spelt_out() -> None:
    """An axis that is added says since when it exists: else it would give every trial a new id."""
    assert {name for name, entry in AXES.items() if entry.since is None and entry.of_identity} == set(SPELT_OUT.split())


def test_every_reference_trial_keeps_its_id() -> None:
    rows = load_results(REFERENCE).trials.to_pylist()
    assert len(rows) == 661
    for row in rows:
        known = {name: row.get(name.replace(".", "_")) for name in AXES}
        trial = make_trial(**{name: value for name, value in known.items() if value is not None})
        assert trial.trial_id == row["trial_id"]


@pytest.fixture
def registered() -> Iterator[type]:
    """Registers techniques for the time of a test."""

    class Registered:
        @staticmethod
        def add(technique: type[Technique]) -> None:
            registry._named.append(registry.PlugIn(technique, "test", "1"))
            registry.Table.clear()

        @staticmethod
        def clear() -> None:
            registry._named.clear()
            registry.Table.clear()

    yield Registered
    Registered.clear()


VALUES = st.one_of(st.integers(0, 9), st.floats(0, 1), st.sampled_from(["a", "b", "none"]), st.booleans())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.from_regex(r"[a-z]{3,8}_[a-z]{3,8}", fullmatch=True), VALUES, VALUES)
def test_an_axis_at_its_neutral_value_changes_no_id(registered, name: str, neutral: object, default: object) -> None:
    """Whatever its type, and even where new trials get another default than the neutral value."""
    assume(type(neutral) is type(default))
    before = {bits: make_trial(bits=bits).trial_id for bits in (16, 4)}
    field = axis(default, "an axis", neutral=neutral)
    technique = dataclasses.make_dataclass(
        "Added", [(name, type(neutral), field)], bases=(Technique,), frozen=True, namespace={"__module__": __name__}
    )
    try:
        registered.add(technique)
        assert {bits: make_trial(bits=bits, **{name: neutral}).trial_id for bits in (16, 4)} == before
        assert (make_trial(**{name: default}).trial_id == before[16]) == (neutral == default)
        assert (make_trial().trial_id == before[16]) == (neutral == default)
    finally:
        registered.clear()


@pytest.mark.parametrize(
    ("axes", "same"),
    [
        ({"model.layers": 2, "dropout": "linear", "dropout_max": 0.5}, {"model.layers": 2}),
        ({"model.layers": 2, "dropout": "sin"}, {"model.layers": 2}),
        ({"model.layers": 1, "dropout": "constant", "dropout_last": True, "dropout_max": 0.0}, {"model.layers": 1}),
        ({"phase": "1+2", "phase1_share": 0.0, "exit_weight": 0.3}, {"phase": "2", "exit_weight": 0.3}),
        ({"phase": "1+2", "phase1_share": 1.0, "exit_weight": 0.3}, {}),
        ({"phase": "1+2", "phase1_share": 0.01, "exit_weight": 0.3}, {"phase": "2", "exit_weight": 0.3}),
        ({"model.layers": 2, "exit_weight": 0.3, "exit_scale": "layerskip"}, {"model.layers": 2}),
        ({"bits": 4, "first_bits": 8, "first_bits_share": 1.0}, {"bits": 8}),
        ({"bits": 4, "first_bits": 8, "first_bits_share": 0.01}, {"bits": 4}),
        ({"mod_capacity": 0.5, "mod_every": 9}, {}),
        ({"weight_group": "32", "weight_scale": "absmean"}, {}),
        (
            {"dropout": "linear", "dropout_norm": "sum1", "dropout_max": 0.3},
            {"dropout": "linear", "dropout_norm": "sum1"},
        ),
        ({"phase": "1+2", "phase1_share": 0.51, "exit_weight": 0.3}, {"phase": "1+2", "exit_weight": 0.3}),
    ],
    ids=str,
)
def test_what_does_nothing_is_no_other_trial(axes: dict[str, object], same: dict[str, object]) -> None:
    assert a_trial(**axes).trial_id == a_trial(**same).trial_id
    assert losses_of(a_trial(**axes)) == losses_of(a_trial(**same))


NEIGHBOURS = st.fixed_dictionaries(
    {
        "model.layers": st.integers(1, 3),
        "bits": st.sampled_from([16, 4]),
        "first_bits": st.sampled_from([0, 8]),
        "first_bits_share": st.sampled_from([0.0, 0.5, 0.55, 1.0]),
        "hadamard": st.sampled_from(["none", "down-only"]),
        "dropout": st.sampled_from(["none", "linear", "constant"]),
        "dropout_norm": st.sampled_from(["none", "sum1"]),
        "exit_weight": st.sampled_from([0.0, 0.5]),
        "exit_scale": st.sampled_from(["proportional", "uniform", "layerskip"]),
        "phase": st.sampled_from(["1", "2", "1+2"]),
        "phase1_share": st.sampled_from([0.0, 0.5, 0.6, 1.0]),
        "weight_bits": st.sampled_from([16, 4]),
        "weight_group": st.sampled_from(["channel", "32"]),
        "mod_capacity": st.sampled_from([1.0, 0.5]),
        "mod_every": st.sampled_from([2, 4]),
    }
)


def _neighbour(axes: dict[str, object]) -> TrialConfig:
    return a_trial(**{"weights": "full", "dropout_max": 0.7, "batch_size": 8, "tokens": 4 * 128, **axes})


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(NEIGHBOURS, st.data())
def test_equal_losses_are_equal_ids(axes: dict[str, object], data: st.DataObject) -> None:
    """Two configurations that differ in one axis train alike, bitwise, exactly if they are one trial."""
    changed = data.draw(st.sampled_from(sorted(axes)))
    other = axes | {changed: data.draw(NEIGHBOURS)[changed]}
    first, second = _neighbour(axes), _neighbour(other)
    assert (losses_of(first) == losses_of(second)) == (first.trial_id == second.trial_id)
