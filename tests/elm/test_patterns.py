"""Regular expressions end: which pattern may need to try much is known, and a search of it has a time limit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.elm.patterns import Pattern, repetitions
from cds.errors import EvaluationError


@pytest.mark.parametrize(
    ("pattern", "number"),
    [
        ("C50", 0),
        (".*cerv(ix|ical).*(cancer|carcinoma).*|.*cancer.*", 3),
        (r"\[[^\]]*\]|\([^)]*\)", 1),
        (r"(^|\s)[0-9][0-9.,]*\s*(mg|g)(\s*/\s*[0-9.,]*\s*(mg|ml))?(?=\s|$)", 6),
        (r"\(a+\)+", 2),
        ("[(a+)]+", 1),
        ("(ab){2}", 1),
        ("(a+)+", None),
        ("(a|aa)*", None),
        ("((ab?)c){2,}", None),
        ("(?:x*y)*", None),
        ("(?P<name>a*)*", None),
    ],
)
def test_how_often_a_pattern_repeats_is_known(pattern: str, number: int | None) -> None:
    assert repetitions(pattern) == number


def _is_read(pattern: str) -> bool:
    try:
        Pattern(pattern)
    except EvaluationError:
        return False
    return True


@given(
    st.from_regex(r"[ab|()*+?.]{1,8}", fullmatch=True).filter(_is_read),
    st.text("ab", max_size=6),
)
def test_with_a_limit_and_without_a_pattern_says_the_same(pattern: str, subject: str) -> None:
    found = Pattern(pattern)
    assert found.matches(subject) == (re.fullmatch(pattern, subject, re.DOTALL) is not None)


def test_a_long_text_is_searched_with_a_limit_too() -> None:
    long = "cervix " * 1000
    assert Pattern(".*cancer.*").matches(long) is False
    assert Pattern("cervix ").replaced(long, "") == ""
    assert Pattern(" ").split("a b" + "c" * 3000) == ["a", "b" + "c" * 3000]


def test_a_search_that_tries_every_way_is_a_named_error() -> None:
    for search in (Pattern("(a|aa)+$").matches, Pattern("(a|aa)+$").split):
        with pytest.raises(EvaluationError, match=r"longer than 0\.1 s"):
            search("a" * 60 + "b")


@pytest.mark.parametrize("pattern", ["(", "a{2}{3}", "[z-a]"])
def test_what_is_no_pattern_is_a_named_error(pattern: str) -> None:
    with pytest.raises(EvaluationError, match="cannot be read"):
        Pattern(pattern)
