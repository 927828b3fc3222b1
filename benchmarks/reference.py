"""The JavaScript reference engine (npm cql-execution) as a process beside ours, on the same ELM, value sets, patients.

Its packages are installed into the cache folder when they are not there, as ``benchmarks/node/package-lock.json`` pins
them. Needs Node; ContentError says so where it is absent.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cds.authoring.translate import MODEL_INFO, elm_path, helpers, install, install_packages, stale, translate
from cds.errors import ContentError

ROOT = Path(__file__).resolve().parent.parent
_HERE = Path(__file__).resolve().parent / "node"


class Reference:
    """The engine, loaded once; it answers for one patient's file at a time."""

    def __init__(
        self, elm: Iterable[Path], value_sets: Iterable[Path], libraries: Iterable[str], now: datetime, cache: Path
    ) -> None:
        """With the ELM of the libraries and all that they include; FHIRHelpers, which it needs as ELM, is added."""
        folder = install_packages(_HERE, "run.mjs", cache.resolve() / "reference", "for the reference engine alone")
        request = {
            "elm": [str(path.resolve()) for path in (*elm, fhir_helpers(cache))],
            "valueSets": [str(path.resolve()) for path in value_sets],
            "libs": list(libraries),
            "now": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        self._process = subprocess.Popen(
            ["node", "run.mjs", json.dumps(request)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        #: ``engine`` and ``node`` with their versions, ``load`` in ms, ``rss`` in bytes.
        self.about = self._answer()

    def ask(self, file: Path, *, values: bool = False) -> dict[str, Any]:
        """Times in ms (``parse``, ``load``, ``execute``) and ``rss`` for a patient; with `values` what is defined."""
        assert self._process.stdin is not None
        print(json.dumps({"file": str(file.resolve()), "values": values}), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ContentError("the reference engine has stopped", remedy="see what it wrote above")
        found: dict[str, Any] = json.loads(line)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def fhir_helpers(cache: Path) -> Path:
    """The ELM of the FHIRHelpers that our translations are made with, under `cache`."""
    model_info = (install(cache) / MODEL_INFO).read_text(encoding="utf-8")
    source = cache.resolve() / "reference" / "elm" / "FHIRHelpers.cql"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(helpers(model_info), encoding="utf-8")
    if stale([source]):
        (translation,) = translate([source], cache)
        if translation.failed:
            raise ContentError("FHIRHelpers does not translate", where=str(source))
    return elm_path(source)


def json_files(paths: Iterable[Path]) -> list[Path]:
    """The files, and of folders every .json and .json.gz at any depth, in order."""
    return [
        file
        for path in paths
        for file in (sorted([*path.rglob("*.json"), *path.rglob("*.json.gz")]) if path.is_dir() else [path])
    ]
