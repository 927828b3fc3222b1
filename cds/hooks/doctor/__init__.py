"""Looks at a CDS Hooks service or a FHIR server from outside, and says what will not work."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cds.hooks.doctor.fhir_server import examine_fhir_server
from cds.hooks.doctor.probe import Answer, Probe
from cds.hooks.doctor.report import Finding, Report, Severity
from cds.hooks.doctor.service import examine_service
from cds.hooks.signing import Signer

__all__ = ["Finding", "Report", "Severity", "examine"]

Json = dict[str, Any]


def examine(
    url: str,
    *,
    queries: Mapping[str, str],
    needed: Collection[str],
    patient: str | None = None,
    chart: Json | None = None,
    token: str | None = None,
    signer: Signer | None = None,
    seconds: float = 10,
) -> Report:
    """What is wrong, and what is right, with what stands at `url`: a CDS Hooks service or a FHIR server.

    `queries` are the searches (prefetch key -> template) that our service asks of a FHIR server, `needed` the resource
    types without which it cannot answer. `patient` is an id there, or that of the patient whose Bundle `chart` is;
    without either, a service is sent a patient made up, with empty searches. `token` opens the FHIR server, `signer`
    the service.
    """
    base = url.strip().rstrip("/").removesuffix("/cds-services").removesuffix("/metadata")
    report = Report(base)
    probe = Probe(report, base, seconds=seconds)
    if not base.startswith(("http://", "https://")):
        report.error("address", url, "is no http(s) URL", "give the base URL of a service or of a FHIR server")
        return report
    discovery = probe.get("/cds-services", signer=signer)
    if discovery is None:
        return report
    metadata = None if _is_discovery(discovery) else probe.get("/metadata", token=token)
    if metadata is not None and _is_fhir(metadata.json):
        report.kind = "FHIR server"
        examine_fhir_server(report, probe, metadata, queries=queries, needed=needed, patient=patient, token=token)
    elif _is_discovery(discovery) or discovery.status == 401:
        report.kind = "CDS Hooks service"
        examine_service(report, probe, discovery, patient=patient, chart=chart, signer=signer)
    else:
        told = f"/cds-services gives {discovery.status}, /metadata {metadata.status if metadata else 'nothing'}"
        report.error(5, base, f"is neither a CDS Hooks service nor a FHIR server: {told}", "check the base URL")
    return report


def _is_discovery(answer: Answer) -> bool:
    return isinstance(answer.json, dict) and "services" in answer.json


def _is_fhir(content: Any) -> bool:
    return isinstance(content, dict) and content.get("resourceType") in ("CapabilityStatement", "Conformance")
