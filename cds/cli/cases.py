"""`cds cases`: the cases of trials, what differs from what they expect, and how much of the CQL they cover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds.cli.command import MOMENT, environment, main, read_bundle, usable
from cds.errors import CdsError, RecordError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from cds.authoring.cases import CaseOutcome, Difference, Kept, Records, Suite
    from cds.authoring.coverage import LibraryCoverage
    from cds.authoring.ran import Ran
    from cds.authoring.recorded_case import NewCase
    from cds.authoring.watch import Round

#: Up to how many cases all are named under the matrix; of more, those alone that differ.
_NAMED = 40
_SIGNS = {
    "met": ("✓", "green"),
    "not-met": ("✗", "red"),
    "unknown": ("?", "yellow"),
    "not-applicable": ("–", "blue"),
}


@main.command("cases")
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--case", "patterns", multiple=True, metavar="GLOB", help="The cases of such names alone (repeats).")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a page, too.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--coverage", "covering", is_flag=True, help="Print how much of the CQL the cases cover, by definition.")
@click.option("--gaps", is_flag=True, help="Print each clause that no case has run, or seen true and false.")
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Fail where less than this of a trial's own CQL is covered.",
)
@click.option("--watch", "watching", is_flag=True, help="Translate and run again whenever a file is saved.")
@click.option(
    "--record",
    "recorded",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="BUNDLE",
    help="Add this patient as a case of the trial, with what it answers now as what is expected.",
)
@click.option("--name", help="The name of the case to record (default: the bundle's).")
@click.option("--now", type=MOMENT, help="The moment of the case to record (default: the clock).")
@click.option("--first-dose", type=click.DateTime(["%Y-%m-%d"]), help="Its first dose (default: the date of now).")
@click.option("--yes", is_flag=True, help="Record without asking.")
def cases_command(
    folders: tuple[Path, ...],
    patterns: tuple[str, ...],
    page: Path | None,
    form: str,
    covering: bool,
    gaps: bool,
    min_coverage: float | None,
    watching: bool,
    recorded: Path | None,
    name: str | None,
    now: datetime | None,
    first_dose: datetime | None,
    yes: bool,
) -> None:
    """Run the cases of the trials in FOLDERS (a trial's folder, or one of many; default: all trials).

    Exit status: 0 where all is as expected (and covered, where that is asked), 1 where not, 2 for wrong usage.
    """
    from cds.authoring.cases import Suite, trial_folders
    from cds.authoring.ran import run

    trials = usable(lambda: trial_folders(folders or (environment().plandefinitions,)))
    if watching:
        if patterns or form == "json" or covering or gaps or min_coverage is not None:
            raise click.UsageError("--watch goes with --html alone")
        _watch(trials, page)
        return
    if recorded is not None:
        if len(trials) != 1:
            raise click.UsageError("--record needs the folder of one trial")
        _record(trials[0], recorded, name, now, first_dose, ask=not yes)
        return
    if name or now or first_dose or yes:
        raise click.UsageError("--name, --now, --first-dose and --yes go with --record")
    suites = usable(lambda: [Suite.load(root, trial) for root, trial in trials])
    suites = [_chosen(suite, patterns) for suite in suites]
    if patterns and not any(suite.cases for suite in suites):
        raise click.UsageError(f"no case is called {' or '.join(patterns)}")
    wants_coverage = covering or gaps or min_coverage is not None or page is not None
    results = usable(lambda: [run(suite, covered=wants_coverage) for suite in suites])
    if form == "json":
        _print_json(results, covered=wants_coverage)
    else:
        for result in results:
            print_result(result)
        if covering or gaps:
            _print_coverage(results, gaps)
    if page is not None:
        _write_page(page, results)
    failed = any(not result.as_expected for result in results)
    if min_coverage is not None:
        failed |= _too_little(results, min_coverage)
    raise SystemExit(1 if failed else 0)


def _record(
    trial: tuple[Path, str],
    path: Path,
    name: str | None,
    now: datetime | None,
    first_dose: datetime | None,
    *,
    ask: bool,
) -> None:
    """Shows what a trial answers for the patient in a bundle, and adds both as a case once that is confirmed."""
    from cds.authoring.cases import Suite
    from cds.authoring.recorded_case import new_case

    suite = usable(lambda: Suite.load(*trial))
    zone = environment().timezone
    moment = (
        datetime.now(zone).replace(microsecond=0) if now is None else now if now.tzinfo else now.replace(tzinfo=zone)
    )
    day = first_dose.date() if first_dose else moment.date()
    given = name or path.name.removesuffix(".gz").removesuffix(".json")
    try:
        bundle = read_bundle(path)
        case = new_case(suite, bundle, given, now=moment, first_dose=day)
    except RecordError as error:
        raise click.ClickException(f"{path}: {error}") from error
    except CdsError as error:
        raise click.ClickException(str(error)) from error
    _print_found(case)
    if ask:
        click.confirm(f"Is that right, and shall {case.bundle_file} be written?", abort=True)
    usable(case.write)
    click.echo(f"{case.bundle_file}: written")
    click.echo(f"{case.expected_file}: written")


def _print_found(case: NewCase) -> None:
    """What a trial answers for the patient of a new case: each criterion, and what it rests on."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    answer, moments = case.answer, case.expected
    console.print(Text(f"{case.name}  {answer.trial}  {answer.status.value}", style="bold"))
    console.print(Text(f"now {moments['now']}, first dose {moments['firstDose']}", style="dim"))
    table = Table(box=None, pad_edge=False, show_header=False)
    for result in answer.criteria:
        sign, style = _SIGNS[result.outcome.value]
        told = [item.reference for item in result.evidence]
        told += [*dict.fromkeys(item.title for item in result.missing), result.reason or ""]
        known = "" if result.basis.value == "none" else result.basis.value
        cells = (Text(result.criterion.title), known, Text("; ".join(filter(None, told)), style="dim"))
        table.add_row(Text(sign, style=style), result.criterion.id, *cells)
    console.print(table)
    console.print(
        Text("A case stays with the trial's content: no real patient's data may stand in it.", style="yellow")
    )


#: Seconds between two looks at the files.
_INTERVAL = 0.1


def _watch(trials: list[tuple[Path, str]], path: Path | None) -> None:
    """Runs the cases now and whenever a file of the trials is saved, until Ctrl-C."""
    from functools import partial
    from time import sleep

    from cds.authoring.translate import Translator
    from cds.authoring.watch import polled, quick, watch

    def play(suite: Suite, records: Records, kept: Kept, first: bool) -> Ran:
        from cds.authoring.ran import run

        return quick(suite, records, kept, first) if path is None else run(suite, covered=True, records=records)

    latest: dict[str, Ran] = {}

    def show(found: Round) -> None:
        _print_round(found)
        latest.update((result.trial.id, result) for result in found.results)
        if path is not None and latest:
            _write_page(path, list(latest.values()))

    with Translator(environment().cache) as translator:
        try:
            translator.warm(root / trial for root, trial in trials)
        except CdsError as error:
            click.echo(str(error), err=True)
        try:
            watch(trials, polled(trials, partial(sleep, _INTERVAL)), translator.translate, show, play)
        except KeyboardInterrupt:
            click.echo("\nended", err=True)


def _print_round(found: Round) -> None:
    """What came of one save: of the first round all, of others what differs."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for path in found.changed:
        console.print(Text(f"{path}", style="bold"), soft_wrap=True)
    for message in found.messages:
        style = "red" if message.severity == "Error" else "yellow"
        console.print(Text(_shortened(str(message)), style=style), soft_wrap=True)
    for problem in found.problems:
        console.print(Text(problem, style="red"), soft_wrap=True)
    for result in found.results:
        if not found.changed:
            print_result(result)
            continue
        for told in result.told:
            _print_case(console, told.number, told.outcome, told.differences)
        _print_summary(console, result, f"{result.trial.id}: ")
    console.print(Text(f"took {found.seconds:.2f} s", style="dim"))


def _shortened(message: str) -> str:
    """A message without the parser's list of all that could stand there instead."""
    return message.partition(" expecting {")[0]


def _write_page(path: Path, results: Sequence[Ran]) -> None:
    from cds.authoring.cases_page import page

    made = f"cds cases: {sum(len(result.outcomes) for result in results)} cases; trials: {len(results)}"
    try:
        path.write_text(page(results, made), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from error
    click.echo(f"{path}: written", err=True)


def _chosen(suite: Suite, patterns: Sequence[str]) -> Suite:
    """The suite with the cases alone that some pattern names; of no patterns all."""
    from dataclasses import replace

    if not patterns:
        return suite
    cases = tuple(case for case in suite.cases if any(fnmatchcase(case.name, pattern) for pattern in patterns))
    return replace(suite, cases=cases)


# ---------------------------------------------------------------- table


def print_result(result: Ran) -> None:
    """Prints the matrix of one trial's criteria by its cases, and what differs."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(f"{result.trial.id}  {result.trial.title}", style="bold"), soft_wrap=True)
    if not result.outcomes:
        console.print(Text("no cases", style="yellow"))
        return
    _print_matrix(console, result)
    _print_legend(console, result)
    for told in result.told:
        _print_case(console, told.number, told.outcome, told.differences)
    _print_summary(console, result)
    console.print()


def _print_summary(console: Console, result: Ran, head: str = "") -> None:
    from rich.text import Text

    bad = sum(not outcome.as_expected for outcome in result.outcomes)
    summary = f"{head}{len(result.outcomes)} cases, {len(result.outcomes) - bad} as expected"
    console.print(Text(summary + (f", {bad} not" if bad else ""), style="bold red" if bad else "bold green"))


def _print_matrix(console: Console, result: Ran) -> None:
    """Criteria by cases, as many cases in a block as the terminal is wide; a case's number stands above, top down."""
    from rich.text import Text

    rows = result.rows
    left = max([len("status"), *(len(row.id) for row in rows)]) + 1
    width = max(console.width - left, 10)
    digits = len(str(len(result.outcomes)))
    numbers = [str(number).rjust(digits) for number in range(1, len(result.outcomes) + 1)]
    for start in range(0, len(numbers), width):
        block = slice(start, start + width)
        for digit in range(digits):
            heads = "".join(number[digit] for number in numbers[block])
            console.print(Text(" " * left + heads, style="dim"), soft_wrap=True)
        for row in rows:
            line = Text(row.id.ljust(left))
            for cell in row.cells[block]:
                sign, style = _SIGNS.get(cell.value, (cell.value[:1] or "·", "dim"))
                weight = "reverse bold " if cell.differs else "" if cell.asserted else "dim "
                line.append("!" if cell.value == "error" else sign, style=f"{weight}{style}")
            console.print(line, soft_wrap=True)
    console.print(
        Text(
            "✓ met  ✗ not met  ? unknown  – not applicable  ! not run; status by its first letter; dim: the case "
            "expects nothing of it; reversed: other than expected",
            style="dim",
        )
    )


def _print_legend(console: Console, result: Ran) -> None:
    from rich.table import Table
    from rich.text import Text

    if len(result.outcomes) > _NAMED:
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for number, outcome in enumerate(result.outcomes, 1):
        table.add_row(Text(str(number), style="dim"), Text(outcome.name, style="" if outcome.as_expected else "red"))
    console.print(table)


def _print_case(
    console: Console, number: int, outcome: CaseOutcome, differences: Iterable[tuple[Difference, str]]
) -> None:
    """One case that is not as expected: expected beside actual, and why."""
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(f"{number}  {outcome.name}", style="bold red"))
    if outcome.problem:
        console.print(Padding(Text(outcome.problem), (0, 0, 0, 2)))
    for difference, why in differences:
        line = Text(f"{difference.place}: expected ")
        line.append(str(difference.expected), style="green")
        line.append(", actual ")
        line.append(str(difference.actual), style="red")
        console.print(Padding(line, (0, 0, 0, 2)))
        if why:
            console.print(Padding(Text(why, style="dim"), (0, 0, 0, 4)))


# ---------------------------------------------------------------- coverage


def _print_coverage(results: Sequence[Ran], gaps: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from cds.authoring.coverage import merged

    console = Console(highlight=False)
    for library in merged(part for result in results for part in result.coverage):
        console.print(_coverage_table(library))
        if gaps:
            for define in library.defines:
                for clause in define.gaps:
                    (line, column), source = clause.start, library.source(clause)
                    told = Text(f"{library.path}:{line}:{column}: never {', '.join(clause.gap)}: ")
                    console.print(told.append(source, style="bold"), soft_wrap=True)
        console.print()


def _coverage_table(library: LibraryCoverage) -> Table:
    """A library's definitions that have gaps, and the sum of all."""
    from rich.table import Table
    from rich.text import Text

    from cds.authoring.coverage import Tally

    title = Text(f"{library.library}  {library.share:.1%} covered", style="bold")
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", show_footer=True)
    whole = Tally.of(library.clauses)
    table.add_column("covered", justify="right", footer=f"{library.share:.0%}")
    table.add_column("definition", footer=f"{len(library.defines)} in all", overflow="fold")
    table.add_column("clauses run", justify="right", footer=f"{whole.run}/{whole.clauses}")
    table.add_column("true and false", justify="right", footer=f"{whole.both}/{whole.booleans}")
    table.add_column("null", justify="right", footer=f"{whole.null}/{whole.booleans}")
    for define in library.defines:
        if define.gaps:
            tally = Tally.of(define.clauses)
            style = "" if define.reached else "yellow"
            name = define.name if define.reached else f"{define.name} (no criterion rests on it)"
            numbers = [
                f"{tally.run}/{tally.clauses}",
                f"{tally.both}/{tally.booleans}",
                f"{tally.null}/{tally.booleans}",
            ]
            table.add_row(f"{define.share:.0%}", Text(f"{name}:{define.line}", style=style), *numbers)
    return table


def _too_little(results: Iterable[Ran], least: float) -> bool:
    """Whether a trial's own CQL is covered by less than `least` per cent; each is named on stderr."""
    failed = False
    for result in results:
        for library in result.own_coverage:
            if library.share * 100 < least:
                failed = True
                click.echo(f"{library.path}: {library.share:.1%} is covered, less than {least:g}%", err=True)
    return failed


def _print_json(results: Iterable[Ran], *, covered: bool) -> None:
    import orjson

    from cds.authoring.coverage import as_json, merged

    found = list(results)
    content = {"trials": [result.as_json() for result in found]}
    if covered:
        content["coverage"] = as_json(merged(part for result in found for part in result.coverage))
    click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2))
