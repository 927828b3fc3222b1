"""A trial as a content IG's tree and back, trees that others made, and a trial as a transaction."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.parameters import Parameters
from hypothesis import given
from hypothesis import strategies as st

from cds.authoring.cases import Suite
from cds.authoring.cqf import parameter, value_of, write_cqf
from cds.authoring.cqf_import import Imported, import_cqf
from cds.authoring.package import package
from cds.authoring.ran import run
from cds.authoring.transaction import references, transaction
from cds.cli import main
from cds.elm import Libraries
from cds.errors import ContentError
from cds.fhir.model import FHIRModel

TRIALS = Path(__file__).parent / "trials"
CONTENT = Path(__file__).parents[2] / "plandefinitions"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

Json = dict[str, Any]


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TRIALS, tmp_path / "trials"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The small trial as a content IG's tree, to be changed."""
    write_cqf(package(TRIALS, "small"), tmp_path / "ig")
    return tmp_path / "ig"


def cds(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def content(folder: Path) -> dict[str, Any]:
    """What stands in the files of a folder: JSON as what it says, other files as they are."""
    return {
        path.relative_to(folder).as_posix(): json.loads(path.read_bytes())
        if path.suffix == ".json"
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def change(path: Path, **values: Any) -> None:
    """Changes elements of a JSON file; None takes one away."""
    told = {**json.loads(path.read_text(encoding="utf-8")), **values}
    path.write_text(json.dumps({key: value for key, value in told.items() if value is not None}), encoding="utf-8")


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize(
    ("root", "trial"),
    [(TRIALS, "small"), *((CONTENT, path.parent.name) for path in sorted(CONTENT.glob("*/plan-definition.json")))],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_trial_comes_back_as_it_went(root: Path, trial: str, tmp_path: Path) -> None:
    write_cqf(package(root, trial), tmp_path / "ig")
    found = import_cqf(tmp_path / "ig", tmp_path / "back", NOW)
    assert found.trials == (trial,) and not found.notes
    assert content(tmp_path / "back" / trial) == content(root / trial)
    shared, before = content(tmp_path / "back" / "shared"), content(root / "shared")
    assert shared and all(before[name] == value for name, value in shared.items())


def test_the_tree_is_that_of_a_content_ig(tree: Path) -> None:
    names = {path.relative_to(tree / "input").as_posix() for path in (tree / "input").rglob("*") if path.is_file()}
    assert names >= {
        "cql/Small.cql",
        "cql/Common.cql",
        "vocabulary/valueset/ValueSet-small-disease.json",
        "vocabulary/valueset/external/ValueSet-small-score.json",
        "resources/library/Library-small.json",
        "resources/plandefinition/PlanDefinition-small.json",
        "resources/researchstudy/ResearchStudy-small.json",
        "images/record.txt",
        "tests/plandefinition/small/fits/Patient-p.json",
        "tests/plandefinition/small/fits/Observation-s.json",
        "tests/plandefinition/small/fits/Parameters-expected.json",
    }
    assert "vocabulary/valueset/external/ValueSet-unused.json" not in names


def test_what_is_expected_of_a_case_is_valid_fhir(tree: Path) -> None:
    for path in tree.rglob("Parameters-expected.json"):
        Parameters.model_validate_json(path.read_text(encoding="utf-8"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text().filter(lambda name: name != "[]"), inner, max_size=3)
    ),
)


@given(JSON)
def test_any_json_comes_back_from_parameters(value: Any) -> None:
    assert value_of(parameter("x", value)) == value


def test_a_bundle_that_says_more_stays_a_bundle(trials: Path, tmp_path: Path) -> None:
    cases = trials / "small" / "cases"
    change(cases / "fits.json", meta={"source": "somewhere"})
    old = json.loads((cases / "old.json").read_text(encoding="utf-8"))
    twice = [*old["entry"], old["entry"][-1], {"resource": {"resourceType": "Basic", "code": {"text": "no id"}}}]
    change(cases / "old.json", entry=twice)
    write_cqf(package(trials, "small"), tmp_path / "ig")
    assert (tmp_path / "ig/input/tests/plandefinition/small/fits/Bundle-fits.json").is_file()
    assert not import_cqf(tmp_path / "ig", tmp_path / "back", NOW).notes
    assert content(tmp_path / "back" / "small") == content(trials / "small")


# ---------------------------------------------------------------- trees that others made


def imported(tree: Path, notes: str = "") -> Imported:
    found = import_cqf(tree, tree.parent / "out", NOW)
    assert notes in "\n".join(found.notes)
    return found


def refused(tree: Path) -> str:
    with pytest.raises(ContentError) as error:
        import_cqf(tree, tree.parent / "out", NOW)
    assert not (tree.parent / "out").exists()
    return str(error.value)


def test_a_case_without_expectations_is_run_and_asserts_nothing(tree: Path) -> None:
    case = tree / "input/tests/plandefinition/small/fits"
    (case / "Parameters-expected.json").unlink()
    (case / "MeasureReport-1.json").write_text('{"resourceType": "MeasureReport"}', encoding="utf-8")
    found = imported(tree, "fits: says nothing that is expected of a criterion")
    assert any("MeasureReport-1.json: is not used: it is no data of a patient" in note for note in found.notes)
    ran = run(Suite.load(tree.parent / "out", "small"))
    assert ran.as_expected and len(ran.outcomes) == 5
    bundle = json.loads((tree.parent / "out/small/cases/fits.json").read_text(encoding="utf-8"))
    assert [entry["resource"]["resourceType"] for entry in bundle["entry"]] == ["Condition", "Observation", "Patient"]
    assert all(entry["fullUrl"].endswith(entry["resource"]["id"]) for entry in bundle["entry"])


def test_cases_may_lie_under_the_library_in_folders_by_type_or_be_bundles(tree: Path) -> None:
    tests = tree / "input/tests"
    case = tests / "plandefinition/small/fits"
    entries = [{"resource": json.loads(path.read_bytes())} for path in sorted(case.glob("[!P]*.json"))]
    shutil.rmtree(tests / "plandefinition")
    other = tests / "Small/others-case"
    (other / "patient").mkdir(parents=True)
    (other / "patient/p.json").write_text('{"resourceType": "Patient", "id": "p"}', encoding="utf-8")
    rest = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    (other / "tests-others-bundle.json").write_text(json.dumps(rest), encoding="utf-8")
    (tests / "Small/stray.json").write_text("{}", encoding="utf-8")
    imported(tree, "stray.json: is not used: a case is a folder of resources")
    bundle = json.loads((tree.parent / "out/small/cases/others-case.json").read_text(encoding="utf-8"))
    assert {entry["resource"]["resourceType"] for entry in bundle["entry"]} == {"Patient", "Condition", "Observation"}


def test_cql_that_was_changed_needs_a_translation(tree: Path) -> None:
    cql = tree / "input/cql/Common.cql"
    cql.write_text(cql.read_text(encoding="utf-8") + "\n// changed\n", encoding="utf-8")
    found = imported(tree, "has no ELM yet: cds translate")
    assert not list((tree.parent / "out").rglob("*.elm.json"))  # that of what includes it is stale, too
    assert any(note.startswith("small does not load yet: ") for note in found.notes)


def test_elm_of_another_translator_is_not_taken(tree: Path) -> None:
    path = tree / "input/resources/library/Library-small.json"
    library = json.loads(path.read_text(encoding="utf-8"))
    library["content"] = [{"id": "ig-loader-Small.cql"}]
    path.write_text(json.dumps(library), encoding="utf-8")
    imported(tree, "eligibility.cql: has no ELM yet")
    written = json.loads((tree.parent / "out/small/library.json").read_text(encoding="utf-8"))
    assert [one["url"] for one in written["content"]] == ["eligibility.cql", "eligibility.elm.json"]


def test_what_cannot_be_used_is_said(tree: Path) -> None:
    resources = tree / "input/resources"
    (resources / "measure").mkdir()
    (resources / "measure/Measure-m.json").write_text('{"resourceType": "Measure", "id": "m"}', encoding="utf-8")
    (resources / "library/library-x.xml").write_text("<Library/>", encoding="utf-8")
    plan = {"resourceType": "PlanDefinition", "id": "other", "action": [{"title": "a rule"}]}
    (resources / "plandefinition/other.json").write_text(json.dumps(plan), encoding="utf-8")
    (tree / "input/cql/FHIRHelpers.cql").write_text("library FHIRHelpers version '4.0.1'", encoding="utf-8")
    (tree / "input/cql/Lonely.cql").write_text("library Lonely", encoding="utf-8")
    notes = imported(tree).notes
    said = {note.partition(": ")[0].rpartition("/")[2]: note.partition(": ")[2] for note in notes}
    assert said["Measure-m.json"] == "is not used: nothing of a trial refers to this Measure"
    assert said["library-x.xml"] == "is not used: only JSON is read"
    assert said["other.json"].startswith("is not used: no action has the id 'eligibility'")
    assert said["FHIRHelpers.cql"] == "is not used: the service has its own"
    assert said["Lonely.cql"] == "is not used: no trial's library includes it"


def test_what_is_missing_is_made_or_said(tree: Path) -> None:
    resources = tree / "input/resources"
    (resources / "researchstudy/ResearchStudy-small.json").unlink()
    (resources / "library/Library-common.json").unlink()
    (tree / "input/vocabulary/valueset/ValueSet-small-disease.json").unlink()
    change(tree / "input/vocabulary/valueset/external/ValueSet-small-score.json", expansion=None)
    notes = "\n".join(imported(tree).notes)
    assert "the tree has no ResearchStudy whose protocol is PlanDefinition/small" in notes
    assert "Common.cql: the tree has no Library resource for it: one was made" in notes
    assert "the value set https://trial-match.example/fhir/ValueSet/small-disease is not in the tree" in notes
    assert "has no expansion: cds expand" in notes
    study = json.loads((tree.parent / "out/small/research-study.json").read_text(encoding="utf-8"))
    assert study["title"] == "A small <trial> & its cases" and study["status"] == "in-review"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("resources/plandefinition/PlanDefinition-small.json", "{\n  ", "PlanDefinition-small.json:2:3: is no JSON"),
        ("resources/library/Library-small.json", "[]", "Library-small.json: is no FHIR resource"),
        ("cql/Small.cql", "define X: 1", "Small.cql:1:1: has no library declaration"),
        ("cql/Other.cql", "library Common", "Other.cql:1:1: holds the library Common, as "),
        ("cql/Small.cql", "library Small\ninclude Absent", "Small.cql:1:1: includes Absent, which is not in "),
        (
            "vocabulary/valueset/x.json",
            '{"resourceType": "ValueSet", "id": "small-disease"}',
            "x.json: holds ValueSet/",
        ),
        (
            "vocabulary/valueset/x.json",
            '{"resourceType": "ValueSet", "id": "../../up"}',
            "x.json: the id '../../up' is none",
        ),
        (
            "resources/library/x.json",
            '{"resourceType": "Library", "name": "Common"}',
            "x.json: the id None is none of FHIR",
        ),
        ("tests/plandefinition/small/fits/Patient-p.json", "?", "Patient-p.json:1:1: is no JSON"),
        (
            "tests/plandefinition/small/fits/Parameters-expected.json",
            '{"resourceType": "Parameters", "meta": {"tag": [{"system": '
            '"https://trial-match.example/fhir/CodeSystem/case", "code": "expected"}]}}',
            "Parameters-expected.json: does not say what is expected as cds export writes it",
        ),
    ],
)
def test_a_broken_tree_says_where_and_writes_nothing(tree: Path, name: str, text: str, said: str) -> None:
    (tree / "input" / name).write_text(text, encoding="utf-8")
    assert said in refused(tree)


