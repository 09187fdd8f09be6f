"""With the schedule `wsd` the budgets of a configuration are one training run up to their cooldowns, bitwise."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from training.test_checkpoint import Interrupted, learned, tiny

from bitskip.data import load_data, training_tokens
from bitskip.data.stream import window
from bitskip.engine.plan import plan_sweep
from bitskip.report.plan import plan_object
from bitskip.store.schema import ExitSpeed
from bitskip.sweep.sweep_file import load_sweep
from bitskip.training.checkpoint import CheckpointPlace
from bitskip.training.loop import batch_order
from bitskip.training.shared_prefix import PrefixQueue, prefix_key, shared_prefixes, trained_steps
from bitskip.training.trainer import TrialResult, run_trial
from bitskip.trial.config import TrialConfig
from bitskip.trial.schedule import cooldown_steps, learning_rate, step_count

TOKENS_PER_STEP = 64
BUDGETS = (12, 30, 50)
"""In steps: of windows of 63 sequences they need one, two and four, of streams cut at three lengths."""


def budget(steps: int, **axes: object) -> TrialConfig:
    recipe = {"schedule": "wsd", "warmup_steps": 3, "data.tokenizer": "bytes", "data.vocab_size": 257}
    return tiny(**{**recipe, "tokens": TOKENS_PER_STEP * steps, **axes})


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams short enough to be outgrown in a few steps, and exits that are not timed."""
    monkeypatch.setattr("bitskip.data.stream.SIZE_CLASS", 1024)
    monkeypatch.setattr("bitskip.data.stream.DOCUMENTS_PER_BATCH", 1)
    timed = ExitSpeed(1.0, 1.0, 0.0, 0.0, 0.0, 1)
    monkeypatch.setattr(
        "bitskip.training.trainer.exit_speed", lambda model, prompt, batch=1: [timed] * model.sizes.layers
    )


