"""The text of a criterion -> a draft of its CQL, where its phrase is a common one; else what is to be written.

A draft never says more than its text. What a phrase leaves open stays null: words that no pattern explains turn an
inclusion into “false or open”, and an exclusion into “true or open” (they add to it) or “false or open” (they narrow
it). Where even that cannot be told, nothing is drafted and the comment names the pieces that were recognised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cds.authoring.criteria_text import EXCLUSION, INCLUSION, CriterionText
from cds.authoring.phrases import FACTS, Fact, Found

#: Words that ask a person: consent, willingness, judgement.
_ASKS_A_PERSON = re.compile(
    r"\b(consent|willing\w*|agrees?|able to (?:comply|understand|swallow)|ability to (?:comply|understand)|understands?"
    r"|comply|compliance|cooperat\w*|life expectancy|expected survival|survival (?:period|time)|estimated survival"
    r"|investigators?|researchers?|judg\w+|opinion|personnel|staff|employees?|contracepti\w+|plan(?:s|ning)? to"
    r"|good organ function|adequate organ function|serious|questionnaires?|compensated|substance abuse|psychiatric"
    r"|resectab\w+|unresectab\w+|informed)\b",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"^\W*(?:(?:patients?|subjects?|participants?|women|men|who|must|should|with|have|has)\s+)*"
    r"(?:no\b|not\b|never\b|without\b|absence of\b|free of\b|negative for\b|have not\b|has not\b|did not\b|naive\b)",
    re.IGNORECASE,
)
#: Words that narrow what an exclusion says: the fact alone does not exclude.
_NARROWS = re.compile(
    r"\b(?:excluding|except\w*|unless|other than|requir\w+|symptomatic|uncontroll\w+|untreated|active\w*|severe|serious"
    r"|clinically|significant|unstable|if|only|but|however|with|without|provided|allowed|permitted|eligible|enrolled|"
    r"cured?|curative\w*|high[- ]dose|systemic\w*|progressi\w+|refractory|concomitant|concurrent|acute|chronic)\b",
    re.IGNORECASE,
)
_ADDS = re.compile(r"\b(?:or|and/or|as well as|including)\b|[;,/]", re.IGNORECASE)
_EXCEPTS = re.compile(r"\b(?:or|unless|except\w*|if|allowed|permitted|eligible|may)\b", re.IGNORECASE)
_ANY_OF = re.compile(r"\b(?:any of|at least one|one or more|one of|either)\b", re.IGNORECASE)

#: Words that say nothing that a pattern would have to explain.
_PLAIN: Final = frozenset(
    re.findall(
        r"\S+",
        "a an the of or and to in on at for from by as is are was were be been being has have had having who whom "
        "whose that this these those with any all must should shall may can will would not no never before prior "
        "previous previously first dose doses dosing administration administered medication treatment study trial "
        "drug patient patients subject subjects participant participants individual individuals person people "
        "history known confirmed documented diagnosed diagnosis evidence presence received receive receiving "
        "receipt use used using take taken taking given undergone treated therapy therapies within last past "
        "during after start starting day days week weeks month months year years old age aged older over under "
        "between inclusive time screening enrollment enrolment enrolled registration randomization baseline visit "
        "female male women men woman man gender sex either both status performance score scores scale grade "
        "eastern cooperative oncology group ecog who karnofsky kps criteria criterion following adequate organ "
        "function functions defined definition values value laboratory tests test results result bone marrow "
        "reserve hepatic liver renal kidney haematologic hematologic haematological hematological coagulation "
        "level levels count counts than least more less most equal upper limit normal uln times absolute serum "
        "total blood infection infections virus viral disease disorder positive positivity e.g i.e etc their his "
        "her its if applicable there systemic prior-to informed planned signed signing cycle adult adults legal "
        "one two three four five six ",
    )
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What stands in the folder for one criterion, or one item of its list.

    `expression` is CQL, None where nothing could be drafted; `comment` says what it says, or what is to be written.
    `defines` are further definitions that the criterion names, by name; `verified_by` are those of them that turn a
    presumed answer into a verified one. `parts` are the drafts of the list inside the criterion, by definition name.
    """

    title: str
    expression: str | None
    assessment: str
    policies: tuple[str, ...]
    comment: str
    patterns: tuple[str, ...] = ()
    verified_by: tuple[tuple[str, str], ...] = ()
    parts: tuple[tuple[str, str, Draft], ...] = ()


def draft(criterion: CriterionText) -> Draft:
    """The draft of a criterion: of its text, or of the items of its list, joined as their introduction says."""
    if not criterion.sub_items:
        return _of_text(criterion.text, criterion.kind)
    parts = []
    for index, item in enumerate(criterion.sub_items, 1):
        name = f"{criterion.id} {item.number or index}"
        parts.append((name, item.text, _of_text(item.text, criterion.kind)))
    return _of_list(criterion, tuple(parts))


def _of_list(criterion: CriterionText, parts: tuple[tuple[str, str, Draft], ...]) -> Draft:
    alone = _of_text(criterion.lead, criterion.kind)
    drafts = [part for _, _, part in parts]
    either = criterion.kind == EXCLUSION or _ANY_OF.search(criterion.lead)
    joined = f"\n{'    or' if either else '    and'} ".join(f'"{name}"' for name, _, _ in parts)
    open_lead = bool(_rest(criterion.lead, ())) or alone.expression is not None
    if not any(part.expression for part in drafts):
        return Draft(
            alone.title,
            None,
            alone.assessment,
            alone.policies,
            "To be written, from the items of its list below; null until then.",
            parts=parts,
        )
    comment = "Any of the items of its list." if either else "All the items of its list."
    if open_lead:
        joined += "\n    or (null as Boolean)" if either else "\n    and (null as Boolean)"
        comment += " What its introduction says beyond them is not drafted: null."
    complete = not open_lead and all(part.expression for part in drafts)
    return Draft(
        alone.title,
        joined,
        "computable" if complete and all(part.assessment == "computable" for part in drafts) else "partial",
        _policies(drafts) if complete else ("unknown",),
        comment,
        tuple(dict.fromkeys(pattern for part in drafts for pattern in part.patterns)),
        tuple(dict.fromkeys(one for part in drafts for one in part.verified_by)),
        parts,
    )


