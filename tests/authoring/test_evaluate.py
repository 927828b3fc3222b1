"""`cds evaluate`: every definition of any library for any patient, in the format that engines are compared by."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cds.authoring.result_format import dumps, from_json, to_json
from cds.cli import main
from cds.elm.values import Code, Concept, Date, DateTime, Interval, Long, Quantity, Ratio, Time, Tuple, ValueSetRef
from cds.errors import CdsError

DATA = Path(__file__).resolve().parent / "data"
ELM = DATA / "libraries"
ANN = DATA / "patients" / "ann.json"
NOW = "2026-11-20T12:00:00Z"

Evaluate = Callable[..., Result]


@pytest.fixture
def evaluate(tmp_path: Path) -> Evaluate:
    """The command with this folder's content; arguments by name replace what it is given by default."""

    def run(**given: Any) -> Result:
        options = {
            "elm": ELM,
            "vs": DATA / "valuesets",
            "patients": DATA / "patients",
            "libs": "Forms",
            "now": NOW,
            "out": tmp_path / "out.json",
            **given,
        }
        arguments = [str(part) for name, value in options.items() if value is not None for part in (f"--{name}", value)]
        return CliRunner().invoke(main, ["evaluate", *arguments])

    return run


@pytest.fixture
def values(evaluate: Evaluate, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What Ann's definitions of one library are worth."""

    def run(library: str = "Forms", **given: Any) -> dict[str, Any]:
        result = evaluate(libs=library, **given)
        assert result.exit_code == 0, result.stderr
        found: dict[str, Any] = json.loads((tmp_path / "out.json").read_bytes())["results"]["ann"][library]
        return found

    return run


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


FORMS = {
    "Null": None,
    "True": True,
    "Integer": 5,
    "Long": {"@long": "5000000000"},
    "Decimal": 1.5,
    "String": 'Ångström "A"',
    "Date": {"@date": "2026-11"},
    "DateTime": {"@datetime": "2026-11-20T12:30:00.000+02:00"},
    "Time": {"@time": "12:30"},
    "Quantity": {"@quantity": [11.2, "g/dL"]},
    "Ratio": {"@ratio": [{"@quantity": [1, "mg"]}, {"@quantity": [2, "mL"]}]},
    "Code": {"@code": ["http://loinc.org", "718-7"]},
    "Concept": {"@concept": [["http://loinc.org", "718-7"]]},
    "Interval": {"@interval": [1, None, True, False]},
    "List": [1, None, 2],
    "Tuple": {"@tuple": {"a": 1, "b": [{"@date": "2026-01-01"}]}},
    "Uncertainty": {"@uncertainty": [3, 4]},
    "Resource": {"@resource": "Observation/hb"},
    "Resources": [
        {"@resource": "Observation/hb"},
        {"@resource": "urn:uuid:7f2f3f0a-91a3-4a2e-8f0c-0c5a0d2b9a10"},
    ],
    "FHIR element": {"@fhir": ["AdministrativeGender", "female"]},
    "FHIR complex element": {"@fhir": ["HumanName", {"family": "Poe", "given": ["Ann"]}]},
}


def test_every_value_has_its_form(values: Callable[..., dict[str, Any]]) -> None:
    found = values()
    assert {name: found.get(name) for name in FORMS} == FORMS


def test_the_patient_and_functions_are_left_out_and_the_order_is_the_librarys(
    values: Callable[..., dict[str, Any]],
) -> None:
    names = list(values())
    assert names[:4] == ["Null", "True", "Integer", "Long"]
    assert "Patient" not in names
    assert "Twice" not in names


def test_digits_are_kept(values: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    values()
    assert b'"Long decimal":1234567890123456789.12345678,' in (tmp_path / "out.json").read_bytes()


def test_the_head_says_what_was_asked(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate(libs="Facts, Forms").exit_code == 0
    content = json.loads((tmp_path / "out.json").read_bytes())
    assert list(content) == ["engine", "now", "libs", "results"]
    assert (content["now"], content["libs"]) == ("2026-11-20T12:00:00.000Z", ["Facts", "Forms"])
    assert content["engine"].startswith("trial-match-cds ")
    assert list(content["results"]["ann"]) == ["Facts", "Forms"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("2026-11-20T12:00:00", "2026-11-20T12:00:00.000Z"),
        ("2026-11-20T12:00:00+02:00", "2026-11-20T12:00:00.000+02:00"),
    ],
)
def test_a_moment_without_offset_is_utc(evaluate: Evaluate, tmp_path: Path, given: str, told: str) -> None:
    assert evaluate(now=given).exit_code == 0
    assert json.loads((tmp_path / "out.json").read_bytes())["now"] == told


def test_a_definition_that_fails_says_where_and_the_others_go_on(values: Callable[..., dict[str, Any]]) -> None:
    found = values("Facts")
    assert found["Has hemoglobin"] is True
    assert found["Fails"]["@error"].startswith("Facts.Fails @ ")
    assert "this is wrong" in found["Fails"]["@error"]
    assert found["Rests on a failure"] == found["Fails"]
    assert found["Rests on an included failure"]["@error"].startswith("Included.Fails too @ ")


def test_a_value_set_matters_only_where_it_is_asked_for(values: Callable[..., dict[str, Any]]) -> None:
    found = values("Facts")
    assert "the value set Not expanded has no expansion" in found["By set without codes"]["@error"]
    assert "there is no value set https" in found["By absent set"]["@error"]
    without = values("Facts", vs=None)
    assert "hemoglobin" in without["Has hemoglobin"]["@error"]
    assert without["From the included"] == {"@date": "2026-11-20"}


def test_a_definition_that_needs_too_much_is_ended_alone(values: Callable[..., dict[str, Any]]) -> None:
    found = values("Facts", budget=5000)
    assert "budget" in found["Much work"]["@error"]
    assert found["Has hemoglobin"] is True
    assert values("Facts")["Much work"] == 1_000_000


PLAIN = {
    "Limit": 7,
    "Since": "2026-01-02",
    "Window": {"@interval": ["2026-01-01T00:00:00+01:00", None, True, True]},
    "Facts.Dose": {"@quantity": [2.5, "mg"]},
    "Sites": [{"@code": ["http://snomed.info/sct", "1"]}],
    "Anything": "2026-02-30",
    "Limits": {"@tuple": {"low": 1}},
    "Weight": {"@fhir": ["Quantity", {"value": 70.5, "unit": "kg"}]},
    "Name": {"@fhir": ["HumanName", {"family": "Poe"}]},
    "First Dose": "2026-12-01",
}
RESOURCE = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "Limit", "valueInteger": 7},
        {"name": "Since", "valueDate": "2026-01-02"},
        {"name": "Window", "valuePeriod": {"start": "2026-01-01T00:00:00+01:00"}},
        {"name": "Facts.Dose", "valueQuantity": {"value": 2.5, "unit": "mg"}},
        {"name": "Sites", "valueCoding": {"system": "http://snomed.info/sct", "code": "1"}},
        {"name": "Anything", "valueString": "2026-02-30"},
        {"name": "Weight", "valueQuantity": {"value": 70.5, "unit": "kg"}},
        {"name": "Name", "valueHumanName": {"family": "Poe"}},
        {"name": "First Dose", "valueDate": "2026-12-01"},
    ],
}


