"""Rules 22 to 39: requests, and the data that they bring."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import requests
from caller import Caller, Served, body, context, prefetch, refused
from ehr import Ehr
from faults import ENDLESS, LOSSES, LOSSES_OF_SEARCHES

EMPTY = {"resourceType": "Bundle", "type": "searchset", "total": 0}
FAILED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}
TOKEN = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.read", "subject": "cds"}
SERVICE = "/cds-services/trial-match"
#: A port of this machine at which nothing answers.
NOWHERE = "http://127.0.0.1:9/fhir"


@pytest.mark.parametrize("field", ["hook", "hookInstance", "context"])
@pytest.mark.parametrize("value", [..., None, 5, "", [], {}, "text"])
def test_22_what_a_request_must_have(caller: Caller, field: str, value: Any) -> None:
    assert field in refused(caller.post(body(**{field: value})), 400)


@pytest.mark.parametrize(
    "value", ["d1577c69dfbe44adba6d3e05e953b2ea", "1234", "{d1577c69-dfbe-44ad-ba6d-3e05e953b2ea}"]
)
def test_22_hook_instance_is_a_uuid(caller: Caller, value: str) -> None:
    assert "hookInstance" in refused(caller.post(body(hookInstance=value)), 400)


@pytest.mark.parametrize("value", [5, "text", [1], True])
def test_22_prefetch_is_an_object(caller: Caller, value: Any) -> None:
    assert "prefetch" in refused(caller.post(body(prefetch=value)), 400)


def test_22_authorization_comes_with_its_server(caller: Caller) -> None:
    assert "fhirServer" in refused(caller.post(body(fhirAuthorization=TOKEN)), 400)


def test_22_prefetch_is_optional(caller: Caller) -> None:
    refused(caller.post(body(prefetch=...)), 412)


def test_23_statuses_are_the_conventional_ones(caller: Caller) -> None:
    refused(caller.post(body(), "/cds-services/other"), 404)
    refused(caller.get(SERVICE), 405)
    refused(caller.call("PUT", SERVICE, data=b"{}"), 405)
    refused(caller.call("DELETE", "/cds-services"), 405)
    refused(caller.post(body(), Content_Type="text/plain"), 415)
    refused(caller.post(body(), Content_Type=None), 415)
    refused(caller.post(body(), Content_Encoding="gzip"), 415)
    refused(caller.post(b" " * (32 * 1024 * 1024 + 1)), 413)


def test_24_every_refusal_is_an_operation_outcome_that_helps(caller: Caller) -> None:
    for answer in (
        caller.post(b""),
        caller.post(body(prefetch={})),
        caller.get("/nowhere"),
        caller.post(b"[]", SERVICE),
    ):
        refused(answer, 400, 404, 412)
        (issue,) = answer.json()["issue"]
        assert issue["severity"] == "error" and issue["code"] and len(issue["diagnostics"]) > 10


def test_25_what_we_do_not_know_is_let_pass(caller: Caller) -> None:
    more = body(
        extension={"com.example": {"a": 1}},
        unknown=[1, 2],
        user="x",
        context=context(extension={"com.example": 1}, more=[{}]),
        prefetch=prefetch(unasked={"resourceType": "Bundle", "type": "searchset"}, other=None, text="odd", number=5),
    )
    assert len(caller.cards(more)) == len(caller.cards(body()))


@pytest.mark.parametrize("user", ["Practitioner/1", "PractitionerRole/a.b", "Patient/1", "RelatedPerson/x-1"])
def test_26_users_of_the_hook(caller: Caller, user: str) -> None:
    assert caller.post(body(context=context(userId=user))).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("userId", ...),
        ("userId", None),
        ("userId", 5),
        ("userId", "someone"),
        ("userId", ""),
        ("patientId", ...),
        ("patientId", None),
        ("patientId", 17),
        ("patientId", {}),
    ],
)
def test_26_what_a_context_must_have(caller: Caller, field: str, value: Any) -> None:
    assert f"context.{field}" in refused(caller.post(body(context=context(**{field: value}))), 400)


@pytest.mark.parametrize("value", ["", "../1", "Group/1", "1?x=1", "a b", "1\u0000", "1\n", "x" * 65, "Patient/", "é"])
def test_27_the_patients_id_is_an_id(caller: Caller, value: str) -> None:
    refused(caller.post(body(context=context(patientId=value))), 400)


def test_27_legacy_clients_write_the_type_before_it(caller: Caller) -> None:
    legacy = context(patientId="Patient/" + context()["patientId"])
    assert caller.cards(body(context=legacy))


@pytest.mark.parametrize("hook", ["order-sign", "patient-View", "Patient-view", "patient-view "])
def test_28_another_hook_than_the_services(caller: Caller, hook: str) -> None:
    assert "hook" in refused(caller.post(body(hook=hook)), 400)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"   ",
        b"{",
        b"{,}",
        b"null",
        b"[]",
        b"5",
        b'{"hook": NaN}',
        b'{"hook": "\xff"}',
        b'{"hook": "\\ud800"}',
        b'{"hook": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"hook": ' + b"9" * 5000 + b"}",
        b"{} {}",
        b'{"hook": "a",}',
        b'{"hook": "a"} // comment',
        "{}".encode("utf-16"),
        b"\x00",
    ],
    ids=range(18),
)
def test_30_bodies_that_are_no_request(caller: Caller, data: bytes) -> None:
    refused(caller.post(data), 400)


def test_30_odd_text_in_a_chart(caller: Caller) -> None:
    odd = prefetch()
    odd["condition"]["entry"].append(
        {
            "resource": {
                "resourceType": "Condition",
                "id": "x",
                "code": {"text": "a\u0000\u202e\U0001f600"},
                "note": None,
            }
        }
    )
    assert caller.post(body(prefetch=odd)).status_code == 200


def test_30_sixteen_calls_at_once(caller: Caller) -> None:
    answers: list[requests.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(caller.post(body()))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 16


def _uuids(cards: list[dict[str, Any]]) -> list[str]:
    return [card["uuid"] for card in cards] + [one["uuid"] for card in cards for one in card["suggestions"]]


def test_31_a_retry_gets_the_same_uuids_and_another_call_others(caller: Caller) -> None:
    first, other = body(), body()
    assert _uuids(caller.cards(first)) == _uuids(caller.cards(first))
    assert not set(_uuids(caller.cards(first))) & set(_uuids(caller.cards(other)))


def test_32_some_prefetch_is_not_all_prefetch(caller: Caller) -> None:
    """What was not prefetched is not taken for absent: what rests on it is open, and the card says why."""
    whole = caller.cards(body())[0]
    part = caller.cards(body(prefetch=prefetch(immunization=...)))[0]
    assert "Could not be read" in part["detail"] and "Immunization" in part["detail"]
    assert "Could not be read" not in whole["detail"]


@pytest.mark.parametrize("key", ["patient", "condition"])
def test_33_needed_data_that_cannot_be_had_is_412(caller: Caller, key: str) -> None:
    told = refused(caller.post(body(prefetch=prefetch(**{key: ...}))), 412)
    assert f"prefetch.{key}" in told


def test_34_absent_null_and_empty_are_three_things(caller: Caller) -> None:
    refused(caller.post(body(prefetch=prefetch(condition=...))), 412)
    for nothing in (None, EMPTY, {"resourceType": "Bundle", "type": "searchset", "entry": []}):
        answer = caller.post(body(prefetch=prefetch(condition=nothing)))
        assert answer.status_code == 200 and "Could not be read" not in answer.text


def test_34_a_patient_that_is_not_there(caller: Caller) -> None:
    for nothing in (None, EMPTY):
        refused(caller.post(body(prefetch=prefetch(patient=nothing))), 412)


def test_35_a_failed_search_is_no_empty_search(caller: Caller) -> None:
    among = {**EMPTY, "entry": [{"search": {"mode": "outcome"}, "resource": FAILED}]}
    for failed in (FAILED, among):
        refused(caller.post(body(prefetch=prefetch(condition=failed))), 412)


def test_36_a_first_page_is_not_the_whole(caller: Caller) -> None:
    first = {**prefetch()["condition"], "link": [{"relation": "next", "url": NOWHERE + "?page=2"}]}
    refused(caller.post(body(prefetch=prefetch(condition=first))), 412)


def test_37_bundles_hold_what_a_search_gives(caller: Caller) -> None:
    condition = prefetch()["condition"]
    warning = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}
    condition["entry"] += [
        {"search": {"mode": "include"}, "resource": {"resourceType": "Practitioner", "id": "p"}},
        {"search": {"mode": "outcome"}, "resource": warning},
        {"fullUrl": "https://ehr.example/fhir/Condition/none"},
    ]
    condition.pop("total", None)
    assert len(caller.cards(body(prefetch=prefetch(condition=condition)))) == len(caller.cards(body()))


def test_38_another_patient_is_refused(caller: Caller) -> None:
    other = {**prefetch()["patient"], "id": "someone-else"}
    assert "patient" in refused(caller.post(body(prefetch=prefetch(patient=other))), 400)


def test_38_resources_of_another_patient_never_count(caller: Caller) -> None:
    foreign = orjson.loads(
        orjson.dumps(prefetch()["condition"]).replace(b"Patient/" + context()["patientId"].encode(), b"Patient/other")
    )
    assert foreign != prefetch()["condition"]
    for card in caller.cards(body(prefetch=prefetch(condition=foreign))):
        assert "Condition/" not in card["detail"]
    assert any("Condition/" in card["detail"] for card in caller.cards(body()))


def test_39_values_wrapped_as_before_1_0(caller: Caller) -> None:
    wrapped = {key: {"response": {"status": "200 OK"}, "resource": value} for key, value in prefetch().items() if value}
    assert len(caller.cards(body(prefetch=wrapped))) == len(caller.cards(body()))


@pytest.mark.parametrize(
    "value", [5, "text", [], {}, {"resourceType": 5}, {"entry": []}, {"resourceType": "Bundle", "entry": 5}]
)
def test_39_values_that_are_no_fhir_are_refused(caller: Caller, value: Any) -> None:
    refused(caller.post(body(prefetch=prefetch(condition=value))), 400, 412)


# ---- 5. FHIR resource access


@pytest.fixture
def ehr() -> Iterator[Ehr]:
    """The patient's FHIR server, which answers in small pages and to a token alone."""
    if find_spec("cds.fhir.server") is None:
        pytest.skip("the service does not read from FHIR servers (rule 40: MAY)")
    server = Ehr.of_prefetch(prefetch(), page=2, token="t")
    yield server
    server.close()


