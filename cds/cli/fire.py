"""`cds fire`: requests sent to a running service, and its cards shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cds.cli.command import environment, main, usable

if TYPE_CHECKING:
    from rich.console import Console

    from cds.hooks.fire import FhirServer
    from cds.hooks.signing import Signer


@main.command("fire")
@click.argument("requests", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--to", "address", metavar="URL", help="The running service (default: CDS_HOST and CDS_PORT).")
@click.option(
    "--service",
    metavar="ID",
    help="The service to call (default: the folder under hooks/ that holds REQUEST; for --patient, the first that "
    "discovery lists for patient-view).",
)
@click.option("--patient", metavar="ID", help="Make the request for this patient of --fhir, as an EHR does.")
@click.option("--fhir", metavar="URL", help="The FHIR R4 server that the request is made from.")
@click.option("--token", metavar="TOKEN", help="The access token for --fhir; the service gets it, too.")
@click.option("--no-prefetch", is_flag=True, help="Send no data: the service has to read it from --fhir.")
@click.option("--user", metavar="REF", default="Practitioner/example", show_default=True, help="Who opens the chart.")
@click.option("--sign", type=click.Path(path_type=Path), metavar="KEYFILE", help="Sign calls with this PEM key.")
@click.option("--issuer", metavar="ISS", help="Who signs; with --sign.")
@click.option("--kid", metavar="KID", help="The id of the key (default: its thumbprint, as `cds keys` writes it).")
@click.option("--jku", metavar="URL", help="Where the key is published (default: not said).")
def fire_command(
    requests: tuple[Path, ...],
    address: str | None,
    service: str | None,
    patient: str | None,
    fhir: str | None,
    token: str | None,
    no_prefetch: bool,
    user: str,
    sign: Path | None,
    issuer: str | None,
    kid: str | None,
    jku: str | None,
) -> None:
    """Send CDS Hooks REQUESTS (files, or folders of them) to a running service, and show the cards.

    With --patient and --fhir, make the request from a FHIR server instead.
    """
    from functools import partial

    from rich.console import Console

    from cds.hooks.fire import FhirServer, request_files, send, service_of, show
    from cds.hooks.signing import Signer

    if bool(requests) == bool(patient):
        raise click.UsageError("Give request files, or --patient and --fhir.")
    if bool(patient) != bool(fhir):
        raise click.UsageError("--patient and --fhir need each other.")
    if bool(sign) != bool(issuer):
        raise click.UsageError("--sign and --issuer need each other.")
    if address is None:
        address = f"http://{environment().address}"
    signer = usable(partial(Signer.load, sign, issuer, kid=kid, jku=jku)) if sign and issuer else None
    console = Console(highlight=False)
    if patient and fhir:
        server = FhirServer(fhir, token)
        body = usable(partial(_request_for, console, patient, address, service, user, server, no_prefetch, signer))
        show(console, f"Patient {patient}", *usable(partial(_call, address, body, signer)))
    for path in (file for given in requests for file in request_files(given)):
        status, answer = usable(partial(send, path, address, service or service_of(path), signer=signer))
        show(console, path.stem, status, answer)


def _request_for(
    console: Console,
    patient: str,
    address: str,
    service: str | None,
    user: str,
    server: FhirServer,
    no_prefetch: bool,
    signer: Signer | None,
) -> tuple[str, dict[str, Any]]:
    """The id of the service that is called, and the request; what could not be prefetched is said."""
    from cds.errors import CdsError
    from cds.hooks.fire import discover, fill, patient_request

    found = discover(address, service, signer=signer)
    body = patient_request(found, patient, user) | server.access()
    prefetch: dict[str, Any] = {}
    for key, value in fill({} if no_prefetch else found.get("prefetch") or {}, body["context"], server):
        if isinstance(value, CdsError):
            console.print(f"{key} is left out of the prefetch: {value}", markup=False)
        else:
            prefetch[key] = value
    return str(found["id"]), {**body, "prefetch": prefetch} if prefetch else body


def _call(address: str, request: tuple[str, dict[str, Any]], signer: Signer | None) -> tuple[int, Any]:
    import orjson

    from cds.hooks.fire import call

    service, body = request
    return call(f"{address.rstrip('/')}/cds-services/{service}", orjson.dumps(body), signer=signer)
