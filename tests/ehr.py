"""A FHIR R4 server on loopback that holds one patient, and can be told to misbehave."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

Json = dict[str, Any]
Fault = Callable[["Call"], None]


class Ehr:
    """Reads and searches by patient, in pages; `asked` holds each request's path with its Authorization."""

    def __init__(
        self,
        resources: Iterable[Json],
        *,
        page: int = 100,
        token: str | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
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
        #: What is done in place of answering, by the resource type that is asked for; "" is any.
        self.faults: dict[str, Fault] = {}
        #: Another server, for what leads there.
        self.elsewhere = ""
        self.closing = threading.Event()
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers.get("Authorization")))
                call = Call(self, outer)
                fault = outer.faults.get(call.kind) or outer.faults.get("") or Call.well
                try:
                    fault(call)
                except OSError:  # whoever called is gone
                    self.close_connection = True

            def log_message(self, *_: Any) -> None: ...

        self._server = _Server(("127.0.0.1", port), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}/fhir"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

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
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Those who call may go whenever they like."""


class Call:
    """One request that the server answers, well or not; `number` counts those for one resource type from 1."""

    def __init__(self, handler: BaseHTTPRequestHandler, server: Ehr) -> None:
        self.server = server
        self.path = handler.path
        self.headers = handler.headers
        self._handler = handler
        self.kind = _kind(self.path)
        self.number = sum(_kind(path) == self.kind for path, _ in server.asked)

    def usual(self) -> Any:
        """What the answer should be."""
        return self.server.answer(self.path, self.headers.get("Authorization"))[1]

    def well(self) -> None:
        """Answers as it should be."""
        status, content = self.server.answer(self.path, self.headers.get("Authorization"))
        self.send(content, status)

    def send(self, content: Any, status: int = 200, **headers: str) -> None:
        """Sends JSON, or bytes as they are, with their length; headers come in place of the usual ones."""
        data = content if isinstance(content, bytes) else orjson.dumps(content)
        told = {"Content-Type": "application/fhir+json", "Content-Length": str(len(data))}
        told |= {"Access-Control-Allow-Origin": "*"} if self.server.cors else {}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        self._handler.send_response(status)
        for name, value in told.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()
        self.raw(data)

    def raw(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def redirect(self, url: str, status: int = 307) -> None:
        self.send(b"", status, Location=url)

    def wait(self, seconds: float = 60) -> None:
        """Is silent for some time, or until the server is closed."""
        self.server.closing.wait(seconds)

    def end(self) -> None:
        """Closes the connection."""
        self._handler.close_connection = True

    def reset(self) -> None:
        """Breaks the connection off."""
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.end()


def _kind(path: str) -> str:
    return urlsplit(path).path.removeprefix("/fhir/").split("/")[0]


def _parameters() -> list[Json]:
    return [{"name": name, "type": "reference"} for name in ("patient", "subject", "individual", "member", "actor")]


def _outcome(code: str) -> Json:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}
