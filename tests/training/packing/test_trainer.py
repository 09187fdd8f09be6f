"""Packed trials end as each would alone."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bitskip.data import TokenData
from bitskip.model.decoder import Decoder, build_model
from bitskip.store.schema import ExitSpeed
from bitskip.training.checkpoint import CheckpointPlace
from bitskip.training.packing.stacked_decoder import PackedDecoder
from bitskip.training.packing.trainer import Member, _StackedAdamW, pack_key, packing_gains, run_pack
from bitskip.training.trainer import TrialResult, optimizer_for, run_trial
from bitskip.trial.config import TrialConfig, make_trial

SIZES = {"layers": 3, "width": 32, "heads": 4, "kv_heads": 2, "ffn_width": 64}
SETTINGS = {
    "batch_size": 4,
    "seq_len": 16,
    "tokens": 64 * 12,
    "lr": 3e-3,
    "eval_tokens": 320,
    "curve_tokens": 160,
    "curve_points": 3,
    "diagnostic_points": 2,
}
MEMBERS = [
    {"bits": 16},
    {"bits": 8, "seed": 1, "lr": 1e-3, "grad_clip": 0.1},
    {"bits": 8, "hadamard": True, "dropout": "constant", "dropout_max": 0.9},
    {"bits": 4, "hadamard": True, "exit_weight": 0.3, "phase": "1+2"},
    {"bits": 4, "first_bits": 8, "exit_weight": 0.3, "exit_curriculum": "rotational", "tokens": 64 * 8},
]


@pytest.fixture(autouse=True)
def _untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing the exits takes longer than training such models."""
    timed = ExitSpeed(1.0, 1.0, 0.0, 0.0, 0.0, 1)
    monkeypatch.setattr(
        "bitskip.training.trainer.exit_speed", lambda model, prompt, batch=1: [timed] * model.sizes.layers
    )


def text() -> TokenData:
    draws = np.random.default_rng(0).integers(0, 300, 20_000).astype(np.uint16)
    return TokenData(draws[:15_000], draws[15_000:], 300, 0, 2.0, 5.6, "test")


TEXT = text()


def tiny(**axes: object) -> TrialConfig:
    return make_trial(**({"model": SIZES, "data": {"vocab_size": 300}} | SETTINGS | axes))


def packed(*trials: TrialConfig, **settings: object) -> dict[str, TrialResult]:
    found = dict(run_pack([Member(trial, **settings) for trial in trials], data=TEXT))
    return {member.trial.trial_id: result for member, result in found.items()}


def assert_alike(ours: TrialResult, alone: TrialResult) -> None:
    """The same numbers but for rounding, which the quantizers' steps enlarge."""
    assert (ours.status, ours.tokens_trained) == (alone.status, alone.tokens_trained)
    assert [point.step for point in ours.curve] == [point.step for point in alone.curve]
    for mine, its in zip(ours.curve, alone.curve, strict=True):
        assert mine.lr == its.lr
        assert mine.train_loss == pytest.approx(its.train_loss, rel=2e-3)
        assert mine.val_loss == pytest.approx(its.val_loss, rel=2e-3)
    assert [e.loss for e in ours.exits] == pytest.approx([e.loss for e in alone.exits], rel=2e-3)
    assert [(row.step, row.layer, row.site) for row in ours.layers] == [
        (row.step, row.layer, row.site) for row in alone.layers
    ]


def test_packed_trials_end_as_alone() -> None:
    trials = [tiny(**axes) for axes in MEMBERS]
    found = packed(*trials)
    assert found.keys() == {trial.trial_id for trial in trials}
    for trial in trials:
        assert_alike(found[trial.trial_id], run_trial(trial, data=TEXT))


def test_a_full_precision_trial_is_the_same_to_rounding() -> None:
    trials = [tiny(seed=seed, exit_weight=0.3, exit_head="own-head", dropout="constant") for seed in range(3)]
    found = packed(*trials)
    for trial in trials:
        alone = run_trial(trial, data=TEXT)
        assert found[trial.trial_id].loss == pytest.approx(alone.loss, rel=1e-6)


