"""What came of running a trial's cases, as it is shown: rows of criteria by cases, differences told, coverage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cds.authoring.cases import CaseOutcome, Difference, Explainer, Kept, Records, Suite, own_libraries
from cds.authoring.coverage import LibraryCoverage, coverage
from cds.trials.catalog import Trial

Json = dict[str, Any]

#: The row of the trial's status, and what a cell holds of a case that could not be run.
STATUS = "status"
ERROR = "error"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one criterion (or the status) is in one case: its value, whether the case says what it should be, and
    whether it is something else."""

    value: str
    asserted: bool
    differs: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One criterion (or the status) in all cases."""

    id: str
    title: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A case that is not as expected: its number (from 1), and each difference with why it came out so."""

    number: int
    outcome: CaseOutcome
    differences: tuple[tuple[Difference, str], ...]


@dataclass(frozen=True)
class Ran:
    """The outcomes of a trial's cases in order; `coverage` is empty where it was not asked for."""

    suite: Suite = field(repr=False)
    outcomes: tuple[CaseOutcome, ...] = field(repr=False)
    coverage: tuple[LibraryCoverage, ...] = field(repr=False)
    records: Records = field(repr=False)

    @property
    def trial(self) -> Trial:
        """The trial whose cases they are."""
        return self.suite.trial

    @property
    def as_expected(self) -> bool:
        """Whether every case was run and none differs."""
        return all(outcome.as_expected for outcome in self.outcomes)

    @property
    def own_coverage(self) -> tuple[LibraryCoverage, ...]:
        """The coverage of the trial's own CQL alone."""
        own = {library.id for library in own_libraries([self.trial])}
        return tuple(library for library in self.coverage if library.library in own)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The trial's status, its criteria in the order of the protocol, and those of the conversion decision."""
        criteria = [(one.id, one.title) for one in self.trial.criteria]
        if any(outcome.case and outcome.case.conversion for outcome in self.outcomes):
            criteria += [(one.id, one.title) for one in self.trial.conversion]
        given = [outcome.outcomes(self.trial.id) for outcome in self.outcomes]
        rows = [Row(STATUS, "the trial's status", tuple(map(self._status, self.outcomes)))]
        for criterion, title in criteria:
            cells = (
                self._cell(outcome, criterion, own.get(criterion))
                for outcome, own in zip(self.outcomes, given, strict=True)
            )
            rows.append(Row(criterion, title, tuple(cells)))
        return tuple(rows)

    def _status(self, outcome: CaseOutcome) -> Cell:
        if outcome.case is None or outcome.problem:
            return Cell(ERROR, False, True)
        value = outcome.answers.get(self.trial.id, {}).get(STATUS, "")
        return Cell(value, STATUS in outcome.case.trials.get(self.trial.id, {}), self._differs(outcome, None))

    def _cell(self, outcome: CaseOutcome, criterion: str, given: Json | None) -> Cell:
        if outcome.case is None or given is None:
            return Cell("", False, False)
        asserted = criterion in outcome.case.asserted(self.trial.id)
        return Cell(given["outcome"], asserted, self._differs(outcome, criterion))

    def _differs(self, outcome: CaseOutcome, criterion: str | None) -> bool:
        return any(one.trial == self.trial.id and one.criterion == criterion for one in outcome.differences)

    @cached_property
    def told(self) -> tuple[Told, ...]:
        """The cases that are not as expected, with why."""
        return tuple(self._told())

    def _told(self) -> Iterator[Told]:
        explainer = Explainer(self.suite, self.records)
        for number, outcome in enumerate(self.outcomes, 1):
            if not outcome.as_expected:
                told = tuple((one, explainer.why(outcome, one)) for one in outcome.differences)
                yield Told(number, outcome, told)

    def as_json(self) -> Json:
        """What came out, as JSON: a line for each case, and of each difference expected, actual and why."""
        told = {one.outcome.name: one for one in self.told}
        return {
            "trial": self.trial.id,
            "cases": len(self.outcomes),
            "asExpected": sum(outcome.as_expected for outcome in self.outcomes),
            "outcomes": [_case_json(self.trial.id, outcome, told.get(outcome.name)) for outcome in self.outcomes],
        }


def _case_json(trial: str, outcome: CaseOutcome, told: Told | None) -> Json:
    answer = outcome.answers.get(trial, {})
    found: Json = {"case": outcome.name, "asExpected": outcome.as_expected, "status": answer.get(STATUS)}
    found["criteria"] = {one["id"]: one["outcome"] for one in answer.get("criteria", ())}
    if outcome.problem:
        found["problem"] = outcome.problem
    if told is not None and told.differences:
        found["differences"] = [
            {
                "trial": one.trial,
                "criterion": one.criterion,
                "part": one.part,
                "expected": one.expected,
                "actual": one.actual,
                "because": why,
            }
            for one, why in told.differences
        ]
    return found


def run(
    suite: Suite,
    *,
    covered: bool = False,
    records: Records | None = None,
    kept: Kept | None = None,
    asserted_only: bool = False,
) -> Ran:
    """Runs all cases of a trial, and if `covered` says what of the CQL they cover.

    With `kept` what has not changed since the last time is not run again; with `asserted_only` what no case expects
    anything of is left out. The differences are the same, and sooner there.
    """
    records = records or Records()
    outcomes = tuple(suite.run(records, kept, asserted_only=asserted_only))
    return Ran(suite, outcomes, coverage(suite, records) if covered else (), records)
