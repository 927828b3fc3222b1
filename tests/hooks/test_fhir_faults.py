"""The whole service, and a FHIR server on a real socket that does what it should not: what the EHR gets, and when.

Whatever the server does, a call ends in one of two ways: 412, which names what cannot be had and why, where nothing
can be said without it; 200, where the criteria that rest on what is missing are open and the cards say so.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from ehr import Ehr, Fault
from faults import ENDLESS, LOSSES, LOSSES_OF_SEARCHES, OUTCOME, TOLERATED, TOLERATED_OF_SEARCHES
from fhir.resources.R4B.operationoutcome import OperationOutcome
from flask.testing import FlaskClient

from cds.app import create_app
from cds.fhir.allowlist import Allowlist
from cds.hooks.cards import EXTENSION
from cds.logs import JsonFormatter
from cds.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
REQUEST = orjson.loads((ROOT / "hooks/trial-match/requests/cervical-newly-diagnosed.json").read_bytes())
WHOLE = REQUEST["prefetch"]
TOKEN = "a-secret-token-that-no-log-may-hold"
AUTHORIZATION = {
    "access_token": TOKEN,
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "patient/*.read",
    "subject": "trial-match",
}
#: Without it no trial can be judged; and what one trial asks about in some of its criteria.
NEEDED, ASKED = "Condition", "Immunization"
#: What the words of a problem say, by the one word that it is counted by.
WHY = {
    "timeout": "did not answer within",
    "unreachable": "the connection to the FHIR server failed",
    "garbage": "the FHIR server",
    "denied": "denied access (40",
    "not-found": "the FHIR server has no such thing (4",
    "throttled": "the FHIR server is asked too much (429)",
    "failed": "the FHIR server",
    "limit": "more than",
    "refused": "another server",
    "lied": "the FHIR server",
    "wrong": "the FHIR server sent",
    "ok": "the FHIR server sent another patient's data",
}
#: Seconds by the service's own count. Its deadline is 0.3 and a fault lasts 60; a machine under load may take a while.
IN_TIME = 10.0
ALL_LOSSES = {**LOSSES, **LOSSES_OF_SEARCHES}

Json = dict[str, Any]


def _service(folder: Path, stack: ExitStack, **settings: str) -> FlaskClient:
    environment = {"CDS_DATABASE_URL": f"sqlite:///{folder / 'feedback.sqlite'}", **settings}
    app = create_app(Settings.from_environment(environment), clock=lambda: NOW)
    stack.callback(app.extensions["recorder"].close)
    return app.test_client()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., FlaskClient]]:
    """Services by their settings, each made once."""
    made: dict[tuple[tuple[str, str], ...], FlaskClient] = {}
    with ExitStack() as stack:

        def service(**settings: str) -> FlaskClient:
            key = tuple(settings.items())
            if key not in made:
                made[key] = _service(tmp_path_factory.mktemp("service"), stack, **settings)
            return made[key]

        yield service


@pytest.fixture
def patient(services: Callable[..., FlaskClient]) -> FlaskClient:
    """A service that waits for whatever ends by itself, and reads little."""
    return services(CDS_FHIR_DEADLINE="30", CDS_FHIR_MAX_BYTES="2000000")


@pytest.fixture
def hasty(services: Callable[..., FlaskClient]) -> FlaskClient:
    """A service that waits for nothing that does not end."""
    return services(CDS_FHIR_DEADLINE="0.3")


@pytest.fixture
def trap() -> Iterator[Ehr]:
    """Another server, that nobody should ask."""
    server = Ehr.of_prefetch(WHOLE)
    yield server
    server.close()


@pytest.fixture
def ehr(trap: Ehr) -> Iterator[Ehr]:
    """The EHR's server, that answers its token alone."""
    server = Ehr.of_prefetch(WHOLE, token=TOKEN)
    server.elsewhere = trap.url
    yield server
    server.close()


@pytest.fixture(autouse=True)
def nothing_leaks(caplog: pytest.LogCaptureFixture, trap: Ehr) -> Iterator[None]:
    """In all that happens here the token stands in no log, and no other server than the EHR's is asked anything."""
    caplog.set_level(logging.DEBUG)
    yield
    written = "\n".join(map(JsonFormatter().format, (*caplog.get_records("setup"), *caplog.get_records("call"))))
    assert "cds.request" in written, "calls are logged"
    assert not [one for one in (TOKEN, "127.0.0.1", "patient=", "Berger") if one in written]
    assert trap.asked == []


def without(*keys: str, **values: Any) -> Json:
    """The whole prefetch without some keys, and with other values for some."""
    return {key: value for key, value in {**WHOLE, **values}.items() if key not in keys}