def _without_uuids(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"summary": card["summary"], "detail": card["detail"]} for card in cards]


def test_40_what_was_not_prefetched_is_read(caller: Caller, ehr: Ehr) -> None:
    read = caller.cards(body(prefetch=..., fhirServer=ehr.url, fhirAuthorization=TOKEN))
    assert _without_uuids(read) == _without_uuids(caller.cards(body()))


def test_40_what_was_prefetched_is_not_read_again(caller: Caller, ehr: Ehr) -> None:
    caller.cards(body(prefetch=prefetch(condition=...), fhirServer=ehr.url, fhirAuthorization=TOKEN))
    assert {path.split("?")[0] for path, _ in ehr.asked} == {"/fhir/Condition"}


def test_41_the_token_goes_with_every_call(caller: Caller, ehr: Ehr) -> None:
    caller.cards(body(prefetch=..., fhirServer=ehr.url, fhirAuthorization=TOKEN))
    assert {authorization for _, authorization in ehr.asked} == {"Bearer t"}


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_45_a_server_that_refuses_is_412(caller: Caller, ehr: Ehr, status: int) -> None:
    ehr.failing["Condition"] = status
    answer = caller.post(body(prefetch=prefetch(condition=...), fhirServer=ehr.url, fhirAuthorization=TOKEN))
    assert "Condition" in refused(answer, 412)


