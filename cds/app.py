"""create_app(settings): the wiring, all of it."""

from __future__ import annotations

import gc
import logging
import socket
import struct
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask, Response

from cds import logs
from cds.elm.values.quantity import load_units
from cds.errors import StoreUnavailableError
from cds.fhir.allowlist import Allowlist
from cds.fhir.server import Limits, Servers
from cds.hooks.feedback import FeedbackStore, Recorder
from cds.hooks.metrics import CONTENT_TYPE, Metrics
from cds.hooks.openapi import openapi
from cds.hooks.plan_service import plan_services
from cds.hooks.replay import ReplayStore
from cds.hooks.routes import Clock, blueprint, observe, require_trust
from cds.hooks.service import Answering, load_services
from cds.hooks.source import FHIRServerSource
from cds.hooks.trust import Trust
from cds.http import allow_browsers, answer_errors, json_response
from cds.publishing.questionnaire import questionnaire
from cds.publishing.repository import Repository
from cds.publishing.routes import blueprint as fhir_blueprint
from cds.reasoning.knowledge import Knowledge
from cds.reloading import Application, Reloading
from cds.settings import MEMORY, Settings, is_loopback
from cds.trials.catalog import Catalog

_log = logging.getLogger("cds.app")

#: Seconds that a client may be silent while it sends a request: a thread waits for it.
_SILENCE = 5
#: Seconds for requests under way, and then for the cards that wait to be recorded, when the service is told to stop.
_GRACE, _FLUSH = 20, 5
#: Seconds from one look at the content to the next, where it is watched.
_LOOK = 0.5


def _clock() -> datetime:
    return datetime.now(UTC)