class KilledAt:
    """A report that ends the trial in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.last = step

    def training(self, step: int, resumed_at: int | None) -> None: ...

    def evaluating(self) -> None: ...

    def step(self, step: int, phase: str, loss: float) -> None:
        if step == self.last:
            raise Interrupted


def run_all(trials: list[TrialConfig], folder: Path, kills: dict[int, int]) -> list[TrialResult]:
    """Results as a queue hands the trials out; attempt n of all is killed at step `kills[n]`, if it gets there."""
    queue = PrefixQueue(trials, trials, shared_prefixes(trials), folder / "prefixes")
    results, attempt = {}, itertools.count()
    while (ready := queue.next()) is not None:
        trial, prefixes = ready
        place = CheckpointPlace(folder / f"{trial.trial_id}.safetensors", every_seconds=0.0) if kills else None
        report = KilledAt(kills.get(next(attempt), 0))
        try:
            results[trial.trial_id] = run_trial(trial, checkpoint=place, prefixes=prefixes, report=report)
            queue.finished(trial.trial_id, done=True)
        except Interrupted:
            queue.again(trial)
    assert not list((folder / "prefixes").glob("*"))
    return [results[trial.trial_id] for trial in trials]


LADDERS = [
    ((0, 1, 2), [None, 10, 24], {}),
    pytest.param((2, 1, 0), [None, 24, 10], {"bits": 4, "hadamard": "random-sign"}, marks=pytest.mark.slow),
    ((1, 2, 0), [None, 24, 10], {"dropout": "quadratic", "dropout_max": 0.5, "exit_weight": 0.3, "micro_batch": 2}),
]


@pytest.mark.parametrize(("order", "forks", "axes"), LADDERS, ids=str)
def test_budgets_that_share_a_trunk_equal_those_trained_alone(
    order: tuple[int, ...], forks: list[int | None], axes: dict[str, object], tmp_path: Path
) -> None:
    trials = [budget(BUDGETS[index], **axes) for index in order]
    found = run_all(trials, tmp_path, {})
    assert [result.forked_at_step for result in found] == forks
    assert [learned(result) for result in found] == [learned(run_trial(trial)) for trial in trials]


ALONE: dict[int, tuple[object, ...]] = {}


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(BUDGETS),
    kills=st.dictionaries(st.integers(0, 5), st.integers(1, 50), min_size=1, max_size=4),
)
def test_a_trunk_that_is_killed_at_any_moment_ends_as_one_that_is_not(
    order: list[int], kills: dict[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    for steps in BUDGETS:
        ALONE.setdefault(steps, learned(run_trial(budget(steps))))
    found = run_all([budget(steps) for steps in order], tmp_path_factory.mktemp("ladder"), kills)
    assert [learned(result) for result in found] == [ALONE[steps] for steps in order]


def test_all_budgets_read_the_beginning_of_one_stream(tmp_path: Path) -> None:
    """Cut at different lengths, they give the same batches as long as a budget lasts, and never run out of text."""
    read = []
    for steps in BUDGETS:
        trial = budget(steps)
        text = load_data(trial.data, training_tokens(trial), 512, tmp_path)
        count = (len(text.train) - 1) // 16
        order = batch_order(trial.seed, count, 4, window=window(trial))
        indices = [next(order) for _ in range(steps)]
        assert len(set(itertools.chain(*indices))) == 4 * steps  # one epoch
        read.append((len(text.train), text.fingerprint, text.source, indices, np.array(text.train)))
    lengths, fingerprints, sources, batches, streams = zip(*read, strict=True)
    assert len(set(lengths)) == len(set(fingerprints)) == 3
    assert len(set(sources)) == 1
    for (short, long), (early, late) in zip(itertools.pairwise(batches), itertools.pairwise(streams), strict=True):
        assert long[: len(short)] == short
        assert (late[: len(early)] == early).all()


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 9), st.integers(0, 9))
def test_a_window_is_read_once_before_the_next(count: int, size: int, batch_size: int, start: int) -> None:
    order = itertools.chain.from_iterable(batch_order(3, count, batch_size, window=size))
    size = min(size, count)
    for _ in range(2):
        for first in range(0, count // size * size, size):
            assert sorted(itertools.islice(order, size)) == list(range(first, first + size))
    later, whole = batch_order(3, count, batch_size, start, size), batch_order(3, count, batch_size, window=size)
    assert next(later) == next(itertools.islice(whole, start, None))


SHARES = st.sampled_from([0.05, 0.1, 0.2, 0.5])
TRIALS = st.builds(
    lambda steps, cooldown, warm: budget(steps, cooldown=cooldown, warmup_steps=warm),
    st.sampled_from([20, 24, 40]), SHARES, st.sampled_from([2, 3]),
)  # fmt: skip


@given(TRIALS, TRIALS, st.integers(1, 40))
def test_keys_are_equal_exactly_when_the_rates_are(first: TrialConfig, second: TrialConfig, step: int) -> None:
    lengths = [step_count(trial.training) for trial in (first, second)]
    if step > min(lengths) or first.training.warmup_steps != second.training.warmup_steps:
        return
    own, others = (
        [learning_rate(trial.training, at, length) for at in range(step)]
        for trial, length in zip((first, second), lengths, strict=True)
    )
    samples = any(step > n - cooldown_steps(t.training, n) for t, n in zip((first, second), lengths, strict=True))
    if prefix_key(first, step) == prefix_key(second, step):
        assert own == others
    elif own == others:
        assert samples  # in the cooldowns, other steps are sampled


PARTED = [
    ({}, {}, True),
    ({}, {"seed": 1}, False),
    ({}, {"warmup_steps": 4}, False),
    ({"dropout": "linear", "exit_weight": 0.3}, {"dropout": "linear", "exit_weight": 0.3}, True),
    ({"dropout": "linear", "dropout_curriculum": "exponential"},
     {"dropout": "linear", "dropout_curriculum": "exponential"}, False),
    ({"documents": "padded"}, {"documents": "padded"}, False),  # how many documents a stream has is not known before
    ({"eval_on_train": True}, {"eval_on_train": True}, False),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "alike"), PARTED, ids=str)
def test_what_budgets_share(first: dict[str, object], second: dict[str, object], alike: bool) -> None:
    short, long = budget(12, **first), budget(50, **second)
    assert (prefix_key(short, 10) == prefix_key(long, 10)) is alike
    assert prefix_key(short, 11) != prefix_key(long, 11)


LADDER = """
name: ladder
base:
  model: {layers: 2, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}
  schedule: wsd
  warmup_steps: 20
  cooldown: %s
space: {bits: [16, 4], tokens: %s}
seeds: [0, 1]
"""


@pytest.mark.parametrize(
    ("budgets", "cooldown", "most"),
    [
        ((200_000, 300_000, 400_000), 0.2, 0.6),  # as 10, 15 and 20 tokens a parameter: 5 / 9
        ((100_000, 200_000, 400_000), 0.05, 0.6),
        ((100_000, 200_000, 400_000), 0.2, 0.66),  # doubled budgets: 4 / 7 and 3 / 7 of the cooldown
    ],
    ids=str,
)
def test_a_ladder_costs_its_longest_budget_and_the_cooldowns(
    budgets: tuple[int, ...], cooldown: float, most: float, tmp_path: Path
) -> None:
    path = tmp_path / "ladder.yaml"
    path.write_text(LADDER % (cooldown, list(budgets)))
    plan = plan_sweep(load_sweep(path), tmp_path / "results")
    found = plan_object(plan)["steps"]
    steps = [tokens // 1024 for tokens in budgets]
    assert found["points"] == found["distinct"] == 4 * sum(steps)
    assert found["trained"] == 4 * (steps[-1] + sum(round(cooldown * each) for each in steps[:-1]))
    assert found["trained"] == trained_steps(plan.sweep.trials, plan.prefixes) <= most * found["points"]
