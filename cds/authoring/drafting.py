"""The text of a criterion -> a draft of its CQL, where its phrase is a common one; else what is to be written.

A draft never says more than its text. What a phrase leaves open stays null: words that no pattern explains turn an
inclusion into “false or open”, and an exclusion into “true or open” (they add to it) or “false or open” (they narrow
it). Where even that cannot be told, nothing is drafted and the comment names the pieces that were recognised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from cds.authoring.criteria_text import EXCLUSION, INCLUSION, CriterionText
from cds.authoring.phrases import FACTS, Fact, Found, window, without_window

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
#: Where one thing that is asked ends and the next begins.
_CLAUSE = re.compile(r"[,;:，；()（）/]|\band/or\b|\bor\b|\band\b|\bas well as\b", re.IGNORECASE)
#: What begins an exception or an example, which reach to the end of the text.
_EXCEPTION = re.compile(
    r"\b(?:except\w*|excluding|exclusive|unless|other than|apart from|with the exception|if|provided|however|but"
    r"|such as|e\.g|for example|including|include|requir\w+|allowed|permitted|can be enrolled|are not excluded|note)\b",
    re.IGNORECASE,
)
#: What lies ahead is in no record: it adds what a person has to say.
_AHEAD = re.compile(r"\b(?:expect\w*|planned|planning|plans?|anticipat\w+|intend\w*|scheduled)\b", re.IGNORECASE)
_DURING = re.compile(r"\bduring (?:the )?(?:study|trial|treatment|participation)", re.IGNORECASE)
#: The moment at which something is asked: it says nothing of the patient.
_WHEN_ASKED = re.compile(
    r"\b(?:at|on|before|by) (?:the )?(?:time|day|date|moment) of (?:signing|providing|obtaining|giving)?[\w\s]{0,25}?"
    r"(?:consent(?: form)?|\bICF\b|enrol?lment|screening|registration|randomi[sz]ation)",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(r"\b(?:or|unless|except\w*|if|allowed|permitted|eligible|may)\b", re.IGNORECASE)
_ANY_OF = re.compile(r"\b(?:any of|at least one|one or more|one of|either)\b", re.IGNORECASE)

#: Words that say nothing that a pattern would have to explain.
#: A longer text is no single criterion, and no pattern is asked of it.
_LONGEST: Final = 5_000
#: Words beside a fact that narrow it and ask for nothing else.
_MODIFIERS: Final = frozenset(json.loads(Path(__file__).with_name("modifiers.json").read_text(encoding="utf-8")))
_PLAIN: Final = frozenset(json.loads(Path(__file__).with_name("plain-words.json").read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Draft:
    """What stands in the folder for one criterion, or one item of its list.

    `expression` is CQL, None where nothing could be drafted; `comment` says what it says, or what is to be written.
    `verified_by` are definitions, by name and CQL, that turn a presumed answer into a verified one; `patterns` the
    phrases that were recognised. `parts` are the items of the list inside the criterion: name, text and draft of each.
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
    denied = criterion.kind == INCLUSION and _DENIES.search(criterion.lead) is not None
    kind = EXCLUSION if denied else criterion.kind
    numbers = [item.number for item in criterion.sub_items]
    numbered = None not in numbers and len(set(numbers)) == len(numbers)
    parts = tuple(
        (f"{criterion.id} {item.number if numbered else index}", item.text, _of_text(item.text, kind))
        for index, item in enumerate(criterion.sub_items, 1)
    )
    return _of_list(criterion, kind, denied, parts)


