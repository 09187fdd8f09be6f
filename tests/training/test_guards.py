"""Each guard lets an honest trial pass and stops the wrong number it is for."""

import dataclasses

import numpy as np
import pytest
import torch

from bitskip.data import TokenData
from bitskip.data.leaks import Leak
from bitskip.errors import UserError
from bitskip.model.decoder import Decoder, build_model
from bitskip.training.devices import OneDevice
from bitskip.training.guards import GuardError, check_causality, check_leak, check_trial
from bitskip.training.trainer import run_trial
from bitskip.trial.config import PRESETS, TrialConfig, make_trial

TINY = {"layers": 3, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}
VARIANTS = [
    {},
    {"bits": 8},
    {"bits": 4, "hadamard": True},
    {"bits": 2, "hadamard": "as-published", "artefacts": {"hadamard_scale": "none"}},
    {"bits": 8, "artefacts": {"tiny_init": True}},
    {"exit_weight": 0.3, "exit_head": "own-head"},
]


def tiny(**axes: object) -> TrialConfig:
    return make_trial(**{"model": TINY, "data.vocab_size": 300, **axes})


def without_mask(model: Decoder, only: int | None = None) -> Decoder:
    """The same weights, attending to the whole sequence in all blocks or in one."""
    for index, block in enumerate(model.blocks):
        block.attention.causal = only is not None and index != only
    return model


@pytest.mark.parametrize("axes", VARIANTS, ids=str)
def test_the_probe_passes_causal_models_and_finds_a_missing_mask(axes: dict[str, object]) -> None:
    trial = tiny(**axes)
    check_causality(build_model(trial), trial)
    with pytest.raises(GuardError, match="causality: at exit 1"):
        check_causality(without_mask(build_model(trial)), trial)


def test_the_probe_names_the_first_exit_that_leaks() -> None:
    trial = tiny()
    with pytest.raises(GuardError, match="at exit 3"):
        check_causality(without_mask(build_model(trial), only=2), trial)


def test_the_probe_sees_a_leak_in_the_last_block_of_a_deep_model() -> None:
    deep = dataclasses.asdict(PRESETS["nano"]) | {"layers": 24}
    trial = make_trial(model=deep, bits=8, artefacts={"tiny_init": True})
    check_causality(build_model(trial), trial)
    with pytest.raises(GuardError, match="at exit 24"):
        check_causality(without_mask(build_model(trial), only=23), trial)


def test_the_probe_leaves_no_trace() -> None:
    trial = tiny(bits=8)
    model = build_model(trial).train()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    check_causality(model, trial)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_leak_that_only_training_brings_out_is_found_before_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Initial values that make attention vanish hide a missing mask from the first probe."""
    trial = tiny(artefacts={"tiny_init": True, "relu2_in_linear": True})

    def leaking(trial: TrialConfig) -> Decoder:
        return without_mask(build_model(trial))

    def trained(loop: object, here: OneDevice, *_: object) -> None:
        for parameter in here.model.parameters():
            torch.nn.init.normal_(parameter)

    check_causality(leaking(trial), trial)
    monkeypatch.setattr("bitskip.training.trainer.build_model", leaking)
    monkeypatch.setattr("bitskip.training.trainer._train", trained)
    with pytest.raises(GuardError, match="causality"):
        run_trial(trial, data=text(DRAWS[:20_000], DRAWS[20_000:]))


def text(train: np.ndarray, validation: np.ndarray) -> TokenData:
    held_out = validation.astype(np.uint16)
    return TokenData(train.astype(np.uint16), None, held_out, np.full(len(held_out), 2), 300, 0, 5.0, "test")


DRAWS = np.random.default_rng(0).integers(0, 300, 30_000)


SPARSE, WHOLE = Leak(1, 100, (1, 2)), Leak(9, 10, tuple(range(65, 91)))


def test_more_of_the_held_out_text_in_training_than_the_bound_is_refused_with_an_example() -> None:
    bytes_of = {"data.tokenizer": "bytes", "data.vocab_size": 257}
    check_leak(tiny(), SPARSE)
    check_leak(tiny(), Leak(0, 0))
    with pytest.raises(UserError, match=r"9 of 10 held-out passages .* such as 'ABCDEFG.*data.leak_bound=0.9$"):
        check_leak(tiny(**bytes_of), WHOLE)
    check_leak(tiny(**bytes_of, **{"data.leak_bound": 0.9}), WHOLE)
    with pytest.raises(UserError, match="1 of 100"):
        check_leak(tiny(**bytes_of, **{"data.leak_bound": 0.0}), SPARSE)


def test_the_bound_is_part_of_the_identity_only_where_it_is_set() -> None:
    assert tiny(**{"data.leak_bound": 0.05}).trial_id == tiny().trial_id
    assert '"data.leak_bound"' not in tiny().canonical_json()


def test_an_artefact_skips_the_guard_it_breaks_and_no_other() -> None:
    def skipped(leak: Leak | None = None, **artefacts: object) -> tuple[str, ...]:
        trial = tiny(**{"data.tokenizer": "bytes"}, bits=8, hadamard=True, exit_weight=0.3, artefacts=artefacts)
        return check_trial(build_model(trial), trial, leak)

    assert skipped() == ()
    assert skipped(causal_mask=False) == ("causality",)
    assert skipped(WHOLE, eval_on_train=True) == ("held-out text",)
    with pytest.raises(UserError, match="held-out passages"):
        skipped(WHOLE, causal_mask=False)
    for artefact in ({"target_shift": 0}, {"exit_norm": "none"}, {"tiny_init": True}, {"hadamard_grad": "identity"}):
        assert skipped(**artefact) == ()
