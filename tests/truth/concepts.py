"""What facts may be about: concepts, each with the codes that say the same of a chart, and what follows from it.

The codes are those of the protocols' code table, where each has its source. A concept's codes are synonyms as far as
the criteria go; where a drug has none, its names are (``name:AK104``). What the table marks as unverified stands in
concepts with a tag of its own, for it is never decided on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SYSTEMS = {
    "sct": "http://snomed.info/sct",
    "icd": "http://hl7.org/fhir/sid/icd-10-cm",
    "loinc": "http://loinc.org",
    "rx": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "atc": "http://www.whocc.no/atc",
    "cvx": "http://hl7.org/fhir/sid/cvx",
    "cpt": "http://www.ama-assn.org/go/cpt",
    "ncit": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
}


@dataclass(frozen=True, slots=True)
class Concept:
    """A meaning: its name, its codes (``sct:254886006``), and its tags, by which criteria know it."""

    name: str
    codes: tuple[str, ...]
    tags: frozenset[str]

    def __contains__(self, tag: str) -> bool:
        return tag in self.tags


def coding(code: str) -> dict[str, str]:
    """A FHIR Coding of a code such as ``sct:254886006``."""
    system, _, value = code.partition(":")
    return {"system": SYSTEMS[system], "code": value}


def codeable(code: str) -> dict[str, Any]:
    """A FHIR CodeableConcept of a code, or of a name alone (``name:AK104``)."""
    system, _, value = code.partition(":")
    return {"text": value} if system == "name" else {"coding": [coding(code)]}


def _concept(name: str, codes: str, tags: str) -> Concept:
    return Concept(name, tuple(codes.split()), frozenset(tags.split()))


def _table(rows: str) -> tuple[Concept, ...]:
    """Concepts of lines ``name | codes | tags``."""
    return tuple(
        _concept(*(part.strip() for part in row.split("|"))) for row in rows.strip().splitlines() if row.strip()
    )


DIAGNOSES = _table(
    """
    squamous cell carcinoma of cervix | sct:254886006 | cervix histology
    adenocarcinoma of cervix | sct:254887002 sct:123842006 | cervix histology
    adenosquamous carcinoma of cervix | sct:254888007 | cervix histology
    neuroendocrine carcinoma of cervix | sct:722683006 sct:773775004 | cervix histology
    malignant tumour of cervix | icd:C53.9 icd:C53.1 sct:363354003 sct:372024009 | cervix
    carcinoma in situ of cervix | icd:D06.9 | cervix-in-situ
    malignant neoplasm of breast | icd:C50.911 sct:254837009 | other-malignancy
    basal cell carcinoma of skin | icd:C44.91 sct:254701007 | other-malignancy exception
    squamous cell carcinoma of skin | icd:C44.92 sct:254651007 | other-malignancy exception
    malignant neoplastic disease | sct:363346000 | unstated-malignancy
    metastasis in liver | sct:94381002 icd:C78.7 | distant-metastasis
    metastasis in bone | sct:94222008 icd:C79.51 | distant-metastasis
    metastasis in pelvic lymph nodes | icd:C77.5 sct:94350006 | node-metastasis pelvic
    metastasis in abdominal lymph nodes | icd:C77.2 sct:94519005 | node-metastasis
    viral sinusitis | sct:444814009 | irrelevant
    HIV infection | icd:B20 sct:86406008 icd:Z21 sct:165816005 | hiv
    kidney transplant status | icd:Z94.0 | allogeneic
    liver transplant status | icd:Z94.4 | allogeneic
    heart transplant status | icd:Z94.1 | allogeneic
    stem cells transplant status | icd:Z94.84 icd:Z94.81 | auto-or-allo
    corneal transplant status | icd:Z94.7 | cornea
    """
)

PROCEDURES = _table(
    """
    transplantation of liver | sct:18027006 | allogeneic
    transplant of kidney | sct:70536003 | allogeneic
    allogeneic bone marrow transplantation | sct:58390007 | allogeneic
    stem cell transplant | sct:234336002 | auto-or-allo
    corneal transplant | sct:60656008 | cornea
    platelet transfusion | sct:12719002 | transfusion
    transfusion of packed red cells | sct:71493000 | transfusion
    transfusion of blood or components | cpt:36430 | transfusion-of-something
    transfusion by an unverified code | sct:116859006 sct:116863004 | transfusion-of-something
    """
)

VACCINES = _table(
    """
    measles, mumps and rubella | cvx:03 | live
    varicella | cvx:21 | live
    yellow fever | cvx:37 cvx:183 cvx:184 | live
    live intranasal influenza | cvx:111 cvx:149 cvx:151 | live
    rotavirus | cvx:116 cvx:119 cvx:122 | live
    influenza, not said which | cvx:88 cvx:194 | live-or-not
    zoster, not said which | cvx:188 | live-or-not
    inactivated influenza | cvx:140 cvx:150 cvx:158 cvx:185 | inactivated-influenza
    recombinant zoster | cvx:187 | not-live
    """
)

DRUGS = _table(
    """
    pembrolizumab | rx:1547545 atc:L01FF02 | checkpoint anti-tumour
    nivolumab | rx:1597876 atc:L01FF01 | checkpoint anti-tumour
    durvalumab | rx:1919503 atc:L01FF03 | checkpoint anti-tumour pd-l1
    atezolizumab | rx:1792776 atc:L01FF05 | checkpoint anti-tumour pd-l1
    ipilimumab | rx:1094833 atc:L01FX04 | checkpoint anti-tumour
    cadonilimab | name:Cadonilimab name:AK104 name:cadunilumab | checkpoint anti-tumour bispecific
    sintilimab | name:Sintilimab | checkpoint anti-tumour
    utomilumab | name:Utomilumab | costimulating anti-tumour
    paracetamol | rx:313782 | irrelevant
    """
)


def tagged(concepts: tuple[Concept, ...], *tags: str) -> tuple[Concept, ...]:
    """The concepts that carry any of the tags."""
    return tuple(concept for concept in concepts if any(tag in concept for tag in tags))