def test_cql_of_another_encoding_says_so(tree: Path) -> None:
    (tree / "input/cql/Small.cql").write_bytes("library Größe".encode("latin-1"))
    assert "Small.cql: is no UTF-8 text" in refused(tree)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"action": None}, "holds no PlanDefinition of a trial"),
        ({"library": None}, "names 0 libraries"),
        (
            {"library": ["https://example.org/Library/x"]},
            "the library https://example.org/Library/x is not in the tree",
        ),
        ({"id": "../up"}, "the id '../up' is none of FHIR"),
        ({"id": ".."}, "the id '..' cannot be a trial's"),
        ({"id": "shared"}, "the id 'shared' cannot be a trial's"),
    ],
)
def test_a_plan_that_is_no_trial_of_the_tree_is_refused(tree: Path, values: Json, said: str) -> None:
    change(tree / "input/resources/plandefinition/PlanDefinition-small.json", **values)
    assert said in refused(tree)


def test_nothing_is_overwritten(tree: Path, trials: Path) -> None:
    with pytest.raises(ContentError, match="small: is there already"):
        import_cqf(tree, trials, NOW)
    shutil.rmtree(trials / "small")
    before = content(trials)
    (tree / "input/vocabulary/valueset/external/ValueSet-small-score.json").write_text(
        '{"resourceType": "ValueSet", "id": "small-score", "url": "https://trial-match.example/fhir/ValueSet/small-score"}'
    )
    with pytest.raises(ContentError, match="would be overwritten by"):
        import_cqf(tree, trials, NOW)
    assert content(trials) == before


