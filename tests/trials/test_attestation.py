"""What people have said of a patient decides what the data leave open, by the rules of `cds.trials.attestation`.

Each case is data: what is said (and what else is on record), and what it comes to. The trials are the repository's.
"""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from cds.errors import ContentError
from cds.fhir.record import PatientRecord
from cds.trials.apply import REST_IS_FOR_A_PERSON, match
from cds.trials.attestation import DEFAULT_AGE, answered, questions
from cds.trials.catalog import Catalog
from cds.trials.eligibility import Basis, CriterionResult, Outcome

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TRIAL, LIVER, LUNG, ANLOTINIB = (
    "cadonilimab-cervical-locally-advanced",
    "cadonilimab-lenvatinib-hcc",
    "cadonilimab-es-sclc",
    "cadonilimab-anlotinib-cervical",
)
FORM = "https://trial-match.example/fhir/Questionnaire/"
V2 = "http://terminology.hl7.org/CodeSystem/v2-0136"
YES, NO = {"system": V2, "code": "Y"}, {"system": V2, "code": "N"}
NOT_KNOWN = {"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "asked-unknown"}
HER = {"reference": "Patient/p"}
ME = {"reference": "Practitioner/1", "display": "Dr Lee"}
YESTERDAY = "2026-11-19T10:00:00Z"

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1980-01-01"}

Json = dict[str, Any]


def response(answers: Json | None = None, *, trial: str = TRIAL, id_: str = "r1", **more: Any) -> Json:
    """A completed response of Dr Lee's; an answer is a Coding, or the JSON of an answer as it is."""
    items = [
        {
            "linkId": link_id,
            "answer": [said if any(name.startswith("value") for name in said) else {"valueCoding": said}],
        }
        for link_id, said in (answers or {}).items()
    ]
    whole = {
        "resourceType": "QuestionnaireResponse",
        "id": id_,
        "status": "completed",
        "questionnaire": f"{FORM}{trial}|1.0.0",
        "subject": HER,
        "authored": YESTERDAY,
        "author": ME,
        "item": [{"linkId": "inclusion", "item": items}],
        **more,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def consent(**more: Any) -> Json:
    whole = {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": concept("consentscope", "research"),
        "category": [{"text": "informed consent"}],
        "patient": HER,
        "performer": [HER],
        "dateTime": "2026-09-01",
        "provision": {"data": [{"meaning": "instance", "reference": {"reference": f"ResearchStudy/{TRIAL}"}}]},
        **more,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def condition(id_: str, system: str, code: str, **more: Any) -> Json:
    return {
        "resourceType": "Condition",
        "id": id_,
        "subject": HER,
        "code": {"coding": [{"system": system, "code": code}]},
        "clinicalStatus": concept("condition-clinical", "active"),
        "verificationStatus": concept("condition-ver-status", "confirmed"),
        "onsetDateTime": "2026-10-01",
        **more,
    }


def concept(system: str, code: str) -> Json:
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]}


ICD, SCT, LOINC = "http://hl7.org/fhir/sid/icd-10-cm", "http://snomed.info/sct", "http://loinc.org"
#: Brain metastases are known, symptoms are not: E4 is open.
BRAIN = condition("brain", ICD, "C79.31")
LUNG_METASTASIS = condition("lung", ICD, "C78.01")
CERVIX = condition("cervix", SCT, "254886006")


def judged(
    catalog: Catalog,
    criterion: str,
    resources: Collection[Json],
    *,
    trial: str = TRIAL,
    now: datetime = NOW,
    searched: Collection[str] | None = None,
) -> CriterionResult:
    record = PatientRecord.from_resources([PATIENT, *resources], now=now, patient_id="p", searched=searched)
    answer = match(catalog, record, now=now, first_dose=date(2026, 11, 20), trials=[trial], all_criteria=True)
    return next(one for one in answer.trials[0].criteria if one.criterion.id == criterion)


MET, NOT_MET, OPEN = (
    (Outcome.MET, Basis.ATTESTED),
    (Outcome.NOT_MET, Basis.ATTESTED),
    (Outcome.UNKNOWN, Basis.NONE),
)
PRESUMED = (Outcome.MET, Basis.PRESUMED)

# ------------------------------------------------------------------------------------------- the sense of an answer


@pytest.mark.parametrize(
    ("criterion", "said", "comes_to"),
    [
        ("I14", YES, MET),
        ("I14", NO, NOT_MET),
        ("I14", {"valueBoolean": True}, MET),
        ("I14", {"valueBoolean": False}, NOT_MET),
        ("I14", NOT_KNOWN, OPEN),
        ("I14", {"valueString": "yes"}, OPEN),
        ("I14", {"valueCoding": {"system": "urn:x", "code": "Y"}}, OPEN),
        ("E25", YES, NOT_MET),
        ("E25", NO, MET),
        ("E25", NOT_KNOWN, OPEN),
        # An exclusion of which the record holds nothing is presumed absent: a person confirms it, or knows better.
        ("E17", NO, MET),
        ("E17", YES, NOT_MET),
        ("E17", NOT_KNOWN, PRESUMED),
        # What data decide clear, and a person has to say the rest of.
        ("E3", NO, MET),
        ("E3", YES, NOT_MET),
        # Nobody is asked of what data decide: this is no question of the form.
        ("E20", YES, PRESUMED),
        ("I13", YES, OPEN),
        ("I13", NO, OPEN),
    ],
)
def test_what_an_answer_comes_to(catalog: Catalog, criterion: str, said: Json, comes_to: tuple[Outcome, Basis]) -> None:
    result = judged(catalog, criterion, [response({criterion: said})])
    assert (result.outcome, result.basis) == comes_to


def test_an_answer_is_cited_and_says_who_and_when(catalog: Catalog) -> None:
    result = judged(catalog, "I14", [response({"I14": YES})])
    assert [one.reference for one in result.evidence] == ["QuestionnaireResponse/r1"]
    assert result.reason == "yes, as Dr Lee said on 19 Nov 2026"
    assert not result.missing


@pytest.mark.parametrize(
    ("more", "who"),
    [
        ({"source": HER}, "the patient"),
        ({"source": {**HER, "display": "Berta B"}}, "the patient"),
        ({"author": {"reference": "Practitioner/1"}}, "Practitioner/1"),
        ({"author": {"reference": "Device/1"}, "source": {"display": "Nurse Ann"}}, "Nurse Ann"),
    ],
)
def test_who_answered(catalog: Catalog, more: Json, who: str) -> None:
    assert judged(catalog, "I14", [response({"I14": YES}, **more)]).reason == f"yes, as {who} said on 19 Nov 2026"


def test_an_answer_of_nobody_named_counts_and_says_so(catalog: Catalog) -> None:
    result = judged(catalog, "I14", [response({"I14": YES}, author=...)])
    assert (result.outcome, result.reason) == (Outcome.MET, "yes, as was said on 19 Nov 2026")


def test_what_the_data_show_is_cited_beside_it(catalog: Catalog) -> None:
    result = judged(catalog, "E4", [BRAIN, response({"E4": NO})])
    assert (result.outcome, result.basis) == MET
    assert [one.reference for one in result.evidence] == ["QuestionnaireResponse/r1", "Condition/brain"]


@pytest.mark.parametrize("item", [[], [{"linkId": "I14"}], [{"linkId": "I14", "answer": []}], [{"linkId": "I15"}]])
def test_what_is_left_open_is_no_answer(catalog: Catalog, item: list[Json]) -> None:
    earlier = response({"I14": YES}, id_="r0", authored="2026-11-10")
    assert judged(catalog, "I14", [response(item=item)]).outcome is Outcome.UNKNOWN
    assert judged(catalog, "I14", [earlier, response(item=item)]).outcome is Outcome.MET


def test_an_answer_is_found_wherever_it_stands(catalog: Catalog) -> None:
    inner = {"linkId": "I14", "answer": [{"valueCoding": YES}]}
    for item in ([inner], [{"linkId": "x", "answer": [{"valueString": "y", "item": [inner]}]}]):
        assert judged(catalog, "I14", [response(item=item)]).outcome is Outcome.MET


# ------------------------------------------------------------------------------------------------------ what counts


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({}, True),
        ({"status": "amended"}, True),
        ({"status": "in-progress"}, False),
        ({"status": "stopped"}, False),
        ({"status": "entered-in-error"}, False),
        ({"status": ...}, False),
        ({"questionnaire": FORM + TRIAL}, True),
        ({"questionnaire": f"{FORM}{TRIAL}|0.9.0"}, False),
        ({"questionnaire": FORM + LIVER}, False),
        ({"questionnaire": ...}, False),
        ({"subject": {"reference": "Patient/other"}}, False),
        ({"subject": ...}, True),
        ({"authored": "2026-11-21"}, False),
        ({"authored": "2026-11-20T12:00:01Z"}, False),
        ({"authored": "2026-11-20T12:00:00Z"}, True),
        ({"authored": "2026-11-20"}, True),
        ({"authored": ...}, False),
        ({"authored": "lately"}, False),
        ({"author": {"reference": "Device/1"}}, False),
        ({"author": {"reference": "https://ehr.example/fhir/Device/1"}}, False),
        # Four weeks to the day, and a day longer.
        ({"authored": "2026-10-23"}, True),
        ({"authored": "2026-10-23T00:00:00Z"}, True),
        ({"authored": "2026-10-22"}, False),
        ({"authored": "2026-11"}, True),
        ({"authored": "2026-10"}, False),
        ({"authored": "2026"}, False),
    ],
)
def test_which_responses_count(catalog: Catalog, more: Json, counts: bool) -> None:
    outcome = Outcome.MET if counts else Outcome.UNKNOWN
    assert judged(catalog, "I14", [response({"I14": YES}, **more)]).outcome is outcome


