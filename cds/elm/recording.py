"""What a traced evaluation writes down: a second way to compile libraries, whose nodes record what they gave.

`RecordingCompiler` wraps every closure of the plain compiler, so a traced value is the plain value by construction;
the plain closures know nothing of it. `cds.elm.trace` makes steps of the records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cds.elm.compiler import Binding, Compiler, Constant
from cds.elm.evaluation import UNSET, Evaluation, Frame
from cds.elm.nodes.references import library_of
from cds.elm.ports import Value
from cds.elm.types import Json
from cds.elm.values import Tuple

if TYPE_CHECKING:
    from cds.elm.library import Definition, Library, Parameter, Run, _Compiled

#: How many rows of one kind (kept, left out, open) a query's record holds.
MOST_ROWS = 6

#: Fields that hold no node themselves, but wrap some.
_WRAPPERS = frozenset(("source", "let", "relationship", "return", "aggregate", "sort", "by", "caseItem", "element"))
_LOOPS = frozenset(("Query", "Exists", "ForEach", "Filter", "Repeat", "Aggregate"))
#: What is evaluated once for each row.
_RESULTS = frozenset(("return.expression", "element", "aggregate.expression", "iteration"))
_CONDITIONS = frozenset(("where", "condition"))
_SUCH_THAT = "relationship.suchThat"


class Site:
    """One ELM node as it was compiled: where it stands, and the nodes compiled within it."""

    __slots__ = (
        "argument",
        "children",
        "constant",
        "field",
        "library",
        "names",
        "node",
        "owner",
        "parent",
        "refers_to",
        "scopes",
        "slot",
    )

    def __init__(self, node: Json, owner: _Compiled, library: Library, parent: Site | None) -> None:
        self.node = node
        self.owner = owner
        self.library = library
        self.parent = parent
        self.children: list[Site] = []
        #: Where the parent holds it, such as ``operand``, ``where`` or ``caseItem.when``.
        self.field = _field(parent.loop, node) if parent else ""
        #: The aliases that the parent's rows bring into scope where this node stands, with their slots.
        self.scopes: tuple[Mapping[str, int], ...] = tuple(parent.names) if parent else ()
        #: The aliases in scope while this node's parts are compiled.
        self.names: list[Mapping[str, int]] = []
        #: The value, where it is known at load; else UNSET.
        self.constant: Value = UNSET
        #: The definition or parameter that a reference names.
        self.refers_to: Definition | Parameter | None = None
        #: The slot of the alias of which a Property gives an element.
        self.slot: int | None = None
        #: Which operand of the function an OperandRef names.
        self.argument: int | None = None

    @property
    def kind(self) -> str:
        """The type of the ELM node."""
        return str(self.node.get("type"))

    @property
    def loop(self) -> Json:
        """The node whose clauses stand here: of ``exists`` of a query that query's, else its own."""
        operand = self.node.get("operand")
        if self.kind == "Exists" and isinstance(operand, Mapping) and operand.get("type") == "Query":
            return operand
        return self.node

    def parts(self) -> list[Site]:
        """The nodes within it; of one that was compiled twice the last."""
        return list({id(child.node): child for child in self.children}.values())


def _field(parent: Json, node: Json) -> str:
    """The field of `parent` that holds `node`; ``operand`` where another node of the same kind stands between."""
    for name, value in parent.items():
        if value is node:
            return name
        if name in _WRAPPERS or isinstance(value, list):
            for item in value if isinstance(value, list) else (value,):
                if item is node:
                    return name
                found = isinstance(item, Mapping) and item.get("type") in (None, "With", "Without", "ByExpression")
                if found and (inner := _field_within(item, node)):
                    return f"{name}.{inner}"
    return "operand"


def _field_within(item: Json, node: Json) -> str | None:
    for name, value in item.items():
        if value is node:
            return name
        if name == "by" and any(isinstance(by, Mapping) and by.get("expression") is node for by in value):
            return "by.expression"
    return None


class RecordedConstant(Constant):
    """A node whose value is known at load: it is not evaluated, so its record is its site."""

    __slots__ = ("site",)

    def __init__(self, value: Value, site: Site) -> None:
        super().__init__(value)
        self.site = site


