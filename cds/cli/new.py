"""`cds new`: from a registry record to the folder of a draft trial."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds.cli.command import environment, main, usable
from cds.errors import CdsError

if TYPE_CHECKING:
    from cds.authoring.scaffold import Made


@main.command("new")
@click.argument("record", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="The new folder; its name is the trial's id.",
)
@click.option("--nct", metavar="NCT…", help="Which study, where RECORD holds several.")
def new_command(record: Path, folder: Path, nct: str | None) -> None:
    """Make the folder of a draft trial from a registry RECORD.

    RECORD is the pipe-separated text, the JSON of ClinicalTrials.gov's API v2 or its CSV download; which one is told
    from its content. What looks wrong in it is printed. Exit status 1, and nothing written, where it cannot be read.
    """
    from cds.authoring.record_reading import read_record
    from cds.authoring.scaffold import make_trial

    settings = environment()
    made = usable(lambda: make_trial(read_record(record, nct), folder, settings.plandefinitions, date.today()))
    _told(made)
    translated = _translated(folder, settings.cache)
    click.echo(f"\nNext: read {folder / 'eligibility.cql'}, write what is null, run cds translate {folder}")
    raise SystemExit(0 if translated else 1)


def _told(made: Made) -> None:
    """What looks wrong in the record, and what was drafted."""
    for finding in made.findings:
        click.echo(str(finding), err=True)
    if made.findings:
        click.echo("", err=True)
    for one, draft in made.criteria:
        how = ", ".join(draft.patterns) if draft.expression else "to be asked" if _asked(draft.policies) else "to write"
        click.echo(f"{one.id:<5} {draft.assessment:<12} {how:<28} {draft.title}")
    drafted = sum(1 for _, draft in made.criteria if draft.expression)
    click.echo(f"\n{made.folder}: {len(made.criteria)} criteria, {drafted} drafted, {len(made.findings)} findings")
    if made.copied:
        shared = made.folder.resolve().parent / "shared"
        click.echo(f"{shared}: {len(made.copied)} files copied from the trials' shared content, which the draft uses")


def _asked(policies: tuple[str, ...]) -> bool:
    return policies == ("attest",)


def _translated(folder: Path, cache: Path) -> bool:
    """Translates the folder; without Node the folder stands, and how to go on is said."""
    from cds.authoring.translate import translate

    try:
        results = translate([folder], cache)
    except CdsError as error:
        click.echo(f"{error}\nThe folder is written; its CQL is not translated yet: cds translate {folder}", err=True)
        return True
    for message in dict.fromkeys(message for result in results for message in result.messages):
        click.echo(str(message), err=True)
    return not any(result.failed for result in results)
