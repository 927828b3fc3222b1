"""Why a criterion is met, not met or unknown for a patient: its CQL with the value of each part, and what decided it.

The judgement is `cds.trials.apply`'s own; beside it the criterion's definition is evaluated once more, traced.
An explanation holds patient data: it is printed for who asked, and never logged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from cds.authoring.evaluate import Content
from cds.elm import Evaluation, Libraries, Library
from cds.elm.deciding import Part, deciding, decisive, is_hollow, leaves, resources
from cds.elm.ports import Structured, Value
from cds.elm.trace import Row, State, Step, TracedEvaluation, traced
from cds.elm.values import Code, Concept, Interval, Quantity, Tuple, ValueSetRef
from cds.fhir.model import Element, FHIRModel
from cds.fhir.narrative import describe
from cds.fhir.record import PatientRecord
from cds.trials.apply import evaluate_record, match
from cds.trials.catalog import Catalog, Logic, Trial
from cds.trials.eligibility import Assessment, Basis, CriterionResult, Match, Outcome

#: How many items of a list, and how many causes, are told.
_MOST_ITEMS = 3
_MOST_CAUSES = 3
_LONGEST_TEXT = 80

#: The words for a criterion's outcome.
_OUTCOMES: Final = {
    Outcome.MET: "met",
    Outcome.NOT_MET: "not met",
    Outcome.UNKNOWN: "unknown",
    Outcome.NOT_APPLICABLE: "not applicable",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One criterion's judgement, the traces it rests on, and in words what decided it.

    `step` is its definition, `applies` that of its `applies-when` where it has one; `cited` are the resources that
    decided, as references.
    """

    result: CriterionResult
    step: Step
    applies: Step | None
    because: str
    cited: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """The trace of a definition that no criterion need name, what decided it in words, and the resources that did."""

    step: Step
    because: str
    cited: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrialExplanation:
    """What `explain` answers: the match with one trial, and an explanation for each criterion asked for."""

    trial: Trial
    match: Match
    criteria: tuple[Explanation, ...]


def explain(
    catalog: Catalog,
    record: PatientRecord,
    trial: str,
    *,
    now: datetime,
    first_dose: date,
    criteria: Collection[str] = (),
    libraries: Libraries | None = None,
) -> TrialExplanation:
    """Why the criteria of a trial have their outcomes; of no `criteria` named, those that are not met or unknown.

    `libraries` are those of the catalog, `traced` already: for who explains many patients.
    """
    answer = match(catalog, record, now=now, first_dose=first_dose, trials=[trial], all_criteria=True)
    found = catalog.trials[trial]
    own = {logic.answer.library for logic in found.logic.values()}
    libraries = libraries or traced(catalog.libraries, own)
    plain = evaluate_record(catalog, record, now=now, first_dose=first_dose)
    evaluation = TracedEvaluation.like(plain, libraries)
    open_ones = (Outcome.NOT_MET, Outcome.UNKNOWN)
    results = [
        result
        for given in answer.trials
        for result in given.criteria
        if (result.criterion.id in criteria if criteria else result.outcome in open_ones)
    ]
    explained = tuple(_explanation(result, found.logic[result.criterion.id], evaluation, record) for result in results)
    return TrialExplanation(found, answer, explained)


def traced_evaluation(
    catalog: Catalog, record: PatientRecord, libraries: Iterable[Library], *, now: datetime, first_dose: date
) -> TracedEvaluation:
    """The evaluation that `match` judges by, traced: of some libraries and what they include."""
    plain = evaluate_record(catalog, record, now=now, first_dose=first_dose)
    return TracedEvaluation.like(plain, traced(catalog.libraries, libraries))


def traced_content(
    content: Content, record: PatientRecord, now: datetime, parameters: Mapping[str, Value] | None = None
) -> TracedEvaluation:
    """A traced evaluation of content written elsewhere; CQL that lies beside its ELM serves where that has no text."""
    plain = Evaluation(content.libraries, record, content.value_sets, now, parameters)
    evaluation = TracedEvaluation.like(plain, traced(content.libraries))
    texts = {library.id: _cql_beside(Path(library.source)) for library in content.libraries if library.source}
    evaluation.cql = {name: path.read_text(encoding="utf-8") for name, path in texts.items() if path.is_file()}
    return evaluation


def _cql_beside(elm: Path) -> Path:
    return elm.with_name(elm.name.removesuffix(".json").removesuffix(".elm") + ".cql")


def explain_definition(evaluation: TracedEvaluation, record: PatientRecord, library: str, name: str) -> Definition:
    """How any definition of a traced evaluation comes to its value. Raises ElmError where there is none."""
    step = evaluation.trace(library, name)
    return Definition(step, because(step, record), cited(step, record))


