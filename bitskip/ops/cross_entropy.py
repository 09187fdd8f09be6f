"""Cross-entropy and choices of exits, a few rows of logits at a time.

Logits are the largest array of a training step, V / D times as large as a hidden state, for every exit. Here those of a
chunk of rows become losses and gradients while they are in the cache, and then make room for the next: what is kept is
the gradient of each hidden state and of the head. The backward pass only scales them, as in Liger Kernel's fused linear
cross-entropy (arXiv 2410.10989).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bitskip.ops.conventions import IGNORED_TARGET
from bitskip.ops.fused import transformed

MIN_ROWS = 512
"""Rows of a chunk at least: fewer would cost the matrix products more than the cache gains."""

BLOCK = 32
"""Logits whose maximum is found first, see `largest`."""

CHUNK_LOGITS = {"cpu": 2**19, "cuda": 2**27}
"""Logits of a chunk: on the CPU about what its caches hold, on a GPU 512 MiB, which keep it busy."""


def cross_entropies(
    head: Float[Tensor, "vocabulary width"], exits: Sequence[tuple[Tensor, Tensor, float]], z_loss: float = 0.0
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """(sum of weight_i (CE_i + z_loss Z_i), the last CE) of exits (state, targets, weight), in nats per token, fp32.

    CE_i is that of softmax(state head^T), Z_i the mean of (log sum exp(state head^T))^2, which keeps the logits from
    drifting (PaLM, arXiv 2204.02311, section 5). Shapes: head [V, D], states [B, T, D], targets [B, T]; targets of -100
    do not count. Both results can be differentiated.
    """
    flat = [state.reshape(-1, state.shape[-1]) for state, _, _ in exits]
    compared = [targets.flatten() for _, targets, _ in exits]
    weights = tuple(weight for _, _, weight in exits)
    if transformed():
        logits = [F.linear(state, head).float() for state in flat]
        losses = [F.cross_entropy(own, t) for own, t in zip(logits, compared, strict=True)]
        total = cast(Tensor, sum(w * loss for w, loss in zip(weights, losses, strict=True)))
        if z_loss:
            squares = [own.logsumexp(-1).square() for own in logits]
            counted = [(t != IGNORED_TARGET).float() for t in compared]
            found = zip(weights, squares, counted, strict=True)
            total = total + z_loss * sum(w * (s * c).sum() / c.sum() for w, s, c in found)
        return total, losses[-1]
    return cast(
        "tuple[Tensor, Tensor]",
        _CrossEntropies.apply(head, weights, compared, z_loss, *flat),  # type: ignore[no-untyped-call]
    )


@torch.no_grad()
def scores(
    head: Float[Tensor, "vocabulary width"],
    state: Float[Tensor, "batch tokens width"],
    targets: Int[Tensor, "batch tokens"],
) -> tuple[Float[Tensor, "batch tokens"], Int[Tensor, "batch tokens"], Float[Tensor, "batch tokens"]]:
    """(negative log-likelihoods in nats, fp64; the most likely tokens; their probabilities, fp32) of one exit, [B, T].

    Shapes: head [V, D], state [B, T, D], targets [B, T]; of targets of -100 the first is 0.
    """
    flat, compared = state.reshape(-1, state.shape[-1]), targets.flatten()
    losses = torch.empty(compared.shape, dtype=torch.float64, device=head.device)
    choices = torch.empty_like(compared)
    confidence = torch.empty(compared.shape, dtype=torch.float32, device=head.device)
    with torch.autocast(head.device.type, enabled=False):
        for chunk, logits in _logits(head, flat, _product_dtype(head)):
            target = compared[chunk, None]
            top, choices[chunk] = largest(logits)
            picked, sums = _exponentials(logits, top, target)
            losses[chunk] = torch.where(target == IGNORED_TARGET, 0.0, (sums.log() - picked).double()).flatten()
            confidence[chunk] = sums.reciprocal().flatten()  # of exponentials whose largest is 1
    return losses.view_as(targets), choices.view_as(targets), confidence.view_as(targets)


def largest(logits: Float[Tensor, "rows width"]) -> tuple[Float[Tensor, "rows 1"], Int[Tensor, rows]]:
    """Maximum [N, 1] and the first index of it [N] over the last dimension of [N, V].

    torch.argmax goes through a row one by one; the maxima of blocks are found many at once, and the index in one block.
    """
    count, width = logits.shape
    whole = width // BLOCK * BLOCK
    blocks = torch.unflatten(logits[:, :whole], -1, (width // BLOCK, BLOCK)).amax(-1)
    if whole < width:
        blocks = torch.cat([blocks, logits[:, whole:].amax(-1, keepdim=True)], -1)
    block = blocks.argmax(-1, keepdim=True)
    # Behind the end the last entry stands again, which is never the first of the largest.
    inside = (block * BLOCK + torch.arange(BLOCK, device=logits.device)).clamp_(max=width - 1)
    place = logits.gather(-1, inside).argmax(-1, keepdim=True)
    return blocks.gather(-1, block), inside.gather(-1, place).view(count)


class _CrossEntropies(torch.autograd.Function):
    """Gradients of the weighted sum are made along with it; those of the last loss alone only if asked for."""

    @staticmethod
    def forward(
        ctx: Any, head: Tensor, weights: tuple[float, ...], targets: list[Tensor], z_loss: float, *states: Tensor
    ) -> tuple[Tensor, Tensor]:
        wanted = ctx.needs_input_grad[0] or any(ctx.needs_input_grad[4:])
        ctx.set_materialize_grads(False)
        ctx.dtype = _product_dtype(head)
        losses, squares, of_states, of_head = _losses(head, weights, targets, states, ctx.dtype, wanted, z_loss)
        ctx.kept = [gradient is not None for gradient in of_states]
        ctx.save_for_backward(head, targets[-1], states[-1], of_head, *(g for g in of_states if g is not None))
        total = cast(Tensor, sum(weight * loss for weight, loss in zip(weights, losses, strict=True)))
        if z_loss:
            total = total + z_loss * sum(weight * square for weight, square in zip(weights, squares, strict=True))
        return total, losses[-1].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        head, targets, state, of_head, *gradients = ctx.saved_tensors
        of_total, of_last = grads
        results: list[Tensor | None] = [None] * len(ctx.kept)
        total = None
        if of_total is not None and of_head is not None:
            total = of_head * of_total
            remaining = iter(gradients)
            results = [next(remaining) * of_total if kept else None for kept in ctx.kept]
        if of_last is not None:
            _, _, (last,), only = _losses(head, (1.0,), [targets], [state], ctx.dtype, True)
            assert last is not None
            assert only is not None
            results[-1] = last * of_last if results[-1] is None else results[-1] + last * of_last
            total = only * of_last if total is None else total + only * of_last
        return total, None, None, None, *results


@torch.no_grad()
def _losses(
    head: Tensor,
    weights: Sequence[float],
    targets: Sequence[Tensor],
    states: Sequence[Tensor],
    dtype: torch.dtype,
    with_gradients: bool,
    z_loss: float = 0.0,
) -> tuple[list[Tensor], list[Tensor], list[Tensor | None], Tensor | None]:
    """(losses, means of (log sum exp)^2, and the gradients of `cross_entropies`' sum).

    The gradients are of every state [N, D] with a weight, and of the head [V, D]; without `z_loss` the squares are 0.
    Matrix products are in `dtype`, everything else in fp32, or fp64 for an fp64 head.
    """
    exact = _exact_dtype(head)
    matrix = head.to(dtype)
    of_head = torch.zeros_like(head, dtype=exact) if with_gradients else None
    losses: list[Tensor] = []
    squares: list[Tensor] = []
    of_states: list[Tensor | None] = []
    with torch.autocast(head.device.type, enabled=False):
        for weight, target, state in zip(weights, targets, states, strict=True):
            counts = (target != IGNORED_TARGET).to(exact)
            count = counts.sum()
            share = counts / count
            wanted = with_gradients and weight != 0.0
            of_state = torch.empty_like(state) if wanted else None
            loss, square = share.new_zeros(()), share.new_zeros(())
            for chunk, logits in _logits(head, state, dtype):
                picks, part = target[chunk, None], share[chunk, None]
                top = logits.amax(-1, keepdim=True)
                picked, sums = _exponentials(logits, top, picks)
                # Positions that do not count may hold anything, NaN too.
                loss += torch.where(picks == IGNORED_TARGET, 0.0, sums.log() - picked).sum()
                log_z = sums.log() + top if z_loss else None
                if log_z is not None:
                    square += torch.where(picks == IGNORED_TARGET, 0.0, log_z.square()).sum()
                if of_state is None or of_head is None:
                    continue
                # What was the logits becomes their gradient: (softmax - one-hot) * weight / tokens that count.
                scale = part * weight / sums
                if log_z is not None:  # d(log Z)^2 = 2 log Z softmax
                    scale *= 1 + 2 * z_loss * log_z
                logits.mul_(scale).scatter_add_(-1, picks.clamp(min=0), part * -weight)
                gradient, inputs = logits.to(dtype), state[chunk].to(dtype)
                of_state[chunk] = gradient @ matrix
                if dtype == exact:
                    of_head.addmm_(gradient.T, inputs)
                else:
                    of_head += gradient.T @ inputs
            losses.append(loss / count)
            squares.append(square / count)
            of_states.append(of_state)
    return losses, squares, of_states, None if of_head is None else of_head.to(head.dtype)


def _logits(head: Tensor, state: Tensor, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """Rows and their logits [N, V], products in `dtype`; the next rows' logits take the place of these."""
    count, vocabulary = len(state), head.shape[0]
    rows = min(count, max(MIN_ROWS, CHUNK_LOGITS.get(head.device.type, 2**19) // vocabulary))
    matrix = head.to(dtype).T
    buffer = head.new_empty(rows, vocabulary, dtype=_exact_dtype(head))
    for start in range(0, count, rows):
        chunk = slice(start, start + rows)
        inputs = state[chunk].to(dtype)
        logits = buffer[: len(inputs)]
        if dtype == buffer.dtype:
            torch.mm(inputs, matrix, out=logits)
        else:
            logits.copy_(inputs @ matrix)
        yield chunk, logits


def _exponentials(logits: Tensor, top: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Turns logits [N, V] into exp(logits - top); (logit of the target - top, sum of the exponentials), both [N, 1]."""
    logits.sub_(top)
    picked = logits.gather(-1, targets.clamp(min=0))
    return picked, logits.exp_().sum(-1, keepdim=True)


def _product_dtype(head: Tensor) -> torch.dtype:
    device = head.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else head.dtype


def _exact_dtype(head: Tensor) -> torch.dtype:
    return head.dtype if head.dtype == torch.float64 else torch.float32
