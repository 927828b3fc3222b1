"""Trials as data: plandefinitions/ -> Catalog of Trials, with their logic compiled and their value sets read."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from cds.elm import Definition, Libraries, Library, resting_on, retrievals
from cds.errors import ContentError
from cds.fhir.model import FHIRModel
from cds.fhir.valuesets import ValueSets
from cds.trials.attestation import Question, questions
from cds.trials.compiled import elm_path, is_fresh, sources
from cds.trials.eligibility import (
    Assessment,
    Counts,
    Criterion,
    Eligibility,
    Kind,
    Missing,
    Note,
    Policy,
    Status,
    rank,
)
from cds.trials.passing_over import Group, groups

#: The canonical base of our own extensions, code systems and value sets (listed in ARCHITECTURE.md).
CANONICAL_BASE = "https://trial-match.example/fhir"
EXTENSION = f"{CANONICAL_BASE}/StructureDefinition/"

#: The parameter that holds the index date of every look-back window.
FIRST_DOSE = "First Dose"

#: The folder, beside those of the trials, of what several of them use.
SHARED = "shared"
_PLAN = "plan-definition.json"
_STUDY = "research-study.json"
#: R4's PublicationStatus; only active trials are matched.
_STATUSES = ("draft", "active", "retired", "unknown")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Logic:
    """Where a criterion's answer comes from.

    `answer` is its Boolean definition. `facts` are the nearest resource-valued definitions that it rests on, in the
    order of reference: what they hold is its evidence, and each says what is missing where it is empty. `shown` is
    evidence that an author added; `verifying` are the definitions whose resources turn a presumed answer into a
    verified one. `types` are all the resource types that the answer is read from, `shown_types` those of what is shown
    beside it. `question` is how a person answers what the data leave open; None where they alone decide.
    """

    answer: Definition
    applies: Definition | None
    facts: Mapping[Definition, tuple[Missing, ...]]
    shown: tuple[Definition, ...]
    verifying: tuple[Definition, ...]
    types: frozenset[str]
    shown_types: frozenset[str]
    question: Question | None = None

    @property
    def definitions(self) -> Iterator[Definition]:
        """All definitions that it asks directly."""
        yield self.answer
        if self.applies is not None:
            yield self.applies
        yield from (*self.facts, *self.shown, *self.verifying)


@dataclass(frozen=True)
class Trial:
    """One trial: what its ResearchStudy and PlanDefinition say, and the compiled logic of each criterion.

    `logic` holds an entry for every criterion, by its id. `conversion` are the criteria of an outcome definition
    (record 003), never used at entry.
    """

    id: str
    title: str
    url: str
    version: str
    status: str
    record_incomplete: bool
    errata: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    conversion: tuple[Criterion, ...]
    logic: Mapping[str, Logic] = field(repr=False)
    research_study: Json = field(repr=False)
    plan_definition: Json = field(repr=False)

    @property
    def canonical(self) -> str:
        """The PlanDefinition's URL with its version: what exactly was applied."""
        return f"{self.url}|{self.version}" if self.version else self.url

    @cached_property
    def disease_criteria(self) -> tuple[Criterion, ...]:
        """The criteria that say whether the trial concerns the patient's disease at all."""
        return tuple(criterion for criterion in self.criteria if criterion.disease)

    @property
    def sets(self) -> Mapping[str, tuple[Criterion, ...]]:
        """The sets of criteria that are asked by name and never at entry, such as what an outcome is measured by."""
        return {"conversion": self.conversion} if self.conversion else {}

    @cached_property
    def types(self) -> frozenset[str]:
        """The resource types that the criteria of entry are read from."""
        return frozenset().union(*(self.logic[criterion.id].types for criterion in self.criteria))

    @cached_property
    def shown_types(self) -> frozenset[str]:
        """The resource types of the evidence that authors show beside the criteria."""
        return frozenset().union(*(self.logic[criterion.id].shown_types for criterion in self.criteria))

    @cached_property
    def attesting_types(self) -> frozenset[str]:
        """The resource types in which people's answers to the trial's questions may stand."""
        asked = (self.logic[criterion.id].question for criterion in self.criteria)
        return frozenset().union(*(question.types for question in asked if question))

    @cached_property
    def tests(self) -> Mapping[tuple[str, str], Json]:
        """The test to order (a Coding) where a criterion misses what is of a value set: by criterion and value set.

        An author names both in the criterion's ``action.input`` (R4 DataRequirement).
        """
        return {
            (action["id"], named["valueSet"]): named["code"][0]
            for action in _descendants({"action": self.plan_definition.get("action", [])})
            for given in action.get("input", ())
            for named in given.get("codeFilter", ())
            if action.get("id") and named.get("valueSet") and named.get("code")
        }

    @cached_property
    def dated_definitions(self) -> frozenset[int]:
        """The indexes of the definitions whose values may differ from one first dose to another."""
        return resting_on(FIRST_DOSE, (definition for logic in self.logic.values() for definition in logic.definitions))

    @cached_property
    def dated(self) -> frozenset[str]:
        """The criteria, by id, whose outcome may differ from one first dose to another."""
        dated = self.dated_definitions
        return frozenset(
            id_
            for id_, logic in self.logic.items()
            if any(one is not None and one.index in dated for one in (logic.answer, logic.applies))
        )

    @cached_property
    def passed_over(self) -> Eligibility:
        """What the trial answers for a patient whom it does not concern: the same for all, without criteria."""
        counts = Counts(met=0, not_met=0, unknown=0, not_applicable=0, presumed=0)
        return Eligibility(self.id, self.title, Status.NOT_APPLICABLE, (), counts, self.record_incomplete)


