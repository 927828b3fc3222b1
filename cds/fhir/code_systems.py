"""The names of code systems: charts write OIDs for the URIs that FHIR gives, and other editions of ICD-10."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from cds.elm.ports import Pair

_ICD_10: Final = "http://hl7.org/fhir/sid/icd-10"
_ICD_10_CM: Final = "http://hl7.org/fhir/sid/icd-10-cm"

#: HL7 FHIR R4, Using Codes in resources, "Code Systems" (terminologies-systems.html): URI and OID of each system. The
#: last is China's table of diagnosis codes (ICD-10), as Chinese hospitals name it in shared documents.
_OF_OID = {
    "urn:oid:2.16.840.1.113883.6.96": "http://snomed.info/sct",
    "urn:oid:2.16.840.1.113883.6.88": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "urn:oid:2.16.840.1.113883.6.1": "http://loinc.org",
    "urn:oid:2.16.840.1.113883.12.292": "http://hl7.org/fhir/sid/cvx",
    "urn:oid:2.16.840.1.113883.6.12": "http://www.ama-assn.org/go/cpt",
    "urn:oid:2.16.840.1.113883.6.69": "http://hl7.org/fhir/sid/ndc",
    "urn:oid:2.16.840.1.113883.6.3": _ICD_10,
    "urn:oid:2.16.840.1.113883.6.90": _ICD_10_CM,
    "urn:oid:2.16.840.1.113883.6.103": "http://hl7.org/fhir/sid/icd-9-cm",
    "urn:oid:2.16.156.10011.2.3.3.11": _ICD_10,
}

#: China's codes of ICD-10 (GB/T 14396) carry two places more, an ``x`` for an empty one: ``C53.900``, ``B24.x01x001``.
_CHINESE = re.compile(r"([A-Z][0-9]{2})(\.[0-9])?(?:\.?x)?[0-9]{2}(?:x[0-9]{3})?", re.ASCII)


_OIDS: Final = {uri: tuple(oid for oid, name in _OF_OID.items() if name == uri) for uri in set(_OF_OID.values())}


def as_written(codes: Iterable[Pair]) -> frozenset[Pair]:
    """Codes together with the ways in which charts write them: under the OIDs of their systems, and, of ICD-10-CM, as
    the WHO's code, since the modification keeps the code and the meaning of what it does not divide."""
    found = set(codes)
    found |= {(_ICD_10, code) for system, code in found if system == _ICD_10_CM}
    return frozenset(found | {(oid, code) for system, code in found for oid in _OIDS.get(system, ())})


def pairs(system: str, code: str) -> tuple[Pair, ...]:
    """A coding as the (system, code) pairs by which it is known: one, but for China's codes of ICD-10, which the WHO's
    begin."""
    if _OF_OID.get(system, system) != _ICD_10:
        return ((system, code),)
    chinese = _CHINESE.fullmatch(code)
    return ((system, code),) if chinese is None else ((system, code), (system, chinese[1] + (chinese[2] or "")))
