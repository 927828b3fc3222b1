"""/fhir from outside: what is published is read and searched as FHIR R4 has it, and plans are applied to patients."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from fhir.resources.R4B import get_fhir_model_class
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cds.app import create_app
from cds.fhir.record import PatientRecord
from cds.publishing.repository import TYPES, Repository
from cds.settings import Settings
from cds.trials.apply import match
from cds.trials.catalog import EXTENSION, Catalog

ROOT = Path(__file__).resolve().parent.parent.parent
TRIALS = ROOT / "plandefinitions"
OTHERS = ROOT / "tests" / "reasoning" / "content"
CASES = sorted(path for path in TRIALS.glob("*/cases/*.json") if not path.name.endswith(".expected.json"))
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
BASE = "https://cds.example/fhir"
TRIAL = "cadonilimab-es-sclc"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    database = tmp_path_factory.mktemp("database") / "feedback.sqlite"
    settings = Settings.from_environment(
        {
            "CDS_PLANDEFINITIONS": f"{TRIALS},{OTHERS}",
            "CDS_PUBLIC_URL": "https://cds.example",
            "CDS_DATABASE_URL": f"sqlite:///{database}",
        }
    )
    yield create_app(settings, clock=lambda: NOW).test_client()


def got(response: TestResponse, status: int = 200) -> Json:
    """The answer, valid FHIR of its type, with the status."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/fhir+json"
    content: Json = orjson.loads(response.data)
    validate(content)
    return content


def validate(resource: Json) -> None:
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def refused(response: TestResponse, status: int) -> str:
    outcome = got(response, status)
    assert outcome["resourceType"] == "OperationOutcome"
    return str(outcome["issue"][0]["diagnostics"])


# ---- what can be done


def test_the_capability_statement_says_what_can_be_done(client: FlaskClient) -> None:
    told = got(client.get("/fhir/metadata"))
    assert told["fhirVersion"] == "4.0.1" and told["implementation"]["url"] == BASE
    assert [one["type"] for one in told["rest"][0]["resource"]] == list(TYPES)


def test_all_search_parameters_that_are_told_are_answered(client: FlaskClient) -> None:
    for resource in got(client.get("/fhir/metadata"))["rest"][0]["resource"]:
        for parameter in resource["searchParam"]:
            url = f"/fhir/{resource['type']}?{parameter['name']}=x&_summary=count"
            answer = got(client.get(url, headers={"Prefer": "handling=strict"}))
            assert answer["total"] == 0 and answer["link"][0]["url"].endswith(url.removeprefix("/fhir"))


# ---- read


@pytest.mark.parametrize("kind", TYPES)
def test_all_that_is_published_is_read_and_valid(client: FlaskClient, kind: str) -> None:
    everything = got(client.get(f"/fhir/{kind}?_count=500"))
    assert everything["total"] == len(everything.get("entry", ()))
    for entry in everything.get("entry", ()):
        resource = got(client.get(entry["fullUrl"].removeprefix("https://cds.example")))
        assert resource == entry["resource"] and resource["resourceType"] == kind


def test_what_is_read_is_what_the_files_say(client: FlaskClient) -> None:
    for path in TRIALS.glob("*/plan-definition.json"):
        for name, kind in (("plan-definition", "PlanDefinition"), ("research-study", "ResearchStudy")):
            written = orjson.loads((path.parent / f"{name}.json").read_bytes())
            read = got(client.get(f"/fhir/{kind}/{written['id']}"))
            assert {**read, "meta": written.get("meta")} == {**written, "meta": written.get("meta")}


def test_a_library_holds_its_cql_and_elm(client: FlaskClient) -> None:
    for path in TRIALS.glob("*/*library.json"):
        library = got(client.get(f"/fhir/Library/{orjson.loads(path.read_bytes())['id']}"))
        content = {one["contentType"]: one for one in library["content"]}
        cql = content["text/cql"]
        assert base64.b64decode(cql["data"]) == (path.parent / cql["title"]).read_bytes() and "url" not in cql
        elm = content["application/elm+json"]
        assert orjson.loads(base64.b64decode(elm["data"])) == orjson.loads((path.parent / elm["title"]).read_bytes())