def test_another_trial_s_answer_says_nothing_of_this_one(catalog: Catalog) -> None:
    """Both trials have a criterion C2."""
    said = response({"C2": YES}, trial=LIVER)
    assert judged(catalog, "C2", [said], trial=LIVER).outcome is Outcome.MET
    assert judged(catalog, "C2", [said], trial=LUNG).outcome is Outcome.UNKNOWN


def test_an_old_answer_is_told_and_counts_no_longer(catalog: Catalog) -> None:
    result = judged(catalog, "I14", [response({"I14": YES}, authored="2026-10-01")])
    assert (result.outcome, result.basis) == OPEN
    assert result.reason == "yes, as Dr Lee said on 1 Oct 2026: older than 28 days, ask again"
    assert [one.reference for one in result.evidence] == ["QuestionnaireResponse/r1"]


@pytest.mark.parametrize(
    ("criterion", "authored", "comes_to"),
    [
        ("E16", "2026-11-18", MET),
        ("E16", "2026-11-17", PRESUMED),
        ("E13", "2026-11-06", MET),
        ("E13", "2026-11-05", PRESUMED),
    ],
)
def test_a_shorter_look_back_has_a_shorter_age(
    catalog: Catalog, criterion: str, authored: str, comes_to: tuple[Outcome, Basis]
) -> None:
    result = judged(catalog, criterion, [response({criterion: NO}, authored=authored)])
    assert (result.outcome, result.basis) == comes_to


