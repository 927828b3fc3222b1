"""Rules 1 to 21: JSON and transport, discovery, prefetch templates."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from caller import Caller, body, refused

_TOKEN = re.compile(r"\{\{(.*?)\}\}")
_PLAIN_TOKENS = re.compile(r"context\.(patientId|userId|encounterId)|user(Practitioner|PractitionerRole|Patient)Id")
_HOOKS = {"patient-view", "order-select", "order-sign", "order-dispatch", "encounter-start", "encounter-discharge"}
_HOOKS |= {"appointment-book", "problem-list-item-create", "allergyintolerance-create", "medication-refill"}


def test_01_bodies_are_json(caller: Caller) -> None:
    answers = [
        caller.get("/cds-services"),
        caller.post(body()),
        caller.post(b"{"),
        caller.post(body(), "/cds-services/x"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 404]
    for answer in answers:
        assert answer.headers["Content-Type"].split(";")[0] == "application/json"
        answer.content.decode("utf-8")


def test_02_nothing_is_null_or_empty(caller: Caller, empties: Callable[[Any], list[str]]) -> None:
    answers = [caller.get("/cds-services"), caller.post(b"{"), caller.post(body(prefetch={}))]
    answers += [caller.post(body(name)) for name in ("no-cancer", "deceased", "liver-hepatocellular-carcinoma")]
    answers.append(caller.post(body()))
    for answer in answers:
        assert empties(answer.json()) == []


def test_03_json_is_strict(caller: Caller) -> None:
    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def no_constant(name: str) -> None:
        raise AssertionError(name)

    for answer in (caller.get("/cds-services"), caller.post(body()), caller.post(b"{")):
        json.loads(answer.text, object_pairs_hook=no_duplicates, parse_constant=no_constant)


def test_05_discovery_is_always_there(caller: Caller) -> None:
    first, second = caller.get("/cds-services"), caller.get("/cds-services")
    assert first.status_code == second.status_code == 200
    assert first.content == second.content


def test_06_discovery_is_an_object_with_services(caller: Caller) -> None:
    answer = caller.get("/cds-services").json()
    assert isinstance(answer, dict) and isinstance(answer["services"], list)


def test_07_each_service_says_what_it_is_and_stands_at_its_id(caller: Caller) -> None:
    for service in caller.discovery():
        for name in ("hook", "description", "id"):
            assert isinstance(service[name], str) and service[name]
        assert re.fullmatch(r"[A-Za-z0-9\-._~]+", service["id"])
        assert caller.post(b"{}", f"/cds-services/{service['id']}").status_code == 400


def test_08_each_service_has_a_title(caller: Caller) -> None:
    assert all(isinstance(service["title"], str) and service["title"] for service in caller.discovery())


def test_09_prefetch_and_usage_requirements_are_what_they_should_be(caller: Caller) -> None:
    for service in caller.discovery():
        assert isinstance(service.get("usageRequirements", "x"), str)
        for key, query in service.get("prefetch", {}).items():
            assert isinstance(key, str) and isinstance(query, str) and key and query


def test_10_versions_are_versions(caller: Caller) -> None:
    for service in caller.discovery():
        for name in ("version", "hookVersion"):
            assert re.fullmatch(r"\d+\.\d+(\.\d+)?(-[0-9A-Za-z.-]+)?", service.get(name, "1.0"))


def test_11_every_service_has_an_id_of_its_own(caller: Caller) -> None:
    ids = [service["id"] for service in caller.discovery()]
    assert len(set(ids)) == len(ids)


def test_12_discovery_is_signed_where_calls_are(caller: Caller) -> None:
    bare = caller.get("/cds-services", headers={"Authorization": None})
    if caller.signs:
        refused(bare, 401)
        for_a_call = {"Authorization": caller.authorization("/cds-services/trial-match")}
        refused(caller.get("/cds-services", headers=for_a_call), 401)
    else:
        assert bare.status_code == 200


def test_13_nothing_is_invented_at_the_top(caller: Caller) -> None:
    known = {"hook", "title", "description", "id", "prefetch", "usageRequirements", "extension"}
    known |= {"version", "hookVersion"}
    for service in caller.discovery():
        assert set(service) <= known
        extension = service.get("extension", {"com.example": 1})
        assert isinstance(extension, dict) and all("." in name for name in extension)


def test_14_hooks_are_of_the_library_or_named_in_reverse(caller: Caller) -> None:
    for service in caller.discovery():
        assert service["hook"] in _HOOKS or "." in service["hook"]


def test_15_no_selection_behavior_that_clients_may_not_know(caller: Caller) -> None:
    assert "actionSelectionBehavior" not in caller.post(body()).text


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/json+fhir", "text/html", None])
@pytest.mark.parametrize("path", ["/cds-services", "/cds-services/"])
def test_16_any_accept_and_a_trailing_slash_serve_without_redirect(
    caller: Caller, accept: str | None, path: str
) -> None:
    assert caller.get(path, headers={"Accept": accept}).status_code == 200


def test_16_a_call_with_a_trailing_slash(caller: Caller) -> None:
    assert caller.post(body(), "/cds-services/trial-match/").status_code == 200


def test_17_templates_use_tokens_of_the_hook(caller: Caller) -> None:
    for service in caller.discovery():
        for query in service.get("prefetch", {}).values():
            assert query.count("{{") == query.count("}}") == len(_TOKEN.findall(query))
            assert all(_PLAIN_TOKENS.fullmatch(token) for token in _TOKEN.findall(query))


def test_18_templates_need_no_fhirpath(caller: Caller) -> None:
    for service in caller.discovery():
        assert not re.search(r"[(|%]", "".join(service.get("prefetch", {}).values()))


def test_19_templates_are_plain_queries(caller: Caller) -> None:
    for service in caller.discovery():
        for query in service.get("prefetch", {}).values():
            read = re.fullmatch(r"[A-Z][A-Za-z]+/\{\{[^}]+\}\}", query)
            search = re.fullmatch(r"[A-Z][A-Za-z]+\?(?P<parameters>.+)", query)
            assert read or search
            for parameter in search["parameters"].split("&") if search else ():
                name, _, value = parameter.partition("=")
                assert re.fullmatch(r"[a-z][a-z-]*(:in)?|_count|_sort", name) and value


def test_20_each_template_asks_for_one_thing_of_the_patient(caller: Caller) -> None:
    for service in caller.discovery():
        for query in service.get("prefetch", {}).values():
            assert len(_TOKEN.findall(query)) == 1
            names = [part.split("=")[0] for part in query.partition("?")[2].split("&") if part]
            assert len(set(names)) == len(names), "the sandbox joins repeated parameters"
