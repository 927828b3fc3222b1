"""The command `cds`: serve, match, translate, fire."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cds.errors import CdsError, RecordError
from cds.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from rich.console import Console

    from cds.trials.catalog import Catalog
    from cds.trials.eligibility import CriterionResult, Eligibility, Match

_Loaded = TypeVar("_Loaded")

#: From how many bundles on a progress bar is worth its line.
_MANY = 10
#: How many resources of a criterion's evidence a table shows.
_SHOWN = 4


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trial-match-cds")
def main() -> None:
    """Find a cancer trial for the patient whose chart is open."""


def _settings() -> Settings:
    return _loaded(lambda: Settings.from_environment(os.environ))


def _loaded(load: Callable[[], _Loaded]) -> _Loaded:
    """What `load` gives; content or settings that cannot be used end the command with their own words."""
    try:
        return load()
    except CdsError as error:
        raise click.ClickException(str(error)) from error


# ---- serve ------------------------------------------------------------------------------------------------------


def _help_of_settings() -> str:
    lines = [f"{setting.name}: {setting.help} (default {_short(setting.default)})" for setting in SETTINGS]
    return "Serve the CDS Hooks services.\n\n\b\n" + "\n".join(lines)


def _short(default: str) -> str:
    return Path(default).name if os.sep in default else default


@main.command("serve", help=_help_of_settings())
def serve() -> None:
    """Serves with gunicorn until it is told to stop; the content is loaded, and checked, once, before."""
    from cds.app import create_app, run

    settings = _settings()
    application = _loaded(lambda: create_app(settings))
    url = f"http://{settings.address}"
    click.echo(f"Try: curl {url}/cds-services   or: .venv/bin/cds fire hooks/trial-match/requests/ --to {url}")
    run(application, settings)


# ---- translate --------------------------------------------------------------------------------------------------


@main.command("translate")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; say which ELM is stale, and exit with 1 if any is.")
def translate_command(folders: tuple[Path, ...], check: bool) -> None:
    """Translate every .cql in FOLDERS with the official translator; the .elm.json is written beside it."""
    from cds.authoring.translate import stale, translate

    if check:
        found = _loaded(lambda: stale(folders))
        for path in found:
            click.echo(f"{path}: its ELM is stale; run: cds translate {path.parent}", err=True)
        raise SystemExit(1 if found else 0)
    settings = _settings()
    results = _loaded(lambda: translate(folders, settings.cache))
    for message in dict.fromkeys(message for result in results for message in result.messages):
        click.echo(str(message), err=True)
    for result in results:
        if not result.failed:
            click.echo(f"{result.target}: {'written' if result.written else 'unchanged'}")
    raise SystemExit(1 if any(result.failed for result in results) else 0)


# ---- match ----------------------------------------------------------------------------------------------------


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


@main.command("match")
@click.argument("bundles", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--trial", "trial_ids", multiple=True, metavar="ID", help="This trial alone, its criteria listed (repeats)."
)
@click.option("--all", "all_criteria", is_flag=True, help="List the criteria of trials that are not applicable, too.")
@click.option("--now", type=_Moment(), help="The moment of evaluation (default: the clock).")
@click.option(
    "--first-dose", type=click.DateTime(["%Y-%m-%d"]), help="The planned first dose (default: the date of now)."
)
@click.option(
    "--searched", metavar="TYPE,...", help="The resource types that the bundles are complete in (default: all)."
)
@click.option("--format", "form", type=click.Choice(["table", "json", "jsonl"]), default="table", show_default=True)
def match_command(
    bundles: tuple[Path, ...],
    trial_ids: tuple[str, ...],
    all_criteria: bool,
    now: datetime | None,
    first_dose: datetime | None,
    searched: str | None,
    form: str,
) -> None:
    """Match patients with trials: BUNDLE... are FHIR R4 bundles of one patient each (.json, .json.gz, or folders)."""
    from cds.trials.catalog import Catalog

    settings = _settings()
    catalog = _loaded(lambda: Catalog.load(settings.plandefinitions))
    unknown = sorted(set(trial_ids) - {trial.id for trial in catalog.active})
    if unknown:
        raise click.UsageError(
            f"no active trial {', '.join(unknown)}; there are: {', '.join(t.id for t in catalog.active)}"
        )
    zone = settings.timezone
    moment = datetime.now(zone) if now is None else now if now.tzinfo else now.replace(tzinfo=zone)
    matcher = _Matcher(
        catalog,
        now=moment,
        first_dose=first_dose.date() if first_dose else moment.date(),
        timezone=zone,
        trials=trial_ids or None,
        all_criteria=all_criteria or bool(trial_ids),
        searched=tuple(part.strip() for part in searched.split(",")) if searched else None,
    )
    files = _bundle_files(bundles)
    failed = _print_answers(matcher, files, form)
    raise SystemExit(1 if failed else 0)


@dataclass(frozen=True)
class _Matcher:
    """Answers for one bundle file with what the command line asked for."""

    catalog: Catalog
    now: datetime
    first_dose: date
    timezone: tzinfo
    trials: tuple[str, ...] | None
    all_criteria: bool
    searched: tuple[str, ...] | None

    def answer(self, path: Path) -> Match:
        """The match of the patient in a file; raises CdsError where the file is no bundle of one patient."""
        from cds.fhir.record import PatientRecord
        from cds.trials.apply import match

        record = PatientRecord.from_bundle(
            _read_bundle(path), now=self.now, timezone=self.timezone, searched=self.searched
        )
        return match(
            self.catalog,
            record,
            now=self.now,
            first_dose=self.first_dose,
            trials=self.trials,
            all_criteria=self.all_criteria,
        )


def _bundle_files(paths: Iterable[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        files += sorted([*path.rglob("*.json"), *path.rglob("*.json.gz")]) if path.is_dir() else [path]
    return files


def _read_bundle(path: Path) -> Any:
    import gzip
    import zlib

    import orjson

    try:
        content = path.read_bytes()
        return orjson.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    except (OSError, EOFError, zlib.error, orjson.JSONDecodeError) as error:
        raise RecordError(f"is no JSON: {error}") from error


def _print_answers(matcher: _Matcher, files: list[Path], form: str) -> bool:
    """Prints every file's answer as `form` says; whether a file failed (each is named on stderr)."""
    import orjson

    from cds.trials.eligibility import as_json

    failed = False
    collected = []
    for path in _progress(files):
        try:
            answer = matcher.answer(path)
        except CdsError as error:
            click.echo(f"{path}: {error}", err=True)
            failed = True
            continue
        if form == "jsonl":
            click.echo(orjson.dumps(as_json(answer)))
        elif form == "json":
            collected.append(as_json(answer))
        else:
            show = _print_table if matcher.all_criteria or len(files) == 1 else _print_line
            show(answer, path)
    if form == "json" and (collected or len(files) > 1):
        content = collected[0] if len(files) == 1 else collected
        click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return failed


