"""The phrases that eligibility texts share, and the CQL that asks for each: age, sex, ECOG, windows, laboratory values.

A phrase finder takes a text and its kind (what an inclusion denies it reads as an exclusion) and gives the facts that
the text asks for, each with the part of the text that it explains. Facts are those of the library CommonCriteria.
"""

# ruff: noqa: E501 -- a pattern is read as one line

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cds.authoring.criteria_text import EXCLUSION, INCLUSION


@dataclass(frozen=True, slots=True)
class Fact:
    """What a phrase asks for, in words and in CQL.

    `closed_world`: its absence is normally not charted. `stays_open`: it never says true, since codes do not tell all
    of it. `verified_by`: definitions, with their CQL, whose resources verify that it is absent.
    """

    pattern: str
    title: str
    expression: str
    closed_world: bool = False
    stays_open: bool = False
    note: str = ""
    verified_by: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A fact, and the part of the text that asks for it."""

    fact: Fact
    span: tuple[int, int]


Finder = Callable[[str, str], Iterable[Found]]

_COMMON = "CommonCriteria"
_FIRST = 'Screening."First Dose"'
_NUMBERS: Final = {
    word: number
    for number, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"), 1
    )
}
_COUNT = rf"(\d{{1,3}}|{'|'.join(_NUMBERS)}|an?)"
_AT_LEAST = r"(?:≥|>=|=>|⩾|＞=|at least|not less than|no less than|minimum(?: age)?(?: of)?|greater than or equal to|equal to or (?:greater|more) than|a minimum of)"
_ABOVE = r"(?:>|＞|over|older than|above|greater than|more than|exceeding|higher than)"
_AT_MOST = r"(?:≤|<=|=<|⩽|up to|not more than|no more than|no older than|less than or equal to|equal to or less than|maximum(?: of)?|not exceeding|at most)"
_BELOW = r"(?:<|＜|under|younger than|below|less than|lower than)"
_COMPARE = rf"(?P<at_least>{_AT_LEAST})|(?P<above>{_ABOVE})|(?P<at_most>{_AT_MOST})|(?P<below>{_BELOW})"

_WINDOW = re.compile(
    rf"(?:within(?: the)?(?: last| past| previous| prior)?|in the (?:last|past|previous|prior)|during the (?:last|past|previous|prior)) "
    rf"(?P<n>{_COUNT})(?:\s*\([^)]*\))?[\s-]*(?P<unit>hour|day|week|month|year)s?\b"
    r"(?!\s*(?:after|following|post|from the (?:last|end)|of the (?:last|end)))"
    r"(?:(?: prior to| before| preceding| of| from)?"
    r"(?: (?:the )?(?:first|initial|planned|study|start of|initiation of|enrol?lment|randomi[sz]ation|cycle 1|C1D1|day 1)"
    r"(?: (?:dose|administration|receipt|of|study|drug|treatment|medication|therapy|the))*)?)",
    re.IGNORECASE,
)


def window(text: str, fact: tuple[int, int] | None = None) -> tuple[str, tuple[int, int]] | None:
    """The day on which a look-back window of the text begins, as CQL, and the part of the text that says so.

    Of several windows that of a `fact` is the one beside it, in its own sentence.

    >>> window("a live vaccine within 4 weeks before the first dose")[0]
    'Screening."First Dose" - 4 weeks'
    """
    for found in _WINDOW.finditer(text):
        if fact is None or _beside(text, found.span(), fact):
            break
    else:
        return None
    if found["unit"].lower() == "hour":
        return None
    word = found["n"].lower()
    number = 1 if word in ("a", "an") else _NUMBERS.get(word) or int(word)
    unit = found["unit"].lower() + ("" if number == 1 else "s")
    return f"{_FIRST} - {number} {unit}", found.span()


#: How far from a fact its window may stand.
_BESIDE = 80


def _beside(text: str, window: tuple[int, int], fact: tuple[int, int]) -> bool:
    between = text[fact[1] : window[0]] if fact[1] <= window[0] else text[window[1] : fact[0]]
    if re.search(r"[;:；：。]|\.\s|\bexcept|\bunless|\bother than\b", between, re.IGNORECASE):
        return False
    begins = re.search(r"(?:^|[;:；：。.]\s*)\W*$", text[: window[0]]) is not None
    return len(between) <= _BESIDE or begins


def without_window(text: str) -> str:
    """A text without its look-back windows."""
    return _WINDOW.sub(" ", text)


def without_brackets(text: str) -> str:
    """A text without its exceptions: what stands in brackets, and what follows “except”."""
    return re.split(
        r"\b(?:except\w*|unless|other than)\b", re.sub(r"[(（][^()（）]*[)）]", " ", text), flags=re.IGNORECASE
    )[0]


def _common(name: str, *arguments: str) -> str:
    return f'{_COMMON}."{name}"' + (f"({', '.join(arguments)})" if arguments else "")


# ------------------------------------------------------------------------------------------------------ age and sex

_YEARS = r"(?:years?|yrs?|y\.?o\.?)\b(?:[\s-]*(?:of age|old)\b)?"
_AGE_RANGE = re.compile(
    rf"(?:(?:aged?|ages?|between)\W*(?:(?:from|between|is|of|range[sd]?)\W*)*)?(?P<low>\d{{1,3}})\s*(?:{_YEARS})?\s*"
    rf"(?:-|–|—|~|to|and|through|≤ *age *≤)\s*(?P<high>\d{{1,3}})\s*{_YEARS}(?:\s*\(?inclusive\)?)?",
    re.IGNORECASE,
)
_AGE_LIMIT = re.compile(
    rf"(?:\bage[ds]?\b\W*(?:is |of |must be |should be )?)?(?:{_COMPARE})\s*(?P<n>\d{{1,3}})\s*(?:{_YEARS})?",
    re.IGNORECASE,
)
_AGE_AFTER = re.compile(
    rf"(?:\bage[ds]?\b\s*)?(?P<n>\d{{1,3}})\s*{_YEARS}(?:\s*\([^)]*\))?\s*(?:of age\s*)?(?:or|and)\s+(?:older|above|over|more|greater)\b",
    re.IGNORECASE,
)
_ADULT = re.compile(r"\b(?:legal )?adults?\b", re.IGNORECASE)
_ABOUT_AGE = re.compile(
    r"\b(?:aged?|ages|years? old|years? of age|yrs? old|or older|years and (?:older|above))\b", re.IGNORECASE
)
_OLDEST = 130


def _age(text: str, kind: str) -> Iterator[Found]:
    """Age counts on the day of the planned first dose; an upper limit of 75 lets those in who are 75."""
    for found in re.finditer(r"\b(minimum|maximum) age\W+(\d+) years?\b", text, re.IGNORECASE):
        number = int(found[2])
        least = found[1].lower() == "minimum"
        title = f"age {number} or more" if least else f"age up to {number}"
        yield _aged(title, _older(number) if least else _younger(number + 1), found.span())
    if text.startswith("Age groups:"):
        yield from _age_groups(text)
        return
    if _ABOUT_AGE.search(text) is None or re.search(r"\b(?:minimum|maximum) age", text, re.IGNORECASE):
        return
    between = _AGE_RANGE.search(text)
    if between is not None and kind == INCLUSION and int(between["low"]) < int(between["high"]) <= _OLDEST:
        low, high = int(between["low"]), int(between["high"])
        yield _aged(f"age {low} to {high}", f"{_older(low)} and {_younger(high + 1)}", between.span())
        return
    after = _AGE_AFTER.search(text)
    if after is not None:
        yield _aged(f"age {after['n']} or more", _older(int(after["n"])), after.span())
        return
    last: int | None = None
    for found in _AGE_LIMIT.finditer(text):
        number = int(found["n"])
        named = re.search(r"\bage|years?|yrs?|y\.?o", found[0], re.IGNORECASE) is not None
        joined = last is not None and _JOINS_LIMITS.fullmatch(text[last : found.start()]) is not None
        if not 0 < number <= _OLDEST or _is_window(text, found) or not (named or joined):
            continue
        last = found.end()
        if found["at_least"]:
            yield _aged(f"age {number} or more", _older(number), found.span())
        elif found["above"]:
            yield _aged(f"age over {number}", f"{_BIRTH} before {_FIRST} - {number} years", found.span())
        elif found["at_most"]:
            yield _aged(f"age up to {number}", _younger(number + 1), found.span())
        else:
            yield _aged(f"age below {number}", _younger(number), found.span())


_JOINS_LIMITS = re.compile(r"\s*(?:years?)?[\s,]*(?:and|but|to|&|,)?\s*", re.IGNORECASE)
_BIRTH = "Patient.birthDate.value"


def _age_groups(text: str) -> Iterator[Found]:
    """The registry's groups: children up to 17, adults 18 to 64, older adults from 65 on.

    The study's own limits may be narrower, so that a group never lets in by itself.
    """
    groups = set(re.findall(r"OLDER_ADULT|(?<!_)ADULT|CHILD", text))
    words = [] if "CHILD" in groups else [_older(18 if "ADULT" in groups else 65)]
    if groups and "OLDER_ADULT" not in groups:
        words.append(_younger(65 if "ADULT" in groups else 18))
    if groups and words:
        yield _aged(f"in the registry's age groups {', '.join(sorted(groups))}", " and ".join(words), (0, 0))


def _older(years: int) -> str:
    return f"{_BIRTH} on or before {_FIRST} - {years} years"


def _younger(years: int) -> str:
    return f"{_BIRTH} after {_FIRST} - {years} years"


def _aged(title: str, expression: str, span: tuple[int, int]) -> Found:
    note = "Age is that on the day of the planned first dose."
    return Found(Fact("age", title, expression, note=note), span)


def _is_window(text: str, found: re.Match[str]) -> bool:
    """Whether what looks like an age is a time span (“over 2 years ago”, “more than 5 years”)."""
    around = text[max(0, found.start() - 25) : found.start()]
    after = text[found.end() : found.end() + 25]
    return re.search(r"(within|last|past|previous)\W*$", around, re.IGNORECASE) is not None or (
        re.match(
            r"\W*(ago|before|prior|since|earlier|score|mg|kg|cm|mm|points?|weeks?|months?|days?|%|×|x)\b",
            after,
            re.IGNORECASE,
        )
        is not None
    )


_BOTH = re.compile(
    r"\b(?:both|either)?\s*(?:fe)?males? (?:or|and) (?:fe)?males?|\b(?:men (?:or|and) women|women (?:or|and) men)\b|any (?:sex|gender)",
    re.IGNORECASE,
)
_WOMEN = re.compile(
    r"^\W*(?:(?:adult|eligible|all)\s+)?(?:female|women|woman)\b(?!\s+(?:of child|with child|subjects with fert|patients of child|capable|who))(?:\s+(?:patients?|subjects?|participants?|adults?))?|\b(?:sex|gender)\W+female\b",
    re.IGNORECASE,
)
_MEN = re.compile(
    r"^\W*(?:(?:adult|eligible|all)\s+)?(?:male|men|man)\b(?!\s+(?:with partner|with female|who))(?:\s+(?:patients?|subjects?|participants?|adults?))?|\b(?:sex|gender)\W+male\b",
    re.IGNORECASE,
)
_ABOUT_FERTILITY = re.compile(r"fertil|pregnan|child-?bearing|contracepti|partner|breast", re.IGNORECASE)


def _sex(text: str, kind: str) -> Iterator[Found]:
    if kind != INCLUSION or _BOTH.search(text) or _ABOUT_FERTILITY.search(text):
        return
    for pattern, name, title in ((_WOMEN, "Is female", "female"), (_MEN, "Is male", "male")):
        if found := pattern.search(text):
            yield Found(Fact("sex", title, _common(name)), found.span())


# ---------------------------------------------------------------------------------------------- performance status

_ECOG = re.compile(
    r"(?:\(?\bECOG\b\)?|Eastern Cooperative Oncology Group(?:\s*\(ECOG\))?|\bWHO performance|Zubrod)[^.;<>≤≥\d]{0,80}?"
    r"(?:(?P<low>[0-4])\s*(?:-|–|—|~|to|or|and|/|,)\s*(?:(?P<middle>[0-4])\s*,?\s*(?:or|and|to)\s*)?(?P<high>[0-5])"
    rf"|(?:{_COMPARE})\s*(?:an? )?(?:ECOG )?(?P<n>[0-5])|(?:of|is|score|=|:)?\s*(?P<only>[0-5])(?!\s*(?:-|–|—|~|to|or|and|/|,)\s*\d))(?!\d|\s*%)",
    re.IGNORECASE,
)


def _ecog(text: str, kind: str) -> Iterator[Found]:
    found = _ECOG.search(text)
    if found is None:
        return
    if found["high"]:
        low, high = int(found["low"]), int(found["high"])
    elif found["n"]:
        number = int(found["n"])
        low, high = (
            (number, 5)
            if found["at_least"]
            else (number + 1, 5)
            if found["above"]
            else (0, number)
            if found["at_most"]
            else (0, number - 1)
        )
    else:
        low = high = int(found["only"])
    if low > high or low > 5:
        return
    title = f"ECOG performance status {low}" if low == high else f"ECOG performance status {low} to {high}"
    yield Found(Fact("ecog", title, _common("ECOG within", f"{low}.0", f"{high}.0")), found.span())


_KARNOFSKY = re.compile(rf"(?:Karnofsky|\bKPS\b)[^.;<>≤≥\d]{{0,60}}?{_AT_LEAST}\s*(?P<n>\d{{2,3}})\s*%?", re.IGNORECASE)


def _karnofsky(text: str, kind: str) -> Iterator[Found]:
    if kind == INCLUSION and (found := _KARNOFSKY.search(text)):
        title = f"Karnofsky performance status at least {found['n']}"
        yield Found(Fact("karnofsky", title, _common("Karnofsky at least", f"{found['n']}.0")), found.span())


# ----------------------------------------------------------------------------------------------- laboratory values

_TESTS: Final = {
    "Haemoglobin": r"h(?:a)?emoglobin(?:\s*\((?:Hb|Hgb|HGB)\))?|\bHb\b|\bHgb\b",
    "Neutrophil count": r"(?:absolute )?neutrophils?(?: count)?(?:\s*\((?:ANC|NEUT)\))?|\bANC\b",
    "Platelet count": r"platelets?(?: count)?(?:\s*\((?:PLT|PC)\))?|\bPLT\b|thrombocytes",
    "Leukocyte count": r"(?:white blood cells?|leu[kc]ocytes?)(?: count)?(?:\s*\(WBC\))?|\bWBC\b",
    "Creatinine": r"(?:serum )?creatinine(?! clear)(?:\s*\(S?Cr\))?|\bS?Cr\b(?=\s*[≤<])",
    "Total bilirubin": r"(?:serum )?(?:total )?bilirubin(?:\s*\((?:TBIL|TB|TBil)\))?|\bTBIL\b",
    "ALT": r"alanine (?:amino)?transa?minase(?:\s*\(ALT\))?|alanine aminotransferase(?:\s*\(ALT\))?|\bALT\b(?:\s*\(SGPT\))?",
    "AST": r"aspartate (?:amino)?transa?minase(?:\s*\(AST\))?|aspartate aminotransferase(?:\s*\(AST\))?|\bAST\b(?:\s*\(SGOT\))?",
    "Albumin": r"(?:serum )?albumin(?:\s*\(ALB\))?",
    "INR": r"international normali[sz]ed ratio(?:\s*\(INR\))?|\bINR\b",
}
_NUMBER = r"(?P<value>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)"
_ULN = r"(?:ULN|upper limits? of (?:the )?normal(?: range)?(?:\s*\(ULN\))?|institutional ULN)"
_UNITS: Final = (
    (r"[×xX*]?\s*10\s*(?:\^|\*|E)?\s*[9⁹]\s*/\s*L", "10*9/L"),
    (r"[×xX*]?\s*10\s*(?:\^|\*|E)?\s*[3³]\s*/\s*(?:[uµμ]L|mm\^?[3³])", "10*3/uL"),
    (r"(?:cells?\s*)?/\s*(?:[uµμ]L|mm\^?[3³]|cubic millimet(?:er|re))", "/uL"),
    (r"(?:per (?:micro ?lit(?:er|re)|[uµμ]L|mm3))", "/uL"),
    (r"g\s*/\s*dL", "g/dL"),
    (r"g\s*/\s*L", "g/L"),
    (r"mg\s*/\s*dL", "mg/dL"),
    (r"[uµμ]mol\s*/\s*L", "umol/L"),
    (r"mmol\s*/\s*L", "mmol/L"),
)
_TEST: Final = {
    name: re.compile(
        rf"(?P<also>(?:{pattern})(?:\s*(?:and|or|/|,|and/or)\s*(?P<second>{_TESTS['ALT']}|{_TESTS['AST']}))?)[\s,:]*"
        rf"(?:level |levels |count |is |are |must be |should be |of |\([^)]{{0,20}}\)\s*)*(?:{_COMPARE})\s*{_NUMBER}\s*"
        rf"(?:(?P<times>(?:times|fold|[×xX*])?\s*(?:the )?{_ULN})"
        + "".join(f"|(?P<u{index}>{unit})" for index, (unit, _) in enumerate(_UNITS))
        + ")?",
        re.IGNORECASE,
    )
    for name, pattern in _TESTS.items()
}


def _laboratory(text: str, kind: str) -> Iterator[Found]:
    """A limit with a unit, or in multiples of the upper limit of normal; a bare number has no meaning but for INR."""
    limits = [(found, name) for name, pattern in _TEST.items() for found in pattern.finditer(text)]
    end = 0
    for found, name in sorted(limits, key=lambda one: (one[0].start(), -one[0].end())):
        if found.start() >= end:  # “AST and ALT ≤ 2.5 × ULN” is one limit, though “ALT ≤ 2.5 × ULN” reads as one too
            yield from _limit(name, found, kind)
            end = found.end()


def _limit(name: str, found: re.Match[str], kind: str) -> Iterator[Found]:
    value = found["value"].replace(",", "")
    unit = next((code for index, (_, code) in enumerate(_UNITS) if found[f"u{index}"]), None)
    others = [name]
    if found["second"]:
        others.append("ALT" if re.fullmatch(_TESTS["ALT"], found["second"], re.IGNORECASE) else "AST")
    word = (
        "at least" if found["at_least"] else "above" if found["above"] else "at most" if found["at_most"] else "below"
    )
    asked = {"at least": "At least", "above": "More than", "at most": "At most", "below": "Less than"}[word]
    if found["times"]:
        asked += " times the upper limit"
        factor = value if "." in value else f"{value}.0"
        limit, title = factor, f"{word} {value} × the upper limit of normal"
    else:
        if unit is None and name != "INR":
            return
        unit = unit or "1"
        limit, title = f"{value} '{unit}'", f"{word} {value} {unit}".removesuffix(" 1")
    asking = (" or " if kind == EXCLUSION else " and ").join(_common(asked, _common(one), limit) for one in others)
    named = " and ".join(one[0].lower() + one[1:] if one[1:2].islower() else one for one in others)
    note = "The latest result counts, whenever it was made: a window for it is not drafted."
    expression = f"({asking})" if len(others) > 1 else asking
    yield Found(Fact("laboratory", f"{named} {title}", expression, note=note), found.span())


# --------------------------------------------------------------------------------------------------- simple facts


def _mentioned(pattern: str, fact: Fact, kinds: tuple[str, ...] = (EXCLUSION,), unless: str | None = None) -> Finder:
    """A finder of one fact by its words."""
    compiled = re.compile(pattern, re.IGNORECASE)
    refused = re.compile(unless, re.IGNORECASE) if unless else None

    def find(text: str, kind: str) -> Iterator[Found]:
        found = compiled.search(text)
        if found is not None and kind in kinds and not (refused and refused.search(text)):
            yield Found(fact, found.span())
            for again in compiled.finditer(text, found.end()):
                yield Found(fact, again.span())

    return find


def _in_window(
    pattern: str,
    title: str,
    since: str,
    ever: str | None,
    name: str,
    *,
    stays_open: bool = False,
    unless: str = "^$",
) -> Finder:
    """A finder of something in a look-back window; `ever` is asked where the text has no window (None: not drafted)."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def find(text: str, kind: str) -> Iterator[Found]:
        found = compiled.search(text)
        if found is None or kind != EXCLUSION or re.search(unless, text, re.IGNORECASE):
            return
        back = window(text, found.span())
        if back is None:
            if ever is None or _WINDOW.search(without_brackets(text)):
                return
            fact = Fact(name, title, _common(ever), closed_world=True, stays_open=stays_open)
            yield Found(fact, found.span())
            return
        begins, span = back
        shown = begins.removeprefix(f"{_FIRST} - ")
        fact = Fact(name, f"{title} within {shown}", _common(since, begins), closed_world=True, stays_open=stays_open)
        yield Found(fact, found.span())
        yield Found(fact, span)
        for again in compiled.finditer(text, found.end()):
            yield Found(fact, again.span())

    return find


