"""Quantizers against hand-computed values and a plain-Python twin, and their invariants (docs/method.md)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitskip.ops.quantizers import quantize_activations, ternarize, ternary_codes, ternary_scale

W_A = [[0.9, -0.2, 0.05, -1.4], [0.3, -0.31, 0.0, 0.62]]
TIES = [[0.5, -0.5, 1.5, -1.5], [1.0, 1.0, 1.0, 1.0]]
ZEROS = [[0.0] * 4] * 2


@pytest.mark.parametrize(
    ("weight", "scale", "codes"),
    [
        (W_A, 0.4725, [[1, 0, 0, -1], [1, -1, 0, 1]]),
        (TIES, 1.0, [[0, 0, 1, -1], [1, 1, 1, 1]]),
        (ZEROS, 1e-5, ZEROS),
    ],
    ids=["ordinary", "ties", "zeros"],
)
def test_ternary_oracle(weight: list[list[float]], scale: float, codes: list[list[int]]) -> None:
    matrix = torch.tensor(weight)
    assert ternary_scale(matrix).item() == pytest.approx(scale, rel=1e-6)
    assert ternary_codes(matrix).tolist() == codes
    assert torch.allclose(ternarize(matrix), scale * torch.tensor(codes), rtol=1e-6, atol=0)


def test_all_zero_weight_stays_zero_with_finite_gradient() -> None:
    weight = torch.zeros(2, 4, requires_grad=True)
    ternarize(weight).sum().backward()
    assert ternarize(weight).abs().sum() == 0
    assert torch.equal(weight.grad, torch.ones(2, 4))


ROWS = {
    "plain": [0.1, -0.5, 0.25, 1.0],
    "zero": [0.0, 0.0, 0.0, 0.0],
    "outlier": [0.1, -0.2, 0.3, 20.0],
    "tiny": [1e-6, -2e-6, 0.0, 5e-7],
    "negative": [-3.0, 1.5, 0.75, -0.1],
    "ties": [7.0, 0.5, 1.5, -2.5],
}
ABSMAX_8, ABSMAX_4, ABSMEAN_4 = (8, "absmax"), (4, "absmax"), (4, "absmean")
ACTIVATIONS = [
    ("plain", ABSMAX_8, 1.0, [13, -64, 32, 127]),
    ("plain", ABSMAX_4, 1.0, [1, -4, 2, 7]),
    ("plain", ABSMEAN_4, 0.4625, [1, -3, 1, 6]),
    ("zero", ABSMAX_8, 1e-5, [0, 0, 0, 0]),
    ("zero", ABSMAX_4, 1e-5, [0, 0, 0, 0]),
    ("zero", ABSMEAN_4, 1e-5, [0, 0, 0, 0]),
    ("outlier", ABSMAX_8, 20.0, [1, -1, 2, 127]),
    ("outlier", ABSMAX_4, 20.0, [0, 0, 0, 7]),
    ("outlier", ABSMEAN_4, 5.15, [0, 0, 0, 7]),
    ("tiny", ABSMAX_8, 1e-5, [13, -25, 0, 6]),
    ("tiny", ABSMAX_4, 1e-5, [1, -1, 0, 0]),
    ("tiny", ABSMEAN_4, 1e-5, [0, -1, 0, 0]),
    ("negative", ABSMAX_8, 3.0, [-127, 64, 32, -4]),
    ("negative", ABSMAX_4, 3.0, [-7, 4, 2, 0]),
    ("negative", ABSMEAN_4, 1.3375, [-6, 3, 1, 0]),
    ("ties", ABSMAX_8, 7.0, [127, 9, 27, -45]),
    ("ties", ABSMAX_4, 7.0, [7, 0, 2, -2]),
    ("ties", ABSMEAN_4, 2.875, [6, 0, 1, -2]),
]
"""Row, rule, scale, integers: computed twice, in plain Python and in fp64. The tiny row lies below the floor 1e-5."""


@pytest.mark.parametrize(("row", "rule", "scale", "integers"), ACTIVATIONS, ids=lambda value: str(value))
def test_activation_oracle(row: str, rule: tuple[int, str], scale: float, integers: list[int]) -> None:
    top = 2 ** (rule[0] - 1) - 1
    step = scale / (top if rule[1] == "absmax" else math.sqrt(top))
    found = quantize_activations(torch.tensor(ROWS[row]), *rule)
    assert (found / step).tolist() == pytest.approx(integers, abs=1e-4)


@pytest.mark.parametrize(("bits", "rule"), [(8, "absmax"), (5, "absmax"), (4, "absmean"), (3, "absmean")])
def test_auto_means_absmean_up_to_four_bits(bits: int, rule: str) -> None:
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(quantize_activations(x, bits), quantize_activations(x, bits, rule))


FLOATS = st.floats(-1e4, 1e4, width=32)
TOKENS = st.lists(FLOATS, min_size=1, max_size=24)
RULES = st.sampled_from(["absmax", "absmean"])


@given(TOKENS, st.integers(2, 8), RULES)
def test_values_lie_on_the_grid(row: list[float], bits: int, rule: str) -> None:
    """A symmetric grid of 2^b - 1 integers for absmax, the whole two's complement range for absmean."""
    x = torch.tensor(row)
    top = 2 ** (bits - 1) - 1
    scale = max((x.abs().max() if rule == "absmax" else x.abs().mean()).item(), 1e-5)
    integers = quantize_activations(x, bits, rule).double() / (scale / (top if rule == "absmax" else math.sqrt(top)))
    assert torch.allclose(integers, integers.round(), atol=1e-3)
    assert integers.max() <= top + 1e-3
    assert integers.min() >= (-top if rule == "absmax" else -top - 1) - 1e-3


