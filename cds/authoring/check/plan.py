"""PlanDefinitions: criteria that say all that is read of them, and the profiles of CDS Hooks Clinical Reasoning."""

from __future__ import annotations

from collections.abc import Iterator

from cds.authoring.check.content import PLAN, Action, Content, Json, Resource, TrialFolder, objects, text
from cds.authoring.check.cql import Cql, is_boolean, nodes
from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.elm import types
from cds.fhir.model import FHIRModel

NO_CRITERIA = Rule("criteria-missing", Severity.ERROR, "A trial's plan has no criteria where they are read.")
INCOMPLETE = Rule("criterion-incomplete", Severity.ERROR, "A criterion lacks what every criterion has.")
TWICE = Rule("criterion-duplicate", Severity.ERROR, "Two criteria have one id.")
ASSESSMENT = Rule("assessment-missing", Severity.ERROR, "A criterion does not say who can assess it.")
POLICY = Rule("policy-missing", Severity.WARNING, "A criterion does not say what absent data means.")
POLICY_ODD = Rule("policy-contradiction", Severity.ERROR, "The policies of a criterion contradict its assessment.")
QUESTION = Rule("question-missing", Severity.WARNING, "A criterion does not say what to ask where it is unknown.")
TITLE = Rule("title-too-long", Severity.WARNING, "A title does not fit on a card.")
LANGUAGE = Rule("condition-language", Severity.ERROR, "A condition is no name of a CQL definition.")
CONDITIONS = Rule("condition-several", Severity.WARNING, "A criterion has several conditions; the first is read.")
DEFINE = Rule("define-missing", Severity.ERROR, "A criterion names a definition that is not there.")
BOOLEAN = Rule("define-not-boolean", Severity.ERROR, "A condition names a definition that is not Boolean.")
EVIDENCE = Rule("evidence-not-resources", Severity.ERROR, "Evidence is a definition that holds no resources.")
COMPUTES = Rule("attestation-computed", Severity.WARNING, "What only a person can say is computed.")
UNWRITTEN = Rule("criterion-unwritten", Severity.WARNING, "A criterion that data should decide is null for everyone.")
DISEASE = Rule("disease-criterion-missing", Severity.WARNING, "A trial does not say which criterion is its disease.")
TRIGGER = Rule("trigger-missing", Severity.WARNING, "No hook triggers a plan.")
HOOK = Rule("hook-unknown", Severity.WARNING, "A trigger names no hook of CDS Hooks.")
DESCRIPTION = Rule("service-description-missing", Severity.ERROR, "A plan that is a CDS service has no description.")
CARD_TITLE = Rule("card-title-missing", Severity.WARNING, "An action that is a card has no title.")
CARD_SOURCE = Rule("card-source-missing", Severity.WARNING, "An action that is a card has no documentation.")
LOSSY = Rule("card-mapping-lossy", Severity.WARNING, "An element of an action cannot be said in CDS Hooks.")
RULES = (
    NO_CRITERIA,
    INCOMPLETE,
    TWICE,
    ASSESSMENT,
    POLICY,
    POLICY_ODD,
    QUESTION,
    TITLE,
    LANGUAGE,
    CONDITIONS,
    DEFINE,
    BOOLEAN,
    EVIDENCE,
    COMPUTES,
    UNWRITTEN,
    DISEASE,
    TRIGGER,
    HOOK,
    DESCRIPTION,
    CARD_TITLE,
    CARD_SOURCE,
    LOSSY,
)

#: The hooks of cds-hooks.org's library.
HOOKS = (
    "patient-view",
    "order-select",
    "order-sign",
    "order-dispatch",
    "appointment-book",
    "encounter-start",
    "encounter-discharge",
    "problem-list-item-create",
    "medication-refill",
    "allergyintolerance-create",
)
_LANGUAGES = ("text/cql-identifier", "text/cql.identifier", "text/cql", "text/cql-expression")
#: How long a criterion's title may be on a card, and a card's summary (CDS Hooks 2.0.1, Card Attributes).
_LONGEST_TITLE, _LONGEST_SUMMARY = 80, 140
_SAYING = ("prefix", "title", "textEquivalent")
_MODEL = FHIRModel()


def findings(content: Content) -> Iterator[Finding]:
    """What is wrong with the plans of trials, and with those that are CDS services of their own."""
    for trial in content.trials:
        plan = trial.json(PLAN)
        if plan and content.holds(trial.path) and plan[1].get("resourceType") == "PlanDefinition":
            yield from _trial(content, trial, Resource(*plan))
    of_trials = {trial.path / PLAN for trial in content.trials}
    for resource in content.resources:
        if resource.kind == "PlanDefinition" and content.holds(resource.source.path):
            yield from _conditions(resource)
            yield from _triggers(resource)
            if resource.source.path not in of_trials:
                yield from _service(resource)