@dataclass(frozen=True)
class Catalog:
    """All trials of a content folder, with the libraries and value sets that they share."""

    trials: Mapping[str, Trial]
    libraries: Libraries = field(repr=False)
    value_sets: ValueSets = field(repr=False)
    model: FHIRModel = field(repr=False)

    @classmethod
    def load(cls, folder: Path, *, annotations: bool = False, only: Collection[str] | None = None) -> Catalog:
        """The trials under `folder` (one folder a trial, ``shared/`` beside them).

        `annotations` keeps the CQL text that ELM carries; it is half of it, and only who explains needs it. `only`
        names the trials that are loaded: what is in the folders of others is not looked at.

        Raises ContentError (or a descendant) with the file, for content that cannot serve: JSON that is none, a
        condition that names no definition, CQL whose ELM is absent, a value set without expansion.
        """
        if not folder.is_dir():
            raise ContentError("no such folder", where=str(folder), remedy="point CDS_PLANDEFINITIONS at the trials")
        folders = [path for path in sorted(folder.iterdir()) if only is None or path.name in {*only, SHARED}]
        plans = [path / _PLAN for path in folders if (path / _PLAN).is_file()]
        if not plans:
            raise ContentError(f"no */{_PLAN} in it", where=str(folder), remedy="add a trial folder")
        with _nothing_collected():
            return cls._read(folders, plans, annotations)

    @classmethod
    def _read(cls, folders: list[Path], plans: list[Path], annotations: bool) -> Catalog:
        model = FHIRModel()
        libraries = Libraries(model)
        compiled = {path: libraries.add(elm, str(path)) for path, elm in _compiled(folders, annotations)}
        libraries.compile()
        value_sets = ValueSets.load(
            [path for folder in folders if (path := folder / "valuesets").is_dir()], written=True
        )
        trials = [_trial(path, compiled) for path in plans]
        _refuse_two_versions(trials)
        catalog = cls({trial.id: trial for trial in trials}, libraries, value_sets, model)
        _ = catalog.ungrouped, catalog.passed_over  # made now, for no patient to wait for
        return catalog

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials.values())

    @cached_property
    def active(self) -> tuple[Trial, ...]:
        """The trials that patients are matched with."""
        return tuple(trial for trial in self if trial.status == "active")

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The active trials whose disease criteria differ in their codes alone, asked together."""
        return groups(self.active, self.value_sets)

    @cached_property
    def ungrouped(self) -> tuple[Trial, ...]:
        """The active trials that are in no group."""
        grouped = {trial.id for group in self.groups for trial in group.trials}
        return tuple(trial for trial in self.active if trial.id not in grouped)

    @cached_property
    def passed_over(self) -> tuple[Eligibility, ...]:
        """What all active trials answer where none concerns the patient, as they are ranked."""
        return tuple(sorted((trial.passed_over for trial in self.active), key=rank))

    @cached_property
    def required_types(self) -> tuple[str, ...]:
        """The resource types that the active trials read, Patient first, then by name."""
        types = {"Patient"}.union(*(trial.types | trial.shown_types | trial.attesting_types for trial in self.active))
        return ("Patient", *sorted(types - {"Patient"}))

    @cached_property
    def disease_types(self) -> frozenset[str]:
        """The resource types without which no trial's disease can be judged."""
        return frozenset().union(
            *(trial.logic[criterion.id].types for trial in self.active for criterion in trial.disease_criteria)
        ) | {"Patient"}

    @cached_property
    def deciding_types(self) -> frozenset[str]:
        """The resource types that tell whether a trial concerns a patient: what authors show beside it included."""
        return self.disease_types.union(
            *(trial.logic[criterion.id].shown_types for trial in self.active for criterion in trial.disease_criteria)
        )


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """While open, Python looks for no garbage: loading makes millions of objects that stay, and none that circle."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _compiled(folders: Iterable[Path], annotations: bool) -> Iterator[tuple[Path, Json]]:
    """Every library's ELM. Raises ContentError where it is not what its CQL says: what runs is what was reviewed."""
    cql_files = [path for folder in folders for path in sorted(folder.glob("*.cql"))]
    texts = sources(cql_files)
    for cql in cql_files:
        path = elm_path(cql)
        remedy = f"run: cds translate {cql.parent}"
        if not path.is_file():
            raise ContentError("is not there", where=str(path), remedy=remedy)
        elm = read_json(path)
        if not is_fresh(elm, cql.read_text(encoding="utf-8"), texts):
            raise ContentError("is stale: its CQL has changed since it was translated", where=str(path), remedy=remedy)
        if not annotations:
            _strip([section for name, section in elm["library"].items() if name != "annotation"])
        yield path, elm


