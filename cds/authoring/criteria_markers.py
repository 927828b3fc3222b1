"""The markers of lists, as registries have them: ``1.``, ``1)``, ``（1）``, ``a.``, ``iv)``, ``①``, ``*``, ``1.2``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BULLETS = "*•·●○◦▪■□➢►✓‣–—-"
_ROMAN = {
    name: value
    for value, name in enumerate(("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"), 1)
}
_CIRCLED = {chr(0x2460 + index): index + 1 for index in range(20)}
_PUNCTUATION = {"．": ".", "、": ".", "）": ")", "：": ":", "。": "."}

_MARKER = re.compile(
    rf"""(?P<indent>\s*)
    (?:(?P<bullet>[{re.escape(_BULLETS)}])(?:\s+|$|(?<=[^\w*\s–—-])(?=\S)))?
    (?:
      (?P<nested>\d{{1,2}}(?:\.\d{{1,2}})+)[.)、]?(?=\s)
    | (?P<number>\d{{1,2}})\s*(?P<after>[.)．、）:：])(?!\d)
    | (?P<letter>[A-Za-z])(?P<after_letter>[.)．、）])(?=\s)
    | (?P<roman>[ivxIVX]{{2,4}})(?P<after_roman>[.)．、）])(?=\s)
    | [(（]\s*(?P<in_brackets>\d{{1,2}}|[a-z]|[ivx]{{1,4}})\s*[)）]
    | (?P<circled>[①-⑳])
    | (?P<bare>\d{{1,2}})(?=\s+[A-Z])
    )?""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Marker:
    """A list marker: `written` verbatim, its `style` (``n.``, ``(a)``, ``*``), its place in the sequence, its indent.

    `value` counts from 1, and is 0 for bullets; `end` is where the text of the item begins in its line.
    """

    written: str
    style: str
    value: int
    number: str | None
    indent: int
    end: int

    @property
    def ordered(self) -> bool:
        """Whether it counts."""
        return self.value > 0

    @property
    def nested(self) -> bool:
        """Whether it says itself that it is an item of an item (``3.2``)."""
        return self.style == "n.n"

    @property
    def decimal(self) -> bool:
        """Whether it counts 1, 2, 3."""
        return self.ordered and "n" in self.style

    def same_kind(self, other: Marker) -> bool:
        """Whether both count in the same signs, whatever stands around these."""
        return self.style.strip("().:") == other.style.strip("().:")


def marker_of(line: str) -> Marker | None:
    """The marker that a line begins with; None where there is none."""
    found = _MARKER.match(line)
    if found is None or not found[0].strip():
        return None
    bullet = found["bullet"]
    written, indent, end = found[0].strip(), len(found["indent"].expandtabs(4)), found.end()
    counted = _style_and_value(found)
    if counted is not None:
        style, value, number = counted
        return Marker(written, style, value, number, indent, end)
    return Marker(bullet, bullet, 0, None, indent, found.end("bullet")) if bullet else None


def _style_and_value(found: re.Match[str]) -> tuple[str, int, str] | None:
    """How a marker that counts is written, where it stands in its sequence, and what it says."""
    groups = found.groupdict()
    after = groups["after"] or groups["after_letter"] or groups["after_roman"] or ""
    after = _PUNCTUATION.get(after, after)
    if nested := groups["nested"]:
        return "n.n", int(nested.rpartition(".")[2]) or 1, nested
    if circled := groups["circled"]:
        return "①", _CIRCLED[circled], str(_CIRCLED[circled])
    if inside := groups["in_brackets"]:
        style, value = _in_brackets(inside)
        return (f"({style})", value, inside) if value else None
    if number := groups["number"] or groups["bare"]:
        return (f"n{after}", int(number), str(int(number))) if int(number) else None
    if letter := groups["letter"]:
        return ("a" if letter.islower() else "A") + after, ord(letter.lower()) - 96, letter
    if (roman := groups["roman"]) and roman.lower() in _ROMAN:
        return f"i{after}", _ROMAN[roman.lower()], roman
    return None


def _in_brackets(text: str) -> tuple[str, int]:
    if text.isdecimal():
        return "n", int(text)
    if text in _ROMAN and len(text) > 1:
        return "i", _ROMAN[text]
    return "a", ord(text) - 96 if len(text) == 1 else 0


def inline_marker(text: str, last: Marker) -> tuple[Marker, int] | None:
    """The marker of the next item in the middle of a line, and where it stands; None where the line has no further one.

    It is the next number, after the end of a clause, and written as such (“…; 14. Within 7 days”).
    """
    if not last.decimal or last.nested:
        return None
    after = last.value + 1
    shape = rf"[(（]{after}[)）]" if last.style == "(n)" else rf"{after}\s?[.)．、）](?!\d)"
    found = re.search(rf"(?:(?<=[;；.。])|(?<=[;；.。]\s)|(?<=[;；.。]\s\s))(?P<marker>{shape})\s*(?=\S)", text)
    if found is None:
        return None
    written = found["marker"]
    style = "(n)" if last.style == "(n)" else "n" + _PUNCTUATION.get(written[-1], written[-1])
    return Marker(written, style, after, str(after), last.indent, found.end("marker")), found.start("marker")