def _trial(content: Content, trial: TrialFolder, plan: Resource) -> Iterator[Finding]:
    inclusion = [action for kind, action in trial.criteria if kind in ("inclusion", "exclusion")]
    if not inclusion:
        message = "has no criteria under the action 'eligibility', in 'inclusion' or 'exclusion'"
        mend = "give the actions these ids: eligibility, in it inclusion and exclusion, in these the criteria"
        yield Finding(NO_CRITERIA, plan.source.place("action"), message, mend)
    elif not any(True in action.values("disease-criterion") for action in inclusion):
        message = "no criterion is marked as the one that says whether the trial concerns the patient's disease"
        mend = "add the extension disease-criterion to it; without it every patient gets a card"
        yield Finding(DISEASE, plan.source.place("action"), message, mend)
    seen: set[str] = set()
    for _, action in trial.criteria:
        if action.id in seen:
            yield Finding(TWICE, action.place("id"), f"the criterion {action.id} is there already", "rename one")
        seen.add(action.id)
        yield from _criterion(action)
        yield from _definitions(content.library(trial), action)


def _criterion(action: Action) -> Iterator[Finding]:
    missing = [name for name in (*_SAYING, "id") if not text(action.json.get(name)).strip()]
    missing += [] if action.condition else ["condition (kind applicability, with the name of a definition)"]
    if missing:
        message = f"the criterion {action.id} has no {', no '.join(missing)}"
        yield Finding(INCOMPLETE, action.place(), message, "add it; textEquivalent is the protocol's own text")
    assessment, policies = action.values("assessment"), action.values("missing-data-policy")
    if len(assessment) != 1:
        message = f"the criterion {action.id} has {len(assessment) or 'no'} assessment{'s' * (len(assessment) > 1)}"
        mend = "add the extension assessment once: computable, partial or attestation"
        yield Finding(ASSESSMENT, action.place(), message, mend)
    if not policies:
        message = f"the criterion {action.id} has no missing-data-policy, so absent data is unknown"
        mend = "add the extension missing-data-policy: unknown, presume-absent or attest"
        yield Finding(POLICY, action.place(), message, mend)
    elif assessment == ["attestation"] and "attest" not in policies:
        message = f"{action.id} is for a person to say, and its policy is {', '.join(map(str, policies))}"
        place = action.extensions("missing-data-policy")[0][1]
        yield Finding(POLICY_ODD, place, message, "make the policy attest, or the assessment partial")
    elif assessment == ["computable"] and "attest" in policies:
        message = f"{action.id} is computable, and its policy asks a person"
        place = action.extensions("missing-data-policy")[0][1]
        yield Finding(POLICY_ODD, place, message, "make the assessment partial, or drop the policy attest")
    if not action.values("question"):
        message = f"{action.id} does not say whom to ask, and what, where it is unknown"
        yield Finding(QUESTION, action.place(), message, "add the extension question")
    if len(text(action.json.get("title"))) > _LONGEST_TITLE:
        message = f"the title of {action.id} has more than {_LONGEST_TITLE} characters"
        yield Finding(TITLE, action.place("title"), message, "shorten it; textEquivalent holds the whole text")


def _definitions(library: Cql | None, action: Action) -> Iterator[Finding]:
    if library is None:
        return
    named = [(text(name), place, True) for name, place in action.extensions("applies-when")]
    if action.condition:
        named.insert(0, (*action.condition, True))
    for extension in ("evidence", "verified-by"):
        named += [(text(name), place, False) for name, place in action.extensions(extension)]
    for name, place, answers in named:
        yield from _definition(library, action, name, place, answers)


def _definition(library: Cql, action: Action, name: str, place: Place, answers: bool) -> Iterator[Finding]:
    if name not in library.defined:
        message = f'{action.id} names the definition "{name}", which {library.source.path.name} does not have'
        yield Finding(DEFINE, place, message, f'write define "{name}": there, or name one that is there')
        return
    node = library.definitions.get(name)
    if node is None:
        return
    if answers and not is_boolean(node):
        message = f'"{name}" is not Boolean, so {action.id} is answered by no true or false'
        yield Finding(BOOLEAN, place, message, f"see {library.place(node)}: let it give true, false or null")
    if not answers and not _holds_resources(node):
        message = f'"{name}" holds no resources that could be shown as evidence of {action.id}'
        yield Finding(EVIDENCE, place, message, f"see {library.place(node)}: name a definition that retrieves")
    condition = action.condition[0] if action.condition else None
    attested = action.values("assessment") == ["attestation"]
    if condition == name and not attested and not computes(node.get("expression")):
        message = f"data should decide {action.id}, and its definition is null, so it is unknown for everyone"
        mend = f"write the definition ({library.place(node)}), or make the assessment attestation"
        yield Finding(UNWRITTEN, place, message, mend)
    if condition == name and attested and computes(node.get("expression")):
        message = f"{action.id} is for a person to say, and {library.source.path.name} computes it"
        yield Finding(COMPUTES, place, message, "make the assessment partial, or the definition null as Boolean")


