"""Value sets: expanded, not empty, of codes that can exist and that were seen in a source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cds.authoring.check.comparisons import NO_CODE, pairs
from cds.authoring.check.content import Content, Json, Resource, numbered_values, objects, text
from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.authoring.check.positions import Path
from cds.authoring.expansion import Definitions
from cds.errors import TerminologyError
from cds.trials.catalog import CANONICAL_BASE

NOT_EXPANDED = Rule("valueset-not-expanded", Severity.ERROR, "A value set that names codes by rule has no expansion.")
INCOMPLETE = Rule("expansion-incomplete", Severity.ERROR, "An expansion holds fewer codes than it says.")
STALE = Rule("expansion-stale", Severity.ERROR, "An expansion is not what the definition of its value set says.")
EMPTY = Rule("valueset-empty", Severity.WARNING, "A value set holds no code, so nothing is ever found by it.")
CIRCLE = Rule("valueset-cycle", Severity.ERROR, "A value set imports itself, through others or not.")
ABSENT = Rule("valueset-missing", Severity.ERROR, "The CQL names a value set that is not there.")
TWICE = Rule("code-duplicate", Severity.WARNING, "A value set lists a code twice.")
MALFORMED = Rule("code-malformed", Severity.ERROR, "A code cannot be one of its system.")
SYSTEM = Rule("code-system-unknown", Severity.WARNING, "A code system is none of those that charts use.")
SOURCE = Rule("code-source-missing", Severity.WARNING, "A code does not say where it was seen.")
NOT_VERIFIED = Rule("code-not-verified", Severity.INFORMATION, "A code was not seen in a source.")
UNSURE = Rule("code-verified-elsewhere", Severity.WARNING, "A code is marked as not verified here, and not elsewhere.")
RULES = (
    NOT_EXPANDED,
    INCOMPLETE,
    STALE,
    EMPTY,
    CIRCLE,
    ABSENT,
    TWICE,
    MALFORMED,
    SYSTEM,
    SOURCE,
    NOT_VERIFIED,
    UNSURE,
)

#: The code systems that charts use, by their URLs in FHIR (terminology.hl7.org, External Code Systems), with the form
#: of their codes where it is one.
SYSTEMS: dict[str, str | None] = {
    "http://snomed.info/sct": r"[1-9]\d{5,17}",
    "http://loinc.org": r"(L[AGPL])?\d{1,7}-\d",
    "http://hl7.org/fhir/sid/icd-10-cm": r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?",
    "http://hl7.org/fhir/sid/icd-10": r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?",
    "http://www.cms.gov/Medicare/Coding/ICD10": r"[0-9A-HJ-NP-Z]{7}",
    "http://hl7.org/fhir/sid/icd-9-cm": r"[EV]?\d{2,4}(\.\d{1,2})?",
    "http://terminology.hl7.org/CodeSystem/icd-o-3": None,
    "http://hl7.org/fhir/sid/icd-o-3": None,
    "urn:oid:2.16.840.1.113883.6.43.1": None,
    "http://www.nlm.nih.gov/research/umls/rxnorm": r"\d{1,8}",
    "http://www.whocc.no/atc": r"[A-DGHJLMNPRSV](\d\d([A-Z]([A-Z](\d\d)?)?)?)?",
    "http://hl7.org/fhir/sid/cvx": r"\d{1,3}",
    "http://hl7.org/fhir/sid/ndc": r"[\d-]{9,13}",
    "http://www.ama-assn.org/go/cpt": r"\d{4}[0-9A-Z]",
    "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets": r"[A-Z]\d{4}",
    "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets": r"[A-Z]\d{4}",
    "http://cancerstaging.org": None,
    "http://unitsofmeasure.org": None,
    "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl": r"C\d+",
    "http://ncimeta.nci.nih.gov": r"CL?\d+",
    "urn:ietf:bcp:47": None,
    "urn:iso:std:iso:3166": None,
    "http://fdasis.nlm.nih.gov": r"[0-9A-Z]{10}",
    "http://hl7.org/fhir/sid/mvx": None,
    "http://www.genenames.org": None,
    "http://www.icd10data.com/icd10pcs": None,
}
#: Systems of HL7, and those that a chart names by their OIDs.
_OF_OTHERS = ("http://terminology.hl7.org/", "http://hl7.org/fhir/", "urn:oid:")
_SNOMED, _LOINC = "http://snomed.info/sct", "http://loinc.org"

#: Verhoeff's check digit, as SNOMED CT identifiers have it (SNOMED CT Technical Implementation Guide, Check-digit).
_DIHEDRAL = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PERMUTATION = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


@dataclass(frozen=True, slots=True)
class Unverified:
    """A code that was not seen in a source: its value set, the code, and what is said of it."""

    value_set: str
    system: str
    code: str
    display: str
    reason: str
    place: Place


def findings(content: Content) -> Iterator[Finding]:
    """What is wrong with the value sets."""
    definitions = Definitions((str(one.source.path), one.json) for one in content.resources)
    verified = {pair for one in _value_sets(content) for pair in _verified(one.json)}
    for resource in _value_sets(content):
        if content.holds(resource.source.path):
            yield from _expansion(resource, definitions)
            yield from _circles(content, resource)
            yield from _codes(resource, verified, ours=bool(content.trials))
    for resource in content.resources:
        if resource.kind == "PlanDefinition" and content.holds(resource.source.path):
            yield from _inputs(content, resource)
    for cql in content.cql:
        if content.holds(cql.source.path):
            for name, (url, place) in cql.value_sets.items():
                if not any(one.kind == "ValueSet" for one in content.by_url.get(url.partition("|")[0], ())):
                    message = f'the value set "{name}" ({url}) is not there'
                    yield Finding(ABSENT, place, message, "put its JSON into a folder valuesets, or correct the url")


def _inputs(content: Content, plan: Resource) -> Iterator[Finding]:
    """What a plan asks for by a value set and a code of it: the result must be one that the criterion looks for."""
    for path, element in plan.elements:
        sets = content.by_url.get(text(element.get("valueSet")).partition("|")[0], [])
        held = {pair for one in sets for pair in pairs(one.json)}
        for number, coding in objects(element.get("code")) if held else ():
            if (text(coding.get("system")), text(coding.get("code"))) not in held:
                title = text(sets[0].json.get("title"))
                message = f'"{title}", which is missing where this is asked for, does not hold {coding.get("code")}'
                place = plan.source.place(*path, "code", number)
                yield Finding(NO_CODE, place, message, "ask for a code of the value set, or add it there")


def unverified(content: Content) -> list[Unverified]:
    """All codes that are marked as not seen in a source, by value set."""
    found = []
    for resource in _value_sets(content):
        title = text(resource.json.get("title")) or resource.url
        for system, concept, path in _concepts(resource):
            if _is_unverified(concept):
                place = resource.source.place(*path)
                code, display = text(concept.get("code")), text(concept.get("display"))
                reason = _reason(system, concept)
                found.append(Unverified(title, system, code, display, reason, place))
    return found


def _value_sets(content: Content) -> list[Resource]:
    return [one for one in content.resources if one.kind == "ValueSet"]


def _concepts(resource: Resource) -> Iterator[tuple[str, Json, Path]]:
    """The codes that a definition lists, each with its system and the path to it."""
    compose = resource.json.get("compose")
    for number, include in objects(compose.get("include") if isinstance(compose, dict) else None):
        for index, concept in objects(include.get("concept")):
            yield text(include.get("system")), concept, ("compose", "include", number, "concept", index)


def _is_unverified(concept: Json) -> bool:
    return any(value is True for _, value in numbered_values(concept, "not-verified"))


def _verified(value_set: Json) -> Iterator[tuple[str, str]]:
    compose = value_set.get("compose")
    for _, include in objects(compose.get("include") if isinstance(compose, dict) else None):
        for _, concept in objects(include.get("concept")):
            if not _is_unverified(concept):
                yield text(include.get("system")), text(concept.get("code"))


# --------------------------------------------------------------------------------------------------------- expansion


def _expansion(resource: Resource, definitions: Definitions) -> Iterator[Finding]:
    source, json = resource.source, resource.json
    expansion, compose = json.get("expansion"), json.get("compose")
    command = f"run: cds expand {source.path}"
    if not isinstance(expansion, dict):
        if not _lists_all(compose):
            message = "has no expansion, and its definition names codes by rule"
            yield Finding(NOT_EXPANDED, source.place("compose"), message, command)
        return
    held = list(_nested([one for _, one in objects(expansion.get("contains"))]))
    total = expansion.get("total")
    if isinstance(total, int) and total > len(held):
        message = f"the expansion holds {len(held)} codes of {total}"
        yield Finding(INCOMPLETE, source.place("expansion", "total"), message, command)
    if not held:
        message = "the expansion is empty, so nothing is ever found by it"
        yield Finding(EMPTY, source.place("expansion"), message, "list codes, or take the value set out")
    if not isinstance(compose, dict):
        return
    try:
        told = definitions.expand(json, str(source.path))
    except (TerminologyError, AttributeError, TypeError, KeyError):
        return  # what cannot be worked out here came from a server; links and circles have findings of their own
    there = {(text(one.get("system")), text(one.get("code"))) for one in held if one.get("abstract") is not True}
    if there != told.pairs:
        more, less = len(told.pairs - there), len(there - told.pairs)
        message = f"the expansion lacks {more} codes of the definition, and has {less} that are not in it"
        yield Finding(STALE, source.place("expansion"), message, command)


def _lists_all(compose: object) -> bool:
    includes = list(objects(compose.get("include"))) if isinstance(compose, dict) and not compose.get("exclude") else []
    return bool(includes) and all(
        one.get("concept") and not one.get("filter") and not one.get("valueSet") for _, one in includes
    )


def _nested(items: list[Json]) -> Iterator[Json]:
    waiting = list(items)
    while waiting:
        item = waiting.pop()
        yield item
        waiting += [one for _, one in objects(item.get("contains"))]


def _circles(content: Content, resource: Resource) -> Iterator[Finding]:
    for path, url in _imports(resource):
        ways = [[resource.url, url]]
        seen: set[str] = set()
        while ways:
            way = ways.pop(0)
            if way[-1] == resource.url:
                message = f"imports itself: {' -> '.join(one.rpartition('/')[2] for one in way)}"
                yield Finding(CIRCLE, resource.source.place(*path), message, "take one of the imports out")
                break
            if way[-1] not in seen:
                seen.add(way[-1])
                for other in content.by_url.get(way[-1], ()):
                    ways += [[*way, further] for _, further in _imports(other)]


def _imports(resource: Resource) -> Iterator[tuple[tuple[str | int, ...], str]]:
    compose = resource.json.get("compose")
    for part in ("include", "exclude"):
        for number, include in objects(compose.get(part) if isinstance(compose, dict) else None):
            urls = include.get("valueSet")
            for index, url in enumerate(urls if isinstance(urls, list) else ()):
                yield ("compose", part, number, "valueSet", index), text(url).partition("|")[0]


# ------------------------------------------------------------------------------------------------------------- codes


def _codes(resource: Resource, verified: set[tuple[str, str]], *, ours: bool) -> Iterator[Finding]:
    """What is wrong with single codes; that each says where it was seen is asked of trials alone."""
    seen: dict[tuple[str, str], Path] = {}
    place = resource.source.place
    for system, concept, path in _concepts(resource):
        pair = system, text(concept.get("code"))
        if seen.setdefault(pair, path) != path:
            message = f"the code {pair[1]} of {system} is listed at line {place(*seen[pair]).line} already"
            yield Finding(TWICE, place(*path), message, "take one of the two out")
        # Of one that is not verified that is said below: it decides nothing.
        if not _is_well_formed(*pair) and not _is_unverified(concept):
            message = f"{pair[1]!r} cannot be a code of {system}: its form or check digit is wrong"
            yield Finding(MALFORMED, place(*path, "code"), message, "look the code up again")
        for rule, message, mend in _source(concept, pair, verified):
            if ours or rule is not SOURCE:
                yield Finding(rule, place(*path), message, mend)
    yield from _systems(resource)


def _is_well_formed(system: str, code: str) -> bool:
    """Whether a code can be one of its system, by its form and its check digit."""
    form = SYSTEMS.get(system)
    if form is not None and re.fullmatch(form, code) is None:
        return False
    if system == _SNOMED:
        return _verhoeff(code)
    return system != _LOINC or not code[:1].isdecimal() or _luhn(code)


def _verhoeff(code: str) -> bool:
    """Whether the last digit is Verhoeff's check digit of the others."""
    check, row = 0, list(range(10))
    for digit in reversed(code):
        check = _DIHEDRAL[check][row[int(digit)]]
        row = [row[_PERMUTATION[number]] for number in range(10)]
    return check == 0


