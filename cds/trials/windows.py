"""The days on which a trial's windows clear: its criteria, asked again for later first doses.

The same definitions are evaluated for a first dose that moves (`cds.elm.values.moving`), which tells until when a
criterion's outcome stays what it is. So what is found is what a scan of every day would find, at the cost of the days
on which something changes; that a window has cleared need not mean that it stays clear.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from operator import attrgetter
from typing import Any

from cds.elm import Evaluation
from cds.elm.ports import Value
from cds.elm.values.moving import Watch
from cds.trials.catalog import FIRST_DOSE, Logic, Trial
from cds.trials.eligibility import Criterion, CriterionResult, Outcome

#: How far ahead a first dose is looked for: five years.
_YEARS = 5
#: How far ahead the day is looked for on which a criterion clears: the longest window is five years, and of what
#: began in it the year alone may be known.
_YEARS_OF_A_CRITERION = 6
#: Steps (`cds.elm.budget`) that may be spent on the days of one criterion. One that is not found so has none.
_BUDGET = 300_000

Judge = Callable[[Criterion, Logic, Evaluation], CriterionResult]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Days (as ordinals, `end` not among them) for which a first dose has the same result."""

    start: int
    end: int
    result: CriterionResult


_start = attrgetter("start")


@dataclass(slots=True)
class _Course:
    """What is known of one criterion at later first doses; `steps` may still be spent to know more."""

    stretches: list[_Stretch] = field(default_factory=list)
    steps: int = _BUDGET


class Windows:
    """One patient's criteria of one trial at later first doses.

    `evaluation` is that of the planned first dose; `judge` says what a criterion's definitions come to, and
    `is_clear` whether that leaves nothing open that time can settle.
    """

    def __init__(
        self,
        trial: Trial,
        evaluation: Evaluation,
        first_dose: date,
        judge: Judge,
        is_clear: Callable[[CriterionResult], bool],
    ) -> None:
        self._trial = trial
        self._evaluation = evaluation
        self._first_dose = first_dose
        self._judge = judge
        self._is_clear = is_clear
        self._end = _years_after(first_dose, _YEARS_OF_A_CRITERION)
        self._bounds: dict[Any, tuple[int, int]] = {}
        self._kept: dict[int, Value] | None = None
        self._courses: dict[str, _Course] = {}

    def clears_on(self, result: CriterionResult) -> date | None:
        """The first later first dose at which a criterion that is not met, or open, is clear; None without one."""
        if result.criterion.id not in self._trial.dated or self._is_clear(result):
            return None
        for stretch in self._stretches(result.criterion):
            if self._is_clear(stretch.result):
                return date.fromordinal(stretch.start)
        return None

    def eligible_from(self, results: Collection[CriterionResult]) -> date | None:
        """The earliest first dose at which no criterion is not met, and all that are not met now are clear.

        None where there is none within five years. What fails now and would merely be unknown later (a positive test
        that grows old) brings no day.
        """
        failing = {result.criterion.id: result for result in results if result.outcome is Outcome.NOT_MET}
        clearing = [result.clears_on for result in failing.values() if result.clears_on is not None]
        if len(clearing) < len(failing):
            return None
        day = max(clearing, default=self._first_dose).toordinal()
        if not failing:
            return self._first_dose
        moving = [result.criterion for result in results if result.criterion.id in self._trial.dated]
        last = _years_after(self._first_dose, _YEARS).toordinal()
        while day <= last:
            barred = day
            for criterion in moving:
                stretch = self._at(criterion, barred)
                if stretch is None:
                    return None
                outcome_bars = stretch.result.outcome is Outcome.NOT_MET
                if outcome_bars or (criterion.id in failing and not self._is_clear(stretch.result)):
                    barred = stretch.end
            if barred == day:
                return date.fromordinal(day)
            day = barred
        return None

    def _stretches(self, criterion: Criterion) -> Iterator[_Stretch]:
        """The days behind the planned first dose, in order, as far as they can be told."""
        day = self._first_dose.toordinal() + 1
        while day <= self._end.toordinal():
            stretch = self._at(criterion, day)
            if stretch is None:
                return
            yield stretch
            day = stretch.end

    def _at(self, criterion: Criterion, day: int) -> _Stretch | None:
        """The stretch from that day on; None where the steps for the criterion are used up."""
        course = self._courses.setdefault(criterion.id, _Course())
        place = bisect_right(course.stretches, day, key=_start)
        if place and day < course.stretches[place - 1].end:
            return course.stretches[place - 1]
        if course.steps <= 0:
            return None
        watch = Watch(date.fromordinal(day), self._first_dose, self._end, self._bounds)
        evaluation = self._evaluation.again({FIRST_DOSE: watch.moving_date}, self._undated(), course.steps)
        result = self._judge(criterion, self._trial.logic[criterion.id], evaluation)
        course.steps = evaluation.total - 1
        if course.steps <= 0:
            return None
        stretch = _Stretch(day, watch.until, result)
        course.stretches.insert(place, stretch)
        return stretch

    def _undated(self) -> dict[int, Value]:
        """What has been answered already, and is the same for every first dose."""
        if self._kept is None:
            dated = self._trial.dated_definitions
            self._kept = {index: value for index, value in self._evaluation.results.items() if index not in dated}
        return self._kept


def _years_after(day: date, years: int) -> date:
    """The same day in so many years; behind 28 February where that year has no 29th."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28) + timedelta(days=1)