def _explanation(
    result: CriterionResult, logic: Logic, evaluation: TracedEvaluation, record: PatientRecord
) -> Explanation:
    library = logic.answer.library.id
    step = evaluation.trace(library, logic.answer.name)
    applies = evaluation.trace(library, logic.applies.name) if logic.applies else None
    decided = applies if applies and result.outcome is Outcome.NOT_APPLICABLE else step
    titles = {
        f'{fact.library.id}."{fact.name}"': missing[0].title if missing else f"{fact.name}: nothing on record"
        for fact, missing in logic.facts.items()
    }
    because = _because(result, decided, titles, record)
    return Explanation(result, step, applies, because, cited(decided, record))


def cited(step: Step, record: PatientRecord) -> tuple[str, ...]:
    """The resources that decided a step, as references (``Type/id``)."""
    paths = leaves(deciding(step))
    parts = [part for path in paths for part in path if isinstance(part, Row) or part is path[-1]]
    found = resources(parts, FHIRModel().is_resource_type)
    return tuple(dict.fromkeys(reference(resource, record) for resource in found))


# ---------------------------------------------------------------- why, in words


def _because(result: CriterionResult, step: Step, titles: Mapping[str, str], record: PatientRecord) -> str:
    """One sentence: the outcome, and what decided it."""
    known = " (presumed)" if result.basis is Basis.PRESUMED else ""
    outcome = f"{_OUTCOMES[result.outcome].capitalize()}{known}"
    said = result.reason if result.outcome is Outcome.UNKNOWN and step.value is not None else None
    told = because(step, record, titles)
    if result.criterion.assessment is Assessment.ATTESTATION and step.value is None:
        return f"{outcome} because data cannot decide it: a person has to say ({place(step)})"
    if said:
        return f"{outcome}: {said}; of the data, {told}"
    return f"{outcome} because {told}"


def because(step: Step, record: PatientRecord, titles: Mapping[str, str] | None = None) -> str:
    """What decided a step, in words; of a value that speaks for itself nothing.

    `titles` say what it means that a fact (by its qualified name) is empty.
    """
    paths = leaves(deciding(step))
    facts = [fact for path in paths if (fact := _empty_fact(path, titles or {}, step.library))]
    if facts and (step.value is None or len(facts) == len(paths)):
        return _listed(facts)  # what is not on record is what can be mended
    told = [(path, _telling(path)) for path in paths]
    passed = {id(part) for path, end in told for part in path[: max(end, 1)]}
    last = {id(path[end]): (path, end) for path, end in told if id(path[end]) not in passed}
    return _listed(_cause(path, end, record) for path, end in last.values())


def _listed(causes: Iterable[str]) -> str:
    different = list(dict.fromkeys(causes))
    more = f"; and {len(different) - _MOST_CAUSES} more" if len(different) > _MOST_CAUSES else ""
    return "; ".join(different[:_MOST_CAUSES]) + more


def _empty_fact(path: Sequence[Part], titles: Mapping[str, str], library: str) -> str | None:
    """The first fact on a path that holds nothing."""
    for part in path:
        if isinstance(part, Step) and part.kind == "ExpressionDef" and part.value in (None, []):
            title = titles.get(part.name or "")
            if title is not None:
                name = part.source if part.library == library else part.name
                return f"{title} ({name}, {place(part)})"
    return None


def _telling(path: Sequence[Part]) -> int:
    """Where on a path the step stands that is told as the cause.

    It is the last answer; of an answer that is null, the last one that is null before others come; and a call whose
    operands are plain data is told by these, and not by what its function makes of them.
    """
    found = 0
    for position, part in enumerate(path):
        if not isinstance(part, Step) or part.source is None:
            continue
        if part.state is State.FAILED or part.kind == "Retrieve":
            found = position
        elif _is_answer(part):
            if (path[0].value is None) is not (part.value is None):  # type: ignore[union-attr]
                if part.value is None:
                    continue
                break
            found = position
            if part.kind == "FunctionRef" and all(map(_is_told, _operands(part))):
                break
    return found


def _operands(call: Step) -> list[Step]:
    return [child for child in call.children if child.field == "operand" and child.state is State.EVALUATED]


