"""One HTTP request to what is examined, and its answer; what does not come is a finding."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import requests

from cds.hooks.doctor.report import Report
from cds.hooks.signing import Signer

#: Bytes of an answer that are read.
_LARGEST = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `json` is None where the body is no strict JSON; `problem` then says why."""

    status: int
    headers: Mapping[str, str]
    json: Any = field(repr=False)
    problem: str | None
    seconds: float

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters."""
        return self.headers.get("Content-Type", "").split(";", maxsplit=1)[0].strip().lower()


class Probe:
    """Sends requests to one base URL. Redirects are never followed, so that no credential wanders."""

    def __init__(self, report: Report, base: str, *, seconds: float) -> None:
        self._report = report
        self._base = base
        self._seconds = seconds

    def get(
        self, path: str, *, signer: Signer | None = None, token: str | None = None, headers: Mapping[str, str] = {}
    ) -> Answer | None:
        """The answer to a GET of a path, or of a URL at the same origin; None where there is none."""
        return self._send("GET", path, None, signer, token, headers)

    def post(
        self, path: str, data: bytes, *, signer: Signer | None = None, headers: Mapping[str, str] = {}
    ) -> Answer | None:
        """The answer to a POST of JSON; None where there is none."""
        return self._send("POST", path, data, signer, None, {"Content-Type": "application/json", **headers})

    def options(self, path: str, headers: Mapping[str, str]) -> Answer | None:
        """The answer to a preflight; None where there is none."""
        return self._send("OPTIONS", path, None, None, None, headers)

    def same_origin(self, url: str) -> bool:
        """Whether a URL lies where the base URL lies: scheme, host and port."""
        return urlsplit(url)[:2] == urlsplit(self._base)[:2]

    def _send(
        self,
        method: str,
        path: str,
        data: bytes | None,
        signer: Signer | None,
        token: str | None,
        headers: Mapping[str, str],
    ) -> Answer | None:
        url = path if path.startswith(("http://", "https://")) else self._base + path
        sent = {"Accept": "application/json", **headers}
        if signer:
            sent["Authorization"] = signer.authorization(url, now=datetime.now(UTC))
        elif token:
            sent["Authorization"] = f"Bearer {token}"
        started = perf_counter()
        try:
            with requests.request(
                method, url, data=data, headers=sent, timeout=self._seconds, allow_redirects=False, stream=True
            ) as answer:
                content = _within(answer)
        except (requests.RequestException, OSError) as error:
            self._unreachable(url, error)
            return None
        read, problem = _strict_json(content)
        return Answer(answer.status_code, answer.headers, read, problem, perf_counter() - started)

    def _unreachable(self, url: str, error: Exception) -> None:
        if isinstance(error, requests.exceptions.SSLError):
            self._report.error(
                69,
                url,
                "TLS does not come about: the certificate is not trusted, expired, or for another host",
                "install a certificate for this host with its whole chain",
            )
        elif isinstance(error, requests.Timeout):
            self._report.error(29, url, f"no answer within {self._seconds:g} seconds", "see why it is so slow")
        else:
            self._report.error(
                5, url, f"cannot be reached ({type(error).__name__})", "check address, port, proxy and firewall"
            )


def _within(answer: requests.Response) -> bytes:
    content = bytearray()
    for chunk in answer.iter_content(1 << 16):
        content += chunk
        if len(content) > _LARGEST:
            break
    return bytes(content)


def _strict_json(content: bytes) -> tuple[Any, str | None]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    if not content.strip():
        return None, "the body is empty"
    try:
        return json.loads(content.decode("utf-8"), parse_constant=refuse), None
    except (ValueError, RecursionError) as error:
        return None, f"the body is no JSON ({type(error).__name__})"
