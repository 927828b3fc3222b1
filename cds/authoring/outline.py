"""An outline of a trace for a person: what decided is spread out, the rest is folded and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cds.authoring.explain import file_of, in_words, label, place
from cds.elm.deciding import Part, deciding, is_hollow, leaves
from cds.elm.trace import Row, Rows, State, Step
from cds.fhir.record import PatientRecord

#: How many parts beside the deciding ones an `and`, `or`, `if` or `case` shows before it folds them.
_MOST_ASIDE = 6
#: How many rows that were kept are spread out; of those left out one stands for all.
_MOST_ROWS = 3
_SPREAD = frozenset(("And", "Or", "Implies", "Xor", "Not", "If", "Case"))


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of an outline and the lines under it.

    `sign` tells the value apart without colour: ``✓`` true, ``✗`` false, ``?`` null, ``=`` any other value, ``!`` an
    error, ``–`` not evaluated, ``+`` a row kept, ``-`` a row left out, ``…`` what is folded. `value` is the value in
    words, `place` ``file:line:column`` and `file` the file's whole path. `decides` marks what decided, `leaf` where
    that ends.
    """

    sign: str
    text: str
    value: str = ""
    place: str = ""
    file: str = ""
    decides: bool = False
    leaf: bool = False
    children: tuple[Branch, ...] = ()


def outline(step: Step, record: PatientRecord, *, everything: bool = False) -> Branch:
    """The outline of a definition's trace; `everything` folds nothing."""
    return _Outline(step, record, everything).root()


class _Outline:
    def __init__(self, step: Step, record: PatientRecord, everything: bool) -> None:
        paths = deciding(step)
        self._step, self._record, self._everything = step, record, everything
        self._on = {id(part) for path in paths for part in path}
        self._leaves = {id(path[-1]) for path in leaves(paths)}
        self._shown: set[int] = set()

    def root(self) -> Branch:
        return self._branch(self._step)

    def _branch(self, part: Part) -> Branch:
        if isinstance(part, Row):
            return self._row(part)
        named = _named(part)
        decides = id(part) in self._on
        children: tuple[Branch, ...] = ()
        value = self._value(part)
        again = decides and id(named.origin) in self._shown
        if again:
            value += ", as above"
        if decides or self._everything:
            children = tuple(self._within(named))
        return Branch(
            sign=_sign(part),
            text=label(named),
            value=value,
            place=place(named),
            file=file_of(named),
            decides=decides,
            leaf=id(part) in self._leaves or (decides and not again and not any(child.decides for child in children)),
            children=children,
        )

    def _branches(self, step: Step) -> Iterator[Branch]:
        """The line of a step; of an expression that holds nothing because its sources hold nothing, these at once."""
        named = _named(step)
        if named.implicit and named.kind not in ("As", "FunctionRef"):
            yield from self._within(named)
            return
        if self._everything or id(step) not in self._on or id(step) in self._leaves or not _hollow(named):
            yield self._branch(step)
            return
        yield from self._within(named)

    def _value(self, step: Step) -> str:
        if step.state is State.FAILED:
            return f"failed: {step.error}" if id(step) in self._leaves else "failed"
        if step.state is State.SKIPPED:
            return "not evaluated"
        told = in_words(step.value, self._record)
        rows = step.rows
        if rows is None or not rows.kept + rows.rejected + rows.unknown:
            return told
        undecided = f", {rows.unknown} open" if rows.unknown else ""
        return f"{told} ({rows.kept} of {rows.total} rows kept{undecided})"

    def _row(self, row: Row, brief: bool = False) -> Branch:
        items = ", ".join(f"{name} = {in_words(value, self._record)}" for name, value in row.items)
        steps = [step for step in row.steps if not brief and (self._everything or id(step) in self._on)]
        children = tuple(self._branch(step) for step in steps if not _plain(step))
        decides = id(row) in self._on
        return Branch(
            sign={True: "+", False: "-", None: "?"}[row.kept],
            text=items,
            value={True: "kept", False: "left out", None: "open"}[row.kept],
            decides=decides,
            leaf=id(row) in self._leaves,
            children=children,
        )

    def _within(self, step: Step) -> Iterator[Branch]:
        """The lines under a step: its parts, its rows, and what its name stands for."""
        parts = [
            part for part in step.children if not _plain(part) and (part.state is not State.CONSTANT or _ends(step))
        ]
        aside = [part for part in parts if id(part) not in self._on]
        spread = step.kind in _SPREAD and len(aside) <= _MOST_ASIDE
        for part in parts:
            shown = self._everything or (spread and part.state is not State.SKIPPED)
            if shown or id(part) in self._on:
                yield from self._branches(part)
                aside = [other for other in aside if other is not part]
        if any(part.field for part in aside) and len(aside) < len(parts):
            yield Branch("…", _folded(aside))
        if step.rows is not None:
            yield from self._rows(step.rows)
        if step.origin is not None and step.kind != "OperandRef":
            yield from self._origin(step.origin)

    def _rows(self, rows: Rows) -> Iterator[Branch]:
        shown = [row for row in rows.shown if self._everything or id(row) in self._on]
        for position, row in enumerate(shown):
            alike = sum(other.kept is row.kept for other in shown[:position])
            yield self._row(row, brief=alike >= (_MOST_ROWS if row.kept else 1) and not self._everything)
        parts = [(rows.kept, True, "kept"), (rows.rejected, False, "left out"), (rows.unknown, None, "open")]
        rest = [(count - sum(row.kept is kept for row in shown), word) for count, kept, word in parts]
        told = ", ".join(f"{count} {word}" for count, word in rest if count > 0)
        if told and shown:
            yield Branch("…", f"more rows: {told}")

    def _origin(self, origin: Step) -> Iterator[Branch]:
        if not self._everything and id(origin) not in self._on:
            return
        if id(origin) in self._shown:
            return
        self._shown.add(id(origin))
        is_definition = origin.kind in ("ExpressionDef", "ParameterDef")
        for part in origin.children if is_definition else (origin,):
            yield from self._branches(part)


