"""What a person has said of a trial's criteria: QuestionnaireResponses, Consents, documented Observations (R4).

Each criterion that data cannot decide, or not alone (assessment ``attestation`` or ``partial``), is a question of the
trial's Questionnaire: is its text true of the patient? A yes to an exclusion keeps her out. Disease criteria are none:
trials are passed over by the data alone. Which data answer a question, and for how long, the PlanDefinition says in
``action.input``, for a criterion or for all of them at the action ``eligibility``.

* **What counts**: a response that is completed or amended, of this patient, of this trial's Questionnaire (without a
  version or with the present one), authored by a person at a known time not after now. A Consent that is active, in
  force, of the scope that the criterion's input names, and that names this trial: a consent to research that names no
  study may be to any, and leaves the question open. An Observation that is final, with a code that the input names.
* **The latest answer wins.** Answers that differ, none of which is known to be the later, leave the criterion
  unknown. So does an answer of "not known". An answer left out is none.
* **Older than its age** (calendar days before now; `DEFAULT_AGE` where the PlanDefinition names none), an answer is
  none: the criterion is unknown again, and the reason says when it was asked.
* **Data come first.** A person is asked of no criterion that the data alone decide, and what is said there never
  counts. Of a partial criterion she answers what the data leave open: what is not met stays so, and what resources
  prove met stays verified. Where the record merely holds nothing against the patient (``presume-absent``), a person may
  confirm it or know better. Where a part is for data and another for a person (``unknown`` beside ``attest``: a
  pregnancy test, and contraception), nobody's word stands for the missing test; but it can say that the whole fails.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from cds.elm.ports import Pair
from cds.errors import ContentError
from cds.fhir.dates import earliest, in_words, latest
from cds.fhir.record import PatientRecord
from cds.trials.eligibility import Assessment, Basis, Criterion, CriterionResult, Evidence, Kind, Outcome, Policy

Json = dict[str, Any]

#: How old an answer may be where the PlanDefinition does not say: screening is commonly done within 28 days.
DEFAULT_AGE = timedelta(days=28)

#: The answers to a question (R4 ValueSet yesnodontknow).
YES: Pair = ("http://terminology.hl7.org/CodeSystem/v2-0136", "Y")
NO: Pair = ("http://terminology.hl7.org/CodeSystem/v2-0136", "N")
NOT_KNOWN: Pair = ("http://terminology.hl7.org/CodeSystem/data-absent-reason", "asked-unknown")
_MEANING = {YES: True, NO: False}
_WORDS = {True: "yes", False: "no", None: "not known"}

#: The study that a Consent is about (FHIR Extensions Pack, on Consent.provision).
_STUDY_CONTEXT = "http://hl7.org/fhir/StructureDefinition/consent-ResearchStudyContext"
_ANSWERED = ("completed", "amended")
_OBSERVED = ("final", "amended", "corrected")
_WHEN_OBSERVED = ("effectiveDateTime", "effectiveInstant", "issued")
_UNITS = {"d": 1, "wk": 7}


@dataclass(frozen=True, slots=True)
class Source:
    """Resources of one type that answer a question: those with one of `codes`, and not older than `age`."""

    codes: frozenset[Pair] = frozenset()
    age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """How a person answers one criterion.

    `link_id` is its item in the Questionnaire, which is named `canonical` (with its version), or by its `url` alone.
    `names` are the addresses by which a Consent names the trial.
    """

    link_id: str
    url: str
    canonical: str
    responses: Source
    consents: Source | None = None
    observations: Source | None = None
    names: frozenset[str] = frozenset()

    @property
    def types(self) -> frozenset[str]:
        """The resource types that may hold an answer."""
        others = {"Consent": self.consents, "Observation": self.observations}
        return frozenset({"QuestionnaireResponse", *(kind for kind, source in others.items() if source)})


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody said: whether the criterion's text `holds` (None: not known).

    Its moment, as far as it is known, lies from `start` to `end`, and is told in `when`; `age` is how old it may be.
    """

    holds: bool | None
    start: datetime
    end: datetime
    when: str
    by: str = field(repr=False)
    evidence: Evidence = field(repr=False)
    age: timedelta | None = None

    def outdated(self, now: datetime) -> bool:
        """Whether it is older, in calendar days, than it may be; of an inexact date the earliest day counts."""
        return self.age is not None and now.astimezone(self.start.tzinfo).date() - self.start.date() > self.age

    def __str__(self) -> str:
        answer = _WORDS[self.holds]
        return f"{answer}, as {self.by} said on {self.when}" if self.by else f"{answer}, as was said on {self.when}"


