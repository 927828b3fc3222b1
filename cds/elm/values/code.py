"""Code, Concept, and references to value sets and code systems (CQL 1.5, appendix B, Types)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Code:
    """A code of a code system, named by URL."""

    code: str | None = None
    system: str | None = None
    version: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Concept:
    """Codes that mean one thing, and its text."""

    codes: tuple[Code, ...] = ()
    display: str | None = None
    #: Its codes as (system, code), for membership tests.
    pairs: tuple[tuple[str | None, str | None], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", tuple([(code.system, code.code) for code in self.codes]))


@dataclass(frozen=True, slots=True)
class ValueSetRef:
    """A value set as a library names it; its members come from the terminology port."""

    id: str
    version: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class CodeSystemRef:
    """A code system as a library names it."""

    id: str
    version: str | None = None
    name: str | None = None
