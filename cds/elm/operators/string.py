"""String operators (CQL 1.5, Logical Specification, chapter 17)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from cds.elm.budget import spend, spend_on_text
from cds.elm.operators import operator
from cds.elm.patterns import pattern as regular
from cds.elm.ports import Value
from cds.errors import EvaluationError

#: The longest text, in characters, that an operator makes: beyond what any chart holds.
_LONGEST = 1_000_000


def _bounded(text: str) -> str:
    """The text, unless it has grown without bound: EvaluationError, before the memory is used up."""
    if len(text) > _LONGEST:
        raise EvaluationError(f"a text has grown beyond {_LONGEST} characters")
    return text


@operator("Combine", fields=("source", "separator"))
def combine(source: Sequence[Value] | None, separator: Value) -> Value:
    """17.1 Combine: nulls are left out; null where nothing is left."""
    if source is None:
        return None
    texts = [text for text in source if text is not None]
    spend(len(source) + (sum(map(len, texts)) + len(separator or "") * len(texts)) // 32)
    return _bounded((separator or "").join(texts)) if texts else None


@operator("Concatenate")
def concatenate(*texts: Value) -> Value:
    """17.2 Concatenate: null if any part is (the operator & hands in empty text instead)."""
    if None in texts:
        return None
    whole = _bounded("".join(texts))
    spend_on_text(whole)
    return whole


@operator("EndsWith")
def ends_with(text: Value, suffix: Value) -> Value:
    """17.3 Ends With."""
    return None if text is None or suffix is None else text.endswith(suffix)


@operator("Indexer")
def indexer(source: Value, index: Value) -> Value:
    """17.6 Indexer, of text and of lists: null outside."""
    if source is None or index is None:
        return None
    return source[index] if 0 <= index < len(source) else None


@operator("LastPositionOf", fields=("pattern", "string"))
def last_position_of(pattern: Value, string: Value) -> Value:
    """17.7 LastPositionOf: -1 where it is not found."""
    if pattern is None or string is None:
        return None
    spend_on_text(string)
    return string.rfind(pattern)


@operator("Length")
def length(value: Value) -> Value:
    """17.8 Length, of text and of lists; that a null list has none is for the compiler, which knows the type."""
    return None if value is None else len(value)


@operator("Lower")
def lower(text: Value) -> Value:
    """17.9 Lower."""
    if text is None:
        return None
    spend_on_text(text)
    return text.lower()


@operator("Upper")
def upper(text: Value) -> Value:
    """17.18 Upper."""
    if text is None:
        return None
    spend_on_text(text)
    return text.upper()


@operator("Matches")
def matches(text: Value, pattern: Value) -> Value:
    """17.10 Matches: the whole text."""
    return None if text is None or pattern is None else regular(pattern).matches(text)


@operator("ReplaceMatches")
def replace_matches(text: Value, pattern: Value, substitution: Value) -> Value:
    """17.13 ReplaceMatches: ``$1`` stands for a group, ``\\$`` for a dollar sign."""
    if text is None or pattern is None or substitution is None:
        return None
    if len(text) * len(substitution) > 10 * _LONGEST:
        raise EvaluationError(f"a text would grow far beyond {_LONGEST} characters")
    return _bounded(regular(pattern).replaced(text, _template(substitution)))


@lru_cache(maxsize=1024)
def _template(substitution: str) -> str:
    escaped = substitution.replace("\\$", "\0").replace("\\", "\\\\")
    return re.sub(r"\$(\d+)", r"\\g<\1>", escaped).replace("\0", "$")


@operator("PositionOf", fields=("pattern", "string"))
def position_of(pattern: Value, string: Value) -> Value:
    """17.12 PositionOf: -1 where it is not found."""
    if pattern is None or string is None:
        return None
    spend_on_text(string)
    return string.find(pattern)


@operator("Split", fields=("stringToSplit", "separator"))
def split(text: Value, separator: Value) -> Value:
    """17.14 Split: the whole text in a list where there is no separator."""
    if text is None:
        return None
    spend_on_text(text)
    return text.split(separator) if separator else [text]


@operator("SplitOnMatches", fields=("stringToSplit", "separatorPattern"))
def split_on_matches(text: Value, pattern: Value) -> Value:
    """17.15 SplitOnMatches."""
    if text is None:
        return None
    return regular(pattern).split(text) if pattern else [text]


@operator("StartsWith")
def starts_with(text: Value, prefix: Value) -> Value:
    """17.16 StartsWith."""
    return None if text is None or prefix is None else text.startswith(prefix)


@operator("Substring", fields=("stringToSub", "startIndex", "length"))
def substring(text: Value, start: Value, number: Value) -> Value:
    """17.17 Substring: null where it would begin outside; of an empty text, the text."""
    if text is None or start is None or not (0 <= start < len(text) or start == 0):
        return None
    spend_on_text(text)
    return text[start:] if number is None else text[start : start + max(number, 0)]