def test_no_patient_of_a_case_is_published() -> None:
    repository = Repository.load(TRIALS, [OTHERS])
    assert {one.type for kind in repository.resources for one in repository.of_type(kind)} <= set(TYPES)


def test_who_has_the_resource_is_told_so(client: FlaskClient) -> None:
    first = client.get("/fhir/ValueSet/albumin")
    tag = first.headers["ETag"]
    assert tag == f'W/"{orjson.loads(first.data)["meta"]["versionId"]}"'
    again = client.get("/fhir/ValueSet/albumin", headers={"If-None-Match": tag})
    assert again.status_code == 304 and not again.data


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/fhir/ValueSet/nope", 404, "there is no such ValueSet"),
        ("/fhir/Patient/1", 404, "no resources of that type"),
        ("/fhir/Patient", 404, "no resources of that type"),
        ("/fhir/ValueSet/albumin?_format=xml", 406, "application/fhir+json"),
        ("/fhir/ValueSet/albumin?_format=application/fhir%2Bxml", 406, "application/fhir+json"),
        ("/fhir/ValueSet?_count=-1", 400, "_count"),
        ("/fhir/ValueSet?_offset=9999999999", 400, "_offset"),
        ("/fhir/ValueSet?_summary=text", 400, "_summary"),
        ("/fhir/ValueSet?title:sounds=x", 400, "title:sounds"),
        ("/fhir/ValueSet/albumin/_history/1", 404, ""),
    ],
)
def test_what_cannot_be_answered_is_refused(client: FlaskClient, path: str, status: int, told: str) -> None:
    assert told in refused(client.get(path), status)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 200),
        ("*/*", 200),
        ("application/fhir+json", 200),
        ("application/json;q=0.5, application/fhir+xml", 200),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 200),
        ("application/fhir+xml", 406),
        ("application/fhir+json;q=0", 406),
    ],
)
def test_only_json_is_sent(client: FlaskClient, accept: str | None, status: int) -> None:
    got(client.get("/fhir/ValueSet/albumin", headers={"Accept": accept} if accept else {}), status)


def test_a_format_overrides_what_is_accepted(client: FlaskClient) -> None:
    got(client.get("/fhir/ValueSet/albumin?_format=json", headers={"Accept": "application/fhir+xml"}))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_nothing_is_written(client: FlaskClient, method: str) -> None:
    refused(client.open("/fhir/ValueSet/albumin", method=method), 405)


# ---- search

