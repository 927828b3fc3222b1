"""The Questionnaire of each trial asks what its PlanDefinition leaves to people, in the protocol's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.questionnaire import Questionnaire

from cds.app import create_app
from cds.publishing.questionnaire import questionnaire
from cds.settings import Settings
from cds.trials.catalog import Catalog
from cds.trials.eligibility import Assessment

TRIALS = {
    "cadonilimab-cervical-locally-advanced": {
        "inclusion": "I1 I4 I5 I7 I8 I10 I14 I15 I16",
        "exclusion": "E1 E3 E4 E5 E7 E8 E12 E13 E16 E17 E18 E22 E23 E24 E25",
    },
    "cadonilimab-anlotinib-cervical": {"inclusion": "C2"},
    "cadonilimab-es-sclc": {"inclusion": "C2 C3 C3b"},
    "cadonilimab-lenvatinib-hcc": {"inclusion": "C2 C3 C4"},
}


@pytest.fixture(params=TRIALS)
def made(request: pytest.FixtureRequest, catalog: Catalog) -> dict[str, Any]:
    one = questionnaire(catalog.trials[request.param])
    assert one is not None
    return one


def items(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["linkId"]: item for group in made["item"] for item in group["item"]}


def test_it_is_valid_fhir_r4(made: dict[str, Any]) -> None:
    Questionnaire.model_validate(made)


def test_it_asks_each_criterion_that_data_leave_open(made: dict[str, Any]) -> None:
    asked = {group["linkId"]: " ".join(item["linkId"] for item in group["item"]) for group in made["item"]}
    assert asked == TRIALS[made["id"]]


def test_its_words_are_the_protocol_s(made: dict[str, Any], catalog: Catalog) -> None:
    criteria = {one.id: one for one in catalog.trials[made["id"]].criteria}
    for link_id, item in items(made).items():
        criterion = criteria[link_id]
        assert criterion.assessment in (Assessment.ATTESTATION, Assessment.PARTIAL)
        assert (item["prefix"], item["text"]) == (criterion.number, criterion.text)
        assert [one["text"] for one in item["item"]] == [criterion.question]


def test_nobody_has_to_know(made: dict[str, Any]) -> None:
    """R4 ValueSet yesnodontknow; and a question may be left open."""
    for item in items(made).values():
        codes = [one["valueCoding"]["code"] for one in item["answerOption"]]
        assert (item["type"], codes) == ("choice", ["Y", "N", "asked-unknown"])
        assert item["required"] is False


def test_link_ids_are_unique(made: dict[str, Any]) -> None:
    def link_ids(part: dict[str, Any]) -> list[str]:
        return [one for item in part.get("item", ()) for one in (item["linkId"], *link_ids(item))]

    found = link_ids(made)
    assert len(found) == len(set(found))


def test_it_is_the_trial_s(made: dict[str, Any], catalog: Catalog) -> None:
    plan = catalog.trials[made["id"]].plan_definition
    assert made["url"] == plan["url"].replace("/PlanDefinition/", "/Questionnaire/")
    assert (made["version"], made["status"]) == (plan["version"], plan["status"])
    (question,) = {one.question.canonical for one in catalog.trials[made["id"]].logic.values() if one.question}
    assert question == f"{made['url']}|{made['version']}"


def test_it_is_served(catalog: Catalog, tmp_path: Path) -> None:
    settings = Settings.from_environment({"CDS_DATABASE_URL": f"sqlite:///{tmp_path / 'feedback.sqlite'}"})
    client = create_app(settings).test_client()
    for trial in catalog:
        answer = client.get(f"/fhir/Questionnaire/{trial.id}")
        assert (answer.status_code, answer.mimetype) == (200, "application/fhir+json")
        served = orjson.loads(answer.data)
        assert served.pop("meta")["versionId"]
        assert served == questionnaire(trial)
    answer = client.get("/fhir/Questionnaire/none")
    assert (answer.status_code, answer.mimetype) == (404, "application/fhir+json")
    OperationOutcome.model_validate(orjson.loads(answer.data))
