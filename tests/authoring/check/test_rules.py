"""Each rule finds what it says, at its place: in a trial that is right but for one thing, and in a CQL of mistakes."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cds.authoring.check import RULES, Finding, check
from cds.authoring.check.source import LARGEST

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
CONTENT = HERE / "content"
MISTAKES = HERE / "mistakes" / "mistaken-trial" / "eligibility.cql"
OURS = "https://trial-match.example/fhir/StructureDefinition/"
PLAN, STUDY, LIBRARY, CQL, ELM = (
    "plan-definition.json",
    "research-study.json",
    "library.json",
    "eligibility.cql",
    "eligibility.elm.json",
)
HAEMOPTYSIS, TRANSFUSION = "valuesets/haemoptysis.json", "valuesets/transfusion.json"

Json = dict[str, Any]


@dataclass(frozen=True)
class Spoiled:
    """One thing done to a right trial: what is found then, in which file, on a line that holds which words."""

    rule: str
    file: str
    words: str
    spoil: Callable[[Path], None]

    def __str__(self) -> str:
        return f"{self.rule}-{self.spoil.__name__}"


SPOILED: list[Spoiled] = []


def finds(rule: str, file: str, words: str = "") -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def note(spoil: Callable[[Path], None]) -> Callable[[Path], None]:
        SPOILED.append(Spoiled(rule, file, words, spoil))
        return spoil

    return note


def change(path: Path, edit: Callable[[Json], Any]) -> None:
    content = json.loads(path.read_text("utf-8"))
    edit(content)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def criterion(plan: Json, name: str) -> Json:
    branch, number = name[0], int(name[1]) - 1
    found: Json = plan["action"][0]["action"]["IE".index(branch)]["action"][number]
    return found


def drop(criterion: Json, name: str) -> None:
    criterion["extension"] = [one for one in criterion["extension"] if one["url"] != OURS + name]


def names(plan: Json, criterion_id: str, definition: str) -> None:
    criterion(plan, criterion_id)["condition"][0]["expression"]["expression"] = definition


def concepts(value_set: Json) -> list[Json]:
    found: list[Json] = value_set["compose"]["include"][0]["concept"]
    return found


# ------------------------------------------------------------------------------------------------------------- files


@finds("file-unreadable", "gone.json")
def link_to_nowhere(trial: Path) -> None:
    (trial / "gone.json").symlink_to(trial / "nowhere.json")


@finds("file-unreadable", "loop")
def link_to_the_folder_above(trial: Path) -> None:
    (trial / "loop").symlink_to(trial.parent, target_is_directory=True)


@finds("file-unreadable", "itself.json")
def link_to_itself(trial: Path) -> None:
    (trial / "itself.json").symlink_to(trial / "itself.json")


@finds("file-too-large", "valuesets/large.json")
def huge_file(trial: Path) -> None:
    with (trial / "valuesets/large.json").open("wb") as file:
        file.truncate(LARGEST + 1)


@finds("file-encoding", PLAN)
def utf_16(trial: Path) -> None:
    (trial / PLAN).write_text((trial / PLAN).read_text("utf-8"), "utf-16")


@finds("file-encoding", PLAN)
def utf_16_without_mark(trial: Path) -> None:
    (trial / PLAN).write_bytes((trial / PLAN).read_text("utf-8").encode("utf-16-le"))


@finds("file-encoding", CQL)
def latin_1(trial: Path) -> None:
    (trial / CQL).write_bytes(b"// Grad \xfc 2\n" + (trial / CQL).read_bytes())


@finds("file-encoding", LIBRARY)
def byte_order_mark(trial: Path) -> None:
    (trial / LIBRARY).write_bytes(b"\xef\xbb\xbf" + (trial / LIBRARY).read_bytes())


@finds("json-syntax", PLAN)
def truncated(trial: Path) -> None:
    text = (trial / PLAN).read_text("utf-8")
    (trial / PLAN).write_text(text[: len(text) // 2], "utf-8")


@finds("json-syntax", PLAN, '"title": "Eligibility" "trigger"')
def comma_left_out(trial: Path) -> None:
    text = re.sub(r'("title": "Eligibility"),\s*', r"\1 ", (trial / PLAN).read_text("utf-8"))
    (trial / PLAN).write_text(text, "utf-8")


@finds("json-syntax", STUDY)
def a_list(trial: Path) -> None:
    (trial / STUDY).write_text("[]", "utf-8")


@finds("json-syntax", STUDY)
def nested_too_deeply(trial: Path) -> None:
    (trial / STUDY).write_text("[" * 100_000, "utf-8")


@finds("json-syntax", STUDY)
def empty_file(trial: Path) -> None:
    (trial / STUDY).write_text("", "utf-8")


@finds("json-duplicate-key", PLAN, '"version": "2.0.0"')
def key_twice(trial: Path) -> None:
    replace(trial / PLAN, '"version": "1.0.0",', '"version": "1.0.0",\n"version": "2.0.0",')


@finds("file-missing", "")
def no_library(trial: Path) -> None:
    (trial / LIBRARY).unlink()


# --------------------------------------------------------------------------------------------------------- resources


@finds("resource-type-unknown", STUDY, "ResearchStudie")
def type_with_a_slip(trial: Path) -> None:
    change(trial / STUDY, lambda study: study.update(resourceType="ResearchStudie"))


@finds("resource-type-unknown", STUDY)
def no_type(trial: Path) -> None:
    change(trial / STUDY, lambda study: study.pop("resourceType"))


@finds("fhir-invalid", PLAN, '"wrong"')
def element_that_is_none(trial: Path) -> None:
    change(trial / PLAN, lambda plan: criterion(plan, "I2").update(wrong=1))


@finds("fhir-invalid", PLAN, '"date"')
def no_date(trial: Path) -> None:
    change(trial / PLAN, lambda plan: plan.update(date="2026-13-45"))


@finds("fhir-invalid", PLAN)
def no_status(trial: Path) -> None:
    change(trial / PLAN, lambda plan: plan.pop("status"))


@finds("fhir-code-not-allowed", PLAN, '"activ"')
def status_with_a_slip(trial: Path) -> None:
    change(trial / PLAN, lambda plan: plan.update(status="activ"))


@finds("id-not-folder", PLAN, '"id": "other"')
def another_id(trial: Path) -> None:
    change(trial / PLAN, lambda plan: plan.update(id="other"))


@finds("id-duplicate", PLAN, '"id": "give"')
def id_twice(trial: Path) -> None:
    change(trial / PLAN, lambda plan: plan["action"][1]["action"][1].update(id="give"))


@finds("id-duplicate", "questionnaire.json", '"linkId"')
def link_id_twice(trial: Path) -> None:
    items = [{"linkId": "1", "text": "A?", "type": "boolean"}, {"linkId": "1", "text": "B?", "type": "boolean"}]
    questionnaire = {"resourceType": "Questionnaire", "status": "active", "title": "Q", "item": items}
    (trial / "questionnaire.json").write_text(json.dumps(questionnaire, indent=1), "utf-8")


@finds("url-missing", HAEMOPTYSIS)
def no_url(trial: Path) -> None:
    change(trial / HAEMOPTYSIS, lambda value_set: value_set.pop("url"))


@finds("url-not-id", HAEMOPTYSIS, '"url"')
def another_id_than_the_url(trial: Path) -> None:
    change(trial / HAEMOPTYSIS, lambda value_set: value_set.update(id="bleeding"))


@finds("url-duplicate", "valuesets/second.json", '"url"')
def url_twice(trial: Path) -> None:
    shutil.copy(trial / HAEMOPTYSIS, trial / "valuesets/second.json")


@finds("metadata-missing", HAEMOPTYSIS)
def no_version(trial: Path) -> None:
    change(trial / HAEMOPTYSIS, lambda value_set: value_set.pop("version"))


@finds("extension-unknown", PLAN, "missing-data-polcy")
def extension_with_a_slip(trial: Path) -> None:
    replace(trial / PLAN, "StructureDefinition/missing-data-policy", "StructureDefinition/missing-data-polcy")


@finds("extension-value", PLAN, "StructureDefinition/assessment")
def assessment_with_a_slip(trial: Path) -> None:
    replace(trial / PLAN, '"computable"', '"computible"')


@finds("extension-value", PLAN, "StructureDefinition/assessment")
def assessment_as_text(trial: Path) -> None:
    replace(trial / PLAN, '"valueCode"', '"valueString"')


@finds("link-unresolved", PLAN, "Library/other")
def library_that_is_not_there(trial: Path) -> None:
    replace(trial / PLAN, "Library/example-trial", "Library/other")


@finds("link-unresolved", STUDY, "PlanDefinition/other")
def protocol_that_is_not_there(trial: Path) -> None:
    replace(trial / STUDY, "PlanDefinition/example-trial", "PlanDefinition/other")


@finds("link-unresolved", PLAN, '"actionId": "gift"')
def action_that_is_not_there(trial: Path) -> None:
    replace(trial / PLAN, '"actionId": "give"', '"actionId": "gift"')


@finds("link-unresolved", PLAN, "#drug")
def contained_resource_that_is_not_there(trial: Path) -> None:
    change(trial / PLAN, lambda plan: plan["action"][1]["action"][0].update(definitionCanonical="#drug"))


@finds("link-unresolved", LIBRARY, "Library/useful|2.0.0")
def another_version(trial: Path) -> None:
    replace(trial / LIBRARY, "Library/useful|1.0.0", "Library/useful|2.0.0")


# ---------------------------------------------------------------------------------------------------------- criteria


@finds("criteria-missing", PLAN, '"action"')
def criteria_elsewhere(trial: Path) -> None:
    change(trial / PLAN, lambda plan: plan["action"][0].update(id="eligible"))


@finds("criterion-incomplete", PLAN)
def no_text(trial: Path) -> None:
    change(trial / PLAN, lambda plan: criterion(plan, "I2").pop("textEquivalent"))


@finds("criterion-incomplete", PLAN)
def no_condition(trial: Path) -> None:
    change(trial / PLAN, lambda plan: criterion(plan, "I2").pop("condition"))


@finds("criterion-duplicate", PLAN, '"id": "I1"')
def criterion_twice(trial: Path) -> None:
    change(trial / PLAN, lambda plan: criterion(plan, "I2").update(id="I1"))


@finds("assessment-missing", PLAN)
def no_assessment(trial: Path) -> None:
    change(trial / PLAN, lambda plan: drop(criterion(plan, "I2"), "assessment"))


@finds("policy-missing", PLAN)
def no_policy(trial: Path) -> None:
    change(trial / PLAN, lambda plan: drop(criterion(plan, "I2"), "missing-data-policy"))


@finds("policy-contradiction", PLAN, "")
def person_who_is_not_asked(trial: Path) -> None:
    replace(trial / PLAN, '"valueCode": "attest"', '"valueCode": "unknown"')


@finds("policy-contradiction", PLAN, "")
def data_that_a_person_has_to_say(trial: Path) -> None:
    replace(trial / PLAN, '"valueCode": "presume-absent"', '"valueCode": "attest"')


@finds("question-missing", PLAN)
def no_question(trial: Path) -> None:
    change(trial / PLAN, lambda plan: drop(criterion(plan, "I2"), "question"))


@finds("title-too-long", PLAN, "years old years old")
def long_title(trial: Path) -> None:
    change(trial / PLAN, lambda plan: criterion(plan, "I2").update(title="years old " * 10))


@finds("condition-language", PLAN, "text/fhirpath")
def condition_in_another_language(trial: Path) -> None:
    replace(trial / PLAN, "text/cql-identifier", "text/fhirpath")


@finds("condition-several", PLAN)
def two_conditions(trial: Path) -> None:
    change(trial / PLAN, lambda plan: criterion(plan, "I2").update(condition=criterion(plan, "I2")["condition"] * 2))


@finds("define-missing", PLAN, '"I3"')
def definition_that_is_not_there(trial: Path) -> None:
    change(trial / PLAN, lambda plan: names(plan, "I2", "I3"))


@finds("define-not-boolean", PLAN, '"Haemoptysis"')
def definition_that_is_a_list(trial: Path) -> None:
    change(trial / PLAN, lambda plan: names(plan, "I1", "Haemoptysis"))


@finds("evidence-not-resources", PLAN, "")
def evidence_that_is_no_resource(trial: Path) -> None:
    replace(trial / PLAN, '"valueString": "Transfusion"', '"valueString": "I2"')


@finds("attestation-computed", PLAN, '"E1"')
def person_whom_data_answer_for(trial: Path) -> None:
    change(trial / PLAN, lambda plan: names(plan, "E2", "E1"))


@finds("criterion-unwritten", PLAN, '"E2"')
def definition_that_is_null(trial: Path) -> None:
    change(trial / PLAN, lambda plan: names(plan, "E1", "E2"))


@finds("define-offered", "../shared/Useful.cql")
def function_that_no_trial_uses(trial: Path) -> None:
    for plan in ("E1", "I2"):
        change(trial / PLAN, lambda content, plan=plan: names(content, plan, "I1"))


@finds("disease-criterion-missing", PLAN)
def no_disease(trial: Path) -> None:
    change(trial / PLAN, lambda plan: drop(criterion(plan, "I1"), "disease-criterion"))


@finds("trigger-missing", PLAN)
def no_trigger(trial: Path) -> None:
    change(trial / PLAN, lambda plan: plan["action"][0].pop("trigger"))


@finds("hook-unknown", PLAN, '"patient-veiw"')
def hook_with_a_slip(trial: Path) -> None:
    replace(trial / PLAN, '"patient-view"', '"patient-veiw"')


# --------------------------------------------------------------------------------------- plans that are CDS services


def of_others(trial: Path, **changes: Any) -> None:
    """A plan beside the trial's, as others write them: an action at the top is a card."""
    card = {
        "title": "Opioid and benzodiazepine",
        "documentation": [{"type": "documentation", "display": "Guideline"}],
        "trigger": [{"type": "named-event", "name": "order-select"}],
        "condition": [{"kind": "applicability", "expression": {"language": "text/cql", "expression": "Warn"}}],
    }
    plan = {
        "resourceType": "PlanDefinition",
        "id": "rule",
        "url": "http://example.org/PlanDefinition/rule",
        "version": "1",
        "name": "Rule",
        "title": "Rule",
        "status": "active",
        "description": "Warns.",
        "action": [card | {key: value for key, value in changes.items() if key != "description"}],
    }
    if "description" in changes:
        plan["description"] = changes["description"]
    kept = {key: value for key, value in plan["action"][0].items() if value is not None}
    plan["action"] = [kept]
    if plan["description"] is None:
        del plan["description"]
    (trial / "rule.json").write_text(json.dumps(plan, indent=1), "utf-8")


