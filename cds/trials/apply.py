"""The one matching logic in the house: a trial and a patient's record in, an Eligibility out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from itertools import chain

from cds.elm import Definition, Evaluation
from cds.elm.ports import Retriever, Structured, Terminology, Value
from cds.elm.values import Date, Tuple
from cds.errors import EvaluationError
from cds.fhir.model import Element
from cds.fhir.record import PatientRecord
from cds.trials.attestation import answered
from cds.trials.catalog import FIRST_DOSE, Catalog, Logic, Trial
from cds.trials.eligibility import (
    Assessment,
    Basis,
    Counts,
    Criterion,
    CriterionResult,
    Eligibility,
    Evidence,
    Kind,
    Match,
    Missing,
    Outcome,
    Policy,
    SetMatch,
    SetResult,
    Status,
    rank,
)
from cds.trials.windows import Windows

_log = logging.getLogger("cds.trials")

#: Steps that one definition may spend on a patient, and all of an evaluation together (see `cds.elm.budget`). A record
#: of 1,100 resources needs 17,000 for all criteria of all trials, one of 5,700 at most 370,000 for one definition;
#: 500,000 are about half a second. So a definition that runs away costs a card that much, and its neighbours nothing.
_DEFINITION_BUDGET = 500_000
_EVALUATION_BUDGET = 2_000_000

#: The reason of a criterion whose data is clear, and that a person has to attest in part.
REST_IS_FOR_A_PERSON = "what data can decide is clear; the rest is for a person to say"


def match(
    catalog: Catalog,
    record: PatientRecord,
    *,
    now: datetime,
    first_dose: date | None = None,
    trials: Collection[str] | None = None,
    all_criteria: bool = False,
    one_by_one: bool = False,
) -> Match:
    """Which trials fit the patient: every active trial's Eligibility, best first.

    `first_dose` (default: the date of `now`) is the index date of every look-back window. `trials` are those asked
    alone, by their ids, whatever their status: who writes a draft tries it so. `all_criteria` lists the criteria of
    trials that are not applicable too. `one_by_one` asks no trials together (see `cds.trials.passing_over`): the
    answers are the same, and take longer.
    """
    first_dose = first_dose or now.date()

    @cache
    def at(day: date) -> Evaluation:
        return evaluate_record(catalog, record, now=now, first_dose=day)

    deceased = record.deceased(now)
    together = trials is None and not all_criteria and not one_by_one
    if together:
        chosen = [*catalog.ungrouped, *_concerned(catalog, record, now=now, first_dose=first_dose)]
    else:
        chosen = list(_asked(catalog, trials))
    answers, failed = [], set()
    for trial in chosen:
        try:
            answers.append(apply(trial, record, at, first_dose, deceased=deceased, all_criteria=all_criteria))
        except Exception as error:  # a trial that fails never takes its neighbours' cards away
            _log.error("trial %s could not be evaluated: %s", trial.id, type(error).__name__)
            failed.add(trial.id)
    return Match(
        patient=record.reference,
        evaluated_at=_instant(now),
        first_dose=first_dose.isoformat(),
        trials=_with_those_passed_over(catalog, answers, failed) if together else tuple(sorted(answers, key=rank)),
        deceased=deceased,
    )


def _asked(catalog: Catalog, trials: Collection[str] | None) -> Iterable[Trial]:
    """The active trials; or those named, whatever their status."""
    return catalog.active if trials is None else (trial for trial in catalog if trial.id in trials)


def judge_set(
    catalog: Catalog, record: PatientRecord, name: str, *, now: datetime, trials: Collection[str] | None = None
) -> SetMatch:
    """What the criteria of the set `name` (`Trial.sets`) come to; trials without that set are left out.

    The trials are the active ones, or those that `trials` names, as in `match`.

    They are judged as of `now`, which is when an outcome is looked at, whenever the first dose was.
    """
    evaluation = evaluate_record(catalog, record, now=now, first_dose=now.date())
    answers = tuple(
        _judge_set(trial, trial.sets[name], record, evaluation)
        for trial in _asked(catalog, trials)
        if name in trial.sets
    )
    return SetMatch(record.reference, _instant(now), name, answers)


def _judge_set(trial: Trial, criteria: Iterable[Criterion], record: PatientRecord, evaluation: Evaluation) -> SetResult:
    results = tuple(_judge(c, trial.logic[c.id], record, evaluation) for c in criteria)
    outcomes = {result.outcome for result in results}
    _, applicable = _judge_disease(trial, record, evaluation)
    worst = (one for one in (Outcome.NOT_MET, Outcome.UNKNOWN) if one in outcomes)
    outcome = next(worst, Outcome.MET) if applicable else Outcome.NOT_APPLICABLE
    return SetResult(trial.id, trial.title, outcome, results, _counts(results))


def concerns(catalog: Catalog, record: PatientRecord, *, now: datetime) -> bool:
    """Whether any active trial may have something to say of the patient: she lives, and not all are passed over.

    The record need hold no more than the catalog's `deciding_types`.
    """
    if record.deceased(now):
        return False
    evaluation = evaluate_record(catalog, record, now=now, first_dose=now.date())
    for trial in chain(catalog.ungrouped, _concerned(catalog, record, now=now, first_dose=now.date())):
        try:
            _, applicable = _judge_disease(trial, record, evaluation)
        except Exception:
            return True  # it fails by itself then, and is named
        if applicable:
            return True
    return False


def _concerned(catalog: Catalog, record: PatientRecord, *, now: datetime, first_dose: date) -> Iterator[Trial]:
    """The trials in groups that are not passed over together with others."""

    def concerns(trial: Trial, retriever: Retriever, terminology: Terminology) -> bool:
        evaluation = _evaluation(catalog, retriever, terminology, now, first_dose)
        try:
            _, applicable = _judge_disease(trial, record, evaluation)
        except Exception:
            return True  # each of them fails by itself then, and is named
        return applicable or evaluation.failed

    for group in catalog.groups:
        yield from group.concerned(record, catalog.value_sets, concerns)


def _with_those_passed_over(
    catalog: Catalog, answers: Iterable[Eligibility], failed: Collection[str]
) -> tuple[Eligibility, ...]:
    """The answers of the trials that concern the patient, best first, and those of all others."""
    concerning = sorted((answer for answer in answers if answer.status is not Status.NOT_APPLICABLE), key=rank)
    if not concerning and not failed:
        return catalog.passed_over
    elsewhere = {answer.trial for answer in concerning}.union(failed)
    return (*concerning, *(answer for answer in catalog.passed_over if answer.trial not in elsewhere))


def evaluate_record(catalog: Catalog, record: PatientRecord, *, now: datetime, first_dose: date) -> Evaluation:
    """One patient's evaluation, which all trials of a request share: each definition is computed once."""
    return _evaluation(catalog, record, catalog.value_sets, now, first_dose)


