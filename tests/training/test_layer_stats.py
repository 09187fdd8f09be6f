"""Per-layer diagnostics against scipy, numpy, hand-made values and the gradients of separate models."""

import copy
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor
from training.test_trainer import counting_text, tiny
from unchecked import unchecked_shapes

from bitskip.engine.job import Job
from bitskip.engine.worker import run_job
from bitskip.model.bitlinear import BitLinear
from bitskip.model.decoder import Decoder, build_model
from bitskip.ops.quantizers import quantize_activations
from bitskip.store.schema import LayerRow
from bitskip.store.tables import load_results
from bitskip.training.gradient_agreement import PAIRS
from bitskip.training.layer_stats import (
    Diagnostics,
    crest_factor,
    kurtosis,
    sampled_sequences,
    signal_to_noise,
)
from bitskip.training.loop import batch_order
from bitskip.training.trainer import TrialResult, optimizer_for, prepare, run_trial
from bitskip.trial.schedule import sampled_steps

SITES = ("q", "k", "v", "o", "gate", "up", "down")
DEEP = {"layers": 3, "width": 32, "heads": 2, "kv_heads": 1, "ffn_width": 64}
WEIGHTS = (0.1, 0.2, 1.0)

Rows = dict[tuple[int | None, str], LayerRow]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def deep(**axes: object) -> Decoder:
    """Three blocks whose matrices are large enough that gradients of different blocks differ visibly."""
    return build_model(tiny(model=DEEP, **{"model.init_std": 0.1, **axes}))


def batch(rows: int = 3, length: int = 16, seed: int = 1) -> tuple[Tensor, Tensor]:
    ids = torch.randint(0, 257, (rows, length + 1), generator=torch.Generator().manual_seed(seed))
    return ids[:, :-1], ids[:, 1:]


def sample(model: Decoder, weights: Sequence[float] = WEIGHTS, diagnostics: Diagnostics | None = None) -> Rows:
    rows = (diagnostics or Diagnostics()).sample(model, 7, *batch(), weights)
    assert all(row.step == 7 for row in rows)
    return {(row.layer, row.site): row for row in rows}


def linear(model: Decoder, layer: int, site: str) -> BitLinear:
    (found,) = [m for m in model.blocks[layer - 1].modules() if isinstance(m, BitLinear) and m.site == site]
    return found


def test_a_sample_has_a_row_for_every_site_block_and_shared_part() -> None:
    rows = Diagnostics().sample(deep(bits=8), 1, *batch(), WEIGHTS)
    blocks = [(layer, site) for layer in (1, 2, 3) for site in (*SITES, "block")]
    assert [(r.layer, r.site) for r in rows] == [(None, "embedding"), *blocks, (None, "norm"), (None, "head")]


# Activations


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
def test_kurtosis_is_scipys_averaged_over_tokens(scale: float) -> None:
    x = (draw(4, 5, 64) ** 3 + 1.0) * scale
    expected = scipy.stats.kurtosis(x.double().numpy(), axis=-1, fisher=False).mean()
    assert kurtosis(x).item() == pytest.approx(expected, rel=1e-5)
    assert kurtosis(draw(100, 4096)).item() == pytest.approx(3.0, abs=0.05)


def test_crest_factor_and_signal_to_noise_by_hand() -> None:
    x = torch.tensor([[3.0, -4.0, 0.0, 0.0], [1.0, 1.0, -1.0, 1.0]])
    assert crest_factor(x).item() == pytest.approx((4 / 2.5 + 1) / 2)
    approximation = torch.tensor([[3.0, -4.0, 0.0, 0.5], [1.0, 1.5, -1.0, 1.0]])
    assert signal_to_noise(x, approximation).item() == pytest.approx(10 * math.log10(29 / 0.5))
    assert signal_to_noise(x, x).item() == math.inf


