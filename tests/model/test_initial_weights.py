"""The scale of initial weights, by width, and what of it does not act."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitskip.model.decoder import build_model
from bitskip.testing import a_trial, losses_of
from bitskip.trial.config import ModelConfig, make_trial


def weights(**axes: object) -> dict[str, torch.Tensor]:
    return dict(build_model(a_trial(exit_weight=0.3, exit_head="own-head", **axes)).named_parameters())


def test_fan_in_divides_by_the_root_of_the_inputs_and_scales_residual_branches() -> None:
    sizes = {"layers": 4, "width": 64, "heads": 2, "kv_heads": 1, "ffn_width": 256}
    found = weights(model=sizes, **{"model.init": "fan-in", "model.init_gain": 0.8})
    for name, parameter in found.items():
        if parameter.ndim < 2:
            assert torch.equal(parameter, torch.ones_like(parameter))
            continue
        inputs = 256 if ".down." in name else 64
        residual = math.sqrt(2 * 4) if ".o." in name or ".down." in name else 1.0
        assert parameter.std().item() == pytest.approx(0.8 / math.sqrt(inputs) / residual, rel=0.06), name


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([16, 64, 256]), st.floats(0.1, 2))
def test_what_a_layer_gives_does_not_depend_on_its_width(width: int, gain: float) -> None:
    """Of inputs of variance 1 with c = gain: outputs of standard deviation gain."""
    sizes = {"layers": 1, "width": width, "heads": 2, "kv_heads": 2, "ffn_width": 2 * width}
    model = build_model(a_trial(model=sizes, **{"model.init": "fan-in", "model.init_gain": gain}))
    x = torch.randn(512, width, generator=torch.Generator().manual_seed(1))
    assert model.blocks[0].feed_forward.up(x).std().item() == pytest.approx(gain, rel=0.2)


def test_equal_scales_are_equal_weights() -> None:
    """Both draw the same numbers: at a width where the scales agree, block matrices of that many inputs are equal."""
    normal, by_inputs = weights(), weights(**{"model.init": "fan-in", "model.init_gain": 0.02 * math.sqrt(32)})
    for name, parameter in normal.items():
        alike = torch.allclose(parameter, by_inputs[name], rtol=1e-6, atol=0)
        assert alike == (".down." not in name)


@pytest.mark.parametrize(
    ("axes", "same"),
    [
        ({"model.init": "normal"}, {}),
        ({"model.init_gain": 0.3}, {}),
        ({"model.init": "fan-in", "model.init_std": 0.5}, {"model.init": "fan-in"}),
        ({"model.init": "fan-in", "model.init_gain": 0.5, "tiny_init": True}, {"tiny_init": True}),
    ],
    ids=str,
)
def test_a_scale_that_does_not_act_is_no_other_trial(axes: dict[str, object], same: dict[str, object]) -> None:
    assert a_trial(**axes).trial_id == a_trial(**same).trial_id
    assert losses_of(a_trial(**axes)) == losses_of(a_trial(**same))


def test_fan_in_is_another_trial() -> None:
    one, other, third = (
        a_trial(**axes) for axes in ({}, {"model.init": "fan-in"}, {"model.init": "fan-in", "model.init_gain": 0.5})
    )
    assert len({trial.trial_id for trial in (one, other, third)}) == 3
    assert losses_of(one) != losses_of(other) != losses_of(third)


def test_a_preset_says_nothing_of_how_its_model_is_made() -> None:
    """A ladder over presets keeps what its base says, whichever comes first."""
    assert make_trial(**{"model.init": "fan-in", "model": "micro"}).model.init == "fan-in"
    assert make_trial(**{"model": {"preset": "micro", "init": "fan-in"}}).model == ModelConfig(
        layers=8, width=256, heads=8, kv_heads=4, ffn_width=1024, init="fan-in"
    )
    assert make_trial(**{"model.init": "fan-in"}).axes()["model"] == "nano init fan-in"
