"""A terminology server over a real socket, and one that misbehaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
import requests
import responses

from cds.authoring.terminology_server import TerminologyServer
from cds.errors import TerminologyError

S = "https://x.example/CodeSystem/s"
DEFINED = {"resourceType": "ValueSet", "url": "https://x.example/ValueSet/a", "compose": {"include": [{"system": S}]}}
NAMED = {"resourceType": "ValueSet", "url": "https://x.example/ValueSet/a", "version": "3"}


class Server:
    """Expands to `codes`, in pages; knows them, and nothing else."""

    def __init__(self, codes: int) -> None:
        self.codes = [f"c{number}" for number in range(codes)]
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told = {one["name"]: one for one in body["parameter"]}
                outer.asked.append((self.path, self.headers.get("Authorization"), told))
                data = orjson.dumps(outer.answer(self.path, told))
                self.send_response(200)
                self.send_header("Content-Type", "application/fhir+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/r4"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str, told: dict[str, Any]) -> Any:
        if path.endswith("CodeSystem/$validate-code"):
            known = told["code"]["valueCode"] in self.codes
            return {"resourceType": "Parameters", "parameter": [{"name": "result", "valueBoolean": known}]}
        start = told["offset"]["valueInteger"]
        some = self.codes[start : start + told["count"]["valueInteger"]]
        return expansion(some, total=len(self.codes), identifier="urn:uuid:1", parameter=[VERSION, OFFSET])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


VERSION = {"name": "used-codesystem", "valueUri": f"{S}|2026-09"}
OFFSET = {"name": "offset", "valueInteger": 0}


def expansion(codes: list[str], **more: Any) -> dict[str, Any]:
    contains = [
        {"system": S, "code": code, "display": code.upper(), "designation": [{"value": code}]} for code in codes
    ]
    return {"resourceType": "ValueSet", "expansion": {"contains": contains, **more}}


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server(25)
    yield one
    one.close()


def test_pages_are_read_to_the_end_and_what_was_used_is_kept(server: Server) -> None:
    found = TerminologyServer(server.url, "Bearer t", page=10).expand(
        DEFINED, "a.json", [{"resourceType": "CodeSystem"}]
    )
    assert [entry["code"] for entry in found.entries] == server.codes
    assert found.entries[0] == {"system": S, "code": "c0", "display": "C0"}
    assert found.parameters == (("used-codesystem", f"{S}|2026-09"),)
    assert (found.source, found.identifier) == (server.url, "urn:uuid:1")
    assert [told["offset"]["valueInteger"] for _, _, told in server.asked] == [0, 10, 20]
    path, authorization, told = server.asked[0]
    assert (path, authorization) == ("/r4/ValueSet/$expand", "Bearer t")
    assert told["valueSet"]["resource"] == DEFINED and told["tx-resource"]["resource"] == {"resourceType": "CodeSystem"}


def test_a_value_set_without_definition_is_asked_by_its_url(server: Server) -> None:
    TerminologyServer(server.url).expand(NAMED, "a.json")
    _, authorization, told = server.asked[0]
    assert authorization is None
    assert (told["url"]["valueUri"], told["valueSetVersion"]["valueString"]) == (NAMED["url"], "3")


def test_basic_credentials_are_encoded_and_those_of_the_environment_left_alone(
    server: Server, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    TerminologyServer(server.url, "Basic apikey:secret").expand(NAMED, "a.json")
    TerminologyServer(server.url).expand(NAMED, "a.json")
    assert server.asked[0][1] == "Basic YXBpa2V5OnNlY3JldA==" and server.asked[-1][1] is None


def test_a_code_is_known_or_not(server: Server) -> None:
    asked = TerminologyServer(server.url)
    assert asked.problem_of({"system": S, "code": "c1", "display": "C1", "version": "1"}) is None
    assert asked.problem_of({"system": S, "code": "x"}) == "is not known to the server"


TX = "https://tx.example/r4"
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "x", "diagnostics": "no such"}]}


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ([{"status": 422, "json": OUTCOME}], "status 422: no such"),
        ([{"status": 401, "json": OUTCOME}], "status 401"),
        ([{"status": 302, "headers": {"Location": "https://elsewhere.example"}}], "status 302"),
        ([{"body": "<html>", "content_type": "text/html"}], "no FHIR JSON"),
        ([{"body": "{", "content_type": "application/json"}], "no JSON"),
        ([{"json": OUTCOME}], "no expanded ValueSet"),
        ([{"json": expansion(["a"], total=3)}, {"json": expansion([], total=3)}], "sent 1 of 3"),
        ([{"json": expansion(["a"], total=3)}, {"json": expansion(["a"], total=3)}], "repeat themselves"),
        ([{"json": expansion(["a"], total=3)}, {"json": expansion(["b"], total=4)}], "changed while"),
        (
            [
                {
                    "json": expansion(
                        ["a"], extension=[{"url": "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"}]
                    )
                }
            ],
            "does not hold all",
        ),
        ([{"body": requests.ConnectionError()}], "cannot be reached"),
        ([{"body": requests.exceptions.SSLError()}], "certificate"),
    ],
)
def test_what_a_server_gets_wrong_is_told(pages: list[dict[str, Any]], message: str) -> None:
    with responses.RequestsMock() as mock:
        for page in pages:
            mock.add(responses.POST, f"{TX}/ValueSet/$expand", **page)
        with pytest.raises(TerminologyError, match=message):
            TerminologyServer(TX, "Bearer t", page=1).expand(NAMED, "a.json")


def test_no_server_is_sent_credentials_in_clear_or_by_url() -> None:
    with pytest.raises(TerminologyError, match="in clear"):
        TerminologyServer("http://tx.example/r4", "Bearer t")
    with pytest.raises(TerminologyError, match="without credentials"):
        TerminologyServer("https://user:secret@tx.example/r4")


def test_without_total_a_short_page_is_the_last() -> None:
    with responses.RequestsMock() as mock:
        for page in (["a", "b"], ["c"]):
            mock.add(responses.POST, f"{TX}/ValueSet/$expand", json=expansion(page))
        assert len(TerminologyServer(TX, page=2).expand(NAMED, "a.json").entries) == 3