def test_tokens_without_a_measure_are_left_out_of_the_mean() -> None:
    x = draw(3, 16)
    with_constant = torch.cat([x, torch.zeros(1, 16)])
    assert kurtosis(with_constant).item() == kurtosis(x).item()
    assert crest_factor(with_constant).item() == crest_factor(x).item()


@pytest.mark.parametrize(("bits", "lost", "lost_rotated"), [(8, 0.02019, 0.00322), (4, 0.11098, 0.04808)])
def test_rotation_tames_an_outlier(bits: int, lost: float, lost_rotated: float) -> None:
    """sin(1.7 i) with one entry of 50: crest factor 7.951 before, 1.361 after; errors of absmax scales."""
    row = torch.sin(1.7 * torch.arange(64.0))
    row[7] = 50.0
    rotated = linear(deep(hadamard="bitnet-v2", **{"model.width": 64}), 1, "o").rotated_input(row)
    for x, crest, error in ((row, 7.951, lost), (rotated, 1.361, lost_rotated)):
        assert crest_factor(x).item() == pytest.approx(crest, abs=1e-3)
        found = signal_to_noise(x, quantize_activations(x, bits, "absmax")).item()
        assert found == pytest.approx(-20 * math.log10(error), abs=0.02)  # errors are known to 5 decimals


def test_activations_are_those_that_each_site_receives() -> None:
    """Against plain hooks, with the quantizer written out anew in fp64."""
    model = deep(bits=8, hadamard="bitnet-v2")
    inputs: dict[tuple[int, str], Tensor] = {}
    for layer in (1, 2, 3):
        for site in SITES:
            linear(model, layer, site).register_forward_hook(
                lambda module, args, _, key=(layer, site): inputs.__setitem__(key, args[0].detach().double())
            )
    model(batch()[0])
    rows = sample(model)
    for (layer, site), x in inputs.items():
        row = rows[layer, site]
        n = x.shape[-1]
        rotates = site in ("o", "down")
        seen = x @ torch.from_numpy(scipy.linalg.hadamard(n)).double() / math.sqrt(n) if rotates else x
        step = seen.abs().amax(-1, keepdim=True) / 127
        noise = seen - (seen / step).round() * step
        for values, found_kurtosis, found_crest in (
            (x, row.input_kurtosis, row.input_crest_factor),
            (seen, row.kurtosis, row.crest_factor),
        ):
            assert found_kurtosis == pytest.approx(
                scipy.stats.kurtosis(values.numpy(), axis=-1, fisher=False).mean(), rel=1e-4
            )
            rms = values.square().mean(-1).sqrt()
            assert found_crest == pytest.approx((values.abs().amax(-1) / rms).mean().item(), rel=1e-4)
        assert row.snr_db == pytest.approx(
            10 * torch.log10(seen.square().sum() / noise.square().sum()).item(), abs=0.01
        )
        assert (row.input_kurtosis == row.kurtosis) is not rotates


def test_the_published_order_quantizes_before_it_rotates() -> None:
    rows = sample(deep(bits=8, hadamard="as-published"))
    assert all(rows[1, site].kurtosis == rows[1, site].input_kurtosis for site in SITES)


# Ternary weights


def test_zero_share_and_signal_to_noise_of_ternary_weights() -> None:
    model = deep(bits=8)
    rows = sample(model)
    for layer, site in ((1, "q"), (3, "down")):
        weight = linear(model, layer, site).weight.detach().double().numpy()
        scale = np.abs(weight).mean()
        codes = np.where(np.abs(weight) > scale / 2, np.sign(weight), 0.0)
        row = rows[layer, site]
        assert row.zero_share == pytest.approx((codes == 0).mean(), abs=1e-7)
        lost = ((weight - scale * codes) ** 2).sum()
        assert row.weight_snr_db == pytest.approx(10 * np.log10((weight**2).sum() / lost), rel=1e-5)


