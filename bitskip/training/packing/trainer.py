"""Trials of one shape trained as one program, which fills a GPU that a small model leaves idle (docs/performance.md).

Every member gets the batches, schedules, measurements and checkpoints that it would have alone, from its own `Course`;
members may stand at different steps, and one that ends leaves the pack.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bitskip.data import TokenData
from bitskip.model.decoder import Decoder, uncompiled
from bitskip.store.heartbeat import Report
from bitskip.store.schema import CurvePoint
from bitskip.training.checkpoint import CheckpointPlace
from bitskip.training.evaluate import held_out_batches, held_out_loss
from bitskip.training.loop import Course, Step, precision_context
from bitskip.training.packing.plan import pack_key
from bitskip.training.packing.stacked_decoder import PackedDecoder
from bitskip.training.shared_prefix import Prefixes
from bitskip.training.trainer import (
    Ready,
    TrialResult,
    compile_blocks,
    compiles,
    conclude,
    optimizer_for,
    prepare,
    train_step,
)
from bitskip.trial.config import IGNORED_TARGET, TrainingConfig, TrialConfig

ADAM_EPSILON = 1e-8
CLIP_EPSILON = 1e-6
"""As torch.optim.AdamW and torch.nn.utils.clip_grad_norm_ have them."""

WARM_UP = 2
"""Rounds of a probe that are not counted."""


@dataclass(frozen=True)
class Member:
    """One trial of a pack, with what `run_trial` takes beside it."""

    trial: TrialConfig
    on_point: Callable[[CurvePoint, int], None] | None = None
    checkpoint: CheckpointPlace | None = None
    save_weights_to: Path | None = None
    prefixes: Prefixes | None = None
    report: Report | None = None


def run_pack(
    members: Sequence[Member], device: str | torch.device = "cpu", data: TokenData | None = None
) -> Iterator[tuple[Member, TrialResult | Exception]]:
    """Train the members side by side; yields each as soon as it has its result, or what went wrong with it alone.

    `train_seconds` of a member is its share of the pack's. Raises ValueError for trials that cannot be packed, and what
    goes wrong with the common program. Want of memory does, wherever it shows: alone, the trial might have had enough.
    Members that have checkpoints then leave one of what they have trained.
    """
    if len({pack_key(member.trial) for member in members}) != 1 or members[0].trial.artefact:
        raise ValueError("only trials of one shape and without artefacts can be packed")
    lanes: list[_Lane] = []
    for member in members:
        try:
            lanes.append(_Lane(member, prepare(member.trial, torch.device(device), data)))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            yield member, error
    yield from _concluded(lanes)
    while lanes:
        pack = _Pack(lanes)
        while not any(lane.course.ended for lane in lanes):
            pack.step()
        pack.store()
        del pack  # its stacked weights and states would stand beside what comes next
        yield from _concluded(lanes)


def _concluded(lanes: list[_Lane]) -> Iterator[tuple[Member, TrialResult | Exception]]:
    """Results of the lanes that have ended, which are taken out of the list one by one."""
    for lane in [lane for lane in lanes if lane.course.ended]:
        try:
            found = lane.conclude()
        except torch.OutOfMemoryError:
            for each in lanes:
                each.course.keep(each.ready.model, each.optimizer)
            raise
        lanes.remove(lane)
        yield lane.member, found


class _Lane:
    """A member on its course."""

    def __init__(self, member: Member, ready: Ready) -> None:
        self.member, self.ready = member, ready
        self.optimizer = optimizer_for(ready.model, member.trial.training)
        self.course: Course = ready.course(
            self.optimizer, member.on_point, member.checkpoint, member.prefixes, member.report
        )
        ready.model.train()

    def conclude(self) -> TrialResult | Exception:
        self.ready.model.set_activation_bits(self.member.trial.method.bits)
        if self.member.report:
            self.member.report.evaluating()
        try:
            return conclude(self.ready, self.course.progress, self.member.save_weights_to)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            return error


class _Pack:
    """The lanes' models and optimizer states side by side, from where each lane stands."""

    def __init__(self, lanes: Sequence[_Lane]) -> None:
        # Members that do alike stand together: they are one operation then.
        self.lanes = sorted(lanes, key=lambda lane: repr(lane.member.trial.method))
        self.training: TrainingConfig = lanes[0].member.trial.training
        self.decoder = PackedDecoder([lane.ready.model for lane in self.lanes])
        self.optimizer = _StackedAdamW(self.decoder, [lane.member.trial.training for lane in self.lanes])
        if compiles(self.training, self.optimizer.weights.device):
            compile_blocks(self.decoder)
            self.optimizer.compile()
        for index, lane in enumerate(self.lanes):
            self.optimizer.take(index, lane.optimizer)

    def store(self) -> None:
        """Every lane's weights and optimizer state into its own model and optimizer."""
        for index in range(len(self.lanes)):
            self._state(index)

    def step(self) -> None:
        """One optimizer step of every lane."""
        began = time.perf_counter()
        steps = [lane.course.next() for lane in self.lanes]
        for lane, step in zip(self.lanes, steps, strict=True):
            lane.ready.model.set_activation_bits(step.bits)
        totals, mains = self._accumulate(steps)
        norms = self.optimizer.clip()
        shown = torch.stack([totals, mains, norms]).T.tolist()
        alive = [lane.course.took(*found) for lane, found in zip(self.lanes, shown, strict=True)]
        self.optimizer.step([step.lr for step in steps], _reached(self.decoder, steps), alive)
        held_out: dict[int, float] = {}

        def settle(course: Course, index: int) -> None:
            before = course.progress.diagnostic_seconds
            course.settle(lambda: self._held_out(index, held_out), lambda: self._state(index))
            sampling = course.progress.diagnostic_seconds - before
            # As of all that the pack spends, a member counts its share.
            course.progress.diagnostic_seconds = before + sampling / len(self.lanes)

        for index, lane in enumerate(self.lanes):
            if alive[index]:
                settle(lane.course, index)
        seconds = (time.perf_counter() - began) / len(self.lanes)
        for lane in self.lanes:
            lane.course.progress.seconds += seconds

    def _accumulate(self, steps: Sequence[Step]) -> tuple[Tensor, Tensor]:
        """Backward over micro-batches; (training loss, full model's loss) of each lane, per token that counts, [M]."""
        inputs, targets = (torch.stack([getattr(step, name) for step in steps]) for name in ("inputs", "targets"))
        weights, keep = torch.tensor([step.weights for step in steps]), _kept(steps, inputs)
        counted = (targets != IGNORED_TARGET).sum(2)
        size = self.training.micro_batch or inputs.shape[1]
        totals = mains = torch.zeros(len(steps), device=inputs.device)
        for start in range(0, inputs.shape[1], size):
            rows = slice(start, start + size)
            with precision_context(self.training, inputs.device):
                kept = None if keep is None else keep[:, :, rows]
                total, main = self.decoder.losses(inputs[:, rows], targets[:, rows], weights, kept)
            share = counted[:, rows].sum(1) / counted.sum(1)
            (total * share).sum().backward()  # type: ignore[no-untyped-call]
            totals, mains = totals + (total * share).detach(), mains + (main * share).detach()
        return totals, mains

    def _held_out(self, index: int, found: dict[int, float]) -> float:
        """A lane's held-out loss; where several lanes ask at this step, all are measured together."""
        asking = [i for i, lane in enumerate(self.lanes) if lane.course.measures]
        if len(asking) == 1:
            lane, (model, _) = self.lanes[index], self._state(index)
            model.eval()
            with precision_context(self.training, model.head.weight.device):
                loss = held_out_loss(model, lane.ready.measured_on, self.training.curve_tokens, lane.member.trial)
            model.train()
            return loss
        if not found:
            found |= dict(enumerate(self._held_out_losses()))
        return found[index]

    @torch.no_grad()
    def _held_out_losses(self) -> list[float]:
        device = self.optimizer.weights.device
        nll = torch.zeros(len(self.lanes), dtype=torch.float64, device=device)
        count = torch.zeros_like(nll)
        none = torch.zeros(len(self.lanes), self.decoder.sizes.layers)
        texts = [
            held_out_batches(lane.ready.measured_on, self.training.curve_tokens, lane.member.trial, device)
            for lane in self.lanes
        ]
        matrices = self.decoder.effective_weights()
        for batches in zip(*texts, strict=True):
            inputs, targets = (torch.stack(part) for part in zip(*batches, strict=True))
            with precision_context(self.training, device), uncompiled():
                _, loss = self.decoder.losses(inputs, targets, none, None, matrices)
            tokens = (targets != IGNORED_TARGET).flatten(1).sum(1)
            nll += loss.double() * tokens
            count += tokens
        return (nll / count).tolist()

    def _state(self, index: int) -> tuple[Decoder, torch.optim.Optimizer]:
        lane = self.lanes[index]
        self.optimizer.give(index, lane.optimizer)
        return self.decoder.store(index), lane.optimizer