class Row:
    """What was evaluated for one row of a query: `items` are its aliases' values."""

    __slots__ = ("items", "kept", "key", "records")

    def __init__(self, key: Sequence[int], items: Mapping[str, Value]) -> None:
        self.key = key
        self.items = items
        self.records: list[Record] = []
        #: Whether it is among the results: None where its condition is open, or failed.
        self.kept: bool | None = None

    def of(self, fields: frozenset[str]) -> Record | None:
        """The record of what stands in one of some fields."""
        return next(
            (record for record in self.records if record.site is not None and record.site.field in fields), None
        )


class Record:
    """One evaluation of one node (of the root of a tree, without a site)."""

    __slots__ = ("children", "counts", "error", "origin", "row", "rows", "site", "subject", "value")

    def __init__(self, site: Site | None) -> None:
        self.site = site
        self.value: Value = UNSET
        self.error: Exception | None = None
        self.children: list[Record] = []
        #: The record of what a name stands for: an operand, or a let of the row.
        self.origin: Record | Site | None = None
        #: Of a Property of an alias: the alias's value.
        self.subject: Value = UNSET
        self.rows: list[Row] = []
        self.row: Row | None = None
        #: How many rows there were, by kind.
        self.counts: dict[tuple[bool | None, str], int] = {}

    def add(self, child: Record, frame: Frame) -> None:
        """Takes in the record of a part, which was evaluated in `frame`."""
        site = child.site
        if site is None or site.parent is not self.site or not site.scopes:
            self.children.append(child)
        elif site.field == "relationship.expression":
            if len(self.children) < 2 * MOST_ROWS:
                self.children.append(child)
        elif not site.field.startswith("sort"):
            self._add_to_row(child, site, frame)

    def _add_to_row(self, child: Record, site: Site, frame: Frame) -> None:
        aliases = site.scopes[0]
        key = [id(frame[slot]) for slot in aliases.values()]
        row = self.row
        again = row is not None and site.field != _SUCH_THAT and any(record.site is site for record in row.records)
        if row is None or again or row.key != key:
            self.close()
            row = self.row = Row(key, {name: frame[slot] for name, slot in aliases.items()})
        if site.field == _SUCH_THAT and len(row.records) >= MOST_ROWS and child.value is False:
            return
        row.records.append(child)

    def close(self) -> None:
        """Ends the running row; it is held unless there are enough of its kind."""
        row, self.row = self.row, None
        if row is None or self.site is None:
            return
        row.kept = _kept(row, self.site)
        result = row.of(_RESULTS)
        value = result.value if result else UNSET
        kind = (row.kept, str(value) if value is None or isinstance(value, bool) else "")
        self.counts[kind] = count = self.counts.get(kind, 0) + 1
        if count <= MOST_ROWS:
            self.rows.append(row)


def _kept(row: Row, site: Site) -> bool | None:
    condition = row.of(_CONDITIONS)
    if condition is not None and condition.value is not True:
        return None if condition.value is None or condition.value is UNSET else False
    if condition is not None or row.of(_RESULTS) is not None:
        return True
    last = _CONDITIONS | _RESULTS
    if any(part.field in last and part.constant is UNSET for part in site.parts()):
        return False
    return all(_related(row, item) for item in site.loop.get("relationship") or ())


def _related(row: Row, relationship: Json) -> bool:
    condition = relationship.get("suchThat")
    found = any(record.value is True for record in row.records if record.site and record.site.node is condition)
    return found is (relationship.get("type") == "With")


class RecordingEvaluation(Evaluation):
    """An evaluation that keeps what was recorded, definition by definition."""

    __slots__ = ("lets", "made", "stack", "trees")

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        #: The nodes that are being evaluated, the innermost last, with their frames.
        self.stack: list[tuple[Record, Frame]] = []
        #: By index of the definition or parameter.
        self.trees: dict[int, Record | Site] = {}
        #: By the frame and slot of a let: the record of its value for the running row.
        self.lets: dict[tuple[int, int], Record] = {}
        #: By the identity of a tuple: the record of the node that made it.
        self.made: dict[int, Record] = {}

    def answer(self, definition: Definition | Parameter) -> Value:
        """Evaluates a definition that has no result yet, and keeps what came out and how."""
        if definition.index in self.trees:
            return super().answer(definition)
        root = Record(None)
        self.stack.append((root, []))
        try:
            return super().answer(definition)
        finally:
            self.stack.pop()
            run = definition.run
            if root.children:
                self.trees[definition.index] = root.children[0]
            elif isinstance(run, RecordedConstant):
                self.trees[definition.index] = run.site


