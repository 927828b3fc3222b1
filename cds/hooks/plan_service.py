"""A PlanDefinition that others wrote as a CDS service: discovery, answer, cards, suggestions.

The guide *Using FHIR Clinical Reasoning with CDS Hooks* maps cards to actions and is silent in four places; what is
decided there stands in ARCHITECTURE.md ("Content of others") and beside the code.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from cds.errors import RequestError
from cds.hooks.cards import EXTENSION, SUMMARY
from cds.hooks.detail import cut, plain
from cds.hooks.laps import Laps
from cds.hooks.prefetch import gather, templates
from cds.hooks.request import HookRequest
from cds.hooks.source import NoSource, Source
from cds.reasoning.apply import Applied, AppliedAction, apply, evaluation
from cds.reasoning.knowledge import Knowledge, Plan

_log = logging.getLogger("cds.hooks")

Json = dict[str, Any]

#: FHIR's request priority as a card's indicator. `asap` is not in the guide's map; it is nearer to urgent than to stat.
_INDICATORS = {"routine": "info", "urgent": "warning", "asap": "warning", "stat": "critical"}
#: FHIR's selection behaviours as those of CDS Hooks, which has two.
_BEHAVIORS = {"at-most-one": "at-most-one", "exactly-one": "at-most-one"}
#: A group of these is one suggestion; of others, each member is a suggestion of its own.
_TOGETHER = (None, "all", "all-or-none")
_LONGEST_DETAIL = 8000
_MOST_LINKS = 5


@dataclass(frozen=True)
class PlanService:
    """One plan at one hook."""

    plan: Plan
    hook: str
    definition: Json
    knowledge: Knowledge = field(repr=False)
    types: tuple[str, ...] = ()
    override_reasons: tuple[Json, ...] = ()
    source: Source = field(default_factory=NoSource, repr=False)

    @property
    def id(self) -> str:
        """The last part of the service's address."""
        return str(self.definition["id"])

    def respond(self, body: Any, *, now: datetime, laps: Laps | None = None) -> Json:
        """The cards for one request, as of `now`: one for each action at the top of the plan that applies.

        Raises RequestError for a request that cannot be accepted, DataUnavailableError where data that the plan reads
        was not sent and cannot be read: what is not there would pass for what is not so.
        """
        laps = laps or Laps()
        request = HookRequest.parse(body, self.hook)
        laps.lap("check")
        try:
            gathered = gather(
                request,
                types=self.types,
                needed=[kind for kind in self.types if templates([kind])],
                source=self.source,
                now=now,
                timezone=now.tzinfo or UTC,
                hygiene=False,
            )
            laps.lap("gather")
            running = evaluation(self.knowledge, gathered.record, now, request.in_context)
            applied = apply(self.plan, self.knowledge, running, patient_id=request.patient_id, now=now, hook=self.hook)
        except RecursionError:
            raise RequestError("is nested too deeply", where="prefetch", remedy="send FHIR resources") from None
        laps.lap("match")
        response: Json = {"cards": [card(self.plan, one, request.hook_instance) for one in applied.actions]}
        if applied.undecided:
            response["extension"] = {EXTENSION: {"undecided": _undecided(applied)}}
        laps.lap("cards")
        return response


def plan_services(
    knowledge: Knowledge, *, taken: Collection[str] = (), source: Source | None = None
) -> Iterator[PlanService]:
    """A service for each hook of each plan that hooks trigger and that is not retired.

    A plan of one hook is known by its own id, one of several by its id and the hook. What cannot be served is logged
    with its reason, and the others are served.
    """
    for plan in knowledge.plans.values():
        if not plan.hooks or plan.definition.get("status") == "retired":
            continue
        problem = knowledge.refused.get(plan.url) or _not_described(plan)
        if problem:
            _log.error("the plan %s is not served: %s", plan.id, problem)
            continue
        types = _types(knowledge, plan)
        for hook in plan.hooks:
            service_id = plan.id if len(plan.hooks) == 1 else f"{plan.id}-{hook}"
            if service_id in taken:
                _log.error("the plan %s is not served: there is a service %s already", plan.id, service_id)
                continue
            definition = _definition(plan, service_id, hook, types)
            yield PlanService(plan, hook, definition, knowledge, types, source=source or NoSource())


def _types(knowledge: Knowledge, plan: Plan) -> tuple[str, ...]:
    return ("Patient", *sorted(knowledge.types(plan) - {"Patient"}))


def _not_described(plan: Plan) -> str | None:
    if not isinstance(plan.definition.get("description"), str):
        return f"{plan.source}: it has no description, which discovery must give"
    return None


