"""A trial's cases: patients with the outcome that is expected of each criterion, run and compared.

::

    suites = [Suite.load(root, trial) for root, trial in trial_folders([Path("plandefinitions")])]
    for outcome in suites[0].run():
        outcome.differences

A case is two files in the trial's folder ``cases``: ``<name>.json``, a Bundle of one patient, and
``<name>.expected.json``: ``{"now", "firstDose", "trials": {id: {"status", "criteria": {"I13": {"outcome"}}}}}``. What
it leaves out is not compared. ``"conversion"`` (criteria as above) asks for the criteria of an outcome definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

from cds.authoring.explain import because, explain
from cds.authoring.fingerprint import fingerprints
from cds.elm import Evaluation, Libraries, Library
from cds.elm.trace import TracedEvaluation, traced
from cds.errors import CdsError, ContentError, EvaluationError, RecordError
from cds.fhir.record import PatientRecord
from cds.trials.apply import evaluate_record, match
from cds.trials.catalog import SHARED, Catalog, Trial
from cds.trials.eligibility import Outcome, Status, as_json

Json = dict[str, Any]

PLAN: Final = "plan-definition.json"
#: The folder of the cases in a trial's folder, and how the two files of a case end.
CASES: Final = "cases"
BUNDLE: Final = ".json"
EXPECTED: Final = ".expected.json"

_KEYS = ("now", "firstDose", "trials", "conversion")
#: The parts of an answer that take one of some words.
_WORDS: Mapping[str, tuple[StrEnum, ...]] = {"status": tuple(Status), "outcome": tuple(Outcome)}
_VALUES: Mapping[bool | None, Outcome] = {True: Outcome.MET, False: Outcome.NOT_MET, None: Outcome.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Case:
    """One patient, the moment and first dose, and what is expected: `trials` by id, `conversion` by criterion."""

    name: str
    bundle: Path
    expected: Path
    now: datetime
    first_dose: date
    trials: Mapping[str, Json]
    conversion: Mapping[str, Json]

    def asserted(self, trial: str) -> frozenset[str]:
        """The criteria of a trial of which the case expects something."""
        own = self.trials.get(trial, {}).get("criteria", {})
        return frozenset(own).union(self.conversion)


@dataclass(frozen=True, slots=True)
class Difference:
    """What came out otherwise than expected: a part (``status``, ``outcome`` ...) of a trial, or of one criterion."""

    trial: str
    criterion: str | None
    part: str
    expected: Any
    actual: Any

    @property
    def place(self) -> str:
        """What differs, as one says it: ``I13 outcome``."""
        return f"{self.criterion} {self.part}" if self.criterion else self.part


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What came of one case: the answers by trial in the JSON of ``cds match``, and what differs.

    `problem` says why the case could not be run at all.
    """

    name: str
    answers: Mapping[str, Json] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    case: Case | None = None
    problem: str | None = None

    @property
    def as_expected(self) -> bool:
        """Whether it was run, and nothing differs."""
        return not self.differences and self.problem is None

    def outcomes(self, trial: str) -> dict[str, Json]:
        """The JSON of each criterion of a trial, by its id; those of the conversion decision too."""
        return {one["id"]: one for one in self.answers.get(trial, {}).get("criteria", ())}


@dataclass(frozen=True, slots=True)
class Broken:
    """A case whose files cannot be used, and why."""

    name: str
    problem: str