def call(client: FlaskClient, ehr: Ehr | None, prefetch: Json | None, **changes: Any) -> tuple[int, Json]:
    """A call as an EHR makes it; its status and answer, in which the token never stands."""
    body = {**REQUEST, "hookInstance": str(uuid4()), "prefetch": prefetch}
    if ehr:
        body |= {"fhirServer": ehr.url, "fhirAuthorization": AUTHORIZATION}
    body = {name: value for name, value in {**body, **changes}.items() if value is not None}
    answer = client.post("/cds-services/trial-match", data=orjson.dumps(body), content_type="application/json")
    assert TOKEN not in answer.text and TOKEN not in str(answer.headers)
    return answer.status_code, orjson.loads(answer.data)


def refusal(answer: tuple[int, Json]) -> str:
    """What a 412 says."""
    status, content = answer
    assert status == 412, content
    OperationOutcome.model_validate(content)
    return str(content["issue"][0]["diagnostics"])


def outcomes(content: Json) -> dict[tuple[str, str], tuple[str, str]]:
    """The outcome and basis of each criterion, by trial and id."""
    told = [card["extension"][EXTENSION] for card in content["cards"]]
    return {(one["trial"], row["id"]): (row["outcome"], row["basis"]) for one in told for row in one["criteria"]}


def judged_without(kind: str, answer: tuple[int, Json], whole: Json) -> str:
    """Asserts that cards came that judge without a type, say so, and turn nothing into its contrary; why it is unread.

    `whole` is the answer to the same patient with all her data.
    """
    status, content = answer
    assert status == 200, content
    told, known = outcomes(content), outcomes(whole)
    assert told.keys() == known.keys()
    changed = {criterion: told[criterion] for criterion in told if told[criterion] != known[criterion]}
    assert changed and set(changed.values()) == {("unknown", "none")}, "what rests on it is open, and nothing else"
    trials = {trial for trial, _ in changed}
    for card in content["cards"]:
        own = card["extension"][EXTENSION]
        assert (own.get("unread") == [kind]) is (own["trial"] in trials)
        assert (f"**Could not be read:** {kind}." in card["detail"]) is (own["trial"] in trials)
    unread = content["extension"][EXTENSION]["unread"]
    assert list(unread) == [kind]
    return str(unread[kind])


@pytest.fixture
def whole(patient: FlaskClient) -> Json:
    status, content = call(patient, None, WHOLE)
    assert status == 200
    return content


def gathered_in(caplog: pytest.LogCaptureFixture) -> float:
    """The seconds that the last call gathered data, by the service's own count."""
    told = [record.told for record in caplog.records if hasattr(record, "told")][-1]
    return float(told["stages"]["gather"]) / 1000 if "gather" in told["stages"] else float(told["ms"]) / 1000


# ---- one type cannot be had: the others were prefetched


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_without_what_is_needed(patient: FlaskClient, ehr: Ehr, name: str) -> None:
    outcome, ehr.faults[NEEDED] = ALL_LOSSES[name]
    said = refusal(call(patient, ehr, without("condition")))
    assert f"cannot be judged without {NEEDED}" in said and WHY[outcome] in said
    assert "Condition?patient={{context.patientId}}" in said, "what to send"


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_without_what_some_criteria_ask_about(patient: FlaskClient, ehr: Ehr, whole: Json, name: str) -> None:
    outcome, ehr.faults[ASKED] = ALL_LOSSES[name]
    assert WHY[outcome] in judged_without(ASKED, call(patient, ehr, without("immunization")), whole)


@pytest.mark.parametrize("name", LOSSES)
def test_without_the_patient(patient: FlaskClient, ehr: Ehr, name: str) -> None:
    outcome, ehr.faults["Patient"] = LOSSES[name]
    said = refusal(call(patient, ehr, without("patient")))
    assert "cannot be judged without Patient" in said and WHY[outcome] in said


@pytest.mark.parametrize("name", {**TOLERATED, **TOLERATED_OF_SEARCHES})
def test_what_loses_nothing(patient: FlaskClient, ehr: Ehr, whole: Json, name: str) -> None:
    ehr.faults[NEEDED] = ehr.faults[ASKED] = {**TOLERATED, **TOLERATED_OF_SEARCHES}[name]
    status, content = call(patient, ehr, without("condition", "immunization"))
    assert (status, outcomes(content), "extension" in content) == (200, outcomes(whole), False)


# ---- what does not end


