"""Someone who calls the service from outside, and what they send."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import requests
from fhir.resources.R4B.operationoutcome import OperationOutcome
from signed import token

ROOT = Path(__file__).resolve().parents[3]
REQUESTS = ROOT / "hooks" / "trial-match" / "requests"
NEWLY_DIAGNOSED = orjson.loads((REQUESTS / "cervical-newly-diagnosed.json").read_bytes())


@dataclass(frozen=True, slots=True)
class Served:
    """A running service: its address, the file to which its log goes, and whether calls are to be signed."""

    address: str
    log: Path
    signed: bool


class Caller:
    """Someone who calls the service at an address; where it wants signatures, every call gets a new token."""

    def __init__(self, address: str, *, signs: bool) -> None:
        self.address = address
        self.signs = signs

    def authorization(self, path: str, **changes: Any) -> str:
        return "Bearer " + token(self.address + path, datetime.now(UTC), **changes)

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """One call, signed where that is needed; `headers` without value take one away."""
        headers = {"Accept": "application/json"}
        if self.signs and method != "OPTIONS":
            headers["Authorization"] = self.authorization(path.split("?", maxsplit=1)[0])
        headers.update(more.pop("headers", {}))
        headers = {name: value for name, value in headers.items() if value is not None}
        return requests.request(method, self.address + path, headers=headers, timeout=60, allow_redirects=False, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.call("GET", path, **more)

    def post(self, body: Any, path: str = "/cds-services/trial-match", **headers: str | None) -> requests.Response:
        """A call of the service with a body: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("POST", path, data=data, headers={"Content-Type": "application/json", **named})

    def discovery(self) -> list[dict[str, Any]]:
        services: list[dict[str, Any]] = self.get("/cds-services").json()["services"]
        return services

    def cards(self, body: Any) -> list[dict[str, Any]]:
        answer = self.post(body)
        assert answer.status_code == 200, answer.text
        cards: list[dict[str, Any]] = answer.json()["cards"]
        return cards


def refused(answer: requests.Response, *statuses: int) -> str:
    """An answer with one of the statuses, and an OperationOutcome as its body; what that says."""
    assert answer.status_code in statuses, f"{answer.status_code}: {answer.text[:300]}"
    assert answer.headers["Content-Type"].startswith("application/json")
    OperationOutcome.model_validate(answer.json())
    return str(answer.json()["issue"][0]["diagnostics"])


def body(name: str = "cervical-newly-diagnosed", **changes: Any) -> dict[str, Any]:
    """A request of hooks/ with changes; a change to ... takes the field away. Every call is a new hookInstance."""
    whole = deepcopy(NEWLY_DIAGNOSED) if name == "cervical-newly-diagnosed" else _read(name)
    whole["hookInstance"] = str(uuid4())
    whole.update(changes)
    return {name: value for name, value in whole.items() if value is not ...}


def _read(name: str) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads((REQUESTS / f"{name}.json").read_bytes())
    return read


def prefetch(**changes: Any) -> dict[str, Any]:
    """The prefetch of the request, with changes."""
    whole = {**deepcopy(NEWLY_DIAGNOSED["prefetch"]), **changes}
    return {name: value for name, value in whole.items() if value is not ...}


def context(**changes: Any) -> dict[str, Any]:
    whole = {**NEWLY_DIAGNOSED["context"], **changes}
    return {name: value for name, value in whole.items() if value is not ...}
