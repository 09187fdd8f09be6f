"""When techniques act during training: layer-dropout draws, the hand-over of phases and of activation bits."""

import math

import numpy as np
import pytest
import torch
from steps import bits_at, kept_blocks

from bitskip.data import TokenData
from bitskip.model.decoder import build_model
from bitskip.techniques.layer_dropout import LayerDropout
from bitskip.training.trainer import run_trial
from bitskip.trial.config import TrialConfig, make_trial

LAYERS, STEPS, ROWS = 4, 400, 32


def tiny(**axes: object) -> TrialConfig:
    settings = {
        "model": {"layers": 3, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}, "data.vocab_size": 257,
        "seq_len": 16, "batch_size": 4, "tokens": 16 * 4 * 16, "eval_tokens": 256, "curve_tokens": 256,
        "curve_points": 16, "diagnostic_points": 0,
    }  # fmt: skip
    return make_trial(**{**settings, **axes})


def counting_text() -> TokenData:
    train, validation = (np.arange(start, start + 3000).astype(np.uint16) % 257 for start in (0, 7))
    return TokenData(train, None, validation, np.full(3000, 2), 257, 0, math.log(257), "test")


def deep(**axes: object) -> TrialConfig:
    return tiny(**{"model.layers": LAYERS, "batch_size": ROWS, "dropout_max": 0.5, **axes})


def skipped_share(trial: TrialConfig, steps: int = STEPS) -> torch.Tensor:
    """Share of sequences that each block was skipped for."""
    return torch.stack([~kept_blocks(trial, step, steps) for step in range(steps)]).double().mean((0, 2))


@pytest.mark.parametrize(
    "axes",
    [
        {"dropout": "quadratic"},
        {"dropout": "linear", "dropout_norm": "sum1"},
        {"dropout": "exponential", "dropout_last": True},
        {"dropout": "constant"},
    ],
    ids=str,
)
def test_blocks_are_skipped_at_their_rates(axes: dict[str, object]) -> None:
    """Within four standard deviations of the binomial; block 1 of a rising schedule and an exempt last one never."""
    trial = deep(**axes)
    rates = trial.of(LayerDropout).rates(LAYERS)
    for found, rate in zip(skipped_share(trial).tolist(), rates, strict=True):
        assert abs(found - rate) <= 4 * math.sqrt(rate * (1 - rate) / (STEPS * ROWS))
    assert (rates[0] == 0) == (trial["dropout"] != "constant")
    assert (rates[-1] == 0) != trial["dropout_last"]


def test_skips_of_blocks_sequences_and_steps_are_independent() -> None:
    trial = deep(dropout="constant")
    draws = torch.stack([kept_blocks(trial, step, STEPS) for step in range(STEPS)])[:, :-1].double() - 0.5
    tolerance = 4 * 0.25 / math.sqrt(STEPS * ROWS)
    assert abs((draws[:, 0] * draws[:, 1]).mean()) < tolerance
    assert abs((draws[:, :, :-1] * draws[:, :, 1:]).mean()) < tolerance
    assert abs((draws[:-1] * draws[1:]).mean()) < tolerance


def test_the_curriculum_grows_the_rates_from_nothing() -> None:
    """S(t) = 2^(t / (T-1)) - 1, whose mean over training is 1 / ln 2 - 1."""
    trial = deep(dropout="constant", dropout_curriculum="exponential")
    assert kept_blocks(trial, 0, STEPS).all()
    expected = 0.5 * (1 / math.log(2) - 1)
    assert skipped_share(trial)[:-1].tolist() == pytest.approx([expected] * 3, abs=4 * 0.5 / math.sqrt(STEPS * ROWS))


def test_draws_follow_from_seed_and_step_alone() -> None:
    """What makes a resumed trial repeat its masks and configurations of one seed comparable."""
    first = [kept_blocks(deep(dropout="linear"), step, STEPS) for step in range(5)]
    other = deep(dropout="linear", bits=4, hadamard=True, exit_weight=0.3, lr=1e-4)
    for step in (3, 0, 4):
        assert torch.equal(kept_blocks(other, step, STEPS), first[step])
    assert not torch.equal(kept_blocks(deep(dropout="linear", seed=1), 3, STEPS), first[3])
    # Where a rate is lower, the blocks skipped are among those skipped at the higher one.
    lower = kept_blocks(deep(dropout="linear", dropout_max=0.2), 3, STEPS)
    assert (lower | ~first[3]).all()
    assert (lower & ~first[3]).any()


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("norm", ["none", "sum1", "sum1-all"])
def test_shallow_models_train(layers: int, norm: str) -> None:
    trial = tiny(**{
        "model.layers": layers, "dropout": "quadratic", "dropout_max": 0.5, "dropout_norm": norm, "exit_weight": 0.3,
        "curve_points": 1, "tokens": 16 * 4 * 4,
    })  # fmt: skip
    result = run_trial(trial, data=counting_text())
    assert len(result.exits) == layers
    assert all(math.isfinite(found.loss) for found in result.exits)


def test_no_dropout_draws_nothing() -> None:
    assert kept_blocks(tiny(), 0, 10) is None
    assert kept_blocks(tiny(dropout="quadratic", dropout_max=0.0), 0, 10) is None


def test_evaluation_skips_no_block() -> None:
    model, ids = build_model(tiny(dropout="constant", dropout_max=0.9)).eval(), torch.arange(32).view(2, 16)
    assert torch.equal(model(ids), model(ids))
    assert torch.equal(model(ids), build_model(tiny()).eval()(ids))


@pytest.mark.parametrize("techniques", [{"exit_weight": 0.3}, {"dropout": "quadratic", "dropout_max": 0.9}], ids=str)
def test_phase_two_starts_at_the_loss_that_phase_one_reached(techniques: dict[str, object]) -> None:
    """Full-depth held-out losses are equal to the hand-over; with exit loss, so is the next batch's loss."""
    data = counting_text()
    plain = run_trial(tiny(), data=data).curve
    both = run_trial(tiny(phase="1+2", phase1_share=0.5, **techniques), data=data).curve
    assert both[:8] == plain[:8]
    assert [point.lr for point in both] == [point.lr for point in plain]
    assert (both[8].train_loss == plain[8].train_loss) == ("dropout" not in techniques)
    assert both[8].val_loss != plain[8].val_loss


def test_the_first_stage_of_bits_is_that_of_a_trial_that_never_leaves_it() -> None:
    """Two stages share one schedule and optimizer; weights are ternary in both."""
    data = counting_text()
    eight = run_trial(tiny(bits=8), data=data).curve
    staged = run_trial(tiny(bits=4, first_bits=8, first_bits_share=0.75), data=data)
    assert staged.curve[:12] == eight[:12]
    assert staged.curve[12].train_loss != eight[12].train_loss


def test_stages_of_bits_split_at_their_share() -> None:
    trial = tiny(bits=4, first_bits=8, first_bits_share=0.95)
    assert [bits_at(trial, step, 100) for step in (0, 94, 95, 99)] == [8, 8, 4, 4]
    assert bits_at(tiny(bits=4), 0, 100) == 4
    assert bits_at(tiny(bits=8, first_bits=16, first_bits_share=0.5), 49, 100) == 16