def _pregnancy_test(text: str, kind: str) -> Iterator[Found]:
    found = re.search(r"negative[^.;]{0,40}pregnancy test|pregnancy test[^.;]{0,80}negative", text, re.IGNORECASE)
    back = window(text)
    if found is None or back is None or kind != INCLUSION:
        return
    expression = f"{_common('Is male')} or {_common('Negative pregnancy test since', back[0])}"
    note = "Who is of child-bearing potential is the trial's to say (extension applies-when)."
    title = f"negative pregnancy test within {back[0].removeprefix(f'{_FIRST} - ')}"
    fact = Fact("pregnancy-test", title, f"({expression})", note=note)
    yield Found(fact, found.span())
    yield Found(fact, back[1])


_STEROID = re.compile(
    r"(?:systemic(?:ally)?(?: administered)? )?(?:high[- ]dose )?(?:cortico|gluco ?cortico)?steroids?(?!-induced)(?: hormones?)?(?: therapy| treatment)?"
    r"|\bglucocorticoids?|\bprednis(?:ol)?one\b|\bdexamethasone\b",
    re.IGNORECASE,
)
_DAILY = r"(?:\s*(?:/\s*(?:d|day)\b|daily|per day|a day|once daily))?"
_DOSE = re.compile(
    r"[(（]?\s*(?:(?:at|with|in) )?(?:(?:a )?(?:daily )?doses? )?(?:of |above |exceeding |greater than |more than |over |at |[>＞≥<≤]\s*)?"
    rf"\d+(?:\.\d+)?\s*mg{_DAILY}(?: (?:of )?(?:prednis\w+|dexamethasone))?{_DAILY}"
    r"(?:,? *(?:or )?(?:its |an |the |other )*equivalents?(?: doses?)?)?\s*[)）]?",
    re.IGNORECASE,
)


