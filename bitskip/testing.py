"""The contract of a technique as checks that its author runs (CONTRIBUTING.md, add a technique).

@pytest.mark.parametrize("check", bitskip.testing.CHECKS)
def test_contract(check):
    check(MyTechnique, {"my_axis": 0.5})
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bitskip.analysis.levels import level_label as label_of
from bitskip.analysis.levels import levels_of
from bitskip.data import TokenData
from bitskip.model.decoder import Decoder, KeyValueCache, build_model
from bitskip.store.schema import CurvePoint
from bitskip.techniques import registry
from bitskip.techniques.base import Technique, Techniques
from bitskip.training.checkpoint import CheckpointPlace, packed_state, read_weights, save_weights
from bitskip.training.evaluate import exit_quality
from bitskip.training.trainer import prepare, train
from bitskip.trial.config import AXES, TrialConfig, canonical, make_trial

Settings = Mapping[str, Any]

STEPS = 6
SIZES = {"layers": 4, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}


class _Interrupted(Exception):
    """Training is stopped here on purpose."""


def a_trial(**axes: Any) -> TrialConfig:
    """A trial that trains in a second: 4 blocks of width 32, 6 steps of 4 x 16 tokens."""
    tiny = {"model": SIZES, "data.vocab_size": 257, "seq_len": 16, "batch_size": 4, "tokens": STEPS * 64}
    small = {"eval_tokens": 128, "curve_tokens": 64, "curve_points": STEPS, "diagnostic_points": 1}
    return make_trial(**{**tiny, **small, **axes})


def a_text() -> TokenData:
    """Numbers that count up: learnable, and enough for any of these trials."""
    train, validation, test = (np.arange(start, start + 3000).astype(np.uint16) % 257 for start in (0, 30, 7))
    return TokenData(train, validation, test, np.full(3000, 2), 257, 0, math.log(257), "test")


def losses_of(trial: TrialConfig, **options: Any) -> list[float | None]:
    """Training and held-out loss after every step, and the final loss of every exit."""
    ready = prepare(trial, torch.device("cpu"), a_text())
    curve = train(ready, **options).curve
    exits = exit_quality(ready.model.eval(), ready.measured_on, trial)
    return [
        *(loss for point in curve for loss in (point.train_loss, point.val_loss)),
        *(found.loss for found in exits),
    ]


def off_equals_absent(technique: type[Technique], settings: Settings) -> None:
    """Switched off, a model has the same weights and logits as one that has never heard of the technique: bitwise."""
    trial = a_trial()
    absent = Techniques(each for each in trial.techniques if type(each) is not technique)
    tokens = torch.arange(24).view(2, 12)
    with_it, without = (Decoder(trial.model, found, 257, 0).eval() for found in (trial.techniques, absent))
    assert with_it.state_dict().keys() == without.state_dict().keys(), "switched off, it adds parameters"
    assert torch.equal(with_it(tokens), without(tokens)), "switched off, it changes the logits"


def neutral_keeps_identity(technique: type[Technique], settings: Settings) -> None:
    """At their neutral values its axes are no part of a trial's identity; switched on, they are."""
    trial = a_trial()
    bare = dataclasses.replace(trial, techniques=Techniques(t for t in trial.techniques if type(t) is not technique))
    assert bare.trial_id == trial.trial_id, "switched off, it changes a trial's id"
    assert a_trial(**settings).trial_id != trial.trial_id, "switched on, it is no other trial"


def canonical_is_idempotent(technique: type[Technique], settings: Settings) -> None:
    """The canonical form is its own canonical form, and the trial is rebuilt from its axes."""
    trial = a_trial(**settings)
    assert canonical(trial) == trial
    assert make_trial(**{name: value for name, value in trial.axes().items() if name in AXES}) == trial


