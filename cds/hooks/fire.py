"""Sends a request file to a running service and shows the cards as a doctor sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import requests
from rich.console import Console
from rich.markdown import Markdown
from rich.panel import Panel
from rich.text import Text

from cds.errors import ContentError, DataUnavailableError

Json = dict[str, Any]

_SECONDS = 30


def request_files(path: Path) -> list[Path]:
    """The request files that `path` names: itself, or those of the folder."""
    return sorted(path.glob("*.json")) if path.is_dir() else [path]


def service_of(path: Path) -> str:
    """The service that a file under ``hooks/<service>/requests/`` is for."""
    return path.resolve().parent.parent.name


def send(path: Path, address: str, service: str) -> tuple[int, Any]:
    """The status and the JSON that the service at `address` answers with.

    Raises ContentError where the file cannot be read, DataUnavailableError where no service answers.
    """
    url = f"{address.rstrip('/')}/cds-services/{service}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ContentError(str(error), where=str(path)) from error
    try:
        answer = requests.post(url, data=data, headers={"Content-Type": "application/json"}, timeout=_SECONDS)
    except requests.RequestException as error:
        raise DataUnavailableError(
            f"no answer ({type(error).__name__})", where=url, remedy="start the service: cds serve"
        ) from error
    try:
        return answer.status_code, orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return answer.status_code, {}


def show(console: Console, title: str, status: int, body: Any) -> None:
    """Prints an answer: its cards, or what its OperationOutcome says."""
    console.rule(Text(f"{title} → {status}"))
    body = body if isinstance(body, dict) else {}
    for issue in body.get("issue", ()):
        console.print(Text(f"{issue.get('severity')}, {issue.get('code')}: {issue.get('diagnostics')}"))
    if body.get("cards") == []:
        console.print(Text("no card"))
    for card in body.get("cards", ()):
        _show_card(console, card)


def _show_card(console: Console, card: Json) -> None:
    console.print(Panel(Text(card["summary"], style="bold"), subtitle=Text(card["source"]["label"])))
    console.print(Markdown(card.get("detail", "")))
    for suggestion in card.get("suggestions", ()):
        console.print(Text(f"[ {suggestion['label']} ]", style="reverse"))
    console.print()
