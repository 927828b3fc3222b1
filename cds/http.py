"""What every address of the service has in common: JSON in and out, and each error as a FHIR OperationOutcome."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnsupportedMediaType

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

JSON, FHIR_JSON = "application/json", "application/fhir+json"

#: FHIR issue codes for HTTP statuses (http://hl7.org/fhir/issue-type).
_ISSUES = {404: "not-found", 405: "not-supported", 406: "not-supported", 413: "too-long", 415: "not-supported"}
_BOM = b"\xef\xbb\xbf"
#: Seconds until what could not be stored may be sent again.
_RETRY_AFTER = 30


def json_response(content: Any, status: int = 200, mimetype: str = JSON) -> Response:
    """`content` as a JSON answer."""
    return Response(orjson.dumps(content), status=status, mimetype=mimetype)


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


def json_body(remedy: str) -> Any:
    """The JSON in the request's body; RequestError, with `remedy`, where it is none."""
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
    return json_response(outcome, status, FHIR_JSON if request.path.startswith("/fhir") else JSON)
