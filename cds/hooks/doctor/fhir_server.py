"""What is wrong with a FHIR server for a service that reads from it: version, searches, pages, access, CORS."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from cds.hooks.doctor.probe import Answer, Probe
from cds.hooks.doctor.report import Report, Severity

Json = dict[str, Any]

_PATIENT_ID = "{{context.patientId}}"
_CAPABILITIES = "FHIR R4, CapabilityStatement"
_SEARCH = "FHIR R4, Search"
_PAGING = "FHIR R4, Paging"
_ACCESS = "SMART App Launch, Access to FHIR"
_JSON = ("application/fhir+json", "application/json", "application/json+fhir")


def examine_fhir_server(
    report: Report,
    probe: Probe,
    metadata: Answer,
    *,
    queries: Mapping[str, str],
    needed: Collection[str],
    patient: str | None,
    token: str | None,
) -> None:
    """Looks at what the server says of itself, and at the searches that the service asks of it."""
    _transport(report)
    _capabilities(report, metadata)
    _declared(report, metadata.json, queries, needed)
    _access(report, probe, metadata.json)
    known = patient.removeprefix("Patient/") if patient else _some_patient(report, probe, token)
    if known:
        _searches(report, probe, queries, needed, known, token)
        _pages(report, probe, known, token)


def _transport(report: Report) -> None:
    if re.match(r"http://(localhost|127\.|\[::1\])", report.url):
        report.info(43, report.url, "http on loopback: good for tests alone")
        return
    report.expect(
        report.url.startswith("https://"),
        43,
        report.url,
        "TLS",
        "is http: patient data goes in clear text",
        "serve https",
    )


def _capabilities(report: Report, metadata: Answer) -> None:
    content = metadata.json
    version = str(content.get("fhirVersion", "missing"))
    report.expect(
        version.startswith("4.0"),
        _CAPABILITIES,
        "metadata.fhirVersion",
        f"FHIR {version}",
        f"is {version}: the trials' logic is written for R4 (4.0.1)",
        "use the server's R4 endpoint",
        Severity.WARNING if version.startswith("4.") else Severity.ERROR,
    )
    formats = content.get("format") or []
    report.expect(
        metadata.media_type in _JSON and any("json" in str(one) for one in formats),
        _CAPABILITIES,
        "metadata.format",
        "FHIR JSON",
        "does not say that it speaks JSON",
        "serve application/fhir+json",
        Severity.WARNING,
    )
    origin = metadata.headers.get("Access-Control-Allow-Origin")
    report.expect(
        bool(origin),
        77,
        "metadata",
        "pages of other origins may read",
        "does not allow pages of other origins",
        "the CDS Hooks sandbox, which runs in a browser, needs it; services do not",
        Severity.INFO,
    )


def _kinds(content: Json) -> dict[str, Json]:
    return {
        str(one.get("type")): one
        for rest in content.get("rest") or ()
        if isinstance(rest, dict) and rest.get("mode", "server") == "server"
        for one in rest.get("resource") or ()
        if isinstance(one, dict)
    }


def _declared(report: Report, content: Json, queries: Mapping[str, str], needed: Collection[str]) -> None:
    """Whether the server says that it can do what is asked of it."""
    kinds = _kinds(content)
    for kind, parameter in _asked(queries):
        declared = kinds.get(kind)
        interactions = {one.get("code") for one in (declared or {}).get("interaction") or () if isinstance(one, dict)}
        parameters = {one.get("name") for one in (declared or {}).get("searchParam") or () if isinstance(one, dict)}
        if declared is None:
            wrong = "is not there"
        elif parameter is None:
            wrong = "" if "read" in interactions else "cannot be read"
        elif "search-type" not in interactions:
            wrong = "cannot be searched"
        else:
            wrong = "" if parameter in parameters else f"has no search parameter {parameter}"
        report.expect(
            not wrong,
            _CAPABILITIES,
            f"metadata {kind}",
            "can be had",
            f"{kind} {wrong}, says the server",
            _remedy(kind, needed),
            _severity(kind, needed, Severity.WARNING),
        )


def _asked(queries: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """The type and the search parameter of each query; None for a read."""
    for query in queries.values():
        kind, _, parameters = query.partition("?")
        yield (kind, parameters.partition("=")[0]) if parameters else (kind.partition("/")[0], None)


def _severity(kind: str, needed: Collection[str], otherwise: Severity) -> Severity:
    return Severity.ERROR if kind == "Patient" or kind in needed else otherwise


def _remedy(kind: str, needed: Collection[str]) -> str:
    if kind == "Patient" or kind in needed:
        return "without it every call is answered with 412"
    return "criteria that rest on it stay unknown, and the card says so; send it as prefetch, if you can"


def _access(report: Report, probe: Probe, content: Json) -> None:
    smart = probe.get("/.well-known/smart-configuration")
    declared = any(isinstance(rest, dict) and rest.get("security") for rest in content.get("rest") or ())
    told = "says how to get access (SMART)" if smart and smart.status == 200 else "says nothing of SMART"
    report.info(_ACCESS, "/.well-known/smart-configuration", told + ("; metadata names its security" * declared))


def _some_patient(report: Report, probe: Probe, token: str | None) -> str | None:
    """The id of any patient, to try searches with."""
    answer = probe.get("/Patient?_count=1", token=token)
    entries = answer.json.get("entry") if answer and isinstance(answer.json, dict) else None
    first = entries[0].get("resource") if isinstance(entries, list) and entries and isinstance(entries[0], dict) else {}
    if isinstance(first, dict) and isinstance(first.get("id"), str):
        report.info(_SEARCH, "Patient", "searches are tried with the first patient of the server; or give --patient")
        return str(first["id"])
    status = answer.status if answer else "no answer"
    report.warning(_SEARCH, "Patient", f"no patient to try searches with ({status})", "give --patient and --token")
    return None


def _searches(
    report: Report,
    probe: Probe,
    queries: Mapping[str, str],
    needed: Collection[str],
    patient: str,
    token: str | None,
) -> None:
    for query, (kind, _) in zip(queries.values(), _asked(queries), strict=True):
        filled = query.replace(_PATIENT_ID, patient)
        where = query.replace(_PATIENT_ID, "ID")
        answer = probe.get(f"/{filled}", token=token)
        if answer is None:
            continue
        if answer.status in (401, 403):
            scope = f"{kind}.read"
            report.expect(
                False,
                _ACCESS,
                where,
                "",
                f"gives {answer.status}",
                f"give a --token whose scope holds {scope}",
                _severity(kind, needed, Severity.WARNING),
            )
            continue
        expected = kind if "?" not in query else "Bundle"
        got = answer.json.get("resourceType") if isinstance(answer.json, dict) else answer.problem
        report.expect(
            answer.status == 200 and got == expected,
            _SEARCH,
            where,
            f"gives a {expected}",
            f"gives {answer.status}, {got}",
            _remedy(kind, needed),
            _severity(kind, needed, Severity.WARNING),
        )
        if expected == "Bundle" and got == "Bundle":
            _foreign(report, answer.json, kind, patient, where)


def _foreign(report: Report, bundle: Json, kind: str, patient: str, where: str) -> None:
    """Whether a search by patient gave resources of others, because its parameter was ignored."""
    for entry in bundle.get("entry") or ():
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or resource.get("resourceType") != kind:
            continue
        holder = resource.get("subject") or resource.get("patient")
        reference = holder.get("reference") if isinstance(holder, dict) else None
        if isinstance(reference, str) and "Patient/" in reference and reference.rpartition("/")[2] != patient:
            report.error(
                _SEARCH, where, "gives resources of other patients: the parameter is ignored", "see the server's search"
            )
            return


def _pages(report: Report, probe: Probe, patient: str, token: str | None) -> None:
    """Whether a search in small pages has a next page that can be followed with the same credentials."""
    answer = probe.get(f"/Observation?patient={patient}&_count=1", token=token)
    bundle = answer.json if answer and isinstance(answer.json, dict) else {}
    links = bundle.get("link") if isinstance(bundle.get("link"), list) else []
    following = next(
        (one.get("url") for one in links or () if isinstance(one, dict) and one.get("relation") == "next"), None
    )
    shown = sum(isinstance(entry, dict) and "resource" in entry for entry in bundle.get("entry") or ())
    total = bundle.get("total")
    if following is None:
        left = isinstance(total, int) and total > shown
        report.expect(
            not left,
            _PAGING,
            "Observation",
            "one page holds all",
            f"shows {shown} of {total}, and has no link next",
            "send link.relation=next",
        )
        return
    if not isinstance(following, str) or not probe.same_origin(following):
        report.error(
            43,
            "Observation link next",
            "leads to another origin, where the token is not sent",
            "let next links lead to the server's own public address",
        )
        return
    page = probe.get(following, token=token)
    if page:
        report.expect(
            page.status == 200 and isinstance(page.json, dict) and page.json.get("resourceType") == "Bundle",
            _PAGING,
            "Observation link next",
            "pages can be followed",
            f"the next page gives {page.status}",
            "keep pages for some minutes",
        )
