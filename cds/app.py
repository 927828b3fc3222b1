"""create_app(settings): the wiring, all of it."""

from __future__ import annotations

import gc
import logging
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response

from cds.elm.values.quantity import load_units
from cds.hooks.openapi import openapi
from cds.hooks.replay import ReplayStore
from cds.hooks.routes import Clock, allow_browsers, answer_errors, blueprint, json_response, require_trust
from cds.hooks.service import load_services
from cds.hooks.trust import Trust
from cds.settings import Settings
from cds.trials.catalog import Catalog


def _clock() -> datetime:
    return datetime.now(UTC)


def create_app(settings: Settings, *, clock: Clock = _clock) -> Flask:
    """The service that `settings` describe. All content is loaded here: what cannot serve raises ContentError now."""
    catalog = Catalog.load(settings.plandefinitions)
    services = load_services(settings.hooks, catalog)

    app = Flask("cds", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.url_map.merge_slashes = False
    app.register_blueprint(blueprint(services, clock=clock, timezone=settings.timezone))
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

    return app


def run(app: Flask, settings: Settings) -> None:
    """Serves `app` with gunicorn until told to stop. What takes long to load is loaded before the workers part."""
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

    class Server(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options: dict[str, Any] = {
                "bind": settings.address,
                "workers": settings.workers,
                "threads": 4,
                "worker_class": "gthread",
                "preload_app": True,
                "timeout": 60,
            }
            if "control_socket_disable" in self.cfg.settings:  # a socket in the home folder, from gunicorn 25 on
                options["control_socket_disable"] = True
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Flask:
            return app

    load_units()
    gc.freeze()  # what is loaded stays: no worker looks through it for garbage, which takes seconds with many trials
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    Server().run()
