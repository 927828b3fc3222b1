"""`cds evaluate`: every definition of some libraries for every patient of a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from cds.cli.command import MOMENT, bundle_files, main, progress, read_bundle, usable
from cds.errors import CdsError, RecordError

if TYPE_CHECKING:
    from cds.authoring.evaluate import Content

#: How many steps (rows, calls, items looked at) one definition may spend for one patient.
_BUDGET = 20_000_000
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@main.command("evaluate")
@click.option("--elm", required=True, type=_FOLDER, help="Compiled libraries: ELM JSON, or FHIR Libraries with it.")
@click.option("--vs", "value_sets", type=_FOLDER, help="ValueSets with their codes, and CodeSystems; Bundles of them.")
@click.option(
    "--patients",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="FHIR R4 bundles of one patient each (.json, .json.gz, at any depth).",
)
@click.option("--libs", required=True, metavar="ID,...", help="The identifiers of the libraries to evaluate.")
@click.option("--now", type=MOMENT, help="The moment of evaluation (default: the clock; without an offset: UTC).")
@click.option(
    "--parameters",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Values of parameters: JSON by name, in the format of results, or a FHIR Parameters resource.",
)
@click.option(
    "--budget",
    type=click.IntRange(min=1),
    default=_BUDGET,
    show_default=True,
    metavar="STEPS",
    help="How many steps (rows, calls, items looked at) one definition may spend for one patient.",
)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The results; - is stdout.")
def evaluate_command(
    elm: Path,
    value_sets: Path | None,
    patients: Path,
    libs: str,
    now: datetime | None,
    parameters: Path | None,
    budget: int,
    out: Path,
) -> None:
    """Evaluate every definition of compiled CQL libraries for every patient, and write the values as JSON.

    \b
    {"engine": ..., "now": ..., "libs": [...], "results": {patient's file: {library: {definition: value}}}}

    Resources are taken as they stand in the bundles; nothing is left out. A definition that fails is
    {"@error": where and why}, and the others go on. The exit status is 1 if a library or a patient's file could not
    be used; each is named on stderr.
    """
    from cds.authoring.evaluate import Content
    from cds.authoring.parameters import read_parameters

    names = [name for part in libs.split(",") if (name := part.strip())]
    if not names:
        raise click.UsageError("--libs names no library")
    moment = datetime.now(UTC) if now is None else now if now.tzinfo else now.replace(tzinfo=UTC)
    content = usable(lambda: Content.load(elm, names, value_sets))
    for name, error in content.refused.items():
        click.echo(f"{name}: {error}", err=True)
    if len(content.refused) == len(content.names):
        raise click.ClickException("none of the libraries can be evaluated")
    offset = moment.utcoffset()
    minutes = int(offset.total_seconds()) // 60 if offset else 0
    given = usable(lambda: read_parameters(parameters, content.libraries, minutes)) if parameters else {}
    with _opened(out) as stream:
        failed = _write(stream, content, _by_stem(bundle_files([patients])), moment, given, budget)
    raise SystemExit(1 if failed or content.refused else 0)


def _by_stem(files: list[Path]) -> dict[Path, str]:
    """The key of each file in the results, in order of the keys: its name without .json or .json.gz."""
    keys = {path: path.name.removesuffix(".gz").removesuffix(".json") for path in files}
    return dict(sorted(keys.items(), key=lambda item: (item[1], item[0])))


def _write(
    stream: BinaryIO, content: Content, keys: dict[Path, str], now: datetime, parameters: Any, budget: int
) -> bool:
    """Writes the results, a patient to a line; whether a file failed (each is named on stderr)."""
    import orjson

    from cds.authoring.evaluate import written
    from cds.fhir.record import PatientRecord

    head = orjson.dumps({"engine": _engine(), "now": _iso(now), "libs": content.names})
    stream.write(head[:-1] + b',"results":{')
    seen: dict[str, Path] = {}
    for path in progress(list(keys), "Evaluating"):
        key = keys[path]
        try:
            if key in seen:
                raise RecordError(f"has the same name as {seen[key]}", remedy="results are kept by name: rename one")
            record = PatientRecord.from_bundle(read_bundle(path), now=now, hygiene=False)
        except CdsError as error:
            click.echo(f"{path}: {error}", err=True)
            continue
        values = written(content.evaluate(record, now, parameters, budget))
        stream.write((b",\n" if seen else b"\n") + orjson.dumps(key) + b":" + values)
        seen[key] = path
    stream.write(b"\n}}\n")
    return len(seen) < len(keys)


@contextmanager
def _opened(out: Path) -> Iterator[BinaryIO]:
    """The stream for the results: a file appears under its name only when it is whole."""
    if str(out) == "-":
        yield sys.stdout.buffer
        return
    if out.exists() and not out.is_file():  # a device or a pipe is written as it is
        with out.open("wb") as stream:
            yield stream
        return
    target = out.resolve()
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        with unfinished.open("wb") as stream:
            yield stream
        unfinished.replace(target)
    except OSError as error:
        raise click.ClickException(f"{out}: cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _engine() -> str:
    from importlib.metadata import version

    return f"trial-match-cds {version('trial-match-cds')}"


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
