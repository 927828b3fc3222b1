"""The folders that records become: what the record says, all of it, and no more; held against those by hand."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import CONTENT, OURS, TODAY, classes, criteria, differences, make, outcomes, read, values
from test_translate import CACHE, node

from cds.authoring.draft_plan import plan_definition
from cds.authoring.draft_trial import draft_trial, record_files
from cds.authoring.record_reading import read_record
from cds.authoring.registry_record import Place, Record, Text, unescaped
from cds.authoring.scaffold import make_trial
from cds.authoring.translate import translate
from cds.errors import ContentError
from cds.fhir.record import PatientRecord
from cds.trials.apply import match
from cds.trials.catalog import Catalog
from cds.trials.eligibility import as_json

HERE = Path(__file__).parent
RECORDS = HERE / "records"
TRIALS = sorted(path.parent.name for path in CONTENT.glob("*/record.txt"))
EXPLAINED: dict[str, list[dict[str, Any]]] = read(HERE / "data" / "made-and-by-hand.json")
FORMS = [("txt", None), ("json", None), ("csv", "NCT99999901")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of the four records, beside one another; those of the fictional one in its three forms."""
    place = tmp_path_factory.mktemp("trials")
    for trial in TRIALS:
        make(CONTENT / trial / "record.txt", place / trial)
    for form, nct in FORMS:
        make(RECORDS / f"fictional.{form}", place / f"fictional-{form}", nct)
    return place


# ------------------------------------------------------------------------------------------------ against those by hand


@pytest.mark.parametrize("trial", TRIALS)
def test_a_made_folder_differs_from_that_by_hand_as_explained(trial: str, made: Path) -> None:
    explained = [{name: value for name, value in one.items() if name != "why"} for one in EXPLAINED[trial]]
    assert differences(made / trial, CONTENT / trial) == explained
    assert all(one["why"] for one in EXPLAINED[trial])


@pytest.mark.parametrize("trial", TRIALS)
def test_a_draft_claims_no_more_than_the_definition_by_hand(trial: str, made: Path) -> None:
    """What is drafted as computable, or as presumed where nothing is on record, is so by hand too."""
    by_hand = classes(CONTENT / trial)
    for criterion, (assessment, policies) in classes(made / trial).items():
        assert assessment != "computable" or by_hand[criterion][0] == "computable"
        assert policies != ["presume-absent"] or "presume-absent" in by_hand[criterion][1]


@pytest.mark.parametrize("trial", TRIALS)
def test_every_outcome_is_that_by_hand_with_its_time_frame(trial: str, made: Path) -> None:
    found = outcomes(made / trial)
    assert len(found) > 3
    assert [one for one in found if one not in outcomes(CONTENT / trial)] == []


# ------------------------------------------------------------------------------------------------- nothing is dropped


def signs(text: str) -> str:
    return re.sub(r"\s", "", text)


def plan_text(plan: dict[str, Any]) -> str:
    """All that the actions of a plan say of the list, in order: headers, numbers as written, headings, texts, notes."""
    pieces: list[str] = []
    for group in plan["action"][0]["action"]:
        pieces.append(group.get("textEquivalent", ""))
        for action in group["action"]:
            if action["id"][0] not in "IE":
                continue
            before: list[str] = []
            after: list[str] = []
            for one in action.get("documentation", ()):
                written = "".join(re.findall("“(.*)”", one["display"]))
                (before if one["label"] in ("Heading", "Header") else after).append(written + one["citation"])
            number = re.findall("“(.*)”", action["description"])
            pieces += [*before, *number, action["textEquivalent"], *after]
    return "".join(pieces)


@pytest.mark.parametrize("trial", [*TRIALS, "fictional-txt", "fictional-json"])
def test_every_sign_of_the_list_is_in_some_action_in_order(trial: str, made: Path) -> None:
    record = read_record(made / trial / "record.txt")
    eligibility = record.eligibility.value if record.eligibility else ""
    assert signs(plan_text(read(made / trial / "plan-definition.json"))) == signs(eligibility)


LINE = st.tuples(
    st.sampled_from(["1. ", "2. ", "3) ", "a. ", "* ", "  * ", "", "Note: ", "(1) ", "14. Note: ", "Part A: "]),
    st.sampled_from(["Adults", "HIV infection;", "Organ function:", "ECOG 0-1; 2. Consent", "two words", "(open"]),
).map("".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=8), st.lists(LINE, min_size=1, max_size=8))
def test_every_sign_of_any_list_is_in_some_action_in_order(inclusion: list[str], exclusion: list[str]) -> None:
    text = "\n".join(["Inclusion Criteria:", *inclusion, "Exclusion Criteria:", *exclusion])
    place = Place("record.txt", "eligibility", 1)
    record = Record("text", "record", b"", Text("Title", place), eligibility=Text(text, place))
    assert signs(plan_text(plan_definition(draft_trial(record, "any-trial", TODAY)))) == signs(text)


