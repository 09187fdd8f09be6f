"""The decoder: causality, exits, cache, rotation, layer dropout, shared random numbers."""

import dataclasses

import pytest
import torch
from layers import quantize_inputs
from torch import Tensor

from bitskip.model.bitlinear import BitLinear, frozen_weights
from bitskip.model.decoder import Decoder, KeyValueCache, build_model
from bitskip.ops.hadamard import hadamard_transform
from bitskip.trial.config import TrialConfig, make_trial
from bitskip.trial.cost import parameter_count

TINY = {"model": {"layers": 3, "width": 32, "heads": 4, "kv_heads": 2, "ffn_width": 64}, "data.vocab_size": 300}
VARIANTS = [
    {},
    {"bits": 8},
    {"bits": 4, "hadamard": True},
    {"bits": 8, "hadamard": "bitnet-v2-all"},
    {"bits": 4, "hadamard": "random-sign"},
    {"bits": 8, "hadamard": "as-published"},
    {"bits": 16, "weights": "ternary"},
    {"bits": 8, "exit_weight": 0.3, "exit_head": "own-head", "phase": 2},
    {"bits": 8, "model.qk_norm": True, "model.tie_embeddings": True},
]


def tiny(**axes: object) -> TrialConfig:
    return make_trial(**{**TINY, **axes})


