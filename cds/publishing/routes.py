"""/fhir: what the service runs, read and searched as FHIR R4 resources, and applied to a patient in the body."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotAcceptable, NotFound
from werkzeug.routing import BaseConverter

from cds.errors import RequestError
from cds.http import FHIR_JSON, json_body, json_response
from cds.publishing.capability import capability_statement
from cds.publishing.operation import Asked, apply_to
from cds.publishing.repository import TYPES, Repository
from cds.publishing.search import Search
from cds.reasoning.knowledge import Knowledge
from cds.trials.catalog import Catalog

_JSON_FORMATS = ("json", "application/json", FHIR_JSON, "text/json")
_NAMED = ", ".join(TYPES)


class _Id(BaseConverter):
    """An id as FHIR R4 has it, which no address such as ``_search`` is."""

    regex = r"[A-Za-z0-9.\-]{1,64}"


def blueprint(
    repository: Repository,
    catalog: Catalog,
    knowledge: Sequence[Knowledge],
    *,
    public_url: str,
    clock: Callable[[], datetime],
    timezone: tzinfo,
) -> Blueprint:
    """The routes of the FHIR side, whose root is ``public_url/fhir``; `clock` is asked once a request that applies."""
    routes = Blueprint("fhir", __name__, url_prefix="/fhir")
    routes.record_once(lambda state: state.app.url_map.converters.update(fhir_id=_Id))
    base = f"{public_url}/fhir"
    capabilities = capability_statement(base, clock())

    @routes.before_request
    def accept() -> None:
        _accept_json()

    @routes.get("/metadata")
    def metadata() -> Response:
        return json_response(capabilities, mimetype=FHIR_JSON)

    @routes.get("/<kind>/<fhir_id:resource_id>")
    def read(kind: str, resource_id: str) -> Response:
        found = repository.get(_known(kind), resource_id)
        if found is None:
            raise NotFound(f"there is no such {kind}; see {base}/{kind}?_summary=true")
        response = Response(found.body, mimetype=FHIR_JSON)
        response.set_etag(found.version, weak=True)
        response.headers["Cache-Control"] = "no-cache"
        response.make_conditional(request)
        return response

    @routes.get("/<kind>")
    def search(kind: str) -> Response:
        return answer(kind, request.args.items(multi=True))

    @routes.post("/<kind>/_search")
    def search_by_post(kind: str) -> Response:
        return answer(kind, [*request.args.items(multi=True), *request.form.items(multi=True)])

    def answer(kind: str, given: Iterable[tuple[str, str]]) -> Response:
        strict = "handling=strict" in request.headers.get("Prefer", "").replace(" ", "").split(",")
        sought = Search.parse(_known(kind), given, strict=strict)
        return json_response(sought.bundle(repository, base), mimetype=FHIR_JSON)

    @routes.post("/PlanDefinition/<plan_id>/$apply")
    def apply(plan_id: str) -> Response:
        asked = Asked.parse(json_body("send Parameters with subject and data"))
        try:
            plan = apply_to(plan_id, catalog, knowledge, asked, clock().astimezone(timezone))
        except RecursionError:
            raise RequestError("is nested too deeply", where="data", remedy="send FHIR resources") from None
        if plan is None:
            raise NotFound(f"there is no plan of that id that can be applied; see {base}/PlanDefinition?_summary=true")
        response = json_response(plan, mimetype=FHIR_JSON)
        response.headers["Cache-Control"] = "no-store"
        return response

    return routes


def _known(kind: str) -> str:
    if kind not in TYPES:
        raise NotFound(f"no resources of that type are published here (there are: {_NAMED})")
    return kind


def _accept_json() -> None:
    """Refuses to answer who reads XML alone; ``_format`` overrides the Accept header (R4 http.html, 3.1.0.1.11)."""
    asked = request.args.get("_format")
    if asked is not None:
        accepted = asked.replace(" ", "+") in _JSON_FORMATS
    else:
        offered = request.accept_mimetypes
        accepted = not offered or any(offered.quality(kind) > 0 for kind in (FHIR_JSON, "application/json"))
    if not accepted:
        raise NotAcceptable("only JSON is sent: ask for application/fhir+json")
