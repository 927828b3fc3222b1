"""How a value came about: the tree of sub-expressions with their values and the CQL text that they stem from.

::

    libraries = traced(catalog.libraries)            # compiled a second time; the first knows nothing of it
    evaluation = TracedEvaluation(libraries, record, value_sets, now)
    step = evaluation.trace("Screening", "ECOG performance status")

A trace holds patient data: it is for the eyes of who may see the chart, and is never logged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from cds.elm.evaluation import UNSET, Evaluation
from cds.elm.library import Definition, Libraries, Library
from cds.elm.ports import Value
from cds.elm.recording import Record, RecordingCompiler, RecordingEvaluation, Site
from cds.elm.recording import Row as RecordedRow
from cds.elm.source_text import SourceText
from cds.elm.values import Tuple
from cds.errors import CdsError, EvaluationError

if TYPE_CHECKING:
    from cds.elm.library import Parameter


class State(StrEnum):
    """Whether a step has a value, and how."""

    EVALUATED = "evaluated"
    #: Known at load: a literal, or an expression of nothing else.
    CONSTANT = "constant"
    #: What came before it had decided already.
    SKIPPED = "not-evaluated"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One sub-expression and what it gave.

    `kind` is the type of the ELM node (``ExpressionDef`` for a definition); `field` where the node above holds it.
    `source` is its CQL text; None where it has none, and `implicit` then says that the translator put the node in.
    `file` is where its library was read from. `value` counts where `state` is EVALUATED or CONSTANT; `error` says what
    failed. `name` is the definition that a reference names. `origin` is the step that computed what a name or an
    element of a tuple stands for; it is shared, and no part of the tree. `subject` is what a Property is an element of.
    """

    kind: str
    field: str
    source: str | None
    implicit: bool
    library: str
    definition: str
    locator: str | None
    file: str
    state: State
    value: Value = None
    error: str | None = None
    children: tuple[Step, ...] = ()
    rows: Rows | None = None
    name: str | None = None
    origin: Step | None = None
    subject: Value = None


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One row of a query: its aliases' items, whether it was kept (None: that is open), and what was asked of it."""

    items: tuple[tuple[str, Value], ...]
    kept: bool | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a query: how many the sources have, how many were kept, left out or open, and some of each."""

    total: int
    kept: int
    rejected: int
    unknown: int
    shown: tuple[Row, ...]


def traced(libraries: Libraries, of: Iterable[Library] | None = None) -> Libraries:
    """The same libraries, compiled so that an evaluation of them records what each node gave.

    Where `of` names some of them, these alone with what they include.
    """
    copy = Libraries(libraries.model, RecordingCompiler, lenient=libraries.lenient)
    for library in libraries if of is None else with_includes(of):
        copy.add(library.elm, library.source)
    copy.compile()
    return copy


def with_includes(libraries: Iterable[Library]) -> list[Library]:
    """Some libraries and all that they include, at any depth, each once."""
    found: dict[Library, None] = {}
    waiting = list(libraries)
    while waiting:
        library = waiting.pop()
        if library not in found:
            found[library] = None
            waiting += [included for included in library.includes.values() if included is not None]
    return list(found)


class TracedEvaluation(RecordingEvaluation):
    """An evaluation of `traced` libraries, which can say how each of its values came about.

    `cql` holds the CQL text of libraries by their identifier; it is asked only where ELM has no annotations.
    """

    __slots__ = ("_steps", "cql")

    def __init__(self, *arguments: Any, cql: Mapping[str, str] | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.cql = cql or {}
        self._steps: _Steps | None = None

    @classmethod
    def like(cls, evaluation: Evaluation, libraries: Libraries) -> TracedEvaluation:
        """A traced evaluation of the same patient, moment and parameters, by the `traced` libraries."""
        return cls(
            libraries, evaluation.retriever, evaluation.terminology, evaluation.now, parameters=evaluation.parameters
        )

    def trace(self, library: str, name: str) -> Step:
        """The tree of one definition. Raises ElmError where there is none, EvaluationError where it is nested
        too deeply; what fails is a step that FAILED."""
        definition = self.libraries[library].definition(name)
        with suppress(EvaluationError):  # the steps say it, each where it failed
            self.value(definition)
        if self._steps is None:
            self._steps = _Steps(self)
        try:
            return self._steps.of_definition(definition)
        except RecursionError:
            raise EvaluationError("nested too deeply to be traced", where=definition.place) from None


#: A record's place in the tree, for nodes that were not evaluated.
_NOTHING: Final = Record(None)


class _Steps:
    """Makes steps of records, each once."""

    def __init__(self, evaluation: TracedEvaluation) -> None:
        self._evaluation = evaluation
        self._texts: dict[Library, SourceText] = {}
        self._made: dict[Record, Step] = {}
        self._definitions: dict[int, Step] = {}

    def of_definition(self, definition: Definition | Parameter) -> Step:
        """The step of a definition, or of a parameter's default."""
        index = definition.index
        if index not in self._definitions:
            self._definitions[index] = self._definition(definition)
        return self._definitions[index]

    def _definition(self, definition: Definition | Parameter) -> Step:
        tree = self._evaluation.trees.get(definition.index)
        value = self._evaluation.results[definition.index]
        body = () if tree is None else (self._of(tree),)
        failed = value is UNSET
        return Step(
            kind="ExpressionDef" if isinstance(definition, Definition) else "ParameterDef",
            field="",
            source=_quoted(definition.name),
            implicit=False,
            library=definition.library.id,
            definition=definition.name,
            locator=definition.locator,
            file=definition.library.source,
            state=State.FAILED if failed else State.EVALUATED,
            value=None if failed else value,
            error=next((step.error for step in body if step.error), "it failed") if failed else None,
            children=body,
            name=f"{definition.library.id}.{_quoted(definition.name)}",
        )

    def _of(self, tree: Record | Site) -> Step:
        if isinstance(tree, Site):
            return self._step(tree, _NOTHING)
        if tree not in self._made:
            assert tree.site is not None
            self._made[tree] = self._step(tree.site, tree)
        return self._made[tree]

    def _step(self, site: Site, record: Record) -> Step:
        node, texts = site.node, self._texts_of(site.library)
        source = texts.of(node)
        state = _state(site, record)
        value = record.value if state is State.EVALUATED else site.constant if state is State.CONSTANT else None
        children = self._children(site, record)
        return Step(
            kind=site.kind,
            field=site.field,
            source=source,
            implicit=source is None and texts.known,
            library=site.library.id,
            definition=site.owner.name,
            locator=node.get("locator"),
            file=site.library.source,
            state=state,
            value=value,
            error=_failure(record.error) if record.error else None,
            children=children,
            rows=self._rows(site, record, children),
            name=_name(site),
            origin=self._origin(site, record, children),
            subject=None if record.subject is UNSET else record.subject,
        )

    def _texts_of(self, library: Library) -> SourceText:
        if library not in self._texts:
            self._texts[library] = SourceText(library.elm, self._evaluation.cql.get(library.id))
        return self._texts[library]

    def _children(self, site: Site, record: Record) -> tuple[Step, ...]:
        """What was compiled within the node, in order, and what came to it at run time: the body of a function."""
        parts = [part for part in site.parts() if not part.scopes or part.field == "relationship.expression"]
        found = []
        for part in parts:
            given = [self._of(child) for child in record.children if child.site is part]
            found += given or [self._step(part, _NOTHING)]
        known = {id(part) for part in parts}
        return (*found, *(self._of(child) for child in record.children if id(child.site) not in known))

    def _rows(self, site: Site, record: Record, children: Sequence[Step]) -> Rows | None:
        counts = record.counts
        if not any(part.scopes for part in site.parts()) or record is _NOTHING:
            return None

        def number(kept: bool | None) -> int:
            return sum(count for (kind, _), count in counts.items() if kind is kept)

        sources = [step.value for step in children if step.field in ("source", "source.expression")]
        return Rows(
            total=math.prod(len(value) if isinstance(value, list) else value is not None for value in sources),
            kept=number(True),
            rejected=number(False),
            unknown=number(None),
            shown=tuple(map(self._row, record.rows)),
        )

    def _row(self, row: RecordedRow) -> Row:
        return Row(tuple(row.items.items()), row.kept, tuple(map(self._of, row.records)))

    def _origin(self, site: Site, record: Record, children: Sequence[Step]) -> Step | None:
        if record is _NOTHING:
            return None
        if site.refers_to is not None:
            return self.of_definition(site.refers_to) if site.refers_to.index in self._evaluation.trees else None
        if record.origin is not None and site.kind != "Property":
            return self._of(record.origin)
        return self._element(site, record, children) if site.kind == "Property" else None

    def _element(self, site: Site, record: Record, children: Sequence[Step]) -> Step | None:
        """The step that computed an element of a tuple, where the tuple was made; of anything else None."""
        owner = record.subject
        if owner is UNSET:
            let = self._of(record.origin) if record.origin is not None else None
            owner = children[0].value if children else let.value if let else None
        made = self._evaluation.made.get(id(owner)) if isinstance(owner, Tuple) else None
        if made is None or made.site is None:
            return None
        wanted = next((item["value"] for item in made.site.node["element"] if item["name"] == site.node["path"]), None)
        for part, step in zip(made.site.parts(), self._of(made).children, strict=False):
            if part.node is wanted:
                return step
        return None


def _state(site: Site, record: Record) -> State:
    if record.error is not None:
        return State.FAILED
    if record is not _NOTHING:
        return State.EVALUATED
    return State.SKIPPED if site.constant is UNSET else State.CONSTANT


def _failure(error: Exception) -> str:
    """What failed, without the text of a foreign exception."""
    return str(error) if isinstance(error, CdsError) else type(error).__name__


def _name(site: Site) -> str | None:
    if site.refers_to is not None:
        return f"{site.refers_to.library.id}.{_quoted(site.refers_to.name)}"
    if site.kind == "FunctionRef":
        local = site.node.get("libraryName")
        path = site.library.include_paths.get(local, local) if local else site.library.id
        return f"{path}.{_quoted(site.node['name'])}"
    return None


def _quoted(name: str) -> str:
    return f'"{name}"'
