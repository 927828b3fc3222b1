"""`cds import`: a content IG's tree into a content folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from cds.cli.command import environment, main, usable


@main.command("import")
@click.argument("tree", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The content folder.")
def import_command(tree: Path, out: Path) -> None:
    """Read TREE, a CQF content IG (input/cql, input/vocabulary, input/resources, input/tests), into a content folder.

    Each PlanDefinition that is a trial's becomes a folder; what several trials use goes to shared/. What cannot be
    used is said, and nothing is overwritten.
    """
    from cds.authoring.cqf_import import import_cqf

    now = datetime.now(environment().timezone)
    found = usable(lambda: import_cqf(tree, out, now))
    for note in found.notes:
        click.echo(note, err=True)
    for trial in found.trials:
        click.echo(f"{out / trial}: written")
    click.echo(f"{len(found.files)} files written, {len(found.notes)} notes")
