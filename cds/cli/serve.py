"""`cds serve`: the service, on the settings of the environment."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import click

from cds.cli.command import environment, main, usable
from cds.settings import MEMORY, SETTINGS


def _help_of_settings() -> str:
    lines = [f"{setting.name}: {setting.help} (default {_short(setting.default)})" for setting in SETTINGS]
    return "Serve the CDS Hooks services.\n\n\b\n" + "\n".join(lines)


def _short(default: str) -> str:
    return Path(default).name if os.sep in default else default


@main.command("serve", help=_help_of_settings())
@click.option("--reload", is_flag=True, help="Load the content anew when it changes (as CDS_RELOAD=true).")
def serve(reload: bool) -> None:
    """Serves with gunicorn until it is told to stop; the content is loaded, and checked, once, before."""
    settings = environment()
    settings = replace(settings, reload=settings.reload or reload)
    # The counts are mapped into memory: on a disk that is full, counting would kill the worker (SIGBUS).
    folder = Path(mkdtemp(prefix=f"cds-metrics-{os.getpid()}-", dir=MEMORY))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # prometheus_client reads it when it is imported
    from cds.app import create_app, run

    try:
        application = usable(lambda: create_app(settings, metrics_folder=folder))
    except click.ClickException:
        rmtree(folder)
        raise
    click.echo(settings.who_may_call)
    if settings.reload:
        click.echo("The content is loaded anew when it changes; what cannot be loaded replaces nothing.")
    url = f"http://{settings.address}"
    click.echo(f"Try: curl {url}/cds-services   or: .venv/bin/cds fire hooks/trial-match/requests/ --to {url}")
    run(application, settings, at_end=partial(rmtree, folder, ignore_errors=True), metrics_folder=folder)
