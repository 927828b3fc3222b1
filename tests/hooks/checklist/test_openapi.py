"""The OpenAPI description says what the service does: schemathesis plays it, and its examples are answered."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from caller import ROOT, Caller, body, refused
from signed import ISSUER, KEYS

from cds.app import create_app
from cds.hooks.signing import pem
from cds.settings import Settings


@pytest.fixture
def description(caller: Caller) -> dict[str, Any]:
    answer = caller.get("/openapi.json", headers={"Authorization": None})
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def _routes() -> set[str]:
    rules = create_app(Settings.from_environment({})).url_map.iter_rules()
    names = {"<service_id>": "{id}", "<kind>": "{type}", "<fhir_id:resource_id>": "{id}", "<plan_id>": "{id}"}
    return {re.sub("<[a-z_:]+>", lambda found: names[found[0]], str(rule)) for rule in rules}


def test_every_address_is_described_and_every_description_has_its_address(description: dict[str, Any]) -> None:
    assert _routes() == description["paths"].keys()


def test_it_says_where_the_service_is_and_whether_calls_are_signed(description: dict[str, Any], caller: Caller) -> None:
    assert description["servers"] == [{"url": caller.address}]
    assert description["security"] == ([{"cdsHooksJwt": []}] if caller.signs else [])
    ids = [service["id"] for service in caller.discovery()]
    assert description["components"]["parameters"]["Service"]["schema"] == {"enum": ids}


def test_its_examples_are_answered_as_it_says(description: dict[str, Any], caller: Caller) -> None:
    operation = description["paths"]["/cds-services/{id}"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert caller.post(examples["prefetched"]["value"]).status_code == 200
    refused(caller.post(examples["toBeRead"]["value"]), 412)


def test_schemathesis_finds_nothing(caller: Caller, tmp_path: Path) -> None:
    """What fits the description can still lack what the trials need (412): acceptance of all that fits is not asked."""
    key = tmp_path / "key.pem"
    key.write_bytes(pem(KEYS["ES384"]))
    signing = {"SIGN_FOR": caller.address, "SIGN_KEY": str(key), "SIGN_ISSUER": ISSUER, "SIGN_KID": "ES384"}
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{here}",
        "SCHEMATHESIS_HOOKS": "openapi_hooks",
        **(signing if caller.signs else {}),
    }
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{caller.address}/openapi.json"]
    options = ["--max-examples=20", "--seed=1", "--phases=examples,coverage,fuzzing"]
    options += ["--exclude-checks=positive_data_acceptance", "--continue-on-failure", "--warnings=off"]
    run = subprocess.run([*command, *options], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert run.returncode == 0, (run.stdout + run.stderr).decode()[-8000:]
    assert b"No issues found" in run.stdout


def test_what_is_answered_fits_the_description(description: dict[str, Any], caller: Caller) -> None:
    """The cards of a whole request, which schemathesis does not think of."""
    from jsonschema_rs import Draft202012Validator

    def check(name: str, value: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
        Draft202012Validator(schema).validate(value)

    check("Discovery", caller.get("/cds-services").json())
    check("Request", body())
    check("Response", caller.post(body()).json())
    check("OperationOutcome", caller.post(b"{").json())
    for path in (ROOT / "hooks").glob("*/responses/*.json"):
        told = orjson.loads(path.read_bytes())
        check("Response" if told["status"] == 200 else "OperationOutcome", told["body"])