@dataclass(frozen=True)
class Suite:
    """The cases of one trial, with the catalog that answers them: the trial, and those that its cases name."""

    folder: Path
    trial: Trial
    catalog: Catalog = field(repr=False)
    cases: tuple[Case | Broken, ...] = field(repr=False)

    @classmethod
    def load(cls, root: Path, trial: str) -> Suite:
        """The cases of the trial in `root`/`trial`; its status does not matter here.

        Raises ContentError, or a descendant, where the trial or one that its cases name cannot be loaded.
        """
        folder = root / trial
        cases = tuple(read_cases(folder))
        named = {name for case in cases if isinstance(case, Case) for name in case.trials}
        there = {name for name in named if (root / name / PLAN).is_file()}
        catalog = Catalog.load(root, annotations=True, only={trial, *there})
        active = {one.id: replace(one, status="active") for one in catalog}
        return cls(folder, active[trial], replace(catalog, trials=active), cases)

    def run(
        self, records: Records | None = None, kept: Kept | None = None, *, asserted_only: bool = False
    ) -> Iterator[CaseOutcome]:
        """What comes of each case, in order. `records` keeps the patients for the next time.

        With `kept` a case is not run again while nothing changes of what it expects something of; what it says of the
        rest may then be out of date. With `asserted_only` the rest is not answered at all.
        """
        records = records or Records()
        if kept is not None:
            kept.begin(self)
        for case in self.cases:
            if isinstance(case, Broken):
                yield CaseOutcome(case.name, problem=case.problem)
                continue
            found = kept.outcome(case) if kept is not None else None
            if found is None:
                found = self._run(case, records, self._asserted(case) if asserted_only else self.catalog)
            if kept is not None:
                kept.keep(case, found)
            yield found

    def _run(self, case: Case, records: Records, catalog: Catalog) -> CaseOutcome:
        try:
            return self._outcome(case, records.of(case), catalog)
        except CdsError as error:
            return CaseOutcome(case.name, case=case, problem=str(error))

    def _asserted(self, case: Case) -> Catalog:
        """The catalog with no more criteria than a case expects something of; a status follows from all of them."""
        trials = dict(self.catalog.trials)
        for name in {self.trial.id, *case.trials} & set(trials):
            if set(case.trials.get(name, ())) <= {"criteria"}:
                asserted = case.asserted(name)
                criteria = tuple(one for one in trials[name].criteria if one.id in asserted or one.disease)
                trials[name] = replace(trials[name], criteria=criteria)
        return replace(self.catalog, trials=trials)

    def _outcome(self, case: Case, record: PatientRecord, catalog: Catalog) -> CaseOutcome:
        ids = {self.trial.id, *case.trials} & set(catalog.trials)
        answer = match(catalog, record, now=case.now, first_dose=case.first_dose, trials=ids, all_criteria=True)
        answers = {one["trial"]: one for one in as_json(answer)["trials"]}
        if case.conversion and self.trial.id in answers:
            evaluation = evaluate_record(self.catalog, record, now=case.now, first_dose=case.first_dose)
            answers[self.trial.id]["criteria"] += list(_conversion(self.trial, evaluation))
        wanted = dict(case.trials)
        if case.conversion:
            own = wanted.get(self.trial.id, {})
            wanted[self.trial.id] = {**own, "criteria": {**own.get("criteria", {}), **case.conversion}}
        differences = [one for trial, given in wanted.items() for one in _compared(trial, given, answers.get(trial))]
        return CaseOutcome(case.name, answers, tuple(differences), case)


def _conversion(trial: Trial, evaluation: Evaluation) -> Iterator[Json]:
    """The criteria of the conversion decision, each with the outcome that its definition's value says."""
    for criterion in trial.conversion:
        try:
            value = evaluation.value(trial.logic[criterion.id].answer)
            outcome, reason = _VALUES.get(value, Outcome.UNKNOWN), None
        except EvaluationError as error:
            outcome, reason = Outcome.UNKNOWN, f"could not be evaluated: {error}"
        yield {"id": criterion.id, "title": criterion.title, "outcome": outcome.value, "reason": reason}


class Records:
    """The patients of cases, each read once while its file and the case's moment stay what they are."""

    def __init__(self) -> None:
        self._held: dict[Path, tuple[tuple[int, int, datetime], PatientRecord]] = {}

    def of(self, case: Case) -> PatientRecord:
        """The patient of a case. Raises ContentError where the file holds none."""
        try:
            state = case.bundle.stat()
            key = (state.st_mtime_ns, state.st_size, case.now)
            held = self._held.get(case.bundle)
            if held is None or held[0] != key:
                record = PatientRecord.from_bundle(read_content(case.bundle), now=case.now)
                held = self._held[case.bundle] = (key, record)
        except OSError as error:
            raise ContentError(f"cannot be read: {error.strerror}", where=str(case.bundle)) from error
        except RecordError as error:
            raise ContentError(str(error), where=str(case.bundle)) from error
        return held[1]


