"""Which sub-expressions decided a value: from a step down to the leaves that explain it.

``null and true`` is null by its null operand; ``false or null`` is open by its null one; an ``exists`` is false by the
rows that were left out, or by the source that holds nothing. What would have made no difference is left aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from cds.elm.evaluation import UNSET
from cds.elm.ports import Structured, Value
from cds.elm.trace import Row, State, Step
from cds.elm.values import Tuple

Part = Step | Row
Rule = Callable[[Step, Value], Sequence[Part]]

#: Nodes that hand on an element, or a list, as it is: what is asked of them is asked of their operands.
_HANDS_ON: Final = frozenset(
    (
        *("As", "Coalesce", "Distinct", "Except", "ExpressionDef", "ExpressionRef", "First", "Flatten", "Intersect"),
        *("Last", "List", "OperandRef", "ParameterDef", "ParameterRef", "Query", "QueryLetRef", "SingletonFrom"),
        *("Slice", "Sort", "ToList", "Union"),
    )
)


def deciding(step: Step, outcome: Value = UNSET) -> tuple[tuple[Part, ...], ...]:
    """The paths from a step to the leaves that explain its value; `outcome` is what `decisive` has it for.

    What two paths share is followed once: the second one ends where it comes to it.
    """
    seen: set[int] = set()

    def follow(part: Part, outcome: Value, path: tuple[Part, ...]) -> Iterator[tuple[Part, ...]]:
        path = (*path, part)
        parts = () if id(part) in seen else decisive(part, outcome)
        seen.add(id(part))
        if not parts:
            yield path
        for inner in parts:
            yield from follow(inner, passed_on(part, outcome), path)

    return tuple(follow(step, outcome, ()))


def leaves(paths: Iterable[tuple[Part, ...]]) -> list[tuple[Part, ...]]:
    """The paths that end at a leaf, not at what another one goes on from."""
    paths = list(paths)
    inner = {id(part) for path in paths for part in path[:-1]}
    return [path for path in paths if id(path[-1]) not in inner]


def decisive(part: Part, outcome: Value = UNSET) -> tuple[Part, ...]:
    """The parts of a step, or of a row, that decided it; none of a leaf.

    `outcome` is the three-valued answer that is to be explained, where the step is a list of answers: of such a list
    the ones that equal the outcome decide, if any do.
    """
    if isinstance(part, Row):
        return tuple(_of_row(part))
    if part.state is State.FAILED:
        return tuple(child for child in _all_within(part) if child.state is State.FAILED)
    if part.state is not State.EVALUATED or (part.kind != "ExpressionDef" and _is_data(part.value, outcome)):
        return ()
    return tuple(_RULES.get(part.kind, _strict)(part, outcome))


def _is_data(value: Value, outcome: Value) -> bool:
    """Whether a value speaks for itself: no answer, not empty, and no list that holds the answer to be explained."""
    if value is None or isinstance(value, bool):
        return False
    return not isinstance(value, list) or not (is_hollow(value) or _holds(value, outcome))


def is_hollow(value: Value) -> bool:
    """Whether a value is an empty list, or a list of nothing but such."""
    return isinstance(value, list) and all(map(is_hollow, value))


def _holds(value: list[Value], outcome: Value) -> bool:
    return any(item is outcome or (isinstance(item, list) and _holds(item, outcome)) for item in value)


def passed_on(part: Part, outcome: Value) -> Value:
    """The outcome that the parts of `part` have to explain."""
    if isinstance(part, Row) or part.kind in _HANDS_ON:
        return outcome
    return part.value if part.value is None or isinstance(part.value, bool) else UNSET


def resources(parts: Iterable[Part], is_resource: Callable[[str], bool]) -> list[Structured]:
    """The resources that `parts` hold, each once; of other data, the nearest ones that it was computed from.

    `is_resource` is asked with the qualified name of a type.
    """
    found: dict[int, Structured] = {}
    for part in parts:
        held = _grounds(part, is_resource) if isinstance(part, Step) else _of_items(part, is_resource)
        found.update((id(resource), resource) for resource in held)
    return list(found.values())


def _of_items(row: Row, is_resource: Callable[[str], bool]) -> Iterator[Structured]:
    for _, value in row.items:
        yield from _resources(value, is_resource)


def _grounds(step: Step, is_resource: Callable[[str], bool]) -> Iterator[Structured]:
    """The resources in a step's value; of an element, or of other data, those nearest below it."""
    waiting, seen = [step], set[int]()
    while waiting:
        below = waiting.pop(0)
        if id(below) in seen or below.state is not State.EVALUATED:
            continue
        seen.add(id(below))
        held = [*_resources(below.value, is_resource), *_resources(below.subject, is_resource)]
        yield from held
        if not held and (below is not step or below.kind == "Property" or _is_data(step.value, UNSET)):
            waiting += [*below.children, *([below.origin] if below.origin else [])]


def _resources(value: Value, is_resource: Callable[[str], bool]) -> Iterator[Structured]:
    if isinstance(value, Structured):
        if is_resource(value.type_name):
            yield value
    elif isinstance(value, list | Tuple):
        for item in value.values() if isinstance(value, Tuple) else value:
            yield from _resources(item, is_resource)


def _all_within(step: Step) -> list[Step]:
    rows = step.rows.shown if step.rows else ()
    within = [*step.children, *(inner for row in rows for inner in row.steps)]
    return [*within, step.origin] if step.origin else within


def _evaluated(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if step.state is State.EVALUATED]


def _strict(step: Step, outcome: Value) -> Sequence[Part]:
    """A null comes of the null operands; any other value of all that are no constants."""
    if step.rows is not None and step.rows.shown:
        return step.rows.shown
    operands = _evaluated(step.children)
    return [child for child in operands if step.value is None and child.value is None] or operands


