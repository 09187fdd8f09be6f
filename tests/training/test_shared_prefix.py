"""A forked trial equals an uninterrupted one bitwise; prefixes are trained once, waited for and removed in time."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from steps import bits_at, phase_at
from training.test_checkpoint import Interrupted, learned
from training.test_checkpoint import text as random_text
from training.test_checkpoint import tiny as plain

from bitskip.data import TokenData
from bitskip.store.schema import ExitSpeed
from bitskip.sweep.sweep_file import load_sweep
from bitskip.techniques.weight_quantization import WeightQuantization
from bitskip.training.checkpoint import CheckpointPlace
from bitskip.training.shared_prefix import (
    Prefixes,
    PrefixQueue,
    family_order,
    prefix_key,
    shared_prefixes,
    trained_steps,
)
from bitskip.training.trainer import TrialResult, run_trial
from bitskip.trial.config import TrialConfig, make_trial
from bitskip.trial.schedule import acting, learning_rate, step_count, weight_decay

TECHNIQUES = {"dropout": "quadratic", "dropout_max": 0.5, "exit_weight": 0.3}
BOTH = {"phase": "1+2", **TECHNIQUES}


@pytest.fixture(autouse=True)
def _untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing the exits takes longer than training such models."""
    timed = ExitSpeed(1.0, 1.0, 0.0, 0.0, 0.0, 1)
    monkeypatch.setattr(
        "bitskip.training.trainer.exit_speed", lambda model, prompt, batch=1: [timed] * model.sizes.layers
    )


def tiny(**axes: object) -> TrialConfig:
    """Without diagnostics: runs of different length sample at different steps and then share nothing."""
    return plain(**{"diagnostic_points": 0, **axes})


def text(fingerprint: str = "test") -> TokenData:
    """Documents of twelve tokens, for those who pad."""
    found = random_text(fingerprint)
    found.train[::12] = found.test[::12] = 0
    return found


def forked(parents: list[TrialConfig], child: TrialConfig, folder: Path) -> tuple[list[TrialResult], TrialResult]:
    """Results of the trials when they run one after another as a queue hands them out; the child comes last."""
    trials = [*parents, child]
    queue = PrefixQueue(trials, trials, shared_prefixes(trials), folder)
    results = []
    while (ready := queue.next()) is not None:
        trial, prefixes = ready
        results.append(run_trial(trial, data=text(), prefixes=prefixes))
        queue.finished(trial.trial_id, done=True)
    assert list(folder.glob("*")) == []
    return results[:-1], results[-1]


FORKS = {
    "phase 1 of 1+2": ([{}], BOTH, 12),
    "phase 1 of quantized, rotated 1+2": (
        [{"bits": 4, "hadamard": "random-sign"}], {"bits": 4, "hadamard": "random-sign", **BOTH}, 12,
    ),
    "two 1+2, with heads of their own or not": ([{**BOTH, "exit_head": "own-head"}], BOTH, 12),
    "the other way round": ([BOTH], {**BOTH, "exit_head": "own-norm", "exit_curriculum": "gradual"}, 12),
    "two hand-overs": ([{**BOTH, "phase1_share": 0.25}], {**BOTH, "phase1_share": 0.7}, 6),
    "a hand-over that is no point of the curve": ([{}], {**BOTH, "phase1_share": 0.7, "curve_points": 3}, 17),
    "first stage of bits": ([{"bits": 8}], {"bits": 4, "first_bits": 8, "first_bits_share": 0.5}, 12),
    "both stages of bits": (
        [{"bits": 4, "first_bits": 8}], {"bits": 3, "first_bits": 8, **BOTH, "phase1_share": 0.6}, 14,
    ),
    "micro-batches over several epochs": (
        [{"batch_size": 6, "micro_batch": 3}], {"batch_size": 6, "micro_batch": 3, **BOTH}, 8,
    ),
    "budgets at a constant rate": (
        [{"warmup": 0, "min_lr": 1, "tokens": 64 * 10, "diagnostic_points": 0, **TECHNIQUES}],
        {"warmup": 0, "min_lr": 1, "diagnostic_points": 0, **TECHNIQUES}, 10,
    ),
    "more points of the curve": ([{}], {"curve_points": 5}, 24),
    "padded documents": ([{"documents": "padded"}], {"documents": "padded", **BOTH}, 12),
    "three branches": ([{}, {**BOTH, "phase1_share": 0.75}], {**BOTH, "phase1_share": 0.75, "exit_weight": 1.0}, 18),
}  # fmt: skip


