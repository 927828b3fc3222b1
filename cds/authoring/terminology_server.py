"""A FHIR terminology server: expansions of value sets, page by page, and whether codes are known (R4 operations)."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from cds.authoring.expansion import Entry, Expansion, held
from cds.errors import TerminologyError

Json = dict[str, Any]

#: Seconds to connect, and between two pieces of an answer: an expansion may take a server long.
_TIMEOUT = (10, 120)
_PAGE = 1000
_MOST_PAGES = 1000
#: What passes by itself; $expand and $validate-code change nothing, so asking again is safe.
_AGAIN = Retry(
    total=3, backoff_factor=0.5, backoff_max=10, status_forcelist=(429, 502, 503, 504), allowed_methods=None,
    raise_on_status=False,
)  # fmt: skip
#: By these extensions a server says that an expansion does not hold all codes (R4 ValueSet, extensions).
_NOT_WHOLE = (
    "http://hl7.org/fhir/StructureDefinition/valueset-toocostly",
    "http://hl7.org/fhir/StructureDefinition/valueset-unclosed",
)


class TerminologyServer:
    """One server. `authorization` is what stands in that header ("Bearer ..."), or "Basic user:password"."""

    def __init__(self, base: str, authorization: str = "", *, page: int = _PAGE) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise TerminologyError("is no http(s) base URL without credentials", where="terminology server")
        if authorization and parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise TerminologyError(
                "would get the credentials in clear over http", where="terminology server", remedy="use https"
            )
        self.base = base.rstrip("/")
        self._page = page
        self._header = _encoded(authorization)
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_AGAIN))
        # Given so, credentials of the environment (.netrc) are left alone.
        self._session.auth = self._authorize

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header:
            request.headers["Authorization"] = self._header
        return request

    def expand(self, value_set: Json, source: str, related: Iterable[Json] = ()) -> Expansion:
        """The codes of a value set: of its definition, where it has one, else of what the server has by its URL.

        `related` are the value sets and code systems at hand that it draws on. Raises TerminologyError where the
        server does not give all codes.
        """
        asked = _asked(value_set, related)
        entries: dict[tuple[str, str], Entry] = {}
        first: Json | None = None
        for _ in range(_MOST_PAGES):
            more = [{"name": "offset", "valueInteger": len(entries)}, {"name": "count", "valueInteger": self._page}]
            expansion = self._expansion(asked + more, source)
            first = first or expansion
            before, total = len(entries), expansion.get("total")
            page = held({"expansion": expansion}, source)
            entries |= {(entry["system"], entry["code"]): entry for entry in page}
            if total != first.get("total"):
                raise TerminologyError(f"{self.base}: the expansion changed while it was read", where=source)
            if (len(page) < self._page) if total is None else (len(entries) >= total or not page):
                break
            if len(entries) == before:
                raise TerminologyError(f"{self.base}: its pages repeat themselves", where=source)
        assert first is not None
        total = first.get("total", len(entries))
        if total > len(entries):
            raise TerminologyError(f"{self.base}: sent {len(entries)} of {total} codes", where=source)
        return Expansion(
            tuple(_kept(entry) for entry in entries.values()),
            tuple(_parameters(first)),
            self.base,
            first.get("identifier"),
        )

    def problem_of(self, entry: Entry) -> str | None:
        """What the server finds wrong with a code or its display; None where it knows both ($validate-code)."""
        parameters = [
            {"name": "url", "valueUri": entry["system"]},
            {"name": "code", "valueCode": entry["code"]},
        ]
        if entry.get("version"):
            parameters.append({"name": "version", "valueString": entry["version"]})
        if entry.get("display"):
            parameters.append({"name": "display", "valueString": entry["display"]})
        answer = self._post("CodeSystem/$validate-code", parameters, f"{entry['system']}|{entry['code']}")
        told = {one.get("name"): one for one in answer.get("parameter", ()) if isinstance(one, dict)}
        if told.get("result", {}).get("valueBoolean") is True:
            return "is inactive" if told.get("inactive", {}).get("valueBoolean") is True else None
        return str(told.get("message", {}).get("valueString") or "is not known to the server")

    def _expansion(self, parameters: list[Json], source: str) -> Json:
        answer = self._post("ValueSet/$expand", parameters, source)
        expansion = answer.get("expansion")
        if answer.get("resourceType") != "ValueSet" or not isinstance(expansion, dict):
            raise TerminologyError(f"{self.base}: answered with no expanded ValueSet", where=source)
        if any(one.get("url") in _NOT_WHOLE for one in expansion.get("extension", ())):
            raise TerminologyError(f"{self.base}: says that its expansion does not hold all codes", where=source)
        return expansion

    def _post(self, path: str, parameters: list[Json], source: str) -> Json:
        try:
            response = self._session.post(
                f"{self.base}/{path}",
                json={"resourceType": "Parameters", "parameter": parameters},
                headers={"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"},
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
            content = response.json() if "json" in response.headers.get("Content-Type", "") else None
        except (requests.RequestException, ValueError) as error:
            raise TerminologyError(f"{self.base}: {_in_words(error)}", where=source) from None
        if response.status_code != 200:
            told = _told(content)
            raise TerminologyError(f"{self.base}: status {response.status_code}{told}", where=source)
        if not isinstance(content, dict):
            raise TerminologyError(f"{self.base}: answered with no FHIR JSON", where=source)
        return content


def _encoded(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "basic" and ":" in rest:
        return "Basic " + base64.b64encode(rest.encode()).decode()
    return authorization


def _asked(value_set: Json, related: Iterable[Json]) -> list[Json]:
    if value_set.get("compose"):
        definition = {name: value for name, value in value_set.items() if name != "expansion"}
        return [
            {"name": "valueSet", "resource": definition},
            *({"name": "tx-resource", "resource": other} for other in related),
        ]
    asked: list[Json] = [{"name": "url", "valueUri": value_set.get("url")}]
    if value_set.get("version"):
        asked.append({"name": "valueSetVersion", "valueString": value_set["version"]})
    return asked


def _kept(entry: Entry) -> Entry:
    """Of an entry what tells which code it is."""
    names = ("system", "abstract", "inactive", "version", "code", "display")
    return {name: entry[name] for name in names if entry.get(name)}


def _parameters(expansion: Json) -> Iterable[tuple[str, Any]]:
    """What a server says of how it expanded, but for the page that was asked for."""
    for one in expansion.get("parameter", ()):
        value = next((value for name, value in one.items() if name.startswith("value")), None)
        if one.get("name") not in ("offset", "count") and isinstance(value, str | bool | int):
            yield str(one.get("name")), value


def _told(content: Any) -> str:
    """What an OperationOutcome says, in short."""
    issues = content.get("issue", ()) if isinstance(content, dict) else ()
    texts = (
        str(one.get("diagnostics") or (one.get("details") or {}).get("text") or one.get("code"))
        for one in issues
        if isinstance(one, dict)
    )
    told = "; ".join(texts)[:300]
    return f": {told}" if told else ""


def _in_words(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not accepted"
    if isinstance(error, requests.Timeout):
        return "did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return "answered with no JSON"