def _alike(step: Step, outcome: Value) -> Sequence[Part]:
    """And, Or: the operands that have the value, which is all of them where none could decide alone."""
    return [child for child in _evaluated(step.children) if child.value is step.value]


def _implies(step: Step, outcome: Value) -> Sequence[Part]:
    children = _evaluated(step.children)
    if step.value is True:
        return [child for child in children if child.value is (child is not step.children[0])]
    return [child for child in children if step.value is False or child.value is None]


def _if(step: Step, outcome: Value) -> Sequence[Part]:
    """The branch taken; where that is a constant, what led to it; and a condition that was open."""
    branches = [child for child in _evaluated(step.children) if child.field in ("then", "else")]
    conditions = [child for child in step.children if child.field == "condition" and child.state is State.EVALUATED]
    return [*(child for child in conditions if not branches or child.value is None), *branches]


def _case(step: Step, outcome: Value) -> Sequence[Part]:
    """The branch taken; where that is a constant, what led to it; and the conditions that were open on the way."""
    children = _evaluated(step.children)
    taken = [child for child in children if child.field in ("caseItem.then", "else")]
    whens = [child for child in children if child.field == "caseItem.when"]
    comparand = [child for child in children if child.field == "comparand"]
    if comparand:
        return [*comparand, *taken]
    if taken:
        return [*(when for when in whens if when.value is None), *taken]
    matched = bool(whens) and whens[-1].value is True
    return [when for when in whens if when.value is None or not matched or when is whens[-1]]


def _coalesce(step: Step, outcome: Value) -> Sequence[Part]:
    children = _evaluated(step.children)
    return [child for child in children if child.value is not None][:1] if step.value is not None else children


def _exists(step: Step, outcome: Value) -> Sequence[Part]:
    if step.rows is None:
        return _strict(step, outcome)
    rows = step.rows.shown
    wanted = True if step.value is True else None
    return [row for row in rows if row.kept is wanted] or rows or _evaluated(step.children)


def _query(step: Step, outcome: Value) -> Sequence[Part]:
    """The rows whose result is the outcome, else those kept; without any, what was left out, or the source."""
    rows = step.rows.shown if step.rows else ()
    kept = [row for row in rows if row.kept is True]
    if outcome is None or isinstance(outcome, bool):
        same = [row for row in kept if any(inner.value is outcome for inner in row.steps if _is_result(inner))]
        if same:
            return same
    if kept:
        return kept
    return [row for row in rows if row.kept is None] or rows or _evaluated(step.children)


def _list(step: Step, outcome: Value) -> Sequence[Part]:
    children = _evaluated(step.children)
    if outcome is None or isinstance(outcome, bool):
        return [child for child in children if child.value is outcome] or children
    return children


def _of_row(row: Row) -> Sequence[Part]:
    steps = _evaluated(row.steps)
    results = [step for step in steps if _is_result(step)]
    if row.kept and results:
        return results
    conditions = [step for step in steps if step.field in ("where", "condition")]
    return conditions or [step for step in steps if not _is_result(step)]


def _is_result(step: Step) -> bool:
    return step.field in ("return.expression", "element", "aggregate.expression", "iteration")


def _reference(step: Step, outcome: Value) -> Sequence[Part]:
    return [step.origin] if step.origin else _evaluated(step.children)


def _property(step: Step, outcome: Value) -> Sequence[Part]:
    """An element of a tuple comes of where it was made; of anything else, of what is null below it."""
    if step.origin is not None:
        return [step.origin]
    base = step
    while base.children and (base is step or base.kind in ("Property", "As") or base.implicit):
        base = base.children[0]
        if base.origin is not None and base.kind == "Property":
            return [base]
    return [base] if base is not step and base.value is None and base.kind != "Property" else []


def _call(step: Step, outcome: Value) -> Sequence[Part]:
    """The operands that the function's body rests on, and the body; without it, where it does but join answers."""
    operands = [child for child in step.children if child.field == "operand"]
    bodies = [child for child in _evaluated(step.children) if child.field != "operand"]
    if not bodies:
        return _strict(step, outcome)
    reached = list(_leaves(bodies[0], outcome))
    asked = {id(leaf.origin) for leaf in reached if isinstance(leaf, Step) and leaf.kind == "OperandRef"}
    found = [child for child in _evaluated(operands) if id(child) in asked]
    lists = [child for child in found if isinstance(child.value, list)]
    elsewhere = any(isinstance(leaf, Step) and leaf.kind not in ("OperandRef", "AliasRef") for leaf in reached)
    return found if found and found == lists and not elsewhere else [*found, *bodies]


def _leaves(body: Step, outcome: Value) -> Iterator[Part]:
    """The leaves of a function's body that decided it, and the operands that queries on the way go over."""
    for path in deciding(body, outcome):
        yield path[-1]
        for part in path:
            if isinstance(part, Step) and part.rows is not None:
                yield from (child for child in part.children if child.kind == "OperandRef")


_RULES: Final[dict[str, Rule]] = {
    "And": _alike,
    "Or": _alike,
    "Implies": _implies,
    "If": _if,
    "Case": _case,
    "Coalesce": _coalesce,
    "Exists": _exists,
    "Query": _query,
    "List": _list,
    "Tuple": lambda step, outcome: [],
    "Retrieve": lambda step, outcome: [],
    "AliasRef": lambda step, outcome: [],
    "OperandRef": lambda step, outcome: [],
    "ExpressionDef": lambda step, outcome: step.children,
    "ParameterDef": lambda step, outcome: step.children,
    "ExpressionRef": _reference,
    "IdentifierRef": _reference,
    "ParameterRef": _reference,
    "QueryLetRef": _reference,
    "Property": _property,
    "FunctionRef": _call,
}