@pytest.mark.parametrize(("parents", "child", "step"), FORKS.values(), ids=FORKS)
def test_a_forked_trial_equals_an_uninterrupted_one(
    parents: list[dict[str, object]], child: dict[str, object], step: int, tmp_path: Path
) -> None:
    trials = [tiny(**{"diagnostic_points": 4, **axes}) for axes in parents]
    forking = tiny(**{"diagnostic_points": 4, **child})
    before, after = forked(trials, forking, tmp_path)
    assert (after.forked_at_step, after.resumed_at_step) == (step, None)
    assert after.train_seconds > after.shared_seconds > 0
    assert learned(after) == learned(run_trial(forking, data=text()))
    for trial, result in zip(trials, before, strict=True):  # storing a prefix changes nothing, its curve included
        assert learned(result) == learned(run_trial(trial, data=text()))


def test_a_forked_trial_that_is_interrupted_keeps_where_it_came_from(tmp_path: Path) -> None:
    parent, child = tiny(), tiny(**BOTH)
    paths = shared_prefixes([parent, child])
    run_trial(parent, data=text(), prefixes=Prefixes(tmp_path, write=paths[parent.trial_id]))
    place = CheckpointPlace(tmp_path / "own.safetensors", every_seconds=0.0)

    def stop(*_: object) -> None:
        raise Interrupted

    prefixes = Prefixes(tmp_path, start=paths[child.trial_id])
    with pytest.raises(Interrupted):
        run_trial(child, data=text(), on_point=stop, checkpoint=place, prefixes=prefixes)
    prefixes.path(prefixes.start[0]).unlink()  # its own checkpoint is what counts now
    result = run_trial(child, data=text(), checkpoint=place, prefixes=prefixes)
    assert (result.forked_from, result.forked_at_step, result.resumed_at_step) == (prefixes.start[0].key, 12, 17)
    assert learned(result) == learned(run_trial(child, data=text()))


@pytest.mark.parametrize("damage", ["cut", "other text", "points missing", "gone"])
def test_a_prefix_that_does_not_fit_is_not_used(damage: str, tmp_path: Path) -> None:
    parent, child = tiny(), tiny(**BOTH, curve_points=6)
    paths = shared_prefixes([parent, child])
    measure = frozenset() if damage == "points missing" else frozenset({4, 8})
    prefixes = Prefixes(tmp_path, write=paths[parent.trial_id], measure=measure)
    run_trial(parent, data=text("other" if damage == "other text" else "test"), prefixes=prefixes)
    file = prefixes.path(prefixes.write[0])
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "gone":
        file.unlink()
    result = run_trial(child, data=text(), prefixes=Prefixes(tmp_path, start=paths[child.trial_id]))
    assert (result.forked_from, result.shared_seconds) == (None, None)
    assert learned(result) == learned(run_trial(child, data=text()))


