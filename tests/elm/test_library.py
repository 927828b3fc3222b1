"""Libraries: includes and versions, functions by signature, terminology by name, and what definitions rest on."""

from __future__ import annotations

from typing import Any

import pytest
from small_world import Patient, compiled, define, elm, evaluation, library, literal

from cds.elm import Libraries, Retrieval
from cds.elm.types import ListOf, Named
from cds.elm.values import Code
from cds.errors import ElmError, EvaluationError, UnsupportedNodeError
from cds.fhir.model import FHIRModel

FHIR = "{http://hl7.org/fhir}"
HEMOGLOBIN = "https://trial-match.example/fhir/ValueSet/hemoglobin"


@pytest.fixture(scope="module")
def libraries() -> Libraries:
    return compiled(elm("Trial"), elm("Shared"))


def test_references_are_direct_and_go_through_functions(libraries: Libraries) -> None:
    definitions = libraries["Trial"].definitions
    assert [one.name for one in definitions["I1"].references] == ["Hemoglobin high enough", "Is female"]
    assert [one.name for one in definitions["Hemoglobin high enough"].references] == ["Hemoglobin value"]
    (results,) = definitions["Latest hemoglobin"].references
    assert (results.library.id, results.name) == ("Shared", "Hemoglobin results")
    assert definitions["Problems"].references == ()


def test_retrieves_say_type_path_and_codes(libraries: Libraries) -> None:
    trial, shared = libraries["Trial"].definitions, libraries["Shared"].definitions
    by_set = Retrieval("Observation", "code", HEMOGLOBIN, "Hemoglobin")
    assert shared["Hemoglobin results"].retrieves == (by_set,)
    code = Code("718-7", "http://loinc.org", None, "Hemoglobin [Mass/volume] in Blood")
    for name in ("By code", "By concept", "By codes"):
        assert trial[name].retrieves == (Retrieval("Observation", "code", codes=(code,)),)
    assert trial["Problems"].retrieves == (Retrieval("Condition"),)
    assert {one.type_name for one in trial["Medications"].retrieves} == {"MedicationRequest", "Medication"}


def test_retrieved_types_are_transitive(libraries: Libraries) -> None:
    trial = libraries["Trial"]
    assert trial.retrieved_types(["I1"]) == {"Observation", "Patient"}
    assert trial.retrieved_types(["Problems", "By code"]) == {"Condition", "Observation"}
    assert trial.retrieved_types([]) == frozenset()
    with pytest.raises(ElmError, match="'I99'"):
        trial.retrieved_types(["I99"])


def test_definitions_know_their_type_and_whether_it_can_be_cited(libraries: Libraries) -> None:
    definitions = libraries["Trial"].definitions
    assert definitions["Cancers"].result_type == ListOf(Named(FHIR + "Condition"))
    citable = {name for name, one in definitions.items() if one.resource_valued}
    assert {"Patient", "Cancers", "Cancers with dates", "Latest hemoglobin", "Medications", "Everyone"} <= citable
    assert citable.isdisjoint({"I1", "Hemoglobin value", "Birthday", "Given names", "Made"})
    birthday = definitions["Birthday"]
    assert (birthday.context, birthday.access_level) == ("Patient", "Public")
    assert birthday.locator is not None
    assert birthday.place == f"Trial.Birthday @ {birthday.locator}"


def test_the_latest_version_answers_unless_one_is_named() -> None:
    versions = []
    for version in ("1.9.0", "1.10.0", "1.2.0"):
        made = library(define("Version", literal(version)))
        made["library"]["identifier"]["version"] = version
        versions.append(made)
    libraries = compiled(*versions)
    assert libraries["Made"].version == "1.10.0"
    assert libraries["Made", "1.2.0"].version == "1.2.0"
    assert "Made" in libraries
    for key in ("Absent", ("Made", "3.0.0")):
        with pytest.raises(ElmError, match="no library"):
            libraries[key]


def test_a_library_is_not_taken_twice() -> None:
    libraries = Libraries()
    libraries.add(library(define("A", literal(1))))
    with pytest.raises(ElmError, match="twice") as refused:
        libraries.add(library(define("B", literal(1))), source="made.elm.json")
    assert refused.value.where == "made.elm.json"