def _policies(drafts: Iterable[Draft]) -> tuple[str, ...]:
    """What missing data means for all of them together: presumed only where it is presumed for each."""
    policies = {policy for one in drafts for policy in one.policies}
    return ("presume-absent",) if policies == {"presume-absent"} else ("unknown",)


def _of_text(text: str, kind: str) -> Draft:
    title = _title(text)
    denied = kind == INCLUSION and _DENIES.search(text) is not None
    # A denied inclusion says what an exclusion says: any of its facts keeps the patient out.
    keeps_out = kind == EXCLUSION or denied
    found = _found(text, EXCLUSION if keeps_out else INCLUSION)
    if not found:
        return _undrafted(text, title)
    rest = _rest(text, [one.span for one in found])
    names = ", ".join(dict.fromkeys(one.fact.title for one in found))
    expression, how = _joined(found, rest, keeps_out)
    if expression is None:
        plain = _undrafted(text, title)
        comment = (
            f"To be written. Recognised: {names}, but not what the rest of the text makes of it. To begin with:\n"
            + "\n".join(f"  {one.fact.expression}" for one in found)
        )
        return Draft(title, None, "partial", plain.policies, comment, tuple(one.fact.pattern for one in found))
    if denied:
        expression = f"not ({expression})"
    closed = keeps_out and how != "adds" and all(one.fact.closed_world for one in found)
    complete = how == "all" and not any(one.fact.stays_open for one in found)
    notes = " ".join(dict.fromkeys(one.fact.note for one in found if one.fact.note))
    return Draft(
        title=names[:1].upper() + names[1:] if how == "all" and len(names) < 90 else title,
        expression=expression,
        assessment="computable" if complete else "partial",
        policies=("presume-absent",) if closed else ("unknown",),
        comment=f"Drafted: {names}. {_HOW[how]}{' ' + notes if notes else ''}".strip(),
        patterns=tuple(dict.fromkeys(one.fact.pattern for one in found)),
        verified_by=tuple(dict.fromkeys(pair for one in found for pair in one.fact.verified_by)) if closed else (),
    )


_HOW = {
    "all": "Check it against the text.",
    "adds": "What else the text says is not drafted: it stays open unless this decides.",
    "narrows": "The text narrows it: what is found is put to a person.",
}


def _found(text: str, kind: str) -> list[Found]:
    """The facts that the phrases of a text ask for; of two that overlap, the first in the order of patterns."""
    kept: list[Found] = []
    for find in FACTS:
        for one in find(text, kind):
            if not any(_overlap(one.span, other.span) for other in kept):
                kept.append(one)
    return sorted(kept, key=lambda one: one.span)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _rest(text: str, spans: Iterable[tuple[int, int]]) -> list[str]:
    """The words of a text that no pattern explains."""
    left = list(text)
    for start, end in spans:
        left[start:end] = " " * (end - start)
    words = re.findall(r"[A-Za-z][A-Za-z.'-]*[A-Za-z]|\d[\d.]*", "".join(left))
    return [word for word in words if word.lower() not in _PLAIN]


def _joined(found: list[Found], rest: list[str], keeps_out: bool) -> tuple[str | None, str]:
    """The facts joined, and how the rest of the text bears on them (see `_HOW`); None where that cannot be told."""
    parts = list(dict.fromkeys(one.fact.expression for one in found))
    joined = (" or " if keeps_out else " and ").join(parts)
    words = " ".join(rest)
    if not rest:
        return joined, "all"
    if keeps_out:
        narrows = _NARROWS.search(words) is not None
        adds = any(one.adds for one in found) or len(rest) > 3
        if narrows and len(found) == 1 and len(rest) <= 12:
            return (joined if found[0].fact.stays_open else f'CommonCriteria."Unless absent"({joined})'), "narrows"
        if not narrows and adds:
            return f"{joined} or (null as Boolean)", "adds"
        if all(one.fact.stays_open for one in found):
            return f"{joined} or (null as Boolean)", "adds"
        return None, "narrows"
    if _EXCEPTS.search(words):
        return None, "adds"
    return f"{joined} and (null as Boolean)", "adds"


def _undrafted(text: str, title: str) -> Draft:
    if _ASKS_A_PERSON.search(text):
        return Draft(title, None, "attestation", ("attest",), "Only a person can say: null, until somebody does.")
    return Draft(
        title,
        None,
        "partial",
        ("unknown",),
        "To be written: true, false, or null where the record does not decide. Missing data is unknown until then; an\n"
        "exclusion whose absence is not charted may become presume-absent when this is written.",
    )


def _title(text: str) -> str:
    """The first clause of a text, cut at a word."""
    plain = " ".join(text.split()).strip(" ;；.。,:：")
    first = re.split(r"(?<=\w)[;；.。:：](?:\s|$)|\s\(|（", plain)[0].strip(" ,")
    if len(first) <= 80:
        return first or plain[:80] or "?"
    return first[:79].rsplit(" ", 1)[0].rstrip(" ,") + "…"


__all__ = ["Draft", "Fact", "draft"]
