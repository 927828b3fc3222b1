"""Passing over: trials whose disease criteria differ in their codes alone are asked together.

Such trials form a group. The criteria of its first trial are evaluated once for a patient, and stand for all: wherever
they ask whether a code is in a value set, it is looked up at once which trials' value sets at that place hold it. Where
all agree, that is the answer. Where they differ, the answer is that of the most, and the others leave the group. So
every trial that is left has been answered as its own value sets would, by logic of the same shape: what the first
trial's criteria say is what its own would say. Nothing is assumed of a trial that left, nor of any where something
failed: these are evaluated again, together or each by itself.

The cost for a patient is that of her own codes and of the number of groups, not of the number of trials.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from cds.elm import Definition
from cds.elm.ports import Pair, Retriever, Terminology
from cds.elm.shape import Shape, Shapes
from cds.errors import EvaluationError, TerminologyError
from cds.fhir.model import Element
from cds.fhir.record import PatientRecord

if TYPE_CHECKING:
    from cds.trials.catalog import Trial

#: A value set by URL and version, as a library names it.
Name = tuple[str, str | None]
#: Whether a trial concerns the patient of a Retriever, by the value sets of a Terminology; True also where that failed.
Concerns = Callable[["Trial", Retriever, Terminology], bool]

#: An evaluation that speaks for fewer trials is the last one of its group: for the others, each its own is cheaper.
_WORTH_SHARING = 4


@dataclass(frozen=True)
class Place:
    """Where the trials of a group name a value set each: which trials' value sets hold a code, as bits of a number."""

    pairs: Mapping[Pair, int] = field(repr=False)

    @cached_property
    def bare(self) -> Mapping[str, int]:
        """The same for codes without their systems (elements of type code)."""
        found: defaultdict[str, int] = defaultdict(int)
        for (_, code), holders in self.pairs.items():
            found[code] |= holders
        return dict(found)


@dataclass(frozen=True)
class Group:
    """Trials whose disease criteria have one shape, and the places where their value sets differ.

    The places are known by the names that the first trial has for its value sets.
    """

    trials: tuple[Trial, ...]
    places: Mapping[Name, Place] = field(repr=False)

    def concerned(self, record: PatientRecord, terminology: Terminology, concerns: Concerns) -> Iterator[Trial]:
        """The trials of which it is not shown that they do not concern the patient: those to judge one by one."""
        waiting = (1 << len(self.trials)) - 1
        alone = 0
        while waiting.bit_count() > 1:
            asked = _Asked(waiting)
            of_all = _OfAll(terminology, {name: _Members(place, asked) for name, place in self.places.items()})
            if concerns(self.trials[0], _Record(record), of_all):
                alone |= asked.agreed
            waiting &= ~asked.agreed
            if asked.agreed.bit_count() < _WORTH_SHARING:
                break
        return self._of(waiting | alone)

    def _of(self, bits: int) -> Iterator[Trial]:
        while bits:
            lowest = bits & -bits
            yield self.trials[lowest.bit_length() - 1]
            bits ^= lowest


def groups(trials: Iterable[Trial], terminology: Terminology) -> tuple[Group, ...]:
    """The groups of two trials and more; a trial in none of them is judged by itself."""
    shapes = Shapes()
    alike: dict[int, list[tuple[Trial, tuple[Name, ...]]]] = defaultdict(list)
    for trial in trials:
        shape = _shape(trial, shapes) if trial.disease_criteria else None
        if shape is not None and _held(shape.value_sets, terminology):
            alike[shape.form].append((trial, shape.value_sets))
    return tuple(_group(members, terminology) for members in alike.values() if len(members) > 1)


def _shape(trial: Trial, shapes: Shapes) -> Shape | None:
    """The shape of all that decides whether a trial concerns a patient."""
    definitions: list[Definition] = []
    beside = []
    for criterion in trial.disease_criteria:
        logic = trial.logic[criterion.id]
        applies = (logic.applies,) if logic.applies else ()
        definitions += (logic.answer, *applies, *logic.shown, *logic.verifying)
        parts = (len(applies), len(logic.shown), len(logic.verifying))
        beside.append((criterion.kind, criterion.assessment, criterion.policies, parts))
    return shapes.of(definitions, tuple(beside))


