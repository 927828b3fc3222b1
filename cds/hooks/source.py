"""Where data is read that a request came without: the FHIR server that it names, as far as it may be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cds.fhir.scopes import Allowed, Scopes
from cds.fhir.server import Answer, Reading, Servers, Wanted
from cds.hooks.request import HookRequest


class Reader(Protocol):
    """Reads for one call."""

    def read(self, wanted: Mapping[str, Wanted]) -> Mapping[str, Answer]:
        """The answers, by the keys of what is wanted; each says itself what could not be read and why."""
        ...


class Source(Protocol):
    """Where data can be read that a request came without."""

    def open(self, request: HookRequest) -> Reader | None:
        """A reader for one request; None where it names nothing to read from."""
        ...


class NoSource:
    """A Source that has nothing: what was not prefetched is missing."""

    def open(self, request: HookRequest) -> Reader | None:
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class FHIRServerSource:
    """Reads from a request's ``fhirServer`` with its token (CDS Hooks 2.0.1, FHIR Resource Access)."""

    servers: Servers

    def open(self, request: HookRequest) -> Reader | None:
        """A reader of the request's server. Where that may not be read, each answer of the reader says why."""
        if request.fhir_server is None:
            return None
        base = self.servers.allowlist.find(request.fhir_server)
        if base is None:
            return _Refused(Answer(problem="this service may not read from that fhirServer", outcome="not-allowed"))
        authorization = request.fhir_authorization
        if authorization is None:
            return self.servers.open(base, None)
        lifetime = authorization.get("expires_in")
        if lifetime is not None and lifetime <= 0:
            return _Refused(Answer(problem="the access token has expired", outcome="denied"))
        patient = authorization.get("patient")
        hers = patient is None or patient.removeprefix("Patient/") == request.patient_id
        scopes = Scopes.of(authorization.get("scope"), patients=hers)
        return _Scoped(self.servers.open(base, authorization["access_token"]), scopes)


@dataclass(frozen=True, slots=True)
class _Refused:
    answer: Answer

    def read(self, wanted: Mapping[str, Wanted]) -> Mapping[str, Answer]:
        return dict.fromkeys(wanted, self.answer)


@dataclass(frozen=True, slots=True)
class _Scoped:
    """Asks for no more than the token's scopes allow. What they allow in part is read, and is not all."""

    reading: Reading
    scopes: Scopes

    def read(self, wanted: Mapping[str, Wanted]) -> Mapping[str, Answer]:
        allowed = {key: self.scopes.allow(one.kind, search=one.id is None) for key, one in wanted.items()}
        answers = self.reading.read({key: one for key, one in wanted.items() if allowed[key] is not Allowed.NONE})
        for key, one in wanted.items():
            if allowed[key] is Allowed.NONE:
                problem = f"the access token's scope or patient does not allow reading {one.kind}"
                answers[key] = Answer(problem=problem, outcome="scope")
            elif allowed[key] is Allowed.SOME and not answers[key].problem:
                answers[key].problem = f"the access token's scope allows only some of {one.kind}"
                answers[key].outcome = "scope"
        return answers
