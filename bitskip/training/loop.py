"""One trial's way through its training: what each step needs, and what becomes of what the step showed.

Whoever computes the steps asks a `Loop` what comes next and tells it what came out: which step is sampled, measured,
stored for others or kept against an interruption is known here alone.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from bitskip.data import TokenData
from bitskip.data.sequences import Sequences
from bitskip.data.stream import window
from bitskip.model.decoder import Decoder
from bitskip.ops.random_streams import generator
from bitskip.store.heartbeat import Report
from bitskip.store.schema import CurvePoint, LayerRow
from bitskip.techniques.base import Techniques
from bitskip.techniques.phases import Phases
from bitskip.training.checkpoint import CheckpointPlace, load_checkpoint, save_checkpoint
from bitskip.training.gradient_agreement import PAIRS, Batch
from bitskip.training.layer_stats import Diagnostics, sampled_sequences
from bitskip.training.shared_prefix import Prefix, Prefixes, prefix_content
from bitskip.trial.config import TrainingConfig, TrialConfig
from bitskip.trial.schedule import acting, learning_rate, measured_steps, sampled_steps, step_count, weight_decay

DIVERGENCE_MARGIN = 0.5
"""Nats above ln V, the loss of a uniform guess, from which a run counts as diverged (docs/measures.md)."""


@dataclass
class Progress:
    """What training has seen so far. `seconds` are those spent, before an interruption or a fork included.

    The curve also holds points that only trials forked from this one ask for.
    """

    curve: list[CurvePoint] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)
    step: int = 0
    last_finite_loss: float | None = None
    diverged: str | None = None
    seconds: float = 0.0
    diagnostic_seconds: float = 0.0
    resumed_at: int | None = None
    forked_from: str | None = None
    forked_at: int | None = None
    shared_seconds: float | None = None

    def to_record(self) -> dict[str, Any]:
        """What a checkpoint keeps of it; JSON writes a float so that reading it gives the same one."""
        return {
            "curve": [asdict(point) for point in self.curve],
            "layers": [asdict(row) for row in self.layers],
            "step": self.step,
            "last_finite_loss": self.last_finite_loss,
            "seconds": self.seconds,
            "diagnostic_seconds": self.diagnostic_seconds,
            "fork": (self.forked_from, self.forked_at, self.shared_seconds),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Progress:
        """Where an interrupted trial goes on."""
        progress = cls(
            curve=[CurvePoint(**point) for point in record["curve"]],
            layers=[LayerRow(**row) for row in record["layers"]],
            step=record["step"],
            last_finite_loss=record["last_finite_loss"],
            seconds=record["seconds"],
            diagnostic_seconds=record["diagnostic_seconds"],
            resumed_at=record["step"],
        )
        progress.forked_from, progress.forked_at, progress.shared_seconds = record.get("fork", (None, None, None))
        return progress

    @classmethod
    def from_prefix(cls, record: Mapping[str, Any], key: str) -> Progress:
        """Where a trial starts that takes over the prefix of another."""
        progress = cls.from_record(record)
        progress.resumed_at = None
        progress.forked_from, progress.forked_at, progress.shared_seconds = key, progress.step, progress.seconds
        return progress


@dataclass(frozen=True)
class Step:
    """What one optimizer step takes.

    `inputs` and `targets` [B, T], or a device's rows of them; the losses' `weights` of exits 1…L; `keep` [L, B], the
    blocks that each sequence of the whole batch runs, or None for all; the learning rate and the weight decay; the
    techniques in force.
    """

    inputs: Tensor
    targets: Tensor
    techniques: Techniques
    weights: tuple[float, ...]
    keep: Tensor | None
    lr: float
    weight_decay: float


class State(Protocol):
    """Gives model and optimizer as they are now, the optimizer's moments only if they are asked for."""

    def __call__(self, *, moments: bool) -> tuple[Decoder, torch.optim.Optimizer]: ...


