"""The command `cds`: a module for each subcommand."""

from cds.cli import evaluate, fire, match, serve, translate
from cds.cli.command import main

__all__ = ["evaluate", "fire", "main", "match", "serve", "translate"]