def _of_list(criterion: CriterionText, kind: str, denied: bool, parts: tuple[tuple[str, str, Draft], ...]) -> Draft:
    """The items joined. What the introduction of an exclusion says beyond them may narrow it or add to it: open."""
    alone = _of_text(criterion.lead, criterion.kind)
    drafts = [part for _, _, part in parts]
    says_or = any(re.search(r"\bor\W*$", text, re.IGNORECASE) for _, text, _ in parts)
    either = kind == EXCLUSION or says_or or _ANY_OF.search(criterion.lead) is not None
    # Lists inside the list: how they are joined is for a reader to say.
    nested = len({re.sub(r"\w+", "n", item.marker) for item in criterion.sub_items}) > 1
    says_more = bool(_rest(criterion.lead, ())) or alone.expression is not None
    if not any(part.expression for part in drafts) or nested or (says_more and kind == EXCLUSION):
        comment = "To be written, from the items of its list below; null until then."
        return Draft(alone.title, None, alone.assessment, alone.policies, comment, parts=parts)
    expression = _chained([f'"{name}"' for name, _, _ in parts], "or" if either else "and")
    comment = "Any of the items of its list." if either else "All the items of its list."
    if denied:
        expression, comment = f"not ({expression})", "None of the items of its list."
    if says_more:
        expression = _chained([f"({expression})" if either else expression, "(null as Boolean)"], "and")
        comment += " What its introduction says beyond them is not drafted: null."
    complete = not says_more and all(part.expression for part in drafts)
    return Draft(
        alone.title,
        expression,
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
    text = " ".join(text.split())
    title = _title(text)
    if len(text) > _LONGEST:
        return _undrafted(text[:_LONGEST], title)
    denied = kind == INCLUSION and _DENIES.search(text) is not None
    # A denied inclusion says what an exclusion says: any of its facts keeps the patient out.
    keeps_out = kind == EXCLUSION or denied
    found = _found(text, EXCLUSION if keeps_out else INCLUSION)
    if not found:
        return _undrafted(text, title)
    names = ", ".join(dict.fromkeys(one.fact.title for one in found))
    expression, how = _joined(text, found, keeps_out)
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
    for start, end in (*spans, *(at.span() for at in _WHEN_ASKED.finditer(text))):
        left[start:end] = " " * (end - start)
    words = re.findall(r"[A-Za-z][A-Za-z.'-]*[A-Za-z]|\d[\d.]*|\b[B-HJ-Z]\b", "".join(left))
    return [word for word in words if word.lower() not in _PLAIN]


def _joined(text: str, found: list[Found], keeps_out: bool) -> tuple[str | None, str]:
    """The facts joined, and how the rest of the text bears on them (see `_HOW`); None where that cannot be told."""
    rest = _rest(text, [one.span for one in found])
    between = _between(text, found)
    parts = list(dict.fromkeys(one.fact.expression for one in found))
    if not keeps_out:
        either = [re.search(r"\bor\b", words, re.IGNORECASE) is not None for words in between]
        if any(either) and not all(either):
            return None, "adds"
        joined = _chained(parts, "or" if any(either) else "and")
        if not rest:
            return joined, "all"
        # A further number is a further limit, which may let in whom the first keeps out.
        limits = [word for word in _rest(without_window(text), []) if word[0].isdigit()]
        left = [word for word in rest if word in limits]
        if any(either) or left or _OTHERWISE.search(" ".join(rest)):
            return None, "adds"
        return _chained([joined, "(null as Boolean)"], "and"), "adds"
    adds, narrows, unclear = _bearing(text, found)
    if unclear:
        return None, "narrows"
    if any(re.fullmatch(r"[^,;]*\band\b(?!/or)[^,;]*", words, re.IGNORECASE) for words in between):
        narrows = True  # “A and B” may ask for both
    joined = _chained(parts, "or")
    if adds:
        return (None, "adds") if narrows else (_chained([joined, "(null as Boolean)"], "or"), "adds")
    if narrows:
        if all(one.fact.stays_open for one in found):
            return joined, "narrows"
        return f'CommonCriteria."Unless absent"({joined})', "narrows"
    return joined, "all"


def _chained(parts: list[str], word: str) -> str:
    return f"\n    {word} ".join(parts)


def _between(text: str, found: list[Found]) -> list[str]:
    """What stands between the facts, where these differ."""
    pairs = pairwise(found)
    return [text[one.span[1] : two.span[0]] for one, two in pairs if one.fact.expression != two.fact.expression]


def _bearing(text: str, found: list[Found]) -> tuple[bool, bool, bool]:
    """Whether an exclusion asks for more than its facts, whether it narrows them, and whether that cannot be told.

    A clause of its own adds to them; modifiers beside a fact in its clause narrow it, and so does an exception; other
    words beside it may make anything of it (“allergy to”, “family history of”).
    """
    covered = bytearray(len(text))
    for one in found:
        covered[one.span[0] : one.span[1]] = b"\1" * (one.span[1] - one.span[0])
    exceptions = list(_exceptions(text, covered, min(one.span[0] for one in found)))
    narrows = any(_rest(text[start:end], ()) for start, end in exceptions)
    for start, end in exceptions:
        covered[start:end] = b"\1" * (end - start)
    explained = [one.span for one in found] + exceptions
    adds = unclear = False
    start = 0
    cuts = [at.span() for at in _CLAUSE.finditer(text) if not covered[at.start()]]
    for end, following in [*cuts, (len(text), len(text))]:
        inside = [(max(one[0], start) - start, min(one[1], end) - start) for one in explained]
        rest = _rest(text[start:end], [span for span in inside if span[0] < span[1]])
        if (rest and _AHEAD.search(" ".join(rest))) or _DURING.search(text[start:end]):
            adds = True
        elif rest and any(start <= one.span[0] < end for one in found):
            narrows = True
            unclear = unclear or any(word.lower() not in _MODIFIERS for word in rest)
        elif rest:
            adds = True
        start = following
    return adds, narrows, unclear


def _exceptions(text: str, covered: bytearray, first: int) -> Iterable[tuple[int, int]]:
    """Exceptions and examples after the `first` fact: to the closing bracket, else to the end of the sentence."""
    for at in _EXCEPTION.finditer(text):
        if covered[at.start()] or at.start() < first:
            continue
        before = text[: at.start()]
        bracketed = len(re.findall(r"[(（]", before)) > len(re.findall(r"[)）]", before))
        stop = re.search(r"[)）]" if bracketed else r"[;；.](?:\s|$)", text[at.start() :])
        yield at.start(), at.start() + stop.start() if stop else len(text)


def _undrafted(text: str, title: str) -> Draft:
    if _ASKS_A_PERSON.search(text):
        return Draft(title, None, "attestation", ("attest",), "Only a person can say: null, until somebody does.")
    back = window(text)
    hint = f'\nIts look-back window begins on {back[0]} (Screening."Within", Screening."Overlaps").' if back else ""
    return Draft(
        title,
        None,
        "partial",
        ("unknown",),
        "To be written: true, false, or null where the record does not decide. Missing data is unknown until then; an\n"
        "exclusion whose absence is not charted may become presume-absent when this is written." + hint,
    )


def _title(text: str) -> str:
    """The first clause of a text, cut at a word."""
    plain = " ".join(text.split()).strip(" ;；.。,:：")
    first = re.split(r"(?<=\w)[;；.。:：](?:\s|$)|\s\(|（", plain)[0].strip(" ,")
    if len(first) <= 80:
        return first or plain[:80] or "?"
    return first[:79].rsplit(" ", 1)[0].rstrip(" ,") + "…"


__all__ = ["Draft", "Fact", "draft"]