def test_a_prefix_that_cannot_be_stored_costs_nothing_but_the_saving(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    parent, child = tiny(), tiny(**BOTH)
    write = shared_prefixes([parent, child])[parent.trial_id]
    result = run_trial(parent, data=text(), prefixes=Prefixes(blocked, write=write))
    assert learned(result) == learned(run_trial(parent, data=text()))


def test_a_trial_that_diverges_on_a_point_of_another_leaves_that_to_the_other(tmp_path: Path) -> None:
    """Its own curve looks only at the end; the other one, which looks earlier, would have been stopped there."""
    wild = {"lr": 300.0, "grad_clip": 0, "warmup": 0}
    parent, child = tiny(**wild, curve_points=1), tiny(**wild, **BOTH, curve_points=12)
    alone = run_trial(child, data=text())
    assert alone.diverged_at_step < 12
    paths = shared_prefixes([parent, child])
    queue = PrefixQueue([parent, child], [parent, child], paths, tmp_path)
    _, prefixes = queue.next()
    assert prefixes.measure >= {2, 4}
    found = run_trial(parent, data=text(), prefixes=prefixes)
    assert learned(found) == learned(run_trial(parent, data=text()))
    assert not any(tmp_path.iterdir())
    queue.finished(parent.trial_id, done=True)
    _, prefixes = queue.next()
    assert learned(run_trial(child, data=text(), prefixes=prefixes)) == learned(alone)


def test_the_stored_file_names_what_it_holds(tmp_path: Path) -> None:
    parent, child = tiny(), tiny(**BOTH)
    (prefix,) = shared_prefixes([parent, child])[parent.trial_id]
    run_trial(parent, data=text(), prefixes=Prefixes(tmp_path, write=(prefix,)))
    with safe_open(tmp_path / f"{prefix.key}.safetensors", "pt") as stored:
        assert json.loads(stored.metadata()["record"])["step"] == 12
        assert '"steps":12' in stored.metadata()["trial"]


# Which trials share what

ALIKE = [
    ({}, {**BOTH}, 12, True),
    ({}, {**BOTH}, 13, False),  # the other is in phase 2 by then
    ({}, {**BOTH, "seed": 1}, 1, False),
    ({}, {**BOTH, "lr": 1e-3}, 1, False),
    ({}, {**BOTH, "curve_tokens": 300}, 1, False),  # other numbers in the curve
    ({}, {**BOTH, "curve_points": 7, "eval_tokens": 300}, 12, True),
    ({}, {**BOTH, "tokens": 64 * 48}, 12, False),  # the cosine of another length
    ({"warmup": 0}, {"warmup": 0, "min_lr": 0.0}, 1, False),
    ({"min_lr": 1, "warmup": 0}, {"min_lr": 1, "warmup": 0, "tokens": 64 * 48}, 24, True),
    ({"min_lr": 1, "warmup": 0.5}, {"min_lr": 1, "warmup": 0.25, "tokens": 64 * 48}, 24, True),  # both warm up 12 steps
    ({"min_lr": 1, "warmup": 0.5}, {"min_lr": 1, "warmup": 0.5, "tokens": 64 * 48}, 1, False),
    ({"min_lr": 0.5, "warmup": 0.5}, {"min_lr": 0.1, "warmup": 0.5}, 12, True),
    ({"min_lr": 0.5, "warmup": 0.5}, {"min_lr": 0.1, "warmup": 0.5}, 13, False),
    ({"min_lr": 1, "warmup": 0}, {"min_lr": 1, "warmup": 0, "tokens": 400_000}, 1, False),  # a longer token stream
    (TECHNIQUES, {**BOTH, "phase1_share": 0.0}, 24, True),
    ({**BOTH, "phase1_share": 0.5}, {**BOTH, "phase1_share": 0.49}, 24, True),  # both hand over after 12 steps
    ({**BOTH, "dropout_curriculum": "exponential"}, BOTH, 12, True),
    ({**BOTH, "dropout_curriculum": "exponential"}, BOTH, 13, False),
    ({"bits": 8}, {"bits": 4, "first_bits": 8}, 23, True),
    ({"bits": 8}, {"bits": 4, "first_bits": 8}, 24, False),
    ({"bits": 8, "activation_scale": "absmean"}, {"bits": 4, "first_bits": 8}, 1, False),
    ({"bits": 8}, {"bits": 4, "first_bits": 8, "activation_scale": "absmax"}, 23, True),
    ({"bits": 8}, {"bits": 4, "first_bits": 8, "causal_mask": False}, 1, False),
    ({}, {**BOTH, "exit_norm": "none", "exit_target_shift": 0}, 12, True),
    ({"dropout": "linear", "dropout_curriculum": "exponential", "min_lr": 1, "warmup": 0},
     {"dropout": "linear", "dropout_curriculum": "exponential", "min_lr": 1, "warmup": 0, "tokens": 64 * 48}, 1, False),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "step", "alike"), ALIKE, ids=str)
def test_which_prefixes_are_equal(first: dict[str, object], second: dict[str, object], step: int, alike: bool) -> None:
    a, b = (corpus(**axes) for axes in (first, second))
    assert (prefix_key(a, step) == prefix_key(b, step)) is alike


def corpus(**axes: object) -> TrialConfig:
    return tiny(**{"eval_tokens": 256, **axes})


def test_the_text_counts_and_not_where_it_lies() -> None:
    def of(path: str, digest: str, **axes: object) -> TrialConfig:
        trial = tiny(**axes, **{"data.corpus": "files", "data.files": [path]})
        return dataclasses.replace(trial, data=dataclasses.replace(trial.data, digest=digest))

    first = prefix_key(of("a.txt", "one"), 12)
    assert prefix_key(of("b.txt", "one", **BOTH), 12) == first
    assert prefix_key(of("a.txt", "two"), 12) != first
    # Files are read whole, whatever the budget.
    constant = {"min_lr": 1, "warmup": 0}
    longer = of("a.txt", "one", **constant, tokens=400_000)
    assert prefix_key(longer, 24) == prefix_key(of("a.txt", "one", **constant), 24)


