"""Trials asked together answer what each answers by itself, whatever their codes have in common, and the patient's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from copies import write_catalog
from hypothesis import given
from hypothesis import strategies as st

from cds.fhir.record import PatientRecord
from cds.fhir.valuesets import ValueSets
from cds.trials import apply
from cds.trials.apply import match
from cds.trials.catalog import Catalog
from cds.trials.compiled import fingerprint
from cds.trials.eligibility import Match, Status

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(__file__).parent / "data" / "alike"
EXPECTED = sorted((ROOT / "plandefinitions").glob("*/cases/*.expected.json"))
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SYSTEM = "https://trial-match.example/fhir/CodeSystem/demo"

Json = dict[str, Any]


def same_answers(catalog: Catalog, record: PatientRecord, now: datetime = NOW, **settings: Any) -> Match:
    """The answers of trials asked together, which are those of each by itself."""
    together = match(catalog, record, now=now, **settings)
    assert together == match(catalog, record, now=now, one_by_one=True, **settings)
    return together


# ------------------------------------------------------------------------------------- the repository's own trials


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The repository's trials, and two copies of each that look for other codes."""
    folder = tmp_path_factory.mktemp("copies") / "trials"
    write_catalog(ROOT / "plandefinitions", folder, 12)
    return Catalog.load(folder)


def case(path: Path) -> tuple[Json, datetime, date]:
    expected = orjson.loads(path.read_bytes())
    bundle = orjson.loads(path.with_name(path.name.replace(".expected.json", ".json")).read_bytes())
    return bundle, datetime.fromisoformat(expected["now"]), date.fromisoformat(expected["firstDose"])


def with_diseases_of(bundle: Json, numbers: Iterable[int]) -> Json:
    """The bundle with, beside each code of a condition, that of the copies with these numbers."""
    bundle = json.loads(json.dumps(bundle))
    for entry in bundle["entry"]:
        code = entry["resource"].get("code")
        if entry["resource"]["resourceType"] == "Condition" and isinstance(code, dict):
            coded = [one for one in code.get("coding", ()) if one.get("code")]
            code.setdefault("coding", []).extend(
                {**one, "code": f"{one['code']}-{number}"} for number in numbers for one in coded
            )
    return bundle


def test_trials_that_differ_in_their_codes_are_asked_together(copies: Catalog) -> None:
    groups = [[trial.id for trial in group.trials] for group in copies.groups]
    assert sorted(map(len, groups)) == [3, 3, 3, 3]
    assert all(one.startswith(group[0]) for group in groups for one in group)
    assert not copies.ungrouped


def test_trials_of_different_logic_are_asked_by_themselves(catalog: Catalog) -> None:
    assert not catalog.groups
    assert catalog.ungrouped == catalog.active


@pytest.mark.parametrize("folder", sorted({path.parent for path in EXPECTED}), ids=lambda folder: folder.parent.name)
def test_cases_have_the_same_answers(copies: Catalog, folder: Path) -> None:
    """Of every case, as it is and with the disease of a copy beside its own."""
    for place, path in enumerate(sorted(folder.glob("*.expected.json"))):
        bundle, now, first_dose = case(path)
        for told in (bundle, with_diseases_of(bundle, [4 + place % 8])):
            same_answers(copies, PatientRecord.from_bundle(told, now=now), now, first_dose=first_dose)


@given(path=st.sampled_from(EXPECTED), numbers=st.sets(st.integers(4, 11)), searched=st.booleans())
def test_cases_have_the_same_answers_with_the_diseases_of_any_copies(
    copies: Catalog, path: Path, numbers: set[int], searched: bool
) -> None:
    bundle, now, first_dose = case(path)
    record = PatientRecord.from_bundle(
        with_diseases_of(bundle, sorted(numbers)), now=now, searched=None if searched else {"Condition", "Observation"}
    )
    same_answers(copies, record, now, first_dose=first_dose)


def test_a_patient_with_a_copys_disease_is_matched_with_it(copies: Catalog) -> None:
    original = "cadonilimab-lenvatinib-hcc"
    path = ROOT / "plandefinitions" / original / "cases" / "hepatocellular-carcinoma-icd-10.expected.json"
    bundle, now, _ = case(path)
    record = PatientRecord.from_bundle(with_diseases_of(bundle, [7]), now=now)
    concerned = {one.trial for one in same_answers(copies, record, now).trials if one.criteria}
    assert concerned == {original, f"{original}-7"}


