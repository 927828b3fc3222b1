"""Regular expressions that end: Python's, compiled once, with those refused or paid for that could run away.

Python's engine goes back and tries again, and cannot be interrupted. Two things can make that endless:

* A loop that can read the same text in several ways (``(a+)+``, ``(a|a)*``, ``(.*,)*``) takes time exponential in
  the text. Such a pattern is refused: `_is_ambiguous` looks for two different ways around a loop on one text.
* Loops one after the other (``.*a.*b``) take time of a power of the text's length, and many options (``a?a?a?...``)
  time exponential in their number. Such a search spends that many steps of the evaluation's budget before it runs, so
  that a long text ends with a named error. For patterns and texts as charts have them that is next to nothing.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from cds.elm.budget import spend
from cds.errors import EvaluationError

#: Python's own reading of a pattern as a tree.
_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")

#: The longest pattern, and how many characters it may be made of once counted repeats are written out.
_LONGEST: Final = 4000
_POSITIONS: Final = 5000
#: How many tries of Python's engine are one step.
_TRIES: Final = 128
_FREE_TRIES: Final = 512
#: So many options of a pattern cost nothing: they rarely read the same text.
_FREE_OPTIONS: Final = 8

_LAST: Final = 0x10FFFF
Ranges = tuple[tuple[int, int], ...]
_ANY: Final[Ranges] = ((0, _LAST),)

_REMEDY = "write it so that a repeated part can read a text in one way only, such as [a-z]+( [a-z]+)* for ([a-z]+ ?)*"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern, and by which power of the text's length the time of a match, and of a search, may grow.

    `factor` is how many times as long its options may make it.
    """

    expression: re.Pattern[str]
    power_of_match: int
    power_of_search: int
    factor: int

    def matches(self, text: str) -> bool:
        """Whether the pattern reads the whole text."""
        self._pay(text, self.power_of_match)
        return self.expression.fullmatch(text) is not None

    def replace(self, text: str, template: str) -> str:
        """The text with each hit replaced by a template of Python's."""
        self._pay(text, self.power_of_search)
        if len(template) > 1:
            spend(len(text) * len(template) // _TRIES)
        return self.expression.sub(template, text)

    def split(self, text: str) -> list[str | Any]:
        """The pieces of the text between hits, and what the hits' groups read."""
        self._pay(text, self.power_of_search)
        return self.expression.split(text)

    def _pay(self, text: str, power: int) -> None:
        tries = len(text) ** power * self.factor
        if tries > _FREE_TRIES:
            spend(tries // _TRIES)


@lru_cache(maxsize=1024)
def read(pattern: str) -> Pattern:
    """The pattern, compiled. Raises EvaluationError for one that is none, or that may take forever."""
    if len(pattern) > _LONGEST:
        raise EvaluationError(f"a regular expression of more than {_LONGEST} characters")
    try:
        expression = re.compile(pattern, re.DOTALL)
        tree = _parser.parse(pattern, re.DOTALL)
        folded = "(?" in pattern and "i" in pattern
        if _has_nested_loop(tree, 0) and _has_two_ways(_automaton(tree, folded, frozenset())):
            raise EvaluationError(
                "a regular expression repeats what can read a text in several ways, which may take forever",
                remedy=_REMEDY,
            )
        of_match, of_search = (
            _automaton(tree, folded, _at_end(tree, any_only=True)),
            _automaton(tree, folded, _at_end(tree, any_only=False)),
        )
        options = 2 ** min(62, max(0, _options(tree) - _FREE_OPTIONS))
        return Pattern(expression, max(1, _chain(of_match)), 1 + _chain(of_search), options)
    except _TooLarge:
        raise EvaluationError("a regular expression with too many repeated parts") from None
    except (re.error, RecursionError, OverflowError) as error:
        raise EvaluationError("a regular expression cannot be read") from error


# -- the tree of a pattern ---------------------------------------------------------------------------------------


def _inner(code: Any, argument: Any) -> list[Any]:
    """The parts of a node that are trees themselves."""
    if code in _REPEATS:
        return [argument[2]]
    if code is _constants.SUBPATTERN:
        return [argument[3]]
    if code is _constants.BRANCH:
        return list(argument[1])
    if code in (_constants.ASSERT, _constants.ASSERT_NOT):
        return [argument[1]]
    if code is _constants.ATOMIC_GROUP:
        return [argument]
    if code is _constants.GROUPREF_EXISTS:
        return [part for part in argument[1:] if part is not None]
    return []


_REPEATS: Final = frozenset((_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT))
#: A repeat of up to so many more times than at least is no loop: ``[0-9]{4,5}``, ``tumou?r``.
_FEW: Final = 2


def _is_loop(code: Any, argument: Any) -> bool:
    return code in _REPEATS and argument[1] - argument[0] > _FEW


def _has_nested_loop(tree: Any, depth: int) -> bool:
    """Whether a loop holds something that may read a text in several ways: another loop, a choice, an option."""
    for code, argument in tree:
        free = code is _constants.BRANCH or (code in _REPEATS and argument[0] != argument[1])
        if free and depth:
            return True
        inside = depth + (code in _REPEATS and argument[1] > 1)
        if any(_has_nested_loop(part, inside) for part in _inner(code, argument)):
            return True
    return False


def _options(tree: Any) -> int:
    """How many times in a row a part may be read or left out; in a loop, that is for `_is_ambiguous` to see."""
    found = 0
    for code, argument in tree:
        inner = [_options(part) for part in _inner(code, argument)]
        within = max(inner, default=0) if code is _constants.BRANCH else sum(inner)
        if _is_loop(code, argument):
            continue
        if code in _REPEATS:
            within = within * int(argument[1]) + int(argument[1] - argument[0])
        found += within
    return found


def _at_end(tree: Any, *, any_only: bool) -> frozenset[int]:
    """The loops (by id) that end the pattern and so cannot fail: of any character, or in a search of whatever."""
    if not len(tree):
        return frozenset()
    code, argument = tree[-1]
    if _is_loop(code, argument):
        body = argument[2]
        plain = len(body) == 1 and body[0][0] in ((_constants.ANY,) if any_only else _CHARACTERS)
        return frozenset((id(argument),)) if plain else frozenset()
    if code is _constants.SUBPATTERN or code is _constants.BRANCH or (code in _REPEATS and argument[1] == 1):
        parts = _inner(code, argument)
        return frozenset(loop for part in parts for loop in _at_end(part, any_only=any_only))
    return frozenset()


# -- ambiguity ---------------------------------------------------------------------------------------------------

_CHARACTERS: Final = frozenset((_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN))
#: Classes of characters are taken as wider than they are: an ambiguity may be seen where there is none, never missed.
_CATEGORIES: Final[dict[Any, Ranges]] = {
    _constants.CATEGORY_DIGIT: ((48, 57), (128, _LAST)),
    _constants.CATEGORY_SPACE: ((9, 13), (28, 32), (133, 133), (160, 160), (5760, 5760), (8192, 12288)),
    _constants.CATEGORY_WORD: ((48, 57), (65, 90), (95, 95), (97, 122), (128, _LAST)),
    _constants.CATEGORY_NOT_DIGIT: ((0, 47), (58, _LAST)),
    _constants.CATEGORY_NOT_SPACE: ((0, 8), (14, 27), (33, 132), (134, 159), (161, _LAST)),
    _constants.CATEGORY_NOT_WORD: ((0, 47), (58, 64), (91, 94), (96, 96), (123, _LAST)),
}


class _TooLarge(Exception):  # noqa: N818 (it stays in this module)
    """A pattern of more positions than can be looked through."""


@dataclass(slots=True)
class _Automaton:
    """The characters of a pattern as positions, and which may follow which (Glushkov's automaton)."""

    #: Whether a letter is also its capital.
    folded: bool
    #: Loops that are left out.
    skipped: frozenset[int]
    classes: list[Ranges] = field(default_factory=list)
    #: Which positions may follow one, and in how many ways.
    follow: list[dict[int, int]] = field(default_factory=list)

    def position(self, characters: Ranges) -> int:
        if len(self.classes) >= _POSITIONS:
            raise _TooLarge
        self.classes.append(_folded(characters) if self.folded else characters)
        self.follow.append({})
        return len(self.classes) - 1

    def join(self, last: Sequence[int], first: Sequence[int]) -> None:
        for one in last:
            for other in first:
                self.follow[one][other] = self.follow[one].get(other, 0) + 1


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a pattern: the positions it may begin and end with, and whether it may read nothing."""

    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    empty: bool = True


def _automaton(tree: Any, folded: bool, skipped: frozenset[int]) -> _Automaton:
    automaton = _Automaton(folded, skipped)
    _sequence(automaton, tree)
    return automaton


def _sequence(automaton: _Automaton, tree: Any) -> _Part:
    whole = _Part()
    for code, argument in tree:
        whole = _then(automaton, whole, _part(automaton, code, argument))
    return whole


def _then(automaton: _Automaton, one: _Part, other: _Part) -> _Part:
    automaton.join(one.last, other.first)
    return _Part(
        one.first + other.first if one.empty else one.first,
        other.last + one.last if other.empty else other.last,
        one.empty and other.empty,
    )


def _part(automaton: _Automaton, code: Any, argument: Any) -> _Part:
    if code in _CHARACTERS:
        place = automaton.position(_characters(code, argument))
        return _Part((place,), (place,), False)
    if id(argument) in automaton.skipped:
        return _Part()
    if code in _REPEATS:
        return _repeated(automaton, argument[0], argument[1], argument[2])
    if code is _constants.BRANCH:
        return _either([_sequence(automaton, part) for part in argument[1]])
    if code is _constants.GROUPREF:
        place = automaton.position(_ANY)  # what the group read: anything, of any length
        automaton.join((place,), (place,))
        return _Part((place,), (place,))
    if code in (_constants.ASSERT, _constants.ASSERT_NOT):
        _sequence(automaton, argument[1])  # looked at by itself: nothing follows it
        return _Part()
    if code is _constants.GROUPREF_EXISTS:
        return _either([_sequence(automaton, part) for part in _inner(code, argument)] + [_Part()])
    parts = [_sequence(automaton, part) for part in _inner(code, argument)]
    return parts[0] if parts else _Part()


def _either(parts: Sequence[_Part]) -> _Part:
    first = tuple(place for part in parts for place in part.first)
    return _Part(first, tuple(place for part in parts for place in part.last), any(part.empty for part in parts))


def _repeated(automaton: _Automaton, least: int, most: int, body: Any) -> _Part:
    """Counted repeats are written out; what is left over is a loop."""
    whole = _Part()
    for _ in range(least if most - least <= _FEW else max(0, least - 1)):
        whole = _then(automaton, whole, _sequence(automaton, body))
    if most - least <= _FEW:
        for _ in range(most - least):
            part = _sequence(automaton, body)
            whole = _then(automaton, whole, _Part(part.first, part.last))
        return whole
    part = _sequence(automaton, body)
    automaton.join(part.last, part.first)
    return _then(automaton, whole, _Part(part.first, part.last, part.empty or least == 0))


def _characters(code: Any, argument: Any) -> Ranges:
    if code is _constants.ANY:
        return _ANY
    if code is _constants.LITERAL:
        return ((argument, argument),)
    if code is _constants.NOT_LITERAL:
        return _without(((argument, argument),))
    found: list[tuple[int, int]] = []
    negated = False
    for kind, value in argument:
        if kind is _constants.NEGATE:
            negated = True
        elif kind is _constants.LITERAL:
            found.append((value, value))
        elif kind is _constants.RANGE:
            found.append(value)
        else:
            found += _CATEGORIES.get(value, _ANY)
            if negated:  # of a class that is wider than it is the opposite would be narrower
                return _ANY
    return _without(tuple(sorted(found))) if negated else tuple(found)


def _folded(ranges: Ranges) -> Ranges:
    """The characters in either case; letters beyond ASCII count as one."""
    letters = [(max(low, 65), min(high, 90)) for low, high in ranges if low <= 90 and high >= 65]
    small = [(max(low, 97), min(high, 122)) for low, high in ranges if low <= 122 and high >= 97]
    swapped = [(low + 32, high + 32) for low, high in letters] + [(low - 32, high - 32) for low, high in small]
    beyond = [(128, _LAST)] if letters or small or any(high > 127 for _, high in ranges) else []
    return (*ranges, *swapped, *beyond)


def _without(ranges: Ranges) -> Ranges:
    found, following = [], 0
    for low, high in ranges:
        if low > following:
            found.append((following, low - 1))
        following = max(following, high + 1)
    return (*found, (following, _LAST)) if following <= _LAST else tuple(found)


def _meet(one: Ranges, other: Ranges) -> bool:
    return any(low <= top and least <= high for low, high in one for least, top in other)


def _has_two_ways(automaton: _Automaton) -> bool:
    """Whether two different ways lead around a loop on the same text.

    That is so where a pair (p, p) reaches a pair (q, r) of different positions, and that one (p, p) again; or where
    a step that lies in a loop can be taken in two ways.
    """
    component = _components(automaton)
    looping = {place for place, below in enumerate(automaton.follow) if component[place] in map(component.get, below)}
    for place in looping:
        for follower, ways in automaton.follow[place].items():
            if ways > 1 and component[follower] == component[place]:
                return True
    members: dict[int, list[int]] = {}
    for place in looping:
        members.setdefault(component[place], []).append(place)
    return any(_splits(automaton, set(places)) for places in members.values())


def _splits(automaton: _Automaton, places: set[int]) -> bool:
    """Whether, within one strongly connected component, (p, p) reaches (q, r), q not r, and is reached from it."""

    def followers(pair: tuple[int, int]) -> Iterator[tuple[int, int]]:
        one, other = pair
        for first in automaton.follow[one]:
            if first in places:
                for second in automaton.follow[other]:
                    if second in places and (first == second or _meet(classes[first], classes[second])):
                        yield first, second

    classes = automaton.classes
    start = [(place, place) for place in places]
    reached: set[tuple[int, int]] = set(start)
    backwards: dict[tuple[int, int], list[tuple[int, int]]] = {}
    waiting = list(start)
    while waiting:
        spend(1)
        pair = waiting.pop()
        for found in followers(pair):
            backwards.setdefault(found, []).append(pair)
            if found not in reached:
                reached.add(found)
                waiting.append(found)
    # From which pairs a pair (p, p) can be reached again: all of a component are equally reachable from one another.
    returning: set[tuple[int, int]] = set(start)
    waiting = list(start)
    while waiting:
        for found in backwards.get(waiting.pop(), ()):
            if found not in returning:
                returning.add(found)
                waiting.append(found)
    return any(one != other for one, other in reached & returning)


def _components(automaton: _Automaton) -> dict[int, int]:
    """The number of each position's strongly connected component, in order: none reaches one of a higher number."""
    order = _finished(automaton.follow)
    before: list[list[int]] = [[] for _ in automaton.follow]
    for place, below in enumerate(automaton.follow):
        for other in below:
            before[other].append(place)
    component: dict[int, int] = {}
    for number, start in enumerate(reversed(order)):
        waiting = [start]
        while waiting:
            place = waiting.pop()
            if place not in component:
                component[place] = -number
                waiting += before[place]
    return component


def _finished(follow: Sequence[Mapping[int, int]]) -> list[int]:
    """The positions in the order in which a depth-first walk leaves them."""
    order: list[int] = []
    seen: set[int] = set()
    for start in range(len(follow)):
        waiting = [(start, False)]
        while waiting:
            place, is_left = waiting.pop()
            if is_left:
                order.append(place)
            elif place not in seen:
                seen.add(place)
                waiting.append((place, True))
                waiting += [(other, False) for other in follow[place] if other not in seen]
    return order


# -- powers ------------------------------------------------------------------------------------------------------

#: So many steps are looked through for an overlap of two loops; beyond, they are taken to overlap.
_LOOKED_THROUGH: Final = 5000


def _chain(automaton: _Automaton) -> int:
    """How many loops follow one another so that each may leave to the next what it could read itself.

    0 without loops. The number of ways to read a text grows with that power of its length, less one.
    """
    component = _components(automaton)
    members: dict[int, list[int]] = {}
    for place, below in enumerate(automaton.follow):
        if component[place] in map(component.get, below):
            members.setdefault(component[place], []).append(place)
    longest: dict[int, int] = {}
    for number in sorted(members):  # from the end of the pattern
        rest = (longest[later] for later in longest if _overlap(automaton, component, members[number], members[later]))
        longest[number] = 1 + max(rest, default=0)
    return max(longest.values(), default=0)


def _overlap(automaton: _Automaton, component: Mapping[int, int], earlier: Sequence[int], later: Sequence[int]) -> bool:
    """Whether one text leads from p to p, from p to q and from q to q: p in the one loop, q in the other."""
    classes, follow = automaton.classes, automaton.follow
    looked = 0
    for start in earlier:
        for end in later:
            waiting = [(start, start, end)]
            seen = set(waiting)
            while waiting:
                one, between, other = waiting.pop()
                looked += len(follow[between])
                if looked > _LOOKED_THROUGH:
                    return True
                for second in follow[between]:
                    if component[second] < component[end]:
                        continue  # past the later loop
                    for first in follow[one]:
                        if component[first] != component[start] or not _meet(classes[first], classes[second]):
                            continue
                        for third in follow[other]:
                            if component[third] == component[end] and _all_meet(classes, first, second, third):
                                found = (first, second, third)
                                if found == (start, end, end):
                                    return True
                                if found not in seen:
                                    seen.add(found)
                                    waiting.append(found)
    return False


def _all_meet(classes: Sequence[Ranges], *places: int) -> bool:
    """Whether some character is in the classes of all three."""
    one, other, third = (classes[place] for place in places)
    common = [
        (max(low, least), min(high, top)) for low, high in one for least, top in other if low <= top and least <= high
    ]
    return any(low <= top and least <= high for low, high in common for least, top in third)
