"""Which parts of the CQL some cases have run, and which of its conditions they have seen true, false and null.

A clause is an expression with a place of its own in the CQL. One that is always the same (a literal) is none. A clause
counts as run by a case only on the way to a criterion of which the case expects something: what is merely computed
beside it proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cds.authoring.cases import Case, Records, Suite, own_libraries
from cds.authoring.fingerprint import cql_of, reached, rests_on
from cds.elm import Definition, Evaluation, Libraries
from cds.elm.compiler import PATIENT_CONTEXTS
from cds.elm.covering import FAILED, FALSE, NULL, OTHER, TRUE, CoveredNode, covering
from cds.elm.library import Function
from cds.errors import CdsError, EvaluationError
from cds.trials.apply import evaluate_record

Json = dict[str, Any]
Place = tuple[int, int]

_WORDS = ((TRUE, "true"), (FALSE, "false"), (NULL, "null"))


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause: the ELM node's `kind`, its place (lines and columns from 1, both ends within), what it has given.

    `possible` are the values that a Boolean clause can give as it is written, as bits like `seen`; 0 of others.
    """

    kind: str
    start: Place
    end: Place
    possible: int
    seen: int

    @property
    def boolean(self) -> bool:
        """Whether its values are true, false and null."""
        return self.possible != 0

    @property
    def locator(self) -> str:
        """Its place as ELM says it: ``12:3-14:20``."""
        (top, left), (bottom, right) = self.start, self.end
        return f"{top}:{left}-{bottom}:{right}"

    def is_within(self, other: Clause) -> bool:
        """Whether it is a part of another clause."""
        return self is not other and other.start <= self.start and self.end <= other.end

    @property
    def run(self) -> bool:
        """Whether any case has run it."""
        return bool(self.seen)

    @property
    def never(self) -> tuple[str, ...]:
        """What a case has still to show: ("run",), or of a Boolean clause which of "true", "false" and "null"."""
        if not self.seen:
            return ("run",)
        return tuple(word for bit, word in _WORDS if self.possible & ~self.seen & bit)

    @property
    def gave(self) -> tuple[str, ...]:
        """What it has given: of a Boolean clause which values, of another "a value" or "null"."""
        return tuple(word for bit, word in (*_WORDS, (OTHER, "a value")) if self.seen & bit)

    @property
    def gap(self) -> tuple[str, ...]:
        """Of these what counts as a gap: a condition need not ever be null."""
        return tuple(word for word in self.never if word != "null")

    @property
    def failed(self) -> bool:
        """Whether it has failed in some case."""
        return bool(self.seen & FAILED)

    @property
    def score(self) -> tuple[int, int]:
        """How much of what can be shown is shown: a condition true and false where it can be, another clause run."""
        wanted = self.possible & (TRUE | FALSE)
        return ((wanted & self.seen).bit_count(), wanted.bit_count()) if wanted else (int(self.run), 1)


@dataclass(frozen=True, slots=True)
class Define:
    """A definition or function with its clauses; `reached` says whether a criterion rests on it."""

    name: str
    is_function: bool
    line: int
    end: Place
    reached: bool
    clauses: tuple[Clause, ...]

    @property
    def share(self) -> float:
        """The share of what can be shown of its clauses that is shown (0 to 1)."""
        return _share(self.clauses)

    @property
    def gaps(self) -> tuple[Clause, ...]:
        """The clauses of which a case has still to show something; of what was never run the outermost alone."""
        dark = [clause for clause in self.clauses if not clause.run]
        return tuple(
            clause for clause in self.clauses if clause.gap and not any(clause.is_within(outer) for outer in dark)
        )


@dataclass(frozen=True, slots=True)
class LibraryCoverage:
    """One library: its CQL file with its text, and what was covered of each definition, in the order of the file."""

    library: str
    path: Path
    text: str
    defines: tuple[Define, ...]

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """The clauses of all its definitions."""
        return tuple(clause for define in self.defines for clause in define.clauses)

    @property
    def share(self) -> float:
        """The share of what can be shown of its clauses that is shown (0 to 1)."""
        return _share(self.clauses)

    def source(self, clause: Clause) -> str:
        """The CQL of a clause, in one line."""
        (top, left), (bottom, right) = clause.start, clause.end
        lines = self.text.splitlines()[top - 1 : bottom]
        if not lines:
            return clause.kind
        lines[-1] = lines[-1][:right]
        lines[0] = lines[0][left - 1 :]
        return " ".join(" ".join(lines).split())


def _share(clauses: Iterable[Clause]) -> float:
    scores = [clause.score for clause in clauses]
    whole = sum(possible for _, possible in scores)
    return sum(shown for shown, _ in scores) / whole if whole else 1.0


@dataclass(frozen=True, slots=True)
class Tally:
    """How many clauses there are and were run; of the Boolean ones how many were true and false (those that can be),
    and were null."""

    clauses: int
    run: int
    booleans: int
    both: int
    null: int

    @classmethod
    def of(cls, clauses: Iterable[Clause]) -> Tally:
        """The numbers of some clauses."""
        given = list(clauses)
        conditions = [clause for clause in given if clause.boolean]
        return cls(
            len(given),
            sum(clause.run for clause in given),
            len(conditions),
            sum(clause.run and not clause.gap for clause in conditions),
            sum(bool(clause.seen & NULL) for clause in conditions),
        )


