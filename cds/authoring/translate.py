"""CQL -> ELM with the official translator, and which ELM is stale. Only the first needs Node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import orjson

from cds.errors import ContentError
from cds.trials.compiled import (
    OPTIONS,
    SIGNATURE_LEVEL,
    TRANSLATOR,
    elm_path,
    fingerprint,
    is_fresh,
    library_name,
    sources,
)

_HERE = Path(__file__).resolve().parent / "translator"
_SCRIPT, _LOCK, _STAMP = "translate.mjs", "package-lock.json", "installed"
#: The oldest Node that the translator runs on.
_NODE = 20
#: Megabytes for what a translation throws away; with Node's own 16 a third of its time goes into collecting it.
_ROOM = "--max-semi-space-size=128"
MODEL_INFO = "node_modules/cql-exec-fhir/lib/modelInfos/fhir-modelinfo-4.0.1.xml"
_CONVERSION = re.compile(r'<conversionInfo functionName="FHIRHelpers\.(\w+)" fromType="FHIR\.([\w.]+)"')


@dataclass(frozen=True, slots=True)
class Message:
    """What the translator says of a place in a file: ``path:line:column: severity: text``."""

    path: Path
    line: int
    column: int
    severity: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.severity.lower()}: {self.text}"


@dataclass(frozen=True, slots=True)
class Translation:
    """One CQL file's translation: the ELM file, whether it was written, and what the translator said."""

    source: Path
    target: Path
    written: bool
    messages: tuple[Message, ...]

    @property
    def failed(self) -> bool:
        """Whether the CQL has errors (its old ELM was then left as it was)."""
        return any(message.severity == "Error" for message in self.messages)


def cql_files(folders: Iterable[Path]) -> list[Path]:
    """All CQL files in the folders (or the files themselves), in order."""
    found = {path for folder in folders for path in (sorted(folder.rglob("*.cql")) if folder.is_dir() else [folder])}
    return sorted(found)


Json = dict[str, Any]
#: Asks a translator that is installed in a folder: the request's JSON in, the answers' JSON out.
Ask = Callable[[Path, Json], list[Json]]


def translate(folders: Iterable[Path], cache: Path, ask: Ask | None = None) -> list[Translation]:
    """Translates every CQL file in `folders` and writes each ELM beside its source.

    A library is looked up by name among the files, in a file's own folder and in the folder ``shared`` beside that.
    The translator is installed into `cache` when it is not there, and is started for this (or is the one to `ask`).
    Raises ContentError where Node or npm is absent or fails.
    """
    given = list(folders)
    files = cql_files(given)
    if not files:
        raise ContentError("there is no .cql file", where=", ".join(map(str, given)))
    within_reach = _within_reach(files)
    libraries = sources(within_reach)
    paths = {library_name(text): path for path, text in zip(within_reach, libraries.values(), strict=True)}
    folder = install(cache)
    answers = (ask or _run)(folder, _request(folder, files, libraries))
    return [_written(path, answer, libraries, paths) for path, answer in zip(files, answers, strict=True)]


def diagnose(paths: Iterable[Path], cache: Path) -> list[tuple[dict[str, Any] | None, tuple[Message, ...]]]:
    """What the translator says of each CQL file, which is not written: its ELM (None where it has errors), messages.

    Files that cannot be read as libraries are passed over as includes. Raises ContentError as `translate` does.
    """
    files = list(paths)
    libraries: dict[str, str] = {}
    places: dict[str | None, Path] = {}
    for path in _within_reach(files):
        text = path.read_text(encoding="utf-8", errors="replace")
        name = library_name(text)
        if name is not None and name not in libraries:
            libraries[name], places[name] = text, path
    found: list[tuple[dict[str, Any] | None, tuple[Message, ...]]] = []
    folder = install(cache)
    answers = _run(folder, _request(folder, files, libraries))
    for path, answer in zip(files, answers, strict=True):
        own = library_name(path.read_text(encoding="utf-8"))
        messages = tuple(_messages(path, own, answer["messages"], places))
        failed = any(message.severity == "Error" for message in messages)
        found.append((None if failed else answer["elm"]["library"], messages))
    return found


