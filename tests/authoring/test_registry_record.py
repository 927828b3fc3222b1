"""Records in the three forms that people have, and files that are none."""

from __future__ import annotations

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.plandefinition import PlanDefinition
from fhir.resources.R4B.researchstudy import ResearchStudy
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.authoring import record_reading
from cds.authoring.draft_plan import plan_definition
from cds.authoring.draft_study import research_study
from cds.authoring.draft_trial import draft_trial
from cds.authoring.record_reading import read_record
from cds.authoring.registry_record import Record, unescaped
from cds.errors import ContentError

ROOT = Path(__file__).resolve().parents[2]
RECORDS = Path(__file__).parent / "records"
STUDY: dict[str, Any] = json.loads((RECORDS / "fictional.json").read_text(encoding="utf-8"))
TEXT = (RECORDS / "fictional.txt").read_text(encoding="utf-8")
CSV = (RECORDS / "fictional.csv").read_text(encoding="utf-8")
CERVICAL = ROOT / "plandefinitions" / "cadonilimab-cervical-locally-advanced" / "record.txt"
LIVER = ROOT / "plandefinitions" / "cadonilimab-lenvatinib-hcc" / "record.txt"


def test_the_form_is_told_from_the_content(tmp_path: Path) -> None:
    for form in ("txt", "json", "csv"):
        path = tmp_path / f"{form}.download"
        path.write_bytes((RECORDS / f"fictional.{form}").read_bytes())
        record = read_record(path, "NCT99999901" if form == "csv" else None)
        assert record.form == form.replace("txt", "text")
        assert record.title.value.startswith("Velorastinib Plus Pemetrexed")


def test_a_text_record_is_told_apart_line_by_line() -> None:
    record = read_record(CERVICAL)
    assert record.title.value == "CNCMT：a Multi-center, Prospective, Single-arm Study"
    assert [one.value for one in record.conditions] == ["Locally Advanced Cervical Cancer", "PD1", "CTLA4"]
    assert [one.name for one in record.interventions] == ["Neoadjuvant Chemotherapy (NACT)", "maintenance therapy"]
    assert record.outcomes[2].time_frame == "through study completion, an average of 24 months"
    assert record.description is not None
    assert record.eligibility is not None
    assert str(record.eligibility.place) == "record.txt:9: eligibility"
    assert "< 75 years" in record.eligibility.value


def test_an_outcome_may_span_lines() -> None:
    conversion = read_record(LIVER).outcomes[1]
    assert (conversion.kind, conversion.measure) == ("primary", "Conversion success rate")
    assert conversion.time_frame == "Baseline up to approximately 6 months"
    assert conversion.description is not None
    assert conversion.description.count("\n* ") == 5