def test_what_was_translated_with_errors_is_refused() -> None:
    """The translator writes null in place of what it could not translate; that would pass for unknown."""
    note = {
        "type": "CqlToElmError",
        "libraryId": "Made",
        "startLine": 12,
        "startChar": 4,
        "message": "Could not resolve identifier X",
        "errorSeverity": "error",
    }
    broken = library(define("A", {"type": "Null"}), annotation=[note])
    with pytest.raises(ElmError, match=r"Made:12:4.*identifier X"):
        Libraries().add(broken)
    note["errorSeverity"] = "warning"
    assert Libraries().add(broken).id == "Made"


@pytest.mark.parametrize("broken", [{}, {"library": []}, {"library": {"identifier": {}}}])
def test_what_is_no_library_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ElmError, match=r"broken\.json"):
        Libraries().add(broken, source="broken.json")


@pytest.mark.parametrize(
    "sections",
    [
        {"includes": {"def": [{"path": "X"}]}},
        {"parameters": {"def": [{}]}},
        {"codes": {"def": [{"name": "A", "id": "a", "codeSystem": {"name": "Absent"}}]}},
        {"valueSets": {"def": [None]}},
        {"usings": {"def": [5]}},
        {"identifier": {"id": "Made", "version": {}}},
        {"annotation": [7]},
    ],
)
def test_malformed_sections_are_a_named_error(sections: dict[str, Any]) -> None:
    made = library(define("A", literal(1)))
    made["library"].update(sections)
    with pytest.raises(ElmError, match="malformed ELM"):
        compiled(made)


def test_an_absent_include_is_named() -> None:
    with pytest.raises(ElmError, match=r"library Shared 2\.1\.0 is not there") as refused:
        compiled(elm("Trial"))
    assert refused.value.where is not None
    assert refused.value.where.startswith("Trial.Common")


def _including(id: str, other: str, *definitions: dict[str, Any]) -> dict[str, Any]:
    include = {"localIdentifier": other, "path": other, "version": "1"}
    return library(*definitions, id=id, includes={"def": [include]})


def test_libraries_that_include_each_other_are_refused() -> None:
    with pytest.raises(ElmError, match="A -> B -> A"):
        compiled(_including("A", "B"), _including("B", "A"))


def test_definitions_in_a_circle_are_refused_by_name() -> None:
    def to(name: str) -> dict[str, str]:
        return {"type": "ExpressionRef", "name": name}

    with pytest.raises(UnsupportedNodeError, match=r"Made\.A -> Made\.B -> Made\.A"):
        compiled(library(define("A", to("B")), define("B", to("A"))))


def test_a_function_that_calls_itself_is_refused() -> None:
    call = {"type": "FunctionRef", "name": "Again", "operand": []}
    with pytest.raises(UnsupportedNodeError, match=r"Made\.Again -> Made\.Again"):
        compiled(library({"type": "FunctionDef", "name": "Again", "expression": call}))


def test_another_context_than_the_patients_is_refused() -> None:
    with pytest.raises(UnsupportedNodeError, match="context Practitioner"):
        compiled(library({**define("A", literal(1)), "context": "Practitioner"}))


def test_an_external_function_is_refused_where_it_is_called() -> None:
    absent = {"type": "FunctionDef", "name": "Resolve", "external": True}
    call = {"type": "FunctionRef", "name": "Resolve", "operand": []}
    assert compiled(library(absent, define("A", literal(1))))
    with pytest.raises(UnsupportedNodeError, match=r"Made\.A.*'Resolve' is external"):
        compiled(library(absent, define("A", call)))


@pytest.mark.parametrize(
    ("name", "uri", "version"),
    [
        ("QUICK", "http://hl7.org/fhir", "3.3.0"),
        ("QUICK", "http://hl7.org/fhir", None),
        ("FHIR", "http://hl7.org/fhir", "3.0.0"),
        ("FHIR", "http://hl7.org/fhir", "5.0.0"),
        ("QICore", "http://hl7.org/fhir/us/qicore", "4.1.1"),
        ("USCore", "http://hl7.org/fhir/us/core", "3.1.1"),
        ("QDM", "urn:healthit-gov:qdm:v5_6", "5.6"),
    ],
)
def test_a_data_model_that_is_not_ours_is_refused(name: str, uri: str, version: str | None) -> None:
    using = {"localIdentifier": name, "uri": uri, "version": version}
    with pytest.raises(UnsupportedNodeError, match=f"{name} .*using FHIR version '4.0.1'"):
        compiled(library(define("A", literal(1)), usings={"def": [using]}))


