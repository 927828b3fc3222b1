"""Facts as FHIR R4, in the ways in which charts write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, TypeVar

from .concepts import codeable, coding
from .dates import When
from .facts import (
    Allergy,
    Attestation,
    ChildPugh,
    Diagnosis,
    DiseaseStatus,
    Drug,
    Ecog,
    Fact,
    FigoStage,
    HepatitisBDna,
    HepatitisBSurfaceAntigen,
    HivTest,
    Identified,
    Karnofsky,
    LiverFinding,
    LiverRemnant,
    Menopause,
    Metastases,
    Nodes,
    Operation,
    Part,
    Pathology,
    Patient,
    Person,
    PregnancyStatus,
    PregnancyTest,
    Route,
    Toxicity,
    TrialParticipation,
    TumourSize,
    Vaccination,
    Void,
)

Resource = dict[str, Any]
T = TypeVar("T")

_UCUM = "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_ME, _SOMEBODY_ELSE = "Patient/woman", "Patient/somebody-else"


@dataclass(frozen=True, slots=True)
class Style:
    """How facts are written: a seed each for the codes, the elements, the units, and where a drug is named.

    What says the same in one style and another must have the same outcome.
    """

    codes: int
    elements: int
    units: int
    medications: int

    def choice(self, aspect: str, key: int, choices: Sequence[T]) -> T:
        """One of several ways to write the fact of a key."""
        return Random(f"{getattr(self, aspect)} {aspect} {key}").choice(choices)


@dataclass(frozen=True, slots=True)
class Writing:
    """A patient's facts being written in a style."""

    patient: Patient
    style: Style

    def choice(self, aspect: str, key: int, choices: Sequence[T]) -> T:
        """One of several ways to write the fact of a key."""
        return self.style.choice(aspect, key, choices)

    def concept(self, key: int, codes: Sequence[str], words: str) -> Resource:
        """A CodeableConcept: one of the codes alone, with its words, beside a local code, or beside another of them."""
        code = codeable(self.choice("codes", key, codes))
        if "coding" not in code:
            return code
        form = self.choice("codes", -key, ("alone", "alone", "in words", "local", "two"))
        if form == "in words":
            return code | {"text": words}
        if form == "local":
            local = {"system": "https://hospital.example/codes", "code": words.replace(" ", "-")}
            return {"coding": [local, *code["coding"]], "text": words}
        if form == "two" and len(codes) > 1:
            return {"coding": [coding(one) for one in codes[:2]]}
        return code

    def cervical_cancers(self) -> list[Diagnosis]:
        """The confirmed cancers of the cervix."""
        return [one for one in self.patient.true(Diagnosis) if "cervix" in one.what and one.certain]

    def stages_of(self, fact: Diagnosis) -> list[FigoStage]:
        """The stages that are noted with a diagnosis: of the only cervical cancer its only stage, in some styles."""
        stages = list(self.patient.true(FigoStage))
        cancers = [one for one in self.patient.true(Diagnosis) if "cervix" in one.what]
        if fact.void or not fact.certain or cancers != [fact] or len(stages) != 1 or any(self.patient.true(Nodes)):
            return []  # a stage without a date cannot be told from nodes of another day
        if not stages[0].of_the_cervix:
            return []
        return stages if self.choice("elements", -stages[0].key, (True, False)) else []

    def reason(self, fact: Drug | Operation) -> Resource:
        """Why a drug was given or an operation done, as a code or as a reference to the diagnosis."""
        if fact.reason is None:
            return {}
        known = [one for one in self.patient.true(Diagnosis) if one.what is fact.reason]
        if known and self.choice("elements", fact.key, ("reference", "code")) == "reference":
            return {"reasonReference": [{"reference": f"Condition/condition-{known[0].key}"}]}
        return {"reasonCode": [codeable(self.choice("codes", fact.key, fact.reason.codes))]}


def bundle(patient: Patient, style: Style) -> Resource:
    """The patient's Bundle."""
    writing = Writing(patient, style)
    resources = [one for fact in patient.facts for one in _RENDERERS[type(fact)](fact, writing)]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


def _person(fact: Person, writing: Writing) -> list[Resource]:
    resource: Resource = {"resourceType": "Patient", "id": "woman"}
    if fact.sex:
        resource["gender"] = fact.sex
    if fact.birth:
        resource["birthDate"] = fact.birth.text
    if fact.died is True:
        resource["deceasedBoolean"] = True
    elif fact.died:
        resource["deceasedDateTime"] = fact.died.text
    return [resource]


def _subject(fact: Fact) -> Resource:
    return {"reference": _SOMEBODY_ELSE if fact.void is Void.OTHER_PATIENT else _ME}


_HISTOLOGY = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-histology-morphology-behavior"
_MORPHOLOGIES = ("1162767002", "1187332001", "59367005", "1286767006")

#: Diagnoses as words alone say them: such are no more certain than suspected ones.
_IN_WORDS = {
    "squamous cell carcinoma of cervix": "Squamous cell carcinoma of the cervix",
    "adenocarcinoma of cervix": "Cervical adenocarcinoma",
    "malignant tumour of cervix": "Cervical cancer",
    "recurrence of cervical cancer": "Recurrent cervical cancer",
    "malignant neoplasm of breast": "Breast cancer",
    "basal cell carcinoma of skin": "Basal cell carcinoma",
    "metastasis in liver": "Liver metastases",
    "metastasis in pelvic lymph nodes": "Pelvic lymph node metastasis",
    "HIV infection": "HIV infection",
    "kidney transplant status": "Kidney transplant",
    "rheumatoid arthritis": "Rheumatoid arthritis",
    "Crohn's disease": "Crohn's disease",
    "brain metastasis": "Brain metastases",
    "spinal cord compression": "Spinal cord compression",
    "haemoptysis": "Haemoptysis",
    "pleural effusion": "Pleural effusion",
    "ascites": "Ascites",
    "skin ulcer": "Skin ulcer",
    "wound": "Open wound",
    "chronic hepatitis B": "Chronic hepatitis B",
    "tubal ligation status": "Bilateral tubal ligation",
    "extensive small cell lung cancer": "Extensive-stage small cell lung cancer",
    "small cell lung cancer": "Small cell lung cancer",
    "lung cancer": "Lung cancer",
    "hepatocellular carcinoma": "Hepatocellular carcinoma",
    "pregnancy": "Pregnancy",
}


def _diagnosis(fact: Diagnosis, writing: Writing) -> list[Resource]:
    code = writing.concept(fact.key, fact.what.codes, fact.what.name)
    if fact.void is Void.FAMILY:
        return [_family_history(code, fact)]
    in_words = fact.what.name in _IN_WORDS and writing.choice("codes", fact.key, (False, True))
    if not fact.certain and in_words:
        code = _words(_IN_WORDS[fact.what.name])
    verification = _verification(fact, writing, in_words=in_words)
    resource: Resource = {
        "resourceType": "Condition",
        "id": f"condition-{fact.key}",
        "subject": _subject(fact),
        "code": code,
        "verificationStatus": {"coding": [{"system": f"{_TERMINOLOGY}/condition-ver-status", "code": verification}]},
        "category": [{"coding": [{"system": f"{_TERMINOLOGY}/condition-category", "code": "problem-list-item"}]}],
    }
    if fact.void is not Void.ENTERED_IN_ERROR:  # the constraint con-5 of Condition
        clinical = {"system": f"{_TERMINOLOGY}/condition-clinical", "code": fact.course}
        resource["clinicalStatus"] = {"coding": [clinical]}
    for name in writing.choice("elements", -fact.key, ((), (), ("category",), ("category", "verificationStatus"))):
        if name == "category" or verification == "confirmed":
            del resource[name]
    return [resource | _course(fact, writing) | _tumour(fact, writing)]


def _verification(fact: Diagnosis, writing: Writing, *, in_words: bool) -> str:
    if fact.void is Void.ENTERED_IN_ERROR:
        return "entered-in-error"
    if fact.void is Void.NEVER_HAPPENED:
        return "refuted"
    certain = fact.certain or in_words
    return (
        "confirmed" if certain else writing.choice("elements", fact.key, ("provisional", "differential", "unconfirmed"))
    )


