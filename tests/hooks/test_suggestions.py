"""What a card suggests for what is open: coded tests, a task for facts, the questionnaire; nothing more."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from fhir.resources.R4B.servicerequest import ServiceRequest
from fhir.resources.R4B.task import Task

from cds.fhir.record import PatientRecord
from cds.hooks.cards import card
from cds.trials.apply import match
from cds.trials.catalog import EXTENSION, Catalog
from cds.trials.eligibility import Outcome

ROOT = Path(__file__).resolve().parent.parent.parent
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
INSTANCE = UUID("d1577c69-dfbe-44ad-ba6d-3e05e953b2ea")
TRIAL = "cadonilimab-cervical-locally-advanced"
LOINC, SCT = "http://loinc.org", "http://snomed.info/sct"
DRAFTS: dict[str, Any] = {"ServiceRequest": ServiceRequest, "Task": Task}

Json = dict[str, Any]

PATIENT: Json = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1980-01-01"}
HER = {"reference": "Patient/p"}
CANCER: Json = {
    "resourceType": "Condition",
    "id": "c",
    "subject": HER,
    "code": {"coding": [{"system": SCT, "code": "254886006"}]},
    "onsetDateTime": "2026-11-01",
}
VIRUS: Json = {**CANCER, "id": "b", "code": {"coding": [{"system": SCT, "code": "66071002"}]}}


def observation(id_: str, code: str, **value: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "subject": HER,
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "effectiveDateTime": "2026-11-19",
        **value,
    }


ECOG = observation("ecog", "89247-1", valueInteger=1)
NEGATIVE = observation(
    "hcg", "2118-8", valueCodeableConcept={"coding": [{"system": SCT, "code": "260385009", "display": "Negative"}]}
)


def shown(catalog: Catalog, resources: Iterable[Json], *, trial: str = TRIAL, public_url: str = "") -> Json:
    record = PatientRecord.from_resources([PATIENT, CANCER, *resources], now=NOW, patient_id="p")
    answer = match(catalog, record, now=NOW, trials=[trial], all_criteria=True).trials[0]
    return card(
        answer,
        catalog.trials[trial],
        patient_id="p",
        hook_instance=INSTANCE,
        first_dose=date(2026, 11, 20),
        public_url=public_url,
    )


def drafts(card: Json, label: str) -> list[Json]:
    """The resources of the suggestion whose label starts so, valid all of them."""
    found = [
        action["resource"]
        for suggestion in card["suggestions"]
        if suggestion["label"].startswith(label)
        for action in suggestion["actions"]
    ]
    for one in found:
        DRAFTS[one["resourceType"]].model_validate(one)
        assert (one["status"], one["intent"]) == ("draft", "proposal")
        assert one.get("subject", one.get("for")) == HER
    return found


@pytest.mark.parametrize(
    ("resources", "codes"),
    [
        ([], ["2118-8", "89247-1"]),
        ([ECOG], ["2118-8"]),
        ([NEGATIVE], ["89247-1"]),
        ([ECOG, NEGATIVE], []),
        ([ECOG, NEGATIVE, VIRUS], ["42595-9", "5195-3"]),
    ],
)
def test_the_tests_that_criteria_miss_can_be_ordered(catalog: Catalog, resources: list[Json], codes: list[str]) -> None:
    """A pregnancy test serves two criteria, and is ordered once."""
    orders = drafts(shown(catalog, resources), "Order what is missing")
    assert [one["code"]["coding"][0]["code"] for one in orders] == codes


def test_what_can_be_ordered_is_a_verified_code_of_the_value_set(catalog: Catalog) -> None:
    sets = [orjson.loads(path.read_bytes()) for path in (ROOT / "plandefinitions").glob("*/valuesets/*.json")]
    named = {one["url"]: one for one in sets}
    tests = [(value_set, test) for trial in catalog for (_, value_set), test in trial.tests.items()]
    assert tests
    for value_set, test in tests:
        concepts = {
            (include["system"], concept["code"], concept["display"]): {one["url"] for one in concept["extension"]}
            for include in named[value_set]["compose"]["include"]
            for concept in include.get("concept", ())
        }
        said = concepts[test["system"], test["code"], test["display"]]
        assert EXTENSION + "code-source" in said and EXTENSION + "not-verified" not in said


def test_an_order_says_for_which_criteria(catalog: Catalog) -> None:
    (order,) = drafts(shown(catalog, [ECOG]), "Order what is missing: 1 test")
    (reason,) = order["reasonCode"]
    assert "I10 Negative pregnancy test" in reason["text"] and "E22 Pregnant" in reason["text"]


def test_what_no_code_can_order_is_one_task(catalog: Catalog) -> None:
    """Tumour size, nodes or stage: any of them, from any source."""
    (task,) = drafts(shown(catalog, [ECOG, NEGATIVE]), "Ask for what the record lacks")
    asked = {one["type"]["text"].split()[0]: one["valueString"] for one in task["input"]}
    criteria = {one.id: one.question for one in catalog.trials[TRIAL].criteria}
    assert asked and asked == {name: criteria[name] for name in asked}
    assert "I6" in asked and "I1" not in asked, "what a person has to say is asked by the questionnaire"


def test_the_questionnaire_is_a_task_and_a_link(catalog: Catalog) -> None:
    card = shown(catalog, [], public_url="https://trials.example/cds")
    (task,) = drafts(card, "Have the questionnaire filled in")
    assert task["code"]["coding"][0]["code"] == "complete-questionnaire"
    (given,) = task["input"]
    question = catalog.trials[TRIAL].logic["I1"].question
    assert question and given["valueCanonical"] == question.canonical
    (link,) = card["links"]
    assert (link["url"], link["type"]) == (f"https://trials.example/cds/fhir/Questionnaire/{TRIAL}", "absolute")
    assert "links" not in shown(catalog, []), "without an address there is nothing to link to"


def test_four_suggestions_at_most_and_any_may_be_taken(catalog: Catalog) -> None:
    for trial in catalog:
        card = shown(catalog, [VIRUS], trial=trial.id)
        assert 1 <= len(card["suggestions"]) <= 4
        assert card["selectionBehavior"] == ("any" if len(card["suggestions"]) > 1 else "at-most-one")
        assert len({one["uuid"] for one in card["suggestions"]}) == len(card["suggestions"])
        assert all(len(one["actions"]) <= 4 for one in card["suggestions"])


def test_a_trial_that_a_window_keeps_closed_suggests_the_referral_alone(catalog: Catalog) -> None:
    vaccine = {
        "resourceType": "Immunization",
        "id": "v",
        "status": "completed",
        "patient": HER,
        "vaccineCode": {"coding": [{"system": "http://hl7.org/fhir/sid/cvx", "code": "03"}]},
        "occurrenceDateTime": "2026-11-10",
    }
    card = shown(catalog, [vaccine], public_url="https://trials.example")
    assert [one["label"] for one in card["suggestions"]] == ["Refer to the study team"]
    assert "links" not in card


def test_what_is_not_open_is_not_suggested(catalog: Catalog) -> None:
    said = {
        "resourceType": "QuestionnaireResponse",
        "id": "r",
        "status": "completed",
        "questionnaire": "https://trial-match.example/fhir/Questionnaire/cadonilimab-lenvatinib-hcc",
        "subject": HER,
        "authored": "2026-11-19",
        "item": [{"linkId": name, "answer": [{"valueBoolean": True}]} for name in ("C2", "C3", "C4")],
    }
    liver = {**CANCER, "id": "l", "code": {"coding": [{"system": SCT, "code": "109841003"}]}}
    record = PatientRecord.from_resources([PATIENT, liver, said], now=NOW, patient_id="p")
    trial = catalog.trials["cadonilimab-lenvatinib-hcc"]
    answer = match(catalog, record, now=NOW, trials=[trial.id]).trials[0]
    assert {one.outcome for one in answer.criteria} == {Outcome.MET}
    card_ = card(
        answer, trial, patient_id="p", hook_instance=INSTANCE, first_dose=NOW.date(), public_url="https://t.example"
    )
    assert [one["label"] for one in card_["suggestions"]] == ["Refer to the study team"]
    assert "links" not in card_
