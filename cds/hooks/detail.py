"""The text of a card: a trial's answer in GitHub-flavoured Markdown, for a doctor with little time.

Everything from charts and trial content is escaped: it shows as it is written, and is never markup, HTML or a link.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from cds.fhir.dates import in_words
from cds.fhir.narrative import describe
from cds.trials.apply import REST_IS_FOR_A_PERSON
from cds.trials.catalog import Trial
from cds.trials.eligibility import Assessment, Basis, CriterionResult, Eligibility, Evidence, Kind, Outcome, Status

#: How much of each a card shows before it says "and 4 more".
_MOST_EVIDENCE = 3
_MOST_ERRATA = 4
_LONGEST_ERRATUM = 300

_MARKS = re.compile(r"([\\`*_\[\]{}<>#|~&$])")
_LEADS = re.compile(r"^(\d+(?=[.)])|[-+=])")
#: What readers of GFM turn into links by themselves; escapes do not stop them all, a zero-width space does.
_LINKS = re.compile(r"(://|www\.|@)", re.IGNORECASE)
_LAST_PARENTHESIS = re.compile(r" \([^()]*\)$")
_NOT_ON_RECORD = re.compile(r"no .+ on record")
#: How long a look-back window is, and what follows, in the title of a criterion.
_SPAN = re.compile(r" within .*$")
_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")


def plain(text: str) -> str:
    """Text in one line, without characters that do not show (controls, direction marks, lone surrogates)."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def escape(text: str) -> str:
    r"""Text that Markdown shows as it is written.

    >>> escape("tumour <5 cm [see](x)")
    'tumour \\<5 cm \\[see\\](x)'
    """
    escaped = _MARKS.sub(r"\\\1", plain(text))
    escaped = _LINKS.sub(lambda hit: hit[0][0] + "\u200b" + hit[0][1:] if hit[0] != "@" else "@\u200b", escaped)
    return _LEADS.sub(lambda hit: hit[0] + "\\" if hit[0].isdigit() else "\\" + hit[0], escaped)


