"""What looks wrong in a registry record, each with its place: what software can see without understanding medicine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Final

from cds.authoring.criteria_text import CriteriaText, CriterionText
from cds.authoring.phrases import window
from cds.authoring.registry_record import Outcome, Place, Record, Text

_DISEASE = re.compile(
    r"cancer|carcinom|tumou?r|neoplas|malignan|lymphom|leuk[a]?emi|melanom|sarcom|myelom|gliom|blastom|mesotheliom"
    r"|metasta|disease|disorder|syndrome|failure|infection|cirrhosis|diabetes|\bNSCLC\b|\bSCLC\b|\bHCC\b|\bAML\b|\bCLL\b"
    r"|\w{3,}(?:oma|itis|osis|emia|aemia|pathy|plegia|algia|trophy|penia|plasia)s?\b",
    re.IGNORECASE,
)
_DISEASE_PHRASE = re.compile(
    r"(?:\b(?:of|for|in|with|to|treating)\s+|^)(?P<disease>(?:(?!(?:of|for|in|with|to|treating)\s)[\w/±().-]+\s+){0,7}?[\w-]*(?:cancer|carcinoma|tumou?rs?"
    r"|lymphoma|leuk[a]?emia|melanoma|sarcoma|myeloma|glioma|blastoma|mesothelioma|neoplasms?)s?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RecordFinding:
    """Something that looks wrong: a rule's name, its place, words; `about` is the criterion that it concerns.

    `shown`: it is worth a line on a card (an erratum), not for the author alone.
    """

    rule: str
    place: Place
    text: str
    about: str | None = None
    shown: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}: {self.text}"


def names_disease(text: str) -> bool:
    """Whether a condition of the record is the name of a disease (`PD1` and `Immunotherapy` are none)."""
    return _DISEASE.search(text) is not None


def find_disease(record: Record) -> str:
    """The record's disease in its own words: its conditions, else a phrase of the title or summary, else the title."""
    conditions = [one.value for one in record.conditions if names_disease(one.value)]
    if conditions:
        return "; ".join(conditions)
    for text in record.texts:
        if found := _DISEASE_PHRASE.search(text.value):
            return found["disease"]
    return record.title.value


@dataclass(frozen=True, slots=True)
class _Read:
    """A record as the checks see it: with its criteria, and the names of drugs that are known from elsewhere."""

    record: Record
    criteria: CriteriaText
    known: frozenset[str]

    def place_of(self, one: CriterionText, line: int | None = None) -> Place:
        """Where a criterion (or a `line` of the list) stands."""
        list_ = self.record.eligibility
        if list_ is None or one.id[0] not in "IE":
            return Place(self.record.title.place.file, one.id)
        return self.place_in_list(one.line if line is None else line, f"{one.kind} {one.number or one.id}")

    def place_in_list(self, line: int, field: str) -> Place:
        assert self.record.eligibility is not None
        place = self.record.eligibility.place
        if self.record.form == "text" and place.line is not None:
            return replace(place, field=field, line=place.line + line - 1)
        return replace(place, field=f"{place.field}, line {line}: {field}")

    @property
    def fields(self) -> Iterator[tuple[str, Text]]:
        """The texts that say what is done: prose, interventions, arms; each with the name of its field."""
        for text in self.record.texts:
            yield text.place.field, text
        for one in self.record.interventions:
            if one.description:
                yield "interventions", Text(f"{one.name}: {one.description}", one.place)
        for arm in self.record.arms:
            if arm.description:
                yield "arms", Text(arm.description, arm.place)

    @property
    def listed(self) -> str:
        """What the record lists as given or done."""
        record = self.record
        names = [f"{one.name} {' '.join(one.other_names)} {one.description or ''}" for one in record.interventions]
        names += [f"{arm.label} {arm.description or ''} {' '.join(arm.interventions)}" for arm in record.arms]
        return " ".join(names)


def record_findings(
    record: Record, criteria: CriteriaText, known_drugs: Iterable[str] = ()
) -> tuple[RecordFinding, ...]:
    """All that looks wrong in a record and its list of criteria, in the order of the checks.

    `known_drugs` are names of drugs (lower case) that a misspelt one may be held against, beside the record's own.
    """
    read = _Read(record, criteria, frozenset(known_drugs))
    found = [finding for check in CHECKS for finding in check(read)]
    return tuple(dict.fromkeys(found))


