"""What a card suggests for what is open: tests to order, facts to record, questions to ask. Drafts for a doctor.

One suggestion for each of the three, however much is open: which of them is wanted is one decision each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

from cds.hooks.detail import name_of, plain
from cds.trials.catalog import Trial
from cds.trials.eligibility import CriterionResult, Eligibility, Outcome, Status

Json = dict[str, Any]

#: How many tests are suggested at once, and how many criteria stand in one task.
_MOST_TESTS = 4
_MOST_FACTS = 6
#: The codes of tasks that ask for a Questionnaire (HL7 Structured Data Capture).
_SDC = "http://hl7.org/fhir/uv/sdc/CodeSystem/temp"


def suggestions_for_what_is_open(
    answer: Eligibility, trial: Trial, patient_id: str, hook_instance: UUID
) -> Iterator[Json]:
    """The suggestions of a card of a trial that may fit: none where nothing is open, or a window keeps it closed."""

    def suggestion(name: str, label: str, drafts: list[tuple[str, Json]]) -> Json:
        return {
            "label": label,
            "uuid": str(uuid5(hook_instance, f"{trial.id}/{name}")),
            "actions": [{"type": "create", "description": told, "resource": one} for told, one in drafts],
        }

    if answer.status is not Status.POTENTIALLY_ELIGIBLE:
        return
    unknown = [result for result in answer.criteria if result.outcome is Outcome.UNKNOWN]
    tests = _tests(unknown, trial)
    if tests:
        drafts = [_order(test, results, trial, patient_id) for test, results in tests[:_MOST_TESTS]]
        yield suggestion("tests", f"Order what is missing: {_number(len(drafts), 'test')}", drafts)
    ordered = {result.criterion.id for _, results in tests for result in results}
    facts = [
        one
        for one in unknown
        if plain(one.criterion.question or "") and not _is_asked(one, trial) and one.criterion.id not in ordered
    ]
    if facts:
        label = f"Ask for what the record lacks: {_number(len(facts), 'criterion', 'criteria')}"
        yield suggestion("facts", label, [_facts(facts[:_MOST_FACTS], trial, patient_id)])
    questions = _questions(answer, trial)
    if questions:
        label = f"Have the questionnaire filled in: {_number(len(questions), 'open question')}"
        yield suggestion("questions", label, [_questionnaire(questions, trial, patient_id)])


def questionnaire_link(answer: Eligibility, trial: Trial, public_url: str) -> list[Json]:
    """The link to the trial's Questionnaire, where a question of it is open and it has an address."""
    if not public_url or answer.status is not Status.POTENTIALLY_ELIGIBLE or not _questions(answer, trial):
        return []
    url = f"{public_url}/fhir/Questionnaire/{trial.id}"
    return [{"label": "Questionnaire for what only a person can say (FHIR)", "url": url, "type": "absolute"}]


def _questions(answer: Eligibility, trial: Trial) -> list[CriterionResult]:
    return [one for one in answer.criteria if one.outcome is Outcome.UNKNOWN and _is_asked(one, trial)]


def _is_asked(result: CriterionResult, trial: Trial) -> bool:
    """Whether a criterion is a question of the trial's Questionnaire."""
    logic = trial.logic.get(result.criterion.id)
    return logic is not None and logic.question is not None


def _tests(unknown: list[CriterionResult], trial: Trial) -> list[tuple[Json, list[CriterionResult]]]:
    """The tests that give what criteria miss, each once, with these criteria."""
    found: dict[str, tuple[Json, list[CriterionResult]]] = {}
    for result in unknown:
        for missing in result.missing:
            test = trial.tests.get((result.criterion.id, missing.value_set or ""))
            if test is not None:
                _, results = found.setdefault(f"{test['system']}|{test['code']}", (test, []))
                if result not in results:
                    results.append(result)
    return list(found.values())


def _order(test: Json, results: list[CriterionResult], trial: Trial, patient_id: str) -> tuple[str, Json]:
    reasons = [_name(result) for result in results]
    resource = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "proposal",
        "code": {"coding": [test], "text": test["display"]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "reasonCode": [{"text": f"Eligibility for the trial {name_of(trial)}: {'; '.join(reasons)}"}],
    }
    return f"Draft an order: {test['display']} (for {'; '.join(reasons)})", resource


def _facts(results: list[CriterionResult], trial: Trial, patient_id: str) -> tuple[str, Json]:
    names = "; ".join(map(_name, results))
    resource = {
        **_task(patient_id),
        "code": {"text": "Complete the record for a trial"},
        "description": f"Open for the trial {name_of(trial)}: {names}",
        "input": [
            {"type": {"text": _name(result)}, "valueString": plain(result.criterion.question or "")}
            for result in results
        ],
    }
    return f"Draft a task: find out and record what is open of {names}", resource


def _questionnaire(results: list[CriterionResult], trial: Trial, patient_id: str) -> tuple[str, Json]:
    question = trial.logic[results[0].criterion.id].question
    assert question is not None
    resource = {
        **_task(patient_id),
        "code": {"coding": [_sdc("complete-questionnaire", "Complete Questionnaire")]},
        "description": f"Answer the open questions of the trial {name_of(trial)}: "
        + ", ".join(result.criterion.id for result in results),
        "input": [{"type": {"coding": [_sdc("questionnaire", "Questionnaire")]}, "valueCanonical": question.canonical}],
    }
    return "Draft a task: patient, doctor and site answer what only a person can say", resource


def _task(patient_id: str) -> Json:
    return {
        "resourceType": "Task",
        "status": "draft",
        "intent": "proposal",
        "for": {"reference": f"Patient/{patient_id}"},
    }


def _sdc(code: str, display: str) -> Json:
    return {"system": _SDC, "code": code, "display": display}


def _name(result: CriterionResult) -> str:
    return plain(f"{result.criterion.id} {result.criterion.title}")


def _number(count: int, word: str, words: str = "") -> str:
    return f"{count} {word if count == 1 else words or word + 's'}"
