"""The house stands as ARCHITECTURE.md says: imports run one way, and content and code keep apart."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cds"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: What each room may import of ours, beside itself.
MAY_IMPORT = {
    "errors": set(),
    "settings": {"errors"},
    "logs": {"errors"},
    "http": {"errors"},
    "reloading": {"errors"},
    "elm": {"errors"},
    "fhir": {"errors", "elm"},
    "trials": {"errors", "elm", "fhir"},
    "reasoning": {"errors", "elm", "fhir"},
    "hooks": {"errors", "http", "elm", "fhir", "trials", "reasoning"},
    "publishing": {"errors", "http", "elm", "fhir", "trials", "reasoning"},
    "authoring": {"errors", "elm", "fhir", "trials", "reasoning"},
    "app": {
        *("errors", "settings", "logs", "http", "reloading", "elm", "fhir", "trials", "reasoning", "hooks"),
        "publishing",
    },
    "cli": {
        *("errors", "settings", "logs", "http", "elm", "fhir", "trials", "reasoning", "hooks", "publishing"),
        *("authoring", "app", "reloading"),
    },
    "__init__": set(),
}
#: The third-party packages that the language may use: units, and regular expressions that end.
FOR_THE_LANGUAGE = {"pint", "ucumvert", "regex"}
FLASK = {PACKAGE / "app.py", PACKAGE / "http.py", PACKAGE / "hooks" / "routes.py", PACKAGE / "publishing" / "routes.py"}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it; ``from cds import elm`` gives ``cds.elm``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield from (f"cds.{alias.name}" for alias in node.names) if module == "cds" else (module,)


def imports_of(path: Path) -> Iterator[str]:
    return imported(path.read_text(encoding="utf-8"))


def strays(owner: str, names: Iterable[str]) -> set[str]:
    """The rooms of ours among the imported `names` that a module of the room `owner` may not import."""
    return {name.split(".")[1] for name in names if name.startswith("cds.")} - MAY_IMPORT[owner] - {owner}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    assert strays(room(path), imports_of(path)) == set()


@pytest.mark.parametrize(
    ("owner", "source", "stray"),
    [
        ("elm", "from cds.fhir.model import FHIRModel", "fhir"),
        ("trials", "from cds import errors, hooks", "hooks"),
        ("hooks", "import cds.authoring.translate as desk", "authoring"),
        ("authoring", "def late():\n    from cds.hooks.cards import card", "hooks"),
        ("hooks", "from cds.settings import Settings", "settings"),
    ],
)
def test_an_import_the_wrong_way_is_found(owner: str, source: str, stray: str) -> None:
    assert strays(owner, imported(source)) == {stray}


def test_rooms_lie_one_behind_the_other() -> None:
    """No two rooms may import each other, directly or through others."""
    behind = {owner: set(rooms) for owner, rooms in MAY_IMPORT.items()}
    for rooms in behind.values():
        assert all(behind[owner] <= rooms for owner in rooms), "what a room builds on, it may use"
    assert not [owner for owner, rooms in behind.items() if owner in rooms]


@pytest.mark.parametrize("path", [path for path in MODULES if path not in FLASK], ids=name_of)
def test_flask_stays_at_the_door(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports_of(path)} & {"flask", "werkzeug"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "elm").rglob("*.py")), ids=name_of)
def test_the_language_needs_no_third_party_but_the_unit_library(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names) - {"cds"}
    assert foreign <= FOR_THE_LANGUAGE


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
    texts = [path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".mjs", ".json", ".html", ".css"}]
    assert trials
    assert not [name_of(path) for path in texts if names.search(path.read_text(encoding="utf-8"))]