# ------------------------------------------------------------------------------------------------ what is in a folder


@pytest.mark.parametrize("trial", [*TRIALS, "fictional-txt", "fictional-json", "fictional-csv"])
def test_resources_are_valid_drafts(trial: str, made: Path) -> None:
    for name in ("research-study.json", "plan-definition.json", "library.json"):
        resource = read(made / trial / name)
        kind = resource["resourceType"]
        getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind).model_validate(resource)
        assert resource["id"] == trial
        assert kind == "ResearchStudy" or resource["status"] == "draft"


def test_extensions_are_those_that_the_trials_by_hand_use(made: Path) -> None:
    def urls(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["url"]} if str(node.get("url", "")).startswith(OURS) else set()
            return own.union(*(urls(value) for value in node.values()))
        return set().union(*map(urls, node)) if isinstance(node, list) else set()

    known: set[str] = set().union(*(urls(read(path)) for path in CONTENT.glob("*/*.json") if ".elm." not in path.name))
    for path in made.glob("*/*.json"):
        if ".elm." not in path.name:
            assert urls(read(path)) - known == set()


def test_the_registry_s_fields_are_filled_and_nothing_is_made_up(made: Path) -> None:
    study = read(made / "fictional-json" / "research-study.json")
    assert study["identifier"] == [
        {"system": "https://clinicaltrials.gov", "value": "NCT99999901"},
        {"type": {"text": "Other study number"}, "value": "FICTION-1"},
    ]
    assert (study["status"], study["phase"]["coding"][0]["code"]) == ("active", "phase-2")
    assert study["sponsor"] == {"display": "Example University Hospital"}
    assert study["site"] == [{"display": "Example University Hospital, Musterstadt, Example State, 00000, Germany"}]
    assert study["period"] == {"start": "2026-06-01", "end": "2029-06"}
    assert [arm["name"] for arm in study["arm"]] == ["Velorastinib plus pemetrexed"]
    assert outcomes(made / "fictional-json")[-1] == ("secondary", "Overall survival", None)
    bare = read(made / "cadonilimab-anlotinib-cervical" / "research-study.json")
    assert {"status", "phase", "sponsor", "site", "period", "arm"} & set(bare) == set()
    assert bare["_status"]["extension"][0]["valueCode"] == "unknown"


def test_the_three_forms_say_the_same(made: Path) -> None:
    texts = {form: criteria(made / f"fictional-{form}") for form, _ in FORMS}
    in_json = {one: {**values, "text": values["text"].replace("≥", ">=")} for one, values in texts["json"].items()}
    in_text = {one: {**values, "text": values["text"].replace("≥", ">=")} for one, values in texts["txt"].items()}
    assert in_json == in_text
    assert {one: values["text"] for one, values in texts["csv"].items()} == {
        "C1": "Non-Small Cell Lung Cancer",
        "R1": "Age groups: ADULT, OLDER_ADULT",
    }
    for form, _ in FORMS:
        study = read(made / f"fictional-{form}" / "research-study.json")
        assert [one["text"] for one in study["condition"]] == ["Non-Small Cell Lung Cancer"]
        assert [one["text"] for one in study["focus"]] == ["Velorastinib", "Pemetrexed"]
        assert [one[:2] for one in outcomes(made / f"fictional-{form}")] == [
            ("primary", "Objective response rate"),
            ("secondary", "Progression-free survival"),
            ("secondary", "Overall survival"),
        ]
        assert True in values(read(made / f"fictional-{form}" / "plan-definition.json"), "record-incomplete") or (
            form != "csv"
        )


def test_the_record_is_kept(made: Path) -> None:
    for trial in TRIALS:
        assert (made / trial / "record.txt").read_bytes() == (CONTENT / trial / "record.txt").read_bytes()
    assert (made / "fictional-json" / "record.json").read_bytes() == (RECORDS / "fictional.json").read_bytes()
    assert "NCT99999902" not in (made / "fictional-csv" / "record.csv").read_text(encoding="utf-8")
    text = unescaped((made / "fictional-json" / "record.txt").read_text(encoding="utf-8"))
    for one in criteria(made / "fictional-json").values():
        assert one["text"].split("\n")[0] in text
    assert set(record_files(read_record(RECORDS / "fictional.json"))) == {"record.txt", "record.json"}


def test_every_value_set_that_the_draft_uses_has_an_expansion(made: Path) -> None:
    used = set(
        re.findall(r"^valueset .*: '([^']+)'", (made / "shared" / "CommonCriteria.cql").read_text("utf-8"), re.M)
    )
    held = {one["url"]: one for path in made.glob("*/valuesets/*.json") if (one := read(path))}
    assert used - set(held) == set()
    assert all(held[url]["expansion"]["contains"] for url in used)