def test_a_member_that_diverges_leaves_the_others_alone() -> None:
    good, bad = tiny(seed=1), tiny(seed=2, lr=1e30, warmup=0.0)
    found = packed(good, bad)
    assert found[bad.trial_id].status == "diverged"
    assert found[bad.trial_id].diverged_at_step == run_trial(bad, data=TEXT).diverged_at_step
    assert found[good.trial_id].loss == pytest.approx(run_trial(good, data=TEXT).loss, rel=1e-6)


def test_an_interrupted_pack_goes_on_packed_or_alone(tmp_path: Path) -> None:
    trials = [tiny(seed=seed, exit_weight=0.3, exit_head="own-norm") for seed in range(3)]
    whole = packed(*trials)
    places = {trial: CheckpointPlace(tmp_path / trial.trial_id, 0.0) for trial in trials}

    class Stop(Exception):
        pass

    def stop(point: object, _: int) -> None:
        if point.step >= 8:
            raise Stop

    with pytest.raises(Stop):
        list(run_pack([Member(trial, stop, places[trial]) for trial in trials], data=TEXT))
    alone = run_trial(trials[0], data=TEXT, checkpoint=places[trials[0]])
    rest = dict(run_pack([Member(trial, checkpoint=places[trial]) for trial in trials[1:]], data=TEXT))
    for result in (alone, *rest.values()):
        assert result.resumed_at_step in (7, 8)
        assert result.loss == pytest.approx(whole[result.trial.trial_id].loss, rel=1e-6)


@pytest.mark.parametrize("backend", [None, "aot_eager"])
@pytest.mark.filterwarnings("ignore")  # of the compiler's own
def test_the_stacked_optimizer_is_adamw(backend: str | None) -> None:
    """With a part that a step does not reach, and a lane that dies of gradients that are not finite."""
    trials = [tiny(seed=seed, weight_decay=0.3 * seed, grad_clip=seed) for seed in range(3)]
    models, twins = ([build_model(trial) for trial in trials] for _ in range(2))
    decoder = PackedDecoder(models)
    ours = _StackedAdamW(decoder, [trial.training for trial in trials])
    if backend:
        ours.update = torch.compile(ours.update, backend=backend)
    theirs = [optimizer_for(twin, trial.training) for twin, trial in zip(twins, trials, strict=True)]
    draws = torch.Generator().manual_seed(0)
    for step in range(4):
        rates = [1e-2 / (seed + 1) for seed in range(3)]
        alive = [True, step < 3, True]
        norms = []
        for name, stacked in decoder.stacked.items():
            stacked.grad = torch.randn(stacked.shape, generator=draws)
            if name.startswith("blocks.1"):
                for index in range(3):
                    stacked.grad[index] *= 1 - (step + index) % 2
        for index, (twin, optimizer) in enumerate(zip(twins, theirs, strict=True)):
            for name, parameter in twin.named_parameters():
                skipped = name.startswith("blocks.1") and (step + index) % 2
                parameter.grad = None if skipped else decoder.stacked[name].grad[index].clone()
            norms.append(torch.nn.utils.clip_grad_norm_(twin.parameters(), index or torch.inf).item())
            optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = rates[index]
            if alive[index]:
                optimizer.step()
            else:
                norms[index] = math.nan
                for stacked in decoder.stacked.values():
                    stacked.grad[index] = math.nan
        assert ours.clip().tolist() == pytest.approx(norms, rel=1e-5, nan_ok=True)
        reached = {part: [True] * 3 for part in ours.parts}
        reached["block 1"] = [not (step + index) % 2 for index in range(3)]
        ours.step(rates, reached, alive)
    for index, twin in enumerate(twins):
        stored = decoder.store(index)
        for name, parameter in twin.named_parameters():
            assert torch.allclose(stored.get_parameter(name), parameter, rtol=1e-5, atol=1e-6), (index, name)


def test_the_optimizer_state_comes_and_goes_whole() -> None:
    trials = [tiny(seed=seed) for seed in range(2)]
    models = [build_model(trial) for trial in trials]
    decoder = PackedDecoder(models)
    stacked = _StackedAdamW(decoder, [trial.training for trial in trials])
    alone = optimizer_for(models[1], trials[1].training)
    for parameter in models[1].parameters():
        parameter.grad = torch.ones_like(parameter)
    alone.step()
    stacked.take(1, alone)
    again = optimizer_for(models[1], trials[1].training)
    stacked.give(1, again)
    for parameter in models[1].parameters():
        for key, value in alone.state[parameter].items():
            assert torch.equal(again.state[parameter][key], value)
    stacked.give(0, again)
    assert not any(parameter in again.state for parameter in models[0].parameters())