def _strip(part: Any) -> None:
    """Takes the annotations out of the sections of a library; its own say whether it was translated well."""
    waiting = [part]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            part.pop("annotation", None)
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def read_json(path: Path) -> Json:
    """The JSON object in a content file; ContentError with the file and the place where it is none."""
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ContentError(str(error), where=str(path), remedy="mend the JSON") from error
    if not isinstance(content, dict):
        raise ContentError("is not a JSON object", where=str(path))
    return content


def _trial(path: Path, compiled: Mapping[Path, Library]) -> Trial:
    plan = read_json(path)
    folder = path.parent
    if plan.get("resourceType") != "PlanDefinition" or plan.get("id") != folder.name:
        raise ContentError(
            "is not a PlanDefinition whose id is its folder's name",
            where=str(path),
            remedy=f'set "id": "{folder.name}"',
        )
    library = _library(folder, compiled)
    actions = {action.get("id"): action for action in plan.get("action", [])}
    if "eligibility" not in actions:
        raise ContentError("has no action with the id 'eligibility'", where=str(path))
    branches = {action.get("id"): action for action in actions["eligibility"].get("action", [])}
    criteria = tuple(
        _criterion(action, kind, path)
        for kind in (Kind.INCLUSION, Kind.EXCLUSION)
        for action in branches.get(kind.value, {}).get("action", [])
    )
    conversion = tuple(
        _criterion(action, Kind.OUTCOME, path)
        for action in _descendants(actions.get("conversion", {}))
        if _extension(action, "assessment")
    )
    _refuse_duplicates(criteria + conversion, path)
    study = read_json(folder / _STUDY)
    asked = questions(plan, study, criteria, str(path))
    return Trial(
        id=plan["id"],
        title=str(plan.get("title") or plan["id"]),
        url=str(plan.get("url", "")),
        version=str(plan.get("version", "")),
        status=_status(plan, path),
        record_incomplete=True in _extension(plan, "record-incomplete"),
        errata=tuple(_extension(plan, "erratum")),
        criteria=criteria,
        conversion=conversion,
        logic={one.id: _logic(one, library, path, asked.get(one.id)) for one in criteria + conversion},
        research_study=study,
        plan_definition=plan,
    )


def _status(plan: Json, path: Path) -> str:
    """Whether the trial is matched (active), is being written (draft) or is over (retired)."""
    status = plan.get("status")
    if status not in _STATUSES:
        raise ContentError(
            "has no status that says whether it is served", where=str(path), remedy=f"set one of {', '.join(_STATUSES)}"
        )
    return str(status)


def _refuse_two_versions(trials: Iterable[Trial]) -> None:
    """A trial stands in the folder once a version; only one of them can be what patients are matched with."""
    active: dict[str, Trial] = {}
    for trial in trials:
        if trial.status != "active" or not trial.url:
            continue
        if other := active.get(trial.url):
            raise ContentError(
                f"{other.id} and {trial.id} are two active versions of {trial.url}",
                where=trial.id,
                remedy="retire one of them, or set it to draft",
            )
        active[trial.url] = trial


def _library(folder: Path, compiled: Mapping[Path, Library]) -> Library:
    path = elm_path(folder / "eligibility.cql")
    if path not in compiled:
        raise ContentError("is not there", where=str(path), remedy="run: cds translate " + folder.parent.name)
    return compiled[path]


def _descendants(action: Json) -> Iterator[Json]:
    for child in action.get("action", []):
        yield child
        yield from _descendants(child)


