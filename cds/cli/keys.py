"""`cds keys`: a key pair for tests of signed calls."""

from __future__ import annotations

from pathlib import Path

import click

from cds.cli.command import main


@main.command("keys")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--algorithm",
    type=click.Choice(["ES256", "ES384", "ES512", "RS384"]),
    default="ES384",
    show_default=True,
    help="What the key signs with.",
)
@click.option("--issuer", default="https://ehr.example", show_default=True, help="Who signs with it.")
def keys(folder: Path, algorithm: str, issuer: str) -> None:
    """Make a key pair in FOLDER for tests of signed calls: private-key.pem, jwks.json.

    Then: CDS_TRUSTED_CLIENTS='ISSUER|file:FOLDER/jwks.json' cds serve, and: cds fire --sign FOLDER/private-key.pem
    --issuer ISSUER ...
    """
    import orjson

    from cds.hooks.signing import make_key, pem, public_jwk

    folder.mkdir(parents=True, exist_ok=True)
    private, published = folder / "private-key.pem", folder / "jwks.json"
    if private.exists():
        raise click.ClickException(f"{private} is there already: a key is never written over")
    key = make_key(algorithm)
    private.touch(mode=0o600)
    private.write_bytes(pem(key))
    published.write_bytes(orjson.dumps({"keys": [public_jwk(key)]}, option=orjson.OPT_INDENT_2))
    click.echo(f"CDS_TRUSTED_CLIENTS='{issuer}|{published.resolve().as_uri()}'")
    click.echo(f"cds fire --sign {private} --issuer {issuer} hooks/trial-match/requests/")
