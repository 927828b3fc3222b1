"""Libraries of compiled CQL: loading ELM JSON, resolving includes, and what each definition rests on.

::

    libraries = Libraries(model)
    libraries.add(elm_json)      # in any order
    libraries.compile()
    libraries["Screening"].definitions["ECOG performance status"].references

Everything here is made once, at load, and shared by all evaluations.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cds.elm import types
from cds.elm.evaluation import Frame
from cds.elm.inference import type_of
from cds.elm.ports import Model, Value
from cds.elm.types import Json, Type
from cds.elm.values import Code, CodeSystemRef, Concept, ValueSetRef
from cds.errors import ElmError, EvaluationError, UnsupportedNodeError

if TYPE_CHECKING:
    from cds.elm.compiler import Compiler

Run = Callable[[Frame], Value]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """One retrieve as it stands in the logic; `codes` are the codes that it names directly, where it names any."""

    type_name: str
    code_path: str | None = None
    value_set_url: str | None = None
    value_set_name: str | None = None
    codes: tuple[Code, ...] = ()


def _unready(frame: Frame) -> Value:
    raise ElmError("the library is not compiled", remedy="call Libraries.compile() after the last add()")


@dataclass(eq=False, slots=True)
class Body:
    """A compiled expression, the frame it needs, and what it refers to directly."""

    run: Run = _unready
    frame_size: int = 1
    references: dict[Definition, None] = field(default_factory=dict)
    calls: dict[Function, None] = field(default_factory=dict)
    retrieves: dict[Retrieval, None] = field(default_factory=dict)
    parameters: dict[Parameter, None] = field(default_factory=dict)

    def with_calls(self) -> list[Body]:
        """This body and those of all functions that it calls, directly or through others, each once."""
        found, waiting = [self], list(self.calls)
        seen = set(waiting)
        while waiting:
            function = waiting.pop(0)
            found.append(function.body)
            fresh = [called for called in function.body.calls if called not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
        return found


@contextmanager
def well_formed(place: str | None) -> Iterator[None]:
    """Turns what Python says of ELM with missing or odd parts into an ElmError of `place`."""
    try:
        yield
    except RecursionError:
        raise UnsupportedNodeError("the ELM is nested too deeply", where=place) from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ElmError(f"malformed ELM: {type(error).__name__}: {error}", where=place) from error


class _Compiled:
    """What definitions, functions and parameters share: a place in a library and a compiled body."""

    __slots__ = ("body", "frame_size", "library", "locator", "name", "node", "result_type", "run")

    def __init__(self, library: Library, node: Json, result_type: Type | None) -> None:
        self.library = library
        self.node = node
        self.name: str = node["name"]
        self.locator: str | None = node.get("locator")
        self.result_type = result_type
        self.compiled(Body())

    def compiled(self, body: Body) -> None:
        """Takes over a compiled body; `run` and `frame_size` are kept at hand for speed."""
        self.body = body
        self.run = body.run
        self.frame_size = body.frame_size

    @property
    def place(self) -> str:
        """Where it stands, as errors say it: ``Library.Definition @ 12:1-14:20``."""
        return _place(self.library.id, self.name, self.locator)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.place}>"


class Definition(_Compiled):
    """A named expression (CQL's define). `result_type` is None where the ELM neither states it nor lets it be told."""

    __slots__ = ("access_level", "context", "index")

    def __init__(self, library: Library, node: Json, index: int) -> None:
        super().__init__(library, node, _type_of_definition(node))
        self.context: str = node.get("context") or "Unspecified"
        self.access_level: str = node.get("accessLevel") or "Public"
        self.index = index

    @property
    def references(self) -> tuple[Definition, ...]:
        """The definitions that this one refers to directly, or through the functions that it calls."""
        bodies = self.body.with_calls()
        return tuple(dict.fromkeys(definition for body in bodies for definition in body.references))

    @property
    def retrieves(self) -> tuple[Retrieval, ...]:
        """The retrieves in this definition itself, or in the functions that it calls."""
        return tuple(dict.fromkeys(retrieve for body in self.body.with_calls() for retrieve in body.retrieves))

    @property
    def resource_valued(self) -> bool:
        """Whether the static type is a resource, a list or choice of them, or a tuple that holds one."""
        model = self.library.model
        if model is None or self.result_type is None:
            return False
        return any(model.is_resource_type(name) for name in types.named_types(self.result_type))


class Function(_Compiled):
    """A function definition; `operands` are its operand names with their types. An `external` one has no body.

    `searches` says whether it has one operand and looks through something: then it is worth to keep what it gave.
    """

    __slots__ = ("external", "operands", "searches")

    def __init__(self, library: Library, node: Json) -> None:
        super().__init__(library, node, _type_of_definition(node))
        self.external: bool = node.get("external") is True
        self.operands: tuple[tuple[str, Type | None], ...] = tuple(
            (operand["name"], _declared(operand, "operandType")) for operand in node.get("operand") or ()
        )
        self.searches = len(self.operands) == 1 and _searches(node.get("expression"))


class Parameter(_Compiled):
    """A parameter of a library; its body is the default (null where the library states none)."""

    __slots__ = ("index",)

    def __init__(self, library: Library, node: Json, index: int) -> None:
        super().__init__(library, node, _declared(node, "parameterType"))
        self.index = index


class Library:
    """One library: its definitions, functions, parameters and terminology by name."""

    def __init__(self, elm: Json, source: str, model: Model | None) -> None:
        identifier = elm.get("identifier") or {}
        self.id: str = identifier.get("id") or ""
        self.version: str | None = identifier.get("version")
        if not isinstance(self.version, str | None):
            raise TypeError("a version is a text")
        self.source = source
        self.elm = elm
        self.model = model
        #: By local name; None for a library whose functions are the model's own code (FHIRHelpers).
        self.includes: dict[str, Library | None] = {}
        self.include_paths: dict[str, str] = {}
        self.definitions: dict[str, Definition] = {}
        self.functions: dict[str, list[Function]] = {}
        self.parameters: dict[str, Parameter] = {}
        self.code_systems = {item["name"]: _code_system(item) for item in entries(elm, "codeSystems")}
        self.value_sets = {item["name"]: _value_set(item) for item in entries(elm, "valueSets")}
        self.codes: dict[str, Code] = {}
        self.concepts: dict[str, Concept] = {}

    def definition(self, name: str) -> Definition:
        """The definition of that name. Raises ElmError where the library has none."""
        try:
            return self.definitions[name]
        except KeyError:
            raise ElmError(f"no definition {name!r}", where=self.id) from None

    def retrieved_types(self, names: Iterable[str]) -> frozenset[str]:
        """The (unqualified) types that the named definitions retrieve, directly or through what they refer to."""
        return frozenset(retrieve.type_name for retrieve in retrievals(self.definition(name) for name in names))

    def __repr__(self) -> str:
        return f"<Library {self.id} {self.version or ''}>"


class Libraries:
    """All libraries of a process, compiled against one data model (None: System types alone).

    What cannot be compiled is refused at load. Where `lenient`, it is an error of the definition or function that
    holds it, raised when that is asked for: so content written elsewhere answers what it can. `compiler` is another
    way to compile, such as one that traces (None: the plain one).
    """

    def __init__(
        self, model: Model | None = None, compiler: type[Compiler] | None = None, *, lenient: bool = False
    ) -> None:
        self.model = model
        self.lenient = lenient
        self._compiler = compiler
        #: How many results an evaluation keeps.
        self.size = 0
        self._by_id: dict[str, dict[str | None, Library]] = {}
        self._uncompiled: list[Library] = []
        self._parameters: dict[str, list[Parameter]] = {}

    def add(self, elm_json: Json, source: str = "") -> Library:
        """Takes in one library as ELM JSON; `source` (a file name) is named in errors."""
        elm = elm_json.get("library", elm_json) if isinstance(elm_json, Mapping) else None
        if not isinstance(elm, Mapping):
            raise ElmError("no ELM library", where=source or None, remedy="expected an object with a 'library'")
        with well_formed(source or None):
            _refuse_failed_translation(elm, source)
            library = Library(elm, source, self.model)
        if not library.id or not isinstance(library.id, str):
            raise ElmError("a library without an identifier", where=source or None)
        versions = self._by_id.setdefault(library.id, {})
        if library.version in versions:
            raise ElmError(f"the library {library.id} {library.version or ''} is there twice", where=source or None)
        versions[library.version] = library
        self._uncompiled.append(library)
        return library

    def compile(self) -> None:
        """Compiles all libraries added since the last time; refuses what cannot be run, by name and locator."""
        from cds.elm.compiler import compile_library

        fresh = []
        for library in self._uncompiled:
            with well_formed(library.id):
                if not self._is_native(library):
                    self._include(library)
                    self._declare(library)
                    fresh.append(library)
        self._uncompiled.clear()
        _refuse_include_cycles(fresh)
        for library in fresh:
            with well_formed(library.id):
                _resolve_codes(library)
        with _deep_stack():
            for library in fresh:
                _infer_types(library)
            for library in fresh:
                with well_formed(library.id):
                    compile_library(library, self._compiler, lenient=self.lenient)
        _refuse_circular_definitions(fresh)
        _break_long_chains(fresh)

    @property
    def parameters(self) -> dict[str, Type | None]:
        """The names of all parameters that some library declares, with their types."""
        return {name: parameter.result_type for library in self for name, parameter in library.parameters.items()}

    def declared(self, parameter: str) -> Sequence[Parameter]:
        """The parameters of that name, one for each library that declares it."""
        return self._parameters.get(parameter, ())

    def __getitem__(self, key: str | tuple[str, str | None]) -> Library:
        name, version = (key, None) if isinstance(key, str) else key
        versions = self._by_id.get(name)
        if not versions or (version is not None and version not in versions):
            raise ElmError(f"no library {name} {version or ''}".rstrip())
        return versions[version] if version is not None else versions[max(versions, key=_version_order)]

    def __contains__(self, key: object) -> bool:
        return key in self._by_id

    def __iter__(self) -> Iterator[Library]:
        return (library for versions in self._by_id.values() for library in versions.values())

    def _is_native(self, library: Library) -> bool:
        statements = entries(library.elm, "statements")
        return (
            bool(statements)
            and self.model is not None
            and all(
                node.get("type") == "FunctionDef" and self.model.native(library.id, node["name"]) for node in statements
            )
        )

    def _include(self, library: Library) -> None:
        for item in entries(library.elm, "includes"):
            local, (path, version) = item["localIdentifier"], included_name(item)
            library.include_paths[local] = path
            versions = self._by_id.get(path, {})
            if versions and (version is None or version in versions):
                found = self[path, version]
                library.includes[local] = None if self._is_native(found) else found
            elif self.model is not None and self.model.native(path, "ToString"):
                library.includes[local] = None
            elif not self.lenient:
                where = _place(library.id, local, item.get("locator"))
                raise ElmError(f"the included library {path} {version or ''} is not there".rstrip(), where=where)

    def _declare(self, library: Library) -> None:
        for node in entries(library.elm, "parameters"):
            _refuse_second(library, node, library.parameters, "parameter")
            parameter = library.parameters[node["name"]] = Parameter(library, node, self._next())
            self._parameters.setdefault(parameter.name, []).append(parameter)
        for node in entries(library.elm, "statements"):
            if node.get("type") == "FunctionDef":
                overloads = library.functions.setdefault(node["name"], [])
                function = Function(library, node)
                _refuse_second_overload(function, overloads)
                overloads.append(function)
            else:
                _refuse_second(library, node, library.definitions, "definition")
                library.definitions[node["name"]] = Definition(library, node, self._next())

    def _next(self) -> int:
        self.size += 1
        return self.size - 1


@contextmanager
def _deep_stack() -> Iterator[None]:
    """While open, Python's stack is deep enough to compile any expression that may be evaluated."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(max(usual, 10_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


def retrievals(definitions: Iterable[Definition]) -> tuple[Retrieval, ...]:
    """All retrieves that `definitions` reach, directly or through what they refer to, in the order of reference."""
    found: dict[Retrieval, None] = {}
    seen: set[Definition] = set()

    def follow(definition: Definition) -> None:
        if definition not in seen:
            seen.add(definition)
            found.update(dict.fromkeys(definition.retrieves))
            for reference in definition.references:
                follow(reference)

    for definition in definitions:
        follow(definition)
    return tuple(found)


def resting_on(parameter: str, definitions: Iterable[Definition]) -> frozenset[int]:
    """Of what `definitions` reach: the indexes of all whose values rest on the parameter of that name, its own too."""
    users: dict[Definition, list[Definition]] = {}
    found: dict[Definition, None] = {}
    own: set[int] = set()
    waiting = list(definitions)
    seen = set(waiting)
    while waiting:
        definition = waiting.pop()
        named = [one for body in definition.body.with_calls() for one in body.parameters if one.name == parameter]
        if named:
            own.update(one.index for one in named)
            found[definition] = None
        for reference in definition.references:
            users.setdefault(reference, []).append(definition)
            if reference not in seen:
                seen.add(reference)
                waiting.append(reference)
    waiting = list(found)
    while waiting:
        for user in users.get(waiting.pop(), ()):
            if user not in found:
                found[user] = None
                waiting.append(user)
    return frozenset(own.union(definition.index for definition in found))


def entries(elm: Json, section: str) -> list[dict[str, Any]]:
    """The definitions in one section of a library (``statements``, ``parameters``, ...)."""
    found = (elm.get(section) or {}).get("def") or ()
    return [dict(found)] if isinstance(found, Mapping) else list(found)


def included_name(item: Json) -> tuple[str, str | None]:
    """The identifier and version of the library that an include names.

    A path may hold a namespace before the name (``http://example.org/ns/Common``, ``org.example|Common``) or be a
    canonical with its version (``http://example.org/Library/Common|1.0.0``). A library is known by its name alone.
    """
    path, _, last = str(item["path"]).rpartition("|")
    if path and last[:1].isdecimal():
        return path.rpartition("/")[2], item.get("version") or last
    return last.rpartition("/")[2], item.get("version")


def _place(library: str, name: str, locator: str | None) -> str:
    return f"{library}.{name} @ {locator}" if locator else f"{library}.{name}"


#: The nodes that go through rows, or through a text with a regular expression.
_SEARCHING = frozenset(("Query", "ForEach", "Filter", "Matches", "ReplaceMatches", "SplitOnMatches"))


def _searches(expression: Any) -> bool:
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(part)
        elif isinstance(part, Mapping):
            if part.get("type") in _SEARCHING:
                return True
            waiting.extend(value for name, value in part.items() if name != "annotation")
    return False


def _declared(node: Json, field: str) -> Type | None:
    """The type that an operand or a parameter is declared with: by name (as a schema or a translator has it), or not.

    Of an operand whose type says nothing, the result type.
    """
    named = types.stated(node, field, f"{field}Specifier") or types.stated(node, f"{field}Name", f"{field}Specifier")
    return named or types.result_type(node)


def _refuse_second(library: Library, node: Json, known: Mapping[str, object], what: str) -> None:
    if node["name"] in known:
        where = _place(library.id, node["name"], node.get("locator"))
        raise ElmError(f"the {what} {node['name']} is there twice", where=where, remedy="rename one of the two")


def _refuse_second_overload(function: Function, overloads: Sequence[Function]) -> None:
    kinds = [kind for _, kind in function.operands]
    if None not in kinds and any(kinds == [kind for _, kind in other.operands] for other in overloads):
        raise ElmError(f"the function {function.name} is there twice with the same operands", where=function.place)


def _type_of_definition(node: Json) -> Type | None:
    return types.result_type(node) or types.result_type(node.get("expression") or {})


def _version_order(version: str | None) -> tuple[tuple[int, int | str], ...]:
    parts = (version or "").replace("-", ".").split(".")
    return tuple((1, int(part)) if part.isdecimal() else (0, part) for part in parts)


def _code_system(item: Json) -> CodeSystemRef:
    return CodeSystemRef(id=item["id"], version=item.get("version"), name=item["name"])


def _value_set(item: Json) -> ValueSetRef:
    return ValueSetRef(id=item["id"], version=item.get("version"), name=item["name"])


def _resolve_codes(library: Library) -> None:
    for item in entries(library.elm, "codes"):
        reference = item.get("codeSystem")
        system = _included(library, reference).code_systems[reference["name"]] if reference else None
        url, version = (system.id, system.version) if system else (None, None)
        library.codes[item["name"]] = Code(code=item["id"], system=url, version=version, display=item.get("display"))
    for item in entries(library.elm, "concepts"):
        codes = tuple(_code_by_reference(library, code) for code in item.get("code") or ())
        library.concepts[item["name"]] = Concept(codes=codes, display=item.get("display"))


def _code_by_reference(library: Library, reference: Json) -> Code:
    owner = _included(library, reference)
    if reference["name"] not in owner.codes and owner is not library:
        _resolve_codes(owner)
    return owner.codes[reference["name"]]


def _included(library: Library, reference: Json) -> Library:
    local = reference.get("libraryName")
    if not local:
        return library
    found = library.includes.get(local)
    if found is None:
        raise ElmError(f"the library {local} is not included", where=f"{library.id}.{reference.get('name')}")
    return found


def _infer_types(library: Library) -> None:
    functions = [function for overloads in library.functions.values() for function in overloads]
    items: list[Definition | Function | Parameter] = [*library.parameters.values(), *library.definitions.values()]
    for item in (*items, *functions):
        if item.result_type is None:
            # What is malformed, or nested too deeply, is refused when it is compiled.
            with suppress(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
                item.result_type = type_of(item)


def _refuse_failed_translation(elm: Json, source: str) -> None:
    """The translator writes null in place of what it could not translate; such a null would pass for unknown."""
    for note in elm.get("annotation") or ():
        if note.get("type") == "CqlToElmError" and note.get("errorSeverity") == "error":
            place = f"{note.get('libraryId') or source}:{note.get('startLine')}:{note.get('startChar')}"
            raise ElmError(
                f"the library was translated with errors: {note.get('message')}",
                where=place,
                remedy="correct the CQL and translate it again",
            )


def _refuse_include_cycles(libraries: list[Library]) -> None:
    edges = {library: [found for found in library.includes.values() if found] for library in libraries}
    if cycle := _cycle(edges):
        raise ElmError("libraries include each other: " + " -> ".join(library.id for library in cycle))


def _refuse_circular_definitions(libraries: list[Library]) -> None:
    """CQL has no recursion: a definition or function that comes back to itself is refused (CQL 1.5, section 3)."""
    edges: dict[_Compiled, list[_Compiled]] = {}
    for library in libraries:
        functions = [function for overloads in library.functions.values() for function in overloads]
        for item in [*library.definitions.values(), *functions]:
            edges[item] = [*item.body.references, *item.body.calls]
    if cycle := _cycle(edges):
        names = " -> ".join(f"{item.library.id}.{item.name}" for item in cycle)
        raise UnsupportedNodeError(f"definitions that refer to each other in a circle: {names}", where=cycle[0].place)


#: How many definitions may wait for each other before one of them is answered ahead (each takes some Python frames).
_CHAIN = 16


def _break_long_chains(libraries: list[Library]) -> None:
    """Makes definitions that rest on very long chains of others answer some of these first, from the bottom up.

    A chain longer than Python's stack would else fail. Nothing changes for chains as people write them.
    """
    lengths: dict[_Compiled, int] = {}
    stones: dict[_Compiled, dict[Definition, None]] = {}
    for library in libraries:
        for definition in library.definitions.values():
            for item in _bottom_up(definition, lengths):
                below = [*item.body.references, *item.body.calls]
                lengths[item] = max((lengths[found] for found in below), default=0) + isinstance(item, Definition)
                stones[item] = {stone: None for found in below for stone in stones[found]}
                if lengths[item] >= _CHAIN and isinstance(item, Definition):
                    item.run = _answering_first(tuple(stones[item]), item.run)
                    lengths[item] = 0
                    stones[item][item] = None


def _bottom_up(start: _Compiled, known: Mapping[_Compiled, object]) -> Iterator[_Compiled]:
    """What `start` rests on, each item after all that it rests on itself; what is known already is left out."""
    waiting: list[tuple[_Compiled, bool]] = [(start, False)]
    while waiting:
        item, is_ready = waiting.pop()
        if item in known:
            continue
        if is_ready:
            yield item
        else:
            waiting.append((item, True))
            waiting += [(found, False) for found in (*item.body.references, *item.body.calls)]


def _answering_first(stones: tuple[Definition, ...], run: Run) -> Run:
    def answer(frame: Frame) -> Value:
        for stone in stones:
            # Its failure is kept, and raised again by whatever asks for it.
            with suppress(EvaluationError):
                frame[0].value(stone)
        return run(frame)

    return answer


def _cycle(edges: Mapping[Any, Iterable[Any]]) -> list[Any]:
    """A cycle in the graph, its first member repeated at the end; empty where there is none."""
    done: set[Any] = set()
    for start in edges:
        path: dict[Any, Iterator[Any]] = {} if start in done else {start: iter(edges[start])}
        while path:
            last = next(reversed(path))
            follower = next((item for item in path[last] if item not in done), None)
            if follower is None:
                done.add(last)
                del path[last]
            elif follower in path:
                members = list(path)
                return [*members[members.index(follower) :], follower]
            else:
                path[follower] = iter(edges.get(follower, ()))
    return []