@finds("service-description-missing", "rule.json")
def no_description(trial: Path) -> None:
    of_others(trial, description=None)


@finds("card-title-missing", "rule.json")
def card_without_title(trial: Path) -> None:
    of_others(trial, title=None)


@finds("title-too-long", "rule.json", '"title": "Long long')
def card_with_a_long_title(trial: Path) -> None:
    of_others(trial, title="Long " + "long " * 30)


@finds("card-source-missing", "rule.json")
def card_without_source(trial: Path) -> None:
    of_others(trial, documentation=None)


@finds("card-mapping-lossy", "rule.json", '"asap"')
def priority_without_indicator(trial: Path) -> None:
    of_others(trial, priority="asap")


@finds("card-mapping-lossy", "rule.json", '"type"')
def removal_of_nothing(trial: Path) -> None:
    system = "http://terminology.hl7.org/CodeSystem/action-type"
    of_others(trial, action=[{"title": "Stop", "type": {"coding": [{"system": system, "code": "remove"}]}}])


@finds("card-mapping-lossy", "rule.json", '"one-or-more"')
def selection_that_cards_do_not_know(trial: Path) -> None:
    of_others(trial, selectionBehavior="one-or-more")


# ------------------------------------------------------------------------------------------------------- CQL and ELM


@finds("cql-library-unnamed", CQL)
def no_name(trial: Path) -> None:
    replace(trial / CQL, "library ExampleTrial version '1.0.0'", "")


