"""Quantized keys and values: levels by hand, and the same in one pass as from a cache."""

import pytest
import torch

from bitskip.model.decoder import KeyValueCache, build_model
from bitskip.techniques.kv_cache_quantization import AsymmetricQuantizer
from bitskip.testing import a_trial


def test_levels_by_hand() -> None:
    x = torch.tensor([[0.0, 1.0, 2.9, 3.0], [-1.0, -1.0, -1.0, -1.0]])
    assert torch.allclose(AsymmetricQuantizer(2)(x), torch.tensor([[0.0, 1.0, 3.0, 3.0], [-1.0] * 4]), atol=1e-6)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_more_than_two_to_the_bits_levels_and_half_a_step_of_error(bits: int) -> None:
    x = torch.randn(2, 3, 5, 64, generator=torch.Generator().manual_seed(bits))
    quantized = AsymmetricQuantizer(bits)(x)
    step = (x.amax(-1) - x.amin(-1)) / (2**bits - 1)
    assert ((quantized - x).abs().amax(-1) <= step / 2 + 1e-6).all()
    assert all(len(row.unique()) <= 2**bits for row in quantized.reshape(-1, 64))


def test_a_token_does_not_see_others() -> None:
    """Its scale is its own: a cache filled one by one holds what one pass computes, in grouped queries too."""
    model = build_model(a_trial(kv_bits=2, bits=8, hadamard=True)).eval()
    tokens = torch.randint(257, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        cache = KeyValueCache(model, 2, 12)
        first = model(tokens[:, :7], cache=cache)
        rest = torch.cat([model(tokens[:, at : at + 1], cache=cache) for at in range(7, 12)], 1)
        assert torch.allclose(torch.cat([first, rest], 1), model(tokens), atol=1e-4)
        levels = [len(row.unique()) for row in cache.keys[0, :, :, :12].reshape(-1, cache.keys.shape[-1])]
    assert max(levels) <= 4
