"""Eligibility -> Card (CDS Hooks 2.0.1, CDS Service Response)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any
from uuid import UUID, uuid5

from cds.hooks.detail import could_start, cut, detail, name_of, plain
from cds.hooks.suggestions import questionnaire_link, suggestions_for_what_is_open
from cds.trials.catalog import Trial
from cds.trials.eligibility import Eligibility, Match, Status

Json = dict[str, Any]

#: A summary has fewer than 140 characters.
SUMMARY = 139
#: How much of it the names of windows may take.
_WINDOWS = 48
#: The key of our extensions, our canonical base reversed.
EXTENSION = "example.trial-match"
#: What a ServiceRequest may name as its reason (R4 ServiceRequest.reasonReference).
_REASONS = ("Condition", "Observation", "DiagnosticReport", "DocumentReference")


def about(card: Json) -> tuple[str, str]:
    """What a card is about, and its state: a trial with the patient's status, or a plan of others that applies."""
    told = card["extension"][EXTENSION]
    return str(told.get("trial") or told["planDefinition"]), str(told.get("status", "applies"))


def worth_showing(match: Match) -> Iterator[Eligibility]:
    """The answers that deserve a card, best first.

    Those of trials that fit or may fit; last, those that only a window keeps closed and that open on a known day.
    Never for the dead.
    """
    if match.deceased:
        return
    later = []
    for answer in match.trials:
        if answer.status in (Status.ELIGIBLE, Status.POTENTIALLY_ELIGIBLE):
            yield answer
        elif answer.status is Status.NOT_APPLICABLE:
            break  # so are all that follow, and they may be many
        elif answer.eligible_from is not None:
            later.append(answer)
    yield from sorted(later, key=lambda answer: (answer.eligible_from or date.max, answer.trial))


def card(
    answer: Eligibility,
    trial: Trial,
    *,
    patient_id: str,
    hook_instance: UUID,
    first_dose: date,
    override_reasons: Sequence[Json] = (),
    public_url: str = "",
) -> Json:
    """The card of one trial for one patient. The same call gives the same UUIDs, so that a retry is recognised."""
    suggestions = [
        _referral(answer, trial, patient_id, hook_instance),
        *suggestions_for_what_is_open(answer, trial, patient_id, hook_instance),
    ]
    shown: Json = {
        "uuid": str(uuid5(hook_instance, trial.id)),
        "summary": summary(answer, name_of(trial)),
        "detail": detail(answer, trial, first_dose),
        "indicator": "info",
        "source": {"label": plain(str(trial.research_study.get("title") or trial.title))},
        "suggestions": suggestions,
        "selectionBehavior": "any" if len(suggestions) > 1 else "at-most-one",
    }
    if override_reasons:
        shown["overrideReasons"] = list(override_reasons)
    if links := [*_links(trial), *questionnaire_link(answer, trial, public_url)]:
        shown["links"] = links
    shown["extension"] = {EXTENSION: {"planDefinition": trial.canonical} | _machine_readable(answer)}
    return shown


def summary(answer: Eligibility, name: str) -> str:
    """The card's one line: which trial, and how far it is from being decided."""
    counts = answer.counts
    number = len(answer.criteria)
    known = "known criteria" if answer.record_incomplete else "criteria"
    if answer.status is Status.ELIGIBLE:
        head = "Trial match: "
        tail = f" – all {number} criteria met" + (f", {counts.presumed} presumed" if counts.presumed else "")
    elif answer.status is Status.INELIGIBLE and answer.eligible_from:
        head = f"Trial {could_start(answer, answer.eligible_from, _WINDOWS)}: "
        tail = f" – {counts.unknown} of {number} {known} open" if counts.unknown else ""
    else:
        head = "Possible trial: "
        tail = f" – {counts.unknown} of {number} {known} open"
    if answer.record_incomplete and not counts.unknown:
        tail = " – the full list of criteria is with the site"
    return head + cut(plain(name), SUMMARY - len(head) - len(tail)) + tail


def _referral(answer: Eligibility, trial: Trial, patient_id: str, hook_instance: UUID) -> Json:
    return {
        "label": "Refer to the study team",
        "uuid": str(uuid5(hook_instance, f"{trial.id}/refer")),
        "actions": [
            {
                "type": "create",
                "description": f"Draft a referral to the study team of: {name_of(trial)}",
                "resource": service_request(answer, trial, patient_id),
            }
        ],
    }


def service_request(answer: Eligibility, trial: Trial, patient_id: str) -> Json:
    """A draft referral to the study team, for the disease that the trial is about (R4 ServiceRequest)."""
    resource: Json = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "proposal",
        "code": {"text": f"Referral to the study team of: {name_of(trial)}"},
        "subject": {"reference": f"Patient/{patient_id}"},
    }
    if trial.url:
        resource["instantiatesCanonical"] = [trial.canonical]
    reasons = [
        {"reference": item.reference}
        for result in answer.criteria
        if result.criterion.disease
        for item in result.evidence
        if item.resource.get("resourceType") in _REASONS and item.reference.startswith(_REASONS)
    ]
    if reasons:
        resource["reasonReference"] = reasons
    return resource


def _links(trial: Trial) -> list[Json]:
    """Links to what the trial's ResearchStudy names as related, where it has an address."""
    artifacts = trial.research_study.get("relatedArtifact", ())
    return [
        {
            "label": plain(str(one.get("display") or one.get("label") or one["url"])),
            "url": one["url"],
            "type": "absolute",
        }
        for one in artifacts
        if str(one.get("url", "")).startswith(("https://", "http://"))
    ]


def _machine_readable(answer: Eligibility) -> Json:
    """What the detail says, for programs: each criterion's outcome with the evidence it rests on."""
    told: Json = {"trial": answer.trial, "status": answer.status.value, "recordIncomplete": answer.record_incomplete}
    if answer.eligible_from:
        told["eligibleFrom"] = answer.eligible_from.isoformat()
    if answer.unread:
        told["unread"] = list(answer.unread)
    criteria = []
    for result in answer.criteria:
        one: Json = {"id": result.criterion.id, "outcome": result.outcome.value, "basis": result.basis.value}
        if result.evidence:
            one["evidence"] = [item.reference for item in result.evidence]
        if result.clears_on:
            one["clearsOn"] = result.clears_on.isoformat()
        criteria.append(one)
    if criteria:
        told["criteria"] = criteria
    return told