AXES = {
    "phase": st.sampled_from(["1", "2", "1+2"]),
    "phase1_share": st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    "dropout": st.sampled_from(["none", "linear"]),
    "exit_weight": st.sampled_from([0.0, 0.3]),
    "exit_curriculum": st.sampled_from(["all", "gradual"]),
    "bits": st.sampled_from([16, 8, 4]),
    "first_bits": st.sampled_from([0, 8]),
    "first_bits_share": st.sampled_from([0.0, 0.5, 1.0]),
    "warmup": st.sampled_from([0.0, 0.25]),
    "min_lr": st.sampled_from([0.1, 1.0]),
    "schedule": st.sampled_from(["cosine", "two-stage"]),
    "warm_start": st.sampled_from([0.0, 0.25]),
    "tokens": st.sampled_from([64 * 12, 64 * 24]),
    "seed": st.sampled_from([0, 1]),
}
TRIALS = st.fixed_dictionaries(AXES).map(lambda axes: tiny(**axes, weights="ternary"))
STEADY = st.fixed_dictionaries(AXES | {"warmup": st.just(0.0)}).map(lambda axes: tiny(**axes, weights="ternary"))


def behaviour(trial: TrialConfig, step: int) -> tuple[object, ...]:
    """What a trial does at a step, from the functions that training calls."""
    steps, method = step_count(trial.training), trial
    in_phase_2 = phase_at(trial, step, steps) == "2"
    curricula = (steps,) if method["exit_curriculum"] == "gradual" else ()
    exits = (method["dropout"], method["exit_weight"], method["exit_curriculum"], *curricula) if in_phase_2 else ()
    rates = learning_rate(trial.training, step, steps), weight_decay(trial.training, step, steps)
    weights = acting(trial, step, steps)[0].of(WeightQuantization).weights
    return trial.seed, rates, bits_at(trial, step, steps), weights, exits


@settings(max_examples=100, deadline=None)
@given(TRIALS, TRIALS, st.integers(1, 24))
def test_keys_are_equal_exactly_when_training_is(first: TrialConfig, second: TrialConfig, step: int) -> None:
    """Against the functions that training calls, step by step."""
    if step > min(step_count(first.training), step_count(second.training)):
        return
    same = all(behaviour(first, at) == behaviour(second, at) for at in range(step))
    if prefix_key(first, step) == prefix_key(second, step):
        assert same
    elif same:
        # Told apart although alike: only where a constant of the cosine happens not to show yet.
        warm = round(first.training.warmup * step_count(first.training))
        assert step <= warm + 1 or first.training.min_lr != 1.0


@settings(max_examples=25, deadline=None)
@given(st.lists(STEADY, min_size=1, max_size=6, unique_by=lambda trial: trial.trial_id))
def test_each_step_is_trained_once(trials: list[TrialConfig]) -> None:
    """The tree's edges, counted from the keys of every third step: all partings are multiples of three."""
    paths = shared_prefixes(trials)
    keys = {prefix_key(t, at) for t in trials for at in range(3, step_count(t.training) + 1, 3)}
    planned = trained_steps(trials, paths)
    assert planned == 3 * len(keys)
    assert trained_steps(family_order(trials, paths), paths) == planned == trained_steps(trials[::-1], paths)


# The queue


def family() -> list[TrialConfig]:
    """Phase 1, two 1+2 that hand over at 12 of 24 steps and share nothing else, and one stranger."""
    return [tiny(), tiny(**BOTH), tiny(**BOTH, exit_scale="uniform"), tiny(seed=1)]


def store(folder: Path, keys: Iterable[str]) -> None:
    folder.mkdir(exist_ok=True)
    for key in keys:
        (folder / f"{key}.safetensors").write_bytes(b"prefix")


def stored(folder: Path) -> set[str]:
    return {path.name.removesuffix(".safetensors") for path in folder.glob("*")}


def test_the_queue_lets_others_wait_until_the_prefix_is_stored(tmp_path: Path) -> None:
    trials = family()
    paths = shared_prefixes(trials)
    queue = PrefixQueue(trials, trials, paths, tmp_path)
    first, prefixes = queue.next()
    assert (first, prefixes.start, prefixes.write) == (trials[0], (), paths[trials[0].trial_id])
    assert queue.next()[0] == trials[3]  # the stranger need not wait
    assert queue.next() is None
    store(tmp_path, [prefixes.write[0].key])  # while the first is still running
    for expected in trials[1:3]:
        child, given_ = queue.next()
        assert (child, given_.start, given_.write) == (expected, prefixes.write, ())
    for trial in trials[:2]:
        queue.finished(trial.trial_id, done=True)
        assert stored(tmp_path) == {prefixes.write[0].key}
    queue.finished(trials[2].trial_id, done=True)
    assert stored(tmp_path) == set()
    assert (queue.next(), queue.waiting) == (None, [])


