"""FHIR R4: whether each resource is valid, known by one id and one URL, and links to what is there."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from cds.authoring.check.content import LIBRARY, PLAN, STUDY, Content, Resource, all_actions, objects, text
from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.fhir.model import TYPES
from cds.trials.catalog import CANONICAL_BASE, EXTENSION

TYPE = Rule("resource-type-unknown", Severity.ERROR, "A resource is of no type that FHIR R4 has.")
INVALID = Rule("fhir-invalid", Severity.ERROR, "An element is not as FHIR R4 defines it.")
CODE = Rule("fhir-code-not-allowed", Severity.ERROR, "A code is none of those that FHIR binds the element to.")
ID = Rule("id-not-folder", Severity.ERROR, "A trial's resource has another id than its folder's name.")
ID_TWICE = Rule("id-duplicate", Severity.ERROR, "Two elements of a resource have one id or linkId.")
URL = Rule("url-missing", Severity.ERROR, "A resource that others link to has no canonical URL.")
URL_ID = Rule("url-not-id", Severity.WARNING, "A canonical URL does not end in the resource's type and id.")
URL_TWICE = Rule("url-duplicate", Severity.ERROR, "Two resources have one canonical URL.")
METADATA = Rule("metadata-missing", Severity.WARNING, "A resource lacks status, version, name, title or description.")
EXTENSION_UNKNOWN = Rule("extension-unknown", Severity.ERROR, "An extension of ours is none that is read.")
EXTENSION_VALUE = Rule("extension-value", Severity.ERROR, "An extension of ours has a value that is not read.")
LINK = Rule("link-unresolved", Severity.ERROR, "A link leads to nothing that is there.")
RULES = (TYPE, INVALID, CODE, ID, ID_TWICE, URL, URL_ID, URL_TWICE, METADATA, EXTENSION_UNKNOWN, EXTENSION_VALUE, LINK)

_CANONICAL = ("ActivityDefinition", "CodeSystem", "Library", "Measure", "PlanDefinition", "Questionnaire", "ValueSet")
_METADATA = {
    "PlanDefinition": ("status", "version", "name", "title", "description"),
    "Library": ("status", "version", "name", "title"),
    "ValueSet": ("status", "version", "name", "title"),
    "CodeSystem": ("status", "version", "name", "title"),
    "ResearchStudy": ("status", "title"),
    "Questionnaire": ("status", "title"),
}
#: Our extensions (ARCHITECTURE.md), the type of their value, and the codes where it is one of few.
_EXTENSIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "assessment": ("valueCode", ("computable", "partial", "attestation")),
    "missing-data-policy": ("valueCode", ("unknown", "presume-absent", "attest")),
    "disease-criterion": ("valueBoolean", ()),
    "applies-when": ("valueString", ()),
    "evidence": ("valueString", ()),
    "verified-by": ("valueString", ()),
    "question": ("valueString", ()),
    "erratum": ("valueString", ()),
    "time-frame": ("valueString", ()),
    "record-incomplete": ("valueBoolean", ()),
    "expansion-source": ("valueString", ()),
    "code-source": ("valueString", ()),
    "not-verified": ("valueBoolean", ()),
}

Json = dict[str, Any]


def findings(content: Content) -> Iterator[Finding]:
    """What is wrong with the resources in files of their own."""
    for resource in content.resources:
        # Others keep files of other kinds beside their resources: ELM, requests, options.
        is_resource = content.trials or "resourceType" in resource.json
        if content.holds(resource.source.path) and is_resource:
            yield from _validity(resource)
            yield from _identity(content, resource)
            yield from _extensions(resource)
            yield from _links(content, resource)
    yield from _ids_of_trials(content)


def _validity(resource: Resource) -> Iterator[Finding]:
    kind = resource.kind
    if not kind or kind not in TYPES or TYPES[kind].base is None:
        told = f"{kind!r} is no resource type of FHIR R4" if kind else "has no resourceType"
        yield Finding(TYPE, resource.source.place("resourceType"), told, "name the type that it is")
        return
    try:
        model = getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    except (ImportError, AttributeError):
        yield Finding(
            TYPE, resource.source.place("resourceType"), f"{kind!r} is no type of FHIR R4", "name the type that it is"
        )
        return
    yield from _invalid(resource, model)


def _invalid(resource: Resource, model: Any) -> Iterator[Finding]:
    from pydantic import ValidationError

    try:
        valid = model.model_validate(resource.json)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            path = tuple(one["loc"])
            message = f"{_told(path)}: {one['msg'].removeprefix('Value error, ')}"
            yield Finding(
                INVALID, resource.source.place(*path), message[:400], f"mend it as FHIR R4 says: {resource.kind}"
            )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        message = f"cannot be read as FHIR: {type(error).__name__}"
        yield Finding(INVALID, resource.source.place(), message, "mend its structure")
    else:
        for path, value, allowed in _codes(valid, ()):
            message = f"{_told(path)}: {value!r} is none of {', '.join(allowed)}"
            yield Finding(CODE, resource.source.place(*path), message, "write one of them")


def _told(path: tuple[str | int, ...]) -> str:
    from cds.authoring.check.positions import pointer

    return pointer(path) or "the resource"


def _codes(model: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str, list[str]]]:
    """The codes that are not among those their element is bound to (the models list these and do not check)."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name, None)
        if value is None:
            continue
        own = (*path, field.alias or name)
        allowed = (field.json_schema_extra or {}).get("enum_values") or []
        # Of a long list the models name the first alone, and a plus; the language of an expression is no closed list.
        if "+" in allowed or (name == "language" and type(model).__name__ == "Expression"):
            allowed = []
        many = isinstance(value, list)
        for number, one in enumerate(value if many else [value]):
            place = (*own, number) if many else own
            if allowed and isinstance(one, str) and one not in allowed:
                yield place, one, allowed
            if hasattr(type(one), "model_fields"):
                yield from _codes(one, place)


