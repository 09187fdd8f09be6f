"""What the rest of the house may ask a technique, and nothing more (docs/architecture.md, a technique).

A technique is a frozen dataclass whose fields are its axes: an instance is the technique with its settings. Everything
has an answer for a technique that does nothing, so that a new one says only where it differs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from bitskip.errors import UserError
from bitskip.techniques.axis import Axis, axes_in

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Op = Callable[["Tensor"], "Tensor"]
"""Something done to a tensor. Ops that compare equal compute the same: make them frozen dataclasses with `__call__`, or
`nn.Module` where they hold tensors."""


@dataclass(frozen=True)
class LinearLayer:
    """Where a linear layer stands: its site in the block (q, k, v, o, gate, up, down), widths, block 0 … L-1.

    `seed` is the trial's, for random numbers of its own; `techniques` are all of the trial.
    """

    site: str
    inputs: int
    outputs: int
    block: int
    seed: int
    techniques: Techniques


@dataclass(frozen=True)
class LinearOps:
    """What is done around one linear layer, in the order of the fields.

    `before` the activation quantizer (a rotation), `quantize` (it), `after` it, `weight` (to the weight [out, in]),
    `output`. Several techniques' are joined field by field, in the order of the registry.
    """

    before: tuple[Op, ...] = ()
    quantize: tuple[Op, ...] = ()
    after: tuple[Op, ...] = ()
    weight: tuple[Op, ...] = ()
    output: tuple[Op, ...] = ()

    def __add__(self, other: LinearOps) -> LinearOps:
        names = [field.name for field in dataclasses.fields(self)]
        return LinearOps(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True)
class Moment:
    """A step of a training, counted from 0; `phase_step` and `phase_steps` count from where phase 2 begins."""

    step: int
    steps: int
    phase_step: int
    phase_steps: int


@dataclass(frozen=True)
class Technique:
    """One idea of the field with the axes that belong to it; the first axis switches it and names it.

    Off means: its axes at their neutral values. `trained_in_phase_2` says that it rests during plain training,
    `post_training` that it may be put on a trained model (`quantize: after`), `told_in_steps` which axes are shares of
    the training that `before` tells in steps. `made_for` names factors whose effect it is there to change: what both do
    together is never predicted unmeasured. Below `irregular_below` the number that orders its levels tells nothing of a
    level between two others.
    """

    group: ClassVar[str] = "method"
    trained_in_phase_2: ClassVar[bool] = False
    post_training: ClassVar[bool] = False
    told_in_steps: ClassVar[tuple[str, ...]] = ()
    made_for: ClassVar[tuple[str, ...]] = ()
    irregular_below: ClassVar[float | None] = None

    # Settings

    @classmethod
    @functools.cache
    def axes(cls) -> tuple[Axis, ...]:
        """Its axes, the one that switches it first. Those from outside are never older than a trial's identity."""
        outside = not cls.__module__.startswith("bitskip.")
        return axes_in(cls, cls.group, technique=cls, since="plug-in" if outside else None)

    @classmethod
    def factors(cls) -> dict[str, tuple[str, ...]]:
        """What is one factor of a factorial design, by the axis that names it; an axis may join another's factor."""
        names = tuple(axis.name for axis in cls.axes())
        return {names[0]: names}

    @classmethod
    @functools.cache
    def neutral(cls) -> Self:
        """The technique switched off."""
        return cls(**{axis.field: axis.neutral for axis in cls.axes()})

    @property
    def off(self) -> bool:
        return self == self.neutral()

    def reset(self, *names: str) -> Self:
        """The same with these axes neutral."""
        fields = {a.field: a.neutral for a in self.axes() if a.name in names}
        if all(getattr(self, field) == value for field, value in fields.items()):
            return self  # as most are: a plan asks this ten times a trial, and copies cost most of its time
        return dataclasses.replace(self, **fields)

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Axes that follow from those a user has named, unless named too; of any technique or recipe."""
        return {}

    def check(self, trial: Any) -> None:
        """Raise UserError where the settings do not fit the trial's sizes or other techniques."""

    def canonical(self, trial: Any) -> Self:
        """The same training with every axis neutral that does not act there: equal runs then have equal ids.

        `trial` is the whole configuration, with `steps`. Must be idempotent.
        """
        return self

    # At a step

    def at(self, moment: Moment) -> Self:
        """The settings in force at a step."""
        return self

    def partings(self, steps: int) -> set[int]:
        """Steps at which trials that have trained alike may part because what acts changes there."""
        return set()

    def before(self, step: int, steps: int) -> tuple[Self, dict[str, Any]]:
        """(settings, facts) that the first `step` of `steps` steps follow from, with what acts later taken out.

        Facts are numbers of steps, in place of the axes in `told_in_steps`.
        """
        return self, {}

    @property
    def depends_on_length(self) -> bool:
        """Whether what it does at a step depends on how long the training is."""
        return False

    # In the model

    def linear(self, layer: LinearLayer) -> LinearOps:
        """What it does to a linear layer of a block."""
        return LinearOps()

    def key_value(self, block: int) -> Op | None:
        """What it does to keys and values [B, G, T, K] behind the rotary embedding, cached or not."""
        return None

    def folded(self, layer: LinearLayer, weight: Tensor) -> Tensor:
        """A weight [out, in] that was trained without it, as it has to be for the layer to compute the same with it."""
        return weight

    def around(self, block: int, sizes: Any) -> nn.Module | None:
        """A module that runs a block in its own way: `forward(body, x, rotary, cache)` with x [B, T, D]."""
        return None

    def initial(self, name: str, shape: torch.Size, draws: torch.Generator) -> Tensor | None:
        """Its own initial value of a parameter with two or more dimensions."""
        return None

    # In training

    def kept_blocks(self, layers: int, batch: int, seed: int, moment: Moment) -> Tensor | None:
        """Which block each sequence runs at a step, bool [L, B]; None for all."""
        return None

    def loss_weights(self, layers: int, moment: Moment) -> tuple[float, ...] | None:
        """Coefficient of the cross-entropy of each exit 1…L in the training loss; None: the full model's alone."""
        return None

    def penalty(self, model: nn.Module) -> Tensor | None:
        """A term of its own in the training loss, 0-d, after a forward pass."""
        return None

    # What it costs

    def extra_parameters(self, sizes: Any, vocab: int) -> int:
        """Parameters beyond those of the plain decoder."""
        return 0

    def trained_heads(self, layers: int) -> int:
        """How many exits the training loss compares."""
        return 1

    def compute_share(self, sizes: Any) -> float:
        """Share of the blocks' arithmetic that is left."""
        return 1.0

    def weight_bytes(self, outputs: int, inputs: int) -> int | None:
        """Bytes to store a block's weight [out, in] with its scales; None: as full precision."""
        return None

    # In analysis and in words

    @classmethod
    def features(cls, settings: Mapping[str, Any], layers: int) -> dict[str, float]:
        """A factor's level as numbers for the predictor: a parabola for a lone number, else categories."""
        values = list(settings.values())
        if len(values) == 1 and isinstance(values[0], int | float) and not isinstance(values[0], bool):
            return {"value": float(values[0]), "square": float(values[0]) ** 2}
        return {repr(tuple(values)): 1.0}

    @classmethod
    def off_at(cls) -> float | None:
        """Where being off lies among the values of the factor's number, for interpolation; None: beside them all."""
        switch = cls.axes()[0]
        return float(switch.neutral) if switch.kind in (int, float) else 0.0

    @classmethod
    def reference(cls, levels: Iterable[tuple[Any, ...]]) -> tuple[Any, ...] | None:
        """The level that effects count from where the technique is never off; None: the most frequent one."""
        return None

    @classmethod
    def unspoken(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Values that go without saying in the label of a level; None for an axis that is always told."""
        return {}

    @classmethod
    def glance(cls) -> tuple[str, ...]:
        """The axes that `words` tells."""
        return (cls.axes()[0].name,)

    @classmethod
    def words(cls, settings: Mapping[str, Any]) -> list[str]:
        """How a configuration is known at a glance; `settings` maps the axes of `glance` to values."""
        switch = cls.axes()[0]
        value = settings[switch.name]
        return [] if value == switch.neutral else [f"{switch.name} {plain(value)}"]


def plain(value: Any) -> str:
    """A value as a person writes it, told apart from every other: 0.3, but 0.30000000000000004."""
    if isinstance(value, str):  # blanks at an end and line ends are not seen otherwise
        return value if value.isprintable() and value.strip() == value != "" else repr(value)
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


T = TypeVar("T", bound=Technique)
V = TypeVar("V")


def only(found: Iterable[V], what: str) -> V | None:
    """The one answer to what a single technique may decide. Raises UserError if there are several."""
    answers = list(found)
    if len(answers) > 1:
        raise UserError(f"{len(answers)} techniques give {what}: switch all but one off")
    return answers[0] if answers else None


class Techniques(tuple[Technique, ...]):
    """The techniques of a trial, or those in force at a step: one of each kind at the most."""

    __slots__ = ()

    def of(self, kind: type[T]) -> T:
        """The technique of a kind; one that is not there is off."""
        for each in self:  # no generator: this is asked for every axis of every trial of a plan
            if type(each) is kind:
                return each
        return kind.neutral()

    def with_(self, *changed: Technique) -> Techniques:
        """The same with these in place of their kind."""
        by_kind = {type(each): each for each in changed}
        return Techniques(by_kind.get(type(each), each) for each in self)

    def linear(self, layer: LinearLayer) -> LinearOps:
        """What all of them do to a linear layer."""
        return sum((each.linear(layer) for each in self), LinearOps())

    def loss_weights(self, layers: int, moment: Moment) -> tuple[float, ...]:
        """Coefficient of the cross-entropy of each exit 1…L in the training loss."""
        found = (each.loss_weights(layers, moment) for each in self)
        own = only((weights for weights in found if weights is not None), "weights of the exits' losses")
        return (*([0.0] * (layers - 1)), 1.0) if own is None else own

    def kept_blocks(self, layers: int, batch: int, seed: int, moment: Moment) -> Tensor | None:
        """Which block each sequence runs at a step, bool [L, B]; None for all."""
        found = [kept for each in self if (kept := each.kept_blocks(layers, batch, seed, moment)) is not None]
        return functools.reduce(lambda one, other: one & other, found) if found else None


def stored_weight_bytes(techniques: Iterable[Technique], shape: Sequence[int], full: int) -> int:
    """Bytes to store a block's weight [out, in]; `full` bytes a weight where no technique stores it in fewer."""
    outputs, inputs = shape
    found = [each.weight_bytes(outputs, inputs) for each in techniques]
    return min((size for size in found if size is not None), default=full * outputs * inputs)
