"""What a retrieve keeps besides its codes: tests of an id, a code, a date or another value (ELM, chapter 11).

A filter is compiled to a function of the frame that gives the test of one resource: what it compares with is
evaluated once for each retrieve, not for each resource.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cds.elm.compiler import Compiler
from cds.elm.evaluation import Evaluation, Frame, located
from cds.elm.library import Run
from cds.elm.nodes.literals import Step, at, steps_of
from cds.elm.nodes.terminology import pairs_of, value_set
from cds.elm.operators import OPERATORS
from cds.elm.ports import Pair, Structured, Value
from cds.elm.types import Json
from cds.elm.values import CodeSystemRef, Date, DateTime, Interval, Quantity, ValueSetRef
from cds.errors import EvaluationError

Test = Callable[[Value], bool]
Filter = Callable[[Frame], Test]

_COMPARATORS = {
    "=": "Equal",
    "~": "Equivalent",
    "<": "Less",
    "<=": "LessOrEqual",
    ">": "Greater",
    ">=": "GreaterOrEqual",
    "in": "In",
}
#: How a code may be compared with a terminology; each of the three compares system and code.
CODE_COMPARATORS = (None, "in", "=", "~")


def filters(compiler: Compiler, node: Json) -> list[Filter]:
    """The filters of a retrieve apart from its codes, in the order in which ELM names them."""
    found = []
    if node.get("id"):
        found.append(_by_id(compiler, node))
    if node.get("dateRange"):
        properties = [node.get(name) for name in ("dateProperty", "dateLowProperty", "dateHighProperty")]
        found.append(_by_date(compiler, node, node["dateRange"], properties))
    for item in node.get("codeFilter") or ():
        compiler.check_clause(node, item, "a codeFilter", ("value", "property", "valueSetProperty", "comparator"))
        found.append(
            by_code(
                compiler, node, item["value"], item["property"], item.get("valueSetProperty"), item.get("comparator")
            )
        )
    for item in node.get("dateFilter") or ():
        compiler.check_clause(node, item, "a dateFilter", ("value", "property", "lowProperty", "highProperty"))
        properties = [item.get(name) for name in ("property", "lowProperty", "highProperty")]
        found.append(_by_date(compiler, node, item["value"], properties))
    for item in node.get("otherFilter") or ():
        compiler.check_clause(node, item, "an otherFilter", ("value", "property", "comparator"))
        found.append(_by_value(compiler, node, item))
    return found


def kept(run: Run, tests: Sequence[Filter], place: str) -> Run:
    """A closure for those of what `run` retrieves that pass all the filters."""

    def filtered(frame: Frame) -> Value:
        found = run(frame)
        try:
            ready = [test(frame) for test in tests]
            return [item for item in found if all(test(item) for test in ready)]
        except Exception as error:
            raise located(error, place) from None

    return filtered


def by_code(
    compiler: Compiler, node: Json, codes: Json, path: str, set_path: str | None, comparator: str | None
) -> Filter:
    """A coded element at `path` that holds one of the codes; or, where it holds none, the value set's identifier
    at `set_path` (how data says that nothing of a value set was done)."""
    if comparator not in CODE_COMPARATORS:
        compiler.refuse(node, f"codes that are compared with {comparator!r}", "use in, = or ~")
    reference = value_set(compiler, codes) if codes.get("type") == "ValueSetRef" else None
    wanted = None if reference else compiler.compile(codes)
    steps, set_steps = _steps(compiler, node, path), _steps(compiler, node, set_path) if set_path else None
    convert = _conversion(compiler, node)

    def ready(frame: Frame) -> Test:
        vocabulary = reference or (wanted(frame) if wanted else None)
        texts = _texts(vocabulary)
        pairs = frozenset() if texts else pairs_among(frame[0], vocabulary)
        plain = texts or {code for _, code in pairs}

        def test(item: Value) -> bool:
            values = [convert(value) for value in at(item, steps)]
            if found := _texts(values):
                return not plain.isdisjoint(found)
            held = list(pairs_of(values))
            if texts:
                return any(code in texts for _, code in held)
            if held or set_steps is None or not isinstance(vocabulary, ValueSetRef):
                return not pairs.isdisjoint(held)
            return any(convert(value) == vocabulary.id for value in at(item, set_steps))

        return test

    return ready


def _texts(value: Value) -> frozenset[str]:
    """The codes that are written as texts alone, as in ``status in { 'active' }``."""
    items = value if isinstance(value, list) else [value]
    return frozenset(item for item in items if isinstance(item, str))


def pairs_among(evaluation: Evaluation, vocabulary: Value) -> frozenset[Pair]:
    """The codes that a code, concept, value set, code system, or a list of codes and concepts, stands for."""
    if isinstance(vocabulary, ValueSetRef):
        return frozenset(evaluation.terminology.value_set(vocabulary.id, vocabulary.version))
    if isinstance(vocabulary, CodeSystemRef):
        codes = evaluation.terminology.code_system(vocabulary.id, vocabulary.version)
        return frozenset((vocabulary.id, code) for code in codes)
    return frozenset(pairs_of(vocabulary))


def _by_id(compiler: Compiler, node: Json) -> Filter:
    wanted, steps = compiler.compile(node["id"]), _steps(compiler, node, node.get("idProperty") or "id")

    def ready(frame: Frame) -> Test:
        sought = _plain(wanted(frame))
        return lambda item: sought is not None and any(_plain(value) == sought for value in at(item, steps))

    return ready


def _by_date(compiler: Compiler, node: Json, period: Json, paths: Sequence[str | None]) -> Filter:
    """A point in the period, or an interval wholly in it; what has no date is left out (ELM Retrieve.dateProperty)."""
    path, low, high = (_steps(compiler, node, text) if text else None for text in paths)
    if (path is None) == (low is None and high is None):
        compiler.refuse(node, "a retrieve by dates that names no element, or names it twice")
    wanted, convert = compiler.compile(period), _conversion(compiler, node)

    def date_of(item: Value) -> Value:
        if path is not None:
            return next((convert(value) for value in at(item, path)), None)
        ends = [next(iter(at(item, steps)), None) if steps else None for steps in (low, high)]
        return None if ends == [None, None] else Interval(convert(ends[0]), convert(ends[1]), True, True)

    def ready(frame: Frame) -> Test:
        within = _period(frame[0], wanted(frame))
        return lambda item: _during(frame[0], date_of(item), within)

    return ready


def _period(evaluation: Evaluation, value: Value) -> Value:
    """The period of a filter: as it is; of a moment that alone; of a duration the time up to now."""
    if isinstance(value, Quantity):
        now = evaluation.now
        return Interval(OPERATORS["Subtract"].function(now, value), now, True, True)
    return Interval(value, value, True, True) if isinstance(value, (Date, DateTime)) else value


def _during(evaluation: Evaluation, date: Value, period: Value) -> bool:
    if not isinstance(date, (Date, DateTime, Interval)) or not isinstance(period, Interval):
        return False
    if isinstance(period.low, DateTime) or isinstance(period.high, DateTime):
        date = _with_time(evaluation, date)
    else:
        period = _with_time(evaluation, period) if _has_time(date) else period
    operator = OPERATORS["IncludedIn" if isinstance(date, Interval) else "In"]
    return operator.function(date, period, precision=None) is True


def _has_time(date: Value) -> bool:
    ends = (date.low, date.high) if isinstance(date, Interval) else (date,)
    return any(isinstance(end, DateTime) for end in ends)


def _with_time(evaluation: Evaluation, date: Value) -> Value:
    """A Date, or an interval of Dates, as DateTimes."""
    if isinstance(date, Interval):
        low, high = _with_time(evaluation, date.low), _with_time(evaluation, date.high)
        return Interval(low, high, date.low_closed, date.high_closed)
    return OPERATORS["ToDateTime"].function(evaluation, date) if isinstance(date, Date) else date


def _by_value(compiler: Compiler, node: Json, item: Json) -> Filter:
    name = _COMPARATORS.get(str(item.get("comparator")).lower())
    if name is None:
        compiler.refuse(node, f"a filter that compares with {item.get('comparator')!r}")
    operator, convert = OPERATORS[name], _conversion(compiler, node)
    wanted, steps = compiler.compile(item["value"]), _steps(compiler, node, item["property"])
    settings = dict.fromkeys(operator.settings)

    def ready(frame: Frame) -> Test:
        value = wanted(frame)
        return lambda item: any(
            operator.function(convert(found), value, **settings) is True for found in at(item, steps)
        )

    return ready


def _conversion(compiler: Compiler, node: Json) -> Callable[[Value], Value]:
    """The data model's own conversion of an element to a System value; of anything else, nothing is to be done."""
    model = compiler.model
    convert = model.native("FHIRHelpers", "ToValue") if model is not None else None
    if convert is None:
        compiler.refuse(node, "a filter of a retrieve in this data model")
    return convert


def _steps(compiler: Compiler, node: Json, path: str) -> tuple[Step, ...]:
    steps = steps_of(path)
    if steps is None:
        compiler.refuse(node, f"the path {path!r}", "write names and whole numbers: name[0].given")
    return steps


def _plain(value: Value) -> Value:
    if isinstance(value, Structured):
        return value.get("value")
    if isinstance(value, list):
        raise EvaluationError("a retrieve asks for one id")
    return value
