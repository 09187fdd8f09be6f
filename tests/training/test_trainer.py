"""The trainer: schedule, phases, determinism, divergence, and the floor that no honest run passes."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from steps import phase_at

from bitskip.data import TokenData
from bitskip.data.sequences import chosen, packed
from bitskip.errors import UserError
from bitskip.model.decoder import Decoder, build_model
from bitskip.training.evaluate import held_out_loss
from bitskip.training.loop import batch_order
from bitskip.training.trainer import optimizer_for, run_trial
from bitskip.trial.config import TrialConfig, make_trial
from bitskip.trial.schedule import learning_rate, step_count, weight_decay

TINY = {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}


def tiny(vocab: int = 257, **axes: object) -> TrialConfig:
    settings = {
        "model": TINY, "data.tokenizer": "bpe", "data.vocab_size": vocab, "seq_len": 16, "batch_size": 8,
        "tokens": 16 * 8 * 20, "eval_tokens": 2048, "curve_tokens": 512, "curve_points": 2,
    }  # fmt: skip
    return make_trial(**{**settings, **axes})


def text(train: np.ndarray, validation: np.ndarray, vocab: int = 257) -> TokenData:
    counts = np.bincount(train, minlength=vocab)
    shares = counts[counts > 0] / counts.sum()
    return TokenData(
        train=train.astype(np.uint16),
        validation=None,
        test=validation.astype(np.uint16),
        test_bytes=np.full(len(validation), 2),
        vocab_size=vocab,
        end_of_document=0,
        unigram_entropy=float(-(shares * np.log(shares)).sum()),
        fingerprint="test",
    )


def random_text(vocab: int = 257, size: int = 40_000) -> TokenData:
    generator = np.random.default_rng(0)
    return text(generator.integers(0, vocab, size), generator.integers(0, vocab, size), vocab)


def counting_text(vocab: int = 257) -> TokenData:
    """Every token is the one before plus one."""
    return text(np.arange(40_000) % vocab, np.arange(7, 20_007) % vocab, vocab)


@pytest.mark.slow
@pytest.mark.parametrize(
    "axes", [{}, {"bits": 8, "dropout": "quadratic", "dropout_max": 0.5, "exit_weight": 0.3}], ids=str
)
def test_incompressible_tokens_stay_incompressible_at_every_exit(axes: dict[str, object]) -> None:
    """A missing mask or shift would show as perplexity near 1 (docs/method.md, artefacts)."""
    trial = tiny(tokens=16 * 8 * 300, lr=3e-3, **axes)
    result = run_trial(trial, data=random_text())
    assert [e.exit_layer for e in result.exits] == [1, 2]
    assert all(e.ppl is not None and e.ppl >= 0.98 * 257 for e in result.exits)
    assert result.status == "stalled"


@pytest.mark.slow
def test_a_certain_next_token_is_learned() -> None:
    result = run_trial(tiny(tokens=16 * 8 * 300, lr=1e-2), data=counting_text())
    assert result.status == "ok"
    assert result.ppl is not None
    assert result.ppl < 1.2


@pytest.mark.parametrize("axes", [{}, {"bits": 4, "hadamard": True, "dropout": "linear", "exit_weight": 0.3}], ids=str)
def test_equal_trials_give_equal_results(axes: dict[str, object]) -> None:
    first, second = (run_trial(tiny(**axes), data=counting_text()) for _ in range(2))
    assert first.curve == second.curve
    assert [(e.loss, e.agreement) for e in first.exits] == [(e.loss, e.agreement) for e in second.exits]


def test_micro_batches_change_nothing_but_rounding() -> None:
    whole = run_trial(tiny(exit_weight=0.3, dropout="linear"), data=counting_text())
    parts = run_trial(tiny(exit_weight=0.3, dropout="linear", micro_batch=2), data=counting_text())
    assert parts.loss == pytest.approx(whole.loss, rel=1e-3)


def test_phase_two_starts_where_phase_one_is() -> None:
    """With one schedule, 1+2 equals phase 1 bitwise until the hand-over."""
    data = counting_text()
    plain = run_trial(tiny(curve_points=4), data=data)
    both = run_trial(tiny(curve_points=4, phase="1+2", exit_weight=0.3, dropout="linear"), data=data)
    assert [p.phase for p in both.curve] == ["1", "1", "2", "2"]  # handed over where a point lies anyway
    assert both.curve[:2] == plain.curve[:2]
    assert both.curve[2].val_loss != plain.curve[2].val_loss
    late = run_trial(tiny(curve_points=4, phase="1+2", phase1_share=0.6, exit_weight=0.3), data=data)
    assert [(p.step, p.phase) for p in late.curve] == [(5, "1"), (10, "1"), (12, "1"), (15, "2"), (20, "2")]
    assert late.curve[:2] == plain.curve[:2]


def test_zero_exit_weight_and_zero_dropout_are_plain_training() -> None:
    data = counting_text()
    assert (
        run_trial(tiny(exit_weight=0.0, dropout_max=0.0, dropout="linear"), data=data).curve
        == run_trial(tiny(), data=data).curve
    )


@pytest.mark.parametrize(("exits", "layers"), [("quarters", [2, 3, 5, 6]), ("full", [6])])
def test_chosen_exits_are_measured_alike_and_without_speed(exits: str, layers: list[int]) -> None:
    sizes = {"layers": 6, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}
    every, chosen = (run_trial(tiny(model=sizes, eval_exits=of), data=counting_text()) for of in ("all", exits))
    expected = {each.exit_layer: (each.loss, each.agreement) for each in every.exits}
    assert {each.exit_layer: (each.loss, each.agreement) for each in chosen.exits} == {
        layer: expected[layer] for layer in layers
    }
    assert {(each.single, each.batch, each.batched) for each in chosen.exits} == {(None, None, None)}
    assert (chosen.loss, chosen.best_exit) == (every.loss, None)
    assert (chosen.confidence_loss is None) == (exits == "full")
    assert every.confidence_depth is not None
    assert every.confidence_depth == sorted(every.confidence_depth)


def test_acceptance_is_measured_where_it_is_asked_for() -> None:
    plain, asked = (run_trial(tiny(exit_weight=0.3, eval_draft_tokens=n), data=counting_text()) for n in (0, 4))
    assert {each.acceptance_rate for each in plain.exits} == {None}
    *early, full = (each.acceptance_rate for each in asked.exits)
    assert full is None
    assert all(rate is not None and 0.0 <= rate <= 1.0 for rate in early)
    assert asked.loss == plain.loss


def test_results_agree_with_each_other() -> None:
    result = run_trial(tiny(exit_weight=0.3), data=counting_text())
    assert result.loss == result.exits[-1].loss
    assert result.ppl == pytest.approx(math.exp(result.loss))
    assert result.bpb == pytest.approx(result.loss / math.log(2) / 2.0)
    assert result.exits[-1].agreement == 1.0
    assert result.exits[-1].single is not None
    assert result.exits[-1].single.speed_gain == 0.0
    assert result.tokens_trained == 16 * 8 * 20
    assert [point.step for point in result.curve] == [10, 20]


def test_perplexity_is_token_weighted_whatever_the_batch() -> None:
    """Sum of nll over sum of tokens, against an fp64 loop; the last batch is ragged."""
    trial, data = tiny(eval_tokens=16 * 11), random_text()
    model = build_model(trial).eval()
    expected, count = 0.0, 0
    for start in range(11):
        window = torch.from_numpy(data.test[start * 16 : start * 16 + 17].astype(np.int64))
        log_probs = model(window[None, :-1]).double().log_softmax(-1)[0]
        expected -= log_probs.gather(1, window[1:, None]).sum().item()
        count += 16
    for batch_size in (1, 4, 8):
        found = held_out_loss(model, chosen(packed(data.test, 16), 16 * 11, evenly=False), dataclasses.replace(
            trial, training=dataclasses.replace(trial.training, batch_size=batch_size)))  # fmt: skip
        assert found == pytest.approx(expected / count, rel=1e-6)


def test_non_finite_loss_ends_the_trial_as_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Decoder.losses, []

    def poisoned(self: Decoder, *args: object, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(1)
        total, main = original(self, *args, **options)
        return (total * float("nan"), main) if len(calls) == 7 else (total, main)

    monkeypatch.setattr(Decoder, "losses", poisoned)
    result = run_trial(tiny(diagnostic_points=0), data=counting_text())
    assert (result.status, result.diverged_at_step) == ("diverged", 7)
    assert "non-finite" in str(result.reason)
    assert result.loss is None
    assert result.last_finite_loss is not None


def test_absurd_learning_rate_is_called_diverged() -> None:
    result = run_trial(tiny(lr=50.0, warmup=0.0, grad_clip=0.0), data=counting_text())
    assert result.status == "diverged"
    assert result.ppl is None or result.exits


def test_text_shorter_than_a_sequence_is_refused() -> None:
    data = dataclasses.replace(counting_text(), train=np.arange(10, dtype=np.uint16))
    with pytest.raises(UserError, match="fewer than one sequence"):
        run_trial(tiny(), data=data)


def test_schedule_warms_up_then_decays_to_its_floor() -> None:
    training = tiny(tokens=16 * 8 * 100, lr=1.0, warmup=0.1, min_lr=0.1).training
    rates = [learning_rate(training, step, 100) for step in range(100)]
    assert step_count(training) == 100
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


def test_the_second_stage_is_a_third_lower_and_decays_no_weights() -> None:
    """BitNet b1.58 2B4T: 1.5e-3 to about 8e-4, then 5e-4 to zero."""
    training = tiny(tokens=16 * 8 * 100, lr=1.5e-3, warmup=0.0, schedule="two-stage", weight_decay=0.1).training
    rates = [learning_rate(training, step, 100) for step in range(100)]
    assert rates[0] == 1.5e-3
    assert rates[49] == pytest.approx(7.5e-4, rel=0.03)
    assert rates[50] == pytest.approx(5e-4)
    assert 0 < rates[99] < 2e-5
    assert [weight_decay(training, step, 100) for step in (0, 49, 50, 99)] == [0.1, 0.1, 0.0, 0.0]


def test_the_optimizer_is_told_of_the_decay_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, take = [], torch.optim.AdamW.step

    def step(self: torch.optim.AdamW) -> None:
        seen.append([group["weight_decay"] for group in self.param_groups])
        take(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    run_trial(tiny(schedule="two-stage", weight_decay=0.5))
    half = len(seen) // 2
    assert half > 1
    assert seen == [[0.5, 0.0]] * half + [[0.0, 0.0]] * (len(seen) - half)


def test_phases_split_at_their_share() -> None:
    trial = tiny(phase="1+2", phase1_share=0.25, exit_weight=0.3)
    assert [phase_at(trial, step, 8) for step in range(8)] == ["1"] * 2 + ["2"] * 6


def test_only_matrices_decay() -> None:
    model = build_model(tiny(weight_decay=0.3))
    decayed, rest = optimizer_for(model, tiny(weight_decay=0.3).training).param_groups
    assert decayed["weight_decay"] == 0.3
    assert rest["weight_decay"] == 0.0
    assert all(p.ndim == 2 for p in decayed["params"])
    assert any(p is model.embedding.weight for p in rest["params"])
    assert len(decayed["params"]) + len(rest["params"]) == len(list(model.parameters()))


def test_every_epoch_sees_every_window_once_in_an_order_of_the_seed() -> None:
    order, again, other = batch_order(5, 12, 4), batch_order(5, 12, 4), batch_order(6, 12, 4)
    first = [next(order) for _ in range(3)]
    assert sorted(sum(first, [])) == list(range(12))
    assert [next(again) for _ in range(3)] == first
    assert [next(other) for _ in range(3)] != first


def test_tokenizer_and_model_must_agree_on_the_vocabulary() -> None:
    with pytest.raises(UserError, match=r"set data\.vocab_size=257"):
        run_trial(tiny(vocab=300), data=counting_text())


def test_bf16_trains_close_to_fp32() -> None:
    """Autocast held open over optimizer steps would train on stale copies of the weights: 0.4 nats behind here."""
    data = counting_text()
    full, half = (run_trial(tiny(precision=p, bits=8, hadamard=True), data=data) for p in ("fp32", "bf16"))
    assert half.status == full.status
    assert half.loss == pytest.approx(full.loss, rel=0.01)
    assert half.loss != full.loss