def _progress(files: list[Path]) -> Iterable[Path]:
    """The files, with a bar on a terminal when there are many."""
    if len(files) < _MANY or not sys.stderr.isatty():
        return files
    from rich.console import Console
    from rich.progress import track

    return track(files, description="Matching", console=Console(stderr=True), transient=True)


_SIGNS = {
    "met": ("✓", "green"),
    "not-met": ("✗", "red"),
    "unknown": ("?", "yellow"),
    "not-applicable": ("–", "dim"),
}
_STATUS_STYLE = {
    "eligible": "bold green",
    "potentially-eligible": "yellow",
    "ineligible": "red",
    "not-applicable": "dim",
}


def _print_line(answer: Match, path: Path) -> None:
    """One patient of many: the trials that concern her, or that none does."""
    from rich.console import Console
    from rich.text import Text

    line = Text(f"{path.name}  ", style="bold")
    shown = [trial for trial in answer.trials if trial.criteria]
    for trial in shown:
        counts = trial.counts
        line.append(f"{trial.trial} ")
        line.append(trial.status.value, style=_STATUS_STYLE[trial.status.value])
        line.append(f" ({counts.met} met, {counts.not_met} not met, {counts.unknown} open)  ")
    if answer.deceased:
        line.append("deceased  ", style="red")
    if not shown:
        line.append("no trial", style="dim")
    Console(highlight=False).print(line, soft_wrap=True)


