"""Whether prefetch templates can be filled by clients (CDS Hooks 2.0.1, Prefetch Template)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cds.hooks.doctor.cards import Problem

_TOKEN = re.compile(r"\{\{(.*?)\}\}")
_USER = ("userPractitionerId", "userPractitionerRoleId", "userPatientId", "userRelatedPersonId")
#: What of each hook's context may stand in a template (CDS Hooks library, "Prefetch Token: Yes").
_CONTEXT = {
    "order-dispatch": ("patientId", "dispatchedOrders", "performer"),
    "encounter-start": ("userId", "patientId", "encounterId"),
    "encounter-discharge": ("userId", "patientId", "encounterId"),
}
_USUAL = ("userId", "patientId", "encounterId")
_FHIRPATH = re.compile(r"today\(\)|resolve\(\)|ofType\(|[|%]|\.\w+\.\w+")


def template_problems(hook: str, key: str, template: object) -> Iterator[Problem]:
    """What is wrong with one prefetch template of a service of `hook`."""
    at = f"prefetch.{key}"
    if not isinstance(template, str) or not template:
        yield 9, at, "is no text", "write a FHIR query"
        return
    if template.count("{{") != template.count("}}") or template.count("{{") != len(_TOKEN.findall(template)):
        yield 17, at, "has braces that do not match", "write tokens as {{context.patientId}}"
        return
    for token in _TOKEN.findall(template):
        yield from _token(hook, token.strip(), at)
    yield from _query(_TOKEN.sub("token", template), at)


def _token(hook: str, token: str, at: str) -> Iterator[Problem]:
    if token in _USER:
        return
    if _FHIRPATH.search(token):
        yield 18, at, f"{token!r} is FHIRPath, which clients of 2.0 do not fill", "use plain tokens"
        return
    name = token.removeprefix("context.")
    known = _CONTEXT.get(hook, _USUAL)
    if not token.startswith("context.") or (name not in known and "." not in hook):
        yield 17, at, f"{token!r} is no prefetch token of {hook}", f"use context.{', context.'.join(known)}"


def _query(query: str, at: str) -> Iterator[Problem]:
    if re.fullmatch(r"[A-Z][A-Za-z]+/[^/?]+", query):
        return
    kind, divided, parameters = query.partition("?")
    if not divided or not re.fullmatch(r"[A-Z][A-Za-z]+", kind):
        yield 19, at, "is neither a read (Type/id) nor a search (Type?...)", "write it relative to the FHIR base"
        return
    names = []
    for parameter in parameters.split("&"):
        name, divided, value = parameter.partition("=")
        names.append(name)
        bare, _, modifier = name.partition(":")
        if not divided or not value:
            yield 19, at, f"the parameter {name!r} has no value", "give it one"
        elif name.startswith("_") and name not in ("_count", "_sort", "_id", "_maxresults"):
            yield 19, at, f"{name} goes beyond what clients must support", "ask plainly, in queries of their own"
        elif "." in bare or (modifier and modifier != "in"):
            yield 19, at, f"{name} is chained or modified", "ask plainly, in queries of their own"
    if len(set(names)) < len(names):
        yield 20, at, "repeats a parameter; some clients join the values", "ask in two queries"
