"""`cds match`: which trials fit the patients in some bundles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds.cli.command import MOMENT, bundle_files, environment, main, progress, read_bundle, usable
from cds.errors import CdsError

if TYPE_CHECKING:
    from rich.console import Console

    from cds.trials.catalog import Catalog
    from cds.trials.eligibility import CriterionResult, Eligibility, Match, SetMatch, SetResult

#: How many resources of a criterion's evidence a table shows.
_SHOWN = 4


@main.command("match")
@click.argument("bundles", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--trial", "trial_ids", multiple=True, metavar="ID", help="This trial alone, its criteria listed (repeats)."
)
@click.option("--all", "all_criteria", is_flag=True, help="List the criteria of trials that are not applicable, too.")
@click.option("--now", type=MOMENT, help="The moment of evaluation (default: the clock).")
@click.option(
    "--first-dose", type=click.DateTime(["%Y-%m-%d"]), help="The planned first dose (default: the date of now)."
)
@click.option(
    "--criteria",
    "criteria_set",
    metavar="SET",
    help="Criteria never asked at entry, judged as of --now: those that an outcome is measured by (conversion).",
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
    criteria_set: str | None,
    searched: str | None,
    form: str,
) -> None:
    """Match patients with trials: BUNDLE... are FHIR R4 bundles of one patient each (.json, .json.gz, or folders)."""
    from cds.trials.catalog import Catalog

    settings = environment()
    catalog = usable(lambda: Catalog.load(settings.plandefinitions))
    unknown = sorted(set(trial_ids) - catalog.trials.keys())
    if unknown:
        raise click.UsageError(f"no trial {', '.join(unknown)}; there are: {', '.join(catalog.trials)}")
    sets = sorted({name for trial in catalog.active for name in trial.sets})
    if criteria_set is not None and criteria_set not in sets:
        raise click.UsageError(f"no set of criteria {criteria_set}; there are: {', '.join(sets)}")
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
        criteria_set=criteria_set,
    )
    files = bundle_files(bundles)
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
    criteria_set: str | None

    def answer(self, path: Path) -> Match | SetMatch:
        """The match of the patient in a file; raises CdsError where the file is no bundle of one patient."""
        from cds.fhir.record import PatientRecord
        from cds.trials.apply import judge_set, match

        record = PatientRecord.from_bundle(
            read_bundle(path), now=self.now, timezone=self.timezone, searched=self.searched
        )
        if self.criteria_set is not None:
            return judge_set(self.catalog, record, self.criteria_set, now=self.now, trials=self.trials)
        return match(
            self.catalog,
            record,
            now=self.now,
            first_dose=self.first_dose,
            trials=self.trials,
            all_criteria=self.all_criteria,
        )


def _print_answers(matcher: _Matcher, files: list[Path], form: str) -> bool:
    """Prints every file's answer as `form` says; whether a file failed (each is named on stderr)."""
    import orjson

    from cds.trials.eligibility import SetMatch, as_json, set_as_json

    failed = False
    collected = []
    for path in progress(files, "Matching"):
        try:
            answer = matcher.answer(path)
        except CdsError as error:
            click.echo(f"{path}: {error}", err=True)
            failed = True
            continue
        if form != "table":
            content = set_as_json(answer) if isinstance(answer, SetMatch) else as_json(answer)
        if form == "jsonl":
            click.echo(orjson.dumps(content))
        elif form == "json":
            collected.append(content)
        elif isinstance(answer, SetMatch):
            _print_set(answer, path)
        else:
            show = _print_table if matcher.all_criteria or len(files) == 1 else _print_line
            show(answer, path)
    if form == "json" and (collected or len(files) > 1):
        told = collected[0] if len(files) == 1 else collected
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    return failed


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


def _print_set(answer: SetMatch, path: Path) -> None:
    """What the trials' sets of a name come to, with their criteria."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    head = f"{answer.patient}  ({path.name})  {answer.name}, evaluated {answer.evaluated_at}"
    console.print(Text(head, style="bold"))
    for trial in answer.trials:
        _print_results(console, trial)
        sign, style = _SIGNS[trial.outcome.value]
        console.print(Text(f"{sign} {answer.name}: {trial.outcome.value}", style=style))
    console.print()


def _print_criteria(console: Console, trial: Eligibility) -> None:
    """The criteria of one trial, and what else a person should know of it."""
    from rich.text import Text

    from cds.hooks.detail import could_start

    _print_results(console, trial)
    if trial.status.value == "ineligible" and trial.eligible_from:
        console.print(Text(could_start(trial, trial.eligible_from), style="yellow"))
    if trial.record_incomplete:
        console.print(Text("The registry record came without its full list of criteria: ask the site.", style="yellow"))


def _print_results(console: Console, trial: Eligibility | SetResult) -> None:
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
