"""A content folder as the checks see it, though it may not load: its files, trials, resources and CQL libraries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cds.authoring.check.cql import Cql
from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.authoring.check.source import ELM, Source, files
from cds.elm import Libraries
from cds.errors import CdsError
from cds.fhir.model import FHIRModel
from cds.trials.catalog import EXTENSION

EMPTY = Rule("folder-empty", Severity.ERROR, "A folder holds no content.")
MISSING = Rule("file-missing", Severity.ERROR, "A trial folder lacks a file.")
RULES = (EMPTY, MISSING)

PLAN, STUDY, LIBRARY, RECORD, CQL = (
    "plan-definition.json",
    "research-study.json",
    "library.json",
    "record.txt",
    "eligibility.cql",
)
CASES = "cases"
_EXPECTED = ".expected.json"

Json = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """A FHIR resource in a file of its own."""

    source: Source
    json: Json

    @property
    def kind(self) -> str:
        """Its resourceType; empty where that is no text."""
        return text(self.json.get("resourceType"))

    @property
    def url(self) -> str:
        """Its canonical URL; empty where it has none."""
        return text(self.json.get("url"))

    @cached_property
    def elements(self) -> tuple[tuple[tuple[str | int, ...], Json], ...]:
        """Every object in it, itself first, with the path to it."""
        return tuple(elements(self.json))


@dataclass(frozen=True)
class Action:
    """An action of a PlanDefinition, and where it stands in it."""

    json: Json
    path: tuple[str | int, ...]
    source: Source

    @property
    def id(self) -> str:
        """Its id, or ``?``."""
        return text(self.json.get("id")) or "?"

    def place(self, *path: str | int) -> Place:
        """Where a member of it stands."""
        return self.source.place(*self.path, *path)

    def extensions(self, name: str) -> list[tuple[Any, Place]]:
        """The values of our extension `name`, each with its place."""
        return [(value, self.place("extension", number)) for number, value in numbered_values(self.json, name)]

    def values(self, name: str) -> list[Any]:
        """The values of our extension `name`."""
        return [value for _, value in numbered_values(self.json, name)]

    @property
    def condition(self) -> tuple[str, Place] | None:
        """The definition that its first applicability condition names, with its place."""
        for number, condition in objects(self.json.get("condition")):
            expression = condition.get("expression")
            if condition.get("kind") == "applicability" and isinstance(expression, dict):
                name = expression.get("expression")
                if isinstance(name, str):
                    return name, self.place("condition", number, "expression", "expression")
        return None

    @property
    def children(self) -> Iterator[Action]:
        """The actions right in it."""
        for number, child in objects(self.json.get("action")):
            yield Action(child, (*self.path, "action", number), self.source)

    @property
    def descendants(self) -> Iterator[Action]:
        """All actions in it, at any depth."""
        waiting = list(self.children)
        while waiting:
            action = waiting.pop(0)
            yield action
            waiting = [*action.children, *waiting]


@dataclass(frozen=True)
class TrialFolder:
    """One trial's folder: what is there of it."""

    path: Path
    sources: dict[str, Source]

    @property
    def id(self) -> str:
        """The trial's id, which is its folder's name."""
        return self.path.name

    def json(self, name: str) -> tuple[Source, Json] | None:
        """One of its JSON files, where it can be read."""
        source = self.sources.get(name)
        return (source, source.content) if source is not None and source.content is not None else None

    @cached_property
    def actions(self) -> tuple[Action, ...]:
        """All actions of its plan, in order."""
        plan = self.json(PLAN)
        return tuple(all_actions(*plan)) if plan else ()

    @cached_property
    def criteria(self) -> tuple[tuple[str, Action], ...]:
        """The actions that are criteria, with their kind: ``inclusion``, ``exclusion``, or ``conversion``."""
        tops = {action.id: action for action in self.actions if len(action.path) == 2}
        found: list[tuple[str, Action]] = []
        if "eligibility" in tops:
            branches = {branch.id: branch for branch in tops["eligibility"].children}
            for kind in ("inclusion", "exclusion"):
                found += [(kind, action) for action in branches[kind].children] if kind in branches else []
        if "conversion" in tops:
            found += [("conversion", one) for one in tops["conversion"].descendants if one.values("assessment")]
        return tuple(found)


