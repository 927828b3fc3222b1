"""An eligibility text -> its criteria, as a careful reader would tell them apart; nothing is dropped on the way.

Registries ask for a numbered list under two headers and get bullets, lists run together in one line, numbers that are
missing or doubled, notes and definitions numbered like criteria, and lists inside items. Every non-space sign of the
text stands afterwards in a header, a heading, a criterion or a note, in the order of the text (`verbatim`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from cds.authoring.criteria_markers import Marker, inline_marker, marker_of

INCLUSION: Final = "inclusion"
EXCLUSION: Final = "exclusion"

_MARKS = r"[\s*#_•·>\-–—]*"
_OF_WHAT = (
    r"(?:(?:key|main|major|core|primary|general|additional|further|common|specific|patients?|subjects?|study|participants?"
    r"|trial|the|donor|part\s+\w+|cohort\s+\w+|phase\s+\w+|[\dA-Da-d]{1,2}[.)、]|[IVX]{1,3}[.)、])\s*)*"
)
_KINDS = r"(?P<kind>non-?inclusion|inclusion|exclusion|inclusive|exclusive|included|excluded|including|excluding|entry)"
#: “Inclusion criteria:”, “Key Exclusion Criteria (Part A)”, “**Exclusion**:”, with what they are about.
_HEADER = re.compile(
    rf"{_MARKS}{_OF_WHAT}{_KINDS}(?:\s+(?:criteria|criterion|criterias|standards?)"
    r"(?:\s*(?:for|of|in|to|at|during|part|cohort|phase|include|includes|are|\(|/|-|–|—)[^:：\n]{0,80}?)?\s*"
    r"(?:[:：][\s*_]*|[\s*_.)]*$)|\s*[:：][\s*_]*)",
    re.IGNORECASE | re.MULTILINE,
)
#: A header in the middle of a line, after the end of a sentence.
_INNER_HEADER = re.compile(
    r"(?<=[.;。；)）])\s*(?=(?:key |main |major )?(?:inclusion|exclusion) criteria\s*[:：])", re.IGNORECASE
)
#: A sentence that does the work of a header.
_PEOPLE = (
    rf"{_MARKS}(?:the following\s+)?(?:all\s+)?(?:patients|subjects|participants|individuals|candidates|women|adults)\b"
)
_LET_IN = re.compile(
    rf"{_PEOPLE}[^\n]*\b(?:must|should|eligible|included|meet|fulfil\w*|enrolled)\b[^\n]*[:：]\s*$", re.IGNORECASE
)
_KEPT_OUT = re.compile(
    rf"{_PEOPLE}[^\n]*\b(?:excluded|ineligible|not eligible|not be (?:eligible|enrolled|included))\b[^\n]*[:：]\s*$",
    re.IGNORECASE,
)
_INTRODUCES_ALL = re.compile(r"\bfollowing\b[^\n]*[:：]\s*$|\bcriteria\b[^\n]*[:：]\s*$", re.IGNORECASE)
_NOTE = re.compile(r"\(?(?:please )?(?:notes?|remarks?|n\.?b\.?|nota bene)\s*[:：]", re.IGNORECASE)
_DEFINITION = re.compile(r"(?P<term>[^.;:()≥≤<>]{3,80}?)\b(?:refers? to|(?:is|are) defined as|means?)\s", re.IGNORECASE)
_COMPARED = re.compile(r"[≥≤<>=]|\bat least\b|\bless than\b|\bmore than\b", re.IGNORECASE)
_SMALL_WORDS = {
    "with",
    "that",
    "those",
    "this",
    "these",
    "women",
    "patients",
    "subjects",
    "methods",
    "efficient",
    "female",
}
#: Where a list in one line may be cut, if nothing numbers it.
_CUT = re.compile(r"(?<=[;；])\s*")
_LONGEST_HEADING = 90
#: From how many signs on a line that ends in no sentence was probably wrapped.
_WRAPPED = 70


class Role(StrEnum):
    """What a piece of the text is, beside a criterion."""

    HEADER = "header"
    HEADING = "heading"
    NOTE = "note"
    DEFINITION = "definition"


@dataclass(frozen=True, slots=True)
class Remark:
    """A piece that is no criterion: a header, a heading over criteria, or a note or definition numbered like one."""

    role: Role
    marker: str
    number: str | None
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class SubItem:
    """An item of a list inside a criterion."""

    marker: str
    number: str | None
    text: str


@dataclass(frozen=True, slots=True)
class CriterionText:
    """A criterion as the text has it.

    `id` is ``I`` or ``E`` with its number; `number` is the record's own (None where it has none); `marker` is how that
    is written (``14.``). `text` is all of it, `lead` what stands before its list, `sub_items` that list. `line` counts
    from the first line of the text. `headings` stand before it, `notes` after it.
    """

    id: str
    kind: str
    number: str | None
    marker: str
    text: str
    line: int
    lead: str
    sub_items: tuple[SubItem, ...] = ()
    headings: tuple[Remark, ...] = ()
    notes: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class Oddity:
    """What is wrong with the list itself: a rule's name, the line, the criterion that it is about, and words."""

    rule: str
    line: int
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class CriteriaText:
    """The criteria of an eligibility text in its order, the header of each kind, and what is odd about the list."""

    headers: tuple[tuple[str, Remark], ...]
    criteria: tuple[CriterionText, ...]
    oddities: tuple[Oddity, ...]

    def header(self, kind: str) -> Remark | None:
        """The header over the criteria of a kind, where there is one."""
        return next((header for of, header in self.headers if of == kind), None)

    def of(self, kind: str) -> tuple[CriterionText, ...]:
        """The criteria of a kind, in order."""
        return tuple(one for one in self.criteria if one.kind == kind)

    def verbatim(self, kind: str | None = None) -> str:
        """All that the text says (of a `kind`), put together again from its pieces; spaces may differ."""
        pieces: list[str] = []
        told: set[str] = set()
        for one in self.criteria:
            if kind in (None, one.kind):
                header = self.header(one.kind)
                if header is not None and one.kind not in told:
                    pieces.append(header.text)
                told.add(one.kind)
                pieces += [f"{remark.marker} {remark.text}" for remark in one.headings]
                pieces += [one.marker, one.text]
                pieces += [f"{remark.marker} {remark.text}" for remark in one.notes]
        return "\n".join(pieces)