def _steroids(text: str, kind: str) -> Iterator[Found]:
    """Systemic corticosteroids, in a window or at the first dose; where a dose is allowed, what is found is asked."""
    found = _STEROID.search(text)
    if (
        found is None
        or kind != EXCLUSION
        or re.search(r"metasta|autoimmune|hepatitis|vaccin|allerg", text, re.IGNORECASE)
    ):
        return
    back = window(text, found.span())
    if back is None and _WINDOW.search(text):
        return
    since = back[0] if back else _FIRST
    dose = _DOSE.search(text)
    allowed = dose is not None or re.search(r"physiolog|replacement|except|topical|inhal|nasal", text, re.IGNORECASE)
    name = "May take too much corticosteroid since" if allowed else "Systemic corticosteroids since"
    when = f" within {since.removeprefix(f'{_FIRST} - ')}" if back else ""
    note = "The dose is not drafted: any course is put to a person." if dose else ""
    title = f"systemic corticosteroids{when}"
    fact = Fact("steroid-dose", title, _common(name, since), closed_world=True, stays_open=bool(allowed), note=note)
    yield Found(fact, found.span())
    if back:
        yield Found(fact, back[1])
    if dose:
        yield Found(fact, dose.span())
    for again in _STEROID.finditer(text, found.end()):
        yield Found(fact, again.span())