def _held(names: Iterable[Name], terminology: Terminology) -> bool:
    try:
        return all(terminology.value_set(*name) is not None for name in names)
    except TerminologyError:
        return False


def _group(members: Sequence[tuple[Trial, tuple[Name, ...]]], terminology: Terminology) -> Group:
    trials = tuple(trial for trial, _ in members)
    places = {}
    for number, name in enumerate(members[0][1]):
        place = _place([frozenset(terminology.value_set(*names[number])) for _, names in members])
        if place is not None:
            places[name] = place
    return Group(trials, places)


def _place(contents: Iterable[frozenset[Pair]]) -> Place | None:
    """The value sets of some trials, in their order, by code; None where all are equal."""
    holders: defaultdict[frozenset[Pair], int] = defaultdict(int)
    for number, content in enumerate(contents):
        holders[content] |= 1 << number
    if len(holders) == 1:
        return None
    pairs: defaultdict[Pair, int] = defaultdict(int)
    for content, bits in holders.items():
        for pair in content:
            pairs[pair] |= bits
    same: dict[int, int] = {}
    return Place({pair: same.setdefault(bits, bits) for pair, bits in pairs.items()})


class _Asked:
    """The trials of a group that one evaluation speaks for: those that have agreed in every answer so far."""

    __slots__ = ("agreed",)

    def __init__(self, trials: int) -> None:
        self.agreed = trials

    def whether_among(self, holders: int) -> bool:
        """Whether the trials hold a code that `holders` hold; where they differ, what the most say."""
        holding = self.agreed & holders
        if not holding:
            return False
        others = self.agreed ^ holding
        if not others:
            return True
        held = holding.bit_count() > others.bit_count()
        self.agreed = holding if held else others
        return held


class _Members(Collection[Pair]):
    """The value sets at one place, asked as if they were one."""

    __slots__ = ("_asked", "_place")

    def __init__(self, place: Place, asked: _Asked) -> None:
        self._place = place
        self._asked = asked

    def __contains__(self, pair: object) -> bool:
        holders = self._place.pairs.get(pair)  # type: ignore[call-overload]
        return holders is not None and self._asked.whether_among(holders)

    def among(self, pairs: KeysView[Pair]) -> Iterator[Pair]:
        """Those of a patient's codes that the value sets hold."""
        return (pair for pair in pairs & self._place.pairs.keys() if pair in self)

    def bare_among(self, codes: KeysView[str]) -> Iterator[str]:
        """Those of a patient's codes without system that the value sets hold."""
        bare = self._place.bare
        return (code for code in codes & bare.keys() if self._asked.whether_among(bare[code]))

    def __iter__(self) -> Iterator[Pair]:
        raise EvaluationError("the value sets of several trials have no common list of codes")

    def __len__(self) -> int:
        raise EvaluationError("the value sets of several trials have no common size")


class _OfAll:
    """The terminology of a group: at the places where its trials differ, all their value sets at once."""

    __slots__ = ("_members", "_terminology")

    def __init__(self, terminology: Terminology, members: Mapping[Name, _Members]) -> None:
        self._terminology = terminology
        self._members = members

    def value_set(self, url: str, version: str | None = None) -> Collection[Pair]:
        members = self._members.get((url, version))
        return self._terminology.value_set(url, version) if members is None else members

    def code_system(self, url: str, version: str | None = None) -> frozenset[str]:
        return self._terminology.code_system(url, version)

    def subsumes(self, ancestor: Pair, descendant: Pair) -> bool | None:
        return self._terminology.subsumes(ancestor, descendant)


class _Record:
    """The patient's record, asked for the codes of several trials at once."""

    __slots__ = ("_record",)

    def __init__(self, record: PatientRecord) -> None:
        self._record = record

    def retrieve(
        self, type_name: str, code_path: str | None = None, codes: Collection[Pair] | None = None
    ) -> Sequence[Element]:
        if isinstance(codes, _Members):
            return self._record.retrieve_asked(type_name, code_path, codes)
        return self._record.retrieve(type_name, code_path, codes)
