"""The transform against scipy's matrices, hand-computed values and its algebra (docs/method.md, rotation)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard as scipy_hadamard
from unchecked import unchecked_shapes

from bitskip.model.decoder import Decoder, build_model
from bitskip.ops.hadamard import hadamard_transform, largest_block, random_signs
from bitskip.ops.quantizers import quantize_activations
from bitskip.training.trainer import compile_blocks
from bitskip.trial.config import make_trial


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [1, 2, 4, 8, 64, 128, 256, 512, 2048, 2**15])
def test_equals_scipy(n: int) -> None:
    x = normal(2, 3, n, seed=n)
    if n <= 2048:
        expected = x @ torch.tensor(scipy_hadamard(n), dtype=torch.float64) / n**0.5
        assert torch.allclose(hadamard_transform(x), expected, atol=1e-12)
    assert torch.allclose(hadamard_transform(hadamard_transform(x)), x, atol=1e-12)


@pytest.mark.parametrize(
    ("x", "raw"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], [36, -4, -8, 0, -16, 0, 0, 0]),
        ([0, 1, 0, 0, 0, 0, 0, 0], [1, -1, 1, -1, 1, -1, 1, -1]),
        ([1, -2, 0.5, 3, 0, -1, 2, 4], [7.5, -0.5, -11.5, 8.5, -2.5, 1.5, 2.5, 2.5]),
    ],
)
def test_oracle_values(x: list[float], raw: list[float]) -> None:
    expected = [value / math.sqrt(8) for value in raw]
    assert hadamard_transform(torch.tensor(x, dtype=torch.float32)).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", [1, 2, 64, 256])
def test_is_an_orthogonal_and_symmetric_matrix(n: int) -> None:
    matrix = hadamard_transform(torch.eye(n, dtype=torch.float64))
    assert torch.allclose(matrix @ matrix.T, torch.eye(n, dtype=torch.float64), atol=1e-12)
    assert torch.equal(matrix, matrix.T)
    assert torch.allclose(matrix[0], torch.full((n,), n**-0.5, dtype=torch.float64), atol=1e-15)
    assert torch.allclose(matrix.abs(), torch.full((n, n), n**-0.5, dtype=torch.float64), atol=1e-15)


@given(st.integers(0, 9), st.integers(0, 10_000))
def test_keeps_length_and_leaves_its_input_alone(exponent: int, seed: int) -> None:
    x = normal(3, 2**exponent, seed=seed).float()
    before = x.clone()
    assert torch.allclose(hadamard_transform(x).norm(dim=-1), x.norm(dim=-1), rtol=1e-5)
    assert torch.equal(x, before)


@given(st.integers(0, 9), st.integers(0, 10_000), st.floats(-4, 4))
def test_is_linear_and_keeps_inner_products(exponent: int, seed: int, factor: float) -> None:
    x, y = normal(2, 2**exponent, seed=seed)
    hx, hy = hadamard_transform(x), hadamard_transform(y)
    assert torch.allclose(hadamard_transform(x + factor * y), hx + factor * hy, atol=1e-12)
    assert (hx @ hy).item() == pytest.approx((x @ y).item(), abs=1e-10)


@given(st.integers(1, 40), st.integers(0, 10_000))
def test_blocks_are_transformed_by_themselves(width: int, seed: int) -> None:
    x = normal(2, width, seed=seed)
    block = largest_block(width)
    parts = [hadamard_transform(part) for part in x.split(block, -1)]
    assert torch.allclose(hadamard_transform(x, block), torch.cat(parts, -1), atol=1e-12)


@pytest.mark.parametrize("block", [None, 4])
def test_gradient_is_exact(block: int | None) -> None:
    x = normal(2, 16).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: hadamard_transform(x, block), (x,))


@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"),
    [(torch.float32, 3e-4, 3e-3), (torch.float16, 3e-3, 5e-3), (torch.bfloat16, 1e-2, 5e-2)],
    ids=str,
)
@pytest.mark.parametrize("n", [64, 1024, 4096])
def test_low_precision_value_and_gradient(n: int, dtype: torch.dtype, rtol: float, atol: float) -> None:
    """The tolerances of fast-hadamard-transform's own test; fp32 accumulation leaves one rounding, to the result."""
    x = normal(4, n).to(dtype)
    g = normal(4, n, seed=1).to(dtype)
    low, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    rounded, precise = hadamard_transform(low), hadamard_transform(exact)
    rounded.backward(g)
    precise.backward(g.double())
    assert rounded.dtype == low.grad.dtype == dtype
    assert torch.allclose(rounded.double(), precise, rtol=rtol, atol=atol)
    assert torch.allclose(low.grad.double(), exact.grad, rtol=rtol, atol=atol)
    assert ((rounded.double() - precise).norm() / precise.norm()).item() < max(torch.finfo(dtype).eps, 5e-7)