def _course(fact: Diagnosis, writing: Writing) -> Resource:
    """When a condition was recorded, began and ended; the last two as dateTimes or as Periods."""
    found: Resource = {"recordedDate": fact.recorded.text} if fact.recorded else {}
    as_period = writing.choice("elements", fact.key, (False, False, False, True))
    for name, when, bound in (("onset", fact.onset, "start"), ("abatement", fact.abated, "end")):
        if when and as_period:
            found[f"{name}Period"] = {bound: when.text}
        elif when:
            found[f"{name}DateTime"] = when.text
    return found


def _tumour(fact: Diagnosis, writing: Writing) -> Resource:
    """The histology and the stage that are noted with a cancer."""
    found: Resource = {}
    if fact.histology:
        morphology = codeable(f"sct:{writing.choice('elements', fact.key, _MORPHOLOGIES)}")
        found["extension"] = [{"url": _HISTOLOGY, "valueCodeableConcept": morphology}]
    if stages := writing.stages_of(fact):
        found["stage"] = [{"summary": _stage(one, writing)} for one in stages]
    return found


def _family_history(code: Resource, fact: Fact) -> Resource:
    return {
        "resourceType": "FamilyMemberHistory",
        "id": f"family-{fact.key}",
        "status": "completed",
        "patient": {"reference": _ME},
        "relationship": {"coding": [{"system": f"{_TERMINOLOGY}/v3-RoleCode", "code": "MTH"}]},
        "condition": [{"code": code}],
    }


def _event_status(fact: Fact, *, so: str, never: str) -> str:
    if fact.void is Void.ENTERED_IN_ERROR:
        return "entered-in-error"
    return never if fact.void is Void.NEVER_HAPPENED else so


def _operation(fact: Operation, writing: Writing) -> list[Resource]:
    resource: Resource = {
        "resourceType": "Procedure",
        "id": f"procedure-{fact.key}",
        "status": _event_status(
            fact, so="completed", never=writing.choice("elements", fact.key, ("not-done", "preparation"))
        ),
        "subject": _subject(fact),
        "code": _words(fact.what.name) if fact.in_words else writing.concept(fact.key, fact.what.codes, fact.what.name),
    }
    resource |= writing.reason(fact)
    _put_time(resource, "performed", fact.when, fact.end, writing.choice("elements", fact.key, ("DateTime", "Period")))
    return [resource]


def _put_time(resource: Resource, name: str, start: When | None, end: When | None, form: str) -> None:
    """A moment as a dateTime or as a Period that begins and ends in it; what lasted is a Period."""
    if start is None:
        return
    if end is None and form == "DateTime":
        resource[f"{name}DateTime"] = start.text
    else:
        resource[f"{name}Period"] = {"start": start.text, "end": (end or start).text}


def _vaccination(fact: Vaccination, writing: Writing) -> list[Resource]:
    resource: Resource = {
        "resourceType": "Immunization",
        "id": f"immunization-{fact.key}",
        "status": _event_status(fact, so="completed", never="not-done"),
        "patient": _subject(fact),
        "vaccineCode": _words(fact.what.name)
        if fact.in_words
        else writing.concept(fact.key, fact.what.codes, fact.what.name),
    }
    if fact.when:
        resource["occurrenceDateTime"] = fact.when.text
    else:
        resource["occurrenceString"] = "not remembered"
    return [resource]


_NEVER_TAKEN = {
    "MedicationRequest": ("cancelled", "draft"),
    "MedicationAdministration": ("not-done",),
    "MedicationStatement": ("not-taken", "intended"),
    "MedicationDispense": ("cancelled", "declined", "preparation"),
}


