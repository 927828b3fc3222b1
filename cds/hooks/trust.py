"""Who may call: CDS Hooks client JWTs (CDS Hooks 2.0.1, Trusting CDS Clients)."""

from __future__ import annotations

import math
import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import jwt
import orjson

from cds.errors import UntrustedCallError
from cds.hooks.jwks import ALGORITHMS, KeySet, PublicKey
from cds.hooks.replay import ReplayStore

Json = dict[str, Any]

_BEARER = re.compile(r"Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)", re.IGNORECASE)
_LONGEST_TOKEN = 8192
_JWS = jwt.PyJWS(algorithms=list(ALGORITHMS))
_FEEDBACK = "/feedback"
_PORTS = {"https": 443, "http": 80}

#: Seconds by which the caller's clock may be ahead of ours, and the longest life of a token.
SKEW = 60
LIFETIME = 3600


class Trust:
    """Those who may call, each known by his issuer and his keys; what they sign is for `public_url`."""

    def __init__(
        self, clients: Iterable[tuple[str, str]], *, public_url: str, replays: ReplayStore, skew: int = SKEW
    ) -> None:
        self._keys: dict[str, dict[str, KeySet]] = {}
        sets: dict[str, KeySet] = {}
        for issuer, url in clients:
            self._keys.setdefault(issuer, {})[url] = sets.setdefault(url, KeySet(url))
        self._public_url = public_url.rstrip("/")
        self._replays = replays
        self._skew = skew

    def admit(self, authorization: str | None, path: str, *, now: datetime) -> str:
        """The issuer of the token in an Authorization header, where it lets its bearer call `path` at `now`.

        A token serves once. Raises UntrustedCallError that names what is wrong, and never the token;
        TrustUnavailableError where the caller's keys or the store of used tokens cannot be had.
        """
        token = _token(authorization)
        algorithm, kid, jku = _header(token)
        claims = _part(token, 1)
        issuer = _words(claims, "iss")
        sets = self._keys.get(issuer)
        if sets is None:
            raise _refused("iss", "is not one that may call", "ask the service's operator to list your issuer")
        _verify(token, self._key(sets, kid, jku, algorithm), algorithm)
        self._check_audience(claims, path)
        expires = self._check_times(claims, now.timestamp())
        jti = _words(claims, "jti")
        if not self._replays.take(issuer, jti, expires=expires, now=now):
            raise _refused("jti", "was used before", "sign a new token for every call")
        return issuer

    def _key(self, sets: Mapping[str, KeySet], kid: str, jku: Any, algorithm: str) -> PublicKey:
        if jku is not None and (not isinstance(jku, str) or jku not in sets):
            raise _refused("jku", "is not listed for this issuer", "leave it out, or have it listed")
        for keys in [sets[jku]] if jku is not None else sets.values():
            if key := keys.find(kid, algorithm):
                return key
        raise _refused("kid", f"names no key of the issuer that fits {algorithm}", "publish the key in your JWKS")

    def _check_audience(self, claims: Json, path: str) -> None:
        """`aud` is the URL that is called: query and a trailing slash aside, and feedback may name its service."""
        path = path.rstrip("/")
        called = {_address(self._public_url + path)}
        if path.endswith(_FEEDBACK):
            called.add(_address(self._public_url + path.removesuffix(_FEEDBACK)))
        told = claims.get("aud")
        named = told if isinstance(told, list) else [told]
        if not any(isinstance(one, str) and _address(one) in called for one in named):
            raise _refused("aud", "is not the URL that was called", f"the service stands at {self._public_url}")

    def _check_times(self, claims: Json, now: float) -> float:
        """When the token expires. It was issued before now, lasts an hour at most, and has not expired."""
        expires, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
        if expires <= now:
            raise _refused("exp", "has passed", "sign a new token for every call", "expired")
        if issued > now + self._skew:
            raise _refused("iat", "lies in the future", "set the clock")
        if expires - issued > LIFETIME:
            raise _refused("exp", f"is more than {LIFETIME} seconds after iat", "sign tokens for some minutes")
        if "nbf" in claims and _seconds(claims, "nbf") > now + self._skew:
            raise _refused("nbf", "lies in the future", "set the clock")
        return expires


def _refused(where: str, what: str, remedy: str, issue: str = "login") -> UntrustedCallError:
    error = UntrustedCallError(what, where=where, remedy=remedy)
    error.issue = issue
    return error


def _token(authorization: str | None) -> str:
    if not authorization:
        raise _refused("Authorization", "is missing", "send Authorization: Bearer and a signed JWT")
    found = _BEARER.fullmatch(authorization.strip())
    if not found or len(found[1]) > _LONGEST_TOKEN:
        raise _refused("Authorization", "is not Bearer and a signed JWT", "send one JWT in compact form")
    return found[1]


def _part(token: str, place: int) -> Json:
    """The header (0) or the claims (1) of a token, not yet verified."""
    text = token.split(".")[place]
    name = "claims" if place else "header"
    try:
        content = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (Base64Error, orjson.JSONDecodeError):
        content = None
    if not isinstance(content, dict):
        raise _refused(name, "is no JSON object in base64url", "send a JWT (RFC 7519)")
    return content


def _header(token: str) -> tuple[str, str, Any]:
    """The algorithm, the key's id and the key set's address that the header names."""
    header = _part(token, 0)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _refused("alg", "is not accepted", f"sign with one of {', '.join(ALGORITHMS)}")
    if str(header.get("typ")).upper() != "JWT":
        raise _refused("typ", "is not JWT", 'put "typ": "JWT" into the header')
    if "crit" in header:
        raise _refused("crit", "is not understood", "leave it out")
    return algorithm, _words(header, "kid"), header.get("jku")


def _verify(token: str, key: PublicKey, algorithm: str) -> None:
    try:
        _JWS.decode_complete(token, key=key, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _refused("signature", "does not verify with the issuer's key", "sign with the key of that kid") from None


def _words(claims: Json, name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise _refused(name, "is missing, or is not text", f"put {name} into the token")
    return value


def _seconds(claims: Json, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refused(name, "is missing, or is no number of seconds", f"put {name} into the token (RFC 7519)")
    return float(value)


def _address(url: str) -> tuple[str, str, int | None, str] | None:
    """A URL as far as it matters whom it names; None for what is no URL, or says more than a place."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")
