"""Runs the cases of trials again whenever one of their files is saved.

::

    with Translator(cache) as translator:
        watch(trials, polled(trials, wait), translator.translate, show)
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from cds.authoring.cases import CASES, Kept, Records, Suite
from cds.authoring.ran import Ran, run
from cds.authoring.translate import Message, Translation, stale
from cds.errors import CdsError
from cds.trials.catalog import SHARED

#: A trial by its content folder and id.
Place = tuple[Path, str]
Translate = Callable[[Iterable[Path]], list[Translation]]
#: Runs a trial's cases with what is kept of the last time; the last argument says whether it is the first.
Play = Callable[[Suite, Records, Kept, bool], Ran]

_ELM: Final = ".elm.json"
_CQL: Final = ".cql"


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one save: the trials that were run, or what was wrong, and how many seconds it took.

    `messages` are the translator's, errors among them where the CQL is broken.
    """

    changed: tuple[Path, ...]
    results: tuple[Ran, ...]
    messages: tuple[Message, ...]
    problems: tuple[str, ...]
    seconds: float


def quick(suite: Suite, records: Records, kept: Kept, first: bool) -> Ran:
    """The first time all is run; then what has changed, of what the cases expect something of."""
    return run(suite, records=records, kept=kept, asserted_only=not first)


def watch(
    trials: Sequence[Place],
    changes: Iterable[frozenset[Path]],
    translate: Translate,
    show: Callable[[Round], None],
    play: Play = quick,
) -> None:
    """Runs all trials, and then of each of the `changes` those that it concerns, until they end; shows each round."""
    held = {trial: (Records(), Kept()) for trial in trials}

    def once(changed: Sequence[Path], concerned: Sequence[Place]) -> None:
        def play_one(suite: Suite, trial: Place) -> Ran:
            return play(suite, *held[trial], not changed)

        with _tidied_up_later():
            show(_round(changed, concerned, translate, play_one))

    once((), trials)
    for changed in changes:
        concerned = [trial for trial in trials if any(concerns(path, trial) for path in changed)]
        if concerned:
            once(sorted(changed), concerned)


@contextmanager
def _tidied_up_later() -> Iterator[None]:
    """While open, Python looks for no garbage, and then once: a round makes a catalog, and ends the one before."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
            gc.collect()


def concerns(path: Path, trial: Place) -> bool:
    """Whether a file is one of a trial's, or of those that trials share."""
    root, name = trial
    return any(path.is_relative_to(root / folder) for folder in (name, SHARED))


def _round(
    changed: Sequence[Path], trials: Sequence[Place], translate: Translate, play: Callable[[Suite, Place], Ran]
) -> Round:
    started = perf_counter()
    results: list[Ran] = []
    messages: tuple[Message, ...] = ()
    problems: list[str] = []
    try:
        folders = dict.fromkeys(root / name for root, trial in trials for name in (SHARED, trial))
        outdated = stale([folder for folder in folders if folder.is_dir()])
        translations = translate(outdated) if outdated else []
        messages = tuple(dict.fromkeys(message for one in translations for message in one.messages))
        if not any(translation.failed for translation in translations):
            for trial in trials:
                results.append(play(Suite.load(*trial), trial))
    except (CdsError, OSError) as error:
        problems.append(str(error))
    return Round(tuple(changed), tuple(results), messages, tuple(problems), perf_counter() - started)


def polled(trials: Collection[Place], wait: Callable[[], object]) -> Iterator[frozenset[Path]]:
    """The files of trials that were written, added or removed since the last time; looks after each `wait`.

    A change is told when nothing more changes between two looks: an editor may write a file in pieces.
    """
    before = _states(trials)
    while True:
        wait()
        now = _states(trials)
        if now == before:
            continue
        while True:
            wait()
            later = _states(trials)
            if later == now:
                break
            now = later
        yield frozenset(path for path, _ in before.items() ^ now.items())
        before = now


def _states(trials: Collection[Place]) -> dict[Path, tuple[int, int]]:
    """When each file was written, and its size. Compiled CQL is left out: it follows from the rest."""
    found = {}
    folders = dict.fromkeys(root / name for root, trial in trials for name in (SHARED, trial))
    for folder in folders:
        for place in (folder, folder / "valuesets", folder / CASES):
            for path in place.glob("*"):
                if path.suffix in (_CQL, ".json") and not path.name.endswith(_ELM):
                    try:
                        state = path.stat()
                    except OSError:  # it was removed since it was listed
                        continue
                    found[path] = (state.st_mtime_ns, state.st_size)
    return found
