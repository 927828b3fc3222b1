"""The authored content: valid FHIR R4, linked together, and saying what the registry record says and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTENT = ROOT / "plandefinitions"
BASE = "https://trial-match.example/fhir"
OURS = BASE + "/StructureDefinition/"
OUTCOME = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ResearchStudy.outcomeMeasure"
SUMMARY = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ResearchStudy.descriptionSummary"
#: The extensions of others that the content may carry; inside an outcome measure, the names of its parts.
OF_OTHERS = {
    OUTCOME,
    SUMMARY,
    "http://hl7.org/fhir/StructureDefinition/cqf-cdsHooksEndpoint",
    "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
}
PARTS_OF_OUTCOME = {"name", "type", "description"}
#: How much of an erratum a card shows.
LONGEST_ERRATUM = 300

Json = dict[str, Any]

#: The criteria of each trial, in protocol order.
CRITERIA = {
    "cadonilimab-cervical-locally-advanced": [f"I{n}" for n in range(1, 17) if n not in {11, 12}]
    + [f"E{n}" for n in range(1, 26) if n not in {10, 15}],
    "cadonilimab-anlotinib-cervical": ["C1", "C2"],
    "cadonilimab-es-sclc": ["C1", "C2", "C3", "C3b"],
    "cadonilimab-lenvatinib-hcc": ["C1", "C2", "C3", "C4"],
}
TRIALS = sorted(CRITERIA)
CERVICAL, ANLOTINIB, LUNG, LIVER = (
    "cadonilimab-cervical-locally-advanced",
    "cadonilimab-anlotinib-cervical",
    "cadonilimab-es-sclc",
    "cadonilimab-lenvatinib-hcc",
)
#: SHA-256 of each registry record as it was received.
RECEIVED = {
    CERVICAL: "982c22f3f68bab8201d6d2cb1898d586aff5db4a1bf4291144e8749ae8596877",
    ANLOTINIB: "847285fbf5e81fd93b2ce78f349ba1566df61356d5e17d55fd5360d56e758cca",
    LUNG: "f6ad97cf184ade3df7c1f0483049cf43dda6c5678be5fb6aeed597a9f0836c50",
    LIVER: "9909e170fcf3df3b0b549f4f44fc04362a21230935aa6e26971a4e69a299aa3d",
}
AUTHORED = sorted(
    path
    for pattern in ("research-study.json", "plan-definition.json", "*library.json", "valuesets/*.json")
    for path in CONTENT.glob(f"*/{pattern}")
)


@cache
def read(path: Path) -> Json:
    content: Json = json.loads(path.read_text(encoding="utf-8"))
    return content


def plan(trial: str) -> Json:
    return read(CONTENT / trial / "plan-definition.json")


def study(trial: str) -> Json:
    return read(CONTENT / trial / "research-study.json")


def record(trial: str) -> str:
    """The registry text as a reader sees it: the Markdown escapes of < and > taken away."""
    return re.sub(r"\\([<>])", r"\1", (CONTENT / trial / "record.txt").read_bytes().decode("utf-8"))


def elements(node: Any) -> Iterator[Json]:
    """Every JSON object in a resource, itself first."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from elements(value)
    elif isinstance(node, list):
        for value in node:
            yield from elements(value)


def actions(trial: str) -> dict[str, Json]:
    found = {}
    for top in plan(trial)["action"]:
        found.update({one["id"]: one for one in elements(top) if "id" in one})
    return found


def values(element: Json, name: str) -> list[Any]:
    """The values of our extension `name` on an element."""
    return [
        value
        for extension in element.get("extension", ())
        if extension["url"] == OURS + name
        for key, value in extension.items()
        if key != "url"
    ]


def criteria(trial: str) -> list[Json]:
    groups = {group["id"]: group for group in actions(trial)["eligibility"]["action"]}
    assert list(groups) == (["inclusion", "exclusion"] if "exclusion" in groups else ["inclusion"])
    return [one for group in groups.values() for one in group["action"]]


def conversion(trial: str) -> list[Json]:
    return [one for one in elements(actions(trial).get("conversion", {})) if values(one, "assessment")]


def outcomes(trial: str) -> list[dict[str, Any]]:
    """The parts of each outcome measure by name; errata apart."""
    found = []
    for extension in study(trial)["extension"]:
        if extension["url"] == OUTCOME:
            parts = {}
            for part in extension["extension"]:
                if part["url"] != OURS + "erratum":
                    ((parts[part["url"]],),) = ([value for key, value in part.items() if key != "url"],)
            found.append(parts)
    return found