@dataclass
class Content:
    """All that is in a content folder. `focus` are the folders and files that findings are asked of."""

    root: Path
    focus: tuple[Path, ...]
    cache: Path | None = None
    sources: dict[Path, Source] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def read(cls, root: Path, focus: Iterable[Path] = (), cache: Path | None = None) -> Content:
        """What a folder holds. Of what is not in `focus` only what others may refer to is read."""
        content = cls(root, tuple(path.resolve() for path in focus) or (root.resolve(),), cache)
        for folder in content._folders():
            for found in files(folder):
                if isinstance(found, Finding):
                    content.findings.append(found)
                elif content.holds(found) or CASES not in found.parts[len(root.parts) :]:
                    content.sources.setdefault(found, Source.read(found))
        return content

    def _folders(self) -> list[Path]:
        """The root, where all of it is asked for; else the folders in it that hold content."""
        if self.root.resolve() in self.focus:
            return [self.root]
        kept = [path for path in sorted(self.root.iterdir()) if path.is_dir() and is_content_folder(path)]
        known = {path.resolve() for path in kept}
        own = {path if path.is_dir() else path.parent for path in self.focus} - known
        further = [path for path in own if not any(path.is_relative_to(one) for one in known)]
        return kept + [self.root / path.relative_to(self.root.resolve()) for path in sorted(further)]

    def holds(self, path: Path) -> bool:
        """Whether findings about a file are asked for."""
        resolved = path if path.is_absolute() else Path.cwd() / path
        return any(resolved.is_relative_to(one) or path.resolve().is_relative_to(one) for one in self.focus)

    @cached_property
    def resources(self) -> list[Resource]:
        """The resources in files of their own; of cases, ELM and expected answers none."""
        return [
            Resource(source, source.content)
            for source in self.sources.values()
            if source.content is not None and _is_resource_file(source.path, self.root)
        ]

    @cached_property
    def bare_elm(self) -> frozenset[str]:
        """The libraries that are there as ELM alone, in files of their own, by name."""
        found = set()
        for resource in self.resources:
            library = resource.json.get("library", resource.json)
            identifier = library.get("identifier") if isinstance(library, dict) else None
            if not resource.kind and isinstance(identifier, dict):
                found.add(text(identifier.get("id")))
        return frozenset(found)

    @cached_property
    def unreadable(self) -> bool:
        """Whether some file that should hold a resource cannot be read."""
        return any(
            source.content is None and path.suffix == ".json" and _is_resource_file(path, self.root)
            for path, source in self.sources.items()
        )

    @cached_property
    def trials(self) -> list[TrialFolder]:
        """The trial folders, by name."""
        found: dict[Path, dict[str, Source]] = {}
        for path in self.sources:
            if path.name in (PLAN, STUDY, CQL, RECORD):
                found.setdefault(path.parent, {})
        for path, source in self.sources.items():
            if path.parent in found:
                found[path.parent][path.name] = source
        return [TrialFolder(path, own) for path, own in sorted(found.items())]

    @cached_property
    def cql(self) -> list[Cql]:
        """The CQL files, each with the ELM beside it."""
        return [
            Cql(source, self.sources.get(path.with_name(path.stem + ELM)))
            for path, source in self.sources.items()
            if path.suffix == ".cql"
        ]

    @cached_property
    def libraries(self) -> dict[str, Cql]:
        """The CQL libraries by name, the first where there are several."""
        found: dict[str, Cql] = {}
        for one in self.cql:
            if one.name is not None:
                found.setdefault(one.name, one)
        return found

    @cached_property
    def compiled(self) -> Libraries | CdsError | None:
        """The ELM as the engine loads it, or what it says of it; None where some is not there."""
        there = [cql for cql in self.libraries.values() if cql.elm is not None]
        if len(there) < len(self.cql):
            return None
        libraries = Libraries(FHIRModel())
        try:
            for cql in there:
                libraries.add({"library": cql.elm}, str(cql.source.path))
            libraries.compile()
        except CdsError as error:
            return error
        return libraries

    def library(self, trial: TrialFolder) -> Cql | None:
        """The CQL of a trial."""
        return next((one for one in self.cql if one.source.path == trial.path / CQL), None)

    @cached_property
    def by_url(self) -> dict[str, list[Resource]]:
        """The resources by canonical URL."""
        found: dict[str, list[Resource]] = {}
        for resource in self.resources:
            if resource.url:
                found.setdefault(resource.url, []).append(resource)
        return found


def findings(content: Content) -> Iterator[Finding]:
    """What is wrong with files as files, and which are missing."""
    yield from content.findings
    for source in content.sources.values():
        yield from source.findings
    for focus in content.focus:
        if focus.is_dir() and not any(content.sources) and not content.findings:
            yield Finding(EMPTY, Place(focus), "holds no content", "name a folder of trials, or a trial's folder")
    for trial in content.trials:
        for name in (PLAN, STUDY, LIBRARY, CQL):
            if name not in trial.sources:
                yield Finding(
                    MISSING, Place(trial.path), f"has no {name}", f"add {name}: cds new makes all of a folder"
                )


def root_of(path: Path) -> Path:
    """The content folder that a path is in: of a trial's folder or a file in one, the folder above it."""
    folder = path if path.is_dir() else path.parent
    while folder.name in (CASES, "valuesets"):
        folder = folder.parent
    return folder.parent if is_content_folder(folder) else folder


def is_content_folder(path: Path) -> bool:
    """Whether a folder is one trial's, or what trials share."""
    return (
        (path / "valuesets").is_dir() or any((path / name).is_file() for name in (PLAN, STUDY, CQL)) or _has_cql(path)
    )


def _has_cql(path: Path) -> bool:
    try:
        return next(path.glob("*.cql"), None) is not None
    except OSError:
        return False


def _is_resource_file(path: Path, root: Path) -> bool:
    return not path.name.endswith((ELM, _EXPECTED)) and CASES not in path.parts[len(root.parts) :]


def all_actions(source: Source, plan: Json) -> Iterator[Action]:
    """All actions of a PlanDefinition, at any depth, in order."""
    yield from Action(plan, (), source).descendants


def text(value: Any) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def objects(value: Any) -> Iterator[tuple[int, Json]]:
    """The objects in a list, each with its index; none where it is no list."""
    for number, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield number, item


def elements(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """Every object in a JSON value, with the path to it."""
    waiting = [(path, node)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, dict):
            yield path, node
            waiting.extend(((*path, key), value) for key, value in reversed(node.items()))
        elif isinstance(node, list):
            waiting.extend(((*path, number), node[number]) for number in reversed(range(len(node))))


def numbered_values(element: Json, name: str) -> Iterator[tuple[int, Any]]:
    """The values of our extension `name` on an element, each with the index of its extension."""
    for number, extension in objects(element.get("extension")):
        if extension.get("url") == EXTENSION + name:
            yield from ((number, value) for key, value in extension.items() if key.startswith("value"))