class Loop:
    """Where a trial stands: it goes on from its own checkpoint, else from the longest prefix that another has left.

    Loads that into `model` and `optimizer`. `on_point` is called with every point of the trial's own curve and the
    number of steps, `report` is told of every step.
    """

    def __init__(
        self,
        trial: TrialConfig,
        model: Decoder,
        optimizer: torch.optim.Optimizer,
        train_on: Sequences,
        text: TokenData,
        on_point: Callable[[CurvePoint, int], None] | None = None,
        checkpoint: CheckpointPlace | None = None,
        prefixes: Prefixes | None = None,
        report: Report | None = None,
    ) -> None:
        self.trial, self.fingerprint, self.device = trial, text.fingerprint, model.head.weight.device
        shuffled = window(trial)
        self.window = shuffled
        self.read_from = (text.source or text.fingerprint) if shuffled else text.fingerprint
        self.train_on, self.on_point, self.checkpoint, self.prefixes = train_on, on_point, checkpoint, prefixes
        self.report = report
        self.steps = step_count(trial.training)
        began = time.perf_counter()
        self.progress, codes = self._resumed(model, optimizer)
        self.diagnostics = Diagnostics(codes)
        self.order = batch_order(trial.seed, train_on.count, trial.training.batch_size, self.progress.step, shuffled)
        self.shared = {prefix.step: prefix for prefix in prefixes.write} if prefixes else {}
        self.own_points = measured_steps(trial, self.steps)
        self.points: Set[int] = self.own_points | prefixes.measure if prefixes else self.own_points
        self.sampled = sampled_steps(trial.training, self.steps)
        self.ceiling = math.log(trial.data.vocab_size) + DIVERGENCE_MARGIN
        self.saved = time.perf_counter()
        self.progress.seconds += self.saved - began
        if report:
            report.training(self.progress.step, self.progress.resumed_at)

    def _phase(self, step: int) -> str:
        return self.trial.of(Phases).phase_at(step, self.steps)

    @property
    def ended(self) -> bool:
        return self.progress.diverged is not None or self.progress.step >= self.steps

    def next(self, rows: slice = slice(None)) -> Step:
        """What the next optimizer step takes, of these sequences of the batch."""
        self.batch = next(self.order)
        self.now = step_of(self.trial, self.train_on, self.batch[rows], self.progress.step, self.device)
        return self.now

    def took(self, total: float, main: float, norm: float) -> bool:
        """Note the step's training loss, the full model's, and the gradient norm; False if there is no update to make.

        That is the case when one is not finite: the trial has diverged.
        """
        self.main, self.norm = main, norm
        self.progress.step += 1
        if not (math.isfinite(total) and math.isfinite(norm)):
            what = "loss" if not math.isfinite(total) else "gradient norm"
            self.progress.diverged = f"non-finite training {what} at step {self.progress.step} of {self.steps}"
            return False
        self.progress.last_finite_loss = main
        if self.report:
            self.report.step(self.progress.step, self._phase(self.progress.step - 1), main)
        return True

    def settle(self, held_out: Callable[[], float], state: State) -> None:
        """After the update: sample, measure, and store what others or a next attempt go on from.

        `held_out` gives the full model's held-out loss, `state` model and optimizer as they are now; each is called
        only if this step asks for it.
        """
        step = self.progress.step
        if step in self.sampled:
            began = time.perf_counter()
            sampled = self.train_on.batch(self.batch[: sampled_sequences(self.trial.training)], self.device)
            model, _ = state(moments=False)
            with precision_context(self.trial.training, self.device):
                self.progress.layers += self.diagnostics.sample(
                    model, step, *sampled, self.now.weights, self._pairs(step)
                )
            self.progress.diagnostic_seconds += time.perf_counter() - began
        if step in self.points and not self._measure(held_out()):
            return
        # A trial that asks for a point at which it ends as diverged has to find out by itself.
        if step in self.shared and all(point.below(self.ceiling) for point in self.progress.curve):
            self._share(self.shared[step], *state(moments=True))
        self._keep_when_due(state)

    def _pairs(self, step: int) -> Iterator[tuple[Batch, Batch]]:
        """Pairs of batches, without a sequence in common, of what training reads next: the same for all techniques."""
        training = self.trial.training
        size = sampled_sequences(training)
        order = batch_order(self.trial.seed, self.train_on.count, training.batch_size, step, self.window)
        indices = list(itertools.islice(itertools.chain.from_iterable(order), 2 * PAIRS * size))
        for first in range(0, len(indices), 2 * size):
            halves = indices[first : first + size], indices[first + size : first + 2 * size]
            if not set(halves[0]) & set(halves[1]):
                one, other = (self.train_on.batch(half, self.device) for half in halves)
                yield one, other

    def _measure(self, held_out: float) -> bool:
        """Add a point to the curve; False if the trial has diverged there."""
        step, training = self.progress.step, self.trial.training
        finite = math.isfinite(held_out)
        point = CurvePoint(
            step,
            step * training.batch_size * training.seq_len,
            self._phase(step - 1),
            self.main,
            held_out if finite else None,
            self.now.lr,
            self.norm,
        )
        self.progress.curve.append(point)
        if step not in self.own_points:
            return True
        if self.on_point:
            self.on_point(point, self.steps)
        if not point.below(self.ceiling):
            shown = f"{held_out:.2f}, above ln V + {DIVERGENCE_MARGIN}," if finite else "non-finite"
            self.progress.diverged = f"held-out loss {shown} at step {step} of {self.steps}"
            return False
        return True

    def _share(self, prefix: Prefix, model: Decoder, optimizer: torch.optim.Optimizer) -> None:
        assert self.prefixes is not None
        content = prefix_content(self.trial, prefix.step)
        record, codes = self.progress.to_record(), self.diagnostics.codes
        with contextlib.suppress(OSError):  # a full disk costs the saving, not the trial
            save_checkpoint(self.prefixes.path(prefix), content, self._made_of(), model, optimizer, record, codes)

    def _keep_when_due(self, state: State) -> None:
        if self.checkpoint is None or time.perf_counter() - self.saved < self.checkpoint.every_seconds:
            return
        content, record = self.trial.canonical_json(), self.progress.to_record()
        now = state(moments=True)
        save_checkpoint(self.checkpoint.path, content, self.fingerprint, *now, record, self.diagnostics.codes)
        self.saved = time.perf_counter()

    def _resumed(self, model: Decoder, optimizer: torch.optim.Optimizer) -> tuple[Progress, dict[str, Tensor]]:
        """Progress, and the ternary codes that the next diagnostics are compared with."""
        if self.checkpoint:
            content = self.trial.canonical_json()
            own = load_checkpoint(self.checkpoint.path, content, self.fingerprint, model, optimizer)
            if own:
                record, codes = own
                return Progress.from_record(record), codes
        measured = measured_steps(self.trial, self.steps)
        for prefix in self.prefixes.start if self.prefixes else ():

            def complete(record: Mapping[str, Any], step: int = prefix.step) -> bool:
                points = {point["step"] for point in record["curve"]}
                return {point for point in measured if 0 < point <= step} <= points

            assert self.prefixes is not None
            content, path = prefix_content(self.trial, prefix.step), self.prefixes.path(prefix)
            left = load_checkpoint(path, content, self._made_of(), model, optimizer, complete)
            if left:
                record, codes = left
                return Progress.from_prefix(record, prefix.key), codes
        return Progress(), {}

    def _made_of(self) -> str:
        """Text and kind of device of a prefix: a trial on the CPU takes over nothing that a GPU has computed."""
        return f"{self.read_from} {self.device.type}"