def _identity(content: Content, resource: Resource) -> Iterator[Finding]:
    source, kind = resource.source, resource.kind
    seen: dict[tuple[str, str, tuple[str | int, ...]], tuple[str | int, ...]] = {}
    for path, element in resource.elements:
        # The elements of a contained resource have ids of their own; contained resources are told apart by theirs.
        scope = () if path[:1] != ("contained",) else path[:2] if len(path) > 2 else ("contained",)
        for name in ("id", "linkId"):
            value = element.get(name)
            if path and isinstance(value, str) and seen.setdefault((name, value, scope), path) != path:
                message = f"the {name} {value!r} stands for two elements"
                yield Finding(ID_TWICE, source.place(*path, name), message, "give each its own")
    if kind not in _CANONICAL:
        if kind in _METADATA:
            yield from _metadata(resource)
        return
    if not resource.url:
        yield Finding(URL, source.place("url"), "has no url", "give it the canonical URL by which others name it")
    else:
        yield from _url(content, resource)
    yield from _metadata(resource)


def _url(content: Content, resource: Resource) -> Iterator[Finding]:
    source, identifier = resource.source, text(resource.json.get("id"))
    if identifier and not resource.url.endswith(f"/{resource.kind}/{identifier}"):
        message = f"the url does not end in {resource.kind}/{identifier}"
        yield Finding(URL_ID, source.place("url"), message, "let url and id say the same: services are known by it")
    for other in content.by_url[resource.url]:
        same = other.json.get("version") == resource.json.get("version")
        if other.source is not source and same and str(other.source.path) < str(source.path):
            message = f"the url {resource.url} is that of {other.source.path} too"
            yield Finding(URL_TWICE, source.place("url"), message, "give each its own, or keep one of the two")


def _metadata(resource: Resource) -> Iterator[Finding]:
    json = resource.json
    missing = [name for name in _METADATA.get(resource.kind, ()) if not (json.get(name) or json.get(f"_{name}"))]
    if missing:
        told = " and ".join(missing)
        yield Finding(METADATA, resource.source.place(), f"has no {told}", f"give it {told}")


