"""The command `cds`, and what its subcommands share: settings, errors in their own words, moments, bundles in files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from cds.errors import CdsError, RecordError
from cds.settings import Settings

_Loaded = TypeVar("_Loaded")

#: From how many files on a progress bar is worth its line.
_MANY = 10


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trial-match-cds")
def main() -> None:
    """Find a cancer trial for the patient whose chart is open."""


def environment() -> Settings:
    """The settings that the environment gives; bad ones end the command with their own words."""
    return usable(lambda: Settings.from_environment(os.environ))


def usable(load: Callable[[], _Loaded]) -> _Loaded:
    """What `load` gives; content or settings that cannot be used end the command with their own words."""
    try:
        return load()
    except CdsError as error:
        raise click.ClickException(str(error)) from error


class _Moment(click.ParamType):  # type: ignore[type-arg]
    """An ISO 8601 moment; without an offset it is read in CDS_TIMEZONE, and a date alone means its last second."""

    name = "ISO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no ISO 8601 date-time, such as 2026-11-20T12:00:00Z", param, ctx)
        if len(value) == len("2026-11-20"):
            moment = moment.replace(hour=23, minute=59, second=59)
        return moment


MOMENT = _Moment()


def bundle_files(paths: Iterable[Path]) -> list[Path]:
    """The bundles that paths name: files, and of folders every .json and .json.gz at any depth."""
    files: list[Path] = []
    for path in paths:
        files += sorted([*path.rglob("*.json"), *path.rglob("*.json.gz")]) if path.is_dir() else [path]
    return files


def read_bundle(path: Path) -> Any:
    """The JSON of a file, unpacked where its name ends in .gz. Raises RecordError where it is none."""
    import gzip
    import zlib

    import orjson

    try:
        content = path.read_bytes()
        return orjson.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    except (OSError, EOFError, zlib.error, orjson.JSONDecodeError) as error:
        raise RecordError(f"is no JSON: {error}") from error


def progress(files: list[Path], doing: str) -> Iterable[Path]:
    """The files, with a bar on a terminal when there are many."""
    if len(files) < _MANY or not sys.stderr.isatty():
        return files
    from rich.console import Console
    from rich.progress import track

    return track(files, description=doing, console=Console(stderr=True), transient=True)