ALBUMIN = "https://trial-match.example/fhir/ValueSet/albumin"
LIBRARY = "https://guides.example/Library/BowelScreening"
SEARCHES = [
    ("ValueSet", {"url": ALBUMIN}, {"albumin"}),
    ("ValueSet", {"url": ALBUMIN + "x"}, set()),
    ("ValueSet", {"url:below": "https://guides.example"}, {"colonoscopy"}),
    ("ValueSet", {"_id": "albumin,inr,nope"}, {"albumin", "inr"}),
    ("ValueSet", {"_id": "albumin", "status": "retired"}, set()),
    ("ValueSet", {"title": "ALBUMIN"}, {"albumin"}),
    ("ValueSet", {"title": "lbumin"}, set()),
    ("ValueSet", {"title:contains": "lbumin"}, {"albumin"}),
    ("ValueSet", {"title:exact": "albumin"}, set()),
    ("ValueSet", {"_id": "albumin", "status:not": "active"}, set()),
    ("ValueSet", {"_id": "albumin", "status:not": "draft"}, {"albumin"}),
    ("ValueSet", {"_id": "albumin", "code": "http://loinc.org|1751-7"}, {"albumin"}),
    ("ValueSet", {"_id": "albumin", "code": "1751-7"}, {"albumin"}),
    ("ValueSet", {"_id": "albumin", "code": "http://snomed.info/sct|1751-7"}, set()),
    ("ValueSet", {"_id": "albumin", "code": "|1751-7"}, set()),
    ("ValueSet", {"_id": "albumin", "code": "http://loinc.org|"}, {"albumin"}),
    ("ValueSet", {"_id": "albumin,colonoscopy", "version:missing": "true"}, {"colonoscopy"}),
    (
        "PlanDefinition",
        {"depends-on": LIBRARY, "_id": f"other-ways,bowel-screening,{TRIAL}"},
        {"bowel-screening", "other-ways"},
    ),
    ("PlanDefinition", {"depends-on": f"{LIBRARY}|1.0.0", "version": "2.1.0"}, {"bowel-screening"}),
    ("PlanDefinition", {"depends-on": f"{LIBRARY}|9"}, set()),
    ("PlanDefinition", {"type": "eca-rule", "_id": "bowel-screening"}, {"bowel-screening"}),
    ("ResearchStudy", {"protocol": "PlanDefinition/cadonilimab-es-sclc"}, {"cadonilimab-es-sclc"}),
    ("ResearchStudy", {"nobody-knows": "this", "title:contains": "SCLC"}, {"cadonilimab-es-sclc"}),
]


@pytest.mark.parametrize(("kind", "parameters", "expected"), SEARCHES, ids=str)
@pytest.mark.parametrize("how", ["get", "post"])
def test_searches(client: FlaskClient, kind: str, parameters: dict[str, str], expected: set[str], how: str) -> None:
    if how == "get":
        bundle = got(client.get(f"/fhir/{kind}", query_string=parameters))
    else:
        bundle = got(client.post(f"/fhir/{kind}/_search", data=parameters))
    assert {entry["resource"]["id"] for entry in bundle.get("entry", ())} == expected
    assert bundle["total"] == len(expected)
    assert "nobody-knows" not in bundle["link"][0]["url"]  # who reads the self link sees what was understood


