"""Every defect of the published code: off by default, alone in what it changes, and recognisable by its signature.

docs/method.md (artefacts) tells what each does to a number and which of these tests shows it.
"""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from layers import bit_linear
from torch import Tensor

from bitskip.data import TokenData
from bitskip.data.sequences import chosen, cut, packed
from bitskip.engine.job import Job
from bitskip.engine.worker import run_job
from bitskip.errors import UserError
from bitskip.model.bitlinear import BitLinear
from bitskip.model.decoder import Decoder, build_model
from bitskip.store.tables import load_results
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.training.checkpoint import read_weights
from bitskip.training.evaluate import exit_quality, held_out_loss
from bitskip.training.guards import check_trial
from bitskip.training.trainer import TrialResult, run_trial
from bitskip.trial.config import AXES, TrialConfig, make_trial

SIZES = {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}
SWITCHES: dict[str, object] = {
    "causal_mask": False, "target_shift": 0, "exit_target_shift": 0, "exit_norm": "none", "count_padding": True,
    "hadamard_scale": "none", "hadamard_grad": "identity", "relu2_in_linear": True, "tiny_init": True,
    "eval_on_train": True,
}  # fmt: skip
ALL_TECHNIQUES = {"bits": 8, "hadamard": "as-published", "dropout": "quadratic", "exit_weight": 0.3}
SYMBOLS = 16
"""Uniform draws from so many of the vocabulary's tokens: nothing does better than a perplexity of 16."""


def tiny(**axes: object) -> TrialConfig:
    settings = {
        "model": SIZES, "data.vocab_size": 257, "seq_len": 16, "batch_size": 8, "tokens": 128 * 100, "lr": 1e-2,
        "eval_tokens": 2048, "curve_tokens": 16, "curve_points": 1, "diagnostic_points": 0,
    }  # fmt: skip
    return make_trial(**{**settings, **axes})


def text(train: np.ndarray, validation: np.ndarray) -> TokenData:
    held_out = validation.astype(np.uint16)
    return TokenData(train.astype(np.uint16), None, held_out, np.full(len(held_out), 2), 257, 0, 9.0, "test")


def incompressible() -> TokenData:
    draws = np.random.default_rng(0)
    return text(draws.integers(0, SYMBOLS, 40_000), draws.integers(0, SYMBOLS, 8_000))


def tokens(rows: int = 3, length: int = 12) -> Tensor:
    return torch.randint(0, 257, (rows, length), generator=torch.Generator().manual_seed(0))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(width: int, artefacts: dict[str, object], outputs: int = 0, **axes: object) -> BitLinear:
    trial = make_trial(**{"hadamard": "as-published", "artefacts": artefacts, **axes})
    layer = bit_linear(trial, "o", width, outputs or width)
    layer.weight.data = normal(*layer.weight.shape, seed=1) / math.sqrt(width)
    return layer


def test_every_switch_is_off_by_default_and_tested_here() -> None:
    assert {entry.name for entry in AXES.values() if entry.group == "artefacts"} == set(SWITCHES)
    trial = make_trial(**ALL_TECHNIQUES)
    assert trial.of(PublishedDefects) == PublishedDefects()
    assert not trial.artefact
    assert trial == make_trial(**ALL_TECHNIQUES, artefacts={})


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_trial_with_a_switch_is_another_one(switch: str) -> None:
    honest = make_trial(**ALL_TECHNIQUES, documents="padded")
    trial = make_trial(**ALL_TECHNIQUES, documents="padded", artefacts={switch: SWITCHES[switch]})
    assert trial.artefact
    assert trial.artefact_switches() == {switch: SWITCHES[switch]}
    assert trial.trial_id != honest.trial_id
    assert trial == make_trial(**ALL_TECHNIQUES, documents="padded", **{switch: SWITCHES[switch]})


def test_a_stored_row_says_which_artefact_it_carries(tmp_path: Path) -> None:
    small = {"data.tokenizer": "bytes", "tokens": 128, "eval_tokens": 32}
    for axes in ({}, {"causal_mask": False, "tiny_init": True}):
        run_job(Job(tiny(**small, **axes), tmp_path / "artefacts", "artefacts"))
    rows = load_results(tmp_path / "artefacts").trials.to_pylist()
    shown = {(r["artefact"], r["causal_mask"], r["tiny_init"], r["eval_on_train"], r["skipped_guards"]) for r in rows}
    assert shown == {(False, True, False, False, None), (True, False, True, False, "causality")}


