"""The command `cds`: a module for each subcommand."""

from cds.cli import doctor, evaluate, explain, feedback, fire, keys, match, serve, translate
from cds.cli.command import main

__all__ = ["doctor", "evaluate", "explain", "feedback", "fire", "keys", "main", "match", "serve", "translate"]
