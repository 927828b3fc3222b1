"""CQL and its ELM: whether it translates, is fresh, compiles, is reached, and keeps the unknown apart from false."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from cds.authoring.check.content import LIBRARY, Content, Resource, TrialFolder, objects, text
from cds.authoring.check.cql import Cql, Json, nodes, operands
from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.elm import Libraries
from cds.elm.values.quantity import CALENDAR_UNITS
from cds.errors import CdsError, ContentError
from cds.fhir.model import TYPES, FHIRModel
from cds.fhir.searches import of_patient
from cds.trials.compiled import elm_path

UNNAMED = Rule("cql-library-unnamed", Severity.ERROR, "A CQL file does not say which library it is.")
NAME_TWICE = Rule("cql-library-duplicate", Severity.ERROR, "Two CQL files are one library.")
SYNTAX = Rule("cql-syntax", Severity.ERROR, "The CQL does not translate.")
WARNING = Rule("cql-warning", Severity.WARNING, "The translator warns of the CQL.")
NO_ELM = Rule("elm-missing", Severity.ERROR, "CQL was never translated.")
STALE = Rule("elm-stale", Severity.ERROR, "The ELM is not what its CQL says now.")
REFUSED = Rule("elm-refused", Severity.ERROR, "The engine cannot run what was translated.")
INCLUDE = Rule("include-missing", Severity.ERROR, "An included library is not there.")
CYCLE = Rule("include-cycle", Severity.ERROR, "A library includes itself, through others or not.")
LIBRARY_NAME = Rule("library-mismatch", Severity.ERROR, "A Library resource tells another name or file than its CQL.")
DEPENDS = Rule("library-dependency", Severity.WARNING, "A Library resource does not list what its CQL names.")
UNUSED = Rule("define-unused", Severity.WARNING, "Nothing that a criterion asks reaches a definition or function.")
OFFERED = Rule("define-offered", Severity.INFORMATION, "A shared library has definitions that no trial uses.")
VALUE_SET_UNUSED = Rule("valueset-unused", Severity.WARNING, "A value set is named and never asked.")
UNIT = Rule("unit-invalid", Severity.ERROR, "A quantity's unit is none of UCUM, nor of the calendar.")
SWALLOWED = Rule("unknown-swallowed", Severity.WARNING, "Where data is absent, an open criterion says true or false.")
CLOCK = Rule("clock-read", Severity.WARNING, "A definition counts from today, not from the planned first dose.")
SEARCH = Rule("retrieve-not-prefetched", Severity.WARNING, "Resources are retrieved that no prefetch can ask for.")
RULES = (
    UNNAMED,
    NAME_TWICE,
    SYNTAX,
    WARNING,
    NO_ELM,
    STALE,
    REFUSED,
    INCLUDE,
    CYCLE,
    LIBRARY_NAME,
    DEPENDS,
    UNUSED,
    OFFERED,
    VALUE_SET_UNUSED,
    UNIT,
    SWALLOWED,
    CLOCK,
    SEARCH,
)

_HELPERS = "FHIRHelpers"
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
#: Texts and comments of CQL, whose brackets are none.
_TOKEN = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`|//[^\n]*|/\*.*?\*/|[()\[\]{}'"`]|/\*""", re.DOTALL
)
_PAIRS = {")": "(", "]": "[", "}": "{"}
_BOOLEAN_TESTS = {"IsTrue": "is true", "IsFalse": "is false", "IsNull": "is null", "Exists": "exists"}

