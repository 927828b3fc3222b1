"""CQL becomes ELM: whether it translates, what it includes, whether the ELM is fresh and compiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cds.authoring.check.content import LIBRARY, Content, objects, text
from cds.authoring.check.cql import Cql, Json
from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.authoring.check.logic import UNIT
from cds.errors import CdsError, ContentError
from cds.trials.compiled import elm_path

UNNAMED = Rule("cql-library-unnamed", Severity.ERROR, "A CQL file does not say which library it is.")
NAME_TWICE = Rule("cql-library-duplicate", Severity.ERROR, "Two CQL files are one library.")
SYNTAX = Rule("cql-syntax", Severity.ERROR, "The CQL does not translate.")
WARNING = Rule("cql-warning", Severity.WARNING, "The translator warns of the CQL.")
NO_ELM = Rule("elm-missing", Severity.ERROR, "CQL was never translated.")
STALE = Rule("elm-stale", Severity.ERROR, "The ELM is not what its CQL says now.")
REFUSED = Rule("elm-refused", Severity.ERROR, "The engine cannot run what was translated.")
INCLUDE = Rule("include-missing", Severity.ERROR, "An included library is not there.")
CYCLE = Rule("include-cycle", Severity.ERROR, "A library includes itself, through others or not.")
LIBRARY_NAME = Rule("library-mismatch", Severity.ERROR, "A Library resource tells another name or file than its CQL.")
DEPENDS = Rule("library-dependency", Severity.WARNING, "A Library resource does not list what its CQL names.")
RULES = (
    UNNAMED,
    NAME_TWICE,
    SYNTAX,
    WARNING,
    NO_ELM,
    STALE,
    REFUSED,
    INCLUDE,
    CYCLE,
    LIBRARY_NAME,
    DEPENDS,
)

_HELPERS = "FHIRHelpers"
#: Texts and comments of CQL, whose brackets are none.
_TOKEN = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`|//[^\n]*|/\*.*?\*/|[()\[\]{}'"`]|/\*""", re.DOTALL
)
_PAIRS = {")": "(", "]": "[", "}": "{"}


def findings(content: Content) -> Iterator[Finding]:
    """What keeps CQL from being run. After this, each library has the ELM that says what its CQL says, or none."""
    yield from _names(content)
    yield from _includes(content)
    yield from _translated(content)
    yield from _refused(content)
    yield from _libraries(content)


def _names(content: Content) -> Iterator[Finding]:
    for cql in content.cql:
        if cql.source.text is None or not content.holds(cql.source.path):
            continue
        if cql.name is None:
            message = "has no library declaration"
            yield Finding(UNNAMED, cql.source.line(1), message, "begin with: library Name version '1.0.0'")
        elif (first := content.libraries[cql.name]) is not cql:
            message = f"the library {cql.name} is {first.source.path} too"
            yield Finding(NAME_TWICE, cql.source.line(1), message, "rename one of the two")


def _includes(content: Content) -> Iterator[Finding]:
    for cql in content.cql:
        if not content.holds(cql.source.path):
            continue
        for name, place in cql.includes:
            if name == _HELPERS:
                continue
            if name not in content.libraries:
                message = f"the included library {name} is not there"
                yield Finding(INCLUDE, place, message, "put its CQL into this folder, or into shared")
            elif (circle := _circle(content, cql, name)) is not None:
                message = f"includes itself: {' -> '.join(circle)}"
                yield Finding(CYCLE, place, message, "move what both need into a third library")


