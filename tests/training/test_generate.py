"""Decoding against recomputation without a cache, oracle values of speculation, and the distribution it samples."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from bitskip.errors import UserError
from bitskip.model.bitlinear import frozen_weights
from bitskip.model.decoder import Decoder, build_model
from bitskip.training.generate import (
    ConfidenceExit,
    FixedExit,
    Generation,
    Prefix,
    Sampler,
    SelfSpeculation,
    Strategy,
    generate,
    in_double_precision,
)
from bitskip.trial.config import TrialConfig, make_trial

TINY = {"layers": 4, "width": 32, "heads": 4, "kv_heads": 2, "ffn_width": 64, "init_std": 0.3}
"""Wide initial values: untrained logits as far apart as a trained model's."""

VARIANTS = [
    {},
    {"bits": 8},
    {"bits": 4},
    {"bits": 8, "hadamard": "bitnet-v2"},
    {"bits": 4, "hadamard": "random-sign"},
    {"bits": 8, "hadamard": "as-published"},
    {"bits": 8, "exit_weight": 0.3, "exit_head": "own-head"},
]
BITSKIP = Path(sys.executable).with_name("bitskip")


def tiny(**axes: object) -> TrialConfig:
    return make_trial(**{"model": TINY, "data.vocab_size": 300, **axes})


def decoder(**axes: object) -> Decoder:
    return in_double_precision(build_model(tiny(**axes)).eval())


def exits_without_cache(model: Decoder, tokens: list[int]) -> list[Tensor]:
    """Logits [V] of every exit at the last token, from one pass over all tokens."""
    with torch.no_grad(), frozen_weights(model):
        states = model.hidden_states(torch.tensor([tokens]))
        return [model.logits(state, layer)[0, -1] for layer, state in enumerate(states, start=1)]


def confident_exit(logits: list[Tensor], threshold: float) -> int:
    for exit_layer, row in enumerate(logits, start=1):
        if threshold < 1 and row.softmax(-1).max() >= threshold:
            return exit_layer
    return len(logits)


@pytest.mark.parametrize("axes", VARIANTS, ids=str)
@pytest.mark.parametrize("strategy", [FixedExit(4), FixedExit(2), ConfidenceExit(0.3), SelfSpeculation(1, 3)], ids=str)
def test_greedy_decoding_equals_recomputation_without_a_cache(axes: dict[str, object], strategy: Strategy) -> None:
    model = decoder(**axes)
    prompt = [7, 1, 250, 3, 3]
    found = generate(model, prompt, strategy, 20)
    tokens, layers = list(prompt), []
    for _ in range(20):
        logits = exits_without_cache(model, tokens)
        if isinstance(strategy, ConfidenceExit):
            layer = confident_exit(logits, strategy.threshold)
        else:
            layer = strategy.exit_layer if isinstance(strategy, FixedExit) else 4
        layers.append(layer)
        tokens.append(int(logits[layer - 1].argmax()))
    assert found.tokens == tuple(tokens[5:])
    assert found.exit_layers == tuple(layers)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(VARIANTS), st.integers(0, 1000), st.integers(1, 3), st.integers(1, 7), st.integers(1, 30))
def test_greedy_speculation_is_greedy_decoding(
    axes: dict[str, object], seed: int, exit_layer: int, draft: int, length: int
) -> None:
    model = decoder(seed=seed, **axes)
    prompt = [seed % 300, 5]
    full = generate(model, prompt, FixedExit(4), length)
    speculative = generate(model, prompt, SelfSpeculation(exit_layer, draft), length)
    assert speculative.tokens == full.tokens
    assert speculative.accepted <= speculative.drafted <= draft * speculative.steps


def test_a_perfect_draft_is_accepted_whole() -> None:
    """Blocks that add nothing leave the draft's opinion: every round emits all drafts and one token more."""
    model = decoder()
    for block in model.blocks[1:]:
        for name in ("attention.o", "feed_forward.down"):
            block.get_submodule(name).weight.data.zero_()
    found = generate(model, [3], SelfSpeculation(1, 4), 20)
    assert found.acceptance_rate == 1.0
    assert found.steps == 4
    assert found.tokens == generate(model, [3], FixedExit(4), 20).tokens


def test_oracle_values_of_speculative_sampling() -> None:
    """p = [.5, .3, .2], q = [.2, .5, .3]: accepted with [1, .6, 2/3], a rejection draws token 0; the marginal is p."""
    p, q = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]).double(), torch.tensor([[0.2, 0.5, 0.3]]).double()
    sampler = Sampler(1.0, torch.Generator().manual_seed(0))
    rounds = 4000
    for token, expected in ((0, 1.0), (1, 0.6), (2, 2 / 3)):
        emitted = [sampler.accept([token], q, p) for _ in range(rounds)]
        accepted = sum(len(tokens) == 2 for tokens in emitted) / rounds
        assert accepted == pytest.approx(expected, abs=4 * 0.5 / rounds**0.5)
        assert {tokens[0] for tokens in emitted if len(tokens) == 1} <= {0}


