"""A CDS client for tests: its keys, the server that publishes them, and the tokens it signs, right or wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import jwt
import orjson

from cds.hooks.signing import PrivateKey, make_key, public_jwk

ISSUER = "https://ehr.example"
PUBLIC_URL = "https://cds.example/base"
#: Keys take long to make: each is made once for the whole run.
KEYS: dict[str, PrivateKey] = {name: make_key(name) for name in ("ES256", "ES384", "ES512", "RS384")}
OTHER = make_key("ES384")

_jti = count()


def jwks(*keys: dict[str, Any]) -> bytes:
    return orjson.dumps({"keys": list(keys or (public_jwk(key, kid=name) for name, key in KEYS.items()))})


def published() -> list[dict[str, Any]]:
    """Every key, by the name of its algorithm; RSA serves all algorithms that it can."""
    keys = [public_jwk(key, kid=name) for name, key in KEYS.items()]
    for key in keys:
        if key["kty"] == "RSA":
            del key["alg"]
    return keys


def claims(url: str, now: datetime, **changes: Any) -> dict[str, Any]:
    """The claims of a good token for `url`, with changes; a change to ... takes the claim away."""
    issued = int(now.timestamp())
    whole = {"iss": ISSUER, "aud": url, "iat": issued, "exp": issued + 300, "jti": f"jti-{next(_jti)}", **changes}
    return {name: value for name, value in whole.items() if value is not ...}


def token(
    url: str,
    now: datetime,
    *,
    algorithm: str = "ES384",
    key: Any = None,
    header: Mapping[str, Any] | None = None,
    **changes: Any,
) -> str:
    """A signed token; `header` and further arguments change what it says."""
    name = "RS384" if algorithm[0] in "RP" else algorithm
    headers = {"kid": name, "typ": "JWT", **(header or {})}
    return jwt.encode(claims(url, now, **changes), key or KEYS[name], algorithm, headers=headers)


class KeyServer:
    """An HTTP server on loopback that publishes a JWKS, and counts how often it was asked."""

    def __init__(self) -> None:
        self.content = jwks(*published())
        self.asked = 0
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self._publish
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                outer.answer(self)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _publish(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        handler.wfile.write(self.content)

    def restore(self) -> None:
        """Publishes all keys again."""
        self.content, self.answer = jwks(*published()), self._publish

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
