"""CQL -> ELM with the official translator, and which ELM is stale. Only the first needs Node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from cds.errors import ContentError
from cds.trials.compiled import OPTIONS, SIGNATURE_LEVEL, TRANSLATOR, elm_path, fingerprint, is_fresh, sources

_HERE = Path(__file__).resolve().parent / "translator"
_MODEL_INFO = "node_modules/cql-exec-fhir/lib/modelInfos/fhir-modelinfo-4.0.1.xml"
_CONVERSION = re.compile(
    r'<conversionInfo functionName="FHIRHelpers\.(\w+)" fromType="FHIR\.([\w.]+)" toType="([^"]+)"/>'
)


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


def translate(folders: Iterable[Path], cache: Path) -> list[Translation]:
    """Translates every CQL file in `folders` and writes each ELM beside its source.

    A library is looked up by name among the files, and in the folder ``shared`` beside a file's own. The translator
    is installed into `cache` when it is not there. Raises ContentError where Node or npm is absent or fails.
    """
    files = cql_files(folders)
    if not files:
        raise ContentError("there is no .cql file", where=", ".join(map(str, folders)))
    libraries = sources(_with_shared(files))
    installed = _installed(cache)
    answers = _run(installed, files, libraries)
    return [_written(path, answer, libraries) for path, answer in zip(files, answers, strict=True)]


def stale(folders: Iterable[Path]) -> list[Path]:
    """The CQL files whose ELM is absent, or is not what they, their includes and the translator's options say."""
    files = cql_files(folders)
    libraries = sources(_with_shared(files))
    return [path for path in files if not _is_fresh(path, libraries)]


def helpers(model_info: str) -> str:
    """The CQL of FHIRHelpers 4.0.1: the conversions that the ModelInfo (XML) names, as their types define them.

    A quantity with a comparator is no exact value, so its conversion fails as in the published library; a quantity
    of another unit system too. The engine has code of its own for these; the text is for the translator.
    """
    conversions = {(function, source): unescape(target) for function, source, target in _CONVERSION.findall(model_info)}
    lines = ["library FHIRHelpers version '4.0.1'", "using FHIR version '4.0.1'", "context Patient"]
    for (function, source), _target in conversions.items():
        body = _BODIES.get((function, source), "value.value")
        lines.append(f'define function {function}(value FHIR."{source}"): {body}')
    return "\n".join(lines) + "\n"


_UCUM = "http://unitsofmeasure.org"
_BODIES = {
    ("ToCode", "Coding"): "if value is null then null else System.Code { code: value.code.value, system: "
    "value.system.value, version: value.version.value, display: value.display.value }",
    ("ToConcept", "CodeableConcept"): "if value is null then null else System.Concept { codes: value.coding C "
    "return ToCode(C), display: value.text.value }",
    ("ToQuantity", "Quantity"): "case when value is null or value.value is null then null "
    "when value.comparator is not null then Message(null as System.Quantity, true, "
    "'FHIRHelpers.ToQuantity.ComparatorQuantityNotSupported', 'Error', 'a quantity with a comparator is no value') "
    f"when value.system is null or value.system.value = '{_UCUM}' "
    "then System.Quantity { value: value.value.value, unit: Coalesce(value.code.value, value.unit.value, '1') } "
    "else Message(null as System.Quantity, true, 'FHIRHelpers.ToQuantity.InvalidFHIRQuantity', 'Error', "
    "'the unit is not of UCUM') end",
    ("ToRatio", "Ratio"): "if value is null then null else System.Ratio { numerator: ToQuantity(value.numerator), "
    "denominator: ToQuantity(value.denominator) }",
    ("ToInterval", "Period"): 'if value is null then null else if value."start".value is null '
    'then Interval(value."start".value, value."end".value] else Interval[value."start".value, value."end".value]',
    ("ToInterval", "Range"): "if value is null then null else Interval[ToQuantity(value.low), ToQuantity(value.high)]",
}


def _with_shared(files: Iterable[Path]) -> list[Path]:
    """The files, and those of the folder ``shared`` beside the folder of each."""
    found = {path.resolve(): path for path in files}
    for folder in {path.resolve().parent.parent / "shared" for path in files}:
        for path in folder.glob("*.cql"):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _is_fresh(path: Path, libraries: Mapping[str, str]) -> bool:
    try:
        elm = json.loads(elm_path(path).read_bytes())
    except (OSError, ValueError):
        return False
    return is_fresh(elm, path.read_text(encoding="utf-8"), libraries)


def _installed(cache: Path) -> Path:
    """The folder in which the translator is installed, as its lock file pins it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise ContentError(
            "Node is not installed",
            remedy="install Node 20 or newer; it is needed to translate CQL, not to serve or to test what is committed",
        )
    folder = cache.resolve() / "translator"
    lock = (_HERE / "package-lock.json").read_bytes()
    kept = folder / "package-lock.json"
    stamp = folder / "installed"
    if not (stamp.is_file() and kept.is_file() and kept.read_bytes() == lock):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(_HERE / name, folder / name)
        _call(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder, "")
        stamp.touch()
    shutil.copyfile(_HERE / "translate.mjs", folder / "translate.mjs")
    return folder


def _run(folder: Path, files: Iterable[Path], libraries: Mapping[str, str]) -> list[dict[str, Any]]:
    model_info = folder / _MODEL_INFO
    request = {
        "modelInfo": str(model_info),
        "options": OPTIONS,
        "signatureLevel": SIGNATURE_LEVEL,
        "files": [{"name": str(path), "text": path.read_text(encoding="utf-8")} for path in files],
        "libraries": {**libraries, "FHIRHelpers": helpers(model_info.read_text(encoding="utf-8"))},
    }
    answer = _call(["node", "translate.mjs"], folder, json.dumps(request))
    return list(json.loads(answer))


def _call(command: list[str], folder: Path, text: str) -> str:
    done = subprocess.run(command, cwd=folder, input=text, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise ContentError(f"{' '.join(command)} failed: {tail}", where=str(folder))
    return done.stdout


def _written(path: Path, answer: Mapping[str, Any], libraries: Mapping[str, str]) -> Translation:
    own = answer["elm"].get("library", {}).get("identifier", {}).get("id")
    messages = tuple(_messages(path, own, answer["messages"]))
    target = elm_path(path)
    translation = Translation(path, target, False, messages)
    if translation.failed:
        return translation
    sha256 = fingerprint(path.read_text(encoding="utf-8"), libraries)
    text = elm_text(answer["elm"], {"translator": TRANSLATOR, "sha256": sha256})
    changed = not target.is_file() or target.read_text(encoding="utf-8") != text
    if changed:
        target.write_text(text, encoding="utf-8")
    return Translation(path, target, changed, messages)


def _messages(path: Path, own: str | None, messages: Iterable[Mapping[str, Any]]) -> Iterator[Message]:
    for message in messages:
        library = message["library"]
        text = message["message"] if library in (own, None) else f"in {library}: {message['message']}"
        yield Message(path, message["line"] or 1, message["column"] or 1, message["severity"], text)


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