def _luhn(code: str) -> bool:
    """Whether the digit after the hyphen is the check digit of those before (LOINC Users' Guide: mod 10)."""
    digits, _, check = code.partition("-")
    total = 0
    for number, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if number % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return (10 - total % 10) % 10 == int(check)


def _source(concept: Json, pair: tuple[str, str], verified: set[tuple[str, str]]) -> Iterator[tuple[Rule, str, str]]:
    told = [str(value) for _, value in numbered_values(concept, "code-source")]
    system, code = pair
    if _is_unverified(concept):
        message = (
            f"{code} of {system} ({text(concept.get('display'))}) is not verified: {'; '.join(told) or 'no source'}"
        )
        yield NOT_VERIFIED, message, "see it in a source, name that in code-source, drop not-verified"
        if pair in verified:
            message = f"{code} of {system} is marked as not verified here, and stands in another value set as verified"
            yield UNSURE, message, "mark both alike"
    elif not told and not system.startswith(CANONICAL_BASE):
        yield (
            SOURCE,
            f"{code} of {system} does not say where it was seen",
            "add the extension code-source, or not-verified",
        )


def _reason(system: str, concept: Json) -> str:
    """Why a code is not verified."""
    told = "; ".join(str(value) for _, value in numbered_values(concept, "code-source")) or "no source is named"
    well_formed = _is_well_formed(system, text(concept.get("code")))
    return told if well_formed else f"{told}; its form or check digit is wrong, so it cannot exist"


def _systems(resource: Resource) -> Iterator[Finding]:
    compose = resource.json.get("compose")
    for number, include in objects(compose.get("include") if isinstance(compose, dict) else None):
        system = text(include.get("system"))
        if system and system not in SYSTEMS and not system.startswith((*_OF_OTHERS, CANONICAL_BASE)):
            place = resource.source.place("compose", "include", number, "system")
            message = f"{system} is no code system that charts are known to use"
            yield Finding(
                SYSTEM, place, message, "write its URL as FHIR does (terminology.hl7.org, External Code Systems)"
            )