@pytest.mark.parametrize("given", [PLAIN, RESOURCE], ids=["plain", "resource"])
def test_parameters_fit_their_declared_types(
    values: Callable[..., dict[str, Any]], tmp_path: Path, given: dict[str, Any]
) -> None:
    found = values("Facts", parameters=written(tmp_path / "parameters.json", given))
    assert found["Limit given"] == 7
    assert found["Since given"] == {"@datetime": "2026-01-02"}
    assert found["Window given"] == {"@interval": [{"@datetime": "2026-01-01T00:00:00+01:00"}, None, True, True]}
    assert found["Dose given"] == {"@quantity": [2.5, "mg"]}
    assert found["Sites given"] == [{"@code": ["http://snomed.info/sct", "1"]}]
    assert found["Anything given"] == "2026-02-30"
    assert found["Weight given"] == {"@fhir": ["Quantity", {"value": 70.5, "unit": "kg"}]}
    assert found["Family"] == "Poe"
    assert found["From the included"] == {"@date": "2026-12-01"}


def test_parameters_that_are_not_given_have_their_default(values: Callable[..., dict[str, Any]]) -> None:
    found = values("Facts")
    assert (found["Limit given"], found["Since given"], found["From the included"]) == (
        9.5,
        None,
        {"@date": "2026-11-20"},
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"Limt": 7}, "no library declares the parameter Limt (there are: Facts.Anything, "),
        ({"Included.Limit": 7}, "no library declares the parameter Included.Limit"),
        ({"Limit": "seven"}, "the parameter Limit cannot be 'seven' (str) (Facts declares it as Decimal)"),
        ({"Limit": True}, "the parameter Limit cannot be True (bool)"),
        ({"Since": "yesterday"}, "the parameter Since cannot be 'yesterday' (str) (Facts declares it as DateTime)"),
        ({"Window": {"@interval": [1, 2, True, True]}}, "declares it as Interval<DateTime>"),
        ({"Sites": {"@code": ["s", "c"]}}, "the parameter Sites cannot be a Code (Facts declares it as List<Code>)"),
        ({"Limits": {"@tuple": {"other": 1}}}, "the parameter Limits cannot be a Tuple"),
        ({"Limits": {"@tuple": {"low": 3000000000}}}, "the parameter Limits cannot be 3000000000"),
        ({"Dose": {"@quantity": ["many", "mg"]}}, "the parameter Dose: cannot read {'@quantity'"),
        ({"Dose": {"value": 5, "unit": "mg"}}, "the parameter Dose: cannot read"),
        ({"Name": {"@fhir": ["Nothing", {}]}}, "the parameter Name: cannot read"),
        ({"Weight": {"@quantity": [1, "kg"]}}, "cannot be a Quantity (Facts declares it as FHIR.Quantity)"),
        ({"Name": "Poe"}, "the parameter Name cannot be 'Poe'"),
        ([1], "is no JSON object"),
        ({"resourceType": "Parameters", "parameter": [{"valueInteger": 1}]}, "a parameter without a name"),
        (
            {"resourceType": "Parameters", "parameter": [{"name": "Limit", "part": []}]},
            "the parameter Limit has a part, which is not read",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_refused(evaluate: Evaluate, tmp_path: Path, given: Any, says: str) -> None:
    path = written(tmp_path / "parameters.json", given)
    result = evaluate(libs="Facts", parameters=path)
    assert result.exit_code == 1
    assert f"{path}: " in result.stderr
    assert says in result.stderr
    assert not (tmp_path / "out.json").exists()


def test_a_parameters_resource_may_repeat_a_name_and_leave_a_value_out(
    values: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    sites = [{"name": "Sites", "valueCoding": {"code": code}} for code in "ab"]
    given = {"resourceType": "Parameters", "parameter": [*sites, {"name": "Limit"}]}
    found = values("Facts", parameters=written(tmp_path / "parameters.json", given))
    assert found["Sites given"] == [{"@code": [None, "a"]}, {"@code": [None, "b"]}]
    assert found["Limit given"] is None


def test_folders_are_read_at_any_depth_and_gz_too(evaluate: Evaluate, tmp_path: Path) -> None:
    deep = tmp_path / "patients" / "deep" / "er"
    deep.mkdir(parents=True)
    content = ANN.read_bytes()
    (deep / "bea.json.gz").write_bytes(gzip.compress(content))
    (tmp_path / "patients" / "cy.x.json").write_bytes(content)
    assert evaluate(patients=tmp_path / "patients").exit_code == 0
    assert list(json.loads((tmp_path / "out.json").read_bytes())["results"]) == ["bea", "cy.x"]


def test_a_patient_that_cannot_be_read_is_named_and_takes_nothing_with_it(evaluate: Evaluate, tmp_path: Path) -> None:
    folder = tmp_path / "patients"
    (folder / "other").mkdir(parents=True)
    shutil.copy(ANN, folder)
    shutil.copy(ANN, folder / "other")
    (folder / "broken.json").write_text("{", encoding="utf-8")
    (folder / "cut.json.gz").write_bytes(gzip.compress(ANN.read_bytes())[:40])
    written(folder / "none.json", {"resourceType": "Bundle"})
    written(folder / "single.json", {"resourceType": "Patient"})
    twice = json.loads(ANN.read_bytes())
    twice["entry"].append({"resource": {"resourceType": "Patient", "id": "two"}})
    written(folder / "two.json", twice)
    result = evaluate(patients=folder)
    assert result.exit_code == 1
    told = {line.split(": ")[0].rpartition("/")[2] for line in result.stderr.splitlines()}
    assert told == {"ann.json", "broken.json", "cut.json.gz", "none.json", "single.json", "two.json"}
    assert "has the same name as" in result.stderr
    assert list(json.loads((tmp_path / "out.json").read_bytes())["results"]) == ["ann"]


def test_results_can_go_to_stdout(evaluate: Evaluate) -> None:
    result = evaluate(out="-")
    assert json.loads(result.stdout)["results"]["ann"]["Forms"]["Integer"] == 5


def test_a_library_that_is_not_there_is_named_with_those_that_are(evaluate: Evaluate, tmp_path: Path) -> None:
    result = evaluate(libs="Forms,Nothing")
    assert result.exit_code == 1
    assert "there is no library Nothing (there are: Facts, Forms, Included)" in result.stderr
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("given", [{"libs": ","}, {"elm": "nowhere"}, {"now": "soon"}, {"budget": 0}, {"out": None}])
def test_wrong_usage_ends_with_two(evaluate: Evaluate, given: dict[str, Any]) -> None:
    assert evaluate(**given).exit_code == 2


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with the ELM of this folder's libraries, to be spoiled."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for path in ELM.glob("*.elm.json"):
        shutil.copy(path, folder)
    return folder


def with_unknown_node(name: str) -> dict[str, Any]:
    elm: dict[str, Any] = json.loads((ELM / f"{name}.elm.json").read_bytes())
    unknown = {"name": "New", "locator": "1:1-1:9", "expression": {"type": "Unheard"}, "context": "Patient"}
    elm["library"]["statements"]["def"].append(unknown)
    return elm


def test_a_definition_that_cannot_be_compiled_is_an_error_and_the_others_of_its_library_go_on(
    evaluate: Evaluate, shelf: Path, tmp_path: Path
) -> None:
    written(shelf / "Forms.elm.json", with_unknown_node("Forms"))
    assert evaluate(elm=shelf, libs="Forms").exit_code == 0
    answers = json.loads((tmp_path / "out.json").read_bytes())["results"]["ann"]["Forms"]
    assert answers["New"] == {"@error": "Forms.New @ 1:1-1:9: the ELM node Unheard is not supported"}
    assert answers["Integer"] == 5


def test_a_library_that_cannot_be_compiled_is_named_and_the_others_go_on(
    evaluate: Evaluate, shelf: Path, tmp_path: Path
) -> None:
    elm = json.loads((shelf / "Facts.elm.json").read_bytes())
    elm["library"]["usings"]["def"].append({"localIdentifier": "QDM", "uri": "urn:healthit-gov:qdm:v5_6"})
    written(shelf / "Facts.elm.json", elm)
    result = evaluate(elm=shelf, libs="Facts,Forms")
    assert result.exit_code == 1
    assert "Facts: Facts.QDM: the data model QDM" in result.stderr
    answers = json.loads((tmp_path / "out.json").read_bytes())["results"]["ann"]
    assert list(answers["Facts"]) == ["@libraryError"]
    assert answers["Forms"]["Integer"] == 5
    (tmp_path / "out.json").unlink()
    assert evaluate(elm=shelf, libs="Facts").exit_code == 1
    assert not (tmp_path / "out.json").exists()


def test_what_is_not_needed_stops_nothing(evaluate: Evaluate, shelf: Path) -> None:
    written(shelf / "Facts.elm.json", with_unknown_node("Facts"))
    (shelf / "broken.json").write_text("{", encoding="utf-8")
    written(shelf / "other.json", [1, 2])
    assert evaluate(elm=shelf).exit_code == 0


def test_a_needed_library_that_is_there_twice_and_differs_is_refused(evaluate: Evaluate, shelf: Path) -> None:
    shutil.copy(shelf / "Forms.elm.json", shelf / "copy.json")
    assert evaluate(elm=shelf).exit_code == 0
    written(shelf / "copy.json", with_unknown_node("Forms"))
    result = evaluate(elm=shelf)
    assert result.exit_code == 1
    assert "the library Forms 1.0.0 is also in" in result.stderr


def test_elm_inside_a_fhir_library_is_read(evaluate: Evaluate, tmp_path: Path) -> None:
    data = base64.b64encode((ELM / "Forms.elm.json").read_bytes()).decode()
    contents = [{"contentType": "text/cql", "data": "eA=="}, {"contentType": "application/elm+json", "data": data}]
    (tmp_path / "fhir").mkdir()
    written(tmp_path / "fhir" / "forms.json", {"resourceType": "Library", "content": contents})
    assert evaluate(elm=tmp_path / "fhir").exit_code == 0


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        5,
        Decimal("1.25"),
        "text",
        Long(5),
        Date(2026, 11),
        DateTime(2026, 11, 20, 12, offset=60),
        Time(12, 30),
        Quantity(Decimal("11.2"), "g/dL"),
        Ratio(Quantity(Decimal(1), "mg"), Quantity(Decimal(2), "mL")),
        Code("718-7", "http://loinc.org"),
        Concept((Code("718-7", "http://loinc.org"), Code("x"))),
        Interval(1, None, True, False),
        [1, None, [Date(2026)]],
        Tuple({"a": 1, "b": [Quantity(Decimal(1))]}),
        ValueSetRef("http://v"),
    ],
    ids=repr,
)
def test_what_is_written_reads_back(value: Any) -> None:
    assert from_json(json.loads(dumps(to_json(value)), parse_float=Decimal)) == value


def test_what_is_no_value_is_not_written() -> None:
    with pytest.raises(TypeError, match="set is no CQL value"):
        to_json({1})


@pytest.mark.parametrize("given", [{"@date": "x"}, {"@code": ["s"]}, {"@interval": [1, 2, 3, 4]}, {}, {"@new": 1}])
def test_what_cannot_be_read_is_quoted(given: Any) -> None:
    with pytest.raises(CdsError, match="cannot read"):
        from_json(given)