class Kept:
    """The outcomes of cases, kept while nothing that they rest on changes: the logic, the patient, what is expected."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[object, CaseOutcome]] = {}
        self._logic: Mapping[tuple[str, str], str] = {}

    def begin(self, suite: Suite) -> None:
        """Looks at the logic of the suite that is run next."""
        root = suite.folder.parent
        self._logic = fingerprints(suite.catalog, [root / SHARED, *(root / trial for trial in suite.catalog.trials)])

    def outcome(self, case: Case) -> CaseOutcome | None:
        """The outcome of the last time; None where something has changed since."""
        state, found = self._held.get(case.name, (None, None))
        return found if state == self._state(case) else None

    def keep(self, case: Case, outcome: CaseOutcome) -> None:
        """Keeps an outcome for the next time."""
        self._held[case.name] = (self._state(case), outcome)

    def _state(self, case: Case) -> object:
        asserted = {
            key: text
            for key, text in self._logic.items()
            if key[1] in case.asserted(key[0]) or set(case.trials.get(key[0], ())) - {"criteria"}
        }
        return case, case.bundle.stat().st_mtime_ns if case.bundle.is_file() else None, asserted


# ---------------------------------------------------------------- reading


def trial_folders(paths: Iterable[Path]) -> list[tuple[Path, str]]:
    """The trials that paths name, each as its content folder and id; a content folder stands for all its trials.

    Raises ContentError for a path that is neither.
    """
    found: dict[tuple[Path, str], None] = {}
    for path in paths:
        if (path / PLAN).is_file():
            own = path.resolve()
            found[path.parent if path.name == own.name else own.parent, own.name] = None
            continue
        trials = sorted(plan.parent for plan in path.glob(f"*/{PLAN}"))
        if not trials:
            raise ContentError(
                f"holds no {PLAN}, and no folder in it does", where=str(path), remedy="name a trial's folder"
            )
        found |= {(path, trial.name): None for trial in trials}
    return list(found)


def read_cases(folder: Path) -> Iterator[Case | Broken]:
    """The cases in a trial's folder, by name. One that cannot be used is Broken, and says why."""
    files = sorted((folder / CASES).glob("*.json"))
    expected = {path.name.removesuffix(EXPECTED): path for path in files if path.name.endswith(EXPECTED)}
    bundles = {path.name.removesuffix(BUNDLE): path for path in files if not path.name.endswith(EXPECTED)}
    for name in sorted({*expected, *bundles}):
        try:
            yield _case(name, folder / CASES, bundles, expected)
        except ContentError as error:
            yield Broken(name, str(error))


def _case(name: str, folder: Path, bundles: Mapping[str, Path], expected: Mapping[str, Path]) -> Case:
    for held, ending in ((bundles, BUNDLE), (expected, EXPECTED)):
        if name not in held:
            raise ContentError("is not there", where=str(folder / f"{name}{ending}"), remedy="a case is two files")
    path = expected[name]
    content = read_content(path)

    def wrong(place: str, message: str, remedy: str | None = None) -> ContentError:
        return ContentError(message, where=f"{path}: {place}" if place else str(path), remedy=remedy)

    if not isinstance(content, dict):
        raise wrong("", "is not a JSON object")
    for key in content:
        if key not in _KEYS:
            raise wrong(key, "is not known", f"a case has: {', '.join(_KEYS)}")
    for place, given in _expectations(content):
        if not isinstance(given, dict):
            raise wrong(place, "is not a JSON object")
        for key, words in _WORDS.items():
            if key in given and given[key] not in words:
                raise wrong(f"{place}.{key}", f"is {given[key]!r}", f"one of: {', '.join(words)}")
    try:
        now = datetime.fromisoformat(content["now"])
        first_dose = date.fromisoformat(content["firstDose"])
    except (KeyError, TypeError, ValueError) as error:
        raise wrong(
            "now, firstDose", "are not both there, as ISO 8601 texts", '"2026-11-20T12:00:00Z" and "2026-11-20"'
        ) from error
    now = now if now.tzinfo else now.replace(tzinfo=UTC)
    return Case(name, bundles[name], path, now, first_dose, content.get("trials", {}), content.get("conversion", {}))


def _expectations(content: Json) -> Iterator[tuple[str, Any]]:
    """All that has to be an object, with its place; what is in one that is none is passed over."""
    for section in ("trials", "conversion"):
        yield section, content.get(section, {})
        for name, given in _items(content.get(section)):
            yield f"{section}.{name}", given
            yield f"{section}.{name}.criteria", given.get("criteria", {}) if isinstance(given, dict) else {}
            for criterion, parts in _items(given.get("criteria")) if isinstance(given, dict) else ():
                yield f"{section}.{name}.criteria.{criterion}", parts


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, dict) else ()


