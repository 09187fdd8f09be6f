"""The decoders that bitskip's float baseline is compared with: GPT-2's as nanoGPT has it, and transformers' Llama."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitskip.trial.config import ModelConfig


class Block(nn.Module):
    """x + attention(norm x), then x + mlp(norm x), without biases (nanoGPT's faster setting)."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            y.view(batch, length, self.heads, -1).transpose(1, 2) for y in self.qkv(self.norm1(x)).split(width, 2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Token and learned position embeddings, blocks, norm, untied head.

    Width, depth, heads, vocabulary and sequences are those of `sizes`. It has no grouped queries and two matrices in
    the feed-forward part instead of three: its hidden width is such that a block has as many parameters as one of ours,
    and so as many multiplications per token.
    """

    def __init__(self, sizes: ModelConfig, vocab_size: int, length: int) -> None:
        super().__init__()
        width = sizes.width
        hidden = (3 * sizes.ffn_width + 2 * sizes.kv_heads * sizes.head_width - 2 * width) // 2
        self.tokens, self.positions = nn.Embedding(vocab_size, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, sizes.heads, hidden) for _ in range(sizes.layers))
        self.norm, self.head = nn.LayerNorm(width, bias=False), nn.Linear(width, vocab_size, bias=False)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())


class Llama(nn.Module):
    """transformers' Llama at the sizes of ours, with its own loss. Raises ImportError where it is not installed."""

    def __init__(self, sizes: ModelConfig, vocab_size: int, length: int) -> None:
        super().__init__()
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=sizes.width,
            intermediate_size=sizes.ffn_width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.kv_heads,
            max_position_embeddings=length,
            tie_word_embeddings=False,
            use_cache=False,
            attn_implementation="sdpa",
        )
        self.model = LlamaForCausalLM(config)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = self.model(input_ids=ids, labels=targets).loss
        return loss


def training_steps(
    model: nn.Module, vocab_size: int, shape: tuple[int, int], device: torch.device, bf16: bool
) -> Iterator[None]:
    """Optimizer steps on random tokens, one each time: fused AdamW, clipped gradients, as nanoGPT trains."""
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, (0.9, 0.95), weight_decay=0.1, fused=True)
    draws = torch.Generator().manual_seed(0)
    while True:
        ids = torch.randint(vocab_size, shape, generator=draws).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = model(ids, ids)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield
