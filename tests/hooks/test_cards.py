"""Cards of answers made by hand: what a doctor reads, and what a client may rely on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from fhir.resources.R4B.servicerequest import ServiceRequest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cds.hooks.cards import EXTENSION, card, service_request, summary, worth_showing
from cds.hooks.detail import cut, detail, escape
from cds.trials.apply import REST_IS_FOR_A_PERSON
from cds.trials.catalog import Trial
from cds.trials.eligibility import (
    Assessment,
    Basis,
    Counts,
    Criterion,
    CriterionResult,
    Eligibility,
    Evidence,
    Kind,
    Match,
    Missing,
    Outcome,
    Policy,
    Status,
)

INSTANCE = UUID("d1577c69-dfbe-44ad-ba6d-3e05e953b2ea")
DAY = date(2026, 11, 20)
NAME = "Cadonilimab for cervical cancer"
ECOG = {
    "resourceType": "Observation",
    "id": "ecog-1",
    "status": "final",
    "code": {"text": "ECOG performance status"},
    "valueInteger": 1,
    "effectiveDateTime": "2026-11-02",
}
HIV = {
    "resourceType": "Observation",
    "id": "hiv-1",
    "code": {"text": "HIV 1+2 antibody"},
    "valueCodeableConcept": {"text": "Negative"},
}
CANCER = {"resourceType": "Condition", "id": "c1", "code": {"text": "Squamous cell carcinoma of cervix"}}


def result(id_: str, outcome: Outcome, basis: Basis = Basis.NONE, **more: Any) -> CriterionResult:
    """A criterion's answer; `question`, `errata`, `title`, `disease`, `assessment` are the criterion's."""
    own = {
        name: more.pop(name)
        for name in ("question", "errata", "title", "disease", "assessment", "policies")
        if name in more
    }
    criterion = Criterion(
        id=id_,
        kind=Kind.EXCLUSION if id_.startswith("E") else Kind.INCLUSION,
        number=id_,
        title=own.pop("title", f"Title of {id_}"),
        text="",
        assessment=own.pop("assessment", Assessment.COMPUTABLE),
        policies=own.pop("policies", (Policy.UNKNOWN,)),
        definition=id_,
        **own,
    )
    return CriterionResult(criterion, outcome, basis, **more)


def evidence(resource: dict[str, Any]) -> tuple[Evidence, ...]:
    return (Evidence(f"{resource['resourceType']}/{resource['id']}", resource),)


CRITERIA = (
    result("C1", Outcome.MET, Basis.VERIFIED, evidence=evidence(CANCER), disease=True, title="Cervical cancer"),
    result("I13", Outcome.MET, Basis.VERIFIED, evidence=evidence(ECOG), title="ECOG 0 or 1"),
    result("E11", Outcome.MET, Basis.PRESUMED, title="Transfusion within 4 weeks"),
    result("E20", Outcome.MET, Basis.VERIFIED, evidence=evidence(HIV), title="HIV infection"),
    result("E3", Outcome.NOT_APPLICABLE, Basis.PRESUMED, title="Contraception"),
    result(
        "I6",
        Outcome.UNKNOWN,
        missing=(Missing("Observation", None, "no tumour size on record"),) * 2,
        question="Ask the radiologist for the largest diameter.",
        errata=('"including" may not be the whole list',),
        title="High risk",
    ),
    result("I1", Outcome.UNKNOWN, assessment=Assessment.ATTESTATION, question="Ask the patient.", title="Consent"),
)


def answer(status: Status = Status.POTENTIALLY_ELIGIBLE, **more: Any) -> Eligibility:
    criteria = more.pop("criteria", CRITERIA)

    def number(outcome: Outcome) -> int:
        return sum(one.outcome is outcome for one in criteria)

    counts = Counts(
        number(Outcome.MET),
        number(Outcome.NOT_MET),
        number(Outcome.UNKNOWN),
        number(Outcome.NOT_APPLICABLE),
        sum(one.basis is Basis.PRESUMED and one.outcome is Outcome.MET for one in criteria),
    )
    whole: dict[str, Any] = {"trial": "demo", "title": "Cadonilimab for cervical cancer", "record_incomplete": False}
    return Eligibility(status=status, criteria=criteria, counts=counts, **whole | more)


def trial(**more: Any) -> Trial:
    whole: dict[str, Any] = {
        "id": "demo",
        "title": "Cadonilimab for cervical cancer",
        "url": "https://trial-match.example/fhir/PlanDefinition/demo",
        "version": "1.0.0",
        "status": "active",
        "record_incomplete": False,
        "errata": ("8 mg or 12 mg: the record says both.",),
        "criteria": (),
        "conversion": (),
        "logic": {},
        "research_study": {"resourceType": "ResearchStudy", "status": "active", "title": "CNCMT"},
        "plan_definition": {},
    }
    return Trial(**whole | more)


def make(shown: Eligibility, about: Trial | None = None, **more: Any) -> dict[str, Any]:
    return card(shown, about or trial(), patient_id="123", hook_instance=INSTANCE, first_dose=DAY, **more)


def match(*answers: Eligibility, deceased: bool = False) -> Match:
    return Match("Patient/123", "2026-11-20T12:00:00Z", "2026-11-20", answers, deceased)


def test_the_detail_says_what_is_open_first_and_what_it_rests_on() -> None:
    text = detail(answer(), trial(), DAY)
    order = (
        "Possibly eligible",
        "Open: data",
        "Open: for you",
        "**Met**",
        "presumed absent",
        "Does not apply",
        "About",
    )
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "ECOG performance status: 1 (2 Nov 2026) `Observation/ecog-1`" in text
    assert "**I6** High risk: no tumour size on record → Ask the radiologist for the largest diameter." in text
    assert "7 criteria: 3 met, 1 presumed, 2 open, 1 not applicable." in text
    assert "does not say whether it is recruiting, where or whom to contact" in text
    assert '**I6** "including" may not be the whole list' in text


def test_an_exclusion_is_never_said_to_be_met() -> None:
    text = detail(answer(), trial(), DAY)
    met = text[text.index("**Met**") : text.index("**Exclusions ruled out**")]
    assert "I13" in met and "E20" not in met
    assert "- **E20** excluded if: HIV infection: HIV 1+2 antibody: Negative `Observation/hiv-1`" in text
    assert "(no record found), please confirm:** **E11** Transfusion within 4 weeks" in text


def test_what_a_person_has_to_say_stands_apart() -> None:
    attested = result(
        "E12", Outcome.UNKNOWN, reason=REST_IS_FOR_A_PERSON, policies=(Policy.ATTEST,), question="Ask the surgeon."
    )
    asked = replace(attested, reason=f"{REST_IS_FOR_A_PERSON}; not known, as Dr Lee said on 2 Nov 2026")
    for one, told in ((attested, ""), (asked, ": not known, as Dr Lee said on 2 Nov 2026")):
        text = detail(answer(criteria=(*CRITERIA, one)), trial(), DAY)
        people = text[text.index("Open: for you") :]
        assert f"- **E12** excluded if: Title of E12{told} → Ask the surgeon." in people


def test_who_said_that_a_criterion_is_not_met_is_told() -> None:
    said = result("E25", Outcome.NOT_MET, Basis.ATTESTED, reason="yes, as Dr Lee said on 2 Nov 2026")
    text = detail(answer(criteria=(*CRITERIA, said)), trial(), DAY)
    assert "- **E25** excluded if: Title of E25: yes, as Dr Lee said on 2 Nov 2026" in text


def test_doses_of_a_course_are_told_once() -> None:
    doses = tuple(
        Evidence(
            f"MedicationAdministration/{day}",
            {
                "resourceType": "MedicationAdministration",
                "id": str(day),
                "medicationCodeableConcept": {"text": "Carboplatin"},
                "effectiveDateTime": f"2026-03-0{day}",
            },
        )
        for day in range(1, 6)
    )
    shown = answer(criteria=(result("C2", Outcome.MET, Basis.VERIFIED, evidence=doses),))
    assert "Carboplatin (administration, 1 Mar 2026) `MedicationAdministration/1` and 4 more like it" in detail(
        shown, trial(), DAY
    )


def test_doctors_read_a_title_that_says_something_and_the_source_is_the_registrys() -> None:
    about = trial(research_study={"title": "CNCMT"}, title="Cadonilimab in cervical cancer")
    shown = make(answer(), about)
    assert "Cadonilimab in cervical cancer" in shown["summary"]
    assert shown["source"]["label"] == "CNCMT"


def test_a_thin_record_says_that_the_list_is_with_the_site() -> None:
    shown = answer(record_incomplete=True)
    assert "the full list is with the site" in detail(shown, trial(), DAY)
    assert summary(shown, NAME) == "Possible trial: Cadonilimab for cervical cancer – 2 of 7 known criteria open"


def test_unread_data_is_named() -> None:
    assert "**Could not be read:** Immunization, Procedure" in detail(
        answer(unread=("Immunization", "Procedure")), trial(), DAY
    )


def window(id_: str, title: str, clears_on: date, outcome: Outcome = Outcome.NOT_MET) -> CriterionResult:
    basis = Basis.VERIFIED if outcome is Outcome.NOT_MET else Basis.NONE
    return result(id_, outcome, basis, clears_on=clears_on, title=title, question="Ward: which day?")


def test_a_window_says_the_day_and_what_holds_it_back() -> None:
    closed = window("E9", "Live vaccine within one month", date(2026, 12, 3))
    shown = answer(Status.INELIGIBLE, criteria=(*CRITERIA, closed), eligible_from=date(2026, 12, 3))
    assert summary(shown, NAME).startswith("Trial could start from 3 Dec 2026 (live vaccine): Cadonilimab")
    told = detail(shown, trial(), DAY)
    assert told.startswith("**The patient could start from 3 Dec 2026 (live vaccine)** · ")
    assert "**E9** excluded if: Live vaccine within one month → clears on 3 Dec 2026" in told
    assert make(shown)["extension"][EXTENSION]["eligibleFrom"] == "2026-12-03"


def test_every_window_that_holds_the_day_back_is_named_the_one_that_decides_first() -> None:
    closed = (
        window("E9", "Live vaccine within one month", date(2026, 12, 1)),
        window("E11", "Transfusion within 4 weeks", date(2026, 12, 3)),
        window("E20", "HIV drug within 2 days", date(2026, 11, 22)),
    )
    shown = answer(Status.INELIGIBLE, criteria=closed, eligible_from=date(2026, 12, 3))
    named = "could start from 3 Dec 2026 (transfusion, live vaccine, HIV drug)"
    assert named in summary(shown, NAME) and named in detail(shown, trial(), DAY)


def test_names_of_windows_leave_room_for_the_trial() -> None:
    closed = tuple(
        window(f"E{n}", f"{'Very ' * 20}long name {n} within {n} days", date(2026, 12, 3)) for n in range(1, 4)
    )
    shown = answer(Status.INELIGIBLE, criteria=closed, eligible_from=date(2026, 12, 3))
    assert "Very… and 2 more): Cadonilimab for cervical" in summary(shown, NAME).replace("very", "Very")
    assert len(summary(shown, NAME)) <= 139


def test_an_open_window_says_when_it_clears_by_itself() -> None:
    shown = answer(criteria=(window("E12", "Major surgery within 4 weeks", date(2026, 12, 5), Outcome.UNKNOWN),))
    line = "**E12** excluded if: Major surgery within 4 weeks → Ward: which day? Clears on 5 Dec 2026."
    assert line in detail(shown, trial(), DAY)
    (told,) = make(shown)["extension"][EXTENSION]["criteria"]
    assert told == {"id": "E12", "outcome": "unknown", "basis": "none", "clearsOn": "2026-12-05"}


@pytest.mark.parametrize("status", list(Status))
def test_summaries_are_short_enough_whatever_the_title(status: Status) -> None:
    for title in ("x" * 500, "word " * 100, "𝔘" * 200, "e\u202evil\n<b>"):
        shown = summary(answer(status, eligible_from=DAY), title)
        assert 0 < len(shown.encode("utf-16-le")) // 2 <= 139
        assert shown.isprintable()


def test_which_answers_get_a_card_and_in_which_order() -> None:
    best = answer(Status.ELIGIBLE, trial="a")
    maybe = answer(trial="b")
    later = answer(Status.INELIGIBLE, trial="c", eligible_from=date(2027, 1, 1))
    sooner = answer(Status.INELIGIBLE, trial="d", eligible_from=date(2026, 12, 1))
    never = answer(Status.INELIGIBLE, trial="e")
    other = answer(Status.NOT_APPLICABLE, trial="f")
    shown = list(worth_showing(match(best, maybe, later, sooner, never, other)))
    assert [one.trial for one in shown] == ["a", "b", "d", "c"]
    assert not list(worth_showing(match(best, maybe, deceased=True)))


def test_a_card_has_what_clients_need_and_nothing_empty(empties: Callable[[Any], list[str]]) -> None:
    reasons = ({"code": "patient-declined", "system": "https://trial-match.example", "display": "Declined"},)
    shown = make(answer(unread=("Immunization",)), override_reasons=reasons)
    assert not empties(shown)
    assert shown["indicator"] == "info"
    assert shown["selectionBehavior"] == "any"
    assert shown["source"] == {"label": "CNCMT"}
    assert "links" not in shown
    uuids = {shown["uuid"], shown["suggestions"][0]["uuid"]}
    assert len(uuids) == 2 and all(str(UUID(one)) == one for one in uuids)
    assert make(answer())["uuid"] == shown["uuid"]
    criteria = shown["extension"][EXTENSION]["criteria"]
    assert criteria[1] == {"id": "I13", "outcome": "met", "basis": "verified", "evidence": ["Observation/ecog-1"]}


def test_links_are_those_of_the_study() -> None:
    artifact = {"type": "documentation", "display": "Registry", "url": "https://registry.example/1"}
    about = trial(research_study={"title": "T", "relatedArtifact": [artifact, {"type": "citation"}]})
    assert make(answer(), about)["links"] == [
        {"label": "Registry", "url": "https://registry.example/1", "type": "absolute"}
    ]


def test_the_referral_is_a_valid_draft_that_names_the_disease() -> None:
    resource = service_request(answer(), trial(), "123")
    ServiceRequest.model_validate(resource)
    assert resource["status"] == "draft" and resource["intent"] == "proposal"
    assert resource["subject"] == {"reference": "Patient/123"}
    assert resource["instantiatesCanonical"] == ["https://trial-match.example/fhir/PlanDefinition/demo|1.0.0"]
    assert resource["reasonReference"] == [{"reference": "Condition/c1"}]


def test_evidence_without_an_id_is_no_reference() -> None:
    nameless = replace(CRITERIA[0], evidence=(Evidence("urn:uuid:1", CANCER),))
    shown = answer(criteria=(nameless,))
    assert "reasonReference" not in service_request(shown, trial(), "123")
    assert "urn:uuid" not in detail(shown, trial(), DAY)


GFM = MarkdownIt("gfm-like", {"html": True, "linkify": False})

NASTY = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "[click](https://evil.example)",
            "![x](https://evil.example/x.png)",
            "https://evil.example www.evil.example a@evil.example",
            "**bold** _it_ `code` ~~gone~~ # head",
            "1. one",
            "- item",
            "&lt;b&gt; &amp;",
            "a | b |\n|---|---|",
            "line\n\n# heading\r\n<div>",
            "\u202egnp.exe",
            "\x00\x1b[31m",
            "back\\slash\\",
            "<https://evil.example>",
            "```\nfence",
            "=====",
        ]
    ),
)


def tokens(markdown: str) -> list[Any]:
    found = []
    for block in GFM.parse(markdown):
        found.append(block)
        found += block.children or []
    return found


@given(NASTY)
def test_text_of_charts_is_shown_as_written(text: str) -> None:
    """A Markdown reader sees one paragraph of plain text, which is the text; and nothing that it makes a link of."""
    escaped = escape(text)
    kinds = {token.type for token in tokens(escaped)}
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}
    assert escaped.isprintable() or "\u200b" in escaped
    shown = "".join(token.content for token in tokens(escaped) if token.type in ("text", "text_special"))
    plainly = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    assert shown.replace("\u200b", "") == plainly
    for link in ("://", "www."):
        assert link not in escaped.lower()


@given(NASTY, NASTY)
def test_nothing_of_chart_or_trial_becomes_markup(told: str, named: str) -> None:
    resource = {"resourceType": "Observation", "id": "o1", "code": {"text": told}, "valueString": named}
    shown = answer(
        criteria=(
            result("C1", Outcome.MET, Basis.VERIFIED, evidence=evidence(resource), title=named, disease=True),
            result("C2", Outcome.UNKNOWN, evidence=evidence(resource), title=named, question=told, reason=told),
        ),
        title=told,
    )
    text = detail(shown, trial(errata=(told, named)), DAY)
    kinds = {token.type for token in tokens(text)}
    allowed = "paragraph_open paragraph_close inline text text_special softbreak strong_open strong_close code_inline "
    allowed += "bullet_list_open bullet_list_close list_item_open list_item_close"
    assert kinds <= set(allowed.split())
    made = make(shown, trial(title=told or "T", research_study={"title": named}))
    ServiceRequest.model_validate(made["suggestions"][0]["actions"][0]["resource"])


@given(st.text(max_size=80), st.integers(1, 60))
def test_cut_keeps_the_length(text: str, length: int) -> None:
    assert len(cut(text, length).encode("utf-16-le", "surrogatepass")) // 2 <= length


def test_a_large_trial_stays_readable() -> None:
    many = tuple(
        result(
            f"I{number}",
            Outcome.UNKNOWN,
            evidence=evidence(ECOG) * 40,
            question="Ask the radiologist for the largest diameter. " * 2,
            errata=("word " * 200,),
            assessment=Assessment.PARTIAL,
        )
        for number in range(37)
    )
    assert len(detail(answer(criteria=many), trial(), DAY)) < 20_000
