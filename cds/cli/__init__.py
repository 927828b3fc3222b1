"""The command `cds`: a module for each subcommand."""

from cds.cli import doctor, fire, keys, match, serve, translate
from cds.cli.command import main

__all__ = ["doctor", "fire", "keys", "main", "match", "serve", "translate"]