def test_what_is_not_known_is_refused_if_so_asked(client: FlaskClient) -> None:
    answer = client.get("/fhir/ValueSet?nobody-knows=1", headers={"Prefer": "handling=strict"})
    assert "nobody-knows" in refused(answer, 400)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_pages_are_followed_to_the_end(client: FlaskClient, size: int) -> None:
    whole = [one["fullUrl"] for one in got(client.get("/fhir/ValueSet?_count=500"))["entry"]]
    url, seen, pages = f"/fhir/ValueSet?_count={size}&_summary=true&_format=json", [], 0
    while url:
        page = got(client.get(url))
        seen += [one["fullUrl"] for one in page["entry"]]
        pages += 1
        links = {one["relation"]: one["url"] for one in page["link"]}
        url = links.get("next", "").removeprefix("https://cds.example")
    assert seen == whole and pages == -(-len(whole) // size)


def test_what_is_shortened_says_so(client: FlaskClient) -> None:
    for shape in ("_summary=true", "_elements=title", "_summary=data"):
        (entry,) = got(client.get(f"/fhir/ValueSet?_id=albumin&{shape}"))["entry"]
        assert entry["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"
        assert ("expansion" in entry["resource"]) == (shape == "_summary=data")


def test_a_count_alone(client: FlaskClient) -> None:
    for shape in ("_summary=count", "_count=0"):
        counted = got(client.get(f"/fhir/ResearchStudy?{shape}"))
        assert counted["total"] == 4 and "entry" not in counted


# ---- $apply


def given(bundle: Any, **more: Any) -> Json:
    parameters = [{"name": "data", "resource": bundle}, *more.pop("parameters", [])]
    parameters += [{"name": name, "valueString": value} for name, value in more.items()]
    return {"resourceType": "Parameters", "parameter": parameters}


def apply(client: FlaskClient, plan: str, body: Any) -> TestResponse:
    return client.post(f"/fhir/PlanDefinition/{plan}/$apply", json=body, content_type="application/fhir+json")


def parts(extension: Json) -> dict[str, list[Any]]:
    """The values of a complex extension, by name."""
    found: dict[str, list[Any]] = {}
    for one in extension["extension"]:
        found.setdefault(one["url"], []).extend(value for key, value in one.items() if key.startswith("value"))
    return found


@pytest.mark.parametrize("path", CASES[::9], ids=lambda path: path.stem)
def test_a_trial_applied_says_what_a_match_says(client: FlaskClient, catalog: Catalog, path: Path) -> None:
    trial, bundle = path.parent.parent.name, orjson.loads(path.read_bytes())
    first_dose = date(2026, 12, 1)
    record = PatientRecord.from_bundle(bundle, now=NOW)
    (expected,) = match(catalog, record, now=NOW, first_dose=first_dose, trials=[trial], all_criteria=True).trials
    dose = {"resourceType": "Parameters", "parameter": [{"name": "First Dose", "valueDate": "2026-12-01"}]}
    body = given(bundle, subject=record.reference, parameters=[{"name": "parameters", "resource": dose}])
    plan = got(apply(client, trial, body))
    told = parts(plan["extension"][0])
    assert told["status"] == [expected.status.value] and told["firstDose"] == ["2026-12-01"]
    assert told.get("eligibleFrom", [None])[0] == (str(expected.eligible_from) if expected.eligible_from else None)
    group = plan["contained"][0]
    validate(group)
    criteria = [one for branch in group["action"] for one in branch["action"]]
    assert [one["id"] for one in criteria] == [one.criterion.id for one in expected.criteria]
    for action, result in zip(criteria, expected.criteria, strict=True):
        outcome = parts(action["extension"][0])
        assert outcome["outcome"] == [result.outcome.value] and outcome["basis"] == [result.basis.value]
        assert [one["reference"] for one in outcome.get("evidence", ())] == [one.reference for one in result.evidence]
        assert [one["type"] for one in outcome.get("missing", ())] == [one.type for one in result.missing]
        assert outcome.get("clearsOn", [None])[0] == (str(result.clears_on) if result.clears_on else None)
        assert action["textEquivalent"] == result.criterion.text


PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1970-01-01"}
RECORD = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PATIENT}]}


def test_what_is_not_known_is_said(client: FlaskClient) -> None:
    plan = got(apply(client, TRIAL, RECORD))
    outcomes = {
        one["id"]: parts(one["extension"][0])["outcome"][0]
        for branch in plan["contained"][0]["action"]
        for one in branch["action"]
    }
    assert outcomes["C1"] == "unknown" and plan["status"] == "draft" and plan["intent"] == "proposal"
    assert plan["instantiatesCanonical"] == [f"https://trial-match.example/fhir/PlanDefinition/{TRIAL}|1.0.0"]


def test_what_was_not_searched_is_not_presumed(client: FlaskClient) -> None:
    def bases(plan: Json) -> set[str]:
        actions = [one for branch in plan["contained"][0]["action"] for one in branch["action"]]
        return {value for one in actions for value in parts(one["extension"][0])["basis"]}

    trial = "cadonilimab-cervical-locally-advanced"
    assert "presumed" in bases(got(apply(client, trial, RECORD)))
    assert "presumed" not in bases(got(apply(client, trial, given(RECORD, searched="Patient"))))


