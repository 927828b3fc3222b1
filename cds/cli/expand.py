"""`cds expand`: the codes of value sets, from their definitions or a terminology server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds.cli.command import environment, main, usable
from cds.errors import TerminologyError

if TYPE_CHECKING:
    from cds.authoring.expansion import Definitions, Expansion, File
    from cds.authoring.terminology_server import TerminologyServer


@main.command("expand")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--server", metavar="URL", help="A terminology server, for what cannot be worked out from what is here.")
@click.option("--only", multiple=True, metavar="URL", help="Only the value set of this canonical URL (repeats).")
@click.option(
    "--with",
    "more",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Files or folders with further code systems and value sets to draw on.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if any expansion is not what it should be.")
@click.option("--validate", is_flag=True, help="Ask the server of each code whether it knows it ($validate-code).")
@click.option(
    "--page", default=1000, show_default=True, type=click.IntRange(1), help="Codes asked of a server at once."
)
def expand_command(
    paths: tuple[Path, ...],
    server: str | None,
    only: tuple[str, ...],
    more: tuple[Path, ...],
    check: bool,
    validate: bool,
    page: int,
) -> None:
    """Fill the expansion of every ValueSet in PATHS (default: CDS_PLANDEFINITIONS).

    Listed codes, imports and filters over a code system that is here are worked out here; the rest is asked of the
    server (--server or CDS_TERMINOLOGY_SERVER; its credentials stand in CDS_TERMINOLOGY_AUTHORIZATION). A file is
    written only where its codes change.
    """
    from cds.authoring.expansion import Definitions, File, read
    from cds.authoring.terminology_server import TerminologyServer

    settings = environment()
    paths = paths or (settings.plandefinitions,)
    here = usable(lambda: read(paths))
    definitions = usable(lambda: Definitions([*here, *read((*more, settings.plandefinitions))]))
    address = server or settings.terminology_server
    asked = (
        usable(lambda: TerminologyServer(address, settings.terminology_authorization, page=page)) if address else None
    )
    if validate and asked is None:
        raise click.UsageError("--validate needs --server, or CDS_TERMINOLOGY_SERVER")
    files = [
        File(Path(source), resource)
        for source, resource in here
        if isinstance(resource, dict) and resource.get("resourceType") == "ValueSet"
    ]
    files = [one for one in files if not only or one.url in only]
    if not files:
        raise click.UsageError("there is no such ValueSet" if only else "there is no ValueSet in it")
    good = [_expanded(one, definitions, asked, check=check) for one in files]
    if validate and asked is not None:
        good.append(_validated(files, asked))
    raise SystemExit(0 if all(good) else 1)


def _expanded(file: File, definitions: Definitions, server: TerminologyServer | None, *, check: bool) -> bool:
    """Expands one file and says so; whether all is well with it."""
    try:
        expansion = _expansion(file, definitions, server)
    except TerminologyError as error:
        click.echo(str(error), err=True)
        return False
    if expansion is None:
        click.echo(f"{file.path}: kept as it came from a server (name --server to ask anew)")
        return True
    told = f"{len(expansion.entries)} codes, from {expansion.source}"
    if not file.differs(expansion):
        click.echo(f"{file.path}: unchanged ({told})")
        return True
    if check:
        click.echo(f"{file.path}: its expansion is stale; run: cds expand {file.path}", err=True)
        return False
    file.write(expansion, datetime.now(UTC))
    click.echo(f"{file.path}: written ({told})")
    return True


def _expansion(file: File, definitions: Definitions, server: TerminologyServer | None) -> Expansion | None:
    """The expansion of a file; None where it came from a server once, and none is named now."""
    try:
        return definitions.expand(file.value_set, str(file.path))
    except TerminologyError:
        if server is not None:
            return server.expand(file.value_set, str(file.path), definitions.imports(file.value_set))
        if file.from_server:
            return None
        raise


def _validated(files: list[File], server: TerminologyServer) -> bool:
    """Asks about each code once, and names those that the server does not accept."""
    from cds.authoring.expansion import held

    good = True
    seen: dict[tuple[str, str, str], str | None] = {}
    for file in files:
        for entry in held(file.reread(), str(file.path)):
            code = entry["system"], entry["code"], str(entry.get("display"))
            if code not in seen:
                seen[code] = usable(lambda entry=entry: server.problem_of(entry))  # type: ignore[misc]
            if problem := seen[code]:
                good = False
                click.echo(f"{file.path}: {entry['code']} of {entry['system']}: {problem}", err=True)
    click.echo(f"{len(seen)} codes asked of {server.base}")
    return good
