"""What of a library's logic was run, and with what results: a third way to compile libraries, beside plain and traced.

::

    libraries, nodes = covering(catalog.libraries)
    Evaluation(libraries, record, value_sets, now).evaluate("Screening", "ECOG performance status")
    nodes[0].seen & TRUE
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from cds.elm.compiler import Compiler, Constant
from cds.elm.evaluation import Frame
from cds.elm.library import Libraries, Library
from cds.elm.ports import Value
from cds.elm.trace import with_includes
from cds.elm.types import SYSTEM, Named

if TYPE_CHECKING:
    from cds.elm.library import Run, _Compiled
    from cds.elm.types import Json

#: What a node gave, as bits: of a Boolean which value, of another that it gave one; or that it failed.
TRUE: Final = 1
FALSE: Final = 2
NULL: Final = 4
OTHER: Final = 8
FAILED: Final = 16

_BOOLEAN = Named(f"{SYSTEM}Boolean")


class CoveredNode:
    """One ELM node: the definition or function that holds it, and what it has given so far, in all evaluations.

    `constant` says that its value is known at load, so that it is never run. `possible` are, of a Boolean node, the
    values that it can give as it is written: `if … then true else null` is never false.
    """

    __slots__ = ("boolean", "constant", "node", "owner", "possible", "seen")

    def __init__(self, node: Json, owner: _Compiled, boolean: bool) -> None:
        self.node = node
        self.owner = owner
        self.boolean = boolean
        self.constant = False
        self.possible = 0
        self.seen = 0


def covering(libraries: Libraries, of: Iterable[Library]) -> tuple[Libraries, list[CoveredNode]]:
    """The libraries `of` with what they include, compiled so that each node notes what it gives; and the nodes,
    each before those within it."""
    held: dict[int, CoveredNode] = {}

    class CoveringCompiler(Compiler):
        """Compiles as the plain compiler does, and notes what each closure gave."""

        shortcuts = False

        def compile(self, node: Json) -> Run:
            covered = held.get(id(node))
            if covered is None:
                covered = held[id(node)] = CoveredNode(node, self._target, self.result_type(node) == _BOOLEAN)
            run = super().compile(node)
            if isinstance(run, Constant):
                covered.constant = True
                return run
            return _noting(run, covered)

    copy = Libraries(libraries.model, CoveringCompiler, lenient=libraries.lenient)
    for library in with_includes(of):
        copy.add(library.elm, library.source)
    copy.compile()
    for covered in held.values():
        if covered.boolean:
            try:
                covered.possible = possible(covered.node, covered.owner.library)
            except RecursionError:  # a function that calls itself
                covered.possible = _ANY
    return copy, list(held.values())


def _noting(run: Run, covered: CoveredNode) -> Run:
    def noted(frame: Frame) -> Value:
        try:
            value = run(frame)
        except Exception:
            covered.seen |= FAILED
            raise
        covered.seen |= TRUE if value is True else FALSE if value is False else NULL if value is None else OTHER
        return value

    return noted


_ANY = TRUE | FALSE | NULL
#: What is true or false of anything.
_DECIDED = frozenset(("Exists", "IsNull", "IsTrue", "IsFalse"))
_PASSED_ON = frozenset(("As", "Convert", "ToBoolean"))


def possible(node: Json | None, library: Library) -> int:
    """The values, as bits, that a Boolean node can give as it is written; names are followed to what they name."""
    if not node:
        return NULL
    kind = node.get("type")
    if kind == "Null":
        return NULL
    if kind == "Literal":
        return TRUE if node.get("value") == "true" else FALSE
    if kind in _DECIDED:
        return TRUE | FALSE
    if kind in _PASSED_ON:
        return possible(node.get("operand"), library)
    if kind == "Not":
        given = possible(node.get("operand"), library)
        return given & NULL | (FALSE if given & TRUE else 0) | (TRUE if given & FALSE else 0)
    if kind == "If":
        return possible(node.get("then"), library) | possible(node.get("else"), library)
    if kind == "Case":
        found = possible(node.get("else"), library)
        for item in node.get("caseItem") or ():
            found |= possible(item.get("then"), library)
        return found
    if kind in ("ExpressionRef", "FunctionRef"):
        return _possible_named(node, library)
    return _ANY


def _possible_named(node: Json, library: Library) -> int:
    local = node.get("libraryName")
    owner = library.includes.get(local) if local else library
    if owner is None:
        return _ANY
    definition = owner.definitions.get(node["name"])
    named = [definition] if definition else owner.functions.get(node["name"], ()) if "operand" in node else ()
    bodies = [one.node.get("expression") for one in named]
    if not bodies or not all(bodies):
        return _ANY
    found = 0
    for body in bodies:
        found |= possible(body, owner)
    return found
