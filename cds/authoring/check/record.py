"""The registry record: the plan says what it says, all of it, and its windows stand in the logic."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from fractions import Fraction

from cds.authoring.check.content import PLAN, RECORD, STUDY, Action, Content, TrialFolder, objects, text
from cds.authoring.check.cql import Json, nodes
from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.authoring.check.logic import bodies, reached
from cds.authoring.check.plan import computes
from cds.authoring.check.source import Source

NO_RECORD = Rule("record-missing", Severity.WARNING, "A trial folder does not keep the record that it was made from.")
CHANGED = Rule("record-changed", Severity.ERROR, "The record is not the one that the plan was made from.")
TEXT = Rule("text-not-in-record", Severity.ERROR, "A text that should be the record's own is not in it.")
DROPPED = Rule("record-not-covered", Severity.WARNING, "A part of the record's eligibility text is in no action.")
WINDOW = Rule("window-not-in-logic", Severity.WARNING, "A criterion says a time that its definitions do not hold.")
RULES = (NO_RECORD, CHANGED, TEXT, DROPPED, WINDOW)

#: Registries write Markdown, and so a backslash before these.
_ESCAPED = re.compile(r"\\([<>*_\[\]()#+.!~`\\-])")
_SECTION = re.compile(r"^\W*(?:inclusion|exclusion) criteria\W*$", re.MULTILINE | re.IGNORECASE)
_NUMBERING = re.compile(r"[\W\d_]+")
_WORDS = {
    word: number
    for number, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve".split(),  # noqa: SIM905 - reads better
        start=1,
    )
}
_TIME = r"(\d+(?:\.\d+)?|{words})[ -]?(hour|day|week|month|year)s?".format(words="|".join(_WORDS))
#: A time that bounds a criterion: a look-back (within, in the last), or an age and the like (at least, over).
_WINDOW = re.compile(
    rf"(?:within(?: the)?(?: last| past| previous)?|in the (?:last|past|previous)|[<>≤≥=]+)\s*(?:a |an )?{_TIME}\b",
    re.IGNORECASE,
)
#: How long the units are, in hours or in months: a month has no length in hours.
_HOURS = {"hour": 1, "h": 1, "day": 24, "d": 24, "week": 168, "wk": 168}
_MONTHS = {"month": 1, "mo": 1, "year": 12, "a": 12}


def findings(content: Content) -> Iterator[Finding]:
    """Where a trial's plan and its record differ, and which times its logic does not hold."""
    for trial in content.trials:
        if not content.holds(trial.path):
            continue
        yield from _windows(content, trial)
        record = trial.sources.get(RECORD)
        if record is None:
            message = f"has no {RECORD}, the registry text that it was made from"
            yield Finding(NO_RECORD, Place(trial.path), message, "keep the text as it was received")
        elif record.text is not None:
            yield from _hashes(trial, record)
            yield from _texts(trial, record)


def _hashes(trial: TrialFolder, record: Source) -> Iterator[Finding]:
    data = (record.text or "").encode()
    for name in (PLAN, STUDY):
        found = trial.json(name)
        if found is None:
            continue
        source, resource = found
        for number, artifact in objects(resource.get("relatedArtifact")):
            document = artifact.get("document")
            if isinstance(document, dict) and document.get("url") == RECORD:
                wrong = _difference(document, data)
                if wrong:
                    place = source.place("relatedArtifact", number, "document", wrong)
                    message = f"{RECORD} has another {wrong} than is written here"
                    yield Finding(CHANGED, place, message, "restore the record, or review the plan and write it anew")


def _difference(document: Json, data: bytes) -> str | None:
    if "size" in document and document["size"] != len(data):
        return "size"
    try:
        stated = base64.b64decode(text(document.get("hash")), validate=True)
    except (ValueError, binascii.Error):
        return "hash"
    return "hash" if stated and stated != hashlib.sha1(data).digest() else None


