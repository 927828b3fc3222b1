"""What the FHIR side of the service can do: its CapabilityStatement (R4)."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cds.publishing.repository import TYPES
from cds.publishing.search import EVERYWHERE, PARAMETERS

Json = dict[str, Any]

_APPLY = "http://hl7.org/fhir/OperationDefinition/PlanDefinition-apply"


def software_version() -> str:
    """The version of this package; ``unknown`` where it is not installed."""
    try:
        return version("trial-match-cds")
    except PackageNotFoundError:
        return "unknown"


def capability_statement(base: str, since: datetime) -> Json:
    """The CapabilityStatement of the server at `base`, as it is since it started."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": since.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {"name": "trial-match-cds", "version": software_version()},
        "implementation": {"description": "The trials that this service matches patients with", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "documentation": "What is published can be read and searched, and plans applied to a patient who is "
                "given in the request's body. No patient's data is kept.",
                "security": {"cors": True},
                "resource": [_resource(kind) for kind in TYPES],
            }
        ],
    }


def _resource(kind: str) -> Json:
    told: Json = {
        "type": kind,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "conditionalRead": "not-match",
        "searchParam": [
            {"name": name, "type": parameter.kind}
            for name, parameter in sorted((EVERYWHERE | PARAMETERS[kind]).items())
        ],
    }
    if kind == "PlanDefinition":
        told["operation"] = [{"name": "apply", "definition": _APPLY}]
    return told