def batch_order(
    seed: int, count: int, batch_size: int, start: int = 0, window: int | None = None
) -> Iterator[list[int]]:
    """Endless batches of sequence indices from batch `start` on: a fresh permutation every epoch, by seed alone.

    With `window` so many consecutive sequences are permuted, then the next ones: which come first does not depend on
    `count`. What is left at the end is too little for a window and stays unread.
    """
    size = min(window or count, count)
    number, offset = divmod(start * batch_size, size)
    pending: list[int] = []
    while True:
        while len(pending) < batch_size:
            begins = number % (count // size) * size
            order = torch.randperm(size, generator=generator(seed, "order", number)) + begins
            pending += order.tolist()[offset:]
            number, offset = number + 1, 0
        yield pending[:batch_size]
        del pending[:batch_size]


def step_of(
    trial: TrialConfig, train_on: Sequences, sequences: Sequence[int], number: int, device: torch.device
) -> Step:
    """What optimizer step `number` (0, 1, …) takes, with these sequences of its batch."""
    at = number, step_count(trial.training)
    inputs, targets = train_on.batch(sequences, device)
    rates = learning_rate(trial.training, *at), weight_decay(trial.training, *at)
    return Step(inputs, targets, *drawn(trial, *at), *rates)


def drawn(trial: TrialConfig, step: int, steps: int) -> tuple[Techniques, tuple[float, ...], Tensor | None]:
    """(techniques in force, weights of the exits' losses [L], blocks that each sequence runs [L, B] or None)."""
    techniques, moment = acting(trial, step, steps)
    layers = trial.model.layers
    kept = techniques.kept_blocks(layers, trial.training.batch_size, trial.seed, moment)
    return techniques, techniques.loss_weights(layers, moment), kept


def precision_context(training: TrainingConfig, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bf16 autocast where the configuration or, for `auto`, a GPU asks for it.

    To be entered anew for every forward pass: autocast keeps its bf16 copies of the weights until it is left, and a
    pass after an optimizer step would still see the old ones.
    """
    wanted = training.precision == "bf16" or (training.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16) if wanted else contextlib.nullcontext()
