"""Clinical operators (CQL 1.5, Logical Specification, chapter 23): ages. Membership of value sets is the compiler's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cds.elm.operators import operator
from cds.elm.operators.date_time import duration_between
from cds.elm.operators.type import to_date_time
from cds.elm.ports import Structured, Value
from cds.elm.values import DateTime

if TYPE_CHECKING:
    from cds.elm.evaluation import Evaluation


#: Precisions of which a Date knows nothing: it stands for any time of its day.
_CLOCK = frozenset(("Hour", "Minute", "Second", "Millisecond"))


@operator("CalculateAge", settings=("precision",), context=True)
def calculate_age(evaluation: Evaluation, birth: Value, *, precision: str | None = None) -> Value:
    """23.3 CalculateAge: now; of a birth date that is not precise enough, an uncertainty (hours of it always are)."""
    now = evaluation.now
    is_timed = isinstance(_plain(birth), DateTime) or precision in _CLOCK
    return calculate_age_at(evaluation, birth, now if is_timed else now.date, precision=precision)


@operator("CalculateAgeAt", settings=("precision",), context=True)
def calculate_age_at(evaluation: Evaluation, birth: Value, moment: Value, *, precision: str | None = None) -> Value:
    """23.4 CalculateAgeAt."""
    birth = _plain(birth)
    if precision in _CLOCK:
        birth, moment = to_date_time(evaluation, birth), to_date_time(evaluation, moment)
    return duration_between(birth, moment, precision=precision or "Year")


def _plain(value: Value) -> Value:
    return value.get("value") if isinstance(value, Structured) else value