def create_app(settings: Settings, *, clock: Clock = _clock, metrics_folder: Path | None = None) -> Flask:
    """The service that `settings` describe. All content is loaded here: what cannot serve raises ContentError now.

    A database that does not serve stops nothing: it is tried again when it is needed. In `metrics_folder` the counts
    of several processes meet (PROMETHEUS_MULTIPROC_DIR).
    """
    catalog = Catalog.load(settings.plandefinitions)
    metrics = Metrics(metrics_folder)
    source = FHIRServerSource(_servers(settings, metrics))
    services: dict[str, Answering] = {
        **load_services(settings.hooks, catalog, source=source, public_url=settings.public_url)
    }
    knowledge = [Knowledge.load(folder) for folder in settings.knowledge]
    for known in knowledge:
        for service in plan_services(known, taken=services.keys(), source=source):
            services[service.id] = service
    store = FeedbackStore(settings.database_url)
    recorder = Recorder(
        store,
        retention=timedelta(days=settings.retention_days),
        today=lambda: clock().astimezone(UTC).date(),
        counted=metrics.recorded,
    )

    app = Flask("cds", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.extensions |= {"store": store, "recorder": recorder}
    app.url_map.merge_slashes = False
    observe(app, metrics)
    app.register_blueprint(
        blueprint(services, clock=clock, timezone=settings.timezone, metrics=metrics, store=store, recorder=recorder)
    )
    app.register_blueprint(
        fhir_blueprint(
            Repository.load(settings.plandefinitions, settings.knowledge, filter(None, map(questionnaire, catalog))),
            catalog,
            knowledge,
            public_url=settings.public_url,
            clock=clock,
            timezone=settings.timezone,
        )
    )
    answer_errors(app)
    if settings.trusted_clients:
        replays = ReplayStore.open(settings.replay_database_url)
        trust = Trust(settings.trusted_clients, public_url=settings.public_url, replays=replays)
        require_trust(app, trust, clock=clock)
    app.after_request(allow_browsers)

    @app.get("/")
    def start() -> Response:
        return json_response(
            {
                "what": "CDS Hooks services that find a clinical trial for the patient whose chart is open",
                "discovery": "/cds-services",
                "description": "/openapi.json",
                "fhir": "/fhir/metadata",
                "services": [f"/cds-services/{service}" for service in services],
                "trials": [trial.title for trial in catalog.active],
                "try": [
                    f"curl -H 'Content-Type: application/json' -d @hooks/{service}/requests/<name>.json "
                    f"<address>/cds-services/{service}"
                    for service in services
                ],
            }
        )

    description = openapi(services, public_url=settings.public_url, signed=bool(settings.trusted_clients))

    @app.get("/openapi.json")
    def describe() -> Response:
        return json_response(description)

    @app.get("/health")
    def health() -> Response:
        return json_response({"status": "ok", "services": list(services), "trials": len(catalog.active)})

    @app.get("/ready")
    def ready() -> Response:
        state = {"status": "ready", "services": list(services), "trials": len(catalog.active), "database": "ok"}
        problems = {} if catalog.active else {"trials": "no active trial is loaded"}
        try:
            store.check()
        except StoreUnavailableError as error:
            problems["database"] = error.message
        if not problems:
            return json_response(state)
        return json_response(state | problems | {"status": f"not ready: {', '.join(problems)}"}, 503)

    @app.get("/metrics", endpoint="metrics")
    def metrics_text() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    return app


def _servers(settings: Settings, metrics: Metrics) -> Servers:
    """The FHIR servers that may be read: those that are listed; where none is, those on this machine, if the service
    itself is reached from here alone."""
    loopback = not settings.fhir_servers and is_loopback(settings.host)
    return Servers(
        Allowlist.of(settings.fhir_servers, loopback=loopback),
        Limits(seconds=settings.fhir_deadline, bytes=settings.fhir_max_bytes),
        proxy=settings.fhir_proxy,
        authorities=settings.fhir_ca,
        observe=metrics.read,
    )


def run(
    app: Flask,
    settings: Settings,
    at_end: Callable[[], None] = lambda: None,
    *,
    metrics_folder: Path | None = None,
) -> None:
    """Serves `app` with gunicorn until told to stop, then calls `at_end` once.

    What takes long to load is loaded before the workers part. With `settings.reload` there is one worker, which makes
    the application anew when the content changes.
    """
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

    serving = Reloading(
        app,
        (settings.plandefinitions, *settings.knowledge, settings.hooks),
        make=lambda: create_app(settings, metrics_folder=metrics_folder),
        retire=lambda replaced: replaced.extensions["recorder"].close(_FLUSH),
    )

    def begin(worker: Any) -> None:
        _limit_silence(worker)
        if settings.reload:
            threading.Thread(target=serving.watch, args=(_LOOK, threading.Event()), daemon=True).start()

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options: dict[str, Any] = {
                "bind": settings.address,
                "workers": 1 if settings.reload else settings.workers,
                "threads": 16,
                "worker_class": "gthread",
                "worker_tmp_dir": MEMORY,  # a heartbeat that waits for no disk
                "preload_app": True,
                "timeout": 60,
                "graceful_timeout": _GRACE,
                "keepalive": 15,
                "max_requests": 100_000,
                "max_requests_jitter": 10_000,
                "logconfig_dict": logs.configuration(settings.log_level, settings.log_format),
                "post_worker_init": begin,
                "on_exit": lambda _server: at_end(),
                "worker_exit": lambda _server, _worker: serving.current.extensions["recorder"].close(_FLUSH),
            }
            if "control_socket_disable" in self.cfg.settings:  # a socket in the home folder, from gunicorn 25 on
                options["control_socket_disable"] = True
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Application:
            return serving if settings.reload else app

    logs.configure(settings.log_level, settings.log_format)
    load_units()
    _open(app.extensions["store"])
    if not settings.reload:
        # What is loaded stays: no worker looks through it for garbage, which takes seconds with many trials.
        gc.freeze()
    Server().run()


def _open(store: FeedbackStore) -> None:
    """Makes the tables before the workers part, and leaves no connection that they would share."""
    try:
        store.open()
    except StoreUnavailableError as error:
        _log.error("the service starts without its database, and tries it again: %s", error.message)
    finally:
        store.close()


def _limit_silence(worker: Any) -> None:
    """Ends the waiting for clients that stop in the middle of a request: accepted sockets inherit the limit (Linux)."""
    for listener in worker.sockets:
        limit = struct.pack("ll", _SILENCE, 0)  # struct timeval
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
