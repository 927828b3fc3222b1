"""/fhir: the published resources are read by type and id."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.questionnaire import Questionnaire
from flask import Flask
from flask.testing import FlaskClient

from cds.app import create_app
from cds.publishing.routes import blueprint
from cds.settings import Settings
from cds.trials.catalog import Catalog

DEMO = {"resourceType": "Questionnaire", "id": "demo", "status": "active"}


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    app = Flask(__name__)
    app.register_blueprint(blueprint([DEMO]))
    with app.test_client() as made:
        yield made


def test_a_resource_is_read(client: FlaskClient) -> None:
    answer = client.get("/fhir/Questionnaire/demo")
    assert (answer.status_code, answer.mimetype) == (200, "application/fhir+json")
    assert orjson.loads(answer.data) == DEMO


@pytest.mark.parametrize("path", ["Questionnaire/other", "ValueSet/demo", "questionnaire/demo"])
def test_what_is_not_there_is_an_operation_outcome(client: FlaskClient, path: str) -> None:
    answer = client.get(f"/fhir/{path}")
    assert (answer.status_code, answer.mimetype) == (404, "application/fhir+json")
    told = OperationOutcome.model_validate(orjson.loads(answer.data))
    assert told.issue[0].code == "not-found"


def test_what_is_known_is_not_sent_again(client: FlaskClient) -> None:
    etag = client.get("/fhir/Questionnaire/demo").headers["ETag"]
    again = client.get("/fhir/Questionnaire/demo", headers={"If-None-Match": etag})
    assert (again.status_code, again.data) == (304, b"")


def test_the_service_publishes_every_trial_s_questionnaire(catalog: Catalog) -> None:
    client = create_app(Settings.from_environment({})).test_client()
    for trial in catalog:
        answer = client.get(f"/fhir/Questionnaire/{trial.id}")
        assert answer.status_code == 200
        Questionnaire.model_validate(orjson.loads(answer.data))
