"""Regular expressions that end: what CQL's Matches, ReplaceMatches and SplitOnMatches search with (appendix B, 17.10).

A pattern such as ``(a+)+$`` takes time that doubles with each letter of a text, and the standard library's `re` cannot
be stopped. So a pattern that may need to try much, or a text that is long for its pattern, is searched with `regex`,
which knows a time limit; all others with `re`, which is several times faster.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from cds.errors import EvaluationError

#: Seconds that one search may take.
LIMIT: Final = 0.1
#: How long a text may be, in characters, that is searched without a limit, by how many unlimited repetitions follow
#: one another in the pattern. The tries grow with one more power of the length: 10 million at these.
_LONGEST: Final = (10_000, 4000, 390, 120, 65, 44, 34)

_TOKEN = re.compile(
    r"""\\.                                 # an escaped sign
      | \[\^?\]?(?:\\.|[^\]\\])*\]          # a class
      | \((?:\?(?:P?<\w+>|<?[=!]|:|[a-z]+\))?)?   # a group begins
      | \)
      | \|
      | (?:[*+]|\{\d*,?\d*\})[?+]?          # a repetition
      | \?[?+]?                             # at most one
      | .""",
    re.DOTALL | re.VERBOSE,
)


class Pattern:
    """One compiled regular expression; a dot stands for any sign, a line's end included."""

    __slots__ = ("_limited", "_longest", "_plain", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            self._plain = re.compile(text, re.DOTALL)
        except (re.error, RecursionError, OverflowError) as error:
            raise EvaluationError("a regular expression cannot be read") from error
        self._limited: Any = None
        found = repetitions(text)
        self._longest = _LONGEST[found] if found is not None and found < len(_LONGEST) else -1

    def matches(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        if len(text) <= self._longest:
            return self._plain.fullmatch(text) is not None
        return self._within_limit(lambda pattern: pattern.fullmatch(text, timeout=LIMIT)) is not None

    def replaced(self, text: str, template: str) -> str:
        """The text with every match replaced by `template` (in which ``\\g<1>`` is a group)."""
        if len(text) <= self._longest:
            return self._plain.sub(template, text)
        found: str = self._within_limit(lambda pattern: pattern.sub(template, text, timeout=LIMIT))
        return found

    def split(self, text: str) -> list[str]:
        """The parts of the text between the matches."""
        if len(text) <= self._longest:
            return self._plain.split(text)
        found: list[str] = self._within_limit(lambda pattern: pattern.split(text, timeout=LIMIT))
        return found

    def _within_limit(self, search: Callable[[Any], Any]) -> Any:
        if self._limited is None:
            self._limited = _limited(self._text)
        try:
            return search(self._limited)
        except TimeoutError:
            raise EvaluationError(
                f"a regular expression takes longer than {LIMIT} s",
                remedy="write it without repetitions inside of repetitions",
            ) from None


@lru_cache(maxsize=1024)
def pattern(text: str) -> Pattern:
    """The compiled pattern. Raises EvaluationError for what is no regular expression."""
    return Pattern(text)


def _limited(text: str) -> Any:
    import regex

    try:
        return regex.compile(text, regex.DOTALL)
    except (regex.error, RecursionError, OverflowError) as error:
        raise EvaluationError("a regular expression cannot be read") from error


def repetitions(text: str) -> int | None:
    """How many unlimited repetitions follow one another in a pattern, at most.

    None where it repeats what itself repeats or has alternatives: then the tries may grow exponentially. What this
    takes for worse than it is, is searched with a limit, and is no less right for it.

    >>> repetitions("C(5[0-3]|7[0-9]).*"), repetitions(".*a.*|b"), repetitions("(a+)+"), repetitions("(a|aa)*")
    (1, 2, None, None)
    """
    groups = [False]  # whether each open group, and the whole, has a repetition or an alternative in it
    closed = False  # what the group that has just been closed has
    number = most = 0
    for token in _TOKEN.findall(text):
        if token[0] == "(":
            groups.append(False)
            closed = False
        elif token == ")" and len(groups) > 1:
            closed = groups.pop()
            groups[-1] = groups[-1] or closed
        else:
            repeats = token[0] in "*+" or (token[0] == "{" and len(token) > 1)
            if repeats and closed:
                return None
            number = 0 if token == "|" and len(groups) == 1 else number + repeats
            most = max(most, number)
            groups[-1] = groups[-1] or repeats or token[0] in "?|"
            closed = False
    return most
