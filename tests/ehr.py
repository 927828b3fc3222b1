"""A FHIR R4 server on loopback that holds one patient, and can be told to misbehave."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

Json = dict[str, Any]


class Ehr:
    """Reads and searches by patient, in pages; `asked` holds each request's path with its Authorization."""

    def __init__(self, resources: Iterable[Json], *, page: int = 100, token: str | None = None) -> None:
        self.resources: dict[str, list[Json]] = defaultdict(list)
        for resource in resources:
            self.resources[resource["resourceType"]].append(resource)
        self.page = page
        self.token = token
        self.asked: list[tuple[str, str | None]] = []
        self.metadata: Json = self.capabilities()
        self.cors = True
        #: Statuses that paths are answered with instead of data, by the resource type that is asked for.
        self.failing: dict[str, int] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("Authorization")))
                status, content = outer.answer(self.path, self.headers.get("Authorization"))
                data = orjson.dumps(content)
                self.send_response(status)
                self.send_header("Content-Type", "application/fhir+json")
                self.send_header("Content-Length", str(len(data)))
                if outer.cors:
                    self.send_header("Access-Control-Allow-Origin", "*")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/fhir"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @classmethod
    def of_prefetch(cls, prefetch: Json, **more: Any) -> Ehr:
        """The server that a request's prefetch could have come from."""
        resources: list[Json] = []
        for value in prefetch.values():
            if value["resourceType"] == "Bundle":
                resources += (entry["resource"] for entry in value.get("entry", ()))
            else:
                resources.append(value)
        return cls(resources, **more)

    def capabilities(self) -> Json:
        kinds = [
            {"type": kind, "interaction": [{"code": "read"}, {"code": "search-type"}], "searchParam": _parameters()}
            for kind in ("Patient", "Condition", "Observation", *self.resources)
        ]
        rest = {"mode": "server", "resource": kinds}
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "format": ["json"], "rest": [rest]}

    def answer(self, path: str, authorization: str | None) -> tuple[int, Any]:
        parts = urlsplit(path)
        names = parts.path.removeprefix("/fhir/").split("/")
        if names == ["metadata"]:
            return 200, self.metadata
        if self.token and authorization != f"Bearer {self.token}":
            return 401, _outcome("login")
        if names[0] in self.failing:
            return self.failing[names[0]], _outcome("exception")
        found = self.resources.get(names[0], [])
        if len(names) == 2:
            one = next((resource for resource in found if resource["id"] == names[1]), None)
            return (200, one) if one else (404, _outcome("not-found"))
        return 200, self._search(path, found)

    def _search(self, path: str, found: list[Json]) -> Json:
        start = int(parse_qs(urlsplit(path).query).get("_offset", ["0"])[0])
        bundle: Json = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "entry": [{"resource": one} for one in found[start : start + self.page]],
        }
        if start + self.page < len(found):
            url = self.url.removesuffix("/fhir") + path.split("&_offset", maxsplit=1)[0]
            bundle["link"] = [{"relation": "next", "url": f"{url}&_offset={start + self.page}"}]
        return {name: value for name, value in bundle.items() if value != []}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _parameters() -> list[Json]:
    return [{"name": name, "type": "reference"} for name in ("patient", "subject", "individual", "member", "actor")]


def _outcome(code: str) -> Json:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}
