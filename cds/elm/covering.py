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

    `constant` says that its value is known at load, so that it is never run.
    """

    __slots__ = ("boolean", "constant", "node", "owner", "seen")

    def __init__(self, node: Json, owner: _Compiled, boolean: bool) -> None:
        self.node = node
        self.owner = owner
        self.boolean = boolean
        self.constant = False
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
