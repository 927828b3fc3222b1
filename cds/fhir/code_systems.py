"""The names of code systems: the URI that FHIR gives a system stands for the OIDs that charts write instead."""

from __future__ import annotations

#: HL7 FHIR R4, Using Codes in resources, "Code Systems" (terminologies-systems.html): URI and OID of each system.
_OF_OID = {
    "urn:oid:2.16.840.1.113883.6.96": "http://snomed.info/sct",
    "urn:oid:2.16.840.1.113883.6.88": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "urn:oid:2.16.840.1.113883.6.1": "http://loinc.org",
    "urn:oid:2.16.840.1.113883.12.292": "http://hl7.org/fhir/sid/cvx",
    "urn:oid:2.16.840.1.113883.6.12": "http://www.ama-assn.org/go/cpt",
    "urn:oid:2.16.840.1.113883.6.69": "http://hl7.org/fhir/sid/ndc",
    "urn:oid:2.16.840.1.113883.6.3": "http://hl7.org/fhir/sid/icd-10",
    "urn:oid:2.16.840.1.113883.6.90": "http://hl7.org/fhir/sid/icd-10-cm",
    "urn:oid:2.16.840.1.113883.6.103": "http://hl7.org/fhir/sid/icd-9-cm",
}


def canonical(system: str) -> str:
    """The URI that FHIR gives the code system of a coding: that of its OID, or the system as it is written."""
    return _OF_OID.get(system, system)
