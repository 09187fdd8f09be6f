"""What a loss counts: shifts, padding, exits and skipped blocks, in training and in evaluation (docs/method.md)."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitskip.data.sequences import Sequences, padded
from bitskip.model.decoder import Decoder, build_model
from bitskip.ops.conventions import IGNORED_TARGET
from bitskip.training.evaluate import exit_quality, held_out_loss
from bitskip.trial.config import TrialConfig, make_trial

SIZES = {"layers": 3, "width": 32, "heads": 4, "kv_heads": 2, "ffn_width": 64}
VARIANTS = [{}, {"bits": 8}, {"bits": 4, "hadamard": "random-sign"}, {"exit_weight": 0.3, "exit_head": "own-head"}]
WEIGHTS = (0.2, 0.3, 1.0)


def tiny(**axes: object) -> TrialConfig:
    return make_trial(**{"model": SIZES, "data.vocab_size": 300, **axes})


def tokens(rows: int = 3, length: int = 12, seed: int = 0) -> Tensor:
    return torch.randint(0, 300, (rows, length), generator=torch.Generator().manual_seed(seed))


def gradients(model: Decoder, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        assert torch.allclose(gradient, other[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("axes", VARIANTS, ids=str)
def test_ignored_positions_count_in_no_loss_and_no_gradient(axes: dict[str, object]) -> None:
    """Against a loop over the positions that count, at every exit; what stands behind the text is arbitrary."""
    model = build_model(tiny(**axes))
    inputs, targets = tokens()[:, :-1], tokens()[:, 1:].clone()
    lengths = [11, 4, 7]
    for row, length in enumerate(lengths):
        targets[row, length:] = IGNORED_TARGET
    total, main = model.losses(inputs, targets, WEIGHTS)
    found = gradients(model, total)

    by_hand = []
    for exit_layer in (1, 2, 3):
        per_row = [model(inputs[row : row + 1, :length], exit_layer)[0] for row, length in enumerate(lengths)]
        kept = torch.cat([targets[row, :length] for row, length in enumerate(lengths)])
        by_hand.append(-torch.cat(per_row).log_softmax(-1).gather(1, kept[:, None]).sum() / sum(lengths))
    expected = sum(weight * loss for weight, loss in zip(WEIGHTS, by_hand, strict=True))
    assert main.item() == pytest.approx(by_hand[-1].item(), rel=1e-5)
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_close(found, gradients(model, expected))

    other = inputs.clone()
    for row, length in enumerate(lengths):
        other[row, length:] = 299
    total, _ = model.losses(other, targets, WEIGHTS)
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_close(found, gradients(model, total))


def test_more_padding_changes_no_loss_and_no_gradient() -> None:
    stream = np.array([5, 6, 7, 8, 299, 9, 10, 299, 11, 12, 13, 14, 15, 16, 299])
    model = build_model(tiny(bits=8))
    found = []
    for length in (6, 9, 16):
        total, _ = model.losses(*padded(stream, length, 299).batch([0, 1, 2]), WEIGHTS)
        found.append((total.item(), gradients(model, total)))
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        assert_close(gradient, found[0][1])


@pytest.mark.parametrize("axes", VARIANTS[:3], ids=str)
def test_more_padding_and_other_batches_change_no_perplexity(axes: dict[str, object]) -> None:
    stream = np.array([t for i in range(9) for t in [*range(10 * i + 1, 10 * i + 3 + i), 299]])
    model = build_model(tiny(**axes)).eval()
    found = []
    for length, batch_size in ((12, 1), (12, 4), (31, 4)):
        trial = tiny(**axes, seq_len=length, batch_size=batch_size, documents="padded")
        sequences = padded(stream, length, 299)
        exits = [quality.loss for quality in exit_quality(model, sequences, trial)]
        assert held_out_loss(model, sequences, trial) == pytest.approx(exits[-1], rel=1e-6)
        found.append(exits)
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    assert found[2] == pytest.approx(found[0], rel=1e-4)


class Scripted(nn.Module):
    """Logits from a formula of the inputs, where evaluation expects a decoder."""

    def __init__(self, logits: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1)
        self.formula = logits

    def forward(self, inputs: Tensor) -> Tensor:
        return self.formula(inputs)


def favours_position_mod_three(inputs: Tensor) -> Tensor:
    """Logit 2 for class t mod 3 at position t, else 0."""
    return 2.0 * F.one_hot(torch.arange(inputs.shape[1]) % 3, 3).float().expand(len(inputs), -1, -1)


@pytest.mark.parametrize(
    ("artefacts", "length", "expected"),
    [
        ({}, 5, 2.239545),
        ({}, 9, 2.239545),
        ({"count_padding": True}, 5, 1.839545),
        ({"count_padding": True, "target_shift": 0}, 6, 0.906211),
    ],
    ids=str,
)
def test_loss_bookkeeping_oracle(artefacts: dict[str, object], length: int, expected: float) -> None:
    """Three classes, tokens 0 1 2 1 and pads of 1: shifted and masked, pads counted, not even shifted."""
    trial = tiny(artefacts=artefacts)
    counted = trial["count_padding"]
    sequences = Sequences(np.array([0, 1, 2, 1]), [0], [4], length, padding=1, count_padding=counted)
    loss = held_out_loss(Scripted(favours_position_mod_three), sequences, trial)  # type: ignore[arg-type]
    assert loss == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_perplexity_is_that_of_tokens_not_of_batches(batch_size: int) -> None:
    """Losses 1, 1, 1, 1 and 3: exp(7 / 5), not exp((1 + 3) / 2)."""
    sequences = Sequences(np.array([0, 0, 0, 0, 0, 1, 0]), [0, 5], [5, 7], 4, padding=0)
    trial = tiny(batch_size=batch_size)

    def logits(inputs: Tensor) -> Tensor:
        wanted = torch.where(inputs == 0, 1.0, 3.0)
        return torch.stack([torch.zeros_like(wanted), torch.log(torch.expm1(wanted))], -1)

    loss = held_out_loss(Scripted(logits), sequences, trial)  # type: ignore[arg-type]
    assert math.exp(loss) == pytest.approx(4.0552, abs=1e-4)


def test_without_exit_loss_gradients_are_those_of_plain_language_modelling() -> None:
    model = build_model(tiny(bits=8))
    inputs, targets = tokens()[:, :-1], tokens()[:, 1:]
    total, _ = model.losses(inputs, targets, (0.0, 0.0, 1.0))
    found = gradients(model, total)
    plain = gradients(model, F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()))
    assert_close(found, plain)


@pytest.mark.parametrize("exit_head", ["shared", "own-norm", "own-head"])
@pytest.mark.parametrize("exit_layer", [1, 2, 3])
def test_an_exit_trains_its_head_and_the_blocks_before_it(exit_head: str, exit_layer: int) -> None:
    model = build_model(tiny(exit_weight=0.3, exit_head=exit_head))
    weights = [0.0, 0.0, 0.0]
    weights[exit_layer - 1] = 0.7
    total, _ = model.losses(tokens()[:, :-1], tokens()[:, 1:], weights)
    reached = {name for name, gradient in gradients(model, total).items() if gradient.abs().max() > 0}
    early = exit_layer < 3
    head = f"exit_heads.{exit_layer - 1}" if early and exit_head == "own-head" else "head"
    norm = f"exit_norms.{exit_layer - 1}" if early and exit_head != "shared" else "norm"
    assert {name for name in reached if "head" in name} == {f"{head}.weight"}
    assert {name for name in reached if name.startswith(("norm", "exit_norms"))} == {f"{norm}.weight"}
    blocks = {int(name.split(".")[1]) for name in reached if name.startswith("blocks")}
    assert blocks == set(range(exit_layer))


def test_losses_of_exits_add_up() -> None:
    """The gradient of the weighted sum is the weighted sum of the exits' own gradients, the shared head's too."""
    model = build_model(tiny(bits=8))
    inputs, targets = tokens()[:, :-1], tokens()[:, 1:]
    whole = gradients(model, model.losses(inputs, targets, WEIGHTS)[0])
    for exit_layer in (1, 2, 3):
        alone = F.cross_entropy(model(inputs, exit_layer).flatten(0, 1), targets.flatten())
        for name, gradient in gradients(model, alone).items():
            whole[name] -= WEIGHTS[exit_layer - 1] * gradient
    assert all(rest.abs().max() < 1e-6 for rest in whole.values())


@pytest.mark.parametrize("axes", VARIANTS, ids=str)
def test_keeping_every_block_is_no_dropout(axes: dict[str, object]) -> None:
    model = build_model(tiny(**axes))
    inputs, targets = tokens()[:, :-1], tokens()[:, 1:]
    plain, kept = (
        gradients(model, model.losses(inputs, targets, WEIGHTS, keep)[0])
        for keep in (None, torch.ones(3, 3, dtype=torch.bool))
    )
    assert all(torch.equal(plain[name], kept[name]) for name in plain)


@pytest.mark.parametrize("axes", VARIANTS[:3], ids=str)
def test_skipped_blocks_are_left_out_sequence_by_sequence(axes: dict[str, object]) -> None:
    """Against a model per sequence that lacks the skipped blocks: values, and gradients of the batch."""
    model = build_model(tiny(**axes))
    inputs, targets = tokens()[:, :-1], tokens()[:, 1:]
    keep = torch.tensor([[True, False, True], [False, False, True], [True, True, True]])
    total, _ = model.losses(inputs, targets, WEIGHTS, keep)
    found = gradients(model, total)

    def alone(row: int) -> Tensor:
        hidden, loss = model.embedding(inputs[row : row + 1]), torch.zeros(())
        for layer, weight in enumerate(WEIGHTS):
            if keep[layer, row]:
                (hidden,) = model.run_blocks(hidden, first=layer, last=layer + 1)
            logits = model.logits(hidden, layer + 1)
            loss = loss + weight * F.cross_entropy(logits[0], targets[row])
        return loss

    expected = torch.stack([alone(row) for row in range(3)]).mean()
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_close(found, gradients(model, expected))


@pytest.mark.parametrize("axes", VARIANTS, ids=str)
def test_skipped_blocks_and_padding_leave_the_model_causal(axes: dict[str, object]) -> None:
    model = build_model(tiny(**axes))
    keep = torch.tensor([[True, False, True], [False, True, True], [True, True, True]])
    ids = tokens()
    changed, longer = ids.clone(), torch.cat([ids, torch.full((3, 4), 299)], 1)
    changed[:, 7:] = (changed[:, 7:] + 1) % 300
    states = zip(*(model.hidden_states(x, keep) for x in (ids, changed, longer)), strict=True)
    for exit_layer, (before, after, padding) in enumerate(states, start=1):
        logits = model.logits(before, exit_layer)
        assert torch.equal(model.logits(after, exit_layer)[:, :7], logits[:, :7])
        assert not torch.equal(model.logits(after, exit_layer)[:, 7:], logits[:, 7:])
        close = torch.isclose(model.logits(padding, exit_layer)[:, :12], logits, rtol=1e-3, atol=1e-4)
        assert close.float().mean() > 0.97  # other shapes round differently, and quantizers have steps


@pytest.mark.parametrize("axes", VARIANTS, ids=str)
def test_sequences_of_a_batch_do_not_see_each_other(axes: dict[str, object]) -> None:
    model = build_model(tiny(**axes)).eval()
    ids = tokens()
    changed = ids.clone()
    changed[1] = (changed[1] + 1) % 300
    before, after = model(ids), model(changed)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.equal(before[1], after[1])


def test_a_loss_that_is_not_finite_is_not_hidden() -> None:
    """The published evaluation put 0.0 in its place."""
    model = build_model(tiny())
    with torch.no_grad():
        model.head.weight[0, 0] = math.nan
    losses = model.losses(tokens()[:, :-1], tokens()[:, 1:], WEIGHTS)
    assert [math.isnan(loss.item()) for loss in losses] == [True, True]
    sequences = Sequences(np.arange(5), [0], [5], 4)
    assert math.isnan(held_out_loss(model, sequences, tiny()))