def stale(folders: Iterable[Path]) -> list[Path]:
    """The CQL files whose ELM is absent, or is not what they, their includes and the translator's options say."""
    files = cql_files(folders)
    libraries = sources(_within_reach(files))
    return [path for path in files if not _is_fresh(path, libraries)]


def helpers(model_info: str) -> str:
    """The CQL of FHIRHelpers 4.0.1: the conversions that the ModelInfo (XML) names, and those that authors call.

    A quantity with a comparator is no exact value, so its conversion fails as in the published library; a quantity
    of another unit system too. The engine has code of its own for these; the text is for the translator.
    """
    conversions = dict.fromkeys((function, source) for function, source in _CONVERSION.findall(model_info))
    lines = ["library FHIRHelpers version '4.0.1'", "using FHIR version '4.0.1'", "context Patient", _CALENDAR_UNIT]
    for function, source in [*conversions, *_BEYOND]:
        body = _BODIES.get((function, source), "value.value")
        lines.append(f'define function {function}(value FHIR."{source}"): {body}')
    return "\n".join(lines) + "\n"


#: Functions of FHIRHelpers that are no implicit conversions: the author calls them by name.
_BEYOND = (("ToQuantityIgnoringComparator", "Quantity"), ("ToInterval", "Quantity"))
_CALENDAR_UNIT = (
    "define function ToCalendarUnit(unit System.String): case unit when 'ms' then 'millisecond' when 's' then 'second' "
    "when 'min' then 'minute' when 'h' then 'hour' when 'd' then 'day' when 'wk' then 'week' when 'mo' then 'month' "
    "when 'a' then 'year' else unit end"
)
_OF_UCUM = (
    "when value.system is null or value.system.value in "
    "{ 'http://unitsofmeasure.org', 'http://hl7.org/fhirpath/CodeSystem/calendar-units' } "
    "then System.Quantity { value: value.value.value, "
    "unit: ToCalendarUnit(Coalesce(value.code.value, value.unit.value, '1')) } "
    "else Message(null as System.Quantity, true, 'FHIRHelpers.ToQuantity.InvalidFHIRQuantity', 'Error', "
    "'the unit is not of UCUM') end"
)
_BODIES = {
    ("ToCode", "Coding"): "if value is null then null else System.Code { code: value.code.value, system: "
    "value.system.value, version: value.version.value, display: value.display.value }",
    ("ToConcept", "CodeableConcept"): "if value is null then null else System.Concept { codes: value.coding C "
    "return ToCode(C), display: value.text.value }",
    ("ToQuantity", "Quantity"): "case when value is null or value.value is null then null "
    "when value.comparator is not null then Message(null as System.Quantity, true, "
    "'FHIRHelpers.ToQuantity.ComparatorQuantityNotSupported', 'Error', 'a quantity with a comparator is no value') "
    + _OF_UCUM,
    (
        "ToQuantityIgnoringComparator",
        "Quantity",
    ): f"case when value is null or value.value is null then null {_OF_UCUM}",
    ("ToRatio", "Ratio"): "if value is null then null else System.Ratio { numerator: ToQuantity(value.numerator), "
    "denominator: ToQuantity(value.denominator) }",
    ("ToInterval", "Period"): 'if value is null then null else if value."start".value is null '
    'then Interval(value."start".value, value."end".value] else Interval[value."start".value, value."end".value]',
    ("ToInterval", "Range"): "if value is null then null else Interval[ToQuantity(value.low), ToQuantity(value.high)]",
    ("ToInterval", "Quantity"): "if value is null then null else case value.comparator.value "
    "when '<' then Interval[null as System.Quantity, ToQuantityIgnoringComparator(value)) "
    "when '<=' then Interval[null as System.Quantity, ToQuantityIgnoringComparator(value)] "
    "when '>=' then Interval[ToQuantityIgnoringComparator(value), null as System.Quantity] "
    "when '>' then Interval(ToQuantityIgnoringComparator(value), null as System.Quantity] "
    "else Interval[ToQuantity(value), ToQuantity(value)] end",
}