def _extensions(resource: Resource) -> Iterator[Finding]:
    for path, element in resource.elements:
        for number, extension in objects(element.get("extension")):
            url = text(extension.get("url"))
            if not url.startswith(CANONICAL_BASE):
                continue
            where = (*path, "extension", number, "url")
            known = _EXTENSIONS.get(url.removeprefix(EXTENSION))
            if known is None or not url.startswith(EXTENSION):
                mend = "write one of: " + ", ".join(_EXTENSIONS)
                place = resource.source.place(*where)
                yield Finding(EXTENSION_UNKNOWN, place, f"the extension {url} is not read by anything", mend)
                continue
            name, allowed = known
            value = extension.get(name)
            right = isinstance(value, bool) if name == "valueBoolean" else bool(text(value).strip())
            if not right or (allowed and value not in allowed):
                told = " or ".join(allowed) if allowed else "true or false" if name == "valueBoolean" else "a text"
                message = f"the extension {url.removeprefix(EXTENSION)} has no {name} that is read"
                yield Finding(EXTENSION_VALUE, resource.source.place(*where), message, f"give it {name}: {told}")


def _links(content: Content, resource: Resource) -> Iterator[Finding]:
    for path, target in _targets(resource):
        if not _resolves(content, resource, target):
            message = f"{target} is not there"
            mend = "mend the link, or add the resource to the content folder"
            yield Finding(LINK, resource.source.place(*path), message, mend)
    if resource.kind == "PlanDefinition":
        ids = {action.id for action in all_actions(resource.source, resource.json)}
        for action in all_actions(resource.source, resource.json):
            for number, related in objects(action.json.get("relatedAction")):
                target = text(related.get("actionId"))
                if target not in ids:
                    place = action.place("relatedAction", number, "actionId")
                    yield Finding(LINK, place, f"there is no action with the id {target!r}", "name the id of an action")


def _targets(resource: Resource) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The links of a resource that must lead to something here: to contained resources, and to our own URLs."""
    for path, element in resource.elements:
        for name in ("definitionCanonical", "resource", "reference"):
            value = element.get(name)
            if isinstance(value, str):
                yield (*path, name), value
        for name in ("library", "instantiatesCanonical", "valueSet"):
            value = element.get(name)
            for number, one in enumerate(value if isinstance(value, list) else ()):
                if isinstance(one, str):
                    yield (*path, name, number), one
            if isinstance(value, str):
                yield (*path, name), value


def _resolves(content: Content, resource: Resource, target: str) -> bool:
    if target.startswith("#"):
        return any(one.get("id") == target[1:] for _, one in objects(resource.json.get("contained")))
    if content.unreadable:
        return True  # what it leads to may be in a file that has a finding of its own
    url, _, version = target.partition("|")
    kind, _, identifier = url.partition("/")
    if url.rpartition("/")[2] in content.bare_elm and "Library/" in url:
        return True
    if kind in (*_CANONICAL, "ResearchStudy") and identifier and ":" not in url:
        return any(one.kind == kind and one.json.get("id") == identifier for one in content.resources)
    if not _is_ours(content, url):
        return True
    return any(not version or one.json.get("version") == version for one in content.by_url.get(url, ()))


def _is_ours(content: Content, url: str) -> bool:
    """Whether a URL is one that the content itself gives out: under the base of some resource of it."""
    return url.rpartition("/")[0] in {one.rpartition("/")[0] for one in content.by_url}


def _ids_of_trials(content: Content) -> Iterator[Finding]:
    for trial in content.trials:
        for name in (PLAN, STUDY, LIBRARY):
            found = trial.json(name)
            if found and content.holds(trial.path) and found[1].get("id") != trial.id:
                source, json = found
                message = f"the id is {json.get('id')!r}, and the folder {trial.id}"
                place: Place = source.place("id")
                yield Finding(ID, place, message, f'write "id": "{trial.id}", or rename the folder')
