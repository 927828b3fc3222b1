"""One page of a search's answer: its resources, whether there is more, whether some was held back (R4 bundle.html)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cds.errors import RecordError

Json = dict[str, Any]

#: Issues of an OperationOutcome among search results that say that some were held back (http://hl7.org/fhir/issue-type).
_WITHHELD = frozenset(
    ("suppressed", "security", "login", "expired", "forbidden", "throttled", "timeout", "too-costly", "incomplete")
)


@dataclass(slots=True)
class Page:
    """What a Bundle holds for a search of one type.

    `found` counts the results of that type, `strays` those of others; what is included beside them is neither.
    `more` says that there is a next page, `next` where.
    """

    resources: list[tuple[Json, str | None]] = field(default_factory=list)
    found: int = 0
    strays: int = 0
    more: bool = False
    next: str | None = None
    total: int | None = None
    withheld: bool = False

    @classmethod
    def of(cls, bundle: Json, kind: str | None) -> Page:
        """The page in a Bundle. RecordError, with the place in it, for what is no FHIR."""
        entries = bundle.get("entry")
        if entries is None:
            entries = []
        if not isinstance(entries, list):
            raise RecordError("is not a list", where="entry", remedy="send a FHIR Bundle")
        page = cls()
        for place, entry in enumerate(entries):
            page._enter(entry, place, kind)
        total = bundle.get("total")
        page.total = total if isinstance(total, int) else None
        links = bundle.get("link")
        for link in links if isinstance(links, list) else ():
            if isinstance(link, dict) and link.get("relation") == "next":
                page.more = True
                page.next = link["url"] if isinstance(link.get("url"), str) else None
        return page

    def _enter(self, entry: Any, place: int, kind: str | None) -> None:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(entry, dict) and resource is None and "resourceType" not in entry:
            return
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise RecordError("holds no FHIR resource", where=f"entry[{place}]", remedy="put it under entry.resource")
        if resource["resourceType"] == "OperationOutcome":
            self.withheld = self.withheld or tells_of_failure(resource)
            return
        search = entry.get("search")
        if not (isinstance(search, dict) and search.get("mode") == "include"):
            self.found += resource["resourceType"] == kind
            self.strays += resource["resourceType"] != kind
        full_url = entry.get("fullUrl")
        self.resources.append((resource, full_url if isinstance(full_url, str) else None))


def tells_of_failure(outcome: Json) -> bool:
    """Whether an OperationOutcome among results says that the search failed, or that results were held back.

    Mere warnings are common beside complete results ("a parameter was ignored"), and lose nothing.
    """
    issues = outcome.get("issue")
    return any(
        isinstance(issue, dict) and (issue.get("severity") in ("error", "fatal") or issue.get("code") in _WITHHELD)
        for issue in (issues if isinstance(issues, list) else ())
    )
