"""Which techniques there are: bitskip's own, those of installed packages, and those a sweep file names as plug-ins."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from bitskip.errors import UserError
from bitskip.techniques.activation_quantization import ActivationQuantization
from bitskip.techniques.base import Technique
from bitskip.techniques.early_exit import EarlyExit
from bitskip.techniques.free_factors import Factor, FreeFactor, technique_of
from bitskip.techniques.integer_weights import IntegerWeights
from bitskip.techniques.kv_cache_quantization import KVCacheQuantization
from bitskip.techniques.layer_dropout import LayerDropout
from bitskip.techniques.mixture_of_depths import MixtureOfDepths
from bitskip.techniques.phases import Phases
from bitskip.techniques.post_training import PostTraining
from bitskip.techniques.published_defects import PublishedDefects
from bitskip.techniques.rotation import Rotation
from bitskip.techniques.weight_quantization import WeightQuantization

OWN: tuple[type[Technique], ...] = (
    ActivationQuantization,
    WeightQuantization,
    Rotation,
    LayerDropout,
    EarlyExit,
    Phases,
    IntegerWeights,
    KVCacheQuantization,
    MixtureOfDepths,
    PostTraining,
    PublishedDefects,
)
"""In the order in which they act on a linear layer and stand in tables; the first two factors of a design are those
that rates are tuned for."""

ENTRY_POINTS = "bitskip.techniques"
"""Group in which an installed package names its technique classes."""

V = TypeVar("V")


@dataclass(frozen=True)
class PlugIn:
    """A technique from elsewhere: its class, and the package and version that brought it."""

    technique: type[Technique]
    package: str
    version: str

    @property
    def name(self) -> str:
        return f"{self.package} {self.version}".strip()


_named: list[PlugIn] = []


def techniques() -> tuple[type[Technique], ...]:
    """All techniques, bitskip's own first. Raises UserError for an installed package whose technique is unusable."""
    return (*OWN, *(plug_in.technique for plug_in in plug_ins()))


def plug_ins() -> tuple[PlugIn, ...]:
    """Techniques from elsewhere, in an order that does not hang on what was found first: ops act in it."""
    found = (*_installed(), *_named)
    return tuple(sorted(found, key=lambda each: (each.technique.__module__, each.technique.__qualname__)))


def recorded_names() -> str | None:
    """The plug-ins that are loaded, as a row of results names them; None without any."""
    return ", ".join(sorted({plug_in.name for plug_in in plug_ins()})) or None


def named_modules() -> tuple[str, ...]:
    """The modules whose techniques were loaded by name: what another process has to load, too."""
    return tuple(dict.fromkeys(each.package for each in _named if not issubclass(each.technique, FreeFactor)))


def told(technique: type[Technique]) -> str:
    """A technique as messages name it, with where it is from."""
    origin = next((plug_in.name for plug_in in plug_ins() if plug_in.technique is technique), "bitskip")
    return f"technique {technique.__name__} of {origin}"


@functools.cache
def _installed() -> tuple[PlugIn, ...]:
    found: list[PlugIn] = []
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = point.dist.name if point.dist else point.module
        cure = f"repair or uninstall it: pip uninstall {package}"
        try:
            loaded = point.load()
        except Exception as error:  # a package may fail in any way when it is imported
            raise UserError(
                f"plug-in {package}: its entry point {point.name} = {point.value} cannot be loaded "
                f"({type(error).__name__}: {_first_line(error)}); {cure}"
            ) from error
        if not (inspect.isclass(loaded) and issubclass(loaded, Technique)):
            raise UserError(f"plug-in {package}: {point.value} is no subclass of bitskip.Technique; {cure}")
        found.append(_checked(loaded, package, point.dist.version if point.dist else ""))
    return tuple(found)


def load_plugins(names: Sequence[str]) -> None:
    """Import the modules and add the techniques that they define, once each.

    Raises UserError for a module that cannot be imported or defines no technique, and for axes that exist already.
    """
    for name in names:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # as above
            raise UserError(
                f"plugins: {name} cannot be imported ({type(error).__name__}: {_first_line(error)}); install it, or "
                "correct its name (a module, as after `import`)"
            ) from error
        classes = [each for each in vars(module).values() if inspect.isclass(each) and issubclass(each, Technique)]
        top = name.split(".")[0]
        defined = [each for each in classes if each is not Technique and each.__module__.split(".")[0] == top]
        if not defined:
            raise UserError(f"plugins: {name} defines no technique (a dataclass that extends bitskip.Technique)")
        for technique in defined:
            if technique not in techniques():
                _named.append(_checked(technique, name, _version_of(name)))
                Table.clear()


def declare_factors(factors: Iterable[Factor]) -> list[type[FreeFactor]]:
    """Add factors that bitskip knows by name only, once each; their techniques.

    Raises UserError for a factor that is declared with another baseline.
    """
    found = []
    for factor in factors:
        known = free_factors().get(factor.name)
        if known is None:
            known = technique_of(factor)
            _named.append(PlugIn(known, "factor", factor.name))
            Table.clear()
        elif known.factor != factor:
            raise UserError(
                f"factors: {factor.name} is declared twice, with baseline {known.factor.baseline!r} and with "
                f"{factor.baseline!r}; keep such results apart, or give both one baseline"
            )
        found.append(known)
    return found


def free_factors() -> dict[str, type[FreeFactor]]:
    """Declared factors by their names."""
    found = (each.technique for each in _named)
    return {each.factor.name: each for each in found if issubclass(each, FreeFactor)}


def _checked(technique: type[Technique], package: str, version: str) -> PlugIn:
    if not dataclasses.is_dataclass(technique) or not technique.axes():
        raise UserError(
            f"plug-in {package}: {technique.__name__} declares no axis; make it a frozen dataclass whose fields are "
            "bitskip.axis(…)"
        )
    return PlugIn(technique, package, version)


def _version_of(name: str) -> str:
    top = name.split(".")[0]
    try:
        return importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules[top], "__version__", ""))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


def factors() -> dict[str, tuple[str, ...]]:
    """Factors of a design with their axes, the one that switches it first."""
    found: dict[str, tuple[str, ...]] = {}
    for technique in techniques():
        for factor, axes in technique.factors().items():
            found[factor] = (*found.get(factor, ()), *axes)
    return found


def leader(factor: str) -> type[Technique]:
    """The technique that a factor belongs to."""
    return next(technique for technique in techniques() if factor in technique.factors())


class Table(Mapping[str, V]):
    """A table made from the techniques, and anew when a plug-in has been added."""

    _all: ClassVar[list[Table[Any]]] = []

    def __init__(self, make: Callable[[], dict[str, V]]) -> None:
        self._make = make
        self._made: dict[str, V] | None = None
        Table._all.append(self)

    def _content(self) -> dict[str, V]:
        if self._made is None:
            self._made = self._make()
        return self._made

    @staticmethod
    def clear() -> None:
        """Make all tables anew when they are next looked at."""
        for table in Table._all:
            table._made = None

    def __getitem__(self, name: str) -> V:
        return self._content()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content())

    def __contains__(self, name: object) -> bool:
        return name in self._content()

    def items(self) -> ItemsView[str, V]:
        return self._content().items()

    def __len__(self) -> int:
        return len(self._content())
