"""Each guard lets an honest trial pass and stops the wrong number it is for."""

import dataclasses

import numpy as np
import pytest
import torch

from bitskip.data import TokenData
from bitskip.errors import UserError
from bitskip.model.decoder import Decoder, build_model
from bitskip.training.guards import GuardError, check_causality, check_held_out, check_trial
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

    def trained(loop: object, model: Decoder, *_: object) -> None:
        for parameter in model.parameters():
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


def test_a_held_out_text_within_the_training_text_is_refused() -> None:
    check_held_out(text(DRAWS[:20_000], DRAWS[20_000:]))
    with pytest.raises(UserError, match="32 of 32 sampled passages"):
        check_held_out(text(DRAWS, DRAWS[20_000:]))


def test_an_artefact_skips_the_guard_it_breaks_and_no_other() -> None:
    def skipped(own_text: bool = True, **artefacts: object) -> tuple[str, ...]:
        trial = tiny(bits=8, hadamard=True, exit_weight=0.3, artefacts=artefacts)
        overlap = text(DRAWS, DRAWS[20_000:])
        return check_trial(build_model(trial), trial, overlap, own_text)

    assert skipped() == ()
    assert skipped(causal_mask=False) == ("causality",)
    assert skipped(eval_on_train=True, own_text=False) == ("held-out text",)
    with pytest.raises(UserError, match="sampled passages"):
        skipped(causal_mask=False, own_text=False)
    for artefact in ({"target_shift": 0}, {"exit_norm": "none"}, {"tiny_init": True}, {"hadamard_grad": "identity"}):
        assert skipped(**artefact) == ()
