"""One model trained by one device or by several, each in a process of its own (docs/devices.md).

Every process takes its rows of each batch, whose draws are those of the whole batch; gradients are summed. The first
process alone decides, measures and stores: it keeps the trial's `Loop`, and tells the others what to do together.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from bitskip.model.decoder import Block, Decoder

STEP, WEIGHTS, STATE, END = range(4)
"""What the first process tells the others: take a step, put weights together, or also the moments, or stop."""

PATIENCE = timedelta(days=7)
"""Others wait while the first process measures; one that died is noticed by who started them, not by a time-out."""

SUMMED_AT_ONCE = 2**25
"""Numbers of gradients that are summed in one call: 128 MiB."""


@dataclass(frozen=True)
class Team:
    """The processes that train one trial together: this one's place among `size` of them, and its device."""

    rank: int
    size: int
    strategy: str
    device: torch.device

    @classmethod
    def join(cls, rank: int, size: int, strategy: str, kind: str, meeting: Path) -> Team:
        """Wait for the others at a file; `kind` is `cpu` or `cuda`, of which each process has one of its own."""
        device = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
        if kind == "cuda":
            torch.cuda.set_device(device)
        if sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the host's name need not resolve
        backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
        store = dist.FileStore(str(meeting), size)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, timeout=PATIENCE, world_size=size, rank=rank)
        return cls(rank, size, strategy, device)

    def rows(self, batch_size: int) -> slice:
        """The sequences of a batch that this process trains on."""
        own = batch_size // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def tell(self, what: int, number: int = 0) -> None:
        """From the first process to all others."""
        dist.broadcast(torch.tensor([what, number]), 0)

    def hear(self) -> tuple[int, int]:
        """What the first process tells the others."""
        told = torch.empty(2, dtype=torch.int64)
        dist.broadcast(told, 0)
        what, number = told.tolist()
        return what, number

    def trained(self, model: Decoder, optimizer: torch.optim.Optimizer) -> OneDevice:
        """What this process trains, beginning as the first one's model and optimizer. To be called by all at once."""
        return (Replica if self.strategy == "ddp" else Shard)(self, model, optimizer)


