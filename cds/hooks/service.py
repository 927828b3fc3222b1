"""Service: hooks/<id>/service.json, and its answer to one request."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cds.errors import ContentError, RequestError
from cds.hooks.cards import EXTENSION, card, worth_showing
from cds.hooks.laps import Laps
from cds.hooks.prefetch import Gathered, gather, templates
from cds.hooks.request import HookRequest
from cds.hooks.source import NoSource, Source
from cds.trials.apply import concerns, match
from cds.trials.catalog import Catalog, read_json
from cds.trials.eligibility import Match

_log = logging.getLogger("cds.hooks")

Json = dict[str, Any]

#: What a service.json may say (CDS Hooks 2.0.1, Discovery); `prefetch` is derived from the trials.
_REQUIRED = ("hook", "description", "id")
_OPTIONAL = ("title", "usageRequirements", "extension")


class Answering(Protocol):
    """What the routes ask of a service, whatever it answers from."""

    @property
    def definition(self) -> Json:
        """Its entry in discovery."""
        ...

    @property
    def id(self) -> str:
        """The last part of its address."""
        ...

    @property
    def hook(self) -> str:
        """The hook that it answers."""
        ...

    @property
    def override_reasons(self) -> tuple[Json, ...]:
        """The reasons that its cards offer for not following them."""
        ...

    def respond(self, body: Any, *, now: datetime, laps: Laps | None = None) -> Json:
        """Its answer to one request. Raises RequestError or DataUnavailableError."""
        ...


@dataclass(frozen=True)
class Service:
    """One CDS service: what discovery says of it, and its answers.

    `definition` is its entry in discovery, with the prefetch templates that the catalog's trials need. `public_url` is
    the address under which what its cards link to is published.
    """

    definition: Json
    catalog: Catalog = field(repr=False)
    override_reasons: tuple[Json, ...] = ()
    source: Source = field(default_factory=NoSource, repr=False)
    public_url: str = ""

    @classmethod
    def load(cls, folder: Path, catalog: Catalog, *, source: Source | None = None, public_url: str = "") -> Service:
        """The service in `folder` (``service.json``, and ``override-reasons.json`` where there is one).

        Raises ContentError with the file for what cannot serve.
        """
        path = folder / "service.json"
        content = read_json(path)
        for name in _REQUIRED:
            if not isinstance(content.get(name), str) or not content[name]:
                raise ContentError(f"has no {name}", where=str(path), remedy=f'add "{name}"')
        unknown = sorted(content.keys() - {*_REQUIRED, *_OPTIONAL})
        if unknown:
            raise ContentError(
                f"has {', '.join(unknown)}", where=str(path), remedy="prefetch is derived; what else there is goes out"
            )
        if content["id"] != folder.name:
            raise ContentError("has another id than its folder's name", where=str(path))
        definition = {**content, "prefetch": templates(catalog.required_types)}
        reasons = _override_reasons(folder / "override-reasons.json")
        return cls(definition, catalog, reasons, source or NoSource(), public_url)

    @property
    def id(self) -> str:
        """The last part of the service's address."""
        return str(self.definition["id"])

    @property
    def hook(self) -> str:
        """The hook that the service answers."""
        return str(self.definition["hook"])

    def respond(self, body: Any, *, now: datetime, laps: Laps | None = None) -> Json:
        """The cards for one request, as of `now`, whose date is the planned first dose and whose time zone reads
        the dates that name none. `laps` is told when each stage ends.

        Raises RequestError for a request that cannot be accepted, DataUnavailableError where the data does not
        suffice.
        """
        laps = laps or Laps()
        request = HookRequest.parse(body, self.hook)
        laps.lap("check")
        try:
            gathered = gather(
                request,
                types=self.catalog.required_types,
                needed=self.catalog.disease_types,
                source=self.source,
                now=now,
                timezone=now.tzinfo or UTC,
                deciding=self.catalog.deciding_types,
                concerns=lambda record: concerns(self.catalog, record, now=now),
            )
            laps.lap("gather")
            answer = match(self.catalog, gathered.record, now=now, first_dose=now.date())
        except RecursionError:
            raise RequestError("is nested too deeply", where="prefetch", remedy="send FHIR resources") from None
        laps.lap("match")
        response = self._response(request, gathered, answer, now)
        laps.lap("cards")
        return response

    def _response(self, request: HookRequest, gathered: Gathered, answer: Match, now: datetime) -> Json:
        cards = []
        failed = set()
        if len(answer.trials) < len(self.catalog.active):
            failed = {trial.id for trial in self.catalog.active} - {one.trial for one in answer.trials}
        for one in worth_showing(answer):
            try:
                cards.append(
                    card(
                        one,
                        self.catalog.trials[one.trial],
                        patient_id=request.patient_id,
                        hook_instance=request.hook_instance,
                        first_dose=now.date(),
                        override_reasons=self.override_reasons,
                        public_url=self.public_url,
                    )
                )
            except Exception as error:  # a trial that fails never takes its neighbours' cards away
                _log.error("the card of trial %s could not be made: %s", one.trial, type(error).__name__)
                failed.add(one.trial)
        response: Json = {"cards": cards}
        notes: Json = {}
        if failed:
            notes["notEvaluated"] = sorted(failed)
        if gathered.unread:
            notes["unread"] = dict(gathered.unread)
        if notes:
            response["extension"] = {EXTENSION: notes}
        return response


def load_services(
    folder: Path, catalog: Catalog, *, source: Source | None = None, public_url: str = ""
) -> dict[str, Service]:
    """The services under `folder`, one folder each, by id. ContentError where there is none."""
    folders: Iterable[Path] = sorted(path.parent for path in folder.glob("*/service.json"))
    services = {path.name: Service.load(path, catalog, source=source, public_url=public_url) for path in folders}
    if not services:
        raise ContentError("no */service.json in it", where=str(folder), remedy="point CDS_HOOKS at the services")
    return services


def _override_reasons(path: Path) -> tuple[Json, ...]:
    """The concepts of a CodeSystem as Codings: why a doctor may pass over a card (code, system and display)."""
    if not path.is_file():
        return ()
    system = read_json(path)
    try:
        return tuple(
            {"code": concept["code"], "system": system["url"], "display": concept["display"]}
            for concept in system["concept"]
        )
    except (KeyError, TypeError) as error:
        raise ContentError(
            f"is incomplete: {error!r}", where=str(path), remedy="a CodeSystem whose concepts have code and display"
        ) from error