@pytest.mark.parametrize(
    ("cell", "description", "frame"),
    [
        ("PFS, Time to progression, up to 2 years", "Time to progression", "up to 2 years"),
        ("PFS, 12 months", None, "12 months"),
        ("PFS, Time to progression, or death", "Time to progression, or death", None),
        ("PFS", None, None),
        ("OS, a, b, c, Time Frame: 3 years", "a, b, c", "3 years"),
        (
            "OS, d, through study completion, an average of 1 year",
            "d",
            "through study completion, an average of 1 year",
        ),
        ("OS, maintained for more than 4 weeks, Day 1", "maintained for more than 4 weeks", "Day 1"),
    ],
)
def test_an_outcome_is_measure_description_and_time_frame(
    cell: str, description: str | None, frame: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "record.txt"
    path.write_text(f"T\nS\nCancer\nDRUG: x\n{cell}\nOS, 1 year\nD", encoding="utf-8")
    (outcome, _) = read_record(path).outcomes
    assert outcome.measure == cell.partition(",")[0]
    assert (outcome.description, outcome.time_frame) == (description, frame)


def test_an_empty_secondary_line_is_no_outcome(tmp_path: Path) -> None:
    path = tmp_path / "record.txt"
    path.write_text("T\nS\nCancer\nDRUG: x\nOS, 1 year\n\nThe description.", encoding="utf-8")
    record = read_record(path)
    assert len(record.outcomes) == 1
    assert record.description is not None
    assert record.description.value.strip() == "The description."


def test_json_says_what_the_registry_says() -> None:
    record = read_record(RECORDS / "fictional.json")
    assert (record.nct, record.status, record.phases) == ("NCT99999901", "RECRUITING", ("PHASE2",))
    assert (record.sponsor, record.collaborators) == ("Example University Hospital", ("Example Foundation",))
    assert (record.sex, record.minimum_age, record.maximum_age) == ("ALL", "18 Years", "80 Years")
    assert [arm.type for arm in record.arms] == ["EXPERIMENTAL"]
    assert record.interventions[0].other_names == ("EX-101",)
    assert record.sites[0].city == "Musterstadt"
    assert record.eligibility is not None
    assert "Hemoglobin >= 90 g/L" in record.eligibility.value
    assert record.eligibility.place.line is not None


def test_a_page_of_one_study_is_that_study(tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    path.write_text(json.dumps({"studies": [STUDY], "totalCount": 1}), encoding="utf-8")
    assert read_record(path).nct == "NCT99999901"
    assert read_record(path, "nct99999901").nct == "NCT99999901"


def test_one_study_of_several_is_chosen_and_kept_alone(tmp_path: Path) -> None:
    second = copy.deepcopy(STUDY)
    second["protocolSection"]["identificationModule"]["nctId"] = "NCT99999902"
    path = tmp_path / "page.json"
    path.write_text(json.dumps({"studies": [STUDY, second]}), encoding="utf-8")
    record = read_record(path, "NCT99999902")
    assert record.nct == "NCT99999902"
    assert b"NCT99999901" not in record.original


def test_csv_is_told_apart() -> None:
    record = read_record(RECORDS / "fictional.csv", "NCT99999902")
    assert (record.phases, record.status, record.sex) == (("PHASE1", "PHASE2"), "NOT_YET_RECRUITING", "FEMALE")
    assert record.summary is not None
    assert record.summary.value.endswith("“quoted” word\nand a second line.".replace("“", '"').replace("”", '"'))
    assert record.eligibility is None
    assert str(record.conditions[0].place) == "fictional.csv: row 3, column Conditions"


def test_markdown_s_escapes_are_taken_away() -> None:
    assert unescaped(r"\< 75, \>= 5, \[a\] \*b\* c\_d \~ 1") == "< 75, >= 5, [a] *b* c_d ~ 1"
    assert unescaped(r"a\b \n") == r"a\b \n"


# ------------------------------------------------------------------------------------------------------- bad input

LINES = TEXT.split("\n")
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", r":1: is empty"),
    "spaces": (b" \n\n ", r":1: is empty"),
    "latin-1": (TEXT.replace("≥", "é").encode("latin-1", "replace"), r":\d+: is not UTF-8: the byte 0xe9"),
    "utf-16": (TEXT.encode("utf-16"), r":1: is not UTF-8: the byte 0xff"),
    "utf-16 without its mark": ("ab".encode("utf-16-le") * 9, r":1: is no text: it holds a zero byte"),
    "prose": (b"Dear colleague,\nplease find the record attached.\n", r":1: is no registry record.*Dear colleague"),
    "html": (b"<!DOCTYPE html>\n<html>Not found</html>\n", r":1: is no registry record"),
    "pdf": (b"%PDF-1.7\n%abc\n", r":1: is no registry record"),
    "without a summary": ("\n".join([LINES[0], *LINES[2:]]).encode(), r":3: the interventions come too early"),
    "without a title": ("\n".join(["", *LINES[1:]]).encode(), r":1: the first line, the title, is empty"),
    "cut after the interventions": ("\n".join(LINES[:4]).encode(), r":4: is cut off"),
    "cut after the primary outcomes": ("\n".join(LINES[:5]).encode(), r":5: is cut off"),
    "cut JSON": (json.dumps(STUDY, indent=1).encode()[:900], r":\d+: is cut off in the middle of its JSON"),
    "wrong JSON": (b'{"protocolSection": {,}}', r":1: is no JSON"),
    "deep JSON": (b"[" * 200_000, r":1: is no JSON: nested too deep"),
    "other JSON": (b'{"resourceType": "Bundle"}', r":1: is no study of the API v2"),
    "no studies": (b'{"studies": []}', r":1: is no study of the API v2"),
    "a list of numbers": (b"[1, 2]", r":1: is no study of the API v2"),
    "a study without a title": (
        b'{"protocolSection": {"identificationModule": {"nctId": "NCT99999901"}}}',
        r"has no title",
    ),
    "cut CSV": (CSV[: CSV.index("second line")].encode(), r":\d+: is cut off or no CSV"),
    "CSV with a short row": (CSV.split("\n")[0].encode() + b"\nNCT99999901,Title\n", r"row 2: .* fewer cells"),
    "CSV with a long row": (b"NCT Number,Study Title\nNCT99999901,Title,more\n", r"row 2: .* more cells"),
    "CSV of columns alone": (CSV.split("\n")[0].encode() + b"\n", r":1: holds no study"),
    "CSV without titles": (b"NCT Number,Acronym\nNCT99999901,A\n", r":1: has no column Study Title"),
    "CSV of several": (CSV.encode(), r"holds 2 studies: NCT99999901, NCT99999902 \(choose one, such as --nct"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_record_is_told_with_its_place(name: str, tmp_path: Path) -> None:
    content, message = BAD[name]
    path = tmp_path / "record.txt"
    path.write_bytes(content)
    with pytest.raises(ContentError, match=message) as error:
        read_record(path)
    assert str(error.value).startswith(str(path))
    assert error.value.remedy


def test_a_study_that_is_not_there_is_told() -> None:
    for form in ("csv", "json", "txt"):
        with pytest.raises(ContentError, match=r"does not (hold|name) NCT00000001"):
            read_record(RECORDS / f"fictional.{form}", "NCT00000001")


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_reading, "LARGEST", 1000)
    with pytest.raises(ContentError, match=r"has [\d,]+ bytes"):
        read_record(RECORDS / "fictional.json")


def test_a_text_that_no_record_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.txt"
    path.write_text(TEXT + "\n* one more" * 10_000, encoding="utf-8")
    with pytest.raises(ContentError, match=r":11: the eligibility has [\d,]+ characters"):
        read_record(path)


def paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to every value in a JSON tree."""
    found = [path] if path else []
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        found += paths(value, (*path, key))
    return found


JUNK = st.sampled_from(
    [None, 0, -1.5, True, "", " ", "x", [], {}, [None], [{}], {"name": 1}, [[]], "1. a\n2. b", "|,|"]
)


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(paths(STUDY)), JUNK), min_size=1, max_size=4))
def test_spoiled_json_is_a_record_or_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, spoils: list[tuple[tuple[Any, ...], Any]]
) -> None:
    study = copy.deepcopy(STUDY)
    for path, junk in spoils:
        node = study
        try:
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = junk
        except (KeyError, IndexError, TypeError):
            continue
    file = tmp_path_factory.mktemp("json") / "study.json"
    file.write_text(json.dumps(study), encoding="utf-8")
    _made_or_refused(file)


@settings(max_examples=250, deadline=None)
@given(st.integers(0, len(TEXT)), st.integers(0, 400), st.sampled_from(["", "|", "\n", "1. ", "DRUG: ", "("]))
def test_spoiled_text_is_a_record_or_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, length: int, put: str
) -> None:
    file = tmp_path_factory.mktemp("text") / "record.txt"
    file.write_text(TEXT[:at] + put + TEXT[at + length :], encoding="utf-8")
    _made_or_refused(file)


def _made_or_refused(file: Path) -> None:
    try:
        record = read_record(file)
    except ContentError:
        return
    assert isinstance(record, Record)
    trial = draft_trial(record, "any-trial", date(2026, 11, 20))
    PlanDefinition.model_validate(plan_definition(trial))
    ResearchStudy.model_validate(research_study(trial))