@pytest.mark.parametrize("name", ENDLESS)
def test_what_does_not_end(
    hasty: FlaskClient, ehr: Ehr, whole: Json, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    ehr.faults[NEEDED] = ehr.faults[ASKED] = ENDLESS[name]
    said = refusal(call(hasty, ehr, without("condition")))
    assert "the FHIR server did not answer within 0.3 seconds" in said
    assert not ehr.closing.is_set() and gathered_in(caplog) < IN_TIME
    why = judged_without(ASKED, call(hasty, ehr, without("immunization")), whole)
    assert "the FHIR server did not answer within 0.3 seconds" in why
    assert not ehr.closing.is_set() and gathered_in(caplog) < IN_TIME


def test_one_deadline_holds_for_all_that_a_call_reads(
    hasty: FlaskClient, ehr: Ehr, caplog: pytest.LogCaptureFixture
) -> None:
    ehr.faults[""] = ENDLESS["hangs before it answers"]
    said = refusal(call(hasty, ehr, None))
    for kind in ("Patient", "Condition", "DiagnosticReport", "Observation"):
        assert f"{kind}: the prefetch has no key" in said, "all that is missing is named at once"
    assert gathered_in(caplog) < IN_TIME


def test_a_server_whose_connections_are_never_accepted(hasty: FlaskClient, ehr: Ehr) -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # the queue of a listener is full: who comes now is not heard
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        address = f"http://127.0.0.1:{full.getsockname()[1]}/fhir"
        said = refusal(call(hasty, ehr, without("condition"), fhirServer=address))
    assert "did not answer within 0.3 seconds" in said


def test_a_server_that_is_gone(patient: FlaskClient, ehr: Ehr, whole: Json) -> None:
    ehr.close()
    assert WHY["unreachable"] in refusal(call(patient, ehr, None))
    assert WHY["unreachable"] in judged_without(ASKED, call(patient, ehr, without("immunization")), whole)


def test_a_server_that_dies_between_two_pages(patient: FlaskClient, ehr: Ehr) -> None:
    ehr.page = 1
    ehr.faults[NEEDED] = lambda one: one.well() if one.number == 1 else one.reset()
    assert WHY["unreachable"] in refusal(call(patient, ehr, without("condition")))


def test_a_hanging_server_holds_up_no_other_call(
    patient: FlaskClient, hasty: FlaskClient, ehr: Ehr, whole: Json
) -> None:
    ehr.faults[""] = ENDLESS["hangs before it answers"]
    for _ in range(3):
        refusal(call(hasty, ehr, None))
        assert call(hasty, ehr, WHOLE)[0] == 200, "whole prefetch is not read again"
    other = Ehr.of_prefetch(WHOLE, token=TOKEN)
    status, content = call(patient, other, None)
    assert (status, outcomes(content)) == (200, outcomes(whole)), "another server is read as ever"
    other.close()


# ---- who may read what


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"expires_in": 0}, "the access token has expired"),
        ({"expires_in": -5}, "the access token has expired"),
        ({"scope": "patient/Observation.read"}, "scope or patient does not allow reading Condition"),
        ({"patient": "somebody-else"}, "scope or patient does not allow reading Condition"),
        ({"scope": "patient/*.write"}, "scope or patient does not allow reading Condition"),
    ],
)
def test_a_token_that_does_not_reach(patient: FlaskClient, ehr: Ehr, change: Json, why: str) -> None:
    said = refusal(call(patient, ehr, without("condition"), fhirAuthorization=AUTHORIZATION | change))
    assert why in said
    assert ehr.asked == [], "what cannot be had is not asked for"


def test_scopes_for_some_types(patient: FlaskClient, ehr: Ehr, whole: Json) -> None:
    narrow = AUTHORIZATION | {"scope": "patient/Condition.read patient/Observation.rs"}
    answer = call(patient, ehr, without("condition", "immunization"), fhirAuthorization=narrow)
    assert "does not allow reading Immunization" in judged_without(ASKED, answer, whole)
    assert all("/Condition?" in path for path, _ in ehr.asked)


def test_a_token_that_the_server_no_longer_takes(patient: FlaskClient, ehr: Ehr) -> None:
    said = refusal(call(patient, ehr, None, fhirAuthorization=AUTHORIZATION | {"access_token": "old"}))
    assert "Patient: " in said and "denied access (401)" in said


def test_a_server_that_needs_a_token_and_gets_none(patient: FlaskClient, ehr: Ehr) -> None:
    assert "denied access (401)" in refusal(call(patient, ehr, None, fhirAuthorization=None))
    assert {sent for _, sent in ehr.asked} == {None}


def test_a_server_that_is_not_listed(services: Callable[..., FlaskClient], ehr: Ehr) -> None:
    client = services(CDS_FHIR_SERVERS="https://ehr.example/fhir")
    assert "this service may not read from that fhirServer" in refusal(call(client, ehr, None))
    assert ehr.asked == []
    assert Allowlist.of(["https://ehr.example/fhir"]).find(ehr.url) is None


def test_every_query_carries_the_token(patient: FlaskClient, ehr: Ehr, whole: Json) -> None:
    ehr.page = 2
    status, content = call(patient, ehr, None)
    assert (status, outcomes(content)) == (200, outcomes(whole))
    assert {sent for _, sent in ehr.asked} == {f"Bearer {TOKEN}"}


