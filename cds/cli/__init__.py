"""The command `cds`: a module for each subcommand."""

from cds.cli import fire, keys, match, serve, translate
from cds.cli.command import main

__all__ = ["fire", "keys", "main", "match", "serve", "translate"]