def test_45_a_token_that_the_server_does_not_take(caller: Caller, ehr: Ehr) -> None:
    refused(caller.post(body(prefetch=..., fhirServer=ehr.url, fhirAuthorization=TOKEN | {"access_token": "x"})), 412)


@pytest.mark.parametrize(
    "fault", ["HTML", "JSON that is cut", "closes at once", "brackets 100,000 deep", "gzip that is cut"]
)
def test_45_garbage_is_412(caller: Caller, ehr: Ehr, fault: str) -> None:
    _, ehr.faults["Condition"] = LOSSES[fault]
    answer = caller.post(body(prefetch=prefetch(condition=...), fhirServer=ehr.url, fhirAuthorization=TOKEN))
    assert "Condition" in refused(answer, 412)


def test_45_a_server_that_hangs_is_412_at_the_deadline(caller: Caller, ehr: Ehr) -> None:
    ehr.faults[""] = ENDLESS["hangs in its body"]
    told = refused(caller.post(body(prefetch=..., fhirServer=ehr.url, fhirAuthorization=TOKEN)), 412)
    assert "did not answer within 4 seconds" in told
    assert not ehr.closing.is_set(), "it hangs still"


@pytest.mark.parametrize(
    "fault", ["a redirection elsewhere", "a next page elsewhere", "a next page behind credentials"]
)
def test_43_the_token_goes_nowhere_else(caller: Caller, ehr: Ehr, fault: str) -> None:
    trap = Ehr.of_prefetch(prefetch())
    ehr.elsewhere = trap.url
    _, ehr.faults["Condition"] = {**LOSSES, **LOSSES_OF_SEARCHES}[fault]
    told = refused(caller.post(body(prefetch=..., fhirServer=ehr.url, fhirAuthorization=TOKEN)), 412)
    assert "another server" in told
    assert trap.asked == []
    trap.close()


