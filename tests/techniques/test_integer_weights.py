"""Integer weights against a search over all codes, by hand, and in bytes (docs/method.md, quantizers)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitskip.errors import UserError
from bitskip.techniques.integer_weights import GROUPS, WIDTHS, IntegerQuantizer, IntegerWeights
from bitskip.trial.config import make_trial
from bitskip.trial.cost import exit_weight_bytes


def levels(bits: int, step: float) -> list[float]:
    """All values a weight can take, counted out."""
    top = 2 ** (bits - 1) - 1
    return [step * code for code in ((-3, -1, 1, 3) if bits == 2 else range(-top, top + 1))]


def step_of(members: list[float], bits: int, scale: str) -> float:
    magnitudes = [abs(value) for value in members]
    top = 2 ** (bits - 1) - 1
    if scale == "absmax":
        return max(magnitudes) / (4 if bits == 2 else top)
    return sum(magnitudes) / len(magnitudes) / (2 if bits == 2 else math.sqrt(top))


@settings(deadline=None)
@given(
    st.integers(0, 2**16), st.sampled_from(WIDTHS), st.sampled_from(["tensor", "channel", "32"]),
    st.sampled_from(["absmax", "absmean"]),
)  # fmt: skip
def test_each_weight_goes_to_its_nearest_level(seed: int, bits: int, group: str, scale: str) -> None:
    weight = torch.randn(3, 64, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    quantized = IntegerQuantizer(bits, group, scale)(weight.float()).double()
    members = {"tensor": 3 * 64, "channel": 64, "32": 32}[group]
    for found, given_ in zip(quantized.view(-1, members), weight.view(-1, members), strict=True):
        step = step_of(given_.tolist(), bits, scale)
        allowed = torch.tensor(levels(bits, step), dtype=torch.float64)
        nearest = (given_[:, None] - allowed).abs().amin(1)
        assert torch.allclose((found - given_).abs(), nearest, atol=1e-5)


def test_by_hand() -> None:
    weight = torch.tensor([[0.8, -0.3, 0.1, -0.8], [0.05, 0.02, -0.04, 0.0]])
    assert IntegerQuantizer(2, "channel", "absmax").codes(weight).tolist() == [[3, -1, 1, -3], [3, 1, -3, 1]]
    assert torch.allclose(
        IntegerQuantizer(2, "channel", "absmax")(weight)[0], torch.tensor([0.6, -0.2, 0.2, -0.6]), atol=1e-6
    )
    assert IntegerQuantizer(3, "tensor", "absmax").codes(weight).tolist() == [[3, -1, 0, -3], [0, 0, 0, 0]]


@pytest.mark.parametrize("bits", WIDTHS)
def test_gradients_pass_straight_through_and_zeros_stay_finite(bits: int) -> None:
    weight = torch.zeros(4, 32, requires_grad=True)
    quantized = IntegerQuantizer(bits, "channel", "absmean")(weight)
    quantized.sum().backward()
    assert torch.isfinite(quantized).all()
    assert torch.equal(weight.grad, torch.ones(4, 32))


def test_more_bits_and_smaller_groups_lose_less() -> None:
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(0)) * torch.rand(64, 1)

    def lost(bits: int, group: str) -> float:
        return float((IntegerQuantizer(bits, group, "absmax")(weight) - weight).square().mean())

    by_bits = [lost(bits, "channel") for bits in sorted(WIDTHS)]
    by_group = [lost(4, group) for group in ("tensor", "channel", "128", "64", "32")]
    assert by_bits == sorted(by_bits, reverse=True)
    assert by_group == sorted(by_group, reverse=True)


@pytest.mark.parametrize("group", GROUPS)
def test_bytes_are_codes_and_scales(group: str) -> None:
    scales = {"tensor": 1, "channel": 64, "32": 64 * 8, "64": 64 * 4, "128": 64 * 2}[group]
    assert IntegerWeights(3, group).weight_bytes(64, 256) == 64 * 256 * 3 / 8 + 4 * scales
    sizes = [exit_weight_bytes(make_trial(weight_bits=bits), 6) for bits in (2, 3, 4, 8, 16)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"weight_bits": 5}, "weight_bits: 5 is not one of 2, 3, 4, 8 or 16"),
        ({"weight_bits": 4, "weights": "ternary"}, "exclude each other"),
        ({"weight_bits": 4, "weight_group": "128"}, "weight_group: 128 does not divide model.width 64"),
        ({"weight_bits": 4, "weight_group": "16"}, "weight_group: unknown value '16'"),
    ],
    ids=str,
)
def test_mistakes_are_named(axes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_trial(**axes)
    assert make_trial(weight_bits=4, bits=4)["weights"] == "full"