def test_autocast_does_not_lower_the_precision() -> None:
    x = normal(4, 256).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = hadamard_transform(x)
    assert torch.equal(inside, hadamard_transform(x))


@pytest.mark.parametrize("n", [0, 3, 6, 96])
def test_other_widths_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="power-of-two"):
        hadamard_transform(torch.ones(2, n))


def test_blocks_must_be_powers_of_two_that_fill_the_width() -> None:
    with pytest.raises(ValueError, match="power-of-two"):
        hadamard_transform(torch.ones(2, 12), 6)
    with pytest.raises(ValueError, match="do not fill"):
        hadamard_transform(torch.ones(2, 12), 8)


def test_signs_are_fixed_by_the_seed_and_balanced() -> None:
    signs = random_signs(4096, 3)
    assert torch.equal(signs, random_signs(4096, 3))
    assert not torch.equal(signs, random_signs(4096, 4))
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert abs(signs.mean().item()) < 4 / math.sqrt(4096)


def relative_error(x: torch.Tensor, bits: int, rotate: bool, rows: list[int] | None = None) -> float:
    rotated = hadamard_transform(x) if rotate else x
    quantized = quantize_activations(rotated, bits, "absmax")
    back = hadamard_transform(quantized) if rotate else quantized
    kept = slice(None) if rows is None else rows
    return ((back - x)[..., kept].norm() / x[..., kept].norm()).item()


BENIGN = torch.sin(1.7 * torch.arange(64, dtype=torch.float64))
OUTLIER = BENIGN.clone()
OUTLIER[7] = 50.0


@pytest.mark.parametrize(
    ("x", "bits", "plain", "rotated"),
    [
        (OUTLIER, 8, 0.02019, 0.00322),
        (OUTLIER, 4, 0.11098, 0.04808),
        (BENIGN, 8, 0.00359, 0.0102),
        (BENIGN, 4, 0.05562, 0.16158),
    ],
    ids=["outlier-8", "outlier-4", "benign-8", "benign-4"],
)
def test_quantization_error_oracle(x: torch.Tensor, bits: int, plain: float, rotated: float) -> None:
    """The rotation lowers the error of a row with an outlier and raises that of one without."""
    assert relative_error(x, bits, False) == pytest.approx(plain, abs=1e-5)
    assert relative_error(x, bits, True) == pytest.approx(rotated, abs=1e-5)


def test_the_rotation_saves_the_ordinary_entries_beside_an_outlier() -> None:
    ordinary = [i for i in range(64) if i != 7]
    assert relative_error(OUTLIER, 4, False, ordinary) == pytest.approx(1.0)
    assert relative_error(OUTLIER, 4, True, ordinary) == pytest.approx(0.3711, abs=1e-4)


def test_rotation_hurts_a_nonzero_mean_unless_signs_are_drawn() -> None:
    positive = normal(64, 2048).abs()
    plain = relative_error(positive, 4, False)
    assert relative_error(positive, 4, True) > 2 * plain
    assert relative_error(positive * random_signs(2048, 0), 4, True) < 1.1 * plain


def test_rotation_lowers_the_error_of_heavy_tails() -> None:
    tails = normal(64, 2048) / (normal(64, 2048, 3, seed=1).square().mean(-1).sqrt())  # Student's t, 3 degrees
    for bits in (8, 4):
        assert relative_error(tails, bits, True) < 0.5 * relative_error(tails, bits, False)


@unchecked_shapes
@pytest.mark.filterwarnings("ignore")  # of the compiler's own
def test_compiled_blocks_make_the_matrix_of_elementwise_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilers look through its cache; what they could not fuse would cost more than the transform."""
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        graphs.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    monkeypatch.setattr(Decoder, "compile_blocks", lambda model: [b.compile(backend=backend) for b in model.blocks])
    sizes = {"layers": 2, "width": 128, "heads": 2, "kv_heads": 1, "ffn_width": 256}
    trial = make_trial(bits=8, hadamard="bitnet-v2", model=sizes)
    plain, model = build_model(trial), build_model(trial)
    torch._dynamo.reset()
    compile_blocks(model)
    tokens = torch.arange(16).view(1, 16)
    assert torch.allclose(model(tokens), plain(tokens), atol=1e-5)
    (graph,) = graphs
    assert not [node for node in graph.graph.nodes if "cat" in str(node.target)]
