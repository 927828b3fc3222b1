"""`cds fire`: requests sent to a running service, and its cards shown."""

from __future__ import annotations

from pathlib import Path

import click

from cds.cli.command import environment, main, usable


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
        address = f"http://{environment().address}"
    console = Console(highlight=False)
    for path in (file for given in requests for file in request_files(given)):
        status, body = usable(partial(send, path, address, service or service_of(path)))
        show(console, path.stem, status, body)