_PROBED: dict[tuple[object, ...], bool] = {}


def packing_pays(trials: Sequence[TrialConfig], device: str) -> bool:
    """Whether these trials train faster packed than in turn here; measured once a process for trials that do alike.

    A pack that does not fit into the memory does not pay.
    """
    key = (pack_key(trials[0]), tuple(sorted(repr(trial.method) for trial in trials)), device)
    if key not in _PROBED:
        try:
            _PROBED[key] = statistics.median(packing_gains(trials, device)) > 1.0
        except torch.OutOfMemoryError:
            _PROBED[key] = False
    return _PROBED[key]


def packing_gains(trials: Sequence[TrialConfig], device: str | torch.device, steps: int = 5) -> list[float]:
    """Seconds of a training step of every trial in turn over those of one packed step, for each of `steps` rounds.

    Of the last steps, where all exits and the layer dropout are at work; on random tokens, without a measurement, and
    both compiled where such a trial is. What comes first, allocation and compilation, is left aside.
    """
    draws = np.random.default_rng(0).integers(0, trials[0].data.vocab_size, 1 << 18).astype(np.int32)
    draws[:: trials[0].training.seq_len] = 0  # ends of documents
    text = TokenData(draws[: 3 << 16], draws[3 << 16 :], trials[0].data.vocab_size, 0, 1.0, 1.0, "random")
    lanes, alone = (
        [_Lane(Member(_unmeasured(trial)), prepare(_unmeasured(trial), torch.device(device), text)) for trial in trials]
        for _ in range(2)
    )
    for lane in (*lanes, *alone):
        lane.course.progress.step = lane.course.steps - WARM_UP - steps - 1
    for lane in alone:
        if compiles(lane.member.trial.training, torch.device(device)):
            compile_blocks(lane.ready.model)
    pack = _Pack(lanes)

    def in_turn() -> None:
        for lane in alone:
            train_step(lane.course, lane.ready.model, lane.optimizer, lambda: 0.0)

    gains = []
    for _ in range(WARM_UP + steps):
        seconds = []
        for run in (in_turn, pack.step):
            began = time.perf_counter()
            run()  # both end in reading their losses, which waits for the device
            seconds.append(time.perf_counter() - began)
        gains.append(seconds[0] / seconds[1])
    return gains[WARM_UP:]