@pytest.mark.parametrize("version", ["4.0.1", "4.0.0", None])
def test_a_library_may_name_no_model_or_any_r4(version: str | None) -> None:
    system = {"localIdentifier": "System", "uri": "urn:hl7-org:elm-types:r1"}
    fhir = {"localIdentifier": "FHIR", "uri": "http://hl7.org/fhir", "version": version}
    for usings in ([], [system], [system, fhir]):
        made = compiled(library(define("A", literal(1)), usings={"def": usings}))
        assert evaluation(made).evaluate("Made", "A") == 1


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("Other", "1"),
        ("Other", None),
        ("http://example.org/ns/Other", "1"),
        ("org.example|Other", None),
        ("http://example.org/Library/Other|1", None),
    ],
)
def test_an_include_may_name_a_namespace_and_a_version(path: str, version: str | None) -> None:
    include = {"localIdentifier": "O", "path": path, "version": version}
    call = {"type": "ExpressionRef", "name": "A", "libraryName": "O"}
    old = library(define("A", literal(1)), id="Other")
    new = library(define("A", literal(2)), id="Other")
    new["library"]["identifier"]["version"] = "2"
    made = library(define("B", call), includes={"def": [include]})
    expected = 1 if version or path.endswith("|1") else 2
    assert evaluation(compiled(old, new, made)).evaluate("Made", "B") == expected


def test_two_versions_of_a_library_answer_side_by_side() -> None:
    old = library(define("A", literal(1)), id="Other")
    new = library(define("A", literal(2)), id="Other")
    new["library"]["identifier"]["version"] = "2"
    includes = [{"localIdentifier": f"O{number}", "path": "Other", "version": number} for number in "12"]
    calls = [{"type": "ExpressionRef", "name": "A", "libraryName": f"O{number}"} for number in "12"]
    made = library(define("B", {"type": "List", "element": calls}), includes={"def": includes})
    assert evaluation(compiled(old, new, made)).evaluate("Made", "B") == [1, 2]


@pytest.mark.parametrize("version", ["4.0.0", "4.0.1", "4.1.000", "4.4.000", None])
def test_any_version_of_the_conversion_library_is_the_models_own(version: str | None) -> None:
    include = {"localIdentifier": "H", "path": "http://fhir.org/guides/cqf/common/FHIRHelpers", "version": version}
    gender = {"type": "Property", "path": "gender", "source": {"type": "ExpressionRef", "name": "P"}}
    patient = {"type": "SingletonFrom", "operand": {"type": "Retrieve", "dataType": "{http://hl7.org/fhir}Patient"}}
    call = {"type": "FunctionRef", "name": "ToString", "libraryName": "H", "operand": [gender]}
    made = library(define("P", patient), define("G", call), includes={"def": [include]})
    woman = Patient({"resourceType": "Patient", "gender": "female"})
    assert evaluation(compiled(made), woman).evaluate("Made", "G") == "female"


def test_sections_may_be_absent_empty_or_hold_one_without_a_list() -> None:
    made = library(define("A", literal(1)))
    made["library"]["statements"]["def"] = made["library"]["statements"]["def"][0]
    made["library"] |= {"parameters": {}, "codes": {"def": {}}, "annotation": [{"translatorVersion": "3.10.0"}]}
    assert evaluation(compiled(made["library"])).evaluate("Made", "A") == 1


def test_where_no_patient_is_meant_a_patients_definition_is_a_list() -> None:
    population = {**define("All", {"type": "ExpressionRef", "name": "A"}), "context": "Unfiltered"}
    listed = {**define("Lists", {"type": "ExpressionRef", "name": "L"}), "context": "Unfiltered"}
    numbers = define("L", {"type": "List", "element": [literal(1)]})
    back = define("Back", {"type": "ExpressionRef", "name": "All"})
    running = evaluation(compiled(library(define("A", literal(1)), numbers, population, listed, back)))
    assert running.evaluate("Made", "All") == [1]
    assert running.evaluate("Made", "Lists") == [1]
    assert running.evaluate("Made", "Back") == [1]