def first_header(text: str) -> int | None:
    """Where in a text its list of criteria begins: the offset of the first line that is a header; None without one."""
    at = 0
    for line in text.split("\n"):
        if _header(line):
            return at
        at += len(line) + 1
    return None


def split_criteria(text: str) -> CriteriaText:
    """The criteria of an eligibility text."""
    reader = _Reader()
    lines = text.split("\n")
    for number, line in enumerate(lines):
        reader.read(line, number + 1, _next_marker(lines, number + 1))
    return reader.result()


def _header(line: str) -> re.Match[str] | None:
    found = _HEADER.match(line)
    return found if found and found[0].strip() else None


def _kind(word: str) -> str:
    return EXCLUSION if word.lower().startswith(("ex", "non")) else INCLUSION


def _next_marker(lines: list[str], at: int) -> Marker | None:
    """The marker of the next line that is not blank, if it has one."""
    for line in lines[at:]:
        if line.strip():
            return marker_of(line)
    return None


@dataclass(slots=True)
class _Item:
    kind: str
    marker: Marker | None
    line: int
    lead: list[str] = field(default_factory=list)
    subs: list[tuple[Marker, list[str]]] = field(default_factory=list)
    headings: list[Remark] = field(default_factory=list)
    implied: int | None = None

    @property
    def text(self) -> str:
        parts = ["\n".join(self.lead)]
        parts += [f"{marker.written} " + "\n".join(lines) for marker, lines in self.subs]
        return "\n".join(part for part in parts if part)

    def go_on(self, text: str) -> None:
        (self.subs[-1][1] if self.subs else self.lead).append(text)