def _evaluation(
    catalog: Catalog, retriever: Retriever, terminology: Terminology, now: datetime, first_dose: date
) -> Evaluation:
    parameters = {FIRST_DOSE: Date(first_dose.year, first_dose.month, first_dose.day)}
    return Evaluation(
        catalog.libraries,
        retriever,
        terminology,
        now=now,
        parameters=parameters,
        budget=_DEFINITION_BUDGET,
        total=_EVALUATION_BUDGET,
    )


def apply(
    trial: Trial,
    record: PatientRecord,
    at: Callable[[date], Evaluation],
    first_dose: date,
    *,
    deceased: bool = False,
    all_criteria: bool = False,
) -> Eligibility:
    """What one trial answers for one patient.

    The disease criteria come first: where one is not met, or unknown with no evidence at all, the trial is passed
    over, and its other criteria are evaluated only if `all_criteria` asks for them. `at` gives the patient's
    evaluation for a first dose on some day: `first_dose`, and later ones to find when a window clears.
    """
    evaluation = at(first_dose)
    diseases, applicable = _judge_disease(trial, record, evaluation)
    if not applicable and not all_criteria:
        return trial.passed_over
    results = tuple(diseases.get(c.id) or _judge(c, trial.logic[c.id], record, evaluation) for c in trial.criteria)
    status = _status(results, applicable, deceased, trial.record_incomplete)
    unread = sorted(kind for kind in trial.types if not record.is_searched(kind)) if results else []
    eligible_from: date | None = None
    if applicable and not deceased:
        windows = Windows(
            trial, evaluation, first_dose, lambda c, logic, later: _judge(c, logic, record, later), _is_clear
        )
        results = tuple(_with_clearing(result, windows) for result in results)
        eligible_from = windows.eligible_from(results)
    return Eligibility(
        trial=trial.id,
        title=trial.title,
        status=status,
        criteria=results,
        counts=_counts(results),
        record_incomplete=trial.record_incomplete,
        eligible_from=eligible_from,
        unread=tuple(unread),
    )