@pytest.mark.parametrize(("said", "comes_to"), [(YES, OPEN), (NO, PRESUMED)])
def test_what_spoke_against_her_long_ago_is_no_longer_presumed_absent(
    catalog: Catalog, said: Json, comes_to: tuple[Outcome, Basis]
) -> None:
    result = judged(catalog, "E17", [response({"E17": said}, authored="2026-10-01")])
    assert (result.outcome, result.basis) == comes_to


# -------------------------------------------------------------------------------------------- which is the latest


@pytest.mark.parametrize(
    ("first", "second", "comes_to"),
    [
        (("2026-11-10", YES), ("2026-11-11", NO), NOT_MET),
        (("2026-11-11", YES), ("2026-11-10", NO), MET),
        (("2026-11-10", YES), ("2026-11-11", NOT_KNOWN), OPEN),
        (("2026-11-10", NOT_KNOWN), ("2026-11-11", YES), MET),
        (("2026-11-10", YES), ("2026-11-10", YES), MET),
        (("2026-11-10", YES), ("2026-11-10", NO), OPEN),
        (("2026-11-10T09:00:00Z", YES), ("2026-11-10T09:00:00Z", NO), OPEN),
        (("2026-11-10T09:00:00Z", YES), ("2026-11-10T10:00:00+01:00", NO), OPEN),
        (("2026-11-10T09:00:00Z", YES), ("2026-11-10T10:00:00Z", NO), NOT_MET),
        (("2026-11-10T09:00:00Z", YES), ("2026-11-10", NO), OPEN),
        (("2026-11", YES), ("2026-11-10", NO), OPEN),
        # One that is too old is none beside one that counts.
        (("2026-10-01", YES), ("2026-11-10", NO), NOT_MET),
        (("2026-10-01", NO), ("2026-10", YES), OPEN),
    ],
)
def test_the_latest_answer_wins(
    catalog: Catalog, first: tuple[str, Json], second: tuple[str, Json], comes_to: tuple[Outcome, Basis]
) -> None:
    responses = [
        response({"I14": said}, id_=f"r{number}", authored=authored)
        for number, (authored, said) in enumerate((first, second))
    ]
    for order in (responses, responses[::-1]):
        result = judged(catalog, "I14", order)
        assert (result.outcome, result.basis) == comes_to


