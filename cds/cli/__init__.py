"""The command `cds`: a module for each subcommand."""

from cds.cli import fire, match, serve, translate
from cds.cli.command import main

__all__ = ["fire", "main", "match", "serve", "translate"]
