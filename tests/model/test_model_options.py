"""Norms of queries and keys, and a tied head: off they are absent, on they train, are stored and decode alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bitskip.model.decoder import build_model
from bitskip.testing import a_text, a_trial, losses_of
from bitskip.training.checkpoint import CheckpointPlace, read_weights, save_weights
from bitskip.training.evaluate import weight_bytes
from bitskip.training.generate import FixedExit, generate
from bitskip.training.trainer import optimizer_for, prepare, train
from bitskip.trial.config import PRESETS, TrialConfig
from bitskip.trial.cost import exit_weight_bytes, parameter_count

OPTIONS = {
    "qk_norm": {"model.qk_norm": True},
    "tied head": {"model.tie_embeddings": True},
    "bitnet": {"model.layout": "bitnet", "bits": 8},
    "both": {"model.qk_norm": True, "model.tie_embeddings": True, "bits": 8, "exit_weight": 0.3, "dropout": "linear"},
}


def trained(trial: TrialConfig) -> torch.nn.Module:
    ready = prepare(trial, torch.device("cpu"), a_text())
    train(ready)
    return ready.model.eval()


def test_off_they_are_absent() -> None:
    off = a_trial(**{"model.qk_norm": False, "model.tie_embeddings": False})
    assert off.trial_id == a_trial().trial_id
    names = build_model(off).state_dict().keys()
    assert not any("query_norm" in name or "key_norm" in name for name in names)
    assert {"embedding.weight", "head.weight"} <= names
    assert off.model == a_trial().model
    assert all(not (sizes.qk_norm or sizes.tie_embeddings) for sizes in PRESETS.values())


@pytest.mark.parametrize("axes", OPTIONS.values(), ids=OPTIONS)
def test_on_they_train_and_are_counted(axes: dict[str, object]) -> None:
    trial = a_trial(**axes)
    assert losses_of(trial) == losses_of(trial) != losses_of(a_trial())
    model = build_model(trial)
    assert parameter_count(trial) == sum(parameter.numel() for parameter in model.parameters())
    assert exit_weight_bytes(trial, trial.model.layers) == weight_bytes(model)
    moved = {name: (p - before).abs().max() for (name, p), before in zip(
        trained(trial).named_parameters(), model.parameters(), strict=True)}  # fmt: skip
    assert all(by > 0 for by in moved.values())


@pytest.mark.parametrize("axes", OPTIONS.values(), ids=OPTIONS)
def test_stored_weights_decode_as_the_model_does(axes: dict[str, object], tmp_path: Path) -> None:
    trial = a_trial(**axes)
    model = trained(trial)
    save_weights(tmp_path / "w.safetensors", trial, model)
    again, stored = read_weights(tmp_path / "w.safetensors")
    assert stored == trial
    ids = torch.arange(24).view(2, 12)
    with torch.no_grad():
        assert torch.equal(again(ids), model(ids))
    assert (again.head.weight is again.embedding.weight) is trial.model.tie_embeddings
    found = [
        generate(m, [1, 2, 3], FixedExit(trial.model.layers), max_tokens=8, temperature=0.0) for m in (model, again)
    ]
    assert found[0].tokens == found[1].tokens


def test_z_loss_is_an_axis_of_the_training_loss_alone() -> None:
    """Off it is absent; on, a loss that is reported does not contain it, and micro-batches change nothing of it."""
    assert a_trial(z_loss=0.0).trial_id == a_trial().trial_id != a_trial(z_loss=0.1).trial_id
    plain, with_it = losses_of(a_trial()), losses_of(a_trial(z_loss=0.1))
    assert plain[0] == with_it[0]  # before the first update
    assert plain[2:] != with_it[2:]
    assert losses_of(a_trial(z_loss=0.1, micro_batch=2)) == pytest.approx(with_it, rel=1e-4)


class _Stopped(Exception):
    pass


@pytest.mark.parametrize("axes", OPTIONS.values(), ids=OPTIONS)
def test_an_interrupted_training_goes_on(axes: dict[str, object], tmp_path: Path) -> None:
    trial, place = a_trial(**axes), CheckpointPlace(tmp_path / "t.safetensors", every_seconds=0.0)

    def stop(point: object, steps: int) -> None:
        if point.step == 4:
            raise _Stopped

    with pytest.raises(_Stopped):
        losses_of(trial, on_point=stop, checkpoint=place)
    assert losses_of(trial, checkpoint=place) == losses_of(trial)


def test_gradients_of_normed_heads_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backward pass written by hand against autograd through the plain operations."""
    trial = a_trial(**{"model.qk_norm": True})
    ids = torch.arange(24).view(2, 12)

    def gradients() -> dict[str, torch.Tensor]:
        model = build_model(trial).double()
        total, _ = model.losses(ids, ids.roll(-1, 1), (0.0, 0.0, 0.0, 1.0))
        total.backward()
        return {name: p.grad for name, p in model.named_parameters()}

    by_hand = gradients()
    monkeypatch.setattr("bitskip.ops.fused.by_hand", lambda *tensors: False)
    for name, gradient in gradients().items():
        torch.testing.assert_close(by_hand[name], gradient, rtol=1e-9, atol=1e-12)


def test_a_tie_embeddings_is_one_parameter_and_gets_both_gradients() -> None:
    tied, own = (build_model(a_trial(**axes)).double() for axes in ({"model.tie_embeddings": True}, {}))
    own.load_state_dict(tied.state_dict())
    ids = torch.arange(24).view(2, 12)
    for model in (tied, own):
        model.losses(ids, ids.roll(-1, 1), (0.0, 0.0, 0.0, 1.0))[0].backward()
    together = own.embedding.weight.grad + own.head.weight.grad
    torch.testing.assert_close(tied.embedding.weight.grad, together, rtol=1e-12, atol=0)
    decayed, rest = optimizer_for(tied, a_trial().training).param_groups
    weight = tied.embedding.weight
    assert [sum(p is weight for p in group["params"]) for group in (decayed, rest)] == [0, 1]