def test_answers_that_contradict_each_other_are_both_shown(catalog: Catalog) -> None:
    responses = [response({"I14": said}, id_=id_) for id_, said in (("r1", YES), ("r2", NO))]
    result = judged(catalog, "I14", responses)
    assert {one.reference for one in result.evidence} == {"QuestionnaireResponse/r1", "QuestionnaireResponse/r2"}
    assert result.reason and result.reason.startswith("the answers contradict each other: ")


def test_contradicting_answers_leave_nothing_presumed(catalog: Catalog) -> None:
    responses = [response({"E17": said}, id_=id_) for id_, said in (("r1", YES), ("r2", NO))]
    assert judged(catalog, "E17", responses).outcome is Outcome.UNKNOWN


def test_two_answers_to_one_question_contradict_each_other(catalog: Catalog) -> None:
    item = [{"linkId": "I14", "answer": [{"valueCoding": YES}, {"valueCoding": NO}]}]
    assert judged(catalog, "I14", [response(item=item)]).outcome is Outcome.UNKNOWN


# --------------------------------------------------------------------------------------------- beside what data say


@pytest.mark.parametrize("said", [YES, NO, NOT_KNOWN])
def test_data_that_are_against_her_stay_so(catalog: Catalog, said: Json) -> None:
    pregnant = {
        "resourceType": "Observation",
        "id": "hcg",
        "status": "final",
        "subject": HER,
        "code": {"coding": [{"system": LOINC, "code": "82810-3"}]},
        "valueCodeableConcept": {"coding": [{"system": SCT, "code": "77386006"}]},
        "effectiveDateTime": "2026-11-19",
    }
    result = judged(catalog, "E22", [pregnant, response({"E22": said})])
    assert (result.outcome, result.basis) == (Outcome.NOT_MET, Basis.VERIFIED)


@pytest.mark.parametrize("said", [YES, NO])
def test_what_resources_prove_met_stays_verified(catalog: Catalog, said: Json) -> None:
    record = [CERVIX, LUNG_METASTASIS, response({"C2": said}, trial=ANLOTINIB)]
    result = judged(catalog, "C2", record, trial=ANLOTINIB)
    assert (result.outcome, result.basis) == (Outcome.MET, Basis.VERIFIED)