# ------------------------------------------------------------------------------------------------- what is not there


def _absent(read: _Read) -> Iterator[RecordFinding]:
    record = read.record
    file = record.title.place.file
    if record.eligibility is None or not any(one.id[0] in "IE" for one in read.criteria.criteria):
        yield RecordFinding(
            "no-eligibility-list",
            Place(file, "eligibility"),
            "The record came without its eligibility list: the full list is with the site.",
        )
    elif len(kinds := {one.kind for one in read.criteria.criteria if one.id[0] in "IE"}) == 1:
        (kind,) = kinds
        other = "exclusion" if kind == "inclusion" else "inclusion"
        words = f"the list has {kind} criteria alone: is it cut off before the {other} criteria?"
        yield RecordFinding("half-a-list", record.eligibility.place, words)
    missing = [
        name
        for name, value in (
            ("registry number", record.nct),
            ("recruitment status", record.status),
            ("phase", record.phases or any(re.search(r"\bphase [I1-4]", one.value, re.I) for one in record.texts)),
            ("sponsor", record.sponsor),
            ("sites", record.sites),
        )
        if not value
    ]
    if missing:
        text = f"not in the record, and not made up: {', '.join(missing)}"
        yield RecordFinding("not-in-record", Place(file, "record"), text, shown=False)


def _conditions(read: _Read) -> Iterator[RecordFinding]:
    listed = read.listed.lower()
    for one in read.record.conditions:
        if names_disease(one.value):
            continue
        words = re.findall(r"[a-z]{4,}", one.value.lower())
        if words and sum(word in listed for word in words) * 2 >= len(words):
            text = f"the condition “{one.value}” names what is given, no disease"
        else:
            text = f"the condition “{one.value}” is no name of a disease: kept as a keyword"
        yield RecordFinding("condition", one.place, text)


def _time_frames(read: _Read) -> Iterator[RecordFinding]:
    for one in read.record.outcomes:
        if one.time_frame is None:
            text = f"the {one.kind} outcome “{one.measure}” has no time frame"
            yield RecordFinding("no-time-frame", one.place, text)


#: Endpoints by the words and the letters that name them.
_ENDPOINTS: Final = {
    "adverse events": r"adverse events?|\bAEs?\b|safety|toxicit",
    "objective response rate": r"objective (?:response|remission)|overall response rate|\bORR\b",
    "disease control rate": r"disease control|\bDCR\b",
    "duration of response": r"duration of (?:response|remission)|\bDo?R\b|\bDOR\b",
    "time to response": r"time to (?:response|remission)|\bTTR\b",
    "progression-free survival": r"progression[- ]free|\bm?PFS\b",
    "overall survival": r"overall survival|\bm?OS\b",
    "quality of life": r"quality of life|\bQo?L\b",
}
_LISTS_OUTCOMES = re.compile(
    r"(?:primary|secondary) (?:outcomes?|end-?points?)(?: measures?)?(?: (?:included?|includes|are|is|were|was))?\s*:"
    r"(?P<list>[^.]+)",
    re.IGNORECASE,
)


def _outcomes_in_text(read: _Read) -> Iterator[RecordFinding]:
    """Outcomes that the prose lists and the outcome fields leave out; a safety aim without a safety outcome."""
    if not read.record.outcomes:
        return
    fields = " | ".join(one.verbatim for one in read.record.outcomes)
    for text in read.record.texts:
        for found in _LISTS_OUTCOMES.finditer(text.value):
            left_out = [
                name
                for name, pattern in _ENDPOINTS.items()
                if re.search(pattern, found["list"]) and not re.search(pattern, fields, re.IGNORECASE)
            ]
            if left_out:
                words = f"listed as outcomes in the text, absent from the outcome fields: {', '.join(left_out)}"
                yield RecordFinding("outcome-in-text-only", _at(text, found.start()), words)
    safety = _ENDPOINTS["adverse events"]
    for text in read.record.texts:
        aim = re.search(r"\bsafety\b", text.value, re.IGNORECASE)
        if aim and not re.search(rf"{safety}|tolera", fields, re.IGNORECASE):
            yield RecordFinding(
                "no-safety-outcome", _at(text, aim.start()), "safety is an aim, but no outcome measures it"
            )
            return