def test_greedy_acceptance_oracle() -> None:
    """Draft [5, 7, 7, 2] against the verifier's [5, 7, 9, 4, 1] emits [5, 7, 9]."""

    def one_hot(tokens: list[int]) -> Tensor:
        return torch.nn.functional.one_hot(torch.tensor(tokens), 10).double()

    sampler = Sampler(0.0, torch.Generator().manual_seed(0))
    assert sampler.accept([5, 7, 7, 2], one_hot([5, 7, 7, 2]), one_hot([5, 7, 9, 4, 1])) == [5, 7, 9]
    assert sampler.accept([5, 7], one_hot([5, 7]), one_hot([5, 7, 1])) == [5, 7, 1]


class AlwaysAccept(Sampler):
    """A wrong rule, to see that the test below would notice."""

    def accept(self, drafted: list[int], draft: Tensor, target: Tensor) -> list[int]:  # type: ignore[override]
        return [*drafted, self.draw(target[len(drafted)])]


@pytest.mark.parametrize(("rule", "follows"), [(Sampler, True), (AlwaysAccept, False)])
def test_speculative_sampling_follows_the_target_distribution(rule: type[Sampler], follows: bool) -> None:
    """chi-square over all pairs of tokens of a three-word language, against exact probabilities of the full model."""
    sizes = {"layers": 2, "width": 16, "heads": 2, "kv_heads": 1, "ffn_width": 32, "init_std": 0.5}
    model = in_double_precision(Decoder(make_trial(model=sizes).model, tiny().techniques, 3, 1).eval())
    expected = {}
    for first, chance in enumerate(exits_without_cache(model, [0])[-1].softmax(-1).tolist()):
        for second, then in enumerate(exits_without_cache(model, [0, first])[-1].softmax(-1).tolist()):
            expected[first, second] = chance * then
    sampler = rule(1.0, torch.Generator().manual_seed(1))
    draws = 3000
    counts: Counter[tuple[int, ...]] = Counter()
    with torch.no_grad(), frozen_weights(model):
        for _ in range(draws):
            prefix = Prefix(model, 8)
            prefix.append([0])
            emitted: list[int] = []
            while len(emitted) < 2:
                emitted += SelfSpeculation(1, 2).step(prefix, sampler, 3).tokens
            counts[tuple(emitted[:2])] += 1
    p_value = chisquare([counts[pair] for pair in expected], [draws * chance for chance in expected.values()]).pvalue
    assert (p_value > 1e-3) == follows, p_value


def test_sampling_is_reproducible_and_temperature_matters() -> None:
    model = decoder()

    def sampled(seed: int, temperature: float = 1.0) -> Generation:
        return generate(model, [1, 2], FixedExit(4), 15, temperature, seed)

    assert sampled(0).tokens == sampled(0).tokens != sampled(1).tokens
    assert sampled(0, 1e-6).tokens == generate(model, [1, 2], FixedExit(4), 15).tokens


def test_limits_of_the_threshold() -> None:
    model = decoder()
    full, first = (generate(model, [4, 4], FixedExit(exit_layer), 12) for exit_layer in (4, 1))
    assert generate(model, [4, 4], ConfidenceExit(1.0), 12).tokens == full.tokens
    assert generate(model, [4, 4], ConfidenceExit(1e-9), 12).tokens == first.tokens


def test_each_strategy_runs_the_blocks_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    model = decoder()
    calls: list[tuple[int, int]] = []
    for index, block in enumerate(model.blocks, start=1):
        block.register_forward_pre_hook(lambda _, args, index=index: calls.append((index, args[0].shape[1])))

    def executed(strategy: Strategy) -> tuple[Generation, int, int]:
        calls.clear()
        found = generate(model, [1], strategy, 10)  # a prompt of one token: nothing is prefilled
        assert found.block_calls == len(calls)
        assert found.executed == sum(tokens for _, tokens in calls)
        return found, len(calls), max(index for index, _ in calls)

    assert executed(FixedExit(4))[1:] == (40, 4)
    assert executed(FixedExit(2))[1:] == (20, 2)
    assert executed(ConfidenceExit(1e-9))[1:] == (10, 1)
    found, count, _ = executed(SelfSpeculation(1, 3))
    verifications = sum(index == 4 for index, _ in calls)
    assert verifications == found.steps
    assert count < 40 or found.acceptance_rate == 0