#: What is said of the members of a list, and so of none where it is empty.
_OF_LISTS = frozenset(("AnyTrue", "AllTrue"))
_COMPARING = frozenset(("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "NotEqual"))

#: A definition or function of a library: (library, name).
Name = tuple[str, str]


def findings(content: Content) -> Iterator[Finding]:
    """What is wrong with the CQL of a content folder."""
    yield from _names(content)
    yield from _includes(content)
    yield from _translated(content)
    yield from _compiled(content)
    yield from _libraries(content)
    yield from _unreached(content)
    for cql in content.cql:
        if content.holds(cql.source.path):
            yield from _units(cql)
            yield from _clock(cql) if content.trials else ()
            yield from _searches(cql)
    for resource in content.resources:
        if content.holds(resource.source.path):
            yield from _units_of_resource(resource)
    for trial in content.trials:
        if content.holds(trial.path):
            yield from _swallowed(content, trial)


def _names(content: Content) -> Iterator[Finding]:
    for cql in content.cql:
        if cql.source.text is None or not content.holds(cql.source.path):
            continue
        if cql.name is None:
            message = "has no library declaration"
            yield Finding(UNNAMED, cql.source.line(1), message, "begin with: library Name version '1.0.0'")
        elif (first := content.libraries[cql.name]) is not cql:
            message = f"the library {cql.name} is {first.source.path} too"
            yield Finding(NAME_TWICE, cql.source.line(1), message, "rename one of the two")


def _includes(content: Content) -> Iterator[Finding]:
    for cql in content.cql:
        if not content.holds(cql.source.path):
            continue
        for name, place in cql.includes:
            if name == _HELPERS:
                continue
            if name not in content.libraries:
                message = f"the included library {name} is not there"
                yield Finding(INCLUDE, place, message, "put its CQL into this folder, or into shared")
            elif (circle := _circle(content, cql, name)) is not None:
                message = f"includes itself: {' -> '.join(circle)}"
                yield Finding(CYCLE, place, message, "move what both need into a third library")


def _circle(content: Content, cql: Cql, name: str) -> list[str] | None:
    """The libraries from one back to itself by way of `name`."""
    ways = [[cql.name or "", name]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        if way[-1] == cql.name:
            return way
        if way[-1] not in seen and way[-1] in content.libraries:
            seen.add(way[-1])
            ways += [[*way, further] for further, _ in content.libraries[way[-1]].includes]
    return None


# ----------------------------------------------------------------------------------------------------- translation


def _translated(content: Content) -> Iterator[Finding]:
    """Which ELM is stale; what the translator says of its CQL, where it is installed, and then its ELM is used."""
    texts = {name: cql.text for name, cql in content.libraries.items()}
    stale = []
    for cql in content.cql:
        cql.fresh = cql.source.text is not None and cql.is_fresh(texts)
        if cql.fresh or cql.source.text is None or cql.name is None:
            yield from _told_in_elm(content, cql)
            continue
        # Content of others keeps its ELM where it likes, inside Library resources for one.
        if content.trials:
            stale.append(cql)
            if content.holds(cql.source.path):
                yield _stale(cql)
    yield from _diagnosed(content, stale)


def _stale(cql: Cql) -> Finding:
    mend = f"run: cds translate {cql.source.path.parent}"
    target = elm_path(cql.source.path)
    if cql.elm_source is None:
        return Finding(NO_ELM, cql.source.line(1), f"{target.name} is not there", mend)
    return Finding(STALE, cql.source.line(1), f"{target.name} is not what this CQL and its includes say", mend)


def _told_in_elm(content: Content, cql: Cql) -> Iterator[Finding]:
    """What the translator said when it made the ELM."""
    if cql.elm is None or not content.holds(cql.source.path):
        return
    for _, note in objects(cql.elm.get("annotation")):
        if note.get("type") == "CqlToElmError":
            line, column = note.get("startLine"), note.get("startChar")
            place = cql.source.line(line if isinstance(line, int) else 1, column if isinstance(column, int) else 1)
            rule = SYNTAX if note.get("errorSeverity", "error") == "error" else WARNING
            yield Finding(rule, place, text(note.get("message")), "mend the CQL and run cds translate")


def _diagnosed(content: Content, stale: list[Cql]) -> Iterator[Finding]:
    from cds.authoring.translate import diagnose, is_installed

    if not stale:
        return
    try:
        answers = (
            diagnose([cql.source.path for cql in stale], content.cache)
            if content.cache and is_installed(content.cache)
            else None
        )
    except (ContentError, OSError):
        answers = None
    if answers is None:
        for cql in stale:
            if content.holds(cql.source.path):
                yield from _unbalanced(cql)
        return
    for cql, (elm, messages) in zip(stale, answers, strict=True):
        cql.translated = elm
        for message in messages:
            if content.holds(message.path):
                rule = UNIT if "UCUM" in message.text else SYNTAX if message.severity == "Error" else WARNING
                place = Place(message.path, message.line, message.column)
                yield Finding(rule, place, message.text, "mend the CQL and run cds translate")


def _unbalanced(cql: Cql) -> Iterator[Finding]:
    """Where the translator cannot be asked: brackets, texts and comments that are not closed."""
    open_: list[tuple[str, int]] = []
    for found in _TOKEN.finditer(cql.text):
        token = found[0]
        if token in "([{":
            open_.append((token, found.start()))
        elif token in _PAIRS:
            if not open_ or open_.pop()[0] != _PAIRS[token]:
                message = f"{token} closes nothing that is open"
                yield Finding(SYNTAX, cql.source.at(found.start()), message, "mend the CQL and run cds translate")
                return
        elif token in ("'", '"', "`", "/*"):
            message = f"{token} opens what is not closed"
            yield Finding(SYNTAX, cql.source.at(found.start()), message, "mend the CQL and run cds translate")
            return
    for token, offset in open_[-1:]:
        message = f"{token} is not closed"
        yield Finding(SYNTAX, cql.source.at(offset), message, "mend the CQL and run cds translate")


def _compiled(content: Content) -> Iterator[Finding]:
    """What the engine says of the ELM when it loads it."""
    libraries = Libraries(FHIRModel())
    there = [cql for cql in content.libraries.values() if cql.elm is not None]
    if len(there) < len(content.cql):
        return
    sources = {cql.name: cql for cql in there}
    try:
        for cql in there:
            libraries.add({"library": cql.elm}, str(cql.source.path))
        libraries.compile()
    except CdsError as error:
        where = error.where or ""
        culprit = sources.get(where.partition(".")[0]) or next(
            (cql for cql in there if str(cql.source.path) == where), there[0]
        )
        at = re.search(r"@ (\d+):(\d+)", where)
        place = culprit.source.line(int(at[1]), int(at[2])) if at else culprit.source.line(1)
        message = f"{where}: {error.message}" if where else error.message
        yield Finding(REFUSED, place, message, error.remedy or "write it in another way")


# ------------------------------------------------------------------------------------------- the resource Library


def _libraries(content: Content) -> Iterator[Finding]:
    for resource in content.resources:
        source = resource.source
        if resource.kind != "Library" or not source.path.name.endswith(LIBRARY) or not content.holds(source.path):
            continue
        for number, attachment in objects(resource.json.get("content")):
            url = text(attachment.get("url"))
            file = source.path.parent / url
            if not url or ":" in url:
                continue
            if not file.is_file():
                place = source.place("content", number, "url")
                yield Finding(LIBRARY_NAME, place, f"{url} is not there", "name the file beside it")
            cql = next((one for one in content.cql if one.source.path == file), None)
            if cql is not None:
                yield from _same(resource.json, cql, source)
                yield from _dependencies(content, resource.json, cql, source)


def _same(library: Json, cql: Cql, source: Any) -> Iterator[Finding]:
    for element, told in (("name", cql.name), ("version", cql.version)):
        if told is not None and library.get(element) != told:
            message = f"the {element} is {library.get(element)!r}, and {told!r} in {cql.source.path.name}"
            yield Finding(LIBRARY_NAME, source.place(element), message, "let both say the same")


def _dependencies(content: Content, library: Json, cql: Cql, source: Any) -> Iterator[Finding]:
    if cql.elm is None:
        return
    listed = {
        text(one.get("resource")).partition("|")[0]: number
        for number, one in objects(library.get("relatedArtifact"))
        if one.get("type") == "depends-on"
    }
    needed = {url.partition("|")[0] for url, _ in cql.value_sets.values()}
    names = {text(one.json.get("name")): one.url for one in content.resources if one.kind == "Library"}
    needed |= {names[name] for name, _ in cql.includes if name in names}
    for url in sorted(needed - set(listed)):
        message = f"{cql.source.path.name} names {url}, which is not among the relatedArtifacts of type depends-on"
        yield Finding(DEPENDS, source.place("relatedArtifact"), message, "list it")
    for url in sorted(set(listed) - needed):
        if url in content.by_url and content.by_url[url][0].kind in ("ValueSet", "Library"):
            message = f"depends on {url}, which {cql.source.path.name} does not name"
            place = source.place("relatedArtifact", listed[url])
            yield Finding(DEPENDS, place, message, "take it out of the list")


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


# ------------------------------------------------------------------------------------------------ unknown and false


def _swallowed(content: Content, trial: TrialFolder) -> Iterator[Finding]:
    """Criteria of the open world that answer true or false where the record holds nothing."""
    library = content.library(trial)
    if library is None or library.name is None:
        return
    seen: set[Place] = set()
    for _, action in trial.criteria:
        if action.condition is None or action.values("missing-data-policy") != ["unknown"]:
            continue
        tested = bool(action.values("applies-when"))
        for place, how, name in _closed(content, (library.name, action.condition[0]), tested):
            if place not in seen:
                seen.add(place)
                message = f'{action.id} asks "{name}", where absent data gives an answer: {how}'
                mend = "give null where nothing is on record (if exists X then ...), or set the policy presume-absent"
                yield Finding(SWALLOWED, place, message, mend)


def _closed(content: Content, name: Name, tested: bool) -> Iterator[tuple[Place, str, str]]:
    """Where the value of a definition is true or false though what it asks is absent: place, how, definition.

    `tested`: whether something was asked before it, as ``applies-when`` does.
    """
    seen: set[tuple[Name, bool]] = set()
    waiting = [(name, tested)]
    while waiting:
        current, guarded = waiting.pop(0)
        if (current, guarded) in seen or current[0] not in content.libraries:
            continue
        seen.add((current, guarded))
        cql = content.libraries[current[0]]
        node = cql.definitions.get(current[1])
        for part, after_test in _answers((node or {}).get("expression"), guarded):
            how = _closing(part) or (None if after_test else _of_empty(content, cql, part))
            if how:
                yield cql.place(part), how, current[1]
            elif part.get("type") == "ExpressionRef":
                waiting += [(one, after_test) for one in references(content, cql, {**part, "operand": []})]


def _answers(node: Any, tested: bool) -> Iterator[tuple[Json, bool]]:
    """The parts of a Boolean expression whose value is its value, or that of an operand of and, or, not.

    Each with whether it stands where something was tested before: in a branch of if or case.
    """
    waiting = [(node, tested)]
    while waiting:
        part, tested = waiting.pop(0)
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        if kind in ("And", "Or", "Implies", "Xor") or (kind == "Not" and _closing(part) is None):
            waiting += [(one, tested) for one in operands(part)]
        elif kind == "If":
            waiting += [(part.get("then"), True), (part.get("else"), True)]
        elif kind == "Case":
            waiting += [(item.get("then"), True) for _, item in objects(part.get("caseItem"))]
            waiting.append((part.get("else"), True))
        else:
            yield part, tested


def _closing(node: Json) -> str | None:
    """How a node gives true or false of what is absent; None where it does not."""
    kind = str(node.get("type"))
    if kind in _BOOLEAN_TESTS:
        return _BOOLEAN_TESTS[kind]
    if kind == "Not":
        tests = [_BOOLEAN_TESTS.get(str(operand.get("type"))) for operand in operands(node)]
        return f"not ({tests[0]})" if tests and tests[0] else None
    if kind == "Coalesce" and any(one.get("type") == "Literal" for one in operands(node)[1:]):
        return "Coalesce with a constant"
    return None


def _of_empty(content: Content, cql: Cql, node: Json) -> str | None:
    """How a node answers of a list that may be empty; None where it asks none."""
    kind = str(node.get("type"))
    if kind in _OF_LISTS:
        return f"{kind} of a list that may be empty"
    if kind in _COMPARING and any(one.get("type") == "Count" for one in operands(node)):
        return "the count of a list that may be empty"
    if kind == "FunctionRef":
        for name in references(content, cql, {**node, "operand": []}):
            if any(_asks_members(function) for _, function in bodies(content, name)):
                return f'"{node.get("name")}" of a list that may be empty'
    return None


def _asks_members(function: Json) -> bool:
    """Whether a function asks something of the members of its operand, and not whether there are any."""
    asked, tested = False, False
    for part in nodes(function.get("expression")):
        inner = [part.get("source"), *operands(part)]
        of_operand = any(isinstance(one, dict) and one.get("type") == "OperandRef" for one in inner)
        asked = asked or (of_operand and str(part.get("type")) in _OF_LISTS)
        tested = tested or (of_operand and part.get("type") == "Exists")
    return asked and not tested