def questionnaire_url(plan: Json) -> str:
    """The canonical URL of a trial's Questionnaire: its PlanDefinition's, which all its versions share, as one."""
    url = str(plan.get("url", ""))
    if "/PlanDefinition/" in url:
        return "/Questionnaire/".join(url.rsplit("/PlanDefinition/", 1))
    return f"{url}-questions" if url else f"Questionnaire/{plan['id']}"


def questions(plan: Json, study: Json, criteria: Iterable[Criterion], where: str) -> dict[str, Question]:
    """The questions that a trial asks of people, by criterion. ContentError for an input that cannot be used."""
    url, version = questionnaire_url(plan), plan.get("version")
    canonical = f"{url}|{version}" if version else url
    names = frozenset(_addresses(plan, study))
    eligibility: Json = next((one for one in plan.get("action", ()) if one.get("id") == "eligibility"), {})
    actions = {one.get("id"): one for group in eligibility.get("action", ()) for one in group.get("action", ())}
    asked = {}
    for criterion in criteria:
        if criterion.disease or criterion.assessment is Assessment.COMPUTABLE:
            continue
        sources = {"QuestionnaireResponse": Source(age=DEFAULT_AGE)}
        for action in (eligibility, actions.get(criterion.id, {})):
            sources |= _sources(action, where)
        observed = sources.get("Observation") if criterion.assessment is Assessment.ATTESTATION else None
        asked[criterion.id] = Question(
            link_id=criterion.id,
            url=url,
            canonical=canonical,
            responses=sources["QuestionnaireResponse"],
            consents=sources.get("Consent"),
            observations=observed,
            names=names,
        )
    return asked


def _addresses(plan: Json, study: Json) -> Iterator[str]:
    """How a trial is named: by its canonical URLs, by its ResearchStudy's id, and by its identifiers."""
    yield from (one["url"] for one in (plan, study) if one.get("url"))
    yield f"ResearchStudy/{study.get('id', plan['id'])}"
    yield from (f"{one.get('system', '')}|{one['value']}" for one in study.get("identifier", ()) if one.get("value"))


def _sources(action: Json, where: str) -> dict[str, Source]:
    """What an action's inputs (R4 DataRequirement) say of the resources that answer its question, by type."""
    try:
        return {given["type"]: _source(given, where) for given in action.get("input", ())}
    except (KeyError, TypeError, AttributeError) as error:
        raise ContentError(
            f"an input of the action {action.get('id')} is incomplete: {error!r}",
            where=where,
            remedy="an input has a type; a code in its codeFilter has system and code",
        ) from error


def _source(given: Json, where: str) -> Source:
    filters = given.get("codeFilter", ())
    codes = frozenset((code["system"], code["code"]) for named in filters for code in named.get("code", ()))
    ages = [_days(one["valueDuration"], where) for one in given.get("dateFilter", ()) if "valueDuration" in one]
    return Source(codes, ages[0] if ages else None)


def _days(duration: Json, where: str) -> timedelta:
    value, unit = duration.get("value"), duration.get("code")
    if not isinstance(value, int) or value < 0 or unit not in _UNITS:
        raise ContentError(
            f"how old an answer may be is not said in days or weeks: {value} {unit}",
            where=where,
            remedy='give valueDuration a whole value and the UCUM code "d" or "wk"',
        )
    return timedelta(days=value * _UNITS[unit])