# --------------------------------------------------------------------------------- trials that ask in every way

NUMBER = 6
SETS = ("disease", "sign", "kind", "exempt")


def write_alike(target: Path, trial: str) -> None:
    """Copies of a trial of the test data, each with value sets of its own name: ``asked-0-disease`` ..."""
    for number in range(NUMBER):
        folder = target / f"{trial}-{number}"
        folder.mkdir()
        for file in (DATA / trial).iterdir():
            text = file.read_text(encoding="utf-8").replace(f'"{trial}"', f'"{trial}-{number}"')
            text = text.replace(trial.title(), f"{trial.title()}{number}")
            for kind in ("/ValueSet/", "/PlanDefinition/"):
                text = text.replace(f"{kind}{trial}", f"{kind}{trial}-{number}")
            (folder / file.name).write_text(text, encoding="utf-8")
        elm = orjson.loads((folder / "eligibility.elm.json").read_bytes())
        elm["translation"]["sha256"] = fingerprint((folder / "eligibility.cql").read_text(encoding="utf-8"), {})
        (folder / "eligibility.elm.json").write_bytes(orjson.dumps(elm))


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Six copies each of a trial that can be asked together with others, and of one that cannot."""
    folder = tmp_path_factory.mktemp("alike")
    write_alike(folder, "asked")
    write_alike(folder, "listed")
    return Catalog.load(folder)


def with_codes(catalog: Catalog, codes: Iterable[Iterable[str]]) -> Catalog:
    """The catalog with value sets of these codes: of each copy `SETS`, then of each the one that is listed."""
    names = [f"asked-{number}-{name}" for number in range(NUMBER) for name in SETS]
    names += [f"listed-{number}-disease" for number in range(NUMBER)]
    resources = [
        {
            "resourceType": "ValueSet",
            "url": f"https://trial-match.example/fhir/ValueSet/{name}",
            "expansion": {"contains": [{"system": SYSTEM, "code": code} for code in members]},
        }
        for name, members in zip(names, codes, strict=True)
    ]
    return replace(catalog, value_sets=ValueSets((one["url"], one) for one in resources))


CODES = st.sampled_from(["a", "b", "c", "d", "final", "amended"])
CONTENTS = st.lists(st.frozensets(CODES, max_size=3), min_size=5 * NUMBER, max_size=5 * NUMBER)
#: Few contents for many trials: value sets that are shared, by all or by some.
SHARED = st.tuples(st.lists(st.frozensets(CODES, max_size=4), min_size=1, max_size=3), st.randoms()).map(
    lambda drawn: [drawn[1].choice(drawn[0]) for _ in range(5 * NUMBER)]
)


@st.composite
def charts(draw: st.DrawFn) -> list[Json]:
    """A patient with conditions, observations and procedures of few codes."""

    def concept() -> Json:
        codes = draw(st.lists(CODES, max_size=3))
        return {"coding": [{"system": SYSTEM, "code": code} for code in codes], "text": "Something"}

    def resource(place: int) -> Json:
        kind = draw(st.sampled_from(["Condition", "Observation", "Procedure"]))
        one: Json = {"resourceType": kind, "id": f"r{place}", "code": concept()}
        if kind == "Condition":
            verified = draw(st.sampled_from(["confirmed", "provisional"]))
            return one | {"verificationStatus": {"coding": [{"code": verified}]}, "bodySite": [concept()]}
        if kind == "Procedure":
            return one | {"status": "completed"}
        status = draw(st.sampled_from(["final", "amended"]))
        return one | {"status": status, "category": [concept(), concept()], "valueCodeableConcept": concept()}

    number = draw(st.integers(0, 5))
    return [{"resourceType": "Patient", "id": "p", "gender": "female"}, *(resource(place) for place in range(number))]


@given(codes=CONTENTS | SHARED, chart=charts())
def test_value_sets_of_any_codes_have_the_same_answers(alike: Catalog, codes: list[frozenset[str]], chart: Any) -> None:
    catalog = with_codes(alike, codes)
    assert [len(group.trials) for group in catalog.groups] == [NUMBER]
    same_answers(catalog, PatientRecord.from_resources(chart, now=NOW))


def condition(*codes: str) -> Json:
    coding = [{"system": SYSTEM, "code": code} for code in codes]
    status = {"coding": [{"code": "confirmed"}]}
    return {"resourceType": "Condition", "id": "c", "code": {"coding": coding}, "verificationStatus": status}


PATIENT = {"resourceType": "Patient", "id": "p"}
OWN = [*([f"x{number}"] if name == "disease" else [] for number in range(NUMBER) for name in SETS), *([[]] * NUMBER)]


def evaluations(monkeypatch: pytest.MonkeyPatch, catalog: Catalog, *resources: Json) -> tuple[int, set[str]]:
    """How many evaluations a match needs, and the trials that concern the patient."""
    made = []
    plain = apply.Evaluation
    monkeypatch.setattr(apply, "Evaluation", lambda *given, **named: made.append(given) or plain(*given, **named))
    answer = match(catalog, PatientRecord.from_resources([PATIENT, *resources], now=NOW), now=NOW)
    return len(made), {one.trial for one in answer.trials if one.status is not Status.NOT_APPLICABLE}


def only_asked(catalog: Catalog) -> Catalog:
    return replace(catalog, trials={name: trial for name, trial in catalog.trials.items() if name.startswith("asked")})


def test_a_disease_that_no_trial_looks_for_costs_one_evaluation(
    alike: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = only_asked(with_codes(alike, OWN))
    assert evaluations(monkeypatch, catalog, condition("else")) == (1, set())


def test_one_trial_that_looks_for_it_leaves_the_others_together(
    alike: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = only_asked(with_codes(alike, OWN))
    assert evaluations(monkeypatch, catalog, condition("x3")) == (2, {"asked-3"})


def test_codes_that_all_trials_look_for_are_no_reason_to_part(alike: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [{"final"} if len(one) == 0 else {*one, "all"} for one in OWN]
    catalog = only_asked(with_codes(alike, codes))
    made, concerned = evaluations(monkeypatch, catalog, condition("all"))
    assert (made, len(concerned)) == (2, NUMBER)


def test_codes_without_a_system_are_asked_too(alike: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A status is a code whose element has no system."""
    kinds = [{"final"} if number < 2 else {"else"} for number in range(NUMBER)]
    codes = [kinds[number] if name == "kind" else set() for number in range(NUMBER) for name in SETS]
    catalog = only_asked(with_codes(alike, [*codes, *([[]] * NUMBER)]))
    observation = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "Something"}}
    _, concerned = evaluations(monkeypatch, catalog, observation)
    assert concerned == {"asked-0", "asked-1"}


