"""The command `cds`: a module for each subcommand."""

from cds.cli import doctor, evaluate, expand, explain, feedback, fire, keys, match, new, serve, translate
from cds.cli.command import main

__all__ = [
    "doctor",
    "evaluate",
    "expand",
    "explain",
    "feedback",
    "fire",
    "keys",
    "main",
    "match",
    "new",
    "serve",
    "translate",
]
