"""The command `cds`: a module for each subcommand."""

from cds.cli import (
    cases,
    doctor,
    evaluate,
    expand,
    explain,
    export,
    feedback,
    fire,
    import_,
    keys,
    match,
    serve,
    translate,
)
from cds.cli.command import main

__all__ = [
    "cases",
    "doctor",
    "evaluate",
    "expand",
    "explain",
    "export",
    "feedback",
    "fire",
    "import_",
    "keys",
    "main",
    "match",
    "serve",
    "translate",
]
