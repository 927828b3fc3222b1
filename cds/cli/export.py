"""`cds export`: a trial in the layouts that others read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds.cli.command import environment, main, usable

if TYPE_CHECKING:
    from cds.authoring.package import Package


@main.command("export")
@click.argument("trial")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder to write into."
)
@click.option("--layout", type=click.Choice(["cqf", "transaction"]), default="cqf", show_default=True)
def export_command(trial: str, out: Path, layout: str) -> None:
    """Write TRIAL (its folder, or its id among CDS_PLANDEFINITIONS) as others read it.

    cqf is the tree of a content IG (input/cql, input/vocabulary, input/resources, input/tests); transaction is one
    FHIR Bundle to POST to a FHIR server, which has no cases in it.
    """
    from cds.authoring.cqf import write_cqf
    from cds.authoring.package import package

    root, name = _place(trial)
    found = usable(lambda: package(root, name))
    if layout == "transaction":
        path = usable(lambda: _write_transaction(found, out))
        click.echo(f"{path}: written; POST it to the base URL of a FHIR server")
        return
    written = usable(lambda: write_cqf(found, out))
    click.echo(f"{out}: {len(written)} files written")


def _place(trial: str) -> tuple[Path, str]:
    """The content folder and the id of a trial that is named by its folder or by its id."""
    from cds.authoring.cases import trial_folders

    folder = Path(trial)
    if not folder.is_dir():
        folder = environment().plandefinitions / trial
    if not folder.is_dir():
        raise click.UsageError(f"there is no trial {trial}")
    trials = usable(lambda: trial_folders([folder]))
    if len(trials) != 1:
        raise click.UsageError(f"{folder} holds several trials: {', '.join(name for _, name in trials)}")
    return trials[0]


def _write_transaction(found: Package, out: Path) -> Path:
    from cds.authoring.package import as_bytes
    from cds.authoring.transaction import transaction
    from cds.errors import ContentError

    content = as_bytes(transaction(found))
    path = out / f"{found.id}.transaction.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise ContentError(f"cannot be written: {error.strerror}", where=str(path)) from error
    return path