def test_content_from_elsewhere_answers_what_it_can() -> None:
    bad = define("Bad", {"type": "Guess", "locator": "9:4-9:8"})
    uses = define("Uses", {"type": "ExpressionRef", "name": "Bad"})
    absent = {"localIdentifier": "O", "path": "Other", "version": "1"}
    away = define("Away", {"type": "ExpressionRef", "name": "A", "libraryName": "O"})
    libraries = Libraries(FHIRModel(), lenient=True)
    libraries.add(library(bad, uses, away, define("Good", literal(1)), includes={"def": [absent]}))
    libraries.compile()
    running = evaluation(libraries)
    assert running.evaluate("Made", "Good") == 1
    for name in ("Bad", "Uses"):
        with pytest.raises(EvaluationError, match=r"Made\.Bad @ 9:4-9:8: the ELM node Guess"):
            running.evaluate("Made", name)
    with pytest.raises(EvaluationError, match=r"Made\.Away.*library O"):
        running.evaluate("Made", "Away")


def test_the_conversion_library_of_the_model_needs_no_elm_and_may_have_it() -> None:
    functions = {"type": "FunctionDef", "name": "ToString", "expression": {"type": "NeverCompiled"}}
    helpers = library(functions, id="FHIRHelpers")
    helpers["library"]["identifier"]["version"] = "4.0.1"
    libraries = compiled(elm("Trial"), elm("Shared"), helpers)
    woman = Patient({"resourceType": "Patient", "gender": "female"})
    assert evaluation(libraries, woman).evaluate("Trial", "Is female") is True


def _function(name: str, kind: str) -> dict[str, Any]:
    operand = {"name": "x", "operandTypeName": "{urn:hl7-org:elm-types:r1}" + kind}
    return {"type": "FunctionDef", "name": name, "operand": [operand], "expression": literal(kind)}


def test_an_overload_is_chosen_by_signature_by_static_type_or_by_value() -> None:
    def call(operand: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"type": "FunctionRef", "name": "Kind", "operand": [operand], **more}

    integer = "{urn:hl7-org:elm-types:r1}Integer"
    made = library(
        _function("Kind", "String"),
        _function("Kind", "Integer"),
        define("By signature", call({"type": "Null"}, signature=[{"type": "NamedTypeSpecifier", "name": integer}])),
        define("By type", call({**literal(5), "resultTypeName": integer})),
        define("By value", call(literal(5))),
        define("By null", call({"type": "Null"})),
        define("By none", call(literal(True))),
    )
    running = evaluation(compiled(made))
    assert [running.evaluate("Made", f"By {how}") for how in ("signature", "type", "value")] == ["Integer"] * 3
    assert running.evaluate("Made", "By null") == "String"
    with pytest.raises(ElmError, match="no overload of 'Kind'"):
        running.evaluate("Made", "By none")


def _overloads(*kinds: str | dict[str, Any]) -> list[dict[str, Any]]:
    specifiers = [{"type": "NamedTypeSpecifier", "name": kind} if isinstance(kind, str) else kind for kind in kinds]
    return [
        {
            "type": "FunctionDef",
            "name": "Kind",
            "operand": [{"name": "x", "operandTypeSpecifier": specifier}],
            "expression": literal(number),
        }
        for number, specifier in enumerate(specifiers)
    ]


SYSTEM = "{urn:hl7-org:elm-types:r1}"
INTEGER = {"type": "NamedTypeSpecifier", "name": SYSTEM + "Integer"}
STRING = {"type": "NamedTypeSpecifier", "name": SYSTEM + "String"}
INTEGERS, STRINGS = ({"type": "ListTypeSpecifier", "elementType": kind} for kind in (INTEGER, STRING))


