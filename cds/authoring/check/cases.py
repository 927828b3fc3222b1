"""Cases: each says what is expected of criteria that exist, and each criterion has cases for its outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cds.authoring.check.content import CASES, Content, Json, TrialFolder, text
from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.authoring.check.source import Source
from cds.trials.eligibility import Basis, Outcome, Status

ALONE = Rule("case-incomplete", Severity.ERROR, "A case lacks its patient, or what is expected of it.")
UNKNOWN = Rule("case-mismatch", Severity.ERROR, "A case expects what no trial here can answer.")
NO_CASE = Rule("criterion-without-case", Severity.WARNING, "No case expects anything of a criterion.")
OUTCOMES = Rule("criterion-cases-partial", Severity.INFORMATION, "A criterion has no case for one of its outcomes.")
RULES = (ALONE, UNKNOWN, NO_CASE, OUTCOMES)

_EXPECTED = ".expected.json"


def findings(content: Content) -> Iterator[Finding]:
    """What is wrong with the cases of trials."""
    known = {trial.id: {action.id for _, action in trial.criteria} for trial in content.trials}
    if content.unreadable:
        return  # which criteria there are is not known
    for trial in content.trials:
        if content.holds(trial.path):
            cases = _cases(content, trial)
            for path in cases:
                yield from _case(cases, path, trial.id, known)
            yield from _covered(trial, cases)


def _cases(content: Content, trial: TrialFolder) -> dict[Path, Source]:
    folder = trial.path / CASES
    return {
        path: source for path, source in content.sources.items() if path.parent == folder and path.suffix == ".json"
    }


def _case(cases: dict[Path, Source], path: Path, own: str, known: dict[str, set[str]]) -> Iterator[Finding]:
    source = cases[path]
    if not path.name.endswith(_EXPECTED):
        expected = path.with_name(f"{path.stem}{_EXPECTED}")
        if expected not in cases:
            yield Finding(
                ALONE, Place(path), f"has no {expected.name} beside it", "write what is expected, or remove it"
            )
        return
    bundle = path.with_name(path.name.removesuffix(_EXPECTED) + ".json")
    if bundle not in cases:
        yield Finding(ALONE, Place(path), f"has no {bundle.name} beside it", "add the patient's Bundle, or remove it")
    if source.content is None:
        return
    told = source.content
    trials, conversion = told.get("trials"), told.get("conversion")
    if not isinstance(trials, dict) and not isinstance(conversion, dict):
        yield Finding(UNKNOWN, source.place(), "expects nothing of any trial", 'write "trials": {id: ...}')
    for trial, expected in (trials if isinstance(trials, dict) else {}).items():
        yield from _expected(source, trial, expected, known)
    if isinstance(conversion, dict):
        yield from _answers(source, own, conversion, known, ("conversion",))


def _expected(source: Source, trial: str, told: object, known: dict[str, set[str]]) -> Iterator[Finding]:
    if trial not in known or not isinstance(told, dict):
        message = f"expects something of the trial {trial}, which is not here"
        yield Finding(UNKNOWN, source.place("trials", trial), message, f"write one of: {', '.join(sorted(known))}")
        return
    if "status" in told and text(told["status"]) not in list(Status):
        message = f"expects the status {told['status']!r}, which there is not"
        yield Finding(UNKNOWN, source.place("trials", trial, "status"), message, f"write one of: {', '.join(Status)}")
    yield from _answers(source, trial, told.get("criteria"), known, ("trials", trial, "criteria"))


def _answers(
    source: Source, trial: str, criteria: object, known: dict[str, set[str]], path: tuple[str, ...]
) -> Iterator[Finding]:
    """What is expected of criteria, where none can answer so."""
    for criterion, answer in (criteria if isinstance(criteria, dict) else {}).items():
        if criterion not in known[trial]:
            message, mend = f"{trial} has no criterion {criterion}", "correct its id, or remove it"
        elif not isinstance(answer, dict) or text(answer.get("outcome")) not in list(Outcome):
            message, mend = f"{criterion} has no outcome that there is", f"write one of: {', '.join(Outcome)}"
        elif "basis" in answer and text(answer["basis"]) not in list(Basis):
            message, mend = f"{criterion} has no basis that there is", f"write one of: {', '.join(Basis)}"
        else:
            continue
        yield Finding(UNKNOWN, source.place(*path, criterion), message, mend)


def outcomes(trial: TrialFolder, sources: dict[Path, Source]) -> dict[str, dict[str, list[str]]]:
    """The names of the cases of each criterion by the outcome that they expect."""
    found: dict[str, dict[str, list[str]]] = {action.id: {} for _, action in trial.criteria}
    for path, source in sorted(sources.items()):
        content = source.content if path.name.endswith(_EXPECTED) else None
        for criterion, answer in _of_trial(content or {}, trial.id):
            if criterion in found and isinstance(answer, dict):
                found[criterion].setdefault(text(answer.get("outcome")), []).append(path.name.removesuffix(_EXPECTED))
    return found


def _of_trial(expected: Json, trial: str) -> Iterator[tuple[str, object]]:
    """What is expected of a trial's criteria, those of entry and those of conversion."""
    trials = expected.get("trials")
    told = trials.get(trial) if isinstance(trials, dict) else None
    for criteria in (told.get("criteria") if isinstance(told, dict) else None, expected.get("conversion")):
        yield from criteria.items() if isinstance(criteria, dict) else ()


def _covered(trial: TrialFolder, cases: dict[Path, Source]) -> Iterator[Finding]:
    found = outcomes(trial, cases)
    for _, action in trial.criteria:
        told = found[action.id]
        attested = action.values("assessment") == ["attestation"]
        wanted = ["unknown"] if attested else ["met", "not-met", "unknown"]
        if not told:
            message = f"no case expects anything of {action.id}"
            yield Finding(NO_CASE, action.place(), message, f"add cases for {', '.join(wanted)} to {CASES}/")
        elif missing := [outcome for outcome in wanted if outcome not in told]:
            message = f"no case expects {action.id} to be {' or '.join(missing)}"
            yield Finding(OUTCOMES, action.place(), message, f"add one to {CASES}/")