def pregnancy_test(result: str) -> Json:
    return {
        "resourceType": "Observation",
        "id": "hcg",
        "status": "final",
        "subject": HER,
        "code": {"coding": [{"system": LOINC, "code": "2118-8"}]},
        "valueCodeableConcept": {"coding": [{"system": SCT, "code": result}]},
        "effectiveDateTime": "2026-11-19",
    }


NEGATIVE = "260385009"


@pytest.mark.parametrize(
    ("resources", "said", "comes_to"),
    [
        ([], YES, OPEN),
        ([], NO, NOT_MET),
        ([pregnancy_test(NEGATIVE)], YES, MET),
        ([pregnancy_test(NEGATIVE)], NO, NOT_MET),
    ],
)
def test_nobody_s_word_stands_for_a_missing_test(
    catalog: Catalog, resources: list[Json], said: Json, comes_to: tuple[Outcome, Basis]
) -> None:
    """I10: a pregnancy test, which is data; and contraception, which she says."""
    result = judged(catalog, "I10", [*resources, response({"I10": said})])
    assert (result.outcome, result.basis) == comes_to


def test_what_data_are_needed_is_still_told(catalog: Catalog) -> None:
    result = judged(catalog, "I10", [response({"I10": YES})])
    assert result.reason == "yes, as Dr Lee said on 19 Nov 2026; data are needed as well"
    assert any("pregnancy test" in one.title for one in result.missing)


def test_what_is_open_is_told_first_and_then_what_was_said(catalog: Catalog) -> None:
    result = judged(catalog, "E3", [response({"E3": NOT_KNOWN})])
    assert result.reason == f"{REST_IS_FOR_A_PERSON}; not known, as Dr Lee said on 19 Nov 2026"


@pytest.mark.parametrize(("said", "comes_to"), [(NO, OPEN), (YES, NOT_MET)])
def test_data_that_were_not_read_are_still_to_be_read(
    catalog: Catalog, said: Json, comes_to: tuple[Outcome, Basis]
) -> None:
    result = judged(catalog, "E17", [response({"E17": said})], searched=["Patient", "QuestionnaireResponse"])
    assert (result.outcome, result.basis) == comes_to


def test_a_criterion_that_does_not_apply_stays_so(catalog: Catalog) -> None:
    sterilised = {
        "resourceType": "Procedure",
        "id": "s",
        "status": "completed",
        "subject": HER,
        "code": {"coding": [{"system": SCT, "code": "287664005"}]},
        "performedDateTime": "2015-05-05",
    }
    assert judged(catalog, "I10", [sterilised, response({"I10": NO})]).outcome is Outcome.NOT_APPLICABLE


def test_what_a_person_says_no_later_first_dose_clears(catalog: Catalog) -> None:
    result = judged(catalog, "E12", [CERVIX, response({"E12": YES})])
    assert (result.outcome, result.clears_on) == (Outcome.NOT_MET, None)


# ---------------------------------------------------------------------------------------------------------- consent

STUDY = {"reference": f"https://ehr.example/fhir/ResearchStudy/{TRIAL}"}
CONTEXT = "http://hl7.org/fhir/StructureDefinition/consent-ResearchStudyContext"


@pytest.mark.parametrize(
    ("more", "comes_to"),
    [
        ({}, MET),  # a consent grows no older
        ({"provision": {"extension": [{"url": CONTEXT, "valueReference": STUDY}]}}, MET),
        ({"provision": ..., "policy": [{"uri": f"https://trial-match.example/fhir/PlanDefinition/{TRIAL}"}]}, MET),
        ({"provision": ...}, OPEN),  # to which study?
        ({"provision": {"data": [{"meaning": "instance", "reference": {"reference": "ResearchStudy/other"}}]}}, OPEN),
        ({"scope": concept("consentscope", "treatment")}, OPEN),
        ({"provision": ..., "policy": [{"uri": {"of": "what"}}, "none"]}, OPEN),
        ({"provision": {"data": [{"reference": "ResearchStudy"}], "extension": {}}}, OPEN),
        ({"status": "draft"}, OPEN),
        ({"status": "proposed"}, OPEN),
        ({"status": "rejected"}, OPEN),
        ({"status": "inactive"}, OPEN),
        ({"status": "entered-in-error"}, OPEN),
        ({"patient": {"reference": "Patient/other"}}, OPEN),
        ({"dateTime": "2026-11-21"}, OPEN),
        ({"dateTime": ...}, OPEN),
    ],
)  # fmt: skip
def test_which_consents_count(catalog: Catalog, more: Json, comes_to: tuple[Outcome, Basis]) -> None:
    result = judged(catalog, "I1", [consent(**more)])
    assert (result.outcome, result.basis) == comes_to


