"""/cds-services: the only place that knows HTTP statuses (CDS Hooks 2.0.1)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from hashlib import sha256
from typing import Any
from uuid import uuid4

import orjson
from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import HTTPException, NotFound, RequestEntityTooLarge, UnsupportedMediaType

from cds.errors import (
    CdsError,
    DataUnavailableError,
    RecordError,
    RequestError,
    StoreUnavailableError,
    TrustUnavailableError,
    UntrustedCallError,
    place_of,
)
from cds.hooks.cards import about
from cds.hooks.feedback import FeedbackStore, Recorder, issued_cards, parse
from cds.hooks.laps import Laps
from cds.hooks.metrics import Metrics
from cds.hooks.service import Answering
from cds.hooks.trust import Trust

_log = logging.getLogger("cds.hooks")
_requests = logging.getLogger("cds.request")

Json = dict[str, Any]
Clock = Callable[[], datetime]

#: FHIR issue codes for HTTP statuses (http://hl7.org/fhir/issue-type).
_ISSUES = {404: "not-found", 405: "not-supported", 413: "too-long", 415: "not-supported"}
#: What tells nothing of patients and is asked by what cannot sign: load balancers, monitoring, people at a browser.
_OPEN = frozenset(("/", "/health", "/ready", "/metrics", "/openapi.json"))
_BOM = b"\xef\xbb\xbf"
#: Bytes; a thousand reactions with a comment each fit.
_MAX_FEEDBACK = 1 << 20
#: Seconds until feedback that could not be stored may be sent again.
_RETRY_AFTER = 30
#: A request id from outside that can be told from a patient's number: long, and without signs that need escaping.
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.=:\-]{16,128}", re.ASCII)
#: What is asked again and again by machines, and logged only where it fails.
_PROBES = ("health", "ready", "metrics")


def blueprint(
    services: Mapping[str, Answering],
    *,
    clock: Clock,
    timezone: tzinfo,
    metrics: Metrics,
    store: FeedbackStore,
    recorder: Recorder,
) -> Blueprint:
    """The routes of `services`. `clock` is asked once a request, and nowhere below; its time is told in `timezone`.

    Cards issued go to `recorder`, feedback into `store`.
    """
    routes = Blueprint("cds-services", __name__)
    discovery = orjson.dumps({"services": [service.definition for service in services.values()]})
    etag = sha256(discovery).hexdigest()[:32]

    @routes.get("/cds-services", strict_slashes=False)
    def discover() -> Response:
        response = Response(discovery, mimetype="application/json")
        response.set_etag(etag)
        response.headers["Cache-Control"] = "no-cache"
        response.make_conditional(request)
        return response

    @routes.post("/cds-services/<service_id>", strict_slashes=False)
    def call(service_id: str) -> Response:
        service = named(service_id)
        now = clock().astimezone(timezone)
        g.laps.lap("admit")
        body = _body()
        g.laps.lap("read")
        answer = service.respond(body, now=now, laps=g.laps)
        tell(service, answer["cards"], now)
        response = json_response(answer)
        response.headers["Cache-Control"] = "no-store"
        g.laps.lap("write")
        return response

    @routes.post("/cds-services/<service_id>/feedback", strict_slashes=False)
    def feedback(service_id: str) -> Response:
        service = named(service_id)
        request.max_content_length = _MAX_FEEDBACK
        given = parse(_body("send CDS Hooks feedback"), service.override_reasons)
        g.laps.lap("read")
        store.add_feedback(service.id, given, clock())
        g.laps.lap("store")
        metrics.reported(service.id, given)
        g.told["reactions"] = len(given)
        return json_response({"received": len(given)})

    def named(service_id: str) -> Answering:
        service = services.get(service_id)
        if service is None:
            raise NotFound(f"there is no such service (there are: {', '.join(services)})")
        g.told["service"] = service.id
        return service

    def tell(service: Answering, cards: list[Json], now: datetime) -> None:
        """Counts and records cards; nothing that goes wrong there takes them away."""
        g.told |= {"cards": len(cards), "trials": [about(card)[0] for card in cards]}
        try:
            metrics.issued(cards)
            recorder.add(issued_cards(service.id, service.hook, cards, now))
        except Exception as error:
            _log.error("cards are not recorded: %s at %s", type(error).__name__, place_of(error))

    return routes


def require_trust(app: Flask, trust: Trust, *, clock: Clock) -> None:
    """Lets `app` answer signed calls alone: whatever is not open, what is not there included."""

    @app.before_request
    def admit() -> None:
        if request.method != "OPTIONS" and request.path not in _OPEN:  # browsers ask leave (CORS) without credentials
            trust.admit(request.headers.get("Authorization"), request.path, now=clock())


def observe(app: Flask, metrics: Metrics) -> None:
    """Lets each request of `app` have an id, be counted, and be one line of the log.

    The line tells of the route and the service, the status, times and trials; nothing in it was sent by the client,
    but a request id that cannot be a patient's.
    """

    @app.before_request
    def begin() -> None:
        g.laps, g.told, g.problem = Laps(), {}, None
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        endpoint = (request.endpoint or "other").rpartition(".")[2]
        service = g.told.get("service", "")
        metrics.answered(endpoint, service, response.status_code, g.laps.seconds)
        level = logging.ERROR if response.status_code >= 500 else logging.INFO
        if endpoint in _PROBES and level == logging.INFO:
            level = logging.DEBUG
        route = request.url_rule.rule if request.url_rule else "(no such address)"
        message = f"{request.method} {route} {response.status_code}"
        told = {
            "request": g.request_id,
            "status": response.status_code,
            **g.told,
            "ms": round(1000 * g.laps.seconds, 1),
            "stages": g.laps.milliseconds or None,
        }
        _requests.log(level, "%s%s", message, f": {g.problem}" if g.problem else "", extra={"told": told})
        return response


def json_response(content: Any, status: int = 200) -> Response:
    """`content` as a JSON answer."""
    return Response(orjson.dumps(content), status=status, mimetype="application/json")


def answer_errors(app: Flask) -> None:
    """Lets every error of `app` be answered with an OperationOutcome."""

    @app.errorhandler(CdsError)
    def refused(error: CdsError) -> Response:
        status = 412 if isinstance(error, DataUnavailableError) else 400
        if not isinstance(error, DataUnavailableError | RecordError | RequestError):
            return failed(error)
        g.problem = error.where
        return _outcome(status, error.issue, str(error))

    @app.errorhandler(UntrustedCallError)
    def untrusted(error: UntrustedCallError) -> Response:
        _drain()
        g.problem = error.where
        response = _outcome(401, error.issue, str(error))
        challenge = 'Bearer realm="cds-services"'  # RFC 6750, 3
        if "Authorization" in request.headers:
            challenge += f', error="invalid_token", error_description="{error.where} {error.message}"'
        response.headers["WWW-Authenticate"] = challenge
        return response

    @app.errorhandler(TrustUnavailableError)
    def undecided(error: TrustUnavailableError) -> Response:
        _drain()
        g.problem = str(error)
        response = _outcome(503, error.issue, str(error))
        response.headers["Retry-After"] = str(_RETRY_AFTER)
        return response

    @app.errorhandler(StoreUnavailableError)
    def not_stored(error: StoreUnavailableError) -> Response:
        g.problem = error.message
        response = _outcome(503, error.issue, "nothing of this was stored: the database does not serve; send it again")
        response.headers["Retry-After"] = str(_RETRY_AFTER)
        return response

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        told = error.description or error.name
        if isinstance(error, RequestEntityTooLarge):
            _drain()
            told = f"the body is larger than the {request.max_content_length} bytes that are accepted"
        if error.response is not None or status < 400:
            return error.get_response(request.environ)  # type: ignore[return-value]
        response = _outcome(status, _ISSUES.get(status, "processing"), told)
        if allowed := dict(error.get_headers(request.environ)).get("Allow"):
            response.headers["Allow"] = allowed
        return response

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        # The message and the values of the stack may hold patient data; where it happened does not.
        g.problem = f"{type(error).__name__} at {place_of(error)}"
        return _outcome(500, "exception", "the service failed; its log says where")


def allow_browsers(response: Response) -> Response:
    """`response` with the headers by which browsers let pages of other origins read it (Fetch standard, CORS)."""
    headers = response.headers
    headers["Access-Control-Allow-Origin"] = "*"
    headers["Access-Control-Expose-Headers"] = "ETag, Retry-After, WWW-Authenticate, X-Request-ID"
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, OPTIONS"
        headers["Access-Control-Allow-Headers"] = "Accept, Authorization, Content-Type, If-None-Match, X-Request-ID"
        headers["Access-Control-Max-Age"] = "600"
    headers["X-Content-Type-Options"] = "nosniff"
    return response


def _body(remedy: str = "send a CDS Hooks request") -> Any:
    """The JSON in the request's body; RequestError where it is none."""
    if "json" not in request.mimetype:
        raise UnsupportedMediaType("send JSON, with Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("send the body without Content-Encoding")
    data = request.get_data(cache=False).removeprefix(_BOM)
    if not data.strip():
        raise RequestError("is empty", where="body", remedy=remedy)
    try:
        return orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError) as error:
        # A decoder's message names the place, and repeats nothing of the data.
        raise RequestError(f"is not JSON: {error}", where="body", remedy="send one JSON object in UTF-8") from None


def _drain() -> None:
    """Reads and drops what a client still sends, within reason: it reads our answer only when it has sent all."""
    stream = request.environ["wsgi.input"]
    left = min(request.content_length or 0, 4 * (request.max_content_length or 0))
    try:
        while left > 0 and (chunk := stream.read(min(left, 1 << 16))):
            left -= len(chunk)
    except OSError:
        return


def _outcome(status: int, issue: str, diagnostics: str) -> Response:
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": issue, "diagnostics": diagnostics}],
    }
    return json_response(outcome, status)
