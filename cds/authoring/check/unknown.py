"""Unknown and false: criteria of the open world that give an answer where the record holds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from cds.authoring.check.content import Content, TrialFolder, objects
from cds.authoring.check.cql import Cql, Json, nodes, operands
from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.authoring.check.logic import Name, bodies, references
from cds.elm import Evaluation, Libraries
from cds.errors import CdsError
from cds.fhir.record import PatientRecord
from cds.fhir.valuesets import ValueSets

SWALLOWED = Rule("unknown-swallowed", Severity.WARNING, "Where data is absent, an open criterion says true or false.")
RULES = (SWALLOWED,)

_BOOLEAN_TESTS = {"IsTrue": "is true", "IsFalse": "is false", "IsNull": "is null", "Exists": "exists"}
#: What is said of the members of a list, and so of none where it is empty.
_OF_LISTS = frozenset(("AnyTrue", "AllTrue"))
_COMPARING = frozenset(("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "NotEqual"))
_MEND = "give null where nothing is on record (if exists X then ...), or set the policy presume-absent"
#: When a patient of whom nothing is known is asked about: any day gives the same.
_ONE_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def findings(content: Content) -> Iterator[Finding]:
    """Where the criteria of trials take unknown for an answer."""
    trials = [trial for trial in content.trials if content.holds(trial.path)]
    nobody = _nobody(content) if trials else None
    for trial in trials:
        yield from _swallowed(content, trial, nobody)


def _swallowed(content: Content, trial: TrialFolder, nobody: Evaluation | None) -> Iterator[Finding]:
    """Criteria of the open world that answer true or false where the record holds nothing.

    What the CQL shows is told at its place; each of the others is asked about a patient of whom nothing is known.
    """
    library = content.library(trial)
    if library is None or library.name is None:
        return
    seen: set[Place] = set()
    for _, action in trial.criteria:
        if action.condition is None or action.values("missing-data-policy") != ["unknown"]:
            continue
        tested = bool(action.values("applies-when"))
        closed = list(_closed(content, (library.name, action.condition[0]), tested))
        for place, how, name in closed:
            if place not in seen:
                seen.add(place)
                message = f'{action.id} asks "{name}", where absent data gives an answer: {how}'
                yield Finding(SWALLOWED, place, message, _MEND)
        answer = None if closed or tested else _answer(nobody, library.name, action.condition[0])
        if answer is not None:
            message = f"{action.id} is {str(answer).lower()} of a patient of whom nothing is known"
            yield Finding(SWALLOWED, library.place(library.definitions[action.condition[0]]), message, _MEND)


def _nobody(content: Content) -> Evaluation | None:
    """The evaluation of a patient whose record holds nothing; None where the logic cannot run."""
    libraries = content.compiled
    if not isinstance(libraries, Libraries):
        return None
    record = PatientRecord.from_resources([{"resourceType": "Patient", "id": "nobody"}], now=_ONE_DAY)
    value_sets = ValueSets(((str(one.source.path), one.json) for one in content.resources), lenient=True)
    return Evaluation(libraries, record, value_sets, _ONE_DAY)


def _answer(evaluation: Evaluation | None, library: str, name: str) -> bool | None:
    """What a definition says; None where it is null, or cannot be asked."""
    if evaluation is None or library not in evaluation.libraries:
        return None
    try:
        value = evaluation.evaluate(library, name)
    except CdsError:
        return None
    return value if isinstance(value, bool) else None


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