@pytest.mark.parametrize(
    ("provision", "comes_to"),
    [
        ({"type": "permit"}, MET),
        ({"type": "deny"}, NOT_MET),
        ({"type": "deny", "provision": [{"type": "permit"}]}, OPEN),
        ({"period": {"start": "2026-09-01", "end": "2026-12-31"}}, MET),
        ({"period": {"end": "2026-11-20"}}, MET),
        ({"period": {"end": "2026-11-19"}}, OPEN),
        ({"period": {"start": "2026-11-21"}}, OPEN),
    ],
)
def test_what_a_consent_says(catalog: Catalog, provision: Json, comes_to: tuple[Outcome, Basis]) -> None:
    whole = consent()
    result = judged(catalog, "I1", [{**whole, "provision": {**whole["provision"], **provision}}])
    assert (result.outcome, result.basis) == comes_to


def test_a_consent_is_cited_and_answers_its_criterion_alone(catalog: Catalog) -> None:
    result = judged(catalog, "I1", [consent()])
    assert [one.reference for one in result.evidence] == ["Consent/c1"]
    assert result.reason == "yes, as the patient said on 1 Sep 2026"
    assert judged(catalog, "I7", [consent()]).outcome is Outcome.UNKNOWN


def test_a_consent_withdrawn_by_a_later_answer(catalog: Catalog) -> None:
    result = judged(catalog, "I1", [consent(), response({"I1": NO})])
    assert (result.outcome, result.basis) == NOT_MET


# ------------------------------------------------------------------------------------------------ what is no FHIR

JUNK: tuple[Any, ...] = (None, 1, True, "", "2026", [], [None], {}, {"reference": 5}, {"coding": [None]}, "9999-12-31")


