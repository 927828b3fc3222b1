"""A CQF content IG's tree, read into a content folder: a trial's folder for each PlanDefinition that is a trial's.

What `cds.authoring.cqf` wrote comes back as it was; of a tree that others made what can be used is used, and the rest
is said. Nothing is overwritten.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from cds.authoring.cases import BUNDLE, CASES, EXPECTED, read_content
from cds.authoring.cqf import EXTERNAL, INPUT, TAG, value_of
from cds.authoring.package import CQL, ELM, HELPERS, ID, LIBRARY, VALUE_SETS, as_bytes, value_sets_of
from cds.authoring.translate import elm_text
from cds.errors import CdsError, ContentError
from cds.trials.catalog import CANONICAL_BASE, SHARED, Catalog
from cds.trials.compiled import OPTIONS, TRANSLATOR, elm_path, fingerprint, includes, library_name

Json = dict[str, Any]

_PLAN, _STUDY, _LOGIC = "plan-definition.json", "research-study.json", "eligibility.cql"
#: Where in the tree a trial's registry record lies, and tests.
_IMAGES, _TESTS = "images", "tests"
_TERMINOLOGY = ("ValueSet", "CodeSystem")


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import wrote: the trials, the files, and what of the tree could not be used or is still to be done."""

    trials: tuple[str, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    json: Json = field(repr=False)

    @property
    def type(self) -> str:
        return str(self.json.get("resourceType"))

    @property
    def url(self) -> str:
        return str(self.json.get("url"))

    @property
    def external(self) -> bool:
        return EXTERNAL in self.path.parts


@dataclass(frozen=True, slots=True)
class _Cql:
    path: Path
    name: str
    text: str


def import_cqf(tree: Path, out: Path, now: datetime) -> Imported:
    """Reads the tree of a content IG (the folder that holds ``input``, or that itself) into the content folder `out`.

    `now` is the moment of cases that say none. Raises ContentError, with the file, for what cannot be read, where
    nothing is a trial, and where something would be overwritten; then nothing is written.
    """
    return _Import(tree / INPUT if (tree / INPUT).is_dir() else tree, out, now).run()


class _Import:
    def __init__(self, tree: Path, out: Path, now: datetime) -> None:
        self._tree = tree
        self._out = out
        self._now = now
        self._notes: list[str] = []
        self._files: dict[Path, bytes] = {}
        self._used: set[Path] = set()

    def run(self) -> Imported:
        self._cql = {cql.name: cql for cql in self._read_cql()}
        self._resources = list(self._read_resources())
        plans = [one for one in self._resources if one.type == "PlanDefinition" and self._is_trial(one)]
        if not plans:
            raise ContentError(
                "\n  ".join(["holds no PlanDefinition of a trial", *self._notes]),
                where=str(self._tree),
            )
        for plan in plans:
            self._trial(plan, alone=len(plans) == 1)
        self._say_unused()
        self._write()
        trials = tuple(str(plan.json["id"]) for plan in plans)
        for trial in trials:
            try:
                Catalog.load(self._out, only={trial})
            except CdsError as error:
                self._notes.append(f"{trial} does not load yet: {error}")
        return Imported(trials, tuple(self._files), tuple(self._notes))

    # ------------------------------------------------------------ reading

    def _read_cql(self) -> Iterator[_Cql]:
        seen: dict[str, Path] = {}
        for path in sorted((self._tree / "cql").rglob("*.cql")):
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ContentError(f"is no UTF-8 text: {error}", where=str(path)) from error
            name = library_name(text)
            if name is None:
                raise ContentError("has no library declaration", where=f"{path}:1:1", remedy="begin with: library Name")
            if name in seen:
                raise ContentError(f"holds the library {name}, as {seen[name]} does", where=f"{path}:1:1")
            seen[name] = path
            yield _Cql(path, name, text)

    def _read_resources(self) -> Iterator[_Found]:
        """The resources of the tree but its tests; what is no JSON is noted."""
        seen: dict[tuple[str, str], Path] = {}
        for part in ("resources", "vocabulary"):
            for path in _below(self._tree / part):
                if path.suffix != ".json":
                    self._notes.append(f"{path}: is not used: only JSON is read")
                    continue
                found = _Found(path, _resource(path))
                id_ = found.json.get("id")
                if not isinstance(id_, str) or not ID.fullmatch(id_):
                    raise ContentError(f"the id {id_!r} is none of FHIR", where=str(path), remedy="A-Z a-z 0-9 - .")
                key = (found.type, id_)
                if key in seen:
                    raise ContentError(f"holds {'/'.join(key)}, as {seen[key]} does", where=str(path))
                seen[key] = path
                yield found

    def _is_trial(self, plan: _Found) -> bool:
        actions = plan.json.get("action")
        given = (
            [action.get("id") for action in actions if isinstance(action, dict)] if isinstance(actions, list) else []
        )
        if "eligibility" in given:
            return True
        self._used.add(plan.path)
        self._notes.append(
            f"{plan.path}: is not used: no action has the id 'eligibility', so it is no trial's "
            "(it may be served as it is: CDS_PLANDEFINITIONS)"
        )
        return False

    # ------------------------------------------------------------ one trial

    def _trial(self, plan: _Found, *, alone: bool) -> None:
        trial = plan.json.get("id")
        if not isinstance(trial, str) or trial in (SHARED, ".", ".."):
            raise ContentError(f"the id {trial!r} cannot be a trial's", where=str(plan.path), remedy="A-Z a-z 0-9 - .")
        folder = self._out / trial
        if folder.exists():
            raise ContentError("is there already", where=str(folder), remedy="give another --out, or remove it")
        self._put(folder / _PLAN, plan)
        library, main = self._main(plan)
        self._library(library, main, folder / LIBRARY, folder / _LOGIC)
        others = self._included(main, library)
        for one in others:
            resource = self._resource_of(one)
            self._library(resource, one, self._out / SHARED / f"{resource.json['id']}.{LIBRARY}", None)
        self._study(plan, folder, alone=alone)
        self._terminology(folder, main, others, alone=alone)
        self._own_resources(folder, trial, alone=alone)
        self._cases(folder, plan, main)

    def _main(self, plan: _Found) -> tuple[_Found, _Cql]:
        """The Library that a plan names, and its CQL."""
        named = plan.json.get("library") or []
        if len(named) != 1:
            raise ContentError(f"names {len(named)} libraries", where=str(plan.path), remedy="a trial's plan names one")
        url = str(named[0]).partition("|")[0]
        for found in self._resources:
            if found.type == "Library" and (found.url == url or url.endswith(f"Library/{found.json.get('id')}")):
                return found, self._cql_of(found)
        raise ContentError(f"the library {url} is not in the tree", where=str(plan.path))

    def _cql_of(self, library: _Found) -> _Cql:
        for name in (library.json.get("name"), library.json.get("id")):
            if name in self._cql:
                return self._cql[str(name)]
        raise ContentError(
            f"its CQL is not in {self._tree / 'cql'}",
            where=str(library.path),
            remedy="the CQL library is called as the Library's name says",
        )

    def _resource_of(self, cql: _Cql) -> _Found:
        """The Library resource of some CQL; made where the tree has none."""
        for found in self._resources:
            if found.type == "Library" and cql.name in (found.json.get("name"), found.json.get("id")):
                return found
        self._notes.append(f"{cql.path}: the tree has no Library resource for it: one was made")
        made = {
            "resourceType": "Library",
            "id": cql.name,
            "url": f"{CANONICAL_BASE}/Library/{cql.name}",
            "name": cql.name,
            "status": "draft",
            "type": {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/library-type", "code": "logic-library"}]
            },
        }
        return _Found(cql.path, made)

    def _included(self, main: _Cql, library: _Found) -> list[_Cql]:
        """The libraries that some CQL includes, at any depth."""
        found: dict[str, _Cql] = {}
        waiting = [main]
        while waiting:
            cql = waiting.pop()
            for name in includes(cql.text):
                if name == HELPERS or name in found or name == main.name:
                    continue
                if name not in self._cql:
                    raise ContentError(
                        f"includes {name}, which is not in {self._tree / 'cql'}", where=f"{cql.path}:1:1"
                    )
                found[name] = self._cql[name]
                waiting.append(found[name])
        return list(found.values())

    def _library(self, resource: _Found, cql: _Cql, target: Path, logic: Path | None) -> None:
        """Takes in a Library with its CQL, and its ELM where that is this CQL's."""
        logic = logic or self._out / SHARED / f"{cql.name}.cql"
        given = resource.json.get("content") or []
        others = [one for one in given if one.get("contentType") not in (CQL, ELM) and not _is_loader(one)]
        own = [{"contentType": CQL, "url": logic.name}, {"contentType": ELM, "url": elm_path(logic).name}]
        others = [one for one in others if not str(one.get("contentType")).startswith("application/elm")]
        self._put(target, resource, {**resource.json, "content": [*own, *others]})
        self._used.add(cql.path)
        self._add(logic, cql.path.read_bytes(), cql.path)
        elm = self._elm(resource, cql)
        if elm is None:
            self._notes.append(f"{logic}: has no ELM yet: cds translate {self._out}")
        else:
            self._add(elm_path(logic), elm.encode(), resource.path)

    def _elm(self, resource: _Found, cql: _Cql) -> str | None:
        """The ELM in a Library as it is kept, if this translator made it of this CQL and of what that includes."""
        texts = {one.name: one.text for one in self._cql.values() if one.name != HELPERS}
        for one in [cql, *self._included(cql, resource)]:
            holder = resource if one is cql else self._resource_of_silently(one)
            if holder is None or _attached(holder, CQL) != one.text.encode():
                return None
        attached = _attached(resource, ELM)
        try:
            elm = orjson.loads(attached or b"")
            (told,) = [note for note in elm["library"]["annotation"] if note.get("type") == "CqlToElmInfo"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        version = f"{TRANSLATOR.rpartition(' ')[0]} {told.get('translatorVersion')}"
        if version != TRANSLATOR or set(str(told.get("translatorOptions")).split(",")) != set(OPTIONS):
            return None
        return elm_text(elm, {"translator": TRANSLATOR, "sha256": fingerprint(cql.text, texts)})

    def _resource_of_silently(self, cql: _Cql) -> _Found | None:
        named = [one for one in self._resources if one.type == "Library" and one.json.get("name") == cql.name]
        return named[0] if named else None

    def _study(self, plan: _Found, folder: Path, *, alone: bool) -> None:
        """The study whose protocol a plan is; a bare one where the tree has none."""
        studies = [one for one in self._resources if one.type == "ResearchStudy"]
        wanted = f"PlanDefinition/{plan.json['id']}"
        for study in studies:
            protocol = study.json.get("protocol") or []
            if wanted in {str(one.get("reference")) for one in protocol} or (alone and len(studies) == 1):
                self._put(folder / _STUDY, study)
                return
        self._notes.append(f"{folder / _STUDY}: the tree has no ResearchStudy whose protocol is {wanted}: a bare one")
        bare = {"resourceType": "ResearchStudy", "id": plan.json["id"], "status": "in-review"}
        title = {"title": plan.json["title"]} if "title" in plan.json else {}
        self._add(folder / _STUDY, as_bytes({**bare, **title, "protocol": [{"reference": wanted}]}), plan.path)

    def _terminology(self, folder: Path, main: _Cql, others: Iterable[_Cql], *, alone: bool) -> None:
        """The value sets: a trial's own into its folder, those that others maintain or use into the shared one."""
        own = value_sets_of([main.text])
        common = value_sets_of(one.text for one in others)
        for found in self._resources:
            if found.type not in _TERMINOLOGY or found.path in self._used:
                continue
            shared = found.external or found.url in common or (found.type == "CodeSystem" and not alone)
            if not (alone or shared or found.url in own):
                continue
            where = self._out / SHARED if shared else folder
            self._put(where / VALUE_SETS / f"{found.json.get('id')}.json", found)
            if found.type == "ValueSet" and "expansion" not in found.json:
                self._notes.append(f"{found.path}: has no expansion: cds expand {where / VALUE_SETS}")
        there = {found.url for found in self._resources if found.type == "ValueSet"}
        for url in sorted((own | common) - there):
            self._notes.append(f"{main.path}: the value set {url} is not in the tree")

    def _own_resources(self, folder: Path, trial: str, *, alone: bool) -> None:
        """What else belongs to the trial: its Questionnaire, and its registry record."""
        for found in self._resources:
            mine = alone or found.json.get("id") == trial
            if found.type == "Questionnaire" and mine and found.path not in self._used:
                self._put(folder / "questionnaire.json", found)
        record = self._tree / _IMAGES / "record.txt"
        if alone and record.is_file():
            self._add(folder / "record.txt", record.read_bytes(), record)

    # ------------------------------------------------------------ cases

    def _cases(self, folder: Path, plan: _Found, main: _Cql) -> None:
        names = {str(plan.json["id"]), str(plan.json.get("name")), main.name}
        places = [self._tree / _TESTS / "plandefinition", self._tree / _TESTS / "PlanDefinition", self._tree / _TESTS]
        seen: set[str] = set()
        for place in (where / name for where in places for name in sorted(names) if (where / name).is_dir()):
            for case in sorted(place.iterdir()):
                if case.is_file():
                    self._notes.append(f"{case}: is not used: a case is a folder of resources")
                elif case.name in seen:
                    self._notes.append(f"{case}: is not used: there is another case of that name")
                else:
                    seen.add(case.name)
                    self._case(folder / CASES, case)

    def _case(self, target: Path, case: Path) -> None:
        resources: dict[str, Json] = {}
        said: tuple[Path, Json] | None = None
        for path in _below(case):
            if path.suffix != ".json":
                self._notes.append(f"{path}: is not used: only JSON is read")
                continue
            content = _resource(path)
            if content["resourceType"] == "Parameters" and TAG in (content.get("meta") or {}).get("tag", ()):
                said = path, content
            elif content["resourceType"] in ("MeasureReport", "Parameters"):
                self._notes.append(f"{path}: is not used: it is no data of a patient")
            else:
                resources[path.relative_to(case).as_posix()] = content
        if not resources:
            self._notes.append(f"{case}: is not used: it holds no data of a patient")
            return
        bundle, expected = self._told(*said, resources) if said else self._untold(case, resources)
        self._add(target / f"{case.name}{BUNDLE}", as_bytes(bundle), case)
        self._add(target / f"{case.name}{EXPECTED}", as_bytes(expected), case)

    def _told(self, path: Path, parameters: Json, resources: Mapping[str, Json]) -> tuple[Json, Json]:
        """The bundle and what is expected, as the case's Parameters say."""
        try:
            told = {one["name"]: value_of(one) for one in parameters["parameter"]}
            if "file" in told:
                return resources[told["file"]], told["expected"]
            entries = [
                {**{key: value for key, value in entry.items() if key != "file"}, "resource": resources[entry["file"]]}
                for entry in told["entry"]
            ]
            missing = set(resources) - {entry["file"] for entry in told["entry"]}
            for name in sorted(missing):
                self._notes.append(f"{path.parent / name}: is not in the case's list: added at its end")
                entries.append(_entry(resources[name]))
            return {**told["bundle"], "entry": entries}, told["expected"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ContentError(
                f"does not say what is expected as cds export writes it: {error!r}", where=str(path)
            ) from error

    def _untold(self, case: Path, resources: Mapping[str, Json]) -> tuple[Json, Json]:
        """A bundle of all that a case's folder holds, of which nothing is expected yet."""
        self._notes.append(f"{case}: says nothing that is expected of a criterion: write it, or cds cases --record")
        entries: list[Json] = []
        for content in resources.values():
            inner = content.get("entry") if content["resourceType"] == "Bundle" else None
            given = (
                [one.get("resource") for one in inner if isinstance(one, dict)]
                if isinstance(inner, list)
                else [content]
            )
            entries += [_entry(one) for one in given if isinstance(one, dict)]
        bundle = {"resourceType": "Bundle", "id": case.name, "type": "collection", "entry": entries}
        moment = self._now.isoformat(timespec="seconds").replace("+00:00", "Z")
        return bundle, {"now": moment, "firstDose": self._now.date().isoformat(), "trials": {}}

    # ------------------------------------------------------------ writing

    def _put(self, target: Path, found: _Found, content: Json | None = None) -> None:
        self._used.add(found.path)
        self._add(target, as_bytes(found.json if content is None else content), found.path)

    def _add(self, target: Path, content: bytes, source: Path) -> None:
        """Keeps what is to be written; a shared file that says the same stays as it is."""
        there = self._files.get(target)
        if there is None and target.exists():
            there = target.read_bytes()
            if _same(there, content):
                return
        if there is not None and not _same(there, content):
            raise ContentError(
                f"would be overwritten by {source}, which says something else",
                where=str(target),
                remedy="give another --out, or make the two the same",
            )
        self._files[target] = content

    def _say_unused(self) -> None:
        for found in self._resources:
            if found.path not in self._used:
                self._notes.append(f"{found.path}: is not used: nothing of a trial refers to this {found.type}")
        for cql in self._cql.values():
            if cql.path not in self._used:
                why = "the service has its own" if cql.name == HELPERS else "no trial's library includes it"
                self._notes.append(f"{cql.path}: is not used: {why}")

    def _write(self) -> None:
        for path, content in self._files.items():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            except OSError as error:
                raise ContentError(f"cannot be written: {error.strerror}", where=str(path)) from error


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _resource(path: Path) -> Json:
    content = read_content(path)
    if not isinstance(content, dict) or not isinstance(content.get("resourceType"), str):
        raise ContentError("is no FHIR resource", where=str(path))
    return content


def _entry(resource: Json) -> Json:
    if isinstance(resource.get("id"), str):
        return {"fullUrl": f"{CANONICAL_BASE}/{resource.get('resourceType')}/{resource['id']}", "resource": resource}
    return {"resource": resource}


def _is_loader(content: Json) -> bool:
    """Whether an attachment is the IG publisher's sign that the CQL file is to be put here."""
    return str(content.get("id", "")).startswith("ig-loader-")


def _attached(library: _Found, kind: str) -> bytes | None:
    """What is attached to a Library as `kind`; None where nothing is, or it is no base64."""
    for content in library.json.get("content") or ():
        if content.get("contentType") == kind and isinstance(content.get("data"), str):
            try:
                return b64decode(content["data"], validate=True)
            except ValueError:
                return None
    return None


def _same(one: bytes, other: bytes) -> bool:
    """Whether two files say the same: byte by byte, or as JSON."""
    if one == other:
        return True
    try:
        return bool(orjson.loads(one) == orjson.loads(other))
    except ValueError:
        return False
