"""`cds translate`: CQL to ELM, and whether it is fresh."""

from __future__ import annotations

from pathlib import Path

import click

from cds.cli.command import environment, main, usable


@main.command("translate")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; say which ELM is stale, and exit with 1 if any is.")
def translate_command(folders: tuple[Path, ...], check: bool) -> None:
    """Translate every .cql in FOLDERS with the official translator; the .elm.json is written beside it."""
    from cds.authoring.translate import stale, translate

    if check:
        found = usable(lambda: stale(folders))
        for path in found:
            click.echo(f"{path}: its ELM is stale; run: cds translate {path.parent}", err=True)
        raise SystemExit(1 if found else 0)
    settings = environment()
    results = usable(lambda: translate(folders, settings.cache))
    for message in dict.fromkeys(message for result in results for message in result.messages):
        click.echo(str(message), err=True)
    for result in results:
        if not result.failed:
            click.echo(f"{result.target}: {'written' if result.written else 'unchanged'}")
    raise SystemExit(1 if any(result.failed for result in results) else 0)