def _with_clearing(result: CriterionResult, windows: Windows) -> CriterionResult:
    day = windows.clears_on(result)
    return result if day is None else replace(result, clears_on=day)


def _is_clear(result: CriterionResult) -> bool:
    """Whether data leaves nothing open that a later first dose could settle."""
    if result.outcome is Outcome.UNKNOWN:
        return result.reason == REST_IS_FOR_A_PERSON
    return result.outcome is not Outcome.NOT_MET


def _judge_disease(
    trial: Trial, record: PatientRecord, evaluation: Evaluation
) -> tuple[dict[str, CriterionResult], bool]:
    """The results of a trial's disease criteria, and whether all leave it open."""
    results = {c.id: _judge(c, trial.logic[c.id], record, evaluation) for c in trial.disease_criteria}
    return results, all(_concerns(result, trial.logic[id_], record) for id_, result in results.items())


def _concerns(result: CriterionResult, logic: Logic, record: PatientRecord) -> bool:
    """Whether a disease criterion leaves the trial open: met, unknown with evidence, failed, or its data unread."""
    if result.outcome is Outcome.UNKNOWN:
        return result.failed or bool(_clinical(result.evidence)) or not all(map(record.is_searched, logic.types))
    return result.outcome is not Outcome.NOT_MET


def _status(results: Iterable[CriterionResult], applicable: bool, deceased: bool, record_incomplete: bool) -> Status:
    if not applicable:
        return Status.NOT_APPLICABLE
    outcomes = {result.outcome for result in results}
    if deceased or Outcome.NOT_MET in outcomes:
        return Status.INELIGIBLE
    if Outcome.UNKNOWN in outcomes or record_incomplete:
        return Status.POTENTIALLY_ELIGIBLE
    return Status.ELIGIBLE


def _counts(results: Collection[CriterionResult]) -> Counts:
    def number(outcome: Outcome) -> int:
        return sum(result.outcome is outcome for result in results)

    return Counts(
        met=number(Outcome.MET),
        not_met=number(Outcome.NOT_MET),
        unknown=number(Outcome.UNKNOWN),
        not_applicable=number(Outcome.NOT_APPLICABLE),
        presumed=sum(r.outcome is Outcome.MET and r.basis is Basis.PRESUMED for r in results),
    )


def _judge(criterion: Criterion, logic: Logic, record: PatientRecord, evaluation: Evaluation) -> CriterionResult:
    """The outcome of one criterion: what the data say and, where they leave it open, what people have said."""
    computed = _computed(criterion, logic, record, evaluation)
    if logic.question is None:
        return computed
    return answered(computed, logic.question, record, needs_data=_needs_data(computed, logic, record))


def _needs_data(computed: CriterionResult, logic: Logic, record: PatientRecord) -> bool:
    """Whether something is open that nobody's word can settle: data unread, or the part of a criterion for data."""
    policies = computed.criterion.policies
    if computed.criterion.assessment is Assessment.ATTESTATION or computed.reason == REST_IS_FOR_A_PERSON:
        return False
    unread = not all(map(record.is_searched, logic.types))
    return computed.failed or unread or (Policy.UNKNOWN in policies and Policy.ATTEST in policies)


def _computed(criterion: Criterion, logic: Logic, record: PatientRecord, evaluation: Evaluation) -> CriterionResult:
    """What the data say of one criterion, by the meanings of ARCHITECTURE.md."""
    unread = sorted(kind for kind in logic.types if not record.is_searched(kind))
    if unread:
        return CriterionResult(criterion, Outcome.UNKNOWN, Basis.NONE, reason=f"{', '.join(unread)} could not be read")
    try:
        applies = None if logic.applies is None else evaluation.value(logic.applies)
        answer = evaluation.value(logic.answer)
    except EvaluationError as error:
        why = f"could not be evaluated: {error}"
        return CriterionResult(criterion, Outcome.UNKNOWN, Basis.NONE, reason=why, failed=True)
    facts = {fact: _held(evaluation, fact) for fact in logic.facts}
    found = _evidence(facts.values(), record)
    evidence = _join(found, _evidence([_held(evaluation, shown) for shown in logic.shown], record))
    if logic.applies is not None and applies is False:
        basis = Basis.VERIFIED if _clinical(evidence) else Basis.PRESUMED
        return CriterionResult(criterion, Outcome.NOT_APPLICABLE, basis, evidence)
    verifying = _evidence([_held(evaluation, definition) for definition in logic.verifying], record)
    evidence = _join(evidence, verifying)
    outcome, basis, reason = _meaning(criterion, answer, found, verifying)
    missing: tuple[Missing, ...] = ()
    if outcome is Outcome.UNKNOWN:
        empty = (logic.facts[fact] for fact, held in facts.items() if not held)
        missing = tuple(dict.fromkeys(chain.from_iterable(empty)))
    return CriterionResult(criterion, outcome, basis, evidence, missing, reason=reason or _said(facts.values()))


