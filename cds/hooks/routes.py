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
from werkzeug.exceptions import NotFound

from cds.errors import place_of
from cds.hooks.cards import about
from cds.hooks.feedback import FeedbackStore, Recorder, issued_cards, parse
from cds.hooks.laps import Laps
from cds.hooks.metrics import Metrics
from cds.hooks.service import Answering
from cds.hooks.trust import Trust
from cds.http import json_body, json_response

_log = logging.getLogger("cds.hooks")
_requests = logging.getLogger("cds.request")

Json = dict[str, Any]
Clock = Callable[[], datetime]

#: What tells nothing of patients and is asked by what cannot sign: load balancers, monitoring, people at a browser.
_OPEN = frozenset(("/", "/health", "/ready", "/metrics", "/openapi.json"))
#: Bytes; a thousand reactions with a comment each fit.
_MAX_FEEDBACK = 1 << 20
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
        body = json_body("send a CDS Hooks request")
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
        given = parse(json_body("send CDS Hooks feedback"), service.override_reasons)
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
        if not _is_open():
            trust.admit(request.headers.get("Authorization"), request.path, now=clock())


def _is_open() -> bool:
    """Whether a request tells nothing of patients: what is published can be read by all."""
    if request.method == "OPTIONS" or request.path in _OPEN:  # browsers ask leave (CORS) without credentials
        return True
    return request.method in ("GET", "HEAD") and request.path.startswith("/fhir/")


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
