"""A Record -> a DraftTrial: its criteria with their drafts, its disease, and what looks wrong in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any, Final

from cds.authoring.criteria_text import EXCLUSION, INCLUSION, CriteriaText, CriterionText, split_criteria
from cds.authoring.drafting import Draft, draft
from cds.authoring.record_findings import RecordFinding, find_disease, names_disease, record_findings
from cds.authoring.registry_record import Outcome, Record

Json = dict[str, Any]

_PROVEN = re.compile(r"\b(?:diagnos\w+|confirm\w+|histolog\w+|patholog\w+|cytolog\w+)\b", re.IGNORECASE)
_DIAGNOSIS = re.compile(
    r"\b(?:diagnos\w+|confirm\w+|histolog\w+|patholog\w+|cytolog\w+|unresectable|metastatic|advanced|recurrent"
    r"|relapsed|refractory|stage)\b",
    re.IGNORECASE,
)
_COMMON_WORDS: Final = frozenset(
    ("advanced", "locally", "metastatic", "recurrent", "stage", "with", "unresectable", "disease", "primary", "adult",
     "relapsed", "refractory", "extensive", "limited", "high", "risk")
)  # fmt: skip
_ABOUT_AGE = re.compile(r"\b(?:aged?|years? old|years? of age|adults?|years and older)\b", re.IGNORECASE)
_ABOUT_SEX = re.compile(r"\b(?:fe)?males?\b|\b(?:wo)?men\b", re.IGNORECASE)


@dataclass(frozen=True)
class DraftTrial:
    """What is drafted of a record for the trial folder `id`.

    `drafts` holds each criterion with its draft; `today` is the date of what is written, `findings` what looks wrong.
    """

    id: str
    record: Record
    criteria: CriteriaText
    drafts: tuple[tuple[CriterionText, Draft], ...] = field(repr=False)
    findings: tuple[RecordFinding, ...]
    today: str

    @property
    def library_name(self) -> str:
        """The name of its library: a CQL identifier."""
        name = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", self.id) if part)
        return name if name[:1].isalpha() else f"Trial{name}"

    @property
    def incomplete(self) -> bool:
        """Whether the record came without its list of criteria."""
        return not any(one.id[0] in "IE" for one in self.criteria.criteria)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The record as it is kept."""
        return record_files(self.record)

    @cached_property
    def disease(self) -> str | None:
        """The criterion that says whether the trial concerns the patient: the first inclusion about its disease."""
        words = _disease_words(self.record)
        best: tuple[int, str | None] = (0, None)
        for one in self.criteria.of(INCLUSION):
            if one.id == "C1":
                return one.id
            said = set(re.findall(r"[a-z]{4,}", one.text.lower()))
            if not words & said or not _DIAGNOSIS.search(one.text):
                continue
            score = len(words & said) + (3 if _PROVEN.search(one.text) else 0)
            if score > best[0]:
                best = (score, one.id)
        return best[1]


def draft_trial(record: Record, id: str, today: date, known_drugs: Iterable[str] = ()) -> DraftTrial:
    """The draft of a record, for the trial folder `id`."""
    criteria = trial_criteria(record)
    findings = record_findings(record, criteria, known_drugs)
    trial = DraftTrial(id, record, criteria, (), findings, today.isoformat())
    if trial.disease is None:
        trial = replace(trial, findings=(*findings, _no_disease(record)))
    drafts = tuple((one, _disease_draft(one) if one.id == trial.disease else draft(one)) for one in criteria.criteria)
    return replace(trial, drafts=drafts)


def _no_disease(record: Record) -> RecordFinding:
    place = record.eligibility.place if record.eligibility else record.title.place
    text = (
        "no inclusion names the disease: mark one with the extension disease-criterion, else every patient gets a card"
    )
    return RecordFinding("no-disease-criterion", place, text, shown=False)


def _disease_draft(one: CriterionText) -> Draft:
    """A disease needs codes that no pattern can know; the comment says how it is written."""
    made = draft(one)
    comment = (
        "To be written: whether the patient has this disease. Put its codes into a value set in valuesets/, whose\n"
        "expansion cds expand fills, and ask for them, as in\n"
        "  valueset \"Disease codes\": 'https://trial-match.example/fhir/ValueSet/…'\n"
        '  define "Disease": [Condition: "Disease codes"] C where Screening."Confirmed"(C) is not false\n'
        '  define "'
        + one.id
        + '": if exists "Disease" then Screening."Some"("Disease" C return all Screening."Confirmed"(C)) else null\n'
        "No code on record is null, not false: a chart without it decides nothing."
    )
    return Draft(made.title, None, "computable", ("unknown",), comment)