def tokens(rows: int = 2, length: int = 12, seed: int = 0) -> Tensor:
    return torch.randint(0, 300, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("axes", VARIANTS, ids=str)
@pytest.mark.parametrize("cached", [False, True])
def test_no_logit_depends_on_a_later_token(axes: dict[str, object], cached: bool) -> None:
    model = build_model(tiny(**axes)).eval()
    ids = tokens()
    changed = ids.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 300
    for exit_layer in (1, 2, 3):
        caches = [KeyValueCache(model, 2, 12) if cached else None for _ in range(2)]
        before, after = (model(x, exit_layer, c) for x, c in zip((ids, changed), caches, strict=True))
        assert torch.equal(before[:, :7], after[:, :7])
        assert not torch.equal(before[:, 7:], after[:, 7:])


@pytest.mark.parametrize("axes", [*VARIANTS[:6], VARIANTS[-1]], ids=str)
def test_cached_decoding_equals_one_pass(axes: dict[str, object]) -> None:
    model = build_model(tiny(**axes)).eval()
    ids = tokens()
    with torch.no_grad():
        for exit_layer in (1, 3):
            whole = model(ids, exit_layer)
            cache = KeyValueCache(model, 2, 12)
            parts = [model(part, exit_layer, cache) for part in ids.split([5, 3, 1, 1, 2], dim=1)]
            # Rounding of fp32 can move a value over a quantization boundary, hence the share and not the maximum.
            close = torch.isclose(torch.cat(parts, 1), whole, rtol=1e-3, atol=1e-4).float().mean()
            assert close > 0.97


def test_full_exit_is_the_plain_forward_and_exits_are_checked() -> None:
    model = build_model(tiny(bits=8))
    assert torch.equal(model(tokens(), 3), model(tokens()))
    for wrong in (0, 4):
        with pytest.raises(ValueError, match="exit_layer"):
            model(tokens(), wrong)


def test_an_exit_runs_only_its_blocks() -> None:
    model, calls = build_model(tiny()), []
    for index, block in enumerate(model.blocks):
        block.register_forward_hook(lambda *_, index=index: calls.append(index))
    model(tokens(), 2)
    assert calls == [0, 1]


def test_loss_is_shifted_cross_entropy_at_every_exit() -> None:
    model = build_model(tiny(bits=8))
    ids = tokens()
    inputs, targets = ids[:, :-1], ids[:, 1:]
    total, main = model.losses(inputs, targets, (0.1, 0.2, 1.0))
    expected = []
    for exit_layer in (1, 2, 3):
        log_probs = model(inputs, exit_layer).double().log_softmax(-1)
        expected.append(-log_probs.gather(-1, targets[..., None]).mean())
    assert main.item() == pytest.approx(expected[-1].item(), rel=1e-5)
    assert total.item() == pytest.approx((0.1 * expected[0] + 0.2 * expected[1] + expected[2]).item(), rel=1e-5)


def test_module_audit() -> None:
    """Which linear is quantized and rotated how: the published code left attention at a default of 4 bits."""

    def sites(**axes: object) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {"rotated": set(), "ternary": set()}
        for module in build_model(tiny(**axes)).modules():
            if isinstance(module, BitLinear):
                assert [op.bits for op in module.ops.quantize] == [axes[name] for name in axes if name == "bits"]
                found["rotated"] |= {module.site} if module.ops.before or module.ops.after else set()
                found["ternary"] |= {module.site} if module.quantized_weight else set()
        return found

    every = {"q", "k", "v", "o", "gate", "up", "down"}
    assert sites() == {"rotated": set(), "ternary": set()}
    assert sites(bits=8) == {"rotated": set(), "ternary": every}
    assert sites(bits=4, hadamard=True) == {"rotated": {"o", "down"}, "ternary": every}
    assert sites(bits=4, hadamard="o-only") == {"rotated": {"o"}, "ternary": every}
    assert sites(bits=4, hadamard="down-only") == {"rotated": {"down"}, "ternary": every}
    assert sites(bits=4, hadamard="random-sign") == {"rotated": {"o", "down"}, "ternary": every}
    assert sites(bits=8, hadamard="bitnet-v2-all") == {"rotated": every, "ternary": every}
    assert sites(bits=8, hadamard="as-published") == {"rotated": every, "ternary": every}


@pytest.mark.parametrize("axes", [axes for axes in VARIANTS if axes], ids=str)
def test_embedding_norms_and_head_stay_as_they_are(axes: dict[str, object]) -> None:
    """Only the seven linear layers of a block are quantized or rotated."""
    model = build_model(tiny(**axes))
    inside = {id(p) for m in model.modules() if isinstance(m, BitLinear) for p in m.parameters()}
    assert len(inside) == 7 * 3
    hidden = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    for exit_layer in (1, 3):
        early = exit_layer < 3 and axes.get("exit_head") == "own-head"
        head, norm = (model.exit_heads[0], model.exit_norms[0]) if early else (model.head, model.norm)
        normed = hidden * (hidden.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * norm.weight
        assert torch.allclose(model.logits(hidden, exit_layer), normed @ head.weight.T, atol=1e-5)


def test_rotation_with_rotated_weights_changes_nothing_without_quantization() -> None:
    plain = build_model(tiny())
    rotated = build_model(tiny(hadamard="bitnet-v2-all"))
    for module in rotated.modules():
        if isinstance(module, BitLinear):
            module.weight.data = hadamard_transform(module.weight.data)
    assert torch.allclose(rotated(tokens()), plain(tokens()), atol=1e-5)


@pytest.mark.parametrize("axes", [{}, {"hadamard_blocks": True, "model.ffn_width": 96}], ids=["whole", "blocks"])
def test_identity_in_place_of_the_transform_equals_off(
    monkeypatch: pytest.MonkeyPatch, axes: dict[str, object]
) -> None:
    """Loss and every gradient, bitwise: the axis brings its technique and nothing else."""
    monkeypatch.setattr("bitskip.ops.hadamard.hadamard_transform", lambda x, block=None: x)
    monkeypatch.setattr("bitskip.ops.hadamard.random_signs", lambda n, seed: torch.ones(n))

    def loss_and_gradients(hadamard: str) -> list[Tensor]:
        model = build_model(tiny(bits=4, hadamard=hadamard, **axes))
        total, _ = model.losses(tokens()[:, :-1], tokens()[:, 1:], (0.1, 0.2, 1.0))
        total.backward()
        return [total, *(parameter.grad for parameter in model.parameters())]

    off = loss_and_gradients("none")
    for variant in ("bitnet-v2", "bitnet-v2-all", "o-only", "down-only", "random-sign", "as-published"):
        assert all(torch.equal(a, b) for a, b in zip(loss_and_gradients(variant), off, strict=True))


@pytest.mark.parametrize("hadamard", ["none", "bitnet-v2", "random-sign", "as-published"])
def test_thirty_two_bits_are_as_good_as_none(hadamard: str) -> None:
    """The quantized path in training, gradients included, against the plain one."""

    def loss_and_gradients(bits: int) -> list[Tensor]:
        model = build_model(tiny(hadamard=hadamard))
        for module in model.modules():
            if isinstance(module, BitLinear) and bits == 32:
                quantize_inputs(module, bits, "auto")
        total, _ = model.losses(tokens()[:, :-1], tokens()[:, 1:], (0.1, 0.2, 1.0))
        total.backward()
        return [total, *(parameter.grad for parameter in model.parameters())]

    for fine, plain in zip(loss_and_gradients(32), loss_and_gradients(16), strict=True):
        assert torch.allclose(fine, plain, rtol=1e-3, atol=1e-6)


def test_frozen_weights_change_nothing_and_thaw() -> None:
    model = build_model(tiny(bits=8))
    before = model(tokens())
    with frozen_weights(model):
        assert torch.equal(model(tokens()), before)
    assert all(m._frozen is None for m in model.modules() if isinstance(m, BitLinear))


def test_configurations_share_initial_weights_by_seed() -> None:
    plain = dict(build_model(tiny(seed=3)).named_parameters())
    other = dict(
        build_model(tiny(seed=3, bits=4, hadamard=True, exit_weight=0.3, exit_head="own-head")).named_parameters()
    )
    assert set(plain) < set(other)
    assert all(torch.equal(plain[name], other[name]) for name in plain)
    assert not torch.equal(plain["head.weight"], build_model(tiny(seed=4)).head.weight)


def test_skipped_sequences_pass_through_and_others_are_untouched() -> None:
    model = build_model(tiny(bits=8))
    ids = tokens(rows=4)
    keep = torch.ones(3, 4, dtype=torch.bool)
    keep[1, 2] = keep[0, 3] = False
    plain, skipped = list(model.hidden_states(ids)), list(model.hidden_states(ids, keep))
    assert torch.equal(skipped[1][2], skipped[0][2])
    assert torch.equal(skipped[0][3], model.embedding(ids)[3])
    assert torch.allclose(skipped[2][:2], plain[2][:2], atol=1e-5)


def test_nothing_kept_skips_the_block_wholly() -> None:
    model = build_model(tiny())
    keep = torch.ones(3, 2, dtype=torch.bool)
    keep[1] = False
    first, second, _ = model.hidden_states(tokens(), keep)
    assert torch.equal(first, second)


@pytest.mark.parametrize("axes", VARIANTS, ids=str)
def test_parameters_are_counted_without_building(axes: dict[str, object]) -> None:
    trial = tiny(**axes)
    assert parameter_count(trial) == sum(p.numel() for p in build_model(trial).parameters())


def test_paper_model_has_the_published_size() -> None:
    trial = make_trial(model="paper", data={"tokenizer": "gpt2"})
    assert parameter_count(trial) == 1_061_591_040  # the model cards' "1.06B": 3-matrix SwiGLU, untied head


@pytest.mark.parametrize("kind", ["Llama", "Qwen3", "BitNet"])
@pytest.mark.parametrize("tied", [False, True], ids=["own head", "tied head"])
def test_equals_transformers_model(kind: str, tied: bool) -> None:
    """The unquantized model against an independent implementation of the same architecture."""
    transformers = pytest.importorskip("transformers")
    layout = "bitnet" if kind == "BitNet" else "llama"
    trial = tiny(**{"model.qk_norm": kind == "Qwen3", "model.tie_embeddings": tied, "model.layout": layout})
    model = build_model(trial)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:  # norms with gains of all sizes
            parameter.data.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(name)))
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, rms_norm_eps=trial.model.norm_eps, rope_theta=trial.model.rope_theta, head_dim=8,
        tie_word_embeddings=tied, attn_implementation="eager", hidden_act="silu",
    )  # fmt: skip
    theirs = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    names = {
        "embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head", "blocks": "model.layers",
        "attention_norm": "input_layernorm", "feed_forward_norm": "post_attention_layernorm",
        "attention": "self_attn", "feed_forward": "mlp", "query_norm": "q_norm", "key_norm": "k_norm",
        **{site: f"{site}_proj" for site in ("q", "k", "v", "o", "gate", "up", "down")},
    }  # fmt: skip
    own = {
        key.replace("attention.sub", "attention.attn_sub").replace("forward.sub", "forward.ffn_sub"): value
        for key, value in model.state_dict().items()
    }
    state = {".".join(names.get(part, part) for part in key.split(".")): value for key, value in own.items()}
    theirs.load_state_dict(state)
    with torch.no_grad():
        assert torch.allclose(model(tokens()), theirs(tokens()).logits, atol=1e-5)


def test_model_of_a_trial_is_a_decoder_with_its_sizes() -> None:
    trial = tiny()
    model = build_model(trial)
    assert isinstance(model, Decoder)
    assert dataclasses.asdict(model.sizes) == dataclasses.asdict(trial.model)