def test_a_failed_trainer_releases_the_next_to_train_the_prefix(tmp_path: Path) -> None:
    trials = family()[:3]
    queue = PrefixQueue(trials, trials, shared_prefixes(trials), tmp_path)
    first, prefixes = queue.next()
    assert queue.next() is None
    queue.finished(first.trial_id, done=False)
    second, instead = queue.next()
    assert (second, instead.start, instead.write) == (trials[1], (), prefixes.write)
    assert queue.next() is None  # the third waits for the second now
    store(tmp_path, [prefixes.write[0].key])
    assert queue.next()[1].start == prefixes.write
    for trial in trials[1:]:
        queue.finished(trial.trial_id, done=True)
    assert stored(tmp_path) == {prefixes.write[0].key}  # for the next attempt of the first


def test_what_a_crash_leaves_is_used_or_removed(tmp_path: Path) -> None:
    trials = family()
    paths = shared_prefixes(trials)
    key = paths[trials[0].trial_id][0].key
    store(tmp_path, [key, "0123456789abcdef"])
    (tmp_path / f".{key}.safetensors-77").write_bytes(b"half")
    queue = PrefixQueue(trials[1:], trials[1:], paths, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{key}.safetensors"}
    assert [queue.next()[1].start for _ in trials[1:]] == [paths[trials[0].trial_id]] * 2 + [()]
    PrefixQueue([], [], paths, tmp_path)
    assert stored(tmp_path) == set()


def test_a_trial_that_is_not_to_run_now_keeps_its_prefix(tmp_path: Path) -> None:
    trials = family()[:2]
    queue = PrefixQueue(trials[:1], trials, shared_prefixes(trials), tmp_path)
    first, prefixes = queue.next()
    assert prefixes.write
    store(tmp_path, [prefixes.write[0].key])
    queue.finished(first.trial_id, done=True)
    assert stored(tmp_path) == {prefixes.write[0].key}


def test_a_longer_prefix_replaces_the_shorter_one(tmp_path: Path) -> None:
    constant = {"warmup": 0, "min_lr": 1}
    trials = [tiny(**constant, tokens=64 * steps) for steps in (8, 16, 24)]
    paths = shared_prefixes(trials)
    assert [[prefix.step for prefix in paths[trial.trial_id]] for trial in trials] == [[8], [8, 16], [8, 16]]
    assert trained_steps(trials, paths) == 24
    queue = PrefixQueue(trials, trials, paths, tmp_path)
    for expected in ([], [8], [16]):
        trial, prefixes = queue.next()
        assert [prefix.step for prefix in prefixes.start] == expected
        store(tmp_path, [prefix.key for prefix in prefixes.write])
        queue.finished(trial.trial_id, done=True)
        assert len(stored(tmp_path)) == (trial is not trials[-1])


def test_the_full_grid_trains_less_than_half_of_its_steps() -> None:
    """Closed form: of 12 cells a combination of bits and Hadamard, 7 are distinct and 3 of these share phase 1."""
    sweep = load_sweep(Path(__file__).parents[2] / "sweeps" / "full_grid.yaml")
    steps = step_count(sweep.trials[0].training)
    shared = trained_steps(sweep.trials, shared_prefixes(sweep.trials))
    assert shared == 5 * 2 * (7 * steps - 3 * round(0.5 * steps))
    assert shared / (sweep.cells - sum(sweep.excluded.values())) / steps == pytest.approx(55 / 128, abs=1e-3)


def test_a_large_sweep_shares_per_seed(tmp_path: Path) -> None:
    trials = [dataclasses.replace(t, seed=seed) for seed in range(200) for t in (make_trial(), make_trial(**BOTH))]
    paths = shared_prefixes(trials)
    steps = step_count(trials[0].training)
    assert trained_steps(trials, paths) == 200 * (2 * steps - round(steps / 2))
    queue = PrefixQueue(family_order(trials, paths), trials, paths, tmp_path)
    for expected in range(200):
        first, prefixes = queue.next()
        assert (first.seed, len(prefixes.write)) == (expected, 1)
        queue.finished(first.trial_id, done=True)
        second, _ = queue.next()
        assert second.seed == expected
        queue.finished(second.trial_id, done=True)
