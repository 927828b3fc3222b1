"""What CQL says: whether it is reached, its units, the day that it counts from, what it retrieves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cds.authoring.check.content import Content, Resource, TrialFolder, objects, text
from cds.authoring.check.cql import Cql, Json, nodes, operands
from cds.authoring.check.finding import Finding, Rule, Severity
from cds.elm.values.quantity import CALENDAR_UNITS
from cds.fhir.model import TYPES
from cds.fhir.searches import of_patient

UNUSED = Rule("define-unused", Severity.WARNING, "Nothing that a criterion asks reaches a definition or function.")
OFFERED = Rule("define-offered", Severity.INFORMATION, "A shared library has definitions that no trial uses.")
VALUE_SET_UNUSED = Rule("valueset-unused", Severity.WARNING, "A value set is named and never asked.")
UNIT = Rule("unit-invalid", Severity.ERROR, "A quantity's unit is none of UCUM, nor of the calendar.")
CLOCK = Rule("clock-read", Severity.WARNING, "A definition counts from today, not from the planned first dose.")
SEARCH = Rule("retrieve-not-prefetched", Severity.WARNING, "Resources are retrieved that no prefetch can ask for.")
RULES = (UNUSED, OFFERED, VALUE_SET_UNUSED, UNIT, CLOCK, SEARCH)

#: UCUM's units with an offset, which no library converts by a factor, and which are valid all the same.
_WITH_OFFSET = frozenset(("Cel", "[degF]", "[degRe]"))
_UCUM = "http://unitsofmeasure.org"
#: Units for which the unit library, half a second, need not be loaded.
_FREQUENT = frozenset(
    (
        "",
        "1",
        "%",
        "s",
        "min",
        "h",
        "d",
        "wk",
        "mo",
        "a",
        "kg",
        "g",
        "mg",
        "ug",
        "mg/kg",
        "mg/d",
        "mg/dL",
        "mL",
        "cm",
        "mm",
    )
)
#: Read by reference from other resources, so never asked for by patient.
_BY_REFERENCE = frozenset(("Medication",))

#: A definition or function of a library: (library, name).
Name = tuple[str, str]


def findings(content: Content) -> Iterator[Finding]:
    """What is wrong in the expressions of a content folder."""
    yield from _unreached(content)
    for cql in content.cql:
        if content.holds(cql.source.path):
            yield from _units(cql)
            yield from _clock(cql) if content.trials else ()
            yield from _searches(cql)
    for resource in content.resources:
        if content.holds(resource.source.path):
            yield from _units_of_resource(resource)


# ------------------------------------------------------------------------------------------------- what is reached


def references(content: Content, cql: Cql, node: Any) -> Iterator[Name]:
    """The definitions and functions that an expression names, with their libraries."""
    for one in nodes(node):
        if one.get("type") in ("ExpressionRef", "FunctionRef") and isinstance(one.get("name"), str):
            library = one.get("libraryName")
            owner = cql.included.get(library, library) if isinstance(library, str) else cql.name
            if owner in content.libraries:
                yield str(owner), one["name"]


def bodies(content: Content, name: Name) -> list[tuple[Cql, Json]]:
    """The definition, or all functions, of a name, each with its library."""
    cql = content.libraries[name[0]]
    found = [cql.definitions[name[1]]] if name[1] in cql.definitions else []
    return [(cql, node) for node in found + cql.functions.get(name[1], [])]


def reached(content: Content, names: Iterable[Name]) -> list[Name]:
    """All that definitions rest on, themselves first."""
    found: dict[Name, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in found and name[0] in content.libraries:
            found[name] = None
            for cql, node in bodies(content, name):
                waiting += references(content, cql, node)
    return list(found)


def asked(content: Content, trial: TrialFolder) -> list[Name]:
    """The definitions that a trial's plan names: conditions, evidence and whatever else."""
    library = content.library(trial)
    if library is None or library.name is None:
        return []
    names = []
    for action in trial.actions:
        names += [action.condition[0]] if action.condition else []
        for extension in ("applies-when", "evidence", "verified-by"):
            names += [name for name in action.values(extension) if isinstance(name, str)]
        names += [
            text(one["expression"].get("expression"))
            for _, one in objects(action.json.get("dynamicValue"))
            if isinstance(one.get("expression"), dict)
        ]
    return [(library.name, name) for name in names]


def _unreached(content: Content) -> Iterator[Finding]:
    if not content.trials or any(cql.elm is None for cql in content.cql):
        return
    seen = set(reached(content, [name for trial in content.trials for name in asked(content, trial)]))
    of_trials = {trial.path for trial in content.trials}
    for cql in content.cql:
        if not content.holds(cql.source.path):
            continue
        left = {
            name: owned
            for name, owned in [*cql.definitions.items(), *((name, many[0]) for name, many in cql.functions.items())]
            if (cql.name, name) not in seen and name != "Patient"  # the translator adds the definition Patient
        }
        if cql.source.path.parent in of_trials:
            yield from _forgotten(cql, left)
        elif left:
            message = f"no trial uses {len(left)} of its definitions: {', '.join(sorted(left))}"
            yield Finding(OFFERED, cql.source.line(1), message[:400], "use them, or remove what nobody will use")
        yield from _unused_value_sets(content, cql)
    yield from _unnamed_value_sets(content)