def test_what_is_shared_is_never_touched(tmp_path: Path) -> None:
    shutil.copytree(CONTENT / "shared", tmp_path / "shared")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "other").mkdir()
    shutil.copytree(CONTENT / TRIALS[0], tmp_path / TRIALS[0])
    done = make(RECORDS / "fictional.txt", tmp_path / "fictional")
    assert all(path.read_bytes() == content for path, content in before.items())
    assert [name for name in done.copied if not name.startswith("valuesets/")] == []


# ------------------------------------------------------------------------------------------------------- what it does


@pytest.fixture(scope="module")
def loaded(made: Path) -> Catalog:
    """The made folders, translated, and loaded as the service loads trials."""
    results = translate([made], CACHE)
    assert [str(message) for result in results for message in result.messages] == []
    return Catalog.load(made)


@node
def test_made_folders_translate_and_load_as_drafts(loaded: Catalog) -> None:
    assert {trial.id for trial in loaded} == {*TRIALS, *(f"fictional-{form}" for form, _ in FORMS)}
    assert {trial.status for trial in loaded} == {"draft"}
    assert loaded.active == ()
    assert len(loaded.trials["fictional-json"].criteria) == 22
    assert [one.id for one in loaded.trials["fictional-json"].disease_criteria] == ["I2"]


@node
@pytest.mark.parametrize("trial", [*TRIALS, "fictional-txt", "fictional-json", "fictional-csv"])
def test_the_starter_case_is_answered_as_expected(trial: str, loaded: Catalog, made: Path) -> None:
    cases = made / trial / "cases"
    expected = read(cases / "nothing-on-record.expected.json")
    got = answered(loaded, trial, read(cases / "nothing-on-record.json"), expected["now"])
    assert got["status"] == expected["trials"][trial]["status"]
    assert {one["id"]: {"outcome": one["outcome"], "basis": one["basis"]} for one in got["criteria"]} == expected[
        "trials"
    ][trial]["criteria"]


def answered(loaded: Catalog, trial: str, bundle: dict[str, Any], now: str) -> dict[str, Any]:
    """What a made trial answers for a patient, were it active."""
    active = Catalog(
        {trial: replace(loaded.trials[trial], status="active")}, loaded.libraries, loaded.value_sets, loaded.model
    )
    moment = datetime.fromisoformat(now)
    record = PatientRecord.from_bundle(bundle, now=moment)
    answer: dict[str, Any] = as_json(match(active, record, now=moment, all_criteria=True))["trials"][0]
    return answer


PATIENTS = read(HERE / "data" / "patients-of-drafts.json")


@node
@pytest.mark.parametrize("case", PATIENTS, ids=lambda case: case["name"])
def test_drafts_answer_for_patients(case: dict[str, Any], loaded: Catalog) -> None:
    patient = {"resourceType": "Patient", "id": "p", **case.get("patient", {})}
    resources = [
        {"id": f"r{index}", "subject": {"reference": "Patient/p"}, "patient": {"reference": "Patient/p"}, **one}
        for index, one in enumerate(case.get("resources", ()))
    ]
    for one in resources:
        one.pop("patient" if one["resourceType"] not in ("Immunization",) else "subject")
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": one} for one in [patient, *resources]],
    }
    got = answered(loaded, "fictional-json", bundle, "2026-11-20T12:00:00Z")
    outcomes = {one["id"]: one["outcome"] for one in got["criteria"]}
    reasons = {one["id"]: (one["outcome"], one["reason"], one["evidence"]) for one in got["criteria"]}
    assert {one: outcomes[one] for one in case["expected"]} == case["expected"], reasons


# ------------------------------------------------------------------------------------------------------ what is refused


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ContentError, match="exists and is not empty"):
        make(RECORDS / "fictional.txt", tmp_path / "trial")
    assert [path.name for path in tmp_path.rglob("*")] == ["trial", "notes.txt"]


@pytest.mark.parametrize("name", ["my trial", "trial_1", "x" * 65, "trïal"])
def test_a_name_that_is_no_id_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ContentError, match="its name is the trial's id"):
        make(RECORDS / "fictional.txt", tmp_path / name)


def test_a_library_of_the_same_name_beside_it_is_refused(tmp_path: Path) -> None:
    make(RECORDS / "fictional.txt", tmp_path / "fictional-a")
    with pytest.raises(ContentError, match=r"FictionalA, as that of fictional-a is"):
        make(RECORDS / "fictional.txt", tmp_path / "fictional.a")


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="there is no such folder"):
        make(RECORDS / "fictional.txt", tmp_path / "nowhere" / "trial")


def test_nothing_is_left_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == "CommonCriteria.elm.json":
            raise OSError(28, "No space left on device", str(path))
        return written(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ContentError, match="No space left on device"):
        make(RECORDS / "fictional.txt", tmp_path / "trial")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_content_without_the_shared_libraries_is_told(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    with pytest.raises(ContentError, match="drafts are made of it"):
        make_trial(read_record(RECORDS / "fictional.txt"), tmp_path / "trial", tmp_path / "content", date(2026, 11, 20))