@finds("cql-library-duplicate", "other.cql")
def library_twice(trial: Path) -> None:
    shutil.copy(trial / CQL, trial / "other.cql")


@finds("cql-syntax", CQL, "[Procedure")
def bracket_left_open(trial: Path) -> None:
    replace(trial / CQL, '[Procedure: "Transfusion codes"]', '[Procedure: "Transfusion codes"')


@finds("cql-syntax", CQL, "birthDate)")
def bracket_that_closes_nothing(trial: Path) -> None:
    replace(trial / CQL, "Patient.birthDate.value", "Patient.birthDate).value")


@finds("cql-syntax", CQL, "/* Useful")
def comment_left_open(trial: Path) -> None:
    replace(trial / CQL, 'Useful."First Dose" - 18', '/* Useful."First Dose" - 18')


@finds("cql-syntax", CQL, "Procedure")
def error_in_the_elm(trial: Path) -> None:
    told_by_the_translator(trial, "error")


@finds("cql-warning", CQL, "Procedure")
def warning_in_the_elm(trial: Path) -> None:
    told_by_the_translator(trial, "warning")


def told_by_the_translator(trial: Path, severity: str) -> None:
    lines = (trial / CQL).read_text("utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, start=1) if "[Procedure" in text)
    note = {"type": "CqlToElmError", "errorSeverity": severity, "message": "odd", "startLine": line, "startChar": 3}
    change(trial / ELM, lambda elm: elm["library"]["annotation"].append(note))


@finds("elm-missing", CQL)
def never_translated(trial: Path) -> None:
    (trial / ELM).unlink()


@finds("elm-stale", CQL)
def changed_since(trial: Path) -> None:
    replace(trial / CQL, "18 years", "16 years")


@finds("elm-stale", CQL)
def include_changed_since(trial: Path) -> None:
    replace(trial.parent / "shared" / "Useful.cql", "'open'", "'unknown'")


@finds("elm-refused", CQL, 'define "I2"')
def node_that_is_none(trial: Path) -> None:
    def edit(elm: Json) -> None:
        definition = next(one for one in elm["library"]["statements"]["def"] if one["name"] == "I2")
        definition["expression"] = {"type": "Guess"}

    change(trial / ELM, edit)


@finds("include-missing", CQL, "include Absent")
def library_nowhere(trial: Path) -> None:
    replace(trial / CQL, "include Useful", "include Absent version '1'\ninclude Useful")


@finds("include-cycle", CQL, "include Useful")
def libraries_in_a_circle(trial: Path) -> None:
    useful = trial.parent / "shared" / "Useful.cql"
    replace(useful, "include FHIRHelpers", "include ExampleTrial\ninclude FHIRHelpers")


@finds("include-cycle", CQL, "include ExampleTrial")
def library_that_includes_itself(trial: Path) -> None:
    replace(trial / CQL, "include Useful", "include ExampleTrial\ninclude Useful")


@finds("library-mismatch", LIBRARY, '"version"')
def another_version_than_the_cql(trial: Path) -> None:
    change(trial / LIBRARY, lambda library: library.update(version="2.0.0"))


@finds("library-mismatch", LIBRARY, "gone.cql")
def content_that_is_not_there(trial: Path) -> None:
    replace(trial / LIBRARY, '"eligibility.cql"', '"gone.cql"')


@finds("library-dependency", LIBRARY, '"relatedArtifact"')
def value_set_left_out(trial: Path) -> None:
    change(trial / LIBRARY, lambda library: library["relatedArtifact"].pop())


@finds("library-dependency", LIBRARY)
def value_set_too_many(trial: Path) -> None:
    further = {"type": "depends-on", "resource": "https://trial-match.example/fhir/ValueSet/further"}
    shutil.copy(trial / HAEMOPTYSIS, trial / "valuesets/further.json")
    change(trial / "valuesets/further.json", lambda one: one.update(id="further", url=further["resource"]))
    change(trial / LIBRARY, lambda library: library["relatedArtifact"].append(further))


@finds("unit-invalid", CQL, "18 years")
def unit_with_a_slip(trial: Path) -> None:
    replace(trial / ELM, '"unit":"years"', '"unit":"yaers"')


@finds("unit-invalid", PLAN, '"mgg"')
def unit_of_a_dose_with_a_slip(trial: Path) -> None:
    dose = {"value": 10, "system": "http://unitsofmeasure.org", "code": "mgg"}
    offset = {"actionId": "give", "relationship": "after-end", "offsetDuration": dose}
    change(trial / PLAN, lambda plan: plan["action"][1]["action"][1].update(relatedAction=[offset]))


@finds("code-not-in-valueset", PLAN, "")
def order_whose_result_nobody_looks_for(trial: Path) -> None:
    asked = {"path": "code", "valueSet": "https://trial-match.example/fhir/ValueSet/haemoptysis"}
    asked |= {"code": [{"system": "http://loinc.org", "code": "8480-6"}]}
    change(
        trial / PLAN, lambda plan: criterion(plan, "I1").update(input=[{"type": "Observation", "codeFilter": [asked]}])
    )


@finds("valueset-unused", "valuesets/further.json", '"url"')
def value_set_that_nothing_names(trial: Path) -> None:
    value_set_too_many(trial)


# ------------------------------------------------------------------------------------------------------- terminology


@finds("valueset-not-expanded", HAEMOPTYSIS)
def filter_without_expansion(trial: Path) -> None:
    def edit(value_set: Json) -> None:
        del value_set["expansion"]
        below = {"property": "concept", "op": "is-a", "value": "66857006"}
        value_set["compose"]["include"] = [{"system": "http://snomed.info/sct", "filter": [below]}]

    change(trial / HAEMOPTYSIS, edit)


@finds("expansion-incomplete", TRANSFUSION, '"total"')
def first_page_alone(trial: Path) -> None:
    change(trial / TRANSFUSION, lambda value_set: value_set["expansion"].update(total=99))


@finds("expansion-stale", TRANSFUSION, '"expansion"')
def code_that_was_not_expanded(trial: Path) -> None:
    change(trial / TRANSFUSION, lambda value_set: concepts(value_set).pop())


@finds("valueset-empty", HAEMOPTYSIS)
def empty_expansion(trial: Path) -> None:
    change(trial / HAEMOPTYSIS, lambda value_set: value_set.update(expansion={"timestamp": "2026-11-20", "total": 0}))


@finds("valueset-cycle", HAEMOPTYSIS, "ValueSet/transfusion")
def value_sets_in_a_circle(trial: Path) -> None:
    for one, other in ((HAEMOPTYSIS, "transfusion"), (TRANSFUSION, "haemoptysis")):
        imported = {"valueSet": [f"https://trial-match.example/fhir/ValueSet/{other}"]}
        change(trial / one, lambda value_set, imported=imported: value_set["compose"]["include"].append(imported))


@finds("valueset-missing", CQL, "valueset")
def value_set_that_is_not_there(trial: Path) -> None:
    (trial / TRANSFUSION).unlink()


@finds("code-duplicate", TRANSFUSION)
def code_twice(trial: Path) -> None:
    change(trial / TRANSFUSION, lambda value_set: concepts(value_set).append(dict(concepts(value_set)[0])))


@finds("code-malformed", HAEMOPTYSIS, "66857008")
def check_digit_of_snomed(trial: Path) -> None:
    change(trial / HAEMOPTYSIS, lambda value_set: concepts(value_set)[0].update(code="66857008"))


@finds("code-malformed", HAEMOPTYSIS, "8480-7")
def check_digit_of_loinc(trial: Path) -> None:
    of_system(trial, "http://loinc.org", "8480-7")


@finds("code-malformed", HAEMOPTYSIS, "C5399.9")
def form_of_icd(trial: Path) -> None:
    of_system(trial, "http://hl7.org/fhir/sid/icd-10-cm", "C5399.9")


def of_system(trial: Path, system: str, code: str) -> None:
    def edit(value_set: Json) -> None:
        value_set["compose"]["include"][0]["system"] = system
        concepts(value_set)[0]["code"] = code

    change(trial / HAEMOPTYSIS, edit)


@finds("code-system-unknown", HAEMOPTYSIS, "snomed.org")
def system_with_a_slip(trial: Path) -> None:
    replace(trial / HAEMOPTYSIS, '"system": "http://snomed.info/sct"', '"system": "http://snomed.org/sct"')


@finds("code-source-missing", HAEMOPTYSIS)
def code_without_source(trial: Path) -> None:
    change(trial / HAEMOPTYSIS, lambda value_set: concepts(value_set)[0].pop("extension"))


@finds("code-not-verified", TRANSFUSION)
def code_that_nobody_saw(trial: Path) -> None:
    not_verified = {"url": OURS + "not-verified", "valueBoolean": True}
    change(trial / TRANSFUSION, lambda value_set: concepts(value_set)[0]["extension"].append(not_verified))


@finds("code-verified-elsewhere", TRANSFUSION)
def code_that_is_sure_and_unsure(trial: Path) -> None:
    code_that_nobody_saw(trial)
    code = json.loads((trial / TRANSFUSION).read_text("utf-8"))["compose"]["include"][0]["concept"][0]["code"]
    change(trial / HAEMOPTYSIS, lambda value_set: concepts(value_set)[0].update(code=code))


# ------------------------------------------------------------------------------------------------- record and cases


@finds("record-missing", "")
def no_record(trial: Path) -> None:
    (trial / "record.txt").unlink()


@finds("record-changed", PLAN, '"size"')
def record_that_grew(trial: Path) -> None:
    (trial / "record.txt").write_text((trial / "record.txt").read_text("utf-8") + "\n", "utf-8")


@finds("record-changed", STUDY, '"hash"')
def record_with_another_word(trial: Path) -> None:
    replace(trial / "record.txt", "example drug", "exemple drug")


@finds("text-not-in-record", PLAN, "aged 18")
def text_of_our_own(trial: Path) -> None:
    change(trial / PLAN, lambda plan: criterion(plan, "I2").update(textEquivalent="aged 18 to 74"))


@finds("record-not-covered", "record.txt", "Unwilling")
def criterion_left_out(trial: Path) -> None:
    change(trial / PLAN, lambda plan: plan["action"][0]["action"][1]["action"].pop())


@finds("window-not-in-logic", PLAN, "within 6 months")
def window_that_is_not_counted(trial: Path) -> None:
    text = "Any transfusion within 6 months before the first dose;"
    change(trial / PLAN, lambda plan: criterion(plan, "E1").update(textEquivalent=text))


@finds("case-incomplete", "cases/haemoptysis.expected.json")
def case_without_patient(trial: Path) -> None:
    (trial / "cases/haemoptysis.json").unlink()


@finds("case-incomplete", "cases/haemoptysis.json")
def case_without_answer(trial: Path) -> None:
    (trial / "cases/haemoptysis.expected.json").unlink()


@finds("case-mismatch", "cases/haemoptysis.expected.json", '"I9"')
def case_of_no_criterion(trial: Path) -> None:
    replace(trial / "cases/haemoptysis.expected.json", '"I1"', '"I9"')


@finds("case-mismatch", "cases/haemoptysis.expected.json", '"I1"')
def case_with_an_outcome_that_is_none(trial: Path) -> None:
    replace(trial / "cases/haemoptysis.expected.json", '"met"', '"true"')


@finds("case-mismatch", "cases/haemoptysis.expected.json", '"other-trial"')
def case_of_no_trial(trial: Path) -> None:
    replace(trial / "cases/haemoptysis.expected.json", '"example-trial"', '"other-trial"')


@finds("criterion-without-case", PLAN)
def no_case(trial: Path) -> None:
    shutil.rmtree(trial / "cases")


@finds("criterion-cases-partial", PLAN)
def no_case_of_one_outcome(trial: Path) -> None:
    for path in (trial / "cases").glob("nothing-dated*"):
        path.unlink()


# ----------------------------------------------------------------------------------------------------------- the tests


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    """The folder of a trial that is right, in a content folder of its own."""
    shutil.copytree(CONTENT, tmp_path / "content")
    return tmp_path / "content" / "example-trial"


def test_a_trial_that_is_right_has_no_finding(trial: Path) -> None:
    assert check([trial.parent]) == []
    assert check([trial]) == []


@pytest.mark.parametrize("spoiled", SPOILED, ids=str)
def test_one_thing_that_is_wrong_is_found_at_its_place(spoiled: Spoiled, trial: Path) -> None:
    spoiled.spoil(trial)
    found = [one for one in check([trial.parent]) if one.rule.id == spoiled.rule]
    assert found
    assert any(is_at(one, Path(os.path.normpath(trial / spoiled.file)), spoiled.words) for one in found), "\n".join(
        map(str, found)
    )
    for one in found:
        assert one.message and one.mend


def is_at(finding: Finding, path: Path, words: str) -> bool:
    if finding.place.path != path or not words:
        return finding.place.path == path
    return words in path.read_text("utf-8").splitlines()[finding.place.line - 1]


def test_mistakes_in_cql_are_found_where_they_stand_and_nowhere_else() -> None:
    expected = {
        (number, rule)
        for number, line in enumerate(MISTAKES.read_text("utf-8").splitlines(), start=1)
        for rule in re.findall(r"// finds: ([\w-]+)", line)
    }
    found = {(one.place.line, one.rule.id) for one in check([MISTAKES.parent]) if one.place.path == MISTAKES}
    assert found == expected


def test_an_empty_folder_is_a_finding(tmp_path: Path) -> None:
    (found,) = check([tmp_path])
    assert found.rule.id == "folder-empty"


def test_every_rule_is_found_by_some_test() -> None:
    tried = {spoiled.rule for spoiled in SPOILED} | set(re.findall(r"// finds: ([\w-]+)", MISTAKES.read_text("utf-8")))
    assert set(RULES) - tried == {"folder-empty"}
    assert tried <= set(RULES)