def _unmeasured(trial: TrialConfig) -> TrialConfig:
    size = trial.training.batch_size * trial.training.seq_len
    training = dataclasses.replace(trial.training, tokens=10_000 * size, curve_points=1, diagnostic_points=0)
    return dataclasses.replace(trial, training=training)


def _kept(steps: Sequence[Step], inputs: Tensor) -> Tensor | None:
    """Which block each sequence of each lane runs, bool [M, L, B] on the device; None if no lane drops any."""
    if all(step.keep is None for step in steps):
        return None
    whole = torch.ones(len(steps[0].weights), inputs.shape[1], dtype=torch.bool)
    return torch.stack([whole if step.keep is None else step.keep for step in steps]).to(inputs.device)


def _part(name: str) -> str:
    """The part of the model that a parameter belongs to: what a loss reaches wholly or not at all."""
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    if first == "blocks":
        return f"block {number}"
    return f"exit {number}" if first in ("exit_norms", "exit_heads") else "rest"


def _reached(decoder: PackedDecoder, steps: Sequence[Step]) -> dict[str, list[bool]]:
    """Which parts of which lane have a gradient: alone, parameters that no loss has reached are not updated."""
    found: dict[str, list[bool]] = {"rest": [True] * len(steps)}
    for index in range(decoder.sizes.layers):
        found[f"block {index}"] = [step.keep is None or bool(step.keep[index].any()) for step in steps]
        found[f"exit {index}"] = [step.weights[index] != 0.0 for step in steps]
    return found


