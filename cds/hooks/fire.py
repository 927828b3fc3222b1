"""Calls a service as an EHR does: with request files, or with a request made from a FHIR server; shows the cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import orjson
import requests
from rich.console import Console
from rich.markdown import Markdown
from rich.panel import Panel
from rich.text import Text

from cds.errors import ContentError, DataUnavailableError
from cds.hooks.signing import Signer

Json = dict[str, Any]

_SECONDS = 30
#: How many pages of one search a prefetch holds at most, and how long an access token is said to last (seconds).
_MOST_PAGES = 50
_TOKEN_LIFETIME = 300


def request_files(path: Path) -> list[Path]:
    """The request files that `path` names: itself, or those of the folder."""
    return sorted(path.glob("*.json")) if path.is_dir() else [path]


def service_of(path: Path) -> str:
    """The service that a file under ``hooks/<service>/requests/`` is for."""
    return path.resolve().parent.parent.name


def send(path: Path, address: str, service: str, *, signer: Signer | None = None) -> tuple[int, Any]:
    """The status and the JSON that the service at `address` answers a request file with.

    Raises ContentError where the file cannot be read, DataUnavailableError where no service answers.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ContentError(str(error), where=str(path)) from error
    return call(f"{address.rstrip('/')}/cds-services/{service}", data, signer=signer)


def call(url: str, data: bytes | None = None, *, signer: Signer | None = None) -> tuple[int, Any]:
    """The status and the JSON that a service answers with: a POST of `data`, or a GET without.

    Raises DataUnavailableError where nothing answers.
    """
    headers = {"Content-Type": "application/json"} if data is not None else {}
    if signer:
        headers["Authorization"] = signer.authorization(url, now=datetime.now(UTC))
    try:
        answer = requests.request("GET" if data is None else "POST", url, data=data, headers=headers, timeout=_SECONDS)
    except requests.RequestException as error:
        raise DataUnavailableError(
            f"no answer ({type(error).__name__})", where=url, remedy="start the service: cds serve"
        ) from error
    try:
        return answer.status_code, orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return answer.status_code, {}


def discover(address: str, service: str | None, *, signer: Signer | None = None) -> Json:
    """The service of that id, or the first for `patient-view`, as discovery describes it.

    Raises DataUnavailableError where there is none.
    """
    url = f"{address.rstrip('/')}/cds-services"
    status, body = call(url, signer=signer)
    listed = body.get("services") if isinstance(body, dict) else None
    services = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    for one in services:
        if one.get("id") == service or (service is None and one.get("hook") == "patient-view"):
            return one
    known = ", ".join(str(one.get("id")) for one in services)
    raise DataUnavailableError(
        f"status {status}; there is no service {service or 'for patient-view'}" + (f", but: {known}" if known else ""),
        where=url,
        remedy="name one with --service; sign the call where the service wants that",
    )


@dataclass(frozen=True, slots=True)
class FhirServer:
    """A FHIR server that a request is made from. The token goes to that server alone."""

    url: str
    token: str | None = field(default=None, repr=False)

    def get(self, query: str) -> Json:
        """The answer to a read or search, with the pages of a search put into one Bundle.

        Raises DataUnavailableError for what is no answer.
        """
        base = self.url.rstrip("/") + "/"
        first = self._get(urljoin(base, query))
        if first.get("resourceType") != "Bundle":
            return first
        entries: list[Any] = []
        page = first
        for _ in range(_MOST_PAGES):
            entries += page.get("entry") or []
            following = _next(page)
            if not following:
                break
            page = self._get(urljoin(base, following))
        whole = {name: value for name, value in first.items() if name not in ("entry", "link")}
        if following := _next(page):  # what is left unread stays said
            whole["link"] = [{"relation": "next", "url": following}]
        return {**whole, "entry": entries} if entries else whole

    def _get(self, url: str) -> Json:
        if urlsplit(url)[:2] != urlsplit(self.url)[:2]:
            raise DataUnavailableError("a page lies at another server", where=url, remedy="ask that server itself")
        headers = {"Accept": "application/fhir+json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            answer = requests.get(url, headers=headers, timeout=_SECONDS, allow_redirects=False)
            body = orjson.loads(answer.content) if answer.status_code == 200 else None
        except (requests.RequestException, orjson.JSONDecodeError) as error:
            raise DataUnavailableError(f"no answer in FHIR JSON ({type(error).__name__})", where=url) from error
        if not isinstance(body, dict):
            raise DataUnavailableError(f"status {answer.status_code}", where=url, remedy="check --fhir and --token")
        return body

    def access(self) -> Json:
        """What a request says of this server: its address and, with a token, how to read there."""
        told: Json = {"fhirServer": self.url}
        if self.token:
            told["fhirAuthorization"] = {
                "access_token": self.token,
                "token_type": "Bearer",
                "expires_in": _TOKEN_LIFETIME,
                "scope": "patient/*.read",
                "subject": "cds",
            }
        return told


def _next(bundle: Json) -> str | None:
    for link in bundle.get("link") or ():
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return str(link["url"])
    return None


def patient_request(service: Json, patient_id: str, user: str) -> Json:
    """A request of the service's hook for a patient, without data."""
    return {
        "hook": service.get("hook", "patient-view"),
        "hookInstance": str(uuid4()),
        "context": {"userId": user, "patientId": patient_id.removeprefix("Patient/")},
    }


def fill(templates: Mapping[str, str], context: Mapping[str, str], server: FhirServer) -> Iterator[tuple[str, Any]]:
    """The prefetch, key by key; a key that cannot be had gives the DataUnavailableError that says why.

    A template with a token that the context does not fill is left out, as EHRs do.
    """
    kind, _, user_id = context.get("userId", "").partition("/")
    tokens = {f"context.{name}": value for name, value in context.items()} | {f"user{kind}Id": user_id}
    for key, template in templates.items():
        query = template
        for name, value in tokens.items():
            query = query.replace("{{" + name + "}}", value)
        if "{{" in query:
            continue
        try:
            yield key, server.get(query)
        except DataUnavailableError as error:
            yield key, error


def show(console: Console, title: str, status: int, body: Any) -> None:
    """Prints an answer: its cards, or what its OperationOutcome says."""
    console.rule(Text(f"{title} → {status}"))
    body = body if isinstance(body, dict) else {}
    for issue in body.get("issue", ()):
        console.print(Text(f"{issue.get('severity')}, {issue.get('code')}: {issue.get('diagnostics')}"))
    if body.get("cards") == []:
        console.print(Text("no card"))
    for card in body.get("cards", ()):
        _show_card(console, card)


def _show_card(console: Console, card: Json) -> None:
    console.print(Panel(Text(card["summary"], style="bold"), subtitle=Text(card["source"]["label"])))
    console.print(Markdown(card.get("detail", "")))
    for suggestion in card.get("suggestions", ()):
        console.print(Text(f"[ {suggestion['label']} ]", style="reverse"))
    console.print()