def answered(
    computed: CriterionResult, question: Question, record: PatientRecord, *, needs_data: bool
) -> CriterionResult:
    """The result of a criterion, with what people have said of it: see above. `computed` is what the data say.

    `needs_data` says that some part is open that data alone can decide.
    """
    if computed.outcome in (Outcome.NOT_MET, Outcome.NOT_APPLICABLE):
        return computed
    statements = _statements(question, record)
    if not statements:
        return computed
    against = computed.criterion.kind is Kind.EXCLUSION
    valid = [one for one in statements if not one.outdated(record.horizon.now)]
    last = _last(valid or statements)
    said = {one.holds for one in last}
    if computed.outcome is Outcome.MET and against not in said:
        confirmed = bool(valid) and said == {not against} and computed.basis is Basis.PRESUMED
        return _attested(computed, Outcome.MET, last) if confirmed else computed
    if computed.outcome is Outcome.MET and Policy.PRESUME_ABSENT not in computed.criterion.policies:
        return computed
    if not valid:
        return _unknown(computed, last, f"{_told(last)}: older than {_oldest_allowed(last)} days, ask again")
    if len(said) > 1:
        return _unknown(computed, last, f"the answers contradict each other: {_told(last)}")
    if said == {None}:
        return _unknown(computed, last, _told(last))
    if said == {against}:
        return _attested(computed, Outcome.NOT_MET, last)
    if needs_data:
        return _unknown(computed, last, f"{_told(last)}; data are needed as well")
    return _attested(computed, Outcome.MET, last)


def _last(statements: Collection[Statement]) -> tuple[Statement, ...]:
    """The statements that none is known to follow."""
    return tuple(one for one in statements if not any(other.start > one.end for other in statements))


def _told(statements: Iterable[Statement]) -> str:
    return "; ".join(dict.fromkeys(map(str, statements)))


def _oldest_allowed(statements: Iterable[Statement]) -> int:
    return max(one.age.days for one in statements if one.age is not None)


def _attested(computed: CriterionResult, outcome: Outcome, last: Collection[Statement]) -> CriterionResult:
    return replace(
        computed,
        outcome=outcome,
        basis=Basis.ATTESTED,
        evidence=_cited(last, computed),
        missing=(),
        reason=_told(last),
        failed=False,
    )


def _unknown(computed: CriterionResult, last: Collection[Statement], reason: str) -> CriterionResult:
    reason = f"{computed.reason}; {reason}" if computed.reason else reason
    return replace(computed, outcome=Outcome.UNKNOWN, basis=Basis.NONE, evidence=_cited(last, computed), reason=reason)


def _cited(last: Iterable[Statement], computed: CriterionResult) -> tuple[Evidence, ...]:
    """What was said, then what the data show."""
    both = (*(one.evidence for one in last), *computed.evidence)
    return tuple({item.reference: item for item in both}.values())


def _statements(question: Question, record: PatientRecord) -> tuple[Statement, ...]:
    """All that was said of a question, whenever it was."""
    return (*_responses(question, record), *_consents(question, record), *_observations(question, record))


def _responses(question: Question, record: PatientRecord) -> Iterator[Statement]:
    named = [("", question.url), ("", question.canonical)]
    for element in record.retrieve("QuestionnaireResponse", "questionnaire", named):
        response = element.json
        if response.get("status") not in _ANSWERED:
            continue
        author, source = response.get("author"), response.get("source")
        if _is_a("Device", author) and not source:
            continue
        for answer in _answers(response, question.link_id):
            holds = _meaning(answer)
            yield from _statement(
                holds, response.get("authored"), _by(source, author), response, record, question.responses
            )


def _answers(part: Any, link_id: str) -> Iterator[Json]:
    """The answers to an item, wherever in a response it stands."""
    for item in _objects(part.get("item")):
        answers = _objects(item.get("answer"))
        if item.get("linkId") == link_id:
            yield from answers
        yield from _answers(item, link_id)
        for answer in answers:
            yield from _answers(answer, link_id)