_CHECKPOINT = re.compile(
    r"(?:anti[- ]?)?(?:PD-?\(?L?\)?-?1|CTLA-?4)(?:(?:\s*[/,]|\s+or|\s+and|,\s*or)+\s*(?:anti[- ]?)?(?:PD-?\(?L?\)?-?1|CTLA-?4))*"
    r"(?: (?:antibod\w+|inhibitors?|agents?|therap\w+|treatment))*|(?:immune )?checkpoint inhibitors?|checkpoint (?:blockade|therapy)",
    re.IGNORECASE,
)
_NO_CHECKPOINT = re.compile(r"bispecific|allerg|hypersensitiv|express|\bCPS\b|\bTPS\b|resist", re.IGNORECASE)


def _checkpoint_inhibitors(text: str, kind: str) -> Iterator[Found]:
    """Immune checkpoint inhibitors: as a class, or those of one target, which the class alone does not prove."""
    if kind != EXCLUSION or _NO_CHECKPOINT.search(text):
        return
    whole = re.search(r"checkpoint", text, re.IGNORECASE) or re.search(r"CTLA", text)
    asked = _common("Has had an immune checkpoint inhibitor")
    title = "earlier immune checkpoint inhibitor"
    if whole:
        fact = Fact("prior-therapy", title, asked, closed_world=True)
    else:
        title = "earlier PD-1 or PD-L1 inhibitor"
        fact = Fact("prior-therapy", title, _common("Unless absent", asked), closed_world=True, stays_open=True)
    for found in _CHECKPOINT.finditer(text):
        yield Found(fact, found.span())