@pytest.mark.parametrize("fault", ["a page that is its own next", "pages in a circle"])
def test_46_pages_that_do_not_end(caller: Caller, ehr: Ehr, fault: str) -> None:
    _, ehr.faults["Condition"] = LOSSES_OF_SEARCHES[fault]
    answer = caller.post(body(prefetch=prefetch(condition=...), fhirServer=ehr.url, fhirAuthorization=TOKEN))
    assert "circle" in refused(answer, 412)


def test_46_pages_are_followed_to_the_end(caller: Caller, ehr: Ehr) -> None:
    ehr.page = 1
    for slash in ("", "/"):
        read = caller.cards(body(prefetch=..., fhirServer=ehr.url + slash, fhirAuthorization=TOKEN))
        assert _without_uuids(read) == _without_uuids(caller.cards(body()))


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": ...},
        {"access_token": 5},
        {"access_token": ""},
        {"token_type": ...},
        {"token_type": "MAC"},
        {"expires_in": "soon"},
        {"expires_in": True},
        {"scope": 5},
        {"subject": []},
    ],
)
def test_41_an_authorization_that_is_none(caller: Caller, change: dict[str, Any]) -> None:
    wrong = {name: value for name, value in {**TOKEN, **change}.items() if value is not ...}
    told = refused(caller.post(body(fhirServer=NOWHERE, fhirAuthorization=wrong)), 400)
    assert "fhirAuthorization" in told


@pytest.mark.parametrize("kind", ["Bearer", "bearer"])
def test_41_a_bearer_token_in_any_case(caller: Caller, kind: str) -> None:
    told = TOKEN | {"token_type": kind, "patient": context()["patientId"]}
    assert caller.cards(body(fhirServer=NOWHERE, fhirAuthorization=told))


def test_42_the_token_is_never_told(caller: Caller, served: Served) -> None:
    secret = "secret-" + uuid4().hex
    asked = body(prefetch={}, fhirServer=NOWHERE, fhirAuthorization=TOKEN | {"access_token": secret})
    answer = caller.post(asked)
    refused(answer, 412)
    assert secret not in answer.text + str(answer.headers)
    caller.post(asked | {"fhirServer": "https://ehr.invalid/fhir"})
    log = served.log.read_text()
    assert answer.headers["X-Request-ID"] in log, "the call is logged"
    assert secret not in log


@pytest.mark.parametrize(
    "server", ["ftp://ehr.example", "file:///etc/passwd", "javascript:1", "//ehr.example", "ehr", "http://", "", 5, []]
)
def test_43_a_fhir_server_that_is_no_address(caller: Caller, server: Any) -> None:
    assert "fhirServer" in refused(caller.post(body(fhirServer=server)), 400)


@pytest.mark.parametrize(
    "server",
    ["https://ehr.invalid/fhir", "http://169.254.169.254/latest", "http://[::1]:9/", "http://127.0.0.1:9@ehr.invalid/"],
)
def test_43_a_server_that_is_not_listed_gives_nothing(caller: Caller, server: str) -> None:
    refused(caller.post(body(prefetch={}, fhirServer=server, fhirAuthorization=TOKEN)), 400, 412)


def test_44_a_server_without_authorization(caller: Caller) -> None:
    assert caller.cards(body(fhirServer=NOWHERE))
    refused(caller.post(body(prefetch={}, fhirServer=NOWHERE)), 412)


def test_45_a_server_that_does_not_answer_is_412(caller: Caller) -> None:
    told = refused(caller.post(body(prefetch={}, fhirServer=NOWHERE, fhirAuthorization=TOKEN)), 412)
    assert "Patient" in told


def test_31_uuids_are_uuids(caller: Caller) -> None:
    for one in _uuids(caller.cards(body())):
        assert re.fullmatch(r"[0-9a-f-]{36}", one) and UUID(one)
