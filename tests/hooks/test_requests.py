"""Every request of hooks/ is sent to the service, and answered as the file of its name under responses/ says.

``pytest tests/hooks --write-responses`` writes those files from what the service answers now: read the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.servicerequest import ServiceRequest
from fhir.resources.R4B.task import Task
from flask.testing import FlaskClient

from cds.app import create_app
from cds.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
REQUESTS = sorted((ROOT / "hooks").glob("*/requests/*.json"))
NOW = "2026-11-20T12:00:00Z"
#: What suggestions may create.
DRAFTS = {"ServiceRequest": ServiceRequest, "Task": Task}


def expected_of(path: Path) -> Path:
    return path.parent.parent / "responses" / path.name


@pytest.fixture(scope="module")
def clients() -> Callable[[str], FlaskClient]:
    """A client of the service at a moment."""
    moment = NOW
    app = create_app(Settings.from_environment({}), clock=lambda: datetime.fromisoformat(moment))

    def at(now: str) -> FlaskClient:
        nonlocal moment
        moment = now
        return app.test_client()

    return at


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_request(
    path: Path,
    clients: Callable[[str], FlaskClient],
    empties: Callable[[Any], list[str]],
    pytestconfig: pytest.Config,
) -> None:
    target = expected_of(path)
    writing = pytestconfig.getoption("--write-responses", default=False)
    expected = orjson.loads(target.read_bytes()) if target.exists() else {}
    now = expected.get("now", NOW)
    address = f"/cds-services/{path.parent.parent.name}"
    answer = clients(now).post(address, data=path.read_bytes(), content_type="application/json")
    got = {"now": now, "status": answer.status_code, "body": orjson.loads(answer.data)}
    if writing:
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(orjson.dumps(got, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    else:
        assert got == expected
    assert not empties(got["body"])
    if answer.status_code != 200:
        OperationOutcome.model_validate(got["body"])
    for card in got["body"].get("cards", ()):
        assert len(card["summary"]) < 140
        for suggestion in card["suggestions"]:
            for action in suggestion["actions"]:
                DRAFTS[action["resource"]["resourceType"]].model_validate(action["resource"])


def test_every_response_has_its_request() -> None:
    responses = set((ROOT / "hooks").glob("*/responses/*.json"))
    assert responses == {expected_of(path) for path in REQUESTS}