def _drug(fact: Drug, writing: Writing) -> list[Resource]:
    running = {
        "MedicationRequest": "active",
        "MedicationStatement": "active",
        "MedicationAdministration": "in-progress",
    }
    so = "completed" if fact.end else running.get(fact.charted, "completed")
    resource: Resource = {
        "resourceType": fact.charted,
        "id": f"medication-{fact.key}",
        "status": _event_status(fact, so=so, never=writing.choice("elements", fact.key, _NEVER_TAKEN[fact.charted])),
        "subject": _subject(fact),
    }
    period = {"start": fact.start.text} | ({"end": fact.end.text} if fact.end else {})
    if fact.charted == "MedicationRequest":
        timing = {"repeat": {"boundsPeriod": period}}
        resource |= {
            "intent": "order",
            "authoredOn": fact.start.text,
            "dosageInstruction": [_dosage(fact, timing, writing)],
        }
    elif fact.charted == "MedicationStatement":
        resource["effectivePeriod"] = period
        if fact.route or fact.daily_mg:
            resource["dosage"] = [_dosage(fact, {}, writing)]
    elif fact.charted == "MedicationAdministration":
        resource |= _effective(fact, period, writing)
        if fact.route:
            resource["dosage"] = {"route": _route(fact.route, fact, writing)}
        if fact.daily_mg:
            unit = writing.choice("units", fact.key, tuple(_PER_MG))
            dose = {"dose": _quantity(fact.daily_mg * _PER_MG[unit], unit)}
            resource["dosage"] = resource.get("dosage", {}) | dose
    else:
        resource[writing.choice("elements", fact.key, ("whenHandedOver", "whenHandedOver", "whenPrepared"))] = (
            fact.start.text
        )
    return _with_medication(resource | writing.reason(fact), fact, writing)


def _effective(fact: Drug, period: Resource, writing: Writing) -> Resource:
    """When a drug was administered: what began and ended on one day may be a dateTime."""
    if fact.end == fact.start and writing.choice("elements", fact.key, (True, False)):
        return {"effectiveDateTime": fact.start.text}
    return {"effectivePeriod": period}


_ROUTES = {Route.ORAL: "Oral", Route.INTRAVENOUS: "Intravenous", Route.NASAL: "Nasal spray", Route.TOPICAL: "Topical"}


def _route(route: Route, fact: Drug, writing: Writing) -> Resource:
    """A route: coded, or in words where these are plain."""
    coded = codeable(f"sct:{route.value}")
    return writing.choice("elements", fact.key, (coded, coded, _words(_ROUTES[route]) if route in _ROUTES else coded))


