"""The command `cds`: a module for each subcommand."""

from cds.cli import explain, fire, match, serve, translate
from cds.cli.command import main

__all__ = ["explain", "fire", "main", "match", "serve", "translate"]
