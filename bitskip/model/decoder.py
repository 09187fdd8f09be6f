"""The Llama-style decoder with an exit after every block: pre-norm, RoPE, GQA, SwiGLU, causal, untied head.

Sizes in shapes: B sequences, T tokens, D width, H query heads, G key/value heads, K head width, L blocks, V vocabulary.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bitskip.model.bitlinear import BitLinear, shared_input
from bitskip.model.rotary import rotary_table
from bitskip.model.transfer import OUTPUT_NORMS, initial_std, width_share
from bitskip.ops.cross_entropy import cross_entropies
from bitskip.ops.fused import RMSNorm, gated, rotate
from bitskip.ops.published_defects import compared_tokens
from bitskip.ops.random_streams import generator
from bitskip.techniques.base import LinearLayer, Op, Technique, Techniques, only
from bitskip.techniques.early_exit import EarlyExit
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.trial.config import ModelConfig, TrialConfig


class KeyValueCache:
    """Keys and values of every block for up to `capacity` tokens, [L][B, G, capacity, K].

    `length` counts the tokens that all blocks hold; whoever runs the blocks moves it, forwards or back.
    """

    def __init__(self, model: Decoder, batch: int, capacity: int) -> None:
        sizes, weight = model.sizes, model.head.weight
        shape = (sizes.layers, batch, sizes.kv_heads, capacity, sizes.head_width)
        self.keys = weight.new_zeros(shape, dtype=model.compute_dtype())
        self.values = torch.zeros_like(self.keys)
        self.length = 0
        self._memories: dict[Hashable, Tensor] = {}

    def memory(self, key: Hashable, like: Tensor) -> Tensor:
        """Room for something of its own that a technique keeps of each token, [B, capacity], zeros at first."""
        if key not in self._memories:
            self._memories[key] = like.new_zeros(self.keys.shape[1], self.keys.shape[3])
        return self._memories[key]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store [B, G, T, K] behind what is there; return all keys and values so far."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


def sub_norm(sizes: ModelConfig, width: int) -> nn.Module:
    """The norm at the input of o or down in BitNet's block (arXiv 2504.12285, §2), which nothing else bounds."""
    return RMSNorm(width, eps=sizes.norm_eps) if sizes.block == "bitnet" else nn.Identity()


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions; `key_value_ops` act on keys and values behind these."""

    def __init__(self, sizes: ModelConfig, layer: int, causal: bool) -> None:
        super().__init__()
        self.sizes, self.layer, self.causal = sizes, layer, causal
        width, own_width, kv_width = sizes.width, sizes.attention_width, sizes.kv_heads * sizes.head_width
        biased = sizes.attention_bias != "none"
        self.q = BitLinear(width, own_width, "q", biased)
        self.k = BitLinear(width, kv_width, "k", biased)
        self.v = BitLinear(width, kv_width, "v", biased)
        self.sub_norm = sub_norm(sizes, own_width)
        self.o = BitLinear(own_width, width, "o", sizes.attention_bias == "qkvo")
        # Before the positions, so that a cache holds normed keys: per head as in Qwen3 (arXiv 2505.09388), or over all
        # heads as in OLMo 2 (arXiv 2501.00656).
        self.norms_span_heads = sizes.block == "olmo2"
        spans = (own_width, kv_width) if self.norms_span_heads else (sizes.head_width,) * 2
        self.query_norm, self.key_norm = (
            RMSNorm(span, eps=sizes.norm_eps) if sizes.qk_norm else nn.Identity() for span in spans
        )
        self.key_value_ops: tuple[Op, ...] = ()

    def forward(self, x: Tensor, rotary: Tensor, cache: KeyValueCache | None, attended: Tensor | None = None) -> Tensor:
        """Output [B, T, D]; `attended` bool [B, keys so far] says which keys besides its own a token may see."""
        batch, length, _ = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, length, -1, self.sizes.head_width)  # [B, T, H|G, K]

        query, key, value = shared_input(x, self.q, self.k, self.v)
        if self.norms_span_heads:
            query, key = self.query_norm(query), self.key_norm(key)
        query, key, value = map(heads, (query, key, value))
        if not self.norms_span_heads:
            query, key = self.query_norm(query), self.key_norm(key)
        query, key, value = (each.transpose(1, 2) for each in (query, key, value))
        query, key = rotate(query, rotary), rotate(key, rotary)
        for op in self.key_value_ops:
            key, value = op(key), op(value)
        causal, mask = self.causal, None
        if cache is not None:
            seen = cache.length
            key, value = cache.append(self.layer, key, value)
            if seen and length > 1 and self.causal:
                # SDPA's is_causal aligns to the top left; with a cache, row t may see seen + t + 1 keys.
                mask = torch.ones(length, seen + length, dtype=torch.bool, device=x.device).tril(seen)
            causal = self.causal and seen == 0
        if attended is not None:
            before = key.shape[2] - length
            whole = torch.ones(length, key.shape[2], dtype=torch.bool, device=x.device)
            itself = whole.tril(before) & whole.triu(before)
            mask = attended[:, None, None] & (whole.tril(before) if self.causal else whole) | itself
            causal = False
        groups = self.sizes.heads // self.sizes.kv_heads
        # A cache is read in place, and so is everything on the CPU; on a GPU not every kernel of SDPA takes groups.
        in_place = groups > 1 and (cache is not None or not x.is_cuda)
        if groups > 1 and not in_place:
            key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal, enable_gqa=in_place)
        return cast(Tensor, self.o(self.sub_norm(mixed.transpose(1, 2).reshape(batch, length, -1))))


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate x) * up x)."""

    def __init__(self, sizes: ModelConfig) -> None:
        super().__init__()
        width, hidden = sizes.width, sizes.ffn_width
        self.gate = BitLinear(width, hidden, "gate")
        self.up = BitLinear(width, hidden, "up")
        self.sub_norm = sub_norm(sizes, hidden)
        self.down = BitLinear(hidden, width, "down")

    def forward(self, x: Tensor) -> Tensor:
        gate, up = shared_input(x, self.gate, self.up)
        return cast(Tensor, self.down(self.sub_norm(gated(gate, up))))