class _StackedAdamW:
    """torch.optim.AdamW for every lane, with learning rate, weight decay and clipping of its own.

    Weights, gradients and moments are one matrix [M, P] each, so that a step is a handful of operations. The decoder's
    stacked weights become views of that matrix.
    """

    def __init__(self, decoder: PackedDecoder, trainings: Sequence[TrainingConfig]) -> None:
        self.decoder = decoder
        self.weights = torch.cat([stacked.detach().flatten(1) for stacked in decoder.stacked.values()], 1)
        self.average, self.square = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.gradient = torch.zeros_like(self.weights)
        device = self.weights.device
        self.parts = sorted({_part(name) for name in decoder.stacked})
        self.update: Callable[..., None] = _adamw
        self.columns: dict[str, slice] = {}
        part, decayed, end = [], [], 0
        for name, stacked in decoder.stacked.items():
            size = stacked[0].numel()
            columns = self.columns[name] = slice(end, end := end + size)
            decoder.stacked[name] = self.weights[:, columns].view_as(stacked).detach().requires_grad_()
            part.append(torch.full((size,), self.parts.index(_part(name))))
            decayed.append(torch.full((size,), float(stacked.ndim > 2 and not name.startswith("embedding"))))
        self.part, self.decayed = torch.cat(part).to(device), torch.cat(decayed).to(device)
        self.updates = torch.zeros(len(trainings), len(self.parts))
        self.weight_decay = torch.tensor([[t.weight_decay] for t in trainings])
        self.limit = torch.tensor([t.grad_clip or math.inf for t in trainings], device=device)
        self.beta1, self.beta2 = trainings[0].beta1, trainings[0].beta2

    def compile(self) -> None:
        """From now on an update is one sweep over memory."""
        self.update = torch.compile(_adamw)

    @torch.no_grad()
    def clip(self) -> Tensor:
        """Take the gradients over, each lane's scaled down to its limit; returns the norms before, [M]."""
        parameters = self.decoder.stacked.values()
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        torch.cat([gradient.flatten(1) for gradient in found], 1, out=self.gradient)
        for parameter in parameters:
            parameter.grad = None
        norms: Tensor = torch.linalg.vector_norm(self.gradient, dim=1)
        self.gradient *= (self.limit / (norms + CLIP_EPSILON)).clamp(max=1.0)[:, None]
        return norms

    @torch.no_grad()
    def step(self, rates: Sequence[float], reached: dict[str, list[bool]], alive: Sequence[bool]) -> None:
        """Update what the losses reached in the lanes that are alive."""
        active = torch.tensor([reached[part] for part in self.parts]).T & torch.tensor(alive)[:, None]
        self.updates += active
        corrections = [1 - beta ** self.updates.double() for beta in (self.beta1, self.beta2)]
        # Two transfers to a GPU: each has a price of its own.
        by_part = torch.stack([active, *corrections]).float().to(self.part.device)
        rate = torch.tensor(rates)[:, None]
        by_lane = torch.stack([rate, rate * self.weight_decay]).to(self.part.device)
        state = self.weights, self.average, self.square
        self.update(*state, self.gradient, *by_part, self.part, *by_lane, self.decayed, self.beta1, self.beta2)

    @torch.no_grad()
    def take(self, index: int, alone: torch.optim.Optimizer) -> None:
        """Start a lane from the state of its own optimizer."""
        for name, parameter in self.decoder.members[index].named_parameters():
            state = alone.state.get(parameter)
            if state:
                columns = self.columns[name]
                self.average[index, columns] = state["exp_avg"].flatten()
                self.square[index, columns] = state["exp_avg_sq"].flatten()
                self.updates[index, self.parts.index(_part(name))] = state["step"].item()

    @torch.no_grad()
    def give(self, index: int, alone: torch.optim.Optimizer) -> None:
        """Write a lane's state into its own optimizer, as if it had trained alone."""
        for name, parameter in self.decoder.members[index].named_parameters():
            updates, columns = self.updates[index, self.parts.index(_part(name))], self.columns[name]
            if updates:
                alone.state[parameter] = {
                    "step": updates.to(torch.float32, copy=True),
                    "exp_avg": self.average[index, columns].view_as(parameter).clone(),
                    "exp_avg_sq": self.square[index, columns].view_as(parameter).clone(),
                }


def _adamw(
    weights: Tensor,
    average: Tensor,
    square: Tensor,
    gradient: Tensor,
    active: Tensor,
    correction1: Tensor,
    correction2: Tensor,
    part: Tensor,
    rate: Tensor,
    shrinkage: Tensor,
    decayed: Tensor,
    beta1: float,
    beta2: float,
) -> None:
    """A step of torch.optim.AdamW for every lane, in place: weights, moments and gradient [M, P].

    `part` [P] says to which of the columns of [M, parts] a weight belongs: `active` is 0 where it has no gradient.
    `rate` and `shrinkage`, its product with the weight decay, are [M, 1]; `decayed` [P] is 1 where there is one.
    """
    on = active[:, part]
    # What is not finite must not come in where a lane is not updated.
    gradient = torch.where(on > 0, gradient, 0.0)
    average.lerp_(gradient, (1 - beta1) * on)
    square.lerp_(gradient.square(), (1 - beta2) * on)
    scale = (square / correction2[:, part]).sqrt_().add_(ADAM_EPSILON)
    # What has had no update yet has a correction of 0 and divides 0 by it.
    change = torch.where(on > 0, rate / correction1[:, part] * average / scale, 0.0)
    weights.mul_(1 - shrinkage * on * decayed).sub_(change)