_RESPONSE = re.compile(
    r"\b(?:objective response|complete response|partial response|progression|disease control)", re.IGNORECASE
)


def _standards(read: _Read) -> Iterator[RecordFinding]:
    """Standards of assessment: none where response or toxicity is measured, several, or one that is garbled."""
    record = read.record
    texts = [*record.texts, *(Text(one.verbatim, one.place) for one in record.outcomes)]
    everything = "\n".join(one.value for one in texts)
    if not record.outcomes:
        return
    place = record.outcomes[0].place
    if _RESPONSE.search(everything) and not re.search(
        r"RECIST|Lugano|iwCLL|RANO|IMWG|\bWHO criteria|Cheson", everything
    ):
        yield RecordFinding(
            "no-standard", place, "response is measured, but no standard for it (such as RECIST) is named"
        )
    if re.search(r"adverse event|toxicit", everything, re.IGNORECASE) and not re.search(r"CTCAE|CTC-AE", everything):
        yield RecordFinding("no-standard", place, "adverse events are assessed, but no scale (such as CTCAE) is named")
    if re.search(r"\bmRECIST\b", everything) and re.search(r"(?<!m)(?<!i)RECIST", everything):
        text = "both mRECIST and RECIST are named: which one decides an outcome has to be said for each"
        yield RecordFinding("two-standards", place, text)
    for one in texts:
        for found in re.finditer(r"RECIST\s*v\s*[il][\s.]*[Il]\b", one.value):
            text = f"“{found[0]}” is no version of RECIST (v1.1 is written so)"
            yield RecordFinding("garbled-standard", _at(one, found.start()), text)


def _ordinals(read: _Read) -> Iterator[RecordFinding]:
    for text in read.record.texts:
        for found in re.finditer(r"\b(\d+)(st|nd|rd|th)\b", text.value):
            number = int(found[1])
            right = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
            if found[2] != right:
                yield RecordFinding("spelling", _at(text, found.start()), f"“{found[0]}” is written {number}{right}")


# --------------------------------------------------------------------------------------------------- drugs and doses

#: Words that are names of drugs by their stems (WHO's INN stems).
_DRUG = re.compile(
    r"\b[A-Za-z]{2,}(?:mab|[tc]inib|[a-z]nib|platin|taxel|rubicin|tecan|citabine|trexed|ciclib|parib|rafenib|zomib|limus"
    r"|grastim|poetin|leucel|lutamide|relix|relin|trozole|degib|clax|fosfamide|phosphamide)\b"
    r"(?:\s+(?:vedotin|deruxtecan|govitecan|emtansine|tesirine|mafodotin|soravtansine))?",
    re.IGNORECASE,
)
_EARLIER = re.compile(
    r"\b(?:prior|previous\w*|earlier|history|received|fail\w*|resist\w+|treated with|refractory|KEYNOTE\S*|such as"
    r"|including|e\.g\.)",
    re.IGNORECASE,
)
_DOSE = re.compile(
    r"\b(?P<drug>[A-Za-z][A-Za-z-]{2,})\s*(?:of|at|is|:|,|\()?\s*\(?(?P<n>\d+(?:\.\d+)?)\s*"
    r"(?P<unit>mg/kg|mg/m2|mg/m²|mg|ug|µg|μg|mcg|IU|MBq)\b",
    re.IGNORECASE,
)
_NO_DRUG: Final = frozenset(
    ("dose", "doses", "dosage", "than", "least", "most", "about", "the", "with", "and", "total", "equivalent", "exceed")
)
_TREATMENTS: Final = {
    "chemotherapy": r"\bchemotherap\w+|\bchemoradiotherap\w+",
    "radiotherapy": r"\bradiotherap\w+|\bchemoradiotherap\w+|radiation therapy",
    "surgery": r"\bsurg(?:ery|ical)\b",
    "TACE": r"\bTACE\b",
    "HAIC": r"\bHAIC\b",
}
_GIVES = re.compile(
    r"\b(?:combin\w+|with or without|plus|receiv\w+|undergo\w*|proceed\w*|continue\w*|followed by|±)|±", re.IGNORECASE
)
#: How much a name has to be like one of this trial, or like one known from elsewhere, to be taken for its misspelling.
_ALIKE, _VERY_ALIKE = 0.66, 0.8