class _Reader:
    """Reads line after line; what it has read is in `items`, and nothing leaves it."""

    def __init__(self) -> None:
        self.kind: str | None = None
        self.headers: list[tuple[str, Remark]] = []
        self.headings: list[Remark] = []
        self.items: list[_Item] = []
        self.oddities: list[Oddity] = []
        self.fresh = True  # nothing of this section was read
        self.blank = True
        self.top: Marker | None = None
        self.plain = False  # the section's items have no markers

    # ------------------------------------------------------------------------------------------------ line by line

    def read(self, line: str, number: int, ahead: Marker | None) -> None:
        if not line.strip():
            self.blank = True
            return
        for part in _INNER_HEADER.split(line):
            self._part(part, number, ahead)
        self.blank = False

    def _part(self, line: str, number: int, ahead: Marker | None) -> None:
        header = _header(line)
        if header:
            self._header(line[: header.end()], _kind(header["kind"]), number)
            line = line[header.end() :]
            if not line.strip():
                return
        elif _KEPT_OUT.match(line) or _LET_IN.match(line):
            kind = EXCLUSION if _KEPT_OUT.match(line) else INCLUSION
            if marker_of(line) is None and (kind != self.kind or self.fresh):
                self._header(line, kind, number)
                return
        marker = marker_of(line)
        if marker is not None and self._is_marker(marker):
            self._marked(marker, line, number)
        else:
            self._unmarked(line, number, ahead)

    def _is_marker(self, marker: Marker) -> bool:
        """Whether what looks like a number of the list is one: a bare one only where it is the next, `1.5` no less."""
        top = self.top
        if marker.style == "n":
            return marker.value == (top.value + 1 if top else 1)
        if marker.nested and top is not None and not top.nested and marker.number is not None:
            subs = self.items[-1].subs
            expected = subs[-1][0].value + 1 if subs and subs[-1][0].nested else 1
            return marker.number.partition(".")[0] == top.number and marker.value == expected
        return True

    def _header(self, text: str, kind: str, number: int) -> None:
        remark = Remark(Role.HEADER, "", None, text.strip(), number)
        known = any(of == kind for of, _ in self.headers) or any(item.kind == kind for item in self.items)
        if known or (self.kind == kind and self.headings):
            self.headings.append(remark)
        else:
            for waiting in self._given_up():
                self.headings.append(waiting)
            self.headers.append((kind, remark))
        self.kind = kind
        self._begin()

    def _given_up(self) -> list[Remark]:
        """Headings that nothing followed belong to what stands before them, or wait for the next criterion."""
        waiting, self.headings = self.headings, []
        if self.items and waiting:
            for remark in waiting:
                self.items[-1].go_on(f"{remark.marker} {remark.text}".strip())
            return []
        return waiting

    def _begin(self) -> None:
        self.fresh, self.top, self.plain = True, None, False

    def _marked(self, marker: Marker, line: str, number: int) -> None:
        text = line[marker.end :].strip()
        if not self.fresh and self._is_sub(marker):
            self.items[-1].subs.append((marker, [text]))
            return
        self._numbering(marker, number)
        self._add(marker, number)
        self.top = marker
        self._cut(text, number)

    def _cut(self, text: str, number: int) -> None:
        """The text of the last item; further items may follow in the same line."""
        together: list[str] = []
        while self.top is not None and (found := inline_marker(text, self.top)) is not None:
            marker, at = found
            self.items[-1].go_on(text[:at].strip())
            self._add(marker, number)
            self.top = marker
            together.append(marker.number or "")
            text = text[at:].lstrip()[len(marker.written) :].lstrip()
        self.items[-1].go_on(text)
        if together:
            first = self.items[-1 - len(together)].marker
            begins = first.number if first else "?"
            self.oddities.append(
                Oddity(
                    "run-together",
                    number,
                    f"{self._current()} {begins}",
                    f"{_span(together)} printed in the line of {begins}",
                )
            )

    def _current(self) -> str:
        return self.kind or INCLUSION

    def _add(self, marker: Marker | None, number: int) -> _Item:
        item = _Item(self._current(), marker, number, headings=self.headings)
        self.headings = []
        self.items.append(item)
        self.fresh = False
        return item

    def _is_sub(self, marker: Marker) -> bool:
        """Whether a marked line is an item of the list inside the last criterion."""
        item, top = self.items[-1], self.top
        if top is None:
            return item.text.rstrip().endswith((":", "："))
        deeper = marker.indent > top.indent
        if not (marker.ordered and top.ordered) or marker.nested:
            return marker.nested or marker.ordered != top.ordered or deeper or marker.style != top.style
        same = marker.style == top.style
        follows = marker.value == 1 + next(
            (one.value for one, _ in reversed(item.subs) if one.style == marker.style), 0
        )
        if not marker.same_kind(top):
            return True
        if marker.value == top.value + 1:
            return follows and bool(item.subs) and (deeper or not same)
        if marker.value == 1:
            return not self.headings and (not same or deeper or item.text.rstrip().endswith((":", "：")))
        return follows and bool(item.subs)

    def _numbering(self, marker: Marker, number: int) -> None:
        """Says what is wrong with the number of a criterion."""
        top = self.top
        if top is None or not (marker.ordered and top.ordered):
            return
        about = f"{self._current()} {marker.number}"
        if marker.value == 1 and self.headings:
            return
        if marker.value > top.value + 1:
            missing = [str(one) for one in range(top.value + 1, marker.value)]
            if not (self.items[-1].implied and len(missing) == 1):
                self.oddities.append(
                    Oddity("numbering", number, about, f"no {_span(missing)} between {top.number} and {marker.number}")
                )
        elif marker.value <= top.value:
            self.oddities.append(
                Oddity("numbering", number, about, f"{marker.number} follows {top.number}: doubled or out of order")
            )
        elif marker.style != top.style:
            self.oddities.append(
                Oddity("numbering", number, about, f"written “{marker.written}” after “{top.written}”")
            )

    def _unmarked(self, line: str, number: int, ahead: Marker | None) -> None:
        text = line.strip()
        if not self.fresh and not self.items[-1].text:
            self.items[-1].go_on(text)  # its marker stands alone on the line before
            return
        if self._is_heading(text, ahead):
            self.headings.append(Remark(Role.HEADING, "", None, text, number))
            self.blank = False
            if ahead is not None and ahead.value == 1:
                self.top = None
                self.fresh = True
            return
        if self.fresh:
            self.plain = True
            for index, part in enumerate(_run_on(text)):
                if index == 1:
                    self.oddities.append(
                        Oddity("run-together", number, self._current(), "criteria in one line, without numbers")
                    )
                self._add(None, number).lead.append(part)
        elif self._is_item(text, ahead):
            item = self._add(None, number)
            item.lead.append(text)
            if self.top is not None and self.top.ordered and not self.plain:
                item.implied = self.top.value + 1
                self.oddities.append(
                    Oddity(
                        "numbering",
                        number,
                        f"{self._current()} {item.implied}",
                        f"a criterion without a number after {self.top.number}",
                    )
                )
        else:
            self.items[-1].go_on(text)

    def _is_heading(self, text: str, ahead: Marker | None) -> bool:
        if not self.blank and not self.fresh:
            return False
        if _NOTE.match(text) or len(text) > _LONGEST_HEADING or ahead is None:
            return False
        if text.endswith((":", "：")):
            return self.fresh or self.top is not None
        return self.fresh or (ahead.value == 1 and ahead.ordered and not text.endswith((".", ";", "。", "；")))

    def _is_item(self, text: str, ahead: Marker | None) -> bool:
        """Whether a line without a marker is a criterion of its own."""
        begins_anew = not text[0].islower() and text[0] not in "(（≥≤<>=,;"
        if self.plain:
            last = self.items[-1].text.split("\n")[-1]
            wrapped = len(last) >= _WRAPPED and last[-1] not in ".;:。；："
            return begins_anew and not wrapped and not _NOTE.match(text) and not self._introduces()
        top = self.top
        lost = ahead is not None and top is not None and ahead.ordered and top.ordered and ahead.same_kind(top)
        return bool(lost and self.blank and ahead and top and ahead.value == top.value + 2 and begins_anew)

    def _introduces(self) -> bool:
        return self.items[-1].text.rstrip().endswith((":", "："))

    # ------------------------------------------------------------------------------------------------- what was read

    def result(self) -> CriteriaText:
        if self.headings:
            left = self._given_up()
            if left:
                self._add(None, left[0].line).lead.extend(remark.text for remark in left)
                self.items[-1].headings = []
        self._headers_alone()
        self._promote()
        if self.items and not self.headers:
            self.oddities.append(
                Oddity("no-header", 1, "criteria", "no header says which criteria let in and which keep out")
            )
        criteria: list[CriterionText] = []
        used: set[str] = set()
        for item in self.items:
            self._take(item, criteria, used)
        return CriteriaText(
            tuple(self.headers), tuple(criteria), tuple(sorted(self.oddities, key=lambda one: one.line))
        )

    def _headers_alone(self) -> None:
        """A header that nothing followed is no header: its text goes to what stands before it, or is the criterion."""
        for kind, remark in list(self.headers):
            if any(item.kind == kind for item in self.items):
                continue
            self.headers.remove((kind, remark))
            self.oddities.append(Oddity("empty-list", remark.line, kind, f"nothing stands under “{remark.text}”"))
            before = [item for item in self.items if item.line <= remark.line]
            if before:
                before[-1].go_on(remark.text)
            elif self.items:
                self.items[0].headings.insert(0, remark)
            else:
                self.items.append(_Item(kind, None, remark.line, [remark.text]))

    def _promote(self) -> None:
        """Where one item introduces all the others of its kind (“must meet the following:”), its list is the list."""
        for kind in (INCLUSION, EXCLUSION):
            of_kind = [item for item in self.items if item.kind == kind]
            introduction = " ".join(of_kind[0].lead) if of_kind else ""
            if len(of_kind) != 1 or len(of_kind[0].subs) < 2 or not _INTRODUCES_ALL.search(introduction):
                continue
            (only,) = of_kind
            written = only.marker.written if only.marker else ""
            heading = Remark(Role.HEADING, written, None, "\n".join(only.lead), only.line)
            promoted: list[_Item] = []
            style, indent = only.subs[0][0].style, only.subs[0][0].indent
            line = only.line + len(only.lead)
            for marker, lines in only.subs:
                if not promoted or (marker.style == style and marker.indent <= indent + 1):
                    promoted.append(_Item(kind, marker, line, list(lines)))
                else:
                    promoted[-1].subs.append((marker, lines))
                line += len(lines)
            promoted[0].headings = [*only.headings, heading]
            at = self.items.index(only)
            self.items[at : at + 1] = promoted

    def _take(self, item: _Item, criteria: list[CriterionText], used: set[str]) -> None:
        """Adds an item to the criteria, or to the notes of the one before it."""
        text, marker = item.text, item.marker
        role = self._role(text, [one for one in criteria if one.kind == item.kind], item)
        number = marker.number if marker and marker.ordered else None
        written = marker.written if marker else ""
        if not text:  # a number with nothing after it
            text, written = written, ""
        if role is not None:
            before = criteria.pop()
            remark = Remark(role, written, number, text, item.line)
            criteria.append(_with_notes(before, (*item.headings, remark)))
            used.add(f"{item.kind[0].upper()}{number}")
            if number is not None:
                self.oddities.append(
                    Oddity(
                        role.value,
                        item.line,
                        f"{item.kind} {number}",
                        f"{number} is numbered like a criterion but is a {role.value} to {before.number or before.id}",
                    )
                )
            return
        id_ = self._id(item, used)
        used.add(id_)
        criteria.append(
            CriterionText(
                id=id_,
                kind=item.kind,
                number=number,
                marker=written,
                text=text,
                line=item.line,
                lead="\n".join(item.lead) or text,
                sub_items=tuple(SubItem(sub.written, sub.number, "\n".join(lines)) for sub, lines in item.subs),
                headings=tuple(item.headings),
            )
        )

    def _role(self, text: str, before: list[CriterionText], item: _Item) -> Role | None:
        if not before or item.marker is None:
            return None
        if _NOTE.match(text):
            return Role.NOTE
        definition = _DEFINITION.match(text)
        if definition is None or _COMPARED.search(text[: definition.end() + 60]):
            return None
        terms = set(re.findall(r"[a-z]{5,}", definition["term"].lower())) - _SMALL_WORDS
        earlier = before[-1].text.lower()
        return Role.DEFINITION if any(term in earlier for term in terms) else None

    def _id(self, item: _Item, used: set[str]) -> str:
        letter = item.kind[0].upper()
        if item.marker is not None and item.marker.decimal:
            wanted = f"{letter}{item.marker.value}"
        elif item.implied:
            wanted = f"{letter}{item.implied}"
        else:
            index = 1
            while f"{letter}{index}" in used:
                index += 1
            wanted = f"{letter}{index}"
        if wanted not in used:
            return wanted
        return next(name for suffix in _suffixes() if (name := f"{wanted}{suffix}") not in used)


def _suffixes() -> Iterator[str]:
    for first in ("", *"abcdefghijklmnopqrstuvwxyz"):
        for second in "bcdefghijklmnopqrstuvwxyz":
            yield first + second


def _with_notes(one: CriterionText, notes: Iterable[Remark]) -> CriterionText:
    return replace(one, notes=(*one.notes, *notes))


def _run_on(text: str) -> list[str]:
    """A line without numbers, cut at its semicolons where these divide it into criteria (not inside brackets)."""
    parts: list[str] = []
    for part in _CUT.split(text):
        opened = parts[-1].count("(") - parts[-1].count(")") if parts else 0
        if parts and opened > 0:
            parts[-1] = f"{parts[-1]} {part}"
        elif part:
            parts.append(part)
    return parts if len(parts) > 2 else [text]


def _span(numbers: list[str]) -> str:
    """“14”, or “16 to 25” (numbers in order)."""
    return numbers[0] if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
