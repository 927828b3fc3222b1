"""A folder of FHIR knowledge artifacts -> the PlanDefinitions in it that can be applied (R4 Clinical Reasoning).

Whoever wrote them laid the files out in his own way: every JSON file at any depth is looked at, Bundles are opened,
and resources are known by their canonical URLs. Of compiled CQL, ELM files and Libraries with ELM serve.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cds.elm import Definition, Libraries, retrievals
from cds.errors import CdsError, ContentError, ElmError
from cds.fhir.libraries import Shelf, compiled, elm_of, resources_in
from cds.fhir.valuesets import ValueSets

Json = dict[str, Any]

_log = logging.getLogger("cds.reasoning")

#: How a PlanDefinition names a definition of its Library: the guide's identifier, and what content in use has.
_IDENTIFIERS = ("text/cql-identifier", "text/cql.identifier", "text/cql", "text/cql-expression")
_QUALIFIED = re.compile(r'(?:(?P<library>"[^"]+"|[A-Za-z_]\w*)\.)?(?P<name>"[^"]+"|[^".]+)')


@dataclass(frozen=True)
class Plan:
    """A PlanDefinition as it is applied: its JSON, and the library that its expressions name by default."""

    url: str
    definition: Json = field(repr=False)
    library: str | None
    source: str

    @property
    def id(self) -> str:
        """The last part of its URL, by which a CDS service is known."""
        return self.url.rpartition("/")[2]

    @property
    def title(self) -> str:
        """What it is called."""
        return str(self.definition.get("title") or self.definition.get("name") or self.id)

    @cached_property
    def hooks(self) -> tuple[str, ...]:
        """The named events that trigger its actions, in their order."""
        actions = _all_actions(self.definition)
        return tuple(dict.fromkeys(name for action in actions for name in named_events(action)))


@dataclass(frozen=True)
class Knowledge:
    """What a folder holds: plans by canonical URL, what they use, and why some of them cannot be applied."""

    plans: Mapping[str, Plan]
    activities: Mapping[str, Json]
    questionnaires: Mapping[str, Json]
    libraries: Libraries = field(repr=False)
    value_sets: ValueSets = field(repr=False)
    refused: Mapping[str, str]

    @classmethod
    def load(cls, folder: Path) -> Knowledge:
        """The knowledge in a folder.

        A plan that cannot be applied is in `refused`, by its URL, with the reason; the others are not affected.
        Raises ContentError where the folder holds no PlanDefinition, or two different ones of one URL.
        """
        resources = list(resources_in(folder, _log.warning))
        by_kind: dict[str, dict[str, Json]] = {}
        sources: dict[str, str] = {}
        for source, resource in resources:
            if isinstance(resource, dict) and isinstance(resource.get("url"), str):
                _enter(by_kind.setdefault(str(resource.get("resourceType")), {}), sources, source, resource)
        identifiers = {url: _identifier(library) for url, library in by_kind.get("Library", {}).items()}
        plans = {
            url: Plan(url, one, _primary_library(one, identifiers), sources[url])
            for url, one in by_kind.get("PlanDefinition", {}).items()
        }
        if not plans:
            raise ContentError("holds no PlanDefinition", where=str(folder), remedy="name a folder of FHIR content")
        shelf = Shelf.of(folder)
        not_compiled: dict[str, CdsError] = {}
        names = []
        for name in sorted({name for plan in plans.values() for name in _libraries(plan)}):
            try:
                shelf.require(name)
                shelf.with_includes((name,))
                names.append(name)
            except ContentError as error:
                not_compiled[name] = error
        libraries, refused_libraries = compiled(shelf, tuple(names))
        not_compiled |= refused_libraries
        knowledge = cls(
            plans,
            by_kind.get("ActivityDefinition", {}),
            by_kind.get("Questionnaire", {}),
            libraries,
            ValueSets(resources, lenient=True),
            {},
        )
        refused = {url: problem for url, plan in plans.items() if (problem := knowledge._problem(plan, not_compiled))}
        return cls(plans, knowledge.activities, knowledge.questionnaires, libraries, knowledge.value_sets, refused)

    def definition(self, plan: Plan, expression: Json) -> Definition:
        """The definition that an expression of a plan names. ContentError for one that names none."""
        language, text = expression.get("language"), str(expression.get("expression", "")).strip()
        named = _QUALIFIED.fullmatch(text)
        if language not in _IDENTIFIERS or named is None:
            raise ContentError(
                f"an expression in {language} names no definition",
                where=plan.source,
                remedy=f"name a definition, with the language {_IDENTIFIERS[0]}",
            )
        stated = str(expression.get("reference") or "").partition("|")[0].rpartition("/")[2]
        library = (named["library"] or "").strip('"') or stated or plan.library
        for known in dict.fromkeys((library, plan.library)):
            if known and known in self.libraries:
                try:
                    return self.libraries[known].definition(named["name"].strip('"'))
                except ElmError:
                    continue
        raise ContentError(
            f"the library {library} has no definition {text}", where=plan.source, remedy="correct the name"
        )

    def nested(self, canonical: str) -> Plan | None:
        """The plan of a canonical URL, whatever its version."""
        return self.plans.get(canonical.partition("|")[0])

    def activity(self, canonical: str) -> Json | None:
        """The ActivityDefinition of a canonical URL, whatever its version."""
        return self.activities.get(canonical.partition("|")[0])

    def types(self, plan: Plan) -> frozenset[str]:
        """The resource types that a plan's expressions read, those of the plans and activities in it included."""
        definitions = [self.definition(owner, one) for owner, one in self._expressions(plan)]
        return frozenset(one.type_name for one in retrievals(definitions)) | {"Patient"}

    def _expressions(self, plan: Plan, within: tuple[str, ...] = ()) -> Iterator[tuple[Plan, Json]]:
        if plan.url in within:
            circle = " -> ".join([*within[within.index(plan.url) :], plan.url])
            raise ContentError(f"plans use each other in a circle: {circle}", where=plan.source)
        for action in _all_actions(plan.definition):
            for condition in applicability(action):
                yield plan, condition.get("expression") or {}
            yield from ((plan, one.get("expression") or {}) for one in action.get("dynamicValue", ()))
            canonical = action.get("definitionCanonical")
            if not isinstance(canonical, str):
                continue
            if nested := self.nested(canonical):
                yield from self._expressions(nested, (*within, plan.url))
            elif activity := self.activity(canonical):
                owner = self.owner(plan, activity)
                yield from ((owner, one.get("expression") or {}) for one in activity.get("dynamicValue", ()))

    def owner(self, plan: Plan, activity: Json) -> Plan:
        """The plan in whose place an activity's expressions are read: its own library comes first."""
        own = activity.get("library")
        if not own:
            return plan
        return Plan(plan.url, plan.definition, str(own[0]).partition("|")[0].rpartition("/")[2], plan.source)

    def _problem(self, plan: Plan, not_compiled: Mapping[str, CdsError]) -> str | None:
        """Why a plan cannot be applied: expressions that name nothing, CQL that cannot run, codes that are absent."""
        for name in _libraries(plan):
            if name in not_compiled:
                return str(not_compiled[name])
        try:
            definitions = [self.definition(owner, one) for owner, one in self._expressions(plan)]
            for one in retrievals(definitions):
                if one.value_set_url is not None:
                    self.value_sets.value_set(one.value_set_url)
        except CdsError as error:
            return str(error)
        return None