class Block(nn.Module):
    """x + attention(norm x), then x + feed_forward(norm x), in the way of the modules in `around` that are `on`.

    With the block of OLMo 2 the norms stand behind: x + norm(attention x), x + norm(feed_forward x).
    """

    def __init__(
        self, sizes: ModelConfig, layer: int, causal: bool, around: Mapping[type[Technique], nn.Module]
    ) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(sizes.width, eps=sizes.norm_eps)
        self.attention = Attention(sizes, layer, causal)
        self.feed_forward_norm = RMSNorm(sizes.width, eps=sizes.norm_eps)
        self.feed_forward = FeedForward(sizes)
        self.norms_behind = sizes.block == "olmo2"
        self.around = nn.ModuleList(around.values())
        self.kinds, self.on = tuple(around), (True,) * len(around)
        self.recompute = False  # activations in the backward pass, rather than keep them

    def forward(self, x: Tensor, rotary: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return cast(Tensor, checkpoint(self.run, x, rotary, cache, use_reentrant=False))
        return self.run(x, rotary, cache)

    def run(self, x: Tensor, rotary: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """The block, in the way of what is around it."""
        body: Callable[..., Tensor] = self.body
        for module, on in zip(self.around, self.on, strict=True):
            body = functools.partial(module, body) if on else body
        return body(x, rotary, cache)

    def idle(self, x: Tensor, rotary: Tensor) -> Tensor:
        """As in evaluation, where what is around the block leaves nothing behind for a penalty."""
        recompute, self.recompute = self.recompute, False
        result = cast(Tensor, self.eval()(x, rotary))
        self.train().recompute = recompute
        return result

    def body(
        self, x: Tensor, rotary: Tensor, cache: KeyValueCache | None = None, attended: Tensor | None = None
    ) -> Tensor:
        """The block itself; `attended` as for `Attention`."""
        if self.norms_behind:
            x = x + self.attention_norm(self.attention(x, rotary, cache, attended))
            return cast(Tensor, x + self.feed_forward_norm(self.feed_forward(x)))
        x = x + self.attention(self.attention_norm(x), rotary, cache, attended)
        return cast(Tensor, x + self.feed_forward(self.feed_forward_norm(x)))


class Decoder(nn.Module):
    """Token ids [B, T] to logits [B, T, V] at any exit layer 1…L; see `build_model`."""

    def __init__(self, sizes: ModelConfig, techniques: Techniques, vocab_size: int, seed: int) -> None:
        super().__init__()
        self.sizes, self.seed, self.in_force = sizes, seed, Techniques()
        self.defects = techniques.of(PublishedDefects)
        self.embedding = nn.Embedding(vocab_size, sizes.width)
        self.blocks = nn.ModuleList()
        for layer in range(sizes.layers):
            around = {type(each): module for each in techniques if (module := each.around(layer, sizes)) is not None}
            self.blocks.append(Block(sizes, layer, self.defects.causal_mask, around))
        self.norm = RMSNorm(sizes.width, eps=sizes.norm_eps)
        self.head = nn.Linear(sizes.width, vocab_size, bias=False)
        if sizes.tie_embeddings:  # Press & Wolf, arXiv 1608.05859
            self.head.weight = self.embedding.weight
        early, exit_head = sizes.layers - 1, techniques.of(EarlyExit).exit_head
        own_norm, own_head = exit_head != "shared", exit_head == "own-head"
        self.exit_norms = nn.ModuleList(RMSNorm(sizes.width, eps=sizes.norm_eps) for _ in range(early * own_norm))
        self.exit_heads = nn.ModuleList(nn.Linear(sizes.width, vocab_size, bias=False) for _ in range(early * own_head))
        self.lockstep = False  # blocks run even for no sequence: devices with one for them need all to take part
        self._initialise(techniques)
        self.use(techniques)

    @torch.no_grad()
    def _initialise(self, techniques: Techniques) -> None:
        """Normal with `initial_std`; the matrices that write to the residual stream are scaled by 1/sqrt(2L).
        Gains of norms are 1, of output norms `width_share`.

        Each parameter draws from its own stream, so that models share the weights they have in common.
        """
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                if name.startswith(OUTPUT_NORMS):
                    parameter.fill_(width_share(self.sizes))
                continue
            own = (each.initial(name, parameter.shape, generator(self.seed, "init", name)) for each in techniques)
            drawn = only((values for values in own if values is not None), "initial values")
            if drawn is None:
                writes_residual = name.endswith((".o.weight", ".down.weight"))
                scale = 1 / math.sqrt(2 * self.sizes.layers) if writes_residual else 1.0
                drawn = torch.randn(parameter.shape, generator=generator(self.seed, "init", name))
                drawn *= initial_std(self.sizes, name, parameter.shape[-1]) * scale
            parameter.copy_(drawn)

    def use(self, techniques: Techniques) -> None:
        """Let these techniques act in the blocks from now on (two-stage training changes bits on the way)."""
        if techniques == self.in_force:
            return
        before, self.in_force = self.in_force, techniques
        kept = {type(each) for each in techniques if each in before}
        for index, module in enumerate(self.blocks):
            block = cast(Block, module)
            for layer, at in self._layers(index, techniques):
                layer.use({type(each): each.linear(at) for each in techniques}, kept)
            found = (each.key_value(index) for each in techniques)
            block.attention.key_value_ops = tuple(op for op in found if op is not None)
            block.on = tuple(not techniques.of(kind).off for kind in block.kinds)
        self.to(self.head.weight.device)

    def _layers(self, index: int, techniques: Techniques) -> Iterator[tuple[BitLinear, LinearLayer]]:
        """The linear layers of a block, and what techniques are told of each."""
        for layer in (part for part in self.blocks[index].modules() if isinstance(part, BitLinear)):
            outputs, inputs = layer.weight.shape
            yield layer, LinearLayer(layer.site, inputs, outputs, index, self.seed, techniques)

    @torch.no_grad()
    def fold(self, techniques: Techniques) -> None:
        """Prepare weights that were trained without these techniques for them, once and before `use`."""
        for index in range(self.sizes.layers):
            for layer, at in self._layers(index, techniques):
                for technique in techniques:
                    layer.weight.copy_(technique.folded(at, layer.weight))

    def compile_blocks(self) -> None:
        """From now on blocks run compiled."""
        for block in self.blocks:
            block.compile()

    def compute_dtype(self) -> torch.dtype:
        device = self.head.weight.device.type
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.head.weight.dtype

    def hidden_states(
        self, tokens: Tensor, keep: Tensor | None = None, cache: KeyValueCache | None = None, last: int | None = None
    ) -> Iterator[Tensor]:
        """The residual stream [B, T, D] after block 1, 2, … `last` (all by default).

        `keep` [L, B] is False where a sequence skips a block (layer dropout): skipped sequences are not computed and
        pass through unscaled (LayerSkip). With a cache, `tokens` continue what it holds; the caller moves its length.
        """
        return self.run_blocks(self.embedding(tokens), keep, cache, last=last)

    def run_blocks(
        self,
        x: Tensor,
        keep: Tensor | None = None,
        cache: KeyValueCache | None = None,
        first: int = 0,
        last: int | None = None,
    ) -> Iterator[Tensor]:
        """The residual stream [B, T, D] after block first + 1, … `last`, from the one that enters block first + 1."""
        start = cache.length if cache is not None else 0
        end = start + x.shape[1]
        # Power-of-two tables: decoding asks for one more position each step and finds the same table.
        table = rotary_table(self.sizes, 1 << (end - 1).bit_length(), x.device, self.compute_dtype())
        rotary = table[:, start:end]
        for layer in range(first, last or self.sizes.layers):
            block = cast(Block, self.blocks[layer])
            kept = None if keep is None else keep[layer]
            if kept is None or bool(kept.all()):
                x = block(x, rotary, cache)
            elif bool(kept.any()):
                rows = kept.nonzero().squeeze(1).to(x.device)
                x = x.index_copy(0, rows, block(x.index_select(0, rows), rotary).to(x.dtype))
            elif self.lockstep:
                x = x + 0.0 * block.idle(x[:1], rotary)
            yield x

    def logits(self, hidden: Tensor, exit_layer: int) -> Tensor:
        """Norm and head of an exit: [B, T, D] to [B, T, V]."""
        return cast(Tensor, self.head_of(exit_layer)(self.norm_of(exit_layer)(hidden)))

    def norm_of(self, exit_layer: int) -> nn.Module:
        early = exit_layer < self.sizes.layers
        return self.exit_norms[exit_layer - 1] if early and len(self.exit_norms) else self.norm

    def head_of(self, exit_layer: int) -> nn.Linear:
        early = exit_layer < self.sizes.layers
        return cast(nn.Linear, self.exit_heads[exit_layer - 1] if early and len(self.exit_heads) else self.head)

    def training_state(self, hidden: Tensor, exit_layer: int) -> Tensor:
        """What the head sees in training, [B, T, D]: the norm's output, unless an artefact leaves out that of exits."""
        if exit_layer < self.sizes.layers and self.defects.exit_norm == "none":
            return hidden
        return cast(Tensor, self.norm_of(exit_layer)(hidden))

    def forward(self, tokens: Tensor, exit_layer: int | None = None, cache: KeyValueCache | None = None) -> Tensor:
        """Logits [B, T, V] after `exit_layer` blocks (default: all). Raises ValueError outside 1…L."""
        depth = self.sizes.layers if exit_layer is None else exit_layer
        if not 1 <= depth <= self.sizes.layers:
            raise ValueError(f"exit_layer must lie in 1…{self.sizes.layers}, got {depth}")
        *_, hidden = self.hidden_states(tokens, cache=cache, last=depth)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.logits(hidden, depth)

    def losses(
        self,
        tokens: Tensor,
        targets: Tensor,
        weights: Sequence[float],
        keep: Tensor | None = None,
        penalties: bool = True,
        z_loss: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """(training loss, full model's cross-entropy) in nats per token; `targets` [B, T] are the next tokens.

        The training loss is sum_l weights[l] (CE_l + z_loss Z_l), Z as in `cross_entropies`, and, with `penalties`,
        what techniques add to it.
        Exits of weight zero are not computed; targets of -100 do not count.
        """
        final = self.sizes.layers - 1
        # By head, the full model's last: one matrix and its gradient serve all exits that share it.
        exits: dict[nn.Linear, list[tuple[Tensor, Tensor, float]]] = {}
        for index, hidden in enumerate(self.hidden_states(tokens, keep)):
            if weights[index] == 0.0 and index < final:
                continue
            shift = self.defects.exit_target_shift if index < final else self.defects.target_shift
            entry = self.training_state(hidden, index + 1), compared_tokens(tokens, targets, shift), weights[index]
            exits.setdefault(self.head_of(index + 1), []).append(entry)
        total, main = cross_entropies(self.head.weight, exits.pop(self.head), z_loss)
        for head, entries in exits.items():
            total = total + cross_entropies(head.weight, entries, z_loss)[0]
        for technique in self.in_force:
            penalty = technique.penalty(self)  # asked for in any case: it is of this pass
            total = total + penalty if penalties and penalty is not None else total
        return total, main


def uncompiled() -> contextlib.AbstractContextManager[object]:
    """Inside, compiled blocks run as they are written: for passes of other shapes, which would be compiled anew."""
    # Importing the compiler takes seconds; where nobody has, nothing is compiled.
    in_use = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if in_use else contextlib.nullcontext()


def random_model(trial: TrialConfig) -> Decoder:
    """The model of a trial, on the CPU, with the weights its seed gives."""
    return Decoder(trial.model, trial.techniques, trial.data.vocab_size, trial.seed)


def build_model(trial: TrialConfig) -> Decoder:
    """The untrained model of a trial, on the CPU, with the weights its seed gives or those it was pretrained to.

    Raises UserError for pretrained weights that cannot be read or are others than the trial was made with.
    """
    model = random_model(trial)
    if trial.model.pretrained:
        from bitskip.model.pretrained import load_pretrained

        load_pretrained(model, trial)
    return model
