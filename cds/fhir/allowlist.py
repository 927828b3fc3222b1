"""Which FHIR servers may be read from, and which addresses lie on one server.

Addresses are held against a narrow grammar: what is written in an unusual way (credentials, backslashes, escapes,
trailing dots, numbers that stand for addresses ...) is no address here, since programs differ about what it means.

A listed name may resolve to any address, private ones included: whoever listed it chose it, and most EHRs are on
private addresses. A name that is not listed is never looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urljoin

from cds.errors import ContentError

_AUTHORITY = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>[/?].*)?",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
#: What follows the authority: visible ASCII, no backslash and no fragment.
_PLAIN = re.compile(r"[!-\"$-\[\]-~]*", re.ASCII)
_BASE_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?", re.ASCII)
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what a token may be sent to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin | None:
        """The origin of an absolute http(s) URL; None for what is none, or is written unusually."""
        parts = _AUTHORITY.fullmatch(url)
        if parts is None or not _PLAIN.fullmatch(parts["rest"] or ""):
            return None
        scheme = parts["scheme"].lower()
        host = _host(parts["host"].lower())
        port = int(parts["port"] or _PORTS[scheme])
        return None if host is None or port > 65535 else cls(scheme, host, port)

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine, as it is written; names other than localhost are not looked up."""
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


@dataclass(frozen=True, slots=True)
class Base:
    """The base URL of a FHIR server, in one way of writing: without a slash at its end."""

    origin: Origin
    path: str

    @classmethod
    def of(cls, url: str) -> Base | None:
        """The base that a URL names; None for what cannot be one."""
        origin = Origin.of(url)
        if origin is None:
            return None
        _, slash, path = url.partition("://")[2].partition("/")
        if "?" in url or not _BASE_PATH.fullmatch(slash + path):
            return None
        return cls(origin, (slash + path).rstrip("/"))

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"


def follow(link: str, *, found_at: str, origin: Origin) -> str | None:
    """The absolute URL of a link or a redirection found at a URL; None where it leads off `origin`."""
    if not link or not _PLAIN.fullmatch(link):
        return None
    try:
        url = urljoin(found_at, link)
    except ValueError:
        return None
    return url if Origin.of(url) == origin else None


@dataclass(frozen=True, slots=True)
class Allowlist:
    """The FHIR servers that may be read from: `bases`, and where `loopback` holds, whatever is on this machine."""

    bases: frozenset[Base] = frozenset()
    loopback: bool = False

    @classmethod
    def of(cls, addresses: Iterable[str], *, loopback: bool = False) -> Allowlist:
        """The list of base URLs. ContentError for what cannot be one."""
        bases = set()
        for address in addresses:
            base = Base.of(address)
            if base is None:
                raise ContentError(
                    "holds what is no plain base URL of a FHIR server",
                    where="CDS_FHIR_SERVERS",
                    remedy="such as https://ehr.example/fhir: no credentials, query, escapes or dots at the end",
                )
            bases.add(base)
        return cls(frozenset(bases), loopback)

    def find(self, address: str) -> Base | None:
        """The base that a request's fhirServer names, where it may be read from."""
        base = Base.of(address)
        if base is None:
            return None
        return base if base in self.bases or (self.loopback and base.origin.is_loopback) else None


def _host(host: str) -> str | None:
    """The host in one way of writing; None for numbers that stand for an address in another way than the usual
    (127.1, 2130706433, 0x7f.1, ::ffff:127.0.0.1)."""
    try:
        if host.startswith("["):
            address = IPv6Address(host[1:-1])
            return None if address.ipv4_mapped else f"[{address}]"
        if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rpartition(".")[2]):
            return str(ip_address(host))
    except ValueError:
        return None
    return host