def computes(expression: object) -> bool:
    """Whether an expression is anything but null."""
    return not {str(one.get("type")) for one in nodes(expression)} <= {"As", "Null", "NamedTypeSpecifier"}


def _holds_resources(node: Json) -> bool:
    try:
        result = types.result_type(node)
    except (LookupError, TypeError, ValueError, AttributeError):
        return True  # the engine refuses such ELM, and that is a finding of its own
    return result is None or any(_MODEL.is_resource_type(name) for name in types.named_types(result))


# ------------------------------------------------------------------------------------------- plans as CDS services


def _conditions(plan: Resource) -> Iterator[Finding]:
    for action in _actions(plan):
        conditions = list(objects(action.json.get("condition")))
        for number, condition in conditions:
            expression = condition.get("expression")
            language = expression.get("language") if isinstance(expression, dict) else None
            if condition.get("kind") == "applicability" and language not in _LANGUAGES:
                message = f"the language {language!r} is not evaluated"
                place = action.place("condition", number, "expression", "language")
                yield Finding(LANGUAGE, place, message, "name a definition, in the language text/cql-identifier")
        if len(conditions) > 1 and action.values("assessment"):
            message = f"{action.id} has {len(conditions)} conditions, and a criterion is answered by its first"
            yield Finding(CONDITIONS, action.place("condition", 1), message, "join them in one definition")


def _actions(plan: Resource) -> Iterator[Action]:
    return Action(plan.json, (), plan.source).descendants


def _triggers(plan: Resource) -> Iterator[Finding]:
    hooks = 0
    for action in _actions(plan):
        for number, trigger in objects(action.json.get("trigger")):
            if trigger.get("type") != "named-event":
                continue
            hooks += 1
            if trigger.get("name") not in HOOKS:
                message = f"{trigger.get('name')!r} is no hook of the CDS Hooks library"
                place = action.place("trigger", number, "name")
                yield Finding(HOOK, place, message, f"write one of: {', '.join(HOOKS)}")
    if not hooks:
        message = "no action has a trigger of type named-event, so no hook calls it"
        mend = 'add "trigger": [{"type": "named-event", "name": "patient-view"}] to the action'
        yield Finding(TRIGGER, plan.source.place("action"), message, mend)


def _service(plan: Resource) -> Iterator[Finding]:
    """The mapping of the guide *Using FHIR Clinical Reasoning with CDS Hooks*, where it asks for what is not there."""
    if not text(plan.json.get("description")).strip():
        message = "has no description, which discovery must give (CDS Hooks: description is required)"
        yield Finding(DESCRIPTION, plan.source.place(), message, "say in description what the service does")
    for card in Action(plan.json, (), plan.source).children:
        title = text(card.json.get("title"))
        if not title.strip():
            message = f"the action {card.id} has no title, which is the card's summary"
            yield Finding(CARD_TITLE, card.place(), message, "give it a title of at most 140 characters")
        elif len(title) > _LONGEST_SUMMARY:
            message = f"the title of {card.id} is longer than a card's summary may be ({_LONGEST_SUMMARY} characters)"
            yield Finding(TITLE, card.place("title"), message, "shorten it; the description is the card's detail")
        if not list(objects(card.json.get("documentation"))):
            message = (
                f"the action {card.id} has no documentation; the card's source is the plan's publisher, else its title"
            )
            yield Finding(CARD_SOURCE, card.place(), message, "add documentation: what the advice comes from")
    for action in _actions(plan):
        yield from _lossy(action)


def _lossy(action: Action) -> Iterator[Finding]:
    kind = (
        next((text(one.get("code")) for _, one in objects((action.json.get("type") or {}).get("coding"))), "")
        if isinstance(action.json.get("type"), dict)
        else ""
    )
    if action.json.get("priority") == "asap":
        message = "the priority asap has no indicator of its own, and is shown as warning"
        yield Finding(LOSSY, action.place("priority"), message, "write routine, urgent or stat")
    if kind == "remove":
        message = "an action of type remove names no resource, which delete needs: it proposes nothing"
        yield Finding(LOSSY, action.place("type"), message, "say in its title what is to be removed")
    behavior = action.json.get("selectionBehavior")
    if behavior in ("all-or-none", "one-or-more"):
        message = f"the selectionBehavior {behavior} has no equal in CDS Hooks (at-most-one, any)"
        yield Finding(LOSSY, action.place("selectionBehavior"), message, "write at-most-one, exactly-one or any")