def _meaning(answer: Json, coding: str = "valueCoding") -> bool | None:
    """Yes, no, or (None) not known; what cannot be read is not known."""
    said = answer.get("valueBoolean")
    if isinstance(said, bool):
        return said
    codings = answer.get(coding)
    meant = {
        _MEANING.get((str(one.get("system")), str(one.get("code"))))
        for one in _objects(codings if isinstance(codings, list) else [codings])
    }
    return meant.pop() if len(meant) == 1 else None


def _consents(question: Question, record: PatientRecord) -> Iterator[Statement]:
    source = question.consents
    if source is None:
        return
    for element in record.retrieve("Consent", "scope", source.codes):
        consent = element.json
        provision = consent.get("provision")
        provision = provision if isinstance(provision, dict) else {}
        if consent.get("status") != "active" or not _names(consent, provision, question.names):
            continue
        if provision.get("type") == "deny" and provision.get("provision"):
            continue  # what it permits all the same is for a person to read
        if not _in_force(provision.get("period"), record):
            continue
        by = _by(*_objects(consent.get("performer"))[:1], consent.get("patient"))
        yield from _statement(provision.get("type") != "deny", consent.get("dateTime"), by, consent, record, source)


def _names(consent: Json, provision: Json, names: Collection[str]) -> bool:
    """Whether a Consent is to a trial of these names: by its policy, its data or the study of its provision."""
    contexts = (one for one in _objects(provision.get("extension")) if one.get("url") == _STUDY_CONTEXT)
    references = [one.get("valueReference") for one in contexts]
    references += [one.get("reference") for one in _objects(provision.get("data"))]
    named = {str(one.get("uri")) for one in _objects(consent.get("policy"))}
    for reference in _objects(references):
        literal, identifier = reference.get("reference"), reference.get("identifier")
        if isinstance(literal, str):
            named |= {literal, "/".join(literal.split("/")[-2:])}
        if isinstance(identifier, dict):
            named.add(f"{identifier.get('system', '')}|{identifier.get('value')}")
    return not named.isdisjoint(names)


def _in_force(period: Any, record: PatientRecord) -> bool:
    """Whether a Period holds now; one that is not stated does."""
    if not isinstance(period, dict):
        return True
    zone, now = record.horizon.timezone, record.horizon.now
    start, end = (text if isinstance(text := period.get(name), str) else "" for name in ("start", "end"))
    begins, ends = earliest(start, zone), latest(end, zone)
    return not (begins and begins > now) and not (ends and ends < now)


def _observations(question: Question, record: PatientRecord) -> Iterator[Statement]:
    source = question.observations
    if source is None:
        return
    for element in record.retrieve("Observation", "code", source.codes):
        observed = element.json
        if observed.get("status") not in _OBSERVED:
            continue
        concept = observed.get("valueCodeableConcept")
        value = {**observed, "coding": concept.get("coding") if isinstance(concept, dict) else None}
        when = next((one for name in _WHEN_OBSERVED if (one := observed.get(name))), None)
        by = _by(*_objects(observed.get("performer"))[:1])
        dated = source if source.age else replace(source, age=question.responses.age)
        yield from _statement(_meaning(value, "coding"), when, by, observed, record, dated)


def _statement(
    holds: bool | None, when: Any, by: str, resource: Json, record: PatientRecord, source: Source
) -> Iterator[Statement]:
    """One statement; none where nobody knows when it was made."""
    zone = record.horizon.timezone
    start, end = (earliest(when, zone), latest(when, zone)) if isinstance(when, str) else (None, None)
    if start is not None and end is not None:
        evidence = Evidence(record.reference_of(resource), resource)
        yield Statement(holds, start, end, in_words(when), by, evidence, source.age)


def _by(*persons: Any) -> str:
    """Who said something, as the first that is named: by name, else by reference; of the patient neither."""
    for person in _objects(persons):
        if _is_a("Patient", person):
            return "the patient"
        for name in (person.get("display"), person.get("reference")):
            if isinstance(name, str) and name:
                return name
    return ""


def _is_a(kind: str, reference: Any) -> bool:
    literal = reference.get("reference") if isinstance(reference, dict) else None
    return isinstance(literal, str) and literal.rpartition("/")[0].rpartition("/")[2] == kind


def _objects(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list | tuple) else []
