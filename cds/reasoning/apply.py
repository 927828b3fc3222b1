"""A plan applied to a patient: which of its actions apply, with their texts and resources (PlanDefinition/$apply, R4).

An action applies where all its applicability conditions are true. FHIR does not say what a condition that is null
means. Here it is neither: the action is not shown, and the answer says that it is undecided and by which condition,
for what nobody knows is not the same as what is not so. A condition that fails is undecided as well, with its reason.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cds.elm import Evaluation
from cds.elm.ports import Value
from cds.elm.types import ListOf, Type
from cds.errors import CdsError
from cds.fhir.model import Element
from cds.fhir.record import PatientRecord
from cds.reasoning.activities import draft, fitting, lacks, put
from cds.reasoning.knowledge import Knowledge, Plan, applicability, named_events

Json = dict[str, Any]

_log = logging.getLogger("cds.reasoning")

#: Steps that one definition may spend, and all of a plan together (see `cds.elm.budget`): about half a second.
_DEFINITION_BUDGET = 500_000
_EVALUATION_BUDGET = 2_000_000
#: The properties of an action that expressions may set (R4 PlanDefinition.action.dynamicValue).
_DYNAMIC = ("title", "description", "textEquivalent", "priority", "prefix")


@dataclass(frozen=True, slots=True)
class AppliedAction:
    """An action that applies: its definition with the values that expressions gave, and what it comes to.

    `path` tells it from all others of the plan. `resource` is the draft request of its activity, `questionnaire` the
    canonical of a form that it asks for. `actions` are those of its own that apply, a nested plan's included.
    """

    path: str
    action: Json = field(repr=False)
    resource: Json | None = None
    questionnaire: str | None = None
    actions: tuple[AppliedAction, ...] = ()

    @property
    def title(self) -> str:
        """What it is called: its title, else its description or text."""
        texts = (self.action.get(name) for name in ("title", "description", "textEquivalent"))
        return str(next((text for text in texts if text), ""))


@dataclass(frozen=True, slots=True)
class Undecided:
    """An action that nobody can say applies: by which condition (or value), and why."""

    action: str
    expression: str
    reason: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What a plan comes to for a patient."""

    actions: tuple[AppliedAction, ...]
    undecided: tuple[Undecided, ...]


def evaluation(
    knowledge: Knowledge,
    record: PatientRecord,
    now: datetime,
    in_context: Mapping[str, list[Json]] | None = None,
) -> Evaluation:
    """A patient's evaluation of the libraries. `in_context` are resources of the hook's context, by type: a parameter
    that is a list of such a type gets them (draft orders, as others' content expects them).
    """
    running = Evaluation(
        knowledge.libraries, record, knowledge.value_sets, now, budget=_DEFINITION_BUDGET, total=_EVALUATION_BUDGET
    )
    for parameter in (one for library in knowledge.libraries for one in library.parameters.values()):
        for kind, resources in (in_context or {}).items():
            if _is_list_of(parameter.result_type, kind):
                running.results[parameter.index] = [Element(kind, one) for one in resources]
    return running


def apply(
    plan: Plan, knowledge: Knowledge, running: Evaluation, *, patient_id: str, now: datetime, hook: str | None = None
) -> Applied:
    """Which actions of a plan apply. `hook` leaves out the actions at its top that another event triggers."""
    one = _Application(knowledge, running, patient_id, now)
    tops = [
        (f"{plan.id}.action[{place}]", action)
        for place, action in enumerate(plan.definition.get("action", ()))
        if hook is None or hook in (events := tuple(named_events(action))) or not events
    ]
    actions = tuple(found for path, action in tops if (found := one.action(plan, path, action)))
    return Applied(actions, tuple(one.undecided))