def _print_table(answer: Match, path: Path) -> None:
    """One patient's answer for a person: a line for each trial, and the criteria of those that concern her."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    head = f"{answer.patient}  ({path.name})  evaluated {answer.evaluated_at}, first dose {answer.first_dose}"
    console.print(Text(head, style="bold"))
    if answer.deceased:
        console.print(Text("deceased: no trial", style="bold red"))
    summary = Table("status", "trial", "met", "presumed", "not met", "open", "n/a", box=None, pad_edge=False)
    for trial in answer.trials:
        counts = trial.counts
        numbers = (counts.met, counts.presumed, counts.not_met, counts.unknown, counts.not_applicable)
        shown = [str(number) for number in numbers] if trial.criteria else [""] * len(numbers)
        summary.add_row(Text(trial.status.value, style=_STATUS_STYLE[trial.status.value]), Text(trial.title), *shown)
    console.print(summary)
    for trial in answer.trials:
        if trial.criteria:
            _print_criteria(console, trial)
    console.print()


def _print_criteria(console: Console, trial: Eligibility) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, title=Text(f"\n{trial.trial}"), title_justify="left")
    for name in ("", "id", "criterion", "how known", "by which evidence, or what is missing"):
        table.add_column(name, overflow="fold")
    for result in trial.criteria:
        sign, style = _SIGNS[result.outcome.value]
        known = "" if result.basis.value == "none" else result.basis.value
        table.add_row(
            Text(sign, style=style), result.criterion.id, Text(result.criterion.title), known, Text(_why(result))
        )
    console.print(table)
    if trial.record_incomplete:
        console.print(Text("The registry record came without its full list of criteria: ask the site.", style="yellow"))


def _why(result: CriterionResult) -> str:
    """Evidence, what is missing, the reason and the question of one criterion, in a line or two."""
    from cds.fhir.narrative import describe

    parts = [f"{describe(item.resource)} [{item.reference}]" for item in result.evidence[:_SHOWN]]
    if len(result.evidence) > _SHOWN:
        parts.append(f"and {len(result.evidence) - _SHOWN} more")
    parts += dict.fromkeys(item.title for item in result.missing)
    if result.reason:
        parts.append(result.reason)
    if result.clears_on:
        parts.append(f"clears on {result.clears_on}")
    if result.outcome.value == "unknown" and result.criterion.question:
        parts.append(f"→ {result.criterion.question}")
    return "; ".join(parts)


# ---- fire -----------------------------------------------------------------------------------------------------


@main.command("fire")
@click.argument("requests", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--to", "address", metavar="URL", help="The running service (default: CDS_HOST and CDS_PORT).")
@click.option(
    "--service", metavar="ID", help="The service to call (default: the folder under hooks/ that holds REQUEST)."
)
def fire_command(requests: tuple[Path, ...], address: str | None, service: str | None) -> None:
    """Send CDS Hooks REQUESTS (files, or folders of them) to a running service, and show the cards."""
    from functools import partial

    from rich.console import Console

    from cds.hooks.fire import request_files, send, service_of, show

    if address is None:
        address = f"http://{_settings().address}"
    console = Console(highlight=False)
    for path in (file for given in requests for file in request_files(given)):
        status, body = _loaded(partial(send, path, address, service or service_of(path)))
        show(console, path.stem, status, body)


if __name__ == "__main__":
    main()