def _cause(path: Sequence[Part], position: int, record: PatientRecord) -> str:
    """One cause in words, with the data that it was given by."""
    told = path[position]
    assert isinstance(told, Step)
    text, where, whom = shortened(label(told)), place(told), _whom(path, record)
    if told.state is State.FAILED:
        return f"{text} failed: {told.error}"
    if told.kind == "Retrieve":
        return f"{text} found nothing ({where})"
    if told.state is State.CONSTANT:
        return f"the logic says {text} ({where})"
    if told.kind in ("Case", "If") and told.value is None:
        asked = [step for step in decisive(told) if isinstance(step, Step) and isinstance(step.value, bool)]
        if conditions := [f"{shortened(label(step))} is {in_words(step.value, None)}" for step in asked]:
            return f"{' and '.join(conditions[-_MOST_ITEMS:])}{whom} ({place(asked[-1])})"
    data = [
        f"{shortened(label(child), 40)} = {in_words(child.value, None)}" for child in told.children if _is_told(child)
    ]
    given = f" ({', '.join(data)})" if data else ""
    return f"{text} is {in_words(told.value, None)}{given}{whom} ({where})"


def _is_answer(step: Step) -> bool:
    return step.state is not State.SKIPPED and (step.value is None or isinstance(step.value, bool))


def _is_told(step: Step) -> bool:
    """Whether a step holds data that is short enough to be told beside the answer that it led to."""
    value = step.value
    return step.state is State.EVALUATED and value is not None and not isinstance(value, bool | list | Tuple | Element)


def _whom(path: Sequence[Part], record: PatientRecord) -> str:
    """The resource that the end of a path is about, where there is one."""
    for part in reversed(path):
        found = resources([part], FHIRModel().is_resource_type)
        if len(found) == 1:
            return f" for {reference(found[0], record)}"
        if found:
            return ""
    return ""


# ---------------------------------------------------------------- values and places in words


def in_words(value: Value, record: PatientRecord | None) -> str:
    """A CQL value as a person reads it: resources by reference and in words, lists by their first items."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{shortened(value)}'"
        case list():
            return _list_in_words(value, record)
        case Structured():
            return _element_in_words(value, record)
        case Code():
            return value.display or f"{value.code}"
        case Concept():
            names = [value.display, *(code.display or code.code for code in value.codes)]
            return shortened(" / ".join(dict.fromkeys(name for name in names if name)) or "a concept without codes")
        case ValueSetRef():
            return f'"{value.name}"'
        case Quantity():
            return f"{value.value} {value.unit}" if value.unit not in (None, "1") else f"{value.value}"
        case Interval():
            low, high = in_words(value.low, record), in_words(value.high, record)
            return f"{'[' if value.low_closed else '('}{low}, {high}{']' if value.high_closed else ')'}"
        case Tuple():
            parts = [f"{name}: {in_words(item, record)}" for name, item in value.items()]
            return "{" + ", ".join(parts) + "}"
    return shortened(str(value))


def _list_in_words(items: Sequence[Value], record: PatientRecord | None) -> str:
    if is_hollow(items):
        return "nothing"
    told = ", ".join(in_words(item, record) for item in items[:_MOST_ITEMS])
    return "{" + told + (f", … {len(items)} in all" if len(items) > _MOST_ITEMS else "") + "}"


def _element_in_words(value: Structured, record: PatientRecord | None) -> str:
    if not isinstance(value, Element):
        return value.type_name.rpartition("}")[2]
    if isinstance(value.json, dict):
        if "resourceType" in value.json:
            return f"{reference(value, record)} {describe(value.json)}"
        told = describe({"resourceType": "Observation", "code": {"text": "-"}, f"value{value.type.name}": value.json})
        return told.removeprefix("-: ") if told != "-" else f"a {value.type.name}"
    return in_words(value.get("value"), record)


def reference(resource: Structured, record: PatientRecord | None) -> str:
    """How a resource is cited: ``Type/id``."""
    json = resource.json if isinstance(resource, Element) else {}
    return record.reference_of(json) if record is not None else resource.type_name.rpartition("}")[2]


def shortened(text: str, length: int = _LONGEST_TEXT) -> str:
    """A text in one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: max(length - 1, 0)].rstrip() + "…"


def label(step: Step) -> str:
    """A step's CQL text, or the type of its node where it has none."""
    text = " ".join((step.source or step.name or step.kind).split())
    return f"define {text}" if step.kind == "ExpressionDef" else text


def file_of(step: Step) -> str:
    """The file of a step's library: its CQL where that lies beside the ELM; relative to where we are, if below."""
    path = Path(step.file) if step.file else None
    if path is None:
        return step.library
    cql = _cql_beside(path)
    found = cql if cql.is_file() else path
    here = Path.cwd()
    return str(found.resolve().relative_to(here)) if found.resolve().is_relative_to(here) else str(found)


def place(step: Step, *, full: bool = False) -> str:
    """Where a step stands: ``file:line:column``."""
    name = file_of(step)
    start = (step.locator or "").partition("-")[0]
    return f"{name if full else Path(name).name}:{start}" if start else f"{name if full else Path(name).name}"