def _definition(plan: Plan, service_id: str, hook: str, types: Iterable[str]) -> Json:
    """The entry in discovery (CDS Hooks 2.0.1; the guide's discovery mapping)."""
    told: Json = {
        "hook": hook,
        "title": plan.title,
        "description": plan.definition["description"],
        "id": service_id,
        "prefetch": templates(types),
    }
    if isinstance(plan.definition.get("usage"), str):
        told["usageRequirements"] = plan.definition["usage"]
    return told


def _undecided(applied: Applied) -> list[Json]:
    return [{"action": one.action, "expression": one.expression, "reason": one.reason} for one in applied.undecided]


def card(plan: Plan, action: AppliedAction, hook_instance: UUID) -> Json:
    """The card of an action at the top of a plan. The same call gives the same UUIDs."""
    title = plain(action.title) or plan.title
    shown: Json = {
        "uuid": str(uuid5(hook_instance, f"{plan.url}#{action.path}")),
        "summary": cut(title, SUMMARY),
        "indicator": _INDICATORS.get(str(action.action.get("priority")), "info"),
        "source": _source(plan, action.action),
    }
    description = str(action.action.get("description") or "")
    if description and description != action.title:
        shown["detail"] = _markdown(description)
    elif len(title) > SUMMARY:
        shown["detail"] = _markdown(title)
    if suggestions := list(_suggestions(plan, action, hook_instance)):
        shown["suggestions"] = suggestions
        shown["selectionBehavior"] = _BEHAVIORS.get(str(action.action.get("selectionBehavior")), "any")
    if links := _links(plan, action):
        shown["links"] = links
    version = plan.definition.get("version")
    shown["extension"] = {EXTENSION: {"planDefinition": f"{plan.url}|{version}" if version else plan.url}}
    return shown


def _markdown(text: str) -> str:
    """An author's Markdown, without HTML: clients show that raw."""
    kept = "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in text)
    return cut(kept.replace("<", "&lt;"), _LONGEST_DETAIL)


def _source(plan: Plan, action: Json) -> Json:
    """Where the advice comes from: the action's documentation; where it has none, who publishes the plan."""
    documents = [one for one in action.get("documentation", ()) if one.get("type") == "documentation"]
    for one in documents:
        label = one.get("display") or one.get("label") or one.get("citation")
        if label:
            url = one.get("url")
            return {"label": plain(str(label)), **({"url": url} if _is_address(url) else {})}
    return {"label": plain(str(plan.definition.get("publisher") or plan.title))}


def _is_address(url: Any) -> bool:
    return isinstance(url, str) and url.startswith(("https://", "http://"))


def _suggestions(plan: Plan, action: AppliedAction, hook_instance: UUID) -> Iterator[Json]:
    """What a card offers: the request of its own activity, and its actions; alternatives apart from one another."""
    if action.resource is not None:
        yield _suggestion(plan, action, hook_instance, [action])
    for child in action.actions:
        yield from _offers(plan, child, hook_instance)


def _offers(plan: Plan, action: AppliedAction, hook_instance: UUID) -> Iterator[Json]:
    members = list(_all(action))
    if all(one.action.get("selectionBehavior") in _TOGETHER for one in members):
        yield _suggestion(plan, action, hook_instance, members)
        return
    if action.resource is not None:
        yield _suggestion(plan, action, hook_instance, [action])
    for child in action.actions:
        yield from _offers(plan, child, hook_instance)


def _all(action: AppliedAction) -> Iterator[AppliedAction]:
    yield action
    for child in action.actions:
        yield from _all(child)


def _suggestion(plan: Plan, action: AppliedAction, hook_instance: UUID, members: Iterable[AppliedAction]) -> Json:
    shown: Json = {
        "label": plain(action.title) or plan.title,
        "uuid": str(uuid5(hook_instance, f"{plan.url}#{action.path}/suggestion")),
    }
    actions = [
        {"type": "create", "description": plain(one.title) or plan.title, "resource": one.resource}
        for one in members
        if one.resource is not None
    ]
    if actions:
        shown["actions"] = actions
    return shown


def _links(plan: Plan, action: AppliedAction) -> list[Json]:
    """Forms that the action asks for, and what the plan rests on, as far as they have an address."""
    forms = [("Questionnaire", one.questionnaire.partition("|")[0]) for one in _all(action) if one.questionnaire]
    named = [
        (str(one.get("display") or one.get("label") or one.get("citation") or one.get("url")), one.get("url"))
        for one in plan.definition.get("relatedArtifact", ())
        if one.get("type") in ("documentation", "citation", "justification")
    ]
    links = {str(url): label for label, url in [*forms, *named] if _is_address(url)}
    return [{"label": cut(plain(label), SUMMARY), "url": url, "type": "absolute"} for url, label in links.items()][
        :_MOST_LINKS
    ]
