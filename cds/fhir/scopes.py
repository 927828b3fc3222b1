"""What an access token allows: SMART App Launch scopes, versions 1 (``.read``) and 2 (``.rs``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_SCOPE = re.compile(
    r"(?P<level>patient|user|system)/(?P<type>\*|[A-Za-z]+)\.(?P<what>read|write|\*|c?r?u?d?s?)(?P<query>\?.*)?",
    re.ASCII,
)


class Allowed(Enum):
    """How much of a type may be read: all, some (a scope with a query), nothing."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes of a token as they were granted.

    A text without any scope for resources ("openid", a vendor's own) says nothing of types: the server decides then.
    `patients` says whether those of level ``patient`` are for the patient whom it is about.
    """

    granted: tuple[re.Match[str], ...]
    patients: bool = True

    @classmethod
    def of(cls, text: str | None, *, patients: bool = True) -> Scopes:
        """The scopes in a text, as it stands in ``fhirAuthorization.scope``."""
        found = (_SCOPE.fullmatch(part) for part in (text or "").split())
        return cls(tuple(one for one in found if one), patients)

    def allow(self, resource_type: str, *, search: bool = True) -> Allowed:
        """Whether resources of a type may be searched for, or one be read by its id."""
        if not self.granted and self.patients:
            return Allowed.ALL
        best = Allowed.NONE
        for one in self.granted:
            if one["type"] not in ("*", resource_type) or (one["level"] == "patient" and not self.patients):
                continue
            if not _reads(one["what"], search):
                continue
            if not one["query"]:
                return Allowed.ALL
            best = Allowed.SOME
        return best


def _reads(what: str, search: bool) -> bool:
    if what in ("read", "write", "*"):
        return what != "write"
    return ("s" if search else "r") in what
