"""`cds doctor`: services and FHIR servers with one thing wrong, and whether that is what is found."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ehr import Ehr
from flask import Flask, Response, request
from werkzeug.serving import make_server

from cds.cli import main
from cds.hooks.doctor import Report, Severity, examine
from cds.hooks.doctor.cards import problems
from cds.hooks.doctor.templates import template_problems
from cds.hooks.prefetch import templates
from cds.hooks.signing import Signer, make_key

ROOT = Path(__file__).resolve().parents[2]
QUERIES = templates(["Patient", "Condition", "Observation", "Immunization"])
NEEDED = ("Condition", "Observation")
SERVICE = {
    "hook": "patient-view",
    "id": "one",
    "title": "One",
    "description": "What it does.",
    "prefetch": {"patient": "Patient/{{context.patientId}}", "condition": "Condition?patient={{context.patientId}}"},
}
CARD: dict[str, Any] = {
    "uuid": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
    "summary": "A card",
    "indicator": "info",
    "source": {"label": "Us"},
    "suggestions": [
        {
            "label": "Do it",
            "uuid": "d1577c69-dfbe-44ad-ba6d-3e05e953b2eb",
            "actions": [{"type": "create", "description": "d", "resource": {"resourceType": "Task"}}],
        }
    ],
    "selectionBehavior": "at-most-one",
    "overrideReasons": [{"code": "a", "system": "https://a.example", "display": "A"}],
    "links": [{"label": "L", "url": "https://a.example", "type": "absolute"}],
}


class Stub:
    """A service that is right in everything, but for what a test changes."""

    def __init__(self) -> None:
        self.services: Any = [json.loads(json.dumps(SERVICE))]
        self.answer: Any = {"cards": [json.loads(json.dumps(CARD))]}
        self.statuses: dict[str, int] = {}
        self.media_type = "application/json"
        self.cors: dict[str, str] = {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Access-Control-Allow-Methods": "GET, POST",
        }
        self.outcomes = True

    def status(self, data: bytes) -> tuple[str, int]:
        """What is asked for, and how it is answered unless a test says otherwise."""
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            return "broken", 400
        if not isinstance(body, dict) or not body.get("hookInstance") or not isinstance(body.get("context"), dict):
            return "invalid", 400
        if not isinstance(body["context"]["patientId"], str):
            return "patient", 400
        if body["hook"] != "patient-view":
            return "other hook", 400
        if "extension" in body:
            return "extension", 200
        return ("good", 200) if "prefetch" in body else ("bare", 412)

    def app(self) -> Flask:
        app = Flask("stub")
        app.url_map.strict_slashes = False

        @app.get("/cds-services")
        def discovery() -> Response:
            status = self.statuses.get("unsigned" if "Authorization" not in request.headers else "discovery")
            return self._response({"services": self.services}, status or self.statuses.get("discovery", 200))

        @app.post("/cds-services/one")
        def call() -> Response:
            what, status = self.status(request.get_data())
            status = self.statuses.get(what, status)
            return self._response(self.answer if status == 200 else self._outcome(), status)

        @app.post("/cds-services/one/feedback")
        def feedback() -> Response:
            status = 200 if request.get_data().endswith(b"}") else 400
            status = self.statuses.get("feedback" if status == 200 else "broken feedback", status)
            return self._response(self._outcome(), status)

        @app.post("/cds-services/<other>")
        def unknown(other: str) -> Response:
            return self._response(self._outcome(), self.statuses.get("unknown", 404))

        @app.after_request
        def allow(response: Response) -> Response:
            response.headers.update(self.cors)
            if request.method == "OPTIONS" and "preflight" in self.statuses:
                response.status_code = self.statuses["preflight"]
            return response

        return app

    def _outcome(self) -> Any:
        issue = {"severity": "error", "code": "invalid"}
        return {"resourceType": "OperationOutcome", "issue": [issue]} if self.outcomes else {"error": "no"}

    def _response(self, content: Any, status: int) -> Response:
        return Response(json.dumps(content), status, mimetype=self.media_type)


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def look(stub: Stub) -> Iterator[Callable[..., Report]]:
    server = make_server("127.0.0.1", 0, stub.app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def at(**more: Any) -> Report:
        return examine(f"http://127.0.0.1:{server.server_port}/", queries=QUERIES, needed=NEEDED, **more)

    yield at
    server.shutdown()
    thread.join()


def rules(report: Report, *severities: Severity) -> set[int | str]:
    return {one.number or one.rule for one in report.of(*severities)}


def test_a_service_that_is_right(look: Callable[..., Report]) -> None:
    report = look()
    assert report.kind == "CDS Hooks service" and report.healthy
    assert report.of(Severity.ERROR, Severity.WARNING) == []
    assert {5, 6, 7, 16, 19, 22, 23, 24, 25, 28, 30, 33, 48, 68, 77, 78} <= rules(report, Severity.OK)


def _change(path: str, value: Any) -> Callable[[Stub], None]:
    def change(stub: Stub) -> None:
        holder: Any = {"service": stub.services[0], "card": stub.answer["cards"][0], "answer": stub.answer}
        *steps, last = path.split(".")
        for step in steps:
            holder = holder[int(step) if step.isdigit() else step]
        if value is ...:
            del holder[last]
        else:
            holder[last] = value

    return change


def _status(**statuses: int) -> Callable[[Stub], None]:
    return lambda stub: stub.statuses.update({name.replace("_", " "): status for name, status in statuses.items()})


def _set(**values: Any) -> Callable[[Stub], None]:
    return lambda stub: [setattr(stub, name, value) for name, value in values.items()] and None


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (_set(media_type="text/html"), 1),
        (_change("service.extension", {}), 2),
        (_change("service.title", None), 2),
        (_status(discovery=500), 5),
        (_set(services={}), 6),
        (_set(services=["one"]), 7),
        (_change("service.id", ...), 7),
        (_change("service.hook", 5), 7),
        (_change("service.prefetch", []), 9),
        (_change("service.prefetch.x", 5), 9),
        (_change("service.version", "two"), 10),
        (_set(services=[SERVICE, SERVICE]), 11),
        (_change("service.contact", "x"), 13),
        (_change("service.prefetch.x", "Condition?patient={{context.patient}}"), 17),
        (_status(invalid=500), 22),
        (_status(unknown=500), 23),
        (_status(extension=400), 25),
        (_status(patient=500), 26),
        (_status(other_hook=500), 28),
        (_status(broken=500), 30),
        (_status(bare=500), 33),
        (_status(good=500), 48),
        (_set(answer={}), 48),
        (_change("card.summary", "x" * 140), 49),
        (_change("card.indicator", "hard-stop"), 50),
        (_change("card.source", {}), 51),
        (_change("card.uuid", "1"), 53),
        (_change("card.selectionBehavior", ...), 54),
        (_change("card.suggestions.0.actions.0.type", "CREATE"), 56),
        (_change("card.suggestions.0.actions.0.resource", "text"), 56),
        (_change("card.overrideReasons.0.display", ...), 57),
        (_change("card.links.0.url", "/a"), 58),
        (_status(feedback=500), 68),
        (_status(broken_feedback=500), 68),
    ],
)
def test_what_will_not_work_is_an_error(
    stub: Stub, look: Callable[..., Report], wrong: Callable[[Stub], None], rule: int
) -> None:
    wrong(stub)
    report = look()
    assert rule in rules(report, Severity.ERROR)
    assert not report.healthy
    assert all(one.remedy for one in report.of(Severity.ERROR, Severity.WARNING))


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (_change("service.title", ...), 8),
        (_set(services=[SERVICE, SERVICE | {"hook": "order-sign"}]), 11),
        (_change("service.hook", "patientview"), 14),
        (_change("service.prefetch.x", "Condition?patient={{context.patientId}}&_include=Condition:asserter"), 19),
        (_set(outcomes=False), 24),
        (_status(broken=200), 30),
        (_status(good=412), 34),
        (_set(cors={}), 77),
        (_status(preflight=401), 78),
        (_set(cors={"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}), 78),
        (_status(unsigned=403), 5),
    ],
)
def test_what_will_not_work_with_everyone_is_a_warning(
    stub: Stub, look: Callable[..., Report], wrong: Callable[[Stub], None], rule: int
) -> None:
    wrong(stub)
    assert rule in rules(look(), Severity.WARNING, Severity.ERROR)


def test_a_service_that_wants_signatures(stub: Stub, look: Callable[..., Report]) -> None:
    stub.statuses["unsigned"] = 401
    report = look()
    assert rules(report, Severity.ERROR) == {12}
    assert "--sign" in str(report.of(Severity.ERROR)[0].remedy)


def test_signatures_that_nobody_looks_at(stub: Stub, look: Callable[..., Report]) -> None:
    stub.statuses["unsigned"] = 401
    signer = Signer("https://ehr.example", make_key("ES256"), "k", "ES256")
    assert rules(look(signer=signer), Severity.ERROR) == {71, 72, 74, 75}


def test_feedback_is_optional(stub: Stub, look: Callable[..., Report]) -> None:
    stub.statuses["feedback"] = 404
    assert look().healthy


def test_other_hooks_get_what_their_context_needs(stub: Stub, look: Callable[..., Report]) -> None:
    stub.services[0]["hook"] = "com.example.own"
    assert "not known here" in str(look().of(Severity.INFO))


def test_a_chart_is_sent_as_prefetch(stub: Stub, look: Callable[..., Report]) -> None:
    sent: list[Any] = []
    known = stub.status

    def keep(data: bytes) -> tuple[str, int]:
        what, status = known(data)
        if what == "good":
            sent.append(json.loads(data))
        return what, status

    stub.status = keep  # type: ignore[method-assign]
    condition = {"resourceType": "Condition", "id": "c"}
    chart = {"entry": [{"resource": {"resourceType": "Patient", "id": "p1"}}, {"resource": condition}]}
    look(chart=chart)
    (body,) = sent
    assert body["context"]["patientId"] == body["prefetch"]["patient"]["id"] == "p1"
    assert body["prefetch"]["condition"]["entry"] == [{"resource": condition}]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda card: card.update(detail=5), 52),
        (lambda card: card.update(more=1), 13),
        (lambda card: card.update(links=None), 2),
        (lambda card: card["source"].update(url="x"), 51),
        (lambda card: card["source"].update(topic={"code": "a"}), 51),
        (lambda card: card["suggestions"].append({"label": 5}), 55),
        (lambda card: card["suggestions"][0].update(isRecommended="yes"), 55),
        (lambda card: card["suggestions"][0].update(uuid=CARD["uuid"]), 53),
        (lambda card: card["suggestions"][0]["actions"][0].pop("description"), 56),
        (lambda card: card["suggestions"][0]["actions"].append({"type": "delete", "description": "d"}), 56),
        (lambda card: card["overrideReasons"][0].update(version="1"), 60),
        (lambda card: card["links"][0].update(type="web"), 58),
        (lambda card: card["links"][0].update(appContext="x"), 58),
        (lambda card: card.update(suggestions=[{"label": str(n), "isRecommended": True} for n in range(2)]), 54),
    ],
)
def test_what_is_wrong_with_a_card(change: Callable[[dict[str, Any]], Any], rule: int) -> None:
    card = json.loads(json.dumps(CARD))
    assert not list(problems({"cards": [card]}))
    change(card)
    assert {one[0] for one in problems({"cards": [card]})} == {rule}


@pytest.mark.parametrize(
    "body", [None, [], {"cards": None}, {"cards": [5]}, {"cards": [{}]}, {"cards": [{"source": []}]}]
)
def test_answers_that_are_anything_else(body: Any) -> None:
    assert list(problems(body))


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("Patient/{{context.patientId}}", set()),
        ("Practitioner/{{userPractitionerId}}", set()),
        (
            "Observation?patient={{context.patientId}}&code:in=http://a.example/vs&date=ge2020&_count=5&_sort=-date",
            set(),
        ),
        ("Observation?patient={{context.patientId}}&date=gt{{today() - 90 days}}", {18}),
        ("Observation?patient={{context.draftOrders.ServiceRequest.id}}", {18}),
        ("Observation?patient={{context.selections}}", {17}),
        ("Observation?patient={{patientId}}", {17}),
        ("Observation?patient={{context.patientId}", {17}),
        ("Observation?subject.name=x", {19}),
        ("Observation?_has:Group:member:_id=1", {19}),
        ("Observation?patient", {19}),
        ("https://ehr.example/Observation?patient=1", {19}),
        ("Observation?date=ge2020&date=le2021", {20}),
        ("", {9}),
    ],
)
def test_templates(template: str, found: set[int]) -> None:
    assert {one[0] for one in template_problems("patient-view", "x", template)} == found


# ---- FHIR servers


@pytest.fixture
def ehr() -> Iterator[Ehr]:
    patient = {"resourceType": "Patient", "id": "p1"}
    subject = {"reference": "Patient/p1"}
    observations = [{"resourceType": "Observation", "id": f"o{n}", "subject": subject} for n in range(3)]
    condition = {"resourceType": "Condition", "id": "c1", "subject": subject}
    immunization = {"resourceType": "Immunization", "id": "i1", "patient": subject}
    server = Ehr([patient, condition, immunization, *observations], page=1)
    yield server
    server.close()


def look_at(ehr: Ehr, **more: Any) -> Report:
    return examine(ehr.url, queries=QUERIES, needed=NEEDED, **more)


def test_a_fhir_server_that_is_right(ehr: Ehr) -> None:
    report = look_at(ehr)
    assert report.kind == "FHIR server"
    assert report.of(Severity.ERROR, Severity.WARNING) == []
    assert look_at(ehr, patient="Patient/p1").healthy


def _metadata(**changes: Any) -> Callable[[Ehr], None]:
    return lambda ehr: ehr.metadata.update(changes)


def _failing(**statuses: int) -> Callable[[Ehr], None]:
    return lambda ehr: ehr.failing.update(statuses)


def _without(kind: str) -> Callable[[Ehr], None]:
    def change(ehr: Ehr) -> None:
        rest = ehr.metadata["rest"][0]
        rest["resource"] = [one for one in rest["resource"] if one["type"] != kind]

    return change


def _of_another(ehr: Ehr) -> None:
    ehr.resources["Condition"][0]["subject"] = {"reference": "Patient/other"}


def _no_next(ehr: Ehr) -> None:
    ehr.page = 1
    search = ehr._search
    ehr._search = lambda path, found: {k: v for k, v in search(path, found).items() if k != "link"}  # type: ignore[method-assign]


def _foreign_next(ehr: Ehr) -> None:
    search = ehr._search

    def elsewhere(path: str, found: list[Any]) -> Any:
        bundle = search(path, found)
        for link in bundle.get("link", ()):
            link["url"] = "http://127.0.0.1:9/fhir/next"
        return bundle

    ehr._search = elsewhere  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("wrong", "severity", "where"),
    [
        (_metadata(fhirVersion="3.0.2"), Severity.ERROR, "metadata.fhirVersion"),
        (_metadata(fhirVersion="5.0.0"), Severity.ERROR, "metadata.fhirVersion"),
        (_metadata(fhirVersion="4.3.0"), Severity.WARNING, "metadata.fhirVersion"),
        (_metadata(format=["xml"]), Severity.WARNING, "metadata.format"),
        (_metadata(rest=None), Severity.ERROR, "metadata Patient"),
        (_without("Condition"), Severity.ERROR, "metadata Condition"),
        (_without("Immunization"), Severity.WARNING, "metadata Immunization"),
        (_failing(Condition=500), Severity.ERROR, "Condition?patient=ID"),
        (_failing(Immunization=403), Severity.WARNING, "Immunization?patient=ID"),
        (_failing(Condition=403), Severity.ERROR, "Condition?patient=ID"),
        (_of_another, Severity.ERROR, "Condition?patient=ID"),
        (_no_next, Severity.ERROR, "Observation"),
        (_foreign_next, Severity.ERROR, "Observation link next"),
        (lambda ehr: setattr(ehr, "token", "t"), Severity.WARNING, "Patient"),
        (lambda ehr: setattr(ehr, "cors", False), Severity.INFO, "metadata"),
    ],
)
def test_what_is_wrong_with_a_fhir_server(
    ehr: Ehr, wrong: Callable[[Ehr], Any], severity: Severity, where: str
) -> None:
    wrong(ehr)
    assert where in {one.where for one in look_at(ehr).of(severity)}


def test_a_token_opens_it_and_goes_nowhere_else(ehr: Ehr) -> None:
    ehr.token = "secret-token"
    _foreign_next(ehr)
    report = look_at(ehr, token="secret-token", patient="p1")
    assert "secret-token" not in str(report.as_json())
    assert {one.where for one in report.of(Severity.ERROR)} == {"Observation link next"}
    assert "401" in str(look_at(ehr, patient="p1").of(Severity.ERROR))


# ---- neither, and the command


def test_what_is_neither() -> None:
    app = Flask("neither")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    report = examine(f"http://127.0.0.1:{server.server_port}", queries=QUERIES, needed=NEEDED)
    assert "neither" in report.of(Severity.ERROR)[0].message
    server.shutdown()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "ftp://a.example", "nonsense", "https://127.0.0.1:9/cds-services"]
)
def test_what_cannot_be_reached(url: str) -> None:
    report = examine(url, queries=QUERIES, needed=NEEDED)
    assert not report.healthy


def test_the_command(address: str) -> None:
    result = CliRunner().invoke(main, ["doctor", address + "/cds-services"])
    assert result.exit_code == 0, result.output
    assert "0 errors" in result.output and "is a plain query" not in result.output
    told = json.loads(CliRunner().invoke(main, ["doctor", address, "--format", "json"]).stdout)
    assert told["healthy"] is True and told["kind"] == "CDS Hooks service" and told["counts"]["error"] == 0
    assert {"severity", "rule", "number", "where", "message"} <= told["findings"][0].keys()
    failed = CliRunner().invoke(main, ["doctor", "http://127.0.0.1:9"])
    assert failed.exit_code == 1 and "cannot be reached" in failed.output
    assert CliRunner().invoke(main, ["doctor", address, "--sign", "x"]).exit_code == 2
