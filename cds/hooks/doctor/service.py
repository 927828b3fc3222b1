"""What is wrong with a CDS Hooks service: discovery, templates, CORS, answers, refusals, feedback, signatures."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

from cds.hooks.doctor.cards import empties, problems
from cds.hooks.doctor.probe import Answer, Probe
from cds.hooks.doctor.report import Report, Severity
from cds.hooks.doctor.templates import template_problems
from cds.hooks.signing import Signer

Json = dict[str, Any]

_DISCOVERY = "/cds-services"
_ORIGIN = {"Origin": "https://sandbox.example"}
_PREFLIGHT = {
    **_ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type",
}
_SERVICE = frozenset(
    ("hook", "title", "description", "id", "prefetch", "usageRequirements", "extension", "version", "hookVersion")
)
_LOOPBACK = re.compile(r"http://(localhost|127\.|\[::1\])")
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?(-[0-9A-Za-z.-]+)?")
_PATIENT_ID = "{{context.patientId}}"
#: The patient that is sent where none is given: nothing is known of her.
_MADE_UP = "cds-doctor-example"
_EMPTY: Json = {"resourceType": "Bundle", "type": "searchset", "total": 0}
#: What the hooks of the library need in context beside userId and patientId.
_ORDERS = {"resourceType": "Bundle", "type": "collection", "entry": []}
_CONTEXTS: Mapping[str, Json] = {
    "patient-view": {},
    "order-select": {"selections": [], "draftOrders": _ORDERS},
    "order-sign": {"draftOrders": _ORDERS},
    "encounter-start": {"encounterId": "example"},
    "encounter-discharge": {"encounterId": "example"},
    "appointment-book": {"appointments": _ORDERS},
    "problem-list-item-create": {"conditions": _ORDERS},
}
#: A card should be there within this many seconds (CDS Hooks 2.0.1: 500 ms).
_SOON = 0.5


def examine_service(
    report: Report,
    probe: Probe,
    discovery: Answer,
    *,
    patient: str | None,
    chart: Json | None,
    signer: Signer | None,
) -> None:
    """Looks at everything about a service that shows from outside."""
    _transport(report)
    if discovery.status == 401 and signer is None:
        report.error(12, _DISCOVERY, "wants signed calls", "give --sign and --issuer; the service must list the issuer")
        _cors(report, probe, _DISCOVERY)
        return
    if not _discovery(report, probe, discovery, signer):
        return
    _trust(report, probe, signer)
    _cors(report, probe, _DISCOVERY)
    for service in discovery.json["services"]:
        if _entry(report, service):
            _Examination(report, probe, service, signer).run(patient, chart)
    unknown = probe.post(f"{_DISCOVERY}/cds-doctor-no-such-service", b"{}", signer=signer)
    if unknown:
        report.expect(
            unknown.status == 404,
            23,
            f"{_DISCOVERY}/cds-doctor-no-such-service",
            "a service that is not there gives 404",
            f"a service that is not there gives {unknown.status}",
            "answer 404",
            Severity.WARNING if 400 <= unknown.status < 500 else Severity.ERROR,
        )


def _transport(report: Report) -> None:
    if _LOOPBACK.match(report.url):
        report.info(69, report.url, "http on loopback: good for tests alone")
        return
    report.expect(
        report.url.startswith("https://"),
        69,
        report.url,
        "TLS",
        "is http: patient data goes in clear text, and EHRs will not call",
        "serve https",
    )


def _discovery(report: Report, probe: Probe, answer: Answer, signer: Signer | None) -> bool:
    status = report.expect(
        answer.status == 200,
        5,
        _DISCOVERY,
        "discovery is there",
        f"gives {answer.status}" + (": the signature is refused" if answer.status == 401 else ""),
        "answer 200 at exactly this address, without redirect",
    )
    if not status:
        return False
    _media_type(report, answer, _DISCOVERY)
    content = answer.json
    shape = isinstance(content, dict) and isinstance(content.get("services"), list)
    if not report.expect(
        shape, 6, _DISCOVERY, "services are listed", answer.problem or "has no array services", 'send {"services": []}'
    ):
        return False
    for at in empties(content):
        report.error(2, at, "is null or empty", "leave out what is not there")
    pairs = [(one.get("id"), one.get("hook")) for one in content["services"] if isinstance(one, dict)]
    ids = [id_ for id_, _ in pairs]
    if len(set(pairs)) < len(pairs):
        report.error(11, _DISCOVERY, "two services have the same id and hook", "give each its own id")
    elif len(set(ids)) < len(ids):
        report.warning(11, _DISCOVERY, "two services share an id: some clients keep the last", "use different ids")
    again = probe.get(_DISCOVERY + "/", signer=signer)
    if again:
        report.expect(
            again.status == 200,
            16,
            _DISCOVERY + "/",
            "a trailing slash serves, too",
            f"with a trailing slash gives {again.status}",
            "answer both, without redirect",
            Severity.WARNING,
        )
    return True


def _media_type(report: Report, answer: Answer, where: str) -> None:
    report.expect(
        answer.media_type in ("application/json", "application/fhir+json"),
        1,
        where,
        "the Content-Type is JSON's",
        f"Content-Type is {answer.media_type or 'missing'}",
        "send Content-Type: application/json",
    )


def _trust(report: Report, probe: Probe, signer: Signer | None) -> None:
    bare = probe.get(_DISCOVERY)
    if bare is None:
        return
    if bare.status == 200:
        wrong = "takes the signature, and answers unsigned calls, too" if signer else "answers whoever calls"
        severity = Severity.INFO if _LOOPBACK.match(report.url) else Severity.WARNING
        report.expect(False, 70, _DISCOVERY, "", wrong, "require signed calls", severity)
        return
    report.expect(
        bare.status == 401,
        70,
        _DISCOVERY,
        "unsigned calls are refused with 401",
        f"refuses unsigned calls with {bare.status}",
        "answer 401",
        Severity.WARNING,
    )
    if signer:
        _signatures(report, probe, signer)


def _signatures(report: Report, probe: Probe, signer: Signer) -> None:
    """Tokens that must be refused: for another URL, used before, not signed at all."""
    now = datetime.now(UTC)
    good = signer.authorization(report.url + _DISCOVERY, now=now)
    header, claims, _ = good.removeprefix("Bearer ").split(".")
    unsigned = urlsafe_b64encode(orjson.dumps({"alg": "none", "kid": signer.kid, "typ": "JWT"})).rstrip(b"=").decode()
    probe.get(_DISCOVERY, headers={"Authorization": good})
    for rule, what, authorization in (
        (71, "a token for another URL", signer.authorization("https://elsewhere.example/cds-services", now=now)),
        (72, "a token with alg none", f"Bearer {unsigned}.{claims}."),
        (74, "a token with a foreign signature", f"Bearer {header}.{claims}.{'A' * 128}"),
        (75, "a token that was used before", good),
    ):
        answer = probe.get(_DISCOVERY, headers={"Authorization": authorization})
        if answer:
            report.expect(
                answer.status == 401,
                rule,
                _DISCOVERY,
                f"{what} is refused",
                f"{what} gives {answer.status}",
                "answer 401",
                Severity.WARNING if answer.status == 403 else Severity.ERROR,
            )


def _cors(report: Report, probe: Probe, path: str) -> None:
    answer = probe.options(path, _PREFLIGHT)
    if answer is None:
        return
    if not report.expect(
        answer.status in (200, 204),
        78,
        path,
        "preflights are answered",
        f"a preflight gives {answer.status}",
        "answer OPTIONS with 200 or 204, unsigned and without redirect, for clients in browsers",
        Severity.WARNING,
    ):
        return
    origin = answer.headers.get("Access-Control-Allow-Origin", "")
    report.expect(
        origin in ("*", _ORIGIN["Origin"]),
        77,
        path,
        "pages of other origins may call",
        "does not allow pages of other origins",
        "send Access-Control-Allow-Origin, for clients in browsers",
        Severity.WARNING,
    )
    allowed = {one.strip().lower() for one in answer.headers.get("Access-Control-Allow-Headers", "").split(",")}
    report.expect(
        {"authorization", "content-type"} <= allowed,
        78,
        path,
        "Authorization and Content-Type are allowed by name",
        "Access-Control-Allow-Headers does not name Authorization and Content-Type",
        "name them: * does not cover Authorization",
        Severity.WARNING,
    )
    if answer.headers.get("Access-Control-Allow-Credentials") and origin != "":
        report.warning(79, path, "allows credentials to any origin", "leave Access-Control-Allow-Credentials out")


def _entry(report: Report, service: Any) -> bool:
    """Looks at one service of discovery; answers whether it can be called."""
    if not isinstance(service, dict):
        report.error(7, "services", "holds something that is no object", "describe a service")
        return False
    at = f"services[{service.get('id')}]"
    usable = True
    for name in ("hook", "description", "id"):
        value = service.get(name)
        usable &= report.expect(
            isinstance(value, str) and bool(value), 7, at, f"has {name}", f"has no {name}", f"add {name}"
        )
    if not service.get("title"):
        report.warning(8, at, "has no title", "add one for people who choose services")
    for name in sorted(service.keys() - _SERVICE):
        report.error(13, f"{at}.{name}", "is no field of a service", "put it into extension")
    for name in ("version", "hookVersion"):
        if name in service and not (isinstance(service[name], str) and _VERSION.fullmatch(service[name])):
            report.error(10, f"{at}.{name}", "is no version", "write it as 2.0.1")
    hook = str(service.get("hook"))
    if not re.fullmatch(r"[a-z]+(-[a-z]+)+|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", hook):
        report.warning(14, f"{at}.hook", "is neither noun-verb nor a reverse domain", "name it as the library does")
    prefetch = service.get("prefetch", {})
    if not isinstance(prefetch, dict):
        report.error(9, f"{at}.prefetch", "is no object", "map keys to queries")
        return False
    for key, template in prefetch.items():
        wrong = list(template_problems(hook, key, template))
        for rule, where, message, remedy in wrong:
            severity = Severity.ERROR if rule in (9, 17) else Severity.WARNING
            report.expect(False, rule, f"{at}.{where}", "", message, remedy, severity)
        if not wrong:
            report.expect(True, 19, f"{at}.prefetch.{key}", "is a plain query", "", "")
    return usable


class _Examination:
    """Calls of one service."""

    def __init__(self, report: Report, probe: Probe, service: Json, signer: Signer | None) -> None:
        self._report = report
        self._probe = probe
        self._service = service
        self._signer = signer
        self._path = f"{_DISCOVERY}/{service['id']}"

    def run(self, patient: str | None, chart: Json | None) -> None:
        """Calls with good and bad requests. Hooks that we do not know get bad ones alone."""
        _cors(self._report, self._probe, self._path)
        extra = _CONTEXTS.get(self._service["hook"])
        if extra is None:
            hook = self._service["hook"]
            self._report.info(22, self._path, f"the context of {hook} is not known here: only bad requests are sent")
        else:
            body = self._request(extra, _patient_id(patient, chart), chart)
            status = self._good(body)
            self._variants(body, status)
        self._bad()
        self._feedback()

    def _request(self, extra: Json, patient_id: str, chart: Json | None) -> Json:
        prefetch = {}
        for key, template in self._service.get("prefetch", {}).items():
            value = _prefetched(template, patient_id, chart)
            if value is not None:
                prefetch[key] = value
        return {
            "hook": self._service["hook"],
            "hookInstance": str(uuid4()),
            "context": {"userId": "Practitioner/example", "patientId": patient_id, **extra},
            **({"prefetch": prefetch} if prefetch else {}),
        }

    def _post(self, body: Any, **headers: str) -> Answer | None:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        return self._probe.post(self._path, data, signer=self._signer, headers=headers)

    def _good(self, body: Json) -> int | None:
        """A whole request with all that prefetch can give, from a page of another origin."""
        answer = self._post(body, **_ORIGIN)
        if answer is None:
            return None
        whole = self._report.expect(
            answer.status == 200,
            34 if answer.status == 412 else 48,
            self._path,
            "a request with full prefetch gives 200",
            f"a request with full prefetch gives {answer.status}{_diagnostics(answer)}",
            "take null and empty Bundles for a search that found nothing" if answer.status == 412 else "answer 200",
            Severity.WARNING if answer.status == 412 else Severity.ERROR,
        )
        _media_type(self._report, answer, self._path)
        if not answer.headers.get("Access-Control-Allow-Origin"):
            self._report.warning(
                77, self._path, "preflights may pass, the answer has no Access-Control-Allow-Origin", "send it always"
            )
        if whole:
            self._judge(answer)
        else:
            self._outcome(answer, "a refusal")
        return answer.status

    def _judge(self, answer: Answer) -> None:
        if answer.problem:
            self._report.error(1, self._path, answer.problem, "send JSON")
            return
        wrong = list(problems(answer.json))
        for rule, where, message, remedy in wrong:
            self._report.error(rule, f"{self._path} {where}", message, remedy)
        cards = len(answer.json.get("cards", ())) if isinstance(answer.json, dict) else 0
        if not wrong:
            self._report.expect(True, 48, self._path, f"{cards} cards, all valid", "", "")
        self._report.expect(
            answer.seconds <= _SOON,
            29,
            self._path,
            f"answers within {_SOON * 1000:.0f} ms",
            f"took {answer.seconds * 1000:.0f} ms",
            "be there in about half a second",
            Severity.WARNING,
        )

    def _variants(self, body: Json, status: int | None) -> None:
        """Requests that are good as well, or that only lack data."""
        more = {**body, "extension": {"example.doctor": {"a": 1}}, "context": {**body["context"], "unknown": [1]}}
        answer = self._post(more)
        if answer and status is not None:
            self._report.expect(
                answer.status == status,
                25,
                self._path,
                "what is unknown in a request is let pass",
                f"extension and unknown fields change the answer to {answer.status}",
                "ignore what you do not know",
            )
        bare = self._post({name: value for name, value in body.items() if name != "prefetch"})
        if bare:
            needs = bool(self._service.get("prefetch"))
            self._report.expect(
                bare.status in (200, 412),
                33,
                self._path,
                f"without data the answer is {bare.status}",
                f"without data the answer is {bare.status}",
                "answer 412 where data is needed and cannot be had",
            )
            if bare.status == 200 and needs:
                self._report.info(33, self._path, "answers 200 though no data came: does it need its prefetch?")
            self._outcome(bare, "a request without data")
        other = self._post({**body, "hook": "order-dispatch"})
        if other:
            self._expect_refusal(other, 28, "another hook than the service's")

    def _bad(self) -> None:
        """Requests that must be refused, and never with a failure of the service's own."""
        context = {"userId": "Practitioner/example", "patientId": "example"}
        whole = {"hook": self._service["hook"], "hookInstance": str(uuid4()), "context": context}
        for data, rule, what in (
            (b"{", 30, "a body that is no JSON"),
            (b"", 30, "an empty body"),
            (b"[]", 22, "a body that is no object"),
            (b'{"a":' * 5000 + b"1" + b"}" * 5000, 30, "a body nested 5000 deep"),
            (b'{"hook": "\xff"}', 30, "a body that is no UTF-8"),
            (orjson.dumps({**whole, "hookInstance": None}), 22, "a request without hookInstance"),
            (orjson.dumps({**whole, "context": None}), 22, "a request without context"),
            (orjson.dumps({**whole, "context": "x"}), 22, "a context that is no object"),
            (orjson.dumps({**whole, "context": {**context, "patientId": {}}}), 26, "a patientId that is no text"),
        ):
            answer = self._post(data)
            if answer:
                self._expect_refusal(answer, rule, what)

    def _expect_refusal(self, answer: Answer, rule: int, what: str) -> None:
        refused = self._report.expect(
            400 <= answer.status < 500,
            rule,
            self._path,
            f"{what} is refused",
            f"{what} gives {answer.status}",
            "answer 400",
            Severity.ERROR if answer.status >= 500 else Severity.WARNING,
        )
        if refused:
            self._outcome(answer, what)

    def _outcome(self, answer: Answer, what: str) -> None:
        if answer.status < 400:
            return
        outcome = isinstance(answer.json, dict) and answer.json.get("resourceType") == "OperationOutcome"
        self._report.expect(
            outcome,
            24,
            self._path,
            "refusals say why in an OperationOutcome",
            f"{what} is refused without an OperationOutcome",
            "say what was wrong",
            Severity.WARNING,
        )

    def _feedback(self) -> None:
        """Feedback without an entry, which changes nothing, and a body that is none."""
        path = f"{self._path}/feedback"
        empty = self._probe.post(path, b'{"feedback": []}', signer=self._signer)
        if empty is None:
            return
        if empty.status in (404, 405):
            self._report.info(62, path, "takes no feedback (optional)")
            return
        self._report.expect(
            200 <= empty.status < 300,
            68,
            path,
            "takes feedback",
            f"empty feedback gives {empty.status}",
            "answer 200",
            Severity.ERROR if empty.status >= 500 else Severity.WARNING,
        )
        broken = self._probe.post(path, b"{", signer=self._signer)
        if broken:
            self._report.expect(
                400 <= broken.status < 500,
                68,
                path,
                "broken feedback is refused",
                f"broken feedback gives {broken.status}",
                "answer 400",
            )


