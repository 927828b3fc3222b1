"""The command `cds`: a module for each subcommand."""

from cds.cli import feedback, fire, match, serve, translate
from cds.cli.command import main

__all__ = ["feedback", "fire", "main", "match", "serve", "translate"]