def test_the_cache_after_rounds_is_that_of_the_accepted_tokens() -> None:
    model = decoder(bits=8)
    sampler = Sampler(1.0, torch.Generator().manual_seed(0))
    with torch.no_grad(), frozen_weights(model):
        prefix = Prefix(model, 40)
        prefix.append([9, 8])
        tokens = [9, 8]
        for _ in range(5):
            tokens += SelfSpeculation(2, 3).step(prefix, sampler, 10).tokens
        prefix.advance(4)
        fresh = Prefix(model, 40)
        fresh.append(tokens)
        fresh.advance(4)
    length = len(tokens)
    assert len(prefix) == length
    for kept, again in ((prefix.cache.keys, fresh.cache.keys), (prefix.cache.values, fresh.cache.values)):
        assert torch.allclose(kept[:, :, :, :length], again[:, :, :, :length], atol=1e-9)


@pytest.mark.parametrize("strategy", [FixedExit(4), SelfSpeculation(2, 4), ConfidenceExit(0.2)], ids=str)
def test_decoding_stops_at_the_end_of_a_document(strategy: Strategy) -> None:
    model = decoder(seed=3)
    free = generate(model, [1, 2], strategy, 16)
    end = free.tokens[6]
    stopped = generate(model, [1, 2], strategy, 16, end_of_document=end)
    first = free.tokens.index(end)
    assert stopped.tokens == free.tokens[: first + 1]
    assert len(stopped.exit_layers) == len(stopped.tokens)


@pytest.mark.parametrize(
    ("prompt", "strategy", "options", "message"),
    [
        ([1], FixedExit(0), {}, "give one in 1…4"),
        ([1], FixedExit(5), {}, "give one in 1…4"),
        ([1], SelfSpeculation(4), {}, "a draft needs fewer blocks"),
        ([1], SelfSpeculation(1, 0), {}, "make no draft"),
        ([1], ConfidenceExit(0.0), {}, "threshold"),
        ([1], ConfidenceExit(1.5), {}, "threshold"),
        ([], FixedExit(1), {}, "no tokens"),
        ([300], FixedExit(1), {}, "outside the vocabulary"),
        ([1], FixedExit(1), {"max_tokens": 0}, "at least 1"),
        ([1], FixedExit(1), {"temperature": -1.0}, "temperature"),
        ([1], FixedExit(1), {"temperature": float("nan")}, "temperature"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(
    prompt: list[int], strategy: Strategy, options: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        generate(decoder(), prompt, strategy, **{"max_tokens": 3, **options})  # type: ignore[arg-type]


def test_a_model_without_a_causal_mask_is_not_decoded() -> None:
    model = build_model(tiny(artefacts={"causal_mask": False})).eval()
    with pytest.raises(UserError, match="causal mask"):
        generate(model, [1], FixedExit(1), 3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(results folder, id) of a small trial whose weights are kept."""
    results = tmp_path_factory.mktemp("trained")
    sizes = "model={layers: 3, width: 32, heads: 2, kv_heads: 1, ffn_width: 64}"
    axes = (sizes, "data.tokenizer=bytes", "bits=8", "exit_weight=0.3", "tokens=16_000", "seq_len=64", "lr=1e-2")
    done = run("train", *(f"--set={axis}" for axis in axes), "--results", results, "--json")
    assert done.returncode == 0, done.stderr
    return results, json.loads(done.stdout)["trial_id"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BITSKIP), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_the_command_continues_a_text(trained: tuple[Path, str]) -> None:
    results, trial_id = trained

    def answer(*options: object) -> dict[str, object]:
        options = ("--prompt", "Once upon", "--max-tokens", "24", "--results", results, "--json", *options)
        done = run("generate", trial_id[:10], *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    full, speculative = answer(), answer("--speculative", "--exit-layer", "1", "--draft", "3")
    assert speculative["text"] == full["text"]
    assert speculative["tokens"] == full["tokens"]
    assert speculative["acceptance_rate"] is not None
    assert answer("--exit-layer", "2")["exit_layers"] == [2] * 24
    assert answer("--exit-layer", "3")["tokens"] == full["tokens"]
    assert set(answer("--threshold", "0.2")["exit_layers"]) <= {1, 2, 3}
    sampled = [answer("--temperature", "1", "--seed", seed)["tokens"] for seed in (1, 1, 2)]
    assert sampled[0] == sampled[1] != sampled[2]


@pytest.mark.slow
def test_text_goes_to_the_screen_and_statistics_beside_it(trained: tuple[Path, str]) -> None:
    results, trial_id = trained
    done = run("generate", trial_id, "--prompt", "The [b]cat[/b]", "--max-tokens", "8", "--results", results)
    assert done.returncode == 0
    assert done.stdout.startswith("The [b]cat[/b]")
    assert "8 tokens" in done.stderr
    assert "blocks a token" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--exit-layer", "9"], "give one in 1…3"),
        (["--threshold", "0.5", "--speculative"], "leave --speculative"),
        (["--draft", "3"], "belongs to --speculative"),
        (["--temperature", "nan"], "not a number from 0"),
    ],
)
def test_mistakes_are_one_line(trained: tuple[Path, str], options: list[str], message: str) -> None:
    results, trial_id = trained
    done = run("generate", trial_id, "--prompt", "a", "--results", results, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