def _forgotten(cql: Cql, left: dict[str, Json]) -> Iterator[Finding]:
    for name, owned in left.items():
        message = f'"{name}" is reached from no criterion'
        yield Finding(UNUSED, cql.place(owned), message, "name it in a criterion (condition, evidence), or remove it")


def _unused_value_sets(content: Content, cql: Cql) -> Iterator[Finding]:
    asked_of = {
        name
        for other in content.cql
        for library, name in value_sets_asked(other, nodes((other.elm or {}).get("statements")))
        if library == cql.name
    }
    for name, (_, place) in cql.value_sets.items():
        if name not in asked_of:
            message = f'the value set "{name}" is declared and never asked'
            yield Finding(VALUE_SET_UNUSED, place, message, "ask it, or take the declaration out")


def value_sets_asked(cql: Cql, expressions: Iterable[Json]) -> Iterator[tuple[str | None, str]]:
    """The value sets that nodes of a library name, each with the library that declares it."""
    for node in expressions:
        for one in (node if node.get("type") == "ValueSetRef" else None, node.get("valueset")):
            if isinstance(one, dict):
                yield cql.included.get(text(one.get("libraryName")), cql.name), text(one.get("name"))


def _unnamed_value_sets(content: Content) -> Iterator[Finding]:
    named = {url.partition("|")[0] for cql in content.cql for url, _ in cql.value_sets.values()}
    for resource in content.resources:
        if resource.kind == "ValueSet":
            for part in ("include", "exclude"):
                compose = resource.json.get("compose")
                for _, one in objects(compose.get(part) if isinstance(compose, dict) else None):
                    imported = one.get("valueSet")
                    named |= {text(url).partition("|")[0] for url in (imported if isinstance(imported, list) else ())}
    for resource in content.resources:
        if resource.kind == "ValueSet" and resource.url not in named and content.holds(resource.source.path):
            message = "no CQL and no other value set names this value set"
            yield Finding(
                VALUE_SET_UNUSED, resource.source.place("url"), message, "name it in the CQL, or remove the file"
            )


# ------------------------------------------------------------------------------------------------- single expressions


def _units(cql: Cql) -> Iterator[Finding]:
    for node in nodes((cql.elm or {}).get("statements")):
        unit = node.get("unit")
        if node.get("type") == "Quantity" and isinstance(unit, str) and not is_unit(unit):
            message = f"the unit {unit!r} is no unit of UCUM"
            yield Finding(UNIT, cql.place(node), message, "write it as UCUM does: 'mg/dL', '10*9/L', '[IU]/mL', 'wk'")


def _units_of_resource(resource: Resource) -> Iterator[Finding]:
    for path, element in resource.elements:
        unit = element.get("code")
        if element.get("system") == _UCUM and "value" in element and isinstance(unit, str) and not is_unit(unit):
            message = f"the unit {unit!r} is no unit of UCUM"
            place = resource.source.place(*path, "code")
            yield Finding(UNIT, place, message, "write it as UCUM does: 'mg', 'ug', 'mg/kg', 'd', 'wk'")


def is_unit(unit: str) -> bool:
    """Whether a unit is one of UCUM or a word of the calendar."""
    from cds.elm.values.quantity import factor
    from cds.errors import UnitError

    if unit in CALENDAR_UNITS or unit in _WITH_OFFSET or unit in _FREQUENT:
        return True
    try:
        factor(unit, "1")
    except UnitError:
        return False
    return True


def _clock(cql: Cql) -> Iterator[Finding]:
    for node in nodes((cql.elm or {}).get("statements")):
        counted = [node] if node.get("type") == "CalculateAge" else operands(node) if _counts(node) else []
        for one in counted:
            if one.get("type") in ("Now", "Today", "CalculateAge"):
                message = "counts from the day of the call, and windows end at the planned first dose"
                yield Finding(CLOCK, cql.place(one), message, 'count from the parameter "First Dose"')


def _counts(node: Json) -> bool:
    """Whether an operator counts time from one of its operands."""
    return node.get("type") in ("Add", "Subtract", "DurationBetween", "DifferenceBetween", "CalculateAgeAt")


def _searches(cql: Cql) -> Iterator[Finding]:
    for node in nodes((cql.elm or {}).get("statements")):
        if node.get("type") == "Retrieve":
            kind = text(node.get("dataType")).rpartition("}")[2]
            if kind in TYPES and kind not in _BY_REFERENCE and of_patient(kind, "id") is None:
                message = f"R4 does not search {kind} by patient, so no prefetch can ask for hers"
                yield Finding(SEARCH, cql.place(node), message, "follow a reference from what names its patient")