@pytest.mark.parametrize(
    ("kinds", "operand", "chosen"),
    [
        ((SYSTEM + "Any", SYSTEM + "Integer"), literal(1), 1),
        ((SYSTEM + "Any", SYSTEM + "Integer"), literal("a"), 0),
        ((STRINGS, INTEGERS), {"type": "List", "element": [literal(1), {"type": "Null"}]}, 1),
        ((STRINGS, INTEGERS), {"type": "List", "typeSpecifier": INTEGERS}, 1),
        (({"type": "ChoiceTypeSpecifier", "choice": [INTEGER, STRING]}, INTEGER), literal(1), 1),
        (({"type": "ChoiceTypeSpecifier", "choice": [INTEGER, STRING]}, INTEGER), literal("a"), 0),
        ((FHIR + "Element", FHIR + "Quantity", FHIR + "Age"), {"type": "Instance", "classType": FHIR + "Age"}, 2),
        ((FHIR + "Element", FHIR + "Quantity"), {"type": "Instance", "classType": FHIR + "Age"}, 1),
        ((FHIR + "Resource", FHIR + "Element"), {"type": "Instance", "classType": FHIR + "Age"}, 1),
        ((SYSTEM + "Vocabulary", SYSTEM + "Any"), {"type": "CodeSystemRef", "name": "S"}, 0),
    ],
)
def test_of_the_overloads_that_take_a_value_the_most_specific_is_called(
    kinds: tuple[str, ...], operand: dict[str, Any], chosen: int
) -> None:
    """Whether the type is known at load, or only the value is (behind a parameter)."""
    call = {"type": "FunctionRef", "name": "Kind", "operand": [operand]}
    hidden = {"type": "FunctionRef", "name": "Kind", "operand": [{"type": "ParameterRef", "name": "P"}]}
    made = library(
        *_overloads(*kinds),
        define("Value", operand),
        define("Static", call),
        define("Dynamic", hidden),
        parameters={"def": [{"name": "P"}]},
        codeSystems={"def": [{"name": "S", "id": "http://example.org"}]},
    )
    libraries = compiled(made)
    assert evaluation(libraries).evaluate("Made", "Static") == chosen
    if operand != {"type": "List", "typeSpecifier": INTEGERS}:
        value = evaluation(libraries).evaluate("Made", "Value")
        assert evaluation(libraries, parameters={"P": value}).evaluate("Made", "Dynamic") == chosen


def test_libraries_can_be_added_after_others_are_compiled() -> None:
    libraries = Libraries(FHIRModel())
    libraries.add(elm("Shared"))
    libraries.compile()
    libraries.add(elm("Trial"))
    libraries.compile()
    assert evaluation(libraries, Patient()).evaluate("Trial", "Cancers") == []


def test_parameters_are_listed_for_all_libraries(libraries: Libraries) -> None:
    assert libraries.parameters == {"First Dose": Named("{urn:hl7-org:elm-types:r1}Date")}


def test_a_definition_a_parameter_or_an_overload_is_not_there_twice() -> None:
    twice = [
        library(define("A", literal(1)), define("A", literal(2))),
        library(parameters={"def": [{"name": "P"}, {"name": "P"}]}),
        library(_function("F", "Integer"), _function("F", "Integer")),
    ]
    for made, name in zip(twice, ("definition A", "parameter P", "function F"), strict=True):
        with pytest.raises(ElmError, match=f"{name} is there twice"):
            compiled(made)


def test_functions_that_call_each_other_through_definitions_are_refused() -> None:
    def calling(name: str) -> dict[str, Any]:
        return {"type": "FunctionRef", "name": name, "operand": []}

    functions = [{"type": "FunctionDef", "name": name, "expression": calling(other)} for name, other in ("FG", "GF")]
    with pytest.raises(UnsupportedNodeError, match=r"in a circle: Made\.F -> Made\.G -> Made\.F"):
        compiled(library(*functions))
    through = {"type": "FunctionDef", "name": "F", "expression": {"type": "ExpressionRef", "name": "A"}}
    with pytest.raises(UnsupportedNodeError, match="in a circle"):
        compiled(library(through, define("A", calling("F"))))


def test_a_concept_of_a_code_that_is_not_there_is_refused() -> None:
    made = library(concepts={"def": [{"name": "C", "code": [{"name": "Absent"}]}]})
    with pytest.raises(ElmError, match="Absent"):
        compiled(made)


@pytest.mark.parametrize("given", [[], None, "library", 5])
def test_what_is_no_object_is_no_library(given: Any) -> None:
    with pytest.raises(ElmError, match="no ELM library"):
        Libraries().add(given)