@given(st.lists(FLOATS, min_size=1, max_size=40))
def test_ternary_weights_are_nearest_codes(values: list[float]) -> None:
    """Against plain Python: +1 above alpha / 2, -1 below -alpha / 2, else 0, strictly."""
    weight = torch.tensor(values)
    alpha = ternary_scale(weight).item()
    assert alpha == pytest.approx(max(math.fsum(map(abs, values)) / len(values), 1e-5), rel=1e-5)
    for value, code in zip(values, ternary_codes(weight).tolist(), strict=True):
        if abs(abs(value) - alpha / 2) > 1e-6 * alpha:
            assert code == (value > alpha / 2) - (value < -alpha / 2)


@given(st.integers(0, 10_000), st.integers(2, 8), RULES, st.integers(-6, 6))
def test_powers_of_two_scale_through(seed: int, bits: int, rule: str, exponent: int) -> None:
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(seed))
    factor = 2.0**exponent
    assert torch.equal(quantize_activations(factor * x, bits, rule), factor * quantize_activations(x, bits, rule))
    assert torch.equal(ternarize(factor * x), factor * ternarize(x))


@given(st.integers(0, 10_000), st.integers(2, 8), RULES)
def test_quantizers_are_odd_and_keep_order(seed: int, bits: int, rule: str) -> None:
    x = torch.randn(32, generator=torch.Generator().manual_seed(seed))
    quantized = quantize_activations(x, bits, rule)
    assert (quantized[x.argsort()].diff() >= 0).all()
    if rule == "absmax":  # absmean's range has one negative integer more
        assert torch.equal(quantize_activations(-x, bits, rule), -quantized)
    assert torch.equal(ternarize(-x), -ternarize(x))


@pytest.mark.parametrize("rule", ["absmax", "absmean"])
def test_tokens_do_not_influence_each_other(rule: str) -> None:
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[0, 2] *= 100
    before, after = quantize_activations(x, 4, rule), quantize_activations(changed, 4, rule)
    same = torch.ones(2, 5, dtype=torch.bool)
    same[0, 2] = False
    assert torch.equal(before[same], after[same])
    assert not torch.equal(before[~same], after[~same])


@pytest.mark.parametrize("rule", ["absmax", "absmean"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_row_of_zeros_stays_zero_with_finite_gradients(bits: int, rule: str) -> None:
    x = torch.tensor([[0.0] * 4, [1.0, -2.0, 0.5, 0.0]], requires_grad=True)
    quantized = quantize_activations(x, bits, rule)
    quantized.sum().backward()
    assert quantized[0].abs().sum() == 0
    assert torch.equal(x.grad, torch.ones(2, 4))


@given(st.integers(0, 10_000), st.integers(2, 8))
def test_error_is_at_most_half_a_step_with_absmax(seed: int, bits: int) -> None:
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(seed))
    step = x.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((quantize_activations(x, bits, "absmax") - x).abs() <= step * (0.5 + 1e-4)).all()


@given(st.integers(0, 10_000), st.integers(2, 8))
def test_absmax_of_what_is_quantized_changes_nothing(seed: int, bits: int) -> None:
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(seed))
    once = quantize_activations(x, bits, "absmax")
    assert torch.allclose(quantize_activations(once, bits, "absmax"), once, rtol=1e-6, atol=0)


def test_ternarizing_twice_keeps_the_codes_and_shrinks_the_scale() -> None:
    """Mean |W| of a ternary matrix is alpha times its share of non-zeros: a second quantization is an error."""
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
    once = ternarize(weight)
    nonzero = (once != 0).float().mean().item()
    assert nonzero < 0.8
    assert torch.equal(ternary_codes(once), ternary_codes(weight))
    assert ternary_scale(once).item() == pytest.approx(nonzero * ternary_scale(weight).item(), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_quantized_in_fp32(dtype: torch.dtype) -> None:
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    for bits, rule in (ABSMAX_8, ABSMEAN_4):
        assert torch.equal(quantize_activations(x, bits, rule), quantize_activations(x.float(), bits, rule).to(dtype))
    assert torch.equal(ternarize(x), ternarize(x.float()).to(dtype))


def test_sixteen_bits_change_nothing_and_thirty_two_almost_nothing() -> None:
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    assert quantize_activations(x, 16) is x
    assert torch.allclose(quantize_activations(x, 32, "absmax"), x, rtol=1e-6, atol=1e-6)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        quantize_activations(torch.ones(4), 1)
    with pytest.raises(ValueError, match="unknown activation scale"):
        quantize_activations(torch.ones(4), 8, "median")
