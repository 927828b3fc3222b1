"""/cds-services: the only place that knows HTTP statuses (CDS Hooks 2.0.1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from hashlib import sha256
from time import perf_counter
from typing import Any

import orjson
from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException, NotFound, RequestEntityTooLarge, UnsupportedMediaType

from cds.errors import (
    CdsError,
    DataUnavailableError,
    RecordError,
    RequestError,
    TrustUnavailableError,
    UntrustedCallError,
)
from cds.hooks.service import Service
from cds.hooks.trust import Trust

_log = logging.getLogger("cds.hooks")

Json = dict[str, Any]
Clock = Callable[[], datetime]

#: FHIR issue codes for HTTP statuses (http://hl7.org/fhir/issue-type).
_ISSUES = {404: "not-found", 405: "not-supported", 413: "too-long", 415: "not-supported"}
#: What tells nothing of patients and is asked by what cannot sign: load balancers, monitoring, people at a browser.
_OPEN = frozenset(("/", "/health", "/ready", "/metrics", "/openapi.json"))
_BOM = b"\xef\xbb\xbf"


def blueprint(services: Mapping[str, Service], *, clock: Clock, timezone: tzinfo) -> Blueprint:
    """The routes of `services`. `clock` is asked once a request, and nowhere below; its time is told in `timezone`."""
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
        service = services.get(service_id)
        if service is None:
            raise NotFound(f"there is no such service (there are: {', '.join(services)})")
        started = perf_counter()
        answer = service.respond(_body(), now=clock().astimezone(timezone))
        _log.info("%s: %d cards, %.0f ms", service.id, len(answer["cards"]), 1000 * (perf_counter() - started))
        response = json_response(answer)
        response.headers["Cache-Control"] = "no-store"
        return response

    return routes


def require_trust(app: Flask, trust: Trust, *, clock: Clock) -> None:
    """Lets `app` answer signed calls alone: whatever is not open, what is not there included."""

    @app.before_request
    def admit() -> None:
        if request.method != "OPTIONS" and request.path not in _OPEN:  # browsers ask leave (CORS) without credentials
            trust.admit(request.headers.get("Authorization"), request.path, now=clock())


def json_response(content: Json, status: int = 200) -> Response:
    """`content` as a JSON answer."""
    return Response(orjson.dumps(content), status=status, mimetype="application/json")


def answer_errors(app: Flask) -> None:
    """Lets every error of `app` be answered with an OperationOutcome."""

    @app.errorhandler(CdsError)
    def refused(error: CdsError) -> Response:
        status = 412 if isinstance(error, DataUnavailableError) else 400
        if not isinstance(error, DataUnavailableError | RecordError | RequestError):
            return failed(error)
        _log.info("%s: %d, %s", request.path[:100], status, error.where)
        return _outcome(status, error.issue, str(error))

    @app.errorhandler(UntrustedCallError)
    def untrusted(error: UntrustedCallError) -> Response:
        _drain()
        _log.info("%s: 401, %s", request.path[:100], error.where)
        response = _outcome(401, error.issue, str(error))
        challenge = 'Bearer realm="cds-services"'  # RFC 6750, 3
        if "Authorization" in request.headers:
            challenge += f', error="invalid_token", error_description="{error.where} {error.message}"'
        response.headers["WWW-Authenticate"] = challenge
        return response

    @app.errorhandler(TrustUnavailableError)
    def undecided(error: TrustUnavailableError) -> Response:
        _drain()
        _log.error("%s: 503, %s", request.path[:100], error)
        response = _outcome(503, error.issue, str(error))
        response.headers["Retry-After"] = "30"
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
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        place = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last else "?"
        _log.error("%s: %s at %s", request.path[:100], type(error).__name__, place)
        return _outcome(500, "exception", "the service failed; its log says where")


def allow_browsers(response: Response) -> Response:
    """`response` with the headers by which browsers let pages of other origins read it (Fetch standard, CORS)."""
    headers = response.headers
    headers["Access-Control-Allow-Origin"] = "*"
    headers["Access-Control-Expose-Headers"] = "ETag, Retry-After, WWW-Authenticate"
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, OPTIONS"
        headers["Access-Control-Allow-Headers"] = "Accept, Authorization, Content-Type, If-None-Match"
        headers["Access-Control-Max-Age"] = "600"
    headers["X-Content-Type-Options"] = "nosniff"
    return response


def _body() -> Any:
    """The JSON in the request's body; RequestError where it is none."""
    if "json" not in request.mimetype:
        raise UnsupportedMediaType("send JSON, with Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("send the body without Content-Encoding")
    data = request.get_data(cache=False).removeprefix(_BOM)
    if not data.strip():
        raise RequestError("is empty", where="body", remedy="send a CDS Hooks request")
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