def _drugs(text: str) -> list[str]:
    return [" ".join(found[0].split()) for found in _DRUG.finditer(text)]


def _own_drugs(read: _Read) -> dict[str, str]:
    """The drugs of the trial, lower case and as written: those that it lists, and that its titles name."""
    record = read.record
    titles = " ".join(one.value for one in (record.title, record.official_title) if one)
    named = _drugs(f"{read.listed} {titles}")
    if not named and record.summary:
        named = _drugs(record.summary.value)[:1]
    return {one.lower(): one for one in named}


def _foreign_drugs(read: _Read) -> Iterator[RecordFinding]:
    """Drugs that no arm has: misspelt, of another protocol, or earlier treatment (which may be meant)."""
    own = _own_drugs(read)
    for text, about in _drug_texts(read):
        earlier: list[str] = []
        seen: set[str] = set()
        for found in _DRUG.finditer(text.value):
            drug = " ".join(found[0].split())
            if drug.lower() in own or drug.lower() in seen:
                continue
            seen.add(drug.lower())
            place = _at(text, found.start())
            before = text.value[max(0, found.start() - 120) : found.start()]
            meant = None
            if drug.lower() not in read.known:
                meant = _alike(drug, own.values(), _ALIKE) or _alike(drug, read.known, _VERY_ALIKE)
            if meant:
                words = f"“{drug}” is named nowhere else: perhaps {meant}"
                yield RecordFinding("drug-name", place, words, about)
            elif _EARLIER.search(before):
                earlier.append(drug)
            else:
                words = f"“{drug}” belongs to no arm and no intervention of this trial"
                yield RecordFinding("foreign-drug", place, words, about)
        if earlier:
            words = f"named, and given in no arm (earlier treatment, or background?): {', '.join(earlier)}"
            yield RecordFinding("other-drug", text.place, words, about, shown=False)


def _drug_texts(read: _Read) -> Iterator[tuple[Text, str | None]]:
    for text in read.record.texts:
        yield text, None
    for outcome in read.record.outcomes:
        yield Text(outcome.verbatim, outcome.place), None
    for one in read.criteria.criteria:
        yield Text(one.text, read.place_of(one)), one.id
        for note in one.notes:
            yield Text(note.text, read.place_of(one, note.line)), one.id


def _alike(drug: str, names: Iterable[str], least: float) -> str | None:
    """The name that a drug is probably a misspelling of."""
    scored = ((SequenceMatcher(None, drug.lower(), name.lower()).ratio(), name) for name in names if " " not in name)
    best = max(((score, name) for score, name in scored if drug[0].lower() == name[0].lower()), default=None)
    return best[1] if best and best[0] >= least else None


def _interventions(read: _Read) -> Iterator[RecordFinding]:
    """What the text gives and the interventions leave out, or run together."""
    record = read.record
    if not record.interventions:
        yield RecordFinding(
            "no-interventions", Place(record.title.place.file, "interventions"), "no intervention is listed"
        )
        return
    place = record.interventions[0].place
    listed = read.listed.lower()
    head = " ".join(one.value for one in (record.title, record.official_title, record.summary) if one)
    counted = Counter(drug.lower() for drug in _drugs(head))
    for drug, _ in counted.most_common(3):
        background = _EARLIER.search(head[: head.lower().index(drug)][-60:])
        if drug not in listed and not background and not _alike(drug, _drugs(read.listed), _ALIKE) and " " not in drug:
            yield RecordFinding(
                "intervention-missing", place, f"the interventions do not list {drug}, which the text studies"
            )
    for name, pattern in _TREATMENTS.items():
        for text in record.texts:
            found = re.search(pattern, text.value, re.IGNORECASE)
            if found and not re.search(pattern, read.listed, re.IGNORECASE) and _gives(text.value, found.start()):
                words = f"{name} belongs to the treatment in the text, and is not among the interventions"
                yield RecordFinding("intervention-missing", _at(text, found.start()), words)
                break
    for one in record.interventions:
        names = _drugs(one.name)
        if len(names) > 1 and not re.search(r"[+,/&;]|\b(?:and|plus|with|or|combined)\b", one.name):
            words = f"“{one.name}” names {len(names)} drugs as one intervention"
            yield RecordFinding("fused-interventions", one.place, words)
    if record.title and len(record.interventions) > 1:
        yield from _not_in_title(read)