def test_shared_files_that_say_the_same_stay(tree: Path, trials: Path) -> None:
    shutil.rmtree(trials / "small")
    found = import_cqf(tree, trials, NOW)
    assert found.trials == ("small",) and not any("shared" in path.parts for path in found.files)


# ---------------------------------------------------------------- a transaction


def entries(bundle: Json) -> Iterator[tuple[str, Json]]:
    for entry in bundle["entry"]:
        yield entry["request"]["url"], entry["resource"]


@pytest.mark.parametrize("trial", sorted(path.parent.name for path in CONTENT.glob("*/plan-definition.json")))
def test_a_transaction_is_valid_and_consistent(trial: str) -> None:
    found = transaction(package(CONTENT, trial))
    Bundle.model_validate(found)
    urls = [entry["fullUrl"] for entry in found["entry"]]
    assert len(set(urls)) == len(urls)
    there = dict(entries(found))
    for entry in found["entry"]:
        resource = entry["resource"]
        assert entry["request"] == {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
        assert entry["fullUrl"].endswith(entry["request"]["url"])
        assert all(one in there or one.startswith("#") for one in references(resource))
    canonicals = {resource.get("url") for resource in there.values()}
    libraries = [resource for resource in there.values() if resource["resourceType"] == "Library"]
    plan = there[f"PlanDefinition/{trial}"]
    assert set(plan["library"]) <= canonicals
    for library in libraries:
        asked = {one["resource"].partition("|")[0] for one in library["relatedArtifact"]}
        assert {one for one in asked if one.startswith("https://trial-match.example")} <= canonicals


def test_a_transaction_holds_cql_and_elm_that_run(trials: Path) -> None:
    found = dict(entries(transaction(package(trials, "small"))))
    libraries = Libraries(FHIRModel())
    for name in ("common", "small"):
        held = {one["contentType"]: b64decode(one["data"]) for one in found[f"Library/{name}"]["content"]}
        libraries.add(json.loads(held["application/elm+json"]), name)
        assert held["text/cql"].startswith(b"// ")
    libraries.compile()
    assert "S1" in libraries["Small"].definitions


def test_a_reference_to_what_is_not_sent_is_refused(trials: Path) -> None:
    change(trials / "small/research-study.json", sponsor={"reference": "Organization/akeso"})
    with pytest.raises(ContentError, match=r"research-study.json: refers to Organization/akeso, which is not among"):
        transaction(package(trials, "small"))


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("small/research-study.json", {"phase": "three"}, "is no valid ResearchStudy: phase"),
        ("small/research-study.json", {"id": "a b"}, "the id 'a b' is none of FHIR"),
        ("small/library.json", {"content": None, "name": "X"}, "no Library resource beside it has it as content"),
        ("shared/valuesets/small-score.json", {"id": "small-disease"}, "ValueSet/small-disease stands in "),
    ],
)
def test_content_that_cannot_be_sent_is_refused_with_its_file(trials: Path, name: str, values: Json, said: str) -> None:
    change(trials / name, **values)
    with pytest.raises(ContentError) as error:
        transaction(package(trials, "small"))
    assert said in str(error.value)


