"""The public keys of those who may call: JSON Web Key Sets, fetched, cached, and never from an address not listed."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import jwt
import orjson
import requests
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from cds.errors import TrustUnavailableError

_log = logging.getLogger("cds.hooks")

Json = dict[str, Any]
PublicKey = EllipticCurvePublicKey | RSAPublicKey

#: The algorithms that we accept, with the kind of key that each needs (RFC 7518, 3.1). Nothing symmetric, never none.
ALGORITHMS = {
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
}
#: RSA keys shorter than this are not taken (RFC 7518, 3.3).
_RSA_BITS = 2048
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_READERS: dict[str, Callable[[Json], Any]] = {
    "EC": jwt.algorithms.ECAlgorithm.from_jwk,
    "RSA": jwt.algorithms.RSAAlgorithm.from_jwk,
}

#: Seconds: a set is asked for anew after `_FRESH`; where that fails it serves until it is `_STALE` old.
_FRESH = 600.0
_STALE = 3600.0
#: So many fetches of one set within so many seconds, that a rotation is seen at once, and that neither made-up key
#: ids nor failures make us hammer its server.
_MOST_FETCHES, _WITHIN = 4, 120.0
#: Seconds that a fetch may take to connect, between two reads, and as a whole; bytes that a set may have.
_CONNECT, _READ, _WHOLE = 2.0, 2.0, 4.0
_LARGEST = 256 * 1024
_MOST_KEYS = 100


class KeySet:
    """The keys at one JWKS address (https, http on loopback, or file), safe for use by several threads."""

    def __init__(self, url: str, *, timer: Callable[[], float] = monotonic) -> None:
        self.url = url
        self._timer = timer
        self._lock = threading.Lock()
        self._keys: list[Json] = []
        self._fetched: float | None = None
        self._tries: deque[float] = deque(maxlen=_MOST_FETCHES)
        self._tried = 0
        self._reader: threading.Thread | None = None

    def find(self, kid: str, algorithm: str) -> PublicKey | None:
        """The key of that id that fits the algorithm; None where there is none, even after a look at the set as it is.

        Raises TrustUnavailableError where no set can be had.
        """
        tried = self._tried
        key = None if self._due(_STALE) else self._key(kid, algorithm)
        if key is None or self._due(_FRESH):
            self._renew(tried, wait=key is None)
            key = self._key(kid, algorithm)
        if self._due(_STALE):
            raise TrustUnavailableError(
                "the caller's keys could not be fetched", where="jwks", remedy="try again in some minutes"
            )
        return key

    def _due(self, age: float) -> bool:
        return self._fetched is None or self._timer() - self._fetched >= age

    def _renew(self, tried: int, *, wait: bool) -> None:
        """Fetches the set, unless that was done too often, since `tried`, or (without `wait`) is being done."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if self._tried == tried and self._may_try():
                self._try()
        finally:
            self._lock.release()

    def _may_try(self) -> bool:
        often = len(self._tries) == _MOST_FETCHES and self._timer() - self._tries[0] < _WITHIN
        return not often and not (self._reader and self._reader.is_alive())

    def _try(self) -> None:
        self._tries.append(self._timer())
        try:
            self._keys = _usable(self._read())
            self._fetched = self._timer()
        except (OSError, ValueError) as error:  # what requests raises is an OSError, too
            _log.warning("the key set at %s could not be read: %s", self.url, type(error).__name__)
        finally:
            self._tried += 1

    def _read(self) -> bytes:
        """The bytes of the set. A server that sends a byte now and then is left to a thread that nobody waits for."""
        got: list[bytes | BaseException] = []

        def read() -> None:
            try:
                got.append(_read(self.url, self._timer))
            except Exception as error:  # told to the thread that waits
                got.append(error)

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        self._reader.join(_WHOLE)
        if not got:
            raise TimeoutError
        if isinstance(got[0], BaseException):
            raise got[0]
        return got[0]

    def _key(self, kid: str, algorithm: str) -> PublicKey | None:
        """The public key; what a key says of itself (kty, crv, alg) and what it is must fit the algorithm."""
        for jwk in self._keys:
            if jwk.get("kid") != kid or jwk.get("alg", algorithm) != algorithm:
                continue
            key = _public_key(jwk)
            if key is not None and _kind(key) == ALGORITHMS[algorithm]:
                return key
        return None


def _public_key(jwk: Json) -> PublicKey | None:
    try:
        key = _READERS[jwk["kty"]](jwk)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if isinstance(key, RSAPublicKey):
        return key if key.key_size >= _RSA_BITS else None
    return key if isinstance(key, EllipticCurvePublicKey) else None


def _kind(key: PublicKey) -> str | None:
    return _CURVES.get(key.curve.name) if isinstance(key, EllipticCurvePublicKey) else "RSA"


def _usable(content: bytes) -> list[Json]:
    """The keys of a set that are for signatures (RFC 7517). ValueError where it is no set.

    A set that shows private parts of a key has given that key away: it is passed over.
    """
    jwks = orjson.loads(content)
    if not isinstance(jwks, dict) or not isinstance(jwks.get("keys"), list):
        raise ValueError("is no JSON Web Key Set")
    return [key for key in jwks["keys"][:_MOST_KEYS] if isinstance(key, dict) and _for_signatures(key)]


def _for_signatures(key: Json) -> bool:
    """Whether a key may verify signatures. One that names its algorithm may, whatever its `use`: the public CDS Hooks
    sandbox publishes an ES256 key as "enc"."""
    operations = key.get("key_ops", ["verify"])
    meant = key.get("use", "sig") == "sig" or str(key.get("alg")) in ALGORITHMS
    return meant and "d" not in key and isinstance(operations, list) and "verify" in operations


def _read(url: str, timer: Callable[[], float]) -> bytes:
    """The bytes at an address, within our limits; no redirect is followed."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        with Path(url2pathname(parts.path)).open("rb") as file:
            return _within((file.read(_LARGEST + 1),), timer)
    with requests.get(
        url,
        headers={"Accept": "application/jwk-set+json, application/json"},
        timeout=(_CONNECT, _READ),
        allow_redirects=False,
        stream=True,
    ) as answer:
        if answer.status_code != 200:
            raise ValueError(f"status {answer.status_code}")
        return _within(answer.iter_content(4096), timer)


def _within(chunks: Iterable[bytes], timer: Callable[[], float]) -> bytes:
    end = timer() + _WHOLE
    content = b""
    for chunk in chunks:
        content += chunk
        if len(content) > _LARGEST or timer() > end:
            raise ValueError("is too large, or comes too slowly")
    return content
