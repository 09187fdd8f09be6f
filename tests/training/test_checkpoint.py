"""An interrupted trial ends as an uninterrupted one, bitwise; packed weights compute what training computed."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from bitskip.data import TokenData
from bitskip.errors import UserError
from bitskip.model.bitlinear import frozen_weights
from bitskip.model.decoder import build_model
from bitskip.ops.quantizers import pack_codes, unpack_codes
from bitskip.store.folder import SweepFolder
from bitskip.store.schema import CurvePoint
from bitskip.training.checkpoint import (
    CheckpointPlace,
    load_model,
    packed_state,
    read_weights,
    save_weights,
    stored_bytes,
)
from bitskip.training.evaluate import weight_bytes
from bitskip.training.trainer import TrialResult, run_trial
from bitskip.trial.config import TrialConfig, make_trial

TINY = {"layers": 3, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}
TECHNIQUES = {"dropout": "quadratic", "dropout_max": 0.5, "exit_weight": 0.3, "exit_curriculum": "rotational"}
VARIANTS = [
    {},
    {"bits": 8, **TECHNIQUES},
    {"bits": 4, "hadamard": "random-sign", "first_bits": 8, "first_bits_share": 0.5, "phase": "1+2", **TECHNIQUES},
    {"exit_head": "own-head", "phase": "1+2", "batch_size": 6, "micro_batch": 3, **TECHNIQUES},
]


def tiny(**axes: object) -> TrialConfig:
    settings = {
        "model": TINY, "data.vocab_size": 300, "seq_len": 16, "batch_size": 4, "tokens": 16 * 4 * 24,
        "eval_tokens": 512, "curve_tokens": 256, "curve_points": 4,
    }  # fmt: skip
    return make_trial(**{**settings, **axes})


def text(fingerprint: str = "test") -> TokenData:
    """Few enough tokens for several epochs."""
    draws = np.random.default_rng(0)
    train, validation = (draws.integers(0, 300, n).astype(np.uint16) for n in (700, 600))
    return TokenData(train, None, validation, np.full(600, 2), 300, 0, 6.0, fingerprint)


class Interrupted(Exception):
    pass


def interrupted_run(trial: TrialConfig, place: CheckpointPlace, points: int) -> None:
    """A run that ends by an exception after so many points of the curve."""
    seen: list[CurvePoint] = []

    def stop(point: CurvePoint, steps: int) -> None:
        seen.append(point)
        if len(seen) == points:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_trial(trial, data=text(), on_point=stop, checkpoint=place)


def learned(result: TrialResult) -> tuple[object, ...]:
    exits = [(e.loss, e.agreement) for e in result.exits]
    return result.status, result.curve, result.layers, exits, result.last_finite_loss, result.tokens_trained


@pytest.mark.parametrize("axes", VARIANTS, ids=str)
@pytest.mark.parametrize("points", [1, 3])
def test_an_interrupted_trial_ends_as_an_uninterrupted_one(
    axes: dict[str, object], points: int, tmp_path: Path
) -> None:
    trial = tiny(**axes)
    place = CheckpointPlace(tmp_path / "trial.safetensors", every_seconds=0.0)
    interrupted_run(trial, place, points)
    resumed = run_trial(trial, data=text(), checkpoint=place)
    assert resumed.resumed_at_step == resumed.curve[points - 1].step - 1
    assert learned(resumed) == learned(run_trial(trial, data=text()))


def test_a_twice_interrupted_trial_counts_all_its_time(tmp_path: Path) -> None:
    trial, place = tiny(), CheckpointPlace(tmp_path / "trial.safetensors", every_seconds=0.0)
    interrupted_run(trial, place, 2)
    with safe_open(place.path, "pt") as stored:
        before = json.loads(stored.metadata()["record"])["seconds"]
    interrupted_run(trial, place, 1)
    resumed = run_trial(trial, data=text(), checkpoint=place)
    assert resumed.train_seconds > before > 0
    assert learned(resumed) == learned(run_trial(trial, data=text()))


@pytest.mark.parametrize("damage", ["cut", "garbage", "other trial", "other text"])
def test_what_is_no_checkpoint_of_the_trial_is_not_continued(damage: str, tmp_path: Path) -> None:
    trial, place = tiny(), CheckpointPlace(tmp_path / "trial.safetensors", every_seconds=0.0)
    interrupted_run(tiny(lr=1e-3) if damage == "other trial" else trial, place, 2)
    if damage == "cut":
        place.path.write_bytes(place.path.read_bytes()[:-100])
    elif damage == "garbage":
        place.path.write_bytes(b"not a checkpoint")
    found = run_trial(trial, data=text("another" if damage == "other text" else "test"), checkpoint=place)
    assert found.resumed_at_step is None
    assert learned(found) == learned(run_trial(trial, data=text()))


def test_no_checkpoint_is_written_before_its_time(tmp_path: Path) -> None:
    run_trial(tiny(), data=text(), checkpoint=CheckpointPlace(tmp_path / "c.safetensors", every_seconds=3600))
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=50))
def test_codes_survive_packing(codes: list[float]) -> None:
    """Two bits keep the three codes apart: the published packing merged 0 and +1."""
    tensor = torch.tensor(codes)
    packed = pack_codes(tensor)
    assert packed.dtype == torch.uint8
    assert len(packed) == -(-len(codes) // 4)
    assert torch.equal(unpack_codes(packed, tensor.shape), tensor)


@pytest.mark.parametrize("axes", VARIANTS, ids=str)
def test_stored_weights_compute_bitwise_what_training_computed(axes: dict[str, object], tmp_path: Path) -> None:
    trial = tiny(**axes)
    result = run_trial(trial, data=text(), save_weights_to=tmp_path / "w.safetensors")
    model, stored_trial = read_weights(tmp_path / "w.safetensors")
    assert stored_trial == trial
    validation = torch.from_numpy(text().test[:513].astype(np.int64))
    inputs, targets = validation[:-1].view(-1, 16), validation[1:].view(-1, 16)
    with torch.no_grad():
        for found in result.exits:
            logits = model(inputs, found.exit_layer)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            assert loss.double().mean().item() == pytest.approx(found.loss, rel=1e-6)


def test_a_stored_model_equals_the_trained_one_and_is_not_quantized_twice(tmp_path: Path) -> None:
    trial = tiny(bits=8)
    model = build_model(trial).eval()
    save_weights(tmp_path / "w.safetensors", trial, model)
    loaded, _ = read_weights(tmp_path / "w.safetensors")
    tokens = torch.arange(32).view(2, 16)
    assert torch.equal(loaded(tokens), model(tokens))
    with frozen_weights(loaded):
        assert torch.equal(loaded(tokens), model(tokens))
    assert torch.equal(loaded(tokens), model(tokens))


@pytest.mark.parametrize(
    "axes", [{}, {"bits": 8}, {"weights": "ternary"}, {"bits": 4, "exit_head": "own-head"}], ids=str
)
def test_weight_bytes_are_what_a_file_would_hold(axes: dict[str, object]) -> None:
    model = build_model(tiny(exit_weight=0.3, **axes))
    assert weight_bytes(model) == stored_bytes(packed_state(model, torch.bfloat16))


def test_weights_are_found_by_the_beginning_of_an_id(tmp_path: Path) -> None:
    trials = [tiny(seed=seed) for seed in (0, 1)]
    for sweep, trial in zip(("a", "b"), trials, strict=True):
        save_weights(SweepFolder(tmp_path / sweep).weights(trial.trial_id), trial, build_model(trial))
    assert load_model(tmp_path, trials[0].trial_id[:8])[1] == trials[0]
    assert load_model(tmp_path / "b", trials[1].trial_id)[1] == trials[1]
    with pytest.raises(UserError, match="no weights of such a trial"):
        load_model(tmp_path / "a", trials[1].trial_id)
    first = trials[0].trial_id[0]
    twin = next(trial for seed in itertools.count(2) if (trial := tiny(seed=seed)).trial_id[0] == first)
    save_weights(SweepFolder(tmp_path / "a").weights(twin.trial_id), twin, build_model(twin))
    with pytest.raises(UserError, match="several trials"):
        load_model(tmp_path, first)
    with pytest.raises(UserError, match="is empty"):
        load_model(tmp_path, "")


def test_a_foreign_file_is_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights" / "x.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read as weights"):
        read_weights(path)


def test_bf16_weights_load(tmp_path: Path) -> None:
    trial = dataclasses.replace(tiny(bits=8), seed=1)
    model = build_model(trial)
    save_weights(tmp_path / "w.safetensors", trial, model, torch.bfloat16)
    loaded, _ = read_weights(tmp_path / "w.safetensors")
    assert torch.equal(loaded.head.weight, model.head.weight.bfloat16().float())
    assert torch.equal(loaded.blocks[0].attention.q.effective_weight(), model.blocks[0].attention.q.effective_weight())
