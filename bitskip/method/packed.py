"""Several decoders of one shape as one program: each product is a batched one, and every member stays by itself.

Sizes in shapes: M members, and as in `model` B sequences, T tokens, D width, H heads, G key/value heads, K head width,
L blocks, V vocabulary. No operation mixes entries of different members, so that what becomes non-finite in one leaves
the others as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bitskip.config import IGNORED_TARGET, ArtefactConfig, ModelConfig
from bitskip.method.fused import rotate
from bitskip.method.linear import BitLinear
from bitskip.method.model import Decoder, rotary_table
from bitskip.method.quantize import ternarize


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
        self.own_norms = len(members[0].exit_norms) > 0
        self.own_heads = len(members[0].exit_heads) > 0

    @torch.no_grad()
    def store(self, index: int) -> Decoder:
        """The member's decoder with the weights as they are now."""
        member = self.members[index]
        for name, parameter in member.named_parameters():
            parameter.copy_(self.stacked[name][index])
        return member

    def effective_weights(self) -> dict[str, Tensor]:
        """What activations are multiplied with, [M, out, in] by site: ternary matrices where members have them."""
        return {path: self._effective_weight(path) for path in self.sites}

    def losses(
        self,
        tokens: Tensor,
        targets: Tensor,
        weights: Tensor,
        keep: Tensor | None,
        matrices: dict[str, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(training loss, full model's cross-entropy), each [M], as `Decoder.losses` gives them for every member.

        `tokens`, `targets` [M, B, T]; `weights` [M, L] on the CPU; `keep` [M, L, B] or None. An exit is computed for
        the members whose loss has a weight for it; `matrices` are the `effective_weights` where they are known.
        """
        depth = self.sizes.layers
        matrices = self.effective_weights() if matrices is None else matrices
        total = torch.zeros(len(self.members), device=tokens.device)
        loss = total
        for index, hidden in enumerate(self._hidden_states(tokens, keep, matrices)):
            last = index == depth - 1
            of = range(len(self.members)) if last else weights[:, index].nonzero().flatten().tolist()
            if not of:
                continue
            # Its logits are made anew in the backward pass: those of all exits of all members would not fit.
            loss = checkpoint(
                self._cross_entropy, hidden, targets, index + 1, of, use_reentrant=False, preserve_rng_state=False
            )
            share = weights[:, index].to(loss)
            total = (
                total + share * loss
                if len(of) == len(total)
                else total.index_add(0, _index(of, loss), share[of] * loss)
            )
        return total, loss

    def _cross_entropy(self, hidden: Tensor, targets: Tensor, exit_layer: int, of: Sequence[int]) -> Tensor:
        """Nats per token that counts at an exit, for some of the members: [len(of)]."""
        early = exit_layer < self.sizes.layers
        norm = f"exit_norms.{exit_layer - 1}.weight" if early and self.own_norms else "norm.weight"
        head = f"exit_heads.{exit_layer - 1}.weight" if early and self.own_heads else "head.weight"
        scale, matrix = self.stacked[norm], self.stacked[head]
        if len(of) < len(self.members):
            chosen = _index(of, hidden)
            hidden, targets, scale, matrix = (x.index_select(0, chosen) for x in (hidden, targets, scale, matrix))
        normed = self._norm(hidden, scale)
        logits = torch.matmul(normed.flatten(1, 2), matrix.mT)  # [M, B T, V]
        each = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
        return each.view(len(of), -1).sum(1) / (targets != IGNORED_TARGET).flatten(1).sum(1)

    def _hidden_states(self, tokens: Tensor, keep: Tensor | None, matrices: dict[str, Tensor]) -> Iterator[Tensor]:
        """The residual stream [M, B, T, D] after each block; where `keep` is False a sequence passes unchanged."""
        table = self.stacked["embedding.weight"]
        offsets = torch.arange(len(table), device=tokens.device)[:, None, None] * table.shape[1]
        x = F.embedding(tokens + offsets, table.flatten(0, 1))
        length = tokens.shape[-1]
        positions = 1 << (length - 1).bit_length()
        rotary = rotary_table(self.sizes, positions, x.device, self.members[0].compute_dtype())[:, :length]
        for layer in range(self.sizes.layers):
            y = self._block(layer, x, rotary, matrices)
            x = y if keep is None else torch.where(keep[:, layer, :, None, None], y.to(x.dtype), x)
            yield x

    def _block(self, layer: int, x: Tensor, rotary: Tensor, matrices: dict[str, Tensor]) -> Tensor:
        path = f"blocks.{layer}"

        def linear(site: str, y: Tensor) -> Tensor:
            return self._linear(f"{path}.{site}", y, matrices)

        normed = self._norm(x, self.stacked[f"{path}.attention_norm.weight"])
        members, batch, length, width = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(members * batch, length, -1, self.sizes.head_width).transpose(1, 2)

        query, key, value = (heads(linear(f"attention.{name}", normed)) for name in "qkv")
        groups = self.sizes.heads // self.sizes.kv_heads
        if groups > 1:
            key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        mixed = F.scaled_dot_product_attention(rotate(query, rotary), rotate(key, rotary), value, is_causal=True)
        x = x + linear("attention.o", mixed.transpose(1, 2).reshape(members, batch, length, width))
        normed = self._norm(x, self.stacked[f"{path}.feed_forward_norm.weight"])
        gated = F.silu(linear("feed_forward.gate", normed)) * linear("feed_forward.up", normed)
        return x + linear("feed_forward.down", gated)

    def _norm(self, x: Tensor, scale: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], eps=self.sizes.norm_eps) * scale[:, None, None]

    def _linear(self, path: str, x: Tensor, matrices: dict[str, Tensor]) -> Tensor:
        sites = self.sites[path]
        quantized = _by_technique(sites, x, lambda site, part: site.quantized_input(part))
        y = torch.matmul(quantized.flatten(1, 2), matrices[path].mT)
        y = y.view(*x.shape[:3], -1)
        if all(site.transform_output is None for site in sites):
            return y
        return _by_technique(sites, y, lambda site, part: part if (to := site.transform_output) is None else to(part))

    def _effective_weight(self, path: str) -> Tensor:
        weight = self.stacked[f"{path}.weight"]
        sites = self.sites[path]
        return _by_technique(sites, weight, lambda site, part: ternarize(part) if site.ternary else part, _is_ternary)


def _is_ternary(site: BitLinear) -> bool:
    return site.ternary


def _by_technique(
    sites: Sequence[BitLinear],
    x: Tensor,
    apply: Callable[[BitLinear, Tensor], Tensor],
    alike: Callable[[BitLinear], object] | None = None,
) -> Tensor:
    """`x` [M, …] with each run of members that do alike at a site treated as one; nothing is copied if all do.

    `alike` gives equal answers for members that do alike; by default, what a site does altogether.
    """
    runs = [list(run) for _, run in itertools.groupby(sites, alike or _technique)]
    if len(runs) == 1:
        return apply(sites[0], x)
    parts = torch.split(x, [len(run) for run in runs])
    return torch.cat([apply(run[0], part) for run, part in zip(runs, parts, strict=True)])


def _technique(site: BitLinear) -> tuple[object, ...]:
    """What a site does to its input and to its weight; signs are drawn for each seed and make it one of its own."""
    own = id(site) if site.signs is not None else None
    return site.bits, site.activation_scale, site.ternary, site.rotation, own


def _index(members: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(members, device=like.device)
