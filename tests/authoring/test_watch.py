"""Watching a trial: what is saved is translated and run again, what is broken is said, and it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from cds.authoring.translate import Message, Translation, Translator, elm_path, is_installed
from cds.authoring.watch import Round, polled, watch
from cds.settings import Settings

TRIALS = Path(__file__).parent / "trials"
CACHE = Settings.from_environment({}).cache
needs_node = pytest.mark.skipif(not is_installed(CACHE), reason="the translator is not installed (cds translate)")


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TRIALS, tmp_path / "trials"))


def edited(path: Path, old: str, new: str) -> frozenset[Path]:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return frozenset([path])


def no_translator(files: Iterable[Path]) -> list[Translation]:
    raise AssertionError(f"nothing is to be translated: {list(files)}")


def rounds(
    trials: Path,
    changes: Iterable[Callable[[], frozenset[Path]]],
    translate: Callable[[Iterable[Path]], list[Translation]] = no_translator,
) -> list[Round]:
    found: list[Round] = []
    watch([(trials, "small")], (change() for change in changes), translate, found.append)
    return found


def test_a_case_that_is_saved_is_run_again(trials: Path) -> None:
    case = trials / "small" / "cases" / "fits.json"
    first, second = rounds(trials, [lambda: edited(case, '"valueInteger": 1', '"valueInteger": 8')])
    assert first.results[0].as_expected and not first.changed
    assert second.changed == (case,)
    assert {told.outcome.name for told in second.results[0].told} == {"fits"}


def test_what_concerns_no_trial_is_passed_over(trials: Path) -> None:
    found = rounds(trials, [lambda: frozenset([trials / "other" / "eligibility.cql"])])
    assert len(found) == 1


def test_content_that_cannot_be_loaded_is_said_and_watching_goes_on(trials: Path) -> None:
    plan = trials / "small" / "plan-definition.json"
    _, broken, mended = rounds(
        trials,
        [lambda: edited(plan, '"expression": "S1"', '"expression": "S2"'), lambda: edited(plan, '"S2"', '"S1"')],
    )
    assert not broken.results and 'criterion S1 names the definition "S2"' in broken.problems[0]
    assert mended.results[0].as_expected


def test_broken_cql_is_said_with_its_place_and_watching_goes_on(trials: Path) -> None:
    cql = trials / "small" / "eligibility.cql"

    def refuses(files: Iterable[Path]) -> list[Translation]:
        (path,) = files
        message = Message(path, 26, 3, "Error", "Could not resolve identifier Scor")
        return [Translation(path, elm_path(path), False, (message,))]

    saves = [lambda: edited(cql, '"Score" <= 1', '"Scor" <= 1'), lambda: edited(cql, '"Scor" ', '"Score" ')]
    _, broken, mended = rounds(trials, saves, refuses)
    assert not broken.results and not broken.problems
    assert str(broken.messages[0]) == f"{cql}:26:3: error: Could not resolve identifier Scor"
    assert mended.results[0].as_expected  # its ELM is fresh again


@needs_node
def test_what_is_saved_is_translated_and_run(trials: Path) -> None:
    cql = trials / "small" / "eligibility.cql"
    shared = trials / "shared" / "Common.cql"
    with Translator(CACHE) as translator:
        translator.warm([trials])
        found = rounds(
            trials,
            [
                lambda: edited(cql, '"Score" <= 1', '"Score" <= 9'),
                lambda: edited(cql, '"Score" <= 9', '"Score" <= 9 +'),
                lambda: edited(cql, '"Score" <= 9 +', '"Score" <= 1'),
                lambda: edited(shared, "in { 'final', 'amended' }", "= 'registered'"),
            ],
            translator.translate,
        )
    _, changed, broken, mended, other = found
    assert {told.outcome.name for told in changed.results[0].told} == {"scores-nine"}
    assert not broken.results and any(one.severity == "Error" and one.line >= 26 for one in broken.messages)
    assert mended.results[0].as_expected
    assert {told.outcome.name for told in other.results[0].told} >= {"fits", "scores-nine"}


@needs_node
def test_what_has_not_changed_is_not_run_again(trials: Path) -> None:
    cql = trials / "small" / "eligibility.cql"
    for name, criterion in (("fits", "S1"), ("old", "D1"), ("scores-nine", "X1")):
        path = trials / "small" / "cases" / f"{name}.expected.json"
        told = json.loads(path.read_text(encoding="utf-8"))
        del told["trials"]["small"]["status"]
        told["trials"]["small"]["criteria"] = {criterion: told["trials"]["small"]["criteria"].get(criterion, {})}
        path.write_text(json.dumps(told), encoding="utf-8")
    bundle = trials / "small" / "cases" / "old.json"
    with Translator(CACHE) as translator:
        first, comment, score, patient, value_set = rounds(
            trials,
            [
                lambda: edited(cql, "context Patient", "// a comment moves all that follows\n\ncontext Patient"),
                lambda: edited(cql, '"Score" <= 1', '"Score" <= 0'),
                lambda: edited(bundle, "1940-01-01", "1941-01-01"),
                lambda: edited(trials / "small/valuesets/small-disease.json", '"disease"', '"disease" '),
            ],
            translator.translate,
        )
    runs = [
        {one.name: one for one in found.results[0].outcomes} for found in (first, comment, score, patient, value_set)
    ]

    def again(before: int) -> set[str]:
        return {name for name, one in runs[before + 1].items() if one is not runs[before][name]}

    assert again(0) == set()
    assert again(1) == {"fits", "without-a-score", "without-the-disease"}  # S1, or a status, which follows from all
    assert again(2) == {"old"}
    assert again(3) == set(runs[0])
    assert {told.outcome.name for told in score.results[0].told} == {"fits"}


@needs_node
def test_a_translator_that_died_is_started_again(trials: Path) -> None:
    cql = trials / "small" / "eligibility.cql"
    with Translator(CACHE) as translator:
        translator.warm([trials])
        translator.close()
        edited(cql, '"Score" <= 1', '"Score" <= 2')
        (translation,) = translator.translate([cql])
    assert translation.written and not translation.failed


class EndedError(Exception):
    """The watching ends."""


def steps(*actions: Callable[[], object]) -> Callable[[], None]:
    """A wait that does something each time, and ends the watching after the last."""
    waiting: Iterator[Callable[[], object]] = iter(actions)

    def wait() -> None:
        action = next(waiting, None)
        if action is None:
            raise EndedError
        action()

    return wait


def test_a_change_is_told_once_it_is_complete(trials: Path) -> None:
    cql, new = trials / "small" / "eligibility.cql", trials / "small" / "cases" / "new.json"
    elm = elm_path(cql)
    nothing = list
    wait = steps(
        nothing,
        lambda: cql.write_text("half", encoding="utf-8"),
        lambda: cql.write_text("the whole of it", encoding="utf-8"),
        nothing,
        lambda: elm.write_text("{}", encoding="utf-8"),
        lambda: new.write_text("{}", encoding="utf-8"),
        nothing,
        new.unlink,
        nothing,
    )
    found: list[frozenset[Path]] = []
    with pytest.raises(EndedError):
        for changed in polled([(trials, "small")], wait):
            found.append(changed)
    assert found == [{cql}, {new}, {new}]
