"""What facts may be about: concepts, each with the codes that say the same of a chart, and what follows from it.

The codes are those of the protocols' code table, where each has its source. A concept's codes are synonyms as far as
the criteria go; where a drug has none, its names are (``name:AK104``). What the table marks as unverified stands in
concepts with a tag of its own, for it is never decided on.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

SYSTEMS = {
    "sct": "http://snomed.info/sct",
    "icd": "http://hl7.org/fhir/sid/icd-10-cm",
    "who": "http://hl7.org/fhir/sid/icd-10",
    "oid": "urn:oid:2.16.840.1.113883.6.90",
    "loinc": "http://loinc.org",
    "rx": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "atc": "http://www.whocc.no/atc",
    "cvx": "http://hl7.org/fhir/sid/cvx",
    "cpt": "http://www.ama-assn.org/go/cpt",
    "here": "https://trial-match.example/fhir/CodeSystem/observation",
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
    return {"text": value.replace("_", " ")} if system == "name" else {"coding": [coding(code)]}


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
    malignant tumour of cervix | icd:C53.9 icd:C53.1 who:C53.9 oid:C53.9 sct:363354003 sct:372024009 | cervix
    carcinoma in situ of cervix | icd:D06.9 oid:D06.9 | cervix-in-situ
    malignant neoplasm of breast | icd:C50.911 who:C50.9 oid:C50.911 sct:254837009 | other-malignancy
    basal cell carcinoma of skin | icd:C44.91 sct:254701007 | other-malignancy exception
    squamous cell carcinoma of skin | icd:C44.92 sct:254651007 | other-malignancy exception
    malignant neoplastic disease | sct:363346000 | unstated-malignancy
    metastasis in liver | sct:94381002 icd:C78.7 oid:C78.7 | distant-metastasis
    metastasis in bone | sct:94222008 icd:C79.51 | distant-metastasis
    metastasis in pelvic lymph nodes | icd:C77.5 sct:94350006 | node-metastasis pelvic
    metastasis in abdominal lymph nodes | icd:C77.2 sct:94519005 | node-metastasis
    recurrence of cervical cancer | sct:314970000 | cervix recurrence
    extensive small cell lung cancer | sct:683991000119103 | small-cell extensive other-malignancy
    small cell lung cancer, stage 1 | sct:67811000119102 | small-cell stage-one other-malignancy
    small cell lung cancer, stage 4 | sct:67841000119103 | small-cell other-malignancy
    small cell lung cancer | sct:254632001 sct:15955901000119104 | small-cell other-malignancy
    extensive small cell lung cancer, unverified | ncit:C9049 | small-cell-unverified other-malignancy-unverified
    lung cancer | icd:C34.90 oid:C34.90 icd:C34.10 icd:C34.91 | lung other-malignancy
    non-small cell lung cancer | sct:254637007 | non-small-cell other-malignancy
    hepatocellular carcinoma | icd:C22.0 who:C22.0 oid:C22.0 sct:109841003 | liver other-malignancy
    hepatocellular carcinoma, mixed or fibrolamellar | sct:274902006 sct:253018005 | liver-variant other-malignancy
    primary carcinoma of liver | sct:187769009 sct:93870000 | liver-unstated other-malignancy
    intrahepatic bile duct carcinoma | icd:C22.1 | liver-other other-malignancy
    hepatic encephalopathy | sct:13920009 icd:K76.82 | encephalopathy
    brain metastasis | icd:C79.31 oid:C79.31 sct:94225005 sct:188462001 | brain distant-metastasis
    spinal cord compression | sct:71286001 icd:G95.20 icd:G95.29 | brain
    rheumatoid arthritis | icd:M06.9 oid:M06.9 sct:69896004 | autoimmune
    Crohn's disease | icd:K50.90 sct:34000006 | autoimmune
    systemic lupus erythematosus | icd:M32.9 sct:55464009 | autoimmune
    psoriasis | icd:L40.9 oid:L40.9 | autoimmune-exception
    vitiligo | icd:L80 | autoimmune-exception
    Graves' disease | icd:E05.00 | autoimmune-exception
    autoimmune thyroiditis | icd:E06.3 | autoimmune-exception replaced
    type 1 diabetes | icd:E10.9 | autoimmune-exception replaced
    haemoptysis | sct:66857006 icd:R04.2 | haemoptysis
    pleural effusion | sct:60046008 icd:J90 oid:J90 icd:J91.0 | effusion
    ascites | sct:389026000 icd:R18.8 icd:R18.0 | effusion ascites
    wound | sct:416462003 | wound
    skin ulcer | sct:46742003 | wound
    fracture of bone | sct:125605004 | wound
    acute hepatitis B | icd:B16.9 sct:76795007 | hepatitis-b
    chronic hepatitis B | icd:B18.1 oid:B18.1 sct:61977001 | hepatitis-b
    hepatitis B carrier | sct:235871004 | hepatitis-b-carrier
    pregnancy | icd:Z33.1 oid:Z33.1 icd:Z34.90 icd:O09.90 | pregnant
    breastfeeding | sct:413712001 | breastfeeding
    tubal ligation status | icd:Z98.51 | sterilised
    acquired absence of cervix and uterus | icd:Z90.710 | sterilised
    clinical trial participant | icd:Z00.6 sct:428024001 | trial-participant
    viral sinusitis | sct:444814009 | irrelevant
    HIV infection | icd:B20 oid:B20 sct:86406008 icd:Z21 sct:165816005 | hiv
    kidney transplant status | icd:Z94.0 oid:Z94.0 | allogeneic
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
    radiotherapy | sct:108290001 sct:33195004 sct:1156506007 | anti-tumour-procedure
    brachytherapy | sct:152198000 | anti-tumour-procedure
    chemotherapy | sct:367336001 | anti-tumour-procedure
    chemoradiation | sct:703423002 | anti-tumour-procedure
    radical hysterectomy | sct:116142003 sct:307771009 sct:35955002 cpt:58210 | radical-surgery sterilising
    total hysterectomy | sct:116140006 cpt:58150 | hysterectomy sterilising
    cone biopsy of cervix | sct:54535009 sct:36899001 | cone
    bilateral tubal ligation | sct:287664005 sct:10882000 sct:63626003 | sterilising
    bilateral oophorectomy | sct:76876009 sct:29827000 | sterilising
    oophorectomy, not said which | sct:83152002 | one-sided
    insertion of a central venous catheter | cpt:36556 | central-line
    insertion of a central line by an unverified code | sct:429799005 | central-line-unverified
    surgical procedure | sct:387713003 | surgery
    biopsy | sct:86273004 | biopsy
    transfusion by an unverified code | sct:116859006 | transfusion-of-something
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
    etoposide | rx:4179 atc:L01CB01 rx:1734340 | anti-tumour
    cisplatin | rx:2555 atc:L01XA01 rx:1736854 | platinum anti-tumour
    carboplatin | rx:40048 atc:L01XA02 | platinum anti-tumour
    paclitaxel | rx:56946 atc:L01CD01 rx:583214 | anti-tumour
    lenvatinib | rx:1603296 atc:L01EX08 | anti-tumour
    methotrexate | rx:6851 atc:L01BA01 | other-uses immunosuppressant
    cyclophosphamide | rx:3002 atc:L01AA01 | other-uses immunosuppressant
    thalidomide | rx:10432 atc:L04AX02 | immunosuppressant
    azathioprine | rx:1256 atc:L04AX01 | immunosuppressant
    adalimumab | rx:327361 atc:L04AB04 | immunosuppressant
    mycophenolate | rx:68149 atc:L04AA06 | immunosuppressant
    thymalfasin | atc:L03AX25 | immunomodulator other-uses
    interferon alfa-2b | atc:L03AB05 | immunomodulator other-uses
    aldesleukin | atc:L03AC01 | immunomodulator other-uses
    prednisone | rx:8640 atc:H02AB07 rx:312617 | steroid no-local-form
    prednisolone | rx:8638 atc:H02AB06 | steroid
    methylprednisolone | rx:6902 atc:H02AB04 | steroid
    triamcinolone | rx:10759 atc:H02AB08 | steroid
    hydrocortisone | rx:5492 atc:H02AB09 | steroid
    cortisone | rx:2878 atc:H02AB10 | steroid no-local-form
    dexamethasone | rx:3264 atc:H02AB02 | steroid
    betamethasone | rx:1514 atc:H02AB01 | steroid
    deflazacort | rx:22396 atc:H02AB13 | steroid no-local-form
    lamivudine | rx:68244 atc:J05AF05 | antiviral
    tenofovir disoproxil | rx:300195 atc:J05AF07 | antiviral
    entecavir | atc:J05AF10 | antiviral
    levothyroxine | rx:10582 rx:966222 | replacement
    paracetamol | rx:313782 | irrelevant
    traditional Chinese medicine | name:Traditional_Chinese_medicine_decoction | chinese-medicine
    """
)

#: The doses in mg that equal 5 mg of prednisone, the least and the greatest that tables give; None where no verified
#: source says.
PREDNISONE_5_MG: dict[str, tuple[Decimal, Decimal] | None] = {
    "prednisone": (Decimal(5), Decimal(5)),
    "prednisolone": (Decimal(5), Decimal(5)),
    "methylprednisolone": (Decimal(4), Decimal(4)),
    "triamcinolone": (Decimal(4), Decimal(4)),
    "hydrocortisone": (Decimal(20), Decimal(20)),
    "cortisone": (Decimal(25), Decimal(25)),
    "dexamethasone": (Decimal("0.75"), Decimal("0.75")),
    "betamethasone": (Decimal("0.6"), Decimal("0.75")),
    "deflazacort": None,
}


def named(concepts: tuple[Concept, ...], name: str) -> Concept:
    """The concept of a name."""
    return next(concept for concept in concepts if concept.name == name)


def tagged(concepts: tuple[Concept, ...], *tags: str) -> tuple[Concept, ...]:
    """The concepts that carry any of the tags."""
    return tuple(concept for concept in concepts if any(tag in concept for tag in tags))
