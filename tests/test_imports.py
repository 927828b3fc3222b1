"""The house stands as ARCHITECTURE.md says: imports run one way, and content and code keep apart."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cds"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: What each room may import of ours, beside itself.
MAY_IMPORT = {
    "errors": set(),
    "settings": {"errors"},
    "elm": {"errors"},
    "fhir": {"errors", "elm"},
    "trials": {"errors", "elm", "fhir"},
    "hooks": {"errors", "elm", "fhir", "trials"},
    "authoring": {"errors", "elm", "fhir", "trials"},
    "app": {"errors", "settings", "elm", "fhir", "trials", "hooks"},
    "cli": {"errors", "settings", "elm", "fhir", "trials", "hooks", "authoring", "app"},
    "__init__": set(),
}
#: The third-party packages that the language may use: the unit library.
UNIT_LIBRARY = {"pint", "ucumvert"}
FLASK = {PACKAGE / "app.py", PACKAGE / "hooks" / "routes.py"}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    allowed = MAY_IMPORT[room(path)] | {room(path)}
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("cds.")}
    assert ours <= allowed


@pytest.mark.parametrize("path", [path for path in MODULES if path not in FLASK], ids=name_of)
def test_flask_stays_at_the_door(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & {"flask", "werkzeug"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "elm").rglob("*.py")), ids=name_of)
def test_the_language_needs_no_third_party_but_the_unit_library(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names) - {"cds"}
    assert foreign <= UNIT_LIBRARY


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) not in ("cli", "settings")], ids=name_of)
def test_the_environment_is_read_in_settings_alone(path: Path) -> None:
    assert not re.search(r"os\.(environ|getenv)", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", ["plandefinitions", "hooks"])
def test_content_holds_no_code(folder: str) -> None:
    assert not list((ROOT / folder).rglob("*.py"))


def test_code_names_no_trial() -> None:
    """What is said of one trial stands in its folder: code knows neither its id nor its drug."""
    trials = [path.parent.name for path in (ROOT / "plandefinitions").glob("*/plan-definition.json")]
    names = re.compile("|".join([*map(re.escape, trials), "cadonilimab", "anlotinib", "lenvatinib"]), re.IGNORECASE)
    assert trials
    assert not [name_of(path) for path in MODULES if names.search(path.read_text(encoding="utf-8"))]