def _gives(text: str, at: int) -> bool:
    around = text[max(0, at - 80) : at]
    return _GIVES.search(around) is not None and not re.search(
        r"\b(?:failed|previous\w*|prior)\b", around, re.IGNORECASE
    )


def _not_in_title(read: _Read) -> Iterator[RecordFinding]:
    """An intervention that the title leaves out while it names the others."""
    title = read.record.title
    drugs = [one for one in read.record.interventions if one.type in ("DRUG", "BIOLOGICAL")]
    named = [one for one in drugs if one.name.lower() in title.value.lower()]
    if len(named) > 1 or (named and len(named) == len(drugs) - 1):
        for one in drugs:
            short = "".join(word[0] for word in re.findall(r"[A-Z][a-z]+", one.name))
            if one not in named and not (len(short) > 1 and short in title.value.replace("-", "")):
                yield RecordFinding(
                    "title", title.place, f"{one.name} is an intervention, and not in the title", shown=False
                )


def _doses(read: _Read) -> Iterator[RecordFinding]:
    """Doses of one drug that differ between fields."""
    told: dict[tuple[str, str], dict[str, tuple[set[str], Place]]] = {}
    for field, text in read.fields:
        for found in _DOSE.finditer(text.value):
            drug = found["drug"].lower()
            if drug in _NO_DRUG:
                continue
            key = drug, found["unit"].lower().replace("μ", "u").replace("µ", "u").replace("mcg", "ug")
            doses, _ = told.setdefault(key, {}).setdefault(field.rpartition(".")[2], (set(), _at(text, found.start())))
            doses.add(found["n"])
    for (drug, unit), fields in told.items():
        names = list(fields)
        for index, field in enumerate(names[1:], 1):
            doses, place = fields[field]
            for other in names[:index]:
                if not doses & fields[other][0]:
                    here, there = ", ".join(sorted(doses)), ", ".join(sorted(fields[other][0]))
                    words = f"{drug}: {there} {unit} in the {other}, {here} {unit} in the {field}. Unresolved"
                    yield RecordFinding("contradicting-doses", place, words)


# ------------------------------------------------------------------------------------------------------ form and text


def _parentheses(read: _Read) -> Iterator[RecordFinding]:
    texts: list[tuple[str, Text, str | None]] = [(text.place.field, text, None) for text in read.record.texts]
    for outcome in read.record.outcomes:
        texts.append((f"outcome “{outcome.measure}”", Text(outcome.verbatim, outcome.place), None))
    for one in read.criteria.criteria:
        texts.append((one.id, Text(one.text, read.place_of(one)), one.id))
    for name, text, about in texts:
        wrong = _unbalanced(text.value)
        if wrong:
            yield RecordFinding("parentheses", text.place, f"a bracket of the {name} {wrong}", about)


def _unbalanced(text: str) -> str | None:
    """What is wrong with the brackets of a text; those of list markers (``a)``) have no partner."""
    depth = 0
    for sign in re.sub(r"(?:^|(?<=\s))(?:\d{1,2}|[a-zA-Z]|[ivx]{2,4})[)）]", "", text):
        if sign in "(（":
            depth += 1
        elif sign in ")）":
            depth -= 1
            if depth < 0:
                return "is closed and never opened"
    return "is not closed" if depth else None


def _numbering(read: _Read) -> Iterator[RecordFinding]:
    """What is odd about the list itself, each at its line."""
    owners = {}
    for one in read.criteria.criteria:
        owners[f"{one.kind} {one.number or one.id}"] = one.id
        for note in one.notes:
            owners.setdefault(f"{one.kind} {note.number}", one.id)
    for odd in read.criteria.oddities:
        place = read.place_in_list(odd.line, odd.about)
        yield RecordFinding(odd.rule, place, odd.text, owners.get(odd.about))
    for one in read.criteria.criteria:
        inside = re.search(r"(?<=\S)\s*\bNote\s*[:：]", one.text)
        if inside and inside.start() > 0:
            yield RecordFinding("note", read.place_of(one), "a note stands inside the criterion", one.id, shown=False)


