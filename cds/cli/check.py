"""`cds check`: everything that can be known of content before a patient is seen."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds.cli.command import environment, main

if TYPE_CHECKING:
    from cds.authoring.check import Finding

_STYLES = {"error": "bold red", "warning": "yellow", "information": "cyan"}


@main.command("check")
@click.argument("folders", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["human", "json", "sarif", "github"]),
    default="human",
    show_default=True,
    help="For people, for programs, for code scanning (SARIF 2.1.0), as annotations of GitHub Actions.",
)
@click.option("--rule", "only", multiple=True, metavar="ID", help="Only this rule (repeats; docs/rules.md lists all).")
@click.option("--ignore", "ignored", multiple=True, metavar="ID", help="All rules but this one (repeats).")
@click.option(
    "--severity",
    type=click.Choice(["error", "warning", "information"]),
    default="information",
    show_default=True,
    help="The least that is shown.",
)
@click.option(
    "--table",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the criteria with their definitions, value sets, policies and cases to this Markdown file instead.",
)
def check_command(
    folders: tuple[Path, ...],
    form: str,
    only: tuple[str, ...],
    ignored: tuple[str, ...],
    severity: str,
    table: Path | None,
) -> None:
    """Check the content of FOLDERS (default: CDS_PLANDEFINITIONS): all trials in it, or one trial's folder.

    Exit status 0 if nothing is an error, 1 if something is, 2 for wrong usage.
    """
    from cds.authoring.check import RULES, Severity, check, report

    settings = environment()
    folders = tuple(_near(folder) for folder in folders or (settings.plandefinitions,))
    for rule in (*only, *ignored):
        if rule not in RULES:
            raise click.BadParameter(f"there is no rule {rule!r}; docs/rules.md lists all")
    if table is not None:
        _write_table(folders, table)
        return
    least = Severity(severity).rank
    findings = [
        finding
        for finding in check(folders, settings.cache)
        if finding.severity.rank <= least and (not only or finding.rule.id in only) and finding.rule.id not in ignored
    ]
    if form == "human":
        _print(findings)
    elif form == "json":
        click.echo(report.as_json(findings))
    elif form == "sarif":
        click.echo(report.as_sarif(findings, RULES, version("trial-match-cds")))
    elif findings:
        click.echo(report.as_annotations(findings))
    raise SystemExit(1 if any(finding.severity is Severity.ERROR for finding in findings) else 0)


def _near(path: Path) -> Path:
    """A path as one would write it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _write_table(folders: Sequence[Path], target: Path) -> None:
    from cds.authoring.check.table import criteria_table

    told = criteria_table(folders)
    changed = not target.is_file() or target.read_text(encoding="utf-8") != told
    if changed:
        target.write_text(told, encoding="utf-8")
    click.echo(f"{target}: {'written' if changed else 'unchanged'}")


def _print(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    from cds.authoring.check import report

    console = Console(highlight=False, soft_wrap=True)
    for path, group in groupby(findings, key=lambda finding: finding.place.path):
        console.print(Text(str(path), style="bold"))
        for finding in group:
            place = f"{finding.place.line}:{finding.place.column}"
            severity = finding.severity.value
            line = Text.assemble(f"  {place:<9}", (f"{severity:<12}", _STYLES[severity]), finding.message)
            line.append(f"  [{finding.rule.id}]", style="dim")
            console.print(line)
            console.print(Text(f"{'':23}{finding.mend}", style="green"))
        console.print()
    counts = report.counts(findings)
    told = ", ".join(f"{number} {_counted(severity.value, number)}" for severity, number in counts.items())
    console.print(told)


def _counted(severity: str, number: int) -> str:
    if severity == "information":
        return "to know"
    return severity if number == 1 else f"{severity}s"
