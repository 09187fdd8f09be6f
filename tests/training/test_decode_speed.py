"""Exit speed: what is timed, against a clock that only blocks, head and embedding move; what is decoded."""

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from bitskip.model.bitlinear import frozen_weights
from bitskip.model.decoder import Decoder, KeyValueCache, build_model
from bitskip.training.decode_speed import (
    DECODE_TOKENS,
    MAX_ROUNDS,
    MIN_ROUNDS,
    Stopwatch,
    decode,
    exit_speed,
    prefill,
    step_times,
)
from bitskip.trial.config import TrialConfig, make_trial

BLOCKS, HEAD, EMBEDDING = (3.0, 2.0, 4.0), 1.0, 0.5
"""Seconds that a pass of every block, of the head and of the embedding takes on the clock of these tests."""


class Clock:
    """Time that passes in the model's modules only."""

    def __init__(self, model: Decoder) -> None:
        self.now = 0.0
        self.stopwatch = Stopwatch(lambda: self.now)
        self.calls: Counter[str] = Counter()
        for index, seconds in enumerate(BLOCKS):
            self.charge(model.blocks[index], f"block {index + 1}", seconds)
        self.charge(model.head, "head", HEAD)
        self.charge(model.embedding, "embedding", EMBEDDING)

    def charge(self, module: nn.Module, name: str, seconds: float) -> None:
        def spend(*_: object) -> None:
            self.now += seconds
            self.calls[name] += 1

        module.register_forward_hook(spend)


def tiny(**axes: object) -> TrialConfig:
    model = {"layers": 3, "width": 32, "heads": 4, "kv_heads": 2, "ffn_width": 64}
    return make_trial(**{"model": model, "data.tokenizer": "bytes", **axes})


def prompts(batch: int = 1, length: int = 16) -> Tensor:
    return torch.randint(0, 257, (batch, length), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def clocked() -> tuple[Decoder, Clock]:
    model = build_model(tiny()).eval()
    return model, Clock(model)


@pytest.mark.parametrize("batch", [1, 8])
def test_known_costs_give_the_exact_gains_limits_and_speeds(clocked: tuple[Decoder, Clock], batch: int) -> None:
    model, clock = clocked
    speeds = exit_speed(model, prompts(length=16), batch, clock.stopwatch)
    assert len(speeds) == 3
    assert [speed.speed_gain for speed in speeds] == pytest.approx([10.5 / 4.5 - 1, 10.5 / 6.5 - 1, 0.0])
    assert [speed.speed_gain_limit for speed in speeds] == pytest.approx([10 / 4 - 1, 10 / 6 - 1, 0.0])
    assert [speed.speed_gain_spread for speed in speeds] == pytest.approx([0.0] * 3)
    assert [speed.decode_tokens_per_second for speed in speeds] == pytest.approx(
        [batch / seconds for seconds in (4.5, 6.5, 10.5)]
    )
    assert [speed.prefill_tokens_per_second for speed in speeds] == pytest.approx(
        [16 * batch / seconds for seconds in (4.5, 6.5, 10.5)]
    )


def test_every_pass_runs_the_blocks_of_its_exit_once_and_one_head(clocked: tuple[Decoder, Clock]) -> None:
    model, clock = clocked
    rounds = 1 + exit_speed(model, prompts(), 1, clock.stopwatch)[0].speed_rounds  # one warms up
    passes = rounds * (1 + DECODE_TOKENS)
    assert clock.calls == {
        "block 1": 3 * passes, "block 2": 2 * passes, "block 3": passes, "head": 3 * passes, "embedding": 3 * passes
    }  # fmt: skip


def test_one_interrupted_step_changes_no_gain(clocked: tuple[Decoder, Clock]) -> None:
    model, clock = clocked

    def interrupt(*_: object) -> None:
        if clock.calls["block 2"] == 20:
            clock.now += 1000.0

    model.blocks[1].register_forward_hook(interrupt)
    gains = [speed.speed_gain for speed in exit_speed(model, prompts(), 1, clock.stopwatch)]
    assert gains == pytest.approx([10.5 / 4.5 - 1, 10.5 / 6.5 - 1, 0.0])


def test_rounds_end_with_the_time_but_not_below_the_fewest(
    clocked: tuple[Decoder, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clock = clocked
    one_round = (1 + DECODE_TOKENS) * (4.5 + 6.5 + 10.5)

    def rounds(seconds: float) -> int:
        monkeypatch.setattr("bitskip.training.decode_speed.SECONDS", seconds)
        return len(step_times(model, prompts(), 1, clock.stopwatch)[0].prefill)

    assert rounds(0.0) == MIN_ROUNDS
    assert rounds(6.5 * one_round) == 7
    assert rounds(1e9) == MAX_ROUNDS


@pytest.mark.parametrize("exit_layer", [1, 2, 3])
def test_timed_decoding_is_greedy_decoding_without_a_cache(exit_layer: int) -> None:
    model = build_model(tiny()).eval()
    with torch.no_grad(), frozen_weights(model):
        cache = KeyValueCache(model, 2, 16 + 4)
        token = prefill(model, prompts(batch=2), exit_layer, cache)
        sequence = torch.cat([prompts(batch=2), token], 1)
        for _ in range(4):
            token = decode(model, token, exit_layer, cache, lambda: None)
            sequence = torch.cat([sequence, token], 1)
        expected = prompts(batch=2)
        for _ in range(5):
            chosen = model(expected, exit_layer)[:, -1:].argmax(-1)
            expected = torch.cat([expected, chosen], 1)
    assert torch.equal(sequence, expected)


def test_all_exits_read_the_same_prompt_in_every_row(clocked: tuple[Decoder, Clock]) -> None:
    model, clock = clocked
    seen: list[Tensor] = []
    model.embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    prompt = prompts(length=50)
    exit_speed(model, prompt, 4, clock.stopwatch)
    prefilled = [tokens for tokens in seen if tokens.shape[1] > 1]
    assert len(prefilled) == 3 * (1 + MIN_ROUNDS)
    assert all(torch.equal(tokens, prompt[:, :32].expand(4, -1)) for tokens in prefilled)


def test_a_real_clock_finds_shallow_exits_faster() -> None:
    speeds = exit_speed(build_model(tiny(bits=8)).eval(), prompts())
    assert speeds[0].speed_gain > speeds[1].speed_gain > speeds[2].speed_gain == 0.0
    assert speeds[0].speed_gain_limit > speeds[1].speed_gain_limit > speeds[2].speed_gain_limit == 0.0
    assert all(MIN_ROUNDS <= speed.speed_rounds <= MAX_ROUNDS for speed in speeds)
