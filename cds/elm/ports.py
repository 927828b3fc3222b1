"""What the engine asks of the world: patient data, terminology, and the data model the data is written in.

The engine knows no FHIR: a room that does implements these and hands them in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cds.elm.types import Type

#: A CQL value: None, bool, int (Integer), Long, Decimal, str, the classes of `cds.elm.values`, list, Structured.
Value = Any
#: One member of a value set: (code system URL, code).
Pair = tuple[str, str]


class Structured:
    """A value of a class of the data model, such as a FHIR resource or one of its elements; a room that knows one
    derives its own.

    `type_name` is qualified as ELM writes it: ``{http://hl7.org/fhir}Observation``. Equality is by content.
    """

    # No abc.ABC: the engine asks of most values whether they are one, and an ABC answers that many times slower.
    __slots__ = ()

    @property
    def type_name(self) -> str:
        raise NotImplementedError

    def get(self, path: str) -> Value:
        """The element at `path`: None where absent, a list where it repeats; choice types by their base name."""
        raise NotImplementedError

    def codings(self) -> Sequence[Pair]:
        """The codes that a coded element says, those without a system or code left out; of other elements, none."""
        raise NotImplementedError

    def children(self) -> list[Value]:
        """The values of all elements, in the order of the model (CQL's Children)."""
        raise NotImplementedError


class Retriever(Protocol):
    """One patient's data."""

    def retrieve(
        self, type_name: str, code_path: str | None = None, codes: Collection[Pair] | None = None
    ) -> Sequence[Structured]:
        """All resources of the (unqualified) type; of those, where `codes` is given, the ones of which a coding
        at `code_path` is among `codes`. In the order of the record. `context_patient` comes by type ``Patient``."""


class Terminology(Protocol):
    """Value sets and code systems, by canonical URL."""

    def value_set(self, url: str, version: str | None = None) -> Collection[Pair]:
        """The expansion. Raises TerminologyError, by name, where there is none."""

    def code_system(self, url: str, version: str | None = None) -> frozenset[str]:
        """All codes of a code system. Raises TerminologyError where it is not held."""

    def subsumes(self, ancestor: Pair, descendant: Pair) -> bool | None:
        """Whether one code is, or is above, the other; None where no hierarchy is held."""


class Model(Protocol):
    """A data model that libraries name with `using`."""

    uri: str
    #: How CQL names it, such as ``using FHIR version '4.0.1'``.
    declaration: str

    def is_model(self, name: str | None, uri: str | None, version: str | None) -> bool:
        """Whether a library that is `using` a model of that local name, address and version can be run."""

    def tester(self, type_name: str) -> Callable[[Value], bool]:
        """A function that says whether a value is of the qualified type or of one derived from it."""

    def derives(self, type_name: str, base: str) -> bool:
        """Whether the qualified type is the other, or derived from it."""

    def is_resource_type(self, type_name: str) -> bool:
        """Whether the qualified type is a resource's (evidence can be cited by it)."""

    def element_type(self, type_name: str, path: str) -> Type | None:
        """The static type of the element `path` of the qualified type; None where it has none."""

    def native(self, library: str, function: str) -> Callable[..., Value] | None:
        """Our own code for a function of a conversion library, such as ``FHIRHelpers.ToQuantity``; else None."""

    def instance(self, type_name: str, elements: Mapping[str, Value]) -> Value:
        """A new value of the type from its elements (CQL's instance selector)."""