def record_files(record: Record) -> dict[str, bytes]:
    """The record as it is kept: ``record.txt``, and beside it the original where that is JSON or CSV."""
    if record.form == "text":
        return {"record.txt": record.original}
    return {"record.txt": record_text(record).encode(), f"record.{record.form}": record.original}


def record_text(record: Record) -> str:
    """The record in the registry's pipe-separated form, for people and for checks of verbatim texts."""

    def cells(outcomes: Iterable[Outcome]) -> str:
        return "|".join(one.verbatim for one in outcomes)

    lines = [
        record.title.value,
        record.summary.value if record.summary else "",
        "|".join(one.value for one in record.conditions),
        "|".join(f"{one.type}: {one.name}" if one.type else one.name for one in record.interventions),
        cells(one for one in record.outcomes if one.kind == "primary"),
        cells(one for one in record.outcomes if one.kind != "primary"),
        record.description.value if record.description else "",
    ]
    if fields := "\n".join(text for _, text in _registry_fields(record)):
        lines.append(f"\n{fields}")
    if record.eligibility:
        lines.append(f"\n{record.eligibility.value}")
    return "\n".join(lines) + "\n"


def trial_criteria(record: Record) -> CriteriaText:
    """The criteria of a record: its list; what it has no list for (disease, age, sex) from its fields.

    A record without a list gets a criterion ``C1`` for its disease. The registry's own fields for age and sex become
    criteria ``R1``, ``R2`` where the list does not speak of them.
    """
    split = split_criteria(record.eligibility.value) if record.eligibility else CriteriaText((), (), ())
    more: list[CriterionText] = []
    if not split.criteria:
        text = find_disease(record)
        more.append(CriterionText("C1", INCLUSION, None, "", text, 1, text))
    inclusions = " ".join(one.text for one in split.of(INCLUSION))
    number = 0
    for about, text in _registry_fields(record):
        if about.search(inclusions):
            continue
        number += 1
        more.append(CriterionText(f"R{number}", INCLUSION, None, "", text, 1, text))
    return CriteriaText(split.headers, (*split.of(INCLUSION), *more, *split.of(EXCLUSION)), split.oddities)


def _registry_fields(record: Record) -> Iterator[tuple[re.Pattern[str], str]]:
    """The registry's own fields for age and sex as texts, each with what a criterion about the same would say."""
    ages = []
    if record.minimum_age:
        ages.append(f"Minimum age: {record.minimum_age}")
    if record.maximum_age:
        ages.append(f"Maximum age: {record.maximum_age}")
    if record.age_groups and not ages:
        ages.append(f"Age groups: {record.age_groups}")
    if ages:
        yield _ABOUT_AGE, "; ".join(ages)
    if record.sex in ("FEMALE", "MALE"):
        yield _ABOUT_SEX, f"Sex: {record.sex.title()}"


def _disease_words(record: Record) -> set[str]:
    """The words that name the disease of a record, without those that say how far it has gone."""
    texts = [one.value for one in record.conditions if names_disease(one.value)] or [find_disease(record)]
    return {word for text in texts for word in re.findall(r"[a-z]{4,}", text.lower())} - _COMMON_WORDS


def record_artifact(trial: DraftTrial, kind: str) -> Json:
    """The relatedArtifact that names the record, with its hashes."""
    name = next(name for name in reversed(trial.files))
    content = trial.files[name]
    types = {"txt": "text/plain; charset=utf-8", "json": "application/json", "csv": "text/csv; charset=utf-8"}
    return {
        "type": kind,
        "label": "Registry record",
        "display": "The registry record as received" + (", byte for byte" if content == trial.record.original else ""),
        "citation": f"{trial.record.nct or f'Local record {trial.record.name}'}; "
        f"SHA-256 {hashlib.sha256(content).hexdigest()}",
        "document": {
            "contentType": types[name.rpartition(".")[2]],
            "language": "en",
            "url": name,
            "size": len(content),
            "hash": base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode(),
            "title": name,
        },
    }