@dataclass(slots=True)
class _Application:
    knowledge: Knowledge
    running: Evaluation
    patient_id: str
    now: datetime
    undecided: list[Undecided] = field(default_factory=list)

    def action(self, plan: Plan, path: str, action: Json) -> AppliedAction | None:
        """The action with all that applies in it; None where it does not apply."""
        if not self._applies(plan, action):
            return None
        action = self._with_values(plan, action)
        children = [
            found
            for place, child in enumerate(action.get("action", ()))
            if (found := self.action(plan, f"{path}.action[{place}]", child))
        ]
        canonical = str(action.get("definitionCanonical") or "")
        resource, questionnaire = None, None
        if nested := self.knowledge.nested(canonical):
            for place, child in enumerate(nested.definition.get("action", ())):
                if found := self.action(nested, f"{path}/{nested.id}.action[{place}]", child):
                    children.append(found)
        elif activity := self.knowledge.activity(canonical):
            resource = self._request(plan, action, activity)
        elif canonical.partition("|")[0] in self.knowledge.questionnaires or "/Questionnaire/" in canonical:
            questionnaire = canonical
        return AppliedAction(path, action, resource, questionnaire, tuple(children))

    def _applies(self, plan: Plan, action: Json) -> bool:
        """Whether all conditions are true. Where none is false and some is not known, that is told."""
        open_ones = []
        for condition in applicability(action):
            expression = condition.get("expression") or {}
            value, reason = self._value(plan, expression)
            if value is False:
                return False
            if value is not True:
                open_ones.append(Undecided(_name(action), str(expression.get("expression")), reason or "is null"))
        self.undecided += open_ones
        return not open_ones

    def _value(self, plan: Plan, expression: Json) -> tuple[Value, str | None]:
        """What an expression gives, and why it gives nothing, if so."""
        try:
            value = self.running.value(self.knowledge.definition(plan, expression))
        except CdsError as error:
            return None, f"failed: {error}"
        except Exception as error:  # a plan that fails never takes its neighbours' cards away
            _log.error("an expression of %s failed: %s", plan.id, type(error).__name__)
            return None, "failed"
        return value, None if value is None or isinstance(value, bool) else "is no Boolean"

    def _with_values(self, plan: Plan, action: Json) -> Json:
        """The action with its own texts as expressions give them; what they do not give stays as it is written."""
        changed = dict(action)
        for dynamic in action.get("dynamicValue", ()):
            name = _own(str(dynamic.get("path", "")))
            if name not in _DYNAMIC:
                continue
            value, reason = self._value(plan, dynamic.get("expression") or {})
            if value is not None:
                changed[name] = str(fitting(value, "string"))
            elif reason:
                self._tell(action, dynamic, reason)
        return changed

    def _request(self, plan: Plan, action: Json, activity: Json) -> Json | None:
        """The request of an activity, with the values that it and the action set. None where it would lack a part."""
        resource = draft(activity, self.patient_id, self.now)
        if resource is None:
            return None
        owner = self.knowledge.owner(plan, activity)
        dynamics = [(owner, one) for one in activity.get("dynamicValue", ())]
        dynamics += [
            (plan, one) for one in action.get("dynamicValue", ()) if _own(str(one.get("path"))) not in _DYNAMIC
        ]
        for reader, dynamic in dynamics:
            value, reason = self._value(reader, dynamic.get("expression") or {})
            if value is None:
                if reason:
                    self._tell(action, dynamic, reason)
                continue
            try:
                put(resource, str(dynamic.get("path", "")).removeprefix("%"), value)
            except CdsError as error:
                self._tell(action, dynamic, str(error))
        if missing := lacks(resource):
            self.undecided.append(Undecided(_name(action), str(activity.get("url")), f"its request has no {missing}"))
            return None
        return resource

    def _tell(self, action: Json, dynamic: Json, reason: str) -> None:
        expression = str((dynamic.get("expression") or {}).get("expression"))
        self.undecided.append(Undecided(_name(action), expression, reason))


def _own(path: str) -> str:
    """The property of an action that a path names: ``title``, ``action.title``, ``%action.title``."""
    return path.removeprefix("%").removeprefix("action.")


def _name(action: Json) -> str:
    return str(action.get("title") or action.get("description") or action.get("id") or "an action")


def _is_list_of(result_type: Type | None, kind: str) -> bool:
    return isinstance(result_type, ListOf) and str(result_type.element) == kind