def causal_everywhere(technique: type[Technique], settings: Settings) -> None:
    """No exit's logits move with later tokens, and decoding one by one from a cache gives what one pass gives."""
    model = build_model(a_trial(**settings)).eval()
    tokens = torch.randint(257, (2, 16), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[:, 8:] = (other[:, 8:] + 1) % 257
    with torch.no_grad():
        for exit_layer in range(1, model.sizes.layers + 1):
            whole = model(tokens, exit_layer)
            assert torch.allclose(whole[:, :8], model(other, exit_layer)[:, :8], atol=1e-5), f"exit {exit_layer} leaks"
            cache = KeyValueCache(model, 2, 16)
            steps = [model(tokens[:, i : i + 1], exit_layer, cache) for i in range(16)]
            assert torch.allclose(torch.cat(steps, 1), whole, atol=1e-4), f"exit {exit_layer}: cached is not uncached"


def learns(technique: type[Technique], settings: Settings) -> None:
    """Training ends with finite losses, and every parameter that the technique adds has a gradient."""
    trial = a_trial(**settings)
    assert all(loss is not None and math.isfinite(loss) for loss in losses_of(trial))
    plain = {name for name, _ in build_model(a_trial()).named_parameters()}
    model = build_model(trial)
    tokens = torch.randint(257, (4, 17), generator=torch.Generator().manual_seed(0))
    total, _ = model.losses(tokens[:, :-1], tokens[:, 1:], (*([0.1] * (model.sizes.layers - 1)), 1.0))
    torch.autograd.backward([total])
    for name, parameter in model.named_parameters():
        assert name in plain or parameter.grad is not None, f"{name} has no gradient"


def resumes_exactly(technique: type[Technique], settings: Settings) -> None:
    """Interrupted after any step and resumed, a trial gives the losses of one that was not: bitwise, on the CPU."""
    trial = a_trial(**settings)
    undisturbed = losses_of(trial)
    for stop in (1, STEPS // 2):
        with tempfile.TemporaryDirectory() as folder:
            place = CheckpointPlace(Path(folder) / "checkpoint.safetensors", every_seconds=0.0)

            def interrupt(point: CurvePoint, steps: int, stop: int = stop) -> None:
                if point.step == stop + 1:
                    raise _Interrupted

            with contextlib.suppress(_Interrupted):
                losses_of(trial, checkpoint=place, on_point=interrupt)
            assert losses_of(trial, checkpoint=place) == undisturbed, f"interrupted after step {stop}, losses differ"


def rests_in_phase_1(technique: type[Technique], settings: Settings) -> None:
    """A technique that is trained in phase 2 leaves no trace before: plain training up to the hand-over, bitwise."""
    both = {"exit_weight": 0.1, **settings, "phase": "1+2", "phase1_share": 0.5}
    trial = a_trial(**both)
    losses = losses_of(trial)
    assert all(loss is not None and math.isfinite(loss) for loss in losses)
    if technique.trained_in_phase_2:
        off = {axis.name: axis.neutral for axis in technique.axes()}
        assert losses[:STEPS] == losses_of(a_trial(**{**both, **off}))[:STEPS], "it acts in phase 1"


def stored_and_read_back(technique: type[Technique], settings: Settings) -> None:
    """Exported weights give the logits of the model, and are the same when they are exported again."""
    trial = a_trial(**settings)
    model = build_model(trial).eval()
    tokens = torch.randint(257, (2, 16), generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        file = Path(folder) / "weights.safetensors"
        save_weights(file, trial, model)
        read, its_trial = read_weights(file)
        assert its_trial == trial
        assert torch.allclose(read(tokens), model(tokens), atol=1e-5), "read back, it gives other logits"
        first, second = packed_state(model), packed_state(read)
        assert all(torch.equal(first[name], second[name]) for name in first), "exported again, it is not the same"


def labels_tell_apart(technique: type[Technique], settings: Settings) -> None:
    """On and off have different labels in tables."""
    on, off = levels_of(a_trial(**settings).axes()), levels_of(a_trial().axes())
    changed = [
        (label_of(factor, a), label_of(factor, b))
        for factor, a, b in zip(registry.factors(), on, off, strict=False)
        if a != b
    ]
    assert changed, "switched on, no factor of a design has another level"
    assert all(a != b for a, b in changed), f"equal labels: {changed}"


CHECKS: tuple[Callable[[type[Technique], Settings], None], ...] = (
    off_equals_absent,
    neutral_keeps_identity,
    canonical_is_idempotent,
    causal_everywhere,
    learns,
    resumes_exactly,
    rests_in_phase_1,
    stored_and_read_back,
    labels_tell_apart,
)
"""Each takes the technique's class and settings that switch it on, and raises AssertionError saying what is wrong."""