def test_flips_count_the_codes_that_changed_since_the_last_sample() -> None:
    model, diagnostics = deep(bits=8), Diagnostics()
    first = sample(model, diagnostics=diagnostics)
    assert all(row.weight_flips is None and row.weight_flip_share is None for row in first.values())
    weight = linear(model, 2, "gate").weight.data
    before = weight.clone()
    weight[0, :5] = -weight[0, :5].sign() * weight.abs().mean()  # 5 codes change, or fewer that were 0 and stay near 0
    scale = weight.abs().mean()
    expected = int(((weight.abs() > scale / 2) * weight.sign()).ne(
        (before.abs() > before.abs().mean() / 2) * before.sign()).sum())  # fmt: skip
    assert expected >= 3
    second = sample(model, diagnostics=diagnostics)
    assert second[2, "gate"].weight_flips == expected
    assert second[2, "gate"].weight_flip_share == expected / weight.numel()
    assert second[2, "up"].weight_flips == 0
    assert sample(model, diagnostics=diagnostics)[2, "gate"].weight_flips == 0


def test_full_precision_has_neither_noise_nor_flips() -> None:
    model, diagnostics = deep(), Diagnostics()
    for _ in range(2):
        row = sample(model, diagnostics=diagnostics)[1, "q"]
        assert (row.snr_db, row.weight_snr_db, row.zero_share, row.weight_flips) == (None, None, None, None)
        assert row.kurtosis is not None
    assert diagnostics.codes == {}


# Gradients


def gradients(model: Decoder, weights: dict[int, float], on: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
    """By backward in a separate model: the gradient of sum weight x CE over the exits, zeros where there is none."""
    model = copy.deepcopy(model)
    inputs, targets = on or batch()
    for exit_layer, weight in weights.items():
        loss = F.cross_entropy(model(inputs, exit_layer).transpose(1, 2), targets)
        (loss * weight).backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}


PREFIXES = {
    (None, "embedding"): "embedding.", (None, "norm"): "norm.", (None, "head"): "head.",
    (1, "block"): "blocks.0.", (2, "block"): "blocks.1.", (3, "block"): "blocks.2.",
    (1, "v"): "blocks.0.attention.v.", (2, "down"): "blocks.1.feed_forward.down.",
}  # fmt: skip


@pytest.mark.parametrize(
    "axes",
    [
        {},
        {"bits": 4, "hadamard": "bitnet-v2"},
        {"bits": 8, "exit_weight": 0.3, "exit_head": "own-norm"},
        {"bits": 8, "exit_weight": 0.3, "exit_head": "own-head"},
    ],
    ids=str,
)
def test_norm_and_cosine_are_those_of_separate_backward_passes(axes: dict[str, object]) -> None:
    model = deep(**axes)
    rows = sample(model)
    exits, main = gradients(model, {1: 0.1, 2: 0.2}), gradients(model, {3: 1.0})
    for key, prefix in PREFIXES.items():
        of_exits, of_main = (
            torch.cat([g.flatten() for name, g in found.items() if name.startswith(prefix)]).double()
            for found in (exits, main)
        )
        # Both are sums of fp32 gradients in different orders, hence 1e-4.
        assert rows[key].grad_norm == pytest.approx((of_exits + of_main).norm().item(), rel=1e-4)
        if of_exits.norm() == 0:
            assert rows[key].exit_main_cosine is None
        else:
            expected = torch.dot(of_exits, of_main) / (of_exits.norm() * of_main.norm())
            assert rows[key].exit_main_cosine == pytest.approx(expected.item(), abs=1e-4)


def pairs(count: int = 3) -> list[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]:
    return [(batch(2, seed=10 + pair), batch(2, seed=20 + pair)) for pair in range(count)]