_TRANSPLANT = re.compile(
    r"(?:allo(?:geneic|genic) )?(?:(?:solid )?organ|tissue|bone marrow|(?:hematopoietic |haematopoietic )?stem[- ]cells?)(?: transplant\w*)"
    r"|allo(?:geneic|genic) (?:solid )?organ|allo(?:geneic|genic)[\w\s-]{0,40}?transplant\w*",
    re.IGNORECASE,
)


def _transplants(text: str, kind: str) -> Iterator[Found]:
    """Allogeneic transplants: of organs and of stem cells together, or of one, which their fact alone does not prove."""
    if kind != EXCLUSION:
        return
    both = re.search(r"organ", text, re.IGNORECASE) and re.search(r"stem[- ]cell|bone marrow", text, re.IGNORECASE)
    asked = _common("Has had an allogeneic transplant")
    if not both:
        asked = _common("Unless absent", asked)
    fact = Fact("transplant", "allogeneic transplant", asked, closed_world=True, stays_open=not both)
    for found in _TRANSPLANT.finditer(text):
        yield Found(fact, found.span())


def _hepatitis_b_or_c(text: str, kind: str) -> Iterator[Found]:
    """Both in one phrase: “hepatitis B or C”, “HBV/HCV”."""
    found = re.search(
        r"(?:chronic |acute )?hepatitis B(?:\s*\(HBV\))?(?: virus)?\s*(?:/|or|and|and/or)\s*C\b(?: virus)?(?:\s*\(HCV\))?(?: infections?)?",
        text,
        re.IGNORECASE,
    )
    if found is not None and kind == EXCLUSION:
        asked = f"{_common('Has hepatitis B')} or {_common('Has hepatitis C')}"
        yield Found(Fact("hepatitis-b", "hepatitis B or C", f"({asked})", closed_world=True), found.span())


