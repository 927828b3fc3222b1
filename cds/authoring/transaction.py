"""A trial as a FHIR R4 transaction Bundle: whoever runs a FHIR server puts it there with one POST.

Every entry is a PUT with the resource's own id, so that sending it twice changes nothing; Libraries hold their CQL and
ELM (http://hl7.org/fhir/R4/http.html#transaction, http://hl7.org/fhir/R4/bundle.html#bundle-unique).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from fhir.resources.R4B import get_fhir_model_class

from cds.authoring.package import CQL, ELM, CqlLibrary, Package, Resource
from cds.errors import ContentError
from cds.trials.catalog import CANONICAL_BASE

Json = dict[str, Any]

#: A reference to another resource of the same server.
_RELATIVE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")


def transaction(package: Package) -> Json:
    """The transaction Bundle of a trial: what its logic includes first, the plan and the study last.

    Raises ContentError, with the file, for a resource that is no valid FHIR R4, or refers to one that is not there.
    """
    resources = list(_in_order(package))
    there = {f"{resource.type}/{resource.id}" for resource in resources}
    for resource in resources:
        _refuse_invalid(resource)
        _refuse_dangling(resource, there)
    entries = [_entry(resource) for resource in resources]
    return {"resourceType": "Bundle", "id": f"{package.id}-transaction"[:64], "type": "transaction", "entry": entries}


def with_content(library: CqlLibrary, elm: Json) -> Json:
    """A Library resource with its CQL and some form of its ELM in it, as attachments."""
    others = [one for one in library.resource.json.get("content", ()) if one.get("contentType") not in (CQL, ELM)]
    own = [
        {"contentType": CQL, "data": b64encode(library.text.encode()).decode()},
        {"contentType": ELM, "data": b64encode(orjson.dumps(elm)).decode()},
    ]
    return {**library.resource.json, "content": [*own, *others]}


def _in_order(package: Package) -> Iterator[Resource]:
    yield from package.terminology
    for library in reversed(package.libraries):
        elm = {"library": _without_texts(library.elm["library"])}
        yield replace(library.resource, json=with_content(library, elm))
    for resource in package.own:
        yield replace(resource, json=_with_record(resource.json, package.record))


def _without_texts(elm: Json) -> Json:
    """ELM without the CQL text in its annotations, which is half of it; the library's own say how it was translated."""

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: stripped(item) for name, item in value.items() if name != "annotation"}
        return [stripped(item) for item in value] if isinstance(value, list) else value

    told = [note for note in elm.get("annotation", ()) if note.get("type") != "Annotation"]
    return {"annotation": told, **{name: stripped(item) for name, item in elm.items() if name != "annotation"}}


def _with_record(resource: Json, record: Path | None) -> Json:
    """A resource whose related artifact is the registry record, with that record in it: a server keeps no files."""
    if record is None:
        return resource
    data = b64encode(record.read_bytes()).decode()

    def filled(artifact: Json) -> Json:
        document = artifact.get("document", {})
        if document.get("url") != record.name:
            return artifact
        inside = {name: value for name, value in document.items() if name != "url"}
        return {**artifact, "document": {**inside, "data": data}}

    artifacts = resource.get("relatedArtifact")
    return resource if not artifacts else {**resource, "relatedArtifact": [filled(one) for one in artifacts]}


def _entry(resource: Resource) -> Json:
    name = f"{resource.type}/{resource.id}"
    return {
        "fullUrl": f"{CANONICAL_BASE}/{name}",
        "resource": resource.json,
        "request": {"method": "PUT", "url": name},
    }


def _refuse_invalid(resource: Resource) -> None:
    try:
        get_fhir_model_class(resource.type).model_validate(resource.json)
    except KeyError:
        raise ContentError(f"{resource.type} is no resource of FHIR R4", where=str(resource.path)) from None
    except ValueError as error:  # its first lines say how many errors there are, where the first is, and what it is
        _, place, said, *_ = [*map(str.strip, str(error).splitlines()), "", "", ""]
        raise ContentError(f"is no valid {resource.type}: {place}: {said}", where=str(resource.path)) from error


def _refuse_dangling(resource: Resource, there: set[str]) -> None:
    for reference in references(resource.json):
        if _RELATIVE.fullmatch(reference) and reference not in there:
            raise ContentError(
                f"refers to {reference}, which is not among what is sent",
                where=str(resource.path),
                remedy="put it beside the trial, contain it, or refer to it by a full URL",
            )


def references(value: Any) -> Iterator[str]:
    """The texts of all references in a resource."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)