class OneDevice:
    """Model and optimizer on a device of its own: what several do together is nothing here."""

    quantizes_once = True
    """Whether micro-batches can share one quantized copy of each weight."""

    micro_batch = 0
    """Sequences of a forward pass, where that is not left to the trial."""

    def __init__(self, model: Decoder, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.optimizer = model, optimizer

    def rows(self, batch_size: int) -> slice:
        """The sequences of a batch that are trained on here."""
        return slice(0, batch_size)

    def begin_step(self) -> None:
        """Before each step: the others take it, too."""

    def summed(self, values: Tensor) -> Tensor:
        """Of all devices."""
        return values

    def sum_gradients(self, keep: Tensor | None) -> None:
        """After the backward passes of a step; `keep` [L, B] is that of the whole batch (`Decoder.hidden_states`)."""

    def clip(self, limit: float) -> Tensor:
        """Scale gradients down to this global norm; the norm before."""
        return torch.nn.utils.clip_grad_norm_(self.learning(), limit)

    def learning(self) -> list[Tensor]:
        """The parameters that the optimizer has: `heal` may leave others as they are."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def whole(self, *, moments: bool) -> tuple[Decoder, torch.optim.Optimizer]:
        """The model as one device would have it, with the optimizer's moments where they are asked for."""
        return self.model, self.optimizer

    def put_together(self, *, moments: bool) -> None:
        """What the others do while the first process asks for the `whole`."""


class Replica(OneDevice):
    """A whole model on each device (DDP): gradients are summed once a step, behind its last backward pass.

    `torch.nn.parallel.DistributedDataParallel` sums zeros for what no device has used, where AdamW would then decay
    weights that it leaves alone on one device.
    """

    def __init__(self, team: Team, model: Decoder, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(model, optimizer)
        self.team = team
        model.lockstep = True
        for parameter, moments in _with_moments(model, optimizer):
            for tensor in (parameter.data, *moments.values()):
                dist.broadcast(tensor, 0)

    def rows(self, batch_size: int) -> slice:
        return self.team.rows(batch_size)

    def begin_step(self) -> None:
        if self.team.rank == 0:
            self.team.tell(STEP)

    def summed(self, values: Tensor) -> Tensor:
        dist.all_reduce(values)
        return values

    def sum_gradients(self, keep: Tensor | None) -> None:
        self._forget_skipped(keep)
        for part in _parts([p.grad for p in self.model.parameters() if p.grad is not None]):
            joined = torch.cat([gradient.flatten() for gradient in part])
            dist.all_reduce(joined)
            for gradient, summed in zip(part, torch.split(joined, [g.numel() for g in part]), strict=True):
                gradient.copy_(summed.view_as(gradient))

    def _forget_skipped(self, keep: Tensor | None) -> None:
        """A block that no sequence of the whole batch has run has no gradient, as on one device, and not zero."""
        if keep is not None:
            for block, ran in zip(self.model.blocks, keep.any(1).tolist(), strict=True):
                if not ran:
                    block.zero_grad(set_to_none=True)


class Shard(Replica):
    """A part of every parameter on each device (FSDP2), put together block by block where it is needed.

    Quantizers see whole matrices. The first process keeps a whole model as well, to measure and to store.
    """

    quantizes_once = False  # a whole matrix is there only while its block runs

    def __init__(self, team: Team, model: Decoder, optimizer: torch.optim.Optimizer) -> None:
        self.team, self.full, self.full_optimizer = team, model, optimizer
        self.model = _sharded(copy.deepcopy(model))
        self.optimizer = _moved(optimizer, model, self.model)
        for (whole, moments), own in zip(_with_moments(model, optimizer), self.model.parameters(), strict=True):
            _put(whole.data, own.data)
            for key, moment in moments.items():
                kept = torch.zeros_like(own.data if moment.ndim else moment)
                _put(moment, kept)
                self.optimizer.state[own][key] = kept
        optimizer.state.clear()
        if team.rank:
            self.full = self.model  # others need no whole one any more

    def sum_gradients(self, keep: Tensor | None) -> None:
        self._forget_skipped(keep)  # the sums are FSDP's

    def clip(self, limit: float) -> Tensor:
        gradients = [p.grad for p in self.learning() if p.grad is not None]
        if self.team.device.type == "cpu":
            # Of whole gradients: trials are repeated to the last bit there, and a sum over parts would round elsewhere.
            norm: Tensor = torch.linalg.vector_norm(
                torch.stack([torch.linalg.vector_norm(_joined(g)) for g in gradients])
            )
        else:
            norm = _joined(torch.nn.utils.get_total_norm(gradients))
        torch.nn.utils.clip_grads_with_norm_(self.learning(), limit, norm)
        return norm

    def whole(self, *, moments: bool) -> tuple[Decoder, torch.optim.Optimizer]:
        self.team.tell(STATE if moments else WEIGHTS)
        self.full.use(self.model.in_force)
        self.put_together(moments=moments)
        return self.full, self.full_optimizer

    @torch.no_grad()
    def put_together(self, *, moments: bool) -> None:
        """Into the first device's whole model; the others give their parts."""
        for full, own in zip(self.full.parameters(), self.model.parameters(), strict=True):
            found = {"": own, **(self.optimizer.state[own] if moments else {})}
            joined = {key: _joined(value) for key, value in found.items()}
            if self.team.rank == 0:
                full.copy_(joined.pop(""))
                self.full_optimizer.state[full] = {key: value.cpu() for key, value in joined.items()}


def _sharded(model: Decoder) -> Decoder:
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    model.lockstep = True
    for block in model.blocks:
        cast(Block, block).recompute = True
        fully_shard(block)
    fully_shard(model)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # a sum: a device's loss is its share of all tokens'
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    register_fsdp_forward_method(model, "losses")
    return model


def _moved(optimizer: torch.optim.Optimizer, before: Decoder, after: Decoder) -> torch.optim.Optimizer:
    """A new optimizer with the same groups of the other model's parameters."""
    same = dict(zip(before.parameters(), after.parameters(), strict=True))
    return torch.optim.AdamW([g | {"params": [same[p] for p in g["params"]]} for g in optimizer.param_groups])


def _with_moments(model: Decoder, optimizer: torch.optim.Optimizer) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Parameters with the optimizer's state of each; what the first process has of it, the others get room for."""
    parameters = list(model.parameters())
    told: list[Any] = [[{k: v.ndim for k, v in optimizer.state.get(p, {}).items()} for p in parameters]]
    dist.broadcast_object_list(told, 0)
    for parameter, kinds in zip(parameters, told[0], strict=True):
        if kinds and parameter not in optimizer.state:
            room = {
                key: torch.zeros_like(parameter.data) if ndim else torch.zeros((), device=parameter.device)
                for key, ndim in kinds.items()
            }
            optimizer.state[parameter] = room
        yield parameter, optimizer.state.get(parameter, {})


def _put(source: Tensor, target: Tensor) -> None:
    """The first process's tensor into every process's part of it."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(target, DTensor):
        target.copy_(distribute_tensor(source, target.device_mesh, target.placements))
    else:
        dist.broadcast(source, 0)
        target.copy_(source)


def _joined(value: Tensor) -> Tensor:
    from torch.distributed.tensor import DTensor

    return value.full_tensor() if isinstance(value, DTensor) else value


def _parts(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors one after another, about `SUMMED_AT_ONCE` numbers at a time."""
    part: list[Tensor] = []
    for tensor in tensors:
        part.append(tensor)
        if sum(each.numel() for each in part) >= SUMMED_AT_ONCE:
            yield part
            part = []
    if part:
        yield part