# ---------------------------------------------------------------- the commands


def test_the_commands_write_and_read(trials: Path, tmp_path: Path) -> None:
    result = cds("export", trials / "small", "--out", tmp_path / "ig")
    assert result.exit_code == 0 and "files written" in result.output
    again = cds("export", trials / "small", "--out", tmp_path / "ig")
    assert again.exit_code == 1 and "is there already" in again.output
    result = cds("import", tmp_path / "ig", "--out", tmp_path / "back")
    assert result.exit_code == 0 and f"{tmp_path / 'back' / 'small'}: written" in result.output
    assert cds("cases", tmp_path / "back").exit_code == 0


def test_the_transaction_is_written_once(trials: Path, tmp_path: Path) -> None:
    arguments = ("export", trials / "small", "--out", tmp_path / "out", "--layout", "transaction")
    assert cds(*arguments).exit_code == 0
    found = json.loads((tmp_path / "out/small.transaction.json").read_text(encoding="utf-8"))
    assert found["type"] == "transaction"
    assert cds(*arguments).exit_code == 1


def test_wrong_usage_of_export(trials: Path, tmp_path: Path) -> None:
    assert "there is no trial nothing" in cds("export", "nothing", "--out", tmp_path).output
    shutil.copytree(trials / "small", trials / "second")
    assert cds("export", trials, "--out", tmp_path).exit_code == 2
    assert cds("import", trials, "--out", tmp_path / "out").exit_code == 1