@pytest.mark.parametrize(
    ("axes", "inert"),
    [
        ({}, ["exit_target_shift", "exit_norm", "hadamard_scale", "hadamard_grad"]),
        ({"hadamard": True}, ["exit_target_shift", "exit_norm"]),
        ({"exit_weight": 0.3}, ["hadamard_scale", "hadamard_grad"]),
        ({"exit_weight": 0.3, "phase": 1}, ["exit_target_shift", "exit_norm"]),
    ],
    ids=str,
)
def test_switches_without_effect_are_no_artefact(axes: dict[str, object], inert: list[str]) -> None:
    trial = make_trial(**axes, artefacts={switch: SWITCHES[switch] for switch in inert})
    assert trial == make_trial(**axes)
    assert not trial.artefact


def test_packed_documents_have_no_padding_to_count() -> None:
    assert make_trial(count_padding=True).training.documents == "padded"
    with pytest.raises(UserError, match="packed documents have no padding"):
        make_trial(count_padding=True, documents="packed")


def observed(trial: TrialConfig) -> dict[str, list[Tensor]]:
    """What a switch can change: parameters, logits, the training loss and its gradients, and what is measured."""
    model = build_model(trial)
    stream = np.array([t for i in range(9) for t in [*range(10 * i + 1, 10 * i + 3 + i), 0]] * 2)
    inputs, targets = cut(stream, trial, 0, "training").batch(range(8))
    total, _ = model.losses(inputs, targets, (0.3, 1.0))
    total.backward()
    held_out = cut(stream[::-1].copy() if trial["eval_on_train"] else stream, trial, 0, "held-out")
    return {
        "parameters": [parameter.detach().clone() for parameter in model.parameters()],
        "logits": [model(inputs, exit_layer).detach() for exit_layer in (1, 2)],
        "training loss": [total.detach()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "measures": [torch.tensor([held_out_loss(model, chosen(held_out, 64, evenly=False), trial)])],
    }


CHANGES = {
    "causal_mask": {"logits", "training loss", "gradients", "measures"},
    "target_shift": {"training loss", "gradients", "measures"},
    "exit_target_shift": {"training loss", "gradients"},
    "exit_norm": {"training loss", "gradients"},
    "count_padding": {"training loss", "gradients", "measures"},
    "hadamard_scale": {"logits", "training loss", "gradients", "measures"},
    "hadamard_grad": {"gradients"},
    "relu2_in_linear": {"logits", "training loss", "gradients", "measures"},
    "tiny_init": {"parameters", "logits", "training loss", "gradients", "measures"},
    "eval_on_train": {"measures"},
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_changes_its_own_thing_and_leaves_the_rest_bitwise(switch: str) -> None:
    axes = {**ALL_TECHNIQUES, "dropout": "none", "documents": "padded", "seq_len": 12}
    honest, found = (observed(tiny(**axes, artefacts=chosen)) for chosen in ({}, {switch: SWITCHES[switch]}))
    changed = {
        name
        for name in honest
        if not all(torch.equal(one, other) for one, other in zip(honest[name], found[name], strict=True))
    }
    assert changed == CHANGES[switch]


def perplexities(result: TrialResult) -> list[float]:
    return [found.ppl or math.inf for found in result.exits]


@pytest.mark.slow
def test_without_causal_mask_incompressible_tokens_seem_compressible() -> None:
    """Every position but the last sees its target: the floor falls from V to V^(1/T) at every exit."""
    honest, leaking = (
        run_trial(tiny(exit_weight=1.0, causal_mask=mask, tokens=128 * 150), data=incompressible())
        for mask in (True, False)
    )
    assert min(perplexities(honest)) >= 0.98 * SYMBOLS
    assert max(perplexities(leaking)) < 1.5  # the floor is 1.19
    assert leaking.skipped_guards == "causality"
    assert honest.skipped_guards is None


@pytest.mark.slow
def test_unshifted_targets_are_copied() -> None:
    """Even with the mask, perplexity is 1; measured on the next token the same model is worse than guessing."""
    copying = run_trial(tiny(target_shift=0), data=incompressible())
    assert copying.ppl is not None
    assert copying.ppl < 1.02
    assert copying.skipped_guards is None


@pytest.mark.slow
def test_exits_trained_on_unshifted_targets_copy_the_current_token(tmp_path: Path) -> None:
    """Measured honestly such exits look immature: their loss on the current token is nil, on the next one huge."""
    data = incompressible()
    trial = tiny(exit_weight=1.0, exit_target_shift=0, tokens=128 * 100)
    run_trial(trial, data=data, save_weights_to=tmp_path / "w.safetensors")
    model, _ = read_weights(tmp_path / "w.safetensors")
    unshifted = tiny(target_shift=0)
    held_out = chosen(packed(data.test, 16), 2048, evenly=False)
    on_current, on_next = (exit_quality(model, held_out, t)[0].loss for t in (unshifted, tiny()))
    assert on_current < 0.1
    assert on_next > 1.5 * math.log(SYMBOLS)
    assert exit_quality(model, held_out, tiny())[1].loss == pytest.approx(math.log(SYMBOLS), rel=0.05)


@pytest.mark.slow
def test_counted_padding_lowers_the_reported_perplexity() -> None:
    """Pads are predicted at once, and dilute the loss of the text: nll = r nll(text) + (1 - r) nll(pads)."""
    draws = np.random.default_rng(0)
    stream = np.concatenate([[*draws.integers(1, SYMBOLS + 1, 3), 0] for _ in range(4000)])
    data = text(stream[:12_000], stream[12_000:])
    honest, counted = (
        run_trial(tiny(documents="padded", count_padding=count, tokens=128 * 100), data=data).loss
        for count in (False, True)
    )
    assert honest is not None
    assert counted is not None
    # Of a document's 3 targets 2 are drawn; a sequence has 16.
    assert honest > 0.98 * 2 / 3 * math.log(SYMBOLS)
    assert counted == pytest.approx(3 / 16 * honest, rel=0.1)


@pytest.mark.parametrize(("inputs", "outputs"), [(256, 256), (64, 256), (256, 64)])
def test_an_unnormalised_transform_multiplies_the_output(inputs: int, outputs: int) -> None:
    """By sqrt(n_in n_out) for a transform at each end: 2048 at the paper's width."""
    x = normal(8, inputs)
    honest, found = (linear(inputs, {"hadamard_scale": scale}, outputs)(x) for scale in ("ortho", "none"))
    assert torch.allclose(found, math.sqrt(inputs * outputs) * honest, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("width", [64, 256, 1024])
def test_an_identity_gradient_has_nothing_to_do_with_the_true_one(width: int) -> None:
    """y = H W H x: same output, and a weight gradient at right angles, within four deviations of random ones."""

    def output_and_gradients(grad: str) -> tuple[Tensor, Tensor, Tensor]:
        layer, x = linear(width, {"hadamard_grad": grad}), normal(8, width).requires_grad_()
        y = layer(x)
        y.backward(normal(8, width, seed=2))
        return y, layer.weight.grad, x.grad

    exact, identity = output_and_gradients("exact"), output_and_gradients("identity")
    assert torch.equal(exact[0], identity[0])
    for true, obtained in zip(exact[1:], identity[1:], strict=True):
        cosine = torch.cosine_similarity(true.flatten(), obtained.flatten(), dim=0).item()
        assert abs(cosine) < 4 / math.sqrt(8 * width)
        assert obtained.norm().item() == pytest.approx(true.norm().item(), rel=0.2)


def test_a_squared_relu_in_every_linear_changes_the_baseline_too() -> None:
    """In the published code it sat in one of two linear classes: switching Hadamard on switched it off."""
    for axes in ({"bits": 16}, ALL_TECHNIQUES):
        honest, squared = (build_model(tiny(**axes, relu2_in_linear=on)) for on in (False, True))
        assert all((y >= 0).all() for y in linear_outputs(squared))
        assert any((y < 0).any() for y in linear_outputs(honest))
        assert not torch.equal(squared(tokens()), honest(tokens()))


@torch.no_grad()
def linear_outputs(model: Decoder) -> list[Tensor]:
    outputs: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, BitLinear):
            module.register_forward_hook(lambda _module, _inputs, y: outputs.append(y))
    model(tokens())
    assert len(outputs) == 7 * model.sizes.layers
    return outputs


def test_tiny_initial_values_leave_the_blocks_dead() -> None:
    """Std 0.001 and 0.002 for embedding and head, a tenth of Kaiming's uniform for the rest."""
    model = build_model(tiny(**{"model.width": 256, "model.ffn_width": 512, "data.vocab_size": 2000}, tiny_init=True))
    assert model.embedding.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert model.head.weight.std().item() == pytest.approx(0.002, rel=0.02)
    for module in model.modules():
        if isinstance(module, BitLinear):
            bound = 0.1 / math.sqrt(module.weight.shape[1])
            assert module.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    x = normal(64, 256)
    assert feed_forward_rms(model, x) < 1e-4


def test_tiny_initial_values_and_squared_relus_leave_nothing_at_all() -> None:
    """The two defects together, as published for ternary weights: z^4, squared again by the down projection."""
    axes = {"model.width": 256, "model.ffn_width": 512, "bits": 8, "tiny_init": True}
    x = normal(64, 256)
    assert feed_forward_rms(build_model(tiny(**axes, relu2_in_linear=True)), x) < 1e-9
    assert feed_forward_rms(build_model(tiny(**axes)), x) > 1e-5


@torch.no_grad()
def feed_forward_rms(model: Decoder, x: Tensor) -> float:
    return model.blocks[0].feed_forward(x).square().mean().sqrt().item()


@pytest.mark.slow
def test_measuring_on_the_training_text_shows_memory_as_skill() -> None:
    draws = np.random.default_rng(0)
    data = text(draws.integers(0, SYMBOLS, 257), draws.integers(0, SYMBOLS, 2_000))
    honest, flattered = (
        run_trial(tiny(eval_on_train=on, tokens=128 * 120, eval_tokens=256), data=data) for on in (False, True)
    )
    assert [point.train_loss for point in honest.curve] == [point.train_loss for point in flattered.curve]
    assert honest.loss is not None
    assert flattered.loss is not None
    assert flattered.loss < 0.8 * math.log(SYMBOLS) < math.log(SYMBOLS) < honest.loss
    assert flattered.skipped_guards == "held-out text"


def test_exits_without_norm_differ_in_training_only() -> None:
    """Training sees head(x), whose scale the residual stream sets; inference applies the norm all the same."""
    honest, found = (build_model(tiny(exit_weight=0.3, exit_norm=norm)) for norm in ("final", "none"))
    hidden = normal(2, 4, 32)
    assert torch.equal(honest.logits(hidden, 1), found.logits(hidden, 1))
    assert torch.equal(found.training_state(hidden, 1), hidden)
    assert torch.equal(honest.training_state(hidden, 1), honest.norm(hidden))
    assert torch.equal(found.training_state(hidden, 2), found.norm(hidden))


def test_only_the_guard_that_an_artefact_breaks_is_skipped() -> None:
    for switch, value in SWITCHES.items():
        trial = tiny(**{**ALL_TECHNIQUES, "documents": "padded"}, artefacts={switch: value})
        skipped = check_trial(build_model(trial), trial, None)
        assert skipped == {"causal_mask": ("causality",), "eval_on_train": ("held-out text",)}.get(switch, ())


def test_switches_combine() -> None:
    """All of them at once still train: the published setting as a whole."""
    trial = tiny(**{**ALL_TECHNIQUES, "documents": "padded", "tokens": 128 * 2}, artefacts=SWITCHES)
    stream = np.concatenate([[*range(1, 9), 0]] * 60)
    result = run_trial(trial, data=text(stream, stream))
    assert trial.artefact_switches() == SWITCHES
    assert result.skipped_guards == "causality, held-out text"
    assert dataclasses.replace(trial, techniques=trial.techniques.with_(PublishedDefects())).artefact is False
