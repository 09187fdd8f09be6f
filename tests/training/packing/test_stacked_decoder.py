"""Packed decoders compute what each computes alone."""

import pytest
import torch

from bitskip.model.decoder import build_model
from bitskip.training.loop import exit_loss_weights, kept_blocks
from bitskip.training.packing.stacked_decoder import PackedDecoder
from bitskip.trial.config import TrialConfig, make_trial

SIZES = {"layers": 3, "width": 32, "heads": 4, "kv_heads": 2, "ffn_width": 64}
MEMBERS = [
    {"bits": 16},
    {"bits": 8, "seed": 1},
    {"bits": 8, "hadamard": True, "dropout": "linear", "dropout_max": 0.5},
    {"bits": 8, "hadamard": True, "seed": 2, "exit_weight": 0.3},
    {"bits": 4, "hadamard": "random-sign", "exit_weight": 0.3, "exit_curriculum": "gradual"},
    {"bits": 4, "hadamard": "random-sign", "seed": 1},
    {"bits": 4, "hadamard": "as-published", "activation_scale": "absmax"},
    {"bits": 16, "weights": "ternary", "dropout": "quadratic", "dropout_max": 0.9},
]


def tiny(**axes: object) -> TrialConfig:
    return make_trial(model=SIZES, data={"vocab_size": 300}, batch_size=4, seq_len=16, tokens=640, **axes)


def batch(trial: TrialConfig) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.randint(300, (4, 17), generator=torch.Generator().manual_seed(trial.seed))
    targets = drawn[:, 1:].clone()
    targets[0, 5 + trial.seed :] = -100  # padding, of different length in each
    return drawn[:, :-1], targets


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "members",
    [
        MEMBERS,
        MEMBERS[:1],
        MEMBERS[2:4],
        [{**axes, "exit_head": "own-head"} for axes in MEMBERS if "exit_weight" in axes],
    ],
    ids=["all techniques", "one", "one technique", "own heads"],
)
@pytest.mark.filterwarnings("ignore")  # dynamo warns while it traces a straight-through estimator
def test_losses_and_gradients_are_those_of_each_alone(members: list[dict[str, object]], compiled: bool) -> None:
    """And one program serves all blocks: the backend, which runs it as it is, counts what it is given."""
    trials = [tiny(**axes) for axes in members]
    models = [build_model(trial) for trial in trials]
    batches = [batch(trial) for trial in trials]
    weights = [exit_loss_weights(trial, 5, 10) for trial in trials]
    kept = [kept_blocks(trial, 5, 10) for trial in trials]
    packed = PackedDecoder(models)
    programs: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> object:
        programs.append(graph)
        return graph.forward

    if compiled:
        torch._dynamo.reset()
        packed.block = torch.compile(packed.block, backend=backend)
    masks = torch.stack([torch.ones(3, 4, dtype=torch.bool) if keep is None else keep for keep in kept])
    inputs, targets = (torch.stack(part) for part in zip(*batches, strict=True))
    totals, mains = packed.losses(inputs, targets, torch.tensor(weights), masks)
    totals.sum().backward()
    assert len(programs) == compiled
    for index, model in enumerate(models):
        total, main = model.losses(*batches[index], weights[index], kept[index])
        total.backward()
        assert totals[index].item() == pytest.approx(total.item(), rel=1e-5)
        assert mains[index].item() == pytest.approx(main.item(), rel=1e-5)
        for name, parameter in model.named_parameters():
            ours, alone = packed.stacked[name].grad[index], parameter.grad
            if alone is None:
                assert not ours.any()
            else:
                assert torch.allclose(ours, alone, rtol=1e-3, atol=2e-6), name


def test_what_is_not_finite_in_one_member_stays_there() -> None:
    trials = [tiny(bits=8, seed=seed, exit_weight=0.3) for seed in range(3)]
    packed = PackedDecoder([build_model(trial) for trial in trials])
    with torch.no_grad():
        packed.stacked["blocks.1.feed_forward.up.weight"][1] = torch.nan
    inputs, targets = (torch.stack(part) for part in zip(*[batch(trial) for trial in trials], strict=True))
    weights = torch.tensor([exit_loss_weights(trial, 0, 10) for trial in trials])
    total, _ = packed.losses(inputs, targets, weights, None)
    total.sum().backward()
    assert total.isfinite().tolist() == [True, False, True]
    for name, stacked in packed.stacked.items():
        assert stacked.grad[[0, 2]].isfinite().all(), name
    alone, _ = build_model(trials[2]).losses(inputs[2], targets[2], tuple(weights[2].tolist()))
    assert total[2].item() == pytest.approx(alone.item(), rel=1e-6)


def test_stored_members_are_the_decoders_again() -> None:
    models = [build_model(tiny(seed=seed)) for seed in range(2)]
    before = {name: parameter.clone() for name, parameter in models[1].named_parameters()}
    packed = PackedDecoder(models)
    with torch.no_grad():
        for stacked in packed.stacked.values():
            stacked.mul_(2)
    stored = packed.store(1)
    assert stored is models[1]
    assert all(torch.equal(parameter, 2 * before[name]) for name, parameter in stored.named_parameters())


def test_members_of_different_shapes_or_with_artefacts_are_refused() -> None:
    plain = build_model(tiny())
    for other in ({"exit_weight": 0.3, "exit_head": "own-norm"}, {"artefacts": {"relu2_in_linear": True}}):
        with pytest.raises(ValueError, match="pack"):
            PackedDecoder([plain, build_model(tiny(**other))])