def _hourly(times: int) -> Resource:
    """So many times a day, as once in so many hours."""
    return {"frequency": 1, "period": 24 // times, "periodUnit": "h"}


_PER_MG = {"mg": Decimal(1), "ug": Decimal(1000), "g": Decimal("0.001")}


def _dosage(fact: Drug, timing: Resource, writing: Writing) -> Resource:
    """Route, timing and dose: the same amount a day in one dose, in two or in four."""
    dosage: Resource = {"timing": timing} if timing else {}
    if fact.route:
        dosage["route"] = _route(fact.route, fact, writing)
    if fact.daily_mg:
        times = writing.choice("units", fact.key, (1, 2, 4))
        unit = writing.choice("units", fact.key, tuple(_PER_MG))
        every = writing.choice(
            "elements", fact.key, ({"frequency": times, "period": 1, "periodUnit": "d"}, _hourly(times))
        )
        repeat = every | timing.get("repeat", {})
        dosage["timing"] = {"repeat": repeat}
        dosage["doseAndRate"] = [{"doseQuantity": _quantity(fact.daily_mg * _PER_MG[unit] / times, unit)}]
    return dosage


def _with_medication(resource: Resource, fact: Drug, writing: Writing) -> list[Resource]:
    """A drug named in place, in a contained Medication, or in one of its own."""
    if fact.identified is Identified.NOT:
        return [resource | {"medicationReference": {"reference": "Medication/nowhere"}}]
    if fact.identified is Identified.IN_A_SENTENCE:
        return [resource | {"medicationCodeableConcept": {"text": f"was given {fact.what.name} in another hospital"}}]
    code = writing.concept(fact.key, _drug_codes(fact), fact.what.name)
    where = writing.choice("medications", fact.key, ("in place", "contained", "apart"))
    if where == "in place":
        return [resource | {"medicationCodeableConcept": code}]
    medication = {"resourceType": "Medication", "id": f"drug-{fact.key}", "code": code}
    if where == "contained":
        reference = {"reference": f"#drug-{fact.key}"}
        return [resource | {"contained": [medication], "medicationReference": reference}]
    return [resource | {"medicationReference": {"reference": f"Medication/drug-{fact.key}"}}, medication]


def _drug_codes(fact: Drug) -> tuple[str, ...]:
    """The codes that say the drug and no more: ATC's H02 says of a steroid that it is for systemic use."""
    if "steroid" in fact.what and not (fact.route and fact.route.systemic):
        return tuple(code for code in fact.what.codes if not code.startswith("atc:H02"))
    return fact.what.codes


def _observation(fact: Fact, writing: Writing, code: str, when: When | None, **elements: Any) -> list[Resource]:
    status = writing.choice("elements", -fact.key, ("final", "final", "final", "amended", "corrected"))
    resource: Resource = {
        "resourceType": "Observation",
        "id": f"observation-{fact.key}",
        "status": _event_status(fact, so=status, never="cancelled"),
        "subject": _subject(fact),
        "code": writing.concept(fact.key, (code,), "an observation"),
        **elements,
    }
    if getattr(fact, "of_the_cervix", False) and (cancers := writing.cervical_cancers()):
        resource["focus"] = [{"reference": f"Condition/condition-{cancers[0].key}"}]
    if when and writing.choice("elements", fact.key, ("date", "date", "period")) == "date":
        resource["effectiveDateTime"] = when.text
    elif when:
        resource["effectivePeriod"] = {"start": when.text, "end": when.text}
    return [resource]


def _quantity(value: Decimal | int, unit: str | None) -> Resource:
    quantity: Resource = {"value": int(value) if value == int(value) else float(value)}
    return quantity if unit is None else quantity | {"unit": unit, "system": _UCUM, "code": unit}


def _words(text: str) -> Resource:
    return {"text": text}


_ECOG_ANSWERS = ("LA9622-7", "LA9623-5", "LA9624-3", "LA9625-0", "LA9626-8", "LA9627-6")
_ECOG_FINDINGS = ("425389002", "422512005", "422894000")


def _ecog(fact: Ecog, writing: Writing) -> list[Resource]:
    answer = codeable(f"loinc:{_ECOG_ANSWERS[fact.grade]}")
    values: list[Resource] = [
        {"valueInteger": fact.grade},
        {"valueQuantity": _quantity(fact.grade, "{score}")},
        {"valueCodeableConcept": answer},
        {"valueInteger": fact.grade, "interpretation": [answer]},
    ]
    if fact.grade < len(_ECOG_FINDINGS):
        values.append({"valueCodeableConcept": codeable(f"sct:{_ECOG_FINDINGS[fact.grade]}")})
    code = writing.choice("codes", fact.key, ("loinc:89247-1", "loinc:89247-1", "sct:423740007"))
    return _observation(fact, writing, code, fact.when, **writing.choice("elements", fact.key, values))


def _karnofsky(fact: Karnofsky, writing: Writing) -> list[Resource]:
    return _observation(fact, writing, "loinc:89243-0", fact.when, valueInteger=fact.score)


def _tumour_size(fact: TumourSize, writing: Writing) -> list[Resource]:
    unit = writing.choice("units", fact.key, ("cm", "mm"))
    value = fact.centimetres * (10 if unit == "mm" else 1)
    quantity = _quantity(value, unit if fact.unit_said else None)
    form = writing.choice("elements", fact.key, ("size", "dimension", "component"))
    if form == "component":
        component = [{"code": codeable("loinc:33728-7"), "valueQuantity": quantity}]
        return _observation(fact, writing, "loinc:21889-1", fact.when, component=component)
    code = "loinc:21889-1" if form == "size" else "loinc:33728-7"
    return _observation(fact, writing, code, fact.when, valueQuantity=quantity)


def _nodes(fact: Nodes, writing: Writing) -> list[Resource]:
    clinical, pathological = (
        ("sct:1229973008", "sct:1229951001") if fact.positive else ("sct:1229967007", "sct:1229947003")
    )
    words = ("cN1", "pN1") if fact.positive else ("cN0", "pN0")
    code, value, text = writing.choice(
        "codes", fact.key, (("loinc:21906-3", clinical, words[0]), ("loinc:21900-6", pathological, words[1]))
    )
    category = writing.choice("elements", fact.key, (codeable(value), codeable(value), _words(text)))
    return _observation(fact, writing, code, fact.when, valueCodeableConcept=category)


_FIGO = {
    "IB": "C96248",
    "IIA": "C96253",
    "IIB": "C96254",
    "IIIA": "C96256",
    "IIIB": "C96257",
    "IIIC": "C96258",
    "IIIC1": "C96259",
    "IIIC2": "C96260",
    "IV": "C96261",
    "IVA": "C96262",
    "IVB": "C96263",
}
FIGO_STAGES = tuple(_FIGO)


def _figo_stage(fact: FigoStage, writing: Writing) -> list[Resource]:
    if any(fact in writing.stages_of(one) for one in writing.patient.true(Diagnosis)):
        return []
    codes = ["loinc:21908-9", "loinc:21902-2", "loinc:21914-7"]
    if fact.of_the_cervix and writing.cervical_cancers():
        codes += ["sct:385361009", "sct:385367008"]  # FIGO's staging, of gynaecological tumours and of the cervix
    code = writing.choice("codes", fact.key, codes)
    return _observation(fact, writing, code, fact.when, valueCodeableConcept=_stage(fact, writing))


def _stage(fact: FigoStage, writing: Writing) -> Resource:
    coded, texts = codeable(f"ncit:{_FIGO[fact.stage]}"), (_words(f"FIGO stage {fact.stage}"), _words(fact.stage))
    return writing.choice("elements", fact.key, (coded, coded, *texts))


def _hiv_test(fact: HivTest, writing: Writing) -> list[Resource]:
    code = writing.choice("codes", fact.key, ("loinc:31201-7", "loinc:7918-6", "loinc:56888-1", "loinc:62469-2"))
    return _observation(fact, writing, code, fact.when, **_presence(fact, fact.reactive, writing))


def _presence(fact: Fact, positive: bool, writing: Writing) -> Resource:
    """The value of a test that is positive or negative: coded, or in words."""
    codes = ("sct:10828004", "loinc:LA6576-8") if positive else ("sct:260385009", "loinc:LA6577-6")
    word = "Positive" if positive else "Negative"
    forms: list[Resource] = [{"valueCodeableConcept": codeable(code)} for code in codes]
    return writing.choice("elements", fact.key, (*forms, {"valueCodeableConcept": _words(word)}, {"valueString": word}))


def _pathology(fact: Pathology, writing: Writing) -> list[Resource]:
    resource: Resource = {
        "resourceType": "DiagnosticReport",
        "id": f"report-{fact.key}",
        "status": _event_status(fact, so="final", never="cancelled"),
        "subject": _subject(fact),
        "code": codeable("loinc:22637-3"),
        "effectiveDateTime": fact.when.text,
        "conclusionCode": [writing.concept(fact.key, fact.what.codes, fact.what.name)],
    }
    return [resource]


def _surface_antigen(fact: HepatitisBSurfaceAntigen, writing: Writing) -> list[Resource]:
    return _observation(fact, writing, "loinc:5195-3", fact.when, **_presence(fact, fact.positive, writing))


def _hepatitis_b_dna(fact: HepatitisBDna, writing: Writing) -> list[Resource]:
    return _observation(fact, writing, "loinc:42595-9", fact.when, valueQuantity=_quantity(fact.amount, "[IU]/mL"))


def _pregnancy_test(fact: PregnancyTest, writing: Writing) -> list[Resource]:
    codes = ("loinc:2118-8", "loinc:80385-8", "loinc:2110-5") if fact.serum else ("loinc:2106-3", "loinc:80384-1")
    code = writing.choice("codes", fact.key, codes)
    return _observation(fact, writing, code, fact.when, **_presence(fact, fact.positive, writing))


_STATUSES = {
    "pregnant": ("loinc:82810-3", "sct:77386006"),
    "not pregnant": ("loinc:82810-3", "sct:60001007"),
    "breastfeeding": ("loinc:63895-7", "sct:413712001"),
}


def _pregnancy_status(fact: PregnancyStatus, writing: Writing) -> list[Resource]:
    code, value = _STATUSES[fact.status]
    return _observation(fact, writing, code, fact.when, valueCodeableConcept=codeable(value))


def _menopause(fact: Menopause, writing: Writing) -> list[Resource]:
    period = _observation(fact, writing, "loinc:8665-2", fact.when, valueDateTime=fact.last_period.text)
    if fact.fsh_within_range is None:
        return period
    unit = "[IU]/L"
    limits = {"low": _quantity(Decimal("25.8"), unit), "high": _quantity(Decimal("134.8"), unit)}
    (fsh,) = _observation(
        fact,
        writing,
        "loinc:15067-2",
        fact.when,
        valueQuantity=_quantity(61 if fact.fsh_within_range else 8, unit),
        referenceRange=[limits | {"text": "postmenopausal"}],
    )
    return [*period, fsh | {"id": f"fsh-{fact.key}"}]


def _allergy(fact: Allergy, writing: Writing) -> list[Resource]:
    verification = {Void.ENTERED_IN_ERROR: "entered-in-error", Void.NEVER_HAPPENED: "refuted"}
    status = verification.get(fact.void, "confirmed") if fact.void else "confirmed"
    text = fact.substance if fact.plainly else f"reacted to {fact.substance} or something else"
    return [
        {
            "resourceType": "AllergyIntolerance",
            "id": f"allergy-{fact.key}",
            "patient": _subject(fact),
            "code": {"text": text},
            "verificationStatus": {
                "coding": [{"system": f"{_TERMINOLOGY}/allergyintolerance-verification", "code": status}]
            },
        }
    ]


_GRADE = "http://hl7.org/fhir/us/ctcae/StructureDefinition/ctcae-grade"
_GRADES = "http://hl7.org/fhir/us/ctcae/CodeSystem/ctcae-grade-code-system"


def _toxicity(fact: Toxicity, writing: Writing) -> list[Resource]:
    resource: Resource = {
        "resourceType": "AdverseEvent",
        "id": f"event-{fact.key}",
        "actuality": "potential" if fact.void is Void.NEVER_HAPPENED else "actual",
        "subject": _subject(fact),
        "event": {"text": fact.event},
        "date": fact.when.text,
    }
    if fact.of_a_treatment:
        resource["suspectEntity"] = [{"instance": {"reference": "MedicationAdministration/earlier"}}]
    if fact.grade is not None:
        grade = {"coding": [{"system": _GRADES, "code": str(fact.grade)}]}
        resource["extension"] = [{"url": _GRADE, "valueCodeableConcept": grade}]
    if fact.resolved is not None:
        outcome = "resolved" if fact.resolved else "ongoing"
        resource["outcome"] = {"coding": [{"system": f"{_TERMINOLOGY}/adverse-event-outcome", "code": outcome}]}
    return [resource]


def _participation(fact: TrialParticipation, writing: Writing) -> list[Resource]:
    period = {"start": fact.start.text} | ({"end": fact.end.text} if fact.end else {})
    study = {"reference": "ResearchStudy/other"} | ({"display": "Observational registry"} if fact.registry else {})
    return [
        {
            "resourceType": "ResearchSubject",
            "id": f"subject-{fact.key}",
            "status": fact.status,
            "individual": _subject(fact),
            "study": study,
            "period": period,
        }
    ]


def _metastases(fact: Metastases, writing: Writing) -> list[Resource]:
    clinical, pathological = ("loinc:21907-1", "sct:1229903009"), ("loinc:21901-4", "sct:1229916009")
    if not fact.present:
        return _observation(fact, writing, "loinc:21907-1", fact.when, valueCodeableConcept=codeable("sct:1229901006"))
    code, value = writing.choice("codes", fact.key, (clinical, pathological))
    return _observation(fact, writing, code, fact.when, valueCodeableConcept=codeable(value))


_RESPONSES = {"worsened": "sct:271299001", "stable": "sct:359746009", "improved": "sct:268910001"}


def _disease_status(fact: DiseaseStatus, writing: Writing) -> list[Resource]:
    code = writing.choice("codes", fact.key, ("loinc:97509-4", "loinc:88040-1"))
    return _observation(fact, writing, code, fact.when, valueCodeableConcept=codeable(_RESPONSES[fact.status]))


def _liver_finding(fact: LiverFinding, writing: Writing) -> list[Resource]:
    """A part of the Child-Pugh score: a laboratory's value in either unit, or points."""
    if fact.part in (Part.ASCITES, Part.ENCEPHALOPATHY):
        return _observation(
            fact, writing, f"here:child-pugh-{fact.part.name.lower()}", fact.when, valueInteger=int(fact.value)
        )
    code, unit, factor = writing.choice("units", fact.key, _LABORATORY[fact.part])
    return _observation(fact, writing, code, fact.when, valueQuantity=_quantity(fact.value * factor, unit))


_LABORATORY = {
    Part.BILIRUBIN: (("loinc:1975-2", "mg/dL", Decimal(1)), ("loinc:14631-6", "umol/L", Decimal("17.1"))),
    Part.ALBUMIN: (("loinc:1751-7", "g/dL", Decimal(1)), ("loinc:1751-7", "g/L", Decimal(10))),
    Part.INR: (("loinc:6301-6", "{INR}", Decimal(1)), ("loinc:34714-6", "1", Decimal(1))),
}


def _child_pugh(fact: ChildPugh, writing: Writing) -> list[Resource]:
    values: list[Resource] = [
        {"valueInteger": fact.score},
        {"valueQuantity": _quantity(fact.score, "{score}")},
    ]
    return _observation(fact, writing, "loinc:98153-0", fact.when, **writing.choice("elements", fact.key, values))


def _liver_remnant(fact: LiverRemnant, writing: Writing) -> list[Resource]:
    unit = writing.choice("units", fact.key, ("%", "1"))
    value = fact.percent * (Decimal("0.01") if unit == "1" and fact.unit_said else 1)
    quantity = _quantity(value, unit if fact.unit_said else None)
    return _observation(fact, writing, "here:future-liver-remnant", fact.when, valueQuantity=quantity)


_YES_OR_NO = "http://terminology.hl7.org/CodeSystem/v2-0136"
_ANSWERS: dict[bool | None, Resource] = {
    True: {"system": _YES_OR_NO, "code": "Y"},
    False: {"system": _YES_OR_NO, "code": "N"},
    None: {"system": f"{_TERMINOLOGY}/data-absent-reason", "code": "asked-unknown"},
}


def _attestation(fact: Attestation, writing: Writing) -> list[Resource]:
    items = [{"linkId": id_, "answer": [{"valueCoding": _ANSWERS[holds]}]} for id_, holds in fact.answers]
    groups = [{"linkId": "inclusion", "item": items[:2]}, {"linkId": "exclusion", "item": items[2:]}]
    form = writing.choice("elements", fact.key, (items, [group for group in groups if group["item"]]))
    status = "in-progress" if fact.void is Void.NEVER_HAPPENED else "completed"
    return [
        {
            "resourceType": "QuestionnaireResponse",
            "id": f"response-{fact.key}",
            "questionnaire": f"https://trial-match.example/fhir/Questionnaire/{fact.trial}",
            "status": "entered-in-error" if fact.void is Void.ENTERED_IN_ERROR else status,
            "subject": _subject(fact),
            "authored": fact.when.text,
            "author": {"reference": "Practitioner/doctor"},
            "item": form,
        }
    ]


_RENDERERS: dict[type[Fact], Callable[[Any, Writing], list[Resource]]] = {
    Person: _person,
    Diagnosis: _diagnosis,
    Operation: _operation,
    Vaccination: _vaccination,
    Drug: _drug,
    Ecog: _ecog,
    Karnofsky: _karnofsky,
    TumourSize: _tumour_size,
    Nodes: _nodes,
    FigoStage: _figo_stage,
    HivTest: _hiv_test,
    Pathology: _pathology,
    HepatitisBSurfaceAntigen: _surface_antigen,
    HepatitisBDna: _hepatitis_b_dna,
    PregnancyTest: _pregnancy_test,
    PregnancyStatus: _pregnancy_status,
    Menopause: _menopause,
    Allergy: _allergy,
    Toxicity: _toxicity,
    TrialParticipation: _participation,
    Metastases: _metastases,
    DiseaseStatus: _disease_status,
    LiverFinding: _liver_finding,
    ChildPugh: _child_pugh,
    LiverRemnant: _liver_remnant,
    Attestation: _attestation,
}