def _texts(trial: TrialFolder, record: Source) -> Iterator[Finding]:
    plain = _plain(record.text or "")
    for action in trial.actions:
        for place, quoted in _quoted(action):
            if quoted and not _holds(plain, quoted):
                message = f"this text of {action.id} is not in {RECORD}"
                yield Finding(TEXT, place, message, "write it as the record does; say what is wrong in an erratum")
    yield from _dropped(trial, record)


def _quoted(action: Action) -> Iterator[tuple[Place, str]]:
    """What an action quotes: its own text, and the notes that the record numbers."""
    yield action.place("textEquivalent"), text(action.json.get("textEquivalent"))
    for number, document in objects(action.json.get("documentation")):
        yield action.place("documentation", number, "citation"), text(document.get("citation"))


def _plain(told: str) -> str:
    """A text without Markdown's escapes, every run of blanks a single one."""
    return " ".join(_ESCAPED.sub(r"\1", told).split())


def _holds(record: str, quoted: str) -> bool:
    return " ".join(quoted.split()) in record


def _dropped(trial: TrialFolder, record: Source) -> Iterator[Finding]:
    """The lines of the eligibility text of which some words are in no action."""
    told = record.text or ""
    heading = _SECTION.search(told)
    if heading is None or not trial.actions:
        return
    quoted = sorted({" ".join(one.split()) for action in trial.actions for _, one in _quoted(action) if one}, key=len)
    offset = heading.start()
    for line in told[offset:].split("\n"):
        left = _plain(line)
        for one in reversed(quoted):
            left = left.replace(one, " ")
        whole = _plain(line)
        if _NUMBERING.sub("", left) and not _SECTION.match(line) and not any(whole and whole in one for one in quoted):
            lost = " ".join(left.split())
            message = f"no action holds: {lost[:120]}{'…' if len(lost) > 120 else ''}"
            yield Finding(DROPPED, record.at(offset), message, "give it an action, or put it into documentation of one")
        offset += len(line) + 1


# ----------------------------------------------------------------------------------------------------------- windows


def _windows(content: Content, trial: TrialFolder) -> Iterator[Finding]:
    library = content.library(trial)
    if library is None or library.name is None or library.elm is None:
        return
    for _, action in trial.criteria:
        if action.condition is None or action.values("assessment") == ["attestation"]:
            continue
        if not computes((library.definitions.get(action.condition[0]) or {}).get("expression")):
            continue  # nothing is written yet, and that has a finding of its own
        names = [action.condition[0], *(name for name in action.values("applies-when") if isinstance(name, str))]
        held = _lengths(content, [(library.name, name) for name in names])
        for found in _WINDOW.finditer(text(action.json.get("textEquivalent"))):
            length = _length(found[1], found[2].lower())
            if length is not None and length not in held:
                message = f"the text of {action.id} says “{found[0].strip()}”, and its definitions hold no such time"
                mend = f'count the window in "{action.condition[0]}", or say in an erratum why not'
                yield Finding(WINDOW, action.place("textEquivalent"), message, mend)


def _lengths(content: Content, names: list[tuple[str, str]]) -> set[tuple[str, Fraction]]:
    """The times in all that definitions rest on."""
    found = set()
    for name in reached(content, names):
        for _, body in bodies(content, name):
            for node in nodes(body):
                if node.get("type") == "Quantity":
                    unit = text(node.get("unit"))
                    length = _length(str(node.get("value")), unit.rstrip("s") if unit not in _HOURS else unit)
                    if length is not None:
                        found.add(length)
    return found


def _length(number: str, unit: str) -> tuple[str, Fraction] | None:
    """A time as hours or as months."""
    try:
        value = Fraction(_WORDS.get(number.lower(), number))
    except ValueError:
        return None
    for scale, units in (("hours", _HOURS), ("months", _MONTHS)):
        if unit in units:
            return scale, value * units[unit]
    return None
