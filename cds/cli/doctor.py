"""`cds doctor`: a CDS Hooks service or a FHIR server, looked at from outside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds.cli.command import environment, main, read_bundle, usable

if TYPE_CHECKING:
    from cds.hooks.doctor import Report

_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan", "ok": "green"}


@main.command("doctor")
@click.argument("url")
@click.option("--patient", metavar="ID", help="A patient of the server; or the id to send to a service.")
@click.option(
    "--bundle",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A patient's Bundle to send to a service as prefetch (default: a patient of whom nothing is known).",
)
@click.option("--token", metavar="TOKEN", help="The access token for a FHIR server.")
@click.option("--sign", type=click.Path(path_type=Path), metavar="KEYFILE", help="Sign calls with this PEM key.")
@click.option("--issuer", metavar="ISS", help="Who signs; with --sign.")
@click.option("--kid", metavar="KID", help="The id of the key (default: its thumbprint, as `cds keys` writes it).")
@click.option("--seconds", type=float, default=10, show_default=True, help="How long an answer is waited for.")
@click.option("--all", "everything", is_flag=True, help="Show what is right, too.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def doctor(
    context: click.Context,
    url: str,
    patient: str | None,
    bundle: Path | None,
    token: str | None,
    sign: Path | None,
    issuer: str | None,
    kid: str | None,
    seconds: float,
    everything: bool,
    form: str,
) -> None:
    """Look at the CDS Hooks service or FHIR server at URL, and say what will not work.

    It sends good and bad requests, and empty feedback; it changes nothing. Exit status 1 where something will not
    work. Rule numbers are those of tests/hooks/checklist.
    """
    from functools import partial

    import orjson

    from cds.hooks.doctor import Severity, examine
    from cds.hooks.prefetch import templates
    from cds.hooks.signing import Signer
    from cds.trials.catalog import Catalog

    if bool(sign) != bool(issuer):
        raise click.UsageError("--sign and --issuer need each other.")
    settings = environment()
    catalog = usable(lambda: Catalog.load(settings.plandefinitions))
    report = examine(
        url,
        queries=templates(catalog.required_types),
        needed=catalog.disease_types,
        patient=patient,
        chart=usable(partial(read_bundle, bundle)) if bundle else None,
        token=token,
        signer=usable(partial(Signer.load, sign, issuer, kid=kid)) if sign and issuer else None,
        seconds=seconds,
    )
    shown = tuple(Severity) if everything or form == "json" else (Severity.ERROR, Severity.WARNING, Severity.INFO)
    if form == "json":
        click.echo(orjson.dumps(report.as_json(shown), option=orjson.OPT_INDENT_2))
    else:
        _show(report, shown)
    context.exit(0 if report.healthy else 1)


def _show(report: Report, shown: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"{report.url}: {report.kind}", style="bold"))
    for severity in shown:
        for one in (finding for finding in report.findings if finding.severity == severity):
            rule = f"rule {one.number}, {one.rule}" if one.number else one.rule
            console.print(Text(f"{severity:8}", style=_STYLES[severity]) + Text(f"{one.where}: {one.message}"))
            console.print(Text(f"         {rule}" + (f" → {one.remedy}" if one.remedy else ""), style="dim"))
    counts = report.as_json()["counts"]
    told = f"{counts['error']} errors, {counts['warning']} warnings, {counts['ok']} things are right."
    console.print(Text(told, style=_STYLES["ok" if report.healthy else "error"]))