def test_some_trials_alone_and_all_criteria_are_answered_as_ever(copies: Catalog) -> None:
    bundle, now, _ = case(EXPECTED[0])
    record = PatientRecord.from_bundle(bundle, now=now)
    chosen = sorted(copies.trials)[::3]
    assert [one.trial for one in same_answers(copies, record, now, trials=chosen).trials] != []
    assert all(one.criteria for one in same_answers(copies, record, now, all_criteria=True).trials)


def test_a_value_set_that_is_not_there_leaves_its_trial_alone(alike: Catalog) -> None:
    codes = with_codes(alike, OWN)
    missing = "https://trial-match.example/fhir/ValueSet/asked-2-kind"
    held = [
        {"resourceType": "ValueSet", "url": url, "expansion": {"contains": _contains(codes, url)}}
        for url in codes.value_sets.titles
        if url != missing
    ]
    catalog = replace(alike, value_sets=ValueSets((one["url"], one) for one in held))
    assert "asked-2" in {trial.id for trial in catalog.ungrouped}
    same_answers(catalog, PatientRecord.from_resources([PATIENT, condition("x2")], now=NOW))


def _contains(catalog: Catalog, url: str) -> list[Json]:
    return [{"system": system, "code": code} for system, code in catalog.value_sets.value_set(url)]


def test_what_fails_for_a_group_is_answered_one_by_one(alike: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure while trials are asked together says nothing of any of them."""

    def fail(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr("cds.trials.passing_over._Record.retrieve", fail)
    catalog = with_codes(alike, OWN)
    same_answers(catalog, PatientRecord.from_resources([PATIENT, condition("x2")], now=NOW))
