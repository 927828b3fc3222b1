"""The command `cds`: a module for each subcommand."""

from cds.cli import evaluate, explain, fire, match, serve, translate
from cds.cli.command import main

__all__ = ["evaluate", "explain", "fire", "main", "match", "serve", "translate"]
