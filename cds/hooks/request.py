"""What an EHR asks: the request of a hook, checked (CDS Hooks 2.0.1, HTTP Request)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from cds.errors import RequestError

Json = dict[str, Any]

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: FHIR R4, datatype id.
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
#: What a header can carry, and no more: visible ASCII.
_TOKEN = re.compile(r"[!-~]{1,16384}", re.ASCII)
_USER = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
#: What each hook of the library requires in its context beside patientId (CDS Hooks library, hooks of any maturity).
_CONTEXT = {
    "patient-view": ("userId",),
    "order-select": ("userId", "selections", "draftOrders"),
    "order-sign": ("userId", "draftOrders"),
    "order-dispatch": ("dispatchedOrders", "performer"),
    "encounter-start": ("userId", "encounterId"),
    "encounter-discharge": ("userId", "encounterId"),
    "appointment-book": ("userId", "appointments"),
    "problem-list-item-create": ("userId", "conditions"),
    "allergyintolerance-create": ("userId", "allergyIntolerance"),
    "medication-refill": ("medications",),
    "medication-prescribe": ("userId", "medications"),
    "order-review": ("userId", "orders"),
}
#: Those of them that hold resources: the ones that somebody is about to write, not yet on the server.
_BUNDLES = ("draftOrders", "appointments", "conditions", "medications", "orders")


@dataclass(frozen=True, slots=True)
class HookRequest:
    """One call of a service: for which patient, with which data. The access token never shows in its `repr`."""

    hook_instance: UUID
    user_id: str | None
    patient_id: str
    prefetch: Mapping[str, Any] = field(repr=False)
    fhir_server: str | None = None
    fhir_authorization: Mapping[str, Any] | None = field(default=None, repr=False)
    in_context: Mapping[str, list[Json]] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, body: Any, hook: str) -> HookRequest:
        """The request in a JSON body for a service of `hook`. RequestError names the field that is wrong.

        What we do not know is ignored (hooks grow by fields). A patient id may be written ``Patient/123``, as older
        clients do.
        """
        if not isinstance(body, dict):
            raise RequestError("the body is not a JSON object", where="body", remedy="send a CDS Hooks request")
        named = _text(body, "hook", "name the hook that fired")
        if named != hook:
            raise RequestError("this service answers another hook", where="hook", remedy=f'send "hook": "{hook}"')
        instance = _text(body, "hookInstance", "send a new UUID for every call")
        if not _UUID.fullmatch(instance):
            raise RequestError("is not a UUID", where="hookInstance", remedy="send a new UUID for every call")
        context = _object(body, "context", required=True)
        required = _CONTEXT.get(hook, ())
        user = None
        if "userId" in required or context.get("userId") is not None:
            user = _text(context, "userId", "send the user as Type/id", within="context.")
            if not _USER.fullmatch(user):
                raise RequestError(
                    "is not written as Type/id", where="context.userId", remedy="such as Practitioner/123"
                )
        for name in required:
            if context.get(name) is None:
                raise RequestError("is missing", where=f"context.{name}", remedy=f"the hook {hook} has it")
        patient = _text(context, "patientId", "send the id of the patient", within="context.")
        patient = patient.removeprefix("Patient/")
        if not _ID.fullmatch(patient):
            raise RequestError(
                "is not a FHIR id",
                where="context.patientId",
                remedy="send the bare id: up to 64 letters, digits, hyphens and dots",
            )
        server = _server(body)
        return cls(
            hook_instance=UUID(instance),
            user_id=user,
            patient_id=patient,
            prefetch=_object(body, "prefetch"),
            fhir_server=server,
            fhir_authorization=_authorization(body, server),
            in_context=_drafts(context),
        )


def _drafts(context: Json) -> dict[str, list[Json]]:
    """The resources in a hook's context, by type. RequestError where a Bundle was to be and is none."""
    found: dict[str, list[Json]] = {}
    resources: list[Any] = []
    for name in _BUNDLES:
        bundle = context.get(name)
        if bundle is None:
            continue
        entries = bundle.get("entry", []) if isinstance(bundle, dict) else None
        if not isinstance(entries, list):
            raise RequestError("is no FHIR Bundle", where=f"context.{name}", remedy="send a Bundle of the drafts")
        resources += [entry.get("resource") for entry in entries if isinstance(entry, dict)]
    resources.append(context.get("allergyIntolerance"))
    for one in resources:
        if isinstance(one, dict) and isinstance(one.get("resourceType"), str):
            found.setdefault(one["resourceType"], []).append(one)
    return found


def _text(holder: Mapping[str, Any], name: str, remedy: str, within: str = "") -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        problem = "is missing" if value is None else "is not a non-empty string"
        raise RequestError(problem, where=within + name, remedy=remedy)
    return value


def _object(body: Json, name: str, *, required: bool = False) -> Json:
    value = body.get(name)
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        problem = "is missing" if value is None else "is not a JSON object"
        raise RequestError(problem, where=name, remedy=f"send {name} as an object")
    return value


def _server(body: Json) -> str | None:
    if body.get("fhirServer") is None:
        return None
    server = _text(body, "fhirServer", "send the base URL of the FHIR server")
    try:
        parts = urlsplit(server)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise RequestError("is not an http(s) URL", where="fhirServer", remedy="send the base URL of the FHIR server")
    return server


def _authorization(body: Json, server: str | None) -> Json | None:
    """The access token with what belongs to it (CDS Hooks 2.0.1, FHIR Resource Access)."""
    if body.get("fhirAuthorization") is None:
        return None
    authorization = _object(body, "fhirAuthorization")
    if server is None:
        raise RequestError(
            "is missing, though fhirAuthorization is there", where="fhirServer", remedy="send both, or neither"
        )
    within = "fhirAuthorization."
    if not _TOKEN.fullmatch(_text(authorization, "access_token", "send the token, or no fhirAuthorization", within)):
        raise RequestError("is no token", where="fhirAuthorization.access_token", remedy="send the token as it is")
    if _text(authorization, "token_type", 'send "Bearer"', within).lower() != "bearer":
        raise RequestError("is not Bearer", where="fhirAuthorization.token_type", remedy='send "Bearer"')
    lifetime = authorization.get("expires_in")
    if lifetime is not None and (isinstance(lifetime, bool) or not isinstance(lifetime, int)):
        raise RequestError("is not an integer", where="fhirAuthorization.expires_in", remedy="send seconds")
    for name in ("scope", "subject", "patient"):
        if authorization.get(name) is not None:
            _text(authorization, name, "send it as text", within)
    return authorization