# ---- five states of a prefetch key, which mean five things

FAILED = OUTCOME | {"issue": [{"severity": "error", "code": "forbidden", "diagnostics": "no access"}]}
EMPTY = {"resourceType": "Bundle", "type": "searchset", "total": 0}
KEYS = {NEEDED: "condition", ASKED: "immunization"}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_that_is_absent_is_read(patient: FlaskClient, ehr: Ehr, whole: Json, kind: str) -> None:
    status, content = call(patient, ehr, without(KEYS[kind]))
    assert (status, outcomes(content), "extension" in content) == (200, outcomes(whole), False)
    (asked,) = ehr.asked
    assert asked[0].startswith(f"/fhir/{kind}?patient=")
    answer = call(patient, None, without(KEYS[kind]))
    why = refusal(answer) if kind == NEEDED else judged_without(kind, answer, whole)
    assert "the prefetch has no key" in why


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("nothing", [None, EMPTY, EMPTY | {"entry": []}], ids=["null", "empty", "no entries"])
def test_null_and_an_empty_bundle_are_answers(
    patient: FlaskClient, ehr: Ehr, whole: Json, kind: str, nothing: Json | None
) -> None:
    status, content = call(patient, ehr, without(**{KEYS[kind]: nothing}))
    assert ehr.asked == [], "the EHR searched and found nothing"
    assert status == 200 and "extension" not in content
    assert outcomes(content) == outcomes(whole), "what is presumed of her stays presumed; her pathology report decides"
    told = [card["extension"][EXTENSION] for card in content["cards"]]
    evidence = {cited for one in told for row in one["criteria"] for cited in row.get("evidence", ())}
    assert evidence and not [cited for cited in evidence if cited.startswith(kind)]
    assert not [one for one in told if "unread" in one]


@pytest.mark.parametrize("kind", KEYS)
def test_an_operation_outcome_is_a_search_that_failed(patient: FlaskClient, ehr: Ehr, whole: Json, kind: str) -> None:
    status, content = call(patient, ehr, without(**{KEYS[kind]: FAILED}))
    assert (status, outcomes(content)) == (200, outcomes(whole)), "it is read instead"
    assert len(ehr.asked) == 1
    ehr.faults[kind] = ALL_LOSSES["503 for long"][1]
    for server, also in ((ehr, "status 503"), (None, "in place of data")):
        answer = call(patient, server, without(**{KEYS[kind]: FAILED}))
        why = refusal(answer) if kind == NEEDED else judged_without(kind, answer, whole)
        assert "the EHR's search failed" in why and also in why


def _first_page(ehr: Ehr, kind: str) -> Json:
    """What the EHR prefetched before it stopped: a first page, with the link to the next one."""
    ehr.page = 1
    page: Json = ehr.answer(f"/fhir/{kind}?patient=anna-berger", f"Bearer {TOKEN}")[1]
    return page


def test_a_first_page_is_gone_on_from(patient: FlaskClient, ehr: Ehr, whole: Json) -> None:
    page = _first_page(ehr, NEEDED)
    status, content = call(patient, ehr, without(condition=page))
    assert (status, outcomes(content)) == (200, outcomes(whole))
    assert [path.partition("?")[2] for path, _ in ehr.asked] == [
        "patient=anna-berger&_offset=1",
        "patient=anna-berger&_offset=2",
    ]
    assert "only the first page was sent" in refusal(call(patient, None, without(condition=page)))


def test_a_first_page_whose_next_one_leads_elsewhere(patient: FlaskClient, ehr: Ehr, whole: Json) -> None:
    page = _first_page(ehr, NEEDED) | {"link": [{"relation": "next", "url": f"{ehr.elsewhere}/Condition?page=2"}]}
    status, content = call(patient, ehr, without(condition=page))
    assert (status, outcomes(content)) == (200, outcomes(whole)), "the search is sent anew, to the EHR"


@pytest.mark.parametrize("fault", [*ENDLESS.values(), ALL_LOSSES["500"][1]])
def test_a_first_page_that_does_not_go_on(hasty: FlaskClient, ehr: Ehr, fault: Fault) -> None:
    page = _first_page(ehr, NEEDED)
    ehr.faults[NEEDED] = fault
    assert "only the first page was sent" in refusal(call(hasty, ehr, without(condition=page)))


def test_some_prefetch_and_some_reading(patient: FlaskClient, ehr: Ehr, whole: Json) -> None:
    some = {"patient": WHOLE["patient"], "observation": WHOLE["observation"], "procedure": None}
    status, content = call(patient, ehr, some)
    assert (status, outcomes(content)) == (200, outcomes(whole))
    assert not {path.partition("?")[0].partition("/fhir/")[2] for path, _ in ehr.asked} & {"Observation", "Procedure"}