def _within_reach(files: Iterable[Path]) -> list[Path]:
    """The files, and what they may include: those of their own folders, and of the folder ``shared`` beside them."""
    found = {path.resolve(): path for path in files}
    own = {path.parent for path in found.values()}
    for folder in sorted(own) + sorted({folder.resolve().parent / "shared" for folder in own}):
        for path in sorted(folder.glob("*.cql")):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _is_fresh(path: Path, libraries: Mapping[str, str]) -> bool:
    try:
        elm = _head(elm_path(path).read_bytes())
    except (OSError, ValueError):
        return False
    return is_fresh(elm, path.read_text(encoding="utf-8"), libraries)


def _head(elm: bytes) -> Json:
    """What an ELM file says of its translation: that stands in its first line, as `elm_text` writes it."""
    first, _, _ = elm.partition(b",\n")
    try:
        return dict(orjson.loads(first + b"}"))
    except ValueError:
        return dict(orjson.loads(elm))


def install(cache: Path) -> Path:
    """The folder under `cache` in which the translator is installed, as its lock file pins it; installs it if needed.

    Raises ContentError where Node is absent or too old, or the packages cannot be had.
    """
    return install_packages(
        _HERE, _SCRIPT, cache.resolve() / "translator", "to translate CQL, not to serve or to match"
    )


def install_packages(source: Path, script: str, folder: Path, purpose: str) -> Path:
    """`folder`, with the npm packages in it that the lock file in `source` pins, and a copy of the script beside them.

    Raises ContentError, with the `purpose`, where Node is absent or too old, or the packages cannot be had.
    """
    _require_node(purpose)
    lock = (source / _LOCK).read_bytes()
    stamp = folder / _STAMP
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not stamp.is_file() or stamp.read_bytes() != lock:
            stamp.unlink(missing_ok=True)
            for name in ("package.json", _LOCK):
                shutil.copyfile(source / name, folder / name)
            _call(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder, "")
            stamp.write_bytes(lock)
        shutil.copyfile(source / script, folder / script)
    except OSError as error:
        raise ContentError(
            f"npm packages cannot be installed: {error.strerror}",
            where=str(folder),
            remedy="set CDS_CACHE to a folder that can be written",
        ) from error
    return folder


def is_installed(cache: Path) -> bool:
    """Whether the translator stands under `cache`, complete and as the lock file pins it now. Needs no Node."""
    stamp = cache.resolve() / "translator" / _STAMP
    return stamp.is_file() and stamp.read_bytes() == (_HERE / _LOCK).read_bytes()


def _require_node(purpose: str) -> None:
    remedy = f"install Node {_NODE} or newer; it is needed {purpose}"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise ContentError("Node is not installed", remedy=remedy)
    version = _call(["node", "--version"], _HERE, "").strip()
    if int(version.removeprefix("v").split(".")[0]) < _NODE:
        raise ContentError(f"Node {version} is too old", remedy=remedy)


def _request(folder: Path, files: Iterable[Path], libraries: Mapping[str, str]) -> Json:
    model_info = folder / MODEL_INFO
    return {
        "modelInfo": str(model_info),
        "options": OPTIONS,
        "signatureLevel": SIGNATURE_LEVEL,
        "files": [{"name": str(path), "text": path.read_text(encoding="utf-8")} for path in files],
        "libraries": {**libraries, "FHIRHelpers": helpers(model_info.read_text(encoding="utf-8"))},
    }