def errata(trial: str) -> list[str]:
    return [value for one in (plan(trial), study(trial)) for part in elements(one) for value in values(part, "erratum")]


@cache
def definitions(path: Path) -> dict[str, Json]:
    """The definitions of a translated library by name, functions left out."""
    statements = read(path)["library"]["statements"]["def"]
    return {one["name"]: one for one in statements if one.get("type") != "FunctionDef"}


# ------------------------------------------------------------------------------------------------------ valid FHIR R4


@pytest.mark.parametrize("path", AUTHORED, ids=lambda path: str(path.relative_to(CONTENT)))
def test_resource_is_valid_fhir_r4(path: Path) -> None:
    resource = read(path)
    kind = resource["resourceType"]
    model = getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    assert_codes_allowed(model.model_validate(resource))
    for contained in resource.get("contained", ()):
        kind = contained["resourceType"]
        getattr(import_module(f"fhir.resources.R4B.{kind.lower()}"), kind).model_validate(contained)


def assert_codes_allowed(model: Any) -> None:
    """Codes with a required binding are among those that FHIR allows (the models list them and do not check)."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name, None)
        allowed = (field.json_schema_extra or {}).get("enum_values")
        for one in value if isinstance(value, list) else [value]:
            if allowed and one is not None:
                assert one in allowed, f"{type(model).__name__}.{name}: {one}"
            if hasattr(type(one), "model_fields"):
                assert_codes_allowed(one)


def test_every_trial_has_its_resources() -> None:
    assert sorted(path.parent.name for path in CONTENT.glob("*/plan-definition.json")) == TRIALS
    for trial in TRIALS:
        for name in ("research-study.json", "plan-definition.json", "library.json"):
            assert read(CONTENT / trial / name)["id"] == trial


def test_urls_are_unique_and_end_in_the_id() -> None:
    urls = [read(path)["url"] for path in AUTHORED if "url" in read(path)]
    assert len(urls) == len(set(urls))
    for path in AUTHORED:
        one = read(path)
        if "url" in one:
            assert one["url"] == f"{BASE}/{one['resourceType']}/{one['id']}"


@pytest.mark.parametrize("trial", TRIALS)
def test_ids_are_unique_within_a_resource(trial: str) -> None:
    for resource in (plan(trial), study(trial)):
        ids = [one["id"] for one in elements(resource) if "id" in one]
        assert len(ids) == len(set(ids))


def test_extensions_are_those_that_are_documented() -> None:
    table = re.findall(r"^\| ((?:`[\w-]+`,? ?)+)\|", (ROOT / "ARCHITECTURE.md").read_text("utf-8"), re.MULTILINE)
    documented = {OURS + name for cell in table for name in re.findall(r"`([\w-]+)`", cell)} | OF_OTHERS
    for path in AUTHORED:
        for one in elements(read(path)):
            for extension in one.get("extension", ()):
                allowed = documented | (PARTS_OF_OUTCOME if one.get("url") == OUTCOME else set())
                assert extension["url"] in allowed, f"{path.name}: {extension['url']}"


# -------------------------------------------------------------------------------------------------------------- links


def canonicals() -> set[str]:
    return {read(path)["url"] for path in AUTHORED if "url" in read(path)}


@pytest.mark.parametrize("trial", TRIALS)
def test_links_of_a_trial_resolve(trial: str) -> None:
    resource = plan(trial)
    assert study(trial)["protocol"] == [{"reference": f"PlanDefinition/{resource['id']}"}]
    assert set(resource["library"]) <= canonicals()
    contained = {"#" + one["id"] for one in resource.get("contained", ())}
    assert {one["definitionCanonical"] for one in elements(resource) if "definitionCanonical" in one} == contained
    targets = {related["actionId"] for one in elements(resource) for related in one.get("relatedAction", ())}
    assert targets <= set(actions(trial))


@pytest.mark.parametrize("path", sorted(CONTENT.glob("*/*library.json")), ids=lambda path: path.parent.name)
def test_library_refers_to_its_files_and_to_all_that_they_name(path: Path) -> None:
    library = read(path)
    for content in library["content"]:
        assert (path.parent / content["url"]).is_file(), content["url"]
    (cql,) = [path.parent / one["url"] for one in library["content"] if one["contentType"] == "text/cql"]
    text = cql.read_text("utf-8")
    assert f"library {library['name']} version '{library['version']}'" in text
    depends = {one["resource"] for one in library["relatedArtifact"] if one["type"] == "depends-on"}
    named = set(re.findall(r"^valueset\s+\"[^\"]+\":\s*'([^']+)'", text, re.MULTILINE))
    assert named == {one for one in depends if "/ValueSet/" in one}, "library.json and the CQL name other value sets"
    included = set(re.findall(r"^include\s+(\w+)", text, re.MULTILINE)) - {"FHIRHelpers"}
    ours = {one.partition("|")[0] for one in depends if one.startswith(BASE)}
    names = {read(one)["url"]: read(one)["name"] for one in CONTENT.glob("*/*library.json")}
    assert included == {names[one] for one in ours if "/Library/" in one}
    assert ours <= canonicals()


@pytest.mark.parametrize("trial", TRIALS)
def test_criteria_name_definitions_that_exist(trial: str) -> None:
    elm = CONTENT / trial / "eligibility.elm.json"
    if not elm.is_file():
        pytest.skip("not translated yet")
    defined = definitions(elm)
    for one in criteria(trial) + conversion(trial):
        (condition,) = one["condition"]
        assert condition["kind"] == "applicability"
        assert condition["expression"]["language"] == "text/cql-identifier"
        answers = [condition["expression"]["expression"], *values(one, "applies-when")]
        for name in answers:
            assert defined[name]["resultTypeName"] == "{urn:hl7-org:elm-types:r1}Boolean", f"{one['id']}: {name}"
        for name in values(one, "evidence") + values(one, "verified-by"):
            assert name in defined, f"{one['id']}: {name}"
        if values(one, "assessment") == ["attestation"]:
            body = defined[answers[0]]["expression"]
            assert body["type"] == "As" and body["operand"]["type"] == "Null", f"{one['id']} is for a person to say"


# ------------------------------------------------------------------------------------------------- criteria as actions


@pytest.mark.parametrize("trial", TRIALS)
def test_criteria_are_those_of_the_protocol_in_its_order(trial: str) -> None:
    assert [one["id"] for one in criteria(trial)] == CRITERIA[trial]
    for one in criteria(trial) + conversion(trial):
        assert one["prefix"] == (one["id"][1:] if trial == CERVICAL else one["id"])
        (assessment,) = values(one, "assessment")
        policies = values(one, "missing-data-policy")
        assert assessment in {"computable", "partial", "attestation"}
        assert policies and set(policies) <= {"unknown", "presume-absent", "attest"}
        assert ("attest" in policies) or assessment != "attestation"
        assert len(values(one, "question")) == 1
        assert len(one["title"]) <= 80
    (disease,) = [one["id"] for one in criteria(trial) if values(one, "disease-criterion") == [True]]
    assert disease == ("I3" if trial == CERVICAL else "C1")


@pytest.mark.parametrize("trial", TRIALS)
def test_record_without_its_list_says_so(trial: str) -> None:
    assert values(plan(trial), "record-incomplete") == ([] if trial == CERVICAL else [True])


def test_classes_of_the_long_record() -> None:
    classes = [values(one, "assessment")[0] for one in criteria(CERVICAL)]
    counts = {name: classes.count(name) for name in ("computable", "partial", "attestation")}
    assert counts == {"computable": 13, "partial": 14, "attestation": 10}


def test_conversion_set_is_an_outcome_and_never_a_condition_of_entry() -> None:
    ids = ["CV1", "CV2", "CV3", "CV4", "CV5"]
    assert [one["id"] for one in conversion(LIVER)] == ids
    assert not set(ids) & {one.get("id") for one in elements(actions(LIVER)["eligibility"])}
    (measure,) = (one for one in outcomes(LIVER) if one["name"] == "Conversion success rate")
    assert re.findall(r"^\* (.+)$", measure["description"].replace("\\", ""), re.MULTILINE) == [
        one["textEquivalent"] for one in conversion(LIVER)
    ]
    decision = actions(LIVER)["conversion-decision"]
    assert decision["selectionBehavior"] == "exactly-one"
    converted, left, goes_on = decision["action"]
    assert "TACE/HAIC" not in json.dumps([converted, left]) and "TACE/HAIC" in json.dumps(goes_on)


def test_contradicting_doses_stand_side_by_side_and_none_is_chosen() -> None:
    alternatives = actions(ANLOTINIB)["give-anlotinib"]
    assert alternatives["selectionBehavior"] == "exactly-one"
    assert values(alternatives, "erratum")
    assert not [one for one in elements(alternatives) if "precheckBehavior" in one]
    doses = {one["id"]: one["dosage"][0]["doseAndRate"][0]["doseQuantity"] for one in plan(ANLOTINIB)["contained"]}
    assert [doses[one["definitionCanonical"][1:]]["value"] for one in alternatives["action"]] == [12, 8]


# --------------------------------------------------------------------------------------------- what the record says


@pytest.mark.parametrize("trial", TRIALS)
def test_record_is_the_text_as_received(trial: str) -> None:
    raw = (CONTENT / trial / "record.txt").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == RECEIVED[trial]
    for resource, kind in ((study(trial), "documentation"), (plan(trial), "derived-from")):
        (artifact,) = [one for one in resource["relatedArtifact"] if one["type"] == kind]
        assert RECEIVED[trial] in artifact["citation"]
        assert artifact["document"]["url"] == "record.txt"
        assert artifact["document"]["size"] == len(raw)
        assert base64.b64decode(artifact["document"]["hash"]) == hashlib.sha1(raw).digest()


@pytest.mark.parametrize("trial", TRIALS)
def test_verbatim_text_of_the_plan_is_in_the_record(trial: str) -> None:
    text = record(trial)
    assert plan(trial)["subtitle"] == study(trial)["title"] == text.split("\n")[0]
    for one in elements(plan(trial)["action"]):
        if "textEquivalent" in one:
            assert one["textEquivalent"] in text, one["id"]
        for document in one.get("documentation", ()):
            assert document["citation"] in text, document["label"]
    for one in criteria(trial) + conversion(trial):
        assert one["textEquivalent"].strip() == one["textEquivalent"] != ""


def test_criteria_and_notes_together_are_the_whole_list_of_the_record() -> None:
    for kind, heading, ending in (
        ("I", "Inclusion criteria:", "Exclusion criteria:"),
        ("E", "Exclusion criteria:", None),
    ):
        numbered = {}
        for one in criteria(CERVICAL):
            if one["id"].startswith(kind):
                numbered[int(one["prefix"])] = one["textEquivalent"]
                numbered.update({int(note["label"]): note["citation"] for note in one.get("documentation", ())})
        rebuilt = " ".join(f"{number}. {numbered[number]}" for number in sorted(numbered))
        said = record(CERVICAL).split(heading)[1].split(ending)[0] if ending else record(CERVICAL).split(heading)[1]
        assert rebuilt.split() == said.split()


@pytest.mark.parametrize(
    ("criterion", "labels"), [("I10", ["11", "12"]), ("E9", ["10"]), ("E14", ["15"])], ids=["I10", "E9", "E14"]
)
def test_notes_stand_under_the_criterion_they_belong_to(criterion: str, labels: list[str]) -> None:
    assert [note["label"] for note in actions(CERVICAL)[criterion]["documentation"]] == labels


@pytest.mark.parametrize("trial", TRIALS)
def test_study_says_what_the_record_says(trial: str) -> None:
    resource = study(trial)
    raw = (CONTENT / trial / "record.txt").read_bytes().decode("utf-8")
    assert raw.endswith(resource["description"])
    (summary,) = [one["valueMarkdown"] for one in resource["extension"] if one["url"] == SUMMARY]
    assert raw.startswith(f"{resource['title']}\n{summary}\n")
    said = [part["text"] for name in ("category", "focus", "condition", "keyword") for part in resource.get(name, ())]
    said += [arm["description"] for arm in resource.get("arm", ())]
    said += [one["citation"] for one in resource["relatedArtifact"] if one["type"] == "citation"]
    said += [one["text"] for one in [resource.get("phase")] if one]
    for words in said:
        assert words in raw, words
    assert set(values(plan(trial), "erratum")) <= {note["text"] for note in resource["note"]}


@pytest.mark.parametrize("trial", TRIALS)
def test_outcomes_are_the_cells_of_the_record(trial: str) -> None:
    raw = (CONTENT / trial / "record.txt").read_bytes().decode("utf-8")
    cells = []
    for one in outcomes(trial):
        words = [one["name"], one.get("description"), one.get(OURS + "time-frame")]
        assert all(word in raw for word in words if word)
        if words[2] is None:
            assert trial == LUNG  # told in the description alone, outside the outcome fields
            continue
        cell = ", ".join(word for word in words if word)
        cells.append(cell if cell in raw else f"{words[0]}, {words[1]}, Time Frame: {words[2]}")
    # The fields are two lines (three cells of one spread over more): all their cells, and nothing between them.
    line = "\n".join("|".join(group) for group in split_by_type(trial, cells))
    assert f"\n{line}\n" in raw
    assert [one["name"] for one in study(trial)["objective"]] == [one["name"] for one in outcomes(trial)]


def split_by_type(trial: str, cells: list[str]) -> tuple[list[str], list[str]]:
    codes = [one["type"]["coding"][0]["code"] for one in outcomes(trial)]
    primary = codes.count("primary")
    assert codes[:primary] == ["primary"] * primary
    return cells[:primary], cells[primary:]


@pytest.mark.parametrize("trial", TRIALS)
def test_doses_are_those_that_the_record_states(trial: str) -> None:
    text = record(trial)
    for drug in plan(trial).get("contained", ()):
        for dosage in drug.get("dosage", ()):
            assert dosage["text"] in text
            for rate in dosage["doseAndRate"]:
                assert f"{rate['doseQuantity']['value']}{rate['doseQuantity']['code']}" in dosage["text"]
    dosed = {one["id"] for one in plan(trial).get("contained", ()) if "dosage" in one}
    stated = {"cadonilimab", "anlotinib-12-mg", "anlotinib-8-mg", "gm-csf"} if trial == ANLOTINIB else set()
    assert dosed == stated


@pytest.mark.parametrize("trial", TRIALS)
def test_nothing_is_invented(trial: str) -> None:
    resource = study(trial)
    absent = {"status", "site", "sponsor", "principalInvestigator", "enrollment", "period", "contact", "location"}
    assert not absent & set(resource)
    (reason,) = resource["_status"]["extension"]
    assert reason["valueCode"] == "unknown"
    assert ("phase" in resource) == (trial == LUNG)
    assert "publisher" not in plan(trial)
    assert not re.search(r"NCT\s*\d|ChiCTR|EudraCT", json.dumps([resource, plan(trial)]))


@pytest.mark.parametrize("trial", TRIALS)
def test_codes_were_seen_in_a_value_set_or_are_of_fhir(trial: str) -> None:
    seen = {
        (part["system"], part["code"])
        for path in CONTENT.glob("*/valuesets/*.json")
        for part in read(path)["expansion"].get("contains", ())
    }
    for part in elements([study(trial), plan(trial)]):
        if {"system", "code"} <= set(part) and "value" not in part:
            if part["system"].startswith("http://terminology.hl7.org/CodeSystem/"):
                continue
            # Investigational drugs of a trial stand by name; lenvatinib is the one with a code.
            known = part["system"].endswith("/CodeSystem/medication-name") or part["code"] == "L01EX08"
            assert known or (part["system"], part["code"]) in seen, part


# ------------------------------------------------------------------------------------------------------------- errata


@pytest.mark.parametrize("trial", TRIALS)
def test_errata_quote_the_record_and_fit_on_a_card(trial: str) -> None:
    text = record(trial)
    assert errata(trial)
    for erratum in errata(trial):
        assert len(erratum) <= LONGEST_ERRATUM
        assert erratum.count("“") == erratum.count("”")
        for quoted in re.findall("“([^”]*)”", erratum):
            assert quoted in text, quoted


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        (
            CERVICAL,
            ["Cardenimumab", "vitiligo", "co-stimulatory", "must choose and use", "or have not reached menopause"],
        ),
        (
            CERVICAL,
            ["hormone contraception alone", "within 30 days", "he has received", "CTCAE is presumed", "regiment"],
        ),
        (ANLOTINIB, ["“12mg” in the summary, “8mg” in the detailed description", "leave it out", "molgramostim"]),
        (LUNG, ["cadunilumab", "dulvalizumab", "2rd Line", "RECIST v i I", "PD-1 inhibitor-resistant", "bracket"]),
        (LUNG, ["reduced to 30%", "measures tumours, not survival", "names no disease", "omits chemotherapy"]),
        (LIVER, ["Enfortumab Vedotin", "from randomization", "predetermined value", "runs two drugs together"]),
        (LIVER, ["30 days after the discontinuation", "is no condition", "stands again as the description"]),
    ],
)
def test_known_errors_of_the_records_are_told(trial: str, words: list[str]) -> None:
    told = "\n".join(errata(trial))
    for word in words:
        assert word in told


def test_patient_view_triggers_eligibility() -> None:
    for trial in TRIALS:
        assert actions(trial)["eligibility"]["trigger"] == [{"type": "named-event", "name": "patient-view"}]
