"""The engine's answers beside the truth, and what became of each criterion over many patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from typing import Any

from cds.fhir.record import PatientRecord
from cds.trials.apply import evaluate_record, match
from cds.trials.catalog import Catalog

from . import hepatocellular, locally_advanced, recurrent_cervical, small_cell_lung
from .answers import PRESUMED, Answer, required
from .attesting import attested
from .clearing import NotSaidError, clears_on
from .facts import Attestation, Patient, Person

TRUTHS: dict[str, dict[str, Callable[[Patient], Answer | None]]] = {
    locally_advanced.TRIAL: locally_advanced.CRITERIA,
    recurrent_cervical.TRIAL: recurrent_cervical.CRITERIA,
    small_cell_lung.TRIAL: small_cell_lung.CRITERIA,
    hepatocellular.TRIAL: hepatocellular.CRITERIA | hepatocellular.CONVERSION,
}

Place = tuple[str, str]
#: The disease criterion of each trial, and the place of its status among the criteria.
DISEASE = {trial: "I3" if "I3" in criteria else "C1" for trial, criteria in TRUTHS.items()}
STATUS = "status"
#: The criteria of which data decide a part, and a person says the rest.
IN_PART = {(locally_advanced.TRIAL, id_) for id_ in ("I10", "E3", "E12", "E22")}


class Verdict(Enum):
    """How an answer stands to the truth."""

    RIGHT = "right"
    WRONG_VERIFIED = "wrong verified"
    UNKNOWN_THOUGH_DECIDED = "unknown though the data decide"
    PRESUMED_WRONGLY = "presumed wrongly"
    WRONG_DAY = "clears on another day"


def verdict(said: Answer, true: Answer) -> Verdict:
    """How what the engine said stands to what is true."""
    if said.outcome in true.outcomes and (true.basis is None or said.basis == true.basis):
        return Verdict.RIGHT
    if said.outcome == "unknown":
        return Verdict.UNKNOWN_THOUGH_DECIDED
    return Verdict.PRESUMED_WRONGLY if said.basis == PRESUMED else Verdict.WRONG_VERIFIED


@dataclass(frozen=True, slots=True)
class Said:
    """What the engine says of a criterion, and why where it says so."""

    answer: Answer
    reason: str | None = None
    clears_on: date | None = None


def answers(catalog: Catalog, bundle: Any, now: datetime, first_dose: date, trials: Iterable[str]) -> dict[Place, Said]:
    """What the engine says of each criterion of some trials, also of those that are not asked at entry."""
    record = PatientRecord.from_bundle(bundle, now=now)
    said = match(catalog, record, now=now, first_dose=first_dose, trials=tuple(trials), all_criteria=True)
    found = {
        (trial.trial, one.criterion.id): Said(Answer(one.outcome.value, one.basis.value), one.reason, one.clears_on)
        for trial in said.trials
        for one in trial.criteria
    }
    found |= {(trial.trial, STATUS): Said(Answer(trial.status.value, None)) for trial in said.trials}
    if hepatocellular.TRIAL in trials:
        found |= conversion(catalog, record, now, first_dose)
    return found


def conversion(catalog: Catalog, record: PatientRecord, now: datetime, first_dose: date) -> dict[Place, Said]:
    """What the engine says of the criteria of a conversion, which `match` never asks."""
    logic = catalog.trials[hepatocellular.TRIAL].logic
    evaluation = evaluate_record(catalog, record, now=now, first_dose=first_dose)
    values = {id_: evaluation.value(logic[id_].answer) for id_ in hepatocellular.CONVERSION}
    return {(hepatocellular.TRIAL, id_): Said(required(value)) for id_, value in values.items()}


def truths(patient: Patient, trials: Iterable[str]) -> dict[Place, Answer]:
    """What is true of each criterion and of the status of some trials; what the protocols do not say is left out."""
    found: dict[Place, Answer] = {}
    for trial in trials:
        computed = {id_: attested(patient, trial, id_, true(patient)) for id_, true in TRUTHS[trial].items()}
        computed[STATUS] = _status(patient, trial, computed)
        found |= {(trial, id_): answer for id_, answer in computed.items() if answer is not None}
    return found


def _status(patient: Patient, trial: str, computed: dict[str, Answer | None]) -> Answer | None:
    """The status of a trial for a patient; none is better than potentially eligible whose list was not supplied.

    What is not asked at entry does not count. Of a disease that is unknown it is not said here what is evidence.
    """
    disease = computed[DISEASE[trial]]
    if disease is None or disease.outcome == "unknown":
        return None
    if disease.outcome == "not-met":
        return Answer("not-applicable", None)
    asked = [answer for id_, answer in computed.items() if id_ not in hepatocellular.CONVERSION]
    if next(patient.true(Person)).died or any(answer and answer.outcome == "not-met" for answer in asked):
        return Answer("ineligible", None)
    if any(answer is None or " or " in answer.outcome for answer in asked):
        return None
    all_clear = trial == locally_advanced.TRIAL and all(answer and answer.outcome != "unknown" for answer in asked)
    return Answer("eligible" if all_clear else "potentially-eligible", None)


@dataclass(frozen=True, slots=True)
class Difference:
    """An answer that is not the truth."""

    trial: str
    criterion: str
    verdict: Verdict
    said: Answer
    true: Answer
    reason: str | None

    @property
    def place(self) -> Place:
        return self.trial, self.criterion

    def __str__(self) -> str:
        because = f" ({self.reason})" if self.reason else ""
        return f"{self.trial} {self.criterion}: {self.verdict.value}: said {self.said}{because}, true {self.true}"


@dataclass(slots=True)
class Tally:
    """How often each outcome and verdict was seen, by trial and criterion."""

    outcomes: Counter[tuple[Place, str]] = field(default_factory=Counter)
    verdicts: Counter[tuple[Place, Verdict]] = field(default_factory=Counter)

    def add(self, place: Place, said: Answer, seen: Verdict) -> None:
        self.outcomes[place, said.outcome] += 1
        self.verdicts[place, seen] += 1

    def wrong(self) -> int:
        """How many answers are not the truth."""
        return sum(number for (_, seen), number in self.verdicts.items() if seen is not Verdict.RIGHT)

    def rows(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Of each trial and criterion the numbers of `HEADINGS`, then the totals."""
        places = sorted({place for place, _ in self.verdicts}, key=_in_protocol_order)
        total = [0] * len(HEADINGS)
        for place in places:
            numbers = self._numbers(place)
            total = [sum(pair) for pair in zip(total, numbers, strict=True)]
            yield *place, numbers
        yield "all", "", tuple(total)

    def _numbers(self, place: Place) -> tuple[int, ...]:
        outcomes = tuple(self.outcomes[place, outcome] for outcome in OUTCOMES)
        return (
            sum(number for (at, _), number in self.verdicts.items() if at == place),
            *outcomes,
            *(self.verdicts[place, seen] for seen in Verdict if seen is not Verdict.RIGHT),
        )


