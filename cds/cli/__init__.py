"""The command `cds`: a module for each subcommand."""

from cds.cli import (
    cases,
    check,
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
    new,
    serve,
    translate,
)
from cds.cli.command import main

__all__ = [
    "cases",
    "check",
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
    "new",
    "serve",
    "translate",
]
