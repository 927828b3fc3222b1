"""Clinical operators (CQL 1.5, Logical Specification, chapter 23): ages. Membership of value sets is the compiler's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cds.elm.operators import operator
from cds.elm.operators.date_time import duration_between
from cds.elm.ports import Structured, Value
from cds.elm.values import DateTime

if TYPE_CHECKING:
    from cds.elm.evaluation import Evaluation


@operator("CalculateAge", settings=("precision",), context=True)
def calculate_age(evaluation: Evaluation, birth: Value, *, precision: str | None = None) -> Value:
    """23.3 CalculateAge: now; of a birth date that is not precise enough, an uncertainty."""
    now = evaluation.now
    return calculate_age_at(birth, now if isinstance(_plain(birth), DateTime) else now.date, precision=precision)


@operator("CalculateAgeAt", settings=("precision",))
def calculate_age_at(birth: Value, moment: Value, *, precision: str | None = None) -> Value:
    """23.4 CalculateAgeAt."""
    return duration_between(_plain(birth), moment, precision=precision or "Year")


def _plain(value: Value) -> Value:
    return value.get("value") if isinstance(value, Structured) else value