def _patient_id(patient: str | None, chart: Json | None) -> str:
    for resource in _resources(chart, "Patient"):
        return str(patient or resource.get("id"))
    return patient or _MADE_UP


def _resources(chart: Json | None, kind: str) -> list[Json]:
    entries = (chart or {}).get("entry")
    found = [entry.get("resource") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [one for one in found if isinstance(one, dict) and one.get("resourceType") == kind]


def _prefetched(template: Any, patient_id: str, chart: Json | None) -> Json | None:
    """What a template gives: of the chart, or of a patient of whom nothing is known. None where it is not to be had."""
    if not isinstance(template, str):
        return None
    kind = re.split(r"[/?]", template, maxsplit=1)[0]
    if template == f"Patient/{_PATIENT_ID}":
        known = _resources(chart, "Patient")
        return known[0] if known else {"resourceType": "Patient", "id": patient_id, "gender": "unknown"}
    if "?" not in template:
        return None
    found = _resources(chart, kind)
    return {**_EMPTY, "total": len(found), "entry": [{"resource": one} for one in found]} if found else dict(_EMPTY)


def _diagnostics(answer: Answer) -> str:
    issues = answer.json.get("issue") if isinstance(answer.json, dict) else None
    first = issues[0] if isinstance(issues, list) and issues and isinstance(issues[0], dict) else {}
    told = str(first.get("diagnostics", ""))[:200]
    return f": {told}" if told else ""