def _enter(known: dict[str, Json], sources: dict[str, str], source: str, resource: Json) -> None:
    url = resource["url"]
    if url in known and known[url] != resource and resource["resourceType"] == "PlanDefinition":
        raise ContentError(
            f"the PlanDefinition {url} is also in {sources[url]}, and differs there",
            where=source,
            remedy="keep one of the two",
        )
    known.setdefault(url, resource)
    sources.setdefault(url, source)


def named_events(action: Json) -> Iterator[str]:
    """The hooks that an action names as its triggers."""
    for trigger in action.get("trigger", ()):
        if trigger.get("type") == "named-event" and isinstance(trigger.get("name"), str):
            yield trigger["name"]


def applicability(action: Json) -> Iterator[Json]:
    """The conditions under which an action applies; those of its start and stop are for whoever carries it out."""
    return (one for one in action.get("condition", ()) if one.get("kind", "applicability") == "applicability")


def _all_actions(definition: Json) -> Iterator[Json]:
    waiting = list(definition.get("action", ()))
    while waiting:
        action = waiting.pop(0)
        if isinstance(action, dict):
            yield action
            waiting = [*action.get("action", ()), *waiting]


def _identifier(library: Json) -> str | None:
    """The identifier of the CQL library that a FHIR Library stands for."""
    elm = elm_of(library)
    return str(elm["identifier"]["id"]) if elm else None


def _primary_library(plan: Json, identifiers: Mapping[str, str | None]) -> str | None:
    named = plan.get("library") or ()
    if not named:
        return None
    url = str(named[0]).partition("|")[0]
    return identifiers.get(url) or url.rpartition("/")[2]


def _libraries(plan: Plan) -> Iterable[str]:
    return (plan.library,) if plan.library else ()
