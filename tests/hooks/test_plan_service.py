"""Plans that others wrote, served: discovery, answers, cards; and which are not served, and why."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from fhir.resources.R4B import get_fhir_model_class
from flask.testing import FlaskClient

from cds.app import create_app
from cds.errors import ContentError
from cds.hooks.doctor.cards import problems
from cds.reasoning.knowledge import Knowledge
from cds.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
CONTENT = ROOT / "tests" / "reasoning" / "content"
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
Json = dict[str, Any]


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    settings = Settings.from_environment({"CDS_PLANDEFINITIONS": f"{CONTENT}, {ROOT / 'plandefinitions'}"})
    yield create_app(settings, clock=lambda: NOW).test_client()


def request(hook: str = "patient-view", gender: str = "female", weight: float | None = None, **more: Any) -> Json:
    patient = {"resourceType": "Patient", "id": "p", "birthDate": "1970-01-01", "gender": gender}
    observation = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "subject": {"reference": "Patient/p"},
        "code": {"text": "weight"},
        "valueQuantity": {"value": weight, "unit": "kg"},
    }
    context = {"userId": "Practitioner/d", "patientId": "p"}
    if hook == "order-sign":
        context["draftOrders"] = {"resourceType": "Bundle", "entry": more.pop("drafts", [])}  # type: ignore[assignment]
    prefetch = {"patient": patient, "procedure": None, "observation": None}
    if weight is not None:
        prefetch["observation"] = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": observation}]}
    return {
        "hook": hook,
        "hookInstance": "11111111-2222-3333-4444-555555555555",
        "context": context,
        "prefetch": prefetch | more,
    }


def ask(client: FlaskClient, body: Json, service: str = "bowel-screening-patient-view") -> Json:
    answer = client.post(f"/cds-services/{service}", json=body)
    assert answer.status_code == 200, answer.data
    told: Json = orjson.loads(answer.data)
    assert list(problems(told)) == []
    return told


def test_discovery_has_a_service_for_each_hook_of_each_plan_that_can_be_served(client: FlaskClient) -> None:
    services = orjson.loads(client.get("/cds-services").data)["services"]
    ours = {one["id"]: one for one in services if one["id"] != "trial-match"}
    assert set(ours) == {"bowel-screening-patient-view", "bowel-screening-order-sign"}
    assert ours["bowel-screening-patient-view"] == {
        "hook": "patient-view",
        "title": "Bowel screening",
        "description": "Whether screening for bowel cancer is due.",
        "id": "bowel-screening-patient-view",
        "usageRequirements": "FHIR R4.",
        "prefetch": {
            "patient": "Patient/{{context.patientId}}",
            "observation": "Observation?patient={{context.patientId}}",
            "procedure": "Procedure?patient={{context.patientId}}",
        },
    }


def test_a_plan_that_cannot_be_served_is_named_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        create_app(Settings.from_environment({"CDS_PLANDEFINITIONS": f"{ROOT / 'plandefinitions'},{CONTENT}"}))
    told = {record.args[0]: str(record.args[1]) for record in caplog.records if record.name == "cds.hooks"}  # type: ignore[index]
    reasons = {
        "no-such-define": "has no definition Is Overdue",
        "no-library": "no library Absent",
        "fhirpath": "text/fhirpath names no definition",
        "circle": "in a circle: .*circle -> .*circle",
        "no-description": "no description",
    }
    assert told.keys() == reasons.keys()
    for plan, reason in reasons.items():
        assert re.search(reason, told[plan]), told[plan]


def test_an_action_that_applies_is_a_card_with_its_values_and_offers(client: FlaskClient) -> None:
    card = ask(client, request())["cards"][0]
    assert card["summary"] == "Bowel screening is due at age 56"
    assert card["detail"] == "No colonoscopy is on record. &lt;b>Ask&lt;/b> for *symptoms*."
    assert card["indicator"] == "warning" and card["selectionBehavior"] == "at-most-one"
    assert card["source"] == {"label": "Guideline of 2026", "url": "https://guides.example/2026"}
    assert {link["url"] for link in card["links"]} == {
        "https://guides.example/guideline",
        "https://guides.example/Questionnaire/symptoms",
    }
    offers = {one["label"]: one.get("actions", []) for one in card["suggestions"]}
    assert list(offers) == ["Order a stool test", "Colonoscopy", "CT", "Ask first", "Not for men"]
    [order] = offers["Order a stool test"]
    assert order["resource"] == {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "instantiatesCanonical": ["https://guides.example/ActivityDefinition/stool-test|1.0.0"],
        "priority": "routine",
        "subject": {"reference": "Patient/p"},
        "authoredOn": "2026-11-21T09:00:00+00:00",
        "code": {"coding": [{"system": "https://guides.example/CodeSystem/tests", "code": "stool-test"}]},
        "note": [{"text": "Bowel screening is due at age 56"}],
    }
    for actions in offers.values():
        for one in actions:
            get_fhir_model_class(one["resource"]["resourceType"]).model_validate(one["resource"])
    assert offers["CT"] == [] and offers["Colonoscopy"][0]["resource"]["occurrenceDateTime"] == "2026-12-01"


def test_the_same_call_gives_the_same_uuids(client: FlaskClient) -> None:
    assert ask(client, request()) == ask(client, request())


def test_what_nobody_knows_is_told_and_is_no_card(client: FlaskClient) -> None:
    undecided = ask(client, request())["extension"]["example.trial-match"]["undecided"]
    assert [(one["action"], one["expression"]) for one in undecided] == [
        ("CT", "https://guides.example/ActivityDefinition/without-product"),
        ("Adjust the dose", "Is Heavy"),
        ("Never known", "Fails"),
        ("No answer", "Not Boolean"),
    ]
    assert [one["reason"].partition(":")[0] for one in undecided[1:]] == ["is null", "failed", "is no Boolean"]


@pytest.mark.parametrize(
    ("body", "summaries"),
    [
        (request(weight=120), ["Bowel screening is due at age 56", "Adjust the dose"]),
        (request(weight=100), ["Bowel screening is due at age 56"]),
        (request(weight=120, gender="male"), ["Bowel screening is due at age 56"]),
    ],
)
def test_conditions_must_all_be_true(client: FlaskClient, body: Json, summaries: list[str]) -> None:
    assert [card["summary"] for card in ask(client, body)["cards"]] == summaries


def test_a_card_without_documentation_names_the_publisher(client: FlaskClient) -> None:
    card = ask(client, request(weight=120))["cards"][1]
    assert card["source"] == {"label": "Example Guides"} and card["indicator"] == "info" and "suggestions" not in card


def test_data_of_others_does_not_count_and_states_are_for_the_logic(client: FlaskClient) -> None:
    done = {
        "resourceType": "Procedure",
        "status": "entered-in-error",
        "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "https://guides.example/CodeSystem/tests", "code": "colonoscopy"}]},
    }
    body = request(procedure={"resourceType": "Bundle", "entry": [{"resource": done}]})
    assert ask(client, body)["cards"] == []
    others = copy.deepcopy(body)
    others["prefetch"]["procedure"]["entry"][0]["resource"]["subject"]["reference"] = "Patient/q"
    assert len(ask(client, others)["cards"]) == 1


def test_draft_orders_reach_the_logic(client: FlaskClient) -> None:
    draft = {"resource": {"resourceType": "MedicationRequest", "id": "m", "status": "draft"}}
    service = "bowel-screening-order-sign"
    told = ask(client, request("order-sign", drafts=[draft]), service)
    assert [(card["summary"], card["indicator"]) for card in told["cards"]] == [("Drafts are there", "critical")]
    assert ask(client, request("order-sign"), service)["cards"] == []


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        (lambda body: body["prefetch"].pop("procedure"), 412, "Procedure"),
        (lambda body: body["context"].pop("draftOrders"), 400, "context.draftOrders"),
        (lambda body: body["context"].update(draftOrders=[]), 400, "context.draftOrders"),
        (lambda body: body["context"].pop("userId"), 400, "context.userId"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    client: FlaskClient, change: Callable[[Json], Any], status: int, told: str
) -> None:
    body = request("order-sign")
    change(body)
    answer = client.post("/cds-services/bowel-screening-order-sign", json=body)
    assert answer.status_code == status and told in orjson.loads(answer.data)["issue"][0]["diagnostics"]


def test_feedback_on_such_a_card_is_taken(client: FlaskClient) -> None:
    card = ask(client, request())["cards"][0]
    feedback = {
        "card": card["uuid"],
        "outcome": "accepted",
        "acceptedSuggestions": [{"id": card["suggestions"][0]["uuid"]}],
        "outcomeTimestamp": "2026-11-21T09:00:00Z",
    }
    answer = client.post("/cds-services/bowel-screening-patient-view/feedback", json={"feedback": [feedback]})
    assert answer.status_code == 200


def test_a_folder_without_plans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="holds no PlanDefinition"):
        Knowledge.load(tmp_path)


def test_two_folders_of_trials_are_refused(tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "plan-definition.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ContentError, match="two folders of trials"):
        Settings.from_environment({"CDS_PLANDEFINITIONS": f"{tmp_path},{ROOT / 'plandefinitions'}"})