@pytest.mark.parametrize("asked", ["on", "off"])
def test_a_pack_is_compiled_where_its_trials_are(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    for kind, how in ((PackedDecoder, "compile_blocks"), (Decoder, "compile_blocks"), (_StackedAdamW, "compile")):
        monkeypatch.setattr(kind, how, lambda each: compiled.append(type(each)))
    packing_gains([tiny(compile=asked, seed=seed) for seed in range(2)], "cpu", 1)
    assert compiled == ([Decoder, Decoder, PackedDecoder, _StackedAdamW] if asked == "on" else [])


def test_what_can_be_packed() -> None:
    trial = tiny()
    alike = ({"seed": 3}, {"bits": 4}, {"hadamard": True}, {"dropout": "linear"}, {"exit_weight": 0.1}, {"lr": 1e-4})
    assert {pack_key(tiny(**axes)) for axes in alike} == {pack_key(trial)}
    wide, own_norms = {"model": {**SIZES, "width": 64}}, {"exit_weight": 0.1, "exit_head": "own-norm"}
    for axes in ({"batch_size": 8}, {"compile": "on"}, wide, own_norms):
        assert pack_key(tiny(**axes)) != pack_key(trial)
    artefact = tiny(artefacts={"eval_on_train": True})
    assert pack_key(artefact) is None
    for wrong in ([trial, tiny(batch_size=8)], [artefact]):
        with pytest.raises(ValueError, match="packed"):
            list(run_pack([Member(each) for each in wrong], data=TEXT))


def test_what_goes_wrong_with_one_member_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(trial: TrialConfig, *rest: object) -> object:
        if trial.seed == 1:
            raise RuntimeError("no")
        return prepared(trial, *rest)

    from bitskip.training.packing import trainer

    prepared = trainer.prepare
    monkeypatch.setattr(trainer, "prepare", breaking)
    found = packed(tiny(), dataclasses.replace(tiny(), seed=1))
    kinds = {result if isinstance(result, str) else type(result).__name__ for result in found.values()}
    assert kinds == {"RuntimeError", "TrialResult"}


def test_the_gain_of_packing_is_measured_step_by_step() -> None:
    gains = packing_gains([tiny(bits=8, seed=seed) for seed in range(2)], "cpu", 3)
    assert len(gains) == 3
    assert all(gain > 0 for gain in gains)


def test_a_probe_is_of_the_steps_where_everything_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    plain = PackedDecoder.losses

    def losses(self: PackedDecoder, tokens: object, targets: object, weights: torch.Tensor, keep: object) -> object:
        seen.append((weights, keep))
        return plain(self, tokens, targets, weights, keep)

    monkeypatch.setattr(PackedDecoder, "losses", losses)
    late = {"phase": "1+2", "exit_weight": 0.3, "dropout": "constant", "dropout_max": 0.5}
    packing_gains([tiny(bits=8, seed=seed, **late) for seed in range(2)], "cpu", 2)
    assert all((weights > 0).all() and keep is not None for weights, keep in seen)


def test_want_of_memory_is_the_packs_and_what_was_trained_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [tiny(seed=seed) for seed in range(2)]
    whole = packed(*trials)
    places = {trial: CheckpointPlace(tmp_path / trial.trial_id, 1e9) for trial in trials}

    def full(*_: object) -> object:
        raise torch.OutOfMemoryError("no room")

    members = [Member(trial, checkpoint=places[trial]) for trial in trials]
    with monkeypatch.context() as patched:
        patched.setattr("bitskip.training.packing.trainer.conclude", full)
        with pytest.raises(torch.OutOfMemoryError):
            list(run_pack(members, data=TEXT))
        patched.setattr("bitskip.training.packing.trainer.prepare", full)
        with pytest.raises(torch.OutOfMemoryError):
            list(run_pack(members, data=TEXT))
    for trial in trials:
        again = run_trial(trial, data=TEXT, checkpoint=places[trial])
        assert again.resumed_at_step == 12
        assert again.loss == pytest.approx(whole[trial.trial_id].loss, rel=1e-6)