def _in_protocol_order(place: Place) -> tuple[int, int, Place]:
    trials = list(TRUTHS)
    criteria = list(TRUTHS.get(place[0], ()))
    return (
        trials.index(place[0]) if place[0] in trials else 0,
        criteria.index(place[1]) if place[1] in criteria else len(criteria),
        place,
    )


OUTCOMES = ("met", "not-met", "unknown", "not-applicable")
HEADINGS = ("patients", *OUTCOMES, *(seen.value for seen in Verdict if seen is not Verdict.RIGHT))


def compare(
    catalog: Catalog, patient: Patient, bundle: Any, trials: Iterable[str], tally: Tally | None = None
) -> list[Difference]:
    """Where the engine's answers for a patient, written as `bundle`, are not the truth."""
    trials = tuple(trials)
    said = answers(catalog, bundle, patient.now, patient.first_dose, trials)
    differences = []
    for place, true in truths(patient, trials).items():
        seen = verdict(said[place].answer, true)
        if seen is Verdict.RIGHT and not _clears_rightly(patient, place, said, true):
            seen = Verdict.WRONG_DAY
        if tally is not None:
            tally.add(place, said[place].answer, seen)
        if seen is not Verdict.RIGHT:
            because = said[place].reason if seen is not Verdict.WRONG_DAY else str(said[place].clears_on)
            differences.append(Difference(*place, seen, said[place].answer, true, because))
    return differences


def _clears_rightly(patient: Patient, place: Place, said: dict[Place, Said], true: Answer) -> bool:
    """Whether a criterion that is not met, or open, clears when it does.

    Only trials that concern a living patient are asked; and of criteria that people answer in part it is not said here
    when what data say of them clears.
    """
    trial, criterion = place
    if criterion in (STATUS, *hepatocellular.CONVERSION) or true.outcome not in ("not-met", "unknown"):
        return True
    if said[trial, STATUS].answer.outcome == "not-applicable" or next(patient.true(Person)).died:
        return said[place].clears_on is None
    if place in IN_PART or any(
        one.trial == trial and criterion in dict(one.answers) for one in patient.true(Attestation)
    ):
        return True
    try:
        return said[place].clears_on == clears_on(patient, criterion, TRUTHS[trial][criterion])
    except NotSaidError:
        return True
