"""Several decoders of one shape as one program: each product is a batched one, and every member stays by itself.

Sizes in shapes: M members, and as in `model` B sequences, T tokens, D width, H heads, G key/value heads, K head width,
L blocks, V vocabulary. No operation mixes entries of different members, so that what becomes non-finite in one leaves
the others as they are.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bitskip.model.bitlinear import BitLinear
from bitskip.model.decoder import Decoder, rotary_table
from bitskip.ops.fused import rotate
from bitskip.ops.quantizers import ternarize
from bitskip.trial.config import IGNORED_TARGET, ArtefactConfig, ModelConfig

Named = TypeVar("Named")
Runs = Sequence[tuple[BitLinear, int]]
"""Members side by side that do alike: the first one's layer, and how many they are."""


class _Site(NamedTuple):
    """Who does alike at a site: altogether, and with the weight."""

    altogether: Runs
    weight: Runs

    @classmethod
    def of(cls, layers: Sequence[BitLinear]) -> _Site:
        return cls(_runs(layers, _technique), _runs(layers, lambda layer: layer.ternary))


class PackedDecoder:
    """Decoders of one shape with stacked weights, [M, …] under each parameter's name.

    The members may differ in weights, bits, quantizers, Hadamard variant, loss weights and layer dropout. `stacked` are
    leaves that gradients are taken of; `store` writes a member's weights back into its decoder.
    Raises ValueError for members of different shapes, or with an artefact.
    """

    def __init__(self, members: Sequence[Decoder]) -> None:
        shapes = {tuple((name, p.shape) for name, p in member.named_parameters()) for member in members}
        if len(shapes) != 1 or len({member.sizes for member in members}) != 1:
            raise ValueError("packed models must have the same parameters and sizes")
        if any(member.artefacts != ArtefactConfig() for member in members):
            raise ValueError("models with artefacts are not packed")
        self.members = list(members)
        self.sizes: ModelConfig = members[0].sizes
        self.stacked = {
            name: torch.stack([member.get_parameter(name).detach() for member in members]).requires_grad_()
            for name, _ in members[0].named_parameters()
        }
        self.sites: dict[str, list[BitLinear]] = {
            path: [member.get_submodule(path) for member in members]  # type: ignore[misc]
            for path, module in members[0].named_modules()
            if isinstance(module, BitLinear)
        }
        self.block: Callable[..., Tensor] = _block
        self._sites_by_bits: dict[tuple[int, ...], dict[str, _Site]] = {}
        self.own_norms = len(members[0].exit_norms) > 0
        self.own_heads = len(members[0].exit_heads) > 0

    def compile_blocks(self) -> None:
        """Compile what a block does: one program for all blocks, since members do alike in each of theirs."""
        self.block = torch.compile(_block)

    @torch.no_grad()
    def store(self, index: int) -> Decoder:
        """The member's decoder with the weights as they are now."""
        member = self.members[index]
        for name, parameter in member.named_parameters():
            parameter.copy_(self.stacked[name][index])
        return member

    def effective_weights(self) -> dict[str, Tensor]:
        """What activations are multiplied with, [M, out, in] by site: ternary matrices where members have them."""
        return {path: _ternarized(site, self.stacked[f"{path}.weight"]) for path, site in self._alike().items()}

    def losses(
        self,
        tokens: Tensor,
        targets: Tensor,
        weights: Tensor,
        keep: Tensor | None,
        matrices: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(training loss, full model's cross-entropy), each [M], as `Decoder.losses` gives them for every member.

        `tokens`, `targets` [M, B, T]; `weights` [M, L] on the CPU; `keep` [M, L, B] or None. An exit is computed for
        the members whose loss has a weight for it; `matrices` are the `effective_weights` where they are known.
        """
        depth = self.sizes.layers
        total = torch.zeros(len(self.members), device=tokens.device)
        loss, shares = total, weights.to(total)
        for index, hidden in enumerate(self._hidden_states(tokens, keep, matrices)):
            last = index == depth - 1
            of = range(len(self.members)) if last else weights[:, index].nonzero().flatten().tolist()
            if not of:
                continue
            # Its logits are made anew in the backward pass: those of all exits of all members would not fit.
            loss = checkpoint(
                self._cross_entropy, hidden, targets, index + 1, of, use_reentrant=False, preserve_rng_state=False
            )
            if len(of) == len(total):
                total = total + shares[:, index] * loss
            else:
                chosen = _index(tuple(of), loss.device)
                total = total.index_add(0, chosen, shares[chosen, index] * loss)
        return total, loss

    def _cross_entropy(self, hidden: Tensor, targets: Tensor, exit_layer: int, of: Sequence[int]) -> Tensor:
        """Nats per token that counts at an exit, for some of the members: [len(of)]."""
        early = exit_layer < self.sizes.layers
        norm = f"exit_norms.{exit_layer - 1}.weight" if early and self.own_norms else "norm.weight"
        head = f"exit_heads.{exit_layer - 1}.weight" if early and self.own_heads else "head.weight"
        scale, matrix = self.stacked[norm], self.stacked[head]
        if len(of) < len(self.members):
            chosen = _index(tuple(of), hidden.device)
            hidden, targets, scale, matrix = (x.index_select(0, chosen) for x in (hidden, targets, scale, matrix))
        normed = _norm(self.sizes, hidden, scale)
        logits = torch.matmul(normed.flatten(1, 2), matrix.mT)  # [M, B T, V]
        each = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
        return each.view(len(of), -1).sum(1) / (targets != IGNORED_TARGET).flatten(1).sum(1)

    def _hidden_states(
        self, tokens: Tensor, keep: Tensor | None, matrices: Mapping[str, Tensor] | None
    ) -> Iterator[Tensor]:
        """The residual stream [M, B, T, D] after each block; where `keep` is False a sequence passes unchanged."""
        table = self.stacked["embedding.weight"]
        offsets = torch.arange(len(table), device=tokens.device)[:, None, None] * table.shape[1]
        x = F.embedding(tokens + offsets, table.flatten(0, 1))
        length = tokens.shape[-1]
        positions = 1 << (length - 1).bit_length()
        rotary = rotary_table(self.sizes, positions, x.device, self.members[0].compute_dtype())[:, :length]
        sites = self._alike()
        for layer in range(self.sizes.layers):
            of_block = (_within(f"blocks.{layer}.", named) for named in (sites, self.stacked, matrices))
            y = self.block(self.sizes, *of_block, x, rotary)
            x = y if keep is None else torch.where(keep[:, layer, :, None, None], y.to(x.dtype), x)
            yield x

    def _alike(self) -> dict[str, _Site]:
        """Who does alike by site, with the activation bits as they are now."""
        bits = tuple(layer.bits for layer in next(iter(self.sites.values())))
        if bits not in self._sites_by_bits:
            self._sites_by_bits[bits] = {path: _Site.of(layers) for path, layers in self.sites.items()}
        return self._sites_by_bits[bits]


def _within(prefix: str, named: Mapping[str, Named] | None) -> dict[str, Named] | None:
    """What has this prefix, by the rest of its name."""
    if named is None:
        return None
    return {name.removeprefix(prefix): each for name, each in named.items() if name.startswith(prefix)}


def _block(
    sizes: ModelConfig,
    sites: Mapping[str, _Site],
    weights: Mapping[str, Tensor],
    matrices: Mapping[str, Tensor] | None,
    x: Tensor,
    rotary: Tensor,
) -> Tensor:
    """[M, B, T, D] to [M, B, T, D] by one block of every member.

    `weights` [M, …] are the block's by their names in it; `matrices` by site are what activations are multiplied with,
    where they are known.
    """

    def linear(site: str, y: Tensor) -> Tensor:
        weight = _ternarized(sites[site], weights[f"{site}.weight"]) if matrices is None else matrices[site]
        return _linear(sites[site].altogether, weight, y)

    normed = _norm(sizes, x, weights["attention_norm.weight"])
    members, batch, length, width = x.shape

    def heads(y: Tensor) -> Tensor:
        return y.view(members * batch, length, -1, sizes.head_width).transpose(1, 2)

    query, key, value = (heads(linear(f"attention.{name}", normed)) for name in "qkv")
    groups = sizes.heads // sizes.kv_heads
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    mixed = F.scaled_dot_product_attention(rotate(query, rotary), rotate(key, rotary), value, is_causal=True)
    x = x + linear("attention.o", mixed.transpose(1, 2).reshape(members, batch, length, width))
    normed = _norm(sizes, x, weights["feed_forward_norm.weight"])
    gated = F.silu(linear("feed_forward.gate", normed)) * linear("feed_forward.up", normed)
    return x + linear("feed_forward.down", gated)


def _norm(sizes: ModelConfig, x: Tensor, scale: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], eps=sizes.norm_eps) * scale[:, None, None]


def _linear(runs: Runs, weight: Tensor, x: Tensor) -> Tensor:
    quantized = _by_run(runs, x, BitLinear.quantized_input)
    y = torch.matmul(quantized.flatten(1, 2), weight.mT).view(*x.shape[:3], -1)
    if all(layer.transform_output is None for layer, _ in runs):
        return y
    return _by_run(runs, y, lambda layer, part: part if (to := layer.transform_output) is None else to(part))


def _ternarized(site: _Site, weight: Tensor) -> Tensor:
    """What activations are multiplied with, [M, out, in]: ternary matrices where members have them."""
    return _by_run(site.weight, weight, lambda layer, part: ternarize(part) if layer.ternary else part)


def _by_run(runs: Runs, x: Tensor, apply: Callable[[BitLinear, Tensor], Tensor]) -> Tensor:
    """`x` [M, …] with each run of members treated as one; nothing is copied if all do alike."""
    if len(runs) == 1:
        return apply(runs[0][0], x)
    parts = torch.split(x, [count for _, count in runs])
    return torch.cat([apply(layer, part) for (layer, _), part in zip(runs, parts, strict=True)])


def _runs(layers: Sequence[BitLinear], alike: Callable[[BitLinear], object]) -> Runs:
    grouped = (list(run) for _, run in itertools.groupby(layers, alike))
    return [(run[0], len(run)) for run in grouped]


def _technique(layer: BitLinear) -> tuple[object, ...]:
    """What a layer does to its input and to its weight; signs are drawn for each seed and make it one of its own."""
    own = id(layer) if layer.signs is not None else None
    return layer.bits, layer.activation_scale, layer.ternary, layer.rotation, own


@functools.lru_cache(maxsize=256)
def _index(members: tuple[int, ...], device: torch.device) -> Tensor:
    """Made once: a transfer waits until the GPU has done all that it was given."""
    return torch.tensor(members, device=device)