def _windows_of_notes(read: _Read) -> Iterator[RecordFinding]:
    """A criterion and its note that look back differently far."""
    for one in read.criteria.criteria:
        own = window(one.text)
        for note in one.notes:
            other = window(note.text)
            if own and other and own[0] != other[0]:
                here, there = (found[0].rpartition(" - ")[2] for found in (own, other))
                words = f"{here} in the criterion, {there} in its note {note.number or ''}".rstrip()
                yield RecordFinding("contradicting-windows", read.place_of(one, note.line), words, one.id)


def _sexes(read: _Read) -> Iterator[RecordFinding]:
    """A pronoun of the other sex in a trial of one."""
    inclusions = " ".join(one.text for one in read.criteria.of("inclusion"))
    women_alone = read.record.sex == "FEMALE" or re.match(r".*?(^|[\s.;])Female patients", inclusions) is not None
    for one in read.criteria.criteria:
        if women_alone and (found := re.search(r"\b(?:he|his|him)\b", one.text)):
            words = f"“{found[0]}” in a trial of women"
            yield RecordFinding("wording", read.place_of(one), words, one.id, shown=False)


def _copied(read: _Read) -> Iterator[RecordFinding]:
    """Paragraphs that stand twice."""
    seen: dict[str, Place] = {}
    for text in read.record.texts:
        for paragraph in re.finditer(r"[^\n]{120,}", text.value):
            words = " ".join(paragraph[0].split())
            place = _at(text, paragraph.start())
            if words in seen:
                told = f"the paragraph “{words[:50]}…” stands in {seen[words]} already"
                yield RecordFinding("copied", place, told, shown=False)
            seen.setdefault(words, place)


def _randomised(read: _Read) -> Iterator[RecordFinding]:
    """Randomisation in an outcome of a trial with a single arm."""
    texts = " ".join(text.value for text in read.record.texts)
    if not re.search(r"single[- ]arm|single[- ]group", texts, re.IGNORECASE):
        return
    for one in read.record.outcomes:
        if re.search(r"randomi[sz]", one.verbatim, re.IGNORECASE):
            words = f"the outcome “{one.measure}” counts from randomisation, and the trial has a single arm"
            yield RecordFinding("randomised", one.place, words)


def _ages(read: _Read) -> Iterator[RecordFinding]:
    """Ages of the list that the registry's own fields contradict."""
    for field, value in (("minimum age", read.record.minimum_age), ("maximum age", read.record.maximum_age)):
        number = re.match(r"\d+", value or "")
        said = [
            one for one in read.criteria.of("inclusion") if one.id[0] == "I" and re.search(r"\bage|years", one.text)
        ]
        about = next((one for one in said if re.search(r"\bage[ds]?\b|years (?:old|of age)", one.text)), None)
        if number and about and number[0] not in re.findall(r"\d+", about.text):
            words = f"the {field} of the registry is {value}; the criterion says otherwise"
            yield RecordFinding("contradicting-age", read.place_of(about), words, about.id)


def _full_width(read: _Read) -> Iterator[RecordFinding]:
    """Full-width punctuation in an English text: a sign of translation, kept as it is."""
    places = [
        text.place.field
        for text in (*read.record.texts, *(Text(one.verbatim, one.place) for one in read.record.outcomes))
        if re.search(r"[，：；（）。]", text.value)
    ]
    if places:
        place = Place(read.record.title.place.file, "record")
        words = f"full-width signs, kept as they are, in: {', '.join(dict.fromkeys(places))}"
        yield RecordFinding("full-width", place, words, shown=False)


def _at(text: Text, offset: int) -> Place:
    """The place of an offset in a text that has lines."""
    if text.place.line is None or not text.place.file.endswith(".txt"):
        return text.place
    return replace(text.place, line=text.place.line + text.value.count("\n", 0, offset))


CHECKS: tuple[Callable[[_Read], Iterable[RecordFinding]], ...] = (
    _absent,
    _conditions,
    _interventions,
    _doses,
    _foreign_drugs,
    _numbering,
    _windows_of_notes,
    _ages,
    _sexes,
    _parentheses,
    _time_frames,
    _outcomes_in_text,
    _standards,
    _randomised,
    _copied,
    _ordinals,
    _full_width,
)

__all__ = ["Outcome", "RecordFinding", "find_disease", "names_disease", "record_findings"]