class RecordingCompiler(Compiler):
    """Compiles as the plain compiler does, and wraps each closure so that it records what it gave."""

    shortcuts = False

    def __init__(self, library: Library, target: _Compiled) -> None:
        super().__init__(library, target)
        self._open: list[Site] = []

    def compile(self, node: Json) -> Run:
        """The plain compiler's closure, recording; a constant stays one, and keeps what it was folded from."""
        parent = self._open[-1] if self._open else None
        site = Site(node, self._target, self.library, parent)
        self._see_names(site)
        self._open.append(site)
        try:
            run = super().compile(node)
        finally:
            self._open.pop()
        if parent is not None:
            parent.children.append(site)
        if isinstance(run, Constant):
            site.constant = run.value
            return RecordedConstant(run.value, site)
        return _recording(run, site)

    def _see_names(self, site: Site) -> None:
        node = site.node
        name = node.get("scope") if site.kind == "Property" else node.get("name")
        binding = self._names.get(str(name))
        if site.kind == "Property" and not node.get("source") and binding and binding.lazy is None:
            site.slot = binding.slot
        elif site.kind == "OperandRef" and binding:
            site.argument = binding.slot - 1
        elif site.kind in ("ExpressionRef", "ParameterRef", "IdentifierRef") and not self._is_local(site):
            owner = library_of(self, node)
            site.refers_to = owner.definitions.get(node["name"]) or owner.parameters.get(node["name"])

    def _is_local(self, site: Site) -> bool:
        if site.kind != "IdentifierRef" or site.node.get("libraryName"):
            return False
        return "$this" in self._names or site.node["name"] in self._names

    @contextmanager
    def naming(self, names: Mapping[str, Binding]) -> Iterator[None]:
        """While open, `names` are in scope; the aliases of a loop are those of its rows."""
        rows = {name: binding.slot for name, binding in names.items() if binding.lazy is None}
        opened = self._open[-1].names if rows and self._open and self._open[-1].kind in _LOOPS else None
        if opened is not None:
            opened.append(rows)
        try:
            with super().naming(names):
                yield
        finally:
            if opened is not None:
                opened.pop()

    def read(self, binding: Binding) -> Run:
        """A closure for what a name stands for; a let's record is that of its first evaluation in the row."""
        run, slot = super().read(binding), binding.slot
        if binding.lazy is None:
            return run

        def recorded(frame: Frame) -> Value:
            evaluation: RecordingEvaluation = frame[0]
            record, key = evaluation.stack[-1][0], (id(frame), slot)
            if frame[slot] is UNSET:
                evaluation.lets.pop(key, None)
                before = len(record.children)
                try:
                    return run(frame)
                finally:
                    if len(record.children) > before:
                        record.origin = evaluation.lets[key] = record.children.pop()
            record.origin = evaluation.lets.get(key)
            return run(frame)

        return recorded


def _recording(run: Run, site: Site) -> Run:
    slot, argument, makes = site.slot, site.argument, site.kind == "Tuple"

    def recorded(frame: Frame) -> Value:
        evaluation: RecordingEvaluation = frame[0]
        stack, record = evaluation.stack, Record(site)
        if slot is not None:
            record.subject = frame[slot]
        elif argument is not None:
            record.origin = _argument(stack, frame, argument)
        stack.append((record, frame))
        try:
            value = record.value = run(frame)
        except Exception as error:
            record.error = error
            raise
        finally:
            stack.pop()
            record.close()
            stack[-1][0].add(record, frame)
        if makes and isinstance(value, Tuple):
            evaluation.made[id(value)] = record
        return value

    return recorded


def _argument(stack: Sequence[tuple[Record, Frame]], frame: Frame, position: int) -> Record | Site | None:
    """The record of what the running function was called with: its caller is the innermost node of another frame."""
    caller = next((record for record, its in reversed(stack) if its is not frame), None)
    if caller is None or caller.site is None or caller.site.kind != "FunctionRef":
        return None
    operands = [part for part in caller.site.parts() if part.field == "operand"]
    if position >= len(operands):
        return None
    wanted = operands[position]
    return next((record for record in caller.children if record.site is wanted), wanted)
