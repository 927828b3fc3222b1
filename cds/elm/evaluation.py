"""One patient's evaluation: definitions answered once each, with what they need from outside.

An `Evaluation` holds everything that differs between two patients or two moments; compiled libraries hold none of
it and are shared. The first value of every frame is the running evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from cds.elm.budget import EXHAUSTED, REMEDY, RUNNING, UNLIMITED
from cds.elm.ports import Model, Retriever, Terminology, Value
from cds.elm.values import Date, DateTime, Time
from cds.errors import CdsError, EvaluationError

if TYPE_CHECKING:
    from cds.elm.library import Definition, Libraries, Parameter

Frame = list[Any]


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


#: A result or a let that has not been asked for yet; no CQL value.
UNSET: Final = _Unset()


class _Results(dict[int, Value]):
    """What has been answered, by the index of the definition: as large as what was asked, not as the catalog."""

    __slots__ = ()

    def __missing__(self, index: int) -> Value:
        return UNSET


class Evaluation:
    """Answers definitions for one patient at one moment; every answer, and every failure, is kept.

    `now` is the moment of the request (CQL's Now) and fixes the time zone. `parameters` go by name to every library
    that declares them. `budget` bounds the steps (`cds.elm.budget`) that each definition may spend by itself, and
    `total` those of all together (None: no bound). What a definition refers to spends its own: so one that runs away
    fails whoever asks for it, and no other.
    """

    __slots__ = (
        "_failures",
        "budget",
        "calls",
        "libraries",
        "model",
        "now",
        "parameters",
        "remaining",
        "results",
        "retriever",
        "terminology",
        "timezone_offset",
        "total",
    )

    def __init__(
        self,
        libraries: Libraries,
        retriever: Retriever,
        terminology: Terminology,
        now: DateTime | datetime,
        parameters: Mapping[str, Value] | None = None,
        budget: int | None = None,
        total: int | None = None,
    ) -> None:
        self.libraries = libraries
        self.model: Model | None = libraries.model
        self.retriever = retriever
        self.terminology = terminology
        self.now: DateTime = _date_time(now) if isinstance(now, datetime) else now
        self.timezone_offset: int = self.now.offset or 0
        self.budget = UNLIMITED if budget is None else budget
        self.total = UNLIMITED if total is None else total
        #: The steps that the definition now running may still spend.
        self.remaining = min(self.budget, self.total)
        self.results: dict[int, Value] = _Results()
        #: What functions gave that are answered once for each operand. It is held, so that its id stays its own.
        self.calls: dict[tuple[object, object], tuple[Value, Value]] = {}
        self._failures: dict[int, EvaluationError] = {}
        self._give({name: _parameter(value) for name, value in (parameters or {}).items()})

    def again(self, parameters: Mapping[str, Value], kept: Mapping[int, Value], total: int) -> Evaluation:
        """An evaluation of the same patient and moment with other parameters, which may spend `total` steps.

        `kept` are answers of definitions that do not rest on the parameters, by index.
        """
        again = Evaluation(self.libraries, self.retriever, self.terminology, self.now, None, self.budget, total)
        again.results.update(kept)
        again._give({**self.parameters, **parameters})
        return again

    def _give(self, parameters: Mapping[str, Value]) -> None:
        self.parameters = dict(parameters)
        for name, value in self.parameters.items():
            for parameter in self.libraries.declared(name):
                self.results[parameter.index] = value

    def evaluate(self, library: str, name: str) -> Value:
        """The value of the definition `name` of a library (by identifier)."""
        return self.value(self.libraries[library].definition(name))

    def value(self, definition: Definition | Parameter) -> Value:
        """The value of a definition. Raises EvaluationError, the same one each time, where it fails."""
        value = self.results[definition.index]
        return self.answer(definition) if value is UNSET else value

    def answer(self, definition: Definition | Parameter) -> Value:
        """Evaluates a definition that has no result yet, and keeps what comes out."""
        index = definition.index
        failure = self._failures.get(index)
        if failure is not None:
            raise failure.with_traceback(None)
        frame: Frame = [None] * definition.frame_size
        frame[0] = self
        outer, remaining = RUNNING.spender, self.remaining
        allowed = self.remaining = self.budget if self.budget < self.total else self.total
        if outer is not self:
            RUNNING.spender = self
        try:
            value = definition.run(frame)
        except Exception as error:
            failure = self._failures[index] = located(error, definition.place)
            raise failure from None
        finally:
            self.total -= allowed - self.remaining
            self.remaining = remaining
            if outer is not self:
                RUNNING.spender = outer
        self.results[index] = value
        return value

    @property
    def failed(self) -> bool:
        """Whether some definition that was asked for has failed."""
        return bool(self._failures)

    @property
    def today(self) -> Date:
        """The date of `now`, in its own time zone (CQL's Today)."""
        return Date(self.now.year, self.now.month, self.now.day)

    @property
    def time_of_day(self) -> Time:
        """The time of `now`, in its own time zone (CQL's TimeOfDay)."""
        now = self.now
        return Time(now.hour or 0, now.minute, now.second, now.millisecond)

    def spend(self, steps: int) -> None:
        """Counts `steps` of the running definition. Raises EvaluationError once its budget is used up."""
        self.remaining -= steps
        if self.remaining < 0:
            raise EvaluationError(EXHAUSTED, remedy=REMEDY)


def located(error: Exception, place: str) -> EvaluationError:
    """`error` as an EvaluationError of `place`; one that knows its place already is handed back.

    Our own errors keep their text; that of a foreign exception is left out: it can quote patient data.
    """
    if isinstance(error, EvaluationError):
        if error.where is None:
            error.where = place
        return error
    if isinstance(error, CdsError):
        return EvaluationError(error.message, where=place, remedy=error.remedy)
    if isinstance(error, RecursionError):
        return EvaluationError("the expression is nested too deeply to be evaluated", where=place)
    name = type(error).__name__
    return EvaluationError(f"the expression cannot be evaluated: {name}", where=place)


def _date_time(moment: datetime) -> DateTime:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    offset = moment.utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset is not None else 0
    parts = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    return DateTime(*parts, moment.microsecond // 1000, minutes)


def _parameter(value: Value) -> Value:
    if isinstance(value, datetime):
        return _date_time(value)
    if isinstance(value, date):
        return Date(value.year, value.month, value.day)
    return value
