"""Every technique keeps the contract that authors of others are held to (bitskip.testing)."""

import pytest

from bitskip import testing
from bitskip.techniques import registry
from bitskip.techniques.activation_quantization import ActivationQuantization
from bitskip.techniques.base import Technique
from bitskip.techniques.early_exit import EarlyExit
from bitskip.techniques.integer_weights import IntegerWeights
from bitskip.techniques.kv_cache_quantization import KVCacheQuantization
from bitskip.techniques.layer_dropout import LayerDropout
from bitskip.techniques.mixture_of_depths import MixtureOfDepths
from bitskip.techniques.phases import Phases
from bitskip.techniques.post_training import PostTraining
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.techniques.rotation import Rotation
from bitskip.techniques.weight_quantization import WeightQuantization

BEFORE_IDENTITY = {
    ActivationQuantization,
    WeightQuantization,
    Rotation,
    LayerDropout,
    EarlyExit,
    Phases,
    PublishedDefects,
}
"""Their axes are spelt out in every identity: nothing can be left out of those."""

SETTINGS: list[tuple[type[Technique], dict[str, object]]] = [
    (ActivationQuantization, {"bits": 4, "first_bits": 8, "first_bits_share": 0.5}),
    (WeightQuantization, {"weights": "ternary"}),
    (Rotation, {"hadamard": "random-sign", "bits": 8}),
    (LayerDropout, {"dropout": "linear", "dropout_max": 0.6, "dropout_curriculum": "exponential"}),
    (EarlyExit, {"exit_weight": 0.3, "exit_head": "own-head"}),
    (Phases, {"phase": "1+2", "exit_weight": 0.3}),
    (IntegerWeights, {"weight_bits": 2, "weight_group": "tensor", "weight_scale": "absmean"}),
    (IntegerWeights, {"weight_bits": 4, "weight_group": "32", "bits": 8, "hadamard": True}),
    (KVCacheQuantization, {"kv_bits": 2}),
    (MixtureOfDepths, {"mod_capacity": 0.25, "dropout": "constant", "dropout_max": 0.8}),
    (PostTraining, {"quantize": "after", "bits": 4, "hadamard": "random-sign"}),
]


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("technique", "settings"), SETTINGS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_contract(check, technique: type[Technique], settings: dict[str, object]) -> None:
    if check is testing.neutral_keeps_identity and technique in BEFORE_IDENTITY:
        pytest.skip("its axes are as old as identity itself")
    check(technique, settings)


def test_every_technique_is_tried() -> None:
    assert {technique for technique, _ in SETTINGS} | {PublishedDefects} == set(registry.OWN)