def _named(step: Step) -> Step:
    """The step that gives the line its text: below conversions that the translator put in, and casts alike."""
    while step.rows is None and step.origin is None:
        inner = [child for child in step.children if child.state is not State.CONSTANT]
        alike = _converts(step) if step.implicit else label(step) == label(inner[0]) if inner else False
        if len(inner) != 1 or not alike:
            break
        step = inner[0]
    return step


def _converts(step: Step) -> bool:
    return step.kind in ("As", "FunctionRef", "Convert") or step.kind.startswith("To")


def _hollow(step: Step) -> bool:
    """Whether a step is an empty list (or a list of them), and no row stood in its way, nor a name in the CQL."""
    rows = step.rows
    return (
        is_hollow(step.value) and step.origin is None and (rows is None or not rows.kept + rows.rejected + rows.unknown)
    )


def _ends(step: Step) -> bool:
    """Whether a step is a definition, whose expression is shown though it be a constant."""
    return step.kind in ("ExpressionDef", "ParameterDef")


def _plain(step: Step) -> bool:
    """Whether a step says nothing beside the line above it: a name of the row or operand that stands there."""
    return step.kind in ("AliasRef", "Current", "Iteration", "Total") or (step.implicit and step.kind == "OperandRef")


def _sign(step: Step) -> str:
    if step.state is State.FAILED:
        return "!"
    if step.state is State.SKIPPED:
        return "–"
    return {True: "✓", False: "✗", None: "?"}[step.value] if step.value is None or isinstance(step.value, bool) else "="


def _folded(steps: Sequence[Step]) -> str:
    skipped = sum(step.state is State.SKIPPED for step in steps)
    unknown = sum(step.state is State.EVALUATED and step.value is None for step in steps)
    notes = [f"{unknown} null" if unknown else "", f"{skipped} not evaluated" if skipped else ""]
    told = ", ".join(note for note in notes if note) or "all known"
    told = "not evaluated" if skipped == len(steps) else told
    return f"{len(steps)} more sub-expression{'s' if len(steps) > 1 else ''}, {told}"