def coverage(suite: Suite, records: Records | None = None) -> tuple[LibraryCoverage, ...]:
    """What the cases of a trial cover: its own library, and of those that it includes what its criteria rest on."""
    records = records or Records()
    own = own_libraries([suite.trial])
    libraries, nodes = covering(suite.catalog.libraries, own_libraries(suite.catalog))
    for case in suite.cases:
        if isinstance(case, Case):
            with suppress(CdsError):  # the run of the cases says it
                _play(suite, case, records, libraries)
    reached = _reached(suite, libraries)
    whole = {library.id for library in own}
    return tuple(_by_library(nodes, whole, reached))


def merged(parts: Iterable[LibraryCoverage]) -> tuple[LibraryCoverage, ...]:
    """Coverage of several trials together: a clause that the cases of any trial show is shown."""
    found: dict[Path, LibraryCoverage] = {}
    for part in parts:
        before = found.get(part.path)
        found[part.path] = part if before is None else replace(part, defines=tuple(_united(before, part)))
    return tuple(found.values())


def _united(first: LibraryCoverage, second: LibraryCoverage) -> Iterator[Define]:
    others = {(define.name, define.line): define for define in second.defines}
    for define in first.defines:
        other = others.pop((define.name, define.line), None)
        if other is None:
            yield define
            continue
        seen = {clause.locator: clause.seen for clause in other.clauses}
        clauses = tuple(replace(clause, seen=clause.seen | seen.get(clause.locator, 0)) for clause in define.clauses)
        yield replace(define, clauses=clauses, reached=define.reached or other.reached)
    yield from others.values()


def _play(suite: Suite, case: Case, records: Records, libraries: Libraries) -> None:
    """Evaluates the definitions of the criteria of which a case expects something."""
    record = records.of(case)
    plain = evaluate_record(suite.catalog, record, now=case.now, first_dose=case.first_dose)
    evaluation = Evaluation(libraries, record, suite.catalog.value_sets, plain.now, plain.parameters)
    for trial in suite.catalog:
        asserted = set(case.asserted(trial.id)) if trial.id == suite.trial.id or trial.id in case.trials else set()
        if "status" in case.trials.get(trial.id, {}):
            asserted |= {criterion.id for criterion in trial.disease_criteria}
        for criterion in asserted & set(trial.logic):
            for definition in rests_on(trial.logic[criterion]):
                with suppress(EvaluationError):
                    evaluation.evaluate(definition.library.id, definition.name)


def _reached(suite: Suite, libraries: Libraries) -> set[Definition | Function]:
    """The definitions and functions that the trial's criteria rest on."""
    return reached(
        libraries[definition.library.id].definition(definition.name)
        for logic in suite.trial.logic.values()
        for definition in rests_on(logic)
    )


def _by_library(
    nodes: Iterable[CoveredNode], whole: set[str], reached: set[Definition | Function]
) -> Iterator[LibraryCoverage]:
    owners: dict[str, dict[Any, list[CoveredNode]]] = {}
    for node in nodes:
        owner = node.owner
        stated = isinstance(owner, Definition | Function) and owner.name not in PATIENT_CONTEXTS
        if owner in reached or (stated and owner.library.id in whole):
            owners.setdefault(owner.library.id, {}).setdefault(owner, []).append(node)
    for name, given in owners.items():
        path = cql_of(next(iter(given)).library)
        defines = [_define(owner, own, owner in reached) for owner, own in given.items()]
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        yield LibraryCoverage(name, path, text, tuple(sorted(defines, key=lambda define: define.line)))


def _define(owner: Definition | Function, nodes: Iterable[CoveredNode], reached: bool) -> Define:
    (line, _), end = _range(owner.locator) or ((1, 1), (1, 1))
    clauses = tuple(_clauses(nodes))
    return Define(owner.name, isinstance(owner, Function), line, end, reached, clauses)


def _clauses(nodes: Iterable[CoveredNode]) -> Iterator[Clause]:
    """A clause for each place: that of the outermost Boolean node there, else of the outermost.

    What is negated has no clause of its own: it is true where its negation is false.
    """
    given = list(nodes)
    negated = {id(node.node.get("operand")) for node in given if node.node["type"] == "Not"}
    places: dict[tuple[Place, Place], CoveredNode] = {}
    for node in given:
        place = _range(node.node.get("locator"))
        if place is None or node.constant or id(node.node) in negated:
            continue
        there = places.get(place)
        if there is None or (node.boolean and not there.boolean):
            places[place] = node
    for (start, end), node in places.items():
        yield Clause(node.node["type"], start, end, node.possible, node.seen)


def _range(locator: object) -> tuple[Place, Place] | None:
    """The two ends of ``12:3-14:20``; of ``12:3`` both are the same."""
    try:
        first, _, last = str(locator).partition("-")
        (top, left), (bottom, right) = (map(int, end.split(":")) for end in (first, last or first))
    except ValueError:
        return None
    return (top, left), (bottom, right)


def as_json(libraries: Iterable[LibraryCoverage]) -> list[Json]:
    """Coverage as JSON: by library and definition the numbers, and each gap with its place."""
    return [
        {
            "library": library.library,
            "file": str(library.path),
            "share": round(library.share, 4),
            **_tally_json(library.clauses),
            "definitions": [
                {
                    "name": define.name,
                    "line": define.line,
                    "reached": define.reached,
                    "share": round(define.share, 4),
                    **_tally_json(define.clauses),
                    "gaps": [
                        {"locator": clause.locator, "node": clause.kind, "never": list(clause.never)}
                        for clause in define.gaps
                    ],
                }
                for define in library.defines
            ],
        }
        for library in libraries
    ]


def _tally_json(clauses: Iterable[Clause]) -> Mapping[str, int]:
    tally = Tally.of(clauses)
    return {
        "clauses": tally.clauses,
        "run": tally.run,
        "conditions": tally.booleans,
        "trueAndFalse": tally.both,
        "null": tally.null,
    }