def _run(folder: Path, request: Json) -> list[Json]:
    return list(json.loads(_call(["node", _SCRIPT], folder, json.dumps(request))))


class Translator:
    """A translator that stays running, so that a translation takes no longer than it takes.

    It is started when first asked, or by `warm`, which waits for nothing. Use it as a context manager, or `close` it.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._process: subprocess.Popen[str] | None = None
        #: Answers that are still to come, of requests that nobody waits for.
        self._unread = 0

    def __enter__(self) -> Translator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self, folders: Iterable[Path]) -> None:
        """Starts it, and has it translate the CQL in `folders` once, for nothing but to know it.

        Raises ContentError where Node or npm is absent or fails.
        """
        folder, files = install(self._cache), cql_files(folders)
        self._send(folder, _request(folder, files, sources(_within_reach(files))))
        self._unread += 1

    def translate(self, folders: Iterable[Path]) -> list[Translation]:
        """As `translate` does."""
        return translate(folders, self._cache, self._ask)

    def close(self) -> None:
        """Ends the process."""
        process, self._process, self._unread = self._process, None, 0
        if process is not None:
            process.kill()
            process.communicate()

    def _ask(self, folder: Path, request: Json) -> list[Json]:
        self._send(folder, request)
        while self._unread:
            self._unread -= 1
            self._receive(folder)
        return list(self._receive(folder))

    def _send(self, folder: Path, request: Json) -> None:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                ["node", _ROOM, _SCRIPT, "--serve"],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is for who watches
            )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            self._failed(folder)

    def _receive(self, folder: Path) -> Any:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            self._failed(folder)
        return orjson.loads(line)

    def _failed(self, folder: Path) -> NoReturn:
        self.close()
        raise ContentError("the translator ended", where=str(folder), remedy="run cds translate to see why")


def _call(command: list[str], folder: Path, text: str) -> str:
    done = subprocess.run(command, cwd=folder, input=text, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise ContentError(f"{' '.join(command)} failed: {tail}", where=str(folder))
    return done.stdout


def _written(
    path: Path, answer: Mapping[str, Any], libraries: Mapping[str, str], paths: Mapping[str | None, Path]
) -> Translation:
    text = path.read_text(encoding="utf-8")
    messages = tuple(_messages(path, library_name(text), answer["messages"], paths))
    target = elm_path(path)
    translation = Translation(path, target, False, messages)
    if translation.failed:
        return translation
    elm = elm_text(answer["elm"], {"translator": TRANSLATOR, "sha256": fingerprint(text, libraries)})
    changed = not target.is_file() or target.read_text(encoding="utf-8") != elm
    if changed:
        target.write_text(elm, encoding="utf-8")
    return Translation(path, target, changed, messages)


def _messages(
    path: Path, own: str | None, messages: Iterable[Mapping[str, Any]], paths: Mapping[str | None, Path]
) -> Iterator[Message]:
    """The translator's messages, each at its place: one about an included library names that library's file."""
    for message in messages:
        library = message["library"] or own
        place = path if library == own else paths.get(library, path)
        yield Message(place, message["line"] or 1, message["column"] or 1, message["severity"], message["message"])


def elm_text(elm: Mapping[str, Any], translation: Mapping[str, Any]) -> str:
    """ELM as JSON with one definition a line, so that a change of one define is a change of one line."""

    def compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    sections = []
    for name, section in elm["library"].items():
        if isinstance(section, Mapping) and isinstance(section.get("def"), list):
            lines = ",\n".join(compact(item) for item in section["def"])
            rest = "".join(f",{compact(key)}:{compact(value)}" for key, value in section.items() if key != "def")
            sections.append(f'{compact(name)}:{{"def":[\n{lines}\n]{rest}}}')
        else:
            sections.append(f"{compact(name)}:{compact(section)}")
    return f'{{"translation":{compact(translation)},\n"library":{{\n' + ",\n".join(sections) + "\n}}\n"
