"""Whether the answer to a criterion can have changed: a hash of all that it rests on, as the author wrote it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from cds.elm import Definition, Library
from cds.elm.library import Function
from cds.trials.catalog import Catalog, Logic

_SECTIONS = ("usings", "includes", "parameters", "codeSystems", "valueSets", "codes", "concepts")
#: What says where a node stands, and not what it means.
_PLACES = frozenset(("annotation", "locator", "localId"))


def fingerprints(catalog: Catalog, folders: Iterable[Path]) -> Mapping[tuple[str, str], str]:
    """A hash for each criterion, by trial and id: of the CQL that it rests on, the plan, and the value sets.

    `folders` are those that the catalog was read from. Where two hashes are the same, so is the answer for a patient.
    """
    states = [
        (str(path), path.stat().st_mtime_ns) for one in folders for path in sorted((one / "valuesets").glob("*.json"))
    ]
    common = repr(states)
    texts = cache(_lines)
    declared = cache(_declarations)
    found = {}
    for trial in catalog:
        plan = orjson.dumps(trial.plan_definition).decode()
        for criterion, logic in trial.logic.items():
            owners = reached(rests_on(logic))
            parts = [common, plan, *sorted({declared(owner.library) for owner in owners})]
            parts += sorted(f"{owner.library.id} {_text(owner, texts(owner.library))}" for owner in owners)
            found[trial.id, criterion] = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return found


def rests_on(logic: Logic) -> Iterator[Definition]:
    """The definitions that a criterion's answer, its evidence and its basis come from."""
    yield logic.answer
    if logic.applies is not None:
        yield logic.applies
    yield from (*logic.facts, *logic.shown, *logic.verifying)


def reached(definitions: Iterable[Definition]) -> set[Definition | Function]:
    """Some definitions, and all definitions and functions that they refer to, at any depth."""
    found: set[Definition | Function] = set()
    waiting: list[Definition | Function] = list(definitions)
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [*one.body.references, *one.body.calls]
    return found


def cql_of(library: Library) -> Path:
    """The CQL file of a library: it lies beside its ELM."""
    source = Path(library.source)
    return source.with_name(source.name.removesuffix(".json").removesuffix(".elm") + ".cql")


def _lines(library: Library) -> list[str]:
    return cql_of(library).read_text(encoding="utf-8").splitlines()


def _text(owner: Definition | Function, lines: list[str]) -> str:
    """The lines that a definition stands in."""
    first, _, last = (owner.locator or "").partition("-")
    if not first:
        return repr(_meaning(owner.node))
    return "\n".join(lines[int(first.partition(":")[0]) - 1 : int((last or first).partition(":")[0])])


def _declarations(library: Library) -> str:
    """What a library declares beside its definitions."""
    return repr([_meaning(library.elm.get(name)) for name in _SECTIONS])


def _meaning(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _meaning(item) for name, item in value.items() if name not in _PLACES}
    return [_meaning(item) for item in value] if isinstance(value, list) else value