def _meaning(
    criterion: Criterion, answer: Value, evidence: tuple[Evidence, ...], verifying: tuple[Evidence, ...]
) -> tuple[Outcome, Basis, str | None]:
    """What a definition's value says of its criterion: outcome, basis, and why where that is not plain.

    `evidence` is what the definition itself rests on; what an author merely shows beside it decides nothing.
    """
    closed = all(policy is Policy.PRESUME_ABSENT for policy in criterion.policies)
    if answer is None:
        if closed and criterion.assessment is not Assessment.ATTESTATION and not _clinical(evidence):
            return Outcome.MET, Basis.VERIFIED if verifying else Basis.PRESUMED, None
        return Outcome.UNKNOWN, Basis.NONE, None
    if answer is (criterion.kind is Kind.EXCLUSION):
        return Outcome.NOT_MET, Basis.VERIFIED if evidence else Basis.PRESUMED, None
    if Policy.ATTEST in criterion.policies:
        return Outcome.UNKNOWN, Basis.NONE, REST_IS_FOR_A_PERSON
    if Policy.PRESUME_ABSENT in criterion.policies:
        return Outcome.MET, Basis.VERIFIED if verifying else Basis.PRESUMED, None
    return Outcome.MET, Basis.VERIFIED if evidence else Basis.PRESUMED, None


def _held(evaluation: Evaluation, definition: Definition) -> tuple[Value, ...]:
    """What a fact holds; nothing where it cannot be computed (the criterion itself was, so nothing hangs on it)."""
    try:
        return tuple(_tuples_and_resources(evaluation.value(definition)))
    except EvaluationError:
        return ()


def _tuples_and_resources(value: Value) -> Iterator[Value]:
    """The members of a fact's value: resources, and tuples that hold one."""
    if isinstance(value, list):
        for item in value:
            yield from _tuples_and_resources(item)
    elif isinstance(value, Element | Tuple) and any(True for _ in _resources(value)):
        yield value


def _resources(value: Value) -> Iterator[Structured]:
    if isinstance(value, Element):
        if isinstance(value.json, dict) and "resourceType" in value.json:
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _resources(item)
    elif isinstance(value, Tuple):
        for item in value.values():
            yield from _resources(item)


def _evidence(held: Iterable[Iterable[Value]], record: PatientRecord) -> tuple[Evidence, ...]:
    """The resources in the values of facts, each once, in the order found."""
    found: dict[str, Evidence] = {}
    for members in held:
        for member in members:
            for resource in _resources(member):
                reference = record.reference_of(resource.json)  # type: ignore[attr-defined]
                found.setdefault(reference, Evidence(reference, resource.json))  # type: ignore[attr-defined]
    return tuple(found.values())


def _join(first: tuple[Evidence, ...], second: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    return tuple({item.reference: item for item in (*first, *second)}.values())


def _clinical(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """The evidence besides the Patient: that a patient has an age and a sex is no sign of any disease."""
    return tuple(item for item in evidence if item.resource.get("resourceType") != "Patient")


def _said(facts: Iterable[tuple[Value, ...]]) -> str | None:
    """The reasons that facts carry themselves, as a tuple's element `reason` (such as "by name")."""
    said: dict[str, None] = {}
    for members in facts:
        for member in members:
            reason = member.get("reason") if isinstance(member, Tuple) else None
            if isinstance(reason, str):
                said[reason] = None
    return "; ".join(said) or None


def _instant(now: datetime) -> str:
    return now.isoformat().replace("+00:00", "Z")
