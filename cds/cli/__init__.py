"""The command `cds`: a module for each subcommand."""

from cds.cli import check, doctor, evaluate, expand, explain, feedback, fire, keys, match, serve, translate
from cds.cli.command import main

__all__ = [
    "check",
    "doctor",
    "evaluate",
    "expand",
    "explain",
    "feedback",
    "fire",
    "keys",
    "main",
    "match",
    "serve",
    "translate",
]
