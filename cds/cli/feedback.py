"""`cds feedback`: what became of the cards."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from cds.cli.command import environment, main, usable

if TYPE_CHECKING:
    from rich.console import Console

    from cds.hooks.feedback.report import Report

_DAY = click.DateTime(["%Y-%m-%d"])


@main.command("feedback")
@click.option("--since", type=_DAY, help="Cards issued since this day (UTC; default: all that are kept).")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--delete-before", type=_DAY, help="Delete what was issued and received before this day first.")
def feedback_command(since: datetime | None, form: str, delete_before: datetime | None) -> None:
    """Print acceptance and override rates of the cards, by trial and reason.

    Nothing that is kept, printed or exported says whose charts were open.
    """
    import orjson

    from cds.hooks.feedback import FeedbackStore
    from cds.hooks.feedback.report import report

    store = FeedbackStore(environment().database_url)
    if delete_before is not None:
        deleted = usable(lambda: store.purge(delete_before.date()))
        click.echo(f"{deleted} cards and reactions were deleted.", err=True)
    found = usable(lambda: report(store, since.date() if since else None))
    if form == "json":
        click.echo(orjson.dumps(found.as_json(), option=orjson.OPT_INDENT_2))
    elif form == "csv":
        _print_csv(found)
    else:
        _print_tables(found)


def _print_csv(report: Report) -> None:
    import csv
    import sys

    from cds.hooks.feedback.report import COLUMNS

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(report.rows())


def _print_tables(report: Report) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if report.trials:
        _print_trials(console, report)
    else:
        console.print("no cards" + (f" since {report.since}" if report.since else ""))
    for number, text in (
        (report.unknown_suggestions, "accepted suggestions that are not among those of their cards"),
        (report.unknown_cards, "reactions to cards that are not known here"),
        (report.not_recorded, "cards that were issued while the database was away, and are not counted"),
    ):
        if number:
            console.print(f"{number} {text}", style="yellow")


def _print_trials(console: Console, report: Report) -> None:
    from rich.table import Table
    from rich.text import Text

    trials = Table(box=None, pad_edge=False)
    trials.add_column("trial", overflow="fold")
    for name in ("cards", "accepted", "overridden", "no answer"):
        trials.add_column(name, justify="right")
    reasons = Table("trial", "reason for overriding", box=None, pad_edge=False)
    reasons.add_column("cards", justify="right")
    for trial in report.trials:
        numbers = (trial.accepted, trial.overridden, trial.unanswered)
        shown = [f"{number} ({number / trial.issued:.0%})" for number in numbers]
        trials.add_row(Text(trial.trial), str(trial.issued), *shown)
        for reason, cards in trial.ranked_reasons:
            share = f"{cards} ({cards / trial.overridden:.0%})"
            reasons.add_row(Text(trial.trial), Text(reason or "none given"), share)
    console.print(trials)
    if reasons.row_count:
        console.print()
        console.print(reasons)