def cut(text: str, length: int) -> str:
    """Text of at most `length` characters, as browsers count them (UTF-16), shortened between words."""
    if _width(text) <= length:
        return text
    while _width(text) > length - 1:
        text = text[:-1]
    shorter, _, _ = text.rpartition(" ")
    return (shorter if len(shorter) > len(text) // 2 else text).rstrip(" ,;:-–") + "…"


def _width(text: str) -> int:
    return len(text) + sum(ord(sign) > 0xFFFF for sign in text)


def name_of(trial: Trial) -> str:
    """What doctors call the trial: its PlanDefinition's title (the registry's own is the subtitle)."""
    return plain(trial.title)


def detail(answer: Eligibility, trial: Trial, first_dose: date) -> str:
    """What one trial's answer says, in the order in which a doctor asks: how far, what is open, why, which trial."""
    of = _by_meaning(answer.criteria)
    parts = [
        _status(answer, first_dose),
        _section("Not met now", map(_not_met, of["not met"])),
        _section("Open: data or a finding would settle it", map(_open, of["open"])),
        _section("Open: for you, the patient or the site to say", map(_open, of["for a person"])),
        _unread(answer),
        _section("Met", map(_known, of["met"])),
        _section("Exclusions ruled out", map(_known, of["ruled out"])),
        _paragraph("Presumed met (nothing on record speaks against it), please confirm:", of["presumed met"]),
        _paragraph("Exclusions presumed absent (no record found), please confirm:", of["presumed absent"]),
        _section("Does not apply", map(_known, of["does not apply"])),
        _section("About the trial's record", _about(trial, of)),
    ]
    return "\n\n".join(part for part in parts if part)


def _by_meaning(results: Iterable[CriterionResult]) -> dict[str, list[CriterionResult]]:
    """The criteria by what their answers mean to a doctor. That an exclusion is "met" would be read the wrong way."""
    groups: dict[str, list[CriterionResult]] = defaultdict(list)
    for result in results:
        groups[_meaning(result)].append(result)
    return groups


def _meaning(result: CriterionResult) -> str:
    if result.outcome is Outcome.NOT_MET:
        return "not met"
    if result.outcome is Outcome.NOT_APPLICABLE:
        return "does not apply"
    if result.outcome is Outcome.UNKNOWN:
        attested = result.criterion.assessment is Assessment.ATTESTATION
        rest = (result.reason or "").startswith(REST_IS_FOR_A_PERSON)
        return "for a person" if attested or rest else "open"
    if result.criterion.kind is Kind.EXCLUSION:
        return "presumed absent" if result.basis is Basis.PRESUMED else "ruled out"
    return "presumed met" if result.basis is Basis.PRESUMED else "met"


def _status(answer: Eligibility, first_dose: date) -> str:
    counts = answer.counts
    number = len(answer.criteria)
    verified = counts.met - counts.presumed
    told = [
        f"{verified} met",
        f"{counts.presumed} presumed" if counts.presumed else "",
        f"{counts.unknown} open" if counts.unknown else "",
        f"{counts.not_met} not met" if counts.not_met else "",
        f"{counts.not_applicable} not applicable" if counts.not_applicable else "",
    ]
    if answer.status is Status.ELIGIBLE:
        head = "All criteria are met"
    elif answer.status is Status.INELIGIBLE and answer.eligible_from:
        head = f"The patient {escape(could_start(answer, answer.eligible_from))}"
    else:
        head = "Possibly eligible"
    known = "known criteria" if answer.record_incomplete else "criteria"
    line = f"**{head}** · {number} {known}: {', '.join(part for part in told if part)}."
    line += f" Judged for a first dose on {in_words(first_dose.isoformat())}."
    if answer.record_incomplete:
        line += "\n\nThe registry record came without its full eligibility list: **the full list is with the site.**"
    return line


def could_start(answer: Eligibility, day: date, length: int | None = None) -> str:
    """From which day a trial is possible that windows alone keep closed, and which windows: what decides the day first.

    Their names take no more than `length` characters, if that is given.
    """
    closed = [result for result in answer.criteria if result.outcome is Outcome.NOT_MET and result.clears_on]
    closed.sort(key=lambda result: result.clears_on or date.max, reverse=True)
    names = list(dict.fromkeys(_window(result.criterion.title) for result in closed))
    told = ", ".join(names)
    if length is not None and _width(told) > length:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        told = cut(names[0], length - len(more)) + more
    return f"could start from {in_words(day.isoformat())}" + (f" ({told})" if told else "")


def _window(title: str) -> str:
    """What a window is about, by the title of its criterion.

    >>> _window("Live vaccine within one month")
    'live vaccine'
    """
    name = _SPAN.sub("", plain(title))
    return name[:1].lower() + name[1:] if name[1:2].islower() else name


def _section(title: str, lines: Iterable[str]) -> str:
    told = "\n".join(f"- {line}" for line in lines)
    return f"**{title}**\n{told}" if told else ""


def _paragraph(title: str, results: Sequence[CriterionResult]) -> str:
    """What needs no line of its own, one after the other; what has evidence (outside its window) follows in lines."""
    if not results:
        return ""
    bare = [f"**{escape(one.criterion.id)}** {escape(one.criterion.title)}" for one in results if not one.evidence]
    lines = [f"**{title}** {' · '.join(bare)}".rstrip()]
    lines += [f"- {_known(one)}" for one in results if one.evidence]
    return "\n".join(lines)


def _name(result: CriterionResult) -> str:
    excluded = "excluded if: " if result.criterion.kind is Kind.EXCLUSION else ""
    return f"**{escape(result.criterion.id)}** {excluded}{escape(result.criterion.title)}"


def _line(result: CriterionResult, *known: str) -> str:
    told = [*_told(result.evidence), *(part for part in known if part)]
    return _name(result) + (f": {'; '.join(told)}" if told else "")


def _open(result: CriterionResult) -> str:
    reason = (result.reason or "").removeprefix(REST_IS_FOR_A_PERSON).removeprefix("; ")
    line = _line(result, "" if result.evidence else _missing(result), _reason(reason))
    question = result.criterion.question
    if question:
        line = f"{line} → {escape(question)}"
    return f"{line} Clears on {in_words(result.clears_on.isoformat())}." if result.clears_on else line


def _not_met(result: CriterionResult) -> str:
    line = _line(result, _reason(result.reason) if result.basis is Basis.ATTESTED else "")
    return f"{line} → clears on {in_words(result.clears_on.isoformat())}" if result.clears_on else line


def _known(result: CriterionResult) -> str:
    return _line(result, _reason(result.reason))


def _reason(reason: str | None) -> str:
    return escape(cut(plain(reason), _LONGEST_ERRATUM)) if reason else ""


def _told(evidence: Sequence[Evidence]) -> list[str]:
    """The evidence in words; what differs in its date alone (the doses of a course) is told once and counted."""
    alike: dict[tuple[Any, str], list[tuple[str, str]]] = {}
    for item in evidence:
        words = describe(item.resource)
        key = (item.resource.get("resourceType"), _LAST_PARENTHESIS.sub("", words))
        alike.setdefault(key, []).append((words, item.reference))
    told = []
    for (words, reference), *others in list(alike.values())[:_MOST_EVIDENCE]:
        cited = f" `{reference}`" if _REFERENCE.fullmatch(reference) else ""
        told.append(escape(words) + cited + (f" and {len(others)} more like it" if others else ""))
    if len(alike) > _MOST_EVIDENCE:
        told.append(f"and {len(alike) - _MOST_EVIDENCE} more")
    return told


def _missing(result: CriterionResult) -> str:
    """What is not on record: "no stage or tumour size on record"."""
    titles = list(dict.fromkeys(plain(item.title) for item in result.missing))
    names = [title[len("no ") : -len(" on record")] for title in titles if _NOT_ON_RECORD.fullmatch(title)]
    if not titles:
        return ""
    if len(names) < len(titles):
        return escape("; ".join(titles[:_MOST_EVIDENCE]))
    if len(names) > _MOST_EVIDENCE:
        return escape(f"no {', '.join(names[:_MOST_EVIDENCE])} … on record")
    return escape(f"no {_or(names)} on record")


def _unread(answer: Eligibility) -> str:
    if not answer.unread:
        return ""
    kinds = ", ".join(escape(kind) for kind in answer.unread)
    return f"**Could not be read:** {kinds}. The criteria that rest on them are open."


def _about(trial: Trial, of: Mapping[str, Sequence[CriterionResult]]) -> list[str]:
    """What the trial's record leaves open: whom to ask and where, and its errata, also of the undecided criteria."""
    study = trial.research_study
    placed = bool(study.get("site"))
    unsaid = {
        "whether it is recruiting": not (placed and study.get("status") == "active"),
        "where": not placed,
        "whom to contact": not study.get("contact"),
    }
    missing = [word for word, is_missing in unsaid.items() if is_missing]
    lines = [f"The record does not say {_or(missing)}: ask the study team."] if missing else []
    of_trial = [_reason(erratum) for erratum in trial.errata]
    of_criteria = [
        f"**{escape(result.criterion.id)}** {_reason(erratum)}"
        for result in (*of["not met"], *of["open"], *of["for a person"])
        for erratum in result.criterion.errata
    ]
    lines += of_trial[:_MOST_ERRATA] + of_criteria[:_MOST_ERRATA]
    more = len(of_trial[_MOST_ERRATA:]) + len(of_criteria[_MOST_ERRATA:])
    return [*lines, f"{more} more remarks stand in the trial's record"] if more else lines


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