def read_content(path: Path) -> Any:
    """The JSON in a file. ContentError, with line and column, for what is none."""
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ContentError(f"is no JSON: {error.msg}", where=f"{path}:{error.lineno}:{error.colno}") from error
    except OSError as error:
        raise ContentError(f"cannot be read: {error.strerror}", where=str(path)) from error


# ---------------------------------------------------------------- comparing


def _compared(trial: str, wanted: Json, answer: Json | None) -> Iterator[Difference]:
    """Where an answer is otherwise than wanted; only what is wanted is looked at."""
    if answer is None:
        yield Difference(trial, None, "trial", "answered", "there is no such trial beside this one")
        return
    parts = {name: value for name, value in wanted.items() if name != "criteria"}
    yield from (Difference(trial, None, *one) for one in _different(parts, answer))
    given = {one["id"]: one for one in answer["criteria"]}
    for criterion, parts in wanted.get("criteria", {}).items():
        if criterion not in given:
            yield Difference(trial, criterion, "criterion", "answered", "the trial has no such criterion")
        else:
            yield from (Difference(trial, criterion, *one) for one in _different(parts, given[criterion]))


def _different(wanted: Json, given: Json) -> Iterator[tuple[str, Any, Any]]:
    for part, value in wanted.items():
        if part not in given:
            yield part, value, "no such part of an answer"
        elif given[part] != value:
            yield part, value, given[part]


# ---------------------------------------------------------------- explaining


class Explainer:
    """Says of differences what decided; the trial's libraries are compiled for it once, when first needed."""

    def __init__(self, suite: Suite, records: Records | None = None) -> None:
        self._suite = suite
        self._records = records or Records()
        self._traced: Libraries | None = None

    def why(self, outcome: CaseOutcome, difference: Difference) -> str:
        """Why it came out as it did, in words; "" where nothing can be said."""
        case, trial = outcome.case, self._suite.catalog.trials.get(difference.trial)
        if case is None or trial is None or difference.trial not in outcome.answers:
            return ""
        if difference.criterion is None:
            return _why_status(outcome.answers[trial.id])
        if difference.criterion not in trial.logic:
            return f"the criteria are: {', '.join(trial.logic)}"
        record = self._records.of(case)
        given = outcome.outcomes(trial.id)[difference.criterion]
        libraries = self._libraries()
        moments = {"now": case.now, "first_dose": case.first_dose}
        if difference.criterion in {criterion.id for criterion in trial.conversion}:
            answer = trial.logic[difference.criterion].answer
            plain = evaluate_record(self._suite.catalog, record, now=case.now, first_dose=case.first_dose)
            step = TracedEvaluation.like(plain, libraries).trace(answer.library.id, answer.name)
            return str(given["reason"] or because(step, record))
        asked = [difference.criterion]
        found = explain(self._suite.catalog, record, trial.id, **moments, criteria=asked, libraries=libraries)  # type: ignore[arg-type]
        told = [f"{one.because} [{', '.join(one.cited)}]" if one.cited else one.because for one in found.criteria]
        return "; ".join(told)

    def _libraries(self) -> Libraries:
        if self._traced is None:
            self._traced = traced(self._suite.catalog.libraries, own_libraries(self._suite.catalog))
        return self._traced


def own_libraries(trials: Iterable[Trial]) -> list[Library]:
    """The libraries that the criteria of some trials name."""
    return list(dict.fromkeys(logic.answer.library for trial in trials for logic in trial.logic.values()))


def _why_status(answer: Json) -> str:
    """The criteria that a status follows from."""
    told = []
    for outcome, words in ((Outcome.NOT_MET, "not met"), (Outcome.UNKNOWN, "unknown")):
        ids = [one["id"] for one in answer["criteria"] if one["outcome"] == outcome.value]
        if ids:
            told.append(f"{words}: {', '.join(ids)}")
    if answer.get("recordIncomplete"):
        told.append("the registry record is incomplete")
    return "; ".join(told) or "all criteria are met or do not apply"
