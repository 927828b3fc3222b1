"""The tree of a CQF content IG, written from a trial.

::

    input/cql/<library>.cql
    input/vocabulary/valueset/ValueSet-<id>.json          (external/: those that several trials use)
    input/resources/library/Library-<id>.json             (with CQL and ELM in it, as the IG's refresh writes them)
    input/resources/plandefinition/..., researchstudy/...
    input/tests/plandefinition/<plan>/<case>/<Type>-<id>.json
    input/images/record.txt                               (what the IG publishes beside its pages)

What is expected of a case is a Parameters resource among its data; `cds.authoring.cqf_import` reads it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cds.authoring.cases import BUNDLE, EXPECTED
from cds.authoring.package import ID, Package, Resource, as_bytes
from cds.authoring.transaction import with_content
from cds.errors import ContentError
from cds.trials.catalog import read_json

Json = dict[str, Any]

INPUT: Final = "input"
#: Under `input/vocabulary/valueset` and its like: what others maintain.
EXTERNAL: Final = "external"
#: The tag of the Parameters that say what is expected of a case.
TAG: Final = {"system": "https://trial-match.example/fhir/CodeSystem/case", "code": "expected"}
_PLAIN_BUNDLE = {"resourceType", "id", "type", "entry"}
_PLAIN_ENTRY = {"fullUrl", "resource"}


def write_cqf(package: Package, out: Path) -> list[Path]:
    """Writes a trial into `out` as a content IG's tree; the files that were written.

    Raises ContentError where `out` holds an ``input`` already, or cannot be written.
    """
    if (out / INPUT).exists():
        raise ContentError("is there already", where=str(out / INPUT), remedy="give another --out, or remove it")
    written = []
    for name, content in _files(package):
        path = out / INPUT / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise ContentError(f"cannot be written: {error.strerror}", where=str(path)) from error
        written.append(path)
    return written


def _files(package: Package) -> Iterator[tuple[str, bytes]]:
    """The files of the tree, by their path under ``input``."""
    for library in package.libraries:
        yield f"cql/{library.name}.cql", library.path.read_bytes()
        yield _place(library.resource), as_bytes(with_content(library, {"library": library.elm["library"]}))
    for resource in package.own:
        yield _place(resource), as_bytes(resource.json)
    for resource in package.terminology:
        external = f"{EXTERNAL}/" if resource.shared else ""
        kind = resource.type.lower()
        yield f"vocabulary/{kind}/{external}{resource.type}-{resource.id}.json", as_bytes(resource.json)
    if package.record is not None:
        yield f"images/{package.record.name}", package.record.read_bytes()
    for path in package.cases:
        if not path.name.endswith(EXPECTED):
            name = path.name.removesuffix(BUNDLE)
            for file, content in _case(path, path.with_name(f"{name}{EXPECTED}")):
                yield f"tests/plandefinition/{package.id}/{name}/{file}", as_bytes(content)


def _place(resource: Resource) -> str:
    return f"resources/{resource.type.lower()}/{resource.type}-{resource.id}.json"


def _case(path: Path, expected: Path) -> Iterator[tuple[str, Json]]:
    """The files of one case: its resources each by itself, and what is expected.

    A bundle that says more than which resources it holds stays a bundle.
    """
    bundle, said = read_json(path), read_json(expected)
    manifest: list[Json] = []
    if _is_plain(bundle):
        names: set[str] = set()
        for number, entry in enumerate(bundle.get("entry", ()), 1):
            resource = entry["resource"]
            name = f"{resource['resourceType']}-{resource.get('id', number)}"
            name = (
                name if ID.fullmatch(str(resource.get("id", number))) and name not in names else f"{name[:60]}~{number}"
            )
            names.add(name)
            url = {key: value for key, value in entry.items() if key == "fullUrl"}
            manifest.append({"file": f"{name}.json", **url})
            yield f"{name}.json", resource
        bundle = {name: value for name, value in bundle.items() if name != "entry"}
        content = {"bundle": bundle, "entry": manifest, "expected": said}
    else:
        yield f"Bundle-{path.stem}.json", bundle
        content = {"file": f"Bundle-{path.stem}.json", "expected": said}
    yield (
        "Parameters-expected.json",
        {
            "resourceType": "Parameters",
            "id": "expected",
            "meta": {"tag": [TAG]},
            "parameter": list(map(parameter, content.keys(), content.values())),
        },
    )


def _is_plain(bundle: Json) -> bool:
    entries = bundle.get("entry", [])
    return (
        set(bundle) <= _PLAIN_BUNDLE
        and isinstance(entries, list)
        and all(
            isinstance(entry, dict)
            and set(entry) <= _PLAIN_ENTRY
            and isinstance(entry.get("resource"), dict)
            and isinstance(entry["resource"].get("resourceType"), str)
            and entry["resource"]["resourceType"].isalpha()
            for entry in entries
        )
    )


# ---------------------------------------------------------------- JSON as Parameters


def parameter(name: str, value: Any) -> Json:
    """Any JSON as one parameter: objects and lists are parts (those of a list are named ``[]``)."""
    if isinstance(value, Mapping) and value:
        return {"name": name, "part": [parameter(str(key), item) for key, item in value.items()]}
    if isinstance(value, list) and value:
        return {"name": name, "part": [parameter(_ITEM, item) for item in value]}
    if isinstance(value, bool):
        return {"name": name, "valueBoolean": value}
    if isinstance(value, int):
        return {"name": name, "valueInteger": value}
    if isinstance(value, float):
        return {"name": name, "valueDecimal": value}
    if isinstance(value, str) and value:
        return {"name": name, "valueString": value}
    return {"name": name, "valueCode": _EMPTY[repr(value)]}


_ITEM: Final = "[]"
#: What FHIR has no value for.
_EMPTY = {"None": "null", "{}": "object", "[]": "list", "''": "text"}
_EMPTY_VALUES: Final[Mapping[str, Any]] = {"null": None, "object": {}, "list": [], "text": ""}


def value_of(given: Any) -> Any:
    """The JSON that a parameter stands for. Raises ValueError where it is none that `parameter` wrote."""
    if not isinstance(given, Mapping):
        raise ValueError("a parameter is no object")
    if "part" in given:
        parts = given["part"]
        if all(part.get("name") == _ITEM for part in parts):
            return [value_of(part) for part in parts]
        return {str(part.get("name")): value_of(part) for part in parts}
    if "valueCode" in given:
        if given["valueCode"] not in _EMPTY_VALUES:
            raise ValueError(f"the code {given['valueCode']!r}")
        return _EMPTY_VALUES[given["valueCode"]]
    for kind in ("valueBoolean", "valueInteger", "valueDecimal", "valueString"):
        if kind in given:
            return given[kind]
    raise ValueError(f"{given.get('name')!r} has no value")