@pytest.mark.parametrize(
    "subject",
    [
        {"valueString": "Patient/p"},
        {"valueString": "p"},
        {"valueReference": {"reference": "https://ehr.example/fhir/Patient/p"}},
        {"valueUri": "Patient/p"},
    ],
    ids=str,
)
def test_the_subject_in_all_its_forms(client: FlaskClient, subject: Json) -> None:
    plan = got(apply(client, TRIAL, given(RECORD, parameters=[{"name": "subject", **subject}])))
    assert plan["subject"] == {"reference": "Patient/p"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "body: is neither"),
        ({"resourceType": "Patient"}, "body: is neither"),
        ({"resourceType": "Parameters"}, "parameter: is no list"),
        ({"resourceType": "Parameters", "parameter": [{}]}, "parameter: has no name"),
        ({"resourceType": "Parameters", "parameter": [{"name": "subject", "valueString": "Patient/p"}]}, "data: "),
        (given(PATIENT), "data: is no Bundle"),
        (given(RECORD, subject="Patient/q"), "the Patient asked for is not in the data"),
        (given(RECORD, subject="Group/q"), "subject: is no reference to a patient"),
        (given(RECORD, first="x"), "first: is no parameter"),
        (given(RECORD, planDefinition="x"), "planDefinition: is not supported"),
        (given(RECORD, parameters=[{"name": "data", "resource": RECORD}]), "data: stands twice"),
        (given(RECORD, parameters=[{"name": "useServerData", "valueBoolean": True}]), "useServerData: is true"),
        (given(RECORD, parameters=[{"name": "parameters", "valueString": "x"}]), "parameters: is no Parameters"),
        (
            given(
                RECORD,
                parameters=[
                    {
                        "name": "parameters",
                        "resource": {
                            "resourceType": "Parameters",
                            "parameter": [{"name": "First Dose", "valueDate": "soon"}],
                        },
                    }
                ],
            ),
            "parameters: is no day",
        ),
        ({"resourceType": "Bundle", "type": "collection"}, "there is no Patient in the data"),
    ],
)
def test_what_cannot_be_applied_is_refused(client: FlaskClient, body: Any, told: str) -> None:
    assert told in refused(apply(client, TRIAL, body), 400)


def test_a_plan_that_is_not_there(client: FlaskClient) -> None:
    assert "no plan of that id" in refused(apply(client, "nope", RECORD), 404)
    refused(client.get(f"/fhir/PlanDefinition/{TRIAL}/$apply"), 405)


def test_a_plan_of_others_is_applied(client: FlaskClient) -> None:
    plan = got(apply(client, "bowel-screening", given(RECORD, subject="Patient/p")))
    for one in plan["contained"]:
        validate(one)
    group, *requests = plan["contained"]
    (action,) = [one for one in group["action"] if "stool" in str(one)]
    held = [child["resource"]["reference"] for child in action["action"] if "resource" in child]
    assert "https://guides.example/Questionnaire/symptoms" in held
    assert {f"#{one['id']}" for one in requests} <= {*held, *(str(held) and _references(action))}
    assert any(one["resourceType"] == "ServiceRequest" for one in requests)


def test_what_nobody_can_say_applies_is_told(client: FlaskClient) -> None:
    plan = got(apply(client, "bowel-screening", given(RECORD)))
    told = [parts(one) for one in plan.get("extension", ()) if one["url"] == EXTENSION + "undecided-action"]
    assert told and all(one["reason"] for one in told)


def _references(action: Json) -> set[str]:
    own = {action["resource"]["reference"]} if "resource" in action else set()
    return own.union(*(_references(child) for child in action.get("action", ())))


# ---- who may


def test_what_is_published_is_open_and_patients_are_not(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"keys": []}')
    settings = Settings.from_environment(
        {
            "CDS_PUBLIC_URL": "https://cds.example",
            "CDS_TRUSTED_CLIENTS": f"https://ehr.example|file://{quote(str(keys))}",
            "CDS_DATABASE_URL": f"sqlite:///{tmp_path / 'feedback.sqlite'}",
            "CDS_REPLAY_DATABASE_URL": f"sqlite:///{tmp_path / 'replay.sqlite'}",
        }
    )
    signed = create_app(settings, clock=lambda: NOW).test_client()
    got(signed.get("/fhir/metadata"))
    got(signed.get(f"/fhir/ResearchStudy/{TRIAL}"))
    refused(apply(signed, TRIAL, RECORD), 401)