def _circle(content: Content, cql: Cql, name: str) -> list[str] | None:
    """The libraries from one back to itself by way of `name`."""
    ways = [[cql.name or "", name]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        if way[-1] == cql.name:
            return way
        if way[-1] not in seen and way[-1] in content.libraries:
            seen.add(way[-1])
            ways += [[*way, further] for further, _ in content.libraries[way[-1]].includes]
    return None


# ----------------------------------------------------------------------------------------------------- translation


def _translated(content: Content) -> Iterator[Finding]:
    """Which ELM is stale; what the translator says of its CQL, where it is installed, and then its ELM is used."""
    texts = {name: cql.text for name, cql in content.libraries.items()}
    stale = []
    for cql in content.cql:
        cql.fresh = cql.source.text is not None and cql.is_fresh(texts)
        if cql.fresh or cql.source.text is None or cql.name is None:
            yield from _told_in_elm(content, cql)
            continue
        # Content of others keeps its ELM where it likes, inside Library resources for one.
        if content.trials:
            stale.append(cql)
            if content.holds(cql.source.path):
                yield _stale(cql)
    yield from _diagnosed(content, stale)


def _stale(cql: Cql) -> Finding:
    mend = f"run: cds translate {cql.source.path.parent}"
    target = elm_path(cql.source.path)
    if cql.elm_source is None:
        return Finding(NO_ELM, cql.source.line(1), f"{target.name} is not there", mend)
    return Finding(STALE, cql.source.line(1), f"{target.name} is not what this CQL and its includes say", mend)


def _told_in_elm(content: Content, cql: Cql) -> Iterator[Finding]:
    """What the translator said when it made the ELM."""
    if cql.elm is None or not content.holds(cql.source.path):
        return
    for _, note in objects(cql.elm.get("annotation")):
        if note.get("type") == "CqlToElmError":
            line, column = note.get("startLine"), note.get("startChar")
            place = cql.source.line(line if isinstance(line, int) else 1, column if isinstance(column, int) else 1)
            rule = SYNTAX if note.get("errorSeverity", "error") == "error" else WARNING
            yield Finding(rule, place, text(note.get("message")), "mend the CQL and run cds translate")


def _diagnosed(content: Content, stale: list[Cql]) -> Iterator[Finding]:
    from cds.authoring.translate import diagnose, is_installed

    if not stale:
        return
    try:
        answers = (
            diagnose([cql.source.path for cql in stale], content.cache)
            if content.cache and is_installed(content.cache)
            else None
        )
    except (ContentError, OSError):
        answers = None
    if answers is None:
        for cql in stale:
            if content.holds(cql.source.path):
                yield from _unbalanced(cql)
        return
    for cql, (elm, messages) in zip(stale, answers, strict=True):
        cql.translated = elm
        for message in messages:
            if content.holds(message.path):
                rule = UNIT if "UCUM" in message.text else SYNTAX if message.severity == "Error" else WARNING
                place = Place(message.path, message.line, message.column)
                yield Finding(rule, place, message.text, "mend the CQL and run cds translate")


def _unbalanced(cql: Cql) -> Iterator[Finding]:
    """Where the translator cannot be asked: brackets, texts and comments that are not closed."""
    open_: list[tuple[str, int]] = []
    for found in _TOKEN.finditer(cql.text):
        token = found[0]
        if token in "([{":
            open_.append((token, found.start()))
        elif token in _PAIRS:
            if not open_ or open_.pop()[0] != _PAIRS[token]:
                message = f"{token} closes nothing that is open"
                yield Finding(SYNTAX, cql.source.at(found.start()), message, "mend the CQL and run cds translate")
                return
        elif token in ("'", '"', "`", "/*"):
            message = f"{token} opens what is not closed"
            yield Finding(SYNTAX, cql.source.at(found.start()), message, "mend the CQL and run cds translate")
            return
    for token, offset in open_[-1:]:
        message = f"{token} is not closed"
        yield Finding(SYNTAX, cql.source.at(offset), message, "mend the CQL and run cds translate")


def _refused(content: Content) -> Iterator[Finding]:
    """What the engine says of ELM that it cannot load."""
    error = content.compiled
    if not isinstance(error, CdsError):
        return
    where = error.where or ""
    there = list(content.libraries.values())
    culprit = content.libraries.get(where.partition(".")[0]) or next(
        (cql for cql in there if str(cql.source.path) == where), there[0]
    )
    at = re.search(r"@ (\d+):(\d+)", where)
    place = culprit.source.line(int(at[1]), int(at[2])) if at else culprit.source.line(1)
    message = f"{where}: {error.message}" if where else error.message
    yield Finding(REFUSED, place, message, error.remedy or "write it in another way")


# ------------------------------------------------------------------------------------------- the resource Library


def _libraries(content: Content) -> Iterator[Finding]:
    for resource in content.resources:
        source = resource.source
        if resource.kind != "Library" or not source.path.name.endswith(LIBRARY) or not content.holds(source.path):
            continue
        for number, attachment in objects(resource.json.get("content")):
            url = text(attachment.get("url"))
            file = source.path.parent / url
            if not url or ":" in url:
                continue
            if not file.is_file():
                place = source.place("content", number, "url")
                yield Finding(LIBRARY_NAME, place, f"{url} is not there", "name the file beside it")
            cql = next((one for one in content.cql if one.source.path == file), None)
            if cql is not None:
                yield from _same(resource.json, cql, source)
                yield from _dependencies(content, resource.json, cql, source)


def _same(library: Json, cql: Cql, source: Any) -> Iterator[Finding]:
    for element, told in (("name", cql.name), ("version", cql.version)):
        if told is not None and library.get(element) != told:
            message = f"the {element} is {library.get(element)!r}, and {told!r} in {cql.source.path.name}"
            yield Finding(LIBRARY_NAME, source.place(element), message, "let both say the same")


def _dependencies(content: Content, library: Json, cql: Cql, source: Any) -> Iterator[Finding]:
    if cql.elm is None:
        return
    listed = {
        text(one.get("resource")).partition("|")[0]: number
        for number, one in objects(library.get("relatedArtifact"))
        if one.get("type") == "depends-on"
    }
    needed = {url.partition("|")[0] for url, _ in cql.value_sets.values()}
    names = {text(one.json.get("name")): one.url for one in content.resources if one.kind == "Library"}
    needed |= {names[name] for name, _ in cql.includes if name in names}
    for url in sorted(needed - set(listed)):
        message = f"{cql.source.path.name} names {url}, which is not among the relatedArtifacts of type depends-on"
        yield Finding(DEPENDS, source.place("relatedArtifact"), message, "list it")
    for url in sorted(set(listed) - needed):
        if url in content.by_url and content.by_url[url][0].kind in ("ValueSet", "Library"):
            message = f"depends on {url}, which {cql.source.path.name} does not name"
            place = source.place("relatedArtifact", listed[url])
            yield Finding(DEPENDS, place, message, "take it out of the list")