def _refuse_duplicates(criteria: Iterable[Criterion], path: Path) -> None:
    seen: set[str] = set()
    for criterion in criteria:
        if criterion.id in seen:
            raise ContentError(f"two criteria have the id {criterion.id}", where=str(path))
        seen.add(criterion.id)


def _extension(element: Json, name: str) -> list[Any]:
    """The values of our extension `name` on an element, in order."""
    return [
        value
        for extension in element.get("extension", [])
        if extension.get("url") == EXTENSION + name
        for key, value in extension.items()
        if key.startswith("value")
    ]


def _criterion(action: Json, kind: Kind, path: Path) -> Criterion:
    try:
        assessment = Assessment(_extension(action, "assessment")[0])
        policies = tuple(Policy(code) for code in _extension(action, "missing-data-policy"))
        return Criterion(
            id=action["id"],
            kind=kind,
            number=action["prefix"],
            title=action["title"],
            text=action["textEquivalent"],
            assessment=assessment,
            policies=policies or (Policy.UNKNOWN,),
            definition=_condition(action),
            disease=True in _extension(action, "disease-criterion"),
            applies_when=next(iter(_extension(action, "applies-when")), None),
            evidence_definitions=tuple(_extension(action, "evidence")),
            verifying_definitions=tuple(_extension(action, "verified-by")),
            question=next(iter(_extension(action, "question")), None),
            errata=tuple(_extension(action, "erratum")),
            notes=tuple(_note(document) for document in action.get("documentation", [])),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ContentError(
            f"criterion {action.get('id', '?')} is incomplete: {error!r}",
            where=str(path),
            remedy="a criterion has id, prefix, title, textEquivalent, condition and the extension 'assessment'",
        ) from error


def _condition(action: Json) -> str:
    """The definition that the action's applicability condition names."""
    for condition in action.get("condition", []):
        if condition.get("kind") == "applicability":
            return str(condition["expression"]["expression"])
    raise KeyError("condition of kind 'applicability'")


def _note(document: Json) -> Note:
    return Note(document.get("label", ""), document.get("display", ""), document.get("citation", ""))


def _logic(criterion: Criterion, library: Library, path: Path, question: Question | None) -> Logic:
    def named(name: str) -> Definition:
        try:
            return library.definitions[name]
        except KeyError:
            raise ContentError(
                f'criterion {criterion.id} names the definition "{name}", which {library.id} does not have',
                where=str(path),
                remedy="name a definition of eligibility.cql, and run cds translate",
            ) from None

    assert criterion.definition is not None
    answer = named(criterion.definition)
    applies = named(criterion.applies_when) if criterion.applies_when else None
    shown = tuple(named(name) for name in criterion.evidence_definitions)
    verifying = tuple(named(name) for name in criterion.verifying_definitions)
    rests_on = (answer, applies) if applies else (answer,)
    return Logic(
        answer=answer,
        applies=applies,
        facts={fact: _absent(fact) for fact in nearest_facts(rests_on)},
        shown=shown,
        verifying=verifying,
        types=frozenset(retrieval.type_name for retrieval in retrievals(rests_on)),
        shown_types=frozenset(retrieval.type_name for retrieval in retrievals(shown + verifying)),
        question=question,
    )


def nearest_facts(definitions: Iterable[Definition]) -> tuple[Definition, ...]:
    """The resource-valued definitions that are met first when references are followed from `definitions`."""
    found: dict[Definition, None] = {}
    seen: set[Definition] = set()

    def follow(definition: Definition) -> None:
        for reference in definition.references:
            if reference in seen:
                continue
            seen.add(reference)
            if reference.result_type is None:
                raise ContentError(
                    "the type of a definition that a criterion rests on cannot be told from its ELM",
                    where=reference.place,
                    remedy="translate the CQL with result types",
                )
            if reference.resource_valued:
                found[reference] = None
            else:
                follow(reference)

    for definition in definitions:
        follow(definition)
    return tuple(found)


def _absent(fact: Definition) -> tuple[Missing, ...]:
    """What is missing where a fact holds nothing: each type and value set that it is read from, in words."""
    title = f"no {_phrase(fact.name)} on record"
    return tuple(
        dict.fromkeys(Missing(retrieve.type_name, retrieve.value_set_url, title) for retrieve in retrievals([fact]))
    )


def _phrase(name: str) -> str:
    """A definition's name inside a sentence: the first letter small, unless the word is an abbreviation."""
    first = name.split(" ", 1)[0]
    return name if first[1:].lower() != first[1:] else name[:1].lower() + name[1:]