@pytest.mark.parametrize("axes", [{}, {"bits": 4, "hadamard": "bitnet-v2"}], ids=str)
def test_cosines_between_batches_are_those_of_separate_backward_passes(axes: dict[str, object]) -> None:
    model = deep(**axes)
    rows = {(row.layer, row.site): row for row in Diagnostics().sample(model, 1, *batch(), WEIGHTS, pairs())}
    by_pair = [
        [gradients(model, weights, on) for on in pair for weights in ({3: 1.0}, {1: 0.1, 2: 0.2})] for pair in pairs()
    ]

    def cosine(prefix: str, one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
        flat = [torch.cat([g.flatten() for n, g in each.items() if n.startswith(prefix)]) for each in (one, other)]
        return F.cosine_similarity(*(each.double() for each in flat), dim=0, eps=0).item()

    for key, prefix in PREFIXES.items():
        row = rows[key]
        crossed = [(cosine(prefix, m, f) + cosine(prefix, e, n)) / 2 for m, e, n, f in by_pair]
        own = [cosine(prefix, m, n) for m, _, n, _ in by_pair]
        assert row.main_main_apart == pytest.approx(np.mean(own), abs=1e-4)
        assert row.main_main_apart_se == pytest.approx(scipy.stats.sem(own), abs=1e-4)
        assert row.gradient_pairs == 3
        if key[0] == 3:  # no exit reaches the last block
            assert (row.exit_main_apart, row.exit_exit_apart_se) == (None, None)
            continue
        assert row.exit_main_apart == pytest.approx(np.mean(crossed), abs=1e-4)
        assert row.exit_main_apart_se == pytest.approx(scipy.stats.sem(crossed), abs=1e-4)
        assert row.exit_exit_apart == pytest.approx(np.mean([cosine(prefix, e, f) for _, e, _, f in by_pair]), abs=1e-4)


def test_two_losses_that_want_the_same_agree_as_much_as_each_does_with_itself() -> None:
    """Of one block with an exit that is the whole model: the last block passes on what it is given."""
    model = deep()
    for site in ("o", "down"):
        linear(model, 3, site).weight.data.zero_()
    head = {(r.layer, r.site): r for r in Diagnostics().sample(model, 1, *batch(), (0.0, 0.5, 1.0), pairs())}[
        None, "head"
    ]
    assert head.exit_main_cosine == pytest.approx(1.0, abs=1e-5)
    assert head.exit_main_apart == pytest.approx(head.main_main_apart, abs=1e-5)
    assert head.exit_exit_apart == pytest.approx(head.main_main_apart, abs=1e-5) != pytest.approx(1.0, abs=0.01)


def test_without_exit_loss_no_other_batch_is_read() -> None:
    def unread() -> Iterator[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]:
        raise AssertionError
        yield

    rows = Diagnostics().sample(deep(), 1, *batch(), (0.0, 0.0, 1.0), unread())
    assert all(row.gradient_pairs is None for row in rows)


def test_pairs_are_of_what_training_reads_next_and_share_no_sequence() -> None:
    trial = tiny(exit_weight=0.3, diagnostic_points=2)
    ready = prepare(trial, torch.device("cpu"), counting_text())
    loop = ready.loop(optimizer_for(ready.model, trial.training))
    order = batch_order(trial.seed, ready.train_on.count, trial.training.batch_size, 3)
    size = sampled_sequences(trial.training)
    upcoming = [index for _ in range(2) for index in next(order)]
    for number, (one, other) in enumerate(loop._pairs(3)):
        halves = upcoming[2 * number * size :][: 2 * size]
        assert torch.equal(torch.cat([one[0], other[0]]), ready.train_on.batch(halves)[0])
    assert number + 1 == PAIRS


def test_parts_without_exit_gradient_have_no_cosine() -> None:
    def without(rows: Rows) -> set[tuple[int | None, str]]:
        return {key for key, row in rows.items() if row.exit_main_cosine is None}

    last = {(3, site) for site in (*SITES, "block")}
    shared = {"exit_weight": 0.3, "exit_head": "shared"}
    assert without(sample(deep(**shared))) == last
    assert without(sample(deep(**{**shared, "exit_head": "own-norm"}))) == last | {(None, "norm")}
    assert without(sample(deep(**{**shared, "exit_head": "own-head"}))) == last | {(None, "norm"), (None, "head")}
    # A curriculum that trains the first exit alone leaves the second block without.
    assert without(sample(deep(**shared), (0.3, 0.0, 1.0))) == last | {(2, site) for site in (*SITES, "block")}


def test_without_exit_loss_there_is_a_norm_and_no_cosine() -> None:
    model = deep()
    rows = sample(model, (0.0, 0.0, 1.0))
    main = gradients(model, {3: 1.0})
    assert all(row.exit_main_cosine is None for row in rows.values())
    assert rows[None, "head"].grad_norm == pytest.approx(main["head.weight"].norm().item(), rel=1e-4)


def test_a_cosine_tells_agreement_from_conflict() -> None:
    """With the full model's weight negated, the exits pull the other way and the norm is that of the difference."""
    model = deep()
    agree, conflict = sample(model, (0.1, 0.2, 1.0)), sample(model, (0.1, 0.2, -1.0))
    for key in ((None, "head"), (1, "block")):
        assert conflict[key].exit_main_cosine == pytest.approx(-agree[key].exit_main_cosine, abs=1e-6)
        assert conflict[key].grad_norm < agree[key].grad_norm


def test_a_model_of_one_block_has_no_exits() -> None:
    model = build_model(tiny(model={**DEEP, "layers": 1}, bits=8))
    rows = sample(model, (1.0,))
    assert len(rows) == 8 + 3
    assert all(row.exit_main_cosine is None and row.grad_norm is not None for row in rows.values())


def test_what_is_not_finite_is_none() -> None:
    model = deep(bits=8)
    model.head.weight.data[0, 0] = math.nan
    rows = sample(model)
    assert rows[1, "q"].grad_norm is None
    assert rows[1, "q"].exit_main_cosine is None
    assert rows[1, "q"].kurtosis is not None


# What a sample leaves alone


@pytest.mark.parametrize("training", [True, False])
def test_a_sample_leaves_gradients_random_states_hooks_and_mode_alone(training: bool) -> None:
    model = deep(bits=8).train(training)
    inputs, targets = batch()
    model.losses(inputs, targets, WEIGHTS)[0].backward()
    gradients_before = {name: p.grad.clone() for name, p in model.named_parameters()}
    weights_before = {name: p.detach().clone() for name, p in model.named_parameters()}
    random, numpy_random = torch.get_rng_state(), np.random.get_state()[1].copy()
    sample(model)
    assert torch.equal(torch.get_rng_state(), random)
    assert np.array_equal(np.random.get_state()[1], numpy_random)
    assert all(module.training is training for module in model.modules())
    assert all(torch.equal(p.grad, gradients_before[name]) for name, p in model.named_parameters())
    assert all(torch.equal(p, weights_before[name]) for name, p in model.named_parameters())
    assert all(not module._forward_pre_hooks for module in model.modules())


def test_hooks_go_even_if_the_forward_pass_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    model = deep()
    monkeypatch.setattr(model.norm, "forward", lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sample(model)
    assert all(not module._forward_pre_hooks for module in model.modules())


@unchecked_shapes
@pytest.mark.filterwarnings("ignore")  # dynamo warns while it traces a straight-through estimator
def test_compiled_blocks_run_eagerly_in_a_sample() -> None:
    """The backend counts what it is given; nothing is compiled for the sample, and training finds its graphs again."""
    compiled: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> object:
        compiled.append(graph)
        return graph.forward

    plain, model = deep(bits=8), deep(bits=8)
    for block in model.blocks:
        block.compile(backend=backend)
    expected = sample(plain)
    assert sample(model) == expected
    assert compiled == []
    inputs, targets = batch()
    model.losses(inputs, targets, WEIGHTS)
    graphs = len(compiled)
    assert graphs > 0
    assert sample(model) == expected
    model.losses(inputs, targets, WEIGHTS)
    assert len(compiled) == graphs


def test_bf16_gradients_are_those_of_training() -> None:
    """Forward in autocast, backward outside of it, as the trainer does: bitwise the same norms."""
    model = deep(bits=8, hadamard="bitnet-v2", precision="bf16")
    with torch.autocast("cpu", torch.bfloat16):
        rows = sample(model, (0.0, 0.0, 1.0))
        total, _ = model.losses(*batch(), (0.0, 0.0, 1.0))
    total.backward()
    for key, parameter in (((1, "v"), linear(model, 1, "v").weight), ((None, "head"), model.head.weight)):
        assert rows[key].grad_norm == (parameter.grad * parameter.grad).sum().sqrt().item()
    assert all(row.snr_db is not None for row in rows.values() if row.site in SITES)


# In training


def test_samples_are_spread_evenly_and_end_with_the_last_step() -> None:
    def steps(points: int, total: int) -> list[int]:
        return sorted(sampled_steps(tiny(diagnostic_points=points).training, total))

    assert steps(4, 100) == [25, 50, 75, 100]
    assert steps(3, 10) == [3, 7, 10]
    assert steps(4, 2) == [1, 2]
    assert steps(0, 100) == []


def test_a_sample_is_a_quarter_of_the_batch_and_fits_a_micro_batch() -> None:
    def sequences(**axes: int) -> int:
        return sampled_sequences(tiny(**axes).training)

    assert sequences(batch_size=32) == 8
    assert sequences(batch_size=3) == 1
    assert sequences(batch_size=32, micro_batch=4) == 4


def losses(result: TrialResult) -> list[object]:
    return [result.curve, [(e.loss, e.agreement) for e in result.exits]]


@pytest.mark.parametrize(
    "axes",
    [
        {"bits": 4, "hadamard": True, "dropout": "linear", "dropout_max": 0.5, "exit_weight": 0.3},
        {"bits": 8, "exit_weight": 0.3, "precision": "bf16", "exit_curriculum": "rotational"},
        {"weights": "ternary", "micro_batch": 2},
    ],
    ids=str,
)
def test_training_is_bitwise_the_same_with_and_without_samples(axes: dict[str, object]) -> None:
    data = counting_text()
    plain = run_trial(tiny(diagnostic_points=0, **axes), data=data)
    diagnosed = run_trial(tiny(diagnostic_points=5, **axes), data=data)
    assert losses(diagnosed) == losses(plain)
    assert plain.layers == ()
    assert plain.diagnostic_seconds == 0.0
    assert len({row.step for row in diagnosed.layers}) == 5
    assert 0.0 < diagnosed.diagnostic_seconds < diagnosed.train_seconds


def test_the_cosine_appears_with_the_exit_loss() -> None:
    trial = tiny(phase="1+2", exit_weight=0.3, diagnostic_points=4)
    heads = [row for row in run_trial(trial, data=counting_text()).layers if row.site == "head"]
    assert [row.step for row in heads] == [5, 10, 15, 20]
    assert [row.exit_main_cosine is None for row in heads] == [True, True, False, False]


def test_a_trial_stores_its_layers(tmp_path: Path) -> None:
    trial = tiny(bits=4, hadamard=True, exit_weight=0.3, **{"data.tokenizer": "bytes"}, diagnostic_points=2)
    row = run_job(Job(trial, tmp_path, "s"))
    assert row["status"] in ("ok", "stalled"), row["reason"]
    assert 0.0 < row["diagnostic_seconds"] < row["train_seconds"]
    found = load_results(tmp_path).layers.to_pylist()
    assert len(found) == 2 * (2 * (len(SITES) + 1) + 3)
    assert {entry["step"] for entry in found} == {10, 20}
    assert {entry["layer"] for entry in found} == {None, 1, 2}
    assert {entry["trial_id"] for entry in found} == {trial.trial_id}
    assert all(math.isfinite(v) for entry in found for v in entry.values() if isinstance(v, float))
    last = {(e["layer"], e["site"]): e for e in found if e["step"] == 20}
    assert all(value is not None for value in last[1, "o"].values())
    assert sum(e["weight_flips"] for e in last.values() if e["weight_flips"] is not None) > 0