def places(part: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a resource but its type."""
    pairs = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    inner = [path for key, value in pairs if key != "resourceType" for path in places(value, (*at, key))]
    return ([at] if at else []) + inner


def test_no_junk_in_an_answer_takes_the_trial_away(catalog: Catalog) -> None:
    whole = consent(policy=[{"uri": "x"}], provision={**consent()["provision"], "period": {"start": "2026"}})
    for good in (response({"I14": YES}, source=HER), whole):
        for path in places(good):
            for junk in JUNK:
                spoiled = deepcopy(good)
                part: Any = spoiled
                for key in path[:-1]:
                    part = part[key]
                part[path[-1]] = junk
                judged(catalog, "I14", [spoiled])


# ------------------------------------------------------------------------------- documented Observations, and inputs


def plan_with(*inputs: Json, criterion: str = "I14", group: tuple[Json, ...] = ()) -> Json:
    actions = [{"id": "inclusion", "action": [{"id": criterion, "input": list(inputs)}]}]
    return {
        "id": "demo",
        "url": "https://example.org/PlanDefinition/demo",
        "action": [{"id": "eligibility", "input": list(group), "action": actions}],
    }


SURVIVAL: Json = {
    "type": "Observation",
    "codeFilter": [{"path": "code", "code": [{"system": "https://example.org/codes", "code": "survival"}]}],
}


def age(value: Any, code: str = "d") -> Json:
    duration = {"value": value, "unit": "days", "system": "http://unitsofmeasure.org", "code": code}
    return {"type": "QuestionnaireResponse", "dateFilter": [{"path": "authored", "valueDuration": duration}]}


def observation(**more: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "subject": HER,
        "code": {"coding": [{"system": "https://example.org/codes", "code": "survival"}]},
        "effectiveDateTime": "2026-11-10",
        "performer": [ME],
        "valueBoolean": True,
        **more,
    }


@pytest.mark.parametrize(
    ("more", "comes_to"),
    [
        ({}, MET),
        ({"valueBoolean": False}, NOT_MET),
        ({"valueBoolean": None, "valueCodeableConcept": {"coding": [NO]}}, NOT_MET),
        ({"valueBoolean": None, "valueString": "likely"}, OPEN),
        ({"status": "preliminary"}, OPEN),
        ({"code": {"coding": [{"system": "https://example.org/codes", "code": "other"}]}}, OPEN),
        ({"effectiveDateTime": "2026-10-01"}, OPEN),
        ({"effectiveDateTime": "2026-11-21"}, OPEN),
        ({"subject": {"reference": "Patient/other"}}, OPEN),
    ],
)
def test_a_documented_observation_answers_where_the_plan_names_its_code(
    catalog: Catalog, more: Json, comes_to: tuple[Outcome, Basis]
) -> None:
    computed = judged(catalog, "I14", [])
    asked = questions(plan_with(SURVIVAL), {}, [computed.criterion], "plan")["I14"]
    told = {name: value for name, value in observation(**more).items() if value is not None}
    record = PatientRecord.from_resources([PATIENT, told], now=NOW, patient_id="p")
    result = answered(computed, asked, record, needs_data=False)
    assert (result.outcome, result.basis) == comes_to
    assert asked.types == {"QuestionnaireResponse", "Observation"}


def test_how_old_an_answer_may_be_stands_in_the_plan(catalog: Catalog) -> None:
    criterion = judged(catalog, "I14", []).criterion

    def allowed(*inputs: Json, group: tuple[Json, ...] = ()) -> timedelta | None:
        return questions(plan_with(*inputs, group=group), {}, [criterion], "plan")["I14"].responses.age

    assert allowed() == DEFAULT_AGE
    assert allowed(group=(age(7),)) == timedelta(days=7)
    assert allowed(age(2, "wk"), group=(age(7),)) == timedelta(days=14)


@pytest.mark.parametrize("wrong", [age(3, "mo"), age(-1), age("7"), age(1.5)])
def test_an_age_that_cannot_be_used_is_refused_with_its_file(catalog: Catalog, wrong: Json) -> None:
    criterion = judged(catalog, "I14", []).criterion
    with pytest.raises(ContentError, match=r"plan\.json: how old an answer may be"):
        questions(plan_with(wrong), {}, [criterion], "plan.json")


@pytest.mark.parametrize(
    "wrong",
    [
        {"codeFilter": []},
        {"type": "Consent", "codeFilter": [{"path": "scope", "code": [{"code": "research"}]}]},
        {"type": "Consent", "codeFilter": [{"path": "scope", "code": ["research"]}]},
        "Consent",
    ],
)
def test_an_input_that_is_incomplete_is_refused_with_its_file_and_action(catalog: Catalog, wrong: Any) -> None:
    criterion = judged(catalog, "I14", []).criterion
    with pytest.raises(ContentError, match=r"plan\.json: an input of the action I14 is incomplete"):
        questions(plan_with(wrong), {}, [criterion], "plan.json")


def test_the_trials_say_how_old_an_answer_may_be(catalog: Catalog) -> None:
    """28 days; shorter where the criterion looks back less far: an older answer tells nothing of that time."""
    asked = [logic.question for trial in catalog for logic in trial.logic.values() if logic.question]
    shorter = {"E13": 14, "E16": 2}
    for one in asked:
        assert one.responses.age == timedelta(days=shorter.get(one.link_id, 28))
    assert {one.link_id for one in asked if one.consents} == {"I1", "C4"}
    assert not any(one.observations for one in asked), "no code is known for what only a person can say"


def test_the_disease_is_never_for_a_person_to_say(catalog: Catalog) -> None:
    """Trials are passed over together by what the data say of the disease: no answer is looked at there."""
    for trial in catalog:
        assert not any(trial.logic[one.id].question for one in trial.disease_criteria)