_HIV_TEST = ("Negative HIV test", _common("Negative HIV test"))
_HBSAG = ("Negative HBsAg", _common("Negative HBsAg"))

#: The finders, those of longer phrases before those of shorter ones.
FACTS: Final[tuple[Finder, ...]] = (
    _pregnancy_test,
    _laboratory,
    _ecog,
    _karnofsky,
    _age,
    _sex,
    _mentioned(
        r"\bpregnan(?:t|cy)\b(?: wom[ae]n| females?)?",
        Fact("pregnancy", "pregnant", _common("Is pregnant")),
        unless=r"pregnancy test|contracepti",
    ),
    _mentioned(
        r"\b(?:breast-?\s?feeding|lactating|lactation|nursing)\b(?: wom[ae]n| mothers?| females?)?",
        Fact("pregnancy", "breastfeeding", _common("Is breastfeeding")),
        unless=r"contracepti",
    ),
    _mentioned(
        r"(?:human immunodeficiency virus(?:\s*[(（]HIV[)）])?|\bHIV\b)(?:[- ]?(?:1/2|1|2))?(?: (?:antibod\w+|infection|test|positive|seropositiv\w+))*"
        r"|\bAIDS\b|acquired immunodeficiency syndrome(?:\s*\(AIDS\))?|[(（]i\.e\. HIV[^)）]*[)）]",
        Fact("hiv", "HIV infection", _common("Has HIV infection"), closed_world=True, verified_by=(_HIV_TEST,)),
    ),
    _hepatitis_b_or_c,
    _mentioned(
        r"(?:chronic |acute )?hepatitis B(?: virus)?(?:\s*[(（](?:HBV|CHB)[)）])?(?: infection)?|\bHBV\b|\bHBsAg\b(?:[- ]?positiv\w+|\s*\(\+\))?",
        Fact("hepatitis-b", "hepatitis B", _common("Has hepatitis B"), closed_world=True, verified_by=(_HBSAG,)),
    ),
    _mentioned(
        r"(?:chronic |acute )?hepatitis C(?: virus)?(?:\s*[(（]HCV[)）])?(?: infection)?|\bHCV\b(?:[- ](?:RNA|antibod\w+))?",
        Fact("hepatitis-c", "hepatitis C", _common("Has hepatitis C"), closed_world=True),
    ),
    _mentioned(
        r"(?:active |symptomatic |uncontrolled |untreated )+(?:or (?:active|symptomatic|uncontrolled|untreated) )?"
        r"(?:brain|central nervous system(?:\s*\(CNS\))?|CNS|cerebral) metasta\w+",
        Fact(
            "brain-metastases",
            "symptomatic or untreated brain metastases",
            _common("May have symptomatic brain metastases"),
            closed_world=True,
            stays_open=True,
        ),
    ),
    _mentioned(
        r"(?:brain|central nervous system(?:\s*\(CNS\))?|CNS|cerebral) metasta\w+|metasta\w+ (?:to|in|of) the (?:brain|CNS|central nervous system)",
        Fact("brain-metastases", "brain metastases", _common("Has brain metastases"), closed_world=True),
    ),
    _mentioned(
        r"(?:spinal )?cord compression",
        Fact("cord-compression", "spinal cord compression", _common("Has spinal cord compression"), closed_world=True),
    ),
    _in_window(
        r"(?:vaccinat(?:ion|ed) with )?(?:an? |any )?live(?:[- ]attenuated| virus|, attenuated)?(?: or attenuated)? vaccin\w+|live vaccines?|attenuated live vaccin\w+",
        "live vaccine",
        "Live vaccine since",
        None,
        "live-vaccine",
    ),
    _in_window(
        r"(?:diagnos\w+ (?:with|of) )?(?:an)?(?:other|second|secondary|concurrent|additional|prior|previous|synchronous)\b[^.;()（）]{0,30}?"
        r"(?:malignan(?:t (?:diseases?|tumou?rs?|neoplasms?)|c(?:y|ies))|cancers?|(?:primary )?tumou?rs?)(?: other than [\w\s-]{3,40}? (?:cancer|carcinoma))?"
        r"|history of (?:other )?(?:malignan\w+|cancer)",
        "another malignancy",
        "May have had another malignancy since",
        "May have had another malignancy",
        "other-malignancy",
        stays_open=True,
    ),
    _steroids,
    _in_window(
        r"(?:other )?(?:systemic )?immunosuppress(?:ive|ant)s?(?: (?:therapy|drugs?|agents?|medications?|treatment))?",
        "immunosuppressants",
        "Immunosuppressants since",
        None,
        "steroid-dose",
        unless=r"auto-?immune",
    ),
    _in_window(
        r"(?:major )?surg(?:ery|ical (?:treatment|procedures?|operations?))",
        "major surgery",
        "May have had major surgery since",
        None,
        "surgery",
        stays_open=True,
    ),
    _in_window(
        r"(?:platelets?|red (?:blood )?cells?|blood(?: products?)?)(?:(?: or|,| and|/) (?:platelets?|red (?:blood )?cells?))*(?: transfusions?)|transfusions? of (?:platelets?|red|blood)[\w\s]*",
        "platelet or red cell transfusion",
        "Transfusion since",
        None,
        "transfusion",
    ),
    _in_window(
        r"(?:radical |palliative |prior )?radi(?:o|ation )therapy|\birradiation\b",
        "radiotherapy",
        "Radiotherapy since",
        "Has had radiotherapy",
        "prior-therapy",
    ),
    _checkpoint_inhibitors,
    _in_window(
        r"(?:prior |previous |cytotoxic |systemic )*chemotherapy",
        "chemotherapy",
        "May have had chemotherapy since",
        "May have had chemotherapy",
        "prior-therapy",
        stays_open=True,
    ),
    _in_window(
        r"(?:systemic |prior |previous )*(?:anti[- ]?(?:tumou?r|cancer|neoplastic)(?: (?:treatment|therapy|drugs?|agents?))|systemic (?:anti\S+ )?therapy)",
        "anti-tumour medication",
        "Anti-tumour medication since",
        "Has had anti-tumour medication",
        "prior-therapy",
        unless=r"infection|infectious|auto-?immune|psoriasis|asthma|hypertens",
    ),
    _mentioned(
        r"auto-?immune (?:diseases?|disorders?|conditions?)",
        Fact(
            "autoimmune",
            "autoimmune disease",
            _common("May have autoimmune disease"),
            closed_world=True,
            stays_open=True,
        ),
    ),
    _transplants,
)
