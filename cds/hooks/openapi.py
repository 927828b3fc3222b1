"""The services described for machines: OpenAPI 3.1, written by hand, with what is known only at start filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from cds.hooks.service import Answering

Json = dict[str, Any]

_DESCRIPTION = Path(__file__).with_name("openapi.json")


def openapi(services: Mapping[str, Answering], *, public_url: str, signed: bool) -> Json:
    """The description of `services` at `public_url`; `signed` says whether calls must be."""
    description: Json = orjson.loads(_DESCRIPTION.read_bytes())
    description["servers"] = [{"url": public_url}]
    description["security"] = [{"cdsHooksJwt": []}] if signed else []
    components = description["components"]
    components["parameters"]["Service"]["schema"] = {"enum": list(services)}
    components["parameters"]["Service"]["example"] = next(iter(services))
    hooks = sorted({str(service.definition["hook"]) for service in services.values()})
    components["schemas"]["Request"]["properties"]["hook"]["enum"] = hooks
    return description
